"""Payments at the desk: recorded, moved between orders, collected, refused at the door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import exchanged_money, order_money, order_paying, order_same_payment, order_status
from domain.desk_customers import customers_of, tell_customer
from domain.desk_names import States, order_in, order_stream, parcel_stream, stock_stream
from domain.desk_orders import order_answer
from domain.desk_stock import add_to_order, free_units
from domain.desk_write import Write, pinned_rules, placed_order
from domain.message import StreamName
from domain.order_same_payment import Reveal, as_it_is
from domain.order_state import Order
from domain.payment_commands import (
    AuthorisePayment,
    CancelOverdue,
    MovePayment,
    OpenChargeback,
    PaymentChange,
    RecordPayment,
    RecordRemittance,
    RefuseDelivery,
)
from domain.policy import policy_stream


def streams_of_payment_change(command: PaymentChange, loaded: States) -> set[StreamName]:
    names = streams_of_payment(order_stream(command.order_id), loaded)
    if isinstance(command, RefuseDelivery):
        names.add(parcel_stream(command.parcel_id))
    if isinstance(command, CancelOverdue):
        names |= _stock_of(loaded.get(order_stream(command.order_id)))
    if isinstance(command, OpenChargeback):
        found, order_of = order_in(loaded)(command.order_id), order_in(loaded)
        names |= {order_stream(name) for name in exchanged_money.onward(found, order_of)}
    return names | customers_of(command, loaded)


def streams_of_payment(stream: StreamName, loaded: States) -> set[StreamName]:
    """The rules of the order's placement; of a cancelled order also the stock that it would need
    to live on.
    """
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    names = {stream, policy_stream(state.shop)}
    gone = state.money.cancellation if state.cancelled else None
    for item in gone.lines if gone else ():
        line = state.lines[item.line_no].priced
        names.add(stock_stream(line.sku, line.location))
    return names


def _stock_of(state: Order | None) -> set[StreamName]:
    """Where units of the order are promised."""
    lines = state.lines.values() if state else ()
    return {
        stock_stream(line.priced.sku, line.priced.location) for line in lines if line.reserved > 0
    }


def change_payment(command: PaymentChange, write: Write) -> None:
    state = placed_order(write, command.order_id)
    if isinstance(command, RefuseDelivery) and parcel_stream(command.parcel_id) in write.states:
        carrier = write.states[parcel_stream(command.parcel_id)].carrier
        command = command.model_copy(update={"carrier": carrier})
    if order_same_payment.is_known(command, state, write.reveal):
        return
    facts = order_paying.decide(command, state, pinned_rules(state, write), free_units(write))
    add_to_order(order_stream(command.order_id), facts, write)
    if isinstance(command, OpenChargeback) and facts:
        _hold_exchanged(command, state, write)
    tell_customer(command, state, write)


def _hold_exchanged(command: OpenChargeback, state: Order, write: Write) -> None:
    """The orders that the disputed money went on to."""
    for order_id in exchanged_money.paid_with(command.payment_id, state, order_in(write.states)):
        new = placed_order(write, order_id)
        add_to_order(order_stream(order_id), exchanged_money.hold(command, new), write)


def move_payment(command: MovePayment, write: Write) -> None:
    source, other = placed_order(write, command.order_id), placed_order(write, command.to_order_id)
    out, into = order_paying.move(
        command, source, other, pinned_rules(other, write), free_units(write)
    )
    add_to_order(order_stream(command.order_id), out, write)
    add_to_order(order_stream(command.to_order_id), into, write)
    tell_customer(command, source, write)
    tell_customer(command, other, write)


def money_answer(command: Any, state: Order, reveal: Reveal = as_it_is) -> dict[str, Any]:
    """What the order's money has come to, and the ids that the command made or named."""
    settled = order_money.settlement(state)
    made: dict[str, Any] = {
        "payment": order_status.payment(state),
        "paid_minor": settled.paid_minor,
        "due_minor": max(0, state.balance_minor),
        "credit_minor": settled.credit_minor,
        "written_off_minor": settled.written_off_minor,
        "late_fee_minor": state.money.late_fees_minor,
    }
    payment_id = getattr(command, "payment_id", None)
    if payment_id is not None:
        made |= {"payment_id": payment_id, "outcome": _outcome(payment_id, state)}
    if isinstance(command, OpenChargeback):
        made["chargeback_id"] = command.chargeback_id
    return made | _known_before(command, state, reveal)


def _known_before(command: Any, state: Order, reveal: Reveal) -> dict[str, Any]:
    """Of money that may be told twice: whether it was, and the id that it is known by."""
    if isinstance(command, AuthorisePayment):
        return _held_before(command, state)
    if not isinstance(command, RecordPayment | RecordRemittance):
        return {}
    known = order_same_payment.known_as(command, state, reveal)
    if known is None:
        return {}
    return {"payment_id": known, "outcome": _outcome(known, state), "already_recorded": True}


def _held_before(command: AuthorisePayment, state: Order) -> dict[str, Any]:
    if not order_same_payment.is_held(command, state):
        return {}
    held = order_same_payment.held_as(command.method, command.reference, state) or ""
    return {"payment_id": held, "outcome": _outcome(held, state), "already_recorded": True}


def _outcome(payment_id: str, state: Order) -> str:
    """What became of the money of one payment."""
    known = state.payments.get(payment_id)
    if payment_id in state.money.captures:
        return "requested"
    if known is None:
        held = state.money.authorisations.get(payment_id)
        return (held.closed or "held") if held else "failed"
    if known.voided:
        return "voided"
    if state.money.reinstated_by == payment_id:
        return "reinstated"
    if state.balance_minor < 0:
        return "refund_due" if state.cancelled else "credit"
    return "partly_paid" if state.balance_minor > 0 else "paid"


def moved_answer(
    command: MovePayment, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    source, other = order_stream(command.order_id), order_stream(command.to_order_id)
    return {
        **order_answer(states[source], versions[source]),
        "payment_id": command.payment_id,
        "to": {
            **order_answer(states[other], versions[other]),
            **money_answer(command, states[other]),
            "payment_id": command.to_payment_id,
            "outcome": _outcome(command.to_payment_id, states[other]),
        },
    }
