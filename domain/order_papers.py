"""The papers of an order: the fold of what was invoiced, credited and asked of the tax provider.

Applies, never refuses. Part of the order's state, since what was invoiced bounds what may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from domain.frozen import replace
from domain.invoice_facts import (
    FapiaoIssued,
    FapiaoRefused,
    FapiaoRequested,
    FapiaoReversalRequested,
    FapiaoReversed,
    OrderCredited,
    OrderInvoiced,
    PaperLine,
    Seller,
)
from domain.message import Event
from domain.order_facts import LineQuantity, RefundRequested

PaperFact = (
    OrderInvoiced
    | OrderCredited
    | FapiaoRequested
    | FapiaoIssued
    | FapiaoRefused
    | FapiaoReversalRequested
    | FapiaoReversed
)


@dataclass(frozen=True)
class Invoice:
    paper_id: str
    number: str
    issue_date: date
    seller: Seller
    language: str
    lines: tuple[PaperLine, ...]
    total_minor: int
    paid_minor: int


@dataclass(frozen=True)
class CreditNote:
    paper_id: str
    number: str
    issue_date: date
    invoice_number: str
    basis: str
    refund_id: str | None
    lines: tuple[PaperLine, ...]
    total_minor: int


@dataclass(frozen=True)
class AskedRefund:
    """What a refund is for; whether it was paid, the order knows."""

    amount_minor: int
    shipping_minor: int
    lines: tuple[LineQuantity, ...]
    reason: str
    fee_minor: int = 0  # kept of what the lines are worth


@dataclass(frozen=True)
class Fapiao:
    """An invoice of the tax office, and its red letters by our credit note's number."""

    invoice_number: str
    kind: str
    number: str | None = None  # None until the provider answered
    refused: bool = False
    red_letters: Mapping[str, str | None] = field(default_factory=dict)  # None: not answered yet


@dataclass(frozen=True)
class Papers:
    """Oldest first. Invoices and credit notes by number, fapiao and refunds by their ids."""

    shipping_tax_rate_bp: int = 0
    invoices: Mapping[str, Invoice] = field(default_factory=dict)
    credit_notes: Mapping[str, CreditNote] = field(default_factory=dict)
    fapiao: Mapping[str, Fapiao] = field(default_factory=dict)
    refunds: Mapping[str, AskedRefund] = field(default_factory=dict)

    def paper(self, paper_id: str) -> Invoice | CreditNote | None:
        papers: list[Invoice | CreditNote] = [*self.invoices.values(), *self.credit_notes.values()]
        return next((paper for paper in papers if paper.paper_id == paper_id), None)


NONE = Papers()


def begun(shipping_tax_rate_bp: int) -> Papers:
    return Papers(shipping_tax_rate_bp) if shipping_tax_rate_bp else NONE


def evolve(papers: Papers, event: Event) -> Papers:
    """Apply a fact of PaperFact."""
    match event:
        case OrderInvoiced():
            return replace(papers, invoices={**papers.invoices, event.number: _invoice(event)})
        case OrderCredited():
            made = _credit_note(event)
            return replace(papers, credit_notes={**papers.credit_notes, event.number: made})
        case FapiaoRequested():
            return _with(papers, event.fapiao_id, Fapiao(event.invoice_number, event.kind))
        case _:
            return _fapiao_changed(papers, event)


def asked(papers: Papers, event: RefundRequested) -> Papers:
    refund = AskedRefund(
        event.amount_minor,
        event.shipping_minor,
        tuple(event.lines),
        event.reason,
        event.fee_minor,
    )
    return replace(papers, refunds={**papers.refunds, event.refund_id: refund})


def _invoice(event: OrderInvoiced) -> Invoice:
    return Invoice(
        paper_id=event.paper_id,
        number=event.number,
        issue_date=event.issue_date,
        seller=event.seller,
        language=event.language,
        lines=tuple(event.lines),
        total_minor=event.total_minor,
        paid_minor=event.paid_minor,
    )


def _credit_note(event: OrderCredited) -> CreditNote:
    return CreditNote(
        paper_id=event.paper_id,
        number=event.number,
        issue_date=event.issue_date,
        invoice_number=event.invoice_number,
        basis=event.basis,
        refund_id=event.refund_id,
        lines=tuple(event.lines),
        total_minor=event.total_minor,
    )


def _fapiao_changed(papers: Papers, event: Event) -> Papers:
    fapiao_id: str = event.fapiao_id  # type: ignore[attr-defined]
    known = papers.fapiao.get(fapiao_id)
    if known is None:
        return papers
    match event:
        case FapiaoIssued():
            known = replace(known, number=event.fapiao_number)
        case FapiaoRefused(credit_number=None):
            known = replace(known, refused=True)
        case FapiaoRefused():  # It may be asked for again.
            kept = {no: n for no, n in known.red_letters.items() if no != event.credit_number}
            known = replace(known, red_letters=kept)
        case FapiaoReversalRequested():
            known = replace(known, red_letters={**known.red_letters, event.credit_number: None})
        case FapiaoReversed():
            number = {event.credit_number: event.fapiao_number}
            known = replace(known, red_letters={**known.red_letters, **number})
    return _with(papers, fapiao_id, known)


def _with(papers: Papers, fapiao_id: str, fapiao: Fapiao) -> Papers:
    return replace(papers, fapiao={**papers.fapiao, fapiao_id: fapiao})
