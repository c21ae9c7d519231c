"""Brings real history into the ledger: `ledger import`, from the neutral format or another reader.

A record is one order with all its facts and goes in whole. Its idempotency key is its source and
reference, so an import may be stopped at any moment and run again.
"""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

import orjson
import psycopg
import structlog
from psycopg import Connection
from pydantic import ValidationError

from commands.keys import SELECT_KEYS, Vault
from commands.runner import digest
from commands.settings import Settings
from commands.store import CLAIMS, CommandRow, Store, Unit, notify
from domain import codec
from domain.customer import person_of
from domain.history import History, history, numbers, order_id_of
from domain.history_placement import customer_of
from domain.history_record import Record
from domain.message import Attempt
from domain.order import payer_of

EVENTS_PER_APPEND_MAX = 1_000
APPENDS_UNDER_WAY_MAX = 2
TRIES_MAX = 10  # of an append that other writers or a lost connection spoilt
RETRY_SECONDS = 0.5
LINE_BYTES_MAX = 4_000_000
EXAMPLES_MAX = 20  # per kind, in the summary; the report lists all
ORIGIN = "import"

KNOWN = "SELECT key, digest FROM ledger_command WHERE actor = %s AND key = ANY(%s)"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place of the source that nothing could be made of."""

    file: str
    line: int
    reason: str


Claim = tuple[str, str]  # kind and key
Found = tuple[str, int, Record] | Unreadable  # file, line, what stands there


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
    started, summary = time.monotonic(), Summary(source, report)
    with report.open("wb") as lines, Importer(settings, summary, lines, actor) as importer:
        try:
            for share, one in found:
                importer.take(one)
                if importer.moved:
                    importer.moved = False
                    progress(Progress(importer.seen, summary.events, share))
            importer.finish()
        except KeyboardInterrupt:
            importer.settle()
            summary.stopped = True
    summary.seconds = time.monotonic() - started
    progress(Progress(importer.seen, summary.events, share=0.0 if summary.stopped else 1.0))
    return summary


# -- reading ---------------------------------------------------------------------------------------


def read_file(path: Path) -> Iterator[tuple[float, Found]]:
    """The records of a file, one at a time. A damaged gzip file is read as far as it goes."""
    size = max(1, path.stat().st_size)
    with path.open("rb") as raw:
        packed = path.suffix == ".gz"
        # gzip's stubs do not say that its files are binary streams.
        lines = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
        number = 0
        try:
            while line := lines.readline(LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > LINE_BYTES_MAX:
                    _skip_rest(line, lines)
                if line.strip():
                    yield min(1.0, raw.tell() / size), parse(str(path), number, line)
        except (OSError, EOFError, zlib.error) as error:
            yield 1.0, Unreadable(str(path), number + 1, f"the file cannot be read on: {error}")


def _skip_rest(line: bytes, lines: IO[bytes]) -> None:
    while line and not line.endswith(b"\n"):
        line = lines.readline(LINE_BYTES_MAX)


def parse(file: str, number: int, line: bytes) -> Found:
    """One line of the neutral format. The reason names the field and shows no value."""
    if len(line) > LINE_BYTES_MAX:
        return Unreadable(file, number, f"longer than {LINE_BYTES_MAX} bytes")
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Unreadable(file, number, f"no JSON: {error}")
    return check(file, number, parsed)


def check(file: str, number: int, parsed: Any) -> Found:
    try:
        return file, number, Record.model_validate(parsed)
    except ValidationError as error:
        return Unreadable(file, number, reasons(error))


def reasons(error: ValidationError) -> str:
    """`order.lines.0.quantity: …`, for each field; without the values, which may be personal."""
    return "; ".join(
        f"{'.'.join(map(str, part['loc'])) or 'record'}: {part['msg']}"
        for part in error.errors(include_url=False, include_context=False, include_input=False)
    )


# -- writing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """A record on its way."""

    record: Record
    order_id: str
    digest: bytes


@dataclass(slots=True)
class Batch:
    """Orders that go in together, in one unit. `keys` and `claims` are taken by them."""

    items: list[Item] = field(default_factory=list)
    unit: Unit = field(default_factory=Unit)
    keys: dict[str, bytes] = field(default_factory=dict)  # idempotency key -> digest
    claims: set[Claim] = field(default_factory=set)
    persons: set[str] = field(default_factory=set)
    told: list[tuple[Item, History]] = field(default_factory=list)  # new ones
    others: list[tuple[Item, str, History | None]] = field(default_factory=list)  # and why not


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
        self._digest_key = settings.digest_key()
        self._store = Store(settings)
        self._vault = self._new_vault()
        self._items: list[Item] = []
        self._events = 0
        self._under_way: deque[tuple[Batch, Future[bool]]] = deque()
        self._exits = ExitStack()

    def __enter__(self) -> Importer:
        self._reads = self._exits.enter_context(self._store.connect(autocommit=True))
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
        request = record.model_dump(mode="json", exclude_defaults=True)
        order_id = order_id_of(self._store.namespace, record)
        self._items.append(Item(record, order_id, digest(self._digest_key, request)))
        self._events += events
        self.seen += 1

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
            batch = self._prepare(items)
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
            self._vault = self._new_vault()
            self._appender.broken = False
            try:
                if self._reads.closed:
                    self._reads = self._exits.enter_context(self._store.connect(autocommit=True))
                batch = self._prepare(items)
            except psycopg.OperationalError as error:
                log.warning("import interrupted", error=str(error).strip())
                continue
            if self._appender.append(batch.unit):
                self._accepted(batch)
                return
        raise ImportFailed(f"{len(items)} orders were tried {TRIES_MAX} times; run it again later")

    # -- preparing -----------------------------------------------------------------------------

    def _prepare(self, items: list[Item]) -> Batch:
        """Everything the ledger must know of new orders, sealed and with free numbers."""
        batch = Batch(items)
        known = self._known(items)
        owned = self._owned(items)
        self._learn(items)
        for item in items:
            key, reference = item.record.key, _reference(item.record)
            first = known.get(key) or batch.keys.get(key)
            if first is not None:
                changed = "" if first == item.digest else "changed_since_import"
                batch.others.append((item, changed, self._tell(item, "")))
            elif ("external_ref", reference) in owned or self._is_taken(
                ("external_ref", reference), batch
            ):
                batch.others.append((item, "reference_of_another_order", None))
            else:
                self._add(batch, item, self._free_number(item, owned, batch))
        batch.unit.keys = self._vault.minted(batch.persons)
        self._vault.stored(batch.persons)  # As good as: the appender sees to the order.
        return batch

    def _add(self, batch: Batch, item: Item, number: str) -> None:
        told = self._tell(item, number)
        index, command_id = len(batch.unit.commands), uuid4()
        attempt = Attempt(
            actor=self._actor,
            origin=ORIGIN,
            command_id=command_id,
            correlation_id=command_id,
            causation_id=None,
            key=item.record.key,
            digest=item.digest,
        )
        body = {"order_id": item.order_id, "number": number}
        batch.unit.commands.append(CommandRow(attempt, orjson.dumps({"body": body}).decode()))
        batch.unit.claims += told.decision.claims
        for stream, events in told.decision.events.items():
            batch.unit.streams[stream] = (0, True)
            for event in events:
                batch.unit.events.append(
                    (index, stream, codec.seal(event, self._vault, command_id))
                )
        batch.keys[item.record.key] = item.digest
        batch.claims |= {(kind, key) for kind, key, _ in told.decision.claims}
        batch.persons |= _persons(item)
        batch.told.append((item, told))

    def _tell(self, item: Item, number: str) -> History:
        return history(item.record, item.order_id, number)

    def _known(self, items: list[Item]) -> dict[str, bytes]:
        """Digests of the records that the ledger has already, or is about to have."""
        keys = [item.record.key for item in items]
        known: dict[str, bytes] = dict(self._reads.execute(KNOWN, [self._actor, keys]).fetchall())
        for batch, _ in self._under_way:
            known |= batch.keys
        return known

    def _owned(self, items: list[Item]) -> set[Claim]:
        """Which of the references and numbers that the items would like belong to others."""
        kinds = ["external_ref", "order_number"] * len(items)
        keys = [
            key for item in items for key in (_reference(item.record), next(numbers(item.order_id)))
        ]
        return self._claims(kinds, keys)

    def _claims(self, kinds: list[str], keys: list[str]) -> set[Claim]:
        rows = self._reads.execute(CLAIMS, [kinds, keys]).fetchall()
        return {(kind, key) for kind, key, _ in rows}

    def _free_number(self, item: Item, owned: set[Claim], batch: Batch) -> str:
        """The first of its candidates that nobody has; a clash is rare, so it costs a question."""
        first = ("order_number", next(numbers(item.order_id)))
        if first not in owned and not self._is_taken(first, batch):
            return first[1]
        candidates = [("order_number", number) for number in numbers(item.order_id)]
        owned = self._claims([kind for kind, _ in candidates], [key for _, key in candidates])
        return next(c[1] for c in candidates if c not in owned and not self._is_taken(c, batch))

    def _is_taken(self, claim: Claim, batch: Batch) -> bool:
        return any(claim in one.claims for one in (batch, *(b for b, _ in self._under_way)))

    def _learn(self, items: list[Item]) -> None:
        unknown = self._vault.unknown({person for item in items for person in _persons(item)})
        if unknown:
            self._vault.learn(self._reads.execute(SELECT_KEYS, [unknown]).fetchall())

    def _new_vault(self) -> Vault:
        return Vault(self._settings.name, self._settings.master_key_bytes())

    # -- telling what became of it -------------------------------------------------------------

    def _accepted(self, batch: Batch) -> None:
        if batch.unit.events:
            with suppress(psycopg.OperationalError):  # Readers poll as well.
                self._reads.execute(notify(self._store.channel))
        still_needed = set().union(*(later.persons for later, _ in self._under_way))
        for person in batch.persons - still_needed:
            self._vault.forget(person)  # So that memory stays flat.
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


def _reference(record: Record) -> str:
    return f"{record.order.shop}/{record.order.external_ref}"


def _persons(item: Item) -> set[str]:
    customer = customer_of(item.record.order, item.order_id)
    return {person_of(customer), payer_of(item.order_id)}
