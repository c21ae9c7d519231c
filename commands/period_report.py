"""A month as the events tell it by now, beside what was stated and what its orders say themselves.

Two folds that know nothing of one another: the sums of the facts of money, and the states that
decide. For every order with money in the month both must come to the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from psycopg import Connection

from commands.append import stream_id
from commands.period_totals import Line, TooLong, of_order, period_of, period_totals
from commands.store import Store
from domain import codec
from domain.message import Event, StreamName
from domain.order_fold import evolve
from domain.order_state import Order
from domain.period import ZONE, Period, TotalBody, Totals, kept_minor

ORDERS_MAX = 20_000  # that are looked at one by one
ORDERS_AT_ONCE = 200

EVENTS = """SELECT key, topic, state FROM ledger_event
WHERE stream_id = ANY(%s) AND position <= %s ORDER BY stream_id, version"""


@dataclass(slots=True)
class Balance:
    """Of orders of one currency, in minor units: what the facts of their money come to, and what
    their states say is with us.
    """

    currency: str
    orders: int = 0
    events_minor: int = 0
    balance_minor: int = 0
    differing: int = 0  # orders


@dataclass(frozen=True, slots=True)
class Report:
    state: Period
    line: Line  # of an open month, the ledger's head
    totals: Totals
    balances: list[Balance]
    orders: int  # with money in the month

    def stated(self) -> list[TotalBody] | None:
        if self.state.stage != "closed":
            return None
        return [TotalBody(**dict(one)) for one in self.state.totals]


def report(store: Store, shop: str, month: str, seconds_max: float, zone: str = ZONE) -> Report:
    """`zone`: of a month that is open. Raises TooLong."""
    deadline = time.monotonic() + seconds_max
    with store.connect(autocommit=True) as connection:
        state, line = period_of(connection, store, shop, month)
        line = line or Line(store.head(connection), zone)
        totals = period_totals(connection, shop, month, line, deadline)
        orders = sorted(totals.orders)
        balances = _balances(connection, store, orders[:ORDERS_MAX], line, deadline)
    return Report(state, line, totals, balances, len(orders))


def _balances(
    connection: Connection, store: Store, orders: list[str], line: Line, deadline: float
) -> list[Balance]:
    found: dict[str, Balance] = {}
    for start in range(0, len(orders), ORDERS_AT_ONCE):
        if time.monotonic() > deadline:
            raise TooLong
        some = orders[start : start + ORDERS_AT_ONCE]
        names = [stream_id(store.namespace, StreamName("order", key)) for key in some]
        rows = connection.execute(EVENTS, [names, line.position], binary=True)
        for events in _streams(rows):
            _add(found, events)
    return [found[currency] for currency in sorted(found)]


def _streams(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[Event]]:
    for _, facts in groupby(rows, key=lambda row: row[0]):
        yield [codec.decode(topic, state) for _, topic, state in facts]


def _add(found: dict[str, Balance], events: list[Event]) -> None:
    state, told = Order(), 0
    for event in events:
        state = evolve(state, event)
        told += kept_minor(of_order(event))
    balance = balance_minor(state)
    one = found.setdefault(state.currency, Balance(state.currency))
    one.orders += 1
    one.events_minor += told
    one.balance_minor += balance
    one.differing += told != balance


def balance_minor(order: Order) -> int:
    """What is with us of an order's payments: what is here of each, less refunds that were paid."""
    return order.paid_minor - sum(one.given_back_minor for one in order.refunds.values())
