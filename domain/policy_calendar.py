"""The working calendar that rules lead to, with the public holidays that were pinned to them."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import get_args

from pydantic import Field

from domain.policy_rules import PolicyRules, Rules, Weekday
from domain.working_calendar import Calendar, covered_days_left

CALENDAR_ALERT_DAYS = 60  # before the known holidays end

_WEEKDAYS: dict[str, int] = {name: iso for iso, name in enumerate(get_args(Weekday), start=1)}


class CalendarDays(Rules):
    """Public holidays and make-up working days (调休) as they were known at publishing."""

    holidays: list[date] = Field(default_factory=list)
    working_days: list[date] = Field(default_factory=list)
    covered_from: date | None = None
    covered_until: date | None = None


def _days(year: int, text: str) -> list[date]:
    """`1001-1008`: month and day, a run of them with both ends included."""
    found = []
    for part in text.split():
        first, _, last = part.partition("-")
        day, end = (date(year, int(one[:2]), int(one[2:])) for one in (first, last or first))
        while day <= end:
            found.append(day)
            day += timedelta(days=1)
    return found


# Of version 0, which is the same for ever: the State Council's notices of November 2024
# and 2025. Later years come with the versions that a shop publishes.
DEFAULT_DAYS = CalendarDays(
    holidays=[
        *_days(2025, "0101 0128-0204 0404-0406 0501-0505 0531-0602 1001-1008"),
        *_days(2026, "0101-0103 0215-0223 0404-0406 0501-0505 0619-0621 0925-0927 1001-1007"),
    ],
    working_days=[
        *_days(2025, "0126 0208 0427 0928 1011"),
        *_days(2026, "0104 0214 0228 0509 0920 1010"),
    ],
    covered_from=date(2025, 1, 1),
    covered_until=date(2026, 12, 31),
)


def calendar_of(rules: PolicyRules, days: CalendarDays) -> Calendar:
    """The shop's own days beside the public ones."""
    own = rules.calendar
    return Calendar(
        zone=own.time_zone,
        weekend=frozenset(_WEEKDAYS[name] for name in own.weekend),
        # A day that the shop itself closes stays closed, also where it is a public make-up day.
        holidays=frozenset([*days.holidays, *own.holidays]),
        working_days=frozenset(days.working_days) - set(own.holidays) | set(own.working_days),
        covered_from=days.covered_from,
        covered_until=days.covered_until or own.covered_until,
        opens=time.fromisoformat(own.opens),
        closes=time.fromisoformat(own.closes),
    )


def calendar_ends_soon(calendar: Calendar, today: date) -> int | None:
    """Days until the known holidays end, below 0 once they have; None while that is far away."""
    left = covered_days_left(calendar, today)
    return left if left is not None and left <= CALENDAR_ALERT_DAYS else None
