"""The ledger's promises at its own door: order, atomicity, idempotency, immutability."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection, errors

from commands import store as store_module
from commands.append import Audit, CommandRow, Unit
from commands.migrate import migrate
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt, StreamName
from domain.stock_item import StockReceived
from tests.scale import scale
from tests.servers import settings_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def attempt(key: str = "", actor: str = "desk") -> Attempt:
    command_id = uuid4()
    return Attempt(
        actor, "test", command_id, command_id, None, key or command_id.hex, b"digest".ljust(32)
    )


def receipt(*skus: str, after: int = 0, key: str = "") -> Unit:
    """One command that writes one event to the stream of each sku."""
    unit = Unit(commands=[CommandRow(attempt(key), '{"body": {}}')])
    for sku in skus:
        name = StreamName("stock_item", f"{sku}@main")
        unit.streams[name] = (after, True)
        event = StockReceived(sku=sku, location="main", quantity=Decimal(1), at=NOON)
        unit.events.append((0, name, event))
    return unit


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings)


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.connect(autocommit=True) as connection:
        yield connection


def positions(connection: Connection) -> list[int]:
    return [p for (p,) in connection.execute("SELECT position FROM ledger_event ORDER BY 1")]


def test_of_many_writers_on_one_stream_one_wins(store: Store) -> None:
    """covers: L1, R6"""
    with store.connect(autocommit=True) as first:
        store.append(first, [receipt("TEA")])
    start, answers = threading.Barrier(8), []

    def write() -> None:
        with store.connect(autocommit=True) as connection:
            start.wait()
            answers.append(store.append(connection, [receipt("TEA", after=1)])[0])

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(answer.missed) for answer in answers) == [0] + [1] * 7
    assert {m for answer in answers for m in answer.missed} == {"stale"}


def test_a_stream_can_be_asked_not_to_exist_or_to_exist(
    store: Store, connection: Connection
) -> None:
    """covers: L2"""
    assert store.append(connection, [receipt("TEA", after=1)])[0].missed == ["stale"]
    assert store.append(connection, [receipt("TEA", after=0)])[0].positions == {0: 1}
    assert store.append(connection, [receipt("TEA", after=0)])[0].missed == ["stale"]
    assert store.append(connection, [receipt("TEA", after=1)])[0].positions == {0: 2}


def test_a_unit_over_several_streams_is_accepted_or_missed_as_a_whole(
    store: Store, connection: Connection
) -> None:
    """covers: L11"""
    store.append(connection, [receipt("TEA")])
    stale = receipt("COFFEE", "TEA", after=0)
    good = receipt("MILK", "SUGAR")
    answers = store.append(connection, [stale, good])
    assert answers[0].missed == ["stale"]
    assert answers[1].positions == {0: 3}
    assert [r.key for r in store.feed(connection, 1)] == ["MILK@main", "SUGAR@main"]


def test_a_stream_that_was_only_read_is_checked_too(store: Store, connection: Connection) -> None:
    unit = receipt("TEA")
    unit.streams[StreamName("stock_item", "MILK@main")] = (1, False)
    assert store.append(connection, [unit])[0].missed == ["stale"]
    store.append(connection, [receipt("MILK")])
    assert store.append(connection, [unit])[0].positions == {0: 2}


def test_a_stream_in_two_units_of_one_call_fails_the_call(
    store: Store, connection: Connection
) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="two units"):
        store.append(connection, [receipt("TEA"), receipt("TEA")])
    assert positions(connection) == []


def test_an_event_without_its_stream_leaves_no_gap(store: Store, connection: Connection) -> None:
    unit = receipt("TEA", "MILK")
    del unit.streams[StreamName("stock_item", "MILK@main")]
    with pytest.raises(errors.NotNullViolation):
        store.append(connection, [unit])
    assert positions(connection) == []


def test_idempotency_never_expires(store: Store, connection: Connection) -> None:
    """covers: L13, R30, A76 (no column, index or job knows an age of a command)"""
    first = store.append(connection, [receipt("TEA", key="attempt-1")])[0]
    for _ in range(3):
        again = store.append(connection, [receipt("TEA", after=1, key="attempt-1")])[0]
        assert again.repeats[0].position == first.positions[0] == 1
        assert again.repeats[0].outcome == '{"body": {}}'
    assert positions(connection) == [1]
    with pytest.raises(errors.InsufficientPrivilege):
        connection.execute("DELETE FROM ledger_command")


def test_a_claim_belongs_to_its_first_owner_for_ever(store: Store, connection: Connection) -> None:
    first, second = receipt("TEA"), receipt("MILK")
    first.claims.append(("order_number", "1", "A"))
    second.claims.append(("order_number", "1", "B"))
    assert store.append(connection, [first])[0].positions == {0: 1}
    assert store.append(connection, [second])[0].missed == ["claimed"]
    assert positions(connection) == [1]


def test_a_refusal_is_recorded_beside_the_ledger(store: Store, connection: Connection) -> None:
    """covers: A94"""
    audit = Audit("refused", "Cancel", "order-1", "too_late", {"hours": 30})
    unit = Unit(commands=[CommandRow(attempt("no"), '{"code": "too_late"}', audit)])
    assert store.append(connection, [unit])[0].positions == {0: None}
    assert store.append(connection, [unit])[0].missed == ["repeated"]
    rows = connection.execute("SELECT position, actor, command, code, facts FROM ledger_audit")
    assert rows.fetchall() == [(1, "desk", "Cancel", "too_late", '{"hours":30}')]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_event SET state = ''",
        "DELETE FROM ledger_event",
        "TRUNCATE ledger_event",
        "INSERT INTO ledger_event SELECT * FROM ledger_event",
        "UPDATE ledger_command SET outcome = ''",
        "DELETE FROM ledger_audit",
    ],
)
def test_what_is_recorded_stays(settings: Settings, store: Store, statement: str) -> None:
    """The application's role may not; nor may the owner, for whom the trigger stands."""
    with store.connect(autocommit=True) as connection:
        store.append(connection, [receipt("TEA")])
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
    if statement.startswith("INSERT"):
        return
    with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
        owner.execute("SET search_path = main")
        with pytest.raises(errors.InsufficientPrivilege, match="what is recorded stays"):
            owner.execute(statement)


def test_an_application_with_a_user_of_its_own_can_append_and_nothing_else(
    database_url: str,
) -> None:
    """The role that a session takes can be given back; then it must be worth nothing."""
    user = f"app_{uuid4().hex[:8]}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'app'".encode())
    place = database_url.partition("@")[2]
    own = settings_of(f"postgresql://{user}:app@{place}", migrate_url=database_url)
    migrate(own)
    migrate(own)  # Again, as at each start.
    store = Store(own)
    with store.connect(autocommit=True) as connection:
        assert not store.append(connection, [receipt("TEA")])[0].missed
        assert positions(connection) == [1]
        connection.execute("SET ROLE NONE")
        for statement in (
            "DELETE FROM main.ledger_event",
            "DROP TRIGGER immutable ON main.ledger_event",
            "INSERT INTO main.ledger_person_key VALUES ('a', 1, NULL)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_no_time_can_be_stored_that_its_leaf_could_not_hold(
    store: Store, connection: Connection
) -> None:
    unit = receipt("TEA")
    late = datetime(2999, 1, 1, tzinfo=UTC)
    unit.events = [
        (n, name, event.model_copy(update={"at": late})) for n, name, event in unit.events
    ]
    with pytest.raises(errors.CheckViolation):
        store.append(connection, [unit])
    assert positions(connection) == []


def test_append_insists_on_read_committed(store: Store) -> None:
    with store.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(errors.InvalidTransactionState):
            store.append(connection, [receipt("TEA")])


def test_recorded_at_never_runs_back(store: Store, connection: Connection) -> None:
    for number in range(5):
        store.append(connection, [receipt(f"A{number}"), receipt(f"B{number}")])
    times = [r.recorded_at for r in store.feed(connection, 0)]
    assert times == sorted(times)
    assert times[0] == times[1], "one value per batch"


def test_metadata_stands_on_every_event(store: Store, connection: Connection) -> None:
    """covers: L29"""
    unit = receipt("TEA")
    store.append(connection, [unit])
    (event,) = store.feed(connection, 0)
    sent = unit.commands[0].attempt
    assert (event.actor, event.origin, event.command_id) == ("desk", "test", sent.command_id)
    assert (event.correlation_id, event.causation_id) == (sent.correlation_id, None)
    for column in ("actor", "origin", "command_id", "correlation_id"):
        null = connection.execute(
            "SELECT is_nullable FROM information_schema.columns WHERE table_name = 'ledger_event'"
            " AND column_name = %s",
            [column],
        ).fetchone()
        assert null == ("NO",), f"{column} is never optional"


def test_people_with_psql_see_the_state_as_json(store: Store, connection: Connection) -> None:
    store.append(connection, [receipt("TEA")])
    row = connection.execute("SELECT state->>'sku' FROM ledger_event_json").fetchone()
    assert row == ("TEA",)


class Tail(threading.Thread):
    """Reads on from the last position seen, as every projection does."""

    def __init__(self, store: Store, until: int) -> None:
        super().__init__()
        self.store, self.until = store, until
        self.seen: list[int] = []

    def run(self) -> None:
        with self.store.connect(autocommit=True) as connection:
            while len(self.seen) < self.until:
                after = self.seen[-1] if self.seen else 0
                self.seen += [r.position for r in self.store.feed(connection, after, 1_000)]


def test_a_tailing_reader_misses_no_event_whatever_the_order_of_commits(store: Store) -> None:
    """Writers commit late, roll back and overtake one another.

    covers: L3-L5, R20, R22, R24 (projection_never_skips_late_commit,
    slow_low_id_commit_is_delivered, rolled_back_ids_do_not_stall)
    """
    total, writers = scale(100_000, 2_000), 6
    tail = Tail(store, total)
    tail.start()

    def write(seed: int) -> None:
        chance, left = random.Random(seed), total // writers + (seed < total % writers)
        with store.connect() as connection:
            while left:
                size = min(left, chance.randint(1, 40))
                with connection.transaction(force_rollback=chance.random() < 0.2) as work:
                    store.append(connection, [receipt(uuid4().hex) for _ in range(size)])
                    if chance.random() < 0.02:
                        connection.execute("SELECT pg_sleep(0.01)")  # Commits late, lock in hand.
                left -= 0 if work.force_rollback else size

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    for thread in [*threads, tail]:
        thread.join()
    assert tail.seen == list(range(1, total + 1))


def test_a_batch_of_the_feed_is_bounded_in_bytes_and_never_empty_before_the_head(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(connection, [receipt("A"), receipt("B"), receipt("C")])
    monkeypatch.setattr(
        store_module, "FEED", store_module.FEED.replace(str(store_module.FEED_BYTES_MAX), "1")
    )
    seen: list[int] = []
    while batch := store.feed(connection, seen[-1] if seen else 0):
        assert len(batch) == 1
        seen += [r.position for r in batch]
    assert seen == [1, 2, 3]


def test_an_idle_transaction_of_a_stranger_holds_up_nobody(
    settings: Settings, store: Store, connection: Connection
) -> None:
    """covers: R25 (readers part), R22"""
    with psycopg.connect(settings.postgres_url) as stranger:
        stranger.execute("SELECT txid_current()")  # The lowest transaction id, and never ending.
        store.append(connection, [receipt("TEA")])
        assert [r.position for r in store.feed(connection, 0)] == [1]
