"""Terms of an order that are missed: which run, which have raised an alert, which still stand.

An alert needs no fact of its end: it stands as long as what it is about is as late as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from domain.alert_facts import AlertRaised
from domain.message import Event, Rejected
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.payment_commands import RaiseAlert
from domain.policy import PolicyVersion

REFUND_UNDECIDED = "refund_undecided"
REFUND_OVERDUE = "refund_overdue"


class Alert(NamedTuple):
    """`due_at`: on time is up to and including it."""

    kind: str
    of: str
    due_at: datetime


def terms(state: Order) -> Iterator[Alert]:
    """The terms that run, missed or not. A refund that waits for evidence has none meanwhile."""
    for refund_id, refund in state.refunds.items():
        if not refund.runs:
            continue
        if refund.status == "requested" and refund.decide_by is not None:
            yield Alert(REFUND_UNDECIDED, refund_id, refund.decide_by)
        if refund.is_open and refund.pay_by is not None:
            yield Alert(REFUND_OVERDUE, refund_id, refund.pay_by)


def waiting(state: Order) -> list[Alert]:
    """Terms that run and have raised nothing yet. One that evidence moved is another term."""
    return [term for term in terms(state) if term not in state.alerts]


def standing(state: Order) -> list[Alert]:
    """Alerts that nothing has ended."""
    running = set(terms(state))
    return [Alert(*alert) for alert in state.alerts if alert in running]


def raise_alert(
    command: RaiseAlert, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """Raises Rejected `not_due`."""
    found = (one for one in waiting(state) if (one.kind, one.of) == (command.kind, command.of))
    alert = next(found, None)
    if alert is None:
        return []
    if command.at <= alert.due_at:
        due = alert.due_at.isoformat()
        raise Rejected("not_due", f"{command.kind}: due at {due}", due_at=due)
    return [AlertRaised(**alert._asdict(), at=command.at)]
