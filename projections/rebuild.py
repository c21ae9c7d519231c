"""Folding again: a whole read model beside the live one, or one parked key after the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

from psycopg import Connection, sql

from domain.message import Recorded
from projections import checkpoint
from projections.engine import BATCH_EVENTS_MAX, Engine, Projection, Row, create_tables, fold_key

R = TypeVar("R", bound=Row)
Feed = Callable[[int, int], Sequence[Recorded]]  # (after, limit) -> events in position order

SUFFIX = "__rebuild"
CATCH_UP_EVENTS_MAX = 2_000  # so few are folded while the live projection waits
DIFFERENCES_MAX = 20  # keys named in a report
LOCK_SECONDS = 5
COMPARE_SECONDS = 1_800  # of one statement while the live table is held still

COMPARE: LiteralString = """SELECT coalesce(l.{key}, r.{key}) FROM {live} l
FULL JOIN {rebuilt} r ON l.{key} = r.{key} WHERE l IS DISTINCT FROM r ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of a rebuild. `differing` counts rows of the live table that were not equal."""

    name: str
    position: int
    rows: int
    differing: int
    examples: tuple[str, ...]  # keys of such rows
    swapped: bool


def rebuild(
    connection: Connection[Any],
    projection: Projection[R],
    schema: str,
    feed: Feed,
    *,
    compare: bool = False,
) -> Rebuilt:
    """Fold everything into a fresh table and put it in the live one's place by renaming.

    Reads go on all the while; the live projection pauses for the last few events and the
    comparison. With `compare` the tables are compared row by row at one position, and a difference
    keeps the live one. Raises psycopg's errors; then the live table stands as it was.
    """
    beside = Engine(projection, schema, SUFFIX)
    _forget(connection, beside)
    beside.prepare(connection)
    position = _catch_up(connection, beside, projection.name, feed)
    with _paused(connection, schema, projection.name) as held:
        # Without a live table there is nothing to catch up or compare with.
        live = position if held is None else held
        position = _fold_up_to(connection, beside, position, live, feed)
        assert position == live, f"rebuilt to {position}, the live one is at {live}"
        differing = _differing(connection, projection, beside.name) if compare else []
        swapped = not differing
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(beside.name))
        (rows,) = connection.execute(count).fetchone() or (0,)
        if swapped:
            _swap(connection, projection, beside.name)
    _forget(connection, beside)
    return Rebuilt(
        projection.name, position, rows, len(differing), tuple(differing[:DIFFERENCES_MAX]), swapped
    )


def _forget(connection: Connection[Any], beside: Engine[Any]) -> None:
    """What an earlier rebuild, perhaps a killed one, left beside the live table."""
    names = {"schema": sql.Identifier(beside.schema), "table": sql.Identifier(beside.name)}
    with connection.transaction():
        create_tables(connection, beside.schema)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {schema}.{table}").format(**names))
        staging = sql.Identifier(f"staging_{beside.name}")
        connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(staging))
        connection.execute("DELETE FROM checkpoint WHERE name = %s", [beside.name])
        connection.execute("DELETE FROM parked WHERE projection = %s", [beside.name])


def _catch_up(connection: Connection[Any], beside: Engine[Any], live_name: str, feed: Feed) -> int:
    """Fold until the live projection is only a little ahead."""
    position = 0
    while True:
        found = checkpoint.read(connection, live_name)
        goal = feed_head(feed, position) if found is None else found[0]
        if position >= goal - CATCH_UP_EVENTS_MAX:
            return position
        position = _fold_up_to(connection, beside, position, goal, feed)


def feed_head(feed: Feed, position: int) -> int:
    """The last position of the feed, for a projection that has no live table yet."""
    while batch := feed(position, BATCH_EVENTS_MAX):
        position = batch[-1].position
    return position


def _fold_up_to(
    connection: Connection[Any], beside: Engine[Any], position: int, goal: int, feed: Feed
) -> int:
    while position < goal:
        batch = feed(position, min(BATCH_EVENTS_MAX, goal - position))
        position = beside.apply(connection, batch, position)
    return position


@contextmanager
def _paused(connection: Connection[Any], schema: str, name: str) -> Iterator[int | None]:
    """The live position, held still: its worker waits for the row that it moves."""
    with connection.transaction():
        path = sql.SQL("SET LOCAL search_path TO {}, ").format(sql.Identifier(schema))
        current = connection.execute("SHOW search_path").fetchone()
        assert current is not None
        connection.execute(path + sql.SQL(current[0]))
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
        # Comparing and folding what came in the meantime take longer than a command may.
        for bound in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"SET LOCAL {bound} = '{COMPARE_SECONDS}s'".encode())
        row = connection.execute(checkpoint.LOCK, [name]).fetchone()
        yield None if row is None else int(row[0])


def _differing(connection: Connection[Any], projection: Projection[Any], rebuilt: str) -> list[str]:
    names = {
        "key": sql.Identifier(projection.table.key),
        "live": sql.Identifier(projection.name),
        "rebuilt": sql.Identifier(rebuilt),
    }
    query = sql.SQL(COMPARE).format(**names)
    return [key for (key,) in connection.execute(query)]


def _swap(connection: Connection[Any], projection: Projection[Any], rebuilt: str) -> None:
    """Parked keys follow the table: those of the fresh one are what today's code cannot fold."""
    name = projection.name
    live, fresh = sql.Identifier(name), sql.Identifier(rebuilt)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(live))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(fresh, live))
    connection.execute("DELETE FROM parked WHERE projection = %s", [name])
    connection.execute("UPDATE parked SET projection = %s WHERE projection = %s", [name, rebuilt])
    connection.execute("DELETE FROM checkpoint WHERE name = %s", [name])
    connection.execute("UPDATE checkpoint SET name = %s WHERE name = %s", [name, rebuilt])


def release(connection: Connection[Any], engine: Engine[R], key: str, feed: Feed) -> int | None:
    """Fold a parked key from where it was set aside up to the checkpoint, and go on with it.

    All in one transaction that holds the checkpoint still. A key that still cannot be folded stays
    parked, and the position that stopped it is returned; None when all went well. Raises KeyError
    for a key that is not parked.
    """
    projection = engine.projection
    engine.stage(connection)
    with connection.transaction():
        row = connection.execute(checkpoint.LOCK, [engine.name]).fetchone()
        parked = connection.execute(checkpoint.PARKED_AT, [engine.name, key]).fetchone()
        if row is None or parked is None:
            raise KeyError(f"{key} of {engine.name} is not parked")
        before = engine.rows(connection, [key]).get(key)
        events = _events_of(projection, key, parked[0] - 1, row[0], feed)
        after, failure = fold_key(projection, before, events)
        if after is not before:
            engine.write_one(connection, key, after)
        connection.execute(checkpoint.UNPARK, [engine.name, key])
        if failure is not None:
            checkpoint.park(connection, engine.name, key, failure.position, failure.error)
    return None if failure is None else failure.position


def _events_of(
    projection: Projection[Any], key: str, after: int, until: int, feed: Feed
) -> Iterator[Recorded]:
    """Events of a key may stand in several streams, hence the whole range is read."""
    while after < until:
        batch = feed(after, min(BATCH_EVENTS_MAX, until - after))
        for recorded in batch:
            if recorded.topic in projection.topics and key in projection.keys(recorded):
                yield recorded
        after = batch[-1].position
