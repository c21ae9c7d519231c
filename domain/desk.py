"""The order desk: every command over all the streams that it touches. What the runner calls.

Pure: `streams` names what a command needs, `decide` returns the facts per stream, `answer` what
the client is told. Each aggregate keeps its own rules; here they are put together, so that stock,
order, parcel and customer change in one write or not at all. Each subject has a module of its own,
`desk_orders`, `desk_parcels` and so on: what its commands need, write and answer.
"""

from __future__ import annotations

from collections.abc import Callable

from domain import (
    customer,
    desk_arrivals,
    desk_customers,
    desk_drafts,
    desk_orders,
    desk_papers,
    desk_parcels,
    desk_payments,
    desk_policies,
    desk_returns,
    draft,
    order_commands,
    policy,
    provider_desk,
    reconciliation,
    reconciliation_streams,
    stock_item,
)
from domain.account_commands import ExpireGifts, GrantCredit, IssueGift, SetCreditLimit
from domain.case_commands import CASE_CHANGES
from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.customer import RecordCustomer
from domain.customer_messages import QueueMessage
from domain.desk_answers import answer
from domain.desk_names import States, customer_stream, fresh, stock_stream, target
from domain.desk_streams import known_at_once, persons, streams
from domain.desk_write import Write, clear, evolve, initial
from domain.draft_commands import DRAFT_COMMANDS
from domain.intake_checks import CheckOrder
from domain.invoice_commands import FAPIAO_COMMANDS, IssueCreditNote, IssueInvoice
from domain.message import Command, Decision, Event
from domain.order_intake import INCOMPLETE
from domain.order_same_payment import Reveal, as_it_is
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.payment_commands import PAYMENT_CHANGES, MovePayment
from domain.placement_commands import PlaceOrder
from domain.policy import PublishPolicy, policy_stream
from domain.procedure import AcknowledgeProcedure, IssueProcedure
from domain.provider_commands import PROVIDER_COMMANDS
from domain.refund_commands import REFUND_CHANGES, RETURN_CHANGES, ExchangeOrder
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock

__all__ = [
    "NOT_FOR_EVER",
    "answer",
    "decide",
    "evolve",
    "fresh",
    "initial",
    "known_at_once",
    "persons",
    "streams",
    "target",
]

# The next try may find it otherwise.
NOT_FOR_EVER = frozenset(
    {desk_orders.NUMBERS_TAKEN, desk_papers.NUMBER_TAKEN, INCOMPLETE, draft.INCOMPLETE}
)


def decide(
    command: Command,
    states: States,
    seal: Callable[[Event], Event] = clear,
    reveal: Reveal = as_it_is,
) -> Decision:
    """The facts per stream and the claims; no events anywhere means already so. Raises Rejected.

    Expects the state of every stream that `streams` names, None for a claim that nobody has.
    `seal` is given each fact with personal fields before it is kept; `reveal` opens what was kept
    so, to be compared.
    """
    write = Write(dict(states), seal, reveal)
    _run(command, write)
    return write.decision()


def _run(command: Command, write: Write) -> None:  # noqa: C901, PLR0915 - a table
    """Add what the command makes true. Raises Rejected."""
    match command:
        case PlaceOrder():
            desk_orders.sell(command, write)
        case PackParcel():
            desk_parcels.pack(command, write)
        case DispatchParcel():
            desk_parcels.dispatch(command, write)
        case DeliverParcel():
            desk_parcels.deliver(command, write)
        case TrackParcel():
            desk_parcels.track(command, write)
        case ReceiveStock() | AdjustStock():
            stream = stock_stream(command.sku, command.location)
            write.add(stream, stock_item.decide(command, write.states[stream]))
        case RecordCustomer():
            stream = customer_stream(command.customer_id)
            write.add(stream, customer.decide(command, write.states[stream]))
        case QueueMessage():
            desk_customers.queue_message(command, write)
        case ExchangeOrder():
            desk_returns.exchange(command, write)
        case ReplaceOrder():
            desk_arrivals.replace(command, write)
        case CompleteOrder() | ConfirmReceipt():
            desk_arrivals.complete(command, write)
        case PublishPolicy():
            stream = policy_stream(command.shop)
            write.add(stream, policy.decide(command, write.states[stream]))
        case IssueProcedure() | AcknowledgeProcedure():
            desk_policies.change_procedure(command, write)
        case GrantCredit() | IssueGift() | SetCreditLimit() | ExpireGifts():
            desk_customers.change_account(command, write)
        case IssueInvoice() | IssueCreditNote():
            desk_papers.issue_paper(command, write)
        case _ if isinstance(command, FAPIAO_COMMANDS):
            desk_papers.change_fapiao(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            reconciliation.decide(command, write)
        case _ if isinstance(command, PROVIDER_COMMANDS):
            provider_desk.decide(command, write, _run)
        case _ if isinstance(command, DRAFT_COMMANDS):
            desk_drafts.change_draft(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, CASE_CHANGES):
            desk_orders.change_case(command, write)  # type: ignore[arg-type]
        case CheckOrder():
            desk_orders.check(command, write)
        case MovePayment():
            desk_payments.move_payment(command, write)
        case _ if isinstance(command, PAYMENT_CHANGES):
            desk_payments.change_payment(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, REFUND_CHANGES):
            desk_returns.settle(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, RETURN_CHANGES):
            desk_returns.take_back(command, write)  # type: ignore[arg-type]
        case _:
            assert isinstance(command, order_commands.ORDER_CHANGES), type(command)
            desk_orders.change_order(command, write)  # type: ignore[arg-type]
