"""Looks at a ledger without the API: checks it whole, shows an order, follows the feed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from psycopg import Connection

from commands.settings import Settings
from commands.store import COLUMNS, FEED, HEAD, Store
from domain import proof
from domain.number import is_number

PAGE_EVENTS = 5_000
PROBLEMS_MAX = 20  # named; the rest is counted
VERSIONS = """SELECT category, key, count(*), max(version) FROM ledger_event
GROUP BY stream_id, category, key HAVING count(*) <> max(version) OR min(version) <> 1
ORDER BY category, key"""
AUDIT = "SELECT count(*), coalesce(max(position), 0) FROM ledger_audit"
OWNER = "SELECT owner FROM ledger_claim WHERE kind = 'order_number' AND key = %s"
OF_ORDER = f"""SELECT {COLUMNS} FROM ledger_event
WHERE category = 'order' AND key = %s ORDER BY version"""
NAMES = [name.strip() for name in COLUMNS.replace("\n", " ").split(",")]


@dataclass(slots=True)
class Verdict:
    """What `verify` found. The root is that of the RFC 6962 tree over all leaves."""

    head: int = 0
    root: str = ""
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        self.problems.append(problem)


class NotThere(Exception):
    """The ledger does not reach to a position; the message says how far it does."""


def verify(
    settings: Settings, progress: Callable[[int, int], None], position: int | None = None
) -> Verdict:
    """Read the ledger, whole or up to `position`: positions and versions without gap, and the
    Merkle root of these events. Raises NotThere.

    `progress` is told (events read, events there are).
    """
    verdict = Verdict()
    with Store(settings).connect(autocommit=True) as connection:
        head = _one(connection, HEAD)
        verdict.head = head if position is None else position
        if verdict.head > head:
            raise NotThere(f"the ledger ends at position {head}, {position} was asked for")
        leaves = _leaves(connection, verdict, progress)
        verdict.root = proof.tree_hash(leaves).hex()
        for category, key, count, last in connection.execute(VERSIONS):
            verdict.add(f"{category} {key} has {count} events, the last of version {last}")
        count, last = connection.execute(AUDIT).fetchone() or (0, 0)
        if count != last:
            verdict.add(f"the audit has {count} entries, the last at position {last}")
    return verdict


def _leaves(
    connection: Connection, verdict: Verdict, progress: Callable[[int, int], None]
) -> Iterator[proof.Hash]:
    expected = 1
    while expected <= verdict.head:
        rows = connection.execute(FEED, [expected - 1, PAGE_EVENTS], binary=True).fetchall()
        for row in (proof.LedgerRow(*row) for row in rows):
            if row.position > verdict.head:
                return
            if row.position != expected:
                verdict.add(f"positions {expected} to {row.position - 1} are missing")
            expected = row.position + 1
            yield _leaf(row, verdict)
        if not rows:
            verdict.add(f"positions {expected} to {verdict.head} are missing")
            return
        progress(expected - 1, verdict.head)


def _leaf(row: proof.LedgerRow, verdict: Verdict) -> proof.Hash:
    """The hash of a row. One that has none is a problem, and the leaf is that of nothing."""
    try:
        return proof.leaf(row)
    except ValueError as error:
        verdict.add(f"position {row.position} has no leaf: {error}")
        return proof.leaf_hash(b"")


def order_events(settings: Settings, order: str) -> list[dict[str, Any]]:
    """An order's events as recorded, by its UUID or number; empty when there is no such order."""
    with Store(settings).connect(autocommit=True) as connection:
        name = order_id_of(connection, order)
        return [_event(row) for row in connection.execute(OF_ORDER, [name], binary=True)]


def order_id_of(connection: Connection, text: str) -> str:
    """The UUID of an order by its number; any other text as it is."""
    found = connection.execute(OWNER, [text]).fetchone() if is_number(text) else None
    return str(found[0]) if found else text


def feed(settings: Settings, after: int, limit: int) -> list[dict[str, Any]]:
    """Events behind `after`, in order, as recorded: personal fields are sealed."""
    with Store(settings).connect(autocommit=True) as connection:
        return [_event(row) for row in connection.execute(FEED, [after, limit], binary=True)]


def _event(row: tuple[Any, ...]) -> dict[str, Any]:
    event = dict(zip(NAMES, row, strict=True))
    event["data"] = orjson.loads(event.pop("state"))
    return event


def _one(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
