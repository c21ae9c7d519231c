"""Statements over HTTP: bring one in, read it, match its lines with our money, undo a match."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import Field, ValidationError

from api.answers import Answer
from api.attempts import new_id
from api.calls import Call, CommandCall, CommandRoute, MatchedCall, example
from api.compared import caught_up, compared_or_missing, known
from api.examples import MATCH, STATEMENT, UNALLOCATED, UNMATCH
from api.permissions import Permission, needs
from api.problems import (
    ERRORS_MAX,
    FieldError,
    field_errors,
    field_problem,
    invalid,
    responses,
)
from api.reads import (
    identifier,
)
from api.statement_views import (
    LineLeft,
    MatchRecorded,
    RuleMatches,
    StatementUploaded,
)
from commands.statement_csv import Mapping
from commands.statement_files import Unusable
from commands.statement_import import StatementFile, read_statement
from domain.command_types import Handle
from domain.matching_commands import match_commands
from domain.message import Rejected
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

UPLOAD_BYTES_MAX = 24 << 20  # of a body; a third of it is base64's
CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
READING = responses(401, 403, 404, 422, 503, 504)


router = APIRouter(route_class=CommandRoute, tags=["statements"])


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
    call.without_version()
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
    call.without_version()
    await caught_up(call.context)
    found = await compared_or_missing(call.context, statement_id)
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
    name = known(statement_id)
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
    name = known(statement_id)
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
    name = known(statement_id)
    if not line_no.isascii() or not line_no.isdecimal():
        raise field_problem("line_no", "int_parsing", "must be the number of a line")
    number = int(line_no[:10])
    command = call.command(LeaveUnallocated, body, statement_id=name, line_no=number)
    return await call.run(command, statement_stream(name))
