"""Brings real history into the ledger: `ledger import`, from the neutral format or another reader.

A record is one order with all its facts and goes in whole. Its idempotency key is its source and
reference, so an import may be stopped at any moment and run again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
import psycopg
import structlog
from psycopg import Connection

from commands.append import Unit
from commands.settings import Settings
from commands.store import Store, notify
from workers.import_batch import ORIGIN, Batch, Item, Preparer
from workers.import_reading import Found, Unreadable, read_file

EVENTS_PER_APPEND_MAX = 1_000
APPENDS_UNDER_WAY_MAX = 2
TRIES_MAX = 10  # of an append that other writers or a lost connection spoilt
RETRY_SECONDS = 0.5  # times the number of the try
EXAMPLES_MAX = 20  # per kind, in the summary; the report lists all

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: orders of the source seen, events appended, share of the source."""

    orders: int
    events: int
    share: float


@dataclass(slots=True)
class Kind:
    """How many orders are irregular in one way, and the references of the first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """What came of an import. `report` lists every irregular order and unreadable place."""

    source: str
    report: Path
    orders: int = 0  # imported now
    events: int = 0
    known: int = 0  # imported before, unchanged
    irregular: dict[str, Kind] = field(default_factory=dict)
    unreadable_count: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)  # the first
    seconds: float = 0.0
    stopped: bool = False  # by Ctrl-C: run it again to go on

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


class ImportFailed(Exception):
    """The ledger did not take a batch, however often it was tried."""


Tell = Callable[[Progress], None]


def import_file(settings: Settings, path: Path, progress: Tell, actor: str = ORIGIN) -> Summary:
    """Import a file of the neutral format, one JSON object a line, gzipped if it ends in .gz.

    Raises OSError when it cannot be opened, ImportFailed when the ledger does not take it.
    """
    with path.open("rb"):  # Says at once what is wrong with the path.
        pass
    return run_import(settings, str(path), read_file(path), progress, actor)


def run_import(
    settings: Settings,
    source: str,
    found: Iterable[tuple[float, Found]],
    progress: Tell,
    actor: str = ORIGIN,
) -> Summary:
    """Import what a reader finds: pairs of the share of the source read so far, and a record or
    an unreadable place. Ctrl-C ends it orderly: what was appended is complete.
    """
    report = settings.var_path / "imports" / f"{Path(source).name}.report.jsonl"
    report.parent.mkdir(parents=True, exist_ok=True)
    started, summary, share = time.monotonic(), Summary(source, report), 0.0
    with report.open("wb") as lines, Importer(settings, summary, lines, actor) as importer:
        try:
            for share, one in found:
                importer.take(one)
                if importer.moved:
                    importer.moved = False
                    progress(Progress(importer.seen, summary.events, share))
            importer.finish()
            share = 1.0
        except KeyboardInterrupt:
            importer.settle()
            summary.stopped = True
    summary.seconds = time.monotonic() - started
    progress(Progress(importer.seen, summary.events, share))
    return summary


class Appender:
    """Appends units one after the other. After one that was not accepted it takes no more until
    it is told to: a later unit may hold values sealed under a key that the lost one carried.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: Connection | None = None
        self.broken = False

    def append(self, unit: Unit) -> bool:
        """Whether the unit was committed as far as we know."""
        if self.broken or not unit.commands:
            return not self.broken
        try:
            if self._connection is None:
                self._connection = self._store.connect()
            missed = self._store.append(self._connection, [unit])[0].missed
            if missed:
                log.info("import overtaken", missed=sorted(set(missed)))
            else:
                self._connection.commit()
                return True
        except psycopg.OperationalError as error:
            log.warning("import interrupted", error=str(error).strip())
        self.broken = True
        self.close()
        return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Importer:
    """Gathers records into batches, prepares one while PostgreSQL takes the one before."""

    def __init__(self, settings: Settings, summary: Summary, report: IO[bytes], actor: str) -> None:
        self.summary = summary
        self.seen = 0
        self.moved = False
        self._settings = settings
        self._report = report
        self._actor = actor
        self._store = Store(settings)
        self._items: list[Item] = []
        self._events = 0
        self._under_way: deque[tuple[Batch, Future[bool]]] = deque()
        self._exits = ExitStack()

    def __enter__(self) -> Importer:
        self._preparer = self._exits.enter_context(closing(Preparer(self._settings, self._actor)))
        self._appender = Appender(self._store)
        self._exits.callback(self._appender.close)
        # Leaving waits for the append that is under way.
        self._executor = self._exits.enter_context(ThreadPoolExecutor(1, "import"))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def take(self, found: Found) -> None:
        if isinstance(found, Unreadable):
            self._unreadable(found)
            return
        record = found[2]
        events = record.events_max
        if self._items and self._events + events > EVENTS_PER_APPEND_MAX:
            self._send()
        self._items.append(self._preparer.item(record))
        self._events += events
        self.seen += 1

    def _batches(self) -> list[Batch]:
        return [batch for batch, _ in self._under_way]

    def finish(self) -> None:
        self._send()
        self.settle()

    def settle(self) -> None:
        """Wait for what is under way."""
        while self._under_way:
            self._settle_oldest()

    def _send(self) -> None:
        items, self._items, self._events = self._items, [], 0
        if not items:
            return
        try:
            batch = self._preparer.prepare(items, self._batches())
        except psycopg.OperationalError as error:
            log.warning("import interrupted", error=str(error).strip())
            self.settle()
            self._again(items)
            return
        self._under_way.append((batch, self._executor.submit(self._appender.append, batch.unit)))
        while len(self._under_way) >= APPENDS_UNDER_WAY_MAX:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        """Take the answer of the oldest append. Where it was lost, so are those behind it."""
        batch, answer = self._under_way.popleft()
        if answer.result():
            self._accepted(batch)
            return
        lost = [batch, *(batch for batch, later in self._under_way if not later.result())]
        self._under_way.clear()
        for batch in lost:
            self._again(batch.items)

    def _again(self, items: list[Item]) -> None:
        """Prepare them anew, on what the ledger holds by now: what got in unseen is found there."""
        for tries in range(TRIES_MAX):
            time.sleep(RETRY_SECONDS * tries)
            self._appender.broken = False
            try:
                self._preparer.reset()
                batch = self._preparer.prepare(items, self._batches())
            except psycopg.OperationalError as error:
                log.warning("import interrupted", error=str(error).strip())
                continue
            if self._appender.append(batch.unit):
                self._accepted(batch)
                return
        raise ImportFailed(f"{len(items)} orders were tried {TRIES_MAX} times; run it again later")

    def _accepted(self, batch: Batch) -> None:
        if batch.unit.events:
            with suppress(psycopg.OperationalError):  # Readers poll as well.
                self._preparer.reads.execute(notify(self._store.channel))
        self._preparer.committed(batch, self._batches())
        self.summary.orders += len(batch.told)
        self.summary.events += len(batch.unit.events)
        for item, told in batch.told:
            self._irregular(item, told.irregular)
        for item, why, told_again in batch.others:
            self.summary.known += not why
            kinds = told_again.irregular if told_again else ()
            self._irregular(item, (*kinds, why) if why else kinds)
        self.moved = True

    def _irregular(self, item: Item, kinds: Iterable[str]) -> None:
        reference = item.record.order.external_ref
        for name in kinds:
            kind = self.summary.irregular.setdefault(name, Kind())
            kind.count += 1
            if len(kind.examples) < EXAMPLES_MAX:
                kind.examples.append(reference)
        if kinds:
            entry = {"external_ref": reference, "order_id": item.order_id, "irregular": [*kinds]}
            self._write(entry)

    def _unreadable(self, place: Unreadable) -> None:
        self.summary.unreadable_count += 1
        if len(self.summary.unreadable) < EXAMPLES_MAX:
            self.summary.unreadable.append(place)
        self._write({"file": place.file, "line": place.line, "unreadable": place.reason})

    def _write(self, entry: dict[str, Any]) -> None:
        self._report.write(orjson.dumps(entry) + os.linesep.encode())
