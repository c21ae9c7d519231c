"""What may be done with the money of an order: recorded, held, voided, disputed, moved, forgiven.

Money that came in is recorded whatever has become of the order; every guard looks at the state
that the append checks, so two commands can never pass it together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

from domain.message import Command, Event, Rejected
from domain.order_facts import PaymentCaptured
from domain.order_fold import evolve
from domain.order_money import ACCOUNT_METHODS, shown
from domain.order_reinstating import Free, reinstated_by_payment
from domain.order_state import Order
from domain.order_times import require_meant
from domain.payment_commands import (
    RecordPayment,
    RecordPaymentFailure,
    RecordRemittance,
    WriteOffDifference,
)
from domain.payment_facts import (
    DifferenceWrittenOff,
    LateFeeCorrected,
    PaymentFailed,
    PaymentMovedIn,
)
from domain.payment_terms import ON_ACCOUNT, recharged, value_day
from domain.policy import PolicyVersion
from domain.policy_rules import amount as amount_in

NEVER_HELD = ACCOUNT_METHODS | {ON_ACCOUNT}


def payer_of(order_id: str) -> str:
    """The person whose key seals the payers of an order: they need not be its customer."""
    return f"order/{order_id}"


def not_void(state: Order) -> None:
    if state.void:
        raise Rejected("order_void", "the order was voided; nothing more can happen to it")


# -- money that comes in ---------------------------------------------------------------------------


def record(command: RecordPayment, state: Order, policy: PolicyVersion, free: Free) -> list[Event]:
    """Every payment under an id of its own counts; which of them are one is told apart before, by
    `order_same_payment`.
    """
    not_void(state)
    if is_repeat(command.payment_id, command.method, command.amount_minor, state):
        return []
    if not command.told:
        require_meant(state, occurred_at=command.occurred_at, value_date=command.value_date)
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


def is_repeat(payment_id: str, method: str, amount_minor: int, state: Order) -> bool:
    """Raises Rejected for another payment under the same id."""
    known = state.payments.get(payment_id) or state.money.authorisations.get(payment_id)
    if known is None:
        return False
    if (known.method, known.amount_minor) != (method, amount_minor):
        raise Rejected(
            "payment_differs",
            f"payment {payment_id} is {shown(known.amount_minor, state)} by {known.method}",
            payment_id=payment_id,
            amount_minor=known.amount_minor,
            method=known.method,
        )
    return True


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
    if is_repeat(command.payment_id, "cash_on_delivery", command.amount_minor, state):
        return []
    require_meant(state, occurred_at=command.occurred_at, value_date=command.value_date)
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
    name, after = fact.payment_id, evolve(state, fact)
    back = reinstated_by_payment(name, command.at, after, policy, free)
    after = reduce(evolve, back, after)
    corrected = _corrected(name, command, after, policy)
    after = reduce(evolve, corrected, after)
    return [fact, *back, *corrected, *_within_tolerance(name, command, after, policy)]


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
    left = order.balance_minor
    waits = "write_off_difference" in policy.rules.status.confirm or order.money.authorised_minor
    if waits or not 0 < left <= tolerance_left_minor(order, policy):
        return []
    return [_written_off(left, order, command, payment_id=payment_id)]


def tolerance_left_minor(order: Order, policy: PolicyVersion) -> int:
    """All that was written off of an order counts: it is the tolerance of the order."""
    tolerance = amount_in(policy.rules.payment.tolerance, order.currency) or 0
    return max(0, tolerance - order.money.written_off_minor)


def asked_again(payment_id: str, command: Command, order: Order) -> list[Event]:
    """What was written off in the write of a payment that was not this order's."""
    forgiven = order.money.written_off_with.get(payment_id, 0)
    if not forgiven:
        return []
    return [_written_off(-forgiven, order, command, payment_id=payment_id)]


def _written_off(
    amount_minor: int, order: Order, command: Command, **more: Any
) -> DifferenceWrittenOff:
    return DifferenceWrittenOff(
        person=order.person,
        amount_minor=amount_minor,
        policy_version=order.policy_version,
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
    tolerance = tolerance_left_minor(state, policy)
    if left > tolerance:
        raise Rejected(
            "write_off_exceeds_tolerance",
            f"{shown(left, state)} are owed, {shown(tolerance, state)} can be written off",
            owed_minor=left,
            tolerance_minor=tolerance,
        )
    return [_written_off(left, state, command, text=command.text)]


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


Decider = Callable[[Any, Order, PolicyVersion, Free], Iterable[Event]]
DECIDERS: dict[type[Command], Decider] = {
    RecordPayment: record,
    RecordPaymentFailure: fail,
    WriteOffDifference: write_off,
    RecordRemittance: remit,
}
