"""A shop's policy: its rules, version by version, each in force from a time on for ever.

An order keeps the version of its placement, so a version never changes and never goes away.
Version 0 are the defaults: what holds for a shop that has published nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from domain.command_types import Handle
from domain.message import Command, Event, Rejected, StreamName
from domain.policy_calendar import DEFAULT_DAYS, CalendarDays, calendar_of
from domain.policy_faults import faults
from domain.policy_rules import PolicyRules
from domain.times import Expected
from domain.values import Text, Value
from domain.working_calendar import Calendar

SINCE_EVER = datetime.min.replace(tzinfo=UTC)


class PolicyPublished(Event, topic="policy.published.v1"):
    shop: str
    version: int  # from 1, without gaps: the version of the stream
    effective_from: AwareDatetime
    rules: dict[str, Any]  # all of them, also those that are as by default
    days: CalendarDays  # of a public calendar; the shop's own stand in the rules
    note: str | None = None


class PublishBody(Value):
    """All rules: what is absent is as by default, not as it was."""

    rules: PolicyRules
    effective_from: Expected | None = None  # now when absent
    note: Annotated[
        Text | None,
        Field(description="About the rules, never about a person; stored in clear"),
    ] = None
    expected_version: Annotated[
        int | None,
        Field(ge=0, strict=True, description="The newest version that you have seen"),
    ] = None


class PublishPolicy(PublishBody, Command):
    shop: Handle
    days: CalendarDays = CalendarDays()  # the public calendar's, where the rules name one


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version: everything that a decision under it needs to know."""

    version: int
    rules: PolicyRules
    days: CalendarDays
    calendar: Calendar
    effective_from: datetime | None = None  # None: since ever
    published_at: datetime | None = None
    note: str | None = None

    @property
    def begins(self) -> datetime:
        return self.effective_from or SINCE_EVER


def drafted(rules: PolicyRules, days: CalendarDays) -> PolicyVersion:
    """Rules that nobody has published."""
    return PolicyVersion(0, rules, days, calendar_of(rules, days))


DEFAULTS = drafted(PolicyRules(), DEFAULT_DAYS)


@dataclass(frozen=True, slots=True)
class Policy:
    """All versions, the defaults first: `versions[n]` is version n."""

    versions: tuple[PolicyVersion, ...] = field(default=(DEFAULTS,))

    @property
    def newest(self) -> int:
        return len(self.versions) - 1


def policy_stream(shop: str) -> StreamName:
    return StreamName("policy", shop)


class PolicyBehind(Exception):
    """An order names a version that is not known here: the policy was read before it."""


def pinned(state: Policy, version: int) -> PolicyVersion:
    """The version that an order was placed under. Raises PolicyBehind."""
    if version > state.newest:
        raise PolicyBehind(f"version {version} of a policy known to {state.newest}")
    return state.versions[version]


def in_force(state: Policy, at: datetime) -> PolicyVersion:
    """The newest version that has begun by then.

    So publishing replaces what was to begin later: a version that is not in force yet is put right
    or withdrawn by the next one.
    """
    return next(one for one in reversed(state.versions) if one.begins <= at)


def still_to_begin(state: Policy, at: datetime) -> list[PolicyVersion]:
    """The versions that will come into force after a time, unless another is published."""
    later = (one for one in state.versions if one.begins > at)
    return [one for one in later if in_force(state, one.begins).version == one.version]


def evolve(state: Policy, event: Event) -> Policy:
    match event:
        case PolicyPublished():
            return Policy((*state.versions, _version(event)))
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a policy")


def _version(event: PolicyPublished) -> PolicyVersion:
    rules = PolicyRules.model_validate(event.rules)
    return PolicyVersion(
        event.version,
        rules,
        event.days,
        calendar_of(rules, event.days),
        event.effective_from,
        event.at,
        event.note,
    )


def decide(command: PublishPolicy, state: Policy) -> list[Event]:
    """The next version; what would be in force for ever anyhow is []. Raises Rejected."""
    begins = command.effective_from or command.at
    _may_publish(command, begins, state)
    newest = state.versions[-1]
    same = (newest.rules, newest.days) == (command.rules, command.days)
    if same and in_force(state, begins).version == newest.version:
        return []
    return [
        PolicyPublished(
            shop=command.shop,
            version=state.newest + 1,
            effective_from=begins,
            rules=command.rules.model_dump(mode="json"),
            days=command.days,
            note=command.note,
            at=command.at,
        )
    ]


def _may_publish(command: PublishPolicy, begins: datetime, state: Policy) -> None:
    if command.expected_version not in {None, state.newest}:
        raise Rejected(
            "policy_version_differs",
            f"version {command.expected_version} was expected, the newest is {state.newest}",
            expected=command.expected_version,
            newest=state.newest,
        )
    if begins < command.at:
        raise Rejected(
            "policy_for_the_past",
            f"{begins.isoformat()} asked, from {command.at.isoformat()} on is possible",
            effective_from=begins.isoformat(),
            earliest=command.at.isoformat(),
        )
    found = faults(command.rules)
    if found:
        raise Rejected(
            "policy_impossible",
            "; ".join(f"{one.path} {one.message}" for one in found),
            faults=[{"path": one.path, "code": one.code} for one in found],
        )
    if command.rules.calendar.kind == "china" and command.days.covered_until is None:
        raise Rejected("calendar_days_missing", "the public holidays have to be given along")
