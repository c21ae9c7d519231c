"""What can be asked about the money of an order: request bodies, and the commands they become."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from domain.command_types import (
    AnotherThan,
    Handle,
    Id,
    PaymentMethod,
    PositiveMinor,
    ReasonCode,
    ValueDate,
)
from domain.message import Command
from domain.times import Ahead, Expected, Happened
from domain.values import AmountMinor, Text, Value


class PaymentBody(Value):
    method: PaymentMethod
    amount_minor: PositiveMinor
    reference: Text
    payer: Text | None = None
    occurred_at: Happened | None = None  # when the money came; now when absent
    value_date: ValueDate | None = None
    another_than: AnotherThan | None = None


class RecordPayment(PaymentBody, Command):
    order_id: Id
    payment_id: Id
    told: bool = False  # by a provider, under an id of its own: whatever else looks like it


class AuthorisationBody(Value):
    """Money that a provider holds for the order."""

    method: PaymentMethod
    amount_minor: PositiveMinor
    reference: Text
    payer: Text | None = None
    expires_at: Ahead | None = None


class CaptureBody(Value):
    """All that is still held, or a part of it."""

    amount_minor: PositiveMinor | None = None
    reference: Text | None = None  # the authorisation's when absent
    value_date: ValueDate | None = None
    occurred_at: Happened | None = None


class RequestCaptureBody(Value):
    """All that is still held and not asked for, or a part of it."""

    amount_minor: PositiveMinor | None = None


class ReasonBody(Value):
    reason: Text


class NothingBody(Value):
    """Nothing to say."""


class PaymentFailureBody(Value):
    method: PaymentMethod
    amount_minor: PositiveMinor
    reference: Text
    code: ReasonCode
    authorisation_id: Id | None = None
    occurred_at: Happened | None = None


class MovePaymentBody(Value):
    """All of a payment that is neither refunded nor charged back, or a part of it."""

    to_order_id: Id
    amount_minor: PositiveMinor | None = None
    reason: Text


class ChargebackBody(Value):
    """All of the payment that is with us, or a part of it."""

    amount_minor: PositiveMinor | None = None
    reference: Text | None = None
    code: ReasonCode
    respond_by: Expected | None = None
    occurred_at: Happened | None = None


class ChargebackEndBody(Value):
    """How the bank's or provider's statement calls it; as when it was opened, when absent."""

    reference: Text | None = None


class WriteOffBody(Value):
    """The remainder that is owed, up to the policy's tolerance."""

    amount_minor: PositiveMinor | None = None  # as it was seen: another is refused
    text: Text | None = None


class WaiveBody(Value):
    """All of the late fee that was charged and not waived yet, or a part of it."""

    amount_minor: PositiveMinor | None = None
    reason: Text


class RemittanceBody(Value):
    """What a carrier pays for cash that it collected; `fee_minor` of it the carrier has kept."""

    carrier: Handle
    amount_minor: PositiveMinor
    fee_minor: AmountMinor = 0
    reference: Text
    value_date: ValueDate | None = None
    occurred_at: Happened | None = None
    another_than: AnotherThan | None = None


class RefusalBody(Value):
    """拒收: the customer did not take the parcel."""

    freight_minor: AmountMinor = 0  # what the carrier asks for both ways
    reason: Text | None = None
    occurred_at: Happened | None = None


class AuthorisePayment(AuthorisationBody, Command):
    order_id: Id
    payment_id: Id


class CapturePayment(CaptureBody, Command):
    order_id: Id
    authorisation_id: Id
    payment_id: Id
    told: bool = False  # by a provider, at its own time


class RequestCapture(RequestCaptureBody, Command):
    """Of the provider that holds it; what it takes is recorded when it says so."""

    order_id: Id
    authorisation_id: Id
    payment_id: Id


class VoidAuthorisation(ReasonBody, Command):
    order_id: Id
    payment_id: Id


class ExpireAuthorisation(NothingBody, Command):
    order_id: Id
    payment_id: Id


class RecordPaymentFailure(PaymentFailureBody, Command):
    order_id: Id
    payment_id: Id


class VoidPayment(ReasonBody, Command):
    order_id: Id
    payment_id: Id


class MovePayment(MovePaymentBody, Command):
    order_id: Id
    payment_id: Id
    to_payment_id: Id


class OpenChargeback(ChargebackBody, Command):
    order_id: Id
    payment_id: Id
    chargeback_id: Id


class WinChargeback(ChargebackEndBody, Command):
    order_id: Id
    chargeback_id: Id


class LoseChargeback(ChargebackEndBody, Command):
    order_id: Id
    chargeback_id: Id


class WriteOffDifference(WriteOffBody, Command):
    order_id: Id


class DeclareOverdue(NothingBody, Command):
    """The term has passed without the money; what follows is for the policy to say."""

    order_id: Id


class CancelOverdue(NothingBody, Command):
    """What deadlines send: cancels only what the policy lets be cancelled by itself."""

    order_id: Id


class ChargeLateFee(NothingBody, Command):
    """For the full local days that have passed and are not charged yet."""

    order_id: Id


class RemindPayment(NothingBody, Command):
    """One step of the policy's reminders; what it leads to is for messages to send."""

    order_id: Id
    hours_before: Annotated[int, Field(ge=0)]  # of what is due


class RefundOverpayment(NothingBody, Command):
    """What has stayed on the order for long enough becomes a refund that is asked for."""

    order_id: Id
    actor: Id  # who asks, and so may not approve


class RaiseAlert(NothingBody, Command):
    """A term of the order was missed: said once."""

    order_id: Id
    kind: Annotated[str, Field(max_length=64)]
    of: Id


class WaiveLateFee(WaiveBody, Command):
    order_id: Id


class ReinstateOrder(NothingBody, Command):
    """Undoes the cancellation of a whole order, if all its stock can be reserved."""

    order_id: Id


class RecordRemittance(RemittanceBody, Command):
    order_id: Id
    payment_id: Id


class RefuseDelivery(RefusalBody, Command):
    order_id: Id
    parcel_id: Id
    carrier: Annotated[str, Field(max_length=128)] = ""  # the parcel's, filled in by the desk


PaymentChange = (
    RecordPayment
    | AuthorisePayment
    | CapturePayment
    | RequestCapture
    | VoidAuthorisation
    | ExpireAuthorisation
    | RecordPaymentFailure
    | VoidPayment
    | OpenChargeback
    | WinChargeback
    | LoseChargeback
    | WriteOffDifference
    | DeclareOverdue
    | CancelOverdue
    | ChargeLateFee
    | RemindPayment
    | RefundOverpayment
    | RaiseAlert
    | WaiveLateFee
    | ReinstateOrder
    | RecordRemittance
    | RefuseDelivery
)
PAYMENT_CHANGES: tuple[type[Command], ...] = get_args(PaymentChange)
