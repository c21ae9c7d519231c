"""What the desk asks for about refunds, returns and exchanges: bodies with their bounds, commands.

Where it matters who acts, a command names its `actor`: an edge takes it from the caller, never
from a body.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictBool, field_validator, model_validator

from domain.command_types import (
    EVIDENCE_MAX,
    NUMBERS_MAX,
    Channel,
    Digest,
    Evidence,
    Id,
    LineNo,
    LineQuantities,
    PaymentMethod,
    PositiveMinor,
    PostalAddress,
    ReasonCode,
    RefundReason,
    all_different,
)
from domain.message import Command
from domain.order_facts import PaymentPart
from domain.placement_commands import LineBody
from domain.values import (
    LINES_MAX,
    AmountMinor,
    AskedQuantity,
    Contact,
    Identifier,
    OfFields,
    RateBp,
    Text,
    Value,
)

PAYMENTS_MAX = 100

Condition = Literal["resell", "repair", "scrap"]
Payer = Literal["seller", "customer"]
ReturnReason = Literal[
    "quality_problem",
    "wrong_item",
    "damaged",
    "not_as_described",
    "late",
    "changed_mind",
    "other",
]
FailureCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=64)]


class RefundBody(Value):
    """Money to give back: for goods by amount, by lines, or by both where they agree; and shipping.

    `amount_minor` is the goods' part: `shipping_minor` comes on top of it. Absent, shipping comes
    back with lines where the policy says so. `return_id`: for goods that came back by that return,
    all of them without `lines`.
    """

    reason: RefundReason
    text: Text | None = None
    amount_minor: PositiveMinor | None = None
    lines: LineQuantities | None = None
    shipping_minor: AmountMinor | None = None
    payments: Annotated[list[PaymentPart], Field(min_length=1, max_length=PAYMENTS_MAX)] | None = (
        None
    )
    evidence: Evidence
    return_id: Id | None = None
    expected_minor: AmountMinor | None = None  # as a preview showed it: another is refused

    @field_validator("payments")
    @classmethod
    def _each_payment_once(cls, parts: list[PaymentPart] | None) -> list[PaymentPart] | None:
        all_different((part.payment_id for part in parts or []), "payment_id")
        if any(part.amount_minor <= 0 for part in parts or []):
            raise ValueError("amount_minor of a payment must be above 0")
        return parts

    @model_validator(mode="after")
    def _something(self) -> RefundBody:
        given = (self.amount_minor, self.lines, self.return_id)
        if all(one is None for one in given) and not self.shipping_minor:
            parts = ("amount_minor", "lines", "shipping_minor")
            raise OfFields("give amount_minor, lines or shipping_minor", *parts)
        return self


class PayRefundBody(Value):
    """As the money came when no method is named. What came from the customer's account goes back
    there in any case: a method is for the rest.
    """

    method: PaymentMethod | None = None
    reference: Text


class RequestRefund(RefundBody, Command):
    order_id: Id
    refund_id: Id
    actor: Id  # who asks, and so may not approve


class PayRefund(PayRefundBody, Command):
    order_id: Id
    refund_id: Id
    told: bool = False  # by the provider that paid it: a fact, whatever a bank asks for by now


class ApproveRefundBody(Value):
    """Nothing to say."""


class DenyRefundBody(Value):
    reason: Text


class FailRefundBody(Value):
    """The money did not arrive: with the code of the provider or bank. Of what was paid by several
    methods, that of the one named, else all that left the house.
    """

    code: FailureCode
    method: PaymentMethod | None = None


class RetryRefundBody(Value):
    """Nothing to say."""


class AskEvidenceBody(Value):
    """What the customer still has to show."""

    text: Text


class AddEvidenceBody(Value):
    evidence: Annotated[list[Digest], Field(min_length=1, max_length=EVIDENCE_MAX)]


class CompensationBody(Value):
    """Money beyond the price, for the customer's trouble."""

    amount_minor: PositiveMinor
    reason: ReasonCode
    text: Text | None = None
    method: PaymentMethod
    reference: Text


class InterceptBody(Value):
    """Why the carrier shall bring a parcel back."""

    reason_code: ReasonCode
    text: Text | None = None


class ReturnBody(Value):
    """Delivered units that shall come back; or, with `parcel_id`, units of the order that come back
    undelivered with that parcel.
    """

    lines: LineQuantities
    reason: ReturnReason
    text: Text | None = None
    evidence: Evidence
    parcel_id: Annotated[
        Id | None, Field(description="Of a parcel that is returning or returned, not delivered")
    ] = None


class ApproveReturnBody(Value):
    """Who pays the way back (by the reason when absent), and the label that was issued."""

    postage: Payer | None = None
    label: Text | None = None


class DenyReturnBody(Value):
    reason: Text


class ReceivedLineBody(Value):
    """Units in one condition. To be sold again they are restocked, unless it says otherwise."""

    line_no: LineNo
    quantity: AskedQuantity
    condition: Condition = "resell"
    restock: Annotated[StrictBool | None, Field(validate_default=True)] = None

    @field_validator("restock")
    @classmethod
    def _only_what_can_be_sold(cls, value: bool | None, info: object) -> bool | None:
        if value and getattr(info, "data", {}).get("condition") != "resell":
            raise ValueError("only goods in condition resell are restocked")
        return value

    @property
    def restocked(self) -> bool:
        return self.condition == "resell" if self.restock is None else self.restock


class ReceiveReturnBody(Value):
    """What came back, inspected. It is refunded in the same write, unless `refund` is false."""

    lines: Annotated[list[ReceivedLineBody], Field(min_length=1, max_length=LINES_MAX)]
    refund: StrictBool = True


class CloseReturnBody(Value):
    """Why nothing more is to come; of an exchange needed where goods for it are missing."""

    reason: Text | None = None


class ExchangeBody(Value):
    """Delivered units that come back, and what goes out for them.

    Contact and addresses are those of the order, unless others are given. What the units were worth
    pays for the new order; more than it costs stays there as an overpayment.
    """

    lines: LineQuantities
    reason: ReturnReason
    text: Text | None = None
    evidence: Evidence
    new_lines: Annotated[list[LineBody], Field(min_length=1, max_length=LINES_MAX)]
    channel: Channel = "phone"
    discount_minor: AmountMinor = 0
    shipping_minor: AmountMinor = 0
    shipping_tax_rate_bp: RateBp = 0
    contact: Contact | None = None
    shipping_address: PostalAddress | None = None
    payment_method: PaymentMethod | None = None
    external_ref: Identifier | None = None
    postage: Payer | None = None
    label: Text | None = None


class _OfRefund(Command):
    order_id: Id
    refund_id: Id


class ApproveRefund(ApproveRefundBody, _OfRefund):
    actor: Id


class DenyRefund(DenyRefundBody, _OfRefund):
    pass


class FailRefund(FailRefundBody, _OfRefund):
    pass


class RetryRefund(RetryRefundBody, _OfRefund):
    pass


class AskEvidence(AskEvidenceBody, _OfRefund):
    pass


class AddEvidence(AddEvidenceBody, _OfRefund):
    pass


class PayCompensation(CompensationBody, Command):
    order_id: Id
    compensation_id: Id


class RequestIntercept(InterceptBody, Command):
    order_id: Id
    parcel_id: Id


class _OfReturn(Command):
    order_id: Id
    return_id: Id


class RequestReturn(ReturnBody, _OfReturn):
    pass


class ApproveReturn(ApproveReturnBody, _OfReturn):
    pass


class DenyReturn(DenyReturnBody, _OfReturn):
    pass


class ReceiveReturn(ReceiveReturnBody, _OfReturn):
    refund_id: Id
    actor: Id


class CloseReturn(CloseReturnBody, _OfReturn):
    pass


class ExchangeOrder(ExchangeBody, _OfReturn):
    new_order_id: Id
    # Candidates for the sayable number of the new order: the first that nobody has is taken.
    numbers: Annotated[tuple[str, ...], Field(min_length=1, max_length=NUMBERS_MAX)]
    refund_id: Id  # of what the units are worth, and of the new order's payment with it
    actor: Id


RefundChange = (
    ApproveRefund
    | DenyRefund
    | FailRefund
    | RetryRefund
    | AskEvidence
    | AddEvidence
    | PayCompensation
)
ReturnChange = (
    RequestIntercept | RequestReturn | ApproveReturn | DenyReturn | ReceiveReturn | CloseReturn
)
REFUND_CHANGES: tuple[type[Command], ...] = get_args(RefundChange)
RETURN_CHANGES: tuple[type[Command], ...] = get_args(ReturnChange)
