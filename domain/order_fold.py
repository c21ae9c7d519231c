"""The fold of an order's facts. Applies, never refuses, whatever history holds.

Imported history is irregular: lines may be missing, a parcel dispatched twice or delivered without
dispatch, amounts zero. Every fact is applied as far as it has a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from domain import (
    order_cases,
    order_money,
    order_money_state,
    order_outstanding,
    order_papers,
    order_parcel_state,
    order_refund_later,
    order_refund_state,
    order_replacement_state,
    order_return_state,
)
from domain.alert_facts import AlertRaised, PaymentReminded
from domain.case_facts import CASE_FACTS, HoldReleased, OrderHeld, OrderReviewed, UnitsBackordered
from domain.completion_facts import OrderCompleted
from domain.frozen import replace
from domain.message import Event
from domain.order_facts import (
    BillingAddressAmended,
    CompensationPaid,
    ContactAmended,
    DeliveryTroubled,
    FeedbackGiven,
    LinesAmended,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderNoted,
    OrderPacked,
    OrderPlaced,
    OrderVoided,
    OverrideEnded,
    PaymentCaptured,
    PromiseAmended,
    RefundApproved,
    RefundDenied,
    RefundEvidenceAdded,
    RefundEvidenceAsked,
    RefundFailed,
    RefundPaid,
    RefundRequested,
    RefundRetried,
    ShippingAddressAmended,
    StatusOverridden,
)
from domain.order_line import order_line, repriced
from domain.order_papers import PaperFact
from domain.order_parcel_state import counted, released
from domain.order_state import Fee, Order, Override
from domain.payment_facts import PAYMENT_FACTS, DeliveryRefused, OrderReinstated
from domain.replacement_facts import (
    OrderReplaced,
    PlacedAsReplacement,
    ReplacementCompleted,
    ReplacementWithdrawn,
)
from domain.return_facts import (
    InterceptRequested,
    OrderExchanged,
    PlacedInExchange,
    ReturnApproved,
    ReturnClosed,
    ReturnDenied,
    ReturnReceived,
    ReturnReopened,
    ReturnRequested,
)

K = TypeVar("K")
V = TypeVar("V")


def evolve(state: Order, event: Event) -> Order:
    """Apply a recorded fact. Raises TypeError for what is no fact of an order, else nothing."""
    if isinstance(event, OrderPlaced):
        return _placed(event)
    after = _applied(_without_ended_overrides(state, event), event)
    after = order_outstanding.followed(state, after, event)
    after = order_money_state.credit_noted(after, event.at)
    return replace(after, changed_at=event.at)


def _applied(state: Order, event: Event) -> Order:  # noqa: C901 - a table
    match event:
        case OrderApproved():
            return replace(state, approved=True)
        case LinesAmended():
            return _lines_amended(state, event)
        case ContactAmended():
            return replace(state, contact=event.after)
        case ShippingAddressAmended():
            return replace(state, shipping_address=event.after, region=event.region)
        case BillingAddressAmended():
            return replace(state, billing_address=event.after)
        case PromiseAmended():
            return replace(state, promised_at=event.after)
        case PaymentCaptured():
            return order_money_state.evolve(state, event)
        case OrderPacked():
            return order_parcel_state.packed(state, event.parcel_id, event.lines)
        case OrderDispatched():
            return order_parcel_state.dispatched(state, event)
        case OrderDelivered():
            return order_parcel_state.delivered(state, event)
        case DeliveryTroubled():
            return order_parcel_state.milestone(state, event)
        case InterceptRequested():
            return order_parcel_state.intercept_requested(state, event)
        case OrderCancelled():
            return _cancelled(state, event)
        case (
            RefundRequested()
            | RefundEvidenceAsked()
            | RefundEvidenceAdded()
            | RefundApproved()
            | RefundDenied()
            | RefundPaid()
            | RefundFailed()
            | RefundRetried()
        ):
            return order_refund_state.evolve(state, event)
        case (
            ReturnRequested()
            | ReturnApproved()
            | ReturnDenied()
            | ReturnReceived()
            | ReturnClosed()
            | ReturnReopened()
            | OrderExchanged()
        ):
            return order_return_state.evolve(state, event)
        case (
            OrderReplaced()
            | ReplacementWithdrawn()
            | ReplacementCompleted()
            | PlacedAsReplacement()
        ):
            return order_replacement_state.evolve(state, event)
        case OrderCompleted():
            return replace(state, completed_at=event.at)
        case PlacedInExchange():
            parts = {one.payment_id: one for one in event.parts}
            return replace(state, exchange_of=event.of_order_id, exchanged=parts)
        case PaymentReminded():
            reminded = (*state.money.reminded, event.hours_before)
            return replace(state, money=replace(state.money, reminded=reminded))
        case AlertRaised():
            alert = (event.kind, event.of, event.due_at)
            return replace(state, alerts=(*state.alerts, alert))
        case CompensationPaid():
            paid = {**state.compensations, event.compensation_id: event.amount_minor}
            return replace(state, compensations=paid)
        case OrderNoted():
            return replace(state, notes=state.notes | {event.note_id})
        case FeedbackGiven():
            return state
        case StatusOverridden():
            override = Override(event.value, event.sticky)
            return replace(state, overrides={**state.overrides, event.dimension: override})
        case OverrideEnded():
            return replace(state, overrides=_without(state.overrides, {event.dimension}))
        case OrderVoided():
            return replace(released(state, event.released), void=True)
        case _ if isinstance(event, PaperFact):
            return replace(state, papers=order_papers.evolve(state.papers, event))
        case _ if isinstance(event, CASE_FACTS):
            return replace(state, cases=order_cases.evolve(state.cases, event))  # type: ignore[arg-type]
        case _ if isinstance(event, PAYMENT_FACTS):
            return order_money_state.evolve(state, event)  # type: ignore[arg-type]
        case _:
            raise TypeError(f"{event.TOPIC} is no event of an order")


def _placed(event: OrderPlaced) -> Order:
    shipping_tax = 0 if event.prices_include_tax else event.shipping_tax_minor
    return Order(
        placed=True,
        placed_at=event.at,
        changed_at=event.at,
        policy_version=event.policy_version,
        order_id=event.order_id,
        number=event.number,
        shop=event.shop,
        customer_id=event.customer_id,
        person=event.person,
        currency=event.currency,
        channel=event.channel,
        payment_method=event.payment_method,
        prices_include_tax=event.prices_include_tax,
        lines={line.line_no: order_line(line, event.prices_include_tax) for line in event.lines},
        last_line_no=max((line.line_no for line in event.lines), default=0),
        shipping_minor=event.shipping_minor + shipping_tax,
        shipping_tax_minor=event.shipping_tax_minor,
        exemption=event.exemption,
        exemption_certificate=event.exemption_certificate,
        discounts=tuple(event.discounts or ()),
        total_minor=event.total_minor,
        contact=event.contact,
        shipping_address=event.shipping_address,
        region=event.region,
        billing_address=event.billing_address,
        promised_at=event.promised_at,
        papers=order_papers.begun(event.shipping_tax_rate_bp),
        money=order_money.begun(event),
    )


def _lines_amended(state: Order, event: LinesAmended) -> Order:
    removed = {line.line_no for line in event.before} - {line.line_no for line in event.after}
    after = replace(state, lines=_without(state.lines, removed))
    for line in event.after:
        old = after.lines.get(line.line_no)
        if old is None:
            new = order_line(line, state.prices_include_tax)
            after = replace(after, lines={**after.lines, line.line_no: new})
        else:
            new = repriced(old, line, state.prices_include_tax)
            after = order_refund_later.line_amended(after, old, new)
    after = replace(
        after,
        last_line_no=max([state.last_line_no, *after.lines]),
        total_minor=state.total_minor + event.total_minor - event.total_before_minor,
    )
    return order_refund_later.cheaper(state, after)


def _cancelled(state: Order, event: OrderCancelled) -> Order:
    after = released(counted(state, "cancelled", event.lines), event.released)
    after = order_refund_later.units_freed(after, event.lines, "advanced")
    after = replace(
        after,
        fees=(*state.fees, _fee(event)) if event.fee_minor else state.fees,
        total_minor=state.total_minor - event.goods_minor - event.shipping_minor + event.fee_minor,
        shipping_cancelled=state.shipping_cancelled or event.shipping_minor != 0,
        cancelled=state.cancelled or event.all,
        money=order_money.cancelled(state.money, event),
    )
    return order_refund_later.cheaper(state, after, event.fee_minor)


def _fee(event: OrderCancelled) -> Fee:
    return Fee(event.fee_minor, event.fee_tax_minor, event.fee_tax_rate_bp)


# The dimensions of the status that a fact belongs to: it ends an override of theirs.
_DIMENSIONS: dict[type[Event], frozenset[str]] = {
    OrderApproved: frozenset({"stage"}),
    **dict.fromkeys((OrderHeld, HoldReleased, OrderReviewed), frozenset({"stage"})),
    UnitsBackordered: frozenset({"fulfilment"}),
    OrderCancelled: frozenset({"stage"}),
    OrderVoided: frozenset({"stage"}),
    OrderCompleted: frozenset({"stage"}),
    OrderPacked: frozenset({"stage", "fulfilment"}),
    OrderDispatched: frozenset({"stage", "fulfilment"}),
    OrderDelivered: frozenset({"fulfilment"}),
    DeliveryTroubled: frozenset({"fulfilment"}),
    PaymentCaptured: frozenset({"payment"}),
    **dict.fromkeys(PAYMENT_FACTS, frozenset({"payment"})),
    OrderReinstated: frozenset({"stage", "payment"}),
    DeliveryRefused: frozenset({"payment", "fulfilment"}),
    RefundRequested: frozenset({"payment"}),
    RefundDenied: frozenset({"payment"}),
    RefundPaid: frozenset({"payment"}),
    RefundFailed: frozenset({"payment"}),
    ReturnRequested: frozenset({"return"}),
    ReturnApproved: frozenset({"return"}),
    ReturnDenied: frozenset({"return"}),
    ReturnReceived: frozenset({"return"}),
    ReturnClosed: frozenset({"return"}),
    ReturnReopened: frozenset({"return"}),
}


def _without_ended_overrides(state: Order, event: Event) -> Order:
    if not state.overrides:
        return state
    touched = _DIMENSIONS.get(type(event), frozenset())
    ended = {name for name in touched & state.overrides.keys() if not state.overrides[name].sticky}
    return replace(state, overrides=_without(state.overrides, ended)) if ended else state


def _without(mapping: Mapping[K, V], keys: set[K]) -> dict[K, V]:
    return {key: value for key, value in mapping.items() if key not in keys}
