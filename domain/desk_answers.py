"""What the desk tells a client after a command: JSON data without position or personal data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from domain import (
    order_lines,
    order_money,
    order_status,
    provider_desk,
    reconciliation,
    reconciliation_streams,
)
from domain.account import Account
from domain.account_commands import (
    AccountChange,
    ExpireGifts,
    GrantCredit,
    IssueGift,
    SetCreditLimit,
)
from domain.case_commands import CASE_CHANGES
from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.customer import RecordCustomer
from domain.customer_messages import QueueMessage
from domain.desk_streams import (
    States,
    account_stream,
    customer_stream,
    draft_stream,
    message_stream,
    order_stream,
    parcel_stream,
    procedure_stream,
    stock_stream,
    target,
)
from domain.draft_commands import DRAFT_COMMANDS, ORDER_DRAFT
from domain.draft_state import Draft
from domain.invoice_commands import (
    IssueCreditNote,
    IssueInvoice,
    RecordFapiao,
    RequestFapiao,
    ReverseFapiao,
)
from domain.message import Command, StreamName
from domain.order_commands import (
    AddNote,
    DeliverParcel,
    DispatchParcel,
    PackParcel,
    ParcelCommand,
    PayRefund,
    PlaceOrder,
    RequestRefund,
    TrackParcel,
)
from domain.order_state import Order
from domain.parcel import Parcel
from domain.payment_commands import PAYMENT_CHANGES, MovePayment, OpenChargeback
from domain.policy import PublishPolicy, in_force, policy_stream
from domain.procedure import AcknowledgeProcedure, IssueProcedure, Procedure, ProcedureCommand
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
    ReceiveReturn,
    RequestIntercept,
    RequestReturn,
    RetryRefund,
)
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock, StockItem
from domain.values import quantity_json


def answer(  # noqa: C901 - a table
    command: Command, states_after: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """What the client is told, as JSON data: no position, no personal data."""
    match command:
        case PackParcel() | DispatchParcel() | DeliverParcel() | TrackParcel():
            return _parcel_answer(command, states_after, versions)
        case ReceiveStock() | AdjustStock():
            return _stock_answer(command, states_after, versions)
        case RecordCustomer(customer_id=customer_id):
            version = versions[customer_stream(customer_id)]
            return {"customer_id": customer_id, "version": version, "status": "registered"}
        case QueueMessage(message_id=message_id):
            version = versions[message_stream(message_id)]
            return {"message_id": message_id, "version": version, "status": "queued"}
        case PublishPolicy():
            return _policy_answer(command, states_after, versions)
        case IssueProcedure() | AcknowledgeProcedure():
            return _procedure_answer(command, states_after, versions)
        case GrantCredit() | IssueGift() | SetCreditLimit() | ExpireGifts():
            return _account_answer(command, states_after, versions)
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            return reconciliation.answer(command, states_after, versions)
        case _ if isinstance(command, PROVIDER_COMMANDS):
            return provider_desk.answer(command, states_after, versions)
        case _ if isinstance(command, DRAFT_COMMANDS) and not isinstance(command, ORDER_DRAFT):
            stream = draft_stream(target(command))
            return draft_answer(states_after[stream], versions[stream])
        case MovePayment():
            return _moved_answer(command, states_after, versions)
        case _ if isinstance(command, PAYMENT_CHANGES):
            stream = order_stream(target(command))
            return {
                **order_answer(states_after[stream], versions[stream]),
                **_money(command, states_after[stream]),
            }
        case ExchangeOrder():
            stream = order_stream(command.order_id)
            return {
                **order_answer(states_after[stream], versions[stream]),
                **_exchange_answer(command, states_after, versions),
            }
        case ReplaceOrder():
            first, new = order_stream(command.order_id), order_stream(command.new_order_id)
            return {
                **order_answer(states_after[first], versions[first]),
                "new_order": order_answer(states_after[new], versions[new]),
            }
        case _:
            stream = order_stream(target(command))
            return {
                **order_answer(states_after[stream], versions[stream]),
                **_made(command, states_after[stream]),
            }


def order_answer(state: Order, version: int) -> dict[str, Any]:
    return {
        "order_id": state.order_id,
        "number": state.number,
        "version": version,
        "status": order_status.code(state),
        "total_minor": state.total_minor,
    }


def draft_answer(state: Draft, version: int) -> dict[str, Any]:
    """`total_minor` is None as long as it cannot be priced; `offer_no` is of the last quote."""
    found, offer = state.checked, state.offer
    return {
        "draft_id": state.draft_id,
        "number": state.number,
        "version": version,
        "status": state.status,
        "total_minor": state.total_minor,
        "missing": [*found.missing],
        "refused": [dataclasses.asdict(fault) for fault in found.refused],
        "offer_no": offer and offer.offer_no,
        "expires_at": offer and offer.expires_at.isoformat(),
    }


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
            return _refund(refund_id, state)
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
                "refund": _refund(command.refund_id, state) if there else None,
            }
        case RequestIntercept(parcel_id=parcel_id):
            return {"parcel_id": parcel_id, "intercept": state.parcels[parcel_id].intercept}
        case CompleteOrder() | ConfirmReceipt():
            at = state.completed_at
            return {"completed_at": at and at.isoformat()}
        case AddNote(note_id=note_id):
            return {"note_id": note_id}
        case IssueInvoice() | IssueCreditNote():
            return _paper(command.paper_id, state)
        case RequestFapiao() | RecordFapiao() | ReverseFapiao():
            known = state.papers.fapiao[command.fapiao_id]
            return {
                "fapiao_id": command.fapiao_id,
                "fapiao_number": known.number,
                "red_letters": dict(known.red_letters),
            }
        case _ if isinstance(command, CASE_CHANGES):
            return _case(command, state)
        case _ if isinstance(command, (PlaceOrder, *ORDER_DRAFT)):
            inclusive = state.prices_include_tax
            lines = [line.priced for line in state.lines.values()]
            told = [order_lines.line_answer(line, inclusive) for line in lines]
            return {"lines": told, **_handling(state)}
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


def _paper(paper_id: str, state: Order) -> dict[str, Any]:
    paper = state.papers.paper(paper_id)
    assert paper is not None
    corrected = getattr(paper, "invoice_number", None)
    return {
        "paper_id": paper_id,
        "paper_number": paper.number,
        "issue_date": paper.issue_date.isoformat(),
        "paper_total_minor": paper.total_minor,
        "invoice_number": corrected,
    }


def _money(command: Any, state: Order) -> dict[str, Any]:
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
    return made


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


def _moved_answer(
    command: MovePayment, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    source, other = order_stream(command.order_id), order_stream(command.to_order_id)
    return {
        **order_answer(states[source], versions[source]),
        "payment_id": command.payment_id,
        "to": {
            **order_answer(states[other], versions[other]),
            **_money(command, states[other]),
            "payment_id": command.to_payment_id,
            "outcome": _outcome(command.to_payment_id, states[other]),
        },
    }


def _refund(refund_id: str, state: Order) -> dict[str, Any]:
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


def _exchange_answer(
    command: ExchangeOrder, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    new = order_stream(command.new_order_id)
    made: Order = states[new]
    old: Order = states[order_stream(command.order_id)]
    return {
        "return_id": command.return_id,
        "return_status": old.returns[command.return_id].status,
        "refund": _refund(command.refund_id, old),
        "new_order": {**order_answer(made, versions[new]), "due_minor": made.unpaid_minor},
    }


def _parcel_answer(
    command: ParcelCommand, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    stream = parcel_stream(command.parcel_id)
    state: Parcel = states[stream]
    # Most scans are decided without the orders: what was not loaded is not told.
    orders = [name for name in map(order_stream, state.order_ids) if name in states]
    return {
        "parcel_id": state.parcel_id,
        "version": versions[stream],
        "status": state.status,
        "orders": [order_answer(states[name], versions[name]) for name in orders],
    }


def _stock_answer(
    command: ReceiveStock | AdjustStock, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    stream = stock_stream(command.sku, command.location)
    state: StockItem = states[stream]
    return {
        "sku": command.sku,
        "location": command.location,
        "version": versions[stream],
        "status": "available" if state.available > 0 else "out_of_stock",
        "on_hand": quantity_json(state.on_hand),
        "reserved": quantity_json(state.reserved),
        "available": quantity_json(state.available),
    }


def _policy_answer(
    command: PublishPolicy, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """`policy_version` is what holds from then on: an older one, where nothing had to change."""
    stream = policy_stream(command.shop)
    begins = command.effective_from or command.at
    return {
        "shop": command.shop,
        "version": versions[stream],
        "policy_version": in_force(states[stream], begins).version,
        "effective_from": begins.isoformat(),
        "status": "scheduled" if begins > command.at else "in_force",
    }


def _procedure_answer(
    command: ProcedureCommand, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """Of the version that was acknowledged, else the newest."""
    stream = procedure_stream(command.shop)
    state: Procedure = states[stream]
    known = isinstance(command, AcknowledgeProcedure) and state.version(command.version)
    version = known or state.newest
    assert version is not None, "one was issued, or the command was refused"
    return {
        "shop": command.shop,
        "version": versions[stream],
        "status": "acknowledged" if known else "issued",
        "procedure_version": version.issued.version,
        "digest": version.issued.digest,
        "outstanding": version.outstanding,
    }


def _account_answer(
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
