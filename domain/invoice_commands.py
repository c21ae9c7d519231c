"""What can be asked about papers: request bodies with their bounds, and their commands."""

from __future__ import annotations

from datetime import date
from typing import Annotated, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StrictBool, model_validator

from domain.command_types import (
    Handle,
    Id,
    LineQuantities,
    PositiveMinor,
    PostalAddress,
    ReasonCode,
)
from domain.invoice_facts import FapiaoKind, Language, PaperKind, Seller
from domain.message import Command
from domain.values import AmountMinor, Email, Identifier, OfFields, ShortText, Text, Value

# Taxpayers are named by 15, 17, 18 or 20 characters (统一社会信用代码: 18).
TaxpayerId = Annotated[str, Field(pattern=r"^[0-9A-Z]{15,20}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,20}$")]
MediaType = Annotated[str, Field(pattern=r"^[a-z]+/[a-z0-9.+-]{1,80}$")]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # Not found, a directory, or no path at all.
        raise ValueError("must be an IANA time zone such as Asia/Shanghai") from None
    return name


class SellerTerms(Value):
    """A shop's legal entity, and how its papers are numbered, dated and worded."""

    name: Text
    address: PostalAddress
    tax_id: Identifier | None = None
    vat_id: Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9A-Za-z+*.]{2,13}$")] | None = None
    email: Email | None = None
    phone: ShortText | None = None
    bank_account: Identifier | None = None
    time_zone: Annotated[str, AfterValidator(_zone)] = "Asia/Shanghai"
    language: Language = "zh"
    invoice_prefix: Prefix | None = None  # INV-, and for other shops than main the shop before it
    credit_note_prefix: Prefix | None = None  # CN-

    @model_validator(mode="after")
    def _named_by_a_tax_office(self) -> SellerTerms:
        if self.tax_id is None and self.vat_id is None:
            raise ValueError("give tax_id, or vat_id, or both")
        return self

    def seller(self) -> Seller:
        return Seller(
            name=self.name,
            **self.address.model_dump(),
            tax_id=self.tax_id,
            vat_id=self.vat_id,
            email=self.email,
            phone=self.phone,
            bank_account=self.bank_account,
        )

    def prefix(self, shop: str, kind: PaperKind) -> str:
        chosen = self.invoice_prefix if kind == "invoice" else self.credit_note_prefix
        if chosen is not None:
            return chosen
        usual = "INV-" if kind == "invoice" else "CN-"
        return usual if shop == "main" else f"{shop}-{usual}"


class InvoiceBody(Value):
    """Units to invoice; all that is not invoiced yet without `lines`."""

    lines: LineQuantities | None = None
    charges: StrictBool = True  # shipping and fees that are not invoiced yet
    language: Language | None = None  # the shop's when absent


class CreditNoteBody(Value):
    """What to take off an invoice: what a refund gave back, or lines, or an amount.

    With none of them: what is invoiced above what is owed, or of a correction all that is left.
    """

    invoice_number: Identifier | None = None  # the oldest that it fits when absent
    reason: ReasonCode
    text: Text | None = None
    correction: StrictBool = False  # the invoice was wrong, and may be written anew
    refund_id: Id | None = None
    lines: LineQuantities | None = None
    shipping_minor: AmountMinor = 0
    amount_minor: PositiveMinor | None = None
    language: Language | None = None  # the invoice's when absent

    @property
    def by_lines(self) -> bool:
        return self.lines is not None or self.shipping_minor > 0

    @model_validator(mode="after")
    def _one_way(self) -> CreditNoteBody:
        ways = (self.refund_id is not None, self.by_lines, self.amount_minor is not None)
        if sum(ways) > 1:
            named = {"refund_id", "lines", "shipping_minor", "amount_minor"}
            given = sorted(named & self.model_fields_set)
            message = "give refund_id, or lines and shipping_minor, or amount_minor"
            raise OfFields(message, *given)
        if self.correction and self.refund_id is not None:
            raise OfFields("a refund corrects no invoice", "correction")
        return self


class FapiaoBody(Value):
    """A fapiao (发票) for an invoice: 普票 `general`, 专票 `special`."""

    kind: FapiaoKind = "general"
    title: Text
    tax_id: TaxpayerId | None = None
    email: Email | None = None
    invoice_number: Identifier | None = None  # the oldest without fapiao when absent

    @model_validator(mode="after")
    def _special_names_the_taxpayer(self) -> FapiaoBody:
        if self.kind == "special" and self.tax_id is None:
            raise OfFields("a special fapiao (专票) needs tax_id", "tax_id")
        return self


class FapiaoFileBody(Value):
    """The tax provider's answer: its number, its day, and the digest of its file."""

    fapiao_number: Identifier
    issue_date: date
    file_digest: Digest
    media_type: MediaType = "application/pdf"
    provider: Handle = "manual"


class ReverseFapiaoBody(Value):
    """红冲: a red letter for a credit note whose invoice has a fapiao."""

    credit_number: Identifier | None = None  # the oldest without red letter when absent


class IssueInvoice(InvoiceBody, Command):
    """`sellers`: what each shop is by the settings; the order says which it is."""

    order_id: Id
    paper_id: Id
    sellers: dict[str, SellerTerms]
    trigger: ReasonCode = "request"


class IssueCreditNote(CreditNoteBody, Command):
    order_id: Id
    paper_id: Id
    sellers: dict[str, SellerTerms]


class RequestFapiao(FapiaoBody, Command):
    order_id: Id
    fapiao_id: Id


class RecordFapiao(FapiaoFileBody, Command):
    order_id: Id
    fapiao_id: Id
    credit_number: Identifier | None = None  # of a red letter


class RecordFapiaoRefusal(Command):
    order_id: Id
    fapiao_id: Id
    credit_number: Identifier | None = None
    code: ReasonCode
    provider: Handle


class ReverseFapiao(ReverseFapiaoBody, Command):
    order_id: Id
    fapiao_id: Id


PaperCommand = IssueInvoice | IssueCreditNote
FapiaoCommand = RequestFapiao | RecordFapiao | RecordFapiaoRefusal | ReverseFapiao
FAPIAO_COMMANDS: tuple[type[Command], ...] = get_args(FapiaoCommand)
