"""Money that turns out not to be an order's: recorded by mistake, booked wrongly, charged back.

What was refunded, moved or is disputed cannot be so once more; only a bank may take back by force
what was refunded as well, and then both are told.
"""

from __future__ import annotations

from domain.message import Command, Event, Rejected
from domain.order_money import ACCOUNT_METHODS, EXCHANGE, Chargeback, Payment, shown
from domain.order_payment import Decider, asked_again, not_void, received
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.payment_commands import (
    LoseChargeback,
    MovePayment,
    OpenChargeback,
    VoidPayment,
    WinChargeback,
)
from domain.payment_facts import (
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentVoided,
)
from domain.policy import PolicyVersion


def void(command: VoidPayment, state: Order, _policy: PolicyVersion, _free: Free) -> list[Event]:
    """Of a payment that nothing has happened to. Raises Rejected `payment_used`."""
    payment = _payment(command.payment_id, state)
    if payment.voided:
        return []
    _require_cash(payment)
    used = payment.amount_minor - payment.refundable_minor
    if used or payment.here_minor > _free_minor(state):
        fees = _kept_minor(state)
        raise Rejected(
            "payment_used",
            f"{shown(used or payment.amount_minor, state)} of it were refunded, moved or charged "
            f"back, or are needed for fees of {shown(fees, state)}: it did exist",
            payment_id=command.payment_id,
            kept_minor=fees,
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
        ),
        *asked_again(command.payment_id, command, state),
    ]


def _kept_minor(state: Order) -> int:
    """Fees of cancellations and for restocking: nobody owes them, they are kept of what was paid"""
    return state.fees_minor + state.kept_minor


def _free_minor(state: Order) -> int:
    """Of all payments, where refunds of imports are loose."""
    return max(0, state.net_paid_minor - _kept_minor(state))


def _payment(payment_id: str, state: Order) -> Payment:
    payment = state.payments.get(payment_id)
    if payment is None:
        raise Rejected("payment_not_found", payment_id=payment_id)
    return payment


def _require_cash(payment: Payment) -> None:
    """Raises Rejected for what never came in from outside."""
    if payment.method == EXCHANGE:
        raise Rejected(
            "money_of_an_exchange", "it is the worth of goods that came back for this order"
        )
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
        _require_same_move(command, target)
        return [], []
    _require_cash(payment)
    if payment.carrier is not None:  # It would leave two orders with what the carrier still owes.
        raise Rejected(
            "money_of_a_carrier",
            "void the remittance, and record it on the order that it is for",
            carrier=payment.carrier,
        )
    not_void(target)
    if source.currency != target.currency:
        raise Rejected(
            "currency_differs",
            f"{source.currency} cannot be moved to an order in {target.currency}",
            currency=source.currency,
            to_currency=target.currency,
        )
    free_minor = min(payment.refundable_minor, _free_minor(source))
    amount = free_minor if command.amount_minor is None else command.amount_minor
    if amount > free_minor or not amount:
        raise Rejected(
            "move_exceeds_payment",
            f"{shown(amount, source)} asked, {shown(free_minor, source)} neither refunded, charged "
            "back nor kept as a fee",
            payment_id=command.payment_id,
            asked_minor=amount,
            movable_minor=free_minor,
        )
    return _moved(amount, payment, command, source, target, policy, free)


def _require_same_move(command: MovePayment, target: Order) -> None:
    """Raises Rejected `payment_differs` where another payment has the name."""
    known = target.payments[command.to_payment_id]
    from_here = known.moved_from == (command.order_id, command.payment_id)
    if not from_here or command.amount_minor not in {None, known.amount_minor}:
        raise Rejected(
            "payment_differs",
            f"payment {command.to_payment_id} of the other order is "
            f"{shown(known.amount_minor, target)} by {known.method}",
            payment_id=command.to_payment_id,
            amount_minor=known.amount_minor,
            method=known.method,
        )


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
        payer=payment.payer,
        from_order_id=command.order_id,
        from_payment_id=command.payment_id,
        reason=command.reason,
        at=command.at,
    )
    again = asked_again(command.payment_id, command, source)
    gone = amount == payment.here_minor
    return [out, *(again if gone else [])], received(into, command, target, policy, free)


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
            method=payment.method,
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
            method=state.payments[dispute.payment_id].method,
            amount_minor=dispute.amount_minor,
            reference=command.reference or dispute.reference,
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
            reference=command.reference or dispute.reference,
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


DECIDERS: dict[type[Command], Decider] = {
    VoidPayment: void,
    OpenChargeback: open_chargeback,
    WinChargeback: win,
    LoseChargeback: lose,
}
