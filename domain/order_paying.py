"""Every command about the money of an order, and who decides it."""

from __future__ import annotations

from domain import (
    order_authorisation,
    order_cash,
    order_lateness,
    order_payment,
    order_payment_undone,
    order_reminding,
)
from domain.message import Event
from domain.order_payment_undone import move
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.payment_commands import PaymentChange
from domain.policy import PolicyVersion

__all__ = ["decide", "move"]

_DECIDERS = (
    order_payment.DECIDERS
    | order_authorisation.DECIDERS
    | order_payment_undone.DECIDERS
    | order_lateness.DECIDERS
    | order_cash.DECIDERS
    | order_reminding.DECIDERS
)


def decide(command: PaymentChange, state: Order, policy: PolicyVersion, free: Free) -> list[Event]:
    """Return what the command makes true of the order: [] if it already is. Raises Rejected.

    `policy`: the version that the order was placed under. `free`: units of stock that could be
    reserved, of each (sku, location) that has a stock record.
    """
    return list(_DECIDERS[type(command)](command, state, policy, free))
