"""What the money movements of an order are worth, as a bank sees our account.

A movement is what came to an account or left it: a capture, a refund, compensation, a chargeback.
A bank may take the money of a chargeback as soon as it is opened, and gives it back when it is won:
two movements, whose sum is nothing.
What was moved to another order stays the movement that it came in by. What is paid by the
customer's account or by exchanged goods passes no bank: it is no movement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain.message import Rejected
from domain.movement import MovementKey
from domain.order_money import INTERNAL_METHODS, Payment
from domain.order_state import Order


def net_minor(key: MovementKey, order: Order) -> int:
    """Signed minor units: above 0 came in, below 0 went out, less what a carrier kept as its fee.

    0 for what is known and has not happened: a payment that was voided, a refund that is not paid
    or failed, the return of a chargeback that is not won. Raises Rejected for what is no movement.
    """
    match key.kind:
        case "capture" if key.id in order.payments:
            return _capture(key, order.payments[key.id])
        case "refund" if key.id in order.refunds:
            return -_paid_out(key, order)
        case "chargeback" if key.id in order.money.chargebacks:
            return -order.money.chargebacks[key.id].amount_minor
        case "chargeback_return" if key.id in order.money.chargebacks:
            dispute = order.money.chargebacks[key.id]
            return dispute.amount_minor if dispute.outcome == "won" else 0
        case "compensation" if key.id in order.compensations:
            return -order.compensations[key.id]
        case _:
            raise unknown(key)


def _capture(key: MovementKey, payment: Payment) -> int:
    _require_cash(key, {payment.method})
    if payment.moved_from is None:
        return 0 if payment.voided else payment.amount_minor - payment.fee_minor
    if payment.voided:  # The other order counts it still: here it is taken off again.
        return -payment.amount_minor
    order_id, payment_id = payment.moved_from
    raise Rejected(
        "movement_moved",
        f"{key.stream_key} came in as capture/{order_id}/{payment_id}: match that",
        kind=key.kind,
        owner=order_id,
        id=payment_id,
    )


def _paid_out(key: MovementKey, order: Order) -> int:
    refund = order.refunds[key.id]
    if not refund.given_back_minor:
        return 0
    _require_cash(key, refund.paid_by.keys())
    if INTERNAL_METHODS.isdisjoint(refund.paid_by):
        return refund.given_back_minor
    return _cash(refund.paid_by)


def _cash(paid_by: Mapping[str, int]) -> int:
    return sum(part for method, part in paid_by.items() if method not in INTERNAL_METHODS)


def _require_cash(key: MovementKey, methods: Iterable[str]) -> None:
    found = frozenset(methods)
    if found and found <= INTERNAL_METHODS:
        raise Rejected(
            "movement_internal",
            f"{key.stream_key} was paid by {', '.join(sorted(found))}: no bank tells of it",
            methods=sorted(found),
        )


def unknown(key: MovementKey) -> Rejected:
    return Rejected(
        "movement_unknown", f"there is no {key.kind} {key.id} of {key.owner}", **key._asdict()
    )
