"""What is open on both sides of the reconciliation: lines without money, money without a line, and
money with too many.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import Query

from api.answers import Answer
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Limit,
    ReadCall,
    Reader,
    opened_place,
    page_router,
    sealed_cursor,
)
from api.shown import shown_to
from api.statement_views import LinePage, MovementPage
from domain.command_types import Handle
from domain.statement_facts import MovementKind
from projections import (
    checkpoint,
    money_movements,
    reconciling,
    statement_lines,
)

READING = responses(401, 403, 422, 503, 504)

router = page_router("statements")


@router.get(
    "/v1/reconciliation/lines",
    response_model=LinePage,
    responses=READING,
    summary="Lines of statements that are not matched",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def lines(
    reader: Reader, shop: Handle | None = None, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Answer:
    """Of all statements, the newest first, unallocated receipts among them. Fees and payouts are
    booked as they stand.
    """
    query = ["open lines", shop]
    after = opened_place(reader.context, query, cursor)
    for source in reconciling.LINE_SOURCES:
        await reader.reach(source)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, statement_lines.NAME)
        rows = await reconciling.open_lines(connection, limit + 1, shop=shop, after=after)
    items, more = reconciling.cut_to(rows, limit)
    place = more and [items[-1]["value_at"], items[-1]["line"]]
    following = sealed_cursor(reader.context, query, place) if place else None
    items = await shown_to(reader, items, "GET /v1/reconciliation/lines", shop or "")
    return Answer({"items": items, "next_cursor": following, "position": position})


@router.get(
    "/v1/reconciliation/movements",
    response_model=MovementPage,
    responses=READING,
    summary="Our payments, refunds and payouts that no statement has told of",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def movements(
    reader: Reader,
    shop: Handle | None = None,
    imported: Annotated[bool, Query(description="Imported history too")] = False,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Answer:
    """Newest first. What stays in the house (store credit, gift balance, exchanged goods) is no
    movement; what statements have told too much of is under `contradictions`.
    """
    query = ["open movements", shop, imported]
    return await _movements(reader, query, "movements", shop, limit, cursor, imported=imported)


@router.get(
    "/v1/reconciliation/contradictions",
    response_model=MovementPage,
    responses=READING,
    summary="Our money that statements have told too much of",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def contradictions(
    reader: Reader, shop: Handle | None = None, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Answer:
    """Newest first: a payment that was voided, or a refund that failed, after a line was matched
    with it. Either the match is undone, or a later line tells of the money going the other way.
    """
    kinds = get_args(MovementKind)
    query = ["contradictions", shop]
    return await _movements(
        reader, query, "contradictions", shop, limit, cursor, over=kinds, only_over=True
    )


async def _movements(
    reader: ReadCall,
    query: list[Any],
    name: str,
    shop: str | None,
    limit: int,
    cursor: str | None,
    **which: Any,
) -> Answer:
    after = opened_place(reader.context, query, cursor)
    for source in reconciling.MOVEMENT_SOURCES:
        await reader.reach(source)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, money_movements.NAME)
        rows = await reconciling.open_movements(
            connection, limit + 1, shop=shop, after=after, **which
        )
    items, more = reconciling.cut_to(rows, limit)
    place = more and [items[-1]["occurred_at"], items[-1]["movement"]]
    following = sealed_cursor(reader.context, query, place) if place else None
    items = await shown_to(reader, items, f"GET /v1/reconciliation/{name}", shop or "")
    return Answer({"items": items, "next_cursor": following, "position": position})
