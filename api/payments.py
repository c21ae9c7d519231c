"""Payments of an order over HTTP, beside recording one (orders.py): voided, moved, disputed, paid
by a carrier.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id
from api.calls import Call, CommandRoute, MatchedCall, Unmatched, example
from api.context import uuid_text
from api.examples import (
    CHARGEBACK,
    CHARGEBACK_END,
    PAYMENT_MOVE,
    PAYMENT_VOIDING,
    REFUSAL,
    REMITTANCE,
    WRITE_OFF,
)
from api.payment_answers import ChargebackRecorded, MoneyRecorded, PaymentMoved, PaymentRecorded
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import identifier
from domain.desk_names import order_stream
from domain.payment_commands import (
    ChargebackBody,
    ChargebackEndBody,
    LoseChargeback,
    MovePayment,
    MovePaymentBody,
    OpenChargeback,
    ReasonBody,
    RecordRemittance,
    RefusalBody,
    RefuseDelivery,
    RemittanceBody,
    VoidPayment,
    WinChargeback,
    WriteOffBody,
    WriteOffDifference,
)

router = APIRouter(route_class=CommandRoute, tags=["payments"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
ORDER = "/v1/orders/{order_id}"
PAYMENT = f"{ORDER}/payments/{{payment_id}}"
CASE = f"{ORDER}/payments/chargebacks/{{chargeback_id}}"

ChargebackEnd = Annotated[ChargebackEndBody, Body(**example("As the bank's line", CHARGEBACK_END))]


# -- money that is not ours ------------------------------------------------------------------------


@router.post(
    f"{PAYMENT}/void",
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Void a payment that was recorded by mistake",
    **needs(Permission.PAYMENT_VOID),
)
async def void(
    call: MatchedCall,
    order_id: str,
    payment_id: str,
    body: Annotated[ReasonBody, Body(**example("Typed twice", PAYMENT_VOIDING))],
) -> Answer:
    """There never was such money: not once any of it was refunded, moved or charged back."""
    found, payment = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    command = call.command(VoidPayment, body, order_id=found, payment_id=payment)
    return await call.run(command, order_stream(found))


@router.post(
    f"{PAYMENT}/move",
    response_model=PaymentMoved,
    responses=CHANGING,
    summary="Move money to the order that it belongs to",
    **needs(Permission.PAYMENT_MOVE),
)
async def move(
    call: MatchedCall,
    order_id: str,
    payment_id: str,
    body: Annotated[MovePaymentBody, Body(**example("A part", PAYMENT_MOVE))],
) -> Answer:
    """Out of one order and into the other in one write, keeping method, reference and value date.
    Only what is neither refunded nor charged back, and within one currency.
    """
    found, payment = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    other = await call.context.order_id(body.to_order_id)
    ids = {"order_id": found, "payment_id": payment, "to_payment_id": new_id()}
    named = body.model_copy(update={"to_order_id": other})
    return await call.run(call.command(MovePayment, named, **ids), order_stream(found))


# -- money that is disputed ------------------------------------------------------------------------


@router.post(
    f"{PAYMENT}/chargebacks",
    status_code=201,
    response_model=ChargebackRecorded,
    responses=CHANGING,
    summary="Record that the payer's bank asks for money back",
    **needs(Permission.PAYMENT_DISPUTE),
)
async def open_chargeback(
    call: Call,
    order_id: str,
    payment_id: str,
    body: Annotated[ChargebackBody, Body(**example("Not received", CHARGEBACK))],
) -> Answer:
    """Until it has ended nothing of the order leaves, and the money cannot be refunded."""
    found, payment = await call.context.order_id(order_id), identifier("payment_id", payment_id)
    ids = {"order_id": found, "payment_id": payment, "chargeback_id": new_id()}
    return await call.run(
        call.command(OpenChargeback, body, **ids), Unmatched.NEVER_CONFLICTS, status=201
    )


@router.post(
    f"{CASE}/win",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Record that a chargeback was won",
    **needs(Permission.PAYMENT_DISPUTE),
)
async def win(call: MatchedCall, order_id: str, chargeback_id: str, body: ChargebackEnd) -> Answer:
    """The money stays, the goods may leave. What the bank had taken meanwhile is expected back."""
    found, case = await call.context.order_id(order_id), identifier("chargeback_id", chargeback_id)
    command = call.command(WinChargeback, body, order_id=found, chargeback_id=case)
    return await call.run(command, order_stream(found))


@router.post(
    f"{CASE}/lose",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Record that a chargeback was lost",
    **needs(Permission.PAYMENT_DISPUTE),
)
async def lose(call: MatchedCall, order_id: str, chargeback_id: str, body: ChargebackEnd) -> Answer:
    """The money is gone, and owed again."""
    found, case = await call.context.order_id(order_id), identifier("chargeback_id", chargeback_id)
    command = call.command(LoseChargeback, body, order_id=found, chargeback_id=case)
    return await call.run(command, order_stream(found))


# -- differences -----------------------------------------------------------------------------------


@router.post(
    f"{ORDER}/payments/write-off",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Write off a small remainder",
    **needs(Permission.PAYMENT_WRITE_OFF),
)
async def write_off(
    call: MatchedCall,
    order_id: str,
    body: Annotated[WriteOffBody, Body(**example("Bank fee", WRITE_OFF))],
) -> Answer:
    """What is owed, up to the policy's tolerance; usually done by itself with the payment."""
    found = await call.context.order_id(order_id)
    return await call.run(
        call.command(WriteOffDifference, body, order_id=found), order_stream(found)
    )


# -- cash on delivery ------------------------------------------------------------------------------


@router.post(
    f"{ORDER}/payments/remit",
    status_code=201,
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Record what a carrier pays for cash that it collected",
    **needs(Permission.PAYMENT_REMIT),
)
async def remit(
    call: Call,
    order_id: str,
    body: Annotated[RemittanceBody, Body(**example("Less its fee", REMITTANCE))],
) -> Answer:
    """The order is paid by the whole amount; the fee that the carrier kept is the shop's cost.

    The same again (carrier, reference, amount, fee, day) is the same remittance: answered 200 with
    its `payment_id`, unless `another_than` says otherwise.
    """
    found = await call.context.order_id(order_id)
    command = call.command(RecordRemittance, body, order_id=found, payment_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)


@router.post(
    f"{ORDER}/parcels/{{parcel_id}}/refuse",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Record that a parcel was refused at the door",
    **needs(Permission.PARCEL_DELIVER),
)
async def refuse(
    call: MatchedCall,
    order_id: str,
    parcel_id: str,
    body: Annotated[RefusalBody, Body(**example("拒收", REFUSAL))],
) -> Answer:
    """Of orders that are paid on delivery: nothing of it is owed, its freight is a cost."""
    found, parcel = await call.context.order_id(order_id), uuid_text(parcel_id, "parcel")
    command = call.command(RefuseDelivery, body, order_id=found, parcel_id=parcel)
    return await call.run(command, order_stream(found))
