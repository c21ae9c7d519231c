"""The rules of fapiao (发票): asked for an invoice of ours, answered by a tax provider.

For a credit note it is taken back by a red letter (红冲). A provider is an interface;
workers/fapiao_files.py is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

from domain.invoice_commands import (
    FapiaoCommand,
    RecordFapiao,
    RecordFapiaoRefusal,
    RequestFapiao,
    ReverseFapiao,
)
from domain.invoice_facts import (
    FapiaoIssued,
    FapiaoRefused,
    FapiaoRequested,
    FapiaoReversalRequested,
    FapiaoReversed,
    PaperLine,
    RateSum,
)
from domain.message import Event, Rejected
from domain.order_papers import CreditNote, Fapiao, Invoice
from domain.order_state import Order

CURRENCY = "CNY"


@dataclass(frozen=True)
class FapiaoOrder:
    """What a provider is asked for, in clear: amounts in minor units of CNY.

    `reverses`: of a red letter, the number of the fapiao that it takes back in part or whole.
    """

    request_id: str
    kind: str
    seller_tax_id: str
    title: str
    tax_id: str | None
    email: str | None
    paper_number: str
    lines: tuple[PaperLine, ...]
    rates: tuple[RateSum, ...]
    total_minor: int
    reverses: str | None = None


@dataclass(frozen=True)
class FapiaoAnswer:
    """A number with its file, or the code of a refusal."""

    request_id: str
    fapiao_number: str = ""
    issue_date: date | None = None
    file_digest: str = ""
    media_type: str = "application/pdf"
    refused: str | None = None


class FapiaoProvider(Protocol):
    """A tax provider. Both calls may be repeated: the same request is one fapiao.

    Both raise OSError for what may work later.
    """

    @property
    def name(self) -> str: ...

    def submit(self, order: FapiaoOrder) -> None:
        """Hand in a request; one that was handed in before is left as it is."""

    def collect(self) -> list[FapiaoAnswer]:
        """Answers that were not settled yet."""

    def settle(self, request_id: str) -> None:
        """The ledger has the answer."""


def decide(command: FapiaoCommand, state: Order) -> list[Event]:
    """Return what the command makes true of the order: [] if it already is. Raises Rejected."""
    match command:
        case RequestFapiao():
            return _request(command, state)
        case RecordFapiao():
            return _record(command, state)
        case RecordFapiaoRefusal():
            return _refuse(command, state)
        case ReverseFapiao():
            return _reverse(command, state)


def _request(command: RequestFapiao, state: Order) -> list[Event]:
    if command.fapiao_id in state.papers.fapiao:
        return []
    if state.currency != CURRENCY:
        raise Rejected("fapiao_needs_cny", f"a fapiao is in {CURRENCY}", currency=state.currency)
    invoice = _uncovered(command.invoice_number, state)
    return [
        FapiaoRequested(
            person=state.person,
            fapiao_id=command.fapiao_id,
            invoice_number=invoice.number,
            kind=command.kind,
            title=command.title,
            tax_id=command.tax_id,
            email=command.email,
            at=command.at,
        )
    ]


def _uncovered(number: str | None, state: Order) -> Invoice:
    """The invoice named, or the oldest without a fapiao."""
    papers = state.papers
    covered = {one.invoice_number for one in papers.fapiao.values() if not one.refused}
    free = [one for one in papers.invoices.values() if one.number not in covered]
    if number is not None and number not in papers.invoices:
        raise Rejected("invoice_not_found", f"order {state.number} has no such invoice")
    for invoice in free:
        if number in {None, invoice.number}:
            return invoice
    raise Rejected("fapiao_exists", "every invoice has a fapiao: issue the invoice first")


def _known(fapiao_id: str, state: Order) -> Fapiao:
    known = state.papers.fapiao.get(fapiao_id)
    if known is None:
        raise Rejected("fapiao_not_found", fapiao_id=fapiao_id)
    return known


def _record(command: RecordFapiao, state: Order) -> list[Event]:
    known = _known(command.fapiao_id, state)
    if command.credit_number is not None:
        return _record_red_letter(command, command.credit_number, known)
    if known.number is not None:
        _require_same(known.number, command)
        return []
    if known.refused:
        raise Rejected("fapiao_refused", "the provider refused it: ask for a new one")
    return [
        FapiaoIssued(
            fapiao_id=command.fapiao_id,
            fapiao_number=command.fapiao_number,
            issue_date=command.issue_date,
            file_digest=command.file_digest,
            media_type=command.media_type,
            provider=command.provider,
            at=command.at,
        )
    ]


def _record_red_letter(command: RecordFapiao, credit: str, known: Fapiao) -> list[Event]:
    if credit not in known.red_letters:
        raise Rejected("red_letter_not_found", credit_number=credit)
    number = known.red_letters[credit]
    if number is not None:
        _require_same(number, command)
        return []
    return [
        FapiaoReversed(
            fapiao_id=command.fapiao_id,
            credit_number=credit,
            fapiao_number=command.fapiao_number,
            issue_date=command.issue_date,
            file_digest=command.file_digest,
            media_type=command.media_type,
            provider=command.provider,
            at=command.at,
        )
    ]


def _require_same(number: str, command: RecordFapiao) -> None:
    if number != command.fapiao_number:
        raise Rejected("fapiao_differs", f"it is {number}", fapiao_number=number)


def _refuse(command: RecordFapiaoRefusal, state: Order) -> list[Event]:
    known = _known(command.fapiao_id, state)
    credit = command.credit_number
    if credit is None and (known.refused or known.number is not None):
        return []
    if credit is not None and known.red_letters.get(credit, "") is not None:
        return []
    return [
        FapiaoRefused(
            fapiao_id=command.fapiao_id,
            credit_number=credit,
            code=command.code,
            provider=command.provider,
            at=command.at,
        )
    ]


def _reverse(command: ReverseFapiao, state: Order) -> list[Event]:
    known = _known(command.fapiao_id, state)
    if command.credit_number in known.red_letters:
        return []
    if known.number is None:
        raise Rejected("fapiao_not_issued", "only an issued fapiao is taken back")
    note = _unreversed(command.credit_number, known, state)
    return [
        FapiaoReversalRequested(
            fapiao_id=command.fapiao_id, credit_number=note.number, at=command.at
        )
    ]


def _unreversed(number: str | None, known: Fapiao, state: Order) -> CreditNote:
    for note in due_red_letters(known, state):
        if number in {None, note.number}:
            return note
    raise Rejected(
        "nothing_to_reverse", f"no such credit note of invoice {known.invoice_number} is open"
    )


def due_red_letters(known: Fapiao, state: Order) -> list[CreditNote]:
    """Credit notes of the fapiao's invoice that no red letter was asked for."""
    notes = state.papers.credit_notes.values()
    return [
        note
        for note in notes
        if note.invoice_number == known.invoice_number and note.number not in known.red_letters
    ]
