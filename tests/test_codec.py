"""Events to JSON and back: golden files of every topic version, upcasters, what is refused.

A golden file is what some version of this code stored. It is never edited: when a test here fails,
the code must learn to read it (a default for the new field, or a new version and an upcaster).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from domain import codec, desk_names
from domain.message import EVENT_TYPES, Event, Sealed
from domain.order_commands import NoteBody
from domain.order_facts import OrderNoted, OrderPlaced
from domain.payment_commands import PaymentBody
from domain.values import Contact, Identifier, LongText, Text
from tests.given import NOON, after
from tests.given_orders import place

GOLDEN = Path(__file__).parent / "golden" / "events"
# Test modules may define topics of their own; those of the ledger come from its domain.
TOPICS = sorted(t for t, cls in EVENT_TYPES.items() if cls.__module__.startswith("domain."))


def golden(topic: str) -> Any:
    return json.loads((GOLDEN / f"{topic}.json").read_text(encoding="utf-8"))


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf by its path, with its type: `lines.0.quantity` -> `Decimal 2.5`."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    items = list(value.items()) if isinstance(value, dict) else None
    items = list(enumerate(value)) if isinstance(value, list) else items
    if not items:
        text = value.isoformat() if isinstance(value, datetime) else str(value)
        kind = "datetime" if isinstance(value, datetime) else type(value).__name__
        yield path, f"{kind} {text}"
    for name, part in items or []:
        yield from flat(part, f"{path}.{name}" if path else str(name))


@pytest.mark.parametrize("topic", TOPICS)
def test_todays_code_reads_what_was_stored(topic: str) -> None:
    """covers: L9: one golden file per topic version, decoded and compared field by field."""
    assert (GOLDEN / f"{topic}.json").exists(), f"{topic} needs a golden file"
    for case in golden(topic):
        event = codec.decode(topic, json.dumps(case["stored"]).encode())
        assert dict(flat(event)) == case["read"]
        assert topic == event.TOPIC


@pytest.mark.parametrize("topic", sorted(codec.UPCASTERS))
def test_what_an_older_version_stored_says_the_same_today(topic: str) -> None:
    """covers: L9"""
    for case in golden(topic):
        event = codec.decode(topic, json.dumps(case["stored"]).encode())
        assert case["read"].items() <= dict(flat(event)).items()


def test_every_golden_file_can_be_read() -> None:
    """A topic that was stored once stays: as a class, or in the upcasters."""
    stored = {path.name.removesuffix(".json") for path in GOLDEN.iterdir()}
    assert stored <= EVENT_TYPES.keys() | codec.UPCASTERS.keys()


@pytest.mark.parametrize("topic", TOPICS)
def test_an_unknown_field_is_refused(topic: str) -> None:
    """covers: L10: nothing is stored or read that the topic does not define."""
    stored = golden(topic)[0]["stored"] | {"surprise": 1}
    with pytest.raises(ValidationError, match="surprise"):
        codec.decode(topic, json.dumps(stored).encode())


@pytest.mark.parametrize("topic", TOPICS)
def test_a_missing_field_is_refused(topic: str) -> None:
    with pytest.raises(ValidationError):
        codec.decode(topic, b"{}")


def test_an_unknown_topic_is_named() -> None:
    with pytest.raises(codec.UnknownTopic, match=r"order\.invented\.v1"):
        codec.decode("order.invented.v1", b"{}")


def test_an_old_version_is_read_through_its_upcasters(monkeypatch: pytest.MonkeyPatch) -> None:
    """covers: L9: step by step, from a made-up v0 whose field had another name."""
    steps: dict[str, tuple[str, codec.Upcast]] = {
        "order.approved.v-1": ("order.approved.v0", lambda old: {"who": "operator", **old}),
        "order.approved.v0": (
            "order.approved.v1",
            lambda old: {"by": old["who"], "at": old["at"]},
        ),
    }
    for topic, step in steps.items():
        monkeypatch.setitem(codec.UPCASTERS, topic, step)
    stored = json.dumps({"at": NOON.isoformat()}).encode()
    event = codec.decode("order.approved.v-1", stored)
    assert event == EVENT_TYPES["order.approved.v1"](at=NOON, by="operator")  # type: ignore[call-arg]
    monkeypatch.setitem(codec.UPCASTERS, "order.gone.v0", ("order.gone.v1", lambda old: old))
    with pytest.raises(codec.UnknownTopic, match=r"order\.gone\.v1"):
        codec.decode("order.gone.v0", b"{}")


# --- every event survives the codec

_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(-(10**15), 10**15),
    bool: st.booleans(),
    Decimal: st.integers(0, 10**9).map(lambda thousandths: Decimal(thousandths) / 1000),
    date: st.dates(),
    datetime: st.datetimes(timezones=st.just(UTC)),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold once it is stored: personal ones sealed."""
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if annotation in _BY_TYPE:
        return _BY_TYPE[annotation]
    if annotation is NoneType:
        return st.none()
    if origin in {Union, UnionType}:
        return st.one_of(*map(values, _stored(arguments)))
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(_TEXT, _JSON, max_size=2)
    if origin is Literal:
        return st.sampled_from(arguments)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    return values(arguments[0]) if arguments else _BY_TYPE[datetime]  # Annotated; AwareDatetime


def _stored(alternatives: tuple[Any, ...]) -> list[Any]:
    """Of a personal value, the clear alternative is never stored."""
    personal = any(Sealed in (part, *get_args(part)) for part in alternatives)
    return [part for part in alternatives if not personal or part in {Sealed, NoneType}] or [Sealed]


def models(cls: type[BaseModel]) -> st.SearchStrategy[Any]:
    fields = {name: values(field.annotation) for name, field in cls.model_fields.items()}
    return st.builds(cls, **fields)


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_event_survives_the_codec(topic: str, data: st.DataObject) -> None:
    event = data.draw(models(EVENT_TYPES[topic]))
    stored = codec.encode(event)
    again = codec.decode(topic, stored)
    assert again == event
    assert codec.encode(again) == stored


# --- sealing


class BoxCipher:
    """Hides nothing: tells what was sealed for whom. The real one is tested with the vault."""

    def seal(self, person: str, context: str, clear: bytes) -> Sealed:
        text = base64.b64encode(clear).decode()
        return Sealed(sealed=text, person=person, key=1, context=context)

    def open(self, sealed: Sealed) -> bytes | None:
        return None if sealed.person == "erased" else base64.b64decode(sealed.sealed)


def test_personal_fields_are_sealed_for_their_person_and_read_again() -> None:
    command_id = uuid4()
    placed = after(place(note="Ring twice")).world.events[desk_names.order_stream("A")][0]
    sealed = codec.seal(placed, BoxCipher(), command_id)
    assert isinstance(sealed, OrderPlaced)
    assert isinstance(sealed.contact, Sealed)
    assert isinstance(sealed.note, Sealed)
    assert sealed.billing_address is None
    assert sealed.contact.context == f"order.placed.v4/contact/{command_id}"
    assert b"Li Wei" not in codec.encode(sealed)
    contact = codec.reveal(sealed.contact, BoxCipher())
    assert contact == {"name": "Li Wei", "email": "li@example.com"}
    assert codec.reveal(sealed.note, BoxCipher()) == "Ring twice"
    gone = sealed.contact.model_copy(update={"person": "erased"})
    assert codec.reveal(gone, BoxCipher()) == {"erased": True}
    assert codec.seal(sealed, BoxCipher(), uuid4()) == sealed


def test_a_clear_personal_field_is_never_encoded() -> None:
    note = OrderNoted(person="customer/li", note_id="N", text="Ring twice", at=NOON)
    with pytest.raises(AssertionError, match=r"order\.noted\.v1\.text is not sealed"):
        codec.encode(note)


# --- text that cannot be stored


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800b", "\udfff"])
@pytest.mark.parametrize("kind", [Text, LongText, Identifier])
def test_text_that_cannot_be_stored_is_refused(bad: str, kind: Any) -> None:
    """covers: L10: U+0000 and lone surrogates, in every kind of text."""
    with pytest.raises(ValidationError, match=r"must not contain|unicode string"):
        TypeAdapter(kind).validate_python(bad)


def test_a_body_names_the_field_that_cannot_be_stored() -> None:
    with pytest.raises(ValidationError, match="text"):
        NoteBody(text="a\x00")
    with pytest.raises(ValidationError, match="payer"):
        PaymentBody(method="alipay", amount_minor=1, reference="r", payer="\ud800")
    with pytest.raises(ValidationError, match="name"):
        Contact(name="\x00")


# --- topics


def test_a_topic_is_one_events() -> None:
    with pytest.raises(TypeError, match="is taken by OrderNoted"):

        class Again(Event, topic="order.noted.v1"):
            pass


def test_an_event_with_personal_fields_says_about_whom() -> None:
    for cls in EVENT_TYPES.values():
        assert not cls.PERSONAL_FIELDS or "person" in cls.model_fields
