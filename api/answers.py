"""The shapes of answers, and the JSON response that carries them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

RawHeader = tuple[bytes, bytes]


class Answer(Response):
    """A JSON response without the general machinery, which costs more than the JSON."""

    background = None

    def __init__(self, value: Any, status: int = 200, headers: Iterable[RawHeader] = ()) -> None:
        self.body = orjson.dumps(value)
        self.status_code = status
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
            *headers,
        ]


def etag(version: int) -> RawHeader:
    return b"etag", b'"%d"' % version


class Recorded(BaseModel):
    """What every command answers. `position`: of its last event, null when nothing was recorded."""

    version: int
    position: int | None
    status: str


class OrderRecorded(Recorded):
    order_id: str
    number: str
    total_minor: int


class PlacedLine(BaseModel):
    """Amounts of a line in minor units; `discount_share_minor` is of the order's discount."""

    line_no: int
    net_minor: int
    tax_minor: int
    discount_minor: int
    discount_share_minor: int
    gross_minor: int


class OpenCase(BaseModel):
    """`rule`: that found it, null where a person did; `fields`: what is missing or wrong."""

    case_id: str
    kind: str
    blocking: bool
    rule: str | None
    fields: list[str]
    figures: dict[str, Any] | None


class OpenHold(BaseModel):
    hold_id: str
    type: str


class Handling(BaseModel):
    """What stands against an order: its open cases and its holds."""

    stage: str
    cases: list[OpenCase]
    holds: list[OpenHold]


class Reviewed(OrderRecorded, Handling):
    """An order after the decision on it."""


class OrderPlaced(OrderRecorded, Handling):
    lines: list[PlacedLine]


class BeforeAfter(BaseModel):
    before: int
    after: int


class PreviewedLine(BaseModel):
    """A line as it would be owed; amounts in minor units."""

    sku: str
    name: str
    quantity: int | str
    cancelled: int | str
    unit_price_minor: str
    discount_minor: int
    discount_share_minor: int
    tax_minor: int
    gross_minor: int


class PreviewedChange(BaseModel):
    """Null before: a new line; null after: it goes."""

    line_no: int
    before: PreviewedLine | None
    after: PreviewedLine | None


class PreviewedStock(BaseModel):
    """Units promised (above 0) or given back (below)."""

    sku: str
    location: str
    reserved: int | str


class ChangePreview(BaseModel):
    """What would change, and what the customer would owe or get back."""

    version: int
    topics: list[str]
    lines: list[PreviewedChange]
    total_minor: BeforeAfter
    tax_minor: BeforeAfter
    due_minor: int
    refund_due_minor: int
    stock: list[PreviewedStock]


class AmendmentPreview(ChangePreview):
    digest: str


class CancellationPreview(ChangePreview):
    fee_minor: int
    fee_tax_minor: int
    goods_minor: int
    shipping_minor: int
    policy_version: int | None


class MoneyRecorded(OrderRecorded):
    """What the order's money has come to; amounts in minor units."""

    payment: str = Field(description="The dimension of the status")
    paid_minor: int
    due_minor: int = Field(description="What the customer still owes")
    credit_minor: int = Field(description="What was paid above what is owed")
    written_off_minor: int
    late_fee_minor: int


class PaymentRecorded(MoneyRecorded):
    payment_id: str
    outcome: str = Field(
        description="paid, partly_paid, credit, held, failed, voided or expired; after the order "
        "was cancelled `reinstated`, or `refund_due` where it stays so"
    )


class PaymentLanded(BaseModel):
    """The order that the money came to."""

    order_id: str
    number: str
    version: int
    status: str
    total_minor: int
    payment: str
    paid_minor: int
    due_minor: int
    credit_minor: int
    written_off_minor: int
    late_fee_minor: int
    payment_id: str
    outcome: str


class PaymentMoved(OrderRecorded):
    payment_id: str
    to: PaymentLanded


class ChargebackRecorded(MoneyRecorded):
    payment_id: str
    outcome: str
    chargeback_id: str


class LateFeeDayShown(BaseModel):
    """One full local day after due."""

    day: date
    outstanding_minor: int
    fee_minor: int
    charged: bool


class LateFeeExplained(BaseModel):
    """What lateness costs by now: the fees of the days are `fee_minor`, `to_charge_minor` of them
    not charged yet. `due_at`: null where nothing is due before the delivery.
    """

    version: int
    due_at: datetime | None
    percent_per_day: str
    cap_bp: int
    days: list[LateFeeDayShown]
    fee_minor: int
    to_charge_minor: int
    waived_minor: int
    policy_version: int


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
    refundable_minor: BeforeAfter
    policy_version: int


class NoteRecorded(OrderRecorded):
    note_id: str


class PaperIssued(OrderRecorded):
    """`number` and `total_minor` are the order's, `paper_…` the paper's.

    `invoice_number`: of a credit note, the invoice that it corrects.
    """

    paper_id: str
    paper_number: str
    issue_date: date
    paper_total_minor: int
    invoice_number: str | None


class FapiaoAnswered(OrderRecorded):
    """`red_letters`: by our credit note's number, that of the red letter once there is one."""

    fapiao_id: str
    fapiao_number: str | None
    red_letters: dict[str, str | None]


class ExemptionShown(BaseModel):
    """Why there is no tax: a VATEX code of EN 16931, or the shop's own word with its reason."""

    code: str
    reason: str | None


class RateShown(BaseModel):
    """What a paper says of one tax rate, or of what is exempt for one reason; minor units."""

    tax_rate_bp: int
    net_minor: int
    tax_minor: int
    gross_minor: int
    exemption: ExemptionShown | None


class PaperListed(BaseModel):
    """`basis`, `reason` and `refund_id` are of credit notes. Amounts are positive in both."""

    kind: str
    paper_id: str
    number: str
    issue_date: date
    currency: str
    language: str
    net_minor: int
    tax_minor: int
    total_minor: int
    rates: list[RateShown]
    invoice_number: str | None = None
    basis: str | None = None
    reason: str | None = None
    refund_id: str | None = None


class FapiaoListed(BaseModel):
    fapiao_id: str
    invoice_number: str
    kind: str
    fapiao_number: str | None
    refused: bool
    red_letters: dict[str, str | None]


class PapersListed(BaseModel):
    """`to_invoice_minor`: owed and on no invoice. `to_credit_minor`: invoiced and owed no more."""

    order_id: str
    version: int
    to_invoice_minor: int
    to_credit_minor: int
    papers: list[PaperListed]
    fapiao: list[FapiaoListed]


class ParcelOrder(BaseModel):
    order_id: str
    number: str
    version: int
    status: str
    total_minor: int


class ParcelRecorded(Recorded):
    parcel_id: str
    orders: list[ParcelOrder]


class StockRecorded(Recorded):
    sku: str
    location: str
    on_hand: int | str
    reserved: int | str
    available: int | str


class CustomerRecorded(Recorded):
    customer_id: str


class AccountRecorded(Recorded):
    """`gift_minor`: gifts that have not expired. `limit_minor`: null where none was agreed."""

    customer_id: str
    currency: str
    credit_minor: int
    gift_minor: int
    limit_minor: int | None
    exposure_minor: int


class GiftRecorded(AccountRecorded):
    gift_id: str


class EventShown(BaseModel):
    """One event. Personal fields of `data` are opened, or {"masked": true}, or {"erased": true}."""

    position: int
    stream_id: str
    category: str
    key: str
    version: int
    topic: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    origin: str
    command_id: str
    correlation_id: str
    causation_id: str | None
    data: dict[str, Any]


class FeedPage(BaseModel):
    """`next_after` is what the next page's `after` must be; `head` the newest position there is."""

    events: list[EventShown]
    next_after: int
    head: int


class ProjectionLag(BaseModel):
    name: str
    position: int
    lag_events: int
    lag_seconds: float
    heartbeat_at: datetime
    parked: int


class Lag(BaseModel):
    head: int
    projections: list[ProjectionLag]
