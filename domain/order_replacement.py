"""Units that were lost, short or damaged, and another order that goes out for them at no price.

A unit is made good once: what another order stands for is neither refunded nor replaced again,
what was refunded, or came back, is not replaced. Where the new units are cancelled or come back
themselves, the old ones are open again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.message import Event, Rejected
from domain.order_facts import LineQuantity, OrderCancelled, OrderVoided
from domain.order_hold import not_disputed, not_held
from domain.order_line import ZERO
from domain.order_lines import known_line, known_parcel
from domain.order_payment import not_void
from domain.order_refund import require_evidence, require_line_left
from domain.order_replacement_state import (
    LOST,
    lost_units,
    made_good,
    refunded_as_lost,
    replaced_units,
)
from domain.order_return_state import undelivered
from domain.order_state import Order, OrderParcel
from domain.payment_terms import CASH_ON_DELIVERY
from domain.placement_commands import LineBody, PlaceOrder
from domain.policy import PolicyVersion
from domain.replacement_commands import ReplaceOrder
from domain.replacement_facts import (
    OrderReplaced,
    PlacedAsReplacement,
    ReplacedLine,
    ReplacementCompleted,
    ReplacementWithdrawn,
)
from domain.return_facts import ReturnReceived
from domain.values import AMOUNT_MINOR_MAX, quantity_json

# Nothing is to be paid, so only how it could be is left of the method.
PLAIN_METHODS = frozenset({"bank_transfer", "credit_card", "alipay", "wechat_pay"})

Units = Mapping[int, Decimal]  # by line_no


def replaced(command: ReplaceOrder, state: Order, policy: PolicyVersion) -> list[OrderReplaced]:
    """The fact of the order whose units are made good. Raises Rejected."""
    if command.new_order_id in state.replacements:
        return []
    not_void(state)
    not_held(state)
    not_disputed(state)
    require_evidence(command.reason, command.evidence, policy.rules.refund)
    units = _of_lost(command, state) if command.reason == LOST else _of_arrived(command, state)
    for no, asked in units.items():
        require_line_left(known_line(state, no), asked)
    return [
        OrderReplaced(
            person=state.person,
            new_order_id=command.new_order_id,
            reason=command.reason,
            parcel_id=command.parcel_id,
            lines=[
                ReplacedLine(line_no=no, quantity=asked, new_line_no=new)
                for new, (no, asked) in enumerate(units.items(), start=1)
            ],
            text=command.text,
            evidence=command.evidence,
            policy_version=policy.version,
            at=command.at,
        )
    ]


def _require_room(no: int, asked: Decimal, left: Decimal, what: str) -> None:
    if asked > left:
        raise Rejected(
            "replacement_exceeds_loss",
            f"line {no}: {quantity_json(asked)} asked, {quantity_json(max(left, ZERO))} {what} and "
            "are neither replaced nor given back",
            line_no=no,
            asked=quantity_json(asked),
            replaceable=quantity_json(max(left, ZERO)),
        )


# -- lost ----------------------------------------------------------------------------------------


def _of_lost(command: ReplaceOrder, state: Order) -> Units:
    """Units of a lost parcel: those named, or all that nobody has made good yet."""
    assert command.parcel_id is not None, "a body without it is refused"
    parcel = known_parcel(command.parcel_id, state)
    _require_lost(command.parcel_id, parcel)
    if state.payment_method == CASH_ON_DELIVERY:
        raise Rejected(
            "cash_on_delivery",
            "nothing was paid for what was lost: place it anew",
            parcel_id=command.parcel_id,
        )
    left = {no: _left_of_lost(command.parcel_id, no, state) for no in _packed(parcel)}
    asked = {item.line_no: item.quantity for item in command.lines or []}
    for no, units in asked.items():
        _require_room(no, units, left.get(no, ZERO), "were lost with it")
    chosen = asked or {no: units for no, units in left.items() if units > 0}
    if not chosen:
        raise Rejected(
            "nothing_to_replace",
            "all that was lost with it is replaced or given back",
            parcel_id=command.parcel_id,
        )
    return chosen


def _require_lost(parcel_id: str, parcel: OrderParcel) -> None:
    if parcel.delivered or parcel.milestone != LOST:
        where = "was delivered" if parcel.delivered else f"is {parcel.milestone or 'on its way'}"
        raise Rejected(
            "parcel_not_lost",
            f"the parcel {where}; it would have to be lost",
            parcel_id=parcel_id,
            allowed=[LOST],
        )


def _packed(parcel: OrderParcel) -> dict[int, Decimal]:
    units: dict[int, Decimal] = {}
    for item in parcel.lines:
        units[item.line_no] = units.get(item.line_no, ZERO) + item.quantity
    return units


def _left_of_lost(parcel_id: str, no: int, state: Order) -> Decimal:
    """What is left of the parcel, and of all that was lost: refunds do not say of which parcel."""
    back = (one for one in state.returns.values() if one.parcel_id == parcel_id)
    of_parcel = _packed(state.parcels[parcel_id]).get(no, ZERO)
    of_parcel -= sum((one.taken(no) for one in back), ZERO)
    of_parcel -= _replaced_of(parcel_id, no, state)
    return max(ZERO, min(of_parcel, lost_units(state, no) - made_good(state, no)))


def _replaced_of(parcel_id: str, no: int, state: Order) -> Decimal:
    of_it = (one for one in state.replacements.values() if one.parcel_id == parcel_id)
    return sum((one.units.get(no, ZERO) for one in of_it), ZERO)


# -- short or damaged ----------------------------------------------------------------------------


def _of_arrived(command: ReplaceOrder, state: Order) -> Units:
    """Units that were delivered, by what the carrier says: damaged, or missing in the parcel."""
    asked = {item.line_no: item.quantity for item in command.lines or []}
    parcel_id = command.parcel_id
    if parcel_id is not None and not known_parcel(parcel_id, state).delivered:
        raise Rejected(
            "parcel_not_delivered", "its units have not arrived yet", parcel_id=parcel_id
        )
    for no, units in asked.items():
        known_line(state, no)
        left = _left_of_arrived(no, state)
        if parcel_id is not None:
            packed = _packed(state.parcels[parcel_id]).get(no, ZERO)
            left = min(left, packed - _replaced_of(parcel_id, no, state))
        _require_room(no, units, left, "arrived")
    return asked


def _left_of_arrived(no: int, state: Order) -> Decimal:
    """What came back, or is about to, is settled by its return; what was made good as lost and was
    found again, by that.
    """
    back = (one for one in state.returns.values() if not undelivered(one, state))
    gone = sum((one.taken(no) for one in back), ZERO)
    given = sum(
        (
            one.lines[no].lowered
            for one in state.refunds.values()
            if one.counts and one.return_id is None and one.reason != LOST and no in one.lines
        ),
        ZERO,
    )
    as_lost = replaced_units(state, no, lost=True) + refunded_as_lost(state, no)
    found = max(ZERO, as_lost - lost_units(state, no))
    settled = gone + given + found + replaced_units(state, no, lost=False)
    return state.lines[no].delivered - settled


# -- the new order -------------------------------------------------------------------------------


def placement(command: ReplaceOrder, state: Order, made: OrderReplaced) -> PlaceOrder:
    """The same goods at no price, where nothing else is said to the same person at the same
    place.
    """
    method = state.payment_method
    given: dict[str, Any] = {
        "shop": state.shop,
        "channel": command.channel,
        "customer_id": state.customer_id,
        "currency": state.currency,
        "lines": [_line(item, state) for item in made.lines],
        "prices_include_tax": state.prices_include_tax,
        "contact": command.contact or state.contact,
        "shipping_address": command.shipping_address or state.shipping_address,
        "billing_address": state.billing_address,
        "payment_method": method if method in PLAIN_METHODS else "bank_transfer",
        "order_id": command.new_order_id,
        "numbers": command.numbers,
        "at": command.at,
    }
    return PlaceOrder.model_construct(**given)  # Its parts were validated; old ones are sealed.


def _line(item: ReplacedLine, state: Order) -> LineBody:
    priced = state.lines[item.line_no].priced
    return LineBody.model_construct(
        sku=priced.sku,
        name=priced.name,
        category=priced.category,
        quantity=item.quantity,
        unit=priced.unit,
        unit_price_minor=0,
        unit_cost_minor=priced.unit_cost_minor,
        location=priced.location,
    )


def rules(policy: PolicyVersion, currency: str) -> PolicyVersion:
    """Those in force, but that a price of nothing is as it should be."""
    lenient = policy.rules.model_copy(
        update={
            "exceptions": policy.rules.exceptions.model_copy(update={"negative_margin": False}),
            "review": policy.rules.review.model_copy(
                update={"auto_approve_below": {currency: AMOUNT_MINOR_MAX}}
            ),
        }
    )
    return replace(policy, rules=lenient)


def linked(command: ReplaceOrder) -> list[Event]:
    """On the new order: what it stands for."""
    return [PlacedAsReplacement(of_order_id=command.order_id, reason=command.reason, at=command.at)]


def withdrawn(new: Order, facts: Iterable[Event], first: Order, at: datetime) -> list[Event]:
    """What facts of a replacement mean for the order that it stands for: its units were cancelled,
    or came back. `new`: as it was before them.
    """
    units = _undone(new, facts)
    known = first.replacements.get(new.order_id)
    if known is None or not units:
        return []
    less: dict[int, Decimal] = {}
    for new_no, gone in units.items():
        no = known.line_of.get(new_no)
        if no is not None:
            less[no] = less.get(no, ZERO) + gone
    lines = [
        LineQuantity(line_no=no, quantity=min(gone, known.units[no]))
        for no, gone in less.items()
        if min(gone, known.units[no]) > 0
    ]
    if not lines:
        return []
    return [ReplacementWithdrawn(new_order_id=new.order_id, lines=lines, at=at)]


def completed(new: Order, first: Order, at: datetime) -> list[Event]:
    """What the completion of a replacement means for the order that it stands for."""
    known = first.replacements.get(new.order_id)
    if known is None or not known.is_open:
        return []
    return [ReplacementCompleted(new_order_id=new.order_id, at=at)]


def _undone(new: Order, facts: Iterable[Event]) -> dict[int, Decimal]:
    units: dict[int, Decimal] = {}
    for fact in facts:
        gone: Iterable[tuple[int, Decimal]] = ()
        match fact:
            case OrderCancelled() | ReturnReceived():
                gone = ((item.line_no, item.quantity) for item in fact.lines)
            case OrderVoided():
                gone = ((no, line.live) for no, line in new.lines.items())
        for no, quantity in gone:
            units[no] = units.get(no, ZERO) + quantity
    return units


def require_none(state: Order, what: str) -> None:
    """Raises Rejected `is_a_replacement`."""
    if state.replacement_of is not None:
        raise Rejected(
            "is_a_replacement",
            f"it goes out at no price for units of order {state.replacement_of}: {what}",
            replacement_of=state.replacement_of,
        )
