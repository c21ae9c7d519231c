"""Group commit: runs the commands of one process in batches, one statement for all that wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import psycopg
import structlog

from commands.append import Answer, Unit
from commands.deciding import Batch, Deciding, Name, Preview, Waiting
from commands.keys import Vault
from commands.link import RECONNECT_SECONDS, Busy, Link
from commands.planning import Decided, KeyReused, Outcome
from commands.runner import outcome
from commands.store import EVENTS_PER_APPEND_MAX, Store, notify
from domain.message import Attempt, Command, Rejected, StreamName

BATCH_COMMANDS_MAX = 256
QUEUE_COMMANDS_MAX = 10_000
HALVED_COMMANDS_MIN = 8  # fewer are served faster together
ANSWERED_MAX = 10_000  # outcomes that are held for who sends the same again
STOP_SECONDS = 10.0
NOTIFY_PAUSE_SECONDS = 0.01
ANSWER_SECONDS = 30.0  # then Busy: a database may be reachable and yet stand still

Group = tuple[Unit, list[Decided]]  # what leaves together, and the commands that it is made of
log = structlog.get_logger()

__all__ = ["Busy", "Committer", "Preview"]


class Sent:
    """The batch that is in the database."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.groups: list[Group] = batch.plan.units()
        self.append: asyncio.Task[list[Answer]]
        self.settled = False


class Committer:
    """Gathers commands that wait, decides them on cached states, appends them in one statement.

    One batch is in the database at a time, so the process never conflicts with itself. Meanwhile
    the next is decided on what that one shall lead to, and once more where it did not. The append
    checks the version of every stream that was looked at, so neither an acceptance nor a refusal
    can rest on a stale cache.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._deciding = Deciding(store, vault)
        self._writing = Link(store, vault, self._begin_anew)
        self._queue: deque[Waiting] = deque()
        self._next = self._deciding.batch()
        self._sent: Sent | None = None
        self._landed = 0  # commands of the batch before the one that is sent
        self._answered: OrderedDict[Name, tuple[bytes, Outcome | Rejected]] = OrderedDict()
        self._reads = False  # while the next batch is decided, which may have to read
        self._news = asyncio.Event()  # a command came, or the append is through
        self._idle = asyncio.Event()
        self._idle.set()
        self._appended = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._notify())]

    async def stop(self) -> None:
        """Answer what was taken in, then stop. What is left by then is answered Busy."""
        worker, notifier = self._tasks
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        ending = [worker, *([self._sent.append] if self._sent else [])]
        for task in ending:
            task.cancel()
        # Not cancelled: a connect that is cut off leaves a backend that waits for a password.
        self._stopping = True
        self._appended.set()
        await asyncio.wait([*ending, notifier], timeout=STOP_SECONDS)
        await self._writing.close()
        await self._deciding.close()
        for waiting in self._taken_in():
            waiting.resolve(Busy("the process ends"))

    def _taken_in(self) -> list[Waiting]:
        sent = self._sent.batch.waiting.values() if self._sent else ()
        return [*sent, *self._next.waiting.values(), *self._queue]

    def _begin_anew(self) -> None:
        """Before a new connection: what is held may be ahead of a server that was restored."""
        self._deciding.clear()
        self._answered.clear()

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
        expiry = loop.call_later(ANSWER_SECONDS, _expire, waiting)
        try:
            return await waiting.future
        finally:
            expiry.cancel()

    async def preview(self, command: Command, attempt: Attempt) -> Preview:
        """What the command would come to by now. Nothing is recorded. Raises Rejected or Busy."""
        return await self._deciding.preview(command, attempt)

    # -- one batch is decided while the other is in the database -------------------------------

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._turn()
            except Exception as error:  # noqa: BLE001 (answered to the senders)
                await self._recover(error)
            if not self._taken_in():
                self._idle.set()

    async def _turn(self) -> None:
        if self._sent is not None and self._sent.append.done():
            await self._land(self._sent)
        taken = self._take()
        if taken:
            ahead = self._sent.batch.plan.after if self._sent else {}
            self._reads = True
            try:
                await self._deciding.decide(self._next, taken, ahead)
            finally:
                self._reads = False
        if self._sent is None:
            self._send()
            if self._queue:
                self._news.set()

    def _take(self) -> list[Waiting]:
        """Who joins the next batch. Whoever has gone was told nothing yet, so nothing need be done.

        Two with one idempotency key in one call would be a unique violation: the second waits.
        """
        taken: list[Waiting] = []
        later: list[Waiting] = []
        sent = self._sent.batch.waiting if self._sent else {}
        batch = self._next.waiting
        room = BATCH_COMMANDS_MAX
        if self._sent is not None and len(self._queue) < len(sent):
            return []  # There is time: what they need is read for many at once.
        if self._sent is None and len(self._queue) >= max(HALVED_COMMANDS_MIN, self._landed):
            # All that were answered came back at once. While the first half is in the database, the
            # other is decided, and from then on they take turns.
            room = len(self._queue) // 2
        while self._queue and len(batch) < min(room, BATCH_COMMANDS_MAX):
            waiting = self._queue.popleft()
            if waiting.future.done() or self._is_repeat(waiting):
                continue
            if waiting.name in batch or waiting.name in sent:
                later.append(waiting)
                continue
            batch[waiting.name] = waiting
            taken.append(waiting)
        self._queue.extendleft(reversed(later))
        return taken

    def _is_repeat(self, waiting: Waiting) -> bool:
        """Answers who sends the same again. The append would find it too, but all that leaves with
        it would have to be decided again.
        """
        known = self._answered.get(waiting.name)
        if known is None:
            return False
        digest, first = known
        if digest != waiting.attempt.digest:
            waiting.resolve(KeyReused(waiting.attempt.key))
        elif isinstance(first, Rejected):
            waiting.resolve(Rejected(first.code, first.message, **first.facts))
        else:
            waiting.resolve(replace(first, repeated=True))
        return True

    def _send(self) -> None:
        """Let the next batch go; nothing must be under way."""
        if not self._next.waiting:
            return
        if _given_up(self._next):
            self._decide_again()
        batch, self._next = self._next, self._deciding.batch()
        if batch.plan.decided:
            self._sent = sent = Sent(batch)
            sent.append = asyncio.create_task(self._append_all(sent.groups))
            sent.append.add_done_callback(partial(self._through, sent))
        else:
            self._queue_first(batch.waiting.values())

    def _decide_again(self) -> None:
        batch, self._next = self._next, self._deciding.batch()
        self._queue_first(batch.waiting.values())

    def _queue_first(self, waiting: Iterable[Waiting]) -> None:
        self._queue.extendleft(reversed([one for one in waiting if not one.future.done()]))
        if self._queue:
            self._news.set()

    async def _append_all(self, groups: list[Group]) -> list[Answer]:
        found: list[Answer] = []
        for part in _parts(groups):
            units = [unit for unit, _ in part]
            found += await self._writing.run(partial(self._store.aappend, units=units))
        return found

    def _through(self, sent: Sent, append: asyncio.Task[list[Answer]]) -> None:
        """The append is through. Who waits for it shall not wait for what the next batch reads."""
        self._news.set()
        if self._reads and not append.cancelled() and append.exception() is None:
            self._settle(sent, append.result())

    async def _land(self, sent: Sent) -> None:
        """Raises what made the append fail."""
        answers = sent.append.result()
        self._landed, self._sent = len(sent.batch.waiting), None
        if any(answer.missed for answer in answers):
            self._decide_again()
        else:
            self._deciding.stored(unit for unit, _ in sent.groups)
            self._send()  # First of all: the database shall not wait for the answers.
            await asyncio.sleep(0)
        try:
            self._settle(sent, answers)
        finally:
            self._queue_first(sent.batch.waiting.values())  # those without an answer

    def _settle(self, sent: Sent, answers: list[Answer]) -> None:
        """Answer the senders, and keep the states that are stored now. Once."""
        if sent.settled:
            return
        sent.settled = True
        settled = [*zip(sent.groups, answers, strict=True)]
        accepted = [unit for (unit, _), answer in settled if not answer.missed]
        self._deciding.stored(accepted)
        self._deciding.remember(sent.batch.plan, accepted)
        if any(unit.events for unit in accepted):
            self._appended.set()
        for (unit, group), answer in settled:
            if answer.missed:
                self._deciding.forget(unit, group)
            for index, decided in enumerate(group):
                waiting = decided.entry
                assert isinstance(waiting, Waiting)
                if not answer.missed or index in answer.repeats:
                    kept = index in answer.repeats or unit.commands[index].outcome is not None
                    self._answer(waiting, outcome(decided, index, answer), kept=kept)
                else:
                    waiting.retry()

    def _answer(self, waiting: Waiting, result: Outcome | Exception, *, kept: bool) -> None:
        waiting.resolve(result)
        if kept and isinstance(result, Outcome | Rejected):
            self._answered[waiting.name] = (waiting.attempt.digest, result)
            if len(self._answered) > ANSWERED_MAX:
                self._answered.popitem(last=False)

    # -- what makes a batch fail must not fail its neighbours ----------------------------------

    async def _recover(self, error: Exception) -> None:
        """Each by itself, then on as before."""
        failed, self._next = [*self._next.waiting.values()], self._deciding.batch()
        if self._sent is not None:
            sent = self._sent
            await asyncio.wait([sent.append])
            self._sent = None
            if sent.append.exception() is None:
                self._settle(sent, sent.append.result())
            failed = [*sent.batch.waiting.values(), *failed]
        self._deciding.clear()
        for waiting in failed:
            if isinstance(error, Busy):
                waiting.resolve(error)
            while not waiting.future.done():
                await self._alone(waiting)

    async def _alone(self, waiting: Waiting) -> None:
        batch = self._deciding.batch()
        try:
            await self._deciding.decide(batch, [waiting], {})
            sent = Sent(batch)
            self._settle(sent, await self._append_all(sent.groups))
        except Exception as error:  # noqa: BLE001 (answered to the sender)
            self._deciding.clear()
            # What was decided on a state that is behind may fail in any way: once more, afresh.
            if waiting.tries > 0 or isinstance(error, Busy):
                log.error("command failed", error=repr(error))
                waiting.resolve(error)
            waiting.tries += 1

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


def _expire(waiting: Waiting) -> None:
    waiting.resolve(Busy(f"no answer within {ANSWER_SECONDS:.0f} s"))


def _given_up(batch: Batch) -> bool:
    """Whether most of whom something was decided for were answered Busy meanwhile. Who left by
    himself does not count: deciding again would take longer than to let it go.
    """
    futures = [one.entry.future for one in batch.plan.decided if isinstance(one.entry, Waiting)]
    return sum(one.done() and not one.cancelled() for one in futures) * 2 > len(futures)


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
