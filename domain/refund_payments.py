"""Which payments a refund goes back to, and how much of each."""

from __future__ import annotations

from domain.message import Rejected
from domain.order_facts import PaymentPart
from domain.order_money import shown
from domain.order_state import Order
from domain.refund_commands import RequestRefund


def require_refundable(whole_minor: int, fee_minor: int, state: Order) -> None:
    if whole_minor <= fee_minor:
        raise Rejected("nothing_to_refund", "what was chosen cost nothing")
    require_paid(whole_minor, state)


def require_paid(whole_minor: int, state: Order) -> None:
    """Raises Rejected `refund_exceeds_paid`."""
    if whole_minor > state.refundable_minor:
        raise _exceeds_paid(whole_minor, state.refundable_minor, state)


def _exceeds_paid(amount_minor: int, left: int, state: Order) -> Rejected:
    return Rejected(
        "refund_exceeds_paid",
        f"{shown(amount_minor, state)} asked, {shown(left, state)} refundable",
        asked_minor=amount_minor,
        refundable_minor=left,
    )


def payments_of(command: RequestRefund, amount_minor: int, state: Order) -> list[PaymentPart]:
    return _chosen(command, amount_minor, state) or _newest_first(amount_minor, state)


def _chosen(command: RequestRefund, amount_minor: int, state: Order) -> list[PaymentPart]:
    """The payments that the command names; [] when it leaves the choice."""
    for part in command.payments or []:
        require_payment_left(part.payment_id, part.amount_minor, state)
    named = sum(part.amount_minor for part in command.payments or [])
    if command.payments is not None and named != amount_minor:
        raise Rejected(
            "refund_payments_differ",
            f"the payments come to {shown(named, state)}, "
            f"the refund to {shown(amount_minor, state)}",
            payments_minor=named,
            refund_minor=amount_minor,
        )
    return command.payments or []


def require_payment_left(payment_id: str, asked: int, state: Order) -> None:
    """Raises Rejected `unknown_payment` or `refund_exceeds_payment`."""
    payment = state.payments.get(payment_id)
    if payment is None:
        raise Rejected("unknown_payment", f"no payment {payment_id}", payment_id=payment_id)
    if asked > payment.refundable_minor:
        raise exceeds_payment(payment_id, asked, payment.refundable_minor, state)


def exceeds_payment(payment_id: str, asked: int, left: int, state: Order) -> Rejected:
    return Rejected(
        "refund_exceeds_payment",
        f"{shown(asked, state)} asked, {shown(left, state)} refundable",
        payment_id=payment_id,
        asked_minor=asked,
        refundable_minor=left,
    )


def _newest_first(amount_minor: int, state: Order) -> list[PaymentPart]:
    parts = []
    missing = amount_minor
    for payment_id, payment in reversed(list(state.payments.items())):
        part = min(missing, payment.refundable_minor)
        if part > 0:
            parts.append(PaymentPart(payment_id=payment_id, amount_minor=part))
            missing -= part
    if missing:  # Imported payments may have given back more than they brought.
        raise _exceeds_paid(amount_minor, amount_minor - missing, state)
    return parts
