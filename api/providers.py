"""Payment providers over HTTP: their webhook, and notices that a person has to look after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ValidationError

from api import attempts
from api.answers import Answer
from api.calls import (
    CommandRoute,
    MatchedCall,
    example,
    parsed,
    read_body,
    validated,
)
from api.context import Context
from api.examples import NOTICE, NOTICE_ORDER
from api.permissions import Permission, needs
from api.problems import Problem, field_errors, invalid, responses
from api.reads import PAGE_ITEMS, Cursor, Limit, Reader, opened_place, page_router, sealed_cursor
from api.shown import shown_to
from api.views import Personal
from commands.planning import KeyReused
from commands.provider import attempt, conflict, is_signed, recording
from domain.message import Rejected
from domain.provider import CONFLICTING, notice_stream
from domain.provider_commands import AssignBody, AssignNotice, Notice, ProviderTerms
from projections import checkpoint, provider_notices, statement_lines, statements

WEBHOOK_BYTES_MAX = 64 * 1024
NOTICES = "/v1/providers/{provider}/notices"
SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")

hooks = APIRouter(tags=["providers"])
router = APIRouter(route_class=CommandRoute, tags=["providers"])
reads = page_router("providers")


class NoticeRecorded(BaseModel):
    """`position` is null where it was known."""

    provider: str
    notice_id: str
    status: Literal["received", "applied", "set_aside"]
    version: int
    position: int | None


class Receipt(BaseModel):
    statement_id: str
    line_no: int


class NoticeShown(BaseModel):
    """`outcome`: `recorded` or `superseded` once applied, a refusal's code when set aside, or
    `conflicting_notice`. `receipt`: the line of a statement on which money that was set aside has
    come, an unallocated receipt.
    """

    provider: str
    notice_id: str
    kind: str
    order_ref: str
    order_id: str | None
    payment: str
    capture: str | None
    method: str
    amount_minor: int
    fee_minor: int | None
    currency: str
    payer: Personal
    receipt: Receipt | None
    status: str
    outcome: str | None
    occurred_at: datetime
    received_at: datetime


class NoticePage(BaseModel):
    items: list[NoticeShown]
    next_cursor: str | None
    position: int


def terms_of(context: Context, provider: str) -> ProviderTerms:
    """Raises Problem 404."""
    terms = context.settings.providers.get(provider)
    if terms is None:
        facts = {"provider": provider[:200]}
        raise Problem(404, "provider_not_found", "There is no such provider.", facts=facts)
    return terms


@hooks.post(
    NOTICES,
    response_model=NoticeRecorded,
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
    summary="What a payment provider tells (its webhook)",
    openapi_extra={
        **needs(Permission.PUBLIC)["openapi_extra"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
            for name in SIGNED
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": Notice.model_json_schema(),
                    "examples": example("A capture", NOTICE)["openapi_examples"],
                }
            },
        },
    },
)
async def take(request: Request, provider: str) -> Answer:
    """Signed over its raw body as Standard Webhooks are: without that, 401. Answered once it is in
    the ledger; what it means for its order follows. The same notice again changes nothing; a known
    `notice_id` with another body is kept, set aside, and answered 409 `conflicting_notice`.
    """
    context: Context = request.app.state.context
    terms = terms_of(context, provider)
    headers = attempts.headers_of(request.scope)
    raw = await read_body(headers, request.receive, WEBHOOK_BYTES_MAX)
    now = datetime.now(UTC)
    if not is_signed(terms.secret, _text(headers), raw, now):
        raise Problem(401, "signature_invalid", "This is not signed by the provider, or not now.")
    _, said = parsed(raw)
    notice = validated(Notice, said)
    assert isinstance(notice, Notice)
    try:
        command = recording(provider, notice, now)
    except ValidationError as error:
        raise invalid(field_errors(error.errors(include_url=False, include_input=False))) from None
    try:
        outcome = await context.committer.run(
            command, attempt(context.digest_key, provider, notice), None
        )
    except KeyReused:
        raise await _kept_apart(context, provider, notice, now) from None
    except Rejected as refusal:
        if refusal.code != "notice_differs":
            raise
        raise await _kept_apart(context, provider, notice, now) from None
    return Answer({**outcome.body, "position": outcome.position})


async def _kept_apart(context: Context, provider: str, notice: Notice, now: datetime) -> Problem:
    """Its id was told before with another body: that one counts, and a person looks at this one."""
    command, kept = conflict(context.digest_key, provider, notice, now)
    await context.committer.run(command, kept, None)
    return Problem(
        409,
        CONFLICTING,
        f"Notice {notice.notice_id} was told before with another body, which counts. This one is "
        f"kept and set aside as {command.notice_id}.",
        facts={"notice_id": notice.notice_id, "kept_as": command.notice_id},
    )


def _text(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}


@reads.get(
    NOTICES,
    response_model=NoticePage,
    responses=responses(401, 403, 404, 422, 503, 504),
    summary="What a payment provider told",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def list_notices(
    reader: Reader,
    provider: str,
    status: Literal["received", "applied", "set_aside"] | None = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Answer:
    """The last received first. `set_aside` is money that belongs to nothing that we know, or that
    an order refuses: a person has to look after it. Once a statement tells of it, it is one
    unallocated receipt there, with what the notice says.
    """
    terms_of(reader.context, provider)
    query = ["notices", provider, status]
    after = opened_place(reader.context, query, cursor)
    for name in (provider_notices.NAME, statements.NAME, statement_lines.NAME):
        await reader.reach(name)
    async with reader.context.reading() as connection:
        position = await checkpoint.position_of(connection, provider_notices.NAME)
        rows = await provider_notices.page(connection, provider, status, after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = sealed_cursor(reader.context, query, [last["received_at"], last["key"]])
    items = [{k: v for k, v in row.items() if k != "key"} for row in rows[:limit]]
    items = await shown_to(reader, items, "GET /v1/providers/{provider}/notices", provider)
    return Answer({"items": items, "next_cursor": following, "position": position})


@router.post(
    f"{NOTICES}/{{notice_id}}/assign",
    response_model=NoticeRecorded,
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
    summary="Say which order a provider's notice belongs to",
    **needs(Permission.PAYMENT_RECONCILE),
)
async def assign(
    call: MatchedCall,
    provider: str,
    notice_id: str,
    body: Annotated[AssignBody, Body(**example("Its order", NOTICE_ORDER))],
) -> Answer:
    """What was set aside is tried again, for that order."""
    terms_of(call.context, provider)
    order_id = await call.context.order_id(body.order_id)
    named = body.model_copy(update={"order_id": order_id})
    command = call.command(AssignNotice, named, provider=provider, notice_id=notice_id)
    return await call.run(command, notice_stream(provider, notice_id))
