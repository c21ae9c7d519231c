"""Group commit: runs the commands of one process in batches, one statement for all that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection

from commands.keys import SELECT_KEYS, Vault
from commands.planning import Decided, Entry, Loaded, Outcome, Plan, StaleVersion, replay
from commands.runner import LOAD_ROUNDS_MAX, Needs, outcome, persons
from commands.store import (
    CLAIMS,
    EVENTS_PER_APPEND_MAX,
    LOAD,
    REPEATS,
    Answer,
    Repeat,
    Store,
    Unit,
    notify,
)
from commands.streams import StreamCache, absent, to_look_up
from domain import desk
from domain.message import Attempt, Command, StreamName

BATCH_COMMANDS_MAX = 256
QUEUE_COMMANDS_MAX = 10_000
STREAMS_CACHED_MAX = 50_000
TRIES_MAX = 50  # of one command that other processes keep overtaking
RECONNECT_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 2.0, 2.0, 2.0)  # then Busy
STOP_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # then Busy: a database may be reachable and yet stand still
DOUBTS_MAX = 10  # misses of one command after which its streams are read from the start

T = TypeVar("T")
log = structlog.get_logger()


class Busy(Exception):
    """Not done now, and safe to send again: the database is away, or the queue is full."""


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


class Committer:
    """Gathers commands that wait, decides them on cached states, appends them in one statement.

    One batch is under way at a time, so the process never conflicts with itself; while it is in
    the database, the event loop takes the next requests. The append checks the version of every
    stream that was looked at, so neither an acceptance nor a refusal can rest on a stale cache.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue(QUEUE_COMMANDS_MAX)
        self._cache = StreamCache(store.namespace, STREAMS_CACHED_MAX)
        self._connection: AsyncConnection | None = None
        self._appended = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._notify())]

    async def stop(self) -> None:
        """Answer what was taken in, then stop."""
        worker, notifier = self._tasks
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), STOP_SECONDS)
        worker.cancel()
        # Not cancelled: a connect that is cut off leaves a backend that waits for a password.
        self._stopping = True
        self._appended.set()
        await asyncio.wait([worker, notifier], timeout=STOP_SECONDS)
        if self._connection is not None:
            await self._connection.close()

    async def run(
        self, command: Command, attempt: Attempt, if_match: tuple[StreamName, int] | None = None
    ) -> Outcome:
        """The command's outcome. Raises Rejected, StaleVersion, KeyReused or Busy."""
        waiting = Waiting(command, attempt, if_match)
        waiting.future = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise Busy("too many commands are waiting") from None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await waiting.future
        except TimeoutError:
            raise Busy(f"no answer within {ANSWER_SECONDS:.0f} s") from None

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH_COMMANDS_MAX and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            taken = len(batch)
            # Whoever has gone was told nothing yet, so nothing need be done.
            await self._commit_all([one for one in batch if not one.future.done()])
            for _ in range(taken):
                self._queue.task_done()

    async def _commit_all(self, batch: list[Waiting]) -> None:
        """Until each is answered. What makes a batch fail must not fail its neighbours."""
        while batch:
            try:
                batch = await self._commit(batch)
            except Exception as error:  # noqa: BLE001 (answered to the senders)
                self._cache.clear()
                # What was decided on a state that is behind may fail in any way: once more, afresh.
                if len(batch) == 1 and not isinstance(error, Busy) and batch[0].tries == 0:
                    batch[0].tries += 1
                    continue
                if len(batch) == 1 or isinstance(error, Busy):
                    log.error("commands failed", count=len(batch), error=repr(error))
                    for waiting in batch:
                        waiting.resolve(error)
                    return
                for waiting in batch:
                    if not waiting.future.done():
                        await self._commit_all([waiting])
                return

    async def _commit(self, batch: list[Waiting]) -> list[Waiting]:
        """Decide and append; answer what is settled and return what has to be run again."""
        batch, again = _first_of_each_key(batch)
        plan, overtaken = await self._resiliently(lambda connection: self._plan(connection, batch))
        for part in _parts(plan.units()):
            answers = await self._append([unit for unit, _ in part])
            for (unit, group), answer in zip(part, answers, strict=True):
                again += self._settle(plan, unit, group, answer)
        return overtaken + again

    async def _append(self, units: list[Unit]) -> list[Answer]:
        return await self._resiliently(lambda connection: self._store.aappend(connection, units))

    def _settle(
        self, plan: Plan, unit: Unit, group: list[Decided], answer: Answer
    ) -> list[Waiting]:
        if answer.missed:
            self._forget(unit, group)
        else:
            self._remember(plan, unit)
            if unit.events:
                self._appended.set()
        again = []
        for index, decided in enumerate(group):
            waiting = decided.entry
            assert isinstance(waiting, Waiting)
            if not answer.missed or index in answer.repeats:
                waiting.resolve(outcome(decided, index, answer))
            else:
                again += _retry(waiting)
        return again

    # -- deciding on cached states -----------------------------------------------------------

    async def _plan(
        self, connection: AsyncConnection, batch: list[Waiting]
    ) -> tuple[Plan, list[Waiting]]:
        known: dict[StreamName, Loaded] = {}
        names = await self._load(connection, batch, known)
        unknown = self._vault.unknown(persons(batch, names, known))
        if unknown:
            cursor = await connection.execute(SELECT_KEYS, [unknown])
            self._vault.learn(await cursor.fetchall())
        plan, overtaken = Plan(known, self._vault), []
        stale: list[tuple[Waiting, StaleVersion]] = []
        for waiting, asked in zip(batch, names, strict=True):
            needs = plan.needs(waiting, asked)
            if not needs <= plan.loaded.keys():  # A neighbour's change made it look further.
                overtaken += _retry(waiting)
                continue
            try:
                plan.decide(waiting, needs)
            except StaleVersion as error:
                # Against a neighbour's change that is not stored yet nothing can be said.
                if error.stream in plan.after:
                    overtaken += _retry(waiting)
                else:
                    stale.append((waiting, error))
        if stale:
            await self._answer_stale(connection, stale)
        return plan, overtaken

    async def _answer_stale(
        self, connection: AsyncConnection, stale: list[tuple[Waiting, StaleVersion]]
    ) -> None:
        """What was done under this key already is answered as then: the version that it asks for
        is stale because of itself.
        """
        names = [(waiting.attempt.actor, waiting.attempt.key) for waiting, _ in stale]
        cursor = await connection.execute(REPEATS, [[a for a, _ in names], [k for _, k in names]])
        first = {(actor, key): Repeat(*rest) for actor, key, *rest in await cursor.fetchall()}
        for (waiting, error), name in zip(stale, names, strict=True):
            repeat = first.get(name)
            waiting.resolve(error if repeat is None else replay(waiting.attempt, repeat))

    async def _load(
        self, connection: AsyncConnection, batch: list[Waiting], known: dict[StreamName, Loaded]
    ) -> list[frozenset[StreamName]]:
        for waiting in batch:
            if waiting.if_match is not None:
                self._cache.doubt([waiting.if_match[0]])
            if waiting.tries == 0:
                known.update((name, absent(name)) for name in desk.fresh(waiting.command))
        needs = Needs(batch, known)
        for _ in range(LOAD_ROUNDS_MAX):
            missing = needs.missing()
            if not missing:
                return needs.names
            trusted = self._cache.trusted(missing)
            known |= trusted
            if missing - trusted.keys():
                known |= await self._read(connection, missing - trusted.keys())
        raise AssertionError("streams() keeps asking for more")

    async def _read(
        self, connection: AsyncConnection, names: frozenset[StreamName]
    ) -> dict[StreamName, Loaded]:
        claims, streams = to_look_up(names), self._cache.to_load(names)
        rows: list[Any] = []
        owners: list[Any] = []
        if streams[0]:
            rows = await (await connection.execute(LOAD, streams, binary=True)).fetchall()
        if claims[0]:
            owners = await (await connection.execute(CLAIMS, claims)).fetchall()
        found = self._cache.fold(names, rows, owners)
        self._cache.keep(found)
        return found

    def _remember(self, plan: Plan, unit: Unit) -> None:
        self._vault.stored(person for person, _, _ in unit.keys)
        self._cache.keep({n: plan.after.get(n) or plan.loaded[n] for n in unit.streams})

    def _forget(self, unit: Unit, group: list[Decided]) -> None:
        if max(decided.entry.tries for decided in group) < DOUBTS_MAX:
            self._cache.doubt(unit.streams)
        else:  # What is held may be ahead of the database: it was restored to an earlier time.
            self._cache.drop(unit.streams)
        for person, _, _ in unit.keys:
            self._vault.forget(person)

    # -- the connection ------------------------------------------------------------------------

    async def _resiliently(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run it, on a new connection where the old one is lost. Sending the same units again is
        safe: what was committed unseen is found by its idempotency keys.
        """
        for pause in (*RECONNECT_SECONDS, None):
            try:
                if self._connection is None or self._connection.closed:
                    self._cache.clear()
                    self._connection = await self._store.aconnect(autocommit=True)
                return await work(self._connection)
            except psycopg.OperationalError as error:
                log.warning("database away", error=str(error).strip())
                if pause is None:
                    raise Busy("the database is not reachable") from error
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _notify(self) -> None:
        """Wakes the readers after commits; they also poll, so a lost one is no harm."""
        statement = notify(self._store.channel)
        while not self._stopping:
            try:
                async with await self._store.aconnect(autocommit=True) as connection:
                    while not self._stopping:
                        await self._appended.wait()
                        self._appended.clear()
                        await connection.execute(statement)
            except psycopg.OperationalError:
                await asyncio.sleep(RECONNECT_SECONDS[-1])


def _parts(units: list[tuple[Unit, list[Decided]]]) -> Iterator[list[tuple[Unit, list[Decided]]]]:
    """Units for one call each: its lock is held while all of its events are written."""
    part: list[tuple[Unit, list[Decided]]] = []
    events = 0
    for unit, group in units:
        if part and events + len(unit.events) > EVENTS_PER_APPEND_MAX:
            yield part
            part, events = [], 0
        part.append((unit, group))
        events += len(unit.events)
    if part:
        yield part


def _first_of_each_key(batch: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """Two with one idempotency key in one call would be a unique violation; the second waits."""
    first: dict[tuple[str, str], Waiting] = {}
    for waiting in batch:
        first.setdefault((waiting.attempt.actor, waiting.attempt.key), waiting)
    taken = {id(waiting) for waiting in first.values()}
    return [*first.values()], [waiting for waiting in batch if id(waiting) not in taken]


def _retry(waiting: Waiting) -> list[Waiting]:
    waiting.tries += 1
    if waiting.tries <= TRIES_MAX:
        return [waiting]
    waiting.resolve(Busy(f"overtaken by other writers {TRIES_MAX} times"))
    return []
