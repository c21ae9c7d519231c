"""The review of an order that did not approve itself: a person approves or rejects it."""

from __future__ import annotations

from domain import order_cancellation
from domain.case_commands import RejectOrder
from domain.case_facts import CaseClosed, HoldReleased, OrderReviewed
from domain.message import Event, Rejected
from domain.order_cases import Case
from domain.order_commands import ApproveOrder, CancelOrder
from domain.order_facts import OrderApproved
from domain.order_money import REJECTED
from domain.order_state import Order
from domain.policy import PolicyVersion


def approve(command: ApproveOrder, state: Order) -> list[Event]:
    """What made it wait is closed with the decision. What blocks the order goes on holding it."""
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled")
    if state.approved:
        return []
    text = command.text or "approved"
    waited = {key: case for key, case in _by_rules(state).items() if not case.blocking}
    return [
        _reviewed(command, state, "approved"),
        *(_closed(command, state, key, case, text) for key, case in waited.items()),
        OrderApproved(by="operator", at=command.at),
    ]


def reject(command: RejectOrder, state: Order, policy: PolicyVersion) -> list[Event]:
    """A cancellation without a fee; all that rules had found is closed with it."""
    if state.rejected:
        return []
    if state.approved:
        raise Rejected("already_approved", "the order was approved: cancel it instead")
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled")
    text = command.text or command.reason_code
    found = _by_rules(state)
    cancelled = CancelOrder(
        order_id=state.order_id,
        reason_code=REJECTED,
        initiator="seller",
        text=command.text,
        at=command.at,
    )
    return [
        _reviewed(command, state, "rejected"),
        *(_closed(command, state, key, case, text) for key, case in found.items()),
        *(
            HoldReleased(person=state.person, hold_id=key, at=command.at)
            for key in found
            if key in state.cases.holds
        ),
        *order_cancellation.cancel(cancelled, state, policy),
    ]


def _by_rules(state: Order) -> dict[str, Case]:
    return {key: case for key, case in state.cases.cases.items() if case.withholds_approval}


def _reviewed(command: ApproveOrder | RejectOrder, state: Order, decision: str) -> OrderReviewed:
    """By the criteria of the policy that the order was placed under."""
    return OrderReviewed(
        person=state.person,
        decision=decision,
        reason_code=getattr(command, "reason_code", None),
        criteria=state.cases.open_criteria,
        policy_version=state.policy_version,
        text=command.text,
        at=command.at,
    )


def _closed(
    command: ApproveOrder | RejectOrder, state: Order, case_id: str, case: Case, text: str
) -> CaseClosed:
    return CaseClosed(
        person=state.person,
        case_id=case_id,
        cause=case.cause or command.cause,
        action=text,
        at=command.at,
    )
