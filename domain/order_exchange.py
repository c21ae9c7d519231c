"""An exchange: goods come back, another order goes out for them, paid with what they were worth.

The units are refunded into a payment of the new order, so each order keeps its own prices and tax,
and what was paid is neither made nor lost. The customer pays the difference, or nothing.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from domain import order_refund, order_return
from domain.message import Event, Rejected
from domain.order_facts import Exemption, PaymentCaptured, RefundPaid, RefundRequested
from domain.order_fold import evolve
from domain.order_hold import not_disputed, not_held
from domain.order_money import EXCHANGE
from domain.order_refund_state import first_method
from domain.order_state import Order
from domain.placement_commands import PlaceOrder
from domain.policy import PolicyVersion
from domain.refund_commands import ExchangeOrder, RequestRefund
from domain.return_facts import ExchangedPart, OrderExchanged, PlacedInExchange
from domain.values import percent

_PARTS = UUID("5c1f44b6-0a0e-5d35-9a3c-7a7d3c0f1e02")  # namespace of payments but the first


def take_back(command: ExchangeOrder, state: Order, policy: PolicyVersion) -> list[Event]:
    """The facts of the old order. Raises Rejected as a return and a refund would, and where the
    old order is held or its money is disputed: the new one would leave all the same.
    """
    if command.return_id in state.returns:
        return []
    not_held(state)
    not_disputed(state)
    events = order_return.request(command, state, policy)
    events.append(order_return.approved(command, command.reason, policy))
    for event in events:
        state = evolve(state, event)
    return [*events, *_moved(command, state, policy)]


def _moved(command: ExchangeOrder, state: Order, policy: PolicyVersion) -> list[Event]:
    """No second person is asked: no money leaves the house."""
    asked = RequestRefund(
        reason=command.reason,
        lines=command.lines,
        shipping_minor=0,
        evidence=command.evidence,
        order_id=command.order_id,
        refund_id=command.refund_id,
        return_id=command.return_id,
        actor=command.actor,
        at=command.at,
    )
    requested = order_refund.request(asked, state, policy, in_advance=True)[0]
    assert isinstance(requested, RefundRequested)
    amount = requested.amount_minor
    return [
        requested.model_copy(update={"needs_approval": False, "decide_by": None}),
        order_refund.by_policy(command.refund_id, command.at),
        RefundPaid(
            refund_id=command.refund_id,
            amount_minor=amount,
            method=EXCHANGE,
            reference=command.new_order_id,
            at=command.at,
        ),
        OrderExchanged(
            return_id=command.return_id,
            refund_id=command.refund_id,
            new_order_id=command.new_order_id,
            amount_minor=amount,
            at=command.at,
        ),
    ]


def placement(command: ExchangeOrder, state: Order) -> PlaceOrder:
    """The new order: where nothing else is said, to the same person at the same place, exempt from
    tax as the old one was. Raises Rejected `line_is_exempt`.
    """
    if state.exemption is not None:
        _require_no_rates(command, state.exemption)
    given: dict[str, Any] = {
        "shop": state.shop,
        "channel": command.channel,
        "customer_id": state.customer_id,
        "currency": state.currency,
        "lines": command.new_lines,
        "prices_include_tax": state.prices_include_tax,
        "discount_minor": command.discount_minor,
        "shipping_minor": command.shipping_minor,
        "shipping_tax_rate_bp": command.shipping_tax_rate_bp,
        "exemption": state.exemption,
        "exemption_certificate": state.exemption_certificate if _exempt(command, state) else None,
        "contact": command.contact or state.contact,
        "shipping_address": command.shipping_address or state.shipping_address,
        "billing_address": state.billing_address,
        "payment_method": command.payment_method or state.payment_method,
        "external_ref": command.external_ref,
        "order_id": command.new_order_id,
        "numbers": command.numbers,
        "at": command.at,
    }
    return PlaceOrder.model_construct(**given)  # Its parts were validated; old ones are sealed.


def _exempt(command: ExchangeOrder, state: Order) -> bool:
    return state.exemption is not None or any(line.exemption for line in command.new_lines)


def _require_no_rates(command: ExchangeOrder, by: Exemption) -> None:
    """Of the new lines and their shipping."""
    rates = [*(line.tax_rate_bp for line in command.new_lines), command.shipping_tax_rate_bp]
    if any(rates):
        raise Rejected(
            "line_is_exempt",
            f"a tax rate of {percent(max(rates))} asked, none allowed: the order is exempt from "
            f"tax ({by.code})",
            asked_bp=max(rates),
            allowed_bp=0,
        )


def paid(command: ExchangeOrder, old: Order) -> list[Event]:
    """On the new order: what it stands for, and the worth of the goods: a payment for each that it
    was paid by, so that money goes back to where it came from.
    """
    parts = _parts(command.refund_id, old)
    return [
        PlacedInExchange(
            of_order_id=command.order_id,
            return_id=command.return_id,
            amount_minor=old.refunds[command.refund_id].amount_minor,
            parts=parts,
            at=command.at,
        ),
        *(
            PaymentCaptured(
                person=f"order/{command.new_order_id}",
                payment_id=part.payment_id,
                method=EXCHANGE,
                amount_minor=part.amount_minor,
                reference=command.order_id,
                at=command.at,
            )
            for part in parts
        ),
    ]


def _parts(refund_id: str, old: Order) -> list[ExchangedPart]:
    """Of an order that stands for exchanged goods itself, where their money first came in. The ids
    follow from the refund's: a retry makes the same.
    """
    return [
        ExchangedPart(
            payment_id=str(uuid5(_PARTS, f"{refund_id}/{paid}")) if nth else refund_id,
            amount_minor=amount,
            from_order_id=first.from_order_id if first else old.order_id,
            from_payment_id=first.from_payment_id if first else paid,
            from_refund_id=first.from_refund_id if first else refund_id,
            method=first_method(paid, old),
        )
        for nth, (paid, amount) in enumerate(old.refunds[refund_id].payments.items())
        for first in [old.exchanged.get(paid)]
    ]
