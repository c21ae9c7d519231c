"""Times that people name: in UTC, and near enough to the command's own time to be meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, ValidationInfo

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
HAPPENED_AHEAD_HOURS_MAX = 24  # of the command's `at`: clocks differ, and so do zones
EXPECTED_AHEAD_YEARS_MAX = 10  # of the command's `at`
DAYS_OF_A_YEAR = 365.25


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


def _happened(time: datetime, info: ValidationInfo) -> datetime:
    ahead = timedelta(hours=HAPPENED_AHEAD_HOURS_MAX)
    return _near(time, info, ahead, f"{HAPPENED_AHEAD_HOURS_MAX} hours")


def _expected(time: datetime, info: ValidationInfo) -> datetime:
    ahead = timedelta(days=EXPECTED_AHEAD_YEARS_MAX * DAYS_OF_A_YEAR)
    return _near(time, info, ahead, f"{EXPECTED_AHEAD_YEARS_MAX} years")


def _near(time: datetime, info: ValidationInfo, ahead_max: timedelta, words: str) -> datetime:
    """A body does not know `at`: what lies too far ahead is found when it becomes a command."""
    if time < EARLIEST:
        raise ValueError(f"must not be before {EARLIEST.date()}")
    at: datetime | None = info.data.get("at")  # the first field of every command
    if at is not None and time - at > ahead_max:
        raise ValueError(f"must not be more than {words} ahead")
    return time


Utc = Annotated[AwareDatetime, AfterValidator(_utc)]
# Both only as fields of a body and its command; see `_near`.
Happened = Annotated[
    Utc,
    AfterValidator(_happened),
    Field(description=f"From {EARLIEST.date()} to {HAPPENED_AHEAD_HOURS_MAX} hours from now"),
]
Expected = Annotated[
    Utc,
    AfterValidator(_expected),
    Field(description=f"From {EARLIEST.date()} to {EXPECTED_AHEAD_YEARS_MAX} years from now"),
]
