"""A draft policy tried on past orders over HTTP: what it would have decided otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body
from psycopg import AsyncConnection
from pydantic import BaseModel, Field, model_validator

from api.answers import Answer
from api.calls import Call, CommandRoute, example
from api.context import Context, head_of
from api.examples import POLICY_TRIAL
from api.permissions import Permission, needs
from api.policies import draft_faults
from api.problems import invalid, responses
from api.reads import identifier
from commands.append import stream_id
from commands.china_calendar import public_days
from commands.store import LOAD
from domain import codec
from domain.desk_names import order_stream
from domain.message import Event
from domain.policy import PolicyVersion, drafted
from domain.policy_rules import PolicyRules
from domain.policy_trial import RULES, Decided, Rule, tried
from domain.times import Written
from domain.values import OfFields, Value
from projections import order_status
from projections.order_status import PlacedOrder

ORDERS_MAX = 2_000  # of one trial: the newest of the time that is asked for
ORDERS_AT_ONCE = 100  # whose streams are read in one statement
DIFFERENCES_MAX = 200  # listed; all are counted and summed

router = APIRouter(route_class=CommandRoute, tags=["policies"])


class TrialBody(Value):
    """All rules, what is absent is as by default; and the orders by the time they were placed."""

    rules: PolicyRules
    placed_from: Written
    placed_to: Annotated[Written, Field(description="Not within the time itself")]

    @model_validator(mode="after")
    def _in_order(self) -> TrialBody:
        if self.placed_from >= self.placed_to:
            raise OfFields("must be after placed_from", "placed_to")
        return self


class RuleTried(BaseModel):
    """`change_minor`: by currency, what customers would have paid more (above 0) or less."""

    rule: Rule
    decisions: int
    different: int
    change_minor: dict[str, int]


class DifferenceShown(BaseModel):
    """`was` and `would_be`: a time, an amount in minor units, or a word."""

    order_id: str
    number: str
    currency: str
    rule: Rule
    at: datetime
    was: Any
    would_be: Any
    change_minor: int


class PolicyTried(BaseModel):
    """`more`: there are older orders in that time than were tried."""

    shop: str
    orders: int
    more: bool
    rules: list[RuleTried]
    differences: list[DifferenceShown]
    differences_more: int
    position: int


@router.post(
    "/v1/policies/{shop}/try",
    response_model=PolicyTried,
    responses=responses(400, 401, 403, 413, 422, 503),
    summary="What a draft would have decided on past orders",
    **needs(Permission.POLICY_READ),
)
async def try_policy(
    call: Call,
    shop: str,
    body: Annotated[TrialBody, Body(**example("Two days free", POLICY_TRIAL))],
) -> Answer:
    """Nothing is recorded. Each decision that the policy has a say in is made again under the
    draft, on what was known then; what followed stays as it was. Imported orders are left out.
    """
    call.without_version()
    name = identifier("shop", shop)
    found = draft_faults(body.rules)
    if found:
        raise invalid(found)
    draft = drafted(body.rules, public_days(body.rules))
    async with call.context.reading() as connection:
        position = await head_of(connection)
        orders = await order_status.placed_between(
            connection, name, body.placed_from, body.placed_to, ORDERS_MAX + 1
        )
        decisions = _decisions(connection, call.context, orders[:ORDERS_MAX], draft)
        told = Told()
        async for order, decided in decisions:
            told.add(order, decided)
    return Answer(
        {
            "shop": name,
            "orders": min(len(orders), ORDERS_MAX),
            "more": len(orders) > ORDERS_MAX,
            "rules": list(told.rules.values()),
            "differences": told.differences,
            "differences_more": told.different - len(told.differences),
            "position": position,
        }
    )


class Told:
    """Counts what was decided, and lists the first of what differs."""

    def __init__(self) -> None:
        self.rules: dict[Rule, dict[str, Any]] = {
            rule: {"rule": rule, "decisions": 0, "different": 0, "change_minor": {}}
            for rule in RULES
        }
        self.differences: list[dict[str, Any]] = []
        self.different = 0

    def add(self, order: PlacedOrder, decided: Decided) -> None:
        counted = self.rules[decided.rule]
        counted["decisions"] += 1
        if not decided.differs:
            return
        self.different += 1
        counted["different"] += 1
        if decided.change_minor:
            sums = counted["change_minor"]
            sums[order.currency] = sums.get(order.currency, 0) + decided.change_minor
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(order._asdict() | asdict(decided))


async def _decisions(
    connection: AsyncConnection[Any],
    context: Context,
    orders: list[PlacedOrder],
    draft: PolicyVersion,
) -> AsyncIterator[tuple[PlacedOrder, Decided]]:
    for start in range(0, len(orders), ORDERS_AT_ONCE):
        some = orders[start : start + ORDERS_AT_ONCE]
        streams = await _streams(connection, context, [one.order_id for one in some])
        for order, facts in zip(some, streams, strict=True):
            for decided in tried(facts, draft):
                yield order, decided


async def _streams(
    connection: AsyncConnection[Any], context: Context, order_ids: list[str]
) -> list[list[Event]]:
    """All facts of each order, in the order of `order_ids`."""
    ids = [stream_id(context.store.namespace, order_stream(one)) for one in order_ids]
    cursor = await connection.execute(LOAD, [ids, [0] * len(ids)], binary=True)
    facts: dict[UUID, list[Event]] = {one: [] for one in ids}
    for stream, _version, topic, state in await cursor.fetchall():
        facts[stream].append(codec.decode(topic, state))
    return [facts[one] for one in ids]
