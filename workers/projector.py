"""Keeps the read models and the analytics facts at the head of the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import structlog
from psycopg import Connection

from commands.settings import Settings
from commands.store import Store
from domain.message import Recorded
from projections import checkpoint, read_models
from projections.analytics import NAME as ANALYTICS
from projections.analytics import VERSION as ANALYTICS_VERSION
from projections.analytics import FactWriter, Lake
from projections.engine import Engine, Projection, create_tables, no_kill_point
from workers.calm import calm_gc
from workers.following import Follower, News, Target, Window, listen

MODEL_BATCHES_MAX = 2  # in one transaction, the engine's BATCH_EVENTS_MAX
FACTS_BATCHES_MAX = 2  # in one commit: a commit to the lake costs 40 ms and more
FACTS_COMMIT_SECONDS = 0.25  # between commits of fewer events than a batch
FACTS_MAINTENANCE_SECONDS = 300.0
STOP_SECONDS = 15.0

PROJECTIONS = read_models.ALL

KillPoint = Callable[[str], None]
log = structlog.get_logger()


class ReadModel:
    batches_max = MODEL_BATCHES_MAX

    def __init__(self, projection: Projection[Any], schema: str, kill_point: KillPoint) -> None:
        self._new = partial(Engine, projection, schema, kill_point=kill_point)
        self._engine: Engine[Any] = self._new()
        self.name = projection.name

    def open(self, connection: Connection, stack: ExitStack) -> int:  # noqa: ARG002
        self._engine = self._new()
        self._engine.prepare(connection)
        return self._engine.position(connection)

    def apply(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int:
        return self._engine.apply(connection, batch, after)

    def position(self, connection: Connection) -> int:
        return self._engine.position(connection)

    def rest(self, connection: Connection) -> float:  # noqa: ARG002
        return 0.0


class AnalyticsFacts:
    """The facts; their checkpoint is copied into PostgreSQL, where lag and waiting look."""

    name = ANALYTICS
    batches_max = FACTS_BATCHES_MAX

    def __init__(self, store: Store, lake: Lake, schema: str, kill_point: KillPoint) -> None:
        self._store = store
        self._lake = lake
        self._schema = schema
        self._kill_point = kill_point
        self._writer: FactWriter
        self._maintained = time.monotonic()

    def open(self, connection: Connection, stack: ExitStack) -> int:
        lake = self._lake.connect()
        stack.callback(lake.close)
        earlier = partial(self._store.earlier, connection)
        self._writer = FactWriter(lake, earlier, kill_point=self._kill_point)
        self._writer.prepare()
        with connection.transaction():
            create_tables(connection, self._schema)
        return self.position(connection)

    def apply(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int:
        position = self._writer.apply(batch, after)
        self._mirror(connection, position, batch[-1])
        return position

    def position(self, connection: Connection) -> int:
        position = self._writer.position()
        self._mirror(connection, position, None)
        return position

    def _mirror(self, connection: Connection, position: int, last: Recorded | None) -> None:
        parked = self._writer.parked()
        with connection.transaction():
            values = [ANALYTICS, ANALYTICS_VERSION, position, last and last.recorded_at]
            connection.execute(checkpoint.MIRROR, values)
            connection.execute(checkpoint.UNPARK_ALL, [ANALYTICS])
            for key, (at, error) in parked.items():
                connection.execute(checkpoint.PARK, [ANALYTICS, key, at, error])

    def rest(self, connection: Connection) -> float:  # noqa: ARG002
        if time.monotonic() - self._maintained > FACTS_MAINTENANCE_SECONDS:
            self._maintained = time.monotonic()
            self._writer.maintain()
        return FACTS_COMMIT_SECONDS


def lake_of(settings: Settings) -> Lake:
    return Lake(
        settings.postgres_url,
        settings.analytics_schema,
        settings.role,
        settings.analytics_path,
        settings.analytics_threads,
        settings.analytics_memory_limit,
    )


def targets(settings: Settings, store: Store, kill_point: KillPoint) -> list[Target]:
    schema = settings.read_schema
    models: list[Target] = [ReadModel(p, schema, _named(kill_point, p.name)) for p in PROJECTIONS]
    facts = AnalyticsFacts(store, lake_of(settings), schema, _named(kill_point, ANALYTICS))
    return [*models, facts]


def _named(kill_point: KillPoint, name: str) -> KillPoint:
    return lambda place: kill_point(f"{name}.{place}")


def run(settings: Settings, stop: threading.Event, kill_point: KillPoint = no_kill_point) -> None:
    """Follow the ledger until `stop` is set. Each target has its own thread and checkpoint, so a
    slow one holds nothing up; what they read, they decode once.
    """
    store = Store(settings)
    window, news = Window(store), News()
    followers = [
        Follower(target, store, window, news, stop)
        for target in targets(settings, store, kill_point)
    ]
    listener = threading.Thread(
        target=listen, args=(store, news, stop), name="projector-listen", daemon=True
    )
    with calm_gc():
        threads = [listener, *followers]
        for thread in threads:
            thread.start()
        stop.wait()
        news.tell()
        for thread in threads:
            thread.join(STOP_SECONDS)
    log.info("projector_stopped", left=[t.name for t in threads if t.is_alive()])
