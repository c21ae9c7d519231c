"""Papers that an order needs by now, as things to do: found by the shop's trigger, done by the
ordinary commands, one at a time.

Papers wait for no time but for a fact, so they are due since the order's last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID, uuid5

from domain.command_types import LineQuantityBody
from domain.invoice_commands import (
    FapiaoCommand,
    IssueCreditNote,
    IssueInvoice,
    PaperCommand,
    ReverseFapiao,
    SellerTerms,
)
from domain.order_state import Order
from domain.papers_due import CreditNoteDue, Due, InvoiceDue, RedLetterDue, papers_due
from domain.policy import PolicyVersion

INVOICE, CREDIT_NOTE, RED_LETTER = "invoice", "credit_note", "red_letter"
KINDS = (CREDIT_NOTE, RED_LETTER, INVOICE)
COMPLETION, REQUEST = "completion", "request"

Sellers = Mapping[str, SellerTerms]  # by shop

_PAPERS = UUID("8f1c5a3e-40c6-4c0e-9a62-5b7e0f9d2c31")  # namespace of the papers made here


def first_due(state: Order, policy: PolicyVersion) -> Due | None:
    """The one to issue before it is asked again: it changes what the next ones come to."""
    trigger: str = policy.rules.invoices.trigger
    if trigger == COMPLETION and not _has_ended(state):
        trigger = REQUEST
    return next(iter(papers_due(state, trigger)), None)


def _has_ended(state: Order) -> bool:
    """Nothing more is to come of it: a cancelled order is completed no more, and may owe a fee."""
    return state.completed_at is not None or state.cancelled


def named(due: Due, state: Order) -> tuple[str, str]:
    """Its kind and which of its kind: the same until one more is issued."""
    papers = state.papers
    match due:
        case InvoiceDue():
            return INVOICE, str(len(papers.invoices) + 1)
        case CreditNoteDue():
            return CREDIT_NOTE, str(len(papers.credit_notes) + 1)
        case RedLetterDue():
            return RED_LETTER, f"{due.fapiao_id}/{due.credit_number}"


def command(
    due: Due, state: Order, policy: PolicyVersion, sellers: Sellers, at: datetime
) -> PaperCommand | FapiaoCommand:
    """What does it, at that time. The paper's id follows from the order's, so a retry makes the
    same paper.
    """
    kind, of = named(due, state)
    order_id, paper_id = state.order_id, str(uuid5(_PAPERS, f"{state.order_id}/{kind}/{of}"))
    match due:
        case InvoiceDue():
            return IssueInvoice(
                order_id=order_id,
                paper_id=paper_id,
                sellers=dict(sellers),
                lines=_lines(due),
                charges=due.lines is None,
                trigger=policy.rules.invoices.trigger,
                at=at,
            )
        case CreditNoteDue():
            return IssueCreditNote(
                order_id=order_id,
                paper_id=paper_id,
                sellers=dict(sellers),
                invoice_number=due.invoice_number,
                refund_id=due.refund_id,
                reason=_reason(due, state),
                at=at,
            )
        case RedLetterDue():
            return ReverseFapiao(
                order_id=order_id,
                fapiao_id=due.fapiao_id,
                credit_number=due.credit_number,
                at=at,
            )


def _lines(due: InvoiceDue) -> list[LineQuantityBody] | None:
    if due.lines is None:
        return None
    return [LineQuantityBody(line_no=no, quantity=units) for no, units in due.lines.items()]


def _reason(due: CreditNoteDue, state: Order) -> str:
    """Why less is to be paid, as a code: the refund's own, else what made it fall."""
    if due.refund_id is not None:
        return state.refunds[due.refund_id].reason or "refund"
    lines = state.lines.values()
    if any(line.gone > 0 for line in lines):
        return "cancellation"
    return "return" if any(line.relieved_minor for line in lines) else "reduction"
