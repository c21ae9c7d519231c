"""Takes what the ledger asks of a payment provider to it, and makes facts of what it tells.

Everything may happen twice, and the process may end anywhere: a provider knows an ask by its key,
the ledger a notice by the provider's id, and an order what was applied to it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import structlog
from psycopg import Connection
from pydantic import ValidationError

from commands.append import stream_id
from commands.keys import Vault
from commands.planning import KeyReused, Outcome
from commands.provider import attempt, conflict, named, recording
from commands.runner import BatchRunner, Conflict
from commands.settings import Settings
from commands.store import CLAIMS, STREAM, Store, notify, recorded
from domain import provider as rules
from domain.desk_names import external_ref_claim, order_stream
from domain.message import Attempt, Command, Recorded, Rejected, StreamName
from domain.number import is_number
from domain.provider import Ask, PaymentProvider, Told, notice_stream
from domain.provider_commands import ApplyNotice, Notice, ProviderTerms, SetNoticeAside
from domain.provider_facts import NoticeReceived
from workers.provider_asks import Asks
from workers.provider_links import Directory, Link
from workers.provider_tasks import Task, Tasks

POLL_SECONDS = 0.2
RETRY_SECONDS = 2.0
SENDS_AT_ONCE_MAX = 8
STREAM_EVENTS_MAX = 10_000
CONFLICTS_MAX = 10
ORDER_WAIT = timedelta(hours=72)  # for the order that a notice is about
FACT_WAIT = timedelta(minutes=30)  # for what it builds on: a capture on its authorisation

LEASE = "SELECT pg_try_advisory_lock(hashtextextended('provider.' || %s || '.' || %s, 0))"
PLACED = "SELECT true FROM ledger_event WHERE stream_id = %s LIMIT 1"

log = structlog.get_logger()


class Exchange:
    """One provider and one ledger. Raises psycopg's errors, and OSError of the directory."""

    def __init__(self, settings: Settings, provider: PaymentProvider) -> None:
        self._provider = provider
        self._digest_key = settings.digest_key()
        self._store = Store(settings)
        vault = Vault(settings.name, settings.master_key_bytes())
        self._runner = BatchRunner(self._store, vault)
        self._tasks = Tasks(provider.name, self._store)
        self._asks = Asks(provider.name, self._events)

    def turn(self, connection: Connection) -> int:
        """Once all that is to be done by now; how many things there were.

        The connection must be in autocommit mode.
        """
        done = self._collect(connection) + self._tasks.follow(connection)
        due = self._tasks.due(connection)
        for task in due:
            if task.kind == "notice":
                self._apply(connection, task)
        asks = [task for task in due if task.kind != "notice"]
        self._ask(connection, asks[:SENDS_AT_ONCE_MAX])  # A silent provider must not hold up all.
        return done + len(due)

    # -- notices in ----------------------------------------------------------------------------

    def _collect(self, connection: Connection) -> int:
        files = self._provider.collect()
        for file in files:
            for notice in file.notices:
                self._record(connection, notice)
            self._provider.settle(file)
        return len(files)

    def _record(self, connection: Connection, notice: Notice) -> None:
        name = self._provider.name
        try:
            command = recording(name, notice, datetime.now(UTC))
        except ValidationError as error:
            fields = [".".join(map(str, one["loc"])) for one in error.errors(include_input=False)]
            log.error("a notice cannot be", notice=notice.notice_id, fields=fields)
            return
        outcome = self._run(connection, command, attempt(self._digest_key, name, notice))
        if isinstance(outcome, KeyReused) or getattr(outcome, "code", "") == "notice_differs":
            kept, again = conflict(self._digest_key, name, notice, command.at)
            log.error("a notice was told otherwise", notice=notice.notice_id, kept=kept.notice_id)
            outcome = self._run(connection, kept, again)
        if isinstance(outcome, Exception):
            log.error("a notice was refused", notice=notice.notice_id, refusal=str(outcome))

    def _apply(self, connection: Connection, task: Task) -> None:
        """Wait for its order, and for what it builds on; but not for ever."""
        events = self._events(connection, notice_stream(self._provider.name, task.id))
        told = Told()
        for one in events:
            told = rules.evolve(told, one.event)
        if told.notice is None or told.status != "received":
            self._tasks.done(connection, task)
            return
        order_id = told.order_id or self._order_of(connection, told.notice)
        command = self._command(told.notice, order_id, datetime.now(UTC) - task.since)
        if command is None:
            self._tasks.later(connection, task)
            return
        name = f"{task.id}#{len(events)}.{task.tries}"
        request = command.model_dump(mode="json", exclude={"at"})
        outcome = self._run(
            connection, command, named(self._digest_key, self._provider.name, name, request)
        )
        if isinstance(outcome, Exception):
            self._tasks.later(connection, task)
        else:
            self._tasks.done(connection, task)
            self._tasks.wake(connection, [told.notice.order_ref, order_id or ""])

    def _command(
        self, notice: NoticeReceived, order_id: str | None, waited: timedelta
    ) -> Command | None:
        ids = {"provider": notice.provider, "notice_id": notice.notice_id}
        at = datetime.now(UTC)
        if order_id is not None:
            return ApplyNotice(**ids, order_id=order_id, final=waited > FACT_WAIT, at=at)
        return SetNoticeAside(**ids, at=at) if waited > ORDER_WAIT else None

    def _order_of(self, connection: Connection, notice: NoticeReceived) -> str | None:
        """By id, by number, by external reference; None while there is no such order."""
        text = notice.order_ref
        claims = [external_ref_claim(notice.shop, text)]
        if is_number(text):
            claims.append(StreamName("claim:order_number", text))
        kinds = [name.category.removeprefix("claim:") for name in claims]
        keys = [name.key for name in claims]
        owners = [row[2] for row in connection.execute(CLAIMS, [kinds, keys])]
        if owners:
            return str(owners[0])
        try:
            stream = stream_id(self._store.namespace, order_stream(text))
        except ValueError:
            return None
        found = connection.execute(PLACED, [stream]).fetchone()
        return str(stream) if found else None

    # -- asks out ------------------------------------------------------------------------------

    def _ask(self, connection: Connection, tasks: list[Task]) -> None:
        asked: list[tuple[Task, Ask]] = []
        for task in tasks:
            asks = self._asks_of(connection, task)
            if asks:
                asked += [(task, ask) for ask in asks]
            else:
                self._tasks.done(connection, task)
        if not asked:
            return
        with ThreadPoolExecutor(SENDS_AT_ONCE_MAX) as pool:
            answers = list(pool.map(self._send, [ask for _, ask in asked]))
        for (task, _), answer in zip(asked, answers, strict=True):
            if answer is not None:
                self._record(connection, answer)
            if answer is not None and task.kind == "void":
                self._tasks.done(connection, task)
            else:
                self._tasks.later(connection, task)

    def _asks_of(self, connection: Connection, task: Task) -> list[Ask]:
        """For a refund the ledger is told first: whoever wants to settle it otherwise has to wait.

        [] where nothing is to be asked of this provider any more.
        """
        opening = self._asks.opening(connection, task, datetime.now(UTC))
        if opening is not None:
            command, name = opening
            request = command.model_dump(mode="json", exclude={"at"})
            outcome = self._run(
                connection, command, named(self._digest_key, self._provider.name, name, request)
            )
            if isinstance(outcome, Rejected):
                log.warning("not paid out", refund=task.id, refusal=str(outcome))
                return []
        return self._asks.of(connection, task)

    def _send(self, ask: Ask) -> Notice | None:
        try:
            return self._provider.ask(ask)
        except OSError as error:
            # Perhaps it was done: the same key is asked for again.
            log.warning("unknown whether done", ask=ask.kind, key=ask.key, error=str(error))
            return None

    # -- the ledger ----------------------------------------------------------------------------

    def _events(self, connection: Connection, stream: StreamName) -> list[Recorded]:
        name = stream_id(self._store.namespace, stream)
        rows = connection.execute(STREAM, [name, 0, STREAM_EVENTS_MAX], binary=True)
        return [recorded(row) for row in rows]

    def _run(
        self, connection: Connection, command: Command, name: Attempt
    ) -> Outcome | Rejected | KeyReused:
        for _ in range(CONFLICTS_MAX):
            try:
                with connection.transaction():
                    (outcome,) = self._runner.run(connection, [(command, name)])
            except Conflict:
                continue
            self._runner.committed()
            connection.execute(notify(self._store.channel))
            assert isinstance(outcome, Outcome | Rejected | KeyReused)
            return outcome
        raise Conflict(f"{CONFLICTS_MAX} times in a row")


def run(settings: Settings, stop: threading.Event) -> None:
    """All providers of the settings, each in a thread, until told to stop."""
    threads = [
        threading.Thread(target=_exchange, args=(settings, name, terms, stop), name=name)
        for name, terms in settings.providers.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _exchange(settings: Settings, name: str, terms: ProviderTerms, stop: threading.Event) -> None:
    """Lost servers are tried again for ever."""
    directory = Directory(directory_of(settings, name, terms))
    with closing(Link(name, terms, directory)) as link:
        while not stop.is_set():
            try:
                _session(settings, link, stop)
            except (psycopg.Error, OSError, Conflict) as error:
                log.warning("provider exchange interrupted", provider=name, error=repr(error))
                stop.wait(RETRY_SECONDS)


def directory_of(settings: Settings, name: str, terms: ProviderTerms) -> Path:
    return terms.path or settings.var_path / "providers" / name


def _session(settings: Settings, link: Link, stop: threading.Event) -> None:
    store = Store(settings)
    exchange = Exchange(settings, link)
    with store.connect(autocommit=True) as connection:
        while not _leased(connection, store, link.name):
            if stop.wait(RETRY_SECONDS):
                return
        while not stop.is_set():
            if not exchange.turn(connection):
                stop.wait(POLL_SECONDS)


def _leased(connection: Connection, store: Store, name: str) -> bool:
    """One worker per provider; the lease ends with its connection, however that ends."""
    row = connection.execute(LEASE, [store.channel, name]).fetchone()
    return row == (True,)
