"""The facts of what keeps an order from going on: exception cases, holds, the review, backorders.

Topics and fields are the storage format, so a version never changes. All free text is sealed.
"""

from __future__ import annotations

from typing import Any, get_args

from domain.message import Event, Personal
from domain.order_facts import LineQuantity


class CaseOpened(Event, topic="order.case_opened.v1"):
    """Something about the order is not as it should be. A blocking case holds the order."""

    person: str
    case_id: str
    kind: str  # duplicate, incomplete, abnormal_amount, payment_mismatch, stock_short, …
    blocking: bool
    rule: str | None = None  # that found it; a person did when absent
    fields: list[str] | None = None  # that are missing or wrong, by their names in the request
    figures: dict[str, Any] | None = None  # the numbers that the rule compared; nothing personal
    text: Personal[str] | None = None


class CaseStepTaken(Event, topic="order.case_step_taken.v1"):
    """What was done about a case, or found out."""

    person: str
    case_id: str
    step_id: str
    step: str  # identify, analyse, communicate, correct, decide, prevent, record
    cause: str | None = None  # system, operator, customer, supplier, carrier
    contact: Personal[str] | None = None  # who was spoken to, and how
    action: Personal[str] | None = None
    outcome: Personal[str] | None = None
    prevention: Personal[str] | None = None
    text: Personal[str] | None = None


class CaseClosed(Event, topic="order.case_closed.v1"):
    person: str
    case_id: str
    cause: str
    action: Personal[str] | None = None  # none where a step has told it
    outcome: Personal[str] | None = None
    prevention: Personal[str] | None = None


class CaseReopened(Event, topic="order.case_reopened.v1"):
    person: str
    case_id: str
    reason: Personal[str]


class OrderHeld(Event, topic="order.held.v1"):
    """Nothing of the order is packed or leaves until the hold is released."""

    person: str
    hold_id: str
    type: str  # review, payment, fraud, customer, stock, other
    reason: Personal[str] | None = None
    case_id: str | None = None  # whose closing releases it


class HoldReleased(Event, topic="order.released.v1"):
    person: str
    hold_id: str
    reason: Personal[str] | None = None  # none where the case of the hold was closed


class OrderReviewed(Event, topic="order.reviewed.v1"):
    """A person decided on an order that had not approved itself, by which criteria."""

    person: str
    decision: str  # approved, rejected
    reason_code: str | None = None  # of a rejection
    criteria: list[str]  # the rules that had made it wait
    policy_version: int  # that they are from
    text: Personal[str] | None = None


class UnitsBackordered(Event, topic="order.backordered.v1"):
    """Units that were accepted without stock: not reserved."""

    lines: list[LineQuantity]


CaseFact = (
    CaseOpened
    | CaseStepTaken
    | CaseClosed
    | CaseReopened
    | OrderHeld
    | HoldReleased
    | OrderReviewed
    | UnitsBackordered
)
CASE_FACTS: tuple[type[Event], ...] = get_args(CaseFact)
