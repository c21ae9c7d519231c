"""Cancelling units of an order that have not left: what falls off the total, what it costs, what
stock gets back.

Nothing here asks whether the order may be cancelled at all: order.py does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from domain.command_types import LineQuantityBody
from domain.message import Event, Rejected
from domain.money import ratio_half_up
from domain.order_commands import CancelOrder
from domain.order_facts import LineQuantity, OrderCancelled
from domain.order_fold import evolve
from domain.order_line import OrderLine
from domain.order_lines import known_line
from domain.order_money import shown
from domain.order_state import Order
from domain.payment_facts import AuthorisationVoided, LateFeeWaived
from domain.policy import PolicyVersion
from domain.policy_rules import CancellationRules
from domain.pricing import tax_of
from domain.values import quantity_json


def cancel(command: CancelOrder, state: Order, policy: PolicyVersion) -> list[Event]:
    """The whole order, or units of lines; what is cancelled already is []. Raises Rejected.

    What is held of a customer's money for an order of which nothing remains is held no longer.
    """
    if state.cancelled:
        return []
    units = _units_to_cancel(command, state, policy.rules.cancellation)
    if command.lines is not None and not units:
        return []
    after = {no: line.cancelled + units.get(no, 0) for no, line in state.lines.items()}
    whole = all(line.quantity <= after[no] for no, line in state.lines.items())
    shipping = state.shipping_minor if _nothing_stays_sent(after, state) else 0
    lines = [_cancelled_line(state.lines[no], more) for no, more in units.items()]
    goods = sum(line.amount_minor or 0 for line in lines)
    fee = fee_minor(command, goods, state, policy.rules.cancellation)
    _require_same_fee(command.expected_fee_minor, fee, state)
    rate_bp = policy.rules.cancellation.fee_tax_rate_bp
    waived = _late_fee_waived(command, whole, state, policy.rules.cancellation)
    owed = state.total_minor - goods - shipping + fee
    cancelled = OrderCancelled(
        person=state.person,
        initiator=command.initiator,
        reason_code=command.reason_code,
        text=command.text,
        lines=lines,
        released=_released_by(units, state),
        goods_minor=goods,
        shipping_minor=shipping,
        tax_minor=_cancelled_tax(units, state) + (state.shipping_tax_minor if shipping else 0),
        fee_minor=fee,
        fee_tax_minor=tax_of(fee, rate_bp, prices_include_tax=True),
        fee_tax_rate_bp=rate_bp,
        total_minor=owed,
        refund_due_minor=0,
        policy_version=policy.version,
        all=whole,
        at=command.at,
    )
    late = LateFeeWaived(
        person=state.person,
        amount_minor=waived,
        reason=command.reason_code,
        total_minor=owed - waived,
        at=command.at,
    )
    held = _held_no_longer(command, state) if whole else []
    then = evolve(evolve(state, cancelled), late) if waived else evolve(state, cancelled)
    due = {"refund_due_minor": max(0, -then.balance_minor)}
    cancelled = cancelled.model_copy(update=due)
    return [cancelled, *([late] if waived else []), *held]


def _held_no_longer(command: CancelOrder, state: Order) -> list[Event]:
    """Nothing is to be captured for an order that is cancelled as a whole."""
    return [
        AuthorisationVoided(
            person=state.person,
            payment_id=payment_id,
            amount_minor=held.open_minor,
            reason=command.reason_code,
            at=command.at,
        )
        for payment_id, held in state.money.authorisations.items()
        if held.open_minor
    ]


def _late_fee_waived(
    command: CancelOrder, whole: bool, state: Order, rules: CancellationRules
) -> int:
    """Nobody pays for being late with money for what the seller does not deliver."""
    return state.money.late_fees_minor if whole and _is_sellers(command, rules) else 0


def _is_sellers(asked: CancelOrder | OrderCancelled, rules: CancellationRules) -> bool:
    return asked.initiator == "seller" or asked.reason_code in rules.no_fee_reasons


def fee_minor(
    asked: CancelOrder | OrderCancelled, goods_minor: int, state: Order, rules: CancellationRules
) -> int:
    """Free at first, and always when the seller is the cause; never above what is there to keep:
    what was paid, not given back, and not kept as a fee before.
    """
    assert state.placed_at is not None
    free = asked.at <= state.placed_at + timedelta(hours=rules.free_hours)
    if free or _is_sellers(asked, rules):
        return 0
    return min(ratio_half_up(goods_minor * rules.fee_bp, 10_000), state.refundable_minor)


def _require_same_fee(expected: int | None, fee: int, state: Order) -> None:
    if expected not in {None, fee}:
        raise Rejected(
            "fee_differs",
            f"{shown(expected or 0, state)} expected, the fee is {shown(fee, state)}",
            expected_minor=expected,
            fee_minor=fee,
        )


def _nothing_stays_sent(cancelled: Mapping[int, Decimal], state: Order) -> bool:
    """Whether nothing was or will be delivered: what was refused at the door is on its way back."""
    sent = any(
        parcel.dispatched and parcel_id not in state.money.refused
        for parcel_id, parcel in state.parcels.items()
    )
    gone = all(line.quantity <= cancelled[no] + line.refused for no, line in state.lines.items())
    return gone and not sent and not state.shipping_cancelled


def _units_to_cancel(
    command: CancelOrder, state: Order, rules: CancellationRules
) -> dict[int, Decimal]:
    """Units by line_no; lines that are cancelled already ask for nothing more."""
    if command.lines is not None:
        asked = [item for item in command.lines if known_line(state, item.line_no).live > 0]
        return {item.line_no: _cancellable(item, state, rules) for item in asked}
    for line in state.lines.values():
        if line.packed > line.dispatched:
            raise _packed(line, line.live - line.dispatched, rules)
    units = {no: line.open for no, line in state.lines.items() if line.open > 0}
    if state.parcels and not units:
        raise _already_dispatched("all units have left", [*state.lines], state)
    return units


def _cancellable(item: LineQuantityBody, state: Order, rules: CancellationRules) -> Decimal:
    line = state.lines[item.line_no]
    if item.quantity <= line.open:
        return item.quantity
    if line.packed > line.dispatched and item.quantity <= line.live - line.dispatched:
        raise _packed(line, item.quantity, rules)
    if line.dispatched and item.quantity <= line.live:
        asked, left = quantity_json(item.quantity), quantity_json(line.open)
        what = f"line {item.line_no}: {asked} asked, {left} can be cancelled, the others have left"
        raise _already_dispatched(what, [item.line_no], state, asked=asked, open=left)
    raise Rejected(
        "cancel_exceeds_open",
        f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
        f"{quantity_json(line.open)} not packed, dispatched or cancelled",
        line_no=item.line_no,
        asked=quantity_json(item.quantity),
        open=quantity_json(line.open),
    )


def _already_dispatched(what: str, lines: list[int], state: Order, **facts: Any) -> Rejected:
    """Names the parcels that the lines left in, and of them those that can still be intercepted."""
    left = {
        parcel_id: parcel
        for parcel_id, parcel in state.parcels.items()
        if parcel.dispatched and any(item.line_no in lines for item in parcel.lines)
    }
    on_its_way = [no for no, parcel in left.items() if parcel.on_its_way]
    way = f"an intercept can be requested of {', '.join(on_its_way)}" if on_its_way else ""
    return Rejected(
        "already_dispatched",
        f"{what}: {way or 'a return is the way'}",
        lines=lines,
        parcels=[*left],
        intercept=on_its_way,
        **facts,
    )


def _packed(line: OrderLine, asked: Decimal, rules: CancellationRules) -> Rejected:
    """By the policy packing is the end of cancelling, or the warehouse can still stop it."""
    packed = line.packed - line.dispatched
    ended = rules.until == "packed"
    why = "goods are cancelled until they are packed" if ended else "the warehouse stops them first"
    return Rejected(
        "already_packed" if ended else "packed_needs_warehouse_stop",
        f"line {line.priced.line_no}: {quantity_json(packed)} are packed, "
        f"{quantity_json(line.open)} can be cancelled: {why}",
        line_no=line.priced.line_no,
        asked=quantity_json(asked),
        packed=quantity_json(packed),
        open=quantity_json(line.open),
    )


def _cancelled_line(line: OrderLine, units: Decimal) -> LineQuantity:
    after = line.share(line.gross_minor, line.gone + units)
    return LineQuantity(
        line_no=line.priced.line_no,
        quantity=units,
        amount_minor=after - line.share(line.gross_minor, line.gone),
    )


def _cancelled_tax(units: dict[int, Decimal], state: Order) -> int:
    tax = 0
    for line_no, more in units.items():
        line = state.lines[line_no]
        tax += line.share(line.priced.tax_minor, line.gone + more)
        tax -= line.share(line.priced.tax_minor, line.gone)
    return tax


def _released_by(units: dict[int, Decimal], state: Order) -> list[LineQuantity]:
    """Promised units that nothing is left for."""
    released = []
    for line_no, more in units.items():
        line = state.lines[line_no]
        surplus = line.reserved - (line.live - more - line.dispatched)
        if surplus > 0:
            released.append(LineQuantity(line_no=line_no, quantity=surplus))
    return released
