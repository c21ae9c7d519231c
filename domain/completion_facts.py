"""The fact that an order is completed. Topic and fields are the storage format."""

from __future__ import annotations

from datetime import datetime

from domain.message import Event


class OrderCompleted(Event, topic="order.completed.v1"):
    """All that was not cancelled has arrived, is paid, and nothing is open.

    `by`: the policy after its days, or who confirmed the receipt: the customer, or an operator.
    """

    by: str
    due_at: datetime | None = None  # by the policy's days
    policy_version: int = 0  # whose days they are
