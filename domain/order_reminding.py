"""What becomes due without being late: a reminder of the money, an overpayment to give back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid5

from domain import order_alerts, order_refund
from domain.alert_facts import PaymentReminded
from domain.message import Event, Rejected
from domain.order_lateness import owes
from domain.order_payment import Decider, not_void
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.payment_commands import RaiseAlert, RefundOverpayment, RemindPayment
from domain.payment_terms import due_of
from domain.policy import PolicyVersion
from domain.refund_commands import RequestRefund

OVERPAYMENT: Literal["overpayment"] = "overpayment"

_OVERPAID = UUID("5b0f8a7e-2d1c-4d57-9a51-0b7d1c2e9f10")  # namespace of the refunds made here


def owed_minor(state: Order) -> int:
    """What a customer has to be asked for: money that is held for the order is on its way."""
    if not owes(state):
        return 0
    owed = min(state.balance_minor, state.uncovered_minor)
    return owed if owed > state.money.authorised_minor else 0


def reminders(state: Order, policy: PolicyVersion) -> list[tuple[int, datetime]]:
    """(hours before due, when) of the steps that are still to come, the last one last.

    A step that the next one has overtaken is left out for good: one letter is enough.
    """
    due = due_of(state, policy)
    if due is None or owed_minor(state) <= 0:
        return []
    steps = sorted(set(policy.rules.payment.reminder_hours), reverse=True)
    last = min(state.money.reminded, default=None)
    return [(h, due - timedelta(hours=h)) for h in steps if last is None or h < last]


def remind(command: RemindPayment, state: Order, policy: PolicyVersion, _free: Free) -> list[Event]:
    """Raises Rejected `not_due`."""
    to_come = reminders(state, policy)
    when = dict(to_come).get(command.hours_before)
    if when is None:
        return []
    if command.at < when:
        due = when.isoformat()
        raise Rejected("not_due", f"{command.hours_before} h before due: {due}", due_at=due)
    if any(hours < command.hours_before and at <= command.at for hours, at in to_come):
        return []
    return [
        PaymentReminded(
            hours_before=command.hours_before,
            due_at=when + timedelta(hours=command.hours_before),
            outstanding_minor=owed_minor(state),
            policy_version=policy.version,
            at=command.at,
        )
    ]


def overpaid(state: Order, policy: PolicyVersion) -> tuple[datetime, int] | None:
    """(until when it stays on the order, minor units to give back); None where nothing is to."""
    since = state.money.credit_since
    amount = min(-state.balance_minor, state.refundable_minor)
    if since is None or amount <= 0 or state.void:
        return None
    if OVERPAYMENT in policy.rules.refund.evidence_for:  # A person has to see it first.
        return None
    return since + timedelta(days=policy.rules.payment.overpayment_days), amount


def refund_overpayment(
    command: RefundOverpayment, state: Order, policy: PolicyVersion, _free: Free
) -> list[Event]:
    """The request of a refund, as a person would make it. Raises Rejected `not_due`."""
    not_void(state)
    found = overpaid(state, policy)
    if found is None:
        return []
    until, amount = found
    if command.at <= until:
        due = until.isoformat()
        raise Rejected("not_due", f"it stays on the order until {due}", due_at=due)
    asked = RequestRefund(
        order_id=state.order_id,
        refund_id=str(uuid5(_OVERPAID, f"{state.order_id}/{until.isoformat()}")),
        reason=OVERPAYMENT,
        amount_minor=amount,
        evidence=[],
        actor=command.actor,
        at=command.at,
    )
    return order_refund.request(asked, state, policy)


DECIDERS: dict[type, Decider] = {
    RemindPayment: remind,
    RefundOverpayment: refund_overpayment,
    RaiseAlert: order_alerts.raise_alert,
}
