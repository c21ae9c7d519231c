"""The facts of an order. Topics and fields are the storage format, so a version never changes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import AwareDatetime, Field

from domain.message import Event, Made, Personal
from domain.values import Address, Contact, Quantity


class Exemption(Made):
    """Why a sale bears no tax: printed with it, and fixed when it was sold."""

    code: str  # VATEX of EN 16931, or a word of the shop's own
    reason: str | None = None  # of law, so nothing personal


class Discount(Made):
    """A part of the order discount by its name."""

    kind: str  # coupon, promotion, agreement, price_difference
    code: str | None = None
    title: str
    amount_minor: int


class Line(Made):
    """One SKU of an order, priced. Amounts are minor units for the whole line; see ADR 0002.

    `base` = amount - discount - order_discount; inclusive prices carry their tax in the base.
    """

    line_no: int
    sku: str
    name: str
    category: str
    unit: str = "pcs"
    quantity: Quantity
    unit_price_minor: str  # decimal string, up to 6 places
    unit_cost_minor: int | None = None
    tax_rate_bp: int = 0
    amount_minor: int
    discount_minor: int = 0
    order_discount_minor: int = 0  # its share, fixed for ever
    # Of the share, what each of the order's named discounts gave, in their order.
    discount_shares: list[int] | None = None
    base_minor: int
    tax_minor: int
    location: str = "main"
    # Units promised in stock from now on; 0 where the sku is not stock-kept.
    reserved: Quantity = Decimal(0)
    exemption: Exemption | None = None  # from tax: the rate is 0


class LineQuantity(Made):
    line_no: int
    quantity: Quantity
    # What the units are worth where money goes with them (cancellation, refund), tax included.
    amount_minor: int | None = None


class OrderPlaced(Event, topic="order.placed.v4"):
    order_id: str
    number: str
    shop: str
    channel: str
    customer_id: str
    person: str  # whose key seals the personal fields
    currency: str
    lines: list[Line]
    prices_include_tax: bool
    discount_minor: int = 0  # of the order, already shared out to the lines
    discounts: list[Discount] | None = None  # its parts by name, where they have names
    shipping_minor: int = 0
    shipping_tax_rate_bp: int = 0
    shipping_tax_minor: int = 0
    tax_minor: int  # lines and shipping
    total_minor: int  # what the customer owes
    exemption: Exemption | None = None  # of all lines and the shipping, also of lines added later
    exemption_certificate: Personal[str] | None = None  # number of the customer's
    contact: Personal[Contact] | None = None
    shipping_address: Personal[Address] | None = None
    billing_address: Personal[Address] | None = None
    payment_method: str
    promised_at: datetime | None = None
    external_ref: str | None = None
    note: Personal[str] | None = None
    region: str | None = None  # of the delivery, for figures: country and region alone name nobody
    policy_version: int = (
        0  # of the shop, in force at placement: kept for all that is decided later
    )
    due_at: datetime | None = None  # of the payment; none where it is asked for at the door
    counts_as_paid: str = "captured"  # or authorised: which money makes the order paid
    verbatim: dict[str, Any] | None = None  # import: what did not fit our words, as it was


class OrderApproved(Event, topic="order.approved.v1"):
    by: str = "policy"  # `policy` when every check passed, `operator` when a person did


class LinesAmended(Event, topic="order.lines_amended.v2"):
    """Lines changed, added or removed: those before and after, and the new totals."""

    person: str
    reason: Personal[str]
    before: list[Line]
    after: list[Line]  # a removed line is in `before` only
    tax_minor: int
    total_before_minor: int
    total_minor: int


class ContactAmended(Event, topic="order.contact_amended.v1"):
    person: str
    reason: Personal[str]
    before: Personal[Contact] | None = None
    after: Personal[Contact]


class ShippingAddressAmended(Event, topic="order.shipping_address_amended.v1"):
    person: str
    reason: Personal[str]
    before: Personal[Address] | None = None
    after: Personal[Address]
    region: str | None = None


class BillingAddressAmended(Event, topic="order.billing_address_amended.v1"):
    person: str
    reason: Personal[str]
    before: Personal[Address] | None = None
    after: Personal[Address]


class PromiseAmended(Event, topic="order.promise_amended.v1"):
    person: str
    reason: Personal[str]
    before: datetime | None = None
    after: datetime | None = None


class PaymentCaptured(Event, topic="order.payment_captured.v2"):
    """Money that came in, whole or as a part of what was authorised."""

    person: str
    payment_id: str
    method: str
    amount_minor: int  # what it pays of the order
    reference: str
    payer: Personal[str] | None = None
    authorisation_id: str | None = None
    value_date: date | None = None  # when it counts; the local day of `at` when absent
    fee_minor: int = 0  # of the amount, what carrier or provider kept: the shop's cost
    carrier: str | None = None  # that remits what it collected at the door
    verbatim: dict[str, Any] | None = None


class OrderPacked(Event, topic="order.packed.v1"):
    parcel_id: str
    lines: list[LineQuantity]


class OrderDispatched(Event, topic="order.dispatched.v1"):
    """A parcel with these units of the order left the house."""

    parcel_id: str
    lines: list[LineQuantity]
    carrier: str
    tracking_number: str
    estimated_at: datetime | None = None
    stock_shipped: list[LineQuantity] = Field(
        default_factory=list
    )  # of them, what was taken out of reservations
    verbatim: dict[str, Any] | None = None


class OrderDelivered(Event, topic="order.delivered.v1"):
    """A parcel with these units of the order was delivered; the proof is on the parcel."""

    parcel_id: str
    lines: list[LineQuantity]
    source: str  # `carrier`, `manual`, `import`


class DeliveryTroubled(Event, topic="order.delivery_troubled.v1"):
    """A parcel's newest milestone is one that the order must show, or the end of such a state."""

    parcel_id: str
    milestone: str  # exception, attempt_failed, returning, returned, lost, or a later good one


class OrderCancelled(Event, topic="order.cancelled.v2"):
    """Units that will not be delivered. `all` when nothing of the order remains.

    The fee is owed from then on; `refund_due_minor` is what was paid above what is owed.
    """

    person: str
    initiator: str  # customer, operator, seller, system
    reason_code: str
    text: Personal[str] | None = None
    lines: list[LineQuantity]
    released: list[LineQuantity] = Field(default_factory=list)  # of them, units given back to stock
    goods_minor: int  # what the total falls by for goods, tax included
    shipping_minor: int = 0  # and for shipping, tax included: only when all is cancelled
    tax_minor: int = 0  # the tax within both
    fee_minor: int = 0  # tax included
    fee_tax_minor: int = 0  # the tax within
    fee_tax_rate_bp: int = 0
    total_minor: int  # what is owed afterwards, the fee included
    refund_due_minor: int = 0
    policy_version: int = 0  # that the fee is from
    all: bool
    verbatim: dict[str, Any] | None = None


class PaymentPart(Made):
    payment_id: str
    amount_minor: int


class RefundedLine(LineQuantity):
    tax_minor: int | None = None  # within the amount


class RefundRequested(Event, topic="order.refund_requested.v2"):
    """Money asked back: goods without the fee that is kept of them, and shipping.

    It counts against what was paid from now on, until it is denied or its payout fails.
    """

    person: str
    refund_id: str
    requested_by: str = ""  # actor: never the one who approves it
    amount_minor: int  # goods and shipping
    shipping_minor: int = 0
    fee_minor: int = 0  # for restocking: kept of what the lines are worth
    tax_minor: int = 0  # within goods and shipping
    lines: list[RefundedLine] = Field(default_factory=list)
    reason: str  # a code
    text: Personal[str] | None = None
    payments: list[PaymentPart] = Field(default_factory=list)  # which money goes back
    evidence: list[str] = Field(default_factory=list)  # SHA-256 of files, as hex
    return_id: str | None = None  # whose goods it is for
    needs_approval: bool = False  # by a person other than the one who asked
    starts_at: AwareDatetime | None = None  # of its term: the request, or the receipt of the goods
    decide_by: AwareDatetime | None = None
    pay_by: AwareDatetime | None = None
    policy_version: int = 0  # that decided on evidence, approval, fee and terms


class RefundEvidenceAsked(Event, topic="order.refund_evidence_asked.v1"):
    """The customer has to show more: until then the terms stand still."""

    person: str
    refund_id: str
    text: Personal[str]


class RefundEvidenceAdded(Event, topic="order.refund_evidence_added.v1"):
    refund_id: str
    evidence: list[str]  # SHA-256 of files, as hex
    decide_by: AwareDatetime | None = None  # moved by the time that was waited for it
    pay_by: AwareDatetime | None = None


class RefundApproved(Event, topic="order.refund_approved.v1"):
    """It may be paid: `by` the policy in the write of the request, or an operator."""

    refund_id: str
    by: str


class RefundDenied(Event, topic="order.refund_denied.v1"):
    """It will not be paid: what it held can be refunded again."""

    person: str
    refund_id: str
    reason: Personal[str]


class RefundPaid(Event, topic="order.refund_paid.v1"):
    refund_id: str
    amount_minor: int
    method: str
    reference: str


class RefundFailed(Event, topic="order.refund_failed.v1"):
    """The money did not arrive: what went by one method, else all that had not gone yet. Of one
    that was reported as paid, a fact for each method that failed.
    """

    refund_id: str
    amount_minor: int
    code: str  # of the provider or bank
    was_paid: bool = False
    method: str | None = None  # that it was paid by


class RefundRetried(Event, topic="order.refund_retried.v1"):
    """A failed payout is to be tried again: it holds its money and its units as before."""

    refund_id: str


class CompensationPaid(Event, topic="order.compensation_paid.v1"):
    """Money beyond the price, for the customer's trouble. No refund: its limits do not hold."""

    person: str
    compensation_id: str
    amount_minor: int
    reason: str  # a code
    text: Personal[str] | None = None
    method: str
    reference: str


class OrderNoted(Event, topic="order.noted.v1"):
    person: str
    note_id: str
    text: Personal[str]


class FeedbackGiven(Event, topic="order.feedback_given.v1"):
    person: str
    feedback_id: str
    score: int  # 1 to 5
    comment: Personal[str] | None = None
    verbatim: dict[str, Any] | None = None


class StatusOverridden(Event, topic="order.status_overridden.v1"):
    """A dimension is shown as `value` until its next fact, or for good when sticky."""

    person: str
    dimension: str
    value: str
    prior: str
    reason: Personal[str]
    sticky: bool = False


class OverrideEnded(Event, topic="order.override_ended.v1"):
    dimension: str


class OrderVoided(Event, topic="order.voided.v1"):
    person: str
    reason: Personal[str]
    released: list[LineQuantity] = Field(default_factory=list)
