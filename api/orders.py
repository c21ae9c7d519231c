"""The commands of an order's life over HTTP: each endpoint builds one command and runs it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer, ParcelRecorded
from api.attempts import new_id, new_numbers
from api.calls import (
    Call,
    CommandCall,
    CommandRoute,
    MatchedCall,
    Unmatched,
    example,
    validated,
)
from api.examples import (
    AMENDMENT,
    APPROVAL,
    CANCELLATION,
    NOTE,
    ORDER,
    OVERRIDE,
    PACKING,
    PAYMENT,
    REFUND,
    REFUND_PAYMENT,
    VOIDING,
)
from api.order_answers import (
    AmendmentPreview,
    CancellationPreview,
    NoteRecorded,
    OrderPlaced,
    OrderRecorded,
    Reviewed,
)
from api.payment_answers import PaymentRecorded
from api.permissions import Permission, needs, require
from api.problems import responses
from api.reads import identifier
from api.refund_answers import RefundRecorded
from domain import order_preview
from domain.desk_names import order_stream
from domain.intake_body import OrderAsSoldBody, filled
from domain.message import Rejected
from domain.order_commands import (
    AddNote,
    ApproveBody,
    ApproveOrder,
    CancelBody,
    CancelOrder,
    EndOverride,
    NoteBody,
    OverrideBody,
    OverrideStatus,
    VoidBody,
    VoidOrder,
)
from domain.order_intake import INCOMPLETE
from domain.parcel_commands import ContentBody, PackBody, PackParcel
from domain.payment_commands import PaymentBody, RecordPayment
from domain.placement_commands import AmendBody, AmendOrder, PlaceOrder, PlaceOrderBody
from domain.refund_commands import PayRefund, PayRefundBody, RefundBody, RequestRefund

router = APIRouter(route_class=CommandRoute, tags=["orders"])

PLACING = responses(400, 401, 403, 409, 413, 422, 503)
CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)


@router.post(
    "/v1/orders",
    status_code=201,
    response_model=OrderPlaced,
    responses=PLACING,
    summary="Place an order",
    **needs(Permission.ORDER_PLACE),
)
async def place(
    call: Call,
    body: Annotated[PlaceOrderBody | OrderAsSoldBody, Body(**example("Tea and a cup", ORDER))],
) -> Answer:
    """Totals, tax and discount shares are computed here; a `total_minor` sent along is checked.

    Stock is reserved in the same write. The same shop and `external_ref` is one order for ever.
    Channels of the shop's own refuse what is wrong or short; an order of a marketplace or an
    import was sold elsewhere and is recorded as it is: another total, missing parts and short
    stock open a case each and hold it.
    """
    numbers = new_numbers()
    if isinstance(body, OrderAsSoldBody):
        return await _place_as_sold(call, body, numbers)
    command = call.command(PlaceOrder, body, order_id=new_id(), numbers=numbers)
    return await call.run(command, Unmatched.NO_VERSION, status=201)


async def _place_as_sold(
    call: CommandCall, body: OrderAsSoldBody, numbers: tuple[str, ...]
) -> Answer:
    """Raises Problem 422 that names the fields where the channel refuses what is incomplete."""
    order_id = new_id()
    command = call.valid(
        PlaceOrder, {**filled(body, order_id), "order_id": order_id, "numbers": numbers}
    )
    try:
        return await call.run(command, Unmatched.NO_VERSION, status=201)
    except Rejected as refusal:
        if refusal.code == INCOMPLETE:
            validated(PlaceOrderBody, body.model_dump(exclude_unset=True))
        raise


@router.post(
    "/v1/orders/{order_id}/approve",
    response_model=Reviewed,
    responses=CHANGING,
    summary="Approve an order that waits for review",
    **needs(Permission.ORDER_REVIEW),
)
async def approve(
    call: MatchedCall,
    order_id: str,
    body: Annotated[ApproveBody, Body(**example("A known company", APPROVAL))],
) -> Answer:
    """Closes the cases that it waited for; what blocks the order goes on holding it. An order that
    is approved already stays so: 200 without a new event.
    """
    found = await call.context.order_id(order_id)
    command = call.command(ApproveOrder, body, order_id=found)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/amend",
    response_model=OrderRecorded,
    responses=CHANGING,
    summary="Change lines, contact, address or promise",
    **needs(Permission.ORDER_AMEND),
)
async def amend(
    call: MatchedCall,
    order_id: str,
    body: Annotated[AmendBody, Body(**example("One more", AMENDMENT))],
) -> Answer:
    """What is absent stays; a line with quantity 0 goes. Before and after stand in the events."""
    _may_change_prices(call, body)
    found = await call.context.order_id(order_id)
    command = call.command(AmendOrder, body, order_id=found)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/amend/preview",
    response_model=AmendmentPreview,
    responses=CHANGING,
    summary="What a change would come to",
    **needs(Permission.ORDER_AMEND),
)
async def preview_amendment(
    call: Call,
    order_id: str,
    body: Annotated[AmendBody, Body(**example("One more", AMENDMENT))],
) -> Answer:
    """Nothing is changed. `amend` with the `digest` changes exactly this, or answers 409 with what
    came in between; what is refused here would be refused there. A payment in between leaves the
    change as it is, and is counted in what is due then.
    """
    _may_change_prices(call, body)
    found = await call.context.order_id(order_id)
    body = body.model_copy(update={"digest": None})
    seen = await call.preview(call.command(AmendOrder, body, order_id=found))
    stream = order_stream(found)
    version = seen.versions[stream]
    told = order_preview.difference(stream, seen.states[stream], seen.decision)
    digest = order_preview.digest(seen.decision.events.get(stream, []))
    return Answer({"version": version, "digest": f"{version}-{digest}", **told})


def _may_change_prices(call: CommandCall, body: AmendBody) -> None:
    """Raises Problem 403 for a price without the permission for prices."""
    prices = ("unit_price", "unit_price_minor", "unit_cost_minor", "discount_minor")
    for item in body.lines or []:
        if item.line_no is not None and any(getattr(item, name) is not None for name in prices):
            require(call.sender.actor, Permission.ORDER_PRICE)


@router.post(
    "/v1/orders/{order_id}/payments",
    status_code=201,
    response_model=PaymentRecorded,
    responses=CHANGING,
    summary="Record a payment",
    **needs(Permission.PAYMENT_RECORD),
)
async def pay(
    call: Call,
    order_id: str,
    body: Annotated[PaymentBody, Body(**example("Paid in part", PAYMENT))],
) -> Answer:
    """Several payments by several methods add up; more than is due is kept and can be refunded.

    Never conflicts: money that came in is recorded whatever else has happened. Sent again, also
    without an `Idempotency-Key`, it is the same payment: answered 200 with its `payment_id`. By
    card, Alipay and WeChat Pay a reference names one payment: with another amount or payer it is
    refused; elsewhere several may share one, and another amount, payer or day is another payment.
    `another_than` says that it is another one in any case.
    """
    found = await call.context.order_id(order_id)
    command = call.command(RecordPayment, body, order_id=found, payment_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)


@router.post(
    "/v1/orders/{order_id}/parcels",
    status_code=201,
    response_model=ParcelRecorded,
    responses=CHANGING,
    summary="Pack units of an order into a parcel",
    **needs(Permission.PARCEL_PACK),
)
async def pack(
    call: MatchedCall,
    order_id: str,
    body: Annotated[PackBody, Body(**example("One unit", PACKING))],
) -> Answer:
    """Only what was ordered, not cancelled and not packed yet fits."""
    found = await call.context.order_id(order_id)
    contents = [
        ContentBody(order_id=found, line_no=item.line_no, quantity=item.quantity)
        for item in body.lines
    ]
    command = PackParcel(parcel_id=new_id(), contents=contents, at=call.at)
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/cancel",
    response_model=OrderRecorded,
    responses=CHANGING,
    summary="Cancel an order, or units of it",
    **needs(Permission.ORDER_CANCEL),
)
async def cancel(
    call: MatchedCall,
    order_id: str,
    body: Annotated[CancelBody, Body(**example("One unit less", CANCELLATION))],
) -> Answer:
    """Units that are not packed; their stock is freed in the same write. Free at first, then it
    costs what the policy of the order's placement says; `expected_fee_minor` guards against that.
    """
    found = await call.context.order_id(order_id)
    command = call.command(CancelOrder, body, order_id=found)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/cancel/preview",
    response_model=CancellationPreview,
    responses=CHANGING,
    summary="What a cancellation would cost and give back",
    **needs(Permission.ORDER_CANCEL),
)
async def preview_cancellation(
    call: Call,
    order_id: str,
    body: Annotated[CancelBody, Body(**example("One unit less", CANCELLATION))],
) -> Answer:
    """Nothing is changed; what is refused here would be refused there."""
    found = await call.context.order_id(order_id)
    seen = await call.preview(call.command(CancelOrder, body, order_id=found))
    stream = order_stream(found)
    told = order_preview.difference(stream, seen.states[stream], seen.decision)
    cost = order_preview.fee(seen.decision.events.get(stream, []))
    return Answer({"version": seen.versions[stream], **cost, **told})


@router.post(
    "/v1/orders/{order_id}/refunds",
    status_code=201,
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Request a refund",
    **needs(Permission.REFUND_REQUEST),
)
async def refund(
    call: MatchedCall,
    order_id: str,
    body: Annotated[RefundBody, Body(**example("An amount", REFUND))],
) -> Answer:
    """Never above what was paid: requested, approved and paid refunds all count. Above the limit of
    the policy another person has to approve it; below it is approved at once.
    """
    await call.context.evidence.require(body.evidence)
    found, actor = await call.context.order_id(order_id), call.sender.actor
    command = call.command(RequestRefund, body, order_id=found, refund_id=new_id(), actor=actor)
    return await call.run(command, order_stream(found), status=201)


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/pay",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Record that a refund was paid out",
    **needs(Permission.REFUND_PAY),
)
async def pay_refund(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[PayRefundBody, Body(**example("Sent back", REFUND_PAYMENT))],
) -> Answer:
    """By the method that the money came by, unless another is said."""
    found, refund = await call.context.order_id(order_id), identifier("refund_id", refund_id)
    command = call.command(PayRefund, body, order_id=found, refund_id=refund)
    return await call.run(command, order_stream(found))


@router.post(
    "/v1/orders/{order_id}/notes",
    status_code=201,
    response_model=NoteRecorded,
    responses=CHANGING,
    summary="Add a note",
    **needs(Permission.ORDER_NOTE),
)
async def note(
    call: Call,
    order_id: str,
    body: Annotated[NoteBody, Body(**example("A call", NOTE))],
) -> Answer:
    """Sealed like all free text: it may name people. Never conflicts with other changes."""
    found = await call.context.order_id(order_id)
    command = call.command(AddNote, body, order_id=found, note_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)


@router.post(
    "/v1/orders/{order_id}/override",
    response_model=OrderRecorded,
    responses=CHANGING,
    summary="Show another status",
    **needs(Permission.ORDER_OVERRIDE),
)
async def override(
    call: MatchedCall,
    order_id: str,
    body: Annotated[OverrideBody, Body(**example("Delivered, says the neighbour", OVERRIDE))],
) -> Answer:
    """Changes what is shown, not what is decided on; ends with the next fact unless sticky."""
    found = await call.context.order_id(order_id)
    command = call.command(OverrideStatus, body, order_id=found)
    return await call.run(command, order_stream(found))


@router.delete(
    "/v1/orders/{order_id}/override",
    response_model=OrderRecorded,
    responses=CHANGING,
    summary="Show the status as the facts are again",
    **needs(Permission.ORDER_OVERRIDE),
)
async def end_override(call: MatchedCall, order_id: str) -> Answer:
    """Ends every override of the order."""
    found = await call.context.order_id(order_id)
    return await call.run(EndOverride(order_id=found, at=call.at), order_stream(found))


@router.post(
    "/v1/orders/{order_id}/void",
    response_model=OrderRecorded,
    responses=CHANGING,
    summary="Void an order entered by mistake",
    **needs(Permission.ORDER_VOID),
)
async def void(
    call: MatchedCall,
    order_id: str,
    body: Annotated[VoidBody, Body(**example("Entered twice", VOIDING))],
) -> Answer:
    """Before payment and packing only. Hidden from lists and figures, kept in the ledger."""
    found = await call.context.order_id(order_id)
    command = call.command(VoidOrder, body, order_id=found)
    return await call.run(command, order_stream(found))
