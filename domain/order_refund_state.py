"""What the facts of refunds make of an order: what each holds of its payments and lines.

A refund that was requested, approved or paid holds its part; one that was denied or whose payout
failed does not. One that failed in part holds all of it on: the rest goes out once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from domain import order_papers
from domain.frozen import replace
from domain.order_facts import (
    LineQuantity,
    RefundApproved,
    RefundDenied,
    RefundedLine,
    RefundEvidenceAdded,
    RefundEvidenceAsked,
    RefundFailed,
    RefundPaid,
    RefundRequested,
    RefundRetried,
)

if TYPE_CHECKING:
    from domain.order_state import Order, OrderLine

RefundEvent = (
    RefundRequested
    | RefundEvidenceAsked
    | RefundEvidenceAdded
    | RefundApproved
    | RefundDenied
    | RefundPaid
    | RefundFailed
    | RefundRetried
)
RefundStatus = Literal["requested", "approved", "paid", "failed", "denied"]


class Part(NamedTuple):
    """What a refund takes of one line."""

    units: Decimal
    amount_minor: int
    tax_minor: int


@dataclass(frozen=True)
class Refund:
    amount_minor: int
    parts: Mapping[str, int]  # method -> what goes back as the money came
    status: RefundStatus = "requested"
    shipping_minor: int = 0
    fee_minor: int = 0  # kept of the goods
    reason: str = ""
    requested_by: str = ""  # actor
    approved_by: str = ""  # the policy or an operator
    return_id: str | None = None
    evidence: tuple[str, ...] = ()
    lines: Mapping[int, Part] = field(default_factory=dict)  # by line_no
    payments: Mapping[str, int] = field(default_factory=dict)  # minor units by payment_id
    paid_by: Mapping[str, int] = field(default_factory=dict)  # minor units by method
    requested_at: datetime | None = None
    starts_at: datetime | None = None  # of the term for paying
    waits_since: datetime | None = None  # for the customer's evidence
    pauses: tuple[tuple[datetime, datetime], ...] = ()
    decide_by: datetime | None = None
    pay_by: datetime | None = None

    @property
    def paid(self) -> bool:
        return self.status == "paid"

    @property
    def counts(self) -> bool:
        """Whether it holds its part of what was paid."""
        return self.status not in {"failed", "denied"} or bool(self.paid_by)

    @property
    def given_back_minor(self) -> int:
        """What has gone out and did not come back."""
        return self.amount_minor if self.paid else sum(self.paid_by.values())

    @property
    def runs(self) -> bool:
        """Whether its terms run: not while the customer's evidence is awaited."""
        return self.waits_since is None and self.status != "denied"

    @property
    def is_open(self) -> bool:
        """Money is still to go, or to be decided on."""
        return self.status not in {"paid", "denied"}


def evolve(state: Order, event: RefundEvent) -> Order:
    match event:
        case RefundRequested():
            return _requested(state, event)
        case RefundPaid():
            return _paid(state, event)
    refund = state.refunds.get(event.refund_id)
    if refund is None:
        return state
    match event:
        case RefundEvidenceAsked():
            refund = replace(refund, waits_since=event.at)
        case RefundEvidenceAdded():
            refund = _shown(refund, event)
        case RefundApproved():
            refund = replace(refund, status="approved", approved_by=event.by)
        case RefundDenied():
            refund = replace(refund, status="denied")
        case RefundFailed():
            refund = replace(refund, status="failed", paid_by=_arrived(refund, event))
        case RefundRetried():
            refund = replace(refund, status="approved")
    return _with(state, event.refund_id, refund)


def _with(state: Order, refund_id: str, refund: Refund) -> Order:
    """Hold what it holds now, instead of what it held before."""
    before = state.refunds.get(refund_id)
    held = before is not None and before.counts
    state = replace(state, refunds={**state.refunds, refund_id: refund})
    if held == refund.counts:
        return state
    return _held(state, refund, 1 if refund.counts else -1)


def _held(state: Order, refund: Refund, sign: int) -> Order:
    lines, payments = dict(state.lines), dict(state.payments)
    for line_no in refund.lines.keys() & lines.keys():
        lines[line_no] = _taken(lines[line_no], refund.lines[line_no], sign)
    for payment_id in refund.payments.keys() & payments.keys():
        payment, amount = payments[payment_id], refund.payments[payment_id]
        given_back = payment.refunded_minor + sign * amount
        payments[payment_id] = replace(payment, refunded_minor=given_back)
    return replace(
        state,
        lines=lines,
        payments=payments,
        refunded_minor=state.refunded_minor + sign * refund.amount_minor,
        shipping_refunded_minor=state.shipping_refunded_minor + sign * refund.shipping_minor,
        kept_minor=state.kept_minor + sign * refund.fee_minor,
    )


def _taken(line: OrderLine, part: Part, sign: int) -> OrderLine:
    return replace(
        line,
        refunded=line.refunded + sign * part.units,
        refunded_minor=line.refunded_minor + sign * part.amount_minor,
        refunded_tax_minor=line.refunded_tax_minor + sign * part.tax_minor,
    )


def _requested(state: Order, event: RefundRequested) -> Order:
    state = replace(state, papers=order_papers.asked(state.papers, event))
    known = event.refund_id in state.refunds  # Facts told twice by an import count once.
    payments = {} if known else _payments(state, event)
    refund = Refund(
        event.amount_minor,
        _by_method(state, event),
        "requested" if event.needs_approval else "approved",
        event.shipping_minor,
        event.fee_minor,
        event.reason,
        event.requested_by,
        "",
        event.return_id,
        tuple(event.evidence),
        _parts(state, event.lines),
        payments,
        {},
        event.at,
        event.starts_at,
        None,
        (),
        event.decide_by,
        event.pay_by,
    )
    return state if known else _with(state, event.refund_id, refund)


def _payments(state: Order, event: RefundRequested) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in event.payments:
        if part.payment_id in state.payments:
            found[part.payment_id] = found.get(part.payment_id, 0) + part.amount_minor
    return found


def _by_method(state: Order, event: RefundRequested) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in event.payments:
        payment = state.payments.get(part.payment_id)
        method = payment.method if payment else state.payment_method
        found[method] = found.get(method, 0) + part.amount_minor
    return found or {state.payment_method: event.amount_minor}


def _parts(state: Order, lines: list[RefundedLine]) -> dict[int, Part]:
    """What it takes of the lines that are known. A line that stands twice adds up."""
    taken = dict(state.lines)
    for item in lines:
        line = taken.get(item.line_no)
        if line is not None:
            taken[item.line_no] = _taken(line, _part(line, item), 1)
    return {
        no: Part(
            line.refunded - before.refunded,
            line.refunded_minor - before.refunded_minor,
            line.refunded_tax_minor - before.refunded_tax_minor,
        )
        for no, line in taken.items()
        if line is not (before := state.lines[no])
    }


def _part(line: OrderLine, item: LineQuantity) -> Part:
    refunded = line.refunded + item.quantity
    amount = item.amount_minor
    if amount is None:  # Imports know the units, not what they were worth.
        amount = line.share(line.gross_minor, refunded) - line.refunded_minor
    tax = item.tax_minor if isinstance(item, RefundedLine) else None
    if tax is None:
        tax = line.share(line.priced.tax_minor, refunded) - line.refunded_tax_minor
    return Part(item.quantity, amount, tax)


def _paid(state: Order, event: RefundPaid) -> Order:
    refund = state.refunds.get(event.refund_id)
    if refund is None:  # Imports know refunds that nobody asked for.
        refund = Refund(event.amount_minor, {event.method: event.amount_minor})
    before = 0 if refund.paid else refund.paid_by.get(event.method, 0)
    paid_by = {**refund.paid_by, event.method: before + event.amount_minor}
    return _with(state, event.refund_id, replace(refund, status="paid", paid_by=paid_by))


def _arrived(refund: Refund, event: RefundFailed) -> Mapping[str, int]:
    """What did not come back, by method."""
    if event.method is None:
        return {} if refund.paid else refund.paid_by
    return {method: part for method, part in refund.paid_by.items() if method != event.method}


def _shown(refund: Refund, event: RefundEvidenceAdded) -> Refund:
    since = refund.waits_since
    return replace(
        refund,
        evidence=tuple(dict.fromkeys([*refund.evidence, *event.evidence])),
        waits_since=None,
        pauses=refund.pauses if since is None else (*refund.pauses, (since, event.at)),
        decide_by=event.decide_by if since else refund.decide_by,
        pay_by=event.pay_by if since else refund.pay_by,
    )
