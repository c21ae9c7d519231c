"""The streams and claims of the desk: what they are called, and which ones a command needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import (
    account,
    customer,
    draft,
    invoice,
    order,
    order_account,
    order_completion,
    parcel,
    provider_desk,
    reconciliation_streams,
    stock_item,
)
from domain.account_commands import (
    ACCOUNT_CHANGES,
    ExpireGifts,
    GrantCredit,
    IssueGift,
    SetCreditLimit,
)
from domain.case_commands import CloseCase, RejectOrder
from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.customer import RecordCustomer
from domain.customer_messages import QueueMessage
from domain.draft_commands import (
    DRAFT_COMMANDS,
    ORDER_DRAFT,
    OfferQuote,
    OrderDraft,
    SaveDraft,
    StartDraft,
)
from domain.draft_state import Draft
from domain.invoice import InvoiceSeries, Issue
from domain.invoice_commands import IssueCreditNote, IssueInvoice, PaperCommand
from domain.message import Command, Rejected, StreamName
from domain.order_commands import (
    AmendOrder,
    CancelOrder,
    DeliverParcel,
    DispatchParcel,
    PackParcel,
    PayRefund,
    PlaceOrder,
    RecordPayment,
    RequestRefund,
    TrackParcel,
    VoidOrder,
)
from domain.order_state import Order, OrderLine
from domain.parcel import Parcel
from domain.payment_commands import (
    PAYMENT_CHANGES,
    AuthorisePayment,
    CancelOverdue,
    CapturePayment,
    DeclareOverdue,
    MovePayment,
    PaymentChange,
    RecordRemittance,
    RefuseDelivery,
)
from domain.payout import payout_stream
from domain.policy import Policy, PublishPolicy, pinned, policy_stream
from domain.procedure import AcknowledgeProcedure, IssueProcedure
from domain.provider_commands import PROVIDER_COMMANDS, ApplyNotice
from domain.refund_commands import (
    AddEvidence,
    ApproveReturn,
    DenyRefund,
    ExchangeOrder,
    FailRefund,
    ReceiveReturn,
    RequestReturn,
)
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock

States = Mapping[StreamName, Any]  # of a claim, its owner or None


def order_stream(order_id: str) -> StreamName:
    return StreamName("order", order_id)


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


def streams(  # noqa: C901 - a table
    command: Command, loaded: States
) -> frozenset[StreamName]:
    """All the command needs, as far as `loaded` lets see; ask again until nothing is new."""
    match command:
        case PlaceOrder():
            return _streams_of_placing(command)
        case ReceiveStock() | AdjustStock():
            return frozenset({stock_stream(command.sku, command.location)})
        case RecordCustomer():
            return frozenset({customer_stream(command.customer_id)})
        case PublishPolicy():
            return frozenset({policy_stream(command.shop)})
        case IssueProcedure():
            return frozenset({procedure_stream(command.shop), policy_stream(command.shop)})
        case AcknowledgeProcedure():
            return frozenset({procedure_stream(command.shop)})
        case GrantCredit() | IssueGift() | SetCreditLimit():
            of_account = account_stream(command.customer_id, command.currency)
            return frozenset({of_account, customer_stream(command.customer_id)})
        case ExpireGifts():
            return frozenset({account_stream(command.customer_id, command.currency)})
        case QueueMessage():
            names = _streams_of_payment(order_stream(command.order_id), loaded)
            return frozenset({message_stream(command.message_id), *names})
        case PackParcel():
            orders = {order_stream(item.order_id) for item in command.contents}
            return frozenset({parcel_stream(command.parcel_id), *orders})
        case DispatchParcel():
            claim = tracking_claim(command.carrier, command.tracking_number)
            return frozenset({claim, *_streams_of_parcel(command.parcel_id, loaded, leaves=True)})
        case DeliverParcel():
            return frozenset(_streams_of_parcel(command.parcel_id, loaded))
        case TrackParcel():
            return frozenset(_streams_of_tracking(command, loaded))
        case CloseCase():
            return frozenset(_streams_of_payment(order_stream(command.order_id), loaded))
        case AmendOrder() | CancelOrder() | RejectOrder() | VoidOrder():
            return frozenset(_streams_of_change(command, loaded)) | _customers_of(command, loaded)
        case IssueInvoice() | IssueCreditNote():
            return frozenset(_streams_of_paper(command, loaded))
        case MovePayment():
            source, other = order_stream(command.order_id), order_stream(command.to_order_id)
            names = {source, *_streams_of_payment(other, loaded)}
            accounts = _customers_of(command, loaded) | _customers_of(command, loaded, other)
            return accounts | names
        case _ if isinstance(command, PAYMENT_CHANGES):
            return frozenset(_streams_of_payment_change(command, loaded))  # type: ignore[arg-type]
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            return reconciliation_streams.streams(command, loaded)
        case _ if isinstance(command, PROVIDER_COMMANDS):
            return provider_desk.streams(command, loaded, streams)
        case PayRefund() | FailRefund() | DenyRefund():
            names = {order_stream(command.order_id), payout_stream(command.refund_id)}
            return frozenset(names) | _customers_of(command, loaded)
        case StartDraft():
            return fresh(command)
        case _ if isinstance(command, ORDER_DRAFT):
            return _streams_of_ordering(command, loaded)  # type: ignore[arg-type]
        case _ if isinstance(command, DRAFT_COMMANDS):
            return frozenset({draft_stream(target(command))})
        case RequestRefund() | AddEvidence() | RequestReturn() | ApproveReturn() | ReceiveReturn():
            return frozenset(_streams_by_policy(command, loaded))
        case ExchangeOrder():
            return frozenset(_streams_of_exchange(command, loaded))
        case ReplaceOrder():
            return frozenset(_streams_of_replacing(command, loaded))
        case CompleteOrder() | ConfirmReceipt():
            return frozenset(_streams_of_completion(command, loaded))
        case _:
            return frozenset({order_stream(target(command))}) | _customers_of(command, loaded)


def _streams_by_policy(
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
    names = {stream, policy_stream(state.shop), *_customers_of(command, loaded)}
    if isinstance(command, ReceiveReturn):
        names |= _first_order_of(state)
        numbers = {item.line_no for item in command.lines if item.restocked}
        lines = [state.lines[no].priced for no in numbers & state.lines.keys()]
        names |= {stock_stream(line.sku, line.location) for line in lines}
        back = state.returns.get(command.return_id)
        if back is not None and back.parcel_id is not None:
            names |= _streams_of_parcel(back.parcel_id, loaded)
    return names


def _streams_of_exchange(command: ExchangeOrder, loaded: States) -> set[StreamName]:
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


def _streams_of_replacing(command: ReplaceOrder, loaded: States) -> set[StreamName]:
    """The stock of all that could have to go out once more."""
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream, *fresh(command)}
    lines = (line.priced for line in state.lines.values() if line.packed > 0)
    stock = {stock_stream(line.sku, line.location) for line in lines}
    names = {stream, policy_stream(state.shop), customer_stream(state.customer_id)}
    return names | stock | fresh(command)


def _streams_of_completion(
    command: CompleteOrder | ConfirmReceipt, loaded: States
) -> set[StreamName]:
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    names = {stream, policy_stream(state.shop)}
    if isinstance(command, ConfirmReceipt):
        for parcel_id in order_completion.parcels_to_confirm(state):
            names |= _streams_of_parcel(parcel_id, loaded)
    return names


def _first_order_of(state: Order) -> set[StreamName]:
    """Of a replacement: the order whose units it stands for."""
    return set() if state.replacement_of is None else {order_stream(state.replacement_of)}


def _streams_of_placing(command: PlaceOrder) -> frozenset[StreamName]:
    stock = {stock_stream(line.sku, line.location) for line in command.lines}
    names = fresh(command) | stock | {customer_stream(command.customer_id)}
    names |= {policy_stream(command.shop)}
    if command.payment_method in order_account.TOUCHING_METHODS:
        names |= {account_stream(command.customer_id, command.currency)}
    return names


def _streams_of_ordering(command: OrderDraft, loaded: States) -> frozenset[StreamName]:
    """The draft, the order with its id, and what placing it needs, unless it is refused before."""
    names = frozenset({draft_stream(command.draft_id), order_stream(command.draft_id)})
    state: Draft = loaded.get(draft_stream(command.draft_id)) or Draft()
    try:
        placing = draft.placement(command, state)
    except Rejected:
        return names
    return names if placing is None else names | _streams_of_placing(placing)


def _customers_of(
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


def _streams_of_payment_change(command: PaymentChange, loaded: States) -> set[StreamName]:
    names = _streams_of_payment(order_stream(command.order_id), loaded)
    if isinstance(command, RefuseDelivery):
        names.add(parcel_stream(command.parcel_id))
    if isinstance(command, CancelOverdue):
        names |= _stock_of(loaded.get(order_stream(command.order_id)))
    return names | _customers_of(command, loaded)


def _streams_of_payment(stream: StreamName, loaded: States) -> set[StreamName]:
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


def _streams_of_parcel(parcel_id: str, loaded: States, *, leaves: bool = False) -> set[StreamName]:
    """`leaves`: with the stock that it comes out of, and the customers it goes to."""
    stream = parcel_stream(parcel_id)
    content: Parcel = loaded.get(stream) or Parcel()
    names = {stream} | {order_stream(order_id) for order_id in content.order_ids}
    if not leaves:
        return names
    for item in content.contents:
        bought: Order | None = loaded.get(order_stream(item.order_id))
        line = bought.lines.get(item.line_no) if bought else None
        if bought is not None and bought.placed:
            names.add(customer_stream(bought.customer_id))
        if line is not None:
            names.add(stock_stream(line.priced.sku, line.priced.location))
    return names


def _streams_of_tracking(command: TrackParcel, loaded: States) -> set[StreamName]:
    stream = parcel_stream(command.parcel_id)
    state: Parcel = loaded.get(stream) or Parcel()
    if not parcel.may_concern_orders(command, state):
        return {stream}
    return _streams_of_parcel(command.parcel_id, loaded)


def _streams_of_change(
    command: AmendOrder | CancelOrder | RejectOrder | VoidOrder, loaded: States
) -> set[StreamName]:
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    lines = [line for line in state.lines.values() if _stock_may_change(command, line)]
    names = {stream} | {stock_stream(line.priced.sku, line.priced.location) for line in lines}
    if not isinstance(command, AmendOrder):
        names |= _first_order_of(state)
    if isinstance(command, CancelOrder | RejectOrder):
        names.add(policy_stream(state.shop))
    if isinstance(command, AmendOrder):
        added = [item for item in command.lines or [] if item.line_no is None]
        names |= {stock_stream(item.sku or "", item.location or "main") for item in added}
    return names


def _streams_of_paper(command: PaperCommand, loaded: States) -> set[StreamName]:
    """The order says the shop, the shop its series, the series the next number."""
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    where = invoice.issue(command, state)
    if where is None:
        return {stream}
    series: InvoiceSeries = loaded.get(series_stream(where)) or InvoiceSeries()
    return {stream, series_stream(where), paper_claim(invoice.next_number(where, series))}


def _stock_may_change(
    command: AmendOrder | CancelOrder | RejectOrder | VoidOrder, line: OrderLine
) -> bool:
    """Only a change of quantity touches stock (R7)."""
    if not isinstance(command, AmendOrder):
        return line.reserved > 0
    changes = (item for item in command.lines or [] if item.line_no == line.priced.line_no)
    return any(item.quantity not in {None, line.quantity} for item in changes)


def known_at_once(command: Command) -> bool:
    """Whether `streams` answers the same whatever is loaded, and need not be asked again."""
    return isinstance(command, _KNOWN_AT_ONCE)


_KNOWN_AT_ONCE: tuple[type[Command], ...] = (
    PlaceOrder,
    ReceiveStock,
    AdjustStock,
    RecordCustomer,
    PublishPolicy,
    IssueProcedure,
    AcknowledgeProcedure,
    *ACCOUNT_CHANGES,
)


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


def persons(command: Command, states: States) -> frozenset[str]:
    """Whose keys the facts of a command may be sealed under, so that they can be fetched first."""
    names = {state.person for state in states.values() if isinstance(state, Order | Parcel | Draft)}
    match command:
        case PlaceOrder() | RecordCustomer() | GrantCredit() | IssueGift() | SetCreditLimit():
            names.add(customer.person_of(command.customer_id))
        case (
            RecordPayment()
            | AuthorisePayment()
            | CapturePayment()
            | RecordRemittance()
            | ApplyNotice()
        ):
            names.add(order.payer_of(command.order_id))
        case StartDraft() | SaveDraft() | OfferQuote():
            names.add(draft.person_of_draft(command, states[draft_stream(command.draft_id)]))
        case _:
            names |= reconciliation_streams.persons(command, states)
    return frozenset(names - {""})
