"""The facts of invoices, credit notes and fapiao. Topics and fields are the storage format.

A paper holds all that is printed on it but the customer, who stands on the order under a key that
can be destroyed: contact and address are those of the order at the paper's version.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from domain.message import Event, Made, Personal
from domain.order_facts import Discount, Exemption
from domain.values import Quantity

PaperKind = Literal["invoice", "credit_note"]
Language = Literal["zh", "en"]
Basis = Literal["correction", "reduction", "refund"]
FapiaoKind = Literal["general", "special"]

SHIPPING = "shipping"


class Seller(Made):
    """The legal entity that issues papers, as it was when a paper was issued."""

    name: str
    line1: str
    line2: str | None = None
    city: str
    region: str | None = None
    postal_code: str | None = None
    country: str  # ISO 3166 alpha-2
    tax_id: str | None = None  # of the local tax office: 统一社会信用代码, Steuernummer
    vat_id: str | None = None  # with the country in front: DE123456789
    email: str | None = None
    phone: str | None = None
    bank_account: str | None = None  # IBAN or local


class NumberTaken(Event, topic="invoice_series.number_taken.v1"):
    """One number of a series went to a paper, which is a fact of its order in the same write."""

    shop: str
    kind: str  # PaperKind
    year: int
    sequence: int  # from 1 without gap
    number: str  # as printed
    paper_id: str
    order_id: str
    issue_date: date  # the shop's local day


class PaperLine(Made):
    """Units of one charge of an order; amounts in minor units for all of them.

    `ref`: `line/3` of the order, `shipping`, or `fee/<id>`. 0 units where only the price changed.
    """

    ref: str
    name: str
    sku: str | None = None
    unit: str = "pcs"
    quantity: Quantity
    unit_price_minor: str | None = None  # decimal string, before discounts
    discount_minor: int = 0
    tax_rate_bp: int = 0
    net_minor: int
    tax_minor: int
    gross_minor: int
    exemption: Exemption | None = None


class RateSum(Made):
    """The lines of one tax rate added up, or those exempt for one reason; in minor units."""

    tax_rate_bp: int
    net_minor: int
    tax_minor: int
    gross_minor: int
    exemption: Exemption | None = None


class OrderInvoiced(Event, topic="order.invoiced.v2"):
    paper_id: str
    number: str
    issue_date: date
    currency: str
    language: str
    seller: Seller
    lines: list[PaperLine]
    rates: list[RateSum]  # the highest first
    discounts: list[Discount] | None = None  # those by name within the lines' discounts
    net_minor: int
    tax_minor: int
    total_minor: int
    paid_minor: int = 0  # of it, received before and on no earlier invoice
    trigger: str = "request"  # what made the shop write it


class OrderCredited(Event, topic="order.credited.v2"):
    """A credit note: amounts are positive and lower those of the invoice it names."""

    person: str
    paper_id: str
    number: str
    issue_date: date
    invoice_number: str
    invoice_date: date
    # `correction`: the invoice was wrong, and may be written anew. `reduction`: less is owed.
    # `refund`: money was given back for what is still owed.
    basis: str
    reason: str  # a code
    text: Personal[str] | None = None
    refund_id: str | None = None
    currency: str
    language: str
    seller: Seller
    lines: list[PaperLine]
    rates: list[RateSum]
    net_minor: int
    tax_minor: int
    total_minor: int


class FapiaoRequested(Event, topic="order.fapiao_requested.v1"):
    """The customer wants an invoice of the tax office (发票) for what an invoice of ours says."""

    person: str
    fapiao_id: str
    invoice_number: str
    kind: str  # general (普票), special (专票)
    title: Personal[str]  # 抬头
    tax_id: Personal[str] | None = None
    email: Personal[str] | None = None


class FapiaoIssued(Event, topic="order.fapiao_issued.v1"):
    """The tax provider's number and the digest of its file."""

    fapiao_id: str
    fapiao_number: str
    issue_date: date
    file_digest: str  # sha256:…
    media_type: str
    provider: str


class FapiaoRefused(Event, topic="order.fapiao_refused.v1"):
    """The tax provider would not: of the fapiao, or of its red letter where `credit_number`."""

    fapiao_id: str
    credit_number: str | None = None
    code: str
    provider: str


class FapiaoReversalRequested(Event, topic="order.fapiao_reversal_requested.v1"):
    """红冲: a red letter over what a credit note of ours says."""

    fapiao_id: str
    credit_number: str


class FapiaoReversed(Event, topic="order.fapiao_reversed.v1"):
    fapiao_id: str
    credit_number: str
    fapiao_number: str  # of the red letter
    issue_date: date
    file_digest: str
    media_type: str
    provider: str
