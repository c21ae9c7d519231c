"""One page of a read model's list, with the position that it reflects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

Item = Callable[[dict[str, Any]], dict[str, Any]]


async def page(
    connection: AsyncConnection[Any],
    listed: LiteralString,
    conditions: Sequence[LiteralString],
    values: Mapping[str, Any],
    *,
    place: Sequence[str],
    limit: int,
    item: Item,
) -> dict[str, Any]:
    """{items, next: the last row's `place` or None on the last page, position}.

    `listed` takes {conditions} and {limit}, and answers a row with the position as `at` in any
    case: where nothing is found, one whose `place` is empty.
    """
    query = sql.SQL(listed).format(
        conditions=sql.SQL(" AND ").join(map(sql.SQL, conditions)),
        limit=limit + 1,  # One more tells whether there is a next page.
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        rows = await cursor.fetchall()
    found = [row for row in rows if row[place[-1]] is not None]
    last = found[limit - 1] if len(found) > limit else None
    return {
        "items": [item(row) for row in found[:limit]],
        "next": last and tuple(last[name] for name in place),
        "position": rows[0]["at"] if rows else 0,
    }
