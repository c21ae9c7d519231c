"""One batch of Kafka records into the ledger, in one transaction with the offsets behind it."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg import Connection

from commands.keys import RecordCipher, Vault
from commands.planning import KeyReused, Outcome
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt, Command
from workers.tracking_records import (
    Headers,
    TrackingUpdate,
    Unreadable,
    attempt,
    decode,
    track,
)

OFFSETS = """SELECT "partition", next_offset FROM ingest_offset
WHERE cluster_id = %s AND topic_id = %s"""
# No row moves unless it still stands where this batch began.
MOVE = """UPDATE ingest_offset AS o SET next_offset = m.next
FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS m("partition", start, next)
WHERE o.cluster_id = %s AND o.topic_id = %s AND o."partition" = m."partition"
  AND o.next_offset = m.start"""
BEGIN = """INSERT INTO ingest_offset (cluster_id, topic_id, "partition", next_offset)
SELECT %s, %s, m."partition", m.next FROM unnest(%s::int[], %s::bigint[]) AS m("partition", next)
ON CONFLICT DO NOTHING"""
OWNERS = "SELECT key, owner FROM ledger_claim WHERE kind = 'tracking' AND key = ANY(%s)"
WAIT = """INSERT INTO waiting_update (source, tracking, record)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[]) ON CONFLICT DO NOTHING"""
BURY = """INSERT INTO dead_letter (source, reason, record_key, record, headers)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""
PAGE_END = """SELECT max(id)
FROM (SELECT id FROM waiting_update WHERE id > %s ORDER BY id LIMIT %s) AS page"""
TAKE = """DELETE FROM waiting_update AS w USING ledger_claim AS c
WHERE w.id > %s AND w.id <= %s AND c.kind = 'tracking' AND c.key = w.tracking
RETURNING w.source, w.record, c.owner"""

# What a sealed value is bound to, beside its source.
WAITING_RECORD = "waiting_update.record"
DEAD_KEY = "dead_letter.record_key"
DEAD_RECORD = "dead_letter.record"
DEAD_HEADERS = "dead_letter.headers"


class OffsetMoved(Exception):
    """Another worker has taken these partitions: nothing of the batch may be written."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic, for good: its name alone may come to mean another one."""

    name: str
    cluster_id: str
    topic_id: str

    def source(self, partition: int, offset: int) -> str:
        return f"{self.cluster_id}/{self.topic_id}/{partition}/{offset}"


@dataclass(frozen=True, slots=True)
class Record:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(slots=True)
class _Sorted:
    """A batch by what becomes of it."""

    known: list[tuple[Record, Command, Attempt]]
    waiting: list[tuple[str, str, bytes]]  # source, claim, sealed value
    unreadable: list[tuple[str, Record, str]]  # source, record, reason


class Ingest:
    """What one worker does on its own connection; every call is one transaction."""

    def __init__(self, settings: Settings, topic: Topic) -> None:
        self._topic = topic
        self._digest_key = settings.digest_key()
        vault = Vault(settings.name, settings.master_key_bytes())
        self._runner = BatchRunner(Store(settings), vault)
        self._cipher = RecordCipher(settings.name, settings.record_key())

    def offsets(self, connection: Connection) -> dict[int, int]:
        """Partition → the offset to go on from. A partition that is not there begins afresh."""
        with connection.transaction():
            rows = connection.execute(OFFSETS, [self._topic.cluster_id, self._topic.topic_id])
            return dict(rows.fetchall())

    def apply(
        self,
        connection: Connection,
        records: Sequence[Record],
        starts: Mapping[int, int | None],
        refused: str | None = None,
    ) -> Counter[str]:
        """Bring a batch in and move its partitions' offsets; counts by what became of the records.

        `starts`: the offset that each partition must stand at, None for one never read before.
        With `refused`, a reason, the records are set aside unread. Raises OffsetMoved, Conflict.
        """
        with connection.transaction():
            self._move(connection, records, starts)
            sorted_ = self._sort(connection, records, refused)
            self._keep(connection, sorted_)
            outcomes = self._run(connection, sorted_.known)
        if sorted_.known:
            self._runner.committed()
        counts = Counter(waiting=len(sorted_.waiting), unreadable=len(sorted_.unreadable))
        counts.update(_kind(outcome) for outcome in outcomes)
        return counts

    def page_end(self, connection: Connection, after: int, rows: int) -> int | None:
        """Id of the last of the next `rows` waiting updates behind `after`; None at the end."""
        with connection.transaction():
            found = connection.execute(PAGE_END, [after, rows]).fetchone()
        return found[0] if found else None

    def take_waiting(self, connection: Connection, after: int, end: int) -> Counter[str]:
        """Bring in the waiting updates with `after` < id <= `end` whose parcel is known by now."""
        with connection.transaction():
            rows = connection.execute(TAKE, [after, end]).fetchall()
            now = datetime.now(UTC)
            taken = [self._taken(source, sealed, owner, now) for source, sealed, owner in rows]
            outcomes = self._run(connection, taken)
        if taken:
            self._runner.committed()
        return Counter(_kind(outcome) for outcome in outcomes)

    def _move(
        self, connection: Connection, records: Sequence[Record], starts: Mapping[int, int | None]
    ) -> None:
        nexts = {record.partition: record.offset + 1 for record in records}  # the last one's stays
        place = [self._topic.cluster_id, self._topic.topic_id]
        moved = [(p, starts[p], nexts[p]) for p in sorted(nexts) if starts[p] is not None]
        begun = [(p, nexts[p]) for p in sorted(nexts) if starts[p] is None]
        written = 0
        if moved:
            written += connection.execute(MOVE, [*_columns(moved), *place]).rowcount
        if begun:
            written += connection.execute(BEGIN, [*place, *_columns(begun)]).rowcount
        if written != len(nexts):
            raise OffsetMoved(f"partitions {sorted(nexts)} do not stand where this batch began")

    def _sort(
        self, connection: Connection, records: Sequence[Record], refused: str | None
    ) -> _Sorted:
        now, source_of = datetime.now(UTC), self._topic.source
        if refused is not None:
            dead = [(source_of(one.partition, one.offset), one, refused) for one in records]
            return _Sorted([], [], dead)
        decoded = [(record, decode(record.value, record.headers, now)) for record in records]
        numbers = {u.tracking for _, u in decoded if isinstance(u, TrackingUpdate)}
        owners: dict[str, str] = dict(connection.execute(OWNERS, [[*numbers]]).fetchall())
        batch = _Sorted([], [], [])
        for record, update in decoded:
            source = source_of(record.partition, record.offset)
            if isinstance(update, Unreadable):
                batch.unreadable.append((source, record, update.reason))
                continue
            assert record.value is not None
            owner = owners.get(update.tracking)
            if owner is None:
                sealed = self._cipher.seal(WAITING_RECORD, source, record.value)
                batch.waiting.append((source, update.tracking, sealed))
            else:
                name = attempt(source, update, record.value, self._digest_key)
                batch.known.append((record, track(update, owner, now), name))
        return batch

    def _keep(self, connection: Connection, batch: _Sorted) -> None:
        if batch.waiting:
            connection.execute(WAIT, _columns(batch.waiting))
        self._bury(connection, batch.unreadable)

    def _run(
        self, connection: Connection, known: Sequence[tuple[Record, Command, Attempt]]
    ) -> list[Outcome | Exception]:
        if not known:
            return []
        outcomes = self._runner.run(connection, [(command, name) for _, command, name in known])
        reused = [
            (name.key, record, "another record stood at this offset before")
            for (record, _, name), outcome in zip(known, outcomes, strict=True)
            if isinstance(outcome, KeyReused)
        ]
        self._bury(connection, reused)
        return outcomes

    def _bury(self, connection: Connection, dead: Iterable[tuple[str, Record, str]]) -> None:
        for source, record, reason in dead:
            parts = (
                (DEAD_KEY, record.key),
                (DEAD_RECORD, record.value),
                (DEAD_HEADERS, _headers_json(record.headers)),
            )
            sealed = [
                None if clear is None else self._cipher.seal(column, source, clear)
                for column, clear in parts
            ]
            connection.execute(BURY, [source, reason, *sealed])

    def _taken(
        self, source: str, sealed: bytes, owner: str, now: datetime
    ) -> tuple[Record, Command, Attempt]:
        value = self._cipher.open(WAITING_RECORD, source, sealed)
        update = decode(value, (), now)
        assert isinstance(update, TrackingUpdate), "it was readable when it came in"
        _, partition, offset = source.rsplit("/", 2)
        record = Record(int(partition), int(offset), update.tracking_number.encode(), value)
        name = attempt(source, update, value, self._digest_key)
        return record, track(update, owner, now), name


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _headers_json(headers: Headers) -> bytes:
    pairs = [
        (name.replace("\x00", ""), base64.b64encode(value or b"").decode())
        for name, value in headers
    ]
    return orjson.dumps(pairs)


def _kind(outcome: Outcome | Exception) -> str:
    if isinstance(outcome, KeyReused):
        return "unreadable"
    if isinstance(outcome, Exception):
        return "refused"
    if outcome.repeated or outcome.position is None:
        return "repeated"
    return "recorded"
