"""Parcels at the desk: packed, dispatched, tracked, delivered, come back; their orders are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from domain import (
    order_account,
    order_lines,
    order_parcels,
    order_times,
    parcel,
    service_stop,
)
from domain.desk_customers import tell_account
from domain.desk_names import (
    States,
    account_stream,
    customer_stream,
    order_stream,
    parcel_stream,
    stock_stream,
    tracking_claim,
)
from domain.desk_orders import order_answer
from domain.desk_stock import ship
from domain.desk_write import Write, claim_of, placed_order
from domain.message import Event, Rejected, StreamName
from domain.order_facts import OrderDispatched
from domain.order_line import ZERO
from domain.order_state import Order
from domain.parcel import Parcel
from domain.parcel_commands import (
    DeliverParcel,
    DispatchParcel,
    PackParcel,
    ParcelCommand,
    TrackParcel,
)
from domain.parcel_facts import ParcelDelivered
from domain.return_facts import ReturnReceived


def streams_of_parcel(parcel_id: str, loaded: States, *, leaves: bool = False) -> set[StreamName]:
    """`leaves`: with the stock that it comes out of, and the customers it goes to."""
    stream = parcel_stream(parcel_id)
    content: Parcel = loaded.get(stream) or Parcel()
    names = {stream} | {order_stream(order_id) for order_id in content.order_ids}
    if not leaves:
        return names
    for item in content.contents:
        bought: Order | None = loaded.get(order_stream(item.order_id))
        line = bought.lines.get(item.line_no) if bought else None
        if bought is not None and bought.placed:
            names.add(customer_stream(bought.customer_id))
            if order_account.rises_at_dispatch(bought):
                names.add(account_stream(bought.customer_id, bought.currency))
        if line is not None:
            names.add(stock_stream(line.priced.sku, line.priced.location))
    return names


def streams_of_tracking(command: TrackParcel, loaded: States) -> set[StreamName]:
    stream = parcel_stream(command.parcel_id)
    state: Parcel = loaded.get(stream) or Parcel()
    if not parcel.may_concern_orders(command, state):
        return {stream}
    return streams_of_parcel(command.parcel_id, loaded)


def pack(command: PackParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    skus = {}
    for item in command.contents:
        line = order_lines.known_line(placed_order(write, item.order_id), item.line_no)
        skus[item.order_id, item.line_no] = line.priced.sku
    events = parcel.pack(command, write.states[stream], skus)
    if not events:
        return
    write.add(stream, events)
    for order_id in write.states[stream].order_ids:
        state = write.states[order_stream(order_id)]
        write.add(order_stream(order_id), order_parcels.pack(command, state))


def dispatch(command: DispatchParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    events = parcel.decide(command, write.states[stream])
    if not events:
        return
    claim = tracking_claim(command.carrier, command.tracking_number)
    owner = write.states[claim]
    if owner not in {None, command.parcel_id}:
        raise Rejected(
            "tracking_number_taken",
            f"{command.carrier} {command.tracking_number} is parcel {owner}",
            parcel_id=owner,
        )
    write.claims.append(claim_of(claim, command.parcel_id))
    write.add(stream, events)
    for order_id in write.states[stream].order_ids:
        _dispatch_order(command, order_id, write)


def _dispatch_order(command: DispatchParcel, order_id: str, write: Write) -> None:
    before: Order = write.states[order_stream(order_id)]
    events = order_parcels.dispatch(command, before)
    if events:
        service_stop.require(write.states[customer_stream(before.customer_id)])
    for event in events:
        write.add(order_stream(order_id), [event])
        if not isinstance(event, OrderDispatched):
            continue
        promised = {item.line_no: item.quantity for item in event.stock_shipped}
        for item in event.lines:
            ship(item, promised.get(item.line_no, ZERO), before, event, write)
    tell_account(command, before, write)


def deliver(command: DeliverParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    events = parcel.decide(command, write.states[stream])
    orders: list[Order] = [write.states[order_stream(o)] for o in write.states[stream].order_ids]
    for one in orders if events else ():
        order_times.require_meant(one, delivered_at=command.delivered_at)
    if events and orders and all(command.parcel_id in one.money.refused for one in orders):
        raise Rejected(
            "delivery_refused",
            "it was refused at the door: what is owed for it was taken off",
            parcel_id=command.parcel_id,
        )
    write.add(stream, events)
    _tell_orders(stream, write.events.get(stream, []), write)


def track(command: TrackParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    before: Parcel = write.states[stream]
    write.add(stream, parcel.decide(command, before))
    _tell_orders(stream, write.events.get(stream, []), write)
    _tell_milestone(stream, before, command.occurred_at, write)


def _tell_milestone(stream: StreamName, before: Parcel, at: datetime, write: Write) -> None:
    after: Parcel = write.states[stream]
    milestone = parcel.news_for_orders(before, after)
    if milestone is None:
        return
    for order_id in after.order_ids:
        name = order_stream(order_id)
        write.add(name, order_parcels.tell(stream.key, milestone, at, write.states[name]))


def _tell_orders(stream: StreamName, events: Iterable[Event], write: Write) -> None:
    for event in list(events):
        if isinstance(event, ParcelDelivered):
            for order_id in event.order_ids:
                name = order_stream(order_id)
                state: Order = write.states[name]
                carrier = write.states[stream].carrier
                write.add(
                    name, order_parcels.deliver(stream.key, carrier, event.source, event.at, state)
                )


def parcel_came_back(event: ReturnReceived, parcel_id: str | None, write: Write) -> None:
    """Imported parcels have no stream."""
    if parcel_id is None or not write.states[parcel_stream(parcel_id)].parcel_id:
        return
    stream = parcel_stream(parcel_id)
    before: Parcel = write.states[stream]
    write.add(stream, parcel.take_back(before, event.at))
    _tell_milestone(stream, before, event.at, write)


def parcel_answer(
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
