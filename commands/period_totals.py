"""Sums a shop's month from the ledger's own events, as its closing states them.

Read from the events and not from a read model, since the sums become a fact. In ranges of
positions, so that the largest ledger is read in small statements.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from commands.append import stream_id
from commands.store import STREAM, Store
from domain import codec
from domain.message import Event
from domain.order_facts import (
    CompensationPaid,
    OrderPlaced,
    PaymentCaptured,
    RefundFailed,
    RefundPaid,
)
from domain.payment_facts import (
    ChargebackLost,
    DifferenceWrittenOff,
    LateFeeCharged,
    LateFeeCorrected,
    LateFeeWaived,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentVoided,
)
from domain.period import ClosePeriod, MoneyFact, Period, Totals, evolve
from domain.period_facts import ClosingBegan
from domain.reconciliation_streams import period_stream
from domain.statement_facts import (
    StatementImported,
    StatementLineRecorded,
    StatementMatched,
    StatementUnmatched,
)

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
    CompensationPaid,
    DifferenceWrittenOff,
    LateFeeCharged,
    LateFeeCorrected,
    LateFeeWaived,
    StatementLineRecorded,
    StatementMatched,
    StatementUnmatched,
)
HEADS = (OrderPlaced, StatementImported)  # what says the shop, and the currency or method
# By the stream's own index; a header is among the first events of its stream.
FACTS = """SELECT e.position, e.key, e.topic, e.state, h.topic, h.state
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


@dataclass(slots=True)
class LateFees:
    """Of an order, as its state has them: days that fall off take along what was waived of them."""

    charged_minor: int = 0
    waived_minor: int = 0

    def add(self, event: Event) -> int:
        """By how much more is owed."""
        before = self.charged_minor - self.waived_minor
        match event:
            case LateFeeCharged(amount_minor=amount):
                self.charged_minor += amount
            case LateFeeCorrected(amount_minor=amount):
                self.charged_minor -= amount
            case LateFeeWaived(amount_minor=amount):
                self.waived_minor += amount
        self.waived_minor = min(self.waived_minor, self.charged_minor)
        return self.charged_minor - self.waived_minor - before


@dataclass(slots=True)
class Seen:
    """What later facts need of earlier ones: where closings began, positions by month; what matches
    of statements wrote off, with its currency, by (statement, match); the late fees of orders.
    """

    lines: dict[str, int] = field(default_factory=dict)
    written_off: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    late: dict[str, LateFees] = field(default_factory=dict)


def period_of(
    connection: Connection, store: Store, shop: str, month: str
) -> tuple[Period, Line | None]:
    """A month, and where its closing began; None for one that is open."""
    stream = stream_id(store.namespace, period_stream(shop, month))
    state, line = Period(), None
    rows = connection.execute(STREAM, [stream, 0, PERIOD_EVENTS_MAX], binary=True)
    for row in rows:
        event = codec.decode(row[5], row[6])
        state = evolve(state, event)
        if isinstance(event, ClosingBegan):
            line = Line(row[0], event.zone)
    return state, line


class TooLong(Exception):
    """The ledger could not be read in the time that there was."""


def period_totals(
    connection: Connection, shop: str, month: str, line: Line, deadline: float | None = None
) -> Totals:
    """The sums of all facts that are booked in a month that is closing or closed; of an open one,
    of those up to the line's position.

    `deadline`: of time.monotonic(). Raises TooLong.
    """
    seen = Seen()
    totals = Totals(month, seen.lines, line.zone)
    for start in range(0, line.position, RANGE_EVENTS):
        _in_time(deadline, month)
        end = min(start + RANGE_EVENTS, line.position)
        totals.add(_facts(connection, shop, start, end, seen))
    return totals


def _in_time(deadline: float | None, month: str) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TooLong(month)


def _facts(
    connection: Connection, shop: str, start: int, end: int, seen: Seen
) -> Iterator[MoneyFact]:
    """In the order of the ledger."""
    closing, heads, topics = (stored(kinds) for kinds in ((ClosingBegan,), HEADS, MONEY))
    parameters = [heads, closing, start, end, [*topics, *closing]]
    for position, key, topic, state, head_topic, head_state in connection.execute(
        FACTS, parameters, binary=True
    ):
        event = codec.decode(topic, state)
        if isinstance(event, ClosingBegan):
            if event.shop == shop:  # It moves what comes behind it, never what was before.
                seen.lines[event.month] = position
            continue
        head = None if head_topic is None else codec.decode(head_topic, head_state)
        fact = _fact(position, key, event, head, shop, seen)
        if fact is not None:
            yield fact


def stored(kinds: tuple[type[Event], ...]) -> list[str]:
    """The topics under which these events may be stored, those of their older versions too."""
    names = {kind.TOPIC for kind in kinds}
    while older := {
        old for old, (new, _) in codec.UPCASTERS.items() if new in names and old not in names
    }:
        names |= older
    return sorted(names)


def _fact(
    position: int, key: str, event: Event, head: Event | None, shop: str, seen: Seen
) -> MoneyFact | None:
    if isinstance(head, OrderPlaced) and head.shop == shop:
        method = getattr(event, "method", None) or head.payment_method
        sums = _late_fee(key, event, seen) or of_order(event)
        return MoneyFact(position, event.at, key, head.currency, method, sums) if sums else None
    if isinstance(head, StatementImported) and head.shop == shop:
        currency, sums = _of_statement(event, seen)
        return MoneyFact(position, event.at, None, currency, head.method, sums) if sums else None
    return None


def of_order(event: Event) -> dict[str, int]:
    """What a fact of an order adds to which sums."""
    match event:
        case PaymentCaptured(amount_minor=amount):
            return {"captures": 1, "captured_minor": amount, "carrier_fees_minor": event.fee_minor}
        case PaymentVoided(amount_minor=amount):
            return {"voided_minor": amount}
        case PaymentMovedIn(amount_minor=amount):
            return {"moved_in_minor": amount}
        case PaymentMovedOut(amount_minor=amount):
            return {"moved_out_minor": amount}
        case ChargebackLost(amount_minor=amount):
            return {"charged_back_minor": amount}
        case RefundPaid(amount_minor=amount):
            return {"refunds": 1, "refunded_minor": amount}
        case RefundFailed(was_paid=True, amount_minor=amount):
            return {"refunded_minor": -amount}
        case CompensationPaid(amount_minor=amount):
            return {"compensation_minor": amount}
        case DifferenceWrittenOff(amount_minor=amount):
            return {"forgiven_minor": amount}
        case _:
            return {}


def _late_fee(order_id: str, event: Event, seen: Seen) -> dict[str, int]:
    if not isinstance(event, LateFeeCharged | LateFeeCorrected | LateFeeWaived):
        return {}
    more = seen.late.setdefault(order_id, LateFees()).add(event)
    return {"late_fees_minor": more} if more else {}


def _of_statement(event: Event, seen: Seen) -> tuple[str, dict[str, int]]:
    """In which currency, and what."""
    match event:
        case StatementLineRecorded():
            own = -event.amount_minor if event.kind == "fee" else 0
            fees = event.fee_minor + own
            return event.currency, {"fees_minor": fees} if fees else {}
        case StatementMatched(difference_minor=difference) if difference:
            seen.written_off[event.statement_id, event.match_id] = (event.currency, -difference)
            return event.currency, {"written_off_minor": -difference}
        case StatementUnmatched():
            name = event.statement_id, event.match_id
            currency, lost = seen.written_off.pop(name, ("", 0))
            return currency, {"written_off_minor": -lost} if lost else {}
        case _:
            return "", {}


def closing(
    store: Store, shop: str, month: str, now: Callable[[], Any], seconds_max: float | None = None
) -> ClosePeriod | None:
    """The command that closes a month whose closing has begun; None where it has not.

    Raises TooLong after `seconds_max`.
    """
    deadline = None if seconds_max is None else time.monotonic() + seconds_max
    with store.connect(autocommit=True) as connection:
        _, line = period_of(connection, store, shop, month)
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
