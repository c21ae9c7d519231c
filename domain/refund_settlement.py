"""What happens to a refund after its request: approved or denied, shown, paid, failed and retried;
and compensation, which is no refund.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from domain import order_lowering, order_return_closing, refund_terms
from domain.message import Event, Rejected
from domain.order_facts import (
    CompensationPaid,
    RefundApproved,
    RefundDenied,
    RefundEvidenceAdded,
    RefundEvidenceAsked,
    RefundFailed,
    RefundPaid,
    RefundRetried,
)
from domain.order_fold import evolve
from domain.order_line import OrderLine
from domain.order_lowering import Part
from domain.order_money import ACCOUNT_METHODS, EXCHANGE, shown
from domain.order_refund import require_line_left, require_return_left, require_shipping_left
from domain.order_refund_state import Refund
from domain.order_state import Order
from domain.payment_terms import ON_ACCOUNT
from domain.policy import PolicyVersion
from domain.refund_commands import (
    AddEvidence,
    ApproveRefund,
    AskEvidence,
    DenyRefund,
    FailRefund,
    PayCompensation,
    PayRefund,
    RefundChange,
    RetryRefund,
)
from domain.refund_payments import exceeds_payment, require_paid, require_payment_left
from domain.values import same_person


def decide(command: RefundChange, state: Order, policy: PolicyVersion | None) -> list[Event]:
    """Raises Rejected. `policy`: of the order's placement, where evidence moves a term."""
    match command:
        case ApproveRefund():
            return _approve(command, state)
        case DenyRefund():
            return _deny(command, state)
        case FailRefund():
            return _fail(command, state)
        case RetryRefund():
            return _retry(command, state)
        case AskEvidence():
            return _ask_evidence(command, state)
        case AddEvidence():
            assert policy is not None
            return _add_evidence(command, state, policy)
        case PayCompensation():
            return _compensate(command, state)


def pay(command: PayRefund, state: Order) -> list[Event]:
    """Exactly what was requested, once it was approved, as the money came unless a method is named:
    a fact for each method. Raises Rejected.
    """
    refund = _known(command.refund_id, state)
    if refund.paid:
        _require_same_reference(command, refund)
        return []
    _require(refund, command.refund_id, "approved")
    if not command.told:
        require_covered(refund, command.refund_id, state)
    by_method = _by_method(command, refund)
    paid = [
        RefundPaid(
            refund_id=command.refund_id,
            amount_minor=amount_minor,
            method=method,
            reference=command.reference,
            at=command.at,
        )
        for method, amount_minor in by_method.items()
    ]
    after = reduce(evolve, paid, state)
    return [*paid, *order_return_closing.closed_when_done(refund.return_id, after, command.at)]


def _require_same_reference(command: PayRefund, refund: Refund) -> None:
    """Money that left twice must not look like one payment that was told twice."""
    known = refund.reference
    if command.told or not known or command.reference in {"", known}:
        return
    raise Rejected(
        "refund_is_paid",
        f"it was paid under {known}; if it left once more under {command.reference}, ask it back, "
        "or pay it as a compensation",
        refund_id=command.refund_id,
        reference=known,
        asked=command.reference,
    )


def _by_method(command: PayRefund, refund: Refund) -> Mapping[str, int]:
    """What has not gone yet. A method that is named is for what did not come from the customer's
    account: that goes back there. Raises Rejected for ways that no money goes.
    """
    if command.method == ON_ACCOUNT:
        raise _no_payment()
    parts = {name: part - refund.paid_by.get(name, 0) for name, part in refund.parts.items()}
    left = {name: part for name, part in parts.items() if part > 0}
    if command.method is not None:
        return _by_named(command.method, command.refund_id, left, refund)
    if EXCHANGE in left or sum(left.values()) != _unpaid_minor(refund):
        raise Rejected(
            "method_needed",
            "the worth of exchanged goods, or the rest of what was paid by another way, cannot go "
            "back as it came: name a method",
            refund_id=command.refund_id,
            exchange_minor=left.get(EXCHANGE, 0),
        )
    return left


def _unpaid_minor(refund: Refund) -> int:
    return refund.amount_minor - refund.given_back_minor


def _by_named(
    method: str, refund_id: str, left: Mapping[str, int], refund: Refund
) -> Mapping[str, int]:
    """Raises Rejected `credit_goes_back_to_credit`."""
    to_account = {name: part for name, part in left.items() if name in ACCOUNT_METHODS}
    rest = _unpaid_minor(refund) - sum(to_account.values())
    if not rest and method not in to_account:
        raise Rejected(
            "credit_goes_back_to_credit",
            f"it came from the customer's account and goes back there, not by {method}: by "
            f"{', '.join(sorted(to_account))}, or name no method",
            refund_id=refund_id,
            method=method,
            allowed=sorted(to_account),
        )
    return {**to_account, method: to_account.get(method, 0) + rest}


def _no_payment() -> Rejected:
    return Rejected("on_account_is_no_payment", "on account is a term: say how the money went")


def _known(refund_id: str, state: Order) -> Refund:
    refund = state.refunds.get(refund_id)
    if refund is None:
        raise Rejected("refund_not_found", refund_id=refund_id)
    return refund


def _require(refund: Refund, refund_id: str, *allowed: str) -> None:
    if refund.status not in allowed:
        raise Rejected(
            f"refund_is_{refund.status}",
            f"refund {refund_id} is {refund.status}; it would have to be {' or '.join(allowed)}",
            refund_id=refund_id,
            allowed=list(allowed),
        )


def require_covered(refund: Refund, refund_id: str, state: Order) -> None:
    """Raises Rejected where a bank asks for the money that it gives back, or has taken it: what a
    payment covers no longer is paid out to whoever asks first, never twice.
    """
    for payment_id, asked in refund.payments.items():
        payment = state.payments[payment_id]
        left = payment.here_minor - paid_out(payment_id, refund_id, state)
        if asked > left:
            raise exceeds_payment(payment_id, asked, max(0, left), state)
        if asked > left - payment.disputed_minor:
            raise Rejected(
                "chargeback_open",
                f"payment {payment_id}: {shown(payment.disputed_minor, state)} of it are disputed, "
                f"{shown(max(0, left - payment.disputed_minor), state)} can go back until that has "
                "ended",
                payment_id=payment_id,
                asked_minor=asked,
                refundable_minor=max(0, left - payment.disputed_minor),
            )


def paid_out(payment_id: str, but: str, state: Order) -> int:
    """What other refunds have given back of a payment."""
    return sum(
        refund.payments.get(payment_id, 0)
        for refund_id, refund in state.refunds.items()
        if refund_id != but and refund.given_back_minor
    )


def _approve(command: ApproveRefund, state: Order) -> list[Event]:
    refund = _known(command.refund_id, state)
    if refund.status in {"approved", "paid"}:
        return []
    _require(refund, command.refund_id, "requested")
    require_covered(refund, command.refund_id, state)
    if same_person(command.actor, refund.requested_by):
        raise Rejected(
            "second_person_needed",
            f"{refund.requested_by} asked for it and does not approve it, in whichever letters",
            refund_id=command.refund_id,
            requested_by=refund.requested_by,
        )
    return [RefundApproved(refund_id=command.refund_id, by="operator", at=command.at)]


def _deny(command: DenyRefund, state: Order) -> list[Event]:
    """Also one that was approved, as long as its money has not gone."""
    refund = _known(command.refund_id, state)
    if refund.status == "denied":
        return []
    _require(refund, command.refund_id, "requested", "approved", "failed")
    if refund.given_back_minor:
        raise Rejected(
            "refund_paid_in_part",
            f"{shown(refund.given_back_minor, state)} of it have gone: pay the rest, by another "
            "method if need be",
            refund_id=command.refund_id,
            paid_minor=refund.given_back_minor,
        )
    return [
        RefundDenied(
            person=state.person,
            refund_id=command.refund_id,
            reason=command.reason,
            at=command.at,
        )
    ]


def _fail(command: FailRefund, state: Order) -> list[Event]:
    """Of one that was paid, what went by the method named, else all that left the house; of one
    that was not, what should have gone.
    """
    refund = _known(command.refund_id, state)
    _require(refund, command.refund_id, "approved", "paid", "failed")
    if refund.status == "failed" and command.method not in refund.paid_by:
        return []
    came_back: list[tuple[str | None, int]] = [(None, _unpaid_minor(refund))]
    if refund.paid or command.method in refund.paid_by:
        came_back = [*_came_back(command, refund, state).items()]
    failed = [
        RefundFailed(
            refund_id=command.refund_id,
            amount_minor=amount_minor,
            code=command.code,
            was_paid=method is not None,
            method=method,
            at=command.at,
        )
        for method, amount_minor in came_back
    ]
    again = order_return_closing.reopened(refund.return_id, command.refund_id, state, command.at)
    return [*failed, *again]


def _came_back(command: FailRefund, refund: Refund, state: Order) -> Mapping[str, int]:
    """Raises Rejected for what never left the house: it paid for another order in an exchange, or
    went to the customer's account.
    """
    back = state.returns.get(refund.return_id or "")
    if back is not None and back.exchange_refund_id == command.refund_id:
        raise Rejected(
            "refund_is_exchanged",
            f"it paid for order {back.exchange_order_id}",
            refund_id=command.refund_id,
            exchange_order_id=back.exchange_order_id,
        )
    asked = refund.paid_by.keys() if command.method is None else {command.method}
    outside = {name: part for name, part in refund.paid_by.items() if name not in ACCOUNT_METHODS}
    if asked <= ACCOUNT_METHODS:
        raise Rejected(
            "refund_is_credited",
            "it went to the customer's account, where it is",
            refund_id=command.refund_id,
            methods=sorted(refund.paid_by),
        )
    if command.method is None:
        return outside
    if command.method not in outside:
        raise Rejected(
            "refund_not_paid_so",
            f"nothing of it went by {command.method}: it was {', '.join(sorted(outside))}",
            refund_id=command.refund_id,
            method=command.method,
            allowed=sorted(outside),
        )
    return {command.method: outside[command.method]}


def _retry(command: RetryRefund, state: Order) -> list[Event]:
    """What it held was free meanwhile: others may have taken it, unless it failed in part."""
    refund = _known(command.refund_id, state)
    if refund.status in {"approved", "paid"}:
        return []
    _require(refund, command.refund_id, "failed")
    if not refund.counts:
        _require_still_there(refund, state)
    return [RefundRetried(refund_id=command.refund_id, at=command.at)]


def _require_still_there(refund: Refund, state: Order) -> None:
    require_paid(refund.amount_minor + refund.fee_minor, state)
    require_shipping_left(refund.shipping_minor, state)
    for payment_id, amount_minor in refund.payments.items():
        require_payment_left(payment_id, amount_minor, state)
    for line_no, part in refund.lines.items():
        if refund.return_id is not None:
            require_return_left(refund.return_id, line_no, part.units, state)
        line = state.lines.get(line_no)
        if line is None:
            raise Rejected("unknown_line", f"line {line_no} was removed", line_no=line_no)
        require_line_left(line, part.units)
        left = _still_worth(line, part, refund)
        if part.amount_minor > left:
            raise Rejected(
                "refund_exceeds_line",
                f"line {line_no}: {shown(part.amount_minor, state)} asked, "
                f"{shown(left, state)} refundable",
                line_no=line_no,
                asked_minor=part.amount_minor,
                refundable_minor=left,
            )


def _still_worth(line: OrderLine, part: Part, refund: Refund) -> int:
    """What the units of a refund would give back now: their price may have fallen since, and others
    may have taken of the line.
    """
    sent_first = order_lowering.of_sent(refund.reason, refund.return_id)
    off = order_lowering.reduction_minor(line, part.units, sent_first)
    left = line.gross_minor - line.settled_minor - line.relieved_minor
    return max(0, min(part.worth_minor, left) - off)


def _ask_evidence(command: AskEvidence, state: Order) -> list[Event]:
    refund = _known(command.refund_id, state)
    _require(refund, command.refund_id, "requested", "approved")
    if refund.waits_since is not None:
        return []
    return [
        RefundEvidenceAsked(
            person=state.person, refund_id=command.refund_id, text=command.text, at=command.at
        )
    ]


def _add_evidence(command: AddEvidence, state: Order, policy: PolicyVersion) -> list[Event]:
    refund = _known(command.refund_id, state)
    _require(refund, command.refund_id, "requested", "approved", "failed")
    new = [one for one in dict.fromkeys(command.evidence) if one not in refund.evidence]
    if not new:
        return []
    since = refund.waits_since
    pauses = refund.pauses if since is None else (*refund.pauses, (since, command.at))
    due = refund_terms.terms(refund, policy, pauses)
    return [
        RefundEvidenceAdded(
            refund_id=command.refund_id,
            evidence=new,
            decide_by=None if due.decide is None else due.decide.at,
            pay_by=None if due.pay is None else due.pay.at,
            at=command.at,
        )
    ]


def _compensate(command: PayCompensation, state: Order) -> list[Event]:
    if state.void:
        raise Rejected("order_void", "the order was voided; nothing more can happen to it")
    if command.method in ACCOUNT_METHODS:
        raise Rejected(
            "compensation_is_a_payout", "credit is granted on the customer's account instead"
        )
    if command.method == ON_ACCOUNT:
        raise _no_payment()
    known = state.compensations.get(command.compensation_id)
    if known is not None:
        if known != command.amount_minor:
            raise Rejected(
                "compensation_differs",
                f"compensation {command.compensation_id} is {shown(known, state)}",
                compensation_id=command.compensation_id,
                amount_minor=known,
            )
        return []
    return [
        CompensationPaid(
            person=state.person,
            compensation_id=command.compensation_id,
            amount_minor=command.amount_minor,
            reason=command.reason,
            text=command.text,
            method=command.method,
            reference=command.reference,
            at=command.at,
        )
    ]
