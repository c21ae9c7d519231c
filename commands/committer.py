"""Group commit: runs the commands of one process in batches, one statement for all that wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection

from commands.append import Answer, Repeat, Unit
from commands.keys import SELECT_KEYS, Vault
from commands.link import RECONNECT_SECONDS, Busy, Link
from commands.planning import Decided, Entry, Loaded, Outcome, Plan, StaleVersion, replay
from commands.runner import LOAD_ROUNDS_MAX, Needs, outcome, persons
from commands.store import CLAIMS, EVENTS_PER_APPEND_MAX, LOAD, REPEATS, Store, notify
from commands.streams import StreamCache, absent, to_look_up
from domain import desk
from domain.message import Attempt, Command, Decision, StreamName

BATCH_COMMANDS_MAX = 256
QUEUE_COMMANDS_MAX = 10_000
HALVED_COMMANDS_MIN = 8  # fewer are served faster together
STREAMS_CACHED_MAX = 50_000
TRIES_MAX = 50  # of one command that other processes keep overtaking
STOP_SECONDS = 10.0
NOTIFY_PAUSE_SECONDS = 0.01
ANSWER_SECONDS = 30.0  # then Busy: a database may be reachable and yet stand still
DOUBTS_MAX = 10  # misses of one command after which its streams are read from the start

Name = tuple[str, str]  # of an attempt, for ever: actor and idempotency key
Group = tuple[Unit, list[Decided]]  # what leaves together, and the commands that it is made of
log = structlog.get_logger()

__all__ = ["Busy", "Committer", "Preview"]


class Waiting(Entry):
    """A command whose sender waits for the outcome."""

    __slots__ = ("future",)

    future: asyncio.Future[Outcome]

    def resolve(self, result: Outcome | Exception) -> None:
        if self.future.done():  # The sender has gone; what was recorded stays.
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)

    def expire(self) -> None:
        self.resolve(Busy(f"no answer within {ANSWER_SECONDS:.0f} s"))


@dataclass(frozen=True, slots=True)
class Preview:
    """The states and versions that a decision would rest on, and the decision, unsealed."""

    states: Mapping[StreamName, Any]
    versions: Mapping[StreamName, int]
    decision: Decision


@dataclass(slots=True)
class Batch:
    """Commands that are decided together, each on the outcome of those before it."""

    plan: Plan
    waiting: dict[Name, Waiting] = field(default_factory=dict)
    again: list[Waiting] = field(default_factory=list)  # to be decided after this batch


class Committer:
    """Gathers commands that wait, decides them on cached states, appends them in one statement.

    One batch is in the database at a time, so the process never conflicts with itself. Meanwhile
    the next is decided on what that one shall lead to, and once more where it did not. The append
    checks the version of every stream that was looked at, so neither an acceptance nor a refusal
    can rest on a stale cache.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._queue: deque[Waiting] = deque()
        self._cache = StreamCache(store.namespace, STREAMS_CACHED_MAX)
        self._next = self._batch()
        self._sent = self._batch()
        self._append: asyncio.Task[list[Answer]] | None = None  # of the batch that is sent
        self._landed = 0  # commands of the batch before it
        self._groups: list[Group] = []  # of the batch that is sent
        self._news = asyncio.Event()  # a command came, or the append is through
        self._idle = asyncio.Event()
        self._idle.set()
        self._appended = asyncio.Event()
        self._writing = Link(store, self._cache.clear)
        self._reading = Link(store, self._cache.clear)
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._notify())]

    async def stop(self) -> None:
        """Answer what was taken in, then stop."""
        worker, notifier = self._tasks
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        worker.cancel()
        # Not cancelled: a connect that is cut off leaves a backend that waits for a password.
        self._stopping = True
        self._appended.set()
        await asyncio.wait([worker, notifier], timeout=STOP_SECONDS)
        await self._writing.close()
        await self._reading.close()

    def _busy(self) -> bool:
        return bool(self._queue or self._next.waiting or self._sent.waiting)

    async def run(
        self, command: Command, attempt: Attempt, if_match: tuple[StreamName, int] | None = None
    ) -> Outcome:
        """The command's outcome. Raises Rejected, StaleVersion, KeyReused or Busy."""
        if len(self._queue) >= QUEUE_COMMANDS_MAX:
            raise Busy("too many commands are waiting")
        loop = asyncio.get_running_loop()
        waiting = Waiting(command, attempt, if_match)
        waiting.future = loop.create_future()
        self._queue.append(waiting)
        self._idle.clear()
        self._news.set()
        expiry = loop.call_later(ANSWER_SECONDS, waiting.expire)
        try:
            return await waiting.future
        finally:
            expiry.cancel()

    async def preview(self, command: Command, attempt: Attempt) -> Preview:
        """What the command would come to by now. Nothing is recorded. Raises Rejected or Busy."""
        known: dict[StreamName, Loaded] = {}
        waiting = Waiting(command, attempt)
        # Read on from what is held: others may have been here.
        self._cache.doubt(desk.streams(command, {}))
        [names] = await self._load(self._batch(), [waiting], known)
        states = {name: known[name][1] for name in names}
        versions = {name: known[name][0] for name in names}
        return Preview(states, versions, desk.decide(command, states))

    # -- one batch decided while the other is in the database ----------------------------------

    def _batch(self) -> Batch:
        return Batch(Plan({}, self._vault))

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._append is not None and self._append.done():
                await self._land(self._append)
            taken = self._take()
            if taken:
                try:
                    await self._decide(self._next, taken)
                except Exception as error:  # noqa: BLE001 (answered to the senders)
                    failed, self._next = self._next, self._batch()
                    if self._append is not None:
                        await asyncio.wait([self._append])
                        await self._land(self._append)
                    await self._one_by_one(failed, error)
            if self._append is None:
                self._send()
                if self._queue:
                    self._news.set()
            if not self._busy():
                self._idle.set()

    def _take(self) -> list[Waiting]:
        """Who joins the next batch. Whoever has gone was told nothing yet, so nothing need be done.

        Two with one idempotency key in one call would be a unique violation: the second waits.
        """
        taken, later, batch = [], [], self._next.waiting
        room = BATCH_COMMANDS_MAX
        if self._append is not None and len(self._queue) < len(self._sent.waiting):
            return []  # There is time: what they need is read for many at once.
        if self._append is None and len(self._queue) >= max(HALVED_COMMANDS_MIN, self._landed):
            # All that were answered came back at once. While the first half is in the database, the
            # other is decided, and from then on they take turns.
            room = len(self._queue) // 2
        while self._queue and len(batch) < min(room, BATCH_COMMANDS_MAX):
            waiting = self._queue.popleft()
            name = (waiting.attempt.actor, waiting.attempt.key)
            if waiting.future.done():
                continue
            if name in batch or name in self._sent.waiting:
                later.append(waiting)
                continue
            batch[name] = waiting
            taken.append(waiting)
        self._queue.extendleft(reversed(later))
        return taken

    def _send(self) -> None:
        """Let the next batch go; nothing must be under way."""
        if not self._next.waiting:
            return
        if any(waiting.future.done() for waiting in self._next.waiting.values()):
            self._decide_again()  # without those who have gone
        batch, self._next = self._next, self._batch()
        if batch.plan.decided:
            self._sent, self._groups = batch, batch.plan.units()
            self._append = asyncio.create_task(self._append_all(self._groups))
            self._append.add_done_callback(lambda _: self._news.set())
        elif batch.again:
            self._queue_first(batch.again)

    def _decide_again(self) -> None:
        batch, self._next = self._next, self._batch()
        self._queue_first(batch.waiting.values())

    def _queue_first(self, waiting: Iterable[Waiting]) -> None:
        self._queue.extendleft(reversed([*waiting]))
        if self._queue:
            self._news.set()

    async def _append_all(self, groups: list[Group]) -> list[Answer]:
        found: list[Answer] = []
        for part in _parts(groups):
            units = [unit for unit, _ in part]
            found += await self._writing.run(partial(self._store.aappend, units=units))
        return found

    async def _land(self, append: asyncio.Task[list[Answer]]) -> None:
        batch, groups = self._sent, self._groups
        self._landed = len(batch.waiting)
        self._sent, self._groups, self._append = self._batch(), [], None
        error = append.exception()
        if error is not None or any(answer.missed for answer in append.result()):
            self._decide_again()
        else:
            self._send()  # First of all: the database shall not wait for the answers.
            await asyncio.sleep(0)
        if error is not None:
            assert isinstance(error, Exception)
            await self._one_by_one(batch, error)
        else:
            self._settle(batch, groups, append.result())
            self._queue_first(batch.again)

    def _settle(self, batch: Batch, groups: list[Group], answers: list[Answer]) -> None:
        settled = [*zip(groups, answers, strict=True)]
        self._remember(batch.plan, [unit for (unit, _), answer in settled if not answer.missed])
        for (unit, group), answer in settled:
            if answer.missed:
                self._forget(unit, group)
            for index, decided in enumerate(group):
                waiting = decided.entry
                assert isinstance(waiting, Waiting)
                if not answer.missed or index in answer.repeats:
                    waiting.resolve(outcome(decided, index, answer))
                else:
                    batch.again += _retry(waiting)

    async def _one_by_one(self, batch: Batch, error: Exception) -> None:
        """What makes a batch fail must not fail its neighbours."""
        self._cache.clear()
        for waiting in batch.waiting.values():
            if isinstance(error, Busy):
                waiting.resolve(error)
            while not waiting.future.done():
                await self._alone(waiting)

    async def _alone(self, waiting: Waiting) -> None:
        batch = self._batch()
        try:
            await self._decide(batch, [waiting])
            groups = batch.plan.units()
            self._settle(batch, groups, await self._append_all(groups))
        except Exception as error:  # noqa: BLE001 (answered to the sender)
            self._cache.clear()
            # What was decided on a state that is behind may fail in any way: once more, afresh.
            if waiting.tries > 0 or isinstance(error, Busy):
                log.error("command failed", error=repr(error))
                waiting.resolve(error)
            waiting.tries += 1

    # -- deciding on cached states -----------------------------------------------------------

    async def _decide(self, batch: Batch, taken: list[Waiting]) -> None:
        known: dict[StreamName, Loaded] = {}
        names = await self._load(batch, taken, known)
        unknown = self._vault.unknown(persons(taken, names, known))
        if unknown:
            self._vault.learn(await self._reading.run(partial(_rows, SELECT_KEYS, [unknown])))
        batch.plan.add(known)
        stale: list[tuple[Waiting, StaleVersion]] = []
        for waiting, asked in zip(taken, names, strict=True):
            needs = batch.plan.needs(waiting, asked)
            if not needs <= batch.plan.loaded.keys():  # A neighbour's change made it look further.
                batch.again += _retry(waiting)
                continue
            try:
                batch.plan.decide(waiting, needs)
            except StaleVersion as error:
                # Against a neighbour's change that is not stored yet nothing can be said.
                if error.stream in batch.plan.after or error.stream in self._sent.plan.after:
                    batch.again += _retry(waiting)
                else:
                    stale.append((waiting, error))
        if stale:
            await self._answer_stale(stale)

    async def _answer_stale(self, stale: list[tuple[Waiting, StaleVersion]]) -> None:
        """What was done under this key already is answered as then: the version that it asks for
        is stale because of itself.
        """
        names = [(waiting.attempt.actor, waiting.attempt.key) for waiting, _ in stale]
        asked = [[actor for actor, _ in names], [key for _, key in names]]
        rows = await self._reading.run(partial(_rows, REPEATS, asked))
        first = {(actor, key): Repeat(*rest) for actor, key, *rest in rows}
        for (waiting, error), name in zip(stale, names, strict=True):
            repeat = first.get(name)
            waiting.resolve(error if repeat is None else replay(waiting.attempt, repeat))

    async def _load(
        self, batch: Batch, taken: list[Waiting], known: dict[StreamName, Loaded]
    ) -> list[frozenset[StreamName]]:
        for waiting in taken:
            if waiting.if_match is not None:
                self._cache.doubt([waiting.if_match[0]])
            if waiting.tries == 0:
                fresh = desk.fresh(waiting.command)
                known.update((name, self._decided(batch, name) or absent(name)) for name in fresh)
        needs = Needs(taken, known)
        for _ in range(LOAD_ROUNDS_MAX):
            missing = needs.missing()
            if not missing:
                return needs.names
            found = {name: one for name in missing if (one := self._decided(batch, name))}
            found |= self._cache.trusted(missing - found.keys())
            if missing - found.keys():
                found |= await self._reading.run(partial(self._read, missing - found.keys()))
            known |= found
        raise AssertionError("streams() keeps asking for more")

    def _decided(self, batch: Batch, name: StreamName) -> Loaded | None:
        """As it shall be after the commands before, which are not stored yet."""
        return batch.plan.after.get(name) or self._sent.plan.after.get(name)

    async def _read(
        self, names: frozenset[StreamName], connection: AsyncConnection
    ) -> dict[StreamName, Loaded]:
        claims, streams = to_look_up(names), self._cache.to_load(names)
        rows = await _rows(LOAD, streams, connection, binary=True) if streams[0] else []
        owners = await _rows(CLAIMS, claims, connection) if claims[0] else []
        found = self._cache.fold(names, rows, owners)
        self._cache.keep(found)
        return found

    def _remember(self, plan: Plan, units: list[Unit]) -> None:
        self._vault.stored(person for unit in units for person, _, _ in unit.keys)
        after, loaded = plan.after, plan.loaded
        self._cache.keep({n: after.get(n) or loaded[n] for unit in units for n in unit.streams})
        if any(unit.events for unit in units):
            self._appended.set()

    def _forget(self, unit: Unit, group: list[Decided]) -> None:
        if max(decided.entry.tries for decided in group) < DOUBTS_MAX:
            self._cache.doubt(unit.streams)
        else:  # What is held may be ahead of the database: it was restored to an earlier time.
            self._cache.drop(unit.streams)
        for person, _, _ in unit.keys:
            self._vault.forget(person)

    async def _notify(self) -> None:
        """Wakes the readers after commits; they also poll, so a lost one is no harm."""
        statement = notify(self._store.channel)
        while not self._stopping:
            try:
                async with await self._store.aconnect(autocommit=True) as connection:
                    # It stores nothing, but would wait for the disk like any other commit.
                    await connection.execute("SET synchronous_commit = off")
                    while not self._stopping:
                        await self._appended.wait()
                        self._appended.clear()
                        await connection.execute(statement)
                        await asyncio.sleep(NOTIFY_PAUSE_SECONDS)
            except psycopg.OperationalError:
                await asyncio.sleep(RECONNECT_SECONDS[-1])


async def _rows(
    query: str, values: Any, connection: AsyncConnection, *, binary: bool = False
) -> list[Any]:
    return await (await connection.execute(query.encode(), values, binary=binary)).fetchall()


def _parts(groups: list[Group]) -> Iterator[list[Group]]:
    """Units for one call each: its lock is held while all of its events are written."""
    part: list[Group] = []
    events = 0
    for unit, group in groups:
        if part and events + len(unit.events) > EVENTS_PER_APPEND_MAX:
            yield part
            part, events = [], 0
        part.append((unit, group))
        events += len(unit.events)
    if part:
        yield part


def _retry(waiting: Waiting) -> list[Waiting]:
    waiting.tries += 1
    if waiting.tries <= TRIES_MAX:
        return [waiting]
    waiting.resolve(Busy(f"overtaken by other writers {TRIES_MAX} times"))
    return []
