"""Catching up with the ledger: our read models, and the library's stock ProjectionRunner."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict

from commands.migrate import migrate
from commands.settings import Settings
from commands.store import Store
from projections import order_status, read_models
from projections.engine import BATCH_EVENTS_MAX, Engine
from tests.bench.rounds import Contestant, console, interleave, per_second, ratio, table
from tests.bench.shop import fill
from tests.servers import fresh_database, settings_of
from workers import projector
from workers.calm import calm_gc
from workers.local.postgres import LocalPostgres

FOLLOWERS = len(read_models.ALL) + 1  # and the analytics facts
TARGET_ALONE = 30.0
TARGET_ALL = 10.0
ORDERS_PER_SECOND = 1_000  # asked for on the command line: what ours has to fold in each round
STOCK_EVENTS_PER_SECOND = 500
SAVED_AT_ONCE = 200


def run(postgres: LocalPostgres, directory: Path, seconds: float) -> None:
    with fresh_database(postgres) as url:
        settings = settings_of(url, directory)
        migrate(settings)
        head = fill(settings, round(ORDERS_PER_SECOND * seconds))
        events = StatusChanges(url, round(STOCK_EVENTS_PER_SECOND * seconds))

        def one(_seconds: float) -> float:
            forget(settings)
            return alone(settings)

        def everything(_seconds: float) -> float:
            forget(settings)
            return together(settings, head)

        contestants: dict[str, Contestant] = {
            "alone": one,
            "all": everything,
            "stock": lambda _: events.fold(),
        }
        rates = interleave(contestants, seconds)
    found = table(
        f"Events folded per second, from nothing to the head ({head:,} events of the ledger)",
        *("read models", "ours", "stock ProjectionRunner", "ours : stock"),
    )
    for name, target in (("alone", TARGET_ALONE), ("all", TARGET_ALL)):
        models = "order_status" if name == "alone" else "all, and the analytics facts"
        times = str(ratio(rates[name], rates["stock"], target))
        found.add_row(models, per_second(rates[name]), per_second(rates["stock"]), times)
    console.print(found)


def alone(settings: Settings) -> float:
    """One engine in one process, as fast as it folds."""
    store = Store(settings)
    engine = Engine(order_status.PROJECTION, settings.read_schema)
    with calm_gc(), store.connect(autocommit=True) as connection:
        engine.prepare(connection)
        start, after = time.perf_counter(), 0
        while batch := store.feed(connection, after, BATCH_EVENTS_MAX):
            after = engine.apply(connection, batch, after)
        return after / (time.perf_counter() - start)


def together(settings: Settings, head: int) -> float:
    """The projector: each read model and the analytics facts in a thread of its own."""
    stop = threading.Event()
    worker = threading.Thread(target=projector.run, args=(settings, stop))
    worker.start()
    with Store(settings).connect(autocommit=True) as connection:
        _wait(connection, "max(position) > 0")  # Opening the lake is no folding.
        start = time.perf_counter()
        row = connection.execute("SELECT sum(position) FROM checkpoint").fetchone() or (0,)
        left = head - float(row[0]) / FOLLOWERS  # A batch is a good part of all there is.
        _wait(connection, f"count(*) FILTER (WHERE position >= {head}) = {FOLLOWERS}")
        seconds = time.perf_counter() - start
    stop.set()
    worker.join()
    return left / seconds


def _wait(connection: psycopg.Connection[Any], condition: str) -> None:
    while True:
        with suppress(psycopg.errors.UndefinedTable):
            row = connection.execute(f"SELECT {condition} FROM checkpoint".encode()).fetchone()
            if row == (True,):
                return
        time.sleep(0.01)


def forget(settings: Settings) -> None:
    """Read models and facts as they were before anything was folded."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
        for schema in (settings.read_schema, settings.analytics_schema):
            owner.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    shutil.rmtree(settings.analytics_path, ignore_errors=True)
    migrate(settings)


class Parcel(Aggregate):
    """The library's way, with about as much in it as one of our orders' changes."""

    @event("Dispatched")
    def __init__(self, number: str) -> None:
        self.number = number
        self.status = "dispatched"

    @event("Scanned")
    def scan(self, status: str) -> None:
        self.status = status


class Desks(Application[UUID]):
    pass


class Statuses(PostgresTrackingRecorder):
    """One row a parcel, and the place in the application's log, in one transaction."""

    def create_table(self) -> None:
        super().create_table()
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS status (id uuid PRIMARY KEY, shown text)")

    def show(self, parcel: UUID, status: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                """INSERT INTO status VALUES (%s, %s)
                ON CONFLICT (id) DO UPDATE SET shown = excluded.shown""",
                [parcel, status],
                prepare=True,
            )


class ShowStatus(Projection[Statuses]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        status = getattr(domain_event, "status", "dispatched")
        self.view.show(domain_event.originator_id, status, tracking)


class StatusChanges:
    """So many events of an application of the library, to be folded by its own runner."""

    def __init__(self, url: str, count: int) -> None:
        target = conninfo_to_dict(url)
        names = ("dbname", "host", "port", "user", "password")
        self._url = url
        self._count = count
        self._environment = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            **{f"POSTGRES_{name.upper()}": str(target[name]) for name in names},
        }
        with Desks(env=self._environment) as desks:
            for start in range(0, count // 2, SAVED_AT_ONCE):
                parcels = [Parcel(f"T-{n}") for n in range(start, start + SAVED_AT_ONCE)]
                for parcel in parcels:
                    parcel.scan("in_transit")
                desks.save(*parcels)
            last = desks.recorder.max_notification_id()
        assert last is not None
        self._last = last

    def fold(self) -> float:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS status, showstatus_tracking")
        construct = partial(
            ProjectionRunner[Desks, Statuses],
            application_class=Desks,
            projection_class=ShowStatus,
            view_class=Statuses,
            env=self._environment,
        )
        start = time.perf_counter()
        with construct() as runner:
            while not runner.view.has_tracking_id("Desks", self._last):
                time.sleep(0.01)
            return self._last / (time.perf_counter() - start)
