"""Recorded events as the API shows them: metadata and JSON, personal fields opened or masked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from psycopg import AsyncConnection

from api.attempts import Sender, uuid7
from api.context import Context
from commands.append import stream_id
from commands.keys import SELECT_KEYS, Vault
from commands.store import AUDIT, STREAM
from domain import codec
from domain.message import Sealed, StreamName

CHANGES_MAX = 1_000  # events listed in a `stale_version`
MASKED = {"masked": True}
UNREADABLE = {"unreadable": True}
SEALED_KEYS = frozenset(Sealed.model_fields)

Open = Callable[[dict[str, Any]], Any]
Row = Sequence[Any]  # of commands.store.COLUMNS


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == SEALED_KEYS


def sealed_persons(rows: Iterable[Row]) -> set[str]:
    """About whom the sealed fields of these events are."""
    states = (orjson.loads(row[6]) for row in rows)
    return {value["person"] for state in states for value in state.values() if is_sealed(value)}


def mask(_sealed: dict[str, Any]) -> Any:
    return MASKED


def event_json(row: Row, opened: Open = mask) -> dict[str, Any]:
    """One event as recorded; `opened` says what stands for a sealed field."""
    (position, stream, version, category, key, topic, state, occurred_at, recorded_at, *rest) = row
    actor, origin, command_id, correlation_id, causation_id = rest
    return {
        "position": position,
        "stream_id": stream,
        "category": category,
        "key": key,
        "version": version,
        "topic": topic,
        "occurred_at": occurred_at,
        "recorded_at": recorded_at,
        "actor": actor,
        "origin": origin,
        "command_id": command_id,
        "correlation_id": correlation_id,
        "causation_id": causation_id,
        "data": {
            name: opened(value) if is_sealed(value) else value
            for name, value in orjson.loads(state).items()
        },
    }


async def stream_rows(
    connection: AsyncConnection[Any], context: Context, stream: StreamName, after: int, limit: int
) -> list[Row]:
    parameters = [stream_id(context.store.namespace, stream), after, limit]
    cursor = await connection.execute(STREAM, parameters, binary=True)
    return await cursor.fetchall()


async def whole_stream(
    connection: AsyncConnection[Any], context: Context, stream: StreamName, at_once: int
) -> AsyncIterator[Row]:
    """All events of a stream, read `at_once` at a time."""
    version = 0
    while True:
        rows = await stream_rows(connection, context, stream, version, at_once)
        for row in rows:
            yield row
        if len(rows) < at_once:
            return
        version = rows[-1][2]


async def changes_since(context: Context, stream: StreamName, version: int) -> list[dict[str, Any]]:
    """What happened to a stream after a version, personal fields masked."""
    async with context.reading() as connection:
        rows = await stream_rows(connection, context, stream, version, CHANGES_MAX)
    return [event_json(row) for row in rows]


async def opener(
    connection: AsyncConnection[Any], context: Context, persons: Iterable[str]
) -> Open:
    """Opens sealed fields of these persons; what was erased says so."""
    vault = context.vault()
    cursor = await connection.execute(SELECT_KEYS, [list(persons)])
    vault.learn(await cursor.fetchall())
    return lambda sealed: _reveal(sealed, vault)


def _reveal(sealed: Mapping[str, Any], vault: Vault) -> Any:
    try:
        return codec.reveal(Sealed.model_validate(sealed), vault)
    except InvalidTag:  # Changed or moved since it was sealed: the verifier's business.
        return UNREADABLE


async def record_look(
    connection: AsyncConnection[Any], sender: Sender, what: str, target: str, fields: Sequence[str]
) -> None:
    """A look at personal data, written down before the answer leaves."""
    entry = {
        "kind": "viewed",
        "actor": sender.actor,
        "origin": "api",
        "command_id": uuid7(),
        "correlation_id": sender.correlation_id,
        "command": what,
        "target": target,
        "code": "customer.read_personal",
        "facts": orjson.dumps({"fields": fields}).decode(),
    }
    await connection.execute(AUDIT, [orjson.dumps([entry]).decode()])
