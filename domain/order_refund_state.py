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
from domain.order_line import OrderLine
from domain.pricing import running_share

if TYPE_CHECKING:
    from domain.order_state import Order

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
ZERO = Decimal(0)
# Reasons that only goods that were sent can have.
OF_SENT = frozenset({"quality_problem", "wrong_item", "damaged", "not_as_described", "lost"})
RefundStatus = Literal["requested", "approved", "paid", "failed", "denied"]


class Part(NamedTuple):
    """What a refund takes of one line."""

    units: Decimal
    amount_minor: int
    tax_minor: int
    lowered: Decimal = ZERO  # of the units: those that were sent, whose price falls
    lowered_minor: int = 0
    advanced: Decimal = ZERO  # those still in the house, which do not leave for nothing
    advanced_minor: int = 0


@dataclass(frozen=True)
class Refund:
    amount_minor: int
    parts: Mapping[str, int]  # method -> what goes back as the money came
    status: RefundStatus = "requested"
    shipping_minor: int = 0
    fee_minor: int = 0  # kept of the goods
    lowers_minor: int = 0  # of what is owed, for what was sent
    advances_minor: int = 0  # of what is owed, for what is in the house; the rest was a credit
    undone: bool = False  # the order that it was for was brought back: it is owed again
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
    advanced = state.advanced_minor + sign * refund.advances_minor
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
        lowered_minor=state.lowered_minor + sign * refund.lowers_minor,
        advanced_minor=advanced,
        advances_used_minor=min(advanced, state.advances_used_minor),
    )


def _taken(line: OrderLine, part: Part, sign: int) -> OrderLine:
    return replace(
        line,
        refunded=line.refunded + sign * part.units,
        refunded_minor=line.refunded_minor + sign * part.amount_minor,
        refunded_tax_minor=line.refunded_tax_minor + sign * part.tax_minor,
        lowered=line.lowered + sign * part.lowered,
        advanced=line.advanced + sign * part.advanced,
    )


# -- what is owed less --------------------------------------------------------------------------


def _split(line: OrderLine, part: Part, of_sent: bool) -> Part:
    """A part with what it takes of units that were sent, and of those still in the house. Units
    that nothing is owed for come first, unless the refund is `of_sent` ones: with a fault, or lost.
    """
    gone = max(ZERO, line.gone - (line.refunded - line.lowered - line.advanced))
    sent = max(ZERO, line.sent - line.lowered - line.relieved)
    first = min(part.units, sent) if of_sent else ZERO
    free = min(gone, part.units - first)
    lowered = min(part.units - free, sent)
    advanced = part.units - free - lowered
    lowered_minor = _share(part, lowered)
    return part._replace(
        lowered=lowered,
        lowered_minor=lowered_minor,
        advanced=advanced,
        advanced_minor=_share(part, lowered + advanced) - lowered_minor,
    )


def _share(part: Part, units: Decimal) -> int:
    return running_share(part.amount_minor, part.units, units) if units else 0


def _lowers(state: Order, event: RefundRequested, parts: Mapping[int, Part]) -> tuple[int, int]:
    """By how much less is owed: for what was sent, and for goods that are still in the house."""
    if not parts:
        return _lowers_by_amount(state, event.amount_minor, event.reason)
    goods = sum(part.lowered_minor for part in parts.values())
    advanced = sum(part.advanced_minor for part in parts.values())
    shipping = 0 if state.shipping_cancelled else event.shipping_minor
    if goods > 0:
        return max(0, goods + shipping - event.fee_minor), advanced
    return 0, max(0, advanced + shipping - event.fee_minor)


def _lowers_by_amount(state: Order, amount_minor: int, reason: str) -> tuple[int, int]:
    """Beyond a credit it is goodwill: for what was sent first, up to what that is worth."""
    credit = max(0, state.net_paid_minor - state.owed_minor)
    rest = max(0, amount_minor - credit)
    worth = sum(line.share(line.gross_minor, line.sent) for line in state.lines.values())
    sent = max(0, min(rest, worth - state.lowered_minor - state.relieved_minor))
    return (0, 0) if reason == "overpayment" else (sent, rest - sent)


def undone(state: Order) -> Order:
    """An order is brought back: what was given back for what had not been sent stands for money
    only, not for units, so that it is owed again, and they can be refunded once they are paid.
    """
    for refund_id, refund in state.refunds.items():
        if refund.status == "denied":
            continue
        bare = _of_sent_only(refund)
        if refund.counts:
            state = _held(_held(state, refund, -1), bare, 1)
        state = replace(state, refunds={**state.refunds, refund_id: bare})
    return state


def _of_sent_only(refund: Refund) -> Refund:
    lines = {
        no: part._replace(
            units=part.lowered,
            amount_minor=part.lowered_minor,
            tax_minor=running_share(part.tax_minor, part.units, part.lowered),
            advanced=ZERO,
            advanced_minor=0,
        )
        for no, part in refund.lines.items()
        if part.lowered
    }
    none = not refund.lowers_minor
    return replace(
        refund,
        lines=lines,
        shipping_minor=0 if none else refund.shipping_minor,
        advances_minor=0,
        undone=none,
    )


def _requested(state: Order, event: RefundRequested) -> Order:
    state = replace(state, papers=order_papers.asked(state.papers, event))
    known = event.refund_id in state.refunds  # Facts told twice by an import count once.
    payments = {} if known else _payments(state, event)
    parts = _parts(state, event)
    refund = Refund(
        event.amount_minor,
        _by_method(state, event),
        "requested" if event.needs_approval else "approved",
        event.shipping_minor,
        event.fee_minor,
        *_lowers(state, event, parts),
        False,
        event.reason,
        event.requested_by,
        "",
        event.return_id,
        tuple(event.evidence),
        parts,
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
        method = first_method(part.payment_id, state)
        found[method] = found.get(method, 0) + part.amount_minor
    return found or {state.payment_method: event.amount_minor}


def first_method(payment_id: str, state: Order) -> str:
    """By which the money came from outside or from the account: of exchanged goods, that which
    they were paid by.
    """
    if payment_id in state.exchanged:
        return state.exchanged[payment_id].method
    payment = state.payments.get(payment_id)
    return payment.method if payment else state.payment_method


def _parts(state: Order, event: RefundRequested) -> dict[int, Part]:
    """What it takes of the lines that are known. A line that stands twice adds up."""
    taken = dict(state.lines)
    for item in event.lines:
        line = taken.get(item.line_no)
        if line is not None:
            taken[item.line_no] = _taken(line, _part(line, item), 1)
    of_sent = event.return_id is not None or event.reason in OF_SENT
    return {
        no: _split(
            before,
            Part(
                line.refunded - before.refunded,
                line.refunded_minor - before.refunded_minor,
                line.refunded_tax_minor - before.refunded_tax_minor,
            ),
            of_sent,
        )
        for no, line in taken.items()
        if line is not (before := state.lines[no])
    }


def _part(line: OrderLine, item: LineQuantity) -> Part:
    refunded = line.refunded + item.quantity
    amount = item.amount_minor
    if amount is None:  # Imports know the units, not what they were worth.
        amount = line.left_minor(item.quantity)
    tax = item.tax_minor if isinstance(item, RefundedLine) else None
    if tax is None:
        tax = line.share(line.priced.tax_minor, refunded) - line.refunded_tax_minor
    return Part(item.quantity, amount, tax)


def _paid(state: Order, event: RefundPaid) -> Order:
    refund = state.refunds.get(event.refund_id)
    if refund is None:  # Imports know refunds that nobody asked for.
        lowers, advances = _lowers_by_amount(state, event.amount_minor, "")
        refund = Refund(
            event.amount_minor,
            {event.method: event.amount_minor},
            lowers_minor=lowers,
            advances_minor=advances,
        )
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
