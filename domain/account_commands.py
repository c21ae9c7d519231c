"""What can be asked of a customer's account: bodies with their bounds, and their commands."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from domain.command_types import CurrencyCode, Id, PositiveMinor, ReasonCode
from domain.message import Command
from domain.times import Expected
from domain.values import AMOUNT_MINOR_MAX, AmountMinor, Identifier, OfFields, Text, Value

Cause = Literal["refund", "compensation", "correction"]
SignedMinor = Annotated[int, Field(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX, strict=True)]


class CreditBody(Value):
    """Credit to grant, and why. A correction may be below 0."""

    amount_minor: SignedMinor
    cause: Cause
    reason_code: ReasonCode
    reference: Text | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _grants(self) -> CreditBody:
        if self.amount_minor == 0:
            raise OfFields("must not be 0", "amount_minor")
        if self.amount_minor < 0 and self.cause != "correction":
            raise OfFields("only a correction may be below 0", "amount_minor")
        return self


class GiftBody(Value):
    """Money that is a present: it buys until `expires_at`."""

    amount_minor: PositiveMinor
    expires_at: Expected
    reason_code: ReasonCode
    reference: Text | None = None
    text: Text | None = None


class LimitBody(Value):
    """How much may be unpaid on account; 0 allows nothing."""

    limit_minor: AmountMinor
    reason: Text


class AccountCommand(Command):
    customer_id: Identifier
    currency: CurrencyCode


class GrantCredit(CreditBody, AccountCommand):
    """Two equal ones are two grants: only the idempotency key tells a repeat."""


class IssueGift(GiftBody, AccountCommand):
    gift_id: Id


class SetCreditLimit(LimitBody, AccountCommand):
    """Below the exposure it stops further orders and takes nothing from those there are."""


class ExpireGifts(AccountCommand):
    """Write off what has expired by `at`. Sent by whoever watches deadlines; repeatable."""


AccountChange = GrantCredit | IssueGift | SetCreditLimit | ExpireGifts
ACCOUNT_CHANGES: tuple[type[Command], ...] = get_args(AccountChange)
