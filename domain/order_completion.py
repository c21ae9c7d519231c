"""When an order is completed: all has arrived, all is paid, nothing is open; after some days by
itself, or when the receipt is confirmed. What comes later leaves the stage as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.completion_facts import OrderCompleted
from domain.message import Event, Rejected
from domain.order_line import ZERO
from domain.order_money import shown
from domain.order_payment import not_void
from domain.order_replacement_state import LOST, losses_are_made_good, replaced_at
from domain.order_state import Order
from domain.order_status import TROUBLED, arrived_everything, fulfilment
from domain.policy import PolicyVersion
from domain.values import quantity_json
from domain.working_calendar import add_days

COMPLETE = "complete"  # the step that a policy may leave to a person


def complete(command: CompleteOrder, state: Order, policy: PolicyVersion) -> list[Event]:
    """By the clock, unless something stands against it by now. Raises Rejected `not_due`."""
    until = due(state, policy)
    if until is None:
        return []
    if command.at <= until:
        told = until.isoformat()
        raise Rejected("not_due", f"completed after {told}, or by a confirmation", due_at=told)
    return [_completed("policy", state, policy, command.at)]


def confirm(command: ConfirmReceipt, state: Order, policy: PolicyVersion) -> list[Event]:
    """By who says that it came. Raises Rejected as `require_settled` does."""
    if state.completed_at is not None:
        return []
    require_settled(state)
    return [_completed(command.by, state, policy, command.at)]


def _completed(by: str, state: Order, policy: PolicyVersion, at: datetime) -> Event:
    until = _due(state, policy)
    return OrderCompleted(by=by, due_at=until, policy_version=policy.version, at=at)


def due(state: Order, policy: PolicyVersion) -> datetime | None:
    """The last instant before it is completed by itself; None where something stands against it, or
    the policy leaves it to a person.
    """
    if state.completed_at is not None or COMPLETE in policy.rules.status.confirm:
        return None
    try:
        require_settled(state)
    except Rejected:
        return None
    return _due(state, policy)


def _due(state: Order, policy: PolicyVersion) -> datetime:
    """The end of the shop's local day, so many days after that of the last arrival."""
    arrived = [one.delivered_at for one in state.parcels.values() if one.delivered_at is not None]
    last = max([*arrived, *replaced_at(state)])
    return add_days(policy.calendar, last, policy.rules.status.completed_days).at


def require_settled(state: Order) -> None:
    """Raises Rejected unless all has arrived, is paid by the order's own rule, and nothing waits
    for anybody.
    """
    not_void(state)
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled")
    _require_arrived(state)
    if state.uncovered_minor > 0:
        raise Rejected(
            "not_paid",
            f"{shown(state.uncovered_minor, state)} of {shown(state.total_minor, state)} are due",
            due_minor=state.uncovered_minor,
        )
    waiting = open_things(state)
    if waiting:
        named = "; ".join(f"{kind}: {', '.join(ids)}" for kind, ids in waiting.items())
        raise Rejected("order_is_open", f"to be ended before: {named}", open=waiting)


def _require_arrived(state: Order) -> None:
    if arrived_everything(state) and fulfilment(state) not in TROUBLED:
        return
    missing = {str(no): quantity_json(units) for no, units in _missing(state)}
    raise Rejected(
        "not_delivered",
        f"order {state.number} is {fulfilment(state)}: it is completed when all of it has arrived",
        fulfilment=fulfilment(state),
        missing=missing,
    )


def _missing(state: Order) -> Iterable[tuple[int, Decimal]]:
    units = ((no, line.live - line.delivered) for no, line in state.lines.items())
    return ((no, left) for no, left in units if left > ZERO)


def open_things(state: Order) -> dict[str, list[str]]:
    """Ids of what waits for somebody, by kind."""
    money, cases = state.money, state.cases
    found = {
        "cases": [key for key, case in cases.cases.items() if case.open],
        "holds": [*cases.holds],
        "replacements": [key for key, one in state.replacements.items() if one.is_open],
        "returns": [key for key, one in state.returns.items() if one.is_open],
        "refunds": [key for key, one in state.refunds.items() if one.is_open],
        "chargebacks": [k for k, one in money.chargebacks.items() if one.outcome is None],
    }
    return {kind: ids for kind, ids in found.items() if ids}


def parcels_to_confirm(state: Order) -> list[str]:
    """What a confirmed receipt says of parcels whose carrier has not told it. One that comes back,
    or was lost and made good, is not said to have arrived.
    """
    ended = {"returning", LOST} if losses_are_made_good(state) else {"returning"}
    return [
        parcel_id
        for parcel_id, parcel in state.parcels.items()
        if parcel.on_its_way and parcel.milestone not in ended
    ]
