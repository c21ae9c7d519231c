"""Given what happened, when a command comes, then these facts or this refusal.

A `World` is a ledger in memory: it asks the desk what a command needs, decides and applies, as the
runner does over PostgreSQL. The commands are in given_orders, given_money and given_returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import desk, desk_names
from domain.account import Account
from domain.message import Command, Decision, Event, Rejected, StreamName
from domain.order_state import Order
from domain.parcel import Parcel
from domain.stock_item import StockItem

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
# A refund that needs no second person.
REFUNDED = ("order.refund_requested.v2", "order.refund_approved.v1")
Facts = Mapping[StreamName, Sequence[Event]]


def hours(count: float) -> datetime:
    """So many hours after noon."""
    return NOON + timedelta(hours=count)


@dataclass
class World:
    """Events per stream, who owns which claim, and the states that follow from the events."""

    events: dict[StreamName, list[Event]] = field(default_factory=dict)
    claims: dict[StreamName, str] = field(default_factory=dict)
    states: dict[StreamName, Any] = field(default_factory=dict)

    def add(self, stream: StreamName, events: Sequence[Event]) -> None:
        for event in events:
            type(event).model_validate_json(event.model_dump_json())  # Made right, unvalidated.
            self.events.setdefault(stream, []).append(event)
            self.states[stream] = desk.evolve(stream.category, self.state(stream), event)

    def state(self, stream: StreamName) -> Any:
        if stream.category.startswith("claim:"):
            return self.claims.get(stream)
        return self.states.get(stream, desk.initial(stream.category))

    def decide(self, command: Command) -> Decision:
        return desk.decide(command, self.needed(command))

    def needed(self, command: Command) -> dict[StreamName, Any]:
        loaded: dict[StreamName, Any] = {}
        while new := desk.streams(command, loaded) - loaded.keys():
            loaded |= {name: self.state(name) for name in new}
        return loaded

    def run(self, command: Command) -> Decision:
        decision = self.decide(command)
        for stream, events in decision.events.items():
            self.add(stream, events)
        for kind, key, owner in decision.claims:
            name = StreamName(f"claim:{kind}", key)
            assert self.claims.get(name, owner) == owner
            self.claims[name] = owner
        return decision

    def answer(self, command: Command) -> dict[str, Any]:
        self.run(command)
        names = self.needed(command)
        versions = {name: len(self.events.get(name, [])) for name in names}
        return desk.answer(command, names, versions)

    def order(self, order_id: str = "A") -> Order:
        state = self.state(desk_names.order_stream(order_id))
        assert isinstance(state, Order)
        return state

    def parcel(self, parcel_id: str = "K") -> Parcel:
        state = self.state(desk_names.parcel_stream(parcel_id))
        assert isinstance(state, Parcel)
        return state

    def stock(self, sku: str = "TEA", location: str = "main") -> StockItem:
        state = self.state(desk_names.stock_stream(sku, location))
        assert isinstance(state, StockItem)
        return state

    def account(self, customer_id: str = "li", currency: str = "CNY") -> Account:
        state = self.state(desk_names.account_stream(customer_id, currency))
        assert isinstance(state, Account)
        return state


def _stored(facts: Facts) -> dict[StreamName, list[tuple[str, dict[str, Any]]]]:
    """As they are kept: a command's stricter address is an address like any other there."""
    return {name: [(e.TOPIC, e.model_dump()) for e in made] for name, made in facts.items()}


@dataclass
class Then:
    """What a command came to: a decision or a refusal, and the world after it."""

    outcome: Decision | Rejected
    world: World

    def then(self, expected: Facts | Rejected) -> World:
        """Exactly these facts on these streams; of a refusal, the code and the facts named."""
        if isinstance(expected, Rejected):
            return self.refused(expected.code, **expected.facts)
        if isinstance(self.outcome, Rejected):
            raise self.outcome
        assert _stored(self.outcome.events) == _stored(expected)
        return self.world

    def nothing(self) -> World:
        """Already so."""
        return self.then({})

    def topics(self, *expected: str) -> World:
        """These topics, stream by stream in the order of the write."""
        if isinstance(self.outcome, Rejected):
            raise self.outcome
        made = [event.TOPIC for events in self.outcome.events.values() for event in events]
        assert sorted(made) == sorted(expected)
        return self.world

    def refused(self, code: str, **facts: Any) -> World:
        assert isinstance(self.outcome, Rejected), f"was accepted: {self.outcome}"
        assert self.outcome.code == code
        assert self.outcome.facts.items() >= facts.items(), self.outcome.facts
        return self.world

    @property
    def message(self) -> str:
        assert isinstance(self.outcome, Rejected)
        return self.outcome.message


class Given:
    def __init__(self, world: World) -> None:
        self.world = world

    def when(self, command: Command) -> Then:
        world = deepcopy(self.world)
        try:
            return Then(world.run(command), world)
        except Rejected as refusal:
            return Then(refusal, world)


def given(facts: Facts | World | None = None, *commands: Command) -> Given:
    """What was recorded, then the commands that were accepted since."""
    world = deepcopy(facts) if isinstance(facts, World) else World()
    if isinstance(facts, Mapping):
        for stream, events in facts.items():
            world.add(stream, events)
    for command in commands:
        world.run(command)
    return Given(world)


def after(*commands: Command) -> Given:
    """The world that these commands lead to, all accepted."""
    return given(None, *commands)
