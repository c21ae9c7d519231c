"""The read model of orders: each with its status, times, parcels and amounts, listed and found.

A row's `state` is the folded order (projections/order_row.py). The columns beside it are derived
when the row is written: they are what lists filter and sort by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, LiteralString, NamedTuple

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from pydantic import TypeAdapter

from domain.order_status import LABELS, shown
from domain.values import quantity_json
from projections import pages
from projections.engine import Projection, Table, array_text
from projections.order_row import TOPICS, OrderStatus, fold, keys
from projections.order_view import view

NAME = "order_status"
VERSION = 9
TERM_CHARACTERS_MAX = 200
PAGE_ORDERS_MAX = 500

_STATE: TypeAdapter[OrderStatus] = TypeAdapter(OrderStatus)


def load(state: str) -> OrderStatus:
    return _STATE.validate_json(state)


def dump(row: OrderStatus) -> tuple[Any, ...]:
    order, status = row.order, shown(row.order)
    lines = order.lines.values()
    return (
        order.order_id,
        order.number,
        order.shop,
        row.channel,
        order.customer_id,
        order.currency,
        row.external_ref,
        row.origin,
        (row.source or {}).get("source_status"),
        status.code,
        status.dimensions.stage,
        status.dimensions.payment,
        status.dimensions.fulfilment,
        status.dimensions.returns,
        array_text(status.overridden),
        order.total_minor,
        order.paid_minor,
        row.paid_out_minor,
        status.units,
        status.shipped_units,
        sum(line.delivered for line in lines),
        row.ordered.at,
        row.shipped and row.shipped.at,
        row.estimated_at,
        row.delivered and row.delivered.at,
        order.promised_at,
        array_text(_terms(row)),
        row.version,
        row.position,
        _STATE.dump_json(row, exclude_defaults=True).decode(),
    )


def term(text: str) -> str:
    """How a term is compared: without regard to case and surrounding blanks."""
    return text.strip().casefold()[:TERM_CHARACTERS_MAX]


def _terms(row: OrderStatus) -> list[str]:
    """What an order is found by, besides the beginning of its id. Nothing personal."""
    order = row.order
    tracking = [p.tracking_number for p in row.parcels.values()]
    skus = [line.priced.sku for line in order.lines.values()]
    found = [order.number, order.customer_id, row.external_ref or "", *skus, *tracking]
    return list(dict.fromkeys(term(text) for text in found if text))


TABLE = Table(
    columns={
        "order_id": 'text COLLATE "C"',
        "number": "text",
        "shop": "text",
        "channel": "text",
        "customer_id": "text",
        "currency": "text",
        "external_ref": "text",
        "origin": "text",
        "source_status": "text",  # import: the source's own word
        "status": "text",
        "stage": "text",
        "payment": "text",
        "fulfilment": "text",
        "return_status": "text",
        "overridden": "text[]",  # dimensions shown as an operator said, not as the facts are
        "total_minor": "bigint",
        "paid_minor": "bigint",
        "refunded_minor": "bigint",  # paid out
        "units": "numeric",  # not cancelled
        "shipped_units": "numeric",
        "delivered_units": "numeric",
        "placed_at": "timestamptz",
        "shipped_at": "timestamptz",
        "estimated_at": "timestamptz",
        "delivered_at": "timestamptz",
        "promised_at": "timestamptz",
        "terms": "text[]",
        "version": "int",
        "position": "bigint",
        "state": "text",  # JSON of OrderStatus, byte for byte the same for the same facts
    },
    indexes=(
        "(placed_at DESC, order_id DESC) WHERE status <> 'void'",
        "(status, placed_at DESC, order_id DESC)",
        "(customer_id, placed_at DESC, order_id DESC)",
        "(number)",
        "USING gin (terms)",
    ),
)

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=TABLE,
    keys=keys,
    fold=fold,
    loads=("state",),
    load=load,
    dump=dump,
)


# What a list shows of an order.
SUMMARY = """order_id, number, shop, channel, customer_id, currency, external_ref, origin,
source_status, status, stage, payment, fulfilment, return_status, overridden, total_minor,
paid_minor, refunded_minor, units, shipped_units, delivered_units, placed_at, shipped_at,
estimated_at, delivered_at, promised_at, version, position"""
FOUND = """SELECT c.position AS at, s.state FROM checkpoint c
LEFT JOIN order_status s ON s.order_id = %(id)s OR s.number = %(id)s
WHERE c.name = 'order_status' LIMIT 1"""
# The position stands beside every row, so both are of one snapshot.
LISTED = f"""SELECT c.position AS at, s.* FROM checkpoint c LEFT JOIN LATERAL (
    SELECT {SUMMARY} FROM order_status WHERE {{conditions}}
    ORDER BY placed_at DESC, order_id DESC LIMIT {{limit}}) s ON true
WHERE c.name = 'order_status'"""
COUNTED = """SELECT c.position AS at, s.grp, s.orders FROM checkpoint c LEFT JOIN LATERAL (
    SELECT coalesce({group}, '') AS grp, count(*) AS orders FROM order_status
    WHERE status <> 'void' GROUP BY 1 ORDER BY 1) s ON true WHERE c.name = 'order_status'"""

OrdersGroup = Literal["status", "source_status", "channel", "shop"]


@dataclass(frozen=True, slots=True)
class OrderFilters:
    """All that are given must hold. `q`: number, reference, customer, sku or tracking number as a
    whole, or the beginning of the order's id. Voided orders only by status `void`.
    """

    status: str | None = None
    customer_id: str | None = None
    placed_from: datetime | None = None
    placed_to: datetime | None = None  # not included
    q: str | None = None


Cursor = tuple[datetime, str]  # placed_at and order_id of the last order of the page before


async def get_order(
    connection: AsyncConnection[Any], order: str
) -> tuple[dict[str, Any] | None, int]:
    """The order of an id or a number as `order_view.view` tells it, and the position reflected."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(FOUND, {"id": order})
        row = await cursor.fetchone()
    if row is None:
        return None, 0
    return (None if row["state"] is None else view(load(row["state"]))), row["at"]


async def list_orders(
    connection: AsyncConnection[Any],
    filters: OrderFilters,
    after: Cursor | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """{items: [the columns of SUMMARY and `status_label`], next: Cursor | None, position}.

    Newest first. `next` is None on the last page.
    """
    assert 0 < limit <= PAGE_ORDERS_MAX
    conditions, values = _conditions(filters, after)
    place = ("placed_at", "order_id")
    return await pages.page(
        connection, LISTED, conditions, values, place=place, limit=limit, item=_item
    )


PLACED = """SELECT order_id, number, currency FROM order_status
WHERE shop = %s AND placed_at >= %s AND placed_at < %s AND origin <> 'import' AND status <> 'void'
ORDER BY placed_at DESC, order_id DESC LIMIT %s"""


class PlacedOrder(NamedTuple):
    order_id: str
    number: str
    currency: str


async def placed_between(
    connection: AsyncConnection[Any], shop: str, start: datetime, end: datetime, limit: int
) -> list[PlacedOrder]:
    """A shop's own orders, newest first, without those that were imported or voided."""
    cursor = await connection.execute(PLACED, [shop, start, end, limit])
    return [PlacedOrder(*row) for row in await cursor.fetchall()]


def _conditions(
    filters: OrderFilters, after: Cursor | None
) -> tuple[list[LiteralString], dict[str, Any]]:
    terms: list[tuple[LiteralString, Any]] = [
        ("status = %(status)s", filters.status),
        ("customer_id = %(customer)s", filters.customer_id),
        ("placed_at >= %(from)s", filters.placed_from),
        ("placed_at < %(to)s", filters.placed_to),
        ("(terms @> ARRAY[%(q)s] OR order_id LIKE %(prefix)s)", filters.q),
        ("(placed_at, order_id) < (%(placed_at)s, %(order_id)s)", after),
    ]
    conditions = [condition for condition, value in terms if value is not None]
    if filters.status is None:
        conditions.append("status <> 'void'")
    q = term(filters.q or "")
    placed_at, order_id = after or (None, None)
    return conditions, {
        "status": filters.status,
        "customer": filters.customer_id,
        "from": filters.placed_from,
        "to": filters.placed_to,
        "q": q,
        "prefix": _literally(q) + "%",
        "placed_at": placed_at,
        "order_id": order_id,
    }


def _literally(text: str) -> str:
    """Without meaning for LIKE."""
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, "\\" + sign)
    return text


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    item = {name: value for name, value in row.items() if name != "at"}
    for name, value in item.items():
        if isinstance(value, Decimal):
            item[name] = quantity_json(value)
    item["status_label"] = LABELS.get(row["status"] or "", "")
    return item


async def order_counts(
    connection: AsyncConnection[Any], group: OrdersGroup = "status"
) -> tuple[dict[str, int], int]:
    """Orders per group, voided ones left out, and the position reflected. `source_status` is the
    word of an import's source, empty for orders that were placed here.
    """
    query = sql.SQL(COUNTED).format(group=sql.Identifier(group))
    rows = await (await connection.execute(query)).fetchall()
    position = rows[0][0] if rows else 0
    return {name: orders for _, name, orders in rows if name is not None}, position
