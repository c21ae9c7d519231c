"""A customer: contact and address, each change a fact. An order keeps its own copy of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.message import Command, Event, Personal, Sealed
from domain.values import Address, Contact, Identifier


class CustomerRegistered(Event, topic="customer.registered.v1"):
    customer_id: str
    person: str
    contact: Personal[Contact] | None = None


class CustomerContactChanged(Event, topic="customer.contact_changed.v1"):
    customer_id: str
    person: str
    before: Personal[Contact] | None = None
    after: Personal[Contact]


class CustomerAddressChanged(Event, topic="customer.address_changed.v1"):
    customer_id: str
    person: str
    before: Personal[Address] | None = None
    after: Personal[Address]


class ServiceStopped(Event, topic="customer.service_stopped.v1"):
    """An order is overdue: nothing more is sold or sent to its customer until it is paid."""

    customer_id: str
    order_id: str
    number: str
    currency: str
    outstanding_minor: int


class ServiceResumed(Event, topic="customer.service_resumed.v1"):
    """That order owes nothing any more; others may still stand in the way."""

    customer_id: str
    order_id: str


class RecordCustomer(Command):
    customer_id: Identifier
    contact: Contact | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """An overdue order that stands in the way of all others, as it was when it became so."""

    number: str
    currency: str
    outstanding_minor: int


@dataclass(frozen=True, slots=True)
class Customer:
    registered: bool = False
    contact: Contact | Sealed | None = None
    address: Address | Sealed | None = None
    stops: Mapping[str, Stop] = field(default_factory=dict)  # by order id


def person_of(customer_id: str) -> str:
    """The name of the customer's key in the vault."""
    return f"customer/{customer_id}"


def evolve(state: Customer, event: Event) -> Customer:
    match event:
        case CustomerRegistered(contact=contact):
            return replace(state, registered=True, contact=contact)
        case CustomerContactChanged(after=contact):
            return replace(state, contact=contact)
        case CustomerAddressChanged(after=address):
            return replace(state, address=address)
        case ServiceStopped():
            stop = Stop(event.number, event.currency, event.outstanding_minor)
            return replace(state, stops={**state.stops, event.order_id: stop})
        case ServiceResumed():
            left = {name: stop for name, stop in state.stops.items() if name != event.order_id}
            return replace(state, stops=left)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a customer")


def register(customer_id: str, contact: Contact | None, command: Command) -> Event:
    return CustomerRegistered(
        customer_id=customer_id, person=person_of(customer_id), contact=contact, at=command.at
    )


def decide(command: RecordCustomer, state: Customer) -> list[Event]:
    """Return the facts about the customer that the command brings."""
    customer_id, at = command.customer_id, command.at
    person = person_of(customer_id)
    events: list[Event] = []
    if not state.registered:
        events.append(register(customer_id, command.contact, command))
    elif command.contact is not None:
        events.append(
            CustomerContactChanged(
                customer_id=customer_id,
                person=person,
                before=state.contact,
                after=command.contact,
                at=at,
            )
        )
    if command.address is not None:
        events.append(
            CustomerAddressChanged(
                customer_id=customer_id,
                person=person,
                before=state.address,
                after=command.address,
                at=at,
            )
        )
    return events
