"""Goods that arrived, or did not, over HTTP: a receipt confirmed, units replaced."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id, new_numbers
from api.calls import CommandRoute, MatchedCall, example
from api.examples import RECEIPT_CONFIRMATION, REPLACEMENT
from api.permissions import Permission, needs
from api.problems import responses
from api.refund_answers import CompletionRecorded, ReplacementRecorded
from domain.completion_commands import ConfirmReceipt, ConfirmReceiptBody
from domain.desk_names import order_stream
from domain.replacement_commands import ReplaceBody, ReplaceOrder

router = APIRouter(route_class=CommandRoute, tags=["orders"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)


@router.post(
    "/v1/orders/{order_id}/confirm-receipt",
    response_model=CompletionRecorded,
    responses=CHANGING,
    summary="Confirm that all has arrived (确认收货)",
    **needs(Permission.ORDER_CONFIRM_RECEIPT),
)
async def confirm_receipt(
    call: MatchedCall,
    order_id: str,
    body: Annotated[
        ConfirmReceiptBody, Body(**example("As the customer says", RECEIPT_CONFIRMATION))
    ],
) -> Answer:
    """Completes the order before the policy's days are over. What the carrier has not told of its
    parcels is delivered by the same word. Refused while anything is unpaid, not sent, or open: a
    case, a hold, a return, a refund or a chargeback.
    """
    found = await call.context.order_id(order_id)
    command = call.command(ConfirmReceipt, body, order_id=found)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/replacements",
    status_code=201,
    response_model=ReplacementRecorded,
    responses=CHANGING,
    summary="Send lost, short or damaged units once more",
    **needs(Permission.ORDER_REPLACE),
)
async def replace(
    call: MatchedCall,
    order_id: str,
    body: Annotated[ReplaceBody, Body(**example("One came broken", REPLACEMENT))],
) -> Answer:
    """Another order at no price, with its stock reserved, in one write and linked both ways; what
    it costs is a cost of this one. What is replaced is not refunded, what was refunded or came back
    is not replaced. Where the new units are cancelled or come back, these are open again.
    """
    await call.context.evidence.require(body.evidence)
    found = await call.context.order_id(order_id)
    ids = {"order_id": found, "new_order_id": new_id(), "numbers": new_numbers()}
    return await call.run(call.command(ReplaceOrder, body, **ids), order_stream(found), status=201)
