"""The event store on PostgreSQL: units in, streams and the ordered feed out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any
from uuid import UUID, uuid5

import orjson
import psycopg
from psycopg import AsyncConnection, Connection, sql

from commands.settings import Settings
from domain import codec
from domain.message import EVENT_TYPES, Attempt, Event, Recorded, StreamName

EVENTS_PER_APPEND_MAX = 5_000
FEED_LIMIT_MAX = 10_000
FEED_BYTES_MAX = 32 * 1024 * 1024  # of states in one batch

APPEND = "SELECT * FROM ledger_append(%s::json, %s::json, %s::json, %s::json, %s::json)"
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


@dataclass(frozen=True, slots=True)
class Audit:
    """A refusal or a look at personal data, for `ledger_audit`. Facts hold no personal data."""

    kind: str  # `refused`, `viewed`
    command: str
    target: str  # the id it was about
    code: str
    facts: Mapping[str, Any]


@dataclass(slots=True)
class CommandRow:
    """One command of a unit. An outcome of None is answered but not kept."""

    attempt: Attempt
    outcome: str | None
    audit: Audit | None = None


@dataclass(slots=True)
class Unit:
    """Events of one or several commands, accepted or missed as a whole.

    `streams`: version that each stream must still have (0: none) and whether it is written.
    `events`: (index of the command, stream, event with its personal fields sealed), in order.
    """

    streams: dict[StreamName, tuple[int, bool]] = field(default_factory=dict)
    events: list[tuple[int, StreamName, Event]] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    claims: list[tuple[str, str, str]] = field(default_factory=list)
    keys: list[tuple[str, int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Repeat:
    """The first outcome of a command that the ledger has seen before."""

    digest: bytes
    outcome: str
    position: int | None


@dataclass(slots=True)
class Answer:
    """What became of a unit. Accepted when `missed` is empty."""

    positions: dict[int, int | None] = field(default_factory=dict)  # command -> its last position
    repeats: dict[int, Repeat] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)  # `stale`, `claimed`, `key_taken`, `repeated`


@lru_cache(maxsize=100_000)
def stream_id(namespace: UUID, name: StreamName) -> UUID:
    """The key itself for orders and parcels (UUID text), uuid5 of the natural key for the rest."""
    if name.category in ("order", "parcel"):
        return UUID(name.key)
    return uuid5(namespace, f"{name.category}/{name.key}")


def append_parameters(namespace: UUID, units: Sequence[Unit]) -> list[str]:
    """The five JSON arguments of `ledger_append`; its shape is described there."""
    streams, events, commands, claims, keys = [], [], [], [], []
    for number, unit in enumerate(units):
        for name, (expected, written) in unit.streams.items():
            streams.append(
                {
                    "unit": number,
                    "stream_id": stream_id(namespace, name),
                    "expected": expected,
                    "written": written,
                }
            )
        for command, name, event in unit.events:
            events.append(
                {
                    "unit": number,
                    "command": command,
                    "stream_id": stream_id(namespace, name),
                    "category": name.category,
                    "key": name.key,
                    "topic": event.TOPIC,
                    "state": codec.encode(event).decode(),
                    "occurred_at": event.at,
                }
            )
        for index, row in enumerate(unit.commands):
            commands.append(_command(number, index, row))
        claims += [
            {"unit": number, "kind": kind, "key": key, "owner": owner}
            for kind, key, owner in unit.claims
        ]
        keys += [
            {"unit": number, "person": person, "version": version, "wrapped": wrapped.hex()}
            for person, version, wrapped in unit.keys
        ]
    return [orjson.dumps(rows).decode() for rows in (streams, events, commands, claims, keys)]


def _command(number: int, index: int, row: CommandRow) -> dict[str, Any]:
    attempt, audit = row.attempt, row.audit
    return {
        "unit": number,
        "command": index,
        "actor": attempt.actor,
        "origin": attempt.origin,
        "key": attempt.key,
        "digest": attempt.digest.hex(),
        "command_id": attempt.command_id,
        "correlation_id": attempt.correlation_id,
        "causation_id": attempt.causation_id,
        "outcome": row.outcome,
        "audit": None
        if audit is None
        else {
            "kind": audit.kind,
            "command": audit.command,
            "target": audit.target,
            "code": audit.code,
            "facts": orjson.dumps(dict(audit.facts)).decode(),
        },
    }


def answers(units: Sequence[Unit], rows: Iterable[tuple[Any, ...]]) -> list[Answer]:
    """Sort the rows of `ledger_append` by unit."""
    found = [Answer() for _ in units]
    for unit, status, command, position, _name, digest, outcome in rows:
        answer = found[unit]
        if status == "accepted":
            answer.positions[command] = position
            continue
        answer.missed.append(status)
        if status == "repeated":
            answer.repeats[command] = Repeat(bytes(digest), outcome, position)
    return found


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
