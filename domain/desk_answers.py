"""What the desk tells a client after a command: JSON data without position or personal data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import order_lines, order_status, reconciliation, reconciliation_streams
from domain.customer import RecordCustomer
from domain.desk_streams import (
    States,
    customer_stream,
    order_stream,
    parcel_stream,
    stock_stream,
    target,
)
from domain.message import Command, StreamName
from domain.order_commands import (
    AddNote,
    DeliverParcel,
    DispatchParcel,
    PackParcel,
    ParcelCommand,
    PayRefund,
    PlaceOrder,
    RecordPayment,
    RequestRefund,
    TrackParcel,
)
from domain.order_state import Order
from domain.parcel import Parcel
from domain.stock_item import AdjustStock, ReceiveStock, StockItem
from domain.values import quantity_json


def answer(
    command: Command, states_after: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """What the client is told, as JSON data: no position, no personal data."""
    match command:
        case PackParcel() | DispatchParcel() | DeliverParcel() | TrackParcel():
            return _parcel_answer(command, states_after, versions)
        case ReceiveStock() | AdjustStock():
            return _stock_answer(command, states_after, versions)
        case RecordCustomer(customer_id=customer_id):
            version = versions[customer_stream(customer_id)]
            return {"customer_id": customer_id, "version": version, "status": "registered"}
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            return reconciliation.answer(command, states_after, versions)
        case _:
            stream = order_stream(target(command))
            return {
                **order_answer(states_after[stream], versions[stream]),
                **_made(command, states_after[stream]),
            }


def order_answer(state: Order, version: int) -> dict[str, Any]:
    return {
        "order_id": state.order_id,
        "number": state.number,
        "version": version,
        "status": order_status.code(state),
        "total_minor": state.total_minor,
    }


def _made(command: Command, state: Order) -> dict[str, Any]:
    """The ids that a command made, and the amounts of the lines that it placed."""
    match command:
        case RecordPayment(payment_id=payment_id):
            return {"payment_id": payment_id}
        case RequestRefund(refund_id=refund_id) | PayRefund(refund_id=refund_id):
            refund = state.refunds[refund_id]
            return {"refund_id": refund_id, "amount_minor": refund.amount_minor}
        case AddNote(note_id=note_id):
            return {"note_id": note_id}
        case PlaceOrder():
            inclusive = state.prices_include_tax
            lines = [line.priced for line in state.lines.values()]
            return {"lines": [order_lines.line_answer(line, inclusive) for line in lines]}
        case _:
            return {}


def _parcel_answer(
    command: ParcelCommand, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    stream = parcel_stream(command.parcel_id)
    state: Parcel = states[stream]
    # Most scans are decided without the orders: what was not loaded is not told.
    orders = [name for name in map(order_stream, state.order_ids) if name in states]
    return {
        "parcel_id": state.parcel_id,
        "version": versions[stream],
        "status": state.status,
        "orders": [order_answer(states[name], versions[name]) for name in orders],
    }


def _stock_answer(
    command: ReceiveStock | AdjustStock, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    stream = stock_stream(command.sku, command.location)
    state: StockItem = states[stream]
    return {
        "sku": command.sku,
        "location": command.location,
        "version": versions[stream],
        "status": "available" if state.available > 0 else "out_of_stock",
        "on_hand": quantity_json(state.on_hand),
        "reserved": quantity_json(state.reserved),
        "available": quantity_json(state.available),
    }
