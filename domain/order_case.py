"""Exception cases of an order: opened, worked on step by step, closed with cause and action."""

from __future__ import annotations

from functools import reduce

from domain import order_hold, order_review
from domain.case_commands import (
    CaseChange,
    CloseCase,
    HoldOrder,
    OpenCase,
    RejectOrder,
    ReleaseHold,
    ReopenCase,
    TakeCaseStep,
)
from domain.case_facts import CaseClosed, CaseOpened, CaseReopened, CaseStepTaken, HoldReleased
from domain.message import Event, Rejected
from domain.order_cases import Case
from domain.order_commands import ApproveOrder
from domain.order_facts import OrderApproved
from domain.order_fold import evolve
from domain.order_intake import held_by
from domain.order_payment import not_void
from domain.order_state import Order
from domain.policy import PolicyVersion


def decide(command: CaseChange, state: Order, policy: PolicyVersion | None) -> list[Event]:
    """Return what the command makes true of the order: [] if it already is. Raises Rejected.

    `policy`: the version that the order was placed under, for commands that ask for it.
    """
    not_void(state)
    match command:
        case OpenCase():
            return _open(command, state)
        case TakeCaseStep():
            return _step(command, state)
        case CloseCase():
            assert policy is not None
            return _close(command, state, policy)
        case ReopenCase():
            return _reopen(command, state)
        case HoldOrder():
            return order_hold.hold(command, state)
        case ReleaseHold():
            return order_hold.release(command, state)
        case ApproveOrder():
            return order_review.approve(command, state)
        case RejectOrder():
            assert policy is not None
            return order_review.reject(command, state, policy)


def _open(command: OpenCase, state: Order) -> list[Event]:
    if command.case_id in state.cases.cases:
        return []
    opened = CaseOpened(
        person=state.person,
        case_id=command.case_id,
        kind=command.kind,
        blocking=command.blocking,
        text=command.text,
        at=command.at,
    )
    return [opened, *held_by(opened)]


def _known(case_id: str, state: Order) -> Case:
    case = state.cases.cases.get(case_id)
    if case is None:
        raise Rejected("case_not_found", case_id=case_id)
    return case


def _step(command: TakeCaseStep, state: Order) -> list[Event]:
    """Also after the closing: a prevention note often comes late."""
    if command.step_id in _known(command.case_id, state).steps:
        return []
    return [
        CaseStepTaken(
            person=state.person,
            case_id=command.case_id,
            step_id=command.step_id,
            step=command.step,
            cause=command.cause,
            contact=command.contact,
            action=command.action,
            outcome=command.outcome,
            prevention=command.prevention,
            text=command.text,
            at=command.at,
        )
    ]


def _close(command: CloseCase, state: Order, policy: PolicyVersion) -> list[Event]:
    """With the hold of the case, and the approval of an order that then has nothing against it."""
    case = _known(command.case_id, state)
    if not case.open:
        return []
    _require_no_review(case, state)
    _require_cause_and_action(command, case)
    closed: list[Event] = [
        CaseClosed(
            person=state.person,
            case_id=command.case_id,
            cause=command.cause or case.cause or "",
            action=command.action,
            outcome=command.outcome,
            prevention=command.prevention,
            at=command.at,
        )
    ]
    if command.case_id in state.cases.holds:
        released = HoldReleased(person=state.person, hold_id=command.case_id, at=command.at)
        closed.append(released)
    return closed + _approved_by_itself(command, reduce(evolve, closed, state), case, policy)


def _require_no_review(case: Case, state: Order) -> None:
    """What waits for a person's approval is decided, not closed."""
    if case.rule and not case.blocking and not state.approved and not state.cancelled:
        raise Rejected("needs_review", "approve or reject the order: that closes the case")


def _require_cause_and_action(command: CloseCase, case: Case) -> None:
    told = {"cause": command.cause or case.cause, "action": command.action or case.acted}
    missing = [name for name, value in told.items() if not value]
    if missing:
        raise Rejected(
            "case_incomplete",
            f"a case is closed with its cause and the action taken; missing: {', '.join(missing)}",
            case_id=command.case_id,
            missing=missing,
        )


def _approved_by_itself(
    command: CloseCase, after: Order, case: Case, policy: PolicyVersion
) -> list[Event]:
    """A blocking case that a rule had opened was all that stood against it."""
    waits = after.approved or after.cancelled or after.cases.withhold_approval
    by_rule = case.rule is not None and case.blocking
    if waits or not by_rule or "approve" in policy.rules.status.confirm:
        return []
    return [OrderApproved(at=command.at)]


def _reopen(command: ReopenCase, state: Order) -> list[Event]:
    """A blocking case holds the order again, also one that was cancelled: it may be reinstated."""
    case = _known(command.case_id, state)
    if case.open:
        return []
    reopened = CaseReopened(
        person=state.person, case_id=command.case_id, reason=command.reason, at=command.at
    )
    as_opened = CaseOpened(
        person=state.person,
        case_id=command.case_id,
        kind=case.kind,
        blocking=case.blocking,
        at=command.at,
    )
    return [reopened, *held_by(as_opened)]
