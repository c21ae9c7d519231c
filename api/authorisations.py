"""Money of an order that a provider holds, over HTTP: authorised, captured, let go, failed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id
from api.calls import Call, CommandRoute, MatchedCall, Unmatched, example
from api.examples import (
    AUTHORISATION,
    AUTHORISATION_VOIDING,
    CAPTURE,
    PAYMENT_FAILURE,
    REQUESTED_CAPTURE,
)
from api.payment_answers import PaymentRecorded
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import identifier
from domain.desk_names import order_stream
from domain.payment_commands import (
    AuthorisationBody,
    AuthorisePayment,
    CaptureBody,
    CapturePayment,
    ExpireAuthorisation,
    NothingBody,
    PaymentFailureBody,
    ReasonBody,
    RecordPaymentFailure,
    RequestCapture,
    RequestCaptureBody,
    VoidAuthorisation,
)

router = APIRouter(route_class=CommandRoute, tags=["payments"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
ORDER = "/v1/orders/{order_id}"
PAYMENT = f"{ORDER}/payments/{{payment_id}}"

Nothing = Annotated[NothingBody, Body(**example("Nothing to say", {}))]


@router.post(
    f"{ORDER}/payments/authorise",
    status_code=201,
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Record money that is held",
    **needs(Permission.PAYMENT_RECORD),
)
async def authorise(
    call: Call,
    order_id: str,
    body: Annotated[AuthorisationBody, Body(**example("A card", AUTHORISATION))],
) -> Answer:
    """No money yet: it can be captured, in parts, under the `payment_id` that is answered."""
    found = await call.context.order_id(order_id)
    command = call.command(AuthorisePayment, body, order_id=found, payment_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)


@router.post(
    f"{PAYMENT}/capture",
    status_code=201,
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Capture money that is held, or a part of it",
    **needs(Permission.PAYMENT_CAPTURE),
)
async def capture(
    call: Call,
    order_id: str,
    payment_id: str,
    body: Annotated[CaptureBody, Body(**example("A part", CAPTURE))],
) -> Answer:
    """All captures of an authorisation together never pass it. Each is a payment of its own."""
    found, held = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    ids = {"order_id": found, "authorisation_id": held, "payment_id": new_id()}
    return await call.run(
        call.command(CapturePayment, body, **ids), Unmatched.NEVER_CONFLICTS, status=201
    )


@router.post(
    f"{PAYMENT}/request-capture",
    status_code=201,
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Ask the provider to capture money that it holds, or a part of it",
    **needs(Permission.PAYMENT_CAPTURE),
)
async def request_capture(
    call: MatchedCall,
    order_id: str,
    payment_id: str,
    body: Annotated[RequestCaptureBody, Body(**example("A part", REQUESTED_CAPTURE))],
) -> Answer:
    """It is recorded, under the `payment_id` that is answered, when the provider has done it."""
    found, held = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    ids = {"order_id": found, "authorisation_id": held, "payment_id": new_id()}
    command = call.command(RequestCapture, body, **ids)
    return await call.run(command, order_stream(found), status=201)


@router.post(
    f"{PAYMENT}/void-authorisation",
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Let money go that is held",
    **needs(Permission.PAYMENT_VOID),
)
async def void_authorisation(
    call: MatchedCall,
    order_id: str,
    payment_id: str,
    body: Annotated[ReasonBody, Body(**example("Sold out", AUTHORISATION_VOIDING))],
) -> Answer:
    """What was captured of it stays."""
    found, held = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    command = call.command(VoidAuthorisation, body, order_id=found, payment_id=held)
    return await call.run(command, order_stream(found))


@router.post(
    f"{PAYMENT}/expire",
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Record that money is held no longer",
    **needs(Permission.PAYMENT_RECORD),
)
async def expire(call: MatchedCall, order_id: str, payment_id: str, body: Nothing) -> Answer:
    """Once its `expires_at` has passed, and not before."""
    found, held = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    command = call.command(ExpireAuthorisation, body, order_id=found, payment_id=held)
    return await call.run(command, order_stream(found))


@router.post(
    f"{ORDER}/payments/fail",
    status_code=201,
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Record that a payment failed",
    **needs(Permission.PAYMENT_RECORD),
)
async def fail(
    call: Call,
    order_id: str,
    body: Annotated[PaymentFailureBody, Body(**example("Refused", PAYMENT_FAILURE))],
) -> Answer:
    """It changes nothing but that it is known."""
    found = await call.context.order_id(order_id)
    command = call.command(RecordPaymentFailure, body, order_id=found, payment_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)
