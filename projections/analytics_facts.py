"""The facts that figures are made of: signed amounts with the position of their event.

A line fact is the difference that an event made to what an order sells, so the facts of an order
always add up to its state: a cancellation takes away what the placement brought. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain import order_fold, order_state
from domain.frozen import replace
from domain.message import Event, Recorded
from domain.money import ratio_half_up, split
from domain.order_facts import (
    LineQuantity,
    LinesAmended,
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderPacked,
    OrderPlaced,
    OrderVoided,
    PaymentCaptured,
    RefundFailed,
    RefundPaid,
    RefundRequested,
)
from domain.order_line import ZERO, OrderLine
from domain.order_state import Order
from domain.payment_facts import (
    ChargebackLost,
    DeliveryRefused,
    OrderReinstated,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentVoided,
)
from domain.replacement_facts import OrderReplaced, PlacedAsReplacement, ReplacementWithdrawn
from projections.analytics_tables import LINE_FACT, PARCEL_FACT, PAYMENT_FACT, REFUND_FACT

TOPICS = frozenset(
    kind.TOPIC
    for kind in (
        OrderPlaced,
        LinesAmended,
        OrderCancelled,
        OrderVoided,
        PaymentCaptured,
        RefundRequested,
        RefundPaid,
        RefundFailed,
        OrderPacked,
        OrderDispatched,
        OrderDelivered,
        PaymentVoided,
        PaymentMovedOut,
        PaymentMovedIn,
        ChargebackLost,
        OrderReinstated,
        DeliveryRefused,
        OrderReplaced,
        ReplacementWithdrawn,
        PlacedAsReplacement,
    )
)
Facts = list[tuple[str, tuple[Any, ...]]]  # (table, row in the order of its columns)
_KINDS: dict[type[Event], str] = {
    OrderPlaced: "placed",
    LinesAmended: "amended",
    OrderCancelled: "cancelled",
    OrderReinstated: "reinstated",
    DeliveryRefused: "refused",
    OrderVoided: "voided",
    # What goes out at no price is a cost of the order whose units were lost, short or damaged.
    OrderReplaced: "replaced",
    ReplacementWithdrawn: "replacement_withdrawn",
    PlacedAsReplacement: "replacement",
}
_MONEY_KINDS: dict[type[Event], tuple[str, int]] = {  # what it is called, and its sign
    PaymentCaptured: ("captured", 1),
    PaymentMovedIn: ("moved_in", 1),
    PaymentMovedOut: ("moved_out", -1),
    PaymentVoided: ("voided", -1),
    ChargebackLost: ("charged_back", -1),
}
LineKey = tuple[int, str, str]  # line_no, sku, category


@dataclass(frozen=True)
class Asked:
    """What a refund was asked for: units with their worth, and shipping."""

    lines: tuple[LineQuantity, ...]
    shipping_minor: int


@dataclass(frozen=True)
class FactState:
    """What is known of an order before its next fact."""

    order: Order
    channel: str
    placed_at: datetime
    refunds: Mapping[str, Asked] = field(default_factory=dict)
    sold_back: Mapping[LineKey, int] = field(default_factory=dict)  # sum of sold_minor by line


@dataclass(frozen=True, slots=True)
class Selling:
    """What a line sells now; all in minor units, for its units that are not cancelled.

    gross: before discounts, its tax within, also where prices exclude it. discount: the line's own
    and its share of the order's. shipping: its share of what the customer pays for shipping.
    tax: within goods and shipping. So gross - discount + shipping, summed up, is what is owed.
    """

    lines: int = 0
    quantity: Decimal = ZERO
    gross_minor: int = 0
    discount_minor: int = 0
    shipping_minor: int = 0
    tax_minor: int = 0
    cost_minor: int = 0

    def values(self) -> tuple[Any, ...]:
        return (
            self.lines,
            self.quantity,
            self.gross_minor,
            self.discount_minor,
            self.shipping_minor,
            self.tax_minor,
            self.cost_minor,
        )


_NOTHING = Selling()


def fold(state: FactState | None, recorded: Recorded) -> tuple[FactState | None, Facts]:
    """The state after an event, and the facts that it makes. An order begins with its placement."""
    event = recorded.event
    if state is None:
        if not isinstance(event, OrderPlaced):
            return None, []
        order = order_state.impersonal(order_fold.evolve(Order(), event))
        new = FactState(order, event.channel, event.at)
        return new, _line_facts(recorded, new, Order(), order)
    before = state.order
    after = order_fold.evolve(before, event)
    state = replace(state, order=after)
    match event:
        case _ if type(event) in _KINDS:
            return _settled(recorded, state, _line_facts(recorded, state, before, after))
        case _ if type(event) in _MONEY_KINDS:
            fact = (PAYMENT_FACT, _payment_fact(recorded, state, event))
            return _settled(recorded, state, [fact])
        case RefundRequested():
            asked = Asked(tuple(event.lines), event.shipping_minor)
            return replace(state, refunds={**state.refunds, event.refund_id: asked}), []
        case RefundPaid():
            return _refunded(recorded, state, event, event.amount_minor)
        case RefundFailed(was_paid=True):  # Money that was told to have gone, and came back.
            return _refunded(recorded, state, event, -event.amount_minor)
        case OrderPacked() | OrderDispatched() | OrderDelivered():
            return state, [(PARCEL_FACT, _parcel_fact(recorded, state, event))]
        case _:
            return state, []


def _common(recorded: Recorded, state: FactState, n: int) -> tuple[Any, ...]:
    return (
        recorded.position,
        n,
        str(recorded.stream_id),
        recorded.event.at,
        recorded.recorded_at,
        state.placed_at,
        state.order.shop,
        state.channel,
        state.order.currency,
        recorded.origin,
    )


def _payment_fact(recorded: Recorded, state: FactState, event: Any) -> tuple[Any, ...]:
    kind, sign = _MONEY_KINDS[type(event)]
    payment = state.order.payments.get(event.payment_id)
    gone = payment is None or payment.here_minor <= 0
    payments = 1 if sign > 0 else -int(gone)
    amount = sign * event.amount_minor
    return (*_common(recorded, state, 0), event.payment_id, event.method, amount, payments, kind)


def _line_facts(recorded: Recorded, state: FactState, before: Order, after: Order) -> Facts:
    old, new = selling(before), selling(after)
    kind = _KINDS[type(recorded.event)]
    facts: Facts = []
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key, _NOTHING).values(), new.get(key, _NOTHING).values()
        if one != other:
            change = [b - a for a, b in zip(one, other, strict=True)]
            common = _common(recorded, state, len(facts))
            facts.append((LINE_FACT, (*common, kind, *key, *change)))
    return facts


def selling(order: Order) -> dict[LineKey, Selling]:
    """What an order sells, line by line; nothing when it was voided."""
    if not order.placed or order.void:
        return {}
    charged = not order.shipping_cancelled
    shipping = order.shipping_minor if charged else 0
    tax = order.shipping_tax_minor if charged else 0
    if not order.lines:
        lines = 0 if order.cancelled else 1
        return {(0, "", ""): Selling(lines, ZERO, 0, 0, shipping, tax, 0)}
    weights = [max(0, line.gross_minor) for line in order.lines.values()]
    shares = zip(split(shipping, weights), split(tax, weights), strict=True)
    return {
        _key(line): _selling(line, *share, bears_cost=order.replacement_of is None)
        for line, share in zip(order.lines.values(), shares, strict=True)
    }


def _key(line: OrderLine) -> LineKey:
    return line.priced.line_no, line.priced.sku, line.priced.category


def _selling(line: OrderLine, shipping: int, shipping_tax: int, *, bears_cost: bool) -> Selling:
    """Units that are gone take their running share of each amount, as everywhere (ADR 0002)."""
    priced = line.priced
    discount = priced.discount_minor + priced.order_discount_minor
    discount -= line.share(discount, line.gone)
    sold = priced.quantity - line.gone
    sent = (sold if bears_cost else ZERO) + line.replaced
    cost, of = (sent * (priced.unit_cost_minor or 0)).as_integer_ratio()
    return Selling(
        lines=1 if sold > 0 or line.gone == 0 else 0,
        quantity=sold,
        gross_minor=line.owed_minor + discount,
        discount_minor=discount,
        shipping_minor=shipping,
        tax_minor=line.owed_tax_minor + shipping_tax,
        cost_minor=ratio_half_up(cost, of),
    )


def _refunded(
    recorded: Recorded, state: FactState, event: RefundPaid | RefundFailed, amount_minor: int
) -> tuple[FactState, Facts]:
    """The money that went back, by line: as it was asked for, else by what the lines cost."""
    keys = [_key(line) for line in state.order.lines.values()] or [(0, "", "")]
    weights = _refund_weights(state, event.refund_id) or [1]
    amounts = dict(zip(keys, split(amount_minor, weights), strict=True))
    sold = _newly_sold_back(state, dict(zip(keys, weights, strict=True)))
    facts: Facts = []
    for key in dict.fromkeys([*amounts, *sold]):
        parts = (amounts.get(key, 0), sold.get(key, 0))
        if any(parts):
            common = _common(recorded, state, len(facts))
            facts.append((REFUND_FACT, (*common, event.refund_id, event.method, *key, *parts)))
    return _with_sold_back(state, sold), facts


def _settled(recorded: Recorded, state: FactState, facts: Facts) -> tuple[FactState, Facts]:
    """What was paid or is owed has changed, and with it what refunds took from what was sold."""
    keys = {_key(line): max(0, line.gross_minor) for line in state.order.lines.values()}
    sold = _newly_sold_back(state, keys or {(0, "", ""): 1})
    more = [
        (REFUND_FACT, (*_common(recorded, state, n), "", "", *key, 0, amount))
        for n, (key, amount) in enumerate(sold.items())
        if amount
    ]
    return _with_sold_back(state, sold), [*facts, *more]


def _newly_sold_back(state: FactState, weights: Mapping[LineKey, int]) -> dict[LineKey, int]:
    """The change of `sold_back`: a rise by these weights, a fall where it was counted before."""
    order = state.order
    given_back = sum(refund.given_back_minor for refund in order.refunds.values())
    above = max(0, order.paid_minor - order.total_minor)
    change = max(0, given_back - above) - sum(state.sold_back.values())
    if change >= 0:
        parts = [*weights.values()] if any(weights.values()) else [1] * len(weights)
        return dict(zip(weights, split(change, parts), strict=True))
    counted = {key: max(0, amount) for key, amount in state.sold_back.items()}
    falls = split(-change, [*counted.values()])
    return {key: -fall for key, fall in zip(counted, falls, strict=True)}


def _with_sold_back(state: FactState, change: Mapping[LineKey, int]) -> FactState:
    keys = sorted(state.sold_back.keys() | change.keys())
    sums = {key: state.sold_back.get(key, 0) + change.get(key, 0) for key in keys}
    return replace(state, sold_back={key: amount for key, amount in sums.items() if amount})


def _refund_weights(state: FactState, refund_id: str) -> list[int]:
    lines = list(state.order.lines.values())
    worth = [max(0, line.gross_minor) for line in lines]
    asked = state.refunds.get(refund_id)
    if asked is None or not asked.lines:
        return worth
    shipping = split(max(0, asked.shipping_minor), worth) if worth else []
    goods = dict.fromkeys((line.priced.line_no for line in lines), 0)
    for item in asked.lines:
        line = state.order.lines.get(item.line_no)
        if line is not None:
            amount = item.amount_minor
            goods[item.line_no] += max(
                0, line.share(line.gross_minor, item.quantity) if amount is None else amount
            )
    weights = [
        goods[line.priced.line_no] + share for line, share in zip(lines, shipping, strict=True)
    ]
    return weights if any(weights) else worth


def _parcel_fact(
    recorded: Recorded, state: FactState, event: OrderPacked | OrderDispatched | OrderDelivered
) -> tuple[Any, ...]:
    left = event if isinstance(event, OrderDispatched) else None
    return (
        *_common(recorded, state, 0),
        event.parcel_id,
        event.TOPIC.split(".")[1],
        left and left.carrier,
        sum((item.quantity for item in event.lines), ZERO),
        left and left.estimated_at,
    )


def missing(batch: list[Recorded], known: Mapping[UUID, Any]) -> list[UUID]:
    """Streams whose earlier events are needed before the batch can be folded."""
    first: dict[UUID, Recorded] = {}
    for recorded in batch:
        first.setdefault(recorded.stream_id, recorded)
    return [
        stream for stream, recorded in first.items() if recorded.version > 1 and stream not in known
    ]
