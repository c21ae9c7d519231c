"""Both sides of a reconciliation as they are asked for: what is open here, what is open there, and
which of it may belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from domain.message import Sealed
from domain.movement import MovementKey
from domain.period import ZONE
from domain.scoring import LineKey, MovementEntry, StatementEntry
from projections import (
    money_movements,
    order_status,
    provider_notices,
    statement_lines,
    statements,
)
from projections.provider_notices import LINE_STATE, OF_LINE

# What each side is read from, and both.
LINE_SOURCES = (statements.NAME, statement_lines.NAME, provider_notices.NAME)
MOVEMENT_SOURCES = (statements.NAME, money_movements.NAME, order_status.NAME)
SOURCES = tuple(dict.fromkeys(LINE_SOURCES + MOVEMENT_SOURCES))
LINES_MAX = 20_000  # open ones of a statement that are compared at once
MOVEMENTS_MAX = 50_000  # that they are compared with
WINDOW_DAYS = 90  # before and after a statement's lines
# A payout that failed after a line told of it is told of again when the money comes back.
COMES_BACK = "refund"

LINE = f"""l.line, l.statement_id, l.line_no, l.kind, l.amount_minor, l.fee_minor, l.net_minor,
l.open_minor, l.currency, l.value_on, l.value_at, l.timed, l.reference, l.batch_id, l.counterparty,
l.text, {LINE_STATE} AS state, l.matches, s.shop, s.method,
CASE WHEN c.notice_id IS NOT NULL THEN row_to_json(c) END AS notice"""
LINES = f"statement_lines l JOIN statements s USING (statement_id) {OF_LINE}"
OPEN_LINES = f"""SELECT {LINE} FROM {LINES}
WHERE l.state NOT IN ('matched', 'booked')
  AND (%(shop)s::text IS NULL OR s.shop = %(shop)s)
  AND (%(statement)s::text IS NULL OR l.statement_id = %(statement)s)
  AND (%(at)s::timestamptz IS NULL OR (l.value_at, l.line) < (%(at)s, %(key)s))
ORDER BY l.value_at DESC, l.line DESC LIMIT %(limit)s"""
OF_STATEMENT = f"""SELECT {LINE} FROM {LINES}
WHERE l.statement_id = %(statement)s AND l.line_no > %(after)s
ORDER BY l.line_no LIMIT %(limit)s"""
# An order's currency, number and shop are told by the order; a payout's by its statement.
MOVEMENT = """m.movement, m.kind, m.owner, m.id, m.method, m.reference, m.gross_minor, m.fee_minor,
m.amount_minor, m.open_minor, m.occurred_at, m.payer, m.matches,
coalesce(m.currency, o.currency) AS currency, coalesce(s.shop, o.shop) AS shop, o.number,
o.external_ref,
CASE WHEN m.state = 'optional' AND w.taken_minor <> 0 THEN 'unmatched' ELSE m.state END AS state"""
# `w`: the other half of a chargeback that is not lost. Once a statement has told of one half, the
# other is expected; till then both are left alone.
JOINED = """money_movements m
LEFT JOIN order_status o ON m.kind <> 'payout' AND o.order_id = m.owner
LEFT JOIN statements s ON m.kind = 'payout' AND s.statement_id = m.owner
LEFT JOIN money_movements w ON w.movement = m.other"""
OPEN_MOVEMENTS = f"""SELECT {MOVEMENT} FROM {JOINED}
WHERE m.open_minor <> 0 AND (m.origin <> 'import' OR %(imported)s)
  AND (m.state = 'over_matched' AND m.kind = ANY (%(over)s)
    OR m.state <> 'over_matched' AND NOT %(only_over)s)
  AND (m.state <> 'optional' OR w.taken_minor <> 0 OR %(optional)s)
  AND (%(shop)s::text IS NULL OR coalesce(s.shop, o.shop) = %(shop)s)
  AND (%(at)s::timestamptz IS NULL OR (m.occurred_at, m.movement) < (%(at)s, %(key)s))
  AND (%(since)s::timestamptz IS NULL OR m.occurred_at BETWEEN %(since)s AND %(until)s)
ORDER BY m.occurred_at DESC, m.movement DESC LIMIT %(limit)s"""
SPAN = """SELECT min(l.value_at) - %(days)s * interval '1 day' AS since,
    max(l.value_at) + %(days)s * interval '1 day' AS until
FROM statement_lines l WHERE l.statement_id = %(statement)s
  AND l.state NOT IN ('matched', 'booked')"""

After = tuple[datetime, str] | None
Row = dict[str, Any]
Opened = Callable[[Sealed], Any]  # what a sealed value says, None where it does not


async def _rows(connection: AsyncConnection[Any], query: str, **values: Any) -> list[Row]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), values)
        return await cursor.fetchall()


async def open_lines(
    connection: AsyncConnection[Any],
    limit: int,
    *,
    shop: str | None = None,
    statement_id: str | None = None,
    after: After = None,
) -> list[Row]:
    """Lines that tell of money nobody has found yet, the newest first; personal values sealed."""
    at, key = after or (None, None)
    found = await _rows(
        connection, OPEN_LINES, shop=shop, statement=statement_id, at=at, key=key, limit=limit
    )
    return [line_shown(row) for row in found]


async def lines_of(
    connection: AsyncConnection[Any], statement_id: str, after: int, limit: int
) -> list[Row]:
    """All lines of a statement in their order; personal values sealed."""
    found = await _rows(connection, OF_STATEMENT, statement=statement_id, after=after, limit=limit)
    return [line_shown(row) for row in found]


async def open_movements(
    connection: AsyncConnection[Any],
    limit: int,
    *,
    shop: str | None = None,
    after: After = None,
    span: tuple[datetime, datetime] | None = None,
    imported: bool = False,
    over: Sequence[str] = (),
    only_over: bool = False,
    optional: bool = False,
) -> list[Row]:
    """Money of ours that no statement has told of yet, the newest first; payers sealed.

    Imported history is left alone unless it is asked for. `over`: of which kinds also movements
    that statements have told too much of; `only_over`: only these. `optional`: also what statements
    need not tell of, since nothing is missing without it.
    """
    (at, key), (since, until) = after or (None, None), span or (None, None)
    found = await _rows(
        connection,
        OPEN_MOVEMENTS,
        shop=shop,
        at=at,
        key=key,
        since=since,
        until=until,
        limit=limit,
        imported=imported,
        over=list(over),
        only_over=only_over,
        optional=optional,
    )
    return [movement_shown(row) for row in found]


def line_shown(row: Mapping[str, Any]) -> Row:
    read: Row = {name: _sealed(row[name]) for name in ("counterparty", "text")}
    notice = row["notice"] and {**row["notice"], "payer": _sealed(row["notice"]["payer"])}
    return {**row, **read, "notice": notice, "matches": orjson.loads(row["matches"])}


def movement_shown(row: Mapping[str, Any]) -> Row:
    matches = [
        {"statement_id": statement, "match_id": match, "amount_minor": amount}
        for statement, match, amount in orjson.loads(row["matches"])
    ]
    return {**row, "payer": _sealed(row["payer"]), "matches": matches}


_sealed = provider_notices.sealed


# -- candidates --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sides:
    """What is to be compared. `cut`: there is more than may be compared at once."""

    lines: list[Row]
    movements: list[Row]
    cut: bool

    def persons(self) -> set[str]:
        sealed = [row[name] for row in self.lines for name in ("counterparty", "text")]
        sealed += [row["payer"] for row in self.movements]
        return {one.person for one in sealed if one is not None}


async def sides(connection: AsyncConnection[Any], statement_id: str, shop: str | None) -> Sides:
    """The open lines of a statement, and the open money of its shop around their dates."""
    lines = await open_lines(connection, LINES_MAX + 1, statement_id=statement_id)
    (span,) = await _rows(connection, SPAN, statement=statement_id, days=WINDOW_DAYS)
    if span["since"] is None:
        return Sides([], [], cut=False)
    movements = await open_movements(
        connection,
        MOVEMENTS_MAX + 1,
        shop=shop,
        span=(span["since"], span["until"]),
        over=(COMES_BACK,),
        optional=True,
    )
    # A statement is not matched with the batches that it tells of itself.
    ours = [row for row in movements if row["owner"] != statement_id]
    cut = len(lines) > LINES_MAX or len(movements) > MOVEMENTS_MAX
    return Sides(lines[:LINES_MAX], ours[:MOVEMENTS_MAX], cut)


def line_entries(rows: Iterable[Row], opened: Opened) -> list[StatementEntry]:
    return [
        StatementEntry(
            LineKey(row["statement_id"], row["line_no"]),
            row["open_minor"],
            row["currency"],
            date.fromisoformat(row["value_on"]),
            row["reference"],
            _clear(row["text"], opened),
            _clear(row["counterparty"], opened),
        )
        for row in rows
    ]


def movement_entries(rows: Iterable[Row], opened: Opened, zone: str = ZONE) -> list[MovementEntry]:
    """`zone`: whose day a payment is of."""
    return [
        MovementEntry(
            MovementKey(row["kind"], row["owner"], row["id"]),
            row["open_minor"],
            row["currency"] or "",
            row["occurred_at"].astimezone(ZoneInfo(zone)).date(),
            tuple(
                found for found in (row["reference"], row["number"], row["external_ref"]) if found
            ),
            _clear(row["payer"], opened),
        )
        for row in rows
    ]


def _clear(value: Sealed | None, opened: Opened) -> str | None:
    found = None if value is None else opened(value)
    return found if isinstance(found, str) else None


def cut_to(rows: Sequence[Row], limit: int) -> tuple[list[Row], bool]:
    """A page and whether there is another, of one row more than was wanted."""
    return [*rows[:limit]], len(rows) > limit
