"""What the facts of refunds make of an order: what each holds of its payments and lines.

A refund that was requested, approved or paid holds its part; one that was denied or whose payout
failed does not. One that failed in part holds all of it on: the rest goes out once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from domain import order_lowering, order_papers
from domain.frozen import replace
from domain.order_facts import (
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
from domain.order_line import OrderLine, Reduction
from domain.order_lowering import Effect, Part

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
RefundStatus = Literal["requested", "approved", "paid", "failed", "denied"]


@dataclass(frozen=True)
class Refund:
    amount_minor: int
    parts: Mapping[str, int]  # method -> what goes back as the money came
    status: RefundStatus = "requested"
    shipping_minor: int = 0
    fee_minor: int = 0  # kept of the goods
    beside_minor: int = 0  # lowers what is owed beside the units of its lines
    advances_minor: int = 0  # by amount for goods in the house that are not wanted
    reduces: Mapping[int, Reduction] = field(default_factory=dict)  # by line_no, by amount
    undone: bool = False  # the order that it was for was brought back: it is owed again
    reason: str = ""
    requested_by: str = ""  # actor
    approved_by: str = ""  # the policy or an operator
    return_id: str | None = None
    evidence: tuple[str, ...] = ()
    lines: Mapping[int, Part] = field(default_factory=dict)  # by line_no
    payments: Mapping[str, int] = field(default_factory=dict)  # minor units by payment_id
    paid_by: Mapping[str, int] = field(default_factory=dict)  # minor units by method
    reference: str = ""  # that it was paid under last
    requested_at: datetime | None = None
    starts_at: datetime | None = None  # of the term for paying
    waits_since: datetime | None = None  # for the customer's evidence
    pauses: tuple[tuple[datetime, datetime], ...] = ()
    decide_by: datetime | None = None
    pay_by: datetime | None = None

    @property
    def lowers_minor(self) -> int:
        """Of what is owed, at the prices in force; beside what it reduces."""
        return self.beside_minor + sum(part.lowered_minor for part in self.lines.values())

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
            refund = replace(_anew(state, refund), status="approved")
    return _with(state, event.refund_id, refund)


def _with(state: Order, refund_id: str, refund: Refund) -> Order:
    """Hold what it holds now, instead of what it held before."""
    before = state.refunds.get(refund_id)
    held = before is not None and before.counts
    state = replace(state, refunds={**state.refunds, refund_id: refund})
    if held == refund.counts:
        return state
    return _held(state, refund_id, refund, 1 if refund.counts else -1)


def instead(state: Order, refund_id: str, refund: Refund) -> Order:
    """The same refund, holding something else."""
    before = state.refunds[refund_id]
    if before.counts:
        state = _held(state, refund_id, before, -1)
        state = _held(state, refund_id, refund, 1)
    return replace(state, refunds={**state.refunds, refund_id: refund})


def _held(state: Order, refund_id: str, refund: Refund, sign: int) -> Order:
    lines, payments = dict(state.lines), dict(state.payments)
    advanced = state.advanced_minor + sign * refund.advances_minor
    for line_no in refund.lines.keys() & lines.keys():
        lines[line_no] = _taken(lines[line_no], refund.lines[line_no], sign)
    for line_no in refund.reduces.keys() & lines.keys():
        lines[line_no] = _reduced(lines[line_no], refund_id, refund.reduces[line_no], sign)
    for payment_id in refund.payments.keys() & payments.keys():
        payment, amount = payments[payment_id], refund.payments[payment_id]
        given_back = payment.refunded_minor + sign * amount
        payments[payment_id] = replace(payment, refunded_minor=given_back)
    awaited = sum(part.advanced_minor for part in refund.lines.values())
    reducing = {refund_id} if refund.reduces else set()
    return replace(
        state,
        lines=lines,
        payments=payments,
        refunded_minor=state.refunded_minor + sign * refund.amount_minor,
        shipping_refunded_minor=state.shipping_refunded_minor + sign * refund.shipping_minor,
        kept_minor=state.kept_minor + sign * refund.fee_minor,
        lowered_minor=state.lowered_minor + sign * refund.lowers_minor,
        awaited_minor=state.awaited_minor + sign * awaited,
        advanced_minor=advanced,
        advances_used_minor=min(advanced, state.advances_used_minor),
        reducing=state.reducing | reducing if sign > 0 else state.reducing - reducing,
    )


def _taken(line: OrderLine, part: Part, sign: int) -> OrderLine:
    return replace(
        line,
        refunded=line.refunded + sign * part.units,
        refunded_minor=line.refunded_minor + sign * part.amount_minor,
        settled_minor=line.settled_minor + sign * part.worth_minor,
        settled_tax_minor=line.settled_tax_minor + sign * part.worth_tax_minor,
        lowered=line.lowered + sign * part.lowered,
        advanced=line.advanced + sign * part.advanced,
    )


def _reduced(line: OrderLine, refund_id: str, by: Reduction, sign: int) -> OrderLine:
    others = {name: one for name, one in line.reductions.items() if name != refund_id}
    return replace(line, reductions=others | ({refund_id: by} if sign > 0 else {}))


def _anew(state: Order, refund: Refund) -> Refund:
    """What is tried once more, for the goods as they are by now."""
    if refund.counts or refund.undone:
        return refund
    if not refund.lines:
        effect = order_lowering.by_amount(state, refund.amount_minor, refund.reason)
        return _effected(refund, effect)
    sent_first = order_lowering.of_sent(refund.reason, refund.return_id)
    lines = {
        no: order_lowering.placed(state.lines[no], part, sent_first) if no in state.lines else part
        for no, part in refund.lines.items()
    }
    beside = order_lowering.beside(state, lines, refund.shipping_minor, refund.fee_minor)
    return replace(refund, lines=lines, beside_minor=beside)


def _effected(refund: Refund, effect: Effect) -> Refund:
    return replace(
        refund,
        beside_minor=effect.lowers_minor,
        advances_minor=effect.advances_minor,
        reduces=effect.reduces,
    )


# -- facts of a refund ---------------------------------------------------------------------------


def _requested(state: Order, event: RefundRequested) -> Order:
    state = replace(state, papers=order_papers.asked(state.papers, event))
    known = event.refund_id in state.refunds  # Facts told twice by an import count once.
    payments = {} if known else _payments(state, event)
    parts = _parts(state, event)
    refund = Refund(
        amount_minor=event.amount_minor,
        parts=_by_method(state, event),
        status="requested" if event.needs_approval else "approved",
        shipping_minor=event.shipping_minor,
        fee_minor=event.fee_minor,
        reason=event.reason,
        requested_by=event.requested_by,
        return_id=event.return_id,
        evidence=tuple(event.evidence),
        lines=parts,
        payments=payments,
        requested_at=event.at,
        starts_at=event.starts_at,
        decide_by=event.decide_by,
        pay_by=event.pay_by,
    )
    if parts:
        beside = order_lowering.beside(state, parts, event.shipping_minor, event.fee_minor)
        refund = replace(refund, beside_minor=beside)
    else:
        effect = order_lowering.by_amount(state, event.amount_minor, event.reason)
        refund = _effected(refund, effect)
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
    sent_first = order_lowering.of_sent(event.reason, event.return_id)
    items: dict[int, RefundedLine] = {}
    for item in event.lines:
        if item.line_no in state.lines:
            known = items.get(item.line_no)
            items[item.line_no] = item if known is None else _both(known, item)
    return {no: _part(state.lines[no], item, sent_first) for no, item in items.items()}


def _both(one: RefundedLine, other: RefundedLine) -> RefundedLine:
    return RefundedLine(
        line_no=one.line_no,
        quantity=one.quantity + other.quantity,
        amount_minor=_sum(one.amount_minor, other.amount_minor),
        tax_minor=_sum(one.tax_minor, other.tax_minor),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _part(line: OrderLine, item: RefundedLine, sent_first: bool) -> Part:
    off = order_lowering.reduction_minor(line, item.quantity, sent_first)
    amount = item.amount_minor
    if amount is None:  # Imports know the units, not what they were worth.
        amount = max(0, line.left_minor(item.quantity) - off)
    whole = line.left_tax_minor(item.quantity)
    tax = whole if item.tax_minor is None else item.tax_minor
    part = Part(item.quantity, amount, tax, amount + off, whole if off else tax)
    return order_lowering.placed(line, part, sent_first)


def _paid(state: Order, event: RefundPaid) -> Order:
    refund = state.refunds.get(event.refund_id)
    if refund is None:  # Imports know refunds that nobody asked for.
        refund = Refund(event.amount_minor, {event.method: event.amount_minor})
        effect = order_lowering.by_amount(state, event.amount_minor, "")
        refund = _effected(refund, effect)
    before = 0 if refund.paid else refund.paid_by.get(event.method, 0)
    paid_by = {**refund.paid_by, event.method: before + event.amount_minor}
    paid = replace(refund, status="paid", paid_by=paid_by, reference=event.reference)
    return _with(state, event.refund_id, paid)


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
