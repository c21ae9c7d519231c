"""The API's application: `create_app(settings)`, and `api.main:app` for a server of workers."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRouter

from api import (
    accounts,
    analytics,
    arrivals,
    authorisations,
    body_fields,
    cases,
    customers,
    deadlines,
    draft_reads,
    drafts,
    evidence,
    feed,
    health,
    lateness,
    order_views,
    orders,
    page,
    paper_reads,
    papers,
    parcels,
    payments,
    periods,
    policies,
    policy_trials,
    problems,
    procedure,
    procedure_reads,
    providers,
    queries,
    reconciliation,
    refunds,
    returns,
    statement_reads,
    statements,
    stock,
)
from api.context import Context
from api.edge import Edge, is_loopback
from api.problems import ProblemDetails
from commands.logs import configure_logs
from commands.settings import Settings

PR_SET_PDEATHSIG = 1  # prctl(2)
TITLE = "Order ledger"
DESCRIPTION = """Every fact of an order is an immutable event. Commands answer with the position of
their last event; reads take it as `min_position` to see at least that much. All errors are problem
details (RFC 9457) with a `code` that stays the same."""

# In the order in which a request is compared with them: the busiest first.
ROUTERS: tuple[APIRouter, ...] = (
    orders.router,
    order_views.router,
    papers.router,
    paper_reads.router,
    authorisations.router,
    payments.router,
    lateness.router,
    cases.router,
    refunds.router,
    returns.router,
    arrivals.router,
    evidence.router,
    parcels.router,
    stock.router,
    stock.reads,
    cases.reads,
    deadlines.reads,
    accounts.reads,
    accounts.router,
    providers.hooks,
    providers.reads,
    providers.router,
    customers.reads,
    customers.router,
    drafts.router,
    draft_reads.router,
    policies.reads,
    policies.router,
    policy_trials.router,
    procedure_reads.router,
    procedure.router,
    statements.router,
    statement_reads.router,
    reconciliation.router,
    periods.router,
    periods.reads,
    analytics.router,
    feed.router,
    health.router,
    page.router,
)


def create_app(settings: Settings) -> FastAPI:
    """One API of one ledger. Raises ValueError for settings that it cannot work with."""
    if not is_loopback(settings.api_host):
        raise ValueError(
            f"LEDGER_API_HOST is {settings.api_host}: only loopback, until there are accounts"
        )
    context = Context(settings)
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version="1",
        lifespan=_lifespan,
        docs_url=None,  # The usual pages load their scripts from elsewhere; page.py has ours.
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    app.state.picture = page.LivePicture(context)
    app.add_middleware(Edge, context=context)
    problems.install(app)
    # Not include_router(): that would run each route by its own code again.
    for router in ROUTERS:
        app.router.routes.extend(map(queries.strict, router.routes))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    await context.start()
    try:
        with _told_of_the_end(context):
            yield
    finally:
        await context.stop()


@contextmanager
def _told_of_the_end(context: Context) -> Iterator[None]:
    """Note the signal to stop when it comes: the server ends the lifespan only after the last
    answer, and a stream is an answer that does not end. The loop's own handlers still run: they
    are woken through a file descriptor, not through these.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ended(number: int, frame: FrameType | None) -> None:
        context.ending = True
        former = before[signal.Signals(number)]
        if callable(former):
            former(number, frame)

    for number in before:
        signal.signal(number, ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        details = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas |= details.pop("$defs", {}) | {"ProblemDetails": details}
        body_fields.describe(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def __getattr__(name: str) -> Any:
    """`app`, built when a server asks for it: only then is the environment read."""
    if name != "app":
        raise AttributeError(name)
    _end_with_parent()
    settings = Settings()
    configure_logs(settings.log_level)
    return create_app(settings)


def _end_with_parent() -> None:
    """A worker whose server was killed would go on listening beside the next one. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
