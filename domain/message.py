"""What both sides of the ledger speak: events, commands, metadata, recorded facts, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

T = TypeVar("T")


class StreamName(NamedTuple):
    """One aggregate's stream: a category (`order`, `parcel`, `stock_item`, `customer`) and a key.

    UUID text for orders and parcels, `sku@location` for stock, the customer's id for customers.
    """

    category: str
    key: str


class Made(BaseModel):
    """What deciders make of validated commands: checked by mypy, and validated when it is read.

    To validate it when it is made as well would take longer than to decide.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    _TEMPLATE: ClassVar[dict[str, Any]] = {}  # name -> default, in order
    _REQUIRED: ClassVar[frozenset[str]] = frozenset()
    _EMPTY: ClassVar[tuple[tuple[str, Any], ...]] = ()  # name -> what makes its default

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._TEMPLATE = {
            name: None if field.is_required() else field.get_default()
            for name, field in cls.model_fields.items()
        }
        cls._REQUIRED = frozenset(n for n, field in cls.model_fields.items() if field.is_required())
        cls._EMPTY = tuple(
            (name, field.default_factory)
            for name, field in cls.model_fields.items()
            if field.default_factory is not None
        )

    if not TYPE_CHECKING:

        def __init__(self, /, **values: Any) -> None:
            fields = {**self._TEMPLATE, **values}
            if len(fields) != len(self._TEMPLATE) or not values.keys() >= self._REQUIRED:
                super().__init__(**values)  # Says which.
            for name, make in self._EMPTY:
                if name not in values:
                    fields[name] = make()
            _set(self, "__dict__", fields)
            _set(self, "__pydantic_fields_set__", set())
            _set(self, "__pydantic_extra__", None)
            _set(self, "__pydantic_private__", None)

        # So that pydantic itself, which makes what it reads, does not come by here.
        __init__.__pydantic_base_init__ = True


_set = object.__setattr__


class Sealed(Made):
    """A personal value, readable only with the key of the person it is about.

    `sealed` is base64 of nonce and AES-256-GCM ciphertext of the value's JSON. The value can be
    copied into another event (before and after): what it is bound to travels with it.
    """

    sealed: str
    person: str
    key: int  # version of the person's key
    context: str  # topic, field and command id of the first sealing; bound by the cipher


class _Personal:
    """Marks a field of an event as personal: clear from `decide`, sealed before it is stored."""


PERSONAL = _Personal()
# The clear value, or its sealed form. Events, states and read models outside the two edges
# only ever hold the sealed form.
Personal = Annotated[T | Sealed, PERSONAL]


class Event(Made):
    """A recorded fact in the past tense. The topic is its storage name and never changes."""

    TOPIC: ClassVar[str] = ""
    PERSONAL_FIELDS: ClassVar[tuple[str, ...]] = ()

    at: AwareDatetime  # when it was true, UTC

    def __init_subclass__(cls, topic: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, topic: str = "", **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if topic in EVENT_TYPES:
            raise TypeError(f"topic {topic} is taken by {EVENT_TYPES[topic].__name__}")
        cls.TOPIC = topic
        cls.PERSONAL_FIELDS = tuple(
            name
            for name, field in cls.model_fields.items()
            if PERSONAL in field.metadata or _is_personal(field.annotation)
        )
        if cls.PERSONAL_FIELDS and "person" not in cls.model_fields:
            raise TypeError(f"{cls.__name__} has personal fields but does not say about whom")
        EVENT_TYPES[topic] = cls


def _is_personal(annotation: Any) -> bool:
    """Also finds the mark inside `Personal[X] | None`."""
    if PERSONAL in getattr(annotation, "__metadata__", ()):
        return True
    return any(_is_personal(part) for part in get_args(annotation))


EVENT_TYPES: dict[str, type[Event]] = {}  # topic -> class


class Command(BaseModel):
    """A request that may be refused. Identifiers and the time are chosen before it is decided."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    at: AwareDatetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who sent a command, why, and under which name: the metadata of every event it leads to."""

    actor: str  # opaque id, never a name
    origin: str  # `api`, `tracking`, `import`, …
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None  # command id or event's command id that led to this one
    key: str  # idempotency key, unique per actor for ever
    digest: bytes  # HMAC of the canonical request: another body under the same key is refused


class _Recorded(NamedTuple):
    position: int  # gap-free over the whole ledger, from 1
    stream_id: UUID
    version: int  # gap-free in its stream, from 1
    category: str
    key: str
    topic: str  # the event's, also where an older version of it is stored
    decode: Callable[[], Event]
    recorded_at: datetime  # when the ledger learned it, UTC
    actor: str
    origin: str
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None


class Recorded(_Recorded):
    """One event as the ledger holds it, decoded when it is first asked for.

    Readers pass over most events by their topic. A tuple, because a frozen dataclass of so many
    fields takes longer to make than most events to decode.
    """

    @cached_property
    def event(self) -> Event:
        """Raises pydantic's ValidationError for a state that is none of its topic."""
        return self.decode()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command makes true: events per stream, and natural keys claimed for ever.

    A claim (kind, key, owner) is written in the transaction of the append and refused there when
    another owner has it: order numbers, external references, tracking numbers.
    """

    events: Mapping[StreamName, list[Event]]
    claims: tuple[tuple[str, str, str], ...] = ()
    states: Mapping[StreamName, Any] = field(default_factory=dict)  # after the events


class Rejected(Exception):
    """A rule refused a command. `code` is stable; `facts` are the numbers and what is allowed."""

    def __init__(self, code: str, message: str = "", **facts: Any) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.facts = facts
