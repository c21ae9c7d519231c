"""The real Olist files: imported, folded, and every figure of the API equal to the CSV files.

The files are not part of the project: OLIST_DIR says where they are. At the default scale it is a
sample of 2,000 orders, each so-manieth by purchase; `make soak` takes all 99,441.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from commands.settings import Settings
from commands.store import Store
from projections import read_models
from tests.api_server import Api
from tests.scale import scale
from tests.servers import fresh_database, settings_of
from workers import projector
from workers.importing import Progress, Summary
from workers.local.postgres import LocalPostgres
from workers.olist import import_olist
from workers.upkeep import rebuild

ORDERS = 99_441
SAMPLE = 2_000
EVERY = 1 if scale(ORDERS) >= ORDERS else ORDERS // SAMPLE
CATCH_UP_SECONDS = 600.0
IN_UTC = {"zone": "UTC", "dated": "placed", "currency": "BRL"}
HISTORIES = scale(20_000, 1_000)  # customers asked for, those of most orders first
SOLD = "status <> 'canceled'"  # A cancelled order sells nothing.
PROJECTIONS = [*read_models.BY_NAME, "analytics"]

Rows = list[tuple[Any, ...]]


def quiet(_: Progress) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Imported:
    """The files in a ledger with an API, and the files as tables."""

    settings: Settings
    summary: Summary
    orders: int
    api: Api
    csv: duckdb.DuckDBPyConnection

    def in_files(self, query: str) -> Rows:
        return self.csv.execute(query).fetchall()

    def in_ledger(self, query: str) -> Rows:
        with Store(self.settings).connect(autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def sales(self, group: str, *columns: str) -> Rows:
        rows = self.api.shown("/v1/analytics/sales", group=group, **IN_UTC)["rows"]
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
    directory, var = olist_directory(), tmp_path_factory.mktemp("olist")
    with fresh_database(postgres, ledger_template) as url:
        settings = settings_of(url, var)
        summary = import_olist(settings, directory, quiet, every=EVERY)
        api = Api(settings, var).start()
        stop = threading.Event()
        worker = threading.Thread(target=projector.run, args=(settings, stop))
        worker.start()
        try:
            caught_up(api, summary.events)
            orders = len(range(0, ORDERS, EVERY))
            yield Imported(settings, summary, orders, api, tables(directory))
        finally:
            stop.set()
            worker.join()
            api.client.close()
            api.stop()


def caught_up(api: Api, head: int) -> None:
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        answer = api.get("/v1/lag")
        if answer.is_success:
            found = answer.json()["projections"]
            if len(found) == len(PROJECTIONS) and {one["position"] for one in found} == {head}:
                return
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


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
    rows = imported.api.shown("/v1/analytics/orders", group="source_status")["rows"]
    found = [(row["group"], row["orders"]) for row in rows]
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
    rows = imported.api.shown("/v1/analytics/payments", group="method", **IN_UTC)["rows"]
    found = [(row["group"], row["payments"], row["paid_minor"]) for row in rows]
    assert found == imported.in_files(
        "SELECT method, count(*), CAST(sum(amount) AS BIGINT) FROM payments GROUP BY 1 ORDER BY 1"
    )


def test_customer_histories_equal_the_files(imported: Imported) -> None:
    """covers: A15"""
    expected = imported.in_files(
        f"""WITH owed AS (SELECT order_id, sum(price + freight) AS owed FROM items
                WHERE {SOLD} GROUP BY 1),
            paid AS (SELECT order_id, sum(amount) AS paid FROM payments GROUP BY 1)
        SELECT customer, count(*), CAST(coalesce(sum(owed), 0) AS BIGINT),
            CAST(coalesce(sum(paid), 0) AS BIGINT), max(bought)
        FROM orders LEFT JOIN owed USING (order_id) LEFT JOIN paid USING (order_id)
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {HISTORIES}"""
    )
    for customer, orders, owed, paid, last in expected:
        history = imported.api.shown(f"/v1/customers/{customer}/history")
        [total] = history["totals"]
        assert history["orders_count"] == orders
        assert (total["total_minor"], total["paid_minor"]) == (owed, paid)
        assert history["last_at"].replace("T", " ")[:19] == last


def test_rebuilt_read_models_equal_the_live_ones_row_for_row(imported: Imported) -> None:
    """covers: A87 (parity)"""
    rebuilt = rebuild(imported.settings, "all", compare=True)
    # Deadlines are kept by their own worker, which does not run here.
    found = [one for one in rebuilt if one.name != "deadlines"]
    assert [one.name for one in found] == PROJECTIONS
    for one in found:
        assert (one.differing, one.position) == (0, imported.summary.events), one
    assert found[0].rows == imported.orders


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
