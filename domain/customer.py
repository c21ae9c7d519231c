"""A customer: contact and address, each change a fact. An order keeps its own copy of both."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


class RecordCustomer(Command):
    customer_id: Identifier
    contact: Contact | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    registered: bool = False
    contact: Contact | Sealed | None = None
    address: Address | Sealed | None = None


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
