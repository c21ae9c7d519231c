"""Goods that shall come back: within which time and from what, approved or denied."""

from __future__ import annotations

from decimal import Decimal

from domain import order_receipt, order_return_closing, order_undelivered
from domain.command_types import LineQuantityBody
from domain.message import Event, Rejected
from domain.order_facts import LineQuantity
from domain.order_line import ZERO, OrderLine
from domain.order_lines import known_line
from domain.order_refund import known_return, require_evidence
from domain.order_return_closing import require_status
from domain.order_return_state import undelivered
from domain.order_state import Order
from domain.policy import PolicyVersion
from domain.refund_commands import (
    ApproveReturn,
    CloseReturn,
    DenyReturn,
    ExchangeOrder,
    ReceiveReturn,
    RequestIntercept,
    RequestReturn,
    ReturnChange,
)
from domain.return_facts import ReturnApproved, ReturnDenied, ReturnRequested
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
            return order_receipt.receive(command, state, policy)
        case CloseReturn():
            return order_return_closing.close(command, state)


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
    require_status(back, command.return_id, "requested")
    return [approved(command, back.reason, policy)]


def _deny(command: DenyReturn, state: Order) -> list[Event]:
    """Also one that was approved, as long as nothing has come."""
    back = known_return(command.return_id, state)
    if back.status == "denied":
        return []
    require_status(back, command.return_id, "requested", "approved")
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
