"""Drafts and quotes over HTTP: type, save, offer, and make an order of it by one command."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id, new_numbers
from api.calls import Call, CommandCall, CommandRoute, MatchedCall, Unmatched, example
from api.draft_views import DraftRecorded
from api.examples import ACCEPTANCE, DECLINING, DISCARDING, DRAFT, ORDER, QUOTE
from api.order_answers import ChangePreview, OrderPlaced
from api.permissions import Permission, needs
from api.problems import responses
from domain import order_preview
from domain.desk_names import draft_stream, order_stream
from domain.draft_commands import (
    AcceptBody,
    AcceptQuote,
    ConfirmBody,
    ConfirmDraft,
    DeclineBody,
    DeclineQuote,
    DiscardBody,
    DiscardDraft,
    DraftBody,
    OfferBody,
    OfferQuote,
    SaveDraft,
    StartDraft,
)

STARTING = responses(400, 401, 403, 409, 413, 422, 503)
CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)

router = APIRouter(route_class=CommandRoute, tags=["drafts"])


async def _draft_id(call: CommandCall, text: str) -> str:
    return await call.context.order_id(text, "draft")


@router.post(
    "/v1/drafts",
    status_code=201,
    response_model=DraftRecorded,
    responses=STARTING,
    summary="Start a draft",
    **needs(Permission.ORDER_DRAFT),
)
async def start(
    call: Call, body: Annotated[DraftBody, Body(**example("What is known so far", DRAFT))]
) -> Answer:
    """Saved as it is: anything may be missing, what is there must be well-formed. Answers what an
    order would lack and be refused for. Its number will be that of the order.
    """
    command = call.command(StartDraft, body, draft_id=new_id(), numbers=new_numbers())
    return await call.run(command, Unmatched.NO_VERSION, status=201)


@router.put(
    "/v1/drafts/{draft_id}",
    response_model=DraftRecorded,
    responses=CHANGING,
    summary="Save a draft",
    **needs(Permission.ORDER_DRAFT),
)
async def save(
    call: MatchedCall,
    draft_id: str,
    body: Annotated[DraftBody, Body(**example("All of it", ORDER))],
) -> Answer:
    """Takes the place of all that was saved before: what is absent is gone. Not while a quote is
    open: that is offered anew.
    """
    found = await _draft_id(call, draft_id)
    command = call.command(SaveDraft, body, draft_id=found)
    return await call.run(command, draft_stream(found))


@router.post(
    "/v1/drafts/{draft_id}/quote",
    response_model=DraftRecorded,
    responses=CHANGING,
    summary="Offer a draft as a quote, or offer it anew",
    **needs(Permission.ORDER_DRAFT),
)
async def quote(
    call: MatchedCall,
    draft_id: str,
    body: Annotated[OfferBody, Body(**example("Until the end of January", QUOTE))],
) -> Answer:
    """Prices and tax rates are frozen until `expires_at`; no stock is reserved. With `draft` that
    is saved first. Another offer takes the place of the last, which stays in the history.
    """
    found = await _draft_id(call, draft_id)
    command = call.command(OfferQuote, body, draft_id=found)
    return await call.run(command, draft_stream(found))


@router.post(
    "/v1/drafts/{draft_id}/accept",
    response_model=OrderPlaced,
    responses=CHANGING,
    summary="Accept a quote: place the order at its prices",
    **needs(Permission.ORDER_PLACE),
)
async def accept(
    call: MatchedCall,
    draft_id: str,
    body: Annotated[AcceptBody, Body(**example("The first offer", ACCEPTANCE))],
) -> Answer:
    """Until it expires, the last offer only. The order has the id and the number of the draft;
    stock, credit and policy are those of now. Accepted again, it is the same order.
    """
    found = await _draft_id(call, draft_id)
    command = call.command(AcceptQuote, body, draft_id=found)
    return await call.run(command, draft_stream(found))


@router.post(
    "/v1/drafts/{draft_id}/decline",
    response_model=DraftRecorded,
    responses=CHANGING,
    summary="Record that the customer declined a quote",
    **needs(Permission.ORDER_DRAFT),
)
async def decline(
    call: MatchedCall,
    draft_id: str,
    body: Annotated[DeclineBody, Body(**example("Too dear", DECLINING))],
) -> Answer:
    """It may be offered anew."""
    found = await _draft_id(call, draft_id)
    command = call.command(DeclineQuote, body, draft_id=found)
    return await call.run(command, draft_stream(found))


@router.post(
    "/v1/drafts/{draft_id}/confirm",
    response_model=OrderPlaced,
    responses=CHANGING,
    summary="Place the order of a draft",
    **needs(Permission.ORDER_PLACE),
)
async def confirm(
    call: MatchedCall,
    draft_id: str,
    body: Annotated[ConfirmBody, Body(**example("Nothing to say", {}))],
) -> Answer:
    """`draft_incomplete` names each missing field. The order has the id and the number of the
    draft. Confirmed again, it is the same order; what was offered as a quote is accepted instead.
    """
    found = await _draft_id(call, draft_id)
    command = call.command(ConfirmDraft, body, draft_id=found)
    return await call.run(command, draft_stream(found))


@router.post(
    "/v1/drafts/{draft_id}/confirm/preview",
    response_model=ChangePreview,
    responses=CHANGING,
    summary="What the order of a draft would come to",
    **needs(Permission.ORDER_DRAFT),
)
async def preview(
    call: Call,
    draft_id: str,
    body: Annotated[ConfirmBody, Body(**example("Nothing to say", {}))],
) -> Answer:
    """Nothing is placed; what is refused here, for want of stock or credit too, would be refused
    there.
    """
    found = await _draft_id(call, draft_id)
    seen = await call.preview(call.command(ConfirmDraft, body, draft_id=found))
    stream = order_stream(found)
    told = order_preview.difference(stream, seen.states[stream], seen.decision)
    return Answer({"version": seen.versions[draft_stream(found)], **told})


@router.post(
    "/v1/drafts/{draft_id}/discard",
    response_model=DraftRecorded,
    responses=CHANGING,
    summary="Discard a draft",
    **needs(Permission.ORDER_DRAFT),
)
async def discard(
    call: MatchedCall,
    draft_id: str,
    body: Annotated[DiscardBody, Body(**example("Nothing came of it", DISCARDING))],
) -> Answer:
    """Nothing more comes of it; an open quote ends. It stays in the ledger."""
    found = await _draft_id(call, draft_id)
    command = call.command(DiscardDraft, body, draft_id=found)
    return await call.run(command, draft_stream(found))
