"""What may be done with the money of an order: recorded, held, voided, disputed, moved, forgiven.

Money that came in is recorded whatever has become of the order; every guard looks at the state
that the append checks, so two commands can never pass it together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

from domain.message import Command, Event, Rejected
from domain.money import format_minor
from domain.order_commands import DispatchParcel, RecordPayment
from domain.order_facts import PaymentCaptured
from domain.order_money import Authorisation, Chargeback, Payment
from domain.order_reinstating import Free, reinstated_by_payment
from domain.order_state import Order, evolve
from domain.order_status import PAYS_LATER
from domain.payment_commands import (
    AuthorisePayment,
    CapturePayment,
    ExpireAuthorisation,
    LoseChargeback,
    MovePayment,
    OpenChargeback,
    RecordPaymentFailure,
    RecordRemittance,
    VoidAuthorisation,
    VoidPayment,
    WinChargeback,
    WriteOffDifference,
)
from domain.payment_facts import (
    AuthorisationExpired,
    AuthorisationVoided,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    DifferenceWrittenOff,
    LateFeeCorrected,
    PaymentAuthorised,
    PaymentFailed,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentVoided,
    UnpaidDispatchAllowed,
)
from domain.payment_terms import recharged, value_day
from domain.policy import PolicyVersion
from domain.policy_rules import amount as amount_in

ACCOUNT_METHODS = frozenset({"store_credit", "gift_balance"})  # whose money is on the account


def payer_of(order_id: str) -> str:
    """The person whose key seals the payers of an order: they need not be its customer."""
    return f"order/{order_id}"


def not_void(state: Order) -> None:
    if state.void:
        raise Rejected("order_void", "the order was voided; nothing more can happen to it")


# -- money that comes in ---------------------------------------------------------------------------


def record(command: RecordPayment, state: Order, policy: PolicyVersion, free: Free) -> list[Event]:
    """Every payment counts, also a second equal one: only its id tells a repeat."""
    not_void(state)
    if _is_repeat(command.payment_id, command.method, command.amount_minor, state):
        return []
    captured = PaymentCaptured(
        person=payer_of(state.order_id),
        payment_id=command.payment_id,
        method=command.method,
        amount_minor=command.amount_minor,
        reference=command.reference,
        payer=command.payer,
        value_date=command.value_date,
        at=command.occurred_at or command.at,
    )
    return received(captured, command, state, policy, free)


def _is_repeat(payment_id: str, method: str, amount_minor: int, state: Order) -> bool:
    """Raises Rejected for another payment under the same id."""
    known = state.payments.get(payment_id) or state.money.authorisations.get(payment_id)
    if known is None:
        return False
    if (known.method, known.amount_minor) != (method, amount_minor):
        raise Rejected(
            "payment_differs",
            f"payment {payment_id} is {known.amount_minor} by {known.method}",
            payment_id=payment_id,
            amount_minor=known.amount_minor,
            method=known.method,
        )
    return True


def capture(
    command: CapturePayment, state: Order, policy: PolicyVersion, free: Free
) -> list[Event]:
    """A part of what is held, never more. Raises Rejected `capture_exceeds_authorised`."""
    not_void(state)
    held = _authorisation(command.authorisation_id, state)
    amount = held.open_minor if command.amount_minor is None else command.amount_minor
    known = state.payments.get(command.payment_id)
    if known is not None and command.amount_minor is None:
        amount = known.amount_minor
    if _is_repeat(command.payment_id, held.method, amount, state):
        return []
    _require_held(amount, command, held, state)
    captured = PaymentCaptured(
        person=payer_of(state.order_id),
        payment_id=command.payment_id,
        method=held.method,
        amount_minor=amount,
        reference=command.reference or held.reference,
        authorisation_id=command.authorisation_id,
        value_date=command.value_date,
        at=command.occurred_at or command.at,
    )
    return received(captured, command, state, policy, free)


def _require_held(amount: int, command: CapturePayment, held: Authorisation, state: Order) -> None:
    at = command.occurred_at or command.at
    if held.closed or (held.expires_at is not None and at > held.expires_at):
        raise Rejected(
            "authorisation_closed",
            f"{held.closed or 'expired'}: nothing is held any more",
            payment_id=command.authorisation_id,
            why=held.closed or "expired",
        )
    if amount > held.open_minor or not amount:
        raise Rejected(
            "capture_exceeds_authorised",
            f"{shown(amount, state)} asked, {shown(held.open_minor, state)} held",
            asked_minor=amount,
            held_minor=held.open_minor,
        )


def remit(
    command: RecordRemittance, state: Order, policy: PolicyVersion, free: Free
) -> list[Event]:
    """Paid in full by the carrier, who keeps the fee of it. Also before the delivery is known."""
    not_void(state)
    if command.fee_minor > command.amount_minor:
        raise Rejected(
            "fee_exceeds_amount",
            f"{shown(command.fee_minor, state)} of {shown(command.amount_minor, state)}",
            fee_minor=command.fee_minor,
            amount_minor=command.amount_minor,
        )
    if _is_repeat(command.payment_id, "cash_on_delivery", command.amount_minor, state):
        return []
    captured = PaymentCaptured(
        person=payer_of(state.order_id),
        payment_id=command.payment_id,
        method="cash_on_delivery",
        amount_minor=command.amount_minor,
        reference=command.reference,
        value_date=command.value_date,
        fee_minor=command.fee_minor,
        carrier=command.carrier,
        at=command.occurred_at or command.at,
    )
    return received(captured, command, state, policy, free)


def received(
    fact: PaymentCaptured | PaymentMovedIn,
    command: Command,
    state: Order,
    policy: PolicyVersion,
    free: Free,
) -> list[Event]:
    """The fact, and all that follows from the money in the same write: an overdue order lives on,
    a late fee ends at the value date, a remainder within the tolerance is written off.
    """
    facts: list[Event] = [fact]
    name = fact.payment_id
    after = evolve(state, fact)
    facts += reinstated_by_payment(name, command.at, after, policy, free)
    facts += _corrected(name, command, reduce(evolve, facts, state), policy)
    facts += _within_tolerance(name, command, reduce(evolve, facts, state), policy)
    return facts


def _corrected(
    payment_id: str, command: Command, order: Order, policy: PolicyVersion
) -> list[Event]:
    """Days that were charged although the money was there, by its value date."""
    payment, charged = order.payments[payment_id], order.money.late_days
    valued = value_day(payment, policy.calendar)
    if not charged or valued is None or valued > charged[-1].day:
        return []
    days = recharged(charged, valued, payment.here_minor, policy.rules.payment)
    before = {one.day: one.fee_minor for one in charged}
    less = sum(before[one.day] - one.fee_minor for one in days)
    if not less:
        return []
    fact = LateFeeCorrected(
        payment_id=payment_id, days=days, amount_minor=less, total_minor=0, at=command.at
    )
    total = evolve(order, fact).total_minor
    return [fact.model_copy(update={"total_minor": total})]


def _within_tolerance(
    payment_id: str, command: Command, order: Order, policy: PolicyVersion
) -> list[Event]:
    """A small difference is not worth a letter; but not while more of the money is still held."""
    tolerance = amount_in(policy.rules.payment.tolerance, order.currency) or 0
    waits = "write_off_difference" in policy.rules.status.confirm or order.money.authorised_minor
    if waits or not 0 < order.balance_minor <= tolerance:
        return []
    return [_written_off(order, policy, command, payment_id=payment_id)]


def _written_off(
    order: Order, policy: PolicyVersion, command: Command, **more: Any
) -> DifferenceWrittenOff:
    return DifferenceWrittenOff(
        person=order.person,
        amount_minor=order.balance_minor,
        policy_version=policy.version,
        at=command.at,
        **more,
    )


def write_off(
    command: WriteOffDifference, state: Order, policy: PolicyVersion, _free: Free
) -> list[Event]:
    """What is owed, if it is within the tolerance. Raises Rejected."""
    not_void(state)
    left = state.balance_minor
    if left <= 0:
        if state.money.written_off_minor:
            return []
        raise Rejected("nothing_to_write_off", "nothing is owed")
    if command.amount_minor not in {None, left}:
        raise Rejected(
            "write_off_differs",
            f"{shown(command.amount_minor or 0, state)} asked, {shown(left, state)} are owed",
            asked_minor=command.amount_minor,
            owed_minor=left,
        )
    tolerance = amount_in(policy.rules.payment.tolerance, state.currency) or 0
    if left > tolerance:
        raise Rejected(
            "write_off_exceeds_tolerance",
            f"{shown(left, state)} are owed, {shown(tolerance, state)} can be written off",
            owed_minor=left,
            tolerance_minor=tolerance,
        )
    return [_written_off(state, policy, command, text=command.text)]


# -- money that is held ----------------------------------------------------------------------------


def authorise(
    command: AuthorisePayment, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    not_void(state)
    if _is_repeat(command.payment_id, command.method, command.amount_minor, state):
        return []
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled: nothing is to be held for it")
    return [
        PaymentAuthorised(
            person=payer_of(state.order_id),
            payment_id=command.payment_id,
            method=command.method,
            amount_minor=command.amount_minor,
            reference=command.reference,
            expires_at=command.expires_at,
            payer=command.payer,
            at=command.at,
        )
    ]


def _authorisation(payment_id: str, state: Order) -> Authorisation:
    held = state.money.authorisations.get(payment_id)
    if held is None:
        raise Rejected("authorisation_not_found", payment_id=payment_id)
    return held


def void_authorisation(
    command: VoidAuthorisation, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """What is not captured is held no longer; what was captured stays."""
    held = _authorisation(command.payment_id, state)
    if not held.open_minor:
        return []
    return [
        AuthorisationVoided(
            person=state.person,
            payment_id=command.payment_id,
            amount_minor=held.open_minor,
            reason=command.reason,
            at=command.at,
        )
    ]


def expire(
    command: ExpireAuthorisation, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    held = _authorisation(command.payment_id, state)
    if not held.open_minor:
        return []
    if held.expires_at is None or command.at <= held.expires_at:
        ends = held.expires_at and held.expires_at.isoformat()
        raise Rejected("not_expired", f"it is held until {ends}", expires_at=ends)
    return [
        AuthorisationExpired(
            payment_id=command.payment_id, amount_minor=held.open_minor, at=held.expires_at
        )
    ]


def fail(
    command: RecordPaymentFailure, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """Nothing changes but that it is known. What came in under the same id did not fail."""
    if command.payment_id in state.money.failures:
        return []
    if command.payment_id in state.payments or command.payment_id in state.money.authorisations:
        raise Rejected(
            "payment_succeeded", "it was recorded: void it", payment_id=command.payment_id
        )
    return [
        PaymentFailed(
            payment_id=command.payment_id,
            method=command.method,
            amount_minor=command.amount_minor,
            reference=command.reference,
            code=command.code,
            authorisation_id=command.authorisation_id,
            at=command.occurred_at or command.at,
        )
    ]


# -- money that is not ours ------------------------------------------------------------------------


def void(command: VoidPayment, state: Order, _policy: PolicyVersion, _free: Free) -> list[Event]:
    """Of a payment that nothing has happened to. Raises Rejected `payment_used`."""
    payment = _payment(command.payment_id, state)
    if payment.voided:
        return []
    _require_cash(payment)
    used = payment.amount_minor - payment.refundable_minor
    left = payment.here_minor <= max(0, state.net_paid_minor)  # of imports, whose refunds are loose
    if used or not left:
        raise Rejected(
            "payment_used",
            f"{shown(used or payment.amount_minor, state)} of it were refunded, moved or charged "
            "back: it did exist",
            payment_id=command.payment_id,
            refunded_minor=payment.refunded_minor,
            moved_minor=payment.moved_minor,
            charged_back_minor=payment.disputed_minor + payment.lost_minor,
        )
    return [
        PaymentVoided(
            person=state.person,
            payment_id=command.payment_id,
            method=payment.method,
            amount_minor=payment.amount_minor,
            reason=command.reason,
            at=command.at,
        )
    ]


def _payment(payment_id: str, state: Order) -> Payment:
    payment = state.payments.get(payment_id)
    if payment is None:
        raise Rejected("payment_not_found", payment_id=payment_id)
    return payment


def _require_cash(payment: Payment) -> None:
    if payment.method in ACCOUNT_METHODS:
        raise Rejected(
            "money_of_the_account",
            "it was spent from the customer's account: a refund gives it back there",
            method=payment.method,
        )


def move(
    command: MovePayment, source: Order, target: Order, policy: PolicyVersion, free: Free
) -> tuple[list[Event], list[Event]]:
    """What leaves one order and what comes to the other, in one write. `policy` and `free` are the
    other's. Raises Rejected.
    """
    if command.to_order_id == command.order_id:
        raise Rejected("same_order", "it is on that order already")
    payment = _payment(command.payment_id, source)
    if command.to_payment_id in target.payments:
        return [], []
    _require_cash(payment)
    not_void(target)
    if source.currency != target.currency:
        raise Rejected(
            "currency_differs",
            f"{source.currency} cannot be moved to an order in {target.currency}",
            currency=source.currency,
            to_currency=target.currency,
        )
    free_minor = min(payment.refundable_minor, max(0, source.net_paid_minor))
    amount = free_minor if command.amount_minor is None else command.amount_minor
    if amount > free_minor or not amount:
        raise Rejected(
            "move_exceeds_payment",
            f"{shown(amount, source)} asked, {shown(free_minor, source)} neither refunded nor "
            "charged back",
            payment_id=command.payment_id,
            asked_minor=amount,
            movable_minor=free_minor,
        )
    return _moved(amount, payment, command, source, target, policy, free)


def _moved(
    amount: int,
    payment: Payment,
    command: MovePayment,
    source: Order,
    target: Order,
    policy: PolicyVersion,
    free: Free,
) -> tuple[list[Event], list[Event]]:
    out = PaymentMovedOut(
        person=source.person,
        payment_id=command.payment_id,
        method=payment.method,
        amount_minor=amount,
        to_order_id=command.to_order_id,
        to_payment_id=command.to_payment_id,
        reason=command.reason,
        at=command.at,
    )
    into = PaymentMovedIn(
        person=target.person,
        payment_id=command.to_payment_id,
        method=payment.method,
        amount_minor=amount,
        reference=payment.reference,
        value_date=payment.value_date,
        received_at=payment.received_at,
        from_order_id=command.order_id,
        from_payment_id=command.payment_id,
        reason=command.reason,
        at=command.at,
    )
    return [out], received(into, command, target, policy, free)


# -- money that is disputed ------------------------------------------------------------------------


def open_chargeback(
    command: OpenChargeback, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """The bank asks whether or not it was refunded; never for more than the payment is."""
    if command.chargeback_id in state.money.chargebacks:
        return []
    payment = _payment(command.payment_id, state)
    _require_cash(payment)
    most = max(0, payment.here_minor - payment.disputed_minor)
    amount = most if command.amount_minor is None else command.amount_minor
    if amount > most or not amount:
        raise Rejected(
            "chargeback_exceeds_payment",
            f"{shown(amount, state)} asked, {shown(most, state)} came and are not disputed",
            payment_id=command.payment_id,
            asked_minor=amount,
            payment_minor=most,
        )
    return [
        ChargebackOpened(
            chargeback_id=command.chargeback_id,
            payment_id=command.payment_id,
            amount_minor=amount,
            reference=command.reference,
            code=command.code,
            respond_by=command.respond_by,
            at=command.occurred_at or command.at,
        )
    ]


def win(command: WinChargeback, state: Order, _policy: PolicyVersion, _free: Free) -> list[Event]:
    dispute = _open_chargeback(command.chargeback_id, "won", state)
    if dispute is None:
        return []
    return [
        ChargebackWon(
            chargeback_id=command.chargeback_id,
            payment_id=dispute.payment_id,
            amount_minor=dispute.amount_minor,
            at=command.at,
        )
    ]


def lose(command: LoseChargeback, state: Order, _policy: PolicyVersion, _free: Free) -> list[Event]:
    dispute = _open_chargeback(command.chargeback_id, "lost", state)
    if dispute is None:
        return []
    return [
        ChargebackLost(
            chargeback_id=command.chargeback_id,
            payment_id=dispute.payment_id,
            method=state.payments[dispute.payment_id].method,
            amount_minor=dispute.amount_minor,
            at=command.at,
        )
    ]


def _open_chargeback(chargeback_id: str, outcome: str, state: Order) -> Chargeback | None:
    """None where it has ended that way already. Raises Rejected where it has ended otherwise."""
    dispute = state.money.chargebacks.get(chargeback_id)
    if dispute is None:
        raise Rejected("chargeback_not_found", chargeback_id=chargeback_id)
    if dispute.outcome == outcome:
        return None
    if dispute.outcome is not None:
        raise Rejected("chargeback_ended", f"it was {dispute.outcome}", outcome=dispute.outcome)
    return dispute


# -- leaving the house -----------------------------------------------------------------------------


def may_leave(command: DispatchParcel, state: Order) -> list[Event]:
    """Nothing, or the fact that somebody let the goods go unpaid. Raises Rejected `not_paid`, or
    `chargeback_open` whatever reason is given.
    """
    if state.money.disputed:
        raise Rejected(
            "chargeback_open",
            f"order {state.number}: money of it is disputed, nothing leaves until that has ended",
            order_id=state.order_id,
        )
    due = state.uncovered_minor
    if state.payment_method in PAYS_LATER or not due:
        return []
    if command.unpaid_reason is None:
        raise Rejected(
            "not_paid",
            f"order {state.number}: {due} of {state.total_minor} are due",
            order_id=state.order_id,
            due_minor=due,
        )
    return [
        UnpaidDispatchAllowed(
            person=state.person,
            parcel_id=command.parcel_id,
            due_minor=due,
            reason=command.unpaid_reason,
            at=command.at,
        )
    ]


def shown(amount_minor: int, state: Order) -> str:
    """As people read it; imports may have a currency that nobody knows."""
    try:
        return format_minor(amount_minor, state.currency)
    except ValueError:
        return str(amount_minor)


Decider = Callable[[Any, Order, PolicyVersion, Free], Iterable[Event]]
DECIDERS: dict[type[Command], Decider] = {
    RecordPayment: record,
    AuthorisePayment: authorise,
    CapturePayment: capture,
    VoidAuthorisation: void_authorisation,
    ExpireAuthorisation: expire,
    RecordPaymentFailure: fail,
    VoidPayment: void,
    OpenChargeback: open_chargeback,
    WinChargeback: win,
    LoseChargeback: lose,
    WriteOffDifference: write_off,
    RecordRemittance: remit,
}
