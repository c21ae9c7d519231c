"""Which streams a command needs: the table over all commands."""

from __future__ import annotations

from domain import (
    customer,
    draft,
    order_payment,
    provider,
    provider_desk,
    reconciliation_streams,
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
from domain.desk_arrivals import streams_of_completion, streams_of_replacing
from domain.desk_customers import customers_of
from domain.desk_drafts import streams_of_ordering
from domain.desk_names import (
    States,
    account_stream,
    customer_stream,
    draft_stream,
    fresh,
    message_stream,
    order_stream,
    parcel_stream,
    procedure_stream,
    stock_stream,
    target,
    tracking_claim,
)
from domain.desk_orders import streams_of_change, streams_of_placing
from domain.desk_papers import streams_of_paper
from domain.desk_parcels import streams_of_parcel, streams_of_tracking
from domain.desk_payments import streams_of_payment, streams_of_payment_change
from domain.desk_returns import streams_by_policy, streams_of_exchange, with_sources
from domain.draft_commands import DRAFT_COMMANDS, ORDER_DRAFT, OfferQuote, SaveDraft, StartDraft
from domain.draft_state import Draft
from domain.intake_checks import CheckOrder
from domain.invoice_commands import IssueCreditNote, IssueInvoice
from domain.message import Command, StreamName
from domain.order_commands import CancelOrder, VoidOrder
from domain.order_state import Order
from domain.parcel import Parcel
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.payment_commands import (
    PAYMENT_CHANGES,
    AuthorisePayment,
    CapturePayment,
    MovePayment,
    RecordPayment,
    RecordRemittance,
)
from domain.payout import payout_stream
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.policy import PublishPolicy, policy_stream
from domain.procedure import AcknowledgeProcedure, IssueProcedure
from domain.provider_commands import PROVIDER_COMMANDS, ApplyNotice, RecordNotice
from domain.refund_commands import (
    AddEvidence,
    ApproveRefund,
    ApproveReturn,
    DenyRefund,
    ExchangeOrder,
    FailRefund,
    PayRefund,
    ReceiveReturn,
    RequestRefund,
    RequestReturn,
)
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock


def streams(  # noqa: C901 - a table
    command: Command, loaded: States
) -> frozenset[StreamName]:
    """All the command needs, as far as `loaded` lets see; ask again until nothing is new."""
    match command:
        case PlaceOrder():
            return streams_of_placing(command)
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
            names = streams_of_payment(order_stream(command.order_id), loaded)
            return frozenset({message_stream(command.message_id), *names})
        case PackParcel():
            orders = {order_stream(item.order_id) for item in command.contents}
            return frozenset({parcel_stream(command.parcel_id), *orders})
        case DispatchParcel():
            claim = tracking_claim(command.carrier, command.tracking_number)
            return frozenset({claim, *streams_of_parcel(command.parcel_id, loaded, leaves=True)})
        case DeliverParcel():
            return frozenset(streams_of_parcel(command.parcel_id, loaded))
        case TrackParcel():
            return frozenset(streams_of_tracking(command, loaded))
        case CheckOrder():
            twins = {order_stream(one.order_id) for one in command.twins}
            return frozenset(streams_of_payment(order_stream(command.order_id), loaded)) | twins
        case CloseCase():
            return frozenset(streams_of_payment(order_stream(command.order_id), loaded))
        case AmendOrder() | CancelOrder() | RejectOrder() | VoidOrder():
            return frozenset(streams_of_change(command, loaded)) | customers_of(command, loaded)
        case IssueInvoice() | IssueCreditNote():
            return frozenset(streams_of_paper(command, loaded))
        case MovePayment():
            source, other = order_stream(command.order_id), order_stream(command.to_order_id)
            names = {source, *streams_of_payment(other, loaded)}
            accounts = customers_of(command, loaded) | customers_of(command, loaded, other)
            return accounts | names
        case _ if isinstance(command, PAYMENT_CHANGES):
            return frozenset(streams_of_payment_change(command, loaded))  # type: ignore[arg-type]
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            return reconciliation_streams.streams(command, loaded)
        case _ if isinstance(command, PROVIDER_COMMANDS):
            return provider_desk.streams(command, loaded, streams)
        case PayRefund() | FailRefund() | DenyRefund():
            names = {payout_stream(command.refund_id), *with_sources(command.order_id, loaded)}
            return frozenset(names) | customers_of(command, loaded)
        case ApproveRefund():
            return with_sources(command.order_id, loaded) | customers_of(command, loaded)
        case StartDraft():
            return fresh(command)
        case _ if isinstance(command, ORDER_DRAFT):
            return streams_of_ordering(command, loaded)  # type: ignore[arg-type]
        case _ if isinstance(command, DRAFT_COMMANDS):
            return frozenset({draft_stream(target(command))})
        case RequestRefund() | AddEvidence() | RequestReturn() | ApproveReturn() | ReceiveReturn():
            return frozenset(streams_by_policy(command, loaded))
        case ExchangeOrder():
            return frozenset(streams_of_exchange(command, loaded))
        case ReplaceOrder():
            return frozenset(streams_of_replacing(command, loaded))
        case CompleteOrder() | ConfirmReceipt():
            return frozenset(streams_of_completion(command, loaded))
        case _:
            return frozenset({order_stream(target(command))}) | customers_of(command, loaded)


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
            names.add(order_payment.payer_of(command.order_id))
        case RecordNotice():
            names.add(provider.payer_of(command))
        case StartDraft() | SaveDraft() | OfferQuote():
            names.add(draft.person_of_draft(command, states[draft_stream(command.draft_id)]))
        case _:
            names |= reconciliation_streams.persons(command, states)
    return frozenset(names - {""})
