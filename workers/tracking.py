"""Carriers' updates from Kafka into the ledger, each exactly once: the loop around `ingest`.

Where a partition stands is written in PostgreSQL, with the events; the consumer group only shares
the partitions out. So whatever happens to a worker or to the broker's memory, the next one goes on
from the last record whose events are in the ledger.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing

import psycopg
import structlog
from kafka.errors import KafkaError
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from commands.runner import Conflict
from commands.settings import Settings
from commands.store import Store, notify
from workers import kafka_topics
from workers.calm import calm_gc
from workers.ingest import Ingest, OffsetMoved, Record
from workers.partitions import Partitions

POLL_RECORDS_MAX = 1_000
GROWTH_RECORDS = 10  # by so many a batch may be larger again, after each that went well
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

log = structlog.get_logger()


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set. Outlives restarts of PostgreSQL and Kafka."""
    with calm_gc():
        _run(settings, stop)


def _run(settings: Settings, stop: threading.Event) -> None:
    failures = 0
    batches, pages = Portion(POLL_RECORDS_MAX), Portion(WAITING_PAGE_ROWS)
    while not stop.is_set():
        session = Session(settings, stop, batches, pages)
        try:
            session.work()
        except Exception as error:  # noqa: BLE001 - a dead loop in a living process helps nobody
            batches.failed()
            pages.failed()
            failures = 1 if session.rounds else failures + 1
            pause = SESSION_RETRY_SECONDS[min(failures, len(SESSION_RETRY_SECONDS)) - 1]
            expected = isinstance(error, KafkaError | psycopg.Error | Overtaken | OSError)
            tell = log.warning if expected else log.exception
            tell("tracking begins anew", error=repr(error), pause_seconds=pause)
            stop.wait(pause)


class Overtaken(Exception):
    """Other writers were faster every time; later it will do."""


class TopicChanged(KafkaError):  # type: ignore[misc]  # kafka-python has no types
    """The topic was made anew: another id, so other offsets."""


class Portion:
    """How much one transaction takes, from one session to the next.

    Scans of the largest orders may keep a transaction waiting for us longer than it may stand
    idle, and would do so for ever: what ends a session is halved, and slowly grows again.
    """

    def __init__(self, most: int) -> None:
        self.count_max = most
        self._most = most
        self._tried: int | None = None  # what is under way

    def trying(self, count: int) -> None:
        self._tried = count

    def done(self) -> None:
        """It is behind us, well or not: no fault of its size."""
        self._tried = None

    def grow(self) -> None:
        self.count_max = min(self._most, self.count_max + GROWTH_RECORDS)

    def failed(self) -> None:
        """The session has ended, perhaps within what was tried."""
        if self._tried is not None:
            self.count_max, self._tried = max(1, self._tried // 2), None


class Session:
    """One consumer and one connection, until either fails."""

    def __init__(
        self, settings: Settings, stop: threading.Event, batches: Portion, pages: Portion
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._batches = batches
        self._pages = pages
        self._open = ExitStack()
        self._waiting_after = 0
        self._due: dict[str, float] = {}
        self.rounds = 0

    def work(self) -> None:
        """Until the stop. Raises whatever makes a new session necessary."""
        with self._open:
            self._begin()
            while not self._stop.is_set():
                self._round()
                self.rounds += 1

    def _begin(self) -> None:
        SESSIONS.inc()
        kafka_topics.ensure(self._settings)
        name = self._settings.kafka_topic(kafka_topics.TRACKING)
        self._topic = kafka_topics.identify(self._settings, name)
        store = Store(self._settings)
        self._connection = self._open.enter_context(closing(store.connect()))
        self._notice = notify(store.channel)
        self._ingest = Ingest(self._settings, self._topic)
        self._partitions = Partitions(
            self._topic,
            bootstrap_servers=kafka_topics.servers(self._settings),
            group_id=f"{self._settings.name}-tracking",
            client_id=f"ledger-{self._settings.name}-tracking",
            **CONSUMER,
        )
        self._open.callback(self._leave)
        log.info("tracking reads", topic=self._topic.name, topic_id=self._topic.topic_id)

    def _leave(self) -> None:
        try:
            self._partitions.close(CLOSE_MS)
        except KafkaError as error:
            log.warning("closing the consumer failed", error=repr(error))

    def _round(self) -> None:
        HEARTBEAT.set_to_current_time()
        records = self._partitions.poll(POLL_MS, self._batches.count_max)
        if records is None:
            self._place()
        elif records:
            self._take(records)
        if self._is_due("waiting", WAITING_SECONDS):
            self._take_waiting()
        if self._partitions.alarming and self._is_due("alarm", ALARM_SECONDS):
            self._look_again()
        if self._is_due("lag", MEASURE_SECONDS):
            self._partitions.measure()

    def _place(self) -> None:
        self._partitions.place(self._ingest.offsets(self._connection))

    def _look_again(self) -> None:
        """Whether somebody has decided: set another offset, or made the topic anew."""
        if kafka_topics.identify(self._settings, self._topic.name) != self._topic:
            raise TopicChanged(self._topic.name)
        self._partitions.look_again(self._ingest.offsets(self._connection))

    # -- records in ----------------------------------------------------------------------------

    def _take(self, records: list[Record]) -> None:
        try:
            self._bring_in(records)
        except OffsetMoved as error:
            self._batches.done()
            RETRIES.labels("offset_moved").inc()
            log.warning("another worker was here", error=str(error))
            self._place()

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
        self._batches.trying(len(records))
        counts = self._ingest.apply(self._connection, records, self._partitions.next, refused)
        self._batches.done()
        self._batches.grow()
        self._partitions.advance(records)
        self._tell(counts)

    def _take_waiting(self) -> None:
        """A few pages a round, in a circle: so no update is forgotten, however it came to wait."""
        for _ in range(WAITING_PAGES_PER_ROUND):
            after = self._waiting_after
            end = self._ingest.page_end(self._connection, after, self._pages.count_max)
            self._waiting_after = end or 0
            if end is None:
                self._pages.grow()  # Not before: most pages have nothing to take, and are easy.
                return
            self._pages.trying(self._pages.count_max)
            self._take_page(after, end)
            self._pages.done()

    def _take_page(self, after: int, end: int) -> None:
        """Halves what fails; an update that nobody can apply goes on waiting, and is named."""
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
            self._take_page(after, middle)
            self._take_page(middle, end)

    def _tell(self, counts: Counter[str]) -> None:
        for kind, count in counts.items():
            RECORDS.labels(kind).inc(count)
        if counts["unreadable"]:
            log.warning("records could not be read", count=counts["unreadable"])
        if counts["recorded"]:
            with self._connection.transaction():
                self._connection.execute(self._notice)

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
