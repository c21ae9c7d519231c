"""What packing, dispatch, delivery and a carrier's word make true of an order."""

from __future__ import annotations

from datetime import datetime

from domain import order_cash
from domain.message import Event, Rejected
from domain.order import require
from domain.order_facts import (
    DeliveryTroubled,
    LineQuantity,
    OrderDelivered,
    OrderDispatched,
    OrderPacked,
)
from domain.order_fold import evolve
from domain.order_hold import not_disputed
from domain.order_lines import known_line
from domain.order_money import shown
from domain.order_state import Order
from domain.order_status import PAYS_LATER
from domain.parcel_commands import DispatchParcel, PackParcel
from domain.payment_facts import UnpaidDispatchAllowed
from domain.values import quantity_json


def pack(command: PackParcel, state: Order) -> list[Event]:
    """The order's part of a parcel. Raises Rejected."""
    if command.parcel_id in state.parcels:
        return []
    require(command, state)
    items = [item for item in command.contents if item.order_id == state.order_id]
    for item in items:
        line = known_line(state, item.line_no)
        if item.quantity > line.open:
            raise Rejected(
                "pack_exceeds_open",
                f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
                f"{quantity_json(line.open)} to pack",
                order_id=state.order_id,
                line_no=item.line_no,
                asked=quantity_json(item.quantity),
                open=quantity_json(line.open),
            )
    lines = [LineQuantity(line_no=item.line_no, quantity=item.quantity) for item in items]
    return [OrderPacked(parcel_id=command.parcel_id, lines=lines, at=command.at)]


def _may_leave(command: DispatchParcel, state: Order) -> list[Event]:
    """Nothing, or the fact that somebody let the goods go unpaid. Raises Rejected `not_paid`, or
    `chargeback_open` whatever reason is given.
    """
    not_disputed(state)
    due = state.missing_minor
    if state.payment_method in PAYS_LATER or not due:
        return []
    if command.unpaid_reason is None:
        raise Rejected(
            "not_paid",
            f"order {state.number}: {shown(due, state)} of {shown(state.total_minor, state)} are "
            "due",
            order_id=state.order_id,
            due_minor=due,
        )
    return [
        UnpaidDispatchAllowed(
            person=state.person,
            parcel_id=command.parcel_id,
            due_minor=due,
            reason=command.unpaid_reason,
            at=command.at,
        )
    ]


def dispatch(command: DispatchParcel, state: Order) -> list[Event]:
    """The order's units in the parcel leave, those promised in stock first. Raises Rejected."""
    parcel = state.parcels[command.parcel_id]
    if parcel.dispatched:
        return []
    require(command, state)
    allowed = _may_leave(command, state)
    promised = [
        LineQuantity(line_no=item.line_no, quantity=min(item.quantity, line.reserved))
        for item in parcel.lines
        if (line := state.lines[item.line_no]).reserved > 0
    ]
    return [
        *allowed,
        OrderDispatched(
            parcel_id=command.parcel_id,
            lines=list(parcel.lines),
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            estimated_at=command.estimated_at,
            stock_shipped=promised,
            at=command.at,
        ),
    ]


def deliver(parcel_id: str, carrier: str, source: str, at: datetime, state: Order) -> list[Event]:
    """The order's units in the parcel arrived, and what the carrier collected for them. What was
    refused at the door is on its way back: it arrives at the sender's.
    """
    parcel = state.parcels[parcel_id]
    if parcel.delivered or parcel_id in state.money.refused:
        return []
    fact = OrderDelivered(parcel_id=parcel_id, lines=list(parcel.lines), source=source, at=at)
    return [fact, *order_cash.collected(fact, carrier, state, evolve(state, fact))]


def tell(parcel_id: str, milestone: str, at: datetime, state: Order) -> list[Event]:
    """A trouble on the way of a parcel, or its end, which the order has to show."""
    if state.parcels[parcel_id].milestone == milestone:
        return []
    return [DeliveryTroubled(parcel_id=parcel_id, milestone=milestone, at=at)]
