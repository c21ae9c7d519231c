"""Policies over HTTP: what is in force, all versions, what differs, a draft's preview, publishing.

There is no read model: a policy has few versions, so its stream is read and folded.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Body, Query

from api.answers import Answer, etag
from api.calls import Call, CommandRoute, MatchedCall, example
from api.context import Context, head_of
from api.events import whole_stream
from api.examples import POLICY
from api.permissions import Permission, needs
from api.policy_answers import (
    Compared,
    PolicyPreview,
    PolicyRecorded,
    PolicyShown,
    PolicyVersions,
    calendar_json,
    instant,
    version_json,
)
from api.problems import FieldError, Problem, field_problem, invalid, responses
from api.reads import Instant, Reader, identifier, page_router
from commands.china_calendar import public_days
from commands.store import recorded
from domain import policy
from domain.message import Recorded, Rejected
from domain.policy import (
    Policy,
    PolicyVersion,
    PublishBody,
    PublishPolicy,
    in_force,
    policy_stream,
    still_to_begin,
)
from domain.policy_calendar import CalendarDays
from domain.policy_faults import faults
from domain.policy_rules import PolicyRules
from domain.policy_words import Language, changes, words

VERSIONS_READ = 100  # at a time
VERSION_MAX = 1_000_000
# Of a refusal of the decider, the field of the body that it is about.
REFUSED_FIELDS = {
    "policy_for_the_past": "effective_from",
    "policy_version_differs": "expected_version",
}

READING = responses(401, 403, 404, 422, 503, 504)
CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)

router = APIRouter(route_class=CommandRoute, tags=["policies"])
reads = page_router("policies")

Said = Annotated[Language | None, Query(description="Of the words; the shop's own when absent")]
Version = Annotated[
    int, Query(ge=0, le=VERSION_MAX, description="0 are the defaults", examples=[0])
]


class History(NamedTuple):
    """A shop's policy with the facts that it folds from, as the ledger was at `position`."""

    shop: str
    policy: Policy
    facts: list[Recorded]
    position: int

    def version(self, number: int) -> PolicyVersion:
        """Raises Problem 404."""
        if number > self.policy.newest:
            detail = f"The newest version is {self.policy.newest}."
            raise Problem(404, "policy_version_not_found", detail, facts={"version": number})
        return self.policy.versions[number]


async def history(context: Context, shop: str) -> History:
    """The versions of a shop; of one that has published nothing, the defaults."""
    async with context.reading() as connection:
        head = await head_of(connection)
        rows = whole_stream(connection, context, policy_stream(shop), VERSIONS_READ)
        facts = [recorded(tuple(row)) async for row in rows]
    state = Policy()
    for one in facts:
        state = policy.evolve(state, one.event)
    return History(shop, state, facts, head)


async def _read(reader: Reader, shop: str) -> History:
    name = identifier("shop", shop)
    await reader.reach(None)
    return await history(reader.context, name)


@reads.get(
    "/v1/policies/{shop}",
    response_model=PolicyShown,
    responses=READING,
    summary="The rules of a shop",
    **needs(Permission.POLICY_READ),
)
async def show(
    reader: Reader,
    shop: str,
    version: Annotated[
        int | None, Query(ge=0, le=VERSION_MAX, description="A version by number; 0: the defaults")
    ] = None,
    at: Annotated[
        Instant | None, Query(description="What is, was or will be in force then; now when absent")
    ] = None,
    language: Said = None,
) -> Answer:
    """In force now, or a version by its number or its time; as data and in words. The ETag is the
    newest version: what a publishing's If-Match has to name.
    """
    if version is not None and at is not None:
        raise field_problem("at", "one_of", "give either version or at")
    found, now = await _read(reader, shop), datetime.now(UTC)
    chosen = found.version(version) if version is not None else in_force(found.policy, at or now)
    shown = _shown(found, chosen, language or chosen.rules.shop.language, now)
    return Answer(shown, headers=[etag(found.policy.newest)])


def _shown(
    found: History, chosen: PolicyVersion, language: Language, now: datetime
) -> dict[str, Any]:
    return {
        "shop": found.shop,
        **version_json(chosen, found.policy, now),
        "newest_version": found.policy.newest,
        "rules": chosen.rules.model_dump(mode="json"),
        "calendar": calendar_json(chosen.calendar, now),
        "language": language,
        "words": [asdict(one) for one in words(chosen.rules, language)],
        "position": found.position,
    }


@reads.get(
    "/v1/policies/{shop}/versions",
    response_model=PolicyVersions,
    responses=READING,
    summary="All versions of a shop's rules",
    **needs(Permission.POLICY_READ),
)
async def versions(reader: Reader, shop: str) -> Answer:
    """Newest first, down to version 0, the defaults."""
    found, now = await _read(reader, shop), datetime.now(UTC)
    actors = [None, *(one.actor for one in found.facts)]
    items = [
        {**version_json(one, found.policy, now), "published_by": actor}
        for one, actor in zip(found.policy.versions, actors, strict=True)
    ]
    return Answer({"shop": found.shop, "versions": items[::-1], "position": found.position})


@reads.get(
    "/v1/policies/{shop}/compare",
    response_model=Compared,
    responses=READING,
    summary="What differs between two versions",
    **needs(Permission.POLICY_READ),
)
async def compare(
    reader: Reader,
    shop: str,
    former: Annotated[Version, Query(alias="from", examples=[0])],
    later: Annotated[Version, Query(alias="to", examples=[1])],
    language: Said = None,
) -> Answer:
    """Every rule that differs, as data and in words; public holidays as `days.…`."""
    found = await _read(reader, shop)
    old, new = found.version(former), found.version(later)
    spoken = language or new.rules.shop.language
    shown = {
        "shop": found.shop,
        "from": former,
        "to": later,
        "language": spoken,
        "changes": _changes(old, new.rules, new.days, spoken),
        "position": found.position,
    }
    return Answer(shown)


def _changes(
    old: PolicyVersion, rules: PolicyRules, days: CalendarDays, language: Language
) -> list[dict[str, Any]]:
    found = [*changes(old.rules, rules, language), *changes(old.days, days, language, "days.")]
    return [asdict(one) for one in found]


@router.post(
    "/v1/policies/{shop}/preview",
    response_model=PolicyPreview,
    responses=responses(400, 401, 403, 413, 422, 503),
    summary="What publishing a draft would change",
    **needs(Permission.POLICY_READ),
)
async def preview(
    call: Call,
    shop: str,
    body: Annotated[PublishBody, Body(**example("Longer for spring", POLICY))],
) -> Answer:
    """Nothing is recorded. What differs from what is in force by then, in words; what publishing
    would refuse; and which versions that have not begun it would replace.
    """
    call.without_version()
    name = identifier("shop", shop)
    found = await history(call.context, name)
    command = call.command(PublishPolicy, body, shop=name, days=public_days(body.rules))
    return Answer(_previewed(command, found.policy, body.rules.shop.language))


def _previewed(command: PublishPolicy, state: Policy, language: Language) -> dict[str, Any]:
    begins = command.effective_from or command.at
    old, waiting = in_force(state, begins), still_to_begin(state, command.at)
    return {
        "shop": command.shop,
        "compared_with": old.version,
        "newest_version": state.newest,
        "effective_from": instant(begins),
        "language": language,
        "changes": _changes(old, command.rules, command.days, language),
        "replaces": [one.version for one in waiting if one.begins >= begins],
        "refused": [one.model_dump() for one in _refused(command, state)],
        "words": [asdict(one) for one in words(command.rules, language)],
    }


def _refused(command: PublishPolicy, state: Policy) -> list[FieldError]:
    """Everything that stands in the way of publishing."""
    found = draft_faults(command.rules)
    try:
        policy.decide(command, state)
    except Rejected as refusal:
        field = REFUSED_FIELDS.get(refusal.code)
        if field is not None:
            found.append(FieldError(field=field, rule=refusal.code, message=refusal.message))
    return found


def draft_faults(rules: PolicyRules) -> list[FieldError]:
    return [
        FieldError(field=f"rules.{one.path}", rule=one.code, message=one.message)
        for one in faults(rules)
    ]


@router.post(
    "/v1/policies/{shop}",
    response_model=PolicyRecorded,
    responses=CHANGING,
    summary="Publish the rules of a shop",
    **needs(Permission.POLICY_PUBLISH),
)
async def publish(
    call: MatchedCall,
    shop: str,
    body: Annotated[PublishBody, Body(**example("Longer for spring", POLICY))],
) -> Answer:
    """All rules: what is absent is as by default. In force from `effective_from` on, never before
    now; orders keep the version that they were placed under. Replaces what was to begin later.
    """
    name = identifier("shop", shop)
    found = draft_faults(body.rules)
    if found:
        raise invalid(found)
    command = call.command(PublishPolicy, body, shop=name, days=public_days(body.rules))
    return await call.run(command, policy_stream(name))
