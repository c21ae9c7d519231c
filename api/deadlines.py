"""Reads of what the clock will bring about: reminders, terms, late fees, expiries, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from api.answers import Answer
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Instant,
    Limit,
    Reader,
    opened_cursor,
    page_router,
    sealed_cursor,
)
from domain.command_types import Handle
from domain.deadlines import Kind
from projections import deadline_list, order_status
from projections.deadline_list import DeadlineFilters
from projections.deadlines import NAME

reads = page_router("orders")


class DeadlineListed(BaseModel):
    """One thing that will be done at `due_at` if nothing else happens: to an order, or to the
    account of a customer in a currency. `of`: which of its kind, such as a payment or a refund.
    `failing`: it was tried and could not be done; it is tried again.
    """

    kind: str
    due_at: datetime
    of: str | None
    order_id: str | None
    number: str | None
    shop: str | None
    customer_id: str | None
    currency: str | None
    tries: int
    failing: bool


class DeadlinePage(BaseModel):
    items: list[DeadlineListed]
    next_cursor: str | None
    position: int


@reads.get(
    "/v1/deadlines",
    response_model=DeadlinePage,
    responses=responses(401, 403, 422, 503, 504),
    summary="What comes due",
    **needs(Permission.ORDER_READ),
)
async def list_deadlines(
    reader: Reader,
    due_before: Annotated[
        Instant | None, Query(description="Due earlier than this; all when absent")
    ] = None,
    kind: Kind | None = None,
    shop: Annotated[Handle | None, Query(description="Of orders of this shop")] = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Answer:
    """The first due first, also what is overdue and not done yet. A row is a hint: what is done is
    decided again on the order. Steps that wait for a person's confirmation are not in it.
    """
    query = ["deadlines", due_before, kind, shop]
    opened = opened_cursor(reader.context, query, cursor)
    after = opened and (datetime.fromisoformat(opened[0]), *opened[1:])
    await reader.reach(NAME)
    await reader.reach(order_status.NAME)  # Numbers and customers are its.
    async with reader.context.reading() as connection:
        filters = DeadlineFilters(due_before, kind, shop)
        page = await deadline_list.page(connection, filters, after, limit)
    following = page["next"] and sealed_cursor(reader.context, query, page["next"])
    return Answer({"items": page["items"], "next_cursor": following, "position": page["position"]})
