"""What the clock alone brings about an order: reminders that became due, terms that were missed.

Topics and fields are the storage format, so a version never changes.
"""

from __future__ import annotations

from pydantic import AwareDatetime

from domain.message import Event


class PaymentReminded(Event, topic="order.payment_reminded.v1"):
    """The customer is to be reminded of what is owed: once per step, and never after payment."""

    hours_before: int  # the step of the policy: hours before due
    due_at: AwareDatetime  # of the money
    outstanding_minor: int
    policy_version: int = 0


class AlertRaised(Event, topic="order.alert_raised.v1"):
    """A term has passed. It is raised once, and ends with the fact that ends what it is about."""

    kind: str  # refund_undecided, refund_overdue
    of: str  # the id of the refund
    due_at: AwareDatetime


AlertFact = PaymentReminded | AlertRaised
