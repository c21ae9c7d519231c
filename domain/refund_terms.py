"""Until when a refund is decided on and paid, by the working days of the order's policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.order_refund_state import Refund
from domain.policy import PolicyVersion
from domain.working_calendar import Due, Pause, add_working_days


@dataclass(frozen=True, slots=True)
class Terms:
    decide: Due | None  # while it waits for a decision
    pay: Due | None


def terms(refund: Refund, policy: PolicyVersion, pauses: Sequence[Pause]) -> Terms:
    """With these pauses. Imports have refunds without terms."""
    asked_at, starts_at = refund.requested_at, refund.starts_at
    undecided = refund.status == "requested"
    return Terms(
        decide_by(asked_at, policy, pauses) if undecided and asked_at else None,
        pay_by(starts_at, policy, pauses) if starts_at else None,
    )


def pay_by(starts_at: datetime, policy: PolicyVersion, pauses: Sequence[Pause] = ()) -> Due:
    days = policy.rules.refund.working_days
    return add_working_days(policy.calendar, starts_at, days, pauses)


def decide_by(requested_at: datetime, policy: PolicyVersion, pauses: Sequence[Pause] = ()) -> Due:
    days = policy.rules.refund.decision_working_days
    return add_working_days(policy.calendar, requested_at, days, pauses)
