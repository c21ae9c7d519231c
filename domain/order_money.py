"""The money of an order: what came in and what became of it, and where all of it is.

A payment keeps its amount as it came; what happened to it stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from domain.frozen import replace
from domain.message import Sealed
from domain.money import shown_minor
from domain.order_facts import LineQuantity, OrderCancelled, OrderPlaced
from domain.payment_facts import LateFeeDay

if TYPE_CHECKING:
    from domain.order_state import Order

ACCOUNT_METHODS = frozenset({"store_credit", "gift_balance"})  # whose money is on the account
REJECTED = "rejected"  # the reason of the cancellation that a rejection is
EXCHANGE = "exchange"  # of the payment that the worth of exchanged goods is
# Money that stays in the house: no bank tells of it.
INTERNAL_METHODS = ACCOUNT_METHODS | {EXCHANGE}


@dataclass(frozen=True)
class Payment:
    """One amount that came in. What is neither refunded nor disputed can be refunded or moved."""

    method: str
    amount_minor: int
    refunded_minor: int = 0
    moved_minor: int = 0  # to other orders
    disputed_minor: int = 0  # asked back by the payer's bank
    lost_minor: int = 0  # to the payer's bank
    voided: bool = False
    reference: str = ""
    payer: str | Sealed | None = None
    authorisation_id: str | None = None
    value_date: date | None = None
    received_at: datetime | None = None
    carrier: str | None = None  # that remitted it
    collected_minor: int = 0  # of it, what the carrier was known to have collected
    fee_minor: int = 0  # of the amount, what carrier or provider kept: the rest reached us
    moved_from: tuple[str, str] | None = None  # the order and payment that it came in by

    @property
    def here_minor(self) -> int:
        """What of it is with us, refunds not looked at."""
        return 0 if self.voided else self.amount_minor - self.moved_minor - self.lost_minor

    @property
    def refundable_minor(self) -> int:
        return max(0, self.here_minor - self.refunded_minor - self.disputed_minor)

    @property
    def withheld_minor(self) -> int:
        """What only a dispute keeps from being refunded."""
        return min(self.disputed_minor, max(0, self.here_minor - self.refunded_minor))


@dataclass(frozen=True)
class Authorisation:
    method: str
    amount_minor: int
    reference: str = ""
    expires_at: datetime | None = None
    captured_minor: int = 0
    closed: str | None = None  # voided or expired: the rest is held no longer

    @property
    def open_minor(self) -> int:
        return 0 if self.closed else max(0, self.amount_minor - self.captured_minor)


@dataclass(frozen=True)
class Capture:
    """That a provider was asked for, and has neither made nor refused yet."""

    authorisation_id: str
    amount_minor: int


@dataclass(frozen=True)
class Chargeback:
    payment_id: str
    amount_minor: int
    outcome: Literal["won", "lost"] | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Cancellation:
    """What the cancellation of the whole took away last, so that it can be undone."""

    reason_code: str
    lines: tuple[LineQuantity, ...]
    goods_minor: int
    shipping_minor: int
    fee_minor: int
    tax_minor: int


@dataclass(frozen=True)
class Money:
    """What is known of an order's money beside its payments and refunds."""

    due_at: datetime | None = None  # of what is owed now: a term may begin anew
    first_due_at: datetime | None = None  # as pinned at placement
    to_cover: tuple[tuple[datetime, int], ...] = ()  # since due: by payments, minor, from when on
    counts_as_paid: str = "captured"
    overdue: bool = False  # declared so, and not settled since
    authorisations: Mapping[str, Authorisation] = field(default_factory=dict)
    captures: Mapping[str, Capture] = field(default_factory=dict)  # asked for, by payment_id
    failures: Mapping[str, str] = field(default_factory=dict)  # payment_id -> code
    chargebacks: Mapping[str, Chargeback] = field(default_factory=dict)
    written_off_minor: int = 0
    written_off_with: Mapping[str, int] = field(default_factory=dict)  # minor units by payment_id
    late_days: tuple[LateFeeDay, ...] = ()  # that were charged, oldest first
    late_waived_minor: int = 0
    collected: Mapping[str, int] = field(default_factory=dict)  # what each carrier owes us, minor
    freight_minor: int = 0  # of refused deliveries: the shop's cost
    refused: tuple[str, ...] = ()  # parcels
    cancellation: Cancellation | None = None
    reinstated_by: str | None = None  # the payment in whose write it was
    kept_alive: bool = False  # a person brought it back: the clock does not cancel it again
    reminded: tuple[int, ...] = ()  # steps, in hours before due
    credit_since: datetime | None = None  # more is here than is owed

    @property
    def authorised_minor(self) -> int:
        return sum(one.open_minor for one in self.authorisations.values())

    def asked_minor(self, authorisation_id: str) -> int:
        """What captures of an authorisation are under way for."""
        under_way = self.captures.values()
        return sum(
            one.amount_minor for one in under_way if one.authorisation_id == authorisation_id
        )

    @property
    def late_charged_minor(self) -> int:
        return sum(one.fee_minor for one in self.late_days)

    @property
    def late_fees_minor(self) -> int:
        """Charged and not waived."""
        return max(0, self.late_charged_minor - self.late_waived_minor)

    @property
    def collected_minor(self) -> int:
        return sum(self.collected.values())

    @property
    def disputed(self) -> bool:
        return any(one.outcome is None for one in self.chargebacks.values())


NONE = Money()


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where all money of an order is, in minor units. Payments settle goods first, then fees.

    paid = kept + fees + credit + refunded
    total = kept + fees + written_off + unpaid

    Unpaid is all of the total that is not kept: money that was given back is missing again. What
    is still asked for is the order's balance.
    """

    paid_minor: int  # came in and is here: without what was voided, moved away or lost
    refunded_minor: int  # requested and paid
    kept_minor: int  # for goods and shipping; below 0 where more went back than is here
    fees_minor: int  # kept for fees of cancellation and lateness
    credit_minor: int  # above what is owed: a credit, or a refund that is due
    written_off_minor: int  # what of it is needed
    unpaid_minor: int
    total_minor: int


def settlement(order: Order) -> Settlement:
    owed, net = order.owed_minor, order.net_paid_minor
    # What was kept of a refund may be more than its goods cost by now.
    total = 0 if order.void else max(order.total_minor, owed)
    fees = 0 if order.void else order.fees_minor + order.money.late_fees_minor
    kept = min(net, owed - fees)
    paid_fees = min(max(0, net - kept), fees)
    written_off = min(order.money.written_off_minor, max(0, owed - net))
    return Settlement(
        paid_minor=order.paid_minor,
        refunded_minor=order.refunded_minor,
        kept_minor=kept,
        fees_minor=paid_fees,
        credit_minor=max(0, net - owed),
        written_off_minor=written_off,
        unpaid_minor=total - kept - paid_fees - written_off,
        total_minor=total,
    )


def begun(event: OrderPlaced) -> Money:
    if event.due_at is None and event.counts_as_paid == "captured":
        return NONE
    due = event.due_at
    return Money(due_at=due, first_due_at=due, counts_as_paid=event.counts_as_paid)


def cancelled(money: Money, event: OrderCancelled) -> Money:
    """Remembers what the cancellation of the whole took away."""
    if not event.all:
        return money
    gone = Cancellation(
        reason_code=event.reason_code,
        lines=tuple(event.lines),
        goods_minor=event.goods_minor,
        shipping_minor=event.shipping_minor,
        fee_minor=event.fee_minor,
        tax_minor=event.tax_minor,
    )
    return replace(money, cancellation=gone)


def shown(amount_minor: int, order: Order) -> str:
    """As people read it; imports may have a currency that nobody knows."""
    return shown_minor(amount_minor, order.currency)
