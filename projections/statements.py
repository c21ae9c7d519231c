"""The read model of statements: one row per file that was imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from domain.message import Recorded
from domain.statement_facts import StatementCompleted, StatementImported
from projections.engine import Projection, Table
from projections.provider_notices import LINE_STATE, OF_LINE

NAME = "statements"
VERSION = 1

TOPICS = frozenset({StatementImported.TOPIC, StatementCompleted.TOPIC})


@dataclass(frozen=True, slots=True)
class StatementRow:
    statement_id: str
    shop: str
    layout: str
    method: str
    account: str | None
    file_name: str
    lines: int
    unreadable: str  # JSON
    totals: str  # JSON
    completed: bool
    actor: str
    imported_at: datetime
    position: int  # of the last event folded in


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.key,)


def fold(row: StatementRow | None, recorded: Recorded) -> StatementRow | None:
    event = recorded.event
    if row is not None and recorded.position <= row.position:
        return row
    match event:
        case StatementImported():
            return StatementRow(
                event.statement_id,
                event.shop,
                event.layout,
                event.method,
                event.account,
                event.file_name,
                event.lines,
                _json([one.model_dump() for one in event.unreadable]),
                _json([one.model_dump() for one in event.totals]),
                completed=False,
                actor=recorded.actor,
                imported_at=event.at,
                position=recorded.position,
            )
        case _ if row is not None:
            return replace(row, completed=True, position=recorded.position)
        case _:
            return None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


COLUMNS = {
    "statement_id": 'text COLLATE "C"',
    "shop": "text",
    "layout": "text",
    "method": "text",
    "account": "text",
    "file_name": "text",
    "lines": "int",
    "unreadable": "text",  # [{line_no, rule}]
    "totals": "text",  # [{currency, lines, amount_minor, fee_minor, net_minor}]
    "completed": "boolean",
    "actor": "text",
    "imported_at": "timestamptz",
    "position": "bigint",
}

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=Table(columns=COLUMNS, indexes=("(imported_at DESC, statement_id DESC)",)),
    keys=keys,
    fold=fold,
    loads=tuple(COLUMNS),
    load=StatementRow,
    dump=attrgetter(*COLUMNS),
)

SELECTED = """statement_id, shop, layout, method, account, file_name, lines, unreadable, totals,
CASE WHEN completed THEN 'imported' ELSE 'incomplete' END AS status, actor AS imported_by,
imported_at"""
# Sums of its lines by state, from their own read model: it may be a little ahead or behind.
COUNTED = f"""SELECT {LINE_STATE} AS state, count(*) AS lines
FROM statement_lines l JOIN statements s USING (statement_id) {OF_LINE}
WHERE l.statement_id = %s GROUP BY 1"""
PAGE = f"""SELECT {SELECTED} FROM statements
WHERE (%(shop)s::text IS NULL OR shop = %(shop)s)
  AND (%(at)s::timestamptz IS NULL OR (imported_at, statement_id) < (%(at)s, %(id)s))
ORDER BY imported_at DESC, statement_id DESC LIMIT %(limit)s"""
ONE = f"SELECT {SELECTED} FROM statements WHERE statement_id = %s"


async def page(
    connection: AsyncConnection[Any],
    shop: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Statements, the newest first."""
    at, name = after or (None, None)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(PAGE, {"shop": shop, "at": at, "id": name, "limit": limit})
        return [_shown(row) for row in await cursor.fetchall()]


async def one(connection: AsyncConnection[Any], statement_id: str) -> dict[str, Any] | None:
    """A statement with the number of its lines by state; None for one that was not imported."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(ONE, [statement_id])
        row = await cursor.fetchone()
        if row is None:
            return None
        await cursor.execute(COUNTED, [statement_id])
        states = {found["state"]: found["lines"] for found in await cursor.fetchall()}
    return {**_shown(row), "states": states}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    read = {name: orjson.loads(row[name]) for name in ("unreadable", "totals")}
    return {**row, **read}
