"""Commands and loaded states to units of events: the pure half of the runner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from commands.append import Audit, CommandRow, Repeat, Unit
from commands.keys import Vault
from domain import codec, desk
from domain.message import Attempt, Command, Decision, Event, Rejected, StreamName

Loaded = tuple[int, Any]  # version and state; claims have version 0 and their owner


class StaleVersion(Exception):
    """The caller's If-Match names another version than the stream has."""

    def __init__(self, stream: StreamName, expected: int, actual: int) -> None:
        super().__init__(f"stale_version: {expected} expected, {actual} found")
        self.stream, self.expected, self.actual = stream, expected, actual


class KeyReused(Exception):
    """The idempotency key was used before for another request."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to. `position` is None where nothing was recorded."""

    body: Mapping[str, Any]
    position: int | None
    repeated: bool = False


@dataclass(slots=True)
class Entry:
    """One command on its way. `if_match`: version that its first stream must have."""

    command: Command
    attempt: Attempt
    if_match: tuple[StreamName, int] | None = None
    tries: int = 0


@dataclass(slots=True)
class Decided:
    """A command with its events sealed, or its refusal, and the streams that it looked at."""

    entry: Entry
    reads: frozenset[StreamName]
    events: Mapping[StreamName, list[Event]] = field(default_factory=dict)
    claims: tuple[tuple[str, str, str], ...] = ()
    persons: set[str] = field(default_factory=set)  # under whose keys it sealed
    body: dict[str, Any] = field(default_factory=dict)
    refusal: Rejected | None = None

    @property
    def writes(self) -> set[Any]:
        """Streams, claims and persons' keys, which may be new."""
        claims = (claim_name(kind, key) for kind, key, _ in self.claims)
        return {*self.events, *claims, *(("person", person) for person in self.persons)}


def claim_name(kind: str, key: str) -> StreamName:
    return StreamName(f"claim:{kind}", key)


class Plan:
    """Decides commands one after the other, each on the outcome of those before it."""

    def __init__(self, loaded: Mapping[StreamName, Loaded], vault: Vault) -> None:
        self.loaded: dict[StreamName, Loaded] = {}
        self.after: dict[StreamName, Loaded] = {}
        self.decided: list[Decided] = []
        self._now: dict[StreamName, Any] = {}  # states as they are after what was decided
        self._vault = vault
        self._reveal = partial(codec.reveal, cipher=vault)
        self.add(loaded)

    def add(self, loaded: Mapping[StreamName, Loaded]) -> None:
        """Streams that were loaded later; what was decided here meanwhile stands."""
        for name, (version, state) in loaded.items():
            self.loaded.setdefault(name, (version, state))
            self._now.setdefault(name, state)

    def needs(self, entry: Entry, names: frozenset[StreamName]) -> frozenset[StreamName]:
        """What the command needs by now, `names` having been asked for before anything was decided:
        those before it may have changed what it looks at. What is not loaded has to be added.
        """
        if desk.known_at_once(entry.command) or self.after.keys().isdisjoint(names):
            return names
        return names | desk.streams(entry.command, self._now)

    def decide(self, entry: Entry, names: frozenset[StreamName]) -> None:
        """Add the command's events or its refusal. Raises StaleVersion."""
        if entry.if_match is not None:
            stream, expected = entry.if_match
            if self._at(stream)[0] != expected:
                raise StaleVersion(stream, expected, self._at(stream)[0])
        decided = Decided(entry, names)
        seal = partial(codec.seal, cipher=self._vault, command_id=entry.attempt.command_id)
        try:
            states = {name: self._now[name] for name in names}
            decision = desk.decide(entry.command, states, seal, self._reveal)
        except Rejected as refusal:
            decided.refusal = refusal
        else:
            self._take(decided, decision)
        self.decided.append(decided)

    def _take(self, decided: Decided, decision: Decision) -> None:
        """Keep what the facts lead to for the commands that follow."""
        states, versions = decision.states, {name: self._at(name)[0] for name in decided.reads}
        for name, made in decision.events.items():
            versions[name] += len(made)
            self._keep(name, versions[name], states[name])
            for event in made:
                if event.PERSONAL_FIELDS:
                    decided.persons.add(event.person)  # type: ignore[attr-defined]
        decided.events, decided.claims = decision.events, decision.claims
        for kind, key, owner in decided.claims:
            self._keep(claim_name(kind, key), 0, owner)
        decided.body = desk.answer(decided.entry.command, states, versions, self._reveal)

    def _keep(self, name: StreamName, version: int, state: Any) -> None:
        self.after[name] = (version, state)
        self._now[name] = state

    def _at(self, name: StreamName) -> Loaded:
        return self.after.get(name) or self.loaded[name]

    def units(self) -> list[tuple[Unit, list[Decided]]]:
        """Commands that share what one of them writes leave together: one was decided on the
        outcome of the other, and a stream may stand in one unit of a call only.
        """
        return [(self._unit(group), group) for group in _groups(self.decided)]

    def _unit(self, group: list[Decided]) -> Unit:
        unit = Unit()
        for index, decided in enumerate(group):
            unit.commands.append(_row(decided))
            unit.claims += decided.claims
            for name in decided.reads:
                if not name.category.startswith("claim:"):
                    written = name in decided.events or unit.streams.get(name, (0, False))[1]
                    unit.streams[name] = (self.loaded[name][0], written)
            for name, made in decided.events.items():
                unit.events += [(index, name, event) for event in made]
        unit.keys = self._vault.minted(person for decided in group for person in decided.persons)
        return unit


def _groups(decided: list[Decided]) -> list[list[Decided]]:
    """Union-find over what they write and read."""
    writes = [one.writes for one in decided]
    written = set().union(*writes)
    leader: dict[Any, int] = {}
    parent = list(range(len(decided)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for index, (one, own) in enumerate(zip(decided, writes, strict=True)):
        for thing in (own | one.reads) & written:
            parent[root(index)] = root(leader.setdefault(thing, index))
    groups: dict[int, list[Decided]] = {}
    for index, one in enumerate(decided):
        groups.setdefault(root(index), []).append(one)
    return list(groups.values())


def _row(decided: Decided) -> CommandRow:
    attempt, refusal = decided.entry.attempt, decided.refusal
    if refusal is None:
        return CommandRow(attempt, orjson.dumps({"body": decided.body}).decode())
    audit = Audit(
        "refused",
        type(decided.entry.command).__name__,
        desk.target(decided.entry.command),
        refusal.code,
        refusal.facts,
    )
    return CommandRow(attempt, refusal_json(refusal) if kept_for_ever(refusal) else None, audit)


def not_found(refusal: Rejected) -> bool:
    return refusal.code.endswith("_not_found")


def kept_for_ever(refusal: Rejected) -> bool:
    """Whether the same attempt is refused again, whatever has changed. Not where something does not
    exist, which it may later; nor where all numbers drawn were taken: the next try draws others;
    nor what was not complete, which is put right and sent again under the same name.
    """
    return not not_found(refusal) and refusal.code not in desk.NOT_FOR_EVER


def refusal_json(refusal: Rejected) -> str:
    return json.dumps(
        {"code": refusal.code, "message": refusal.message, "facts": refusal.facts}, default=str
    )


def replay(attempt: Attempt, repeat: Repeat) -> Outcome | Exception:
    """The first outcome again; raises nothing, so that a batch can go on."""
    if repeat.digest != attempt.digest:
        return KeyReused(attempt.key)
    outcome = json.loads(repeat.outcome)
    if "code" in outcome:
        return Rejected(outcome["code"], outcome["message"], **outcome["facts"])
    return Outcome(outcome["body"], repeat.position, repeated=True)
