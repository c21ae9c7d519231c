"""Decides the commands of a batch on cached states; what is missing is read for all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from psycopg import AsyncConnection

from commands.append import Repeat, Unit
from commands.keys import SELECT_KEYS, Vault
from commands.link import Busy, Link
from commands.planning import Decided, Entry, Loaded, Outcome, Plan, StaleVersion, replay
from commands.runner import LOAD_ROUNDS_MAX, Needs, persons
from commands.store import CLAIMS, LOAD, REPEATS, Store
from commands.streams import StreamCache, absent, to_look_up
from domain import desk
from domain.message import Attempt, Command, Decision, StreamName

STREAMS_CACHED_MAX = 50_000
TRIES_MAX = 50  # of one command that other processes keep overtaking
DOUBTS_MAX = 10  # misses of one command after which its streams are read from the start

Name = tuple[str, str]  # of an attempt, for ever: actor and idempotency key
Ahead = Mapping[StreamName, Loaded]  # states after commands that are not stored yet


class Waiting(Entry):
    """A command whose sender waits for the outcome."""

    __slots__ = ("future",)

    future: asyncio.Future[Outcome]

    @property
    def name(self) -> Name:
        return self.attempt.actor, self.attempt.key

    def resolve(self, result: Outcome | Exception) -> None:
        if self.future.done():  # The sender has gone; what was recorded stays.
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)

    def retry(self) -> None:
        """It was overtaken: who has no answer when its batch is through, is decided again."""
        self.tries += 1
        if self.tries > TRIES_MAX:
            self.resolve(Busy(f"overtaken by other writers {TRIES_MAX} times"))


@dataclass(slots=True)
class Batch:
    """Commands that are decided together, each on the outcome of those before it."""

    plan: Plan
    waiting: dict[Name, Waiting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preview:
    """The states and versions that a decision would rest on, and the decision, unsealed."""

    states: Mapping[StreamName, Any]
    versions: Mapping[StreamName, int]
    decision: Decision


class Deciding:
    """The states and keys that one process holds, and how its commands are decided on them."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._vault = vault
        self._cache = StreamCache(store.namespace, STREAMS_CACHED_MAX)
        self._reading = Link(store, vault, self._cache.clear)

    def batch(self) -> Batch:
        return Batch(Plan({}, self._vault))

    def clear(self) -> None:
        self._cache.clear()

    async def close(self) -> None:
        await self._reading.close()

    async def preview(self, command: Command, attempt: Attempt) -> Preview:
        """On what is stored. Raises Rejected or Busy."""
        known: dict[StreamName, Loaded] = {}
        # Read on from what is held: others may have been here.
        self._cache.doubt(desk.streams(command, {}))
        [names] = await self._load(self.batch(), [Waiting(command, attempt)], known, {})
        states = {name: known[name][1] for name in names}
        versions = {name: known[name][0] for name in names}
        return Preview(states, versions, desk.decide(command, states))

    async def decide(self, batch: Batch, taken: list[Waiting], ahead: Ahead) -> None:
        """Add the commands to the batch's plan; `ahead`: what the batch before it shall lead to."""
        known: dict[StreamName, Loaded] = {}
        names = await self._load(batch, taken, known, ahead)
        unknown = self._vault.unknown(persons(taken, names, known))
        if unknown:
            self._vault.learn(await self._reading.run(partial(_rows, SELECT_KEYS, [unknown])))
        batch.plan.add(known)
        stale: list[tuple[Waiting, StaleVersion]] = []
        for waiting, asked in zip(taken, names, strict=True):
            needs = batch.plan.needs(waiting, asked)
            if not needs <= batch.plan.loaded.keys():  # A neighbour's change made it look further.
                waiting.retry()
                continue
            try:
                batch.plan.decide(waiting, needs)
            except StaleVersion as error:
                if _is_certain(error, batch.plan, known, ahead):
                    stale.append((waiting, error))
                else:
                    waiting.retry()
        if stale:
            await self._answer_stale(stale)

    async def _answer_stale(self, stale: list[tuple[Waiting, StaleVersion]]) -> None:
        """What was done under this key already is answered as then: the version that it asks for
        is stale because of itself.
        """
        names = [waiting.name for waiting, _ in stale]
        asked = [[actor for actor, _ in names], [key for _, key in names]]
        rows = await self._reading.run(partial(_rows, REPEATS, asked))
        first = {(actor, key): Repeat(*rest) for actor, key, *rest in rows}
        for (waiting, error), name in zip(stale, names, strict=True):
            repeat = first.get(name)
            waiting.resolve(error if repeat is None else replay(waiting.attempt, repeat))

    async def _load(
        self,
        batch: Batch,
        taken: list[Waiting],
        known: dict[StreamName, Loaded],
        ahead: Ahead,
    ) -> list[frozenset[StreamName]]:
        def decided(name: StreamName) -> Loaded | None:
            return batch.plan.after.get(name) or ahead.get(name)

        for waiting in taken:
            if waiting.if_match is not None:
                self._cache.doubt([waiting.if_match[0]])
            if waiting.tries == 0:
                fresh = desk.fresh(waiting.command)
                known.update((name, decided(name) or absent(name)) for name in fresh)
        needs = Needs(taken, known)
        for _ in range(LOAD_ROUNDS_MAX):
            missing = needs.missing()
            if not missing:
                return needs.names
            found = {name: one for name in missing if (one := decided(name))}
            found |= self._cache.trusted(missing - found.keys())
            if missing - found.keys():
                found |= await self._reading.run(partial(self._read, missing - found.keys()))
            known |= found
        raise AssertionError("streams() keeps asking for more")

    async def _read(
        self, names: frozenset[StreamName], connection: AsyncConnection
    ) -> dict[StreamName, Loaded]:
        bases = self._cache.bases(names)
        claims, streams = to_look_up(names), self._cache.to_load(bases)
        rows = await _rows(LOAD, streams, connection, binary=True) if streams[0] else []
        owners = await _rows(CLAIMS, claims, connection) if claims[0] else []
        found = self._cache.fold(bases, rows, owners)
        self._cache.keep(found)
        return found

    def stored(self, units: Iterable[Unit]) -> None:
        """The keys that these units carried are stored with them."""
        self._vault.stored(key for unit in units for key in unit.keys)

    def remember(self, plan: Plan, units: Iterable[Unit]) -> None:
        """The states that accepted units rested on and led to."""
        after, loaded = plan.after, plan.loaded
        self._cache.keep({n: after.get(n) or loaded[n] for unit in units for n in unit.streams})

    def forget(self, unit: Unit, group: list[Decided]) -> None:
        """A unit was missed: others have changed what it rested on."""
        if max(decided.entry.tries for decided in group) < DOUBTS_MAX:
            self._cache.doubt(unit.streams)
        else:  # What is held may be ahead of the database: it was restored to an earlier time.
            self._cache.drop(unit.streams)
        for person, _, _ in unit.keys:
            self._vault.forget(person)


def _is_certain(
    error: StaleVersion, plan: Plan, known: Mapping[StreamName, Loaded], ahead: Ahead
) -> bool:
    """Against a change that is not stored yet nothing can be said, nor against a version that a
    neighbour knew and that was read newer since.
    """
    if error.stream in plan.after or error.stream in ahead:
        return False
    return known[error.stream][0] == plan.loaded[error.stream][0]


async def _rows(
    query: str, values: Any, connection: AsyncConnection, *, binary: bool = False
) -> list[Any]:
    return await (await connection.execute(query.encode(), values, binary=binary)).fetchall()
