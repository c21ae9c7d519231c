"""The Olist files come in as they are, and the figures equal plain queries over the files.

The files are not part of the project: OLIST_DIR says where they are.
"""

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pytest

from commands.settings import Settings
from commands.store import COLUMNS, Store, recorded
from domain.message import Recorded
from projections import customer_history
from projections.analytics import FactWriter, Lake
from projections.analytics_queries import Analytics, Period
from projections.engine import Engine
from tests.scale import scale
from tests.servers import fresh_database, settings_of
from workers.import_reading import Unreadable
from workers.importing import Progress, Summary
from workers.local.postgres import LocalPostgres
from workers.olist import import_olist, records
from workers.olist_files import NoOlist, read

ORDERS = 99_441
SAMPLE = 2_000
EVERY = 1 if scale(ORDERS) >= ORDERS else ORDERS // SAMPLE
IN_UTC = Period(zone="UTC", dated="placed", currency="BRL")
BATCH_EVENTS = 10_000
SOLD = "status <> 'canceled'"  # A cancelled order sells nothing.


def quiet(_: Progress) -> None:
    """Nobody watches."""


# -- the files, small and made up ------------------------------------------------------------------

FILES = {
    "olist_orders_dataset": """order_id,customer_id,order_status,order_purchase_timestamp,\
order_approved_at,order_delivered_carrier_date,order_delivered_customer_date,\
order_estimated_delivery_date
o1,c1,delivered,2018-01-02 10:00:00,2018-01-02 11:00:00,2018-01-03 09:00:00,2018-01-05 12:00:00,\
2018-01-20 00:00:00
o2,c2,canceled,2018-01-01 10:00:00,,,,2018-01-20 00:00:00
o3,c3,delivered,2018-01-03 10:00:00,2018-01-03 11:00:00,,,2018-01-20 00:00:00
o4,c4,unavailable,yesterday,,,,
o5,c9,shipped,2018-01-04 10:00:00,,,,
o1,c1,delivered,2018-01-02 10:00:00,,,,
o6,c1
""",
    "olist_order_items_dataset": """order_id,order_item_id,product_id,seller_id,\
shipping_limit_date,price,freight_value
o1,2,p1,s1,2018-01-06 00:00:00,10.10,1.5
o1,1,p1,s1,2018-01-06 00:00:00,10.10,2.55
o1,3,p1,s2,2018-01-06 00:00:00,9.99,0.00
o3,1,p2,s1,2018-01-06 00:00:00,5.00,x
o9,1,p1,s1,2018-01-06 00:00:00,1.00,1.00
""",
    "olist_order_payments_dataset": """order_id,payment_sequential,payment_type,\
payment_installments,payment_value
o1,2,voucher,1,4.24
o1,1,credit_card,3,30.00
o2,1,not_defined,1,0.00
""",
    "olist_order_reviews_dataset": """review_id,order_id,review_score,review_comment_title,\
review_comment_message,review_creation_date,review_answer_timestamp
r1,o1,5,Bom,"chegou ""cedo""
e bem",2018-01-06 00:00:00,2018-01-07 08:00:00
r1,o3,1,,,,
""",
    "olist_customers_dataset": """customer_id,customer_unique_id,customer_zip_code_prefix,\
customer_city,customer_state
c1,u1,01310,sao paulo,SP
c2,u1,01310,sao paulo,SP
c3,u3,20000,rio,RJ
""",
    "olist_products_dataset": """product_id,product_category_name,product_weight_g
p1,brinquedos,200
""",
    "olist_sellers_dataset": """seller_id,seller_zip_code_prefix,seller_city,seller_state
s1,02000,campinas,SP
""",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Made-up files in the form of Olist's, one of them packed."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.csv").write_text(text)
    packed = tmp_path / "olist_customers_dataset.csv"
    (tmp_path / f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    return tmp_path


def test_files_are_joined_by_order_and_units_of_one_price_are_one_line(directory: Path) -> None:
    found = [one for _, one in records(read(directory), directory)]
    told = {one[2].order.external_ref: one[2] for one in found if not isinstance(one, Unreadable)}
    assert list(told) == ["o2", "o1", "o3"]  # In the order of purchase.
    order = told["o1"].order
    lines = [(line.sku, int(line.quantity), line.unit_price_minor) for line in order.lines]
    assert lines == [("p1", 2, 1010), ("p1", 1, 999)]
    assert order.shipping_minor == 405
    assert order.shipping_address is not None
    assert (order.shipping_address.line1, order.shipping_address.postal_code) == ("-", "01310")
    assert order.verbatim is not None
    assert order.verbatim["source_status"] == "delivered"
    assert order.verbatim["lines"][0]["items"][1]["freight_minor"] == 150
    facts = [(fact.type, str(fact.at)[:10]) for fact in told["o1"].facts]
    assert facts == [
        ("paid", "2018-01-02"),
        ("paid", "2018-01-02"),
        ("approved", "2018-01-02"),
        ("dispatched", "2018-01-03"),
        ("delivered", "2018-01-05"),
        ("feedback", "2018-01-07"),
    ]
    assert getattr(told["o1"].facts[-1], "comment", "") == 'Bom\nchegou "cedo"\ne bem'
    assert told["o3"].irregular == [
        "delivered_without_time",
        "feedback_of_several_orders",
        "feedback_without_time",
    ]
    assert told["o2"].irregular == ["cancelled_without_time"]


def test_rows_that_cannot_be_read_are_named_by_file_and_line(directory: Path) -> None:
    found = [one for _, one in records(read(directory), directory)]
    unreadable = {
        (Path(one.file).name.removesuffix(".csv"), one.line, one.reason)
        for one in found
        if isinstance(one, Unreadable)
    }
    assert unreadable == {
        (
            "olist_orders_dataset",
            5,
            "order_purchase_timestamp: no time such as 2018-01-31 12:00:00",
        ),
        ("olist_orders_dataset", 6, "customer_id: no such customer"),
        ("olist_orders_dataset", 7, "order_id: stands twice"),
        ("olist_orders_dataset", 8, "2 cells instead of 8"),
        ("olist_order_items_dataset", 5, "freight_value: no integer"),
        ("olist_order_items_dataset", 6, "order_id: no such order"),
    }


def test_a_directory_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoOlist, match="olist_orders_dataset"):
        read(tmp_path)


def test_made_up_files_come_in_whole_and_once(settings: Settings, directory: Path) -> None:
    first = import_olist(settings, directory, quiet)
    assert (first.orders, first.unreadable_count) == (3, 6)
    assert first.irregular["cancelled_without_time"].examples == ["o2"]
    second = import_olist(settings, directory, quiet)
    assert (second.orders, second.events, second.known) == (0, 0, 3)


# -- the real files --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """A sample of the real files in a ledger, its figures, and the files as tables."""

    settings: Settings
    summary: Summary
    orders: int
    analytics: Analytics
    csv: duckdb.DuckDBPyConnection

    def in_files(self, query: str) -> list[tuple[Any, ...]]:
        return self.csv.execute(query).fetchall()

    def in_ledger(self, query: str) -> list[tuple[Any, ...]]:
        with Store(self.settings).connect(autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def sales(self, group: Any, *columns: str) -> list[tuple[Any, ...]]:
        rows = self.analytics.sales(group, IN_UTC)["rows"]
        found = [(row["group"], *(row[column] for column in columns)) for row in rows]
        return [row for row in found if any(row[1:])]


def olist_directory() -> Path:
    if not os.environ.get("OLIST_DIR"):
        pytest.skip("OLIST_DIR does not say where the Olist files are")
    return Path(os.environ["OLIST_DIR"])


@pytest.fixture(scope="module")
def imported(
    postgres: LocalPostgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Imported]:
    """Every so-manieth order by purchase, so that all years and irregularities are among them."""
    directory, var = olist_directory(), tmp_path_factory.mktemp("olist")
    with fresh_database(postgres, ledger_template) as url:
        settings = settings_of(url, var)
        summary = import_olist(settings, directory, quiet, every=EVERY)
        analytics = folded(settings)
        try:
            orders = len(range(0, ORDERS, EVERY))
            yield Imported(settings, summary, orders, analytics, tables(directory))
        finally:
            analytics.close()


def folded(settings: Settings) -> Analytics:
    """The facts and the customer histories of all that is in the ledger."""
    store = Store(settings)
    lake = Lake(
        settings.postgres_url,
        settings.analytics_schema,
        settings.role,
        settings.analytics_path,
        settings.analytics_threads,
        settings.analytics_memory_limit,
    )
    histories = Engine(customer_history.PROJECTION, settings.read_schema)
    with store.connect(autocommit=True) as connection, lake.connect() as duck:
        facts = FactWriter(duck, lambda streams, position: earlier(connection, streams, position))
        facts.prepare()
        histories.prepare(connection)
        after = 0
        while batch := store.feed(connection, after, BATCH_EVENTS):
            facts.apply(batch, after)
            after = histories.apply(connection, batch, after)
        assert not facts.parked()
    return Analytics(lake)


def earlier(
    connection: psycopg.Connection, streams: Sequence[UUID], position: int
) -> list[Recorded]:
    """Events of these streams below a position."""
    query = f"""SELECT {COLUMNS} FROM ledger_event
        WHERE stream_id = ANY(%s) AND position < %s ORDER BY position"""
    rows = connection.execute(query.encode(), [list(streams), position])
    return [recorded(row) for row in rows]


def tables(directory: Path) -> duckdb.DuckDBPyConnection:
    """The files as tables, cut to the orders of the sample; amounts as exact decimals."""
    csv = duckdb.connect(config={"threads": 2})
    for name in ("orders", "order_items", "order_payments", "customers", "products"):
        source = f"{directory}/olist_{name}_dataset.csv*"
        csv.execute(
            f"CREATE TABLE all_{name} AS FROM read_csv('{source}', header=true, all_varchar=true)"
        )
    csv.execute(
        f"""CREATE TABLE orders AS SELECT order_id, customer_unique_id AS customer,
            order_status AS status, order_purchase_timestamp AS bought,
            strftime(CAST(order_purchase_timestamp AS TIMESTAMP), '%Y-%m') AS month
        FROM (SELECT *, row_number() OVER (ORDER BY order_purchase_timestamp, order_id) AS n
              FROM all_orders) JOIN all_customers USING (customer_id)
        WHERE (n - 1) % {EVERY} = 0"""
    )
    csv.execute(
        """CREATE TABLE items AS SELECT orders.*, product_id AS sku,
            coalesce(product_category_name, 'uncategorised') AS category,
            CAST(CAST(price AS DECIMAL(12,2)) * 100 AS BIGINT) AS price,
            CAST(CAST(freight_value AS DECIMAL(12,2)) * 100 AS BIGINT) AS freight
        FROM all_order_items JOIN orders USING (order_id) JOIN all_products USING (product_id)"""
    )
    csv.execute(
        """CREATE TABLE payments AS SELECT orders.*, payment_type AS method,
            CAST(CAST(payment_value AS DECIMAL(12,2)) * 100 AS BIGINT) AS amount
        FROM all_order_payments JOIN orders USING (order_id)"""
    )
    return csv


def test_every_order_of_the_files_is_in_the_ledger(imported: Imported) -> None:
    summary = imported.summary
    assert (summary.orders, summary.known) == (imported.orders, 0)
    assert summary.unreadable == []
    assert imported.in_ledger("SELECT count(*), max(position) FROM ledger_event") == [
        (summary.events, summary.events)
    ]


def test_orders_by_the_status_of_the_source_equal_the_files(imported: Imported) -> None:
    found = imported.in_ledger(
        """SELECT state->'verbatim'->>'source_status', count(*) FROM ledger_event_json
        WHERE topic = 'order.placed.v1' GROUP BY 1 ORDER BY 1"""
    )
    assert found == imported.in_files("SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 1")


def test_sales_by_category_equal_the_files_to_the_cent_and_the_unit(imported: Imported) -> None:
    found = imported.sales("category", "orders", "units", "gross_minor")
    assert [row for row in found if row[0]] == imported.in_files(  # "": orders without lines
        f"""SELECT category, count(DISTINCT order_id), count(*), CAST(sum(price) AS BIGINT)
        FROM items WHERE {SOLD} GROUP BY 1 ORDER BY 1"""
    )


def test_sales_by_product_equal_the_files_to_the_cent_and_the_unit(imported: Imported) -> None:
    assert imported.sales("sku", "units", "gross_minor") == imported.in_files(
        f"""SELECT sku, count(*), CAST(sum(price) AS BIGINT)
        FROM items WHERE {SOLD} GROUP BY 1 ORDER BY 1"""
    )


def test_sales_by_month_equal_the_files_with_the_freight(imported: Imported) -> None:
    columns = ("orders", "units", "gross_minor", "shipping_minor")
    assert imported.sales("month", *columns) == imported.in_files(
        f"""SELECT month, count(DISTINCT order_id), count(price),
            CAST(coalesce(sum(price), 0) AS BIGINT), CAST(coalesce(sum(freight), 0) AS BIGINT)
        FROM orders LEFT JOIN (SELECT order_id, price, freight FROM items) USING (order_id)
        WHERE {SOLD} GROUP BY 1 ORDER BY 1"""
    )


def test_payments_by_method_equal_the_files(imported: Imported) -> None:
    rows = imported.analytics.payments("method", IN_UTC)["rows"]
    found = [(row["group"], row["payments"], row["paid_minor"]) for row in rows]
    assert found == imported.in_files(
        "SELECT method, count(*), CAST(sum(amount) AS BIGINT) FROM payments GROUP BY 1 ORDER BY 1"
    )


def test_customer_histories_equal_the_files(imported: Imported) -> None:
    found = imported.in_ledger(
        """SELECT customer_id, count(*), sum(total_minor)::bigint, sum(paid_minor)::bigint,
            max(placed_at)::timestamp::text FROM customer_history GROUP BY 1 ORDER BY 1"""
    )
    assert found == imported.in_files(
        f"""WITH owed AS (SELECT order_id, sum(price + freight) AS owed FROM items
                WHERE {SOLD} GROUP BY 1),
            paid AS (SELECT order_id, sum(amount) AS paid FROM payments GROUP BY 1)
        SELECT customer, count(*), CAST(coalesce(sum(owed), 0) AS BIGINT),
            CAST(coalesce(sum(paid), 0) AS BIGINT), max(bought)
        FROM orders LEFT JOIN owed USING (order_id) LEFT JOIN paid USING (order_id)
        GROUP BY 1 ORDER BY 1"""
    )


def test_irregular_orders_are_counted_as_the_files_have_them(imported: Imported) -> None:
    counts = {name: kind.count for name, kind in imported.summary.irregular.items()}
    expected = {
        "lines_missing": "SELECT count(*) FROM orders WHERE order_id NOT IN "
        "(SELECT order_id FROM items)",
        "cancelled_without_time": "SELECT count(*) FROM orders WHERE status = 'canceled'",
        "status_unknown": "SELECT count(*) FROM orders WHERE status = 'unavailable'",
        "payment_method_unknown": "SELECT count(DISTINCT order_id) FROM payments "
        "WHERE method <> 'credit_card'",
        "payment_of_nothing": "SELECT count(DISTINCT order_id) FROM payments WHERE amount = 0",
        "dispatched_before_approved": """SELECT count(*) FROM orders JOIN all_orders
            USING (order_id) WHERE order_delivered_carrier_date < order_approved_at""",
    }
    for kind, query in expected.items():
        assert (kind, counts.get(kind, 0)) == (kind, imported.in_files(query)[0][0])
    listed = [json.loads(line) for line in imported.summary.report.read_text().splitlines()]
    for kind, count in counts.items():
        assert sum(kind in entry["irregular"] for entry in listed) == count


def test_the_files_imported_again_add_nothing(imported: Imported) -> None:
    again = import_olist(imported.settings, olist_directory(), quiet, every=EVERY)
    assert (again.orders, again.events, again.known) == (0, 0, imported.orders)
    assert again.irregular == imported.summary.irregular
