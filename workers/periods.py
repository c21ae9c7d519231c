"""Closes months: draws the line, sums the ledger up to it, states the totals."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import psycopg
import structlog

from commands import period_totals
from commands.planning import Outcome
from commands.settings import Settings
from commands.store import Store
from domain.message import Rejected
from domain.period import BeginClosing, ClosePeriod, TotalBody
from projections import periods
from workers.statements import ORIGIN, Sender

POLL_SECONDS = 10.0

log = structlog.get_logger()


def close(settings: Settings, shop: str, month: str, zone: str, actor: str = ORIGIN) -> Outcome:
    """Close a month whole. Raises Rejected, ValidationError."""
    begin = BeginClosing(shop=shop, month=month, zone=zone, at=_now())
    sender = Sender(settings, actor)
    with sender.connect() as connection:
        sender.run(connection, begin)
    return finish(settings, shop, month, actor)


def finish(settings: Settings, shop: str, month: str, actor: str = ORIGIN) -> Outcome:
    """State the totals of a month whose closing has begun."""
    command = period_totals.closing(Store(settings), shop, month, _now)
    if command is None:
        raise Rejected("period_not_closing", f"{month} is open: begin its closing first")
    sender = Sender(settings, actor)
    with sender.connect() as connection:
        return sender.run(connection, command)


def finish_all(settings: Settings) -> int:
    """Finish what was begun, over the API or by one who was stopped; returns how many."""
    with Store(settings).connect(autocommit=True) as connection:
        waiting = periods.closing(connection)
    for shop, month in waiting:
        finish(settings, shop, month)
    return len(waiting)


def run(settings: Settings, stop: threading.Event) -> None:
    """Until `stop` is set. Outlives a restart of PostgreSQL."""
    while not stop.is_set():
        try:
            finish_all(settings)
        except (psycopg.Error, Rejected) as error:
            log.warning("closing delayed", error=str(error).strip())
        stop.wait(POLL_SECONDS)


def check(settings: Settings, shop: str, month: str) -> tuple[list[TotalBody], bool]:
    """What the events come to by now, and whether the closed period says the same."""
    store = Store(settings)
    command = period_totals.closing(store, shop, month, _now)
    if command is None:
        raise Rejected("period_not_found", f"{month} of {shop} is open")
    return command.totals, _says(store, command)


def _says(store: Store, command: ClosePeriod) -> bool:
    with store.connect(autocommit=True) as connection:
        state, _ = period_totals.period_of(connection, store, command.shop, command.month)
    told = [dict(total) for total in state.totals]
    return state.stage == "closed" and told == [dict(total) for total in command.totals]


def _now() -> datetime:
    return datetime.now(UTC)
