"""Orders at the desk: placed, changed, cancelled; their cases and holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain import (
    exchanged_money,
    intake_checks,
    order,
    order_account,
    order_case,
    order_status,
    payout,
    policy,
    service_stop,
)
from domain.case_commands import CaseChange, RejectOrder
from domain.desk_customers import pay_out_of_account, register_customer, tell_customer
from domain.desk_names import (
    States,
    account_stream,
    customer_stream,
    external_ref_claim,
    fresh,
    number_claim,
    order_in,
    order_stream,
    stock_stream,
)
from domain.desk_replaced import first_order_of, withdraw
from domain.desk_stock import add_to_order, free_units, kept_stock
from domain.desk_write import Write, claim_of, pinned_rules, placed_order, rules_of
from domain.intake_checks import CheckOrder
from domain.message import Event, Rejected, StreamName
from domain.order_commands import CancelOrder, OrderChange, VoidOrder
from domain.order_line import OrderLine
from domain.order_state import Order
from domain.payout import payout_stream
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.policy import PolicyVersion, policy_stream
from domain.refund_commands import ApproveRefund, PayRefund, RequestRefund

NUMBERS_TAKEN = "numbers_taken"  # the one refusal that chance decides


def streams_of_placing(command: PlaceOrder) -> frozenset[StreamName]:
    stock = {stock_stream(line.sku, line.location) for line in command.lines}
    names = fresh(command) | stock | {customer_stream(command.customer_id)}
    names |= {policy_stream(command.shop)}
    if command.payment_method in order_account.TOUCHING_METHODS:
        names |= {account_stream(command.customer_id, command.currency)}
    return names


def streams_of_change(
    command: AmendOrder | CancelOrder | RejectOrder | VoidOrder, loaded: States
) -> set[StreamName]:
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    lines = [line for line in state.lines.values() if _stock_may_change(command, line)]
    names = {stream} | {stock_stream(line.priced.sku, line.priced.location) for line in lines}
    if not isinstance(command, AmendOrder):
        names |= first_order_of(state)
    if isinstance(command, CancelOrder | RejectOrder):
        names.add(policy_stream(state.shop))
    if isinstance(command, AmendOrder):
        added = [item for item in command.lines or [] if item.line_no is None]
        names |= {stock_stream(item.sku or "", item.location or "main") for item in added}
    return names


def _stock_may_change(
    command: AmendOrder | CancelOrder | RejectOrder | VoidOrder, line: OrderLine
) -> bool:
    """Only a change of quantity touches stock (R7)."""
    if not isinstance(command, AmendOrder):
        return line.reserved > 0
    changes = (item for item in command.lines or [] if item.line_no == line.priced.line_no)
    return any(item.quantity not in {None, line.quantity} for item in changes)


def sell(command: PlaceOrder, write: Write, region: str | None = None) -> None:
    """Place, unless the customer is served no more; what was sold already, there or elsewhere, is a
    fact.
    """
    known = write.states[order_stream(command.order_id)].placed
    if not known and command.channel not in service_stop.SOLD_ELSEWHERE:
        service_stop.require(write.states[customer_stream(command.customer_id)])
    place(command, write, region)


def place(
    command: PlaceOrder,
    write: Write,
    region: str | None = None,
    paid: Iterable[Event] = (),
    rules: PolicyVersion | None = None,
) -> None:
    """`paid`: what is known of the new order at once, such as what it stands for. `rules`: where
    others hold for it than those in force.
    """
    stream = order_stream(command.order_id)
    if write.states[stream].placed:
        return
    if command.external_ref is not None:
        _claim_external_ref(command, command.external_ref, write)
    number = free_number(command.numbers, command.order_id, write)
    before: Order = write.states[stream]
    rules = rules or policy.in_force(write.states[policy_stream(command.shop)], command.at)
    of_account = write.states.get(account_stream(command.customer_id, command.currency))
    placed = order.place(command, number, free_units(write), rules, region, of_account)
    add_to_order(stream, [*placed, *paid], write)
    if command.payment_method in order_account.TOUCHING_METHODS:
        pay_out_of_account(command, write)
        tell_customer(command, before, write)
    register_customer(command, write)


def _claim_external_ref(command: PlaceOrder, external_ref: str, write: Write) -> None:
    name = external_ref_claim(command.shop, external_ref)
    owner = write.states[name]
    if owner is not None:
        raise Rejected(
            "already_placed",
            f"{external_ref} of shop {command.shop} is order {owner}",
            order_id=owner,
        )
    write.claims.append(claim_of(name, command.order_id))


def free_number(numbers: Iterable[str], owner: str, write: Write) -> str:
    """Claims it, unless the owner has it already: an order has the number of its draft."""
    for number in numbers:
        name = number_claim(number)
        if write.states[name] is None:
            write.claims.append(claim_of(name, owner))
        if write.states[name] in {None, owner}:
            return number
    raise Rejected(NUMBERS_TAKEN, "none of the candidates is free: try again")


def change_order(command: OrderChange, write: Write) -> None:
    stream = order_stream(command.order_id)
    state = placed_order(write, command.order_id)
    if isinstance(command, PayRefund):
        payout.require_settled(command, write.states[payout_stream(command.refund_id)])
    facts = order.decide(command, state, kept_stock(write), rules_of(state, write))
    add_to_order(stream, facts, write)
    if isinstance(command, RequestRefund | PayRefund) and facts:
        require_covered(command, write)
    withdraw(state, facts, command.at, write)
    tell_customer(command, state, write)


def require_covered(command: RequestRefund | PayRefund | ApproveRefund, write: Write) -> None:
    """Where the money of exchanged goods came in. What a provider has paid is a fact."""
    if not isinstance(command, PayRefund) or not command.told:
        state: Order = write.states[order_stream(command.order_id)]
        exchanged_money.require_covered(command.refund_id, state, order_in(write.states))


def change_case(command: CaseChange, write: Write) -> None:
    state = placed_order(write, command.order_id)
    facts = order_case.decide(command, state, rules_of(state, write))
    add_to_order(order_stream(command.order_id), facts, write)
    withdraw(state, facts, command.at, write)
    tell_customer(command, state, write)


def check(command: CheckOrder, write: Write) -> None:
    state = placed_order(write, command.order_id)
    twins = {one.order_id: write.states[order_stream(one.order_id)] for one in command.twins}
    facts = intake_checks.decide(command, state, twins, pinned_rules(state, write))
    write.add(order_stream(command.order_id), facts)


def order_answer(state: Order, version: int) -> dict[str, Any]:
    return {
        "order_id": state.order_id,
        "number": state.number,
        "version": version,
        "status": order_status.code(state),
        "total_minor": state.total_minor,
    }
