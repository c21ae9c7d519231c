"""What the desk tells a client after a command: JSON data without position or personal data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import (
    desk_arrivals,
    desk_customers,
    desk_drafts,
    desk_orders,
    desk_papers,
    desk_parcels,
    desk_payments,
    desk_policies,
    desk_returns,
    desk_stock,
    order_lines,
    order_status,
    provider_desk,
    reconciliation,
    reconciliation_streams,
)
from domain.account_commands import ExpireGifts, GrantCredit, IssueGift, SetCreditLimit
from domain.case_commands import CASE_CHANGES
from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.customer import RecordCustomer
from domain.customer_messages import QueueMessage
from domain.desk_names import (
    States,
    customer_stream,
    draft_stream,
    message_stream,
    order_stream,
    target,
)
from domain.draft_commands import DRAFT_COMMANDS, ORDER_DRAFT
from domain.invoice_commands import (
    IssueCreditNote,
    IssueInvoice,
    RecordFapiao,
    RequestFapiao,
    ReverseFapiao,
)
from domain.message import Command, StreamName
from domain.order_commands import AddNote
from domain.order_same_payment import Reveal, as_it_is
from domain.order_state import Order
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.payment_commands import PAYMENT_CHANGES, MovePayment
from domain.placement_commands import PlaceOrder
from domain.policy import PublishPolicy
from domain.procedure import AcknowledgeProcedure, IssueProcedure
from domain.provider_commands import PROVIDER_COMMANDS
from domain.refund_commands import (
    AddEvidence,
    ApproveRefund,
    ApproveReturn,
    AskEvidence,
    CloseReturn,
    DenyRefund,
    DenyReturn,
    ExchangeOrder,
    FailRefund,
    PayCompensation,
    PayRefund,
    ReceiveReturn,
    RequestIntercept,
    RequestRefund,
    RequestReturn,
    RetryRefund,
)
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock


def answer(  # noqa: C901 - a table
    command: Command,
    states_after: States,
    versions: Mapping[StreamName, int],
    reveal: Reveal = as_it_is,
) -> dict[str, Any]:
    """What the client is told, as JSON data: no position, no personal data. `reveal`: as `decide`
    was given it.
    """
    match command:
        case PlaceOrder():
            stream = order_stream(command.order_id)
            return _placed_answer(states_after[stream], versions[stream])
        case PackParcel() | DispatchParcel() | DeliverParcel() | TrackParcel():
            return desk_parcels.parcel_answer(command, states_after, versions)
        case ReceiveStock() | AdjustStock():
            return desk_stock.stock_answer(command, states_after, versions)
        case RecordCustomer(customer_id=customer_id):
            version = versions[customer_stream(customer_id)]
            return {"customer_id": customer_id, "version": version, "status": "registered"}
        case QueueMessage(message_id=message_id):
            version = versions[message_stream(message_id)]
            return {"message_id": message_id, "version": version, "status": "queued"}
        case PublishPolicy():
            return desk_policies.policy_answer(command, states_after, versions)
        case IssueProcedure() | AcknowledgeProcedure():
            return desk_policies.procedure_answer(command, states_after, versions)
        case GrantCredit() | IssueGift() | SetCreditLimit() | ExpireGifts():
            return desk_customers.account_answer(command, states_after, versions)
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            return reconciliation.answer(command, states_after, versions)
        case _ if isinstance(command, PROVIDER_COMMANDS):
            return provider_desk.answer(command, states_after, versions)
        case _ if isinstance(command, ORDER_DRAFT):
            stream = order_stream(target(command))
            return _placed_answer(states_after[stream], versions[stream])
        case _ if isinstance(command, DRAFT_COMMANDS):
            stream = draft_stream(target(command))
            return desk_drafts.draft_answer(states_after[stream], versions[stream])
        case MovePayment():
            return desk_payments.moved_answer(command, states_after, versions)
        case _ if isinstance(command, PAYMENT_CHANGES):
            stream = order_stream(target(command))
            return {
                **desk_orders.order_answer(states_after[stream], versions[stream]),
                **desk_payments.money_answer(command, states_after[stream], reveal),
            }
        case ExchangeOrder():
            stream = order_stream(command.order_id)
            return {
                **desk_orders.order_answer(states_after[stream], versions[stream]),
                **desk_returns.exchange_answer(command, states_after, versions),
            }
        case ReplaceOrder():
            stream = order_stream(command.order_id)
            return {
                **desk_orders.order_answer(states_after[stream], versions[stream]),
                **desk_arrivals.replacement_answer(command, states_after, versions),
            }
        case _:
            stream = order_stream(target(command))
            return {
                **desk_orders.order_answer(states_after[stream], versions[stream]),
                **_made(command, states_after[stream]),
            }


def _placed_answer(state: Order, version: int) -> dict[str, Any]:
    """With the amounts of the lines, and what stands against the order."""
    inclusive = state.prices_include_tax
    lines = [order_lines.line_answer(line.priced, inclusive) for line in state.lines.values()]
    return {**desk_orders.order_answer(state, version), "lines": lines, **_handling(state)}


def _made(  # noqa: C901 - a table
    command: Command, state: Order
) -> dict[str, Any]:
    """The ids that a command made, and the amounts of the lines that it placed."""
    match command:
        case (
            RequestRefund(refund_id=refund_id)
            | PayRefund(refund_id=refund_id)
            | ApproveRefund(refund_id=refund_id)
            | DenyRefund(refund_id=refund_id)
            | FailRefund(refund_id=refund_id)
            | RetryRefund(refund_id=refund_id)
            | AskEvidence(refund_id=refund_id)
            | AddEvidence(refund_id=refund_id)
        ):
            return desk_returns.refund_answer(refund_id, state)
        case PayCompensation(compensation_id=compensation_id):
            paid = state.compensations[compensation_id]
            return {"compensation_id": compensation_id, "amount_minor": paid}
        case (
            RequestReturn(return_id=return_id)
            | ApproveReturn(return_id=return_id)
            | DenyReturn(return_id=return_id)
            | CloseReturn(return_id=return_id)
        ):
            return {"return_id": return_id, "return_status": state.returns[return_id].status}
        case ReceiveReturn(return_id=return_id):
            there = command.refund_id in state.refunds
            return {
                "return_id": return_id,
                "return_status": state.returns[return_id].status,
                "refund": desk_returns.refund_answer(command.refund_id, state) if there else None,
            }
        case RequestIntercept(parcel_id=parcel_id):
            return {"parcel_id": parcel_id, "intercept": state.parcels[parcel_id].intercept}
        case CompleteOrder() | ConfirmReceipt():
            at = state.completed_at
            return {"completed_at": at and at.isoformat()}
        case AddNote(note_id=note_id):
            return {"note_id": note_id}
        case IssueInvoice() | IssueCreditNote():
            return desk_papers.paper_answer(command.paper_id, state)
        case RequestFapiao() | RecordFapiao() | ReverseFapiao():
            known = state.papers.fapiao[command.fapiao_id]
            return {
                "fapiao_id": command.fapiao_id,
                "fapiao_number": known.number,
                "red_letters": dict(known.red_letters),
            }
        case _ if isinstance(command, CASE_CHANGES):
            return _case(command, state)
        case _:
            return {}


def _case(command: Any, state: Order) -> dict[str, Any]:
    """The ids that the command made or named, and what stands against the order by now."""
    names = ("case_id", "step_id", "hold_id")
    made = {name: getattr(command, name) for name in names if hasattr(command, name)}
    return {**made, **_handling(state)}


def _handling(state: Order) -> dict[str, Any]:
    """The stage, open cases and holds."""
    cases = state.cases
    return {
        "stage": order_status.stage(state),
        "cases": [
            {"case_id": key, "kind": case.kind, "blocking": case.blocking, "rule": case.rule}
            | {"fields": list(case.fields), "figures": case.figures}
            for key, case in cases.cases.items()
            if case.open
        ],
        "holds": [{"hold_id": key, "type": hold.type} for key, hold in cases.holds.items()],
    }
