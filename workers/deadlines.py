"""Does what is due: sends the ordinary commands, as late as it may be, and never twice.

A row only says where to look. Its stream is read anew and asked what is due; the commands are
decided on that state, and appended only if it still is the state. Their ids follow from the
stream, its version, the kind and the due time: two workers, or one that was killed in between,
send the same commands, and the ledger knows them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid5

import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg import Connection

from commands.planning import Outcome
from commands.runner import Conflict, digest
from commands.settings import Settings
from commands.store import Store, notify
from domain.deadlines import ACTOR, in_order
from domain.message import Attempt, Command, StreamName
from projections import deadlines as model
from projections.deadlines import Row
from workers.deadline_rows import DeadlineRows, Streams
from workers.following import RETRY_SECONDS, followed

ROWS_MAX = 100  # in one transaction
TRIES_MAX = 5  # of a batch that other writers overtake; its rows come again
POLL_SECONDS = 2.0

DUE = Gauge("ledger_deadlines_due", "Deadlines that have passed and are not done")
LATE = Gauge("ledger_deadlines_late_seconds", "How long ago the oldest of them was due")
FAILING = Gauge("ledger_deadlines_failing", "Deadlines that could not be done when last tried")
BEAT = Gauge("ledger_deadlines_heartbeat_seconds", "Unix time of the last round")
DONE = Counter("ledger_deadlines_done", "Commands that recorded something", ["kind"])
REFUSED = Counter("ledger_deadlines_refused", "Commands that were refused", ["kind"])

log = structlog.get_logger()


class Sent(NamedTuple):
    row: Row
    command: Command
    attempt: Attempt


class Clerk:
    """Does what is due, a batch at a time. For one thread; any number may work side by side."""

    def __init__(self, settings: Settings) -> None:
        self._streams = Streams(settings)
        self._store = self._streams.store
        self._digest_key = settings.digest_key()

    def turn(self, connection: Connection, now: datetime) -> int:
        """Take what is due by `now` and do it; how many rows were taken.

        The connection must be in autocommit mode. Raises psycopg.OperationalError; then nothing is
        lost, the rows come again.
        """
        rows = model.take(connection, now, ROWS_MAX)
        if rows:
            self._do(connection, list(dict.fromkeys(row.stream for row in rows)), now)
            connection.execute(notify(self._store.channel))
        return len(rows)

    def _do(self, connection: Connection, streams: Sequence[StreamName], now: datetime) -> None:
        """One bad order must not stop the others: what fails together is tried one by one."""
        try:
            self._act(connection, streams, now)
        except psycopg.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, only this stream may wait.
            if len(streams) > 1:
                for one in streams:
                    self._do(connection, [one], now)
                return
            model.fail(connection, streams[0], error)
            log.error("deadline failed", key=streams[0].key, error=repr(error)[:500])

    def _act(self, connection: Connection, streams: Sequence[StreamName], now: datetime) -> None:
        for _ in range(TRIES_MAX):
            sent = self._still_due(connection, streams, now)
            if not sent:
                return
            try:
                with connection.transaction():
                    commands = [(one.command, one.attempt) for one in sent]
                    outcomes = self._streams.runner.run(connection, commands)
            except Conflict:
                continue
            self._streams.runner.committed()
            for one, outcome in zip(sent, outcomes, strict=True):
                _count(one, outcome)
                if isinstance(outcome, Exception):  # For who lists them: nobody else is told.
                    model.fail(connection, one.row.stream, outcome)
            return
        log.info("deadlines overtaken", streams=len(streams))

    def _still_due(
        self, connection: Connection, streams: Sequence[StreamName], now: datetime
    ) -> list[Sent]:
        """All that is due of these streams as they are now, the first first: whichever worker looks
        at a stream, and after however long a time, its facts come in the same order.
        """
        loaded = self._streams.load(connection, streams)
        rows = [Row(name, one) for name in streams for one in self._streams.due(name, loaded)]
        rows = [row for row in rows if row.deadline.due_at <= now]
        return [
            Sent(
                row,
                self._streams.command(row, loaded, now),
                self._attempt(row, loaded[row.stream][0]),
            )
            for row in sorted(rows, key=lambda row: in_order(row.deadline))
        ]

    def _attempt(self, row: Row, version: int) -> Attempt:
        """With the version: a debt that was paid and comes back has the due time that it had."""
        one = row.deadline
        key = "/".join((*row.stream, one.kind, one.of, one.due_at.isoformat(), str(version)))
        command_id = uuid5(self._store.namespace, key)
        return Attempt(
            actor=ACTOR,
            origin=ACTOR,
            command_id=command_id,
            correlation_id=command_id,
            causation_id=None,
            key=key,
            digest=digest(self._digest_key, [key]),
        )


def _count(sent: Sent, outcome: Outcome | Exception) -> None:
    kind = sent.row.deadline.kind
    if isinstance(outcome, Exception):
        REFUSED.labels(kind).inc()
        log.warning("deadline refused", **_named(sent.row), refusal=str(outcome))
    elif outcome.position is not None and not outcome.repeated:
        DONE.labels(kind).inc()
        log.info("deadline done", **_named(sent.row))


def _named(row: Row) -> dict[str, str]:
    one = row.deadline
    return {"key": row.stream.key, "kind": one.kind, "of": one.of, "due_at": one.due_at.isoformat()}


def run(settings: Settings, stop: threading.Event) -> None:
    """Keep the rows at the head and do what is due until `stop` is set. Outlives a restart of
    PostgreSQL.
    """
    store = Store(settings)
    with followed(DeadlineRows(settings), store, stop):
        while not stop.is_set():
            try:
                _session(settings, store, stop)
            except psycopg.OperationalError as error:
                log.warning("deadlines interrupted", error=type(error).__name__)
                stop.wait(RETRY_SECONDS[-1])


def _session(settings: Settings, store: Store, stop: threading.Event) -> None:
    clerk = Clerk(settings)
    with store.connect(autocommit=True) as connection:
        model.prepare(connection, settings.read_schema)
        while not stop.is_set():
            taken = clerk.turn(connection, datetime.now(UTC))
            found = model.backlog(connection, datetime.now(UTC))
            DUE.set(found.due)
            LATE.set(found.late_seconds)
            FAILING.set(found.failing)
            BEAT.set_to_current_time()
            if taken < ROWS_MAX:
                stop.wait(POLL_SECONDS)
