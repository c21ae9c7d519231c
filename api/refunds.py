"""Refunds over HTTP after and before their request: preview, decision, evidence, payout failures;
and compensation, which is no refund.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer
from api.attempts import new_id
from api.calls import Call, CommandRoute, MatchedCall, example
from api.examples import (
    COMPENSATION,
    EVIDENCE_ADDED,
    EVIDENCE_ASKED,
    REFUND,
    REFUND_DENIAL,
    REFUND_FAILURE,
)
from api.permissions import Permission, needs
from api.problems import responses
from api.refund_answers import CompensationRecorded, RefundPreview, RefundRecorded
from domain import refund_preview
from domain.desk_names import order_stream
from domain.order_state import Order
from domain.policy import Policy, pinned, policy_stream
from domain.refund_commands import (
    AddEvidence,
    AddEvidenceBody,
    ApproveRefund,
    ApproveRefundBody,
    AskEvidence,
    AskEvidenceBody,
    CompensationBody,
    DenyRefund,
    DenyRefundBody,
    FailRefund,
    FailRefundBody,
    PayCompensation,
    RefundBody,
    RequestRefund,
    RetryRefund,
    RetryRefundBody,
)

router = APIRouter(route_class=CommandRoute, tags=["refunds"])

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)


@router.post(
    "/v1/orders/{order_id}/refunds/preview",
    response_model=RefundPreview,
    responses=CHANGING,
    summary="What a refund would give back",
    **needs(Permission.REFUND_REQUEST),
)
async def preview(
    call: Call,
    order_id: str,
    body: Annotated[RefundBody, Body(**example("An amount", REFUND))],
) -> Answer:
    """By line, with tax, shipping, the fee that is kept and the payments it goes back to. Nothing
    is changed; what is refused here would be refused there. Asking with its `amount_minor` as
    `expected_minor` gives back exactly this, or nothing.
    """
    await call.context.evidence.require(body.evidence)
    found, actor = await call.context.order_id(order_id), call.sender.actor
    command = call.command(RequestRefund, body, order_id=found, refund_id=new_id(), actor=actor)
    seen, stream = await call.preview(command), order_stream(found)
    before: Order = seen.states[stream]
    policy: Policy = seen.states[policy_stream(before.shop)]
    told = refund_preview.told(
        seen.decision.events[stream],
        before,
        seen.decision.states[stream],
        pinned(policy, before.policy_version),
    )
    return Answer({"version": seen.versions[stream], **told})


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/approve",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Approve a refund that waits for a second person",
    **needs(Permission.REFUND_APPROVE),
)
async def approve(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[ApproveRefundBody, Body(**example("Nothing to say", {}))],
) -> Answer:
    """Never by who asked for it."""
    ids = await call.ids(order_id, refund_id=refund_id)
    command = call.command(ApproveRefund, body, **ids, actor=call.sender.actor)
    return await call.run(command, order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/deny",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Deny a refund",
    **needs(Permission.REFUND_APPROVE),
)
async def deny(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[DenyRefundBody, Body(**example("Not as told", REFUND_DENIAL))],
) -> Answer:
    """With the reason that the customer is told. What it held can be refunded again."""
    ids = await call.ids(order_id, refund_id=refund_id)
    return await call.run(call.command(DenyRefund, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/fail",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Record that a payout failed",
    **needs(Permission.REFUND_PAY),
)
async def fail(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[FailRefundBody, Body(**example("The account is gone", REFUND_FAILURE))],
) -> Answer:
    """Also one that was recorded as paid and came back."""
    ids = await call.ids(order_id, refund_id=refund_id)
    return await call.run(call.command(FailRefund, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/retry",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Try a failed payout again",
    **needs(Permission.REFUND_PAY),
)
async def retry(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[RetryRefundBody, Body(**example("Nothing to say", {}))],
) -> Answer:
    """Refused where its money or units were refunded otherwise meanwhile."""
    ids = await call.ids(order_id, refund_id=refund_id)
    return await call.run(call.command(RetryRefund, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/ask-evidence",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Ask the customer for more evidence",
    **needs(Permission.REFUND_APPROVE),
)
async def ask_evidence(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[AskEvidenceBody, Body(**example("A picture", EVIDENCE_ASKED))],
) -> Answer:
    """The terms stand still until it is there."""
    ids = await call.ids(order_id, refund_id=refund_id)
    return await call.run(call.command(AskEvidence, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/refunds/{refund_id}/evidence",
    response_model=RefundRecorded,
    responses=CHANGING,
    summary="Add evidence to a refund",
    **needs(Permission.REFUND_REQUEST),
)
async def add_evidence(
    call: MatchedCall,
    order_id: str,
    refund_id: str,
    body: Annotated[AddEvidenceBody, Body(**example("A scan", EVIDENCE_ADDED))],
) -> Answer:
    """By the digests of uploaded files. Where it was asked for, the terms go on."""
    await call.context.evidence.require(body.evidence)
    ids = await call.ids(order_id, refund_id=refund_id)
    return await call.run(call.command(AddEvidence, body, **ids), order_stream(ids["order_id"]))


@router.post(
    "/v1/orders/{order_id}/compensations",
    status_code=201,
    response_model=CompensationRecorded,
    responses=CHANGING,
    summary="Pay compensation beyond the price",
    **needs(Permission.COMPENSATION_PAY),
)
async def compensate(
    call: MatchedCall,
    order_id: str,
    body: Annotated[CompensationBody, Body(**example("For the trouble", COMPENSATION))],
) -> Answer:
    """No refund: what was paid sets it no limit, and refunds stay possible beside it."""
    found = await call.context.order_id(order_id)
    command = call.command(PayCompensation, body, order_id=found, compensation_id=new_id())
    return await call.run(command, order_stream(found), status=201)
