"""Which papers an order needs by now: what a worker issues when the shop's trigger has come."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.fapiao import due_red_letters
from domain.invoice_amounts import LINE, excess, given_back_minor, open_amounts
from domain.invoice_credit import refund_parts
from domain.order_line import OrderLine
from domain.order_state import Order

# The shop's own word; `request` waits for the customer's.
TRIGGERS = ("dispatch", "payment", "completion", "request")


@dataclass(frozen=True, slots=True)
class InvoiceDue:
    """`lines`: line_no -> units; None: all that is not invoiced yet."""

    lines: dict[int, Decimal] | None = None


@dataclass(frozen=True, slots=True)
class CreditNoteDue:
    """`refund_id`: None where less is owed than the invoice says."""

    invoice_number: str
    refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class RedLetterDue:
    fapiao_id: str
    credit_number: str


Due = InvoiceDue | CreditNoteDue | RedLetterDue


def papers_due(state: Order, trigger: str) -> tuple[Due, ...]:
    """What has to be issued, credit notes first: issue the first, and ask again.

    `trigger`: the shop's rule for invoices. Credit notes and red letters follow from their facts
    whatever it is. The order's state settles all but completion, which who asks has found.
    """
    if not state.placed or state.void:
        return ()
    notes = _credit_notes_due(state)
    invoices = () if notes else _invoices_due(state, trigger)
    return (*notes, *_red_letters_due(state), *invoices)


def _credit_notes_due(state: Order) -> tuple[CreditNoteDue, ...]:
    """What is owed no more; else a refund that was paid for what is owed still."""
    invoices = state.papers.invoices
    over = [CreditNoteDue(no) for no, invoice in invoices.items() if excess(state, invoice)]
    if over or not given_back_minor(state):
        return tuple(over)
    asked = state.papers.refunds
    return tuple(
        CreditNoteDue(no, refund_id)
        for refund_id, refund in state.refunds.items()
        if refund.paid and refund_id in asked
        for no, invoice in invoices.items()
        if refund_parts(refund_id, state, invoice)
    )


def _red_letters_due(state: Order) -> tuple[RedLetterDue, ...]:
    return tuple(
        RedLetterDue(fapiao_id, note.number)
        for fapiao_id, known in state.papers.fapiao.items()
        if known.number is not None
        for note in due_red_letters(known, state)
    )


def _invoices_due(state: Order, trigger: str) -> tuple[InvoiceDue, ...]:
    assert trigger in TRIGGERS, trigger
    due = {ref: one for ref, one in open_amounts(state).items() if one.to_invoice}
    if not due or trigger == "request":
        return ()
    if trigger == "payment":
        return (InvoiceDue(),) if state.unpaid_minor == 0 else ()
    if trigger == "completion":
        return (InvoiceDue(),)
    return _dispatched(state, {ref for ref in due if ref.startswith(LINE)})


def _dispatched(state: Order, refs: set[str]) -> tuple[InvoiceDue, ...]:
    """Units that have left and stand on no invoice; the last ones take with them what is left."""
    lines = {}
    left = open_amounts(state)
    for no, line in state.lines.items():
        one = left[f"{LINE}{no}"]
        gone = line.dispatched - line.refused - (line.quantity - line.gone - one.units)
        if f"{LINE}{no}" in refs and min(gone, one.units) > 0:
            lines[no] = min(gone, one.units)
    if not lines:  # What else is owed (a fee, a price that rose) waits for no parcel any more.
        return () if any(_to_leave(line) for line in state.lines.values()) else (InvoiceDue(),)
    whole = all(lines.get(_line_no(ref)) == left[ref].units for ref in refs)
    return (InvoiceDue(None if whole else lines),)


def _line_no(ref: str) -> int:
    return int(ref.removeprefix(LINE))


def _to_leave(line: OrderLine) -> bool:
    return line.live > line.dispatched
