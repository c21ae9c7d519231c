"""China's public holidays and make-up working days, as far as the library knows them."""

from __future__ import annotations

from datetime import date
from functools import cache

from chinese_calendar import constants

from domain.policy_calendar import CalendarDays
from domain.policy_rules import PolicyRules

FIRST_YEAR = 2025  # Nothing before the ledger's own time has a term.


@cache
def china_days() -> CalendarDays:
    """The State Council sets a year's days in the November before, so data end with a year."""
    last = max(constants.holidays).year
    return CalendarDays(
        holidays=_from_first_year(constants.holidays),
        working_days=_from_first_year(constants.workdays),
        covered_from=date(FIRST_YEAR, 1, 1),
        covered_until=date(last, 12, 31),
    )


def public_days(rules: PolicyRules) -> CalendarDays:
    """What publishing these rules pins; nothing where the shop lists its own days only."""
    return china_days() if rules.calendar.kind == "china" else CalendarDays()


def _from_first_year(days: dict[date, str]) -> list[date]:
    return sorted(day for day in days if day.year >= FIRST_YEAR)
