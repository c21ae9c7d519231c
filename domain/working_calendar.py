"""A shop's calendar: its local days, which of them are worked, and when terms in them end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS_LOOKED_AT_MAX = 3_660  # ten years; no term that a policy allows goes as far

Pause = tuple[datetime, datetime]  # from, to: aware; a term did not run between them
MIDNIGHT = time(0)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What a shop's days are. Make-up working days (调休) win over holidays and weekends.

    Outside `covered_from` to `covered_until` nobody has said yet which days are holidays: there
    weekends alone count, and what is computed is provisional. None: no such bound.
    """

    zone: str = "Asia/Shanghai"  # IANA name
    weekend: frozenset[int] = frozenset({6, 7})  # ISO weekdays, 1 is Monday
    holidays: frozenset[date] = frozenset()
    working_days: frozenset[date] = frozenset()  # make-up days
    covered_from: date | None = None
    covered_until: date | None = None
    opens: time = time(9)  # office hours, local
    closes: time = time(18)  # midnight: the end of the day


@dataclass(frozen=True, slots=True)
class Due:
    """When a term ends: on time is what happens up to and including `at`.

    `day` is the local day that it ends on; provisional while the calendar does not cover it.
    """

    at: datetime  # UTC
    day: date
    provisional: bool


def local_day(calendar: Calendar, at: datetime) -> date:
    """The shop's day that an aware instant falls on."""
    return at.astimezone(ZoneInfo(calendar.zone)).date()


def end_of_day(calendar: Calendar, day: date) -> datetime:
    """The instant in UTC at which the next local day begins: 23, 24 or 25 hours after this one."""
    return _instant(calendar, day + timedelta(days=1), MIDNIGHT)


def is_working_day(calendar: Calendar, day: date) -> bool:
    if day in calendar.working_days:
        return True
    return day not in calendar.holidays and day.isoweekday() not in calendar.weekend


def is_provisional(calendar: Calendar, day: date) -> bool:
    """Whether the holidays of this day are not known."""
    first, last = calendar.covered_from, calendar.covered_until
    return (first is not None and day < first) or (last is not None and day > last)


def covered_days_left(calendar: Calendar, day: date) -> int | None:
    """Days until the calendar's data end, 0 on their last; None when they do not end."""
    if calendar.covered_until is None:
        return None
    return (calendar.covered_until - day).days


# -- terms in days -------------------------------------------------------------------------------


def add_days(calendar: Calendar, start: datetime, days: int) -> Due:
    """The end of the local day that lies so many days after that of `start`, worked or not."""
    return _end_of(calendar, local_day(calendar, start) + timedelta(days=days))


def add_working_days(
    calendar: Calendar, start: datetime, days: int, pauses: Sequence[Pause] = ()
) -> Due:
    """The end of the n-th working day; the day of `start` is day 0, worked or not.

    A working day counts when the term was running at its end: a pause within one day changes
    nothing, one over two nights moves the end by the two days. A term that is paused now has no
    end yet: ask when it goes on.
    """
    first = local_day(calendar, start)
    if days == 0:
        return _end_of(calendar, first)
    counted = 0
    for day in _days_from(first + timedelta(days=1)):
        end = end_of_day(calendar, day)
        if is_working_day(calendar, day) and not any(a < end <= b for a, b in pauses):
            counted += 1
            if counted == days:
                return _end_of(calendar, day)
    raise AssertionError("_days_from ends by raising")


def _end_of(calendar: Calendar, day: date) -> Due:
    return Due(end_of_day(calendar, day), day, is_provisional(calendar, day))


# -- terms in business hours ---------------------------------------------------------------------


def office_hours(calendar: Calendar, day: date) -> Pause | None:
    """From and to, in UTC; None for a day that is not worked."""
    if not is_working_day(calendar, day):
        return None
    opens = _instant(calendar, day, calendar.opens)
    if calendar.closes == MIDNIGHT:
        return opens, end_of_day(calendar, day)
    # Where a clock is put forward, an hour between them may not exist.
    return opens, max(opens, _instant(calendar, day, calendar.closes))


def business_time(
    calendar: Calendar, start: datetime, end: datetime, pauses: Sequence[Pause] = ()
) -> timedelta:
    """How long the office was open between two instants, less the pauses."""
    total, last = timedelta(), local_day(calendar, end)
    for day in _days_from(local_day(calendar, start)):
        if day > last:
            break
        total += sum((to - since for since, to in _open(calendar, day, pauses, start, end)), ZERO)
    return total


def add_business_hours(
    calendar: Calendar, start: datetime, hours: int, pauses: Sequence[Pause] = ()
) -> Due:
    """When the office will have been open for so long since `start`: at the latest as it closes.

    Pauses must have ended; they may overlap.
    """
    left = timedelta(hours=hours)
    if not left:
        day = local_day(calendar, start)
        return Due(start.astimezone(UTC), day, is_provisional(calendar, day))
    for day in _days_from(local_day(calendar, start)):
        for since, to in _open(calendar, day, pauses, start):
            if to - since >= left:
                return Due(since + left, day, is_provisional(calendar, day))
            left -= to - since
    raise AssertionError("_days_from ends by raising")


ZERO = timedelta()


def _open(
    calendar: Calendar,
    day: date,
    pauses: Sequence[Pause],
    start: datetime,
    end: datetime | None = None,
) -> list[Pause]:
    """The stretches of a day's office hours between two instants without the pauses, in order."""
    hours = office_hours(calendar, day)
    if hours is None:
        return []
    since, to = max(hours[0], start.astimezone(UTC)), hours[1]
    to = to if end is None else min(to, end.astimezone(UTC))
    stretches = []
    for a, b in sorted(pauses):
        if b <= max(since, a) or a >= to:
            continue
        if a > since:
            stretches.append((since, a.astimezone(UTC)))
        since = b.astimezone(UTC)
    return [*stretches, (since, to)] if since < to else stretches


def _days_from(day: date) -> Iterator[date]:
    """Day after day. Raises ValueError at the end: such a calendar has no working days."""
    for count in range(DAYS_LOOKED_AT_MAX):
        yield day + timedelta(days=count)
    raise ValueError(f"no end within {DAYS_LOOKED_AT_MAX} days")


def _instant(calendar: Calendar, day: date, at: time) -> datetime:
    """A local time in UTC: where it comes twice the first, where it does not the jump over it."""
    return datetime.combine(day, at, ZoneInfo(calendar.zone)).astimezone(UTC)
