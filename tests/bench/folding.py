"""Catching up with the ledger: our read models, and the library's stock ProjectionRunner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
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
from projections import customer_history, order_status, stock_levels
from projections.engine import BATCH_EVENTS_MAX, Engine
from tests.bench.rounds import Contestant, console, interleave, per_second, ratio, table
from tests.carrier import Desk
from tests.servers import fresh_database, settings_of
from workers.local.postgres import LocalPostgres

ALONE = (order_status.PROJECTION,)
ALL = (order_status.PROJECTION, customer_history.PROJECTION, stock_levels.PROJECTION)
TARGET_ALONE = 30.0
TARGET_ALL = 10.0
ORDERS_PER_SECOND = 1_500  # asked for on the command line: what ours has to fold in each round
STOCK_EVENTS_PER_SECOND = 500
SAVED_AT_ONCE = 200


def run(postgres: LocalPostgres, seconds: float) -> None:
    with fresh_database(postgres) as url:
        settings = settings_of(url)
        migrate(settings)
        Desk(settings).dispatch([f"T-{n}" for n in range(round(ORDERS_PER_SECOND * seconds))])
        events = StatusChanges(url, round(STOCK_EVENTS_PER_SECOND * seconds))
        contestants: dict[str, Contestant] = {
            "alone": lambda _: ours(settings, ALONE),
            "all": lambda _: ours(settings, ALL),
            "stock": lambda _: events.fold(),
        }
        rates = interleave(contestants, seconds)
    found = table(
        "Events folded per second, from an empty table to the head of the ledger",
        *("read models", "ours", "stock ProjectionRunner", "ours : stock"),
    )
    for name, target in (("alone", TARGET_ALONE), ("all", TARGET_ALL)):
        models = "order_status" if name == "alone" else "all together"
        times = str(ratio(rates[name], rates["stock"], target))
        found.add_row(models, per_second(rates[name]), per_second(rates["stock"]), times)
    console.print(found)


def ours(settings: Settings, projections: Sequence[Any]) -> float:
    """One process, as the projector does it: a batch is read once and handed to each engine."""
    store, schema = Store(settings), settings.read_schema
    with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
        owner.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    migrate(settings)
    engines = [Engine(projection, schema) for projection in projections]
    with store.connect(autocommit=True) as connection:
        for engine in engines:
            engine.prepare(connection)
        start, after = time.perf_counter(), 0
        while batch := store.feed(connection, after, BATCH_EVENTS_MAX):
            for engine in engines:
                engine.apply(connection, batch, after)
            after = batch[-1].position
        return after / (time.perf_counter() - start)


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
