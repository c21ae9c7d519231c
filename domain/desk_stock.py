"""Stock at the desk: what the facts of orders promise, release, ship and take back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from domain import order_lines, stock_item
from domain.desk_names import States, stock_stream
from domain.desk_write import Write
from domain.message import Event, StreamName
from domain.order_facts import (
    Line,
    LineQuantity,
    LinesAmended,
    OrderCancelled,
    OrderPlaced,
    OrderVoided,
)
from domain.order_line import ZERO
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.payment_facts import OrderReinstated
from domain.return_facts import ReturnReceived
from domain.stock_item import AdjustStock, ReceiveStock, StockItem
from domain.values import quantity_json


def kept_stock(write: Write) -> order_lines.Kept:
    """The (sku, location) pairs among the loaded streams that have a stock record."""
    return frozenset(
        _sku_and_location(name)
        for name, state in write.states.items()
        if isinstance(state, StockItem) and state.kept
    )


def free_units(write: Write) -> Free:
    """Units that nobody was promised, of the (sku, location) pairs that `kept_stock` names."""
    return {
        _sku_and_location(name): state.available
        for name, state in write.states.items()
        if isinstance(state, StockItem) and state.kept
    }


def _sku_and_location(name: StreamName) -> tuple[str, str]:
    sku, _, location = name.key.rpartition("@")  # a location has no @
    return sku, location


def add_to_order(stream: StreamName, events: Iterable[Event], write: Write) -> None:
    """Add the order's facts and what they mean for the stock of its lines."""
    for event in events:
        changes = _stock_changes(event, write.states[stream])
        write.add(stream, [event])
        for name, units in changes.items():
            _promise(name, units, stream.key, event, write)


def _stock_changes(  # noqa: C901 - a table
    event: Event, before: Order
) -> dict[StreamName, Decimal]:
    """Units to reserve (above 0) or to release (below) per stock item; lines of one sku add up."""
    changes: dict[StreamName, Decimal] = {}

    def change(line: Line, units: Decimal) -> None:
        name = stock_stream(line.sku, line.location)
        changes[name] = changes.get(name, ZERO) + units

    match event:
        case OrderPlaced(lines=lines):
            for line in lines:
                change(line, line.reserved)
        case LinesAmended():
            for line in event.before:
                change(line, -line.reserved)
            for line in event.after:
                change(line, line.reserved)
        case OrderReinstated(reserved=reserved):
            for item in reserved:
                change(before.lines[item.line_no].priced, item.quantity)
        case OrderCancelled(released=released) | OrderVoided(released=released):
            for item in released:
                change(before.lines[item.line_no].priced, -item.quantity)
        case _:
            pass
    return {name: units for name, units in changes.items() if units != 0}


def _promise(name: StreamName, units: Decimal, order_id: str, cause: Event, write: Write) -> None:
    sku, location = _sku_and_location(name)
    if units > 0:
        state: StockItem = write.states[name]
        events = stock_item.reserve(state, sku, location, order_id, units, cause.at)
    else:
        events = stock_item.release(sku, location, order_id, -units, cause.at)
    write.add(name, events)


def ship(item: LineQuantity, reserved: Decimal, before: Order, cause: Event, write: Write) -> None:
    line = before.lines[item.line_no].priced
    name = stock_stream(line.sku, line.location)
    state: StockItem = write.states[name]
    if state.kept:
        shipped = stock_item.ship(
            state, line.sku, line.location, before.order_id, item.quantity, reserved, cause.at
        )
        write.add(name, shipped)


def restock(event: ReturnReceived, state: Order, write: Write) -> None:
    for item in event.lines:
        line = state.lines[item.line_no].priced
        name = stock_stream(line.sku, line.location)
        if item.restocked and write.states[name].kept:
            units, order_id = item.quantity, state.order_id
            back = stock_item.take_back(
                write.states[name], line.sku, line.location, order_id, units, event.at
            )
            write.add(name, back)


def stock_answer(
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
