"""Times that people name: in UTC, and near enough to the command's own time to be meant."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationInfo

# What a canonical integer of microseconds can hold, with room to spare: 2^53 reaches 285 years.
RECORDABLE_FROM = datetime(1700, 1, 1, tzinfo=UTC)
RECORDABLE_TO = datetime(2250, 1, 1, tzinfo=UTC)  # not included
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
HAPPENED_AHEAD_HOURS_MAX = 24  # of the command's `at`: clocks differ, and so do zones
EXPECTED_AHEAD_YEARS_MAX = 10  # of the command's `at`
DAYS_OF_A_YEAR = 365.25


# Pydantic also reads numbers, and text of digits, as seconds since 1970.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def written(value: Any) -> Any:
    """Raises ValueError for what is neither a time nor RFC 3339 text with its offset."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    raise ValueError("must be RFC 3339 text with an offset, such as 2026-03-01T18:00:00+08:00")


def recordable(time: datetime) -> datetime:
    """Raises ValueError for an aware time that no leaf of the ledger's tree can hold."""
    if not RECORDABLE_FROM <= time < RECORDABLE_TO:
        raise ValueError(f"must be from {RECORDABLE_FROM.date()} to before {RECORDABLE_TO.date()}")
    return time


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


def _ahead(time: datetime, info: ValidationInfo) -> datetime:
    """Only a command knows `at`, as in `_near`."""
    at: datetime | None = info.data.get("at")
    if at is not None and time <= at:
        raise ValueError(f"must lie ahead: it is {at.isoformat(timespec='seconds')} already")
    return time


def _near(time: datetime, info: ValidationInfo, ahead_max: timedelta, words: str) -> datetime:
    """A body does not know `at`: what lies too far ahead is found when it becomes a command."""
    if time < EARLIEST:
        raise ValueError(f"must not be before {EARLIEST.date()}")
    at: datetime | None = info.data.get("at")  # the first field of every command
    if at is not None and time - at > ahead_max:
        raise ValueError(f"must not be more than {words} ahead")
    return time


Written = Annotated[AwareDatetime, BeforeValidator(written)]
Utc = Annotated[Written, AfterValidator(_utc)]
Recordable = Annotated[Utc, AfterValidator(recordable)]  # what may become a fact's own time
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
Ahead = Annotated[
    Utc,
    AfterValidator(_expected),
    AfterValidator(_ahead),
    Field(description=f"From now to {EXPECTED_AHEAD_YEARS_MAX} years from now"),
]
