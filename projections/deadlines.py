"""The read model of deadlines: what the clock will bring about, and what is due by now.

A row is a hint to look at a stream, never a reason to act: who acts asks the stream again. It
holds what is still to come only, so it stays small however long the ledger is. Rows follow from
whole streams (an order and the policy of its placement), not from one event after the other, so
this is no `Projection`: a worker reads the streams and hands in what they come to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from domain.deadlines import Deadline, in_order
from domain.message import StreamName
from projections import checkpoint
from projections.engine import create_tables

NAME = "deadlines"
VERSION = 3  # 2: the shop; 3: completion and papers
LOOK_AGAIN_SECONDS = 5.0  # doubled with each look that found nothing to do, or failed
LOOK_AGAIN_SECONDS_MAX = 3_600.0
DOUBLINGS_MAX = 16
ERROR_CHARACTERS_MAX = 500

# `next_at`: when to look at it next; who has taken a row moves it, so it is also a lease.
CREATE = """CREATE TABLE IF NOT EXISTS deadlines (
    category text NOT NULL,
    key      text NOT NULL,
    kind     text NOT NULL,
    subject  text NOT NULL,
    due_at   timestamptz NOT NULL,
    next_at  timestamptz NOT NULL,
    tries    int NOT NULL DEFAULT 0,
    error    text,
    shop     text,  -- of an order
    PRIMARY KEY (category, key, kind, subject)
)"""
INDEX = "CREATE INDEX IF NOT EXISTS deadlines_due ON deadlines (due_at)"
OF_STREAMS = """SELECT category, key, kind, subject, due_at, shop FROM deadlines
WHERE (category, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""
DROP = """DELETE FROM deadlines
WHERE (category, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""
INSERT = """INSERT INTO deadlines (category, key, kind, subject, due_at, shop, next_at)
SELECT *, due_at FROM
unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
    AS new (category, key, kind, subject, due_at, shop)"""
TAKE = f"""WITH taken AS (
    SELECT category, key, kind, subject FROM deadlines
    WHERE due_at <= %(now)s AND next_at <= %(now)s
    ORDER BY due_at, category, key LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE deadlines d SET tries = d.tries + 1, next_at = %(now)s + least(
    {LOOK_AGAIN_SECONDS} * 2 ^ least(d.tries, {DOUBLINGS_MAX}), {LOOK_AGAIN_SECONDS_MAX}
    ) * interval '1 second'
FROM taken t WHERE (d.category, d.key, d.kind, d.subject) = (t.category, t.key, t.kind, t.subject)
RETURNING d.category, d.key, d.kind, d.subject, d.due_at, d.shop"""
FAIL = """UPDATE deadlines SET error = %s
WHERE (category, key) = (%s, %s) AND tries > 0"""
BACKLOG = """SELECT count(*), min(due_at), count(*) FILTER (WHERE error IS NOT NULL)
FROM deadlines WHERE due_at <= %s"""


class Row(NamedTuple):
    stream: StreamName
    deadline: Deadline
    shop: str | None = None  # of an order


class Backlog(NamedTuple):
    """What is due and not done."""

    due: int
    late_seconds: float  # of the oldest
    failing: int


def prepare(connection: Connection[Any], schema: str) -> None:
    """Create what is missing; what another version of the code found out is found out anew."""
    with connection.transaction():
        create_tables(connection, schema)
        connection.execute(CREATE)
        connection.execute(INDEX)
        connection.execute(checkpoint.START, [NAME, VERSION])
        if is_of_another_version(connection):
            connection.execute("ALTER TABLE deadlines ADD COLUMN IF NOT EXISTS shop text")
            connection.execute(checkpoint.ANEW, [VERSION, NAME])


def is_of_another_version(connection: Connection[Any]) -> bool:
    """Whether another version of the code has found out what is there."""
    return checkpoint.is_of_another_version(connection, NAME, VERSION)


def replace(
    connection: Connection[Any], names: Iterable[StreamName], found: Collection[Row]
) -> None:
    """All deadlines of these streams as they are now, in the transaction that is open."""
    connection.execute(DROP, _names(names))
    rows = [
        (*stream, one.kind, one.of, one.due_at, shop)
        for stream, one, shop in sorted(found, key=lambda row: in_order(row.deadline))
    ]
    if rows:
        connection.execute(INSERT, [list(column) for column in zip(*rows, strict=True)])


def of_streams(connection: Connection[Any], names: Iterable[StreamName]) -> set[Row]:
    return {_row(*row) for row in connection.execute(OF_STREAMS, _names(names))}


def _names(names: Iterable[StreamName]) -> list[list[str]]:
    names = list(names)
    return [[name.category for name in names], [name.key for name in names]]


def take(connection: Connection[Any], now: datetime, limit: int) -> list[Row]:
    """What is due by then, the oldest first; nobody else is given it for some seconds.

    What is done goes when its fact is followed. A row that stays comes again, later each time.
    """
    rows = connection.execute(TAKE, {"now": now, "limit": limit}).fetchall()
    return sorted((_row(*row) for row in rows), key=lambda row: in_order(row.deadline))


def _row(
    category: str, key: str, kind: str, subject: str, due_at: datetime, shop: str | None = None
) -> Row:
    return Row(StreamName(category, key), Deadline(due_at, kind, subject), shop)


def fail(connection: Connection[Any], stream: StreamName, error: Exception) -> None:
    """Say why its rows that were taken could not be done; they are tried again when they come."""
    text = f"{type(error).__name__}: {error}".replace("\x00", "")[:ERROR_CHARACTERS_MAX]
    connection.execute(FAIL, [text, *stream])


def count(connection: Connection[Any]) -> int:
    found = connection.execute("SELECT count(*) FROM deadlines").fetchone()
    assert found is not None
    return int(found[0])


def backlog(connection: Connection[Any], now: datetime) -> Backlog:
    found = connection.execute(BACKLOG, [now]).fetchone()
    assert found is not None
    due, oldest, failing = found
    late = now - oldest if oldest else timedelta()
    return Backlog(due, late.total_seconds(), failing)
