"""What the facts of returns make of an order: what was asked to come back, and what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from domain.frozen import replace
from domain.money import ratio_half_up, split
from domain.order_line import OrderLine
from domain.order_lowering import left_minor, reduction_minor
from domain.return_facts import (
    OrderExchanged,
    ReturnApproved,
    ReturnClosed,
    ReturnDenied,
    ReturnReceived,
    ReturnReopened,
    ReturnRequested,
)

if TYPE_CHECKING:
    from domain.order_state import Order

ReturnEvent = (
    ReturnRequested
    | ReturnApproved
    | ReturnDenied
    | ReturnReceived
    | ReturnClosed
    | ReturnReopened
    | OrderExchanged
)
ReturnStatus = Literal["requested", "approved", "received", "closed", "denied"]
Units = Mapping[int, Decimal]  # by line_no

ZERO = Decimal(0)


@dataclass(frozen=True)
class Return:
    reason: str = ""
    status: ReturnStatus = "requested"
    lines: Units = field(default_factory=dict)  # asked for
    received: Units = field(default_factory=dict)
    received_at: datetime | None = None  # the last of it
    receipts: tuple[str, ...] = ()  # ids
    closed_by: str | None = None  # the policy or an operator
    relieved: Units = field(default_factory=dict)  # owed no longer, instead of refunded
    evidence: tuple[str, ...] = ()
    exchange_order_id: str | None = None  # what went out for it
    exchange_refund_id: str | None = None  # that paid for that
    parcel_id: str | None = None  # that came back undelivered

    @property
    def is_open(self) -> bool:
        return self.status not in {"closed", "denied"}

    def awaited(self, line_no: int) -> Decimal:
        """Units of a line that may still come back by this return."""
        if not self.is_open:
            return ZERO
        return self.lines.get(line_no, ZERO) - self.received.get(line_no, ZERO)

    def taken(self, line_no: int) -> Decimal:
        """Units of a line that came back by this return, or may still."""
        return self.received.get(line_no, ZERO) + self.awaited(line_no)

    @property
    def came_whole(self) -> bool:
        return all(self.received.get(no, ZERO) >= units for no, units in self.lines.items())


def evolve(state: Order, event: ReturnEvent) -> Order:
    match event:
        case ReturnRequested():
            asked = {item.line_no: item.quantity for item in event.lines}
            one = Return(
                event.reason,
                lines=asked,
                evidence=tuple(event.evidence),
                parcel_id=event.parcel_id,
            )
            return _with(state, event.return_id, one)
    known = state.returns.get(event.return_id)
    if known is None:
        return state
    match event:
        case ReturnApproved():
            known = replace(known, status="approved")
        case ReturnDenied():
            known = replace(known, status="denied")
        case ReturnReceived():
            return _received(state, event, known)
        case ReturnClosed():
            known = replace(known, status="closed", closed_by=event.by)
        case ReturnReopened():
            known = replace(known, status="received", closed_by=None)
        case OrderExchanged():
            known = replace(
                known,
                exchange_order_id=event.new_order_id,
                exchange_refund_id=event.refund_id,
            )
    return _with(state, event.return_id, known)


def _with(state: Order, return_id: str, one: Return) -> Order:
    return replace(state, returns={**state.returns, return_id: one})


def _received(state: Order, event: ReturnReceived, known: Return) -> Order:
    return _relieved(_came(state, event, known), event)


def _came(state: Order, event: ReturnReceived, known: Return) -> Order:
    lines, received = dict(state.lines), dict(known.received)
    for item in event.lines:
        received[item.line_no] = received.get(item.line_no, ZERO) + item.quantity
        line = lines.get(item.line_no)
        if line is not None:
            lines[item.line_no] = replace(line, returned=line.returned + item.quantity)
    receipts = known.receipts if event.receipt_id is None else (*known.receipts, event.receipt_id)
    one = replace(
        known, status="received", received=received, received_at=event.at, receipts=receipts
    )
    return _with(replace(state, lines=lines), event.return_id, one)


def _relieved(state: Order, event: ReturnReceived) -> Order:
    """Goods that came back are not paid for any more: as far as they are still owed, that falls.
    The fee for it is owed anew, so that the goods settle it as well.
    """
    back = state.returns[event.return_id]
    owed = goods_owed_minor(state) + event.fee_minor
    lines, units_of = dict(state.lines), dict(back.relieved)
    relieved = worth = 0
    for no, units in _units(state, event).items():
        line = lines[no]
        whole = left_minor(line, units, sent_first=True)
        part = min(whole, max(0, owed - relieved))
        done = units if part == whole > 0 else ZERO
        # What was given back of their price by amount goes with the units.
        off = reduction_minor(line, units, sent_first=True) if done else 0
        lines[no] = replace(
            line,
            relieved=line.relieved + done,
            relieved_minor=line.relieved_minor + part + off,
            relieved_tax_minor=line.relieved_tax_minor + _tax_of(line, part + off),
        )
        units_of[no] = units_of.get(no, ZERO) + done
        relieved += part
        worth += part + off
    if not relieved:
        return state
    lines = _with_fee(lines, state.lines, event.fee_minor)
    one = replace(back, relieved=units_of)
    less = worth - event.fee_minor + event.shipping_minor
    state = replace(
        state,
        lines=lines,
        relieved_minor=state.relieved_minor + less,
        restocking_minor=state.restocking_minor + event.fee_minor,
        shipping_relieved_minor=state.shipping_relieved_minor + event.shipping_minor,
    )
    return _with(state, event.return_id, one)


def _with_fee(
    lines: dict[int, OrderLine], before: Mapping[int, OrderLine], fee_minor: int
) -> dict[int, OrderLine]:
    """The fee stays the price of the goods that came back, by what each of them was worth."""
    worth = {no: one.relieved_minor - before[no].relieved_minor for no, one in lines.items()}
    for no, fee in zip(worth, split(fee_minor, [*worth.values()]), strict=True):
        lines[no] = replace(lines[no], restocking_minor=lines[no].restocking_minor + fee)
    return lines


def _tax_of(line: OrderLine, part_minor: int) -> int:
    """As the amounts go that were relieved before it, so that all of the line has all of its tax"""
    tax, gross, before = line.priced.tax_minor, line.gross_minor, line.relieved_minor
    if not part_minor:
        return 0
    return ratio_half_up(tax * (before + part_minor), gross) - ratio_half_up(tax * before, gross)


def _units(state: Order, event: ReturnReceived) -> dict[int, Decimal]:
    """Of a receipt, by line: what may be owed no longer. None of what was refused at the door: its
    goods fell off the total there.
    """
    if refused_at_the_door(state.returns[event.return_id], state):
        return {}
    found = {}
    for no in dict.fromkeys(item.line_no for item in event.lines if item.line_no in state.lines):
        line = state.lines[no]
        sent = max(ZERO, line.sent - line.lowered - line.relieved)
        found[no] = min(sent, unrefunded_units(state, event.return_id, no))
    return found


def worth_minor(state: Order, event: ReturnReceived) -> int:
    """What the goods of a receipt cost that is still to come into the state."""
    came = _came(state, event, state.returns[event.return_id])
    units = _units(came, event)
    return sum(left_minor(came.lines[no], back, sent_first=True) for no, back in units.items())


def goods_owed_minor(state: Order) -> int:
    """What is asked for goods and shipping, and for restocking: the balance without those fees
    that goods do not end.
    """
    return state.balance_minor - state.fees_minor - state.money.late_fees_minor


def refused_at_the_door(one: Return, state: Order) -> bool:
    """Whether nothing is to be given back for its goods: nobody owed them when they came."""
    return one.parcel_id is not None and one.parcel_id in state.money.refused


def unrefunded_units(state: Order, return_id: str, line_no: int) -> Decimal:
    """Units of a return that came and for which something may still go back."""
    came = state.returns[return_id].received.get(line_no, ZERO)
    line = state.lines[line_no]
    open_ = line.quantity - line.given_back - line.replaced
    return max(ZERO, min(came - refunded_units(state, return_id, line_no), open_))


def undelivered(one: Return, state: Order) -> bool:
    """Whether its units never reached the customer. A parcel that was delivered after all, before
    it came back, counts as any other that was delivered.
    """
    parcel = state.parcels.get(one.parcel_id or "")
    return parcel is not None and not parcel.delivered


def back_undelivered(state: Order, line_no: int) -> Decimal:
    """Units of a line that are in the house again and will not be delivered."""
    return sum(
        (
            one.received.get(line_no, ZERO)
            for one in state.returns.values()
            if undelivered(one, state)
        ),
        ZERO,
    )


def parcel_is_back(state: Order, parcel_id: str) -> bool:
    """Whether all units of the order in a parcel were taken back without a delivery."""
    of_parcel = [one for one in state.returns.values() if one.parcel_id == parcel_id]
    return bool(of_parcel) and all(
        sum((one.received.get(item.line_no, ZERO) for one in of_parcel), ZERO) >= item.quantity
        for item in state.parcels[parcel_id].lines
    )


def refunded_units(state: Order, return_id: str, line_no: int) -> Decimal:
    """Units of a return that refunds hold or have given back, or that are owed no longer."""
    known = state.returns.get(return_id)
    if known is not None and refused_at_the_door(known, state):
        return known.received.get(line_no, ZERO)
    relieved = known.relieved.get(line_no, ZERO) if known else ZERO
    return relieved + sum(
        (
            refund.lines[line_no].units
            for refund in state.refunds.values()
            if refund.return_id == return_id and refund.counts and line_no in refund.lines
        ),
        ZERO,
    )
