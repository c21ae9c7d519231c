"""Events to stored JSON and back: the topic table, upcasters, and sealing of personal fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from domain import (  # noqa: F401 - all topics
    account_facts,
    alert_facts,
    case_facts,
    customer,
    customer_messages,
    draft_facts,
    invoice_facts,
    order_facts,
    parcel_facts,
    payment_facts,
    period_facts,
    policy,
    procedure,
    provider_facts,
    return_facts,
    statement_facts,
    stock_item,
)
from domain.message import EVENT_TYPES, Event, Sealed

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


def _as_it_was(state: dict[str, Any]) -> dict[str, Any]:
    """The next version only adds fields whose defaults say what was meant before."""
    return state


UPCASTERS: dict[str, tuple[str, Upcast]] = {  # old topic -> (next topic, change of the state)
    "order.placed.v1": ("order.placed.v2", _as_it_was),
    "order.placed.v2": ("order.placed.v3", _as_it_was),
    "order.placed.v3": ("order.placed.v4", _as_it_was),
    "order.payment_captured.v1": ("order.payment_captured.v2", _as_it_was),
    "order.cancelled.v1": ("order.cancelled.v2", _as_it_was),
    "order.lines_amended.v1": ("order.lines_amended.v2", _as_it_was),
    "order.invoiced.v1": ("order.invoiced.v2", _as_it_was),
    "order.credited.v1": ("order.credited.v2", _as_it_was),
    "order.refund_requested.v1": ("order.refund_requested.v2", _as_it_was),
    "order.return_requested.v1": ("order.return_requested.v2", _as_it_was),
    "order.payment_moved_in.v1": ("order.payment_moved_in.v2", _as_it_was),
    "order.chargeback_opened.v1": ("order.chargeback_opened.v2", _as_it_was),
    "order.chargeback_won.v1": ("order.chargeback_won.v2", _as_it_was),
    "order.chargeback_lost.v1": ("order.chargeback_lost.v2", _as_it_was),
    "provider_notice.received.v1": ("provider_notice.received.v2", _as_it_was),
    "order.return_received.v1": ("order.return_received.v2", _as_it_was),
    "order.placed_in_exchange.v1": ("order.placed_in_exchange.v2", _as_it_was),
    "period.closed.v1": ("period.closed.v2", _as_it_was),
}

_clear_json: TypeAdapter[Any] = TypeAdapter(Any)


class UnknownTopic(Exception):
    """A stored topic that this version of the code does not know."""


class Cipher(Protocol):
    """Seals under the key of a person; `open` answers None when that key is gone."""

    def seal(self, person: str, context: str, clear: bytes) -> Sealed: ...

    def open(self, sealed: Sealed) -> bytes | None: ...


def seal(event: Event, cipher: Cipher, command_id: UUID) -> Event:
    """Return the event with every personal field sealed; the person is the event's `person`."""
    changes = {}
    for name in event.PERSONAL_FIELDS:
        value = getattr(event, name)
        if value is not None and not isinstance(value, Sealed):
            context = f"{event.TOPIC}/{name}/{command_id}"
            changes[name] = cipher.seal(event.person, context, _to_json(value))  # type: ignore[attr-defined]
    return type(event)(**{**event.__dict__, **changes}) if changes else event


def reveal(value: Any, cipher: Cipher) -> Any:
    """Open a sealed value to plain JSON data; `{"erased": true}` when its key was destroyed."""
    if not isinstance(value, Sealed):
        return value
    clear = cipher.open(value)
    return {"erased": True} if clear is None else json.loads(clear)


def encode(event: Event) -> bytes:
    """UTF-8 JSON of an event whose personal fields are sealed."""
    for name in event.PERSONAL_FIELDS:
        value = getattr(event, name)
        assert value is None or isinstance(value, Sealed), f"{event.TOPIC}.{name} is not sealed"
    return event.__pydantic_serializer__.to_json(event, exclude_none=True)


def decode(topic: str, state: bytes) -> Event:
    """Rebuild an event, old versions through their upcasters. Raises UnknownTopic."""
    if topic in UPCASTERS:
        return _decode_old(topic, json.loads(state))
    if topic not in EVENT_TYPES:
        raise UnknownTopic(topic)
    event: Event = EVENT_TYPES[topic].__pydantic_validator__.validate_json(state)
    return event


def _decode_old(topic: str, data: dict[str, Any]) -> Event:
    while topic in UPCASTERS:
        topic, change = UPCASTERS[topic]
        data = change(data)
    if topic not in EVENT_TYPES:
        raise UnknownTopic(topic)
    return EVENT_TYPES[topic].model_validate_json(json.dumps(data))


def _to_json(value: Any) -> bytes:
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_json(value, exclude_none=True)
    return _clear_json.dump_json(value)
