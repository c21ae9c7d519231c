"""What happens to refunds of an order afterwards: its price, its units or the order itself changed.

Applies, never refuses (ADR 12).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from domain import order_lowering
from domain.frozen import replace
from domain.order_facts import LineQuantity
from domain.order_line import ZERO, OrderLine
from domain.order_refund_state import Refund, instead
from domain.order_state import Order


def undone(state: Order) -> Order:
    """An order is brought back: what was given back for what had not been sent stands for money
    only, not for units, so that it is owed again, and they can be refunded once they are paid.
    """
    for refund_id, refund in state.refunds.items():
        if refund.status != "denied":
            state = instead(state, refund_id, _of_sent_only(refund))
    return state


def _of_sent_only(refund: Refund) -> Refund:
    lines = {
        no: order_lowering.bare(part, part.units - part.lowered)._replace(advanced=ZERO)
        for no, part in refund.lines.items()
        if part.lowered
    }
    return replace(
        refund,
        lines=lines,
        shipping_minor=refund.shipping_minor if lines else 0,
        beside_minor=refund.beside_minor if lines else 0,
        advances_minor=0,
        reduces={},
        undone=not lines,
    )


def line_amended(state: Order, old: OrderLine, new: OrderLine) -> Order:
    """What was refunded of a line lowers it by its price in force; units that were refunded in the
    house are the first to be taken off it.
    """
    fewer = LineQuantity(line_no=new.priced.line_no, quantity=old.quantity - new.quantity)
    if fewer.quantity > 0 and old.advanced > 0:
        state = _fewer(state, fewer, "advanced", remain=False)
        old = state.lines[fewer.line_no]
    if not old.given_back and not any(fewer.line_no in one.lines for one in state.refunds.values()):
        return replace(state, lines={**state.lines, fewer.line_no: new})
    now = order_lowering.relieved(old, _priced_as(old, new))
    relieved = state.relieved_minor + now.relieved_minor - old.relieved_minor
    state = replace(state, relieved_minor=relieved, lines={**state.lines, fewer.line_no: now})
    for refund_id, part in order_lowering.repriced(old, new, state.refunds).items():
        refund = state.refunds[refund_id]
        lines = {**refund.lines, fewer.line_no: part}
        state = instead(state, refund_id, replace(refund, lines=lines))
    return state


def _priced_as(old: OrderLine, new: OrderLine) -> OrderLine:
    return replace(old, priced=new.priced, gross_minor=new.gross_minor, reserved=new.reserved)


def units_freed(
    state: Order, units: Iterable[LineQuantity], counter: Literal["advanced", "lowered"]
) -> Order:
    """Units that are bought no more, or were refused at the door: what was given back before for
    such units is not given twice.
    """
    for item in units:
        state = _fewer(state, item, counter, remain=True)
    return state


def units_left(state: Order, units: Iterable[LineQuantity]) -> Order:
    """Units are out of the house: what was given back for them while they were in it is owed again,
    also an amount, once nothing is left in the house.
    """
    for item in units:
        line = state.lines.get(item.line_no)
        if line is not None and line.advanced > line.in_house:
            more = line.advanced - line.in_house
            left = LineQuantity(line_no=item.line_no, quantity=more)
            state = _fewer(state, left, "advanced", remain=False)
    if state.advanced_minor and not any(line.in_house > 0 for line in state.lines.values()):
        return replace(state, advances_used_minor=state.advanced_minor)
    return state


def _fewer(
    state: Order, item: LineQuantity, counter: Literal["advanced", "lowered"], *, remain: bool
) -> Order:
    """So many units of a line less that refunds count so, the oldest first."""
    line, left = state.lines.get(item.line_no), item.quantity
    if line is None or not getattr(line, counter):
        return state
    for refund_id, refund in state.refunds.items():
        part = refund.lines.get(item.line_no)
        units = min(left, getattr(part, counter)) if part and refund.counts else ZERO
        if part is None or units <= 0:
            continue
        less = order_lowering.freed(part, units, counter)
        part = less if remain else order_lowering.bare(part, units)
        state = instead(
            state, refund_id, replace(refund, lines={**refund.lines, item.line_no: part})
        )
        left -= units
    return state


def cheaper(before: Order, after: Order, fee_minor: int = 0) -> Order:
    """An amount that was given back before for goods that are not bought any more is not given
    twice. `fee_minor`: by which the total rose in the same fact.
    """
    open_minor = after.advanced_minor - after.advances_used_minor
    if open_minor <= 0:
        return after
    fallen = _goods_minor(before) - _goods_minor(after) + fee_minor
    used = after.advances_used_minor + max(0, min(fallen, open_minor))
    return replace(after, advances_used_minor=used)


def _goods_minor(state: Order) -> int:
    less = state.lowered_minor + state.relieved_minor + state.reduced_minor + state.awaited_minor
    return state.total_minor - less
