"""The order desk: every command over all the streams that it touches. What the runner calls.

Pure: `streams` names what a command needs, `decide` returns the facts per stream, `answer` what
the client is told. Each aggregate keeps its own rules; here they are put together, so that stock,
order, parcel and customer change in one write or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain import (
    account,
    customer,
    customer_messages,
    draft,
    fapiao,
    invoice,
    movement,
    order,
    order_account,
    order_case,
    order_commands,
    order_completion,
    order_exchange,
    order_lines,
    order_paying,
    order_replacement,
    order_return,
    parcel,
    payout,
    period,
    policy,
    procedure,
    provider,
    provider_desk,
    reconciliation,
    reconciliation_streams,
    refund_settlement,
    service_stop,
    statement,
    stock_item,
)
from domain.account import Account
from domain.account_commands import (
    AccountChange,
    ExpireGifts,
    GrantCredit,
    IssueGift,
    SetCreditLimit,
)
from domain.case_commands import CASE_CHANGES, CaseChange
from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.customer import Customer, RecordCustomer
from domain.customer_messages import Message, QueueMessage
from domain.desk_answers import answer, order_answer
from domain.desk_streams import (
    States,
    account_stream,
    customer_stream,
    draft_stream,
    external_ref_claim,
    fresh,
    known_at_once,
    message_stream,
    number_claim,
    order_stream,
    paper_claim,
    parcel_stream,
    persons,
    procedure_stream,
    series_stream,
    stock_stream,
    streams,
    target,
    tracking_claim,
)
from domain.draft_commands import (
    DRAFT_COMMANDS,
    AcceptQuote,
    ConfirmDraft,
    DraftChange,
    OrderDraft,
    StartDraft,
)
from domain.draft_state import Draft
from domain.draft_state import evolve as evolve_draft
from domain.invoice import InvoiceSeries
from domain.invoice_commands import (
    FAPIAO_COMMANDS,
    FapiaoCommand,
    IssueCreditNote,
    IssueInvoice,
    PaperCommand,
)
from domain.message import Command, Decision, Event, Rejected, StreamName
from domain.order_commands import (
    DeliverParcel,
    DispatchParcel,
    OrderChange,
    PackParcel,
    PayRefund,
    PlaceOrder,
    TrackParcel,
)
from domain.order_facts import (
    Line,
    LineQuantity,
    LinesAmended,
    OrderCancelled,
    OrderDispatched,
    OrderPlaced,
    OrderVoided,
)
from domain.order_intake import INCOMPLETE
from domain.order_reinstating import Free
from domain.order_state import ZERO, Order
from domain.order_state import evolve as evolve_order
from domain.parcel import Parcel
from domain.parcel_facts import ParcelDelivered
from domain.payment_commands import PAYMENT_CHANGES, MovePayment, PaymentChange, RefuseDelivery
from domain.payment_facts import OrderReinstated
from domain.payout import payout_stream
from domain.policy import Policy, PolicyVersion, PublishPolicy, policy_stream
from domain.procedure import AcknowledgeProcedure, IssueProcedure, Procedure, ProcedureCommand
from domain.provider_commands import PROVIDER_COMMANDS
from domain.refund_commands import (
    REFUND_CHANGES,
    RETURN_CHANGES,
    DenyRefund,
    ExchangeOrder,
    FailRefund,
    RefundChange,
    ReturnChange,
)
from domain.replacement_commands import ReplaceOrder
from domain.return_facts import ReturnReceived
from domain.stock_item import AdjustStock, ReceiveStock, StockItem

__all__ = [
    "AGGREGATES",
    "NOT_FOR_EVER",
    "NUMBERS_TAKEN",
    "Claim",
    "States",
    "Write",
    "account_stream",
    "answer",
    "customer_stream",
    "decide",
    "draft_stream",
    "evolve",
    "external_ref_claim",
    "fresh",
    "initial",
    "known_at_once",
    "message_stream",
    "number_claim",
    "order_answer",
    "order_stream",
    "paper_claim",
    "parcel_stream",
    "persons",
    "policy_stream",
    "procedure_stream",
    "series_stream",
    "stock_stream",
    "streams",
    "target",
    "tracking_claim",
]

Claim = tuple[str, str, str]  # kind, key, owner

NUMBERS_TAKEN = "numbers_taken"  # the one refusal that chance decides
# The next try may find it otherwise.
NOT_FOR_EVER = frozenset({NUMBERS_TAKEN, INCOMPLETE, draft.INCOMPLETE})

AGGREGATES: dict[str, tuple[Any, Callable[[Any, Event], Any]]] = {
    "order": (Order(), evolve_order),
    "draft": (Draft(), evolve_draft),
    "parcel": (Parcel(), parcel.evolve),
    "stock_item": (StockItem(), stock_item.evolve),
    "customer": (Customer(), customer.evolve),
    "policy": (Policy(), policy.evolve),
    "procedure": (Procedure(), procedure.evolve),
    "account": (Account(), account.evolve),
    "invoice_series": (InvoiceSeries(), invoice.evolve),
    "statement": (statement.Statement(), statement.evolve),
    "movement": (movement.Movement(), movement.evolve),
    "period": (period.Period(), period.evolve),
    "message": (Message(), customer_messages.evolve),
    "provider_notice": (provider.Told(), provider.evolve),
    "payout": (payout.Payout(), payout.evolve),
}


def initial(category: str) -> Any:
    """The state of a stream without events."""
    return AGGREGATES[category][0]


def evolve(category: str, state: Any, event: Event) -> Any:
    return AGGREGATES[category][1](state, event)


def _claim(name: StreamName, owner: str) -> Claim:
    return name.category.removeprefix("claim:"), name.key, owner


def clear(event: Event) -> Event:
    """No seal: for who looks at facts only."""
    return event


@dataclass(slots=True)
class Write:
    """The facts of one command so far, and the states they lead to: a second line of one sku is
    decided on what the first one left. States hold facts as they are stored, so sealed.
    """

    states: dict[StreamName, Any]
    seal: Callable[[Event], Event]
    events: dict[StreamName, list[Event]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    def add(self, stream: StreamName, events: Iterable[Event]) -> None:
        evolved = AGGREGATES[stream.category][1]
        for event in events:
            fact = self.seal(event) if event.PERSONAL_FIELDS else event
            self.events.setdefault(stream, []).append(fact)
            self.states[stream] = evolved(self.states[stream], fact)

    def trial(self) -> Write:
        """A copy to go on with, which counts only once it is taken."""
        events = {name: [*made] for name, made in self.events.items()}
        return Write({**self.states}, self.seal, events, [*self.claims])

    def take(self, trial: Write) -> None:
        self.states, self.events, self.claims = trial.states, trial.events, trial.claims

    def decision(self) -> Decision:
        return Decision(self.events, tuple(self.claims), self.states)


def decide(command: Command, states: States, seal: Callable[[Event], Event] = clear) -> Decision:
    """The facts per stream and the claims; no events anywhere means already so. Raises Rejected.

    Expects the state of every stream that `streams` names, None for a claim that nobody has.
    `seal` is given each fact with personal fields before it is kept.
    """
    write = Write(dict(states), seal)
    _run(command, write)
    return write.decision()


def _run(command: Command, write: Write) -> None:  # noqa: C901, PLR0915 - a table
    """Add what the command makes true. Raises Rejected."""
    match command:
        case PlaceOrder():
            _sell(command, write)
        case PackParcel():
            _pack(command, write)
        case DispatchParcel():
            _dispatch(command, write)
        case DeliverParcel():
            _deliver(command, write)
        case TrackParcel():
            _track(command, write)
        case ReceiveStock() | AdjustStock():
            stream = stock_stream(command.sku, command.location)
            write.add(stream, stock_item.decide(command, write.states[stream]))
        case RecordCustomer():
            stream = customer_stream(command.customer_id)
            write.add(stream, customer.decide(command, write.states[stream]))
        case QueueMessage():
            _queue(command, write)
        case ExchangeOrder():
            _exchange(command, write)
        case ReplaceOrder():
            _replace(command, write)
        case CompleteOrder():
            _complete(command, write)
        case ConfirmReceipt():
            _confirm_receipt(command, write)
        case PublishPolicy():
            stream = policy_stream(command.shop)
            write.add(stream, policy.decide(command, write.states[stream]))
        case IssueProcedure() | AcknowledgeProcedure():
            _change_procedure(command, write)
        case GrantCredit() | IssueGift() | SetCreditLimit() | ExpireGifts():
            _change_account(command, write)
        case IssueInvoice() | IssueCreditNote():
            _issue(command, write)
        case _ if isinstance(command, FAPIAO_COMMANDS):
            _change_fapiao(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, reconciliation_streams.COMMANDS):
            reconciliation.decide(command, write)
        case _ if isinstance(command, PROVIDER_COMMANDS):
            provider_desk.decide(command, write, _run)
        case _ if isinstance(command, DRAFT_COMMANDS):
            _change_draft(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, CASE_CHANGES):
            _change_case(command, write)  # type: ignore[arg-type]
        case MovePayment():
            _move_payment(command, write)
        case _ if isinstance(command, PAYMENT_CHANGES):
            _change_payment(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, REFUND_CHANGES):
            _settle(command, write)  # type: ignore[arg-type]
        case _ if isinstance(command, RETURN_CHANGES):
            _take_back(command, write)  # type: ignore[arg-type]
        case _:
            assert isinstance(command, order_commands.ORDER_CHANGES), type(command)
            _change_order(command, write)  # type: ignore[arg-type]


def _change_procedure(command: ProcedureCommand, write: Write) -> None:
    stream = procedure_stream(command.shop)
    state: Procedure = write.states[stream]
    if isinstance(command, AcknowledgeProcedure):
        write.add(stream, procedure.acknowledge(command, state))
        return
    in_force = policy.in_force(write.states[policy_stream(command.shop)], command.at)
    write.add(stream, procedure.issue(command, state, in_force))


def _sell(command: PlaceOrder, write: Write, region: str | None = None) -> None:
    """Place, unless the customer is served no more; what was sold already, there or elsewhere, is a
    fact.
    """
    known = write.states[order_stream(command.order_id)].placed
    if not known and command.channel not in service_stop.SOLD_ELSEWHERE:
        service_stop.require(write.states[customer_stream(command.customer_id)])
    _place(command, write, region)


def _place(
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
    number = _free_number(command.numbers, command.order_id, write)
    before: Order = write.states[stream]
    rules = rules or policy.in_force(write.states[policy_stream(command.shop)], command.at)
    of_account = write.states.get(account_stream(command.customer_id, command.currency))
    placed = order.place(command, number, _free(write), rules, region, of_account)
    _add_to_order(stream, [*placed, *paid], write)
    if command.payment_method in order_account.TOUCHING_METHODS:
        _pay_out_of_account(command, write)
        _tell_customer(command, before, write)
    _register_customer(command, write)


def _claim_external_ref(command: PlaceOrder, external_ref: str, write: Write) -> None:
    name = external_ref_claim(command.shop, external_ref)
    owner = write.states[name]
    if owner is not None:
        raise Rejected(
            "already_placed",
            f"{external_ref} of shop {command.shop} is order {owner}",
            order_id=owner,
        )
    write.claims.append(_claim(name, command.order_id))


def _free_number(numbers: Iterable[str], owner: str, write: Write) -> str:
    """Claims it, unless the owner has it already: an order has the number of its draft."""
    for number in numbers:
        name = number_claim(number)
        if write.states[name] is None:
            write.claims.append(_claim(name, owner))
        if write.states[name] in {None, owner}:
            return number
    raise Rejected(NUMBERS_TAKEN, "none of the candidates is free: try again")


def _start_draft(command: StartDraft, write: Write) -> None:
    stream = draft_stream(command.draft_id)
    if write.states[stream].status:
        return
    number = _free_number(command.numbers, command.draft_id, write)
    write.add(stream, draft.start(command, number))


def _change_draft(command: StartDraft | DraftChange | OrderDraft, write: Write) -> None:
    stream = draft_stream(command.draft_id)
    match command:
        case StartDraft():
            _start_draft(command, write)
        case ConfirmDraft() | AcceptQuote():
            _order_draft(command, write)
        case _:
            write.add(stream, draft.decide(command, write.states[stream]))


def _order_draft(command: OrderDraft, write: Write) -> None:
    """The order and the end of its draft in one write, by the rules of any placement."""
    stream = draft_stream(command.draft_id)
    state: Draft = write.states[stream]
    placing = draft.placement(command, state)
    if placing is None:
        return
    _sell(placing, write, state.region or "")
    placed: Order = write.states[order_stream(command.draft_id)]
    write.add(stream, draft.ordered(command, state, placed.total_minor))


def _register_customer(command: PlaceOrder, write: Write) -> None:
    stream = customer_stream(command.customer_id)
    if not write.states[stream].registered:
        registered = customer.register(command.customer_id, command.contact, command)
        write.add(stream, [registered])


def _kept(write: Write) -> order_lines.Kept:
    """The (sku, location) pairs among the loaded streams that have a stock record."""
    return frozenset(
        _sku_and_location(name)
        for name, state in write.states.items()
        if isinstance(state, StockItem) and state.kept
    )


def _free(write: Write) -> Free:
    """Units that nobody was promised, of the (sku, location) pairs that `_kept` names."""
    return {
        _sku_and_location(name): state.available
        for name, state in write.states.items()
        if isinstance(state, StockItem) and state.kept
    }


def _sku_and_location(name: StreamName) -> tuple[str, str]:
    sku, _, location = name.key.rpartition("@")  # a location has no @
    return sku, location


def _change_order(command: OrderChange, write: Write) -> None:
    stream = order_stream(command.order_id)
    state = _placed(write, command.order_id)
    if isinstance(command, PayRefund):
        payout.require_settled(command, write.states[payout_stream(command.refund_id)])
    facts = order.decide(command, state, _kept(write), _rules(state, write))
    _add_to_order(stream, facts, write)
    _withdraw(state, facts, command.at, write)
    _tell_customer(command, state, write)


def _change_case(command: CaseChange, write: Write) -> None:
    state = _placed(write, command.order_id)
    facts = order_case.decide(command, state, _rules(state, write))
    _add_to_order(order_stream(command.order_id), facts, write)
    _withdraw(state, facts, command.at, write)
    _tell_customer(command, state, write)


def _change_payment(command: PaymentChange, write: Write) -> None:
    state = _placed(write, command.order_id)
    if isinstance(command, RefuseDelivery) and parcel_stream(command.parcel_id) in write.states:
        carrier = write.states[parcel_stream(command.parcel_id)].carrier
        command = command.model_copy(update={"carrier": carrier})
    facts = order_paying.decide(command, state, _pinned(state, write), _free(write))
    _add_to_order(order_stream(command.order_id), facts, write)
    _tell_customer(command, state, write)


def _move_payment(command: MovePayment, write: Write) -> None:
    source, other = _placed(write, command.order_id), _placed(write, command.to_order_id)
    out, into = order_paying.move(command, source, other, _pinned(other, write), _free(write))
    _add_to_order(order_stream(command.order_id), out, write)
    _add_to_order(order_stream(command.to_order_id), into, write)
    _tell_customer(command, source, write)
    _tell_customer(command, other, write)


def _pinned(state: Order, write: Write) -> PolicyVersion:
    found = _rules(state, write)
    assert found is not None, "the streams of a payment have its policy"
    return found


def _settle(command: RefundChange, write: Write) -> None:
    state = _placed(write, command.order_id)
    if isinstance(command, FailRefund | DenyRefund):
        payout.require_settled(command, write.states[payout_stream(command.refund_id)])
    events = refund_settlement.decide(command, state, _rules(state, write))
    write.add(order_stream(command.order_id), events)
    _tell_customer(command, state, write)


def _take_back(command: ReturnChange, write: Write) -> None:
    state = _placed(write, command.order_id)
    events = order_return.decide(command, state, _rules(state, write))
    write.add(order_stream(command.order_id), events)
    for event in events:
        if isinstance(event, ReturnReceived):
            _restock(event, state, write)
            _parcel_came_back(event, state.returns[event.return_id].parcel_id, write)
    _withdraw(state, events, command.at, write)
    _tell_customer(command, state, write)


def _parcel_came_back(event: ReturnReceived, parcel_id: str | None, write: Write) -> None:
    """Imported parcels have no stream."""
    if parcel_id is None or not write.states[parcel_stream(parcel_id)].parcel_id:
        return
    stream = parcel_stream(parcel_id)
    before: Parcel = write.states[stream]
    write.add(stream, parcel.take_back(before, event.at))
    _tell_milestone(stream, before, event.at, write)


def _restock(event: ReturnReceived, state: Order, write: Write) -> None:
    for item in event.lines:
        line = state.lines[item.line_no].priced
        name = stock_stream(line.sku, line.location)
        if item.restocked and write.states[name].kept:
            units, order_id = item.quantity, state.order_id
            back = stock_item.take_back(
                write.states[name], line.sku, line.location, order_id, units, event.at
            )
            write.add(name, back)


def _exchange(command: ExchangeOrder, write: Write) -> None:
    """The old order's facts and the new order, in one write."""
    state = _placed(write, command.order_id)
    policy_version = _rules(state, write)
    assert policy_version is not None
    events = order_exchange.take_back(command, state, policy_version)
    if not events:
        return
    write.add(order_stream(command.order_id), events)
    region = None if command.shipping_address else state.region or ""
    paid = order_exchange.paid(command, write.states[order_stream(command.order_id)])
    _place(order_exchange.placement(command, state), write, region, paid)


def _replace(command: ReplaceOrder, write: Write) -> None:
    """The first order's fact and the new order, in one write."""
    state = _placed(write, command.order_id)
    made = order_replacement.replaced(command, state, _pinned(state, write))
    if not made:
        return
    write.add(order_stream(command.order_id), made)
    region = None if command.shipping_address else state.region or ""
    in_force = policy.in_force(write.states[policy_stream(state.shop)], command.at)
    _place(
        order_replacement.placement(command, state, made[0]),
        write,
        region,
        order_replacement.linked(command),
        order_replacement.rules(in_force, state.currency),
    )


def _withdraw(before: Order, facts: Iterable[Event], at: datetime, write: Write) -> None:
    """What a replacement's own end means for the order whose units it stood for."""
    if before.replacement_of is None:
        return
    first = order_stream(before.replacement_of)
    if first in write.states:
        undone = order_replacement.withdrawn(before, facts, write.states[first], at)
        write.add(first, undone)


def _complete(command: CompleteOrder, write: Write) -> None:
    state = _placed(write, command.order_id)
    facts = order_completion.complete(command, state, _pinned(state, write))
    write.add(order_stream(command.order_id), facts)


def _confirm_receipt(command: ConfirmReceipt, write: Write) -> None:
    """What the carrier has not told of its parcels is delivered by the same word."""
    state = _placed(write, command.order_id)
    arriving = [] if state.completed_at else order_completion.parcels_to_confirm(state)
    for parcel_id in arriving:
        _deliver(DeliverParcel(parcel_id=parcel_id, at=command.at), write)
    state = _placed(write, command.order_id)
    facts = order_completion.confirm(command, state, _pinned(state, write))
    write.add(order_stream(command.order_id), facts)


def _rules(state: Order, write: Write) -> PolicyVersion | None:
    """The policy that the order was placed under, where the command asked for it."""
    found: Policy | None = write.states.get(policy_stream(state.shop))
    return None if found is None else policy.pinned(found, state.policy_version)


def _change_account(command: AccountChange, write: Write) -> None:
    known = isinstance(command, ExpireGifts) or (
        write.states[customer_stream(command.customer_id)].registered
    )
    if not known:  # A slip in the id would make money that is nobody's.
        raise Rejected("customer_not_found", customer_id=command.customer_id)
    stream = account_stream(command.customer_id, command.currency)
    write.add(stream, account.decide(command, write.states[stream]))


def _pay_out_of_account(command: PlaceOrder, write: Write) -> None:
    stream = order_stream(command.order_id)
    payer = order.payer_of(command.order_id)
    paid = order_account.payment_at_placing(write.states[stream], command.at, payer)
    _add_to_order(stream, paid, write)


def _tell_customer(command: Command, before: Order, write: Write) -> None:
    """What became of an order, for its customer's account and service, where `streams` asked for
    them.
    """
    stream = order_stream(before.order_id or target(command))
    facts, after = write.events.get(stream, []), write.states[stream]
    name = account_stream(after.customer_id, after.currency)
    if name in write.states:
        state: Account = write.states[name]
        write.add(name, order_account.follow(command, before, after, facts, state))
    else:
        needed = order_account.needs_account(before, after, facts)
        assert not needed, f"{type(command)} did not ask for the account"
    name = customer_stream(after.customer_id)
    if name in write.states:
        rules, known = _rules(after, write), write.states[name]
        write.add(name, service_stop.follow(before, after, rules, known, command.at))


def _placed(write: Write, order_id: str) -> Order:
    state: Order = write.states[order_stream(order_id)]
    if not state.placed:
        raise Rejected("order_not_found", order_id=order_id)
    return state


def _add_to_order(stream: StreamName, events: Iterable[Event], write: Write) -> None:
    """Add the order's facts and what they mean for the stock of its lines."""
    for event in events:
        changes = _stock_changes(event, write.states[stream])
        write.add(stream, [event])
        for name, units in changes.items():
            _promise(name, units, stream.key, event, write)


def _stock_changes(  # noqa: C901 - a table
    event: Event, before: Order
) -> dict[StreamName, Decimal]:
    """Units to reserve (above 0) or to release (below) per stock item; lines of one sku add up."""
    changes: dict[StreamName, Decimal] = {}

    def change(line: Line, units: Decimal) -> None:
        name = stock_stream(line.sku, line.location)
        changes[name] = changes.get(name, ZERO) + units

    match event:
        case OrderPlaced(lines=lines):
            for line in lines:
                change(line, line.reserved)
        case LinesAmended():
            for line in event.before:
                change(line, -line.reserved)
            for line in event.after:
                change(line, line.reserved)
        case OrderReinstated(reserved=reserved):
            for item in reserved:
                change(before.lines[item.line_no].priced, item.quantity)
        case OrderCancelled(released=released) | OrderVoided(released=released):
            for item in released:
                change(before.lines[item.line_no].priced, -item.quantity)
        case _:
            pass
    return {name: units for name, units in changes.items() if units != 0}


def _promise(name: StreamName, units: Decimal, order_id: str, cause: Event, write: Write) -> None:
    sku, location = _sku_and_location(name)
    if units > 0:
        state: StockItem = write.states[name]
        events = stock_item.reserve(state, sku, location, order_id, units, cause.at)
    else:
        events = stock_item.release(sku, location, order_id, -units, cause.at)
    write.add(name, events)


def _queue(command: QueueMessage, write: Write) -> None:
    stream, state = message_stream(command.message_id), _placed(write, command.order_id)
    rules = _pinned(state, write)
    write.add(stream, customer_messages.decide(command, write.states[stream], state, rules))


def _issue(command: PaperCommand, write: Write) -> None:
    """The paper and its number in one write: a number without a paper cannot be."""
    state = _placed(write, command.order_id)
    if state.papers.paper(command.paper_id) is not None:
        return
    where = invoice.require_seller(invoice.issue(command, state), state)
    series = series_stream(where)
    taken = invoice.take(command, where, write.states[series])
    if isinstance(command, IssueInvoice):
        paper: Event = invoice.invoice(command, state, where, taken)
    else:
        paper = invoice.credit_note(command, state, where, taken)
    claim = paper_claim(taken.number)
    if write.states[claim] is not None:
        raise Rejected(
            "paper_number_taken",
            f"{taken.number} is a paper of another series: two shops share a prefix",
            number=taken.number,
        )
    write.claims.append(_claim(claim, f"{command.order_id}/{command.paper_id}"))
    write.add(series, [taken])
    write.add(order_stream(command.order_id), [paper])


def _change_fapiao(command: FapiaoCommand, write: Write) -> None:
    state = _placed(write, command.order_id)
    write.add(order_stream(command.order_id), fapiao.decide(command, state))


def _pack(command: PackParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    skus = {}
    for item in command.contents:
        line = order_lines.known_line(_placed(write, item.order_id), item.line_no)
        skus[item.order_id, item.line_no] = line.priced.sku
    events = parcel.pack(command, write.states[stream], skus)
    if not events:
        return
    write.add(stream, events)
    for order_id in write.states[stream].order_ids:
        state = write.states[order_stream(order_id)]
        write.add(order_stream(order_id), order.pack(command, state))


def _dispatch(command: DispatchParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    events = parcel.decide(command, write.states[stream])
    if not events:
        return
    claim = tracking_claim(command.carrier, command.tracking_number)
    owner = write.states[claim]
    if owner not in {None, command.parcel_id}:
        raise Rejected(
            "tracking_number_taken",
            f"{command.carrier} {command.tracking_number} is parcel {owner}",
            parcel_id=owner,
        )
    write.claims.append(_claim(claim, command.parcel_id))
    write.add(stream, events)
    for order_id in write.states[stream].order_ids:
        _dispatch_order(command, order_id, write)


def _dispatch_order(command: DispatchParcel, order_id: str, write: Write) -> None:
    before: Order = write.states[order_stream(order_id)]
    events = order.dispatch(command, before)
    if events:
        service_stop.require(write.states[customer_stream(before.customer_id)])
    for event in events:
        write.add(order_stream(order_id), [event])
        if not isinstance(event, OrderDispatched):
            continue
        promised = {item.line_no: item.quantity for item in event.stock_shipped}
        for item in event.lines:
            _ship(item, promised.get(item.line_no, ZERO), before, event, write)


def _ship(item: LineQuantity, reserved: Decimal, before: Order, cause: Event, write: Write) -> None:
    line = before.lines[item.line_no].priced
    name = stock_stream(line.sku, line.location)
    state: StockItem = write.states[name]
    if state.kept:
        shipped = stock_item.ship(
            state, line.sku, line.location, before.order_id, item.quantity, reserved, cause.at
        )
        write.add(name, shipped)


def _deliver(command: DeliverParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    events = parcel.decide(command, write.states[stream])
    orders: list[Order] = [write.states[order_stream(o)] for o in write.states[stream].order_ids]
    if events and orders and all(command.parcel_id in one.money.refused for one in orders):
        raise Rejected(
            "delivery_refused",
            "it was refused at the door: what is owed for it was taken off",
            parcel_id=command.parcel_id,
        )
    write.add(stream, events)
    _tell_orders(stream, write.events.get(stream, []), write)


def _track(command: TrackParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    before: Parcel = write.states[stream]
    write.add(stream, parcel.decide(command, before))
    _tell_orders(stream, write.events.get(stream, []), write)
    _tell_milestone(stream, before, command.occurred_at, write)


def _tell_milestone(stream: StreamName, before: Parcel, at: datetime, write: Write) -> None:
    after: Parcel = write.states[stream]
    milestone = parcel.news_for_orders(before, after)
    if milestone is None:
        return
    for order_id in after.order_ids:
        name = order_stream(order_id)
        write.add(name, order.tell(stream.key, milestone, at, write.states[name]))


def _tell_orders(stream: StreamName, events: Iterable[Event], write: Write) -> None:
    for event in list(events):
        if isinstance(event, ParcelDelivered):
            for order_id in event.order_ids:
                name = order_stream(order_id)
                state: Order = write.states[name]
                carrier = write.states[stream].carrier
                write.add(name, order.deliver(stream.key, carrier, event.source, event.at, state))
