"""Folds again on request: a whole read model beside the live one, or one key that was set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import duckdb
import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from commands.append import stream_id
from commands.settings import Settings
from commands.store import Store
from domain.message import Recorded, StreamName
from projections import checkpoint
from projections import deadlines as deadline_model
from projections.analytics import NAME as ANALYTICS
from projections.analytics import FactWriter
from projections.analytics_rebuild import rebuild_facts
from projections.engine import Engine, VersionMismatch, create_tables
from projections.rebuild import Feed, Rebuilt
from projections.rebuild import rebuild as rebuild_model
from projections.rebuild import release as release_key
from workers import deadline_rows, intake, messenger
from workers.entry import NotConfigured
from workers.projector import PROJECTIONS, lake_of

NAMES = (*(projection.name for projection in PROJECTIONS), deadline_model.NAME, ANALYTICS)
# Workers that set aside what they follow, and how each takes it up again.
OF_WORKERS: dict[str, Callable[[Settings, Connection, str], None]] = {
    deadline_model.NAME: deadline_rows.release,
    messenger.NAME: messenger.release,
    intake.NAME: intake.release,
}
# Before each try to release facts: the projector's commits make ours fail.
RELEASE_PAUSES_SECONDS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def rebuild(settings: Settings, name: str, *, compare: bool) -> Iterator[Rebuilt]:
    """Rebuild one projection or `all`, the live ones staying readable. Raises NotConfigured."""
    for one in NAMES if name == "all" else (_known(name),):
        with _unhurried(settings) as connection:
            yield _rebuild(settings, connection, one, compare=compare)


@contextmanager
def _unhurried(settings: Settings) -> Iterator[Connection]:
    """Whole tables are compared, and a whole ledger is read, while one checkpoint is held still.
    Each statement in there has its own bound.
    """
    with Store(settings).connect(autocommit=True) as connection:
        connection.execute("SET transaction_timeout = 0")
        yield connection


def _rebuild(settings: Settings, connection: Connection, name: str, *, compare: bool) -> Rebuilt:
    feed = _feed(settings, connection)
    if name == deadline_model.NAME:
        return deadline_rows.rebuild(settings, connection, compare=compare)
    if name == ANALYTICS:
        with closing(lake_of(settings).connect()) as lake:
            return rebuild_facts(lake, feed, _earlier(settings, connection), compare=compare)
    projection = next(one for one in PROJECTIONS if one.name == name)
    return rebuild_model(connection, projection, settings.read_schema, feed, compare=compare)


def outdated(settings: Settings) -> list[str]:
    """Read models that another version of their projection has folded."""
    found = []
    with Store(settings).connect(autocommit=True) as connection:
        for projection in PROJECTIONS:
            try:
                Engine(projection, settings.read_schema).prepare(connection)
            except VersionMismatch:
                found.append(projection.name)
        if deadline_model.is_of_another_version(connection):
            found.append(deadline_model.NAME)
    return found


def parked(settings: Settings) -> list[dict[str, Any]]:
    """Keys set aside: {projection, key, position, error, parked_at}."""
    store = Store(settings)
    with store.connect(autocommit=True) as connection:
        store.head(connection)  # Without a ledger, this is what fails.
        cursor = connection.cursor(row_factory=dict_row)
        try:
            return cursor.execute(checkpoint.PARKED).fetchall()
        except psycopg.errors.UndefinedTable:  # No projection has run yet.
            return []


class NotReleased(Exception):
    """A key stays as it is; the message says why."""


def release(settings: Settings, name: str, key: str) -> None:
    """Fold a key again and go on with it.

    Raises NotConfigured for what is no projection, NotReleased for a key that is not parked or
    still fails.
    """
    if name not in OF_WORKERS:
        _known(name)
    with _unhurried(settings) as connection:
        if name == ANALYTICS:
            _release_facts(settings, connection, key)
        elif name in OF_WORKERS:
            _release_of_worker(settings, connection, name, key)
        else:
            _release_row(settings, connection, name, key)


def _release_row(settings: Settings, connection: Connection, name: str, key: str) -> None:
    projection = next(one for one in PROJECTIONS if one.name == name)
    engine: Engine[Any] = Engine(projection, settings.read_schema)
    engine.prepare(connection)
    if connection.execute(checkpoint.PARKED_AT, [name, key]).fetchone() is None:
        raise _not_parked(name, key)
    position = release_key(connection, engine, key, _feed(settings, connection))
    if position is not None:
        raise NotReleased(f"{name}/{key} still fails at position {position}")


def _release_of_worker(settings: Settings, connection: Connection, name: str, key: str) -> None:
    with connection.transaction():
        create_tables(connection, settings.read_schema)
    if connection.execute(checkpoint.PARKED_AT, [name, key]).fetchone() is None:
        raise _not_parked(name, key)
    try:
        OF_WORKERS[name](settings, connection, key)
    except psycopg.Error:
        raise
    except Exception as error:
        raise NotReleased(f"{name}/{key} still fails: {error!r}") from error


def _release_facts(settings: Settings, connection: Connection, key: str) -> None:
    with closing(lake_of(settings).connect()) as lake:
        writer = FactWriter(lake, _earlier(settings, connection))
        writer.prepare()
        if key not in writer.parked():
            raise _not_parked(ANALYTICS, key)
        stream = stream_id(settings.namespace, StreamName("order", key))
        for pause in RELEASE_PAUSES_SECONDS:
            time.sleep(pause)
            try:
                return writer.release(key, stream)
            except (duckdb.TransactionException, checkpoint.Overtaken):
                continue  # The projector committed meanwhile.
            except (duckdb.Error, psycopg.Error):
                raise
            except Exception as error:
                raise NotReleased(f"{ANALYTICS}/{key} still fails: {error!r}") from error
        raise NotReleased(f"{ANALYTICS}/{key}: the projector committed during every try; try again")


def _not_parked(name: str, key: str) -> NotReleased:
    return NotReleased(f"{name}/{key} is not parked: `ledger park` lists what is")


def _known(name: str) -> str:
    if name not in NAMES:
        raise NotConfigured(f"{name} is no projection: {', '.join(NAMES)}")
    return name


def _feed(settings: Settings, connection: Connection) -> Feed:
    return partial(Store(settings).feed, connection)


def _earlier(settings: Settings, connection: Connection) -> Any:
    def earlier(streams: Sequence[Any], below: int) -> Sequence[Recorded]:
        return Store(settings).earlier(connection, streams, below)

    return earlier
