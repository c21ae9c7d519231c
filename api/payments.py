"""The commands about the money of an order over HTTP, beside recording a payment (orders.py)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import (
    Answer,
    ChargebackRecorded,
    LateFeeExplained,
    MoneyRecorded,
    PaymentMoved,
    PaymentRecorded,
)
from api.attempts import new_id
from api.calls import Call, CommandRoute, MatchedCall, Unmatched, example
from api.context import uuid_text
from api.examples import (
    AUTHORISATION,
    AUTHORISATION_VOIDING,
    CAPTURE,
    CHARGEBACK,
    CHARGEBACK_END,
    PAYMENT_FAILURE,
    PAYMENT_MOVE,
    PAYMENT_VOIDING,
    REFUSAL,
    REMITTANCE,
    REQUESTED_CAPTURE,
    WAIVER,
    WRITE_OFF,
)
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import identifier
from domain.desk import order_stream, policy_stream
from domain.payment_commands import (
    AuthorisationBody,
    AuthorisePayment,
    CancelOverdue,
    CaptureBody,
    CapturePayment,
    ChargebackBody,
    ChargebackEndBody,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    LoseChargeback,
    MovePayment,
    MovePaymentBody,
    NothingBody,
    OpenChargeback,
    PaymentFailureBody,
    ReasonBody,
    RecordPaymentFailure,
    RecordRemittance,
    RefusalBody,
    RefuseDelivery,
    ReinstateOrder,
    RemittanceBody,
    RequestCapture,
    RequestCaptureBody,
    VoidAuthorisation,
    VoidPayment,
    WaiveBody,
    WaiveLateFee,
    WinChargeback,
    WriteOffBody,
    WriteOffDifference,
)
from domain.payment_terms import explained
from domain.policy import pinned

router = APIRouter(route_class=CommandRoute, tags=["payments"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
ORDER = "/v1/orders/{order_id}"
PAYMENT = f"{ORDER}/payments/{{payment_id}}"
CASE = f"{ORDER}/payments/chargebacks/{{chargeback_id}}"

ChargebackEnd = Annotated[ChargebackEndBody, Body(**example("As the bank's line", CHARGEBACK_END))]
Nothing = Annotated[NothingBody, Body(**example("Nothing to say", {}))]


# -- money that is held ----------------------------------------------------------------------------


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


# -- differences and lateness ----------------------------------------------------------------------


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


@router.post(
    f"{ORDER}/payments/overdue",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Declare an order overdue",
    **needs(Permission.PAYMENT_RECORD),
)
async def declare_overdue(call: MatchedCall, order_id: str, body: Nothing) -> Answer:
    """Once its term has passed with something owed; ends when it is paid."""
    found = await call.context.order_id(order_id)
    return await call.run(call.command(DeclareOverdue, body, order_id=found), order_stream(found))


@router.post(
    f"{ORDER}/payments/cancel-overdue",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Cancel an order that was not paid in time",
    **needs(Permission.ORDER_CANCEL),
)
async def cancel_overdue(call: MatchedCall, order_id: str, body: Nothing) -> Answer:
    """As deadlines do: without a fee, and only what nothing was paid, held, packed or agreed for.
    A payment that came in time, by its value date, brings the order back.
    """
    found = await call.context.order_id(order_id)
    return await call.run(call.command(CancelOverdue, body, order_id=found), order_stream(found))


@router.post(
    f"{ORDER}/payments/late-fee/preview",
    response_model=LateFeeExplained,
    responses=CHANGING,
    summary="What lateness costs, day by day",
    **needs(Permission.ORDER_READ),
)
async def explain_late_fee(call: Call, order_id: str, body: Nothing) -> Answer:
    """Nothing is changed. Per full local day after due, on what was outstanding by value dates."""
    found = await call.context.order_id(order_id)
    seen = await call.preview(call.command(ChargeLateFee, body, order_id=found))
    state = seen.states[order_stream(found)]
    rules = pinned(seen.states[policy_stream(state.shop)], state.policy_version)
    version = seen.versions[order_stream(found)]
    return Answer({"version": version, **explained(state, rules, call.at)})


@router.post(
    f"{ORDER}/payments/late-fee",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Charge the late fee of the days that have passed",
    **needs(Permission.LATE_FEE_CHARGE),
)
async def charge_late_fee(call: MatchedCall, order_id: str, body: Nothing) -> Answer:
    """Days that were charged are not charged again."""
    found = await call.context.order_id(order_id)
    return await call.run(call.command(ChargeLateFee, body, order_id=found), order_stream(found))


@router.post(
    f"{ORDER}/payments/late-fee/waive",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Waive a late fee, or a part of it",
    **needs(Permission.LATE_FEE_WAIVE),
)
async def waive_late_fee(
    call: MatchedCall,
    order_id: str,
    body: Annotated[WaiveBody, Body(**example("A part", WAIVER))],
) -> Answer:
    """What was charged by now; days that pass later cost again."""
    found = await call.context.order_id(order_id)
    return await call.run(call.command(WaiveLateFee, body, order_id=found), order_stream(found))


@router.post(
    f"{ORDER}/reinstate",
    response_model=MoneyRecorded,
    responses=CHANGING,
    summary="Undo the cancellation of an order",
    **needs(Permission.ORDER_REINSTATE),
)
async def reinstate(call: MatchedCall, order_id: str, body: Nothing) -> Answer:
    """At its old prices, if all its stock can be reserved in the same write."""
    found = await call.context.order_id(order_id)
    return await call.run(call.command(ReinstateOrder, body, order_id=found), order_stream(found))


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
