"""Read models: what they show, and that they are folds of the ledger, exactly once."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, Connection

from commands.append import Unit
from commands.settings import Settings
from commands.store import Store
from domain import codec
from domain import order_status as domain_status
from domain.message import Recorded
from domain.values import quantity_json
from projections import checkpoint, customer_history, order_status, read_models, stock_levels
from projections.checkpoint import Overtaken
from projections.engine import Engine, Projection
from projections.order_status import OrderFilters
from projections.rebuild import rebuild, release
from tests import given_money, given_orders
from tests.given import NOON, hours
from tests.histories import CUSTOMERS, History, write
from tests.scale import scale
from workers.upkeep import parked

ORDERS = scale(400, 20)
A, B = "0193aaaa-0000-7000-8000-00000000000a", "0193bbbb-0000-7000-8000-00000000000b"
K = "0193cccc-0000-7000-8000-00000000000c"  # a parcel
PROJECTIONS = read_models.ALL
SEEDS = range(scale(20, 2))


@dataclass
class Shop:
    """A ledger with a history, and the connection that folds it."""

    settings: Settings
    store: Store
    connection: Connection
    history: History

    def write(self, units: Iterator[Unit] | Sequence[Unit]) -> int:
        return write(self.store, self.connection, iter(units))

    def run(self, *commands: Any) -> int:
        units = [self.history.run(command) for command in commands]
        assert all(units), "a command was refused"
        return self.write([unit for unit in units if unit is not None])

    def feed(self, after: int, limit: int) -> list[Recorded]:
        return self.store.feed(self.connection, after, limit)

    def engine(self, projection: Projection[Any], **more: Any) -> Engine[Any]:
        engine = Engine(projection, self.settings.read_schema, **more)
        engine.prepare(self.connection)
        return engine

    def fold(self, projection: Projection[Any], batch_events: int = 1_000, **more: Any) -> int:
        engine = self.engine(projection, **more)
        position = engine.position(self.connection)
        while batch := self.feed(position, batch_events):
            position = engine.apply(self.connection, batch, position)
        return position

    def fold_all(self) -> int:
        return [self.fold(projection) for projection in PROJECTIONS][-1]

    def table(self, projection: Projection[Any]) -> list[tuple[Any, ...]]:
        query = f"SELECT * FROM {projection.name} ORDER BY 1"
        return self.connection.execute(query.encode()).fetchall()

    def rebuild(self, projection: Projection[Any], **more: Any) -> Any:
        return rebuild(self.connection, projection, self.settings.read_schema, self.feed, **more)

    def ask(self, question: Callable[[AsyncConnection[Any]], Any]) -> Any:
        async def answer() -> Any:
            async with await self.store.aconnect(autocommit=True) as connection:
                return await question(connection)

        return asyncio.run(answer())


@pytest.fixture
def empty(settings: Settings) -> Iterator[Shop]:
    store = Store(settings)
    with store.connect(autocommit=True) as connection:
        yield Shop(settings, store, connection, History(7))


@pytest.fixture
def shop(empty: Shop) -> Shop:
    empty.write(empty.history.units(ORDERS))
    for order_id in empty.history.orders[::7]:
        empty.write([empty.history.feedback(order_id)])
    return empty


def test_what_is_shown_of_an_order_is_what_the_decider_knows(shop: Shop) -> None:
    """covers: R8, L15. For random histories the row is the status of the folded domain state."""
    shop.fold(order_status.PROJECTION, batch_events=137)
    rows = shop.table(order_status.PROJECTION)
    columns = [*order_status.TABLE.columns]
    assert len(rows) == len(shop.history.orders)
    for values in rows:
        row = dict(zip(columns, values, strict=True))
        state = shop.history.order(row["order_id"])
        status = domain_status.shown(state)
        shown = [row[name] for name in ("stage", "payment", "fulfilment", "return_status")]
        assert shown == [*astuple(status.dimensions)]
        assert row["status"] == status.code
        assert row["overridden"] == sorted(state.overrides)
        assert (row["total_minor"], row["paid_minor"]) == (state.total_minor, state.paid_minor)
        assert (row["units"], row["shipped_units"]) == (status.units, status.shipped_units)


def test_totals_are_folds_never_overwritten(shop: Shop) -> None:
    """covers: R8. Whatever the batches, refunds and cancellations, totals are the facts' own."""
    shop.fold(customer_history.PROJECTION, batch_events=61)
    query = "SELECT order_id, total_minor, paid_minor, refunded_minor FROM customer_history"
    for order_id, total, paid, refunded in shop.connection.execute(query):
        state = shop.history.order(order_id)
        paid_out = sum(r.amount_minor for r in state.refunds.values() if r.paid)
        assert (total, paid, refunded) == (state.total_minor, state.paid_minor, paid_out)


def test_the_history_of_a_customer_is_a_fold_of_the_customers_events(shop: Shop) -> None:
    """covers: A15"""
    position, scores = shop.fold(customer_history.PROJECTION), 0
    for customer_id in CUSTOMERS:
        ask = partial(customer_history.customer_history, customer_id=customer_id)
        found = shop.ask(ask)
        scores += found["scores_count"]
        mine = [
            state
            for state in map(shop.history.order, shop.history.orders)
            if state.customer_id == customer_id and not state.void
        ]
        assert found["position"] == position
        assert found["orders_count"] == len(mine)
        assert {o["order_id"]: o["status"] for o in found["orders"]}.items() <= {
            state.order_id: domain_status.shown(state).code for state in mine
        }.items()
        for total in found["totals"]:
            same = [state for state in mine if state.currency == total["currency"]]
            assert total["orders"] == len(same)
            assert total["total_minor"] == sum(state.total_minor for state in same)
            assert total["paid_minor"] == sum(state.paid_minor for state in same)
        assert found["scores_count"] == 0 or 1 <= found["score_average"] <= 5
    given = [order for order in map(shop.history.order, shop.history.orders[::7]) if not order.void]
    assert scores == len(given)


def test_a_long_history_comes_in_pages(shop: Shop) -> None:
    """covers: A15"""
    shop.fold(customer_history.PROJECTION)

    async def pages(connection: AsyncConnection[Any]) -> list[str]:
        ids, after = [], None
        while True:
            page = await customer_history.customer_history(connection, "li", after, limit=3)
            ids += [order["order_id"] for order in page["orders"]]
            after = page["next"]
            if after is None:
                assert len(ids) == page["orders_count"]
                return ids

    ids = shop.ask(pages)
    assert len(set(ids)) == len(ids)


def test_stock_is_what_came_in_less_what_went_out(shop: Shop) -> None:
    """covers: A47. Several locations of a sku are summed; an unknown sku is not stock-kept."""
    second = given_orders.receive(5, "TEA").model_copy(update={"location": "south"})
    shop.run(second)
    position = shop.fold(stock_levels.PROJECTION)
    main, south = shop.history.world.stock("TEA"), shop.history.world.stock("TEA", "south")
    found = shop.ask(lambda c: stock_levels.stock_of(c, "TEA"))
    assert found["position"] == position
    assert found["available"] == quantity_json(main.available + south.available)
    assert [place["on_hand"] for place in found["locations"]] == [
        quantity_json(main.on_hand),
        quantity_json(south.on_hand),
    ]
    assert shop.ask(lambda c: stock_levels.stock_of(c, "NOTHING"))["kept"] is False


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
def test_each_batch_delivered_twice_changes_nothing(
    shop: Shop, projection: Projection[Any]
) -> None:
    """covers: L5, L7"""
    engine = shop.engine(projection)
    position = 0
    while batch := shop.feed(position, 250):
        engine.apply(shop.connection, batch, position)
        rows = shop.table(projection)
        shop.connection.execute("UPDATE checkpoint SET position = %s", [position])
        engine.apply(shop.connection, batch, position)
        assert shop.table(projection) == rows
        position = batch[-1].position


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rebuild_equals_the_live_rows(empty: Shop, seed: int) -> None:
    """covers: L5, L16. A worker that starts again after each batch, of any size, misses nothing."""
    empty.history = History(100 + seed)
    empty.write(empty.history.units(scale(300, 15)))
    for projection in PROJECTIONS:
        position = 0
        while batch := empty.feed(position, empty.history.random.randint(1, 400)):
            position = empty.engine(projection).apply(empty.connection, batch, position)
        rebuilt = empty.rebuild(projection, compare=True)
        assert (rebuilt.differing, rebuilt.swapped) == (0, True), rebuilt.examples
        assert rebuilt.position == position


def test_a_rebuild_that_differs_keeps_the_live_table(shop: Shop) -> None:
    """covers: L16"""
    shop.fold(order_status.PROJECTION)
    order_id = shop.history.orders[3]
    wrong = "UPDATE order_status SET total_minor = total_minor + 1 WHERE order_id = %s"
    shop.connection.execute(wrong, [order_id])
    found = shop.rebuild(order_status.PROJECTION, compare=True)
    assert (found.differing, found.examples, found.swapped) == (1, (order_id,), False)
    assert shop.rebuild(order_status.PROJECTION).swapped
    assert shop.rebuild(order_status.PROJECTION, compare=True).differing == 0


def test_reads_stay_up_and_right_in_rebuild(shop: Shop) -> None:
    """covers: R27"""
    shop.fold(order_status.PROJECTION)
    expected = shop.ask(order_status.order_counts)
    done, seen = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            seen.append(shop.ask(order_status.order_counts))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        assert shop.rebuild(order_status.PROJECTION, compare=True).swapped
    done.set()
    reader.join()
    assert seen
    assert all(answer == expected for answer in seen)


def test_of_two_workers_one_moves_the_checkpoint(shop: Shop) -> None:
    """covers: L7, L22. The one that comes second keeps nothing of its batch."""
    engine = shop.engine(order_status.PROJECTION)
    batch = shop.feed(0, 300)
    with shop.store.connect(autocommit=True) as other:
        Engine(order_status.PROJECTION, shop.settings.read_schema).apply(other, batch[:200], 0)
    rows = shop.table(order_status.PROJECTION)
    with pytest.raises(Overtaken):
        engine.apply(shop.connection, batch, 0)
    assert shop.table(order_status.PROJECTION) == rows
    assert engine.position(shop.connection) == batch[199].position


def test_a_batch_is_one_transaction_however_many_events(shop: Shop) -> None:
    """covers: L15"""
    places: list[str] = []
    head = shop.fold(order_status.PROJECTION, batch_events=10_000, kill_point=places.append)
    assert head > 200
    assert places == ["folded", "written", "committed"] * -(-head // 10_000)


def test_the_staging_table_does_not_grow_with_the_batches(shop: Shop) -> None:
    """A projector lives for months on one connection, and temporary tables are never vacuumed."""
    engine = shop.engine(order_status.PROJECTION)
    events = shop.feed(0, 10_000)
    position = 0
    sizes: list[int] = []
    for number in range(20):
        batch = [
            one._replace(position=number * len(events) + place)
            for place, one in enumerate(events, start=1)
        ]
        position = engine.apply(shop.connection, batch, position)
        size = "SELECT pg_relation_size('staging_order_status')"
        sizes += shop.connection.execute(size).fetchone() or ()
    assert sizes[-1] <= sizes[0] + 8_192, sizes


def test_projection_never_skips_late_commit(empty: Shop) -> None:
    """covers: R20, L3. Writers race while the fold tails the ledger; one is slow to commit."""
    stop = threading.Event()
    engine = empty.engine(stock_levels.PROJECTION)

    def tail() -> None:
        with empty.store.connect(autocommit=True) as connection:
            position = 0
            while not stop.is_set() or empty.store.feed(connection, position, 1):
                batch = empty.store.feed(connection, position, 50)
                position = engine.apply(connection, batch, position)

    def sell(seed: int) -> None:
        history = History(seed)
        with empty.store.connect(autocommit=True) as connection:
            for n in range(scale(400, 20)):
                unit = history.run(given_orders.receive(1, f"SKU-{seed}-{n % 5}"))
                assert unit is not None
                with connection.transaction():
                    empty.store.append(connection, [unit])
                    stop.wait(0.02 if seed == 1 and n % 5 == 0 else 0)

    tailing = threading.Thread(target=tail)
    writers = [threading.Thread(target=sell, args=(seed,)) for seed in range(4)]
    for thread in (tailing, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    tailing.join()
    (units,) = empty.connection.execute("SELECT sum(on_hand) FROM stock_levels").fetchone() or (0,)
    assert units == 4 * scale(400, 20)
    assert empty.rebuild(stock_levels.PROJECTION, compare=True).differing == 0


def test_lag_is_told_in_events_and_in_seconds(shop: Shop) -> None:
    """covers: L20"""
    head = shop.fold(stock_levels.PROJECTION)
    engine = shop.engine(order_status.PROJECTION)
    engine.apply(shop.connection, shop.feed(0, 10), 0)
    lag = {row["name"]: row for row in shop.ask(checkpoint.lag)}
    assert lag["stock_levels"]["lag_events"] == 0
    assert lag["stock_levels"]["lag_seconds"] == 0
    assert lag["order_status"]["position"] == 10
    assert lag["order_status"]["lag_events"] == head - 10
    assert lag["order_status"]["lag_seconds"] > 0
    assert lag["order_status"]["head"] == head
    assert lag["order_status"]["heartbeat_at"].tzinfo is not None


def failing_at(projection: Projection[Any], key: str, position: int) -> Projection[Any]:
    """The projection with a fault in its fold, from one event of one key on."""

    def fold(row: Any, recorded: Recorded) -> Any:
        if recorded.position >= position and key in projection.keys(recorded):
            raise ZeroDivisionError("a fault in the fold")
        return projection.fold(row, recorded)

    return replace(projection, fold=fold)


def test_an_order_that_cannot_be_folded_waits_alone(shop: Shop) -> None:
    """covers: L19. The others go on; after the fix its events are folded in order."""
    projection, key = order_status.PROJECTION, shop.history.orders[5]
    mine = [r.position for r in shop.feed(0, 10_000) if key in projection.keys(r)]
    faulty = failing_at(projection, key, mine[2])
    head = shop.fold(faulty, batch_events=100)
    assert shop.engine(projection).position(shop.connection) == head
    (one,) = parked(shop.settings)
    assert (one["projection"], one["key"], one["position"]) == (
        "order_status",
        key,
        mine[2],
    )
    assert "ZeroDivisionError" in one["error"]
    assert [lag["parked"] for lag in shop.ask(checkpoint.lag)] == [1]
    query = "SELECT position FROM order_status WHERE order_id = %s"
    assert shop.connection.execute(query, [key]).fetchone() == (mine[1],)

    still = release(shop.connection, shop.engine(faulty), key, shop.feed)
    assert still == mine[2]
    assert release(shop.connection, shop.engine(projection), key, shop.feed) is None
    assert parked(shop.settings) == []
    assert shop.rebuild(projection, compare=True).differing == 0
    with pytest.raises(KeyError):
        release(shop.connection, shop.engine(projection), key, shop.feed)


def test_parked_replay_keeps_checkpoint(shop: Shop) -> None:
    """covers: R29"""
    projection, key = order_status.PROJECTION, shop.history.orders[0]
    head = shop.fold(failing_at(projection, key, 0))
    release(shop.connection, shop.engine(projection), key, shop.feed)
    assert shop.engine(projection).position(shop.connection) == head
    assert shop.rebuild(projection, compare=True).differing == 0


def test_an_order_with_a_fact_that_cannot_be_read_waits_alone(shop: Shop) -> None:
    """covers: L19. What nobody asks for is not even looked at."""
    projection, key = order_status.PROJECTION, shop.history.orders[2]
    batch = shop.feed(0, 10_000)
    at = next(n for n, one in enumerate(batch) if one.key == key and one.version == 2)
    batch[at] = batch[at]._replace(decode=partial(codec.decode, batch[at].topic, b"{"))
    for model in (projection, stock_levels.PROJECTION):
        assert shop.engine(model).apply(shop.connection, batch, 0) == batch[-1].position
    (one,) = parked(shop.settings)
    assert (one["key"], one["position"]) == (key, batch[at].position)
    assert len(shop.table(projection)) == len(shop.history.orders)
    release(shop.connection, shop.engine(projection), key, shop.feed)
    assert shop.rebuild(projection, compare=True).differing == 0


def test_no_projection_passes_over_a_topic_that_is_unknown(shop: Shop) -> None:
    """covers: L19. A newer version of the code may have meant it for any of them."""
    with psycopg.connect(shop.settings.postgres_url) as owner:
        owner.execute(
            """INSERT INTO main.ledger_event SELECT position + 1, gen_random_uuid(), 1, category,
            key, 'order.unheard_of.v1', state, occurred_at, recorded_at, actor, origin, command_id,
            correlation_id, causation_id FROM main.ledger_event ORDER BY position DESC LIMIT 1"""
        )
    with pytest.raises(codec.UnknownTopic, match="unheard_of"):
        shop.fold(stock_levels.PROJECTION)


def test_a_row_that_cannot_be_stored_waits_alone(shop: Shop) -> None:
    """covers: L19"""
    projection, key = order_status.PROJECTION, shop.history.orders[1]

    def dump(row: Any) -> tuple[Any, ...]:
        values = projection.dump(row)
        return (*values[:1], "\x00", *values[2:]) if values[0] == key else values

    head = shop.fold(replace(projection, dump=dump))
    assert shop.engine(projection).position(shop.connection) == head
    assert [row["key"] for row in parked(shop.settings)] == [key]
    assert len(shop.table(projection)) == len(shop.history.orders) - 1
    release(shop.connection, shop.engine(projection), key, shop.feed)
    assert shop.rebuild(projection, compare=True).differing == 0


def test_voided_orders_are_in_no_list_and_no_figure(empty: Shop) -> None:
    """covers: A83. They stay in the ledger, and can be asked for by name."""
    empty.run(given_orders.place(A), given_orders.place(B), given_orders.void(B))
    empty.fold_all()
    listed = empty.ask(lambda c: order_status.list_orders(c, OrderFilters()))
    assert [order["order_id"] for order in listed["items"]] == [A]
    assert empty.ask(order_status.order_counts)[0] == {"awaiting_payment": 1}
    history = empty.ask(lambda c: customer_history.customer_history(c, "li"))
    assert [order["order_id"] for order in history["orders"]] == [A]
    assert empty.ask(lambda c: order_status.get_order(c, B))[0]["status"] == "void"
    void = empty.ask(lambda c: order_status.list_orders(c, OrderFilters(status="void")))
    assert [order["order_id"] for order in void["items"]] == [B]


def test_orders_are_listed_newest_first_page_by_page(shop: Shop) -> None:
    """covers: A27"""
    position = shop.fold(order_status.PROJECTION)

    async def pages(connection: AsyncConnection[Any], filters: OrderFilters) -> list[Any]:
        items, after = [], None
        while True:
            page = await order_status.list_orders(connection, filters, after, limit=7)
            assert page["position"] == position
            items += page["items"]
            after = page["next"]
            if after is None:
                return items

    everything = shop.ask(lambda c: pages(c, OrderFilters()))
    living = [o for o in shop.history.orders if not shop.history.order(o).void]
    assert {item["order_id"] for item in everything} == set(living)
    order = [(item["placed_at"], item["order_id"]) for item in everything]
    assert order == sorted(order, reverse=True)
    middle = everything[len(everything) // 2]["placed_at"]
    late = shop.ask(lambda c: pages(c, OrderFilters(placed_from=middle)))
    early = shop.ask(lambda c: pages(c, OrderFilters(placed_to=middle)))
    assert late + early == everything
    wang = shop.ask(lambda c: pages(c, OrderFilters(customer_id="wang", status="shipped")))
    assert wang == [
        item for item in everything if (item["customer_id"], item["status"]) == ("wang", "shipped")
    ]


def test_an_order_is_found_by_what_people_know_of_it(empty: Shop) -> None:
    """covers: A19. Number, reference, customer, sku, tracking number; the beginning of the id."""
    empty.run(
        given_orders.place(A, given_orders.line("TEA"), external_ref="Web 100%"),
        given_orders.place(B, given_orders.line("CUP"), customer_id="wang"),
        given_orders.approve(B),
        given_money.pay(10_000, "P", B),
        given_orders.pack((1, 2), parcel_id=K, order_id=B),
        given_orders.dispatch(K, "SF-77"),
    )
    empty.fold(order_status.PROJECTION)

    def found(q: str) -> list[str]:
        page = empty.ask(lambda c: order_status.list_orders(c, OrderFilters(q=q)))
        return [item["order_id"] for item in page["items"]]

    assert found(f"NUMBER-{A}") == found(" web 100% ") == found("tea") == [A]
    assert found("wang") == found("sf-77") == found("CUP") == [B]
    assert sorted(found("0193")) == [A, B]
    assert found("%") == found("0193_") == found("nothing") == found("SF-7") == []


def test_an_override_is_shown_as_one_and_ends_with_the_next_fact(empty: Shop) -> None:
    """covers: A27"""
    empty.run(given_orders.place(A), given_orders.override("payment", "overdue", order_id=A))
    empty.fold(order_status.PROJECTION)
    order, _ = empty.ask(lambda c: order_status.get_order(c, f"number-{A}"))
    assert (order["payment"], order["overrides"]["payment"]["facts"]) == ("overdue", "unpaid")
    assert order["overrides"]["payment"]["actor"] == "desk"
    empty.run(given_money.pay(10_000, order_id=A))
    empty.fold(order_status.PROJECTION)
    order, _ = empty.ask(lambda c: order_status.get_order(c, A))
    assert (order["payment"], order["overrides"]) == ("paid", {})


def test_times_name_the_event_that_told_them_and_earlier_estimates_are_kept(empty: Shop) -> None:
    """covers: A10"""
    first, second = hours(72), hours(96)
    empty.run(
        given_orders.place(A),
        given_money.pay(10_000, order_id=A),
        given_orders.approve(A),
        given_orders.pack((1, 2), parcel_id=K, order_id=A),
        given_orders.dispatch(K, at=hours(1)).model_copy(update={"estimated_at": first}),
        given_orders.scan("in_transit", hours(20), K, estimated_at=second),
        given_orders.scan("picked_up", hours(2), K, estimated_at=hours(60)),
        given_orders.deliver(K, delivered_at=hours(50)),
    )
    empty.fold(order_status.PROJECTION)
    order, _ = empty.ask(lambda c: order_status.get_order(c, A))
    topics = {r.position: r.topic for r in empty.feed(0, 100)}
    times = order["times"]
    assert (times["ordered"]["at"], times["shipped"]["at"]) == (NOON, hours(1))
    assert (times["estimated"]["at"], times["delivered"]["at"]) == (second, hours(50))
    assert topics[times["estimated"]["position"]] == "parcel.tracked.v1"
    assert topics[times["delivered"]["position"]] == "order.delivered.v1"
    assert [e["at"] for e in order["earlier_estimates"]] == [first, hours(60)]
    (parcel,) = order["parcels"]
    assert (parcel["milestone"], parcel["tracking_number"]) == ("delivered", f"SF-{K}")


def test_read_models_hold_personal_data_sealed_only(shop: Shop) -> None:
    """covers: A16"""
    shop.fold_all()
    for projection in PROJECTIONS:
        text = str(shop.table(projection))
        for secret in ("Li Wei", "li@example.com", "Long Street", "很好", "customer asked"):
            assert secret not in text


def test_another_version_of_the_code_asks_for_a_rebuild(shop: Shop) -> None:
    """covers: L16"""
    shop.fold(stock_levels.PROJECTION)
    newer = replace(stock_levels.PROJECTION, version=2)
    with pytest.raises(Exception, match="rebuild stock_levels"):
        shop.engine(newer)
    assert shop.rebuild(newer).swapped
    shop.engine(newer)


def test_a_session_that_may_not_create_tables_is_told_so(shop: Shop) -> None:
    """The ledger's role owns the read models and nothing else."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Engine(order_status.PROJECTION, shop.settings.schema_name).prepare(shop.connection)
