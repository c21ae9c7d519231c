"""Figures: facts add up to the orders, every grouping to the same whole, and a rebuild to both."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from psycopg import Connection

from commands.append import Unit
from commands.settings import Settings
from commands.store import Store
from domain.message import Recorded
from domain.order_facts import OrderPlaced
from domain.order_state import Order
from domain.payment_commands import CancelOverdue, RefuseDelivery
from projections import analytics_facts, analytics_rebuild, analytics_tables
from projections.analytics import FactWriter, Lake, LakeUnreachable
from projections.analytics_queries import Analytics, Period
from projections.analytics_rebuild import LiveWriterTooFast, rebuild_facts
from projections.checkpoint import Overtaken
from projections.rebuild import Rebuilt
from tests import given, given_money, given_orders, given_returns
from tests.given import hours
from tests.histories import History, write
from tests.scale import scale
from workers.projector import lake_of

A, B = "0193aaaa-0000-7000-8000-00000000000a", "0193bbbb-0000-7000-8000-00000000000b"
K = "0193cccc-0000-7000-8000-00000000000c"
ORDERS = scale(400, 20)
SUMS = (
    "gross_minor",
    "discount_minor",
    "shipping_minor",
    "tax_minor",
    "refunded_minor",
    "net_minor",
)


@dataclass
class Shop:
    settings: Settings
    store: Store
    connection: Connection
    lake: Any  # a DuckDBPyConnection
    history: History

    def writer(self, **more: Any) -> FactWriter:
        earlier = partial(self.store.earlier, self.connection)
        writer = FactWriter(self.lake, earlier, **more)
        writer.prepare()
        return writer

    def run(self, *commands: Any) -> int:
        units = [self.history.run(command) for command in commands]
        assert all(units), "a command was refused"
        self.write(unit for unit in units if unit is not None)
        return self.fold()

    def write(self, units: Iterator[Unit]) -> int:
        return write(self.store, self.connection, units)

    def feed(self, after: int, limit: int) -> list[Recorded]:
        return self.store.feed(self.connection, after, limit)

    def fold(self, batch_events: int = 500, **more: Any) -> int:
        writer = self.writer(**more)
        position = writer.position()
        while batch := self.feed(position, batch_events):
            position = writer.apply(batch, position)
        return position

    def facts(self, table: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.lake.execute(
            f"FROM lake.{table} ORDER BY position, n"
        ).fetchall()
        return found

    def rebuild(self, **more: Any) -> Any:
        return rebuild_facts(
            self.lake, self.feed, partial(self.store.earlier, self.connection), **more
        )


@pytest.fixture
def empty(settings: Settings) -> Iterator[Shop]:
    store = Store(settings)
    lake = lake_of(settings).connect()
    with store.connect(autocommit=True) as connection:
        yield Shop(settings, store, connection, lake, History(11))
    lake.close()


@pytest.fixture
def shop(empty: Shop) -> Shop:
    empty.write(empty.history.units(ORDERS))
    return empty


@pytest.fixture
def analyst(settings: Settings, empty: Shop) -> Iterator[Analytics]:
    empty.writer()
    reader = Analytics(lake_of(settings))
    yield reader
    reader.close()


def total(rows: list[dict[str, Any]], name: str) -> Any:
    return sum(Decimal(row[name]) if name == "units" else row[name] for row in rows)


def test_the_facts_of_an_order_add_up_to_what_it_sells(shop: Shop) -> None:
    """covers: R8, A88. Placed, amended, cancelled, voided: the sum is what is owed, to the cent."""
    shop.fold(batch_events=97)
    query = f"""SELECT order_id, sum(gross_minor - discount_minor + shipping_minor), sum(quantity)
        FROM lake.{analytics_tables.LINE_FACT} GROUP BY order_id"""
    sums = {str(key): (owed, units) for key, owed, units in shop.lake.execute(query).fetchall()}
    for order_id in shop.history.orders:
        state = shop.history.order(order_id)
        owed = 0 if state.void else state.total_minor
        units = 0 if state.void else sum(line.live for line in state.lines.values())
        assert sums[order_id] == (owed, units)


def test_every_grouping_adds_up_to_the_same_whole(shop: Shop, analyst: Analytics) -> None:
    """covers: A27, A44"""
    shop.fold()
    wholes = {
        group: {name: total(analyst.sales(group)["rows"], name) for name in (*SUMS, "units")}
        for group in ("month", "category", "sku", "channel")
    }
    assert len({tuple(whole.values()) for whole in wholes.values()}) == 1, wholes
    by_month, by_method = analyst.payments("month")["rows"], analyst.payments("method")["rows"]
    for name in ("payments", "paid_minor", "refunded_minor"):
        assert total(by_month, name) == total(by_method, name)
    # What was paid above what is owed was never sold: it goes back without lowering the sales.
    assert 0 < wholes["sku"]["refunded_minor"] <= total(by_month, "refunded_minor")


def test_sales_are_those_of_the_orders(shop: Shop, analyst: Analytics) -> None:
    """covers: A24, A27. Sums over the folded orders, and money in less money out."""
    position = shop.fold()
    for currency in ("CNY", "JPY"):
        orders = [
            state
            for state in map(shop.history.order, shop.history.orders)
            if state.currency == currency and not state.void
        ]
        period = Period(currency=currency)
        sales, payments = analyst.sales("channel", period), analyst.payments("method", period)
        assert (sales["currency"], sales["position"]) == (currency, position)
        refunded = sum(r.amount_minor for o in orders for r in o.refunds.values() if r.paid)
        assert total(sales["rows"], "net_minor") == sum(kept(order) for order in orders)
        assert total(payments["rows"], "paid_minor") == sum(o.paid_minor for o in orders)
        assert total(payments["rows"], "refunded_minor") == refunded
        living = [o for o in orders if any(line.live > 0 for line in o.lines.values())]
        assert total(sales["rows"], "orders") == len(living)


def kept(order: Order) -> int:
    """What is owed, less what was given back of it. What was paid above that goes back first."""
    given_back = sum(r.amount_minor for r in order.refunds.values() if r.paid)
    above = max(0, order.paid_minor - order.total_minor)
    return order.total_minor - max(0, given_back - above)


@pytest.mark.parametrize("refund_first", [False, True])
def test_what_is_cancelled_and_refunded_was_not_sold(
    empty: Shop, analyst: Analytics, refund_first: bool
) -> None:
    """Neither gross nor net: the money was never kept, whichever came first. covers: R5"""
    placed = (
        given_orders.place(A, given_orders.line("TEA", 2, 1000), shipping_minor=500),
        given_money.pay(2500, order_id=A),
    )
    cancelled = given_orders.cancel(order_id=A)
    refunded = (
        given_returns.refund(2500, refund_id="R1", order_id=A),
        given_returns.pay_refund("R1", A),
    )
    empty.run(*placed, *((*refunded, cancelled) if refund_first else (cancelled, *refunded)))
    for group in ("sku", "month", "channel"):
        for row in analyst.sales(group)["rows"]:
            assert [row[name] for name in ("orders", *SUMS)] == [0] * (1 + len(SUMS)), group
    assert total(analyst.payments("method")["rows"], "refunded_minor") == 2500


def test_what_was_paid_too_much_is_no_sale_when_it_goes_back(
    empty: Shop, analyst: Analytics
) -> None:
    empty.run(
        given_orders.place(A, given_orders.line("TEA", 2, 1000)),
        given_money.pay(2500, order_id=A),
        given_returns.refund(500, refund_id="R1", order_id=A),
        given_returns.pay_refund("R1", A),
        given_orders.cancel((1, 1), order_id=A),
        given_returns.refund(1000, refund_id="R2", order_id=A),
        given_returns.pay_refund("R2", A),
    )
    (row,) = analyst.sales("sku")["rows"]
    assert (row["gross_minor"], row["refunded_minor"], row["net_minor"]) == (1000, 0, 1000)


def test_shipping_and_refunds_are_shared_out_to_the_lines(empty: Shop, analyst: Analytics) -> None:
    """covers: A66. By largest remainder; a refund by lines goes to these lines."""
    lines = [
        given_orders.line("TEA", 1, 1000),
        given_orders.line("CUP", 1, 1000),
        given_orders.line("POT", 1, 1000),
    ]
    position = empty.run(
        given_orders.place(A, *lines, shipping_minor=100, discount_minor=300),
        given_money.pay(2800, order_id=A),
        given_returns.refund(None, (2, 1), refund_id="R1", order_id=A),
        given_returns.pay_refund("R1", A),
    )
    sales = analyst.sales("sku")
    assert (sales["currency"], sales["position"]) == ("CNY", position)
    found = {
        row["group"]: [row[name] for name in ("orders", "units", *SUMS)] for row in sales["rows"]
    }
    assert found == {
        "TEA": [1, 1, 1000, 100, 34, 0, 0, 934],
        "CUP": [1, 1, 1000, 100, 33, 0, 900, 33],
        "POT": [1, 1, 1000, 100, 33, 0, 0, 933],
    }


def test_a_refund_by_amount_goes_to_lines_by_their_worth(empty: Shop, analyst: Analytics) -> None:
    """covers: A66"""
    empty.run(
        given_orders.place(A, given_orders.line("TEA", 1, 3000), given_orders.line("CUP", 1, 1000)),
        given_money.pay(4000, order_id=A),
        given_returns.refund(1001, refund_id="R1", order_id=A),
        given_returns.pay_refund("R1", A),
    )
    rows = analyst.sales("sku")["rows"]
    assert {row["group"]: row["refunded_minor"] for row in rows} == {"TEA": 751, "CUP": 250}


def test_sales_are_what_is_kept_of_a_reduced_and_of_a_cheaper_order(
    empty: Shop, analyst: Analytics
) -> None:
    """covers: R5: 500 off two at 1000, then one is cancelled: 750. One of two at 1000 is refunded,
    then both cost 600: 600.
    """
    empty.run(
        given_orders.place(A, given_orders.line("TEA", 2, 1000)),
        given_money.pay(2000, order_id=A),
        given_returns.refund(500, refund_id="R1", order_id=A, reason="late"),
        given_returns.pay_refund("R1", A),
    )
    assert analyst.sales("sku")["rows"][0]["net_minor"] == 1500
    empty.run(
        given_orders.cancel((1, 1), order_id=A),
        given_returns.refund(750, refund_id="R2", order_id=A, reason="cancellation"),
        given_returns.pay_refund("R2", A),
        given_orders.place(B, given_orders.line("CUP", 2, 1000)),
        given_money.pay(2000, "P2", B),
        given_returns.refund(None, (1, 1), refund_id="R3", order_id=B),
        given_returns.pay_refund("R3", B),
        given_orders.cancel((1, 1), order_id=B),
        given_orders.amend({"line_no": 1, "unit_price_minor": 600}, order_id=B),
        given_returns.refund(400, refund_id="R4", order_id=B, reason="overpayment"),
        given_returns.pay_refund("R4", B),
    )
    rows = {row["group"]: row["net_minor"] for row in analyst.sales("sku")["rows"]}
    assert rows == {"TEA": 750, "CUP": 600}


def test_taxes_are_within_the_amounts_whether_prices_include_them(
    empty: Shop, analyst: Analytics
) -> None:
    """covers: A65"""
    line = given_orders.line("TEA", 1, 10_000, tax_rate_bp=1000)
    empty.run(given_orders.place(A, line, prices_include_tax=False), given_orders.place(B, line))
    (row,) = analyst.sales("sku")["rows"]
    assert (row["gross_minor"], row["tax_minor"]) == (11_000 + 10_000, 1000 + 909)
    assert row["net_minor"] == 21_000


def test_names_of_discounts_and_exemptions_move_no_figure(empty: Shop, analyst: Analytics) -> None:
    """covers: A65 (exemption), A66: the sums of an order are those of one that says less."""
    lines = (given_orders.line("TEA", 3, 3333), given_orders.line("CUP", 1, 1000))
    off = [
        {"kind": "coupon", "code": "SPRING", "title": "Spring", "amount_minor": 333},
        {"kind": "promotion", "title": "Two for one", "amount_minor": 168},
    ]
    exempt: dict[str, Any] = {"exemption": {"code": "VATEX-EU-132"}}
    empty.run(
        given_orders.place(A, *lines, discount_minor=501, currency="CNY", shipping_minor=500),
        given_orders.place(B, *lines, discounts=off, currency="EUR", shipping_minor=500, **exempt),
        *(given_orders.cancel((1, 1), order_id=one) for one in (A, B)),
    )
    plain, named = (
        [{name: row[name] for name in ("group", "units", *SUMS)} for row in found["rows"]]
        for found in (analyst.sales("sku", Period(currency=code)) for code in ("CNY", "EUR"))
    )
    assert plain == named
    assert total(named, "discount_minor") < 501


def test_days_and_months_are_those_of_the_shop(empty: Shop, analyst: Analytics) -> None:
    """covers: A27. 31 January 20:00 UTC is February in Shanghai."""
    late = datetime(2025, 1, 31, 20, tzinfo=UTC)
    empty.run(given_orders.place(A, at=late), given_money.pay(10_000, order_id=A, at=late))
    months = [
        analyst.sales("month", Period(zone=zone))["rows"][0]["group"]
        for zone in ("Asia/Shanghai", "UTC")
    ]
    assert months == ["2025-02", "2025-01"]
    assert analyst.payments("month")["rows"][0]["group"] == "2025-02"


def test_a_cancellation_lowers_its_own_month_or_that_of_the_order(
    empty: Shop, analyst: Analytics
) -> None:
    """covers: A32. As accounts see it, or as the season sees it."""
    may = datetime(2025, 5, 2, tzinfo=UTC)
    cancel = given_orders.cancel(order_id=A).model_copy(update={"at": may})
    empty.run(given_orders.place(A), given_orders.place(B), cancel)
    gross = {row["group"]: row["gross_minor"] for row in analyst.sales("month")["rows"]}
    assert gross == {"2025-03": 20_000, "2025-05": -10_000}
    (row,) = analyst.sales("month", Period(dated="placed"))["rows"]
    assert (row["group"], row["gross_minor"], row["orders"]) == ("2025-03", 10_000, 1)
    until_may = Period(end=may)
    assert total(analyst.sales("sku", until_may)["rows"], "gross_minor") == 20_000
    assert total(analyst.sales("sku", Period(start=may))["rows"], "gross_minor") == -10_000


def test_figures_can_be_asked_as_of_any_position(empty: Shop, analyst: Analytics) -> None:
    """covers: A84, L35"""
    first = empty.run(given_orders.place(A))
    empty.run(given_orders.place(B), given_money.pay(10_000, order_id=A))
    then = analyst.sales("channel", Period(as_of=first))
    assert (then["position"], then["rows"][0]["orders"]) == (first, 1)
    assert analyst.payments("method", Period(as_of=first))["rows"] == []
    assert analyst.sales("channel")["rows"][0]["orders"] == 2


def test_currencies_are_never_added_up(empty: Shop, analyst: Analytics) -> None:
    """covers: A78. Without a wish the commonest is answered, and said."""
    assert analyst.sales("month") == {"rows": [], "currency": None, "position": 0}
    empty.run(given_orders.place(A, currency="JPY"), given_orders.place(B, currency="JPY"))
    third = "0193dddd-0000-7000-8000-00000000000d"
    empty.run(given_orders.place(third, given_orders.line("CUP")))
    assert analyst.sales("sku")["currency"] == "JPY"
    assert analyst.sales("sku", Period(currency="CNY"))["rows"][0]["group"] == "CUP"
    assert analyst.sales("sku", Period(currency="EUR"))["rows"] == []


def test_an_order_without_lines_is_counted_until_it_is_cancelled(empty: Shop) -> None:
    """Imports bring such orders; their shipping must stand somewhere."""
    state = replace(
        given.given(None, given_orders.place(A)).world.order(A), lines={}, shipping_minor=50
    )
    (sold,) = analytics_facts.selling(state).items()
    assert sold[0] == (0, "", "")
    assert (sold[1].lines, sold[1].shipping_minor, sold[1].quantity) == (1, 50, Decimal(0))
    cancelled = replace(state, cancelled=True, shipping_cancelled=True)
    assert analytics_facts.selling(cancelled)[0, "", ""] == analytics_facts.Selling()


def test_a_parcels_times_are_facts(empty: Shop) -> None:
    """covers: A31"""
    empty.run(
        given_orders.place(A),
        given_orders.approve(A),
        given_money.pay(10_000, order_id=A),
        given_orders.pack((1, 2), parcel_id=K, order_id=A),
        given_orders.dispatch(K, at=hours(5)),
        given_orders.deliver(K, delivered_at=hours(50)),
    )
    columns = [*analytics_tables.TABLES[analytics_tables.PARCEL_FACT]]
    rows = [
        dict(zip(columns, row, strict=True)) for row in empty.facts(analytics_tables.PARCEL_FACT)
    ]
    assert [(row["kind"], row["occurred_at"]) for row in rows] == [
        ("packed", hours(0)),
        ("dispatched", hours(5)),
        ("delivered", hours(50)),
    ]
    assert {(row["order_id"], row["quantity"]) for row in rows} == {(UUID(A), 2)}


def test_each_batch_delivered_twice_changes_nothing(shop: Shop) -> None:
    """covers: L7. The second time finds the checkpoint moved."""
    writer = shop.writer()
    position = 0
    while batch := shop.feed(position, 400):
        writer.apply(batch, position)
        before = [shop.facts(table) for table in analytics_tables.TABLES]
        with pytest.raises(Overtaken):
            writer.apply(batch, position)
        assert [shop.facts(table) for table in analytics_tables.TABLES] == before
        position = batch[-1].position


def test_facts_equal_a_rebuild_whatever_the_batches(shop: Shop) -> None:
    """covers: L5. A writer that starts anew after each batch reads what orders were before."""
    position = 0
    while batch := shop.feed(position, shop.history.random.randint(60, 300)):
        position = shop.writer().apply(batch, position)
    found = shop.rebuild(compare=True)
    assert (found.differing, found.swapped, found.position) == (0, True, position)
    update = f"UPDATE lake.{analytics_tables.PAYMENT_FACT} SET amount_minor = amount_minor + 1"
    shop.lake.execute(update)
    assert not shop.rebuild(compare=True).swapped
    assert shop.rebuild().swapped
    assert shop.rebuild(compare=True).differing == 0


def test_of_two_writers_one_commits(shop: Shop) -> None:
    """covers: L7, L22. Facts of the one that lost are kept nowhere."""
    shop.writer()
    other = lake_of(shop.settings).connect()
    batch = shop.feed(0, 300)
    committed: list[int] = []

    def first(place: str) -> None:
        if place == "facts_written" and not committed:
            theirs = FactWriter(other, partial(shop.store.earlier, shop.connection))
            committed.append(theirs.apply(batch, 0))

    with pytest.raises(duckdb.TransactionException):
        shop.writer(kill_point=first).apply(batch, 0)
    assert committed == [shop.writer().position()]
    assert shop.rebuild(compare=True).differing == 0
    other.close()


def test_an_order_whose_facts_cannot_be_made_waits_alone(shop: Shop) -> None:
    """covers: L19"""
    key = shop.history.orders[2]
    placements = (r for r in shop.feed(0, 10_000) if isinstance(r.event, OrderPlaced))
    stream = next(r.stream_id for r in placements if r.key == key)

    def failing(state: Any, recorded: Recorded) -> Any:
        if recorded.key == key:
            raise ZeroDivisionError("a fault in the fold")
        return analytics_facts.fold(state, recorded)

    shop.fold(batch_events=100, fold=failing)
    assert [*shop.writer().parked()] == [key]
    shop.writer().release(key, stream)
    assert shop.writer().parked() == {}
    assert shop.rebuild(compare=True).differing == 0
    with pytest.raises(KeyError):
        shop.writer().release(key, stream)


def test_many_readers_beside_the_writer_see_whole_commits(shop: Shop, analyst: Analytics) -> None:
    """covers: A29. Each answer is of one position."""
    done = threading.Event()
    answers: list[dict[str, Any]] = []

    def read() -> None:
        while not done.is_set():
            answers.append(analyst.payments("method", Period(currency="CNY")))

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        shop.fold(batch_events=200)
        done.set()
    for reader in readers:
        reader.result()
    for answer in answers:
        again = analyst.payments("method", Period(currency="CNY", as_of=answer["position"]))
        assert answer["rows"] == again["rows"]


SWAPS_BROKEN = 2


class Disturbed:
    """The connection of a rebuild. The live writer commits in every second transaction of it, right
    before its end, and in the first swaps: so each step fails once, whatever the machine's speed.
    """

    def __init__(self, lake: duckdb.DuckDBPyConnection, live_commit: Callable[[], None]) -> None:
        self._lake = lake
        self._live_commit = live_commit
        self._swapping = self._spared = False
        self.swaps = self.failed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake, name)

    def execute(self, query: str, *values: Any) -> Any:
        if query == "BEGIN":
            self._swapping = False
        self._swapping |= query.startswith("DROP TABLE lake.")
        if query == "COMMIT" and self._is_disturbed():
            self._live_commit()
        try:
            return self._lake.execute(query, *values)
        except duckdb.TransactionException:
            self.failed += query == "COMMIT"
            raise

    def _is_disturbed(self) -> bool:
        if self._swapping:
            self.swaps += 1
            return self.swaps <= SWAPS_BROKEN
        self._spared = not self._spared
        return self._spared


def test_a_rebuild_comes_through_beside_a_writer_that_goes_on(shop: Shop) -> None:
    """covers: L34. Both move checkpoints of one table, so each makes commits of the other fail."""
    shop.fold()
    selling = replace(shop, lake=lake_of(shop.settings).connect())
    live = selling.writer()

    def sell() -> None:
        """What the projector does while shops sell; it began before us, and was done first."""
        shop.write(shop.history.units(1))
        position = live.position()
        assert live.apply(shop.feed(position, 500), position) > position

    disturbed = Disturbed(shop.lake, sell)
    found = replace(shop, lake=disturbed).rebuild(compare=True)
    assert (found.differing, found.swapped) == (0, True)
    assert disturbed.swaps == SWAPS_BROKEN + 1
    assert disturbed.failed > 2 * SWAPS_BROKEN
    sell()
    selling.lake.close()
    assert shop.rebuild(compare=True).differing == 0


def test_a_writer_that_was_at_work_during_the_swap_begins_anew(shop: Shop) -> None:
    """covers: L34. Its facts were meant for the tables that are gone."""
    position = shop.fold()
    shop.write(shop.history.units(5))
    selling = replace(shop, lake=lake_of(shop.settings).connect())
    found: list[Rebuilt] = []

    def rebuild_now(place: str) -> None:
        if place == "facts_written":
            found.append(shop.rebuild(compare=True))

    batch = shop.feed(position, 500)
    with pytest.raises(duckdb.TransactionException):
        selling.writer(kill_point=rebuild_now).apply(batch, position)
    assert [(one.position, one.differing, one.swapped) for one in found] == [(position, 0, True)]
    writer = selling.writer()
    assert writer.position() == position
    assert writer.apply(batch, position) == batch[-1].position
    selling.lake.close()
    assert shop.rebuild(compare=True).differing == 0


def test_a_rebuild_that_never_gets_between_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries are bounded, and the live facts stand as they were."""
    monkeypatch.setattr(analytics_rebuild, "SWAP_TRIES_MAX", 5)
    position = shop.fold()

    def feed(after: int, limit: int) -> list[Recorded]:
        shop.write(shop.history.units(1))
        shop.fold()  # The live facts are ahead again when this batch is folded.
        return shop.feed(after, limit)

    with pytest.raises(LiveWriterTooFast, match="try again when fewer events come in"):
        rebuild_facts(shop.lake, feed, partial(shop.store.earlier, shop.connection))
    assert shop.writer().position() > position
    assert shop.rebuild(compare=True).differing == 0


def test_maintenance_changes_no_figure(shop: Shop, analyst: Analytics) -> None:
    """covers: A29"""
    shop.fold(batch_events=100)
    before = analyst.sales("sku"), analyst.payments("method")
    shop.writer().maintain()
    assert (analyst.sales("sku"), analyst.payments("method")) == before
    assert shop.rebuild(compare=True).differing == 0


def test_facts_hold_no_personal_data(shop: Shop) -> None:
    """covers: A92"""
    shop.fold()
    text = str([shop.facts(table) for table in analytics_tables.TABLES])
    for personal in ("Li Wei", "li@example.com", "Long Street", "'li'", "'wang'", "sealed"):
        assert personal not in text


def test_an_unreachable_catalog_is_named_without_its_password(tmp_path: Path) -> None:
    """covers: A16"""
    lake = Lake("postgresql://x:secret@127.0.0.1:1/x", "main_analytics", "x", tmp_path, 1, "100MB")
    with pytest.raises(LakeUnreachable) as error:
        lake.connect()
    assert "secret" not in str(error.value)


def test_payments_of_an_older_version_count_as_what_they_were(
    empty: Shop, settings: Settings
) -> None:
    """A lake from before money was moved or voided: its rows are captures, one payment each."""
    columns = analytics_tables.TABLES[analytics_tables.PAYMENT_FACT]
    old = {name: kind for name, kind in columns.items() if name not in {"payments", "kind"}}
    listed = ", ".join(f"{name} {kind}" for name, kind in old.items())
    table = f"lake.{analytics_tables.PAYMENT_FACT}"
    empty.lake.execute(f"CREATE TABLE {table} ({listed})")
    values = "1, 0, uuid(), now(), now(), now(), 'main', 'web', 'CNY', 'api', 'P', 'alipay', 500"
    empty.lake.execute(f"INSERT INTO {table} VALUES ({values})")
    empty.run(
        given_orders.place(A), given_money.pay(10_000, "P2", A), given_money.unrecord("P2", A)
    )
    reader = Analytics(lake_of(settings))
    [row] = reader.payments("method", Period(currency="CNY"))["rows"]
    reader.close()
    assert (row["payments"], row["paid_minor"]) == (1, 500)


def test_what_is_refused_or_brought_back_is_in_the_sales(empty: Shop, analyst: Analytics) -> None:
    """covers: A27: a refused parcel lowers the sales, an order that lives on raises them again."""
    due = hours(24 * 4)
    empty.run(
        given_orders.place(A, payment_method="cash_on_delivery"),
        given_orders.pack((1, 1), parcel_id=K, order_id=A),
        given_orders.dispatch(K),
        given_money.money(RefuseDelivery, A, parcel_id=K),
        given_orders.place(B),
        given_money.money(CancelOverdue, B, at=due),
    )
    [row] = analyst.sales("channel")["rows"]
    assert (row["units"], row["net_minor"]) == (1, 5_000)
    empty.run(given_money.pay(10_000, "P", B, at=due, value_date="2025-03-02"))
    [row] = analyst.sales("channel")["rows"]
    assert (row["units"], row["net_minor"]) == (3, 15_000)
