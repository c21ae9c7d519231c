"""What can be asked about a payment provider's notices and the payouts that it makes for us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StrictBool, model_validator

from domain.command_types import CurrencyCode, Handle, Id, PositiveMinor, ReasonCode
from domain.message import Command
from domain.provider_facts import NoticeKind, NoticeMethod
from domain.times import Expected, Happened
from domain.values import AmountMinor, Identifier, OfFields, Text, Value

SECRET_CHARACTERS_MIN = 16
PARTS_MAX = 100  # payments that one refund gives back

ProviderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
TheirId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=100)]
Key = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", max_length=260)]


class ProviderTerms(Value):
    """How one provider is reached: by `url`, else by files in `path`. `secret` signs both ways."""

    secret: Annotated[SecretStr, Field(min_length=SECRET_CHARACTERS_MIN)]
    url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    path: Path | None = None


class Notice(Value):
    """One thing that happened at the provider. The same `notice_id` is the same notice for ever.

    `order_ref` is what the provider was given: an order's id, number, or the shop's external
    reference, which may come to be an order later. `key`: of what we asked it for.
    """

    notice_id: TheirId
    kind: NoticeKind
    occurred_at: Happened
    order_ref: Identifier
    shop: Handle = "main"
    payment: TheirId
    capture: TheirId | None = None
    dispute: TheirId | None = None
    key: Key | None = None
    method: NoticeMethod
    amount_minor: PositiveMinor
    currency: CurrencyCode
    code: ReasonCode | None = None
    expires_at: Expected | None = None
    respond_by: Expected | None = None
    payer: Text | None = None
    fee_minor: AmountMinor | None = None

    @model_validator(mode="after")
    def _complete(self) -> Notice:
        disputed = self.kind.startswith("chargeback_")
        if disputed and self.dispute is None:
            raise OfFields(f"{self.kind} needs dispute", "dispute")
        if self.kind in {"failed", "refund_failed", "chargeback_opened"} and self.code is None:
            raise OfFields(f"{self.kind} needs code", "code")
        return self


class RecordNotice(Notice, Command):
    """Keeps what was told, whatever can be made of it."""

    provider: ProviderName


class KeepConflict(RecordNotice):
    """Keeps what was told under an id that is known with another body, and sets it aside.

    `notice_id` is then an id of ours: theirs, and what tells this body from the first.
    """


class ApplyNotice(Command):
    """Makes of a notice what it means for its order.

    `final`: what it needs has not come in time, so what cannot be applied is set aside.
    """

    provider: ProviderName
    notice_id: TheirId
    order_id: Id
    final: StrictBool = False


class SetNoticeAside(Command):
    """No such order has come in time."""

    provider: ProviderName
    notice_id: TheirId


class AssignBody(Value):
    """The order that the money belongs to."""

    order_id: Id


class AssignNotice(AssignBody, Command):
    provider: ProviderName
    notice_id: TheirId


class PayoutPartBody(Value):
    key: Key
    payment_id: Id
    amount_minor: PositiveMinor


class AskPayout(Command):
    """Before the provider is asked to pay a refund, or those parts that it is to pay."""

    order_id: Id
    refund_id: Id
    provider: ProviderName
    parts: Annotated[list[PayoutPartBody], Field(min_length=1, max_length=PARTS_MAX)]


NoticeCommand = RecordNotice | KeepConflict | ApplyNotice | SetNoticeAside | AssignNotice
PROVIDER_COMMANDS = (
    RecordNotice,
    KeepConflict,
    ApplyNotice,
    SetNoticeAside,
    AssignNotice,
    AskPayout,
)
