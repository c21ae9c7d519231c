"""Sums a shop's month from the ledger's own events, as its closing states them.

Read from the events and not from a read model, since the sums become a fact. In ranges of
positions, so that the largest ledger is read in small statements.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from commands.append import stream_id
from commands.store import STREAM, Store
from domain import codec
from domain.message import Event
from domain.order_facts import OrderPlaced, PaymentCaptured, RefundFailed, RefundPaid
from domain.payment_facts import (
    ChargebackLost,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentVoided,
)
from domain.period import ClosePeriod, MoneyFact, Totals
from domain.period_facts import ClosingBegan
from domain.reconciliation_streams import period_stream
from domain.statement_facts import StatementImported, StatementLineRecorded, StatementMatched

RANGE_EVENTS = 100_000  # positions of one statement
PERIOD_EVENTS_MAX = 2  # of a period's stream in all its life

MONEY = (
    PaymentCaptured,
    PaymentVoided,
    PaymentMovedIn,
    PaymentMovedOut,
    ChargebackLost,
    RefundPaid,
    RefundFailed,
    StatementLineRecorded,
    StatementMatched,
)
HEADS = (OrderPlaced, StatementImported)  # what says the shop, and the currency or method
# By the stream's own index; a header is among the first events of its stream.
FACTS = """SELECT e.position, e.topic, e.state, h.topic, h.state
FROM ledger_event e LEFT JOIN LATERAL (
    SELECT p.topic, p.state FROM ledger_event p
    WHERE p.stream_id = e.stream_id AND p.topic = ANY(%s) ORDER BY p.version LIMIT 1
) h ON e.topic <> ALL (%s)
WHERE e.position > %s AND e.position <= %s AND e.topic = ANY(%s) ORDER BY e.position"""


@dataclass(frozen=True, slots=True)
class Line:
    """The position that divides a month's facts, and whose month it is."""

    position: int
    zone: str


def line_of(connection: Connection, store: Store, shop: str, month: str) -> Line | None:
    """Where the closing of a month began; None for one that is open."""
    stream = stream_id(store.namespace, period_stream(shop, month))
    rows = connection.execute(STREAM, [stream, 0, PERIOD_EVENTS_MAX], binary=True)
    for row in rows:
        event = codec.decode(row[5], row[6])
        if isinstance(event, ClosingBegan):
            return Line(row[0], event.zone)
    return None


class TooLong(Exception):
    """The ledger could not be read in the time that there was."""


def period_totals(
    connection: Connection, shop: str, month: str, line: Line, deadline: float | None = None
) -> Totals:
    """The sums of all facts that are booked in a month that is closing or closed.

    `deadline`: of time.monotonic(). Raises TooLong.
    """
    lines: dict[str, int] = {}
    totals = Totals(month, lines, line.zone)
    for start in range(0, line.position, RANGE_EVENTS):
        if deadline is not None and time.monotonic() > deadline:
            raise TooLong(month)
        _fold(connection, shop, start, min(start + RANGE_EVENTS, line.position), lines, totals)
    return totals


def _fold(
    connection: Connection,
    shop: str,
    start: int,
    end: int,
    lines: dict[str, int],
    totals: Totals,
) -> None:
    closing, heads, topics = (stored(kinds) for kinds in ((ClosingBegan,), HEADS, MONEY))
    parameters = [heads, closing, start, end, [*topics, *closing]]
    for position, topic, state, head_topic, head_state in connection.execute(
        FACTS, parameters, binary=True
    ):
        event = codec.decode(topic, state)
        if isinstance(event, ClosingBegan):
            if event.shop == shop:  # It moves what comes behind it, never what was before.
                lines[event.month] = position
            continue
        head = None if head_topic is None else codec.decode(head_topic, head_state)
        fact = _fact(position, event, head, shop)
        if fact is not None:
            totals.add([fact])


def stored(kinds: tuple[type[Event], ...]) -> list[str]:
    """The topics under which these events may be stored, those of their older versions too."""
    names = {kind.TOPIC for kind in kinds}
    while older := {
        old for old, (new, _) in codec.UPCASTERS.items() if new in names and old not in names
    }:
        names |= older
    return sorted(names)


def _fact(position: int, event: Event, head: Event | None, shop: str) -> MoneyFact | None:
    if isinstance(head, OrderPlaced) and head.shop == shop:
        return _of_order(position, event, head.currency)
    if isinstance(head, StatementImported) and head.shop == shop:
        return _of_statement(position, event, head.method)
    return None


def _of_order(position: int, event: Event, currency: str) -> MoneyFact | None:
    match event:
        case PaymentCaptured(method=method, amount_minor=amount):
            return MoneyFact(
                position, event.at, currency, method, captures=1, captured_minor=amount
            )
        case PaymentMovedIn(method=method, amount_minor=amount):
            return MoneyFact(position, event.at, currency, method, captured_minor=amount)
        case (
            PaymentVoided(method=method, amount_minor=amount)
            | PaymentMovedOut(method=method, amount_minor=amount)
            | ChargebackLost(method=method, amount_minor=amount)
        ):
            return MoneyFact(position, event.at, currency, method, captured_minor=-amount)
        case RefundPaid(method=method, amount_minor=amount):
            return MoneyFact(position, event.at, currency, method, refunds=1, refunded_minor=amount)
        case RefundFailed(was_paid=True, method=str(method), amount_minor=amount):
            return MoneyFact(position, event.at, currency, method, refunded_minor=-amount)
        case _:
            return None


def _of_statement(position: int, event: Event, method: str) -> MoneyFact | None:
    match event:
        case StatementLineRecorded():
            own = -event.amount_minor if event.kind == "fee" else 0
            fees = event.fee_minor + own
            found = MoneyFact(position, event.at, event.currency, method, fees_minor=fees)
            return found if fees else None
        case StatementMatched(difference_minor=difference):
            if not difference:
                return None
            return MoneyFact(
                position, event.at, event.currency, method, written_off_minor=-difference
            )
        case _:
            return None


def closing(
    store: Store, shop: str, month: str, now: Callable[[], Any], seconds_max: float | None = None
) -> ClosePeriod | None:
    """The command that closes a month whose closing has begun; None where it has not.

    Raises TooLong after `seconds_max`.
    """
    deadline = None if seconds_max is None else time.monotonic() + seconds_max
    with store.connect(autocommit=True) as connection:
        line = line_of(connection, store, shop, month)
        if line is None:
            return None
        totals = period_totals(connection, shop, month, line, deadline)
    return ClosePeriod(
        shop=shop,
        month=month,
        through_position=line.position,
        totals=totals.totals(),
        late=totals.late(),
        late_count=totals.late_count,
        at=now(),
    )
