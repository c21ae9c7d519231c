"""What becomes of a replacement, told to the order whose units it stands for, in the same write."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from domain import order_replacement
from domain.desk_names import order_stream
from domain.desk_write import Write
from domain.message import Event, StreamName
from domain.order_state import Order


def first_order_of(state: Order) -> set[StreamName]:
    """Of a replacement: the order whose units it stands for."""
    return set() if state.replacement_of is None else {order_stream(state.replacement_of)}


def withdraw(before: Order, facts: Iterable[Event], at: datetime, write: Write) -> None:
    """Units of a replacement were cancelled, or came back: what it stood for is open again."""
    for first in first_order_of(before) & write.states.keys():
        undone = order_replacement.withdrawn(before, facts, write.states[first], at)
        write.add(first, undone)


def complete(state: Order, at: datetime, write: Write) -> None:
    """A replacement has arrived and is completed: what it stood for waits for it no more."""
    for first in first_order_of(state):
        write.add(first, order_replacement.completed(state, write.states[first], at))
