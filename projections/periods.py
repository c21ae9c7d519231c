"""The read model of periods: which months of a shop are closing or closed, and their totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson
from psycopg import AsyncConnection, Connection
from psycopg.rows import dict_row

from domain.message import Recorded
from domain.period import period_key
from domain.period_facts import ClosingBegan, PeriodClosed
from projections.engine import Projection, Table

NAME = "periods"
VERSION = 2
PERIODS_MAX = 1_000  # in one answer

TOPICS = frozenset({ClosingBegan.TOPIC, PeriodClosed.TOPIC})


@dataclass(frozen=True, slots=True)
class PeriodRow:
    period: str
    shop: str
    month: str
    zone: str
    status: str
    closing_at: datetime
    line_position: int  # where the closing began
    closed_at: datetime | None
    totals: str  # JSON
    late: str  # JSON
    late_count: int
    position: int  # of the last event folded in


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.key,)


def fold(row: PeriodRow | None, recorded: Recorded) -> PeriodRow | None:
    event = recorded.event
    if row is not None and recorded.position <= row.position:
        return row
    match event:
        case ClosingBegan():
            return PeriodRow(
                period_key(event.shop, event.month),
                event.shop,
                event.month,
                event.zone,
                "closing",
                event.at,
                recorded.position,
                None,
                "[]",
                "[]",
                0,
                recorded.position,
            )
        case PeriodClosed() if row is not None:
            return replace(
                row,
                status="closed",
                closed_at=event.at,
                totals=orjson.dumps([one.model_dump() for one in event.totals]).decode(),
                late=orjson.dumps([one.model_dump() for one in event.late]).decode(),
                late_count=event.late_count,
                position=recorded.position,
            )
        case _:
            return row


COLUMNS = {
    "period": 'text COLLATE "C"',
    "shop": "text",
    "month": "text",
    "zone": "text",
    "status": "text",
    "closing_at": "timestamptz",
    "line_position": "bigint",
    "closed_at": "timestamptz",
    "totals": "text",
    "late": "text",
    "late_count": "int",
    "position": "bigint",
}


PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=Table(columns=COLUMNS, indexes=("(shop, month)",)),
    keys=keys,
    fold=fold,
    loads=tuple(COLUMNS),
    load=PeriodRow,
    dump=attrgetter(*COLUMNS),
)

SELECTED = """shop, month, zone, status, closing_at, line_position, closed_at, totals, late,
late_count"""
ALL = f"""SELECT {SELECTED} FROM periods WHERE (%(shop)s::text IS NULL OR shop = %(shop)s)
ORDER BY month DESC, shop LIMIT %(limit)s"""
CLOSING = "SELECT shop, month FROM periods WHERE status = 'closing' ORDER BY month, shop LIMIT %s"


async def listed(connection: AsyncConnection[Any], shop: str | None) -> list[dict[str, Any]]:
    """Months that are closing or closed, the newest first: all others are open."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(ALL, {"shop": shop, "limit": PERIODS_MAX})
        rows = await cursor.fetchall()
    return [
        {**row, "totals": orjson.loads(row["totals"]), "late": orjson.loads(row["late"])}
        for row in rows
    ]


def closing(connection: Connection[Any]) -> list[tuple[str, str]]:
    """(shop, month) whose closing has begun and whose totals are missing, the oldest first."""
    return connection.execute(CLOSING, [PERIODS_MAX]).fetchall()
