"""Where each projection stands: positions moved by compare-and-set, heartbeat, lag."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from psycopg import AsyncConnection, Connection
from psycopg.rows import dict_row

from domain.message import Recorded

ERROR_CHARACTERS_MAX = 500

log = structlog.get_logger()

# `event_at`: recorded_at of the last event folded in. `parked`: the first event of a key that could
# not be folded; that key's later events wait in the ledger, in order.
TABLES = """
CREATE TABLE IF NOT EXISTS checkpoint (
    name     text PRIMARY KEY,
    version  int NOT NULL,
    position bigint NOT NULL,
    event_at timestamptz,
    beat_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS parked (
    projection text NOT NULL,
    key        text NOT NULL,
    position   bigint NOT NULL,
    error      text NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, key)
);
"""
CREATED = "SELECT to_regclass('checkpoint') IS NOT NULL AND to_regclass('parked') IS NOT NULL"
# Two processes that start together must not both create a table.
SETUP_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('read_models.' || current_schema(), 0))"
START = """INSERT INTO checkpoint (name, version, position) VALUES (%s, %s, 0)
ON CONFLICT DO NOTHING"""
READ = "SELECT position, version FROM checkpoint WHERE name = %s"
MOVE = """UPDATE checkpoint SET position = %s, event_at = %s, beat_at = clock_timestamp()
WHERE name = %s AND position = %s RETURNING to_regclass(quote_ident(name))::oid::bigint"""
MIRROR = """INSERT INTO checkpoint (name, version, position, event_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = excluded.position,
    event_at = coalesce(excluded.event_at, checkpoint.event_at), beat_at = clock_timestamp()"""
ANEW = "UPDATE checkpoint SET version = %s, position = 0 WHERE name = %s"
BEAT = "UPDATE checkpoint SET beat_at = clock_timestamp() WHERE name = %s"
LOCK = "SELECT position FROM checkpoint WHERE name = %s FOR UPDATE"
PARK = """INSERT INTO parked (projection, key, position, error) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING"""
PARKED_KEYS = "SELECT key FROM parked WHERE projection = %s"
PARKED = """SELECT projection, key, position, error, parked_at FROM parked
ORDER BY projection, position, key"""
PARKED_AT = "SELECT position FROM parked WHERE projection = %s AND key = %s"
UNPARK = "DELETE FROM parked WHERE projection = %s AND key = %s"
UNPARK_ALL = "DELETE FROM parked WHERE projection = %s"
# Seconds: how long the oldest event that is not folded in has been in the ledger.
LAG_SECONDS = """coalesce(extract(epoch FROM clock_timestamp() - (
    SELECT e.recorded_at FROM ledger_event e WHERE e.position = c.position + 1)), 0)::float8"""
PARKED_COUNT = "(SELECT count(*) FROM parked p WHERE p.projection = c.name)"
HEAD = "(SELECT coalesce(max(position), 0) AS head FROM ledger_event) h"
LAG = f"""SELECT c.name, c.position, h.head - c.position AS lag_events,
    {LAG_SECONDS} AS lag_seconds, c.beat_at AS heartbeat_at, h.head, {PARKED_COUNT} AS parked
FROM checkpoint c, {HEAD} WHERE right(c.name, 9) <> '__rebuild' ORDER BY c.name"""
LAG_OF = f"""SELECT c.position, h.head - c.position, {LAG_SECONDS}, {PARKED_COUNT}
FROM checkpoint c, {HEAD} WHERE c.name = %(name)s"""


class Overtaken(Exception):
    """Another worker moved the checkpoint first; nothing of this batch was kept."""


def read(connection: Connection[Any], name: str) -> tuple[int, int] | None:
    """Position and version of a projection, None before its first start."""
    return connection.execute(READ, [name]).fetchone()


def reached(connection: Connection[Any], name: str) -> int:
    """0 before the projection's first start."""
    found = read(connection, name)
    return 0 if found is None else found[0]


def is_of_another_version(connection: Connection[Any], name: str, version: int) -> bool:
    found = read(connection, name)
    return found is not None and found[1] != version


def move(
    connection: Connection[Any], name: str, expected: int, position: int, event_at: datetime | None
) -> int | None:
    """Compare and set, first thing in the transaction of the rows: it also locks others out.

    The table's oid, which a rebuild changes. Raises Overtaken.
    """
    moved = connection.execute(MOVE, [position, event_at, name, expected]).fetchone()
    if moved is None:
        raise Overtaken(f"{name} is no longer at {expected}")
    table: int | None = moved[0]
    return table


def park(connection: Connection[Any], name: str, key: str, position: int, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}".replace("\x00", "")[:ERROR_CHARACTERS_MAX]
    connection.execute(PARK, [name, key, position, text])


def pass_over(
    connection: Connection[Any], name: str, one: Recorded, after: int, error: Exception
) -> int:
    """Go on behind a fact that could not be worked on, which is parked under its key and position;
    the position by then.
    """
    log.error("parked", projection=name, key=one.key, error=repr(error)[:ERROR_CHARACTERS_MAX])
    with connection.transaction():
        move(connection, name, after, one.position, one.recorded_at)
        park(connection, name, f"{one.key}/{one.position}", one.position, error)
    return one.position


def parked_keys(connection: Connection[Any], name: str) -> set[str]:
    return {key for (key,) in connection.execute(PARKED_KEYS, [name])}


async def position_of(connection: AsyncConnection[Any], name: str) -> int:
    """0 before the projection's first start."""
    row = await (await connection.execute(READ, [name])).fetchone()
    return 0 if row is None else int(row[0])


async def lag(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Per projection {name, position, lag_events, lag_seconds, heartbeat_at, head, parked}."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(LAG)
        return await cursor.fetchall()
