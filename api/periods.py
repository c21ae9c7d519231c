"""Periods over HTTP: close a month of a shop, and the months that are closing or closed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.calls import Call, CommandRoute, example
from api.examples import CLOSING
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import Reader, page_router
from api.statement_views import PeriodRecorded, Periods
from commands import period_totals
from commands.period_totals import TooLong
from domain.message import Command
from domain.order_commands import Handle
from domain.period import ZONE, BeginClosing, Zone
from domain.values import Value
from projections import checkpoint, periods

SUM_SECONDS_MAX = 15.0  # then a worker sums on: `workers.periods`

router = APIRouter(route_class=CommandRoute, tags=["periods"])
reads = page_router("periods")


class ClosingBody(Value):
    """Whose month."""

    shop: Handle = "main"
    zone: Zone = ZONE


@router.post(
    "/v1/periods/{month}/close",
    response_model=PeriodRecorded,
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
    summary="Close a month for good",
    **needs(Permission.PERIOD_CLOSE),
)
async def close(
    call: Call,
    month: str,
    body: Annotated[ClosingBody, Body(**example("A month in China", CLOSING))],
) -> Answer:
    """From the answer on, what happened in it is booked in the next open month. `closing` where the
    ledger is too large to be summed at once: then the totals follow.
    """
    call.without_version()
    begin = call.command(BeginClosing, body, month=month)
    outcome = await call.run_as(0, begin)
    if outcome.body["status"] == "closing":
        totals = await asyncio.to_thread(_totals, call, body.shop, month)
        outcome = outcome if totals is None else await call.run_as(1, totals)
    return call.answer(outcome)


def _totals(call: Call, shop: str, month: str) -> Command | None:
    try:
        return period_totals.closing(call.context.store, shop, month, _now, SUM_SECONDS_MAX)
    except TooLong:
        return None


def _now() -> datetime:
    return datetime.now(UTC)


@reads.get(
    "/v1/periods",
    response_model=Periods,
    responses=responses(401, 403, 422, 503, 504),
    summary="Months that are closing or closed",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def list_periods(reader: Reader, shop: Handle | None = None) -> Answer:
    """With their totals, the newest first. All other months are open."""
    await reader.reach(periods.NAME)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, periods.NAME)
        items = await periods.listed(connection, shop)
    return Answer({"items": items, "position": position})
