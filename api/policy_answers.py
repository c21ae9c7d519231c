"""The shapes in which policies are answered, and how versions become them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.answers import Recorded
from api.problems import FieldError
from domain.policy import Policy, PolicyVersion, in_force, still_to_begin
from domain.policy_calendar import calendar_ends_soon
from domain.policy_rules import PolicyRules
from domain.policy_words import Language
from domain.working_calendar import Calendar, covered_days_left, local_day

VersionStatus = Literal["in_force", "scheduled", "past", "replaced"]


class PolicyRecorded(Recorded):
    """`policy_version` holds from then on: an older one, where nothing had to change."""

    shop: str
    policy_version: int
    effective_from: datetime


class VersionShown(BaseModel):
    """`replaced`: another was published before it began. Version 0 has no beginning."""

    version: int
    status: VersionStatus
    effective_from: datetime | None
    published_at: datetime | None
    note: str | None


class ListedVersion(VersionShown):
    published_by: str | None


class PolicyVersions(BaseModel):
    shop: str
    versions: list[ListedVersion]
    position: int


class CalendarShown(BaseModel):
    """The days that hold, public and own. Terms that end after `covered_until` are provisional;
    `ends_soon` when that is near: then publish again, with a newer release if need be.
    """

    zone: str
    weekend: list[int]  # ISO weekdays, 1 is Monday
    holidays: list[date]
    working_days: list[date]
    covered_from: date | None
    covered_until: date | None
    covered_days_left: int | None
    ends_soon: bool
    opens: str
    closes: str


class ParagraphShown(BaseModel):
    section: str
    title: str
    sentences: list[str]


class PolicyShown(VersionShown):
    shop: str
    newest_version: int
    rules: PolicyRules
    calendar: CalendarShown
    language: Language
    words: list[ParagraphShown]
    position: int


class ChangeShown(BaseModel):
    """A rule that differs, as data (`before`, `after`) and in words (`was`, `now`)."""

    path: str
    title: str
    before: Any
    after: Any
    was: str
    now: str


class Compared(BaseModel):
    shop: str
    from_: Annotated[int, Field(alias="from")]
    to: int
    language: Language
    changes: list[ChangeShown]
    position: int


class PolicyPreview(BaseModel):
    """`replaces`: versions that were to begin later and then will not."""

    shop: str
    compared_with: int
    newest_version: int
    effective_from: datetime
    language: Language
    changes: list[ChangeShown]
    replaces: list[int]
    refused: list[FieldError]
    words: list[ParagraphShown]


def version_json(version: PolicyVersion, policy: Policy, now: datetime) -> dict[str, Any]:
    return {
        "version": version.version,
        "status": _status(version, policy, now),
        "effective_from": instant(version.effective_from),
        "published_at": instant(version.published_at),
        "note": version.note,
    }


def _status(version: PolicyVersion, policy: Policy, now: datetime) -> VersionStatus:
    number = version.version
    if number == in_force(policy, now).version:
        return "in_force"
    if number in {one.version for one in still_to_begin(policy, now)}:
        return "scheduled"
    ever = in_force(policy, version.begins).version == number
    return "past" if ever else "replaced"


def calendar_json(calendar: Calendar, now: datetime) -> dict[str, Any]:
    today = local_day(calendar, now)
    return {
        "zone": calendar.zone,
        "weekend": sorted(calendar.weekend),
        "holidays": sorted(calendar.holidays),
        "working_days": sorted(calendar.working_days),
        "covered_from": calendar.covered_from,
        "covered_until": calendar.covered_until,
        "covered_days_left": covered_days_left(calendar, today),
        "ends_soon": calendar_ends_soon(calendar, today) is not None,
        "opens": f"{calendar.opens:%H:%M}",
        "closes": f"{calendar.closes:%H:%M}",
    }


def instant(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
