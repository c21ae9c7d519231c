"""The shapes of answers about refunds, returns and exchanges."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from api.order_answers import BeforeAfter, OrderRecorded


class RefundState(BaseModel):
    """`decide_by` and `pay_by` are null when they do not run, as while evidence is awaited."""

    refund_id: str
    amount_minor: int
    refund_status: str  # requested, approved, paid, failed, denied
    decide_by: datetime | None
    pay_by: datetime | None


class RefundRecorded(RefundState, OrderRecorded):
    pass


class CompensationRecorded(OrderRecorded):
    compensation_id: str
    amount_minor: int


class InterceptRecorded(OrderRecorded):
    parcel_id: str
    intercept: str  # requested, succeeded, failed


class ReturnRecorded(OrderRecorded):
    return_id: str
    return_status: str  # requested, approved, received, closed, denied


class ReturnReceivedRecorded(ReturnRecorded):
    refund: RefundState | None


class NewOrder(BaseModel):
    """`due_minor`: what the customer pays on top of what came back."""

    order_id: str
    number: str
    version: int
    status: str
    total_minor: int
    due_minor: int


class ExchangeRecorded(ReturnRecorded):
    refund: RefundState
    new_order: NewOrder


class CompletionRecorded(OrderRecorded):
    completed_at: datetime


class ReplacementOrder(BaseModel):
    order_id: str
    number: str
    version: int
    status: str
    total_minor: int


class ReplacementRecorded(OrderRecorded):
    """`new_order`: what goes out at no price."""

    new_order: ReplacementOrder


class PreviewedRefundLine(BaseModel):
    line_no: int
    quantity: int | str
    amount_minor: int
    tax_minor: int


class PreviewedPart(BaseModel):
    payment_id: str
    method: str
    amount_minor: int


class RefundPreview(BaseModel):
    """`amount_minor` = goods - fee + shipping goes back to `payments`; `tax_minor` is within goods
    and shipping. `shipping_refundable_minor`: what of shipping this reason may give back.
    `owed_minor` falls by what the refund takes off the price; `due_minor` is still to be paid
    then, `due_before_dispatch_minor` before goods leave.
    """

    version: int
    amount_minor: int
    goods_minor: int
    shipping_minor: int
    shipping_refundable_minor: int
    fee_minor: int
    tax_minor: int
    lines: list[PreviewedRefundLine]
    payments: list[PreviewedPart]
    needs_approval: bool
    decide_by: datetime | None
    pay_by: datetime
    owed_minor: BeforeAfter
    due_minor: int
    due_before_dispatch_minor: int
    refundable_minor: BeforeAfter
    policy_version: int
