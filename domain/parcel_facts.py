"""The facts of a parcel: contents, dispatch, the carrier's scans, proof of delivery."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from domain.message import Event, Made, Personal
from domain.values import Quantity

Milestone = Literal[
    "label_created",
    "picked_up",
    "in_transit",
    "customs",
    "out_for_delivery",
    "available_for_pickup",
    "delivered",
    "attempt_failed",
    "exception",
    "returning",
    "returned",
    "lost",
]

# Milestones that an order shows as a delivery exception.
TROUBLES = frozenset({"exception", "attempt_failed", "returning", "returned", "lost"})


class Content(Made):
    """Units of one line of one order."""

    order_id: str
    line_no: int
    sku: str
    quantity: Quantity


class ParcelPacked(Event, topic="parcel.packed.v1"):
    parcel_id: str
    contents: list[Content]


class ParcelDispatched(Event, topic="parcel.dispatched.v1"):
    parcel_id: str
    order_ids: list[str]
    carrier: str
    tracking_number: str
    estimated_at: datetime | None = None


class ParcelTracked(Event, topic="parcel.tracked.v1"):
    """One scan of the carrier; `at` is its time. Scans arrive late, twice and out of order.

    The place is that of the scan; the note is a stranger's free text, often who took the parcel.
    """

    parcel_id: str
    order_ids: list[str]
    person: str
    milestone: Milestone
    scan_id: str  # of (carrier, number, milestone, carrier's time): a repeat is known by it
    location: str | None = None
    note: Personal[str] | None = None
    estimated_at: datetime | None = None
    verbatim: dict[str, Any] | None = None


class ParcelDelivered(Event, topic="parcel.delivered.v1"):
    """Delivered with proof. By hand (`source: manual`) or by the carrier's scan."""

    parcel_id: str
    order_ids: list[str]
    source: str
    person: str
    name: Personal[str] | None = None  # who took it
    picture_ref: Personal[str] | None = None
