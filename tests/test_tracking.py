"""Carriers' updates from Kafka: read, merged, kept waiting or set aside, each exactly once."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from psycopg import Connection

from commands.keys import RecordCipher
from commands.settings import Settings
from commands.store import Store
from tests.carrier import (
    CARRIER,
    DEAD,
    NOON,
    OFFSETS,
    SCANS,
    WAITING,
    Desk,
    hours,
    number_of,
    rows,
    scan,
    sending,
    wait_for_offset,
    wait_until,
    worker,
)
from workers import dead_letters, kafka_topics, partitions, tracking
from workers.ingest import WAITING_RECORD, Ingest, OffsetMoved, Record, Topic
from workers.tracking_records import TrackingUpdate, Unreadable, decode

STATUS = """SELECT topic, state::jsonb ->> 'milestone', occurred_at
FROM ledger_event_json WHERE category = %s AND key = %s ORDER BY version"""
LETTERS = f"SELECT {dead_letters.COLUMNS} FROM dead_letter ORDER BY id"
HERE = Topic("logistics.tracking.v1", "cluster", "topic")


def raw(**changes: Any) -> bytes:
    return json.dumps(scan("SF1", **changes)).encode()


@pytest.fixture
def connection(tracked: Settings) -> Iterator[Connection]:
    with Store(tracked).connect() as connection:
        yield connection


# -- reading ---------------------------------------------------------------------------------------


def test_an_update_is_read_with_its_optional_parts():
    value = raw(location="杭州", note="第二次", estimated_at="2026-03-02T18:00:00+08:00")
    update = decode(value, [], NOON)
    assert isinstance(update, TrackingUpdate)
    assert update.tracking == f"{CARRIER}/SF1"
    assert (update.location, update.note) == ("杭州", "第二次")
    assert update.estimated_at == datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\xff\xfe\x00", "value: Invalid JSON"),
        (b"[" * 100_000, "value: Invalid JSON"),
        (b"[]", "value: Input should be an object"),
        (raw()[:40], "value: Invalid JSON"),
        (raw(milestone="teleported"), "milestone: Input should be"),
        (raw(occurred_at="2026-03-01T12:00:00"), "occurred_at: Value error, must be RFC 3339 text"),
        (raw(occurred_at=12345), "occurred_at: Value error, must be RFC 3339 text"),
        (raw(occurred_at="12345"), "occurred_at: Value error, must be RFC 3339 text"),
        (raw(estimated_at=1_772_445_600), "estimated_at: Value error, must be RFC 3339 text"),
        (raw(occurred_at="1699-12-31T23:59:59Z"), "occurred_at: Value error, must be from 1700"),
        (raw(at=24 * 3_000), "occurred_at: lies more than 366 days ahead"),
        (raw(carrier="sf/express"), "carrier"),
        (raw(tracking_number=""), "tracking_number"),
        (raw(note="\x00"), "note: Value error, must not contain the character U+0000"),
        (raw(location="x" * 1_001), "location: "),
        (raw(wait=1), "wait: Extra inputs are not permitted"),
        (raw(**{"\x00": 1}), "a field of no plain name: Extra inputs are not permitted"),
        (raw(**{"13800138000": 1}), "a field of no plain name: Extra inputs"),
        (json.dumps(scan("SF1"), ensure_ascii=True).replace("in_transit", "\\ud800").encode(), ""),
    ],
)
def test_what_cannot_be_read_names_the_field_and_no_value(value: bytes | None, named: str):
    unreadable = decode(value, [], NOON)
    assert isinstance(unreadable, Unreadable)
    assert named in unreadable.reason
    assert "\x00" not in unreadable.reason
    assert "teleported" not in unreadable.reason


def test_a_record_in_a_form_that_is_not_known_is_not_guessed_at():
    assert isinstance(decode(raw(), [("format", b"ledger")], NOON), TrackingUpdate)
    assert decode(raw(), [("format", b"epcis")], NOON) == Unreadable(
        "the header format names a form that is not known"
    )


# -- into the ledger -------------------------------------------------------------------------------


def test_scans_reach_the_parcel_and_its_order_with_all_their_metadata(tracked: Settings):
    """covers: L29, A9"""
    desk = Desk(tracked)
    desk.dispatch(["SF1"])
    first = scan("SF1", "picked_up", 1, location="杭州")
    with sending(tracked) as send, worker(tracked):
        send(first, scan("SF1", "out_for_delivery", 20), scan("SF1", "delivered", 22))
        wait_for_offset(tracked, 3)
    told = rows(tracked, STATUS, "parcel", desk.parcels["SF1"])[2:]
    assert told == [
        ("parcel.tracked.v1", "picked_up", hours(1)),
        ("parcel.tracked.v1", "out_for_delivery", hours(20)),
        ("parcel.tracked.v1", "delivered", hours(22)),
        ("parcel.delivered.v1", None, hours(22)),
    ]
    columns = "actor, origin, command_id, correlation_id, causation_id"
    metadata = rows(
        tracked, f"SELECT {columns} FROM ledger_event WHERE origin = 'tracking' ORDER BY position"
    )
    assert {(actor, origin) for actor, origin, *_ in metadata} == {
        (f"carrier/{CARRIER}", "tracking")
    }
    assert len({correlation for *_, correlation, _ in metadata}) == 1
    assert all(isinstance(cause, UUID) for *_, cause in metadata)
    assert (
        number_of(tracked, "SELECT count(*) FROM ledger_event WHERE topic LIKE 'order.deliv%'") == 1
    )


def test_duplicates_and_disorder_end_in_the_same_parcel(tracked: Settings):
    """covers: L31"""
    desk = Desk(tracked)
    desk.dispatch(["SF1", "SF2"])
    journey = [
        scan("SF1", "picked_up", 1),
        scan("SF1", "in_transit", 5),
        scan("SF1", "out_for_delivery", 9),
        scan("SF1", "delivered", 10),
    ]
    again = [{**one, "event_id": uuid4().hex} for one in journey]
    with sending(tracked) as send, worker(tracked):
        send(journey[3], journey[1], *journey, *again, journey[0], scan("SF2", "picked_up", 1))
        wait_for_offset(tracked, 12)
    told = rows(tracked, STATUS, "parcel", desk.parcels["SF1"])
    milestones = [milestone for _, milestone, _ in told if milestone]
    assert sorted(milestones) == ["delivered", "in_transit", "out_for_delivery", "picked_up"]
    assert number_of(tracked, SCANS) == 5
    assert [topic for topic, *_ in told].count("parcel.delivered.v1") == 1


def test_poison_is_set_aside_with_its_reason_and_stops_nobody(tracked: Settings):
    """covers: L31, L19"""
    Desk(tracked).dispatch(["SF1"])
    with sending(tracked) as send, worker(tracked):
        send(
            b"\xff garbage \x00",
            scan("SF1", "picked_up", 1),
            {**scan("SF1"), "milestone": "gone"},
            scan("SF1", "in_transit", 2),
            partition=0,
        )
        wait_for_offset(tracked, 4)
    assert number_of(tracked, SCANS) == 2
    letters = dead_letters.opened(tracked, rows(tracked, LETTERS))
    assert [one.source.rsplit("/", 2)[1:] for one in letters] == [["0", "0"], ["0", "2"]]
    assert letters[0].reason.startswith("value: Invalid JSON")
    assert letters[1].reason.startswith("milestone: ")
    assert letters[0].record == b"\xff garbage \x00"
    assert letters[0].key == b"garbage"


def test_unknown_numbers_wait_until_their_parcel_is_dispatched(tracked: Settings):
    desk = Desk(tracked)
    with sending(tracked) as send, worker(tracked):
        send(scan("SF7", "label_created", -1), scan("SF7", "picked_up", 1), scan("SF8"))
        wait_for_offset(tracked, 3)
        assert number_of(tracked, WAITING) == 3
        assert number_of(tracked, SCANS) == 0
        desk.dispatch(["SF7"])
        wait_until(lambda: number_of(tracked, WAITING) == 1)
        assert number_of(tracked, SCANS) == 2
        send(scan("SF7", "picked_up", 1))
        wait_for_offset(tracked, 4)
    assert number_of(tracked, SCANS) == 2


def test_a_dispatch_between_the_look_and_the_wait_strands_no_update(
    tracked: Settings, connection: Connection
):
    """The row waits although its parcel is known by now: the next round takes it."""
    cipher = RecordCipher(tracked.name, tracked.record_key())
    Desk(tracked).dispatch(["SF1"])
    with connection.transaction():
        connection.execute(
            "INSERT INTO waiting_update (source, tracking, record) VALUES ('x/y/0/0', %s, %s)",
            [f"{CARRIER}/SF1", cipher.seal(WAITING_RECORD, "x/y/0/0", raw())],
        )
    with worker(tracked):
        wait_until(lambda: number_of(tracked, WAITING) == 0)
    assert number_of(tracked, SCANS) == 1


# -- exactly once ----------------------------------------------------------------------------------


def test_whoever_slept_through_a_rebalance_writes_nothing(
    tracked: Settings, connection: Connection
):
    """covers: L22, L31"""
    Desk(tracked).dispatch(["SF1"])
    sleeper, other = Ingest(tracked, HERE), Ingest(tracked, HERE)
    batch = [Record(0, 0, b"SF1", raw(milestone="picked_up"))]
    later = [Record(0, 1, b"SF1", raw(milestone="customs", at=2))]
    with Store(tracked).connect() as second:
        assert other.apply(second, batch, {0: None})["recorded"] == 1
        assert other.apply(second, later, {0: 1})["recorded"] == 1
    for starts in ({0: None}, {0: 0}, {0: 1}):
        with pytest.raises(OffsetMoved):
            sleeper.apply(connection, [*batch, *later], starts)
    assert sleeper.offsets(connection) == {0: 2}
    assert number_of(tracked, SCANS) == 2
    assert number_of(tracked, DEAD) == 0


def test_two_workers_that_begin_a_partition_at_once_count_it_once(tracked: Settings):
    Desk(tracked).dispatch(["SF1"])
    batch = [Record(0, n, b"SF1", raw(at=n)) for n in range(50)]
    results: list[object] = []
    start = threading.Barrier(4)

    def bring_in() -> None:
        with Store(tracked).connect() as connection:
            start.wait()
            try:
                results.append(Ingest(tracked, HERE).apply(connection, batch, {0: None}))
            except (OffsetMoved, psycopg.errors.LockNotAvailable) as error:
                results.append(error)

    threads = [threading.Thread(target=bring_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in results if not isinstance(one, Exception)]) == 1
    assert number_of(tracked, SCANS) == 50


def test_a_record_read_again_is_recorded_once_even_if_its_offset_was_set_back(
    tracked: Settings, connection: Connection
):
    """covers: R30, L13"""
    Desk(tracked).dispatch(["SF1"])
    ingest = Ingest(tracked, HERE)
    batch = [Record(0, 0, b"SF1", raw())]
    ingest.apply(connection, batch, {0: None})
    with connection.transaction():
        connection.execute("UPDATE ingest_offset SET next_offset = 0")
    assert ingest.apply(connection, batch, {0: 0})["repeated"] == 1
    with connection.transaction():
        connection.execute("UPDATE ingest_offset SET next_offset = 0")
    changed = [Record(0, 0, b"SF1", raw(milestone="customs"))]
    assert ingest.apply(connection, changed, {0: 0})["unreadable"] == 1
    assert number_of(tracked, SCANS) == 1
    assert number_of(tracked, DEAD) == 1


def test_what_kafka_remembers_of_a_group_does_not_matter(tracked: Settings):
    Desk(tracked).dispatch(["SF1"])
    with sending(tracked) as send:
        with worker(tracked):
            send(scan("SF1", "picked_up", 1), scan("SF1", "customs", 2))
            wait_for_offset(tracked, 2)
        with kafka_topics.admin(tracked) as admin:
            admin.delete_groups([f"{tracked.name}-tracking"])
        with worker(tracked):
            send(scan("SF1", "in_transit", 3))
            wait_for_offset(tracked, 3)
    assert number_of(tracked, SCANS) == 3
    commands = "SELECT count(*) FROM ledger_command WHERE actor LIKE 'carrier/%%'"
    assert number_of(tracked, commands) == 3


def test_two_workers_share_the_partitions_and_keep_each_parcel_in_order(tracked: Settings):
    """covers: L6"""
    numbers = [f"SF{n}" for n in range(30)]
    desk = Desk(tracked)
    desk.dispatch(numbers)
    with sending(tracked) as send, worker(tracked):
        send(*[scan(number, at=1) for number in numbers])
        with worker(tracked):
            send(*[scan(number, at=at) for at in range(2, 12) for number in numbers])
            wait_for_offset(tracked, 11 * 30)
        send(*[scan(number, "delivered", 20) for number in numbers])
        wait_for_offset(tracked, 12 * 30)
    assert number_of(tracked, SCANS) == 12 * 30
    for parcel in desk.parcels.values():
        times = [at for topic, _, at in rows(tracked, STATUS, "parcel", parcel) if "track" in topic]
        assert times == sorted(times)


def test_missing_records_are_an_alarm_and_never_a_silent_reset(
    tracked: Settings, monkeypatch: pytest.MonkeyPatch
):
    """Only the partition that misses records stands still, until somebody has decided."""
    monkeypatch.setattr(tracking, "ALARM_SECONDS", 0.5)
    desk = Desk(tracked)
    desk.dispatch(["SF1", "SF2"])
    with sending(tracked) as send, Store(tracked).connect(autocommit=True) as connection:
        topic = kafka_topics.identify(tracked, tracked.kafka_topic(kafka_topics.TRACKING))
        place = [topic.cluster_id, topic.topic_id]
        connection.execute("INSERT INTO ingest_offset VALUES (%s, %s, 0, 999)", place)
        with worker(tracked):
            send(scan("SF1", "picked_up", 1), partition=0)
            send(scan("SF2", "picked_up", 1), partition=1)
            wait_for_offset(tracked, 999 + 1)
            wait_until(lambda: partitions.OUT_OF_RANGE.labels(0)._value.get() == 1)
            assert number_of(tracked, SCANS) == 1
            connection.execute('UPDATE ingest_offset SET next_offset = 0 WHERE "partition" = 0')
            wait_until(lambda: number_of(tracked, SCANS) == 2)
            assert number_of(tracked, OFFSETS) == 2
            assert partitions.OUT_OF_RANGE.labels(0)._value.get() == 0


def test_a_topic_made_anew_begins_at_its_own_beginning(tracked: Settings):
    """Its name and offsets are those of the old one, its id is not."""
    Desk(tracked).dispatch(["SF1"])
    with sending(tracked) as send, worker(tracked):
        send(scan("SF1", "picked_up", 1), partition=0)
        wait_for_offset(tracked, 1)
    name = tracked.kafka_topic(kafka_topics.TRACKING)
    old = kafka_topics.identify(tracked, name)
    with kafka_topics.admin(tracked) as admin:
        admin.delete_topics([name])
    wait_until(lambda: _is_made_anew(tracked, name, old))
    with sending(tracked) as send, worker(tracked):
        send(scan("SF1", "customs", 2), partition=0)
        wait_for_offset(tracked, 2)
    assert number_of(tracked, SCANS) == 2
    assert number_of(tracked, "SELECT count(*) FROM ingest_offset WHERE next_offset = 1") == 2


def _is_made_anew(settings: Settings, name: str, old: Topic) -> bool:
    """Deleting goes on in the background: until it is done, the old topic may still answer."""
    try:
        kafka_topics.ensure(settings)
        return kafka_topics.identify(settings, name) != old
    except KafkaError:
        return False


# -- dead letters ----------------------------------------------------------------------------------


def test_unreadable_records_are_copied_to_their_topic_and_can_be_sent_again(tracked: Settings):
    """covers: L19"""
    Desk(tracked).dispatch(["SF1"])
    garbage = {"headers": [("trace", b"\x00\xff")], "partition": 0}
    with sending(tracked) as send, worker(tracked), worker(tracked, dead_letters.run):
        send(b"not json", **garbage)
        wait_until(lambda: number_of(tracked, f"{DEAD} WHERE sent_at IS NOT NULL") == 1)
        copies = _records(tracked, kafka_topics.DEAD)
        assert [one.value for one in copies] == [b"not json"]
        headers = dict(copies[0].headers)
        assert headers["trace"] == b"\x00\xff"
        assert headers["dead.reason"].startswith(b"value: Invalid JSON")
        assert headers["dead.source"].endswith(b"/0/0")
        with Store(tracked).connect(autocommit=True) as connection:
            first = dead_letters.listed(connection)
            assert dead_letters.resend(tracked, [one.id for one in first]) == 1
            wait_until(lambda: number_of(tracked, DEAD) == 2)  # Still garbage: one of its own.
            assert [one.id > first[0].id for one in dead_letters.listed(connection)] == [True]


def _records(settings: Settings, topic: str) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, consumer_timeout_ms=3_000)
    consumer.assign([TopicPartition(settings.kafka_topic(topic), 0)])
    consumer.seek_to_beginning()
    found = list(consumer)
    consumer.close()
    return found


def test_nothing_that_a_carrier_said_is_stored_in_clear_beside_the_ledger(
    tracked: Settings, connection: Connection
):
    """Nobody knows yet whom such a record is about: all of it is sealed, for its own row alone."""
    garbage = b'{"hint": "handed to Wang Xiaoming", "13800138000": 1, "at": "West Lake 7"'
    batch = [
        Record(0, 0, b"SF1", raw(note="handed to Wang Xiaoming", location="West Lake 7")),
        Record(0, 1, b"13800138000", garbage, [("courier", b"Wang Xiaoming")]),
        Record(0, 2, b"13800138000", garbage + b"}"),
        Record(0, 3, b"13800138000", raw(milestone="Xiaoming", occurred_at="13800138000 ?")),
    ]
    counts = Ingest(tracked, HERE).apply(connection, batch, {0: None})
    assert (counts["waiting"], counts["unreadable"]) == (1, 3)
    for table in ("waiting_update", "dead_letter"):
        stored = b" ".join(repr(row).encode() for row in rows(tracked, f"SELECT * FROM {table}"))
        texts = rows(tracked, f"SELECT string_agg(t::text, ' ') FROM {table} AS t")
        for word in (b"Xiaoming", b"West Lake", b"13800138000", b"handed", b"courier"):
            assert word not in stored
            assert word.decode() not in texts[0][0]
            assert word.hex() not in texts[0][0]
            assert b64encode(word).decode()[:6] not in texts[0][0]
    letters = dead_letters.opened(tracked, rows(tracked, LETTERS))
    assert [(one.key, one.record) for one in letters] == [(one.key, one.value) for one in batch[1:]]
    assert letters[0].headers == [("courier", b"Wang Xiaoming")]
    elsewhere = LETTERS.replace("source,", "source || '0',")
    with pytest.raises(ValueError, match="another LEDGER_MASTER_KEY, or changed"):
        dead_letters.opened(tracked, rows(tracked, elsewhere))


def test_another_record_at_a_known_offset_is_set_aside_also_when_it_had_to_wait(
    tracked: Settings, connection: Connection
):
    """covers: L19"""
    desk = Desk(tracked)
    desk.dispatch(["SF1"])
    ingest = Ingest(tracked, HERE)
    other = json.dumps(scan("SF2")).encode()
    ingest.apply(connection, [Record(0, 0, b"SF1", raw())], {0: None})
    with connection.transaction():
        connection.execute("UPDATE ingest_offset SET next_offset = 0")
    assert ingest.apply(connection, [Record(0, 0, b"SF2", other)], {0: 0})["waiting"] == 1
    desk.dispatch(["SF2"])
    end = ingest.page_end(connection, 0, 10)
    assert end is not None
    assert ingest.take_waiting(connection, 0, end)["unreadable"] == 1
    assert (number_of(tracked, WAITING), number_of(tracked, SCANS)) == (0, 1)
    letters = dead_letters.opened(tracked, rows(tracked, LETTERS))
    assert [(one.key, one.record) for one in letters] == [(b"SF2", other)]
    assert letters[0].reason == "another record stood at this offset before"


def test_a_letter_without_key_and_value_can_be_copied_too(tracked: Settings):
    with Store(tracked).connect(autocommit=True) as connection:
        connection.execute("INSERT INTO dead_letter (source, reason) VALUES ('a/b/0/0', 'empty')")
    with worker(tracked, dead_letters.run):
        wait_until(lambda: number_of(tracked, f"{DEAD} WHERE sent_at IS NOT NULL") == 1)


def test_updates_of_the_far_future_are_bounded_by_the_clock_of_the_reader():
    soon = raw(at=24 * 300)
    assert isinstance(decode(soon, [], NOON), TrackingUpdate)
    assert isinstance(decode(soon, [], NOON - timedelta(days=100)), Unreadable)
