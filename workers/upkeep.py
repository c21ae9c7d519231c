"""Folds again on request: a whole read model beside the live one, or one key that was set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from commands.settings import Settings
from commands.store import Store, stream_id
from domain.message import Recorded, StreamName
from projections import checkpoint
from projections.analytics import NAME as ANALYTICS
from projections.analytics import FactWriter
from projections.analytics_rebuild import rebuild_facts
from projections.engine import Engine
from projections.rebuild import Feed, Rebuilt
from projections.rebuild import rebuild as rebuild_model
from projections.rebuild import release as release_key
from workers.entry import NotConfigured
from workers.projector import PROJECTIONS, lake_of

NAMES = (*(projection.name for projection in PROJECTIONS), ANALYTICS)


def rebuild(settings: Settings, name: str, *, compare: bool) -> Iterator[Rebuilt]:
    """Rebuild one projection or `all`, the live ones staying readable. Raises NotConfigured."""
    for one in NAMES if name == "all" else (_known(name),):
        with Store(settings).connect(autocommit=True) as connection:
            yield _rebuild(settings, connection, one, compare=compare)


def _rebuild(settings: Settings, connection: Connection, name: str, *, compare: bool) -> Rebuilt:
    feed = _feed(settings, connection)
    if name == ANALYTICS:
        with closing(lake_of(settings).connect()) as lake:
            return rebuild_facts(lake, feed, _earlier(settings, connection), compare=compare)
    projection = next(one for one in PROJECTIONS if one.name == name)
    return rebuild_model(connection, projection, settings.read_schema, feed, compare=compare)


def parked(settings: Settings) -> list[dict[str, Any]]:
    """Keys set aside: {projection, key, position, error, parked_at}."""
    with Store(settings).connect(autocommit=True) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(checkpoint.PARKED).fetchall()


def release(settings: Settings, name: str, key: str) -> int | None:
    """Fold a key again and go on with it; the position that still fails, or None.

    Raises NotConfigured for what is no projection, KeyError for a key that is not parked.
    """
    with Store(settings).connect(autocommit=True) as connection:
        if _known(name) == ANALYTICS:
            _release_facts(settings, connection, key)
            return None
        projection = next(one for one in PROJECTIONS if one.name == name)
        engine: Engine[Any] = Engine(projection, settings.read_schema)
        engine.prepare(connection)
        return release_key(connection, engine, key, _feed(settings, connection))


def _release_facts(settings: Settings, connection: Connection, key: str) -> None:
    with closing(lake_of(settings).connect()) as lake:
        writer = FactWriter(lake, _earlier(settings, connection))
        writer.prepare()
        writer.release(key, stream_id(settings.namespace, StreamName("order", key)))


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
