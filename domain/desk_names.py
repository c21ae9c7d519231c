"""What the streams and claims of the desk are called, and which one a command is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain import account, provider_desk, reconciliation_streams, stock_item
from domain.account_commands import ExpireGifts, GrantCredit, IssueGift, SetCreditLimit
from domain.customer import RecordCustomer
from domain.customer_messages import QueueMessage
from domain.draft_commands import DRAFT_COMMANDS, StartDraft
from domain.invoice import Issue
from domain.message import Command, StreamName
from domain.order_state import Order
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.placement_commands import PlaceOrder
from domain.policy import PublishPolicy
from domain.procedure import AcknowledgeProcedure, IssueProcedure
from domain.provider_commands import PROVIDER_COMMANDS
from domain.refund_commands import ExchangeOrder
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock

States = Mapping[StreamName, Any]  # of a claim, its owner or None


def order_stream(order_id: str) -> StreamName:
    return StreamName("order", order_id)


def order_in(states: States) -> Callable[[str], Order]:
    """An order among these states by its id; one that was not loaded is empty."""
    return lambda order_id: states.get(order_stream(order_id)) or Order()


def draft_stream(draft_id: str) -> StreamName:
    return StreamName("draft", draft_id)


def parcel_stream(parcel_id: str) -> StreamName:
    return StreamName("parcel", parcel_id)


def stock_stream(sku: str, location: str) -> StreamName:
    return StreamName("stock_item", stock_item.stream_key(sku, location))


def customer_stream(customer_id: str) -> StreamName:
    return StreamName("customer", customer_id)


def procedure_stream(shop: str) -> StreamName:
    return StreamName("procedure", shop)


def account_stream(customer_id: str, currency: str) -> StreamName:
    return StreamName("account", account.stream_key(customer_id, currency))


def message_stream(message_id: str) -> StreamName:
    return StreamName("message", message_id)


def number_claim(number: str) -> StreamName:
    return StreamName("claim:order_number", number)


def external_ref_claim(shop: str, external_ref: str) -> StreamName:
    return StreamName("claim:external_ref", f"{shop}/{external_ref}")


def series_stream(where: Issue) -> StreamName:
    return StreamName("invoice_series", where.series)


def paper_claim(number: str) -> StreamName:
    """Owned by `order_id/paper_id`: papers are found by it."""
    return StreamName("claim:paper", number)


def tracking_claim(carrier: str, tracking_number: str) -> StreamName:
    return StreamName("claim:tracking", f"{carrier}/{tracking_number}")


def target(command: Command) -> str:
    """The id that a command is about, for the operator log."""
    match command:
        case ReceiveStock() | AdjustStock():
            return stock_item.stream_key(command.sku, command.location)
        case RecordCustomer():
            return command.customer_id
        case PublishPolicy() | IssueProcedure() | AcknowledgeProcedure():
            return command.shop
        case GrantCredit() | IssueGift() | SetCreditLimit() | ExpireGifts():
            return account.stream_key(command.customer_id, command.currency)
        case PackParcel() | DispatchParcel() | DeliverParcel() | TrackParcel():
            return command.parcel_id
        case QueueMessage():
            return command.message_id
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            return reconciliation_streams.own_stream(command).key
        case _ if isinstance(command, PROVIDER_COMMANDS):
            return provider_desk.own_stream(command).key
        case _ if isinstance(command, DRAFT_COMMANDS):
            return command.draft_id  # type: ignore[attr-defined, no-any-return]
        case _:
            order_id: str = getattr(command, "order_id", "")
            return order_id


def fresh(command: Command) -> frozenset[StreamName]:
    """Names that the command has just minted: taken as empty without a look, the append checks."""
    match command:
        case PlaceOrder():
            names = {order_stream(command.order_id), *map(number_claim, command.numbers)}
            if command.external_ref is not None:
                names.add(external_ref_claim(command.shop, command.external_ref))
            return frozenset(names)
        case PackParcel():
            return frozenset({parcel_stream(command.parcel_id)})
        case StartDraft():
            return frozenset({draft_stream(command.draft_id), *map(number_claim, command.numbers)})
        case ExchangeOrder() | ReplaceOrder():
            return frozenset(
                {order_stream(command.new_order_id), *map(number_claim, command.numbers)}
            )
        case _:
            return frozenset()
