"""A draft policy tried on an order that is there: which of its decisions would have been others.

Each fact is decided on again under the draft, on the state that it was decided on; what followed
stays as it was. So a difference is of one decision, not of another history: a customer who had to
pay a fee may not have cancelled at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from domain import order_cancellation, order_refund, order_return, refund_terms
from domain.command_types import LineQuantityBody
from domain.frozen import replace
from domain.message import Event, Rejected
from domain.order_facts import LineQuantity, OrderCancelled, OrderPlaced, RefundRequested
from domain.order_fold import evolve
from domain.order_reinstating import OVERDUE
from domain.order_state import Order
from domain.payment_facts import LateFeeCharged
from domain.payment_terms import due_at, late_fee
from domain.policy import PolicyVersion
from domain.refund_commands import RequestReturn
from domain.return_facts import ReturnRequested

Rule = Literal[
    "payment_due",
    "cancelled_when_overdue",
    "late_fee",
    "cancellation_fee",
    "refund_evidence",
    "refund_approval",
    "refund_term",
    "restocking_fee",
    "return",
]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class Decided:
    """What one rule came to and would come to: times as UTC text, amounts in minor units, else a
    word. `change_minor`: what the customer would pay more (above 0) or less.
    """

    rule: Rule
    at: datetime
    was: Any
    would_be: Any
    change_minor: int = 0

    @property
    def differs(self) -> bool:
        return bool(self.was != self.would_be)


def tried(facts: Iterable[Event], draft: PolicyVersion) -> Iterator[Decided]:
    """Every decision of an order that a policy has a say in, in the order of the facts."""
    state, late = Order(), None
    for fact in facts:
        if isinstance(fact, LateFeeCharged):
            late = fact, state
        yield from _decided(fact, state, draft)
        state = evolve(state, fact)
    if late is not None:
        yield _late_fee(*late, draft)


def _decided(fact: Event, state: Order, draft: PolicyVersion) -> Iterator[Decided]:
    match fact:
        case OrderPlaced():
            yield from _due(fact, draft)
        case OrderCancelled():
            yield from _cancelled(fact, state, draft)
        case RefundRequested():
            yield from _refund(fact, state, draft)
        case ReturnRequested():
            yield _return(fact, state, draft)
        case _:
            pass


def _due(fact: OrderPlaced, draft: PolicyVersion) -> Iterator[Decided]:
    """Orders from before their due time was pinned are passed over."""
    if fact.due_at is not None:
        due = due_at(fact.payment_method, fact.at, draft)
        yield Decided("payment_due", fact.at, _utc(fact.due_at), _utc(due))


def _utc(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _cancelled(fact: OrderCancelled, state: Order, draft: PolicyVersion) -> Iterator[Decided]:
    if fact.initiator == "system" and fact.reason_code == OVERDUE:
        would_be = draft.rules.payment.on_overdue
        yield Decided("cancelled_when_overdue", fact.at, "cancel", would_be)
        return
    fee = order_cancellation.fee_minor(fact, fact.goods_minor, state, draft.rules.cancellation)
    change = fee - fact.fee_minor
    yield Decided("cancellation_fee", fact.at, fact.fee_minor, fee, change)


def _refund(fact: RefundRequested, state: Order, draft: PolicyVersion) -> Iterator[Decided]:
    rules = draft.rules.refund
    missing = fact.reason in rules.evidence_for and not fact.evidence
    yield Decided("refund_evidence", fact.at, "accepted", "refused" if missing else "accepted")
    waits = order_refund.needs_second_person(fact.amount_minor, state, rules)
    who = {True: "second_person", False: "policy"}
    yield Decided("refund_approval", fact.at, who[fact.needs_approval], who[waits])
    if fact.pay_by is not None and fact.starts_at is not None:
        due = refund_terms.pay_by(fact.starts_at, draft).at
        yield Decided("refund_term", fact.at, _utc(fact.pay_by), _utc(due))
    back = state.returns.get(fact.return_id or "")
    if back is not None:
        goods = sum(line.amount_minor or 0 for line in fact.lines)
        fee = order_refund.restocking_fee_minor(fact.reason, back, goods, draft.rules)
        change = fee - fact.fee_minor
        yield Decided("restocking_fee", fact.at, fact.fee_minor, fee, change)


def _return(fact: ReturnRequested, state: Order, draft: PolicyVersion) -> Decided:
    asked = RequestReturn.model_construct(
        order_id=state.order_id,
        return_id=fact.return_id,
        lines=[_asked(item) for item in fact.lines],
        reason=fact.reason,  # type: ignore[arg-type]  # It was one when it was asked for.
        text=None,
        evidence=list(fact.evidence),
        parcel_id=fact.parcel_id,
        at=fact.at,
    )
    try:
        order_return.request(asked, state, draft)
    except Rejected as refusal:
        return Decided("return", fact.at, "accepted", refusal.code)
    return Decided("return", fact.at, "accepted", "accepted")


def _asked(item: LineQuantity) -> LineQuantityBody:
    return LineQuantityBody.model_construct(line_no=item.line_no, quantity=item.quantity)


def _late_fee(fact: LateFeeCharged, before: Order, draft: PolicyVersion) -> Decided:
    """Of all days up to the last that was charged, since a cap is of their sum."""
    was = before.money.late_charged_minor + fact.amount_minor
    assert before.placed_at is not None
    due = due_at(before.payment_method, before.placed_at, draft)
    never_late = replace(
        before,
        total_minor=before.total_minor - before.money.late_fees_minor,
        money=replace(before.money, late_days=(), late_waived_minor=0, due_at=due),
    )
    fee = late_fee(never_late, draft, fact.at).fee_minor
    return Decided("late_fee", fact.at, was, fee, fee - was)
