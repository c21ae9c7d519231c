"""What can be asked about a parcel: bodies with their bounds, commands, scans of a carrier."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from domain.command_types import Handle, Id, LineNo, LineQuantities, all_different
from domain.message import Command
from domain.parcel_facts import Milestone
from domain.times import Expected, Happened, Recordable, Utc
from domain.values import LINES_MAX, AskedQuantity, Identifier, Text, Value


class PackBody(Value):
    """A parcel with units of one order."""

    lines: LineQuantities


class ContentBody(Value):
    order_id: Id
    line_no: LineNo
    quantity: AskedQuantity


class PackParcelBody(Value):
    """A parcel with units of one or several orders."""

    contents: Annotated[list[ContentBody], Field(min_length=1, max_length=LINES_MAX)]

    @field_validator("contents")
    @classmethod
    def _each_line_once(cls, contents: list[ContentBody]) -> list[ContentBody]:
        all_different((f"{item.line_no} of {item.order_id}" for item in contents), "line")
        return contents


class DispatchBody(Value):
    carrier: Handle
    tracking_number: Identifier
    estimated_at: Expected | None = None
    unpaid_reason: Annotated[
        Text | None,
        Field(description="Why it leaves before it is paid; needs `order.ship_unpaid`"),
    ] = None


class DeliverBody(Value):
    """Delivered, as seen by a person: who took it, when, where the picture lies."""

    name: Text | None = None
    delivered_at: Happened | None = None  # now when absent
    picture_ref: Text | None = None


class PackParcel(PackParcelBody, Command):
    parcel_id: Id


class DispatchParcel(DispatchBody, Command):
    parcel_id: Id


class DeliverParcel(DeliverBody, Command):
    parcel_id: Id


class TrackParcel(Command):
    """A carrier's scan of a parcel that was found by its number. `occurred_at` is its time."""

    parcel_id: Id
    event_id: Identifier
    carrier: Handle
    tracking_number: Identifier
    milestone: Milestone
    occurred_at: Recordable
    location: Text | None = None
    note: Text | None = None
    estimated_at: Utc | None = None


ParcelCommand = PackParcel | DispatchParcel | DeliverParcel | TrackParcel
