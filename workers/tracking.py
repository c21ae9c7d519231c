"""Carriers' updates from Kafka into the ledger, each exactly once: the loop around `ingest`.

Where a partition stands is written in PostgreSQL, with the events; the consumer group only shares
the partitions out. So whatever happens to a worker or to the broker's memory, the next one goes on
from the last record whose events are in the ledger.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

import psycopg
import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from commands.runner import Conflict
from commands.settings import Settings
from commands.store import Store, notify
from workers import kafka_topics
from workers.calm import calm_gc
from workers.ingest import Ingest, OffsetMoved, Record

POLL_RECORDS_MAX = 1_000
POLL_MS = 200
RETRY_SECONDS = (0.02, 0.05, 0.1, 0.2)  # then the batch is halved; one record: a new session
SESSION_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # the last one for ever
WAITING_SECONDS = 0.5
WAITING_PAGE_ROWS = 1_000
WAITING_PAGES_PER_ROUND = 20
ALARM_SECONDS = 30.0
MEASURE_SECONDS = 1.0
CLOSE_MS = 2_000
CONSUMER = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # Never silently: out of range is an alarm.
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "max_poll_records": POLL_RECORDS_MAX,
    "session_timeout_ms": 6_000,  # So long the partitions of a killed worker wait.
    "heartbeat_interval_ms": 1_500,
    "max_poll_interval_ms": 60_000,
    "request_timeout_ms": 10_000,
    "bootstrap_timeout_ms": 10_000,
    "reconnect_backoff_max_ms": 1_000,
    "metadata_max_age_ms": 30_000,
}

# Passing troubles of a transaction: the same batch is run again.
PASSING = (Conflict, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

RECORDS = Metric("ledger_tracking_records", "Records by what became of them", ["outcome"])
RETRIES = Metric("ledger_tracking_retries", "Batches run again", ["reason"])
SESSIONS = Metric("ledger_tracking_sessions", "Sessions begun, each with a new consumer")
HEARTBEAT = Gauge("ledger_tracking_heartbeat_seconds", "Unix time of the last round of the loop")
LAG = Gauge("ledger_tracking_lag_records", "Records behind the partition's end", ["partition"])
OUT_OF_RANGE = Gauge(
    "ledger_tracking_out_of_range", "1: stopped, its offset is not in Kafka any more", ["partition"]
)

log = structlog.get_logger()


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set. Outlives restarts of PostgreSQL and Kafka."""
    with calm_gc():
        _run(settings, stop)


def _run(settings: Settings, stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        session = Session(settings, stop)
        try:
            session.work()
        except Exception as error:  # noqa: BLE001 - a dead loop in a living process helps nobody
            failures = 1 if session.rounds else failures + 1
            pause = SESSION_RETRY_SECONDS[min(failures, len(SESSION_RETRY_SECONDS)) - 1]
            expected = isinstance(error, KafkaError | psycopg.Error | Overtaken | OSError)
            tell = log.warning if expected else log.exception
            tell("tracking begins anew", error=repr(error), pause_seconds=pause)
            stop.wait(pause)
        finally:
            session.close()


class Overtaken(Exception):
    """Other writers were faster every time; later it will do."""


class TopicChanged(KafkaError):  # type: ignore[misc]  # kafka-python has no types
    """The topic was made anew: another id, so other offsets."""


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps new partitions still until they stand where the ledger's offsets say.

    Called within `poll`; the place itself is not read here, on Kafka's own event loop.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self.changed = False

    def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        self.changed = True

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for partition in assigned:
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)
        self.changed = True


class Session:
    """One consumer and one connection, until either fails."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._connection: psycopg.Connection | None = None
        self._consumer: KafkaConsumer | None = None
        self._next: dict[int, int | None] = {}  # partition -> offset in the table, None: no row
        self._alarms: dict[int, int | None] = {}  # partition -> offset that is out of range
        self._waiting_after = 0
        self._due: dict[str, float] = {}
        self.rounds = 0

    def work(self) -> None:
        SESSIONS.inc()
        kafka_topics.ensure(self._settings)
        name = self._settings.kafka_topic(kafka_topics.TRACKING)
        self._topic = kafka_topics.identify(self._settings, name)
        store = Store(self._settings)
        self._connection = store.connect()
        self._notice = notify(store.channel)
        self._ingest = Ingest(self._settings, self._topic)
        self._consumer = KafkaConsumer(
            bootstrap_servers=kafka_topics.servers(self._settings),
            group_id=f"{self._settings.name}-tracking",
            client_id=f"ledger-{self._settings.name}-tracking",
            **CONSUMER,
        )
        self._assignment = _Assignment(self._consumer)
        self._consumer.subscribe([name], listener=self._assignment)
        log.info("tracking reads", topic=self._topic.name, topic_id=self._topic.topic_id)
        while not self._stop.is_set():
            self._round()
            self.rounds += 1

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        if self._consumer is not None:
            try:
                self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except KafkaError as error:
                log.warning("closing the consumer failed", error=repr(error))
        if self._connection is not None:
            self._connection.close()

    def _round(self) -> None:
        HEARTBEAT.set_to_current_time()
        records = self._poll()
        if records:
            try:
                self._bring_in(records)
            except OffsetMoved as error:
                RETRIES.labels("offset_moved").inc()
                log.warning("another worker was here", error=str(error))
                self._place()
        if self._is_due("waiting", WAITING_SECONDS):
            self._take_waiting()
        if self._alarms and self._is_due("alarm", ALARM_SECONDS):
            self._look_again()
        if self._is_due("lag", MEASURE_SECONDS):
            self._measure()

    # -- records in ----------------------------------------------------------------------------

    def _poll(self) -> list[Record]:
        assert self._consumer is not None
        try:
            polled = self._consumer.poll(timeout_ms=POLL_MS)
        except OffsetOutOfRangeError as error:
            self._alarm(error.args[0])
            return []
        except LogTruncationError as error:
            self._alarm(error.divergent_offsets)
            return []
        if self._assignment.changed:
            self._place()  # Also drops what was polled: it is read again from its place.
            return []
        return [
            Record(place.partition, one.offset, one.key, one.value, one.headers)
            for place, found in polled.items()
            for one in found
        ]

    def _bring_in(self, records: list[Record]) -> None:
        """Halves what fails, down to the one record that nobody can apply, which is set aside."""
        try:
            self._patiently(lambda: self._apply(records))
        except Exception as error:
            if len(records) == 1:
                if not _own_fault(error):
                    raise
                log.exception("a record cannot be applied", offset=records[0].offset)
                self._apply(records, refused=f"cannot be applied: {type(error).__name__}")
            elif isinstance(error, Overtaken) or _own_fault(error):
                middle = len(records) // 2
                self._bring_in(records[:middle])
                self._bring_in(records[middle:])
            else:
                raise

    def _patiently(self, work: Callable[[], None]) -> None:
        """Run it again while others are in the way. Raises Overtaken when they always are."""
        for pause in RETRY_SECONDS:
            try:
                return work()
            except PASSING as error:
                RETRIES.labels(type(error).__name__).inc()
                self._stop.wait(pause)
        raise Overtaken(f"{len(RETRY_SECONDS)} times")

    def _apply(self, records: list[Record], refused: str | None = None) -> None:
        assert self._connection is not None
        counts = self._ingest.apply(self._connection, records, self._next, refused)
        self._next |= {record.partition: record.offset + 1 for record in records}
        self._tell(counts)

    def _take_waiting(self) -> None:
        """A few pages a round, in a circle: so no update is forgotten, however it came to wait."""
        assert self._connection is not None
        for _ in range(WAITING_PAGES_PER_ROUND):
            after = self._waiting_after
            end = self._ingest.page_end(self._connection, after, WAITING_PAGE_ROWS)
            if end is not None:
                self._take(after, end)
            self._waiting_after = end or 0
            if end is None:
                return

    def _take(self, after: int, end: int) -> None:
        """Halves what fails; an update that nobody can apply goes on waiting, and is named."""
        assert self._connection is not None
        try:
            self._tell(self._ingest.take_waiting(self._connection, after, end))
        except PASSING as error:
            RETRIES.labels(type(error).__name__).inc()
        except Exception as error:
            if not _own_fault(error):
                raise
            if end - after == 1:
                log.exception("a waiting update cannot be applied", id=end)
                return
            middle = (after + end) // 2
            self._take(after, middle)
            self._take(middle, end)

    def _tell(self, counts: Counter[str]) -> None:
        for kind, count in counts.items():
            RECORDS.labels(kind).inc(count)
        if counts["unreadable"]:
            log.warning("records could not be read", count=counts["unreadable"])
        if counts["recorded"]:
            assert self._connection is not None
            with self._connection.transaction():
                self._connection.execute(self._notice)

    # -- places --------------------------------------------------------------------------------

    def _place(self) -> None:
        """Let every partition that is ours go on from where the ledger's offsets say."""
        assert self._consumer is not None
        assert self._connection is not None
        self._assignment.changed = False
        known = self._ingest.offsets(self._connection)
        LAG.clear()
        ours = {place.partition: place for place in self._consumer.assignment()}
        self._next = {partition: known.get(partition) for partition in ours}
        self._alarms = {p: offset for p, offset in self._alarms.items() if p in ours}
        for partition, place in ours.items():
            if partition not in self._alarms:
                self._go_on(place)

    def _go_on(self, place: TopicPartition) -> None:
        assert self._consumer is not None
        offset = self._next[place.partition]
        if offset is None:
            self._consumer.seek_to_beginning(place)
        else:
            self._consumer.seek(place, offset)
        self._consumer.resume(place)
        OUT_OF_RANGE.labels(place.partition).set(0)

    def _alarm(self, places: Iterable[TopicPartition]) -> None:
        """Stop these partitions: records are missing in Kafka, and somebody has to decide."""
        assert self._consumer is not None
        for place in places:
            self._consumer.pause(place)
            self._alarms[place.partition] = self._next.get(place.partition)
            self._cry(place.partition)
        self._place()

    def _cry(self, partition: int) -> None:
        OUT_OF_RANGE.labels(partition).set(1)
        log.error(
            "KAFKA DOES NOT HAVE THE RECORDS THAT COME NEXT: this partition stands still until "
            "next_offset in ingest_offset is set by hand to a record that there is",
            topic=self._topic.name,
            topic_id=self._topic.topic_id,
            partition=partition,
            next_offset=self._alarms[partition],
        )

    def _look_again(self) -> None:
        """Whether somebody has decided: set another offset, or made the topic anew."""
        assert self._connection is not None
        if kafka_topics.identify(self._settings, self._topic.name) != self._topic:
            raise TopicChanged(self._topic.name)
        known = self._ingest.offsets(self._connection)
        decided = [p for p, offset in self._alarms.items() if known.get(p) != offset]
        for partition in decided:
            del self._alarms[partition]
        for partition in self._alarms:
            self._cry(partition)
        if decided:
            self._place()

    def _measure(self) -> None:
        assert self._consumer is not None
        for place in self._consumer.assignment():
            end, offset = self._consumer.highwater(place), self._next.get(place.partition)
            if end is not None and offset is not None:
                LAG.labels(place.partition).set(max(0, end - offset))

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + seconds
        return True


def _own_fault(error: Exception) -> bool:
    """Whether the records themselves are to blame, and not the world around them."""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return True
    world = psycopg.Error | KafkaError | OSError | OffsetMoved | Overtaken | MemoryError
    return not isinstance(error, world)
