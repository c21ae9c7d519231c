"""The facts of an order's money beside captures and refunds: held, lost, moved, forgiven, late.

Topics and fields are the storage format, so a version never changes. Amounts are minor units of
the order's currency; `total_minor` is what is owed after the fact, fees included.
"""

from __future__ import annotations

from datetime import date
from typing import get_args

from pydantic import AwareDatetime, Field

from domain.message import Event, Made, Personal
from domain.order_facts import LineQuantity


class PaymentAuthorised(Event, topic="order.payment_authorised.v1"):
    """Money is held for the order and can be captured, in parts, until it expires."""

    person: str
    payment_id: str
    method: str
    amount_minor: int
    reference: str
    expires_at: AwareDatetime | None = None
    payer: Personal[str] | None = None


class CaptureRequested(Event, topic="order.capture_requested.v1"):
    """The provider is to take money that it holds. It is ours when the capture is recorded."""

    authorisation_id: str
    payment_id: str  # of the capture to come, and its idempotency key
    amount_minor: int


class AuthorisationVoided(Event, topic="order.authorisation_voided.v1"):
    """What was still held is held no longer, by our own will."""

    person: str
    payment_id: str
    amount_minor: int
    reason: Personal[str]


class AuthorisationExpired(Event, topic="order.authorisation_expired.v1"):
    payment_id: str
    amount_minor: int  # what was still held


class PaymentFailed(Event, topic="order.payment_failed.v1"):
    """A payment, or the capture of an authorisation, that did not come about."""

    payment_id: str
    method: str
    amount_minor: int
    reference: str
    code: str  # the provider's or bank's, in our words
    authorisation_id: str | None = None


class PaymentVoided(Event, topic="order.payment_voided.v1"):
    """The payment was recorded by mistake: there never was such money."""

    person: str
    payment_id: str
    method: str
    amount_minor: int
    reason: Personal[str]


class PaymentMovedOut(Event, topic="order.payment_moved_out.v1"):
    """Money that was booked on the wrong order; its other half stands on the right one."""

    person: str
    payment_id: str
    method: str
    amount_minor: int
    to_order_id: str
    to_payment_id: str
    reason: Personal[str]


class PaymentMovedIn(Event, topic="order.payment_moved_in.v2"):
    """Money that was booked on another order: by its method, reference and value date there.

    Version 1 did not say who had paid.
    """

    person: str
    payment_id: str
    method: str
    amount_minor: int
    reference: str
    value_date: date | None = None
    received_at: AwareDatetime | None = None  # when it came to the other order
    payer: Personal[str] | None = None  # as sealed there, of the payer of the other order
    from_order_id: str
    from_payment_id: str
    reason: Personal[str]


class ChargebackOpened(Event, topic="order.chargeback_opened.v2"):
    """The payer's bank asks for the money back: nothing leaves, and it cannot be refunded.

    Version 1 did not say by which method it had come, and always had a reference.
    """

    chargeback_id: str
    payment_id: str
    method: str | None = None
    amount_minor: int
    reference: str | None = None
    code: str
    respond_by: AwareDatetime | None = None


class ChargebackWon(Event, topic="order.chargeback_won.v2"):
    """The money stays: where the bank had taken it meanwhile, it comes back.

    Version 1 had neither method nor reference.
    """

    chargeback_id: str
    payment_id: str
    method: str | None = None
    amount_minor: int
    reference: str | None = None  # what a statement calls it by


class ChargebackLost(Event, topic="order.chargeback_lost.v2"):
    """The money is gone. Version 1 had no reference."""

    chargeback_id: str
    payment_id: str
    method: str
    amount_minor: int
    reference: str | None = None


class DifferenceWrittenOff(Event, topic="order.difference_written_off.v1"):
    """A small remainder that nobody asks for any more. Below 0: it is asked for again, since the
    payment that it remained of was voided or moved.
    """

    person: str
    amount_minor: int
    reason: str = "tolerance"
    text: Personal[str] | None = None
    payment_id: str | None = None  # in whose write the policy did it
    policy_version: int = 0  # whose tolerance it is


class PaymentOverdue(Event, topic="order.payment_overdue.v1"):
    """The term passed without the money."""

    due_at: AwareDatetime
    outstanding_minor: int
    policy_version: int = 0


class LateFeeDay(Made):
    """One full local day after due. The fees of all days, summed up, are the rounded whole."""

    day: date
    outstanding_minor: int  # goods and shipping not paid by then
    fee_minor: int


class LateFeeCharged(Event, topic="order.late_fee_charged.v1"):
    days: list[LateFeeDay]
    amount_minor: int
    total_minor: int
    policy_version: int = 0


class LateFeeCorrected(Event, topic="order.late_fee_corrected.v1"):
    """A payment came with a value date before days that were charged: those days anew."""

    payment_id: str
    days: list[LateFeeDay]
    amount_minor: int  # that falls off
    total_minor: int


class LateFeeWaived(Event, topic="order.late_fee_waived.v1"):
    person: str
    amount_minor: int
    reason: Personal[str]
    total_minor: int


class UnpaidDispatchAllowed(Event, topic="order.unpaid_dispatch_allowed.v1"):
    """Somebody who may do so let a parcel leave before it was paid."""

    person: str
    parcel_id: str
    due_minor: int
    reason: Personal[str]


class OrderReinstated(Event, topic="order.reinstated.v1"):
    """The cancellation of a whole order is undone, at its old prices, its stock reserved."""

    payment_id: str | None = None  # that came in time; none when an operator did it
    lines: list[LineQuantity]
    reserved: list[LineQuantity] = Field(default_factory=list)  # of them, promised in stock again
    goods_minor: int
    shipping_minor: int = 0
    tax_minor: int = 0
    fee_minor: int = 0  # of the cancellation, that falls off
    total_minor: int


class CashCollected(Event, topic="order.cash_collected.v1"):
    """The carrier took the money at the door and owes it to us."""

    parcel_id: str
    carrier: str
    amount_minor: int


class DeliveryRefused(Event, topic="order.delivery_refused.v1"):
    """拒收: the customer did not take the parcel. Nothing was paid for it, the freight is ours."""

    person: str
    parcel_id: str
    carrier: str
    lines: list[LineQuantity]
    goods_minor: int  # what the total falls by for goods, tax included
    shipping_minor: int = 0  # and for shipping: only when nothing else was or will be delivered
    freight_minor: int = 0  # what the carrier asks for both ways
    reason: Personal[str] | None = None
    total_minor: int


PaymentFact = (
    PaymentAuthorised
    | CaptureRequested
    | AuthorisationVoided
    | AuthorisationExpired
    | PaymentFailed
    | PaymentVoided
    | PaymentMovedOut
    | PaymentMovedIn
    | ChargebackOpened
    | ChargebackWon
    | ChargebackLost
    | DifferenceWrittenOff
    | PaymentOverdue
    | LateFeeCharged
    | LateFeeCorrected
    | LateFeeWaived
    | UnpaidDispatchAllowed
    | OrderReinstated
    | CashCollected
    | DeliveryRefused
)
PAYMENT_FACTS: tuple[type[Event], ...] = get_args(PaymentFact)
