"""Applications of the eventsourcing library run on the ledger; its own tests judge that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, Notification, StoredEvent, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.tests.persistence import (
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
)

from commands.migrate import migrate
from commands.recorder import LedgerApplicationRecorder, LedgerDatastore, LedgerProcessRecorder
from commands.settings import Settings
from tests.scale import scale
from tests.servers import fresh_database
from workers.local.postgres import LocalPostgres

WAIT_SECONDS = 10.0


@pytest.fixture
def settings(database_url: str) -> Settings:
    settings = Settings(name="library", postgres_url=database_url, migrate_url=database_url)
    migrate(settings)
    return settings


@pytest.fixture
def datastore(settings: Settings) -> Iterator[LedgerDatastore]:
    datastore = LedgerDatastore(settings)
    yield datastore
    datastore.close()


@pytest.fixture
def recorder(datastore: LedgerDatastore) -> LedgerApplicationRecorder:
    return LedgerApplicationRecorder(datastore)


class OnTheLedger:
    """Gives a test case of the library (unittest) the fixture of ours."""

    datastore: LedgerDatastore

    @pytest.fixture(autouse=True)
    def _use(self, datastore: LedgerDatastore) -> None:
        self.datastore = datastore


class TestApplicationRecorder(OnTheLedger, ApplicationRecorderTestCase[LedgerApplicationRecorder]):
    """covers: L3, L5"""

    def create_recorder(self) -> LedgerApplicationRecorder:
        return LedgerApplicationRecorder(self.datastore)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleavingNotificationIDs(OnTheLedger, NonInterleavingNotificationIDsBaseCase):
    """covers: L3"""

    def create_recorder(self) -> LedgerApplicationRecorder:
        return LedgerApplicationRecorder(self.datastore)


class TestProcessRecorder(OnTheLedger, ProcessRecorderTestCase):
    """The events of a follower and its place in what it follows are one write."""

    def create_recorder(self) -> LedgerProcessRecorder:
        recorder = LedgerProcessRecorder(self.datastore)
        recorder.tracking.create_table()
        return recorder


def stored(originator_id: UUID | str, *versions: int) -> list[StoredEvent]:
    return [StoredEvent(originator_id, version, "topic", b"\x00\xff") for version in versions]


def test_events_of_several_streams_are_one_write(recorder: LedgerApplicationRecorder) -> None:
    one, two = uuid4(), "a stream named by text"
    assert recorder.insert_events([*stored(one, 1, 2), *stored(two, 0)]) == [1, 2, 3]
    with pytest.raises(IntegrityError):
        recorder.insert_events([*stored(one, 3), *stored(two, 0)])
    assert recorder.select_events(one) == stored(one, 1, 2)
    assert recorder.select_events(two) == stored(two, 0)
    assert recorder.max_notification_id() == 3


@pytest.mark.parametrize("versions", [(3,), (1, 3), (1, 1), (2, 1)])
def test_versions_leave_no_gap(
    recorder: LedgerApplicationRecorder, versions: tuple[int, ...]
) -> None:
    with pytest.raises(IntegrityError):
        recorder.insert_events(stored(uuid4(), *versions))
    assert recorder.max_notification_id() is None


def test_a_part_of_a_stream_is_read_in_either_direction(
    recorder: LedgerApplicationRecorder,
) -> None:
    name = uuid4()
    recorder.insert_events(stored(name, *range(1, 8)))
    part = recorder.select_events(name, gt=2, lte=6, desc=True, limit=3)
    assert [event.originator_version for event in part] == [6, 5, 4]


def test_a_subscriber_sees_each_event_once_and_in_order_under_racing_writers(
    recorder: LedgerApplicationRecorder,
) -> None:
    """covers: L3, L5"""
    writers, each = 4, scale(1_000, least=50)

    def write() -> None:
        for _ in range(each):
            recorder.insert_events(stored(uuid4(), 1))

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    half, rest = writers * each // 2, writers * each - writers * each // 2
    seen = _follow(recorder, None, half)
    seen += _follow(recorder, seen[-1].id, rest)  # Resumed where the first one stopped.
    for thread in threads:
        thread.join()
    assert [notification.id for notification in seen] == list(range(1, writers * each + 1))


def _follow(recorder: LedgerApplicationRecorder, gt: int | None, count: int) -> list[Notification]:
    with recorder.subscribe(gt=gt) as subscription:
        return list(islice(subscription, count))


def test_a_lost_notification_delays_a_subscriber_but_misses_nothing(
    recorder: LedgerApplicationRecorder, settings: Settings
) -> None:
    """covers: L5"""
    with recorder.subscribe() as subscription:
        recorder.insert_events(stored(uuid4(), 1))
        assert next(subscription).id == 1
        _disconnect_all(settings)
        recorder.insert_events(stored(uuid4(), 1))
        assert next(subscription).id == 2


def _disconnect_all(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = %s""",
            [f"ledger_{settings.name}"],
        )


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class DogSchool(Application[UUID]):
    is_snapshotting_enabled = True

    def register(self, name: str) -> UUID:
        dog = Dog(name)
        self.save(dog)
        return dog.id

    def add_trick(self, dog_id: UUID, trick: str) -> int:
        dog: Dog = self.repository.get(dog_id)
        dog.add_trick(trick)
        return self.save(dog)[-1].notification.id


class TrickCounts(PostgresTrackingRecorder):
    """A view of the library: how many tricks the dogs have learnt."""

    def count(self) -> int:
        with self.datastore.transaction() as cursor:
            [row] = cursor.execute(f"SELECT count(*) FROM {self.datastore.schema}.trick").fetchall()
            return int(row["count"])

    def create_table(self) -> None:
        super().create_table()
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {self.datastore.schema}.trick (name text)")

    def add(self, trick: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(f"INSERT INTO {self.datastore.schema}.trick VALUES (%s)", [trick])


class CountTricks(Projection[TrickCounts]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if isinstance(domain_event, Dog.TrickAdded):  # type: ignore[attr-defined]
            self.view.add(domain_event.trick, tracking)
        else:
            self.view.insert_tracking(tracking)


@pytest.fixture
def environment(postgres: LocalPostgres) -> Iterator[dict[str, str]]:
    """What an application of the library reads from its environment."""
    with fresh_database(postgres) as url:
        target = urlsplit(url)
        yield {
            "PERSISTENCE_MODULE": "commands.recorder",
            "POSTGRES_DBNAME": target.path.removeprefix("/"),
            "POSTGRES_HOST": target.hostname or "",
            "POSTGRES_PORT": str(target.port),
            "POSTGRES_USER": target.username or "",
            "POSTGRES_PASSWORD": target.password or "",
        }


def test_an_application_of_the_library_runs_on_the_ledger(environment: dict[str, str]) -> None:
    with DogSchool(env=environment) as school:
        fido = school.register("Fido")
        assert school.add_trick(fido, "roll over") == 2
        assert school.add_trick(fido, "play dead") == 3
        school.take_snapshot(fido)
        school.add_trick(fido, "fetch")
        dog: Dog = school.repository.get(fido)
        assert (dog.version, dog.tricks) == (4, ["roll over", "play dead", "fetch"])
        assert school.repository.get(fido, version=2).tricks == ["roll over"]
        assert [n.id for n in school.notification_log.select(start=2, limit=10)] == [2, 3, 4]
        assert school.notification_log["1,10"].id == "1,4"
        with pytest.raises(AggregateNotFoundError):
            school.repository.get(uuid4())
    with DogSchool(env=environment) as again:
        assert again.repository.get(fido).tricks == ["roll over", "play dead", "fetch"]


def test_two_writers_of_one_dog_do_not_both_win(environment: dict[str, str]) -> None:
    with DogSchool(env=environment) as school:
        fido = school.register("Fido")
        first: Dog = school.repository.get(fido)
        second: Dog = school.repository.get(fido)
        first.add_trick("roll over")
        second.add_trick("play dead")
        school.save(first)
        with pytest.raises(IntegrityError):
            school.save(second)


def test_a_projection_of_the_library_follows_the_ledger(environment: dict[str, str]) -> None:
    """covers: L5"""
    with DogSchool(env=environment) as school:
        fido = school.register("Fido")
        school.add_trick(fido, "roll over")
    runner = ProjectionRunner(
        application_class=DogSchool,
        projection_class=CountTricks,
        view_class=TrickCounts,
        env=environment,
    )
    with runner:
        last = runner.app.add_trick(fido, "play dead")
        runner.wait(last, timeout=WAIT_SECONDS)
        assert runner.projection.view.count() == 2
