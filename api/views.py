"""The shapes of what is read of orders, and of their lists."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

from api.answers import EventShown
from api.paper_answers import ExemptionShown

Units = int | str  # an integer where whole, else a decimal string
# In clear; {"masked": true} without the permission; {"erased": true} after erasure.
Personal = Any


class OrderSummary(BaseModel):
    """What a list shows of an order."""

    order_id: str
    number: str
    shop: str
    channel: str
    customer_id: str
    currency: str
    external_ref: str | None
    origin: str
    source_status: str | None
    status: str
    status_label: str
    stage: str
    payment: str
    fulfilment: str
    return_status: str
    overridden: list[str]
    total_minor: int
    paid_minor: int
    refunded_minor: int
    units: Units
    shipped_units: Units
    delivered_units: Units
    placed_at: datetime
    shipped_at: datetime | None
    estimated_at: datetime | None
    delivered_at: datetime | None
    promised_at: datetime | None
    version: int
    position: int


class OrderPage(BaseModel):
    items: list[OrderSummary]
    next_cursor: str | None
    position: int


class OverrideShown(BaseModel):
    """A dimension that is shown as an operator said; `facts` is what it is by the facts."""

    value: str
    prior: str
    facts: str
    sticky: bool
    reason: Personal
    actor: str
    at: datetime
    position: int


class DiscountShown(BaseModel):
    """A part of the order discount, as it was given."""

    kind: str
    code: str | None
    title: str
    amount_minor: int


class LineShown(BaseModel):
    """One line with what has happened to its units. Amounts in minor units, for the whole line."""

    line_no: int
    sku: str
    name: str
    category: str
    unit: str
    location: str
    unit_price_minor: str  # decimal string, up to 6 places
    unit_cost_minor: int | None
    tax_rate_bp: int
    amount_minor: int
    discount_minor: int
    order_discount_minor: int
    discount_shares: list[int] = Field(
        description="Of `order_discount_minor`, by the order's `discounts` in their order; empty "
        "where the order's discount has no names, or the line came later"
    )
    exemption: ExemptionShown | None
    net_minor: int
    tax_minor: int
    gross_minor: int
    refunded_minor: int
    quantity: Units
    cancelled: Units
    reserved: Units
    packed: Units
    dispatched: Units
    delivered: Units
    refused: Units
    refunded: Units
    returned: Units
    replaced: Units


class PaymentShown(BaseModel):
    payment_id: str
    method: str
    amount_minor: int
    reference: str
    at: datetime
    position: int
    payer: Personal = None
    fee_minor: int = Field(description="Of the amount, kept by carrier or provider")
    from_order_id: str | None = Field(description="The order that it was booked on before")
    value_date: date | None
    authorisation_id: str | None
    refunded_minor: int
    moved_minor: int = Field(description="To other orders")
    disputed_minor: int = Field(description="Asked back by the payer's bank")
    lost_minor: int = Field(description="To the payer's bank")
    voided: bool


class AuthorisationShown(BaseModel):
    """Money that is held; `open_minor` of it can still be captured."""

    payment_id: str
    method: str
    amount_minor: int
    reference: str
    expires_at: datetime | None
    captured_minor: int
    open_minor: int
    closed: str | None


class ChargebackShown(BaseModel):
    chargeback_id: str
    payment_id: str
    amount_minor: int
    outcome: str | None


class RefundedLineShown(BaseModel):
    line_no: int
    quantity: Units
    amount_minor: int
    tax_minor: int


class PaymentPartShown(BaseModel):
    payment_id: str
    amount_minor: int


class AlertShown(BaseModel):
    """A term that was missed, until the fact that ends it. `of`: the id of the refund."""

    kind: str
    of: str
    due_at: datetime


class RefundShown(BaseModel):
    """`decide_by` and `pay_by` are null when they do not run, as while evidence is awaited."""

    refund_id: str
    amount_minor: int
    reason: str
    requested_at: datetime | None
    position: int
    method: str | None = None
    reference: str | None = None
    paid_at: datetime | None = None
    status: str
    text: Personal = None
    requested_by: str | None
    shipping_minor: int
    fee_minor: int
    lines: list[RefundedLineShown]
    payments: list[PaymentPartShown]
    evidence: list[str]
    return_id: str | None
    approved_at: datetime | None
    approved_by: str | None
    denied_at: datetime | None
    denied_reason: Personal = None
    failed_at: datetime | None
    failure: str | None
    evidence_asked: Personal = None
    waits_since: datetime | None
    decide_by: datetime | None
    pay_by: datetime | None


class CameBackShown(BaseModel):
    line_no: int
    quantity: Units
    condition: str
    restocked: bool
    at: datetime


class CompensationShown(BaseModel):
    compensation_id: str
    amount_minor: int
    reason: str
    method: str
    reference: str
    at: datetime
    position: int
    text: Personal = None


class UnitsOfLine(BaseModel):
    line_no: int
    quantity: Units


class ReturnShown(BaseModel):
    return_id: str
    status: str
    reason: str
    requested_at: datetime
    position: int
    text: Personal = None
    lines: list[UnitsOfLine]
    received: list[CameBackShown]
    fee_minor: int = Field(
        description="For restocking of what was not paid: it stays owed; of what was, the refunds "
        "say it"
    )
    shipping_minor: int = Field(description="Owed no longer since these goods came back unpaid")
    parcel_id: str | None = Field(description="Of the parcel that came back undelivered")
    evidence: list[str]
    postage: str | None
    label: str | None
    denied_reason: Personal = None
    closed_at: datetime | None
    closed_reason: Personal = None
    exchange_order_id: str | None


class ReplacementShown(BaseModel):
    """Units that another order stands for; without those that were cancelled or came back there."""

    order_id: str
    reason: str
    parcel_id: str | None
    at: datetime
    lines: list[UnitsOfLine]


class ParcelShown(BaseModel):
    parcel_id: str
    carrier: str | None
    tracking_number: str | None
    status: str
    milestone: str | None
    milestone_at: datetime | None
    estimated_at: datetime | None
    intercept: str | None = Field(
        description="requested, succeeded (it comes back), failed (it was delivered); null where "
        "nobody asked for it"
    )
    lines: list[UnitsOfLine]


class Remark(BaseModel):
    """A note, or feedback with its score."""

    id: str
    at: datetime
    position: int
    text: Personal = None
    score: int | None = None
    actor: str | None = None


class Told(BaseModel):
    """A time, and the position of the event that told it."""

    at: datetime
    position: int


class Times(BaseModel):
    ordered: Told | None
    shipped: Told | None
    estimated: Told | None
    delivered: Told | None
    completed: Told | None


class EarlierEstimate(BaseModel):
    parcel_id: str
    at: datetime
    given_at: datetime
    position: int


class OrderShown(BaseModel):
    """All that is known of one order, at `position`."""

    order_id: str
    number: str
    shop: str
    channel: str
    customer_id: str
    currency: str
    external_ref: str | None
    origin: str
    status: str
    status_label: str
    stage: str
    payment: str
    fulfilment: str
    return_status: str
    overrides: dict[str, OverrideShown]
    prices_include_tax: bool
    total_minor: int
    tax_minor: int
    exemption: ExemptionShown | None = Field(description="Of the whole order from tax")
    exemption_certificate: Personal
    discounts: list[DiscountShown]
    shipping_minor: int
    paid_minor: int
    refunded_minor: int
    refund_open_minor: int
    balance_minor: int
    due_at: datetime | None
    authorised_minor: int
    unpaid_minor: int
    credit_minor: int
    fees_minor: int
    late_fee_minor: int
    written_off_minor: int
    collected_minor: int = Field(description="By carriers at the door, not remitted yet")
    freight_minor: int = Field(description="Of deliveries that were refused: a cost of the shop")
    units: Units
    shipped_units: Units
    payment_method: str
    lines: list[LineShown]
    payments: list[PaymentShown]
    authorisations: list[AuthorisationShown]
    chargebacks: list[ChargebackShown]
    refundable_minor: int
    refunds: list[RefundShown]
    returns: list[ReturnShown]
    compensations: list[CompensationShown]
    alerts: list[AlertShown]
    exchange_of: str | None
    replacement_of: str | None = Field(description="The order whose units it stands for")
    replacements: list[ReplacementShown]
    parcels: list[ParcelShown]
    contact: Personal
    shipping_address: Personal
    billing_address: Personal
    region: str | None
    note: Personal
    notes: list[Remark]
    feedback: list[Remark]
    placed_at: datetime
    promised_at: datetime | None
    times: Times
    earlier_estimates: list[EarlierEstimate]
    source: dict[str, Any] | None = Field(description="Imported: the source's own words")
    version: int
    position: int


class OrderEvents(BaseModel):
    """`next_after`: the `after` of the next page, null on the last one."""

    events: list[EventShown]
    next_after: int | None
