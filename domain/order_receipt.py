"""Goods of a return that came: inspected, refunded in one write with it, or owed no more."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from domain import order_refund
from domain.command_types import LineQuantityBody
from domain.message import Event, Rejected
from domain.order_fold import evolve
from domain.order_line import ZERO
from domain.order_lowering import left_minor
from domain.order_refund import known_return
from domain.order_return_closing import closed_when_done, require_status
from domain.order_return_state import Return, goods_owed_minor, unrefunded_units, worth_minor
from domain.order_state import Order
from domain.policy import PolicyVersion
from domain.refund_commands import ReceiveReturn, RequestRefund
from domain.return_facts import ReceivedLine, ReturnReceived
from domain.values import quantity_json


def receive(command: ReceiveReturn, state: Order, policy: PolicyVersion) -> list[Event]:
    back = known_return(command.return_id, state)
    if command.refund_id in back.receipts or command.refund_id in state.refunds:
        return []
    require_status(back, command.return_id, "approved", "received")
    _require_awaiting(back, command.return_id)
    units = _by_line((item.line_no, item.quantity) for item in command.lines)
    for line_no, came in units.items():
        _require_awaited(line_no, came, back)
    received = ReturnReceived(
        return_id=command.return_id,
        lines=[
            ReceivedLine(
                line_no=item.line_no,
                quantity=item.quantity,
                condition=item.condition,
                restocked=item.restocked,
            )
            for item in command.lines
        ],
        receipt_id=command.refund_id,
        at=command.at,
    )
    received = _with_unpaid(received, state, policy)
    after = evolve(state, received)
    refund = _refund(command, back, units, after, policy) if command.refund else []
    for event in refund:
        after = evolve(after, event)
    return [received, *refund, *closed_when_done(command.return_id, after, command.at)]


def _require_awaiting(back: Return, return_id: str) -> None:
    """A second receipt under the same return has nothing left to receive."""
    if back.came_whole:
        raise Rejected(
            "return_is_received",
            f"all of return {return_id} has come: nothing of it is awaited any more",
            return_id=return_id,
            received={str(no): quantity_json(units) for no, units in back.received.items()},
            received_at=back.received_at and back.received_at.isoformat(),
        )


def _with_unpaid(received: ReturnReceived, state: Order, policy: PolicyVersion) -> ReturnReceived:
    """With what becomes of the debt for goods that were not paid: as their refund would, it leaves
    the fee for restocking owed, and takes shipping away where the seller is the cause.
    """
    back = state.returns[received.return_id]
    owed, worth = max(0, goods_owed_minor(state)), worth_minor(state, received)
    if not owed or not worth:
        return received
    fee = _unpaid_fee_minor(owed, worth, back, policy)
    received = received.model_copy(update={"fee_minor": fee})
    after = evolve(state, received)
    comes_back = order_refund.shipping_comes_back(back.reason, state, policy.rules.refund)
    left = 0 if state.shipping_cancelled or not comes_back else order_refund.shipping_left(state)
    shipping = min(left, max(0, goods_owed_minor(after)))
    return received.model_copy(update={"shipping_minor": shipping})


def _unpaid_fee_minor(owed: int, worth: int, back: Return, policy: PolicyVersion) -> int:
    """Of the goods that pay, with their fee, what is asked: the rest was paid and is refunded."""
    whole = order_refund.restocking_fee_minor(back.reason, back, worth, policy.rules)
    if worth - whole <= owed:
        return whole
    goods = owed
    if whole:
        goods = owed * 10_000 // (10_000 - policy.rules.returns.restocking_fee_bp)
    return order_refund.restocking_fee_minor(back.reason, back, goods, policy.rules)


def _by_line(items: Iterable[tuple[int, Decimal]]) -> dict[int, Decimal]:
    """Units of one line in several conditions add up."""
    found: dict[int, Decimal] = {}
    for line_no, units in items:
        found[line_no] = found.get(line_no, ZERO) + units
    return found


def _require_awaited(line_no: int, came: Decimal, back: Return) -> None:
    if came > back.awaited(line_no):
        raise Rejected(
            "return_exceeds_request",
            f"line {line_no}: {quantity_json(came)} came, "
            f"{quantity_json(back.awaited(line_no))} were to come",
            line_no=line_no,
            came=quantity_json(came),
            awaited=quantity_json(back.awaited(line_no)),
        )


def _refund(
    command: ReceiveReturn,
    back: Return,
    came: dict[int, Decimal],
    state: Order,
    policy: PolicyVersion,
) -> list[Event]:
    """Of what came and was not given back before (as lost), as far as it was paid. That nothing was
    paid for it, or is paid by now, must not keep goods from being received.
    """
    left = {
        no: min(units, unrefunded_units(state, command.return_id, no)) for no, units in came.items()
    }
    worth_of = {
        no: left_minor(state.lines[no], units, sent_first=True)
        for no, units in left.items()
        if units > 0
    }
    lines = [
        LineQuantityBody(line_no=no, quantity=left[no]) for no, part in worth_of.items() if part
    ]
    worth = min(sum(worth_of.values()), state.refundable_minor)
    if worth <= order_refund.restocking_fee_minor(back.reason, back, worth, policy.rules):
        return []
    asked = RequestRefund(
        reason=back.reason,  # type: ignore[arg-type]
        lines=lines,
        evidence=list(back.evidence),
        order_id=command.order_id,
        refund_id=command.refund_id,
        return_id=command.return_id,
        actor=command.actor,
        at=command.at,
    )
    return order_refund.request(asked, state, policy, at_most=True)
