"""Periods over HTTP: close a month of a shop, the months that are closing or closed, and one of
them beside the events and the orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query

from api.answers import Answer
from api.calls import Call, CommandRoute, example
from api.examples import CLOSING
from api.permissions import Permission, needs
from api.problems import Problem, responses
from api.reads import Reader, page_router
from api.statement_views import PeriodRecorded, PeriodReport, Periods
from commands import period_report, period_totals
from commands.period_totals import TooLong
from domain.command_types import Handle
from domain.message import Command
from domain.period import ZONE, BeginClosing, Month, TotalBody, Zone, kept_minor
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
    for item in items:
        item["totals"] = [{**one, "kept_minor": kept_minor(one)} for one in item["totals"]]
    return Answer({"items": items, "position": position})


@reads.get(
    "/v1/periods/{month}",
    response_model=PeriodReport,
    responses=responses(401, 403, 422, 503, 504),
    summary="A month beside its events and its orders",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def one_period(
    reader: Reader,
    month: Annotated[Month, Path(examples=["2025-03"])],
    shop: Handle = "main",
    zone: Annotated[Zone, Query(description="Of a month that is open")] = ZONE,
) -> Answer:
    """Summed from the ledger now: captures less refunds are what is with us of every order with
    money in the month, so the differences are 0. Late facts point to the month that they are of.
    """
    await reader.reach(None)
    store = reader.context.store
    try:
        found = await asyncio.to_thread(
            period_report.report, store, shop, month, SUM_SECONDS_MAX, zone
        )
    except TooLong:
        detail = "The ledger is too large to be summed at once: `ledger period check` does it."
        raise Problem(503, "sum_takes_too_long", detail, headers={"Retry-After": "60"}) from None
    return Answer({"shop": shop, "month": month, **_reported(found)})


def _reported(found: period_report.Report) -> dict[str, Any]:
    totals, stated = found.totals.totals(), found.stated()
    checked = sum(one.orders for one in found.balances)
    return {
        "zone": found.line.zone,
        "status": found.state.stage,
        "through_position": found.line.position,
        "totals": _shown(totals),
        "stated": None if stated is None else _shown(stated),
        "equal": None if stated is None else stated == totals,
        "late": [dict(one) for one in found.totals.late()],
        "late_count": found.totals.late_count,
        "balances": [
            {**asdict(one), "difference_minor": one.events_minor - one.balance_minor}
            for one in found.balances
        ],
        "orders": found.orders,
        "orders_checked": checked,
        "position": found.line.position,
    }


def _shown(totals: Iterable[TotalBody]) -> list[dict[str, Any]]:
    return [{**dict(one), "kept_minor": kept_minor(dict(one))} for one in totals]
