"""What can be asked about an order as a whole: bodies with their bounds, commands.

What is bought is in `placement_commands`, money in `payment_commands` and `refund_commands`,
parcels in `parcel_commands`.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import StrictBool, ValidationInfo, field_validator

from domain.command_types import CaseCause, Id, Initiator, LineQuantities, ReasonCode
from domain.message import Command
from domain.placement_commands import AmendOrder
from domain.refund_commands import PayRefund, RequestRefund
from domain.values import AmountMinor, LongText, Text, Value

Dimension = Literal["stage", "payment", "fulfilment", "return"]
# What each dimension can be; DOMAIN.md, "Order".
DIMENSIONS: dict[str, tuple[str, ...]] = {
    "stage": (
        "draft",
        "received",
        "in_review",
        "on_hold",
        "approved",
        "in_progress",
        "completed",
        "cancelled",
        "rejected",
        "void",
    ),
    "payment": (
        "unpaid",
        "authorised",
        "partially_paid",
        "paid",
        "overdue",
        "partially_refunded",
        "refunded",
    ),
    "fulfilment": (
        "unallocated",
        "reserved",
        "backordered",
        "packed",
        "partially_shipped",
        "shipped",
        "partially_delivered",
        "delivered",
        "delivery_exception",
        "lost",
    ),
    "return": ("none", "requested", "approved", "received", "closed", "denied"),
}


class ApproveBody(Value):
    """What the reviewer says, and the cause of what had made the order wait."""

    text: Text | None = None
    cause: CaseCause = "customer"


class CancelBody(Value):
    """Units that shall not be delivered; the whole order without `lines`."""

    reason_code: ReasonCode
    initiator: Initiator = "operator"
    text: Text | None = None
    lines: LineQuantities | None = None
    expected_fee_minor: AmountMinor | None = None  # as a preview showed it: another is refused


class NoteBody(Value):
    text: LongText


class OverrideBody(Value):
    """Shows a dimension of the status as `value` until its next fact, or for good when sticky."""

    dimension: Dimension
    value: str
    reason: Text
    sticky: StrictBool = False

    @field_validator("value")
    @classmethod
    def _value_of_the_dimension(cls, value: str, info: ValidationInfo) -> str:
        allowed = DIMENSIONS.get(info.data.get("dimension", ""))
        if allowed and value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value


class VoidBody(Value):
    reason: Text


class ApproveOrder(ApproveBody, Command):
    order_id: Id


class CancelOrder(CancelBody, Command):
    order_id: Id


class AddNote(NoteBody, Command):
    order_id: Id
    note_id: Id


class OverrideStatus(OverrideBody, Command):
    order_id: Id


class EndOverride(Command):
    """Ends the override of one dimension, or of all."""

    order_id: Id
    dimension: Dimension | None = None


class VoidOrder(VoidBody, Command):
    order_id: Id


OrderChange = (
    AmendOrder
    | CancelOrder
    | RequestRefund
    | PayRefund
    | AddNote
    | OverrideStatus
    | EndOverride
    | VoidOrder
)
ORDER_CHANGES: tuple[type[Command], ...] = get_args(OrderChange)
