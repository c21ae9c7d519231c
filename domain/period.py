"""A shop's month: open, closing, closed for good; and where a fact is booked.

A closed period must neither change nor miss anything, though facts arrive while it is closed, and
late. Hence two steps. `ClosingBegan` draws the line: its position in the ledger divides all facts
of the month into those before it, booked in the month, and those behind it, booked in the next
month that is open, with the month they belong to as pointer. Nothing before the line can come any
more, since positions have no gap, so the totals can be summed at leisure; `PeriodClosed` states
them, and whoever folds the ledger again gets the same.

The line alone decides for every fact (`booked`), also for imports that know of no period. So no
fact says itself where it is booked: it could only repeat what its position says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from domain.command_types import CurrencyCode, Handle
from domain.frozen import replace
from domain.message import Command, Event, Rejected
from domain.period_facts import ClosingBegan, LateFact, PeriodClosed, PeriodTotal
from domain.values import Text, Value

ZONE = "Asia/Shanghai"  # of a shop that says nothing else
LATE_FACTS_MAX = 1_000  # listed in the event; all are counted and summed
TOTALS_MAX = 5_000
_KEYS = ("month", "currency", "method")  # of a total

_ZONES = available_timezones()


def _zone(name: str) -> str:
    if name not in _ZONES:
        raise ValueError("must be an IANA time zone such as Asia/Shanghai")
    return name


Month = Annotated[str, Field(pattern=r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])$")]
Zone = Annotated[str, AfterValidator(_zone)]
Count = Annotated[int, Field(ge=0, strict=True)]
Sum = Annotated[int, Field(strict=True)]


class TotalBody(Value):
    """As PeriodTotal; see there."""

    month: Month
    currency: CurrencyCode
    method: Text
    captures: Count = 0
    captured_minor: Sum = 0
    refunds: Count = 0
    refunded_minor: Sum = 0
    fees_minor: Sum = 0
    written_off_minor: Sum = 0
    voided_minor: Sum = 0
    moved_in_minor: Sum = 0
    moved_out_minor: Sum = 0
    charged_back_minor: Sum = 0
    compensation_minor: Sum = 0
    carrier_fees_minor: Sum = 0
    forgiven_minor: Sum = 0
    late_fees_minor: Sum = 0


class LateBody(Value):
    position: Annotated[int, Field(gt=0, strict=True)]
    month: Month


class BeginClosing(Command):
    """Draw the line. A month that is not over cannot be closed."""

    shop: Handle = "main"
    month: Month
    zone: Zone = ZONE


class ClosePeriod(Command):
    """State what the month came to; sent by who has folded the ledger up to the line."""

    shop: Handle = "main"
    month: Month
    through_position: Annotated[int, Field(gt=0, strict=True)]
    totals: Annotated[list[TotalBody], Field(max_length=TOTALS_MAX)]
    late: Annotated[list[LateBody], Field(max_length=LATE_FACTS_MAX)] = Field(default_factory=list)
    late_count: Count = 0


@dataclass(frozen=True)
class Period:
    stage: Literal["open", "closing", "closed"] = "open"
    zone: str = ZONE
    totals: tuple[PeriodTotal, ...] = ()
    late: tuple[LateFact, ...] = ()
    late_count: int = 0
    through_position: int = 0


def evolve(state: Period, event: Event) -> Period:
    match event:
        case ClosingBegan(zone=zone):
            return replace(state, stage="closing", zone=zone)
        case PeriodClosed():
            return replace(
                state,
                stage="closed",
                totals=tuple(event.totals),
                late=tuple(event.late),
                late_count=event.late_count,
                through_position=event.through_position,
            )
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a period")


def decide(command: BeginClosing | ClosePeriod, state: Period) -> list[Event]:
    """Raises Rejected: `period_not_over`, `period_not_closing`, `period_differs` where a month is
    closed already with other totals. There is no way back to open.
    """
    match command:
        case BeginClosing():
            return _begin(command, state)
        case ClosePeriod():
            return _close(command, state)


def _begin(command: BeginClosing, state: Period) -> list[Event]:
    if state.stage != "open":
        return []
    ends = end_of(command.month, command.zone)
    if command.at < ends:
        raise Rejected(
            "period_not_over",
            f"{command.month} ends at {ends.isoformat()}",
            ends_at=ends.isoformat(),
        )
    return [ClosingBegan(shop=command.shop, month=command.month, zone=command.zone, at=command.at)]


def _close(command: ClosePeriod, state: Period) -> list[Event]:
    if state.stage == "open":
        raise Rejected("period_not_closing", f"{command.month} is open: begin its closing first")
    totals = [PeriodTotal(**dict(total)) for total in command.totals]
    if state.stage == "closed":
        if tuple(totals) != state.totals:
            raise Rejected("period_differs", f"{command.month} is closed with other totals")
        return []
    return [
        PeriodClosed(
            shop=command.shop,
            month=command.month,
            zone=state.zone,
            through_position=command.through_position,
            totals=totals,
            late=[LateFact(**dict(one)) for one in command.late],
            late_count=command.late_count,
            at=command.at,
        )
    ]


# -- months ------------------------------------------------------------------------------------


def period_key(shop: str, month: str) -> str:
    """The key of a period's stream. A month has no @, so `main@2026-03` is one shop's only."""
    return f"{shop}@{month}"


def month_of(at: datetime, zone: str) -> str:
    """The local month of an instant: 2026-03."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m}"


def following(month: str) -> str:
    """The month after: 2026-01 after 2025-12."""
    return f"{_first_day(month) + timedelta(days=31):%Y-%m}"


def end_of(month: str, zone: str) -> datetime:
    """The instant at which the next month begins, in UTC."""
    day = _first_day(following(month))
    return datetime(day.year, day.month, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _first_day(month: str) -> date:
    return date.fromisoformat(f"{month}-01")


@dataclass(frozen=True)
class Booking:
    """The period that a fact is booked in; `late_for` is its own month where that was closed."""

    month: str
    late_for: str | None = None


# -- totals ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MoneyFact:
    """What one recorded fact adds to the totals of the period that it is booked in: of the names in
    SUMMED those that it has to do with.
    """

    position: int
    occurred_at: datetime
    order_id: str | None  # None for what a statement tells
    currency: str
    method: str
    sums: Mapping[str, int]


def kept_minor(sums: Mapping[str, int]) -> int:
    """Of the sums of a PeriodTotal, by name: by how much more of the orders' payments is with us.
    Compensation is no part of it.
    """
    plus = ("captured_minor", "moved_in_minor")
    minus = ("moved_out_minor", "voided_minor", "charged_back_minor", "refunded_minor")
    return sum(sums.get(one, 0) for one in plus) - sum(sums.get(one, 0) for one in minus)


SUMMED = tuple(name for name in PeriodTotal.model_fields if name not in _KEYS)


def booked(
    occurred_at: datetime, position: int, lines: Mapping[str, int], zone: str = ZONE
) -> Booking:
    """Where a recorded fact is booked. `lines`: where closings began, positions by month."""
    own = month = month_of(occurred_at, zone)
    while position > lines.get(month, position):
        month = following(month)
    return Booking(month, None if month == own else own)


class Totals:
    """Sums the facts of one period, in any order."""

    def __init__(self, month: str, lines: Mapping[str, int], zone: str = ZONE) -> None:
        self._month, self._lines, self._zone = month, lines, zone
        self._sums: dict[tuple[str, str, str], dict[str, int]] = {}
        self._late: list[LateFact] = []
        self.late_count = 0
        self.orders: set[str] = set()  # with money in the period

    def add(self, facts: Iterable[MoneyFact]) -> None:
        for fact in facts:
            booking = booked(fact.occurred_at, fact.position, self._lines, self._zone)
            if booking.month != self._month:
                continue
            own = booking.late_for or booking.month
            if booking.late_for is not None:
                self._add_late(LateFact(position=fact.position, month=own))
            sums = self._sums.setdefault(
                (own, fact.currency, fact.method), dict.fromkeys(SUMMED, 0)
            )
            if fact.order_id is not None:
                self.orders.add(fact.order_id)
            for name, value in fact.sums.items():
                sums[name] += value

    def _add_late(self, fact: LateFact) -> None:
        self.late_count += 1
        if len(self._late) < LATE_FACTS_MAX:
            self._late.append(fact)

    def totals(self) -> list[TotalBody]:
        return [
            TotalBody(month=month, currency=currency, method=method, **self._sums[key])
            for key in sorted(self._sums)
            for month, currency, method in [key]
        ]

    def late(self) -> list[LateBody]:
        return [LateBody(**dict(one)) for one in self._late]
