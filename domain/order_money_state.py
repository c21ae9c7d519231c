"""What the facts of payments make of an order. Applies, never refuses, whatever history holds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain import order_refund_later
from domain.frozen import replace
from domain.order_facts import PaymentCaptured
from domain.order_money import Authorisation, Capture, Chargeback, Money, Payment
from domain.order_state import Order
from domain.payment_facts import (
    AuthorisationExpired,
    AuthorisationVoided,
    CaptureRequested,
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


def evolve(state: Order, event: PaymentFact | PaymentCaptured) -> Order:  # noqa: C901 - a table
    match event:
        case PaymentCaptured():
            return _captured(state, event)
        case PaymentAuthorised():
            held = Authorisation(
                event.method, event.amount_minor, event.reference, event.expires_at
            )
            return _authorised(state, event.payment_id, held)
        case CaptureRequested():
            asked = Capture(event.authorisation_id, event.amount_minor)
            return _with(state, captures={**state.money.captures, event.payment_id: asked})
        case AuthorisationVoided():
            return _closed(state, event.payment_id, "voided")
        case AuthorisationExpired():
            return _closed(state, event.payment_id, "expired")
        case PaymentFailed():
            failures = {**state.money.failures, event.payment_id: event.code}
            return _with(_not_asked(state, event.payment_id), failures=failures)
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
            return _written_off(state, event)
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


def credit_noted(after: Order, at: datetime) -> Order:
    """Since when more is here than is owed, without a break."""
    money = after.money
    if money.credit_since is None and after.net_paid_minor <= 0:
        return after
    has_credit = after.balance_minor < 0
    if has_credit == (money.credit_since is not None):
        return after
    return _with(after, credit_since=at if has_credit else None)


def _with(state: Order, **changes: Any) -> Order:
    return replace(state, money=replace(state.money, **changes))


def _written_off(state: Order, event: DifferenceWrittenOff) -> Order:
    known = state.money.written_off_with
    if event.payment_id is not None:
        so_far = known.get(event.payment_id, 0)
        known = {**known, event.payment_id: so_far + event.amount_minor}
    written_off = state.money.written_off_minor + event.amount_minor
    return _settled(_with(state, written_off_minor=written_off, written_off_with=known))


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
        payer=event.payer,
        authorisation_id=event.authorisation_id,
        value_date=event.value_date,
        received_at=event.at,
        carrier=event.carrier,
        collected_minor=min(event.amount_minor, state.money.collected.get(event.carrier or "", 0)),
        fee_minor=event.fee_minor,
    )
    state = _with_payment(state, event.payment_id, payment, event.amount_minor)
    state = _not_asked(state, event.payment_id)
    if event.authorisation_id is not None:
        state = _captured_more(state, event.authorisation_id, event.amount_minor)
    if event.carrier is not None:
        state = _collected(state, event.carrier, -event.amount_minor)
    return _settled(state)


def _not_asked(state: Order, payment_id: str) -> Order:
    """A capture that was asked for was made, or failed."""
    captures = state.money.captures
    if payment_id not in captures:
        return state
    return _with(state, captures={k: v for k, v in captures.items() if k != payment_id})


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
        state = _collected(state, payment.carrier, payment.collected_minor)
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
        payer=event.payer,
        value_date=event.value_date,
        received_at=event.received_at,
        moved_from=(event.from_order_id, event.from_payment_id),
    )
    return _settled(_with_payment(state, event.payment_id, payment, event.amount_minor))


def _chargeback_opened(state: Order, event: ChargebackOpened) -> Order:
    dispute = Chargeback(event.payment_id, event.amount_minor, reference=event.reference)
    state = _with(state, chargebacks={**state.money.chargebacks, event.chargeback_id: dispute})
    payment = state.payments.get(event.payment_id)
    if payment is None:
        return state
    disputed = payment.disputed_minor + event.amount_minor
    return _with_payment(state, event.payment_id, replace(payment, disputed_minor=disputed), 0)


def _chargeback_ended(state: Order, event: ChargebackWon | ChargebackLost) -> Order:
    lost = isinstance(event, ChargebackLost)
    dispute = Chargeback(
        event.payment_id, event.amount_minor, "lost" if lost else "won", event.reference
    )
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
    money = replace(state.money, late_days=ordered)
    # What was not owed after all was not forgiven: the rest of a waiver is not kept for later days.
    waived = min(money.late_waived_minor, money.late_charged_minor)
    return _settled(_with_late_fee(state, replace(money, late_waived_minor=waived)))


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
    state = order_refund_later.undone(replace(state, lines=lines))
    state = replace(
        state,
        cancelled=False,
        advances_used_minor=0,
        shipping_cancelled=state.shipping_cancelled and not event.shipping_minor,
        fees=state.fees[:-1] if event.fee_minor else state.fees,
        total_minor=state.total_minor + event.goods_minor + event.shipping_minor - event.fee_minor,
    )
    by_person = state.money.kept_alive or event.payment_id is None
    return _settled(
        _with(state, cancellation=None, reinstated_by=event.payment_id, kept_alive=by_person)
    )


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
    state = order_refund_later.units_freed(state, event.lines, "lowered")
    freight = state.money.freight_minor + event.freight_minor
    refused = (*state.money.refused, event.parcel_id)
    return _settled(_with(state, freight_minor=freight, refused=refused))
