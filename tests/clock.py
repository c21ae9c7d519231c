"""A ledger whose clock is ours: commands at given times, and the deadlines that come of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import Connection

from commands.keys import Vault
from commands.planning import Outcome
from commands.runner import BatchRunner, Conflict
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt, Command
from projections import deadlines as model
from tests import given, given_orders
from workers.deadline_rows import DeadlineRows
from workers.deadlines import Clerk

TRIES_MAX = 50


def attempt(origin: str = "test") -> Attempt:
    name = uuid4()
    return Attempt("desk", origin, name, name, None, name.hex, b"d" * 32)


class Clock:
    """Runs commands, lets the rows follow, and does what is due by a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings)
        self.connection = self.store.connect(autocommit=True)
        self.rows = DeadlineRows(settings)
        self.clerk = Clerk(settings)
        self._runner = BatchRunner(self.store, Vault(settings.name, settings.master_key_bytes()))
        model.prepare(self.connection, settings.read_schema)

    def close(self) -> None:
        self.connection.close()

    def run(self, *commands: Command, origin: str = "test") -> list[Outcome | Exception]:
        return [self._run(command, origin) for command in commands]

    def _run(self, command: Command, origin: str) -> Outcome | Exception:
        for _ in range(TRIES_MAX):
            try:
                with self.connection.transaction():
                    [outcome] = self._runner.run(self.connection, [(command, attempt(origin))])
            except Conflict:
                continue
            self._runner.committed()
            return outcome
        raise Conflict(command)

    def follow(self) -> int:
        position = self.rows.position(self.connection)
        while batch := self.store.feed(self.connection, position):
            position = self.rows.apply(self.connection, batch, position)
        return position

    def reach(self, now: datetime) -> None:
        """Until nothing more is done by that time."""
        while True:
            before = self.follow()
            while self.clerk.turn(self.connection, now):
                pass
            if self.store.head(self.connection) == before:
                return

    def due(self) -> list[model.Row]:
        """All rows, the first first."""
        found = self.connection.execute(
            "SELECT category, key, kind, subject, due_at FROM deadlines"
            " ORDER BY due_at, kind, key, subject"
        )
        return [model._row(*row) for row in found]

    def spoil(self, order_id: str, state: str = "{}") -> None:
        """What the order's second event says, which then may be nothing that can be read."""
        with psycopg.connect(self.settings.postgres_url, autocommit=True) as connection:
            connection.execute("SET search_path TO main")
            connection.execute("ALTER TABLE ledger_event DISABLE TRIGGER ALL")
            connection.execute(
                "UPDATE ledger_event SET state = convert_to(%s, 'UTF8')"
                " WHERE key = %s AND version = 2",
                [state, order_id],
            )
            connection.execute("ALTER TABLE ledger_event ENABLE TRIGGER ALL")

    def count(self, topic: str) -> int:
        return counted(self.connection, topic)


def counted(connection: Connection[Any], topic: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM ledger_event WHERE topic = %s", [topic]
    ).fetchone()
    assert row is not None
    return int(row[0])


def order(at: datetime = given.NOON, *lines: Any, **more: Any) -> Any:
    """A placement of 2 teas at 50.00 with an id of its own."""
    name = str(uuid4())
    return given_orders.place(name, *lines, at=at, numbers=(name.replace("-", "")[:10],), **more)


DAY = timedelta(days=1)
