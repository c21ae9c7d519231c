"""The read model that placed orders are compared in: who ordered what, at which price, how much.

A hint where to look, never a reason to act: the orders themselves are asked again. It looks back
from an order's own position only, so it says the same however late it is asked. Not personal but
for the telephone, which stands as a mark that nobody can read back; `forget` takes it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import namedtuple_row

from projections import checkpoint
from projections.engine import create_tables

NAME = "intake"
VERSION = 1
LOOKED_BACK_MAX = 100  # sales of an article, order lines of a customer

# `basket`: a hash of what was ordered; `article`: of goods, unit, shop and currency, so of what can
# have one price. `quantity`: of all the order's lines of these goods, on the first of them.
CREATE = """
CREATE TABLE IF NOT EXISTS intake_orders (
    order_id    text PRIMARY KEY,
    position    bigint NOT NULL,
    placed_at   timestamptz NOT NULL,
    customer_id text NOT NULL,
    phone       bytea,
    basket      uuid NOT NULL,
    stands      boolean NOT NULL DEFAULT true
);
CREATE TABLE IF NOT EXISTS intake_lines (
    order_id    text NOT NULL,
    line_no     int NOT NULL,
    position    bigint NOT NULL,
    article     uuid NOT NULL,
    customer_id text NOT NULL,
    goods       text NOT NULL,
    unit        text NOT NULL,
    price       numeric NOT NULL,
    quantity    numeric,
    PRIMARY KEY (order_id, line_no)
);
CREATE INDEX IF NOT EXISTS intake_orders_customer
    ON intake_orders (basket, customer_id, placed_at) WHERE stands;
CREATE INDEX IF NOT EXISTS intake_orders_phone
    ON intake_orders (basket, phone, placed_at) WHERE stands AND phone IS NOT NULL;
CREATE INDEX IF NOT EXISTS intake_lines_article ON intake_lines (article, position);
CREATE INDEX IF NOT EXISTS intake_lines_customer
    ON intake_lines (customer_id, unit, position) WHERE quantity IS NOT NULL;
"""
EMPTY = "TRUNCATE intake_orders, intake_lines"
ADD_ORDERS = """INSERT INTO intake_orders
    (order_id, position, placed_at, customer_id, phone, basket)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::text[], %s::bytea[],
    %s::uuid[]) ON CONFLICT DO NOTHING"""
ADD_LINES = """INSERT INTO intake_lines (order_id, line_no, position, article, customer_id, goods,
    unit, price, quantity)
SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::uuid[], %s::text[], %s::text[],
    %s::text[], %s::numeric[], %s::numeric[]) ON CONFLICT DO NOTHING"""
CHANGE = """UPDATE intake_orders o SET basket = new.basket, stands = new.stands
FROM unnest(%s::text[], %s::uuid[], %s::boolean[]) AS new (order_id, basket, stands)
WHERE o.order_id = new.order_id"""
FORGET = "UPDATE intake_orders SET phone = NULL WHERE customer_id = ANY(%s)"
# Of a pair, the order that was recorded later looks for the other; one that was reinstated looks
# for all. Each branch reads its index in order and stops, however often somebody ordered the same.
TWINS = """SELECT n.order_id, t.order_id AS twin, t.same
FROM unnest(%(orders)s::text[], %(hours)s::int[], %(again)s::boolean[])
    AS asked (order_id, hours, again)
JOIN intake_orders n USING (order_id)
CROSS JOIN LATERAL (
    SELECT order_id, min(placed_at) AS placed_at, min(same) AS same FROM (
        (SELECT order_id, placed_at, 'customer' AS same FROM intake_orders o
        WHERE o.basket = n.basket AND o.customer_id = n.customer_id AND o.stands
            AND o.order_id <> n.order_id AND (again OR o.position < n.position)
            AND o.placed_at BETWEEN n.placed_at - hours * interval '1 hour'
                AND n.placed_at + hours * interval '1 hour'
        ORDER BY o.placed_at LIMIT %(limit)s)
        UNION ALL
        (SELECT order_id, placed_at, 'phone' FROM intake_orders o
        WHERE o.basket = n.basket AND o.phone = n.phone AND o.stands
            AND o.order_id <> n.order_id AND (again OR o.position < n.position)
            AND o.placed_at BETWEEN n.placed_at - hours * interval '1 hour'
                AND n.placed_at + hours * interval '1 hour'
        ORDER BY o.placed_at LIMIT %(limit)s)) found
    GROUP BY order_id ORDER BY placed_at, order_id LIMIT %(limit)s) t"""
# The lower of the two in the middle: a price that was asked once, exact.
PRICES = f"""SELECT asked.order_id, asked.line_no, u.median, u.count
FROM intake_lines asked CROSS JOIN LATERAL (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY price) AS median, count(*) AS count FROM (
        SELECT price FROM intake_lines WHERE article = asked.article AND position < asked.position
        ORDER BY position DESC LIMIT {LOOKED_BACK_MAX}) sold) u
WHERE asked.order_id = ANY(%(orders)s) AND u.count >= %(least)s"""
# Of the goods themselves, where the customer has ordered them often enough; else of all goods.
QUANTITIES = f"""SELECT asked.order_id, asked.line_no, asked.quantity,
    CASE WHEN u.own_count >= %(least)s THEN 'sku' ELSE 'customer' END AS of,
    CASE WHEN u.own_count >= %(least)s THEN u.own ELSE u.median END AS median,
    CASE WHEN u.own_count >= %(least)s THEN u.own_count ELSE u.count END AS count
FROM intake_lines asked CROSS JOIN LATERAL (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY quantity) AS median, count(*) AS count,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY quantity) FILTER (WHERE goods = asked.goods)
            AS own, count(*) FILTER (WHERE goods = asked.goods) AS own_count FROM (
        SELECT goods, quantity FROM intake_lines
        WHERE customer_id = asked.customer_id AND unit = asked.unit AND quantity IS NOT NULL
            AND position < asked.position
        ORDER BY position DESC LIMIT {LOOKED_BACK_MAX}) past) u
WHERE asked.order_id = ANY(%(orders)s) AND asked.quantity IS NOT NULL AND u.count >= %(least)s"""


class OrderRow(NamedTuple):
    order_id: str
    position: int
    placed_at: datetime
    customer_id: str
    phone: bytes | None
    basket: UUID


class LineRow(NamedTuple):
    order_id: str
    line_no: int
    position: int
    article: UUID
    customer_id: str
    goods: str
    unit: str
    price: Decimal
    quantity: Decimal | None


class Changed(NamedTuple):
    """An order that is not as it was placed."""

    order_id: str
    basket: UUID
    stands: bool


class Asked(NamedTuple):
    """`hours`: that a twin may be apart; `again`: also those that were recorded later."""

    order_id: str
    hours: int
    again: bool


def prepare(connection: Connection[Any], schema: str) -> None:
    """Create what is missing; what another version of the code has kept is kept anew."""
    with connection.transaction():
        create_tables(connection, schema)
        connection.execute(CREATE)
        connection.execute(checkpoint.START, [NAME, VERSION])
        if checkpoint.is_of_another_version(connection, NAME, VERSION):
            connection.execute(EMPTY)
            connection.execute(checkpoint.ANEW, [VERSION, NAME])


def add(connection: Connection[Any], orders: Sequence[OrderRow], lines: Sequence[LineRow]) -> None:
    """In the transaction that is open; what is there already stays."""
    for statement, rows in ((ADD_ORDERS, orders), (ADD_LINES, lines)):
        if rows:
            connection.execute(statement, _columns(rows))


def change(connection: Connection[Any], rows: Sequence[Changed]) -> None:
    if rows:
        connection.execute(CHANGE, _columns(rows))


def forget(connection: Connection[Any], customers: Iterable[str]) -> None:
    """Nothing of these customers' telephones is left."""
    connection.execute(FORGET, [list(customers)])


def twins(connection: Connection[Any], asked: Sequence[Asked], limit: int) -> list[Any]:
    """(order_id, twin, same: customer or phone) for each other order of the same basket that stands
    and is of the same customer or telephone; at most `limit` for each, the oldest.
    """
    if not asked:
        return []
    orders, hours, again = _columns(asked)
    values = {"orders": orders, "hours": hours, "again": again, "limit": limit}
    return _found(connection, TWINS, values)


def usual_prices(connection: Connection[Any], orders: Sequence[str], least: int) -> list[Any]:
    """(order_id, line_no, median, count) of each line whose article was sold so often before."""
    return _found(connection, PRICES, {"orders": list(orders), "least": least})


def usual_quantities(connection: Connection[Any], orders: Sequence[str], least: int) -> list[Any]:
    """(order_id, line_no, quantity, of, median, count), the first line of all goods whose customer
    has ordered so often before.
    """
    return _found(connection, QUANTITIES, {"orders": list(orders), "least": least})


def _found(connection: Connection[Any], query: Any, values: dict[str, Any]) -> list[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query, values).fetchall()


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
