"""Goods that come back: within which time and from what, received with their condition, refunded
in the write of their receipt.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from domain import order_refund, order_undelivered
from domain.command_types import LineQuantityBody
from domain.message import Event, Rejected
from domain.order_facts import LineQuantity
from domain.order_fold import evolve
from domain.order_line import ZERO, OrderLine
from domain.order_lines import known_line
from domain.order_refund import known_return, require_evidence
from domain.order_return_state import Return, refunded_units, undelivered, unrefunded_units
from domain.order_state import Order
from domain.policy import PolicyVersion
from domain.refund_commands import (
    ApproveReturn,
    CloseReturn,
    DenyReturn,
    ExchangeOrder,
    ReceiveReturn,
    RequestIntercept,
    RequestRefund,
    RequestReturn,
    ReturnChange,
)
from domain.return_facts import (
    ReceivedLine,
    ReturnApproved,
    ReturnClosed,
    ReturnDenied,
    ReturnReceived,
    ReturnRequested,
)
from domain.values import quantity_json
from domain.working_calendar import Due, add_days

# Faults of the goods themselves: they have the longer window, and no category is left out.
FAULTS = frozenset({"quality_problem", "damaged", "wrong_item", "not_as_described"})


def decide(command: ReturnChange, state: Order, policy: PolicyVersion | None) -> list[Event]:
    """Raises Rejected. `policy`: of the order's placement, where the command asks for it."""
    match command:
        case RequestIntercept():
            return order_undelivered.request_intercept(command, state)
        case RequestReturn():
            assert policy is not None
            return request(command, state, policy)
        case ApproveReturn():
            assert policy is not None
            return _approve(command, state, policy)
        case DenyReturn():
            return _deny(command, state)
        case ReceiveReturn():
            assert policy is not None
            return _receive(command, state, policy)
        case CloseReturn():
            return _close(command, state)


# -- asked for -----------------------------------------------------------------------------------


def request(
    command: RequestReturn | ExchangeOrder, state: Order, policy: PolicyVersion
) -> list[Event]:
    """Raises Rejected for more than was delivered and has not come back, and what is too late; for
    a parcel that came back undelivered, for more than was in it.
    """
    if command.return_id in state.returns:
        return []
    require_evidence(command.reason, command.evidence, policy.rules.refund)
    parcel_id = command.parcel_id if isinstance(command, RequestReturn) else None
    if parcel_id is not None:
        order_undelivered.require_coming_back(parcel_id, command.lines, state)
    else:
        for item in command.lines:
            line = known_line(state, item.line_no)
            _require_delivered(item, line, state)
            _require_category(command.reason, line, policy)
            _require_window(command, item, state, policy)
    return [
        ReturnRequested(
            person=state.person,
            return_id=command.return_id,
            lines=[LineQuantity(line_no=i.line_no, quantity=i.quantity) for i in command.lines],
            reason=command.reason,
            text=command.text,
            evidence=command.evidence,
            policy_version=policy.version,
            parcel_id=parcel_id,
            at=command.at,
        )
    ]


def _gone(state: Order, line_no: int) -> Decimal:
    """Of the delivered units, those that came back and those that other returns wait for."""
    delivered = (one for one in state.returns.values() if not undelivered(one, state))
    return sum((one.taken(line_no) for one in delivered), ZERO)


def _require_delivered(item: LineQuantityBody, line: OrderLine, state: Order) -> None:
    left = line.delivered - _gone(state, item.line_no)
    if item.quantity > left:
        raise Rejected(
            "return_exceeds_delivered",
            f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
            f"{quantity_json(max(left, ZERO))} were delivered and are not on their way back",
            line_no=item.line_no,
            asked=quantity_json(item.quantity),
            returnable=quantity_json(max(left, ZERO)),
        )


def _require_category(reason: str, line: OrderLine, policy: PolicyVersion) -> None:
    category = line.priced.category
    if reason not in FAULTS and category in policy.rules.returns.excluded_categories:
        raise Rejected(
            "return_category_excluded",
            f"{category} is taken back only with a fault of the goods",
            line_no=line.priced.line_no,
            category=category,
            reasons=sorted(FAULTS),
        )


def _require_window(
    command: RequestReturn | ExchangeOrder,
    item: LineQuantityBody,
    state: Order,
    policy: PolicyVersion,
) -> None:
    """Units that came back, or are about to, are taken to be those delivered first."""
    rules = policy.rules.returns
    days = rules.quality_days if command.reason in FAULTS else rules.no_reason_days
    line, delivered = state.lines[item.line_no], _deliveries(item.line_no, days, state, policy)
    in_time = sum((units for due, units in delivered if command.at <= due.at), ZERO)
    gone = _gone(state, item.line_no)
    left = in_time - max(ZERO, gone - (line.delivered - in_time))
    if item.quantity > left:
        raise Rejected(
            "return_window_closed",
            f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
            f"{quantity_json(left)} were delivered within {days} days",
            line_no=item.line_no,
            asked=quantity_json(item.quantity),
            returnable=quantity_json(left),
            days=days,
            until=max((due.at.isoformat() for due, _ in delivered), default=None),
        )


def _deliveries(
    line_no: int, days: int, state: Order, policy: PolicyVersion
) -> list[tuple[Due, Decimal]]:
    """Units of a line by the end of the window that their delivery opened."""
    return [
        (add_days(policy.calendar, parcel.delivered_at, days), units.quantity)
        for parcel in state.parcels.values()
        if parcel.delivered_at is not None
        for units in parcel.lines
        if units.line_no == line_no
    ]


# -- decided -------------------------------------------------------------------------------------


def approved(command: ApproveReturn | ExchangeOrder, reason: str, policy: PolicyVersion) -> Event:
    """The seller pays the way back where it is the cause, unless somebody decided otherwise."""
    at_fault = reason in policy.rules.refund.seller_reasons
    return ReturnApproved(
        return_id=command.return_id,
        postage=command.postage or ("seller" if at_fault else "customer"),
        label=command.label,
        at=command.at,
    )


def _approve(command: ApproveReturn, state: Order, policy: PolicyVersion) -> list[Event]:
    back = known_return(command.return_id, state)
    if back.status in {"approved", "received"}:
        return []
    _require(back, command.return_id, "requested")
    return [approved(command, back.reason, policy)]


def _deny(command: DenyReturn, state: Order) -> list[Event]:
    """Also one that was approved, as long as nothing has come."""
    back = known_return(command.return_id, state)
    if back.status == "denied":
        return []
    _require(back, command.return_id, "requested", "approved")
    if back.exchange_order_id is not None:
        raise Rejected(
            "return_is_exchanged",
            f"order {back.exchange_order_id} was placed for it: cancel that one, or close this",
            return_id=command.return_id,
            exchange_order_id=back.exchange_order_id,
        )
    return [
        ReturnDenied(
            person=state.person, return_id=command.return_id, reason=command.reason, at=command.at
        )
    ]


def _require(back: Return, return_id: str, *allowed: str) -> None:
    if back.status not in allowed:
        raise Rejected(
            f"return_is_{back.status}",
            f"return {return_id} is {back.status}; it would have to be {' or '.join(allowed)}",
            return_id=return_id,
            allowed=list(allowed),
        )


# -- received ------------------------------------------------------------------------------------


def _receive(command: ReceiveReturn, state: Order, policy: PolicyVersion) -> list[Event]:
    if command.refund_id in state.refunds:
        return []
    back = known_return(command.return_id, state)
    _require(back, command.return_id, "approved", "received")
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
        at=command.at,
    )
    after = evolve(state, received)
    refund = _refund(command, back, units, after, policy) if command.refund else []
    for event in refund:
        after = evolve(after, event)
    return [received, *refund, *closed_when_done(command.return_id, after, command.at)]


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
    lines = [
        LineQuantityBody(line_no=no, quantity=units)
        for no, units in left.items()
        if units > 0 and state.lines[no].left_minor(units) > 0
    ]
    if not lines or state.refundable_minor == 0:
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


# -- closed --------------------------------------------------------------------------------------


def closed_when_done(return_id: str | None, state: Order, at: datetime) -> list[Event]:
    """Closed by itself when all of it came and was paid back, as far as it is to be."""
    back = state.returns.get(return_id or "")
    if return_id is None or back is None or back.status != "received" or not back.came_whole:
        return []
    refunds = [one for one in state.refunds.values() if one.return_id == return_id]
    if any(one.counts and not one.paid for one in refunds):
        return []
    if any(_is_left(no, units, return_id, state) for no, units in back.received.items()):
        return []
    return [ReturnClosed(person=state.person, return_id=return_id, by="policy", at=at)]


def _require_whole(back: Return, return_id: str) -> None:
    """What has not come in an exchange was given back all the same, into the new order: who gives
    it up says why.
    """
    missing = {no: units for no in back.lines if (units := back.awaited(no)) > 0}
    if missing:
        raise Rejected(
            "exchanged_goods_missing",
            f"order {back.exchange_order_id} was paid with goods that have not come: receive them, "
            "or give them up with a reason",
            return_id=return_id,
            exchange_order_id=back.exchange_order_id,
            missing={str(no): quantity_json(units) for no, units in missing.items()},
        )


def _is_left(line_no: int, came: Decimal, return_id: str, state: Order) -> bool:
    """Whether something may still go back for units that came, of a line that is known."""
    if came <= refunded_units(state, return_id, line_no):
        return False
    line = state.lines.get(line_no)
    return line is None or line.left_minor(unrefunded_units(state, return_id, line_no)) > 0


def _close(command: CloseReturn, state: Order) -> list[Event]:
    """What has not come by then is not waited for any more."""
    back = known_return(command.return_id, state)
    if back.status == "closed":
        return []
    _require(back, command.return_id, "approved", "received")
    if back.exchange_order_id is not None and command.reason is None:
        _require_whole(back, command.return_id)
    return [
        ReturnClosed(
            person=state.person,
            return_id=command.return_id,
            by="operator",
            reason=command.reason,
            at=command.at,
        )
    ]
