"""What happens when an order's money does not come in time: overdue, late fee, cancelled by itself.

Deadlines send these commands; each decides again on the stream, so one that comes too late or
twice does nothing. Stopping the customer's service is not of one order and stands elsewhere.
"""

from __future__ import annotations

from datetime import datetime

from domain import order_cancellation, order_reinstating
from domain.case_facts import CaseOpened
from domain.message import Event, Rejected
from domain.order_commands import CancelOrder
from domain.order_intake import case_of
from domain.order_money import shown
from domain.order_payment import Decider, not_void
from domain.order_reinstating import OVERDUE, Free
from domain.order_state import Order
from domain.order_status import PAYS_LATER
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ReinstateOrder,
    WaiveLateFee,
)
from domain.payment_facts import LateFeeCharged, LateFeeWaived, PaymentOverdue
from domain.payment_terms import due_of, late_fee
from domain.policy import PolicyVersion

PARTLY_PAID = "partly_paid"


def declare(
    command: DeclareOverdue, state: Order, policy: PolicyVersion, _free: Free
) -> list[Event]:
    """Once per order until it is paid. Raises Rejected `not_due`."""
    due = _passed(command.at, state, policy)
    if due is None:
        return []
    mismatch = _mismatch(command, state) if needs_person(state, policy) else []
    if state.money.overdue:
        return mismatch
    overdue = PaymentOverdue(
        due_at=due,
        outstanding_minor=state.balance_minor,
        policy_version=policy.version,
        at=command.at,
    )
    return [overdue, *mismatch]


def needs_person(state: Order, policy: PolicyVersion) -> bool:
    """Whether nobody has looked yet at an order that is not cancelled as it is partly paid."""
    unseen = case_of(state.order_id, PARTLY_PAID) not in state.cases.cases
    return unseen and spared(state, policy) == PARTLY_PAID


def _mismatch(command: DeclareOverdue, state: Order) -> list[Event]:
    figures = {"paid_minor": state.paid_minor, "outstanding_minor": state.balance_minor}
    return [
        CaseOpened(
            person=state.person,
            case_id=case_of(state.order_id, PARTLY_PAID),
            kind="payment_mismatch",
            blocking=False,
            rule=PARTLY_PAID,
            figures=figures,
            at=command.at,
        )
    ]


def owes(state: Order) -> bool:
    """Whether the term still matters. What is held counts where the policy says so; goodwill that
    was given back is no debt.
    """
    live = not state.void and not state.cancelled
    return live and min(state.balance_minor, state.uncovered_minor) > 0


def _passed(at: datetime, state: Order, policy: PolicyVersion) -> datetime | None:
    """The time by which what is still owed was due; None where nothing is owed any more."""
    if not owes(state):
        return None
    due = due_of(state, policy)
    if due is None or at <= due:
        raise Rejected(
            "not_due",
            "it is asked for at the door" if due is None else f"due at {due.isoformat()}",
            due_at=due and due.isoformat(),
        )
    return due


def cancel(command: CancelOverdue, state: Order, policy: PolicyVersion, _free: Free) -> list[Event]:
    """Without a fee, its stock freed. Raises Rejected `not_due`, or `not_cancelled_by_itself` where
    DOMAIN.md leaves it to a person.
    """
    if _passed(command.at, state, policy) is None:
        return []
    why = spared(state, policy)
    if why is not None:
        raise Rejected("not_cancelled_by_itself", SPARED[why], why=why)
    asked = CancelOrder(
        order_id=state.order_id, reason_code=OVERDUE, initiator="system", at=command.at
    )
    return order_cancellation.cancel(asked, state, policy)


SPARED = {  # as people are told it
    "policy": "the policy of the order's placement does not cancel what is overdue",
    "pays_later": "it is paid later, on account or at the door",
    "packed": "units of it were packed: cancel it by hand, with the warehouse",
    "authorised": "money is held for it: capture or void that first",
    "reinstated": "a person has brought it back: only a person cancels it again",
    PARTLY_PAID: "it is paid in part: a person decides what becomes of the money",
}


def spared(state: Order, policy: PolicyVersion) -> str | None:
    """Why an overdue order is not cancelled by itself; None where it is."""
    reasons = {
        "policy": policy.rules.payment.on_overdue != "cancel",
        "pays_later": state.payment_method in PAYS_LATER,
        "packed": bool(state.parcels),
        "authorised": state.money.authorised_minor > 0,
        "reinstated": state.money.kept_alive,
        PARTLY_PAID: state.net_paid_minor > 0,
    }
    return next((why for why, holds in reasons.items() if holds), None)


def charge(command: ChargeLateFee, state: Order, policy: PolicyVersion, _free: Free) -> list[Event]:
    """For the days that are not charged yet, so a repeat charges nothing twice."""
    not_void(state)
    if policy.rules.payment.on_overdue != "late_fee":
        raise Rejected("no_late_fee", "the policy of the order's placement charges none")
    fee = late_fee(state, policy, command.at)
    if fee.new_minor <= 0:
        return []
    return [
        LateFeeCharged(
            days=list(fee.new),
            amount_minor=fee.new_minor,
            total_minor=state.total_minor + fee.new_minor,
            policy_version=policy.version,
            at=command.at,
        )
    ]


def waive(command: WaiveLateFee, state: Order, _policy: PolicyVersion, _free: Free) -> list[Event]:
    """What was charged and not waived yet, or a part of it. Raises Rejected."""
    left = state.money.late_fees_minor
    if command.amount_minor is None and not left and state.money.late_waived_minor:
        return []
    amount = left if command.amount_minor is None else command.amount_minor
    if amount > left or not amount:
        raise Rejected(
            "waiver_exceeds_late_fee",
            f"{shown(amount, state)} asked, {shown(left, state)} were charged and not waived",
            asked_minor=amount,
            charged_minor=left,
        )
    return [
        LateFeeWaived(
            person=state.person,
            amount_minor=amount,
            reason=command.reason,
            total_minor=state.total_minor - amount,
            at=command.at,
        )
    ]


def reinstate(
    command: ReinstateOrder, state: Order, _policy: PolicyVersion, free: Free
) -> list[Event]:
    not_void(state)
    return order_reinstating.reinstate(command.at, state, free)


DECIDERS: dict[type, Decider] = {
    DeclareOverdue: declare,
    CancelOverdue: cancel,
    ChargeLateFee: charge,
    WaiveLateFee: waive,
    ReinstateOrder: reinstate,
}
