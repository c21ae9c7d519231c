"""The one way to run a command: load, decide, append. In batches; committer.py for the API."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from psycopg import Connection

from commands.append import Answer, Repeat
from commands.keys import SELECT_KEYS, Vault
from commands.planning import Decided, Entry, Loaded, Outcome, Plan, replay
from commands.store import CLAIMS, LOAD, REPEATS, Store
from commands.streams import StreamCache, to_look_up
from domain import desk
from domain.message import Attempt, Command, StreamName

LOAD_ROUNDS_MAX = 6  # of "which streams do you need, given these?"
STREAMS_CACHED_MAX = 20_000
CONFLICTS_MAX = 3  # in a row, after which all streams are read from the start


class Conflict(Exception):
    """Another writer was first: roll back and run the whole batch again."""


def digest(key: bytes, request: Any) -> bytes:
    """HMAC over canonical JSON: equal for the same request only."""
    return hmac.digest(key, orjson.dumps(request, option=orjson.OPT_SORT_KEYS), hashlib.sha256)


def persons(
    entries: Iterable[Entry],
    needs: Iterable[frozenset[StreamName]],
    known: Mapping[StreamName, Loaded],
) -> set[str]:
    """Whose keys the batch may seal under."""
    return {
        person
        for entry, names in zip(entries, needs, strict=True)
        for person in desk.persons(entry.command, {name: known[name][1] for name in names})
    }


class Needs:
    """The streams that each command of a batch needs, asked for until nothing is new."""

    def __init__(self, entries: Sequence[Entry], known: dict[StreamName, Loaded]) -> None:
        self.names: list[frozenset[StreamName]] = [frozenset()] * len(entries)
        self._entries = entries
        self._known = known
        self._open = list(range(len(entries)))  # who may need more, once what is missing is there

    def missing(self) -> frozenset[StreamName]:
        """What has to be loaded into `known` before asking again; empty at the end."""
        states = {name: state for name, (_, state) in self._known.items()}
        for index in self._open:
            entry = self._entries[index]
            if self.names[index] and desk.known_at_once(entry.command):
                continue
            names = desk.streams(entry.command, states)
            self.names[index] = names | {entry.if_match[0]} if entry.if_match else names
        known = self._known.keys()
        self._open = [index for index in self._open if not self.names[index] <= known]
        return frozenset().union(*(self.names[index] for index in self._open)) - known


class BatchRunner:
    """Runs commands of a worker in its own transaction, so that its side rows commit with them."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._uncertain: set[str] = set()  # persons whose new key may have been rolled back
        self._cache = StreamCache(store.namespace, STREAMS_CACHED_MAX)
        self._conflicts = 0  # one after the other
        self._made: dict[StreamName, Loaded] = {}  # by the last run, not known to be committed

    def run(
        self, connection: Connection, commands: Sequence[tuple[Command, Attempt]]
    ) -> list[Outcome | Exception]:
        """One outcome per command: an Outcome, Rejected or KeyReused. Raises Conflict.

        The append is the last statement: commit right after. At most 1,000 events a transaction
        are wanted; the caller cuts its batches.
        """
        self._made = {}
        for person in self._uncertain:
            self._vault.forget(person)
        entries = [Entry(command, attempt) for command, attempt in commands]
        repeats = self._repeats(connection, entries)
        fresh = [e for e in entries if (e.attempt.actor, e.attempt.key) not in repeats]
        made = self._append(connection, self._plan(connection, fresh)) if fresh else {}
        return [
            made[id(e)]
            if id(e) in made
            else replay(e.attempt, repeats[e.attempt.actor, e.attempt.key])
            for e in entries
        ]

    def _plan(self, connection: Connection, entries: Sequence[Entry]) -> Plan:
        loaded, needs = self._load(connection, entries)
        unknown = self._vault.unknown(persons(entries, needs, loaded))
        if unknown:
            self._vault.learn(connection.execute(SELECT_KEYS, [unknown]))
        plan = Plan(loaded, self._vault)
        for entry, names in zip(entries, needs, strict=True):
            plan.decide(entry, self._needs(connection, plan, entry, names))
        return plan

    def _needs(
        self, connection: Connection, plan: Plan, entry: Entry, names: frozenset[StreamName]
    ) -> frozenset[StreamName]:
        for _ in range(LOAD_ROUNDS_MAX):
            names = plan.needs(entry, names)
            missing = [name for name in names if name not in plan.loaded]
            if not missing:
                return names
            plan.add(self._read(connection, missing))
        raise AssertionError("streams() keeps asking for more")

    def _repeats(
        self, connection: Connection, entries: Sequence[Entry]
    ) -> dict[tuple[str, str], Repeat]:
        """First outcomes of what is sent again. The append looks again; here it keeps a repeat
        from making the whole batch miss.
        """
        keys = [(entry.attempt.actor, entry.attempt.key) for entry in entries]
        assert len(set(keys)) == len(keys), "an idempotency key stands twice in one batch"
        rows = connection.execute(REPEATS, [[a for a, _ in keys], [k for _, k in keys]])
        return {(actor, key): Repeat(*first) for actor, key, *first in rows}

    def _load(
        self, connection: Connection, entries: Sequence[Entry]
    ) -> tuple[dict[StreamName, Loaded], list[frozenset[StreamName]]]:
        known: dict[StreamName, Loaded] = {}
        needs = Needs(entries, known)
        for _ in range(LOAD_ROUNDS_MAX):
            missing = needs.missing()
            if not missing:
                return known, needs.names
            known |= self._read(connection, missing)
        raise AssertionError("streams() keeps asking for more")

    def _read(
        self, connection: Connection, names: Iterable[StreamName]
    ) -> dict[StreamName, Loaded]:
        trusted = self._cache.trusted(names)
        missing = [name for name in names if name not in trusted]
        bases = self._cache.bases(missing)
        claims, streams = to_look_up(bases), self._cache.to_load(bases)
        rows: Any = connection.execute(LOAD, streams, binary=True) if streams[0] else []
        owners: Any = connection.execute(CLAIMS, claims) if claims[0] else []
        return trusted | self._cache.fold(bases, rows, owners)

    def states(
        self, connection: Connection, names: frozenset[StreamName]
    ) -> dict[StreamName, Loaded]:
        """These streams as they are stored by now, where nothing of them is written in the
        transaction that is open; what then is run on them need not load them again.
        """
        self._cache.doubt(names)
        loaded = self._read(connection, names)
        self._cache.keep(loaded)
        return loaded

    def committed(self) -> None:
        """Say so after the commit: then the next batch need not load these streams again.

        The append checks the version of all that was looked at, so no outcome can rest on a state
        that others have changed since; but a state that was rolled back must never get here.
        """
        self._cache.keep(self._made)
        self._made = {}

    def _append(self, connection: Connection, plan: Plan) -> dict[int, Outcome | Exception]:
        units = plan.units()
        self._uncertain = {person for unit, _ in units for person, _, _ in unit.keys}
        results = self._store.append(connection, [unit for unit, _ in units])
        outcomes: dict[int, Outcome | Exception] = {}
        for (_, group), answer in zip(units, results, strict=True):
            if answer.missed:
                self._conflicts += 1
                if self._conflicts < CONFLICTS_MAX:
                    self._cache.doubt(plan.loaded)
                else:  # What is held may be ahead of the database, restored to an earlier time.
                    self._cache.clear()
                raise Conflict(", ".join(sorted(set(answer.missed))))
            for index, decided in enumerate(group):
                outcomes[id(decided.entry)] = outcome(decided, index, answer)
        self._made = plan.loaded | plan.after
        self._conflicts = 0
        return outcomes


def outcome(decided: Decided, index: int, answer: Answer) -> Outcome | Exception:
    if index in answer.repeats:
        return replay(decided.entry.attempt, answer.repeats[index])
    if decided.refusal is not None:
        return decided.refusal
    return Outcome(decided.body, answer.positions[index])
