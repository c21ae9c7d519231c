"""What the facts of payments make of an order: money that is here, held, disputed, moved, forgiven.

Applies, never refuses. A payment keeps its amount as it came; what happened to it stands beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from domain.frozen import replace
from domain.order_facts import LineQuantity, OrderCancelled, OrderPlaced, PaymentCaptured
from domain.payment_facts import (
    AuthorisationExpired,
    AuthorisationVoided,
    CashCollected,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    DeliveryRefused,
    DifferenceWrittenOff,
    LateFeeCharged,
    LateFeeCorrected,
    LateFeeDay,
    LateFeeWaived,
    OrderReinstated,
    PaymentAuthorised,
    PaymentFact,
    PaymentFailed,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentOverdue,
    PaymentVoided,
    UnpaidDispatchAllowed,
)

if TYPE_CHECKING:
    from domain.order_state import Order


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
    authorisation_id: str | None = None
    value_date: date | None = None
    received_at: datetime | None = None
    carrier: str | None = None  # that remitted it

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
class Chargeback:
    payment_id: str
    amount_minor: int
    outcome: Literal["won", "lost"] | None = None


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

    due_at: datetime | None = None
    counts_as_paid: str = "captured"
    overdue: bool = False  # declared so, and not settled since
    authorisations: Mapping[str, Authorisation] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)  # payment_id -> code
    chargebacks: Mapping[str, Chargeback] = field(default_factory=dict)
    written_off_minor: int = 0
    late_days: tuple[LateFeeDay, ...] = ()  # that were charged, oldest first
    late_waived_minor: int = 0
    collected: Mapping[str, int] = field(default_factory=dict)  # what each carrier owes us, minor
    freight_minor: int = 0  # of refused deliveries: the shop's cost
    refused: tuple[str, ...] = ()  # parcels
    cancellation: Cancellation | None = None
    reinstated_by: str | None = None  # the payment in whose write it was

    @property
    def authorised_minor(self) -> int:
        return sum(one.open_minor for one in self.authorisations.values())

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
    fees = order.fees_minor + order.money.late_fees_minor
    net = order.net_paid_minor
    short = max(0, order.total_minor - net)
    kept = min(net, order.total_minor - fees)
    return Settlement(
        paid_minor=order.paid_minor,
        refunded_minor=order.refunded_minor,
        kept_minor=kept,
        fees_minor=min(max(0, net - kept), fees),
        credit_minor=max(0, net - order.total_minor),
        written_off_minor=min(order.money.written_off_minor, short),
        unpaid_minor=order.unpaid_minor,
        total_minor=order.total_minor,
    )


def begun(event: OrderPlaced) -> Money:
    if event.due_at is None and event.counts_as_paid == "captured":
        return NONE
    return Money(due_at=event.due_at, counts_as_paid=event.counts_as_paid)


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


def evolve(state: Order, event: PaymentFact | PaymentCaptured) -> Order:  # noqa: C901 - a table
    match event:
        case PaymentCaptured():
            return _captured(state, event)
        case PaymentAuthorised():
            held = Authorisation(
                event.method, event.amount_minor, event.reference, event.expires_at
            )
            return _authorised(state, event.payment_id, held)
        case AuthorisationVoided():
            return _closed(state, event.payment_id, "voided")
        case AuthorisationExpired():
            return _closed(state, event.payment_id, "expired")
        case PaymentFailed():
            failures = {**state.money.failures, event.payment_id: event.code}
            return _with(state, failures=failures)
        case PaymentVoided():
            return _voided(state, event)
        case PaymentMovedOut():
            return _moved_out(state, event)
        case PaymentMovedIn():
            return _moved_in(state, event)
        case ChargebackOpened():
            return _chargeback_opened(state, event)
        case ChargebackWon() | ChargebackLost():
            return _chargeback_ended(state, event)
        case DifferenceWrittenOff():
            written_off = state.money.written_off_minor + event.amount_minor
            return _settled(_with(state, written_off_minor=written_off))
        case PaymentOverdue():
            return _with(state, overdue=True)
        case LateFeeCharged() | LateFeeCorrected():
            return _late_days(state, event.days)
        case LateFeeWaived():
            waived = state.money.late_waived_minor + event.amount_minor
            return _settled(_with_late_fee(state, replace(state.money, late_waived_minor=waived)))
        case UnpaidDispatchAllowed():
            return state
        case OrderReinstated():
            return _reinstated(state, event)
        case CashCollected():
            return _collected(state, event.carrier, event.amount_minor)
        case DeliveryRefused():
            return _refused(state, event)


def _with(state: Order, **changes: Any) -> Order:
    return replace(state, money=replace(state.money, **changes))


def _settled(state: Order) -> Order:
    """An order that owes nothing any more is overdue no longer, also when it owes again."""
    if state.money.overdue and state.balance_minor <= 0:
        return _with(state, overdue=False)
    return state


def _with_payment(state: Order, payment_id: str, payment: Payment, paid_minor: int) -> Order:
    """`paid_minor`: by how much more is paid."""
    return replace(
        state,
        payments={**state.payments, payment_id: payment},
        paid_minor=state.paid_minor + paid_minor,
    )


def _captured(state: Order, event: PaymentCaptured) -> Order:
    payment = Payment(
        event.method,
        event.amount_minor,
        reference=event.reference,
        authorisation_id=event.authorisation_id,
        value_date=event.value_date,
        received_at=event.at,
        carrier=event.carrier,
    )
    state = _with_payment(state, event.payment_id, payment, event.amount_minor)
    if event.authorisation_id is not None:
        state = _captured_more(state, event.authorisation_id, event.amount_minor)
    if event.carrier is not None:
        state = _collected(state, event.carrier, -event.amount_minor)
    return _settled(state)


def _collected(state: Order, carrier: str, more: int) -> Order:
    """A remittance may come before the news of the delivery: then nothing is owed yet."""
    owed = max(0, state.money.collected.get(carrier, 0) + more)
    return _with(state, collected={**state.money.collected, carrier: owed})


def _captured_more(state: Order, authorisation_id: str, amount: int) -> Order:
    held = state.money.authorisations.get(authorisation_id)
    if held is None:
        return state
    captured = held.captured_minor + amount
    return _authorised(state, authorisation_id, replace(held, captured_minor=captured))


def _authorised(state: Order, payment_id: str, held: Authorisation) -> Order:
    return _with(state, authorisations={**state.money.authorisations, payment_id: held})


def _closed(state: Order, payment_id: str, how: str) -> Order:
    held = state.money.authorisations.get(payment_id)
    return state if held is None else _authorised(state, payment_id, replace(held, closed=how))


def _voided(state: Order, event: PaymentVoided) -> Order:
    payment = state.payments.get(event.payment_id)
    if payment is None:
        return state
    gone = payment.here_minor
    state = _with_payment(state, event.payment_id, replace(payment, voided=True), -gone)
    if payment.carrier is not None:
        state = _collected(state, payment.carrier, gone)
    if payment.authorisation_id is None:
        return state
    return _captured_more(state, payment.authorisation_id, -gone)


def _moved_out(state: Order, event: PaymentMovedOut) -> Order:
    payment = state.payments.get(event.payment_id)
    if payment is None:
        return state
    moved = replace(payment, moved_minor=payment.moved_minor + event.amount_minor)
    return _with_payment(state, event.payment_id, moved, -event.amount_minor)


def _moved_in(state: Order, event: PaymentMovedIn) -> Order:
    payment = Payment(
        event.method,
        event.amount_minor,
        reference=event.reference,
        value_date=event.value_date,
        received_at=event.received_at,
    )
    return _settled(_with_payment(state, event.payment_id, payment, event.amount_minor))


def _chargeback_opened(state: Order, event: ChargebackOpened) -> Order:
    dispute = Chargeback(event.payment_id, event.amount_minor)
    state = _with(state, chargebacks={**state.money.chargebacks, event.chargeback_id: dispute})
    payment = state.payments.get(event.payment_id)
    if payment is None:
        return state
    disputed = payment.disputed_minor + event.amount_minor
    return _with_payment(state, event.payment_id, replace(payment, disputed_minor=disputed), 0)


def _chargeback_ended(state: Order, event: ChargebackWon | ChargebackLost) -> Order:
    lost = isinstance(event, ChargebackLost)
    dispute = Chargeback(event.payment_id, event.amount_minor, "lost" if lost else "won")
    state = _with(state, chargebacks={**state.money.chargebacks, event.chargeback_id: dispute})
    payment = state.payments.get(event.payment_id)
    if payment is None:
        return state
    gone = event.amount_minor if lost else 0
    payment = replace(
        payment,
        disputed_minor=payment.disputed_minor - event.amount_minor,
        lost_minor=payment.lost_minor + gone,
    )
    return _with_payment(state, event.payment_id, payment, -gone)


def _late_days(state: Order, days: Iterable[LateFeeDay]) -> Order:
    """Days that were charged before are told anew."""
    known = {one.day: one for one in state.money.late_days}
    known |= {one.day: one for one in days}
    ordered = tuple(known[day] for day in sorted(known))
    return _settled(_with_late_fee(state, replace(state.money, late_days=ordered)))


def _with_late_fee(state: Order, money: Money) -> Order:
    more = money.late_fees_minor - state.money.late_fees_minor
    return replace(state, money=money, total_minor=state.total_minor + more)


def _reinstated(state: Order, event: OrderReinstated) -> Order:
    lines = dict(state.lines)
    for item in event.lines:
        line = lines.get(item.line_no)
        if line is not None:
            lines[item.line_no] = replace(line, cancelled=line.cancelled - item.quantity)
    for item in event.reserved:
        line = lines.get(item.line_no)
        if line is not None:
            lines[item.line_no] = replace(line, reserved=line.reserved + item.quantity)
    state = replace(
        state,
        lines=lines,
        cancelled=False,
        shipping_cancelled=state.shipping_cancelled and not event.shipping_minor,
        fees_minor=state.fees_minor - event.fee_minor,
        total_minor=state.total_minor + event.goods_minor + event.shipping_minor - event.fee_minor,
    )
    return _settled(_with(state, cancellation=None, reinstated_by=event.payment_id))


def _refused(state: Order, event: DeliveryRefused) -> Order:
    lines = dict(state.lines)
    for item in event.lines:
        line = lines.get(item.line_no)
        if line is not None:
            lines[item.line_no] = replace(line, refused=line.refused + item.quantity)
    parcels = dict(state.parcels)
    parcel = parcels.get(event.parcel_id)
    if parcel is not None:
        parcels[event.parcel_id] = replace(parcel, milestone="returning")
    state = replace(
        state,
        lines=lines,
        parcels=parcels,
        shipping_cancelled=state.shipping_cancelled or event.shipping_minor != 0,
        total_minor=state.total_minor - event.goods_minor - event.shipping_minor,
    )
    freight = state.money.freight_minor + event.freight_minor
    refused = (*state.money.refused, event.parcel_id)
    return _settled(_with(state, freight_minor=freight, refused=refused))
