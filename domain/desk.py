"""The order desk: every command over all the streams that it touches. What the runner calls.

Pure: `streams` names what a command needs, `decide` returns the facts per stream, `answer` what
the client is told. Each aggregate keeps its own rules; here they are put together, so that stock,
order, parcel and customer change in one write or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain import customer, order, order_commands, order_lines, parcel, stock_item
from domain.customer import Customer, RecordCustomer
from domain.message import Command, Decision, Event, Rejected, StreamName
from domain.order_commands import (
    AddNote,
    AmendOrder,
    CancelOrder,
    DeliverParcel,
    DispatchParcel,
    OrderCommand,
    PackParcel,
    ParcelCommand,
    PayRefund,
    PlaceOrder,
    RecordPayment,
    RequestRefund,
    TrackParcel,
    VoidOrder,
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
from domain.order_state import ZERO, Order, OrderLine
from domain.order_state import evolve as evolve_order
from domain.order_status import shown
from domain.parcel import Parcel
from domain.parcel_facts import ParcelDelivered
from domain.stock_item import AdjustStock, ReceiveStock, StockItem
from domain.values import quantity_json

StockCommand = ReceiveStock | AdjustStock
States = Mapping[StreamName, Any]
Claim = tuple[str, str, str]  # kind, key, owner

AGGREGATES: dict[str, tuple[Any, Callable[[Any, Event], Any]]] = {
    "order": (Order(), evolve_order),
    "parcel": (Parcel(), parcel.evolve),
    "stock_item": (StockItem(), stock_item.evolve),
    "customer": (Customer(), customer.evolve),
}


def initial(category: str) -> Any:
    """The state of a stream without events."""
    return AGGREGATES[category][0]


def evolve(category: str, state: Any, event: Event) -> Any:
    return AGGREGATES[category][1](state, event)


def order_stream(order_id: str) -> StreamName:
    return StreamName("order", order_id)


def parcel_stream(parcel_id: str) -> StreamName:
    return StreamName("parcel", parcel_id)


def stock_stream(sku: str, location: str) -> StreamName:
    return StreamName("stock_item", stock_item.stream_key(sku, location))


def customer_stream(customer_id: str) -> StreamName:
    return StreamName("customer", customer_id)


def number_claim(number: str) -> StreamName:
    return StreamName("claim:order_number", number)


def external_ref_claim(shop: str, external_ref: str) -> StreamName:
    return StreamName("claim:external_ref", f"{shop}/{external_ref}")


def tracking_claim(carrier: str, tracking_number: str) -> StreamName:
    return StreamName("claim:tracking", f"{carrier}/{tracking_number}")


def _claim(name: StreamName, owner: str) -> Claim:
    return name.category.removeprefix("claim:"), name.key, owner


@dataclass(slots=True)
class Write:
    """The facts of one command so far, and the states they lead to: a second line of one sku is
    decided on what the first one left.
    """

    states: dict[StreamName, Any]
    events: dict[StreamName, list[Event]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    def add(self, stream: StreamName, events: Iterable[Event]) -> None:
        for event in events:
            self.events.setdefault(stream, []).append(event)
            self.states[stream] = evolve(stream.category, self.states[stream], event)

    def decision(self) -> Decision:
        return Decision(self.events, tuple(self.claims))


def target(command: Command) -> str:
    """The id that a command is about, for the operator log."""
    match command:
        case ReceiveStock() | AdjustStock():
            return stock_item.stream_key(command.sku, command.location)
        case RecordCustomer():
            return command.customer_id
        case PackParcel() | DispatchParcel() | DeliverParcel() | TrackParcel():
            return command.parcel_id
        case _:
            order_id: str = getattr(command, "order_id", "")
            return order_id


def streams(command: Command, loaded: States) -> frozenset[StreamName]:
    """All the command needs, as far as `loaded` lets see; ask again until nothing is new."""
    match command:
        case PlaceOrder():
            return _streams_of_placing(command)
        case ReceiveStock() | AdjustStock():
            return frozenset({stock_stream(command.sku, command.location)})
        case RecordCustomer():
            return frozenset({customer_stream(command.customer_id)})
        case PackParcel():
            orders = {order_stream(item.order_id) for item in command.contents}
            return frozenset({parcel_stream(command.parcel_id), *orders})
        case DispatchParcel():
            claim = tracking_claim(command.carrier, command.tracking_number)
            return frozenset({claim, *_streams_of_parcel(command.parcel_id, loaded, stock=True)})
        case DeliverParcel():
            return frozenset(_streams_of_parcel(command.parcel_id, loaded))
        case TrackParcel():
            return frozenset(_streams_of_tracking(command, loaded))
        case AmendOrder() | CancelOrder() | VoidOrder():
            return frozenset(_streams_of_change(command, loaded))
        case _:
            return frozenset({order_stream(target(command))})


def _streams_of_placing(command: PlaceOrder) -> frozenset[StreamName]:
    stock = {stock_stream(line.sku, line.location) for line in command.lines}
    return fresh(command) | stock | {customer_stream(command.customer_id)}


def _streams_of_parcel(parcel_id: str, loaded: States, *, stock: bool = False) -> set[StreamName]:
    stream = parcel_stream(parcel_id)
    content: Parcel = loaded.get(stream) or Parcel()
    names = {stream} | {order_stream(order_id) for order_id in content.order_ids}
    if not stock:
        return names
    for item in content.contents:
        bought: Order | None = loaded.get(order_stream(item.order_id))
        line = bought.lines.get(item.line_no) if bought else None
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
    command: AmendOrder | CancelOrder | VoidOrder, loaded: States
) -> set[StreamName]:
    stream = order_stream(command.order_id)
    state: Order = loaded.get(stream) or Order()
    if not state.placed:
        return {stream}
    lines = [line for line in state.lines.values() if _stock_may_change(command, line)]
    names = {stream} | {stock_stream(line.priced.sku, line.priced.location) for line in lines}
    if isinstance(command, AmendOrder):
        added = [item for item in command.lines or [] if item.line_no is None]
        names |= {stock_stream(item.sku or "", item.location or "main") for item in added}
    return names


def _stock_may_change(command: AmendOrder | CancelOrder | VoidOrder, line: OrderLine) -> bool:
    """Only a change of quantity touches stock (R7)."""
    if not isinstance(command, AmendOrder):
        return line.reserved > 0
    changes = (item for item in command.lines or [] if item.line_no == line.priced.line_no)
    return any(item.quantity not in {None, line.quantity} for item in changes)


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
        case _:
            return frozenset()


def persons(command: Command, states: States) -> frozenset[str]:
    """Whose keys the facts of a command may be sealed under, so that they can be fetched first."""
    names = {state.person for state in states.values() if isinstance(state, Order | Parcel)}
    match command:
        case PlaceOrder() | RecordCustomer():
            names.add(customer.person_of(command.customer_id))
        case RecordPayment():
            names.add(order.payer_of(command.order_id))
        case _:
            pass
    return frozenset(names - {""})


def decide(command: Command, states: States) -> Decision:
    """The facts per stream and the claims; no events anywhere means already so. Raises Rejected.

    Expects the state of every stream that `streams` names, None for a claim that nobody has.
    """
    write = Write(dict(states))
    match command:
        case PlaceOrder():
            _place(command, write)
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
            write.add(stream, stock_item.decide(command, states[stream]))
        case RecordCustomer():
            stream = customer_stream(command.customer_id)
            write.add(stream, customer.decide(command, states[stream]))
        case _:
            assert isinstance(command, order_commands.ORDER_COMMANDS), type(command)
            _change_order(command, write)  # type: ignore[arg-type]
    return write.decision()


def _place(command: PlaceOrder, write: Write) -> None:
    stream = order_stream(command.order_id)
    if write.states[stream].placed:
        return
    if command.external_ref is not None:
        _claim_external_ref(command, command.external_ref, write)
    number = _free_number(command, write)
    write.claims.append(_claim(number_claim(number), command.order_id))
    chosen = command.model_copy(update={"numbers": (number,)})
    _add_to_order(stream, order.decide(chosen, write.states[stream], _kept(write)), write)
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


def _free_number(command: PlaceOrder, write: Write) -> str:
    for number in command.numbers:
        if write.states[number_claim(number)] is None:
            return number
    raise Rejected("numbers_taken", "none of the candidates is free: try again")


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


def _sku_and_location(name: StreamName) -> tuple[str, str]:
    sku, _, location = name.key.rpartition("@")  # a location has no @
    return sku, location


def _change_order(command: OrderCommand, write: Write) -> None:
    stream = order_stream(command.order_id)
    state = _placed(write, command.order_id)
    _add_to_order(stream, order.decide(command, state, _kept(write)), write)


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


def _stock_changes(event: Event, before: Order) -> dict[StreamName, Decimal]:
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
    for event in order.dispatch(command, before):
        write.add(order_stream(order_id), [event])
        assert isinstance(event, OrderDispatched)
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
    write.add(stream, parcel.decide(command, write.states[stream]))
    _tell_orders(stream, write.events.get(stream, []), write)


def _track(command: TrackParcel, write: Write) -> None:
    stream = parcel_stream(command.parcel_id)
    before: Parcel = write.states[stream]
    write.add(stream, parcel.decide(command, before))
    _tell_orders(stream, write.events.get(stream, []), write)
    after: Parcel = write.states[stream]
    milestone = parcel.news_for_orders(before, after)
    if milestone is None:
        return
    for order_id in after.order_ids:
        name = order_stream(order_id)
        at = command.occurred_at
        write.add(name, order.tell(stream.key, milestone, at, write.states[name]))


def _tell_orders(stream: StreamName, events: Iterable[Event], write: Write) -> None:
    for event in list(events):
        if isinstance(event, ParcelDelivered):
            for order_id in event.order_ids:
                name = order_stream(order_id)
                state: Order = write.states[name]
                write.add(name, order.deliver(stream.key, event.source, event.at, state))


def answer(
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
        "status": shown(state).code,
        "total_minor": state.total_minor,
    }


def _made(command: Command, state: Order) -> dict[str, Any]:
    """The ids that a command made, and the amounts of the lines that it placed."""
    match command:
        case RecordPayment(payment_id=payment_id):
            return {"payment_id": payment_id}
        case RequestRefund(refund_id=refund_id) | PayRefund(refund_id=refund_id):
            refund = state.refunds[refund_id]
            return {"refund_id": refund_id, "amount_minor": refund.amount_minor}
        case AddNote(note_id=note_id):
            return {"note_id": note_id}
        case PlaceOrder():
            inclusive = state.prices_include_tax
            lines = [line.priced for line in state.lines.values()]
            return {"lines": [order_lines.line_answer(line, inclusive) for line in lines]}
        case _:
            return {}


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
    command: StockCommand, states: States, versions: Mapping[StreamName, int]
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
