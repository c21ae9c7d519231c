"""The facts of units that did not arrive as they were sold, and of what goes out in their place."""

from __future__ import annotations

from pydantic import Field

from domain.message import Event, Made, Personal
from domain.order_facts import LineQuantity
from domain.values import Quantity


class ReplacedLine(Made):
    """Units of a line, and the line of the new order that stands for them."""

    line_no: int
    quantity: Quantity
    new_line_no: int


class OrderReplaced(Event, topic="order.replaced.v1"):
    """Another order goes out at no price for units that were lost, short or damaged. What they cost
    is a cost of this one.
    """

    person: str
    new_order_id: str
    reason: str  # lost, short, damaged
    parcel_id: str | None = None  # that they were in
    lines: list[ReplacedLine]
    text: Personal[str] | None = None
    evidence: list[str] = Field(default_factory=list)  # SHA-256 of files, as hex
    policy_version: int = 0  # that decided on evidence


class ReplacementWithdrawn(Event, topic="order.replacement_withdrawn.v1"):
    """Units that went out, or were to, in the place of this order's came back or were cancelled:
    nothing stands for these any more.
    """

    new_order_id: str
    lines: list[LineQuantity]


class ReplacementCompleted(Event, topic="order.replacement_completed.v1"):
    """The order that stands for units of this one is completed: its units have arrived."""

    new_order_id: str


class PlacedAsReplacement(Event, topic="order.placed_as_replacement.v1"):
    """On the new order: whose units it stands for."""

    of_order_id: str
    reason: str
