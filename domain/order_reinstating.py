"""Undoing the cancellation of a whole order: an overdue one by money that came in time after all,
any by an operator.

The order lives on at its old prices, or nothing of it does: all its stock is reserved in the same
write, as far as the sku is stock-kept, or the money is a refund that is due. What was refunded of
it is owed again, within a term that begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from domain.message import Event, Rejected
from domain.order_facts import LineQuantity
from domain.order_line import ZERO
from domain.order_money import Cancellation
from domain.order_state import Order
from domain.payment_facts import OrderReinstated
from domain.payment_terms import due_of, in_time
from domain.policy import PolicyVersion
from domain.policy_rules import amount
from domain.values import quantity_json

# Of each (sku, location) with a stock record that was loaded: units that nobody was promised.
Free = Mapping[tuple[str, str], Decimal]

OVERDUE = "overdue"  # the reason of a cancellation that a payment in time undoes


def reinstated_by_payment(
    payment_id: str, at: datetime, state: Order, policy: PolicyVersion, free: Free
) -> list[Event]:
    """[] where the order lives, was cancelled for another reason, or where the money that came in
    time does not pay it, stock is missing, or the policy lets a person confirm it.
    """
    gone, due = state.money.cancellation, due_of(state, policy)
    if not state.cancelled or gone is None or gone.reason_code != OVERDUE or due is None:
        return []
    if state.replacement_of is not None:
        return []
    confirmed = "reinstate" not in policy.rules.status.confirm
    payments = (one for one in state.payments.values() if in_time(one, due, policy.calendar))
    paid = sum(one.here_minor for one in payments) - state.refunded_minor
    tolerance = amount(policy.rules.payment.tolerance, state.currency) or 0
    enough = paid + tolerance >= total_again(gone, state)
    if not confirmed or not enough or _short(gone, state, free):
        return []
    return [_reinstated(gone, payment_id, at, state, free)]


def reinstate(at: datetime, state: Order, free: Free) -> list[Event]:
    """By an operator, whatever was paid and why it was cancelled. Raises Rejected
    `insufficient_stock`, `not_reinstatable`.
    """
    gone = state.money.cancellation
    if not state.cancelled:
        return []
    if state.replacement_of is not None:
        raise Rejected(
            "is_a_replacement",
            f"it stood for units of order {state.replacement_of}: replace or refund them there",
            replacement_of=state.replacement_of,
        )
    if gone is None or not gone.lines:
        raise Rejected(
            "not_reinstatable", "nothing is known of the order that could be brought back"
        )
    short = _short(gone, state, free)
    if short:
        (sku, location), asked = next(iter(short.items()))
        available = free[sku, location]
        raise Rejected(
            "insufficient_stock",
            f"{quantity_json(asked)} of {sku} at {location} asked, "
            f"{quantity_json(available)} available",
            sku=sku,
            location=location,
            asked=quantity_json(asked),
            available=quantity_json(available),
        )
    return [_reinstated(gone, None, at, state, free)]


def total_again(gone: Cancellation, state: Order) -> int:
    """What would be owed."""
    return state.total_minor + gone.goods_minor + gone.shipping_minor - gone.fee_minor


def _short(gone: Cancellation, state: Order, free: Free) -> dict[tuple[str, str], Decimal]:
    """Units asked for where fewer are free; lines of one sku add up."""
    asked: dict[tuple[str, str], Decimal] = {}
    for item in gone.lines:
        line = state.lines[item.line_no].priced
        place = line.sku, line.location
        if place in free:
            asked[place] = asked.get(place, ZERO) + item.quantity
    return {place: units for place, units in asked.items() if units > free[place]}


def _reinstated(
    gone: Cancellation, payment_id: str | None, at: datetime, state: Order, free: Free
) -> Event:
    kept = [
        LineQuantity(line_no=item.line_no, quantity=item.quantity)
        for item in gone.lines
        if _place(item, state) in free
    ]
    return OrderReinstated(
        payment_id=payment_id,
        lines=list(gone.lines),
        reserved=kept,
        goods_minor=gone.goods_minor,
        shipping_minor=gone.shipping_minor,
        tax_minor=gone.tax_minor,
        fee_minor=gone.fee_minor,
        total_minor=total_again(gone, state),
        at=at,
    )


def _place(item: LineQuantity, state: Order) -> tuple[str, str]:
    line = state.lines[item.line_no].priced
    return line.sku, line.location
