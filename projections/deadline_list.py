"""What is coming, as people list it: rows of the read model of deadlines, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection

from projections import pages

PAGE_DEADLINES_MAX = 1_000

# Number and customer of an order are those of its own read model, which may be a little behind.
LISTED = """SELECT p.position AS at, s.* FROM checkpoint p LEFT JOIN LATERAL (
    SELECT d.category, d.key, d.kind, d.subject, d.due_at, d.shop, d.tries,
        d.error IS NOT NULL AS failing, o.number, o.customer_id FROM deadlines d
    LEFT JOIN order_status o ON d.category = 'order' AND o.order_id = d.key
    WHERE {conditions} ORDER BY d.due_at, d.category, d.key, d.kind, d.subject LIMIT {limit}
    ) s ON true
WHERE p.name = 'deadlines'"""


@dataclass(frozen=True, slots=True)
class DeadlineFilters:
    """All that are given must hold."""

    due_before: datetime | None = None
    kind: str | None = None
    shop: str | None = None


PLACE = ("due_at", "category", "key", "kind", "subject")
Cursor = tuple[datetime, str, str, str, str]  # of the last row


async def page(
    connection: AsyncConnection[Any],
    filters: DeadlineFilters,
    after: Cursor | None,
    limit: int,
) -> dict[str, Any]:
    """{items, next: Cursor | None, position}: the first due first."""
    assert 0 < limit <= PAGE_DEADLINES_MAX
    conditions, values = _conditions(filters, after)
    return await pages.page(
        connection, LISTED, conditions, values, place=PLACE, limit=limit, item=_item
    )


def _conditions(
    filters: DeadlineFilters, after: Cursor | None
) -> tuple[list[LiteralString], dict[str, Any]]:
    due_at, category, key, kind, subject = after or (None,) * 5
    values = {
        "due_before": filters.due_before,
        "kind": filters.kind,
        "shop": filters.shop,
        "at": due_at,
        "category": category,
        "key": key,
        "at_kind": kind,
        "subject": subject,
    }
    terms: list[tuple[str, LiteralString]] = [
        ("due_before", "d.due_at < %(due_before)s"),
        ("kind", "d.kind = %(kind)s"),
        ("shop", "d.shop = %(shop)s"),
        (
            "at",
            """(d.due_at, d.category, d.key, d.kind, d.subject)
            > (%(at)s, %(category)s, %(key)s, %(at_kind)s, %(subject)s)""",
        ),
    ]
    given = [condition for name, condition in terms if values[name] is not None]
    return ["true", *given], values


def _item(row: dict[str, Any]) -> dict[str, Any]:
    """A deadline of an order, or of a customer's account, whose key is customer@currency."""
    of_order = row["category"] == "order"
    customer_id, _, currency = ("", "", "") if of_order else row["key"].rpartition("@")
    shown = ("kind", "due_at", "shop", "number", "tries", "failing")
    return {
        **{name: row[name] for name in shown},
        "order_id": row["key"] if of_order else None,
        "customer_id": row["customer_id"] if of_order else customer_id,
        "currency": None if of_order else currency,
        "of": row["subject"] or None,
    }
