"""Takes requests for fapiao (发票) and red letters (红冲) to a tax provider, and back its answers.

Follows the ledger from a place that is kept beside the provider's files. Everything may happen
twice: a provider knows a request by its id, the ledger a command by its key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import psycopg
import structlog
from psycopg import Connection

from commands.append import stream_id
from commands.keys import SELECT_KEYS, Vault
from commands.runner import BatchRunner, Conflict, digest
from commands.settings import Settings
from commands.store import STREAM, Store, recorded
from domain import codec, order_fold
from domain.desk_names import order_stream
from domain.fapiao import FapiaoAnswer, FapiaoOrder, FapiaoProvider
from domain.invoice_commands import RecordFapiao, RecordFapiaoRefusal
from domain.invoice_facts import (
    FapiaoRequested,
    FapiaoReversalRequested,
    OrderCredited,
    OrderInvoiced,
)
from domain.message import Attempt, Command, Event, Recorded, Sealed
from domain.order_state import Order
from workers.fapiao_files import DirectoryProvider, retried, write_whole

BATCH_EVENTS_MAX = 5_000
STREAM_EVENTS_MAX = 10_000  # of one order
POLL_SECONDS = 5.0
CONFLICTS_MAX = 10

log = structlog.get_logger()


class Exchange:
    """One provider and one ledger. Raises psycopg's errors, and OSError of the provider."""

    def __init__(self, settings: Settings, provider: FapiaoProvider, place: Path) -> None:
        self._settings = settings
        self._provider = provider
        self._place = place
        self._store = Store(settings)
        self._vault = Vault(settings.name, settings.master_key_bytes())
        self._runner = BatchRunner(self._store, self._vault)

    def turn(self, connection: Connection) -> int:
        """Hand in what was asked since the last turn, record what was answered; how many of both.

        The connection must be in autocommit mode.
        """
        return self._submit_new(connection) + self._record_answers(connection)

    def _submit_new(self, connection: Connection) -> int:
        submitted, after = 0, self._position()
        while batch := self._store.feed(connection, after, BATCH_EVENTS_MAX):
            for one in batch:
                if one.topic in {FapiaoRequested.TOPIC, FapiaoReversalRequested.TOPIC}:
                    submitted += self._submit(connection, one)
            after = batch[-1].position
            write_whole(self._place, str(after).encode())
        return submitted

    def _position(self) -> int:
        """Without the file all is handed in again, which changes nothing."""
        return int(self._place.read_text()) if self._place.exists() else 0

    def _submit(self, connection: Connection, request: Recorded) -> int:
        events = self._events(connection, request.key)
        order = self._order(connection, request.event, events)
        if order is None:
            return 0
        self._provider.submit(order)
        return 1

    def _events(self, connection: Connection, order_id: str) -> list[Event]:
        stream = stream_id(self._store.namespace, order_stream(order_id))
        rows = connection.execute(STREAM, [stream, 0, STREAM_EVENTS_MAX], binary=True)
        return [recorded(row).event for row in rows]

    def _order(
        self, connection: Connection, request: Event, events: Sequence[Event]
    ) -> FapiaoOrder | None:
        """What to hand in; None where it was answered, or the person was erased meanwhile."""
        asked = _asked(request, events)
        state = _state(events)
        known = state.papers.fapiao[asked.fapiao_id]
        paper = _paper(request, asked, events)
        red = isinstance(request, FapiaoReversalRequested)
        answered = known.red_letters.get(paper.number) if red else known.number
        title = self._clear(connection, asked.title)
        if answered is not None or title is None or not paper.seller.tax_id:
            return None
        return FapiaoOrder(
            request_id=_request_id(state.order_id, request, events),
            kind=asked.kind,
            seller_tax_id=paper.seller.tax_id,
            title=title,
            tax_id=self._clear(connection, asked.tax_id),
            email=self._clear(connection, asked.email),
            paper_number=paper.number,
            lines=tuple(paper.lines),
            rates=tuple(paper.rates),
            total_minor=paper.total_minor,
            reverses=known.number if red else None,
        )

    def _clear(self, connection: Connection, value: str | Sealed | None) -> str | None:
        if isinstance(value, Sealed):
            # Anew each time: a key that was destroyed since must not be remembered.
            vault = Vault(self._settings.name, self._settings.master_key_bytes())
            vault.learn(connection.execute(SELECT_KEYS, [[value.person]]))
            opened = codec.reveal(value, vault)
            return opened if isinstance(opened, str) else None
        return value

    def _record_answers(self, connection: Connection) -> int:
        answers = self._provider.collect()
        for answer in answers:
            command = _command(answer, self._provider.name, datetime.now(UTC))
            outcome = self._run(connection, command, self._attempt(answer))
            if isinstance(outcome, Exception):
                log.warning("answer refused", request=answer.request_id, refusal=str(outcome))
            self._provider.settle(answer.request_id)
        return len(answers)

    def _run(self, connection: Connection, command: Command, attempt: Attempt) -> object:
        for _ in range(CONFLICTS_MAX):
            try:
                with connection.transaction():
                    (outcome,) = self._runner.run(connection, [(command, attempt)])
            except Conflict:
                continue
            self._runner.committed()
            return outcome
        raise Conflict(f"{CONFLICTS_MAX} times in a row")

    def _attempt(self, answer: FapiaoAnswer) -> Attempt:
        """By what was answered, so that the same answer is one command for ever."""
        said = answer.refused or answer.fapiao_number
        key = f"{answer.request_id}/{said}"
        return Attempt(
            actor=f"fapiao/{self._provider.name}",
            origin="fapiao",
            command_id=uuid5(NAMESPACE_URL, key),
            correlation_id=uuid5(NAMESPACE_URL, answer.request_id),
            causation_id=None,
            key=key,
            digest=digest(self._settings.digest_key(), [answer.request_id, said]),
        )


def _request_id(order_id: str, request: Event, events: Iterable[Event]) -> str:
    """`order/fapiao`, and for a red letter `/n/credit note`, the n-th time that it is asked for."""
    if isinstance(request, FapiaoReversalRequested):
        same = (e for e in events if isinstance(e, FapiaoReversalRequested) and e.at <= request.at)
        times = sum(1 for one in same if one.credit_number == request.credit_number)
        return f"{order_id}/{request.fapiao_id}/{times}/{request.credit_number}"
    return f"{order_id}/{request.fapiao_id}"  # type: ignore[attr-defined]


def _asked(request: Event, events: Iterable[Event]) -> FapiaoRequested:
    if isinstance(request, FapiaoRequested):
        return request
    assert isinstance(request, FapiaoReversalRequested)
    found = (event for event in events if isinstance(event, FapiaoRequested))
    return next(event for event in found if event.fapiao_id == request.fapiao_id)


def _paper(
    request: Event, asked: FapiaoRequested, events: Iterable[Event]
) -> OrderInvoiced | OrderCredited:
    number = asked.invoice_number
    if isinstance(request, FapiaoReversalRequested):
        number = request.credit_number
    papers = (event for event in events if isinstance(event, OrderInvoiced | OrderCredited))
    return next(paper for paper in papers if paper.number == number)


def _state(events: Iterable[Event]) -> Order:
    state = Order()
    for event in events:
        state = order_fold.evolve(state, event)
    return state


def _command(answer: FapiaoAnswer, provider: str, at: datetime) -> Command:
    order_id, fapiao_id, *red = answer.request_id.split("/", 3)
    ids = {
        "order_id": order_id,
        "fapiao_id": fapiao_id,
        "credit_number": red[1] if red else None,
        "provider": provider,
        "at": at,
    }
    if answer.refused is not None:
        return RecordFapiaoRefusal.model_validate(ids | {"code": answer.refused})
    said = {
        "fapiao_number": answer.fapiao_number,
        "issue_date": answer.issue_date,
        "file_digest": answer.file_digest,
        "media_type": answer.media_type,
    }
    return RecordFapiao.model_validate(ids | said)


def run(settings: Settings, stop: threading.Event) -> None:
    """Until told to stop. A lost database or directory is tried again at the next turn."""
    directory = settings.fapiao_path
    retried(lambda: directory.mkdir(parents=True, exist_ok=True))
    exchange = Exchange(settings, DirectoryProvider(directory), directory / "position")
    store = Store(settings)
    while not stop.is_set():
        try:
            with store.connect(autocommit=True) as connection:
                while not stop.wait(POLL_SECONDS):
                    exchange.turn(connection)
        except (psycopg.OperationalError, OSError) as error:
            log.warning("fapiao exchange interrupted", error=type(error).__name__)
            stop.wait(POLL_SECONDS)
