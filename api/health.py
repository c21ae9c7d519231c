"""Whether the API lives and can work, how far the read models are, and what was measured."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.responses import Response

from api.answers import Answer, Lag
from api.context import Context, head_of
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import ReaderNow
from commands.keys import SOME_KEY, ForeignKey
from projections import checkpoint

HEARTBEAT_SECONDS_MAX = 30.0  # since a projection last said that it lives
# Followers that act. Without them the API can do its work; a list of deadlines tells its position.
UNREAD = frozenset({"deadlines", "messages", "intake"})
READY_SECONDS_MAX = 2.0  # to look at the database
# Named as the projector names them: whichever process is asked, it is the same figure.
PROJECTION_METRICS = {
    "position": ("ledger_projection_position", "Last position folded in"),
    "lag_events": ("ledger_projection_lag_events", "Ledger head minus checkpoint"),
    "lag_seconds": ("ledger_projection_lag_seconds", "Age of the oldest event not folded in"),
    "parked": ("ledger_projection_parked_keys", "Keys set aside"),
}

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """`failing`: what is wrong, by name; empty when all is well."""

    status: str
    failing: dict[str, str] = {}


@router.get(
    "/healthz",
    response_model=Health,
    responses=responses(422),
    summary="Whether the process lives",
    **needs(Permission.PUBLIC),
)
async def healthz() -> Answer:
    """Looks at nothing else: a restart would not bring a database back."""
    return Answer({"status": "ok", "failing": {}})


@router.get(
    "/readyz",
    response_model=Health,
    responses={
        **responses(422),
        503: {"model": Health, "description": "Not ready, and why"},
    },
    summary="Whether the API can do its work",
    **needs(Permission.PUBLIC),
)
async def readyz(request: Request) -> Answer:
    """The database answers, the master key is its ledger's, and every projection has shown its
    heartbeat lately.
    """
    failing = await _failing(request.app.state.context)
    status = "not ready" if failing else "ok"
    return Answer({"status": status, "failing": failing}, 503 if failing else 200)


async def _failing(context: Context) -> dict[str, str]:
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            foreign = await _foreign_key(context)
            projections = (await lag_of(context))["projections"]
    except (TimeoutError, PoolTimeout, psycopg.OperationalError):
        return {"database": "does not answer"}
    if foreign:
        return {"master_key": foreign}
    if not projections:
        return {"projector": "has never run"}
    now = datetime.now(UTC)
    silent = {
        one["name"]: (now - one["heartbeat_at"]).total_seconds()
        for one in projections
        if one["name"] not in UNREAD
    }
    return {
        name: f"no heartbeat for {seconds:.0f} s"
        for name, seconds in silent.items()
        if seconds > HEARTBEAT_SECONDS_MAX
    }


async def _foreign_key(context: Context) -> str:
    """What is wrong with LEDGER_MASTER_KEY; nothing where it is the ledger's."""
    async with context.reading() as connection:
        rows = await (await connection.execute(SOME_KEY)).fetchall()
    try:
        context.vault().check(rows)
    except ForeignKey as error:
        return str(error)
    return ""


@router.get(
    "/v1/lag",
    response_model=Lag,
    responses=responses(401, 403, 422, 503),
    summary="How far each projection is behind the ledger",
    **needs(Permission.LEDGER_READ),
)
async def lag(reader: ReaderNow) -> Answer:
    """In events, and in seconds since the oldest event that is not folded in was recorded."""
    return Answer(await lag_of(reader.context))


async def lag_of(context: Context) -> dict[str, Any]:
    """{head, projections}; without projections before the projector first ran."""
    async with context.reading() as connection:
        head = await head_of(connection)
        try:
            projections = await checkpoint.lag(connection)
        except psycopg.errors.UndefinedTable:
            projections = []
    return {
        "head": max([head, *(one["head"] for one in projections)]),
        "projections": [_without_head(one) for one in projections],
    }


def _without_head(projection: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in projection.items() if name != "head"}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **responses(422),
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
    },
    summary="Measurements for Prometheus",
    **needs(Permission.PUBLIC),
)
async def metrics(request: Request) -> Response:
    """Requests of this process; head and lag of the whole ledger."""
    context: Context = request.app.state.context
    content = generate_latest(context.registry) + generate_latest(await _lag_metrics(context))
    return Response(content, headers={"content-type": CONTENT_TYPE_LATEST})


async def _lag_metrics(context: Context) -> CollectorRegistry:
    """Read when asked; nothing while the database is away."""
    registry = CollectorRegistry()
    try:
        lag = await lag_of(context)
    except (PoolTimeout, psycopg.OperationalError):
        return registry
    Gauge("ledger_head_position", "Newest position", registry=registry).set(lag["head"])
    for name, (metric, meaning) in PROJECTION_METRICS.items():
        gauge = Gauge(metric, meaning, ("projection",), registry=registry)
        for one in lag["projections"]:
            gauge.labels(one["name"]).set(one[name])
    return registry
