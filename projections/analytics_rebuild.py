"""Folding all facts again beside the live ones, comparing both, and putting them in their place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import duckdb

from projections.analytics import NAME, Earlier, FactWriter, transaction
from projections.analytics_tables import TABLES
from projections.engine import BATCH_EVENTS_MAX
from projections.rebuild import DIFFERENCES_MAX, SUFFIX, Feed, Rebuilt

SWAP_TRIES_MAX = 100  # against the live writer, whose commits go on; each is short
SWAP_PAUSE_SECONDS = 0.1
# Between the tries of one commit, which fails when the live writer commits meanwhile: 30 s in all.
PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, *(1.0,) * 9, *(2.0,) * 10)

T = TypeVar("T")


class LiveWriterTooFast(Exception):
    """The live writer committed during every try: try again when it rests."""

    def __init__(self) -> None:
        super().__init__(
            f"{NAME}: the live facts moved on during every try to replace them. They stand as "
            "they were; try again when fewer events come in"
        )


class Compared(NamedTuple):
    """What was found different in the facts up to a position."""

    position: int
    differing: int
    examples: tuple[str, ...]


def rebuild_facts(
    connection: duckdb.DuckDBPyConnection, feed: Feed, earlier: Earlier, *, compare: bool = False
) -> Rebuilt:
    """As `rebuild.rebuild`, for the facts; rows differ when a fact stands in one of both only.

    Readers see the old facts or the new ones, each complete. Raises duckdb.Error,
    LiveWriterTooFast; then the live facts stand as they were.
    """
    live = FactWriter(connection, earlier)
    _patiently(live.prepare)
    _patiently(partial(_forget, connection))
    beside = FactWriter(connection, earlier, SUFFIX)
    _patiently(beside.prepare)
    _catch_up(beside, live, feed)
    seen = _compare(connection, beside) if compare else None
    for tried in range(SWAP_TRIES_MAX):
        time.sleep(SWAP_PAUSE_SECONDS if tried else 0)
        _catch_up(beside, live, feed)
        try:
            found = _finish(connection, beside, live, seen)
        except duckdb.TransactionException:  # The live writer was first.
            continue
        if found is not None:
            _patiently(partial(_forget, connection))
            return found
    raise LiveWriterTooFast


def _patiently(run: Callable[[], T]) -> T:
    """Commit again what the live writer's commits made fail: all write to the same checkpoints.

    Raises LiveWriterTooFast when no try came through.
    """
    for pause in PAUSES_SECONDS:
        try:
            return run()
        except duckdb.TransactionException:
            time.sleep(pause)
    raise LiveWriterTooFast


def _forget(connection: duckdb.DuckDBPyConnection) -> None:
    with transaction(connection):
        for table in TABLES:
            connection.execute(f"DROP TABLE IF EXISTS lake.{table}{SUFFIX}")
        for table in ("checkpoint", "parked"):
            connection.execute(f"DELETE FROM lake.{table} WHERE name = ?", [NAME + SUFFIX])


def _catch_up(beside: FactWriter, live: FactWriter, feed: Feed) -> None:
    position, goal = beside.position(), live.position()
    while position < goal:
        batch = feed(position, min(BATCH_EVENTS_MAX, goal - position))
        position = _patiently(partial(beside.apply, batch, position))


def _compare(connection: duckdb.DuckDBPyConnection, beside: FactWriter) -> Compared:
    """The most of it, before the swap, which has to be quick to come between two live commits."""
    with transaction(connection):
        position = beside.position()
        return Compared(position, *_differing(connection, 0, position))


def _finish(
    connection: duckdb.DuckDBPyConnection,
    beside: FactWriter,
    live: FactWriter,
    seen: Compared | None,
) -> Rebuilt | None:
    """None when the live facts moved on meanwhile. The swap conflicts with any commit of theirs."""
    with transaction(connection):
        position = beside.position()
        if live.position() != position:
            return None
        differing, examples = 0, tuple[str, ...]()
        if seen is not None:
            differing, examples = _differing(connection, seen.position, position)
            differing += seen.differing
            examples = (*seen.examples, *examples)[:DIFFERENCES_MAX]
        rows = sum(_count(connection, f"{table}{SUFFIX}") for table in TABLES)
        if not differing:
            _swap(connection, position)
    return Rebuilt(NAME, position, rows, differing, examples, swapped=not differing)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM lake.{table}").fetchone()
    assert row is not None
    return int(row[0])


def _differing(
    connection: duckdb.DuckDBPyConnection, after: int, to: int
) -> tuple[int, tuple[str, ...]]:
    """Facts of the positions behind `after`, up to `to`, that stand in one of both only."""
    part = f"WHERE position > {after:d} AND position <= {to:d}"
    count, examples = 0, list[str]()
    for table in TABLES:
        for one, other in ((table, table + SUFFIX), (table + SUFFIX, table)):
            found = connection.execute(
                f"FROM lake.{one} {part} EXCEPT ALL FROM lake.{other} {part} ORDER BY position, n"
            )
            rows: Sequence[tuple[object, ...]] = found.fetchall()
            count += len(rows)
            examples += [f"{one} at {row[0]}" for row in rows[:DIFFERENCES_MAX]]
    return count, tuple(examples[:DIFFERENCES_MAX])


def _swap(connection: duckdb.DuckDBPyConnection, position: int) -> None:
    run = connection.execute
    for table in TABLES:
        run(f"DROP TABLE lake.{table}")
        run(f"ALTER TABLE lake.{table}{SUFFIX} RENAME TO {table}")
    run("DELETE FROM lake.checkpoint WHERE name IN (?, ?)", [NAME, NAME + SUFFIX])
    run("INSERT INTO lake.checkpoint VALUES (?, ?)", [NAME, position])
    run("DELETE FROM lake.parked WHERE name = ?", [NAME])
    run("UPDATE lake.parked SET name = ? WHERE name = ?", [NAME, NAME + SUFFIX])
