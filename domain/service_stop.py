"""Stopping the service of a customer who has not paid in time, and resuming it when all is paid.

The customer's facts stand in the write of the order's own, so that placing and dispatching need
look at nothing but the customer.
"""

from __future__ import annotations

from datetime import datetime

from domain.customer import Customer, ServiceResumed, ServiceStopped
from domain.message import Event, Rejected
from domain.money import shown_minor
from domain.order_state import Order
from domain.policy import PolicyVersion

SOLD_ELSEWHERE = frozenset({"marketplace", "import"})  # facts, whatever the customer owes us


def stands(state: Order) -> bool:
    """Whether the order is overdue and still owed."""
    live = not state.void and not state.cancelled
    return live and state.money.overdue and state.balance_minor > 0


def follow(
    before: Order, after: Order, policy: PolicyVersion | None, state: Customer, at: datetime
) -> list[Event]:
    """The customer's facts that go with those of an order. `policy`: of the order's placement,
    where the command asked for it.
    """
    if after.order_id in state.stops and not stands(after):
        return [ServiceResumed(customer_id=after.customer_id, order_id=after.order_id, at=at)]
    became_so = stands(after) and not before.money.overdue
    if not became_so or policy is None or policy.rules.payment.on_overdue != "stop_service":
        return []
    return [
        ServiceStopped(
            customer_id=after.customer_id,
            order_id=after.order_id,
            number=after.number,
            currency=after.currency,
            outstanding_minor=after.balance_minor,
            at=at,
        )
    ]


def require(state: Customer) -> None:
    """Raises Rejected `service_stopped`, with the orders that have to be paid first."""
    if not state.stops:
        return
    owed = "; ".join(
        f"order {stop.number}: {shown_minor(stop.outstanding_minor, stop.currency)}"
        for stop in state.stops.values()
    )
    raise Rejected(
        "service_stopped",
        f"{owed} are overdue: possible again when they are paid",
        orders=[
            {
                "order_id": order_id,
                "number": stop.number,
                "currency": stop.currency,
                "outstanding_minor": stop.outstanding_minor,
            }
            for order_id, stop in state.stops.items()
        ],
    )
