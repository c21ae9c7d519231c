"""Tracking under fire: workers killed, servers restarted; every update is in the ledger once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from commands.settings import Settings
from commands.store import Store
from tests.carrier import (
    DEAD,
    OFFSETS,
    SCANS,
    WAITING,
    Desk,
    number_of,
    rows,
    scan,
    sending,
    wait_until,
    worker,
)
from tests.scale import scale
from workers import ingest, tracking, tracking_records
from workers.entry import environment
from workers.local.kafka import LocalKafka
from workers.local.postgres import LocalPostgres

# A client of kafka-python that finds no broker leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PARCELS = 20
SECONDS = 120.0
# Of every partition, what was counted: positions, commands and offsets must tell the same.
COMMANDS = "SELECT count(*) FROM ledger_command WHERE actor LIKE 'carrier/%%'"
GAPS = "SELECT count(*) - coalesce(max(position), 0) FROM ledger_event"
KILL_SECONDS = (0.05, 1.0)  # after the first sign of work


class Load:
    """Scans that come all the time: of known parcels, some twice, some of parcels that wait."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings = settings
        self.count = count
        self.numbers = [f"SF{n}" for n in range(PARCELS)]
        self.sent = self.known = self.garbage = 0

    def send(self, pause_seconds: float = 0.0, batch: int = 50) -> None:
        with sending(self.settings) as send:
            for start in range(0, self.count, batch):
                values = [self._value(n) for n in range(start, min(start + batch, self.count))]
                send(*values)
                self.sent += len(values)
                time.sleep(pause_seconds)

    def _value(self, n: int) -> object:
        if n % 97 == 96:
            self.garbage += 1
            return b"garbage %d" % n
        self.known += 1
        return scan(self.numbers[n % PARCELS], at=1 + n // PARCELS)

    def check(self) -> None:
        """Nothing lost, nothing twice, nothing left over."""
        assert number_of(self.settings, OFFSETS) == self.sent
        assert number_of(self.settings, SCANS) == self.known
        assert number_of(self.settings, COMMANDS) == self.known
        assert number_of(self.settings, DEAD) == self.garbage
        assert number_of(self.settings, WAITING) == 0
        assert number_of(self.settings, GAPS) == 0
        twice = "SELECT stream_id FROM ledger_event_json WHERE topic = 'parcel.tracked.v1'"
        grouped = f"{twice} GROUP BY stream_id, state ->> 'scan_id' HAVING count(*) > 1"
        assert rows(self.settings, grouped) == []

    def wait(self) -> None:
        wait_until(lambda: self._offset() >= self.sent and self._waiting() == 0, SECONDS)

    def _offset(self) -> int:
        return patiently(lambda: number_of(self.settings, OFFSETS))

    def _waiting(self) -> int:
        return patiently(lambda: number_of(self.settings, WAITING))


def patiently(look: Callable[[], int]) -> int:
    """While PostgreSQL is away nothing is to be seen."""
    try:
        return look()
    except psycopg.OperationalError:
        return -1


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "tracking.log"


@contextmanager
def process(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The worker as operators run it."""
    with log.open("ab") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "workers", "tracking"],
            env=environment(settings),
            stdout=file,
            stderr=file,
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def test_killed_in_the_middle_of_a_batch_it_loses_nothing_and_counts_nothing_twice(
    tracked: Settings, log: Path
):
    """covers: A11, L31, L7"""
    load = Load(tracked, scale(20_000, 1_500))
    Desk(tracked).dispatch(load.numbers[: PARCELS // 2])
    feeding = threading.Thread(target=load.send, kwargs={"pause_seconds": 0.05})
    feeding.start()
    dice = random.Random(7)
    for _ in range(scale(20, 3)):
        before = number_of(tracked, OFFSETS)
        with process(tracked, log) as running:
            wait_until(lambda: number_of(tracked, OFFSETS) > before or load.sent == before)  # noqa: B023
            time.sleep(dice.uniform(*KILL_SECONDS))
            os.kill(running.pid, signal.SIGKILL)
    feeding.join()
    Desk(tracked).dispatch(load.numbers[PARCELS // 2 :])
    with process(tracked, log) as running:
        load.wait()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0, log.read_text()
    load.check()


def test_postgres_and_kafka_restarted_under_load_are_survived_by_itself(
    tracked: Settings, postgres: LocalPostgres, kafka: LocalKafka
):
    """covers: R23, L21"""
    load = Load(tracked, scale(10_000, 1_000))
    Desk(tracked).dispatch(load.numbers)
    feeding = threading.Thread(target=load.send, kwargs={"pause_seconds": 0.2})
    with worker(tracked):
        feeding.start()
        wait_until(lambda: number_of(tracked, OFFSETS) > 0)
        postgres.restart()
        wait_until(lambda: patiently(lambda: number_of(tracked, OFFSETS)) > 100, SECONDS)
        kafka.restart()
        before = number_of(tracked, OFFSETS)
        wait_until(lambda: load.sent == load.count or number_of(tracked, OFFSETS) > before, SECONDS)
        postgres.kill()
        kafka.kill()
        kafka.start()
        postgres.start()
        feeding.join(timeout=SECONDS)
        assert not feeding.is_alive()
        load.wait()
    load.check()


def test_a_database_that_is_held_up_delays_the_batch_and_no_more(tracked: Settings):
    """Another's lock on the offsets is waited for, within bounds, and the batch comes again."""
    load = Load(tracked, 200)
    Desk(tracked).dispatch(load.numbers)
    load.send()
    before = tracking.RETRIES.labels("LockNotAvailable")._value.get()
    with psycopg.connect(tracked.postgres_url) as holder:
        holder.execute(f'LOCK TABLE "{tracked.name}".ingest_offset IN SHARE MODE')
        with worker(tracked):
            wait_until(
                lambda: tracking.RETRIES.labels("LockNotAvailable")._value.get() > before, SECONDS
            )
            assert number_of(tracked, SCANS) == 0
            holder.rollback()
            load.wait()
    load.check()


class Impatient(Store):
    """Its transactions may stand idle for so short a time that a large batch takes longer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.session["options"] += " -c idle_in_transaction_session_timeout=40ms"


@pytest.mark.parametrize("dispatched", ["before the scans", "while the scans wait"])
def test_a_batch_that_takes_longer_than_a_transaction_may_stand_idle_comes_in_by_parts(
    tracked: Settings, monkeypatch: pytest.MonkeyPatch, dispatched: str
):
    """covers: L19, L31 - the same batch again would fail for ever."""
    numbers = [f"SF{n}" for n in range(500)]
    if dispatched == "before the scans":
        Desk(tracked).dispatch(numbers)
    with sending(tracked) as send:
        send(*[scan(number, "delivered") for number in numbers], partition=0)
    if dispatched == "while the scans wait":
        with worker(tracked):
            wait_until(lambda: number_of(tracked, WAITING) == len(numbers))
        Desk(tracked).dispatch(numbers)
    monkeypatch.setattr(tracking, "Store", Impatient)
    before = tracking.SESSIONS._value.get()
    with worker(tracked):
        wait_until(lambda: number_of(tracked, SCANS) == len(numbers), SECONDS)
    assert tracking.SESSIONS._value.get() > before + 1, "no batch took too long"
    assert number_of(tracked, WAITING) == number_of(tracked, DEAD) == number_of(tracked, GAPS) == 0
    assert number_of(tracked, OFFSETS) == number_of(tracked, COMMANDS) == len(numbers)


def test_one_record_that_the_code_cannot_apply_is_set_aside_alone(
    tracked: Settings, monkeypatch: pytest.MonkeyPatch
):
    """covers: L19 - a fault of ours, not of the record's form: its neighbours still come in."""
    load = Load(tracked, 200)
    Desk(tracked).dispatch(load.numbers)
    load.send()
    with sending(tracked) as send:
        send(scan("SF3", "customs", 500, note="trips the code"))
    track = tracking_records.track

    def trips(update, parcel_id, at):
        if update.note == "trips the code":
            raise KeyError("no such place")
        return track(update, parcel_id, at)

    monkeypatch.setattr(ingest, "track", trips)
    with worker(tracked):
        wait_until(lambda: number_of(tracked, OFFSETS) == load.sent + 1, SECONDS)
    reasons = [reason for (reason,) in rows(tracked, "SELECT reason FROM dead_letter")]
    assert reasons.count("cannot be applied: KeyError") == 1
    assert number_of(tracked, SCANS) == load.known
