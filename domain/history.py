"""Real history as facts: what a source says of an order, told in our words, never refused.

Where `decide` asks whether something may happen, `history` only says that it did. What cannot be
quite right is told all the same, and named as an irregularity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID, uuid5

from domain import number
from domain.command_types import NUMBERS_MAX, Channel, PaymentMethod
from domain.history_placement import placed
from domain.history_record import (
    IMPORT,
    Approved,
    Cancelled,
    Delivered,
    Dispatched,
    Fact,
    Feedback,
    FoundUnits,
    Note,
    Paid,
    Record,
    Refunded,
)
from domain.message import Decision, Event, StreamName
from domain.money import CURRENCIES
from domain.order_facts import (
    FeedbackGiven,
    LineQuantity,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderNoted,
    OrderPlaced,
    PaymentCaptured,
    PaymentPart,
    RefundedLine,
    RefundPaid,
    RefundRequested,
)
from domain.order_fold import evolve
from domain.order_line import ZERO, OrderLine
from domain.order_payment import payer_of
from domain.order_state import Order

METHODS = frozenset(get_args(PaymentMethod))
CHANNELS = frozenset(get_args(Channel))
SCORES = range(1, 6)

# What comes first where all goes well; the reverse is told as it was, and named.
_ORDER = (
    ("placed", "approved"),
    ("placed", "paid"),
    ("placed", "dispatched"),
    ("placed", "delivered"),
    ("placed", "cancelled"),
    ("approved", "dispatched"),
    ("approved", "delivered"),
    ("dispatched", "delivered"),
    ("delivered", "feedback"),
)


@dataclass(frozen=True, slots=True)
class History:
    """The facts of one order, the keys that it claims, and what is irregular about it."""

    order_id: str
    decision: Decision
    irregular: tuple[str, ...]  # kinds, sorted


@dataclass(slots=True)
class _Telling:
    """An order on the way through its facts."""

    order_id: str
    namespace: UUID  # of the ids of its parts
    state: Order = field(default_factory=Order)
    events: list[Event] = field(default_factory=list)
    irregular: set[str] = field(default_factory=set)
    parcel: str | None = None  # id of the one that was dispatched last

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.state = evolve(self.state, event)

    def child(self, what: str) -> str:
        """The id of a part of the order: the same whenever the record is told."""
        return str(uuid5(self.namespace, what))


def order_id_of(namespace: UUID, record: Record) -> str:
    """The order's id: the same whenever the record is imported into this ledger."""
    return str(uuid5(namespace, record.key))


def numbers(order_id: str) -> Iterator[str]:
    """The sayable numbers that an imported order may have: the first that is free is taken."""
    width = number.SEED_MAX - number.SEED_MIN + 1
    for attempt in range(NUMBERS_MAX):
        digest = hashlib.blake2b(f"{order_id}/{attempt}".encode(), digest_size=8).digest()
        yield number.from_seed(number.SEED_MIN + int.from_bytes(digest, "big") % width)


def history(record: Record, order_id: str, order_number: str) -> History:
    """Tell a record: the events of the order's stream, its claims, its irregularities. Pure."""
    telling = _Telling(order_id, UUID(order_id), irregular=set(record.irregular))
    placement = placed(record, order_id, order_number, telling.irregular)
    telling.tell(placement)
    for index, fact in enumerate(record.facts):
        _tell(telling, fact, index)
    telling.irregular |= {*_wrong_order(record), *_unlikely(record, placement, telling.state)}
    irregular = tuple(sorted(telling.irregular))
    found = {**(record.order.verbatim or {}), IMPORT: _noticed(record, irregular)}
    telling.events[0] = placement.model_copy(update={"verbatim": found})
    claims = (
        ("order_number", order_number, order_id),
        ("external_ref", f"{record.order.shop}/{record.order.external_ref}", order_id),
    )
    stream = StreamName("order", order_id)
    return History(order_id, Decision({stream: telling.events}, claims), irregular)


def _noticed(record: Record, irregular: Sequence[str]) -> dict[str, Any]:
    """The source, what is irregular, and by line number the locations that we could not keep."""
    noticed: dict[str, Any] = {"source": record.origin}
    if irregular:
        noticed["irregular"] = list(irregular)
    lines = enumerate(record.order.lines, start=1)
    if unclear := {str(no): line.location for no, line in lines if line.location_unclear}:
        noticed["locations"] = unclear
    return noticed


# -- the facts -------------------------------------------------------------------------------------


def _tell(telling: _Telling, fact: Fact, index: int) -> None:
    match fact:
        case Approved():
            telling.tell(OrderApproved(by="import", at=fact.at))
        case Paid():
            telling.tell(_paid(telling, fact, index))
        case Dispatched():
            telling.tell(_dispatched(telling, fact, index))
        case Delivered():
            telling.tell(_delivered(telling, fact))
        case Cancelled():
            telling.tell(_cancelled(telling, fact))
        case Refunded():
            for event in _refunded(telling, fact, index):
                telling.tell(event)
        case Feedback():
            telling.tell(_feedback(telling, fact, index))
        case Note():
            note_id = telling.child(f"note/{index}")
            person = telling.state.person
            telling.tell(OrderNoted(person=person, note_id=note_id, text=fact.text, at=fact.at))


def _paid(telling: _Telling, fact: Paid, index: int) -> PaymentCaptured:
    if fact.method not in METHODS:
        telling.irregular.add("payment_method_unknown")
    if fact.amount_minor <= 0:
        telling.irregular.add("payment_of_nothing")
    return PaymentCaptured(
        person=payer_of(telling.order_id),
        payment_id=telling.child(f"payment/{index}"),
        method=fact.method,
        amount_minor=fact.amount_minor,
        reference=fact.reference,
        payer=fact.payer,
        verbatim=fact.verbatim,
        at=fact.at,
    )


def _dispatched(telling: _Telling, fact: Dispatched, index: int) -> OrderDispatched:
    name = fact.parcel or fact.tracking_number or str(index)
    telling.parcel = telling.child(f"parcel/{name}")
    if telling.parcel in telling.state.parcels:
        telling.irregular.add("dispatched_twice")
    if telling.state.cancelled:
        telling.irregular.add("dispatched_after_cancellation")
    return OrderDispatched(
        parcel_id=telling.parcel,
        lines=_units(telling, fact.lines, _undispatched(telling.state)),
        carrier=fact.carrier,
        tracking_number=fact.tracking_number or "",
        estimated_at=fact.estimated_at,
        verbatim=fact.verbatim,
        at=fact.at,
    )


def _delivered(telling: _Telling, fact: Delivered) -> OrderDelivered:
    if fact.parcel is not None:
        parcel_id = telling.child(f"parcel/{fact.parcel}")
    else:
        parcel_id = telling.parcel or telling.child("parcel/unseen")
    known = telling.state.parcels.get(parcel_id)
    if known is None:
        telling.irregular.add("delivered_without_dispatch")
    units = list(known.lines) if known else _undispatched(telling.state)
    return OrderDelivered(
        parcel_id=parcel_id,
        lines=_units(telling, fact.lines, units),
        source="import",
        at=fact.at,
    )


def _undispatched(state: Order) -> list[LineQuantity]:
    rests = ((no, line.live - line.dispatched) for no, line in state.lines.items())
    return [LineQuantity(line_no=no, quantity=rest) for no, rest in rests if rest > 0]


def _units(
    telling: _Telling, found: Sequence[FoundUnits] | None, otherwise: list[LineQuantity]
) -> list[LineQuantity]:
    if found is None:
        return otherwise
    if any(item.line_no not in telling.state.lines for item in found):
        telling.irregular.add("line_unknown")
    return [LineQuantity(line_no=item.line_no, quantity=item.quantity) for item in found]


def _cancelled(telling: _Telling, fact: Cancelled) -> OrderCancelled:
    """All of it, shipping included, unless the source says less: also what had left the house."""
    state = telling.state
    if state.parcels:
        telling.irregular.add("cancelled_after_dispatch")
    asked = _units(telling, fact.lines, _live(state))
    known = [(state.lines[item.line_no], item) for item in asked if item.line_no in state.lines]
    lines = [_worth(line, item.quantity) for line, item in known]
    cancelled = {item.line_no: item.quantity for item in lines}
    whole = all(line.live <= cancelled.get(no, ZERO) for no, line in state.lines.items())
    shipping = state.shipping_minor if whole and not state.shipping_cancelled else 0
    parts = sum(item.amount_minor or 0 for item in lines)
    goods = state.total_minor - shipping if whole else parts
    tax = sum(_tax_share(line, item.quantity) for line, item in known)
    return OrderCancelled(
        person=state.person,
        initiator=fact.initiator,
        reason_code=fact.reason_code,
        text=fact.text,
        lines=lines,
        goods_minor=goods,
        shipping_minor=shipping,
        tax_minor=tax + (state.shipping_tax_minor if shipping else 0),
        total_minor=state.total_minor - goods - shipping,
        all=whole,
        verbatim=fact.verbatim,
        at=fact.at,
    )


def _live(state: Order) -> list[LineQuantity]:
    return [
        LineQuantity(line_no=no, quantity=line.live)
        for no, line in state.lines.items()
        if line.live > 0
    ]


def _worth(line: OrderLine, units: Decimal) -> LineQuantity:
    gross = line.share(line.gross_minor, line.cancelled + units)
    amount = gross - line.share(line.gross_minor, line.cancelled)
    return LineQuantity(line_no=line.priced.line_no, quantity=units, amount_minor=amount)


def _tax_share(line: OrderLine, units: Decimal) -> int:
    tax = line.priced.tax_minor
    return line.share(tax, line.cancelled + units) - line.share(tax, line.cancelled)


def _refunded(telling: _Telling, fact: Refunded, index: int) -> Iterator[Event]:
    """Which money went back is only known where there was one payment."""
    state, refund_id = telling.state, telling.child(f"refund/{index}")
    if fact.amount_minor > state.net_paid_minor:
        telling.irregular.add("refund_exceeds_paid")
    only = next(iter(state.payments)) if len(state.payments) == 1 else None
    method = state.payments[only].method if only else state.payment_method
    yield RefundRequested(
        person=state.person,
        refund_id=refund_id,
        amount_minor=fact.amount_minor,
        shipping_minor=fact.shipping_minor,
        lines=[RefundedLine(**dict(item)) for item in _units(telling, fact.lines, [])],
        reason=fact.reason,
        text=fact.text,
        payments=[PaymentPart(payment_id=only, amount_minor=fact.amount_minor)] if only else [],
        at=fact.requested_at or fact.at,
    )
    yield RefundPaid(
        refund_id=refund_id,
        amount_minor=fact.amount_minor,
        method=fact.method or method,
        reference=fact.reference,
        at=fact.at,
    )


def _feedback(telling: _Telling, fact: Feedback, index: int) -> FeedbackGiven:
    if fact.score not in SCORES:
        telling.irregular.add("score_out_of_scale")
    return FeedbackGiven(
        person=telling.state.person,
        feedback_id=telling.child(f"feedback/{index}"),
        score=fact.score,
        comment=fact.comment,
        verbatim=fact.verbatim,
        at=fact.at,
    )


# -- what is irregular -----------------------------------------------------------------------------


def _wrong_order(record: Record) -> Iterator[str]:
    first: dict[str, datetime] = {"placed": record.order.placed_at}
    for fact in record.facts:
        first.setdefault(fact.type, fact.at)
    for earlier, later in _ORDER:
        if earlier in first and later in first and first[later] < first[earlier]:
            yield f"{later}_before_{earlier}"


def _unlikely(record: Record, placed: OrderPlaced, state: Order) -> Iterator[str]:
    order = record.order
    if order.customer_id is None:
        yield "customer_missing"
    if order.currency not in CURRENCIES:
        yield "currency_unknown"
    if order.channel not in CHANNELS:
        yield "channel_unknown"
    if not order.lines:
        yield "lines_missing"
    if any(line.location_unclear for line in order.lines):
        yield "location_unclear"
    if state.parcels and not state.approved:
        yield "never_approved"
    yield from _unlikely_money(placed, state)


def _unlikely_money(placed: OrderPlaced, state: Order) -> Iterator[str]:
    if not state.payments and placed.total_minor > 0:
        yield "payment_missing"
    elif placed.lines and state.paid_minor > placed.total_minor:
        yield "overpaid"
    elif placed.lines and state.paid_minor < placed.total_minor:
        yield "underpaid"
    if state.cancelled and state.net_paid_minor > 0:
        yield "cancelled_without_refund"
