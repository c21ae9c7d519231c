"""What a credit note takes off its invoice: to correct it, after a fall of what is owed, or after
money was given back. Never more than stands on the invoice, line by line, tax included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from domain.invoice_amounts import (
    LINE,
    NOTHING,
    Amount,
    amount,
    credited_part,
    excess,
    given_back_minor,
    room,
    summed,
)
from domain.invoice_commands import IssueCreditNote
from domain.invoice_facts import SHIPPING, Basis, PaperLine
from domain.message import Rejected
from domain.money import split
from domain.order_line import ZERO
from domain.order_money import shown
from domain.order_papers import AskedRefund, Invoice
from domain.order_state import Order
from domain.pricing import running_share
from domain.values import quantity_json

# Money back that was too much, or for what is owed no more: the papers follow what is owed.
NO_PRICE_CHANGE = frozenset({"overpayment", "cancellation"})

Wanted = dict[str, tuple[Decimal, int]]  # ref -> units and gross


@dataclass(frozen=True, slots=True)
class Credit:
    invoice: Invoice
    basis: Basis
    lines: list[PaperLine]


def credited(command: IssueCreditNote, state: Order) -> Credit:
    """Raises Rejected `invoice_not_found`, `nothing_to_credit` and what names its numbers."""
    refusal: Rejected | None = None
    for invoice in _candidates(command, state):
        try:
            return _off(command, state, invoice)
        except Rejected as one:
            refusal = refusal or one
    raise refusal or Rejected("invoice_not_found", f"order {state.number} has no such invoice")


def _candidates(command: IssueCreditNote, state: Order) -> list[Invoice]:
    invoices = state.papers.invoices
    if command.invoice_number is None:
        return list(invoices.values())
    named = invoices.get(command.invoice_number)
    return [named] if named else []


def _off(command: IssueCreditNote, state: Order, invoice: Invoice) -> Credit:
    if command.correction:
        return _correction(command, state, invoice)
    over = excess(state, invoice)
    if over:
        return _reduction(command, state, invoice, over)
    return _after_refund(command, state, invoice)


def _correction(command: IssueCreditNote, state: Order, invoice: Invoice) -> Credit:
    left = room(state, invoice)
    if not command.by_lines and command.amount_minor is None:
        return _made(invoice, "correction", left)
    parts = _asked(command, state, invoice, left)
    return _made(invoice, "correction", parts)


def _reduction(
    command: IssueCreditNote, state: Order, invoice: Invoice, over: Mapping[str, Amount]
) -> Credit:
    """All of it at once, with the tax that makes the papers say what the order says.

    What is asked by amount must agree; a refund only tells which money went back for it.
    """
    total = sum(one.gross for one in over.values())
    if command.by_lines or command.amount_minor not in {None, total}:
        raise Rejected(
            "reduction_comes_first",
            f"{shown(total, state)} of invoice {invoice.number} are owed no more: credit that "
            "first",
            invoice_number=invoice.number,
            reduction_minor=total,
        )
    return _made(invoice, "reduction", over)


def _after_refund(command: IssueCreditNote, state: Order, invoice: Invoice) -> Credit:
    if command.refund_id is not None:
        return _made(invoice, "refund", refund_parts(command.refund_id, state, invoice))
    due, left = given_back_minor(state), room(state, invoice)
    if not command.by_lines and command.amount_minor is None:
        raise Rejected("nothing_to_credit", "no more is invoiced than is owed")
    parts = _asked(command, state, invoice, left)
    total = sum(one.gross for one in parts.values())
    if total > due:
        raise Rejected(
            "credit_exceeds_refunds",
            f"{shown(total, state)} asked, {shown(due, state)} were given back for what is owed "
            "and not credited yet",
            asked_minor=total,
            open_minor=due,
        )
    return _made(invoice, "refund", parts)


def refund_parts(refund_id: str, state: Order, invoice: Invoice) -> dict[str, Amount]:
    """What a refund takes off an invoice by ref; {} when nothing. Raises Rejected."""
    refund = state.refunds.get(refund_id)
    if refund is not None and not refund.counts:
        return {}
    left = room(state, invoice)
    wanted = _at_most(_of_refund(refund_id, state, left), given_back_minor(state))
    return _parts(invoice, left, wanted)


def _of_refund(refund_id: str, state: Order, left: Mapping[str, Amount]) -> Wanted:
    """What the refund gave back, less what earlier credit notes say of it. What was kept of the
    goods for restocking is still their price: the tax falls by what went back only.
    """
    refund = state.papers.refunds.get(refund_id)
    if refund is None:
        raise Rejected("refund_not_found", refund_id=refund_id)
    if refund.reason in NO_PRICE_CHANGE:
        return {}
    notes = [n for n in state.papers.credit_notes.values() if n.refund_id == refund_id]
    told = {ref: one.gross for ref, one in summed(notes).items()}
    if not refund.lines:
        return _spread_refund(refund, told, left)
    worth = [item.amount_minor or 0 for item in refund.lines]
    fees = split(refund.fee_minor, worth) if refund.fee_minor else [0] * len(worth)
    wanted = {
        f"{LINE}{item.line_no}": (item.quantity, gross - fee)
        for item, gross, fee in zip(refund.lines, worth, fees, strict=True)
    } | {SHIPPING: (ZERO, refund.shipping_minor)}
    return {
        ref: (
            ZERO if ref in told else units,
            min(gross - told.get(ref, 0), _gross(left, ref)),
        )
        for ref, (units, gross) in wanted.items()
    }


def _gross(left: Mapping[str, Amount], ref: str) -> int:
    return max(0, left.get(ref, NOTHING).gross)


def _spread_refund(
    refund: AskedRefund, told: Mapping[str, int], left: Mapping[str, Amount]
) -> Wanted:
    """An amount for goods without saying which is spread over the goods that are left."""
    shipping = min(refund.shipping_minor - told.get(SHIPPING, 0), _gross(left, SHIPPING))
    before = sum(gross for ref, gross in told.items() if ref != SHIPPING)
    goods = {ref: one for ref, one in left.items() if ref != SHIPPING}
    asked = refund.amount_minor - refund.shipping_minor - before
    return _spread(min(asked, _total(goods)), goods) | {SHIPPING: (ZERO, max(0, shipping))}


def _total(left: Mapping[str, Amount]) -> int:
    return sum(max(0, one.gross) for one in left.values())


def _spread(asked: int, left: Mapping[str, Amount]) -> Wanted:
    """By what is left of each, so that no part passes it."""
    parts = split(max(0, asked), [max(0, one.gross) for one in left.values()])
    return {ref: (ZERO, part) for ref, part in zip(left, parts, strict=True)}


def _asked(
    command: IssueCreditNote, state: Order, invoice: Invoice, left: Mapping[str, Amount]
) -> dict[str, Amount]:
    """What the command names. Raises Rejected where it is more than is left of the invoice."""
    if command.amount_minor is not None:
        _require_room(command.amount_minor, _total(left), f"invoice {invoice.number}", state)
        return _parts(invoice, left, _spread(command.amount_minor, left))
    lines = {line.ref: amount(line) for line in invoice.lines}
    wanted: Wanted = {}
    for item in command.lines or []:
        ref = f"{LINE}{item.line_no}"
        whole, rest = lines.get(ref, NOTHING), left.get(ref, NOTHING)
        if item.quantity > rest.units:
            raise Rejected(
                "credit_exceeds_invoice",
                f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
                f"{quantity_json(max(rest.units, ZERO))} left of the invoice",
                line_no=item.line_no,
                invoice_number=invoice.number,
            )
        wanted[ref] = (item.quantity, _worth_of_units(whole, rest, item.quantity))
    if command.shipping_minor:
        _require_room(command.shipping_minor, _gross(left, SHIPPING), "shipping", state)
        wanted[SHIPPING] = (ZERO, command.shipping_minor)
    return _parts(invoice, left, wanted)


def _worth_of_units(whole: Amount, rest: Amount, units: Decimal) -> int:
    if units == rest.units:
        return max(0, rest.gross)
    before = whole - rest
    more = running_share(whole.gross, whole.units, before.units + units) - before.gross
    return min(max(0, more), max(0, rest.gross))


def _require_room(asked: int, left: int, what: str, state: Order) -> None:
    if asked > left:
        raise Rejected(
            "credit_exceeds_invoice",
            f"{shown(asked, state)} asked, {shown(left, state)} left of {what}",
            asked_minor=asked,
            left_minor=left,
        )


def _at_most(wanted: Wanted, due: int) -> Wanted:
    """In the order of the lines, until `due` is used up."""
    found: Wanted = {}
    for ref, (units, gross) in wanted.items():
        found[ref] = (units if gross <= due else ZERO, min(gross, due))
        due -= found[ref][1]
    return found


def _parts(invoice: Invoice, left: Mapping[str, Amount], wanted: Wanted) -> dict[str, Amount]:
    lines = {line.ref: amount(line) for line in invoice.lines}
    return {
        ref: credited_part(lines[ref], left[ref], min(units, left[ref].units), gross)
        for ref, (units, gross) in wanted.items()
        if gross > 0
    }


def _made(invoice: Invoice, basis: Basis, parts: Mapping[str, Amount]) -> Credit:
    lines = {line.ref: line for line in invoice.lines}
    made = [_line(lines[ref], one) for ref, one in parts.items() if one.to_invoice]
    if not made:
        raise Rejected("nothing_to_credit", f"nothing of it is left of invoice {invoice.number}")
    return Credit(invoice, basis, made)


def _line(line: PaperLine, one: Amount) -> PaperLine:
    return line.model_copy(
        update={
            "quantity": max(one.units, ZERO),
            "discount_minor": 0,
            "net_minor": one.gross - one.tax,
            "tax_minor": one.tax,
            "gross_minor": one.gross,
        }
    )
