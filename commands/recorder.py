"""Runs applications of the eventsourcing library on the ledger: its recorders over `ledger_append`.

`PERSISTENCE_MODULE=commands.recorder` with the library's POSTGRES_… settings; each application has
a ledger of its own, `library_<name>`. Snapshots and tracking use the library's stock tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Any, LiteralString
from urllib.parse import quote
from uuid import UUID, uuid4, uuid5

import psycopg
from eventsourcing import postgres  # The library wants one factory among a module's names.
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    InterfaceError,
    ListenNotifySubscription,
    Notification,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
)
from eventsourcing.utils import Environment, EnvType, retry
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from commands.append import APPEND, Rows, Unit, answers
from commands.migrate import migrate
from commands.settings import Settings
from commands.store import Store, notify, session_options

LIBRARY = "library"  # actor, origin and category of what comes through here; prefix of ledgers
POOL_CONNECTIONS_MIN = 5
POOL_CONNECTIONS_MORE = 10
TRIES_MAX = 10
RETRY_SECONDS = 0.2
RECONNECT_SECONDS = 0.05
POLL_SECONDS = 0.2  # of a subscription: notifications get lost

EVENTS = "SELECT stream_id, key, version, topic, state FROM ledger_event WHERE stream_id = %s"
NOTIFICATIONS = (
    "SELECT stream_id, key, version, topic, state, position FROM ledger_event WHERE true"
)
LAST = "SELECT max(position) FROM ledger_event"

# As the stock recorder does. An append repeats its command id, so it is never doubled.
retried = retry((InterfaceError, OperationalError), max_attempts=TRIES_MAX, wait=RETRY_SECONDS)


class LedgerDatastore(postgres.PostgresDatastore):
    """The library's connection pool (it also maps psycopg's errors), on sessions of one ledger."""

    def __init__(
        self,
        settings: Settings,
        pool_size: int = POOL_CONNECTIONS_MIN,
        max_overflow: int = POOL_CONNECTIONS_MORE,
    ) -> None:
        target = conninfo_to_dict(settings.postgres_url)
        dbname, host, port, user, password = (
            str(target.get(name) or "") for name in ("dbname", "host", "port", "user", "password")
        )
        super().__init__(
            dbname,
            host,
            port,
            user,
            password,
            idle_in_transaction_session_timeout=5,
            pool_size=pool_size,
            max_overflow=max_overflow,
            schema=settings.read_schema,
        )
        assert isinstance(self.pool.kwargs, dict)
        self.pool.kwargs |= {**target, **session_options(settings)}
        self.settings = settings


class LedgerApplicationRecorder(ApplicationRecorder):
    """Events of one application in one ledger; notification ids are positions, without gaps.

    Versions of a stream are contiguous, from 0 or 1. Originator ids are UUIDs or text.
    """

    def __init__(self, datastore: LedgerDatastore) -> None:
        self.datastore = datastore
        self.store = Store(datastore.settings)
        self._notify = notify(self.store.channel)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append all or none. Raises IntegrityError when a version is taken or leaves a gap."""
        if not stored_events and not kwargs:
            return []
        parameters = self._parameters(stored_events)
        ids: list[int] = self._append(parameters, len(stored_events), **kwargs)
        return ids

    @retried
    def _append(self, parameters: list[str], count: int, **kwargs: Any) -> list[int]:
        with self.datastore.get_connection() as connection:
            # One statement is a transaction by itself: BEGIN and COMMIT would be two round trips.
            with connection.transaction() if kwargs else nullcontext():
                self._insert_beside(connection, **kwargs)
                last = self._position(connection, parameters) if count else 0
            connection.execute(self._notify)  # After the commit: inside it would serialise all.
        return [*range(last - count + 1, last + 1)] if count else []

    def _insert_beside(self, connection: Connection[Any], **kwargs: Any) -> None:
        """What has to commit with the events: nothing here."""

    def _position(self, connection: Connection[Any], parameters: list[str]) -> int:
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            answer = answers([Unit()], cursor.execute(APPEND, parameters))[0]
        if answer.repeats:  # Committed by a try whose answer was lost.
            position = answer.repeats[0].position
        elif answer.missed:
            raise IntegrityError("another writer was first, or versions leave a gap")
        else:
            position = answer.positions[0]
        assert position is not None
        return position

    def _parameters(self, stored_events: Sequence[StoredEvent]) -> list[str]:
        now, rows = datetime.now(UTC), Rows(commands=[_command(uuid4())])
        places: dict[UUID, int] = {}
        nexts: dict[UUID, int] = {}
        for event in stored_events:
            stream, version = self._stream(event.originator_id), event.originator_version
            if nexts.get(stream, version) != version:
                raise IntegrityError(f"{event.originator_id} has no version before {version}")
            nexts[stream] = version + 1
            if stream not in places:
                key = str(event.originator_id)
                rows.streams.append((0, stream, LIBRARY, key, version - 1, True))
                places[stream] = len(rows.streams)
            rows.events.append((1, places[stream], event.topic, event.state, now))
        return rows.parameters()

    def _stream(self, originator_id: UUID | str) -> UUID:
        if isinstance(originator_id, UUID):
            return originator_id
        return uuid5(self.store.namespace, f"{LIBRARY}/{originator_id}")

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        order = "ORDER BY version DESC" if desc else "ORDER BY version"
        query, values = _where(EVENTS, ("AND version > %s", gt), ("AND version <= %s", lte))
        rows = self._select(
            f"{query} {order} LIMIT %s", [self._stream(originator_id), *values, limit]
        )
        return [StoredEvent(_originator(stream, key), *rest) for stream, key, *rest in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        query, values = _where(
            NOTIFICATIONS,
            ("AND position >= %s" if inclusive_of_start else "AND position > %s", start),
            ("AND position <= %s", stop),
            ("AND topic = ANY(%s)", list(topics) or None),
        )
        rows = self._select(f"{query} ORDER BY position LIMIT %s", [*values, limit])
        return [Notification(_originator(stream, key), *rest) for stream, key, *rest in rows]

    def max_notification_id(self) -> int | None:
        [(last,)] = self._select(LAST, [])
        return last if last is None else int(last)

    @retried
    def _select(self, query: LiteralString, values: list[Any]) -> list[tuple[Any, ...]]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            return cursor.execute(query, values, prepare=True).fetchall()

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        return LedgerSubscription(self, gt, topics)


class LedgerProcessRecorder(LedgerApplicationRecorder, ProcessRecorder):
    """For applications that follow others: where they stand commits with their events."""

    def __init__(
        self, datastore: LedgerDatastore, tracking_table_name: str = "notification_tracking"
    ) -> None:
        super().__init__(datastore)
        self.tracking = postgres.PostgresTrackingRecorder(
            datastore, tracking_table_name=tracking_table_name
        )

    def _insert_beside(
        self, connection: Connection[Any], tracking: Tracking | None = None, **_: Any
    ) -> None:
        if tracking is not None:
            self.tracking._insert_tracking(connection.cursor(), tracking)

    def insert_tracking(self, tracking: Tracking) -> None:
        self.tracking.insert_tracking(tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        last: int | None = self.tracking.max_tracking_id(application_name)
        return last


class LedgerSubscription(ListenNotifySubscription[LedgerApplicationRecorder]):
    """Follows the ledger: listens on a connection of its own, and polls. Outlives a lost server."""

    def __init__(
        self, recorder: LedgerApplicationRecorder, gt: int | None, topics: Sequence[str]
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._listen_thread = Thread(target=self._listen)
        self._listen_thread.start()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._listen_thread.join()

    def _listen(self) -> None:
        while not self._has_been_stopped:
            with suppress(psycopg.OperationalError):
                self._listen_until_lost()
            time.sleep(RECONNECT_SECONDS)

    def _listen_until_lost(self) -> None:
        store = self._recorder.store
        with store.connect(autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(store.channel))
            )
            while not self._has_been_stopped:
                for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                    pass
                self._has_been_notified.set()


class Factory(postgres.PostgresFactory):
    """The library's factory for PostgreSQL, with the events of each application in a ledger."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        self._ledger: LedgerDatastore | None = None

    def application_recorder(self) -> ApplicationRecorder:
        return LedgerApplicationRecorder(self._ledger_datastore())

    def process_recorder(self) -> ProcessRecorder:
        prefix = self.env.name.lower() or "notification"
        recorder = LedgerProcessRecorder(self._ledger_datastore(), f"{prefix}_tracking")
        if self.env_create_table():
            recorder.tracking.create_table()
        return recorder

    def close(self) -> None:
        super().close()
        if self._ledger is not None:
            self._ledger.close()

    def _ledger_datastore(self) -> LedgerDatastore:
        """Schema, tables and role are made here, unless CREATE_TABLE says that they are there."""
        if self._ledger is None:
            settings = self._settings()
            if self.env_create_table():
                migrate(settings)
            pool = self.datastore.pool
            self._ledger = LedgerDatastore(settings, pool.min_size, pool.max_size - pool.min_size)
        return self._ledger

    def _settings(self) -> Settings:
        target = self.datastore.pool.kwargs
        assert isinstance(target, dict)
        user, password, database = (
            quote(target[k], safe="") for k in ("user", "password", "dbname")
        )
        url = f"postgresql://{user}:{password}@{target['host']}:{target['port']}/{database}"
        name = f"{LIBRARY}_{self.env.name.lower()}" if self.env.name else LIBRARY
        return Settings(name=name, postgres_url=url, migrate_url=url)


def _command(command_id: UUID) -> tuple[Any, ...]:
    """Its key is used for this one call only."""
    ids = (command_id, command_id, None)
    return (0, LIBRARY, LIBRARY, str(command_id), command_id.bytes, *ids, "{}")


def _where(
    query: LiteralString, *conditions: tuple[LiteralString, Any]
) -> tuple[LiteralString, list[Any]]:
    """The query with those conditions that have a value, and the values."""
    asked = [(condition, value) for condition, value in conditions if value is not None]
    return " ".join([query, *(condition for condition, _ in asked)]), [value for _, value in asked]


def _originator(stream: UUID, key: str) -> UUID | str:
    return stream if key == str(stream) else key
