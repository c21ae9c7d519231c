"""Commands about papers over HTTP: invoices, credit notes, and fapiao with their red letters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id
from api.calls import CommandRoute, MatchedCall, example
from api.examples import (
    CREDIT_NOTE,
    FAPIAO,
    FAPIAO_FILE,
    INVOICE,
    RED_LETTER,
    RED_LETTER_FILE,
)
from api.paper_answers import FapiaoAnswered, PaperIssued
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import identifier
from domain.desk_names import order_stream
from domain.invoice_commands import (
    CreditNoteBody,
    FapiaoBody,
    FapiaoFileBody,
    InvoiceBody,
    IssueCreditNote,
    IssueInvoice,
    RecordFapiao,
    RequestFapiao,
    ReverseFapiao,
    ReverseFapiaoBody,
)

router = APIRouter(route_class=CommandRoute, tags=["papers"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)


@router.post(
    "/v1/orders/{order_id}/invoices",
    status_code=201,
    response_model=PaperIssued,
    responses=CHANGING,
    summary="Issue an invoice",
    **needs(Permission.INVOICE_ISSUE),
)
async def issue_invoice(
    call: MatchedCall,
    order_id: str,
    body: Annotated[InvoiceBody, Body(**example("One unit, and the shipping", INVOICE))],
) -> Answer:
    """All that is owed and on no invoice yet, or the units named. The number is the next of the
    shop's series in its local year: no gap, no repeat.
    """
    found = await call.context.order_id(order_id)
    sellers = call.context.settings.sellers
    command = call.command(IssueInvoice, body, order_id=found, paper_id=new_id(), sellers=sellers)
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/credit-notes",
    status_code=201,
    response_model=PaperIssued,
    responses=CHANGING,
    summary="Issue a credit note",
    **needs(Permission.CREDIT_NOTE_ISSUE),
)
async def issue_credit_note(
    call: MatchedCall,
    order_id: str,
    body: Annotated[CreditNoteBody, Body(**example("The invoice was wrong", CREDIT_NOTE))],
) -> Answer:
    """Takes off one invoice what a refund gave back, what is owed no more, or all of it to write it
    anew. Never more than the invoice says, line by line, tax included.
    """
    found = await call.context.order_id(order_id)
    sellers = call.context.settings.sellers
    ids = {"order_id": found, "paper_id": new_id(), "sellers": sellers}
    command = call.command(IssueCreditNote, body, **ids)
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/fapiao",
    status_code=201,
    response_model=FapiaoAnswered,
    responses=CHANGING,
    summary="Ask for a fapiao",
    **needs(Permission.FAPIAO_REQUEST),
)
async def request_fapiao(
    call: MatchedCall,
    order_id: str,
    body: Annotated[FapiaoBody, Body(**example("专票 for a company", FAPIAO))],
) -> Answer:
    """For an invoice that has none yet. The tax provider's number comes later."""
    found = await call.context.order_id(order_id)
    command = call.command(RequestFapiao, body, order_id=found, fapiao_id=new_id())
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/fapiao/{fapiao_id}/issued",
    response_model=FapiaoAnswered,
    responses=CHANGING,
    summary="Record a fapiao's number and file",
    **needs(Permission.FAPIAO_RECORD),
)
async def record_fapiao(
    call: MatchedCall,
    order_id: str,
    fapiao_id: str,
    body: Annotated[FapiaoFileBody, Body(**example("As the provider answered", FAPIAO_FILE))],
) -> Answer:
    """Once. Another number for the same request is refused."""
    found, known = await call.context.order_id(order_id), identifier("fapiao_id", fapiao_id)
    command = call.command(RecordFapiao, body, order_id=found, fapiao_id=known)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/fapiao/{fapiao_id}/red-letters",
    status_code=201,
    response_model=FapiaoAnswered,
    responses=CHANGING,
    summary="Ask for a red letter (红冲)",
    **needs(Permission.FAPIAO_REQUEST),
)
async def reverse_fapiao(
    call: MatchedCall,
    order_id: str,
    fapiao_id: str,
    body: Annotated[ReverseFapiaoBody, Body(**example("The oldest credit note", RED_LETTER))],
) -> Answer:
    """For a credit note whose invoice has a fapiao: the refund's part of it is taken back."""
    found, known = await call.context.order_id(order_id), identifier("fapiao_id", fapiao_id)
    command = call.command(ReverseFapiao, body, order_id=found, fapiao_id=known)
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/fapiao/{fapiao_id}/red-letters/{credit_number}/issued",
    response_model=FapiaoAnswered,
    responses=CHANGING,
    summary="Record a red letter's number and file",
    **needs(Permission.FAPIAO_RECORD),
)
async def record_red_letter(
    call: MatchedCall,
    order_id: str,
    fapiao_id: str,
    credit_number: str,
    body: Annotated[FapiaoFileBody, Body(**example("As the provider answered", RED_LETTER_FILE))],
) -> Answer:
    """`credit_number` is of our credit note."""
    ids = {
        "order_id": await call.context.order_id(order_id),
        "fapiao_id": identifier("fapiao_id", fapiao_id),
        "credit_number": identifier("credit_number", credit_number),
    }
    command = call.command(RecordFapiao, body, **ids)
    return await call.run(command, order_stream(ids["order_id"]))
