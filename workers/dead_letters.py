"""Copies what nobody could read from table `dead_letter` to a Kafka topic, and sends it again."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge
from psycopg import Connection

from commands.keys import RecordCipher
from commands.settings import Settings
from commands.store import Store
from workers import kafka_topics
from workers.ingest import DEAD_HEADERS, DEAD_KEY, DEAD_RECORD

BATCH_ROWS_MAX = 500
POLL_SECONDS = 1.0
RETRY_SECONDS = 2.0
SEND_SECONDS = 30.0  # for the acknowledgements of one batch
CLOSE_SECONDS = 5.0

LEASE = "SELECT pg_try_advisory_lock(hashtextextended('dead_letters.' || current_schema(), 0))"
COLUMNS = "id, source, reason, record_key, record, headers"
UNSENT = f"SELECT {COLUMNS} FROM dead_letter WHERE sent_at IS NULL ORDER BY id LIMIT %s"
SENT = "UPDATE dead_letter SET sent_at = now() WHERE id = ANY(%s)"
LISTED = """SELECT id, source, reason FROM dead_letter
WHERE id > %s AND resent_at IS NULL ORDER BY id LIMIT %s"""
CHOSEN = f"SELECT {COLUMNS} FROM dead_letter WHERE id = ANY(%s) ORDER BY id"
RESENT = "UPDATE dead_letter SET resent_at = now() WHERE id = ANY(%s)"

COPIED = Counter("ledger_dead_letters_copied", "Records copied to the dead-letter topic")
HEARTBEAT = Gauge("ledger_dead_letters_heartbeat_seconds", "Unix time of the last round")

log = structlog.get_logger()


class Listed(NamedTuple):
    """What may be told of a row: `source` is cluster/topic id/partition/offset."""

    id: int
    source: str
    reason: str


class DeadLetter(NamedTuple):
    """One row with its record opened."""

    id: int
    source: str
    reason: str
    key: bytes | None
    record: bytes | None
    headers: list[tuple[str, bytes]]


def run(settings: Settings, stop: threading.Event) -> None:
    """Copy until `stop` is set. Outlives restarts of PostgreSQL and Kafka."""
    while not stop.is_set():
        try:
            _session(settings, stop)
        except (KafkaError, psycopg.Error, OSError, ValueError) as error:
            log.warning("dead letters begin anew", error=repr(error))
            stop.wait(RETRY_SECONDS)


def listed(connection: Connection, after: int = 0, limit: int = 100) -> list[Listed]:
    """Those that were not sent again yet, behind the id `after`."""
    return [Listed(*row) for row in connection.execute(LISTED, [after, limit])]


def opened(settings: Settings, rows: Iterable[tuple[Any, ...]]) -> list[DeadLetter]:
    """Rows of COLUMNS. Raises ValueError when one was sealed by another master key."""
    cipher = RecordCipher(settings.name, settings.record_key())
    return [_opened(cipher, *row) for row in rows]


def _opened(
    cipher: RecordCipher, number: int, source: str, reason: str, *sealed: bytes | None
) -> DeadLetter:
    key, record, headers = (
        None if value is None else cipher.open(column, source, value)
        for column, value in zip((DEAD_KEY, DEAD_RECORD, DEAD_HEADERS), sealed, strict=True)
    )
    pairs = [(name, base64.b64decode(value)) for name, value in json.loads(headers or b"[]")]
    return DeadLetter(number, source, reason, key, record, pairs)


def resend(settings: Settings, ids: Sequence[int]) -> int:
    """Give records back to the topic they came from, after what made them unreadable was mended.

    Returns how many. A record that is still unreadable becomes a new dead letter.
    """
    topic = settings.kafka_topic(kafka_topics.TRACKING)
    with Store(settings).connect(autocommit=True) as connection:
        letters = opened(settings, connection.execute(CHOSEN, [list(ids)]))
        if letters:
            producer = _producer(settings)
            try:
                _send(producer, topic, [(one, one.headers) for one in letters])
            finally:
                producer.close(timeout=CLOSE_SECONDS)
            connection.execute(RESENT, [[one.id for one in letters]])
    return len(letters)


def _session(settings: Settings, stop: threading.Event) -> None:
    kafka_topics.ensure(settings)
    topic = settings.kafka_topic(kafka_topics.DEAD)
    with Store(settings).connect(autocommit=True) as connection:
        if not _leased(connection, stop):
            return
        producer = _producer(settings)
        try:
            while not stop.is_set():
                HEARTBEAT.set_to_current_time()
                if not _copy(settings, connection, producer, topic):
                    stop.wait(POLL_SECONDS)
        finally:
            producer.close(timeout=CLOSE_SECONDS)


def _leased(connection: Connection, stop: threading.Event) -> bool:
    """One sender at a time; the lease ends with its connection."""
    while not stop.is_set():
        row = connection.execute(LEASE).fetchone()
        if row and row[0]:
            return True
        HEARTBEAT.set_to_current_time()
        stop.wait(RETRY_SECONDS)
    return False


def _copy(settings: Settings, connection: Connection, producer: KafkaProducer, topic: str) -> int:
    """One batch. A crash between the two steps sends it twice: readers know `source` again."""
    letters = opened(settings, connection.execute(UNSENT, [BATCH_ROWS_MAX]))
    if letters:
        _send(producer, topic, [(one, _headers(one)) for one in letters])
        connection.execute(SENT, [[one.id for one in letters]])
        COPIED.inc(len(letters))
    return len(letters)


def _headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    ours = [("dead.source", letter.source.encode()), ("dead.reason", letter.reason.encode())]
    return [*letter.headers, *ours]


def _send(
    producer: KafkaProducer,
    topic: str,
    letters: Sequence[tuple[DeadLetter, list[tuple[str, bytes]]]],
) -> None:
    """Raises KafkaError unless the broker has every one of them."""
    # A record without key and value cannot be sent; an empty value is as unreadable.
    futures = [
        producer.send(
            topic,
            key=one.key,
            value=one.record or (b"" if one.key is None else None),
            headers=headers,
        )
        for one, headers in letters
    ]
    producer.flush(timeout=SEND_SECONDS)
    for future in futures:
        future.get(timeout=SEND_SECONDS)


def _producer(settings: Settings) -> KafkaProducer:
    return KafkaProducer(
        bootstrap_servers=kafka_topics.servers(settings),
        client_id=f"ledger-{settings.name}-dead-letters",
        enable_idempotence=True,
        acks="all",
        allow_auto_create_topics=False,
        delivery_timeout_ms=20_000,
        request_timeout_ms=10_000,
        max_block_ms=10_000,
        bootstrap_timeout_ms=10_000,
        reconnect_backoff_max_ms=1_000,
    )
