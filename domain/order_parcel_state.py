"""The units of an order on their way: the fold of packing, dispatch, delivery, release."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from domain import order_refund_later
from domain.frozen import replace
from domain.order_facts import DeliveryTroubled, LineQuantity, OrderDelivered, OrderDispatched
from domain.order_state import Order, OrderParcel
from domain.return_facts import InterceptRequested

Counter = Literal["cancelled", "packed", "dispatched", "delivered"]


def packed(state: Order, parcel_id: str, units: Iterable[LineQuantity]) -> Order:
    if parcel_id in state.parcels:
        return state
    parcel = OrderParcel(tuple(units))
    return _with_parcel(counted(state, "packed", parcel.lines), parcel_id, parcel)


def dispatched(state: Order, event: OrderDispatched) -> Order:
    state = _left(state, event.parcel_id, event.lines)
    return released(state, event.stock_shipped)


def _left(state: Order, parcel_id: str, units: Iterable[LineQuantity]) -> Order:
    """The parcel is out of the house. What was never packed by our records was so all the same."""
    state = packed(state, parcel_id, units)
    parcel = state.parcels[parcel_id]
    if parcel.dispatched:
        return state
    state = order_refund_later.units_left(counted(state, "dispatched", parcel.lines), parcel.lines)
    return _with_parcel(state, parcel_id, replace(parcel, dispatched=True))


def delivered(state: Order, event: OrderDelivered) -> Order:
    state = _left(state, event.parcel_id, event.lines)
    parcel = state.parcels[event.parcel_id]
    if parcel.delivered:
        return state
    state = counted(state, "delivered", parcel.lines)
    arrived = replace(parcel, delivered=True, delivered_at=event.at, milestone="delivered")
    return _with_parcel(state, event.parcel_id, arrived)


def milestone(state: Order, event: DeliveryTroubled) -> Order:
    parcel = state.parcels.get(event.parcel_id, OrderParcel())
    return _with_parcel(state, event.parcel_id, replace(parcel, milestone=event.milestone))


def intercept_requested(state: Order, event: InterceptRequested) -> Order:
    parcel = state.parcels.get(event.parcel_id, OrderParcel())
    return _with_parcel(state, event.parcel_id, replace(parcel, intercept_requested=True))


def _with_parcel(state: Order, parcel_id: str, parcel: OrderParcel) -> Order:
    return replace(state, parcels={**state.parcels, parcel_id: parcel})


def counted(state: Order, counter: Counter, units: Iterable[LineQuantity]) -> Order:
    lines = dict(state.lines)
    for item in units:
        line = lines.get(item.line_no)
        if line is not None:
            more = {counter: getattr(line, counter) + item.quantity}
            lines[item.line_no] = replace(line, **more)
    return replace(state, lines=lines)


def released(state: Order, units: Iterable[LineQuantity]) -> Order:
    """Units that are no longer promised in stock: given back or shipped."""
    lines = dict(state.lines)
    for item in units:
        line = lines.get(item.line_no)
        if line is not None:
            lines[item.line_no] = replace(line, reserved=line.reserved - item.quantity)
    return replace(state, lines=lines)
