"""Statements as they are read: lists, one with its lines, and what its open lines may belong to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.answers import Answer
from api.compared import Compared, compared_or_missing, known, missing
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Limit,
    ReadCall,
    Reader,
    opened_cursor,
    opened_place,
    page_router,
    sealed_cursor,
)
from api.shown import shown_to
from api.statement_views import LinePage, StatementPage, StatementShown, Suggestions
from domain.command_types import Handle
from domain.matching import Match
from domain.scoring import LineKey
from projections import (
    checkpoint,
    reconciling,
    statement_lines,
    statements,
)

READING = responses(401, 403, 404, 422, 503, 504)

router = page_router("statements")


@router.get(
    "/v1/statements",
    response_model=StatementPage,
    responses=responses(401, 403, 422, 503, 504),
    summary="List statements",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def list_statements(
    reader: Reader, shop: Handle | None = None, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Answer:
    """Newest first."""
    query = ["statements", shop]
    after = opened_place(reader.context, query, cursor)
    await reader.reach(statements.NAME)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, statements.NAME)
        rows = await statements.page(connection, shop, after, limit + 1)
    items, more = reconciling.cut_to(rows, limit)
    place = more and [items[-1]["imported_at"], items[-1]["statement_id"]]
    following = sealed_cursor(reader.context, query, place) if place else None
    return Answer({"items": items, "next_cursor": following, "position": position})


@router.get(
    "/v1/statements/{statement_id}",
    response_model=StatementShown,
    responses=READING,
    summary="One statement",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def show(reader: Reader, statement_id: str) -> Answer:
    """What it is, and how many of its lines are in which state."""
    name = known(statement_id)
    await _known_to_both(reader)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, statement_lines.NAME)
        found = await statements.one(connection, name)
    if found is None:
        raise missing(statement_id)
    return Answer({**found, "position": position})


async def _known_to_both(reader: ReadCall) -> None:
    """A statement, its lines and what providers told are read models of their own, and each may be
    behind.
    """
    for source in reconciling.LINE_SOURCES:
        await reader.reach(source)


@router.get(
    "/v1/statements/{statement_id}/lines",
    response_model=LinePage,
    responses=READING,
    summary="The lines of a statement",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def lines(
    reader: Reader, statement_id: str, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Answer:
    """In their order. Who paid and what they wrote needs `customer.read_personal`; a look at it is
    recorded.
    """
    name = known(statement_id)
    query = ["lines", name]
    opened = opened_cursor(reader.context, query, cursor)
    await _known_to_both(reader)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, statement_lines.NAME)
        rows = await reconciling.lines_of(connection, name, opened[0] if opened else 0, limit + 1)
        if not rows and await statements.one(connection, name) is None:
            raise missing(statement_id)
    items, more = reconciling.cut_to(rows, limit)
    following = sealed_cursor(reader.context, query, [items[-1]["line_no"]]) if more else None
    items = await shown_to(reader, items, "GET /v1/statements/{id}/lines", name)
    return Answer({"items": items, "next_cursor": following, "position": position})


@router.get(
    "/v1/statements/{statement_id}/suggestions",
    response_model=Suggestions,
    responses=READING,
    summary="What the open lines of a statement may belong to",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def suggestions(reader: Reader, statement_id: str) -> Answer:
    """Candidates with their score of 100 and a reason for each share of it. Nothing personal."""
    name = known(statement_id)
    for projection in reconciling.SOURCES:
        await reader.reach(projection)
    found = await compared_or_missing(reader.context, statement_id)
    certain = {line: match for match in found.plan.matches for line in match.lines}
    items = []
    for row in sorted(found.sides.lines, key=lambda one: int(one["line_no"])):
        key = LineKey(name, row["line_no"])
        sure, others = certain.get(key), found.plan.suggestions.get(key, [])
        items.append(_suggested(row, [sure] if sure else others, found, certain=sure is not None))
    return Answer(
        {"statement_id": name, "items": items, "cut": found.sides.cut, "position": found.position}
    )


def _suggested(
    row: dict[str, Any], matches: Iterable[Match], found: Compared, *, certain: bool
) -> dict[str, Any]:
    shown = ("line_no", "kind", "open_minor", "currency", "value_on", "reference")
    return {
        **{name: row[name] for name in shown},
        "suggestions": [
            {
                "score": one.score.points,
                "certain": certain,
                "reasons": one.score.reasons,
                "lines": [key.line_no for key in one.lines],
                "movements": [
                    {**key._asdict(), "amount_minor": found.worth[key]} for key in one.movements
                ],
                "difference_minor": one.difference_minor,
            }
            for one in matches
        ],
    }
