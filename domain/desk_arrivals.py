"""Orders that are completed, and units that did not arrive as they were sold, at the desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import desk_parcels, desk_replaced, order_completion, order_replacement, policy
from domain.completion_commands import CompleteOrder, CompletionCommand, ConfirmReceipt
from domain.desk_names import States, customer_stream, fresh, order_stream, stock_stream
from domain.desk_orders import order_answer, place
from domain.desk_write import Write, pinned_rules, placed_order
from domain.message import StreamName
from domain.order_state import Order
from domain.parcel_commands import DeliverParcel
from domain.policy import policy_stream
from domain.replacement_commands import ReplaceOrder


def streams_of_replacing(command: ReplaceOrder, loaded: States) -> set[StreamName]:
    """With the stock of all that could have to go out once more."""
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream, *fresh(command)}
    lines = (line.priced for line in state.lines.values() if line.packed > 0)
    stock = {stock_stream(line.sku, line.location) for line in lines}
    names = {stream, policy_stream(state.shop), customer_stream(state.customer_id)}
    return names | stock | fresh(command)


def streams_of_completion(command: CompletionCommand, loaded: States) -> set[StreamName]:
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    names = {stream, policy_stream(state.shop), *desk_replaced.first_order_of(state)}
    if isinstance(command, ConfirmReceipt):
        for parcel_id in order_completion.parcels_to_confirm(state):
            names |= desk_parcels.streams_of_parcel(parcel_id, loaded)
    return names


def replace(command: ReplaceOrder, write: Write) -> None:
    """The first order's fact and the new order, in one write."""
    state = placed_order(write, command.order_id)
    made = order_replacement.replaced(command, state, pinned_rules(state, write))
    if not made:
        return
    write.add(order_stream(command.order_id), made)
    region = None if command.shipping_address else state.region or ""
    in_force = policy.in_force(write.states[policy_stream(state.shop)], command.at)
    place(
        order_replacement.placement(command, state, made[0]),
        write,
        region,
        order_replacement.linked(command),
        order_replacement.rules(in_force, state.currency),
    )


def complete(command: CompletionCommand, write: Write) -> None:
    """By the clock; or by who says that all has come, which delivers what no carrier told of."""
    state = placed_order(write, command.order_id)
    if isinstance(command, CompleteOrder):
        facts = order_completion.complete(command, state, pinned_rules(state, write))
    else:
        arriving = [] if state.completed_at else order_completion.parcels_to_confirm(state)
        for parcel_id in arriving:
            desk_parcels.deliver(DeliverParcel(parcel_id=parcel_id, at=command.at), write)
        state = placed_order(write, command.order_id)
        facts = order_completion.confirm(command, state, pinned_rules(state, write))
    write.add(order_stream(command.order_id), facts)
    if facts:
        desk_replaced.complete(state, command.at, write)


def replacement_answer(
    command: ReplaceOrder, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    new = order_stream(command.new_order_id)
    return {"new_order": order_answer(states[new], versions[new])}
