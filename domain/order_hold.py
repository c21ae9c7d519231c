"""Holds of an order: put on, released, and what they forbid meanwhile."""

from __future__ import annotations

from typing import Any

from domain.case_commands import HoldOrder, ReleaseHold
from domain.case_facts import HoldReleased, OrderHeld
from domain.message import Event, Rejected
from domain.order_state import Order

# Whether the order is one at all is open: no money is taken for it meanwhile.
FORBID_CAPTURING = frozenset({"review", "fraud"})

# What a blocking case holds an order for, until it is closed.
TYPE_OF_KIND = {
    "duplicate": "review",
    "incomplete": "customer",
    "abnormal_amount": "review",
    "payment_mismatch": "payment",
    "stock_short": "stock",
    "address_undeliverable": "customer",
    "customer_dispute": "customer",
    "chargeback": "payment",
}


def not_held(state: Order) -> None:
    """Raises Rejected `order_held`: what is held is neither packed nor dispatched."""
    holds = state.cases.holds
    if holds:
        types = sorted({hold.type for hold in holds.values()})
        raise Rejected(
            "order_held",
            f"order {state.number} is held ({', '.join(types)}): release it first",
            order_id=state.order_id,
            holds=_told(holds),
        )


def not_disputed(state: Order) -> None:
    """Raises Rejected `chargeback_open`: nothing leaves while a bank asks for its money."""
    if state.money.disputed:
        raise Rejected(
            "chargeback_open",
            f"order {state.number}: money of it is disputed, nothing leaves until that has ended",
            order_id=state.order_id,
        )


def may_capture(state: Order) -> None:
    """Raises Rejected `held_against_capture`. Money that arrived unasked is a fact: not asked."""
    forbidding = {
        key: hold for key, hold in state.cases.holds.items() if hold.type in FORBID_CAPTURING
    }
    if forbidding:
        types = sorted({hold.type for hold in forbidding.values()})
        raise Rejected(
            "held_against_capture",
            f"order {state.number} is held ({', '.join(types)}): no money is taken for it until "
            "it is released",
            order_id=state.order_id,
            holds=_told(forbidding),
        )


def _told(holds: Any) -> list[dict[str, Any]]:
    return [
        {"hold_id": key, "type": hold.type, "case_id": hold.case_id} for key, hold in holds.items()
    ]


def hold(command: HoldOrder, state: Order) -> list[Event]:
    if command.hold_id in state.cases.holds or command.hold_id in state.cases.released:
        return []
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled: nothing is left to hold")
    return [
        OrderHeld(
            person=state.person,
            hold_id=command.hold_id,
            type=command.type,
            reason=command.reason,
            at=command.at,
        )
    ]


def release(command: ReleaseHold, state: Order) -> list[Event]:
    """Also the hold of a case that stays open: who may release decides."""
    if command.hold_id in state.cases.released:
        return []
    if command.hold_id not in state.cases.holds:
        raise Rejected("hold_not_found", hold_id=command.hold_id)
    return [
        HoldReleased(
            person=state.person, hold_id=command.hold_id, reason=command.reason, at=command.at
        )
    ]
