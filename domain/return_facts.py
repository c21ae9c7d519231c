"""The facts of goods that come back to an order, and of what goes out for them."""

from __future__ import annotations

from pydantic import Field

from domain.message import Event, Made, Personal
from domain.order_facts import LineQuantity
from domain.values import Quantity


class ReceivedLine(Made):
    """Units that came back in one condition; restocked ones are in stock, where it is kept."""

    line_no: int
    quantity: Quantity
    condition: str  # resell, repair, scrap
    restocked: bool


class InterceptRequested(Event, topic="order.intercept_requested.v1"):
    """The carrier was asked to bring a parcel back that is on its way."""

    person: str
    parcel_id: str
    reason_code: str
    text: Personal[str] | None = None


class ReturnRequested(Event, topic="order.return_requested.v2"):
    """Delivered units that shall come back, or those of a parcel that comes back undelivered."""

    person: str
    return_id: str
    lines: list[LineQuantity]
    reason: str  # a code
    text: Personal[str] | None = None
    evidence: list[str] = Field(default_factory=list)  # SHA-256 of files, as hex
    policy_version: int = 0  # that decided on windows and evidence
    parcel_id: str | None = None  # that comes back undelivered


class ReturnApproved(Event, topic="order.return_approved.v1"):
    return_id: str
    postage: str  # who pays the way back: seller or customer
    label: str | None = None  # reference of what the customer sends it with


class ReturnDenied(Event, topic="order.return_denied.v1"):
    person: str
    return_id: str
    reason: Personal[str]


class ReturnReceived(Event, topic="order.return_received.v2"):
    """Goods that came back, inspected. Part of a return may come later, or never.

    What was not paid for them is owed no longer, but a fee; and shipping where it need not be paid.
    """

    return_id: str
    lines: list[ReceivedLine]
    receipt_id: str | None = None  # tells a repeat from more goods
    fee_minor: int = 0  # for restocking, of what is owed no longer: it stays owed
    shipping_minor: int = 0  # owed no longer


class ReturnClosed(Event, topic="order.return_closed.v1"):
    """Nothing more is to come or to be done: `by` the policy when all came and was paid back."""

    person: str
    return_id: str
    by: str
    reason: Personal[str] | None = None


class ReturnReopened(Event, topic="order.return_reopened.v1"):
    """The policy had closed it, but the money of a refund came back: something is to be done."""

    return_id: str
    refund_id: str


class OrderExchanged(Event, topic="order.exchanged.v1"):
    """For the goods of a return another order was placed, paid with what they were worth."""

    return_id: str
    refund_id: str
    new_order_id: str
    amount_minor: int


class ExchangedPart(Made):
    """One payment of the new order, and the one that its money first came in by."""

    payment_id: str
    amount_minor: int
    from_order_id: str
    from_payment_id: str
    from_refund_id: str  # of that order, by which it left for an exchange
    method: str  # that it came in by


class PlacedInExchange(Event, topic="order.placed_in_exchange.v2"):
    """On the new order: whose goods it stands for, and whose money pays for it."""

    of_order_id: str
    return_id: str
    amount_minor: int
    parts: list[ExchangedPart] = Field(default_factory=list)
