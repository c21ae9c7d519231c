"""Customers at the desk: their accounts, messages to them, and what an order means for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import (
    account,
    customer,
    customer_messages,
    order_account,
    order_payment,
    service_stop,
)
from domain.account import Account
from domain.account_commands import AccountChange, ExpireGifts, IssueGift
from domain.customer_messages import QueueMessage
from domain.desk_names import (
    States,
    account_stream,
    customer_stream,
    message_stream,
    order_stream,
    target,
)
from domain.desk_stock import add_to_order
from domain.desk_write import Write, pinned_rules, placed_order, rules_of
from domain.message import Command, Rejected, StreamName
from domain.order_state import Order
from domain.payment_commands import DeclareOverdue
from domain.placement_commands import PlaceOrder
from domain.policy import Policy, pinned, policy_stream


def customers_of(
    command: Command, loaded: States, stream: StreamName | None = None
) -> frozenset[StreamName]:
    """The customer's account, where a command of the order may change it; and the customer of an
    overdue order, whose service may be stopped or resumed.
    """
    state: Order = loaded.get(stream or order_stream(target(command))) or Order()
    names: set[StreamName] = set()
    if state.placed and order_account.concerned(command, state):
        names.add(account_stream(state.customer_id, state.currency))
    if state.money.overdue or _stops_service(command, state, loaded):
        names.add(customer_stream(state.customer_id))
    return frozenset(names)


def _stops_service(command: Command, state: Order, loaded: States) -> bool:
    known: Policy | None = loaded.get(policy_stream(state.shop))
    if known is None or not isinstance(command, DeclareOverdue):
        return False
    return pinned(known, state.policy_version).rules.payment.on_overdue == "stop_service"


def register_customer(command: PlaceOrder, write: Write) -> None:
    stream = customer_stream(command.customer_id)
    if not write.states[stream].registered:
        registered = customer.register(command.customer_id, command.contact, command)
        write.add(stream, [registered])


def change_account(command: AccountChange, write: Write) -> None:
    known = isinstance(command, ExpireGifts) or (
        write.states[customer_stream(command.customer_id)].registered
    )
    if not known:  # A slip in the id would make money that is nobody's.
        raise Rejected("customer_not_found", customer_id=command.customer_id)
    stream = account_stream(command.customer_id, command.currency)
    write.add(stream, account.decide(command, write.states[stream]))


def pay_out_of_account(command: PlaceOrder, write: Write) -> None:
    stream = order_stream(command.order_id)
    payer = order_payment.payer_of(command.order_id)
    paid = order_account.payment_at_placing(write.states[stream], command.at, payer)
    add_to_order(stream, paid, write)


def tell_customer(command: Command, before: Order, write: Write) -> None:
    """What became of an order, for its customer's account and service, where `streams` asked for
    them.
    """
    tell_account(command, before, write)
    after: Order = write.states[order_stream(before.order_id or target(command))]
    name = customer_stream(after.customer_id)
    if name in write.states:
        rules, known = rules_of(after, write), write.states[name]
        write.add(name, service_stop.follow(before, after, rules, known, command.at))


def tell_account(command: Command, before: Order, write: Write) -> None:
    stream = order_stream(before.order_id or target(command))
    facts, after = write.events.get(stream, []), write.states[stream]
    name = account_stream(after.customer_id, after.currency)
    if name in write.states:
        state: Account = write.states[name]
        write.add(name, order_account.follow(command, before, after, facts, state))
    else:
        needed = order_account.needs_account(before, after, facts)
        assert not needed, f"{type(command)} did not ask for the account"


def queue_message(command: QueueMessage, write: Write) -> None:
    stream, state = message_stream(command.message_id), placed_order(write, command.order_id)
    rules = pinned_rules(state, write)
    write.add(stream, customer_messages.decide(command, write.states[stream], state, rules))


def account_answer(
    command: AccountChange, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    stream = account_stream(command.customer_id, command.currency)
    state: Account = states[stream]
    made = {"gift_id": command.gift_id} if isinstance(command, IssueGift) else {}
    return {
        "customer_id": command.customer_id,
        "currency": command.currency,
        "version": versions[stream],
        "status": "funded" if state.liability_minor > 0 else "empty",
        "credit_minor": state.credit_minor,
        "gift_minor": state.gift_minor(command.at),
        "limit_minor": state.limit_minor,
        "exposure_minor": state.exposure_minor,
        **made,
    }
