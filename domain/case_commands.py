"""What can be asked about an order's cases, holds and review: bodies, and the commands of them."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import StrictBool, model_validator

from domain.command_types import CaseCause, Id, ReasonCode
from domain.message import Command
from domain.order_commands import ApproveOrder
from domain.values import LongText, OfFields, Text, Value

CaseKind = Literal[
    "duplicate",
    "incomplete",
    "abnormal_amount",
    "payment_mismatch",
    "stock_short",
    "delay",
    "lost",
    "address_undeliverable",
    "customer_dispute",
    "chargeback",
    "other",
]
CaseStep = Literal["identify", "analyse", "communicate", "correct", "decide", "prevent", "record"]
HoldType = Literal["review", "payment", "fraud", "customer", "stock", "other"]


class OpenCaseBody(Value):
    """A blocking case holds the order until it is closed."""

    kind: CaseKind
    blocking: StrictBool = False
    text: LongText | None = None


class CaseStepBody(Value):
    """What was done or found out. `contact`: who was spoken to, and how."""

    step: CaseStep
    cause: CaseCause | None = None
    contact: Text | None = None
    action: LongText | None = None
    outcome: LongText | None = None
    prevention: LongText | None = None
    text: LongText | None = None

    @model_validator(mode="after")
    def _something(self) -> CaseStepBody:
        told = ("cause", "contact", "action", "outcome", "prevention", "text")
        if all(getattr(self, part) is None for part in told):
            raise OfFields("give cause, contact, action, outcome, prevention or text", *told)
        return self


class CloseCaseBody(Value):
    """What no step has told yet: a case is closed with its cause and the action taken."""

    cause: CaseCause | None = None
    action: LongText | None = None
    outcome: LongText | None = None
    prevention: LongText | None = None


class ReopenCaseBody(Value):
    reason: LongText


class HoldBody(Value):
    """Holds of type `review` and `fraud` also forbid capturing money."""

    type: HoldType
    reason: LongText


class ReleaseBody(Value):
    reason: LongText


class RejectBody(Value):
    """The order is cancelled without a fee, and what was paid is due back."""

    reason_code: ReasonCode
    text: Text | None = None
    cause: CaseCause = "customer"  # of what had made it wait


class OpenCase(OpenCaseBody, Command):
    order_id: Id
    case_id: Id


class TakeCaseStep(CaseStepBody, Command):
    order_id: Id
    case_id: Id
    step_id: Id


class CloseCase(CloseCaseBody, Command):
    order_id: Id
    case_id: Id


class ReopenCase(ReopenCaseBody, Command):
    order_id: Id
    case_id: Id


class HoldOrder(HoldBody, Command):
    order_id: Id
    hold_id: Id


class ReleaseHold(ReleaseBody, Command):
    order_id: Id
    hold_id: Id


class RejectOrder(RejectBody, Command):
    order_id: Id


CaseChange = (
    OpenCase
    | TakeCaseStep
    | CloseCase
    | ReopenCase
    | HoldOrder
    | ReleaseHold
    | ApproveOrder
    | RejectOrder
)
CASE_CHANGES: tuple[type[Command], ...] = get_args(CaseChange)
