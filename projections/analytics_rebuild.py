"""Folding all facts again beside the live ones, comparing both, and putting them in their place."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from projections.analytics import NAME, Earlier, FactWriter, transaction
from projections.analytics_facts import TABLES
from projections.engine import BATCH_EVENTS_MAX
from projections.rebuild import DIFFERENCES_MAX, SUFFIX, Feed, Rebuilt

SWAP_TRIES_MAX = 20  # against the live writer, whose commits go on


class LiveWriterTooFast(Exception):
    """The live writer committed between every comparison and swap: try again when it rests."""


def rebuild_facts(
    connection: duckdb.DuckDBPyConnection, feed: Feed, earlier: Earlier, *, compare: bool = False
) -> Rebuilt:
    """As `rebuild.rebuild`, for the facts; rows differ when a fact stands in one of both only.

    Readers see the old facts or the new ones, each complete. Raises duckdb.Error,
    LiveWriterTooFast; then the live facts stand as they were.
    """
    live = FactWriter(connection, earlier)
    live.prepare()
    _forget(connection)
    beside = FactWriter(connection, earlier, SUFFIX)
    beside.prepare()
    for _ in range(SWAP_TRIES_MAX):
        _catch_up(beside, live, feed)
        try:
            found = _finish(connection, beside, live, compare=compare)
        except duckdb.TransactionException:  # The live writer was first.
            continue
        if found is not None:
            _forget(connection)
            return found
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
        position = beside.apply(batch, position)


def _finish(
    connection: duckdb.DuckDBPyConnection, beside: FactWriter, live: FactWriter, *, compare: bool
) -> Rebuilt | None:
    """None when the live facts moved on meanwhile. The swap conflicts with any commit of theirs."""
    with transaction(connection):
        position = beside.position()
        if live.position() != position:
            return None
        differing, examples = _differing(connection) if compare else (0, ())
        rows = sum(_count(connection, f"{table}{SUFFIX}") for table in TABLES)
        if not differing:
            _swap(connection, position)
    return Rebuilt(NAME, position, rows, differing, examples, swapped=not differing)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM lake.{table}").fetchone()
    assert row is not None
    return int(row[0])


def _differing(connection: duckdb.DuckDBPyConnection) -> tuple[int, tuple[str, ...]]:
    count, examples = 0, list[str]()
    for table in TABLES:
        for one, other in ((table, table + SUFFIX), (table + SUFFIX, table)):
            found = connection.execute(
                f"FROM lake.{one} EXCEPT ALL FROM lake.{other} ORDER BY position, n"
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
