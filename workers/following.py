"""Follows the ledger: reads batches that all followers share, keeps a target at its head."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

import duckdb
import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg import Connection, sql

from commands.store import Store
from domain.message import Recorded
from projections import checkpoint

BATCH_EVENTS_MAX = 10_000
GROWTH_EVENTS = 100  # by so many a batch may be larger again, after each that went well
WINDOWS_MAX = 3  # decoded batches that followers at different places share
POLL_SECONDS = 0.5  # notifications get lost
BEAT_SECONDS = 1.0
STOP_SECONDS = 15.0
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)  # then the last, for ever

LEASE = "SELECT pg_try_advisory_lock(hashtextextended('lease.' || %s || '.' || %s, 0))"

log = structlog.get_logger()

POSITION = Gauge("ledger_projection_position", "Last position folded in", ["projection"])
LAG = Gauge("ledger_projection_lag_events", "Ledger head minus checkpoint", ["projection"])
LAG_SECONDS = Gauge(
    "ledger_projection_lag_seconds", "Age of the oldest event not folded in", ["projection"]
)
PARKED = Gauge("ledger_projection_parked_keys", "Keys set aside", ["projection"])
BEAT = Gauge("ledger_projection_heartbeat_seconds", "Unix time of the last beat", ["projection"])
FOLDED = Counter("ledger_projection_events", "Events read and folded in", ["projection"])
FAILED = Counter("ledger_projection_failures", "Sessions that ended in an error", ["projection"])


class News:
    """Wakes all followers when the ledger has grown."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def tell(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, seconds: float) -> int:
        """Until there is news that was not seen, or the time is over; what to call seen now."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, seconds)
            return self._count


class Window:
    """The batches that were read last, decoded once for all followers.

    Batches end at multiples of their size, so that followers that started apart come to share.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._batches: OrderedDict[int, Sequence[Recorded]] = OrderedDict()

    def read(self, connection: Connection, after: int) -> Sequence[Recorded]:
        with self._lock:
            known = self._batches.get(after)
            if known is not None:
                return known
            limit = BATCH_EVENTS_MAX - after % BATCH_EVENTS_MAX
            batch = self._store.feed(connection, after, limit)
            if batch:
                self._batches[after] = batch
                if len(self._batches) > WINDOWS_MAX:
                    self._batches.popitem(last=False)
            return batch


class Target(Protocol):
    """What a follower keeps at the head, so many batches in one transaction."""

    @property
    def name(self) -> str: ...

    @property
    def batches_max(self) -> int: ...

    def open(self, connection: Connection, stack: ExitStack) -> int:
        """Begin a session and return the position; `stack` ends with it."""

    def apply(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int: ...

    def position(self, connection: Connection) -> int: ...

    def rest(self, connection: Connection) -> float:
        """Seconds to wait before the next batch that is not full."""


class Follower(threading.Thread):
    """Brings one target to the head and keeps it there, through every loss of the servers."""

    def __init__(
        self, target: Target, store: Store, window: Window, news: News, stop: threading.Event
    ) -> None:
        super().__init__(name=f"projector-{target.name}", daemon=True)
        self._target = target
        self._store = store
        self._window = window
        self._news = news
        self._stopping = stop
        self._failures = 0
        self._beaten = 0.0
        # A batch of the largest orders may take longer than a transaction may stand idle, and
        # would do so for ever: what fails is halved.
        self._events_max = BATCH_EVENTS_MAX * target.batches_max
        self._tried: int | None = None  # events of the batch that is under way
        self._left: Sequence[Recorded] = ()  # read, and too many for one batch

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with ExitStack() as stack:
                    self._session(stack)
            except Exception as error:  # noqa: BLE001 - a dead loop in a living process is worse.
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        FAILED.labels(self._target.name).inc()
        if self._tried is not None:
            self._events_max, self._tried = max(1, self._tried // 2), None
        expected = isinstance(error, psycopg.OperationalError | duckdb.TransactionException)
        level = log.warning if expected else log.error
        level("projection_interrupted", projection=self._target.name, error=repr(error)[:500])
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        self._stopping.wait(pause)

    def _session(self, stack: ExitStack) -> None:
        connection = stack.enter_context(self._store.connect(autocommit=True))
        if not self._leased(connection):
            return
        position = self._target.open(connection, stack)
        log.info("projection_started", projection=self._target.name, position=position)
        seen = 0
        while not self._stopping.is_set():
            batch = self._read(connection, position)
            if batch:
                position = self._apply(connection, batch, position)
                self._failures = 0
            self._beat(connection)
            if len(batch) < BATCH_EVENTS_MAX:
                rest = self._target.rest(connection)
                if not batch or rest:
                    self._stopping.wait(rest)
                    if not batch:
                        seen = self._news.wait(seen, POLL_SECONDS)

    def _read(self, connection: Connection, position: int) -> Sequence[Recorded]:
        events: list[Recorded] = []
        if self._left and self._left[0].position == position + 1:
            return self._bounded([*self._left])
        for _ in range(self._target.batches_max):
            batch = self._window.read(connection, position)
            events += batch
            if not batch or batch[-1].position % BATCH_EVENTS_MAX:
                break
            position = batch[-1].position
        return self._bounded(events)

    def _bounded(self, events: list[Recorded]) -> Sequence[Recorded]:
        self._left = events[self._events_max :]
        return events[: self._events_max] if self._left else events

    def _apply(self, connection: Connection, batch: Sequence[Recorded], position: int) -> int:
        self._tried = len(batch)
        try:
            reached = self._target.apply(connection, batch, position)
        except checkpoint.Overtaken:
            self._tried = None
            return self._target.position(connection)
        self._tried = None
        self._events_max = min(
            BATCH_EVENTS_MAX * self._target.batches_max, self._events_max + GROWTH_EVENTS
        )
        FOLDED.labels(self._target.name).inc(len(batch))
        return reached

    def _leased(self, connection: Connection) -> bool:
        """Only one worker folds a projection; the others stand by and try again.

        The lease is the session's: it ends with the worker, however that ends. The checkpoint's
        compare-and-set keeps what a worker cut off from its lease may still try from counting.
        """
        while not self._stopping.is_set():
            row = connection.execute(LEASE, [self._store.channel, self._target.name]).fetchone()
            if row == (True,):
                return True
            self._stopping.wait(POLL_SECONDS)
        return False

    def _beat(self, connection: Connection) -> None:
        now = time.time()
        if now - self._beaten < BEAT_SECONDS:
            return
        self._beaten = now
        name = self._target.name
        connection.execute(checkpoint.BEAT, [name])
        row = connection.execute(checkpoint.LAG_OF, {"name": name}).fetchone()
        if row is not None:
            position, lag_events, lag_seconds, parked = row
            POSITION.labels(name).set(position)
            LAG.labels(name).set(lag_events)
            LAG_SECONDS.labels(name).set(lag_seconds)
            PARKED.labels(name).set(parked)
        BEAT.labels(name).set(now)


def listen(store: Store, news: News, stop: threading.Event) -> None:
    """Turn the ledger's notifications into news, reconnecting for ever."""
    command = sql.SQL("LISTEN {}").format(sql.Identifier(store.channel))
    while not stop.is_set():
        try:
            with store.connect(autocommit=True) as connection:
                connection.execute(command)
                while not stop.is_set():
                    for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                        news.tell()
        except psycopg.Error as error:
            log.warning("listener_interrupted", error=type(error).__name__)
            stop.wait(RETRY_SECONDS[-1])


@contextmanager
def followed(target: Target, store: Store, stop: threading.Event) -> Iterator[None]:
    """One target that a thread keeps at the head, until the block ends; set `stop` before."""
    news = News()
    threads = [
        threading.Thread(target=listen, args=(store, news, stop), daemon=True),
        Follower(target, store, Window(store), news, stop),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        news.tell()
        for thread in threads:
            thread.join(STOP_SECONDS)
