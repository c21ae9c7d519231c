"""The call of `ledger_append`: units of events to its arguments, its rows to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any
from uuid import UUID, uuid5

import orjson

from domain import codec
from domain.message import Attempt, Event, StreamName


@dataclass(frozen=True, slots=True)
class Audit:
    """A refusal or a look at personal data, for `ledger_audit`. Facts hold no personal data."""

    kind: str  # `refused`, `viewed`
    command: str
    target: str  # the id it was about
    code: str
    facts: Mapping[str, Any]


@dataclass(slots=True)
class CommandRow:
    """One command of a unit. An outcome of None is answered but not kept."""

    attempt: Attempt
    outcome: str | None
    audit: Audit | None = None


@dataclass(slots=True)
class Unit:
    """Events of one or several commands, accepted or missed as a whole.

    `streams`: version that each stream must still have (0: none) and whether it is written.
    `events`: (index of the command, stream, event with its personal fields sealed), in order.
    """

    streams: dict[StreamName, tuple[int, bool]] = field(default_factory=dict)
    events: list[tuple[int, StreamName, Event]] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    claims: list[tuple[str, str, str]] = field(default_factory=list)
    keys: list[tuple[str, int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Repeat:
    """The first outcome of a command that the ledger has seen before."""

    digest: bytes
    outcome: str
    position: int | None


@dataclass(slots=True)
class Answer:
    """What became of a unit. Accepted when `missed` is empty."""

    positions: dict[int, int | None] = field(default_factory=dict)  # command -> its last position
    repeats: dict[int, Repeat] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)  # `stale`, `claimed`, `key_taken`, `repeated`


@lru_cache(maxsize=100_000)
def stream_id(namespace: UUID, name: StreamName) -> UUID:
    """The key itself for orders and parcels (UUID text), uuid5 of the natural key for the rest."""
    if name.category in ("order", "parcel"):
        return UUID(name.key)
    return uuid5(namespace, f"{name.category}/{name.key}")


# -- columns as array literals, which psycopg would take longer to make than the server to read --


def _texts(values: Sequence[str | None]) -> str:
    if None in values:
        return "{" + ",".join("NULL" if text is None else _quoted(text) for text in values) + "}"
    joined = "\0".join(values)  # type: ignore[arg-type]
    if joined.count("\0") >= len(values):
        raise ValueError("a text with a zero byte cannot be stored")
    return "{" + _quoted(joined).replace("\0", '","') + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bytes(values: Sequence[bytes]) -> str:
    return '{"\\\\x' + '","\\\\x'.join([value.hex() for value in values]) + '"}'


def _uuids(values: Sequence[UUID | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else value.hex for value in values]) + "}"


def _plain(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _times(values: Sequence[Any]) -> str:
    return '{"' + '","'.join(map(str, values)) + '"}'


Column = tuple[str, Callable[[Sequence[Any]], str]]
INT: Column = ("int", _plain)
BOOL: Column = ("bool", _plain)
TEXT: Column = ("text", _texts)
BYTES: Column = ("bytea", _bytes)
ID: Column = ("uuid", _uuids)
TIME: Column = ("timestamptz", _times)

# In the order of the function's parameters, which say what each is.
STREAMS = (INT, ID, TEXT, TEXT, INT, BOOL)
COMMANDS = (INT, TEXT, TEXT, TEXT, BYTES, ID, ID, ID, TEXT)
EVENTS = (INT, INT, TEXT, BYTES, TIME)
CLAIMS = (INT, TEXT, TEXT, TEXT)
KEYS = (INT, TEXT, INT, BYTES)
AUDITS = (INT, TEXT, TEXT, TEXT, TEXT, TEXT)
TABLES = (STREAMS, COMMANDS, EVENTS, CLAIMS, KEYS, AUDITS)
APPEND = "SELECT * FROM ledger_append({})".format(
    ", ".join(f"%s::{kind}[]" for table in TABLES for kind, _ in table)
)


@dataclass(slots=True)
class Rows:
    """The six tables, row by row."""

    streams: list[tuple[Any, ...]] = field(default_factory=list)
    commands: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    claims: list[tuple[Any, ...]] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    audits: list[tuple[Any, ...]] = field(default_factory=list)

    def parameters(self) -> list[str]:
        found: list[str] = []
        tables = (self.streams, self.commands, self.events, self.claims, self.keys, self.audits)
        for rows, columns in zip(tables, TABLES, strict=True):
            if rows:
                values = zip(*rows, strict=True)
                found += [literal(v) for v, (_, literal) in zip(values, columns, strict=True)]
            else:
                found += ["{}"] * len(columns)
        return found


def append_parameters(namespace: UUID, units: Sequence[Unit]) -> list[str]:
    """The arguments of `ledger_append` for these units."""
    rows = Rows()
    for number, unit in enumerate(units):
        places: dict[StreamName, int] = {}
        for name, (expected, written) in unit.streams.items():
            key = stream_id(namespace, name)
            rows.streams.append((number, key, name.category, name.key, expected, written))
            places[name] = len(rows.streams)
        first = len(rows.commands) + 1
        for command, name, event in unit.events:
            place = places.get(name, 0)  # The server refuses an event without its stream.
            rows.events.append((first + command, place, event.TOPIC, codec.encode(event), event.at))
        for row in unit.commands:
            rows.commands.append(_command(number, row))
            if row.audit is not None:
                rows.audits.append(_audit(len(rows.commands), row.audit))
        rows.claims += [(number, *claim) for claim in unit.claims]
        rows.keys += [(number, *key) for key in unit.keys]
    return rows.parameters()


def _command(unit: int, row: CommandRow) -> tuple[Any, ...]:
    one = row.attempt
    ids = (one.command_id, one.correlation_id, one.causation_id)
    return (unit, one.actor, one.origin, one.key, one.digest, *ids, row.outcome)


def _audit(command: int, audit: Audit) -> tuple[Any, ...]:
    facts = orjson.dumps(dict(audit.facts)).decode()
    return (command, audit.kind, audit.command, audit.target, audit.code, facts)


def answers(units: Sequence[Unit], rows: Iterable[tuple[Any, ...]]) -> list[Answer]:
    """Sort the rows of `ledger_append` by unit."""
    found = [Answer() for _ in units]
    firsts = [*accumulate((len(unit.commands) for unit in units), initial=1)]
    for unit, status, command, position, _name, digest, outcome in rows:
        answer = found[unit]
        if status == "accepted":
            answer.positions[command - firsts[unit]] = position
            continue
        answer.missed.append(status)
        if status == "repeated":
            answer.repeats[command - firsts[unit]] = Repeat(bytes(digest), outcome, position)
    return found
