"""Invoices, credit notes and fapiao at the desk."""

from __future__ import annotations

from typing import Any

from domain import fapiao, invoice
from domain.desk_names import States, order_stream, paper_claim, series_stream
from domain.desk_write import Write, claim_of, placed_order
from domain.invoice import InvoiceSeries
from domain.invoice_commands import FapiaoCommand, IssueInvoice, PaperCommand
from domain.message import Event, Rejected, StreamName
from domain.order_state import Order

NUMBER_TAKEN = "paper_number_taken"  # until one of the shops has another prefix


def streams_of_paper(command: PaperCommand, loaded: States) -> set[StreamName]:
    """The order says the shop, the shop its series, the series the next number."""
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    where = invoice.issue(command, state)
    if where is None:
        return {stream}
    series: InvoiceSeries = loaded.get(series_stream(where)) or InvoiceSeries()
    return {stream, series_stream(where), paper_claim(invoice.next_number(where, series))}


def issue_paper(command: PaperCommand, write: Write) -> None:
    """The paper and its number in one write: a number without a paper cannot be."""
    state = placed_order(write, command.order_id)
    if state.papers.paper(command.paper_id) is not None:
        return
    where = invoice.require_seller(invoice.issue(command, state), state)
    series = series_stream(where)
    taken = invoice.take(command, where, write.states[series])
    if isinstance(command, IssueInvoice):
        paper: Event = invoice.invoice(command, state, where, taken)
    else:
        paper = invoice.credit_note(command, state, where, taken)
    claim = paper_claim(taken.number)
    if write.states[claim] is not None:
        raise Rejected(
            NUMBER_TAKEN,
            f"{taken.number} is a paper of another series: two shops share a prefix",
            number=taken.number,
        )
    write.claims.append(claim_of(claim, f"{command.order_id}/{command.paper_id}"))
    write.add(series, [taken])
    write.add(order_stream(command.order_id), [paper])


def change_fapiao(command: FapiaoCommand, write: Write) -> None:
    state = placed_order(write, command.order_id)
    write.add(order_stream(command.order_id), fapiao.decide(command, state))


def paper_answer(paper_id: str, state: Order) -> dict[str, Any]:
    paper = state.papers.paper(paper_id)
    assert paper is not None
    corrected = getattr(paper, "invoice_number", None)
    return {
        "paper_id": paper_id,
        "paper_number": paper.number,
        "issue_date": paper.issue_date.isoformat(),
        "paper_total_minor": paper.total_minor,
        "invoice_number": corrected,
    }
