"""A shop's month: open, closing, closed for good; and where a fact is booked.

A closed period must neither change nor miss anything, though facts arrive while it is closed, and
late. Hence two steps. `ClosingBegan` draws the line: its position in the ledger divides all facts
of the month into those before it, booked in the month, and those behind it, booked in the next
month that is open, with the month they belong to as pointer. Nothing before the line can come any
more, since positions have no gap, so the totals can be summed at leisure; `PeriodClosed` states
them, and whoever folds the ledger again gets the same.

The line alone decides for every fact, also for imports that know of no period (`Booked`). A money
command that wants its fact to say where it is booked names the streams of `months` among those it
reads (`period_key`), calls `booked_on`, and writes the month into its event. It only reads them;
the append checks their versions, so a closing that began in between makes it stale, and decided
again it books into the next month. It cannot conflict with anything else: a month's stream has two
events in all its life.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from domain.frozen import replace
from domain.message import Command, Event, Rejected
from domain.order_commands import CurrencyCode, Handle
from domain.period_facts import ClosingBegan, LateFact, PeriodClosed, PeriodTotal
from domain.values import Text, Value

ZONE = "Asia/Shanghai"  # of a shop that says nothing else
LATE_FACTS_MAX = 1_000  # listed in the event; all are counted and summed
TOTALS_MAX = 5_000

_ZONES = available_timezones()


def _zone(name: str) -> str:
    if name not in _ZONES:
        raise ValueError("must be an IANA time zone such as Asia/Shanghai")
    return name


Month = Annotated[str, Field(pattern=r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])$")]
Zone = Annotated[str, AfterValidator(_zone)]
Count = Annotated[int, Field(ge=0, strict=True)]


class TotalBody(Value):
    """As PeriodTotal; see there."""

    month: Month
    currency: CurrencyCode
    method: Text
    captures: Count = 0
    captured_minor: Annotated[int, Field(strict=True)] = 0
    refunds: Count = 0
    refunded_minor: Annotated[int, Field(strict=True)] = 0
    fees_minor: Annotated[int, Field(strict=True)] = 0
    written_off_minor: Annotated[int, Field(strict=True)] = 0


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

    @property
    def takes_facts(self) -> bool:
        return self.stage == "open"


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


def months(occurred_at: datetime, at: datetime, zone: str = ZONE) -> list[str]:
    """The months that a fact may be booked in: its own, and those up to the one of `at`, which is
    never over and so is open. A fact that commands may tell of is from 1990 on (domain/times.py).
    """
    last = month_of(at, zone)
    found = [min(month_of(occurred_at, zone), last)]
    while found[-1] < last:
        found.append(following(found[-1]))
    return found


@dataclass(frozen=True)
class Booking:
    """The period that a fact is booked in; `late_for` is its own month where that was closed."""

    month: str
    late_for: str | None = None


def booked_on(
    periods: Mapping[str, Period], occurred_at: datetime, at: datetime, zone: str = ZONE
) -> Booking:
    """Where a fact of `occurred_at` belongs that the ledger learns of at `at`.

    `periods`: the states of `months`, by month; one that is missing counts as open.
    """
    own, *_ = candidates = months(occurred_at, at, zone)
    for month in candidates:
        if periods.get(month, _OPEN).takes_facts:
            return Booking(month, None if month == own else own)
    raise AssertionError(f"{candidates[-1]} is closed before it is over")


_OPEN = Period()


# -- totals ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MoneyFact:
    """What one recorded fact adds to the totals of the period that it is booked in."""

    position: int
    occurred_at: datetime
    currency: str
    method: str
    captures: int = 0
    captured_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0
    fees_minor: int = 0
    written_off_minor: int = 0


_SUMS = ("captures", "captured_minor", "refunds", "refunded_minor", "fees_minor")
SUMMED = (*_SUMS, "written_off_minor")


def booked(
    occurred_at: datetime, position: int, lines: Mapping[str, int], zone: str = ZONE
) -> Booking:
    """Where a recorded fact is booked: `lines` are the positions at which closings began, by month.

    The same answer as `booked_on` gave when it was recorded, for all facts alike.
    """
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
            for name in SUMMED:
                sums[name] += getattr(fact, name)

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
