"""The shapes of answers about invoices, credit notes and fapiao."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel

from api.order_answers import OrderRecorded


class PaperIssued(OrderRecorded):
    """`number` and `total_minor` are the order's, `paper_…` the paper's.

    `invoice_number`: of a credit note, the invoice that it corrects.
    """

    paper_id: str
    paper_number: str
    issue_date: date
    paper_total_minor: int
    invoice_number: str | None


class FapiaoAnswered(OrderRecorded):
    """`red_letters`: by our credit note's number, that of the red letter once there is one."""

    fapiao_id: str
    fapiao_number: str | None
    red_letters: dict[str, str | None]


class ExemptionShown(BaseModel):
    """Why there is no tax: a VATEX code of EN 16931, or the shop's own word with its reason."""

    code: str
    reason: str | None


class RateShown(BaseModel):
    """What a paper says of one tax rate, or of what is exempt for one reason; minor units."""

    tax_rate_bp: int
    net_minor: int
    tax_minor: int
    gross_minor: int
    exemption: ExemptionShown | None


class PaperListed(BaseModel):
    """`basis`, `reason` and `refund_id` are of credit notes. Amounts are positive in both."""

    kind: str
    paper_id: str
    number: str
    issue_date: date
    currency: str
    language: str
    net_minor: int
    tax_minor: int
    total_minor: int
    rates: list[RateShown]
    invoice_number: str | None = None
    basis: str | None = None
    reason: str | None = None
    refund_id: str | None = None


class FapiaoListed(BaseModel):
    fapiao_id: str
    invoice_number: str
    kind: str
    fapiao_number: str | None
    refused: bool
    red_letters: dict[str, str | None]


class PapersListed(BaseModel):
    """`to_invoice_minor`: owed and on no invoice. `to_credit_minor`: invoiced and owed no more."""

    order_id: str
    version: int
    to_invoice_minor: int
    to_credit_minor: int
    papers: list[PaperListed]
    fapiao: list[FapiaoListed]
