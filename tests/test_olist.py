"""The Olist files come in as they are, and the figures equal plain queries over the files.

The files are not part of the project: OLIST_DIR says where they are.
"""

import gzip
from pathlib import Path

import pytest

from commands.settings import Settings
from projections.analytics_queries import Period
from tests.scale import scale
from workers.import_reading import Unreadable
from workers.importing import Progress
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
