"""Intercepts, returns and exchanges over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id, new_numbers
from api.calls import CommandRoute, MatchedCall, example
from api.context import uuid_text
from api.examples import (
    EXCHANGE,
    INTERCEPT,
    RETURN,
    RETURN_APPROVAL,
    RETURN_CLOSING,
    RETURN_DENIAL,
    RETURN_RECEIPT,
)
from api.permissions import Permission, needs, require
from api.problems import responses
from api.refund_answers import (
    ExchangeRecorded,
    InterceptRecorded,
    ReturnReceivedRecorded,
    ReturnRecorded,
)
from domain.desk_names import order_stream
from domain.refund_commands import (
    ApproveReturn,
    ApproveReturnBody,
    CloseReturn,
    CloseReturnBody,
    DenyReturn,
    DenyReturnBody,
    ExchangeBody,
    ExchangeOrder,
    InterceptBody,
    ReceiveReturn,
    ReceiveReturnBody,
    RequestIntercept,
    RequestReturn,
    ReturnBody,
)

router = APIRouter(route_class=CommandRoute, tags=["returns"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)


@router.post(
    "/v1/orders/{order_id}/parcels/{parcel_id}/intercept",
    response_model=InterceptRecorded,
    responses=CHANGING,
    summary="Ask the carrier to bring a parcel back",
    **needs(Permission.PARCEL_INTERCEPT),
)
async def intercept(
    call: MatchedCall,
    order_id: str,
    parcel_id: str,
    body: Annotated[InterceptBody, Body(**example("Too late to cancel", INTERCEPT))],
) -> Answer:
    """While it is on its way. It has succeeded when the parcel is returning, and failed when it is
    delivered. What comes back is taken back by a return that names the parcel.
    """
    found, parcel = await call.context.order_id(order_id), uuid_text(parcel_id, "parcel")
    command = call.command(RequestIntercept, body, order_id=found, parcel_id=parcel)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/returns",
    status_code=201,
    response_model=ReturnRecorded,
    responses=CHANGING,
    summary="Ask to send goods back",
    **needs(Permission.RETURN_REQUEST),
)
async def request(
    call: MatchedCall,
    order_id: str,
    body: Annotated[ReturnBody, Body(**example("One unit", RETURN))],
) -> Answer:
    """Units that were delivered and are not on their way back, within the windows of the policy;
    with `parcel_id`, what comes back undelivered with that parcel, or was refused at the door, at
    any time.
    """
    await call.context.evidence.require(body.evidence)
    found = await call.context.order_id(order_id)
    command = call.command(RequestReturn, body, order_id=found, return_id=new_id())
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/returns/{return_id}/approve",
    response_model=ReturnRecorded,
    responses=CHANGING,
    summary="Approve a return",
    **needs(Permission.RETURN_DECIDE),
)
async def approve(
    call: MatchedCall,
    order_id: str,
    return_id: str,
    body: Annotated[ApproveReturnBody, Body(**example("With a label", RETURN_APPROVAL))],
) -> Answer:
    """The seller pays the way back where it is the cause, unless `postage` says otherwise."""
    ids = await call.ids(order_id, return_id=return_id)
    return await call.run(call.command(ApproveReturn, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/returns/{return_id}/deny",
    response_model=ReturnRecorded,
    responses=CHANGING,
    summary="Deny a return",
    **needs(Permission.RETURN_DECIDE),
)
async def deny(
    call: MatchedCall,
    order_id: str,
    return_id: str,
    body: Annotated[DenyReturnBody, Body(**example("Unsealed", RETURN_DENIAL))],
) -> Answer:
    """With the reason that the customer is told; before anything has come."""
    ids = await call.ids(order_id, return_id=return_id)
    return await call.run(call.command(DenyReturn, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/returns/{return_id}/receive",
    response_model=ReturnReceivedRecorded,
    responses=CHANGING,
    summary="Record what came back",
    **needs(Permission.RETURN_RECEIVE),
)
async def receive(
    call: MatchedCall,
    order_id: str,
    return_id: str,
    body: Annotated[ReceiveReturnBody, Body(**example("As new", RETURN_RECEIPT))],
) -> Answer:
    """Inspected: what can be sold again is in stock, and what came is refunded, in one write. What
    was not paid for it is owed no longer, less a fee for restocking. `return_is_received` once all
    of it has come.
    """
    ids = await call.ids(order_id, return_id=return_id)
    command = call.command(ReceiveReturn, body, **ids, refund_id=new_id(), actor=call.sender.actor)
    return await call.run(command, order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/returns/{return_id}/close",
    response_model=ReturnRecorded,
    responses=CHANGING,
    summary="Wait for a return no longer",
    **needs(Permission.RETURN_DECIDE),
)
async def close(
    call: MatchedCall,
    order_id: str,
    return_id: str,
    body: Annotated[CloseReturnBody, Body(**example("Some never came", RETURN_CLOSING))],
) -> Answer:
    """A return closes by itself when all of it came and was paid back."""
    ids = await call.ids(order_id, return_id=return_id)
    return await call.run(call.command(CloseReturn, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/exchanges",
    status_code=201,
    response_model=ExchangeRecorded,
    responses=CHANGING,
    summary="Exchange goods for others",
    **needs(Permission.RETURN_DECIDE),
)
async def exchange(
    call: MatchedCall,
    order_id: str,
    body: Annotated[ExchangeBody, Body(**example("Another tea", EXCHANGE))],
) -> Answer:
    """A return and a new order in one write, linked both ways. What the units were worth pays for
    the new order; the customer pays the difference. Where it has to go back, it goes to the
    payments that the goods were paid by. Needs `order.place` as well.
    """
    require(call.sender.actor, Permission.ORDER_PLACE)
    await call.context.evidence.require(body.evidence)
    found = await call.context.order_id(order_id)
    command = call.command(
        ExchangeOrder,
        body,
        order_id=found,
        return_id=new_id(),
        refund_id=new_id(),
        new_order_id=new_id(),
        numbers=new_numbers(),
        actor=call.sender.actor,
    )
    return await call.run(command, order_stream(found), status=201)
