"""Statements over HTTP: bring one in, read it, match its lines with our money, undo a match."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import re
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import Field, ValidationError

from api.answers import Answer
from api.attempts import new_id
from api.calls import Call, CommandCall, CommandRoute, MatchedCall, example
from api.compared import Compared, caught_up, compared
from api.examples import MATCH, STATEMENT, UNALLOCATED, UNMATCH
from api.permissions import Permission, needs
from api.problems import (
    ERRORS_MAX,
    FieldError,
    Problem,
    field_errors,
    field_problem,
    invalid,
    responses,
)
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Limit,
    Reader,
    identifier,
    opened_cursor,
    opened_place,
    page_router,
    sealed_cursor,
)
from api.shown import shown_to
from api.statement_views import (
    LineLeft,
    LinePage,
    MatchRecorded,
    RuleMatches,
    StatementPage,
    StatementShown,
    StatementUploaded,
    Suggestions,
)
from commands.statement_csv import Mapping
from commands.statement_files import Unusable
from commands.statement_import import StatementFile, read_statement
from domain.matching import Match
from domain.matching_commands import match_commands
from domain.message import Rejected
from domain.order_commands import Handle
from domain.period import ZONE, Zone
from domain.reconciliation import COMPLETE
from domain.reconciliation_streams import statement_stream
from domain.statement_commands import (
    Layout,
    LeaveUnallocated,
    MatchBody,
    MatchLines,
    Name,
    UnallocatedBody,
    UnmatchBody,
    UnmatchLines,
)
from domain.values import Value
from projections import checkpoint, reconciling, statement_lines, statements

UPLOAD_BYTES_MAX = 24 << 20  # of a body; a third of it is base64's
CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
READING = responses(401, 403, 404, 422, 503, 504)

_ID = re.compile(r"[0-9a-f]{64}")

router = APIRouter(route_class=CommandRoute, tags=["statements"])
reads = page_router("statements")


class StatementBody(Value):
    """A file in base64. `mapping` is for CSV; `zone` is where a bare date of camt.053 is."""

    layout: Layout
    file_name: Name
    content: Annotated[str, Field(min_length=1, description="The file in base64")]
    shop: Handle = "main"
    mapping: Mapping | None = None
    zone: Zone = ZONE
    accept_unreadable: Annotated[
        bool, Field(strict=True, description="Leave out rows that cannot be read")
    ] = False


class RulesBody(Value):
    """Nothing to say."""


@router.post(
    "/v1/statements",
    response_model=StatementUploaded,
    responses=CHANGING,
    summary="Import a statement of a bank or payment provider",
    **needs(Permission.PAYMENT_RECONCILE, body_bytes_max=UPLOAD_BYTES_MAX),
)
async def upload(
    call: Call,
    body: Annotated[StatementBody, Body(**example("A bank's CSV", STATEMENT))],
) -> Answer:
    """Once: the same bytes again answer with the first import. With rows that cannot be read
    nothing comes in, and each is named by line and rule, unless `accept_unreadable` is set.
    """
    file = await asyncio.to_thread(_read, body)
    if file.unreadable and not body.accept_unreadable:
        raise invalid(_unreadable(file))
    try:
        commands = list(file.commands(body.shop, call.at))
    except Unusable as bad:
        raise field_problem("content", bad.rule, bad.message) from None
    except ValidationError as error:
        raise invalid(field_errors(error.errors(include_url=False, include_input=False))) from None
    outcome = await call.run_as(0, commands[0])
    known = outcome.position is None
    if not known or outcome.body["status"] != COMPLETE:
        for number, command in enumerate(commands[1:], 1):
            outcome = await call.run_as(number, command)
    rows = [{"line_no": one.line, "rule": one.rule} for one in file.unreadable]
    return call.answer(outcome, already_imported=known, unreadable=rows)


def _read(body: StatementBody) -> StatementFile:
    """Raises Problem 422 that says what is wrong with the file as a whole."""
    try:
        raw = base64.b64decode(body.content, validate=True)
    except (binascii.Error, ValueError):
        raise field_problem("content", "base64", "must be base64") from None
    try:
        return read_statement(body.layout, io.BytesIO(raw), body.file_name, body.mapping, body.zone)
    except Unusable as bad:
        field = "mapping" if bad.rule == "mapping_missing" else "content"
        raise field_problem(field, bad.rule, bad.message) from None


def _unreadable(file: StatementFile) -> list[FieldError]:
    return [
        FieldError(field="content", rule=one.rule, message=f"line {one.line}: {one.detail}".strip())
        for one in file.unreadable[:ERRORS_MAX]
    ]


@reads.get(
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


@reads.get(
    "/v1/statements/{statement_id}",
    response_model=StatementShown,
    responses=READING,
    summary="One statement",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def show(reader: Reader, statement_id: str) -> Answer:
    """What it is, and how many of its lines are in which state."""
    name = _known(statement_id)
    await reader.reach(statement_lines.NAME)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, statement_lines.NAME)
        found = await statements.one(connection, name)
    if found is None:
        raise _not_found(statement_id)
    return Answer({**found, "position": position})


@reads.get(
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
    name = _known(statement_id)
    query = ["lines", name]
    opened = opened_cursor(reader.context, query, cursor)
    await reader.reach(statement_lines.NAME)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, statement_lines.NAME)
        rows = await reconciling.lines_of(connection, name, opened[0] if opened else 0, limit + 1)
        if not rows and await statements.one(connection, name) is None:
            raise _not_found(statement_id)
    items, more = reconciling.cut_to(rows, limit)
    following = sealed_cursor(reader.context, query, [items[-1]["line_no"]]) if more else None
    items = await shown_to(reader, items, "GET /v1/statements/{id}/lines", name)
    return Answer({"items": items, "next_cursor": following, "position": position})


@reads.get(
    "/v1/statements/{statement_id}/suggestions",
    response_model=Suggestions,
    responses=READING,
    summary="What the open lines of a statement may belong to",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def suggestions(reader: Reader, statement_id: str) -> Answer:
    """Candidates with their score of 100 and a reason for each share of it. Nothing personal."""
    name = _known(statement_id)
    for projection in reconciling.SOURCES:
        await reader.reach(projection)
    found = await _compared(reader.context, statement_id)
    certain = {line: match for match in found.plan.matches for line in match.lines}
    items = []
    for row in sorted(found.sides.lines, key=lambda one: int(one["line_no"])):
        key = (name, row["line_no"])
        sure = certain.get(key)  # type: ignore[call-overload] # a LineKey is that tuple
        others = found.plan.suggestions.get(key, [])  # type: ignore[call-overload]
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


@router.post(
    "/v1/statements/{statement_id}/auto-match",
    response_model=RuleMatches,
    responses=CHANGING,
    summary="Match what is beyond doubt",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def auto_match(
    call: Call,
    statement_id: str,
    body: Annotated[RulesBody, Body(**example("By the rules", {}))],  # noqa: ARG001
) -> Answer:
    """Where a reference and the amount fit one way only; what a person undid is left alone."""
    await caught_up(call.context)
    found = await _compared(call.context, statement_id)
    commands = match_commands(found.plan.matches, *found.entries, call.at)
    matched, position, refused = 0, None, []
    for number, command in enumerate(commands):
        try:
            outcome = await call.run_as(number, command)
        except Rejected as refusal:
            told = [part.line_no for part in command.lines]
            refused.append({"code": refusal.code, "message": refusal.message, "lines": told})
        else:
            matched, position = matched + 1, outcome.position
    return Answer(
        {
            "statement_id": statement_id,
            "matched": matched,
            "suggested": len(found.plan.suggestions),
            "refused": refused,
            "cut": found.sides.cut,
            "position": position,
        }
    )


async def _compared(context: Any, statement_id: str) -> Compared:
    found = await compared(context, _known(statement_id))
    if found is None:
        raise _not_found(statement_id)
    return found


@router.post(
    "/v1/statements/{statement_id}/matches",
    response_model=MatchRecorded,
    responses=CHANGING,
    summary="Match lines with payments, refunds or a provider's batch",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def match(
    call: MatchedCall,
    statement_id: str,
    body: Annotated[MatchBody, Body(**example("A part of a line for one payment", MATCH))],
) -> Answer:
    """Their sums must agree, but for the tolerance, which is written off. An order may be named by
    its number. Without amounts all that is open is taken.
    """
    name = _known(statement_id)
    parts = [await _located(call, part) for part in body.movements]
    command = call.command(
        MatchLines,
        body.model_copy(update={"movements": parts}),
        statement_id=name,
        match_id=new_id(),
    )
    return await call.run(command, statement_stream(name))


async def _located(call: CommandCall, part: Any) -> Any:
    if part.kind == "payout":
        return part
    return part.model_copy(update={"owner": await call.context.order_id(part.owner)})


@router.post(
    "/v1/statements/{statement_id}/matches/{match_id}/undo",
    response_model=MatchRecorded,
    responses=CHANGING,
    summary="Undo a match",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def unmatch(
    call: MatchedCall,
    statement_id: str,
    match_id: str,
    body: Annotated[UnmatchBody, Body(**example("Another order was meant", UNMATCH))],
) -> Answer:
    """With its reason. No rule makes the same match again."""
    name = _known(statement_id)
    command = call.command(
        UnmatchLines, body, statement_id=name, match_id=identifier("match_id", match_id)
    )
    return await call.run(command, statement_stream(name))


@router.post(
    "/v1/statements/{statement_id}/lines/{line_no}/unallocated",
    response_model=LineLeft,
    responses=CHANGING,
    summary="Keep unknown money as an unallocated receipt",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def unallocated(
    call: MatchedCall,
    statement_id: str,
    line_no: str,
    body: Annotated[UnallocatedBody, Body(**example("A note", UNALLOCATED))],
) -> Answer:
    """Until it is matched."""
    name = _known(statement_id)
    if not line_no.isascii() or not line_no.isdecimal():
        raise field_problem("line_no", "int_parsing", "must be the number of a line")
    number = int(line_no[:10])
    command = call.command(LeaveUnallocated, body, statement_id=name, line_no=number)
    return await call.run(command, statement_stream(name))


def _known(statement_id: str) -> str:
    """Raises Problem 404: no other text names a statement."""
    if not _ID.fullmatch(statement_id):
        raise _not_found(statement_id)
    return statement_id


def _not_found(statement_id: str) -> Problem:
    facts = {"statement_id": statement_id[:200]}
    return Problem(404, "statement_not_found", "There is no such statement.", facts=facts)
