"""Orders that are not paid in time, over HTTP: overdue, late fees, cancelled, brought back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.calls import Call, CommandRoute, MatchedCall, example
from api.examples import WAIVER
from api.payment_answers import LateFeeExplained, MoneyRecorded
from api.permissions import Permission, needs
from api.problems import responses
from domain.desk_names import order_stream
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    NothingBody,
    ReinstateOrder,
    WaiveBody,
    WaiveLateFee,
)
from domain.payment_terms import explained
from domain.policy import pinned, policy_stream

router = APIRouter(route_class=CommandRoute, tags=["payments"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
ORDER = "/v1/orders/{order_id}"

Nothing = Annotated[NothingBody, Body(**example("Nothing to say", {}))]


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
