"""The event store on PostgreSQL: units in, streams and the ordered feed out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, Connection, sql

from commands.append import APPEND, Answer, Unit, answers, append_parameters
from commands.settings import Settings
from domain import codec
from domain.message import EVENT_TYPES, Recorded

EVENTS_PER_APPEND_MAX = 5_000
FEED_LIMIT_MAX = 10_000
FEED_BYTES_MAX = 32 * 1024 * 1024  # of states in one batch

AUDIT = "SELECT ledger_audit_append(%s::json)"
HEAD = "SELECT coalesce(max(position), 0) FROM ledger_event"
# Lateral and sorted inside, so that each stream is read by its own index range.
LOAD = """SELECT e.stream_id, e.version, e.topic, e.state
FROM unnest(%s::uuid[], %s::int[]) AS known (stream_id, version)
CROSS JOIN LATERAL (
    SELECT * FROM ledger_event e
    WHERE e.stream_id = known.stream_id AND e.version > known.version ORDER BY e.version
) AS e ORDER BY e.stream_id, e.version"""
CLAIMS = """SELECT kind, key, owner FROM ledger_claim
WHERE (kind, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""
REPEATS = """SELECT actor, key, digest, outcome, position FROM ledger_command
WHERE (actor, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""
COLUMNS = """position, stream_id, version, category, key, topic, state, occurred_at, recorded_at,
actor, origin, command_id, correlation_id, causation_id"""
# At least one event; the bytes before an event bound the memory of a batch.
FEED = f"""SELECT {COLUMNS} FROM (
    SELECT *, sum(octet_length(state)) OVER (ORDER BY position) - octet_length(state) AS bytes
    FROM ledger_event WHERE position > %s ORDER BY position LIMIT %s
) AS e WHERE bytes < {FEED_BYTES_MAX} ORDER BY position"""
EARLIER = f"""SELECT {COLUMNS} FROM ledger_event
WHERE stream_id = ANY(%s) AND position < %s ORDER BY position"""
STREAM = f"""SELECT {COLUMNS} FROM ledger_event
WHERE stream_id = %s AND version > %s ORDER BY version LIMIT %s"""


def recorded(row: tuple[Any, ...]) -> Recorded:
    """One row of COLUMNS. Raises UnknownTopic at once, also for those who would pass it over."""
    (position, stream, version, category, key, topic, state, _occurred_at, *rest) = row
    decode = partial(codec.decode, topic, state)
    return Recorded(position, stream, version, category, key, _newest(topic), decode, *rest)


def _newest(topic: str) -> str:
    """The topic that a stored one is decoded to."""
    while topic in codec.UPCASTERS:
        topic, _ = codec.UPCASTERS[topic]
    if topic not in EVENT_TYPES:
        raise codec.UnknownTopic(topic)
    return topic


class Store:
    """SQL of one ledger on a caller's connection; the caller owns the transaction.

    Synchronous for workers, the `a…` twins for the API. Errors are psycopg's.
    """

    def __init__(self, settings: Settings) -> None:
        self.namespace = settings.namespace
        self.channel = settings.channel
        self.url = settings.postgres_url
        self.session = session_options(settings)

    def connect(self, *, autocommit: bool = False) -> Connection:
        return psycopg.connect(self.url, autocommit=autocommit, **self.session)

    async def aconnect(self, *, autocommit: bool = False) -> AsyncConnection:
        return await AsyncConnection.connect(self.url, autocommit=autocommit, **self.session)

    def append(self, connection: Connection, units: Sequence[Unit]) -> list[Answer]:
        """Runs in the transaction that is open; give it as its last statement."""
        parameters = append_parameters(self.namespace, units)
        return answers(units, connection.execute(APPEND, parameters, binary=True))

    async def aappend(self, connection: AsyncConnection, units: Sequence[Unit]) -> list[Answer]:
        parameters = append_parameters(self.namespace, units)
        cursor = await connection.execute(APPEND, parameters, binary=True)
        return answers(units, await cursor.fetchall())

    def head(self, connection: Connection) -> int:
        row = connection.execute(HEAD).fetchone()
        assert row is not None
        return int(row[0])

    def feed(
        self, connection: Connection, after: int, limit: int = FEED_LIMIT_MAX
    ) -> list[Recorded]:
        """Events behind `after` in position order. Whoever saw n has seen all below n."""
        return [recorded(row) for row in connection.execute(FEED, [after, limit], binary=True)]

    def earlier(
        self, connection: Connection, streams: Sequence[UUID], below: int
    ) -> list[Recorded]:
        """Events of these streams below a position, in position order."""
        rows = connection.execute(EARLIER, [list(streams), below], binary=True)
        return [recorded(row) for row in rows]


def session_options(settings: Settings) -> dict[str, Any]:
    """Connection arguments: the ledger's schema and role, and bounds on every wait.

    READ COMMITTED is what `ledger_append` insists on. The role takes away what a session does not
    need, also when the URL's user could do more.
    """
    bounds = {
        "search_path": f"{settings.schema_name},{settings.read_schema}",
        "role": settings.role,
        "default_transaction_isolation": "read\\ committed",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "5s",
        "statement_timeout": "60s",
        # Above the others, which end a statement or an idle client, not the whole session.
        "transaction_timeout": "90s",
        "timezone": "UTC",
    }
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in bounds.items()),
        "connect_timeout": 5,
        # A server that vanished without a word is given up after 15 s, not after two hours.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 5,
        "tcp_user_timeout": 15_000,
        "application_name": f"ledger_{settings.name}",
    }


def notify(channel: str) -> sql.Composed:
    """Sent after the commit on another connection: inside it would serialise all commits."""
    return sql.SQL("NOTIFY {}").format(sql.Identifier(channel))
