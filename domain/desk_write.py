"""The aggregates of the desk, and what one command has written to them so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from domain import (
    account,
    customer,
    customer_messages,
    invoice,
    movement,
    parcel,
    payout,
    period,
    policy,
    procedure,
    provider,
    statement,
    stock_item,
)
from domain.account import Account
from domain.customer import Customer
from domain.customer_messages import Message
from domain.desk_names import order_stream
from domain.draft_state import Draft
from domain.draft_state import evolve as evolve_draft
from domain.invoice import InvoiceSeries
from domain.message import Decision, Event, Rejected, StreamName
from domain.order_fold import evolve as evolve_order
from domain.order_same_payment import Reveal, as_it_is
from domain.order_state import Order
from domain.parcel import Parcel
from domain.policy import Policy, PolicyVersion, policy_stream
from domain.procedure import Procedure
from domain.stock_item import StockItem

Claim = tuple[str, str, str]  # kind, key, owner

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
    reveal: Reveal = as_it_is
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
        return Write({**self.states}, self.seal, self.reveal, events, [*self.claims])

    def take(self, trial: Write) -> None:
        self.states, self.events, self.claims = trial.states, trial.events, trial.claims

    def decision(self) -> Decision:
        return Decision(self.events, tuple(self.claims), self.states)


def claim_of(name: StreamName, owner: str) -> Claim:
    return name.category.removeprefix("claim:"), name.key, owner


def placed_order(write: Write, order_id: str) -> Order:
    state: Order = write.states[order_stream(order_id)]
    if not state.placed:
        raise Rejected("order_not_found", order_id=order_id)
    return state


def rules_of(state: Order, write: Write) -> PolicyVersion | None:
    """The policy that the order was placed under, where the command asked for it."""
    found: Policy | None = write.states.get(policy_stream(state.shop))
    return None if found is None else policy.pinned(found, state.policy_version)


def pinned_rules(state: Order, write: Write) -> PolicyVersion:
    found = rules_of(state, write)
    assert found is not None, "the streams of a payment have its policy"
    return found
