"""Refunds, returns and exchanges at the desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import (
    exchanged_money,
    order_account,
    order_exchange,
    order_return,
    payout,
    refund_settlement,
)
from domain.desk_customers import customers_of, tell_customer
from domain.desk_names import (
    States,
    account_stream,
    customer_stream,
    external_ref_claim,
    fresh,
    order_in,
    order_stream,
    stock_stream,
)
from domain.desk_orders import order_answer, place, require_covered
from domain.desk_parcels import parcel_came_back, streams_of_parcel
from domain.desk_replaced import first_order_of, withdraw
from domain.desk_stock import restock
from domain.desk_write import Write, placed_order, rules_of
from domain.message import StreamName
from domain.order_state import Order
from domain.payout import payout_stream
from domain.policy import policy_stream
from domain.refund_commands import (
    AddEvidence,
    ApproveRefund,
    ApproveReturn,
    DenyRefund,
    ExchangeOrder,
    FailRefund,
    ReceiveReturn,
    RefundChange,
    RequestRefund,
    RequestReturn,
    ReturnChange,
)
from domain.return_facts import ReturnReceived


def streams_by_policy(
    command: RequestRefund | AddEvidence | RequestReturn | ApproveReturn | ReceiveReturn,
    loaded: States,
) -> set[StreamName]:
    """What the policy of the order's placement decides on, the stock that goods go back to, and
    the parcel that they came back with.
    """
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    names = {stream, policy_stream(state.shop), *customers_of(command, loaded)}
    if isinstance(command, RequestRefund):
        names |= with_sources(command.order_id, loaded)
    if isinstance(command, ReceiveReturn):
        names |= first_order_of(state)
        numbers = {item.line_no for item in command.lines if item.restocked}
        lines = [state.lines[no].priced for no in numbers & state.lines.keys()]
        names |= {stock_stream(line.sku, line.location) for line in lines}
        back = state.returns.get(command.return_id)
        if back is not None and back.parcel_id is not None:
            names |= streams_of_parcel(back.parcel_id, loaded)
    return names


def with_sources(order_id: str, loaded: States) -> frozenset[StreamName]:
    """The order, and those that money of it came in by before an exchange."""
    sources = exchanged_money.sources(order_in(loaded)(order_id))
    return frozenset({order_stream(order_id), *map(order_stream, sources)})


def streams_of_exchange(command: ExchangeOrder, loaded: States) -> set[StreamName]:
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream, *fresh(command)}
    stock = {stock_stream(line.sku, line.location) for line in command.new_lines}
    names = {stream, policy_stream(state.shop), customer_stream(state.customer_id)}
    if (command.payment_method or state.payment_method) in order_account.TOUCHING_METHODS:
        names.add(account_stream(state.customer_id, state.currency))
    if command.external_ref is not None:
        names.add(external_ref_claim(state.shop, command.external_ref))
    return names | stock | fresh(command)


def settle(command: RefundChange, write: Write) -> None:
    state = placed_order(write, command.order_id)
    if isinstance(command, FailRefund | DenyRefund):
        payout.require_settled(command, write.states[payout_stream(command.refund_id)])
    events = refund_settlement.decide(command, state, rules_of(state, write))
    write.add(order_stream(command.order_id), events)
    if isinstance(command, ApproveRefund) and events:
        require_covered(command, write)
    tell_customer(command, state, write)


def take_back(command: ReturnChange, write: Write) -> None:
    state = placed_order(write, command.order_id)
    events = order_return.decide(command, state, rules_of(state, write))
    write.add(order_stream(command.order_id), events)
    for event in events:
        if isinstance(event, ReturnReceived):
            restock(event, state, write)
            parcel_came_back(event, state.returns[event.return_id].parcel_id, write)
    withdraw(state, events, command.at, write)
    tell_customer(command, state, write)


def exchange(command: ExchangeOrder, write: Write) -> None:
    """The old order's facts and the new order, in one write."""
    state = placed_order(write, command.order_id)
    policy_version = rules_of(state, write)
    assert policy_version is not None
    events = order_exchange.take_back(command, state, policy_version)
    if not events:
        return
    write.add(order_stream(command.order_id), events)
    region = None if command.shipping_address else state.region or ""
    paid = order_exchange.paid(command, write.states[order_stream(command.order_id)])
    place(order_exchange.placement(command, state), write, region, paid)


def refund_answer(refund_id: str, state: Order) -> dict[str, Any]:
    """`pay_by` and `decide_by` are null while the customer's evidence is awaited."""
    refund = state.refunds[refund_id]
    due = refund.pay_by if refund.runs else None
    undecided = refund.decide_by if refund.runs and refund.status == "requested" else None
    return {
        "refund_id": refund_id,
        "amount_minor": refund.amount_minor,
        "refund_status": refund.status,
        "decide_by": undecided and undecided.isoformat(),
        "pay_by": due and due.isoformat(),
    }


def exchange_answer(
    command: ExchangeOrder, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    new = order_stream(command.new_order_id)
    made: Order = states[new]
    old: Order = states[order_stream(command.order_id)]
    return {
        "return_id": command.return_id,
        "return_status": old.returns[command.return_id].status,
        "refund": refund_answer(command.refund_id, old),
        "new_order": {**order_answer(made, versions[new]), "due_minor": made.unpaid_minor},
    }
