"""The projector under blows: killed at every step, PostgreSQL gone, two of it at once."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from commands.settings import Settings
from commands.store import Store, notify
from domain.message import Recorded
from projections import analytics, order_status, read_models
from projections.analytics_rebuild import rebuild_facts
from projections.engine import no_kill_point
from projections.rebuild import rebuild
from tests.histories import History, write
from tests.scale import scale
from workers import following, projector
from workers.local.postgres import LocalPostgres

ORDERS = scale(300, 15)
KILLS = scale(20, 2)
WAIT_SECONDS = 60.0
PLACES = [  # of a projection's batch
    "order_status.folded",
    "order_status.written",
    "order_status.committed",
    "stock_levels.written",
    "customer_history.written",
    "analytics.facts_folded",
    "analytics.facts_written",
    "analytics.facts_committed",
]
# A projector that ends itself, as by kill -9, at a place of its work.
PROGRAM = """
import os, signal, sys, threading
from commands.settings import Settings
from workers import following, projector

place = sys.argv[1]

def kill_point(at):
    if at == place:
        os.kill(os.getpid(), signal.SIGKILL)

following.BATCH_EVENTS_MAX = 100
projector.AnalyticsFacts.batches_max = 1
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
projector.run(Settings.model_validate_json(sys.stdin.read()), stop, kill_point)
"""


@contextmanager
def running(settings: Settings, place: str = "") -> Iterator[subprocess.Popen[str]]:
    """A projector in a process of its own, killed afterwards."""
    secret = settings.master_key.get_secret_value()
    values = json.dumps(settings.model_dump(mode="json") | {"master_key": secret, "providers": {}})
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(values)
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def eventually(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def caught_up(settings: Settings) -> bool:
    """Whether every projection stands at the ledger's head."""
    store = Store(settings)
    try:
        with store.connect(autocommit=True) as connection:
            head = store.head(connection)
            query = "SELECT count(*) FROM checkpoint WHERE position = %s"
            return connection.execute(query, [head]).fetchone() == (len(read_models.ALL) + 1,)
    except psycopg.Error:
        return False


def assert_equal_to_a_rebuild(settings: Settings) -> None:
    store = Store(settings)
    lake = projector.lake_of(settings).connect()
    with store.connect(autocommit=True) as connection:
        feed = partial(store.feed, connection)
        for projection in read_models.ALL:
            found = rebuild(connection, projection, settings.read_schema, feed, compare=True)
            assert found.differing == 0, found
        found = rebuild_facts(lake, feed, partial(store.earlier, connection), compare=True)
        assert found.differing == 0, found
        assert found.rows > 0
    lake.close()


@dataclass
class Busy:
    """A ledger with a history that nobody has folded yet, and that can go on."""

    settings: Settings
    history: History

    def sell(self, orders: int = ORDERS) -> None:
        store = Store(self.settings)
        with store.connect(autocommit=True) as connection:
            write(store, connection, self.history.units(orders))


@pytest.fixture
def busy(settings: Settings) -> Busy:
    busy = Busy(settings, History(3))
    busy.sell()
    return busy


def test_killed_at_any_step_nothing_is_lost_or_counted_twice(busy: Busy) -> None:
    """covers: L7. Between fold and commit, between facts and their commit, and right after."""
    for place in PLACES:
        busy.sell(2)
        with running(busy.settings, place) as process:
            assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    with running(busy.settings):
        eventually(lambda: caught_up(busy.settings))
    assert_equal_to_a_rebuild(busy.settings)


def test_killed_at_random_moments_read_models_equal_a_rebuild(busy: Busy) -> None:
    """covers: L7, R20"""
    for _ in range(KILLS):
        with running(busy.settings) as process:
            time.sleep(busy.history.random.uniform(0.8, 2.5))
            process.kill()
    with running(busy.settings):
        eventually(lambda: caught_up(busy.settings))
    assert_equal_to_a_rebuild(busy.settings)


def test_ends_cleanly_when_asked(busy: Busy) -> None:
    """covers: L21"""
    with running(busy.settings) as process:
        eventually(lambda: caught_up(busy.settings))
        process.send_signal(signal.SIGTERM)
        assert process.wait(projector.STOP_SECONDS) == 0
    assert_equal_to_a_rebuild(busy.settings)


@contextmanager
def projecting(settings: Settings) -> Iterator[threading.Thread]:
    """A projector in a thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(settings, stop))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()


def test_worker_survives_db_restart(busy: Busy, postgres: LocalPostgres) -> None:
    """covers: R23, L21"""
    with projecting(busy.settings):
        eventually(lambda: caught_up(busy.settings))
        postgres.restart()
        busy.sell()
        eventually(lambda: caught_up(busy.settings))
    assert_equal_to_a_rebuild(busy.settings)


def test_a_batch_too_long_for_its_transaction_is_halved(busy: Busy) -> None:
    """Thousands of the largest orders take longer to fold than a transaction may stand idle; the
    same batch again would do so for ever.
    """
    store, stop = Store(busy.settings), threading.Event()
    with store.connect(autocommit=True) as connection:
        head = store.head(connection)
        read_models.prepare(connection, busy.settings.read_schema)

        def slow(_row: Any, _recorded: Recorded) -> None:
            time.sleep(8 / head)  # for all events more than the 5 s that PostgreSQL allows

        model = replace(order_status.PROJECTION, fold=slow)
        target = projector.ReadModel(model, busy.settings.read_schema, no_kill_point)
        window, news = following.Window(store), following.News()
        follower = following.Follower(target, store, window, news, stop)
        follower.start()
        try:
            query = "SELECT FROM checkpoint WHERE position = %s"
            eventually(lambda: connection.execute(query, [head]).fetchone() is not None)
        finally:
            stop.set()
            follower.join()
    assert _metric("failures_total", order_status.NAME) > 0, "it was not too long"


def test_two_workers_stand_in_for_each_other(busy: Busy) -> None:
    """covers: L22. One folds, the other waits for its lease; nothing is folded twice."""
    with running(busy.settings) as first, projecting(busy.settings):
        eventually(lambda: caught_up(busy.settings))
        first.kill()
        busy.sell()
        eventually(lambda: caught_up(busy.settings))
    assert_equal_to_a_rebuild(busy.settings)


def test_news_of_the_ledger_arrive_without_waiting_for_the_poll(settings: Settings) -> None:
    """covers: L18. Well below the poll's interval, once the worker stands at the head."""
    store = Store(settings)
    with projecting(settings), store.connect(autocommit=True) as connection:
        query = "SELECT position FROM checkpoint WHERE name = 'order_status'"
        eventually(lambda: _reads(connection, query))
        write(store, connection, History(9).units(1))
        connection.execute(notify(store.channel))
        head = store.head(connection)
        eventually(lambda: connection.execute(query).fetchone() == (head,))


def _reads(connection: psycopg.Connection[Any], query: str) -> bool:
    try:
        return connection.execute(query.encode()).fetchone() is not None
    except psycopg.errors.UndefinedTable:
        return False


def _metric(name: str, projection: str) -> float:
    value = REGISTRY.get_sample_value(f"ledger_projection_{name}", {"projection": projection})
    return -1.0 if value is None else value


def test_metrics_tell_how_far_each_projection_is(busy: Busy) -> None:
    """covers: L20"""
    names = (*read_models.BY_NAME, analytics.NAME)
    with projecting(busy.settings):
        eventually(lambda: caught_up(busy.settings))
        eventually(lambda: all(_metric("lag_events", name) == 0 for name in names))
    for name in names:
        assert _metric("position", name) > 0
        assert _metric("parked_keys", name) == 0
        assert _metric("heartbeat_seconds", name) > time.time() - WAIT_SECONDS
