"""Drafts and quotes as they are read: lists, and one with the history of its offers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Query

from api.answers import Answer, etag
from api.context import Context
from api.draft_views import DraftPage, DraftShown
from api.events import stream_rows
from api.permissions import Permission, needs
from api.problems import Problem, responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Limit,
    Reader,
    opened_place,
    page_router,
    sealed_cursor,
)
from api.shown import shown_to
from domain.command_types import Handle
from domain.desk_names import draft_stream
from domain.values import Identifier
from projections import drafts
from projections.drafts import DraftFilters, DraftRow
from projections.reconciling import cut_to

Status = Literal["draft", "quoted", "expired", "declined", "discarded", "ordered"]

router = page_router("drafts")


@router.get(
    "/v1/drafts",
    response_model=DraftPage,
    responses=responses(401, 403, 422, 503, 504),
    summary="List drafts and quotes",
    **needs(Permission.ORDER_READ),
)
async def list_drafts(
    reader: Reader,
    status: Annotated[Status | None, Query()] = None,
    customer_id: Annotated[Identifier | None, Query()] = None,
    shop: Handle | None = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Answer:
    """Those started last first, nothing personal. Without `status` what may still become an order:
    neither discarded nor ordered.
    """
    query = ["drafts", status, customer_id, shop]
    after = opened_place(reader.context, query, cursor)
    await reader.reach(drafts.NAME)
    filters = DraftFilters(status, customer_id, shop)
    async with reader.context.reading() as connection:
        rows, position = await drafts.page(connection, filters, after, limit + 1)
    items, more = cut_to(rows, limit)
    place = [items[-1]["started_at"], items[-1]["draft_id"]] if more else None
    following = place and sealed_cursor(reader.context, query, place)
    return Answer({"items": items, "next_cursor": following, "position": position})


@router.get(
    "/v1/drafts/{draft_id}",
    response_model=DraftShown,
    responses=responses(401, 403, 404, 422, 503, 504),
    summary="One draft by UUID or number",
    **needs(Permission.ORDER_READ),
)
async def show(reader: Reader, draft_id: str) -> Answer:
    """What was typed, what it lacks, and every offer. Personal values need
    `customer.read_personal` and are masked without; a look at them is recorded.
    """
    found = await reader.context.order_id(draft_id, "draft")
    await reader.reach(drafts.NAME)
    row, position = await _draft(reader.context, found)
    shown = drafts.view(row, datetime.now(UTC)) | {"position": position}
    answer = await shown_to(reader, shown, "GET /v1/drafts/{id}", found)
    return Answer(answer, headers=[etag(row.version)])


async def _draft(context: Context, draft_id: str) -> tuple[DraftRow, int]:
    """Raises Problem 404 only for what the ledger does not know: a read model may be behind."""
    async with context.reading() as connection:
        row, position = await drafts.one(connection, draft_id)
        if row is not None:
            return row, position
        recorded = await stream_rows(connection, context, draft_stream(draft_id), 0, 1)
    if recorded:
        await context.reach(drafts.NAME, recorded[0][0])
        async with context.reading() as connection:
            row, position = await drafts.one(connection, draft_id)
    if row is None:
        facts = {"draft_id": draft_id}
        raise Problem(404, "draft_not_found", "There is no such draft.", facts=facts)
    return row, position
