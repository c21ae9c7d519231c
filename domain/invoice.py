"""The rules of invoices and credit notes: what may stand on one, and which number it gets.

Invoices and credit notes have a series each, so that both books run without gap and a number says
which paper it is. The number is a fact of the series, the paper one of the order, in one write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain import invoice_amounts
from domain.frozen import replace
from domain.invoice_amounts import LINE, Amount, Charge, next_units, open_amounts
from domain.invoice_commands import IssueCreditNote, IssueInvoice, PaperCommand, SellerTerms
from domain.invoice_credit import Credit, credited
from domain.invoice_facts import (
    NumberTaken,
    OrderCredited,
    OrderInvoiced,
    PaperKind,
    PaperLine,
)
from domain.message import Event, Rejected
from domain.money import ratio_half_up
from domain.order_facts import Discount
from domain.order_line import ZERO
from domain.order_lines import known_line
from domain.order_money import shown
from domain.order_state import Order
from domain.values import quantity_json

SEQUENCE_DIGITS = 6  # at least


@dataclass(frozen=True)
class InvoiceSeries:
    """The numbers of one kind of paper of one shop in one year."""

    last: int = 0
    last_date: date | None = None


class Issue(NamedTuple):
    """Where and when a paper is issued: all that a command and its order's shop settle."""

    shop: str
    kind: PaperKind
    day: date  # the shop's local day
    terms: SellerTerms

    @property
    def series(self) -> str:
        """The key of the series' stream."""
        return f"{self.shop}@{self.day.year}/{self.kind}"


def evolve(state: InvoiceSeries, event: Event) -> InvoiceSeries:
    match event:
        case NumberTaken():
            return replace(state, last=event.sequence, last_date=event.issue_date)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of an invoice series")


def issue(command: PaperCommand, state: Order) -> Issue | None:
    """None when the order's shop has no seller, so that no paper can be issued."""
    terms = command.sellers.get(state.shop)
    if not state.placed or terms is None:
        return None
    kind: PaperKind = "invoice" if isinstance(command, IssueInvoice) else "credit_note"
    return Issue(state.shop, kind, local_day(command.at, terms.time_zone), terms)


def local_day(at: datetime, time_zone: str) -> date:
    return at.astimezone(ZoneInfo(time_zone)).date()


def next_number(where: Issue, series: InvoiceSeries) -> str:
    prefix = where.terms.prefix(where.shop, where.kind)
    return f"{prefix}{where.day.year}-{series.last + 1:0{SEQUENCE_DIGITS}d}"


def take(command: PaperCommand, where: Issue, series: InvoiceSeries) -> NumberTaken:
    """The next number. Clocks differ: no paper is dated before the one with the number below."""
    return NumberTaken(
        shop=where.shop,
        kind=where.kind,
        year=where.day.year,
        sequence=series.last + 1,
        number=next_number(where, series),
        paper_id=command.paper_id,
        order_id=command.order_id,
        issue_date=max(where.day, series.last_date or where.day),
        at=command.at,
    )


def require_seller(where: Issue | None, state: Order) -> Issue:
    if where is None:
        raise Rejected(
            "seller_unknown",
            f"the legal entity of shop {state.shop} is not set: see LEDGER_SELLERS",
            shop=state.shop,
        )
    return where


def invoice(command: IssueInvoice, state: Order, where: Issue, taken: NumberTaken) -> OrderInvoiced:
    """Raises Rejected where nothing is open, or more is asked than is owed."""
    if state.void:
        raise Rejected("order_void", "the order was voided; nothing more can happen to it")
    lines = _invoice_lines(command, state)
    total = sum(line.gross_minor for line in lines)
    _require_owed(total, state)
    tax = sum(line.tax_minor for line in lines)
    return OrderInvoiced(
        paper_id=taken.paper_id,
        number=taken.number,
        issue_date=taken.issue_date,
        currency=state.currency,
        language=command.language or where.terms.language,
        seller=where.terms.seller(),
        lines=lines,
        rates=invoice_amounts.rates(lines),
        discounts=_named_discounts(lines, state),
        net_minor=total - tax,
        tax_minor=tax,
        total_minor=total,
        paid_minor=_paid_minor(total, state),
        trigger=command.trigger,
        at=command.at,
    )


def _named_discounts(lines: list[PaperLine], state: Order) -> list[Discount] | None:
    if not state.discounts:
        return None
    known = invoice_amounts.charges(state)
    return invoice_amounts.named_discounts(lines, known, state.discounts)


def _invoice_lines(command: IssueInvoice, state: Order) -> list[PaperLine]:
    known, due = invoice_amounts.charges(state), open_amounts(state)
    done = invoice_amounts.billed(state)
    asked: dict[str, Amount] = {}
    for item in command.lines or []:
        ref = f"{LINE}{item.line_no}"
        known_line(state, item.line_no)
        _require_open(item.line_no, item.quantity, due[ref])
        asked[ref] = next_units(known[ref], done.get(ref, Amount()), item.quantity)
    goods = command.lines is None
    asked |= {r: one for r, one in due.items() if (goods if LINE in r else command.charges)}
    lines = [invoice_line(known[ref], one) for ref, one in asked.items() if one.to_invoice]
    if not lines:
        raise Rejected("nothing_to_invoice", "all that is owed is invoiced")
    return lines


def _require_open(line_no: int, asked: Decimal, due: Amount) -> None:
    if asked > due.units:
        left = quantity_json(max(due.units, ZERO))
        raise Rejected(
            "invoice_exceeds_line",
            f"line {line_no}: {quantity_json(asked)} asked, {left} not invoiced",
            line_no=line_no,
            asked=quantity_json(asked),
            open=left,
        )


def _require_owed(total: int, state: Order) -> None:
    """Also where history's total is not the sum of its lines. What is billed of a charge above what
    is owed for it leaves the others their due: it has to be credited, or was when it was refunded.
    """
    owed = {ref: charge.owed.gross for ref, charge in invoice_amounts.charges(state).items()}
    done = invoice_amounts.billed(state)
    before = sum(min(one.gross, owed.get(ref, 0)) for ref, one in done.items())
    whole = invoice_amounts.billable_minor(state)
    left = max(0, whole - before)
    if total > left:
        raise Rejected(
            "invoice_exceeds_owed",
            f"{shown(total, state)} asked, {shown(left, state)} of {shown(whole, state)} are not "
            "invoiced",
            asked_minor=total,
            open_minor=left,
        )


def _paid_minor(total: int, state: Order) -> int:
    """What was received before, as far as no earlier invoice says so. What went back and lowered
    the price was received as well: its credit note tells of it.
    """
    said = sum(one.paid_minor for one in state.papers.invoices.values())
    lowered = max(0, state.total_minor - state.owed_minor)
    return max(0, min(total, state.net_paid_minor + lowered - said))


def invoice_line(charge: Charge, one: Amount) -> PaperLine:
    whole = charge.owed.gross
    discount = ratio_half_up(charge.discount_minor * one.gross, whole) if whole > 0 else 0
    return PaperLine(
        ref=charge.ref,
        name=charge.name,
        sku=charge.sku,
        unit=charge.unit,
        quantity=max(one.units, ZERO),
        unit_price_minor=charge.unit_price_minor,
        discount_minor=discount,
        tax_rate_bp=charge.tax_rate_bp,
        exemption=charge.exemption,
        net_minor=one.gross - one.tax,
        tax_minor=one.tax,
        gross_minor=one.gross,
    )


def credit_note(
    command: IssueCreditNote, state: Order, where: Issue, taken: NumberTaken
) -> OrderCredited:
    """Raises Rejected where there is no such invoice, or less is to be credited than asked."""
    made: Credit = credited(command, state)
    total = sum(line.gross_minor for line in made.lines)
    tax = sum(line.tax_minor for line in made.lines)
    return OrderCredited(
        person=state.person,
        paper_id=taken.paper_id,
        number=taken.number,
        issue_date=taken.issue_date,
        invoice_number=made.invoice.number,
        invoice_date=made.invoice.issue_date,
        basis=made.basis,
        reason=command.reason,
        text=command.text,
        refund_id=command.refund_id,
        currency=state.currency,
        language=command.language or made.invoice.language,
        seller=where.terms.seller(),
        lines=made.lines,
        rates=invoice_amounts.rates(made.lines),
        net_minor=total - tax,
        tax_minor=tax,
        total_minor=total,
        at=command.at,
    )
