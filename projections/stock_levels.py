"""The read model of stock: units on hand, reserved and available, per sku and location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from domain import stock_item
from domain.message import Recorded
from domain.stock_item import (
    ReservationReleased,
    StockAdjusted,
    StockItem,
    StockReceived,
    StockReserved,
    StockReturned,
    StockShipped,
)
from domain.values import quantity_json
from projections.engine import Projection, Table

NAME = "stock_levels"
VERSION = 1
LOCATIONS_MAX = 1_000  # in one answer

TOPICS = frozenset(
    kind.TOPIC
    for kind in (
        StockReceived,
        StockAdjusted,
        StockReserved,
        ReservationReleased,
        StockShipped,
        StockReturned,
    )
)


@dataclass(frozen=True, slots=True)
class StockLevel:
    """One sku at one location."""

    sku: str
    location: str
    state: StockItem
    position: int  # of the last event folded in
    version: int  # of the item's stream


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.key,)


def fold(row: StockLevel | None, recorded: Recorded) -> StockLevel:
    """Fold one event in; the rule book of the numbers is the decider's own `evolve`."""
    if row is not None and recorded.position <= row.position:
        return row
    event = recorded.event
    state = stock_item.evolve(StockItem() if row is None else row.state, event)
    sku, location = (event.sku, event.location) if row is None else (row.sku, row.location)  # type: ignore[attr-defined]
    return StockLevel(sku, location, state, recorded.position, recorded.version)


def load(
    sku: str,
    location: str,
    kept: bool,
    on_hand: Decimal,
    reserved: Decimal,
    position: int,
    version: int,
) -> StockLevel:
    return StockLevel(sku, location, StockItem(kept, on_hand, reserved), position, version)


def dump(row: StockLevel) -> tuple[Any, ...]:
    state = row.state
    return (
        stock_item.stream_key(row.sku, row.location),
        row.sku,
        row.location,
        state.kept,
        state.on_hand,
        state.reserved,
        state.available,
        row.version,
        row.position,
    )


TABLE = Table(
    columns={
        "item": 'text COLLATE "C"',  # sku@location
        "sku": "text",
        "location": "text",
        "kept": "boolean",
        "on_hand": "numeric",
        "reserved": "numeric",
        "available": "numeric",
        "version": "int",
        "position": "bigint",
    },
    indexes=("(sku, location)",),
)

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=TABLE,
    keys=keys,
    fold=fold,
    loads=("sku", "location", "kept", "on_hand", "reserved", "position", "version"),
    load=load,
    dump=dump,
)

OF_SKU = """SELECT c.position AS at, s.*
FROM checkpoint c LEFT JOIN LATERAL (
    SELECT location, on_hand, reserved, available, version FROM stock_levels
    WHERE sku = %s ORDER BY location LIMIT %s) s ON true
WHERE c.name = 'stock_levels'"""


async def stock_of(connection: AsyncConnection[Any], sku: str) -> dict[str, Any]:
    """{sku, kept, on_hand, reserved, available, locations: [{location, on_hand, …}], position}.

    `kept` is False for a sku without stock record: it is sold without being counted.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(OF_SKU, [sku, LOCATIONS_MAX])
        rows = await cursor.fetchall()
    position = rows[0]["at"] if rows else 0
    found = [row for row in rows if row["location"] is not None]
    units = ("on_hand", "reserved", "available")
    return {
        "sku": sku,
        "kept": bool(found),
        **{name: quantity_json(sum((row[name] for row in found), Decimal(0))) for name in units},
        "locations": [
            {
                "location": row["location"],
                "version": row["version"],
                **{name: quantity_json(row[name]) for name in units},
            }
            for row in found
        ],
        "position": position,
    }
