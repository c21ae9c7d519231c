"""Reads the public Olist data set, as it is published, into the neutral form of imported history.

What the source does not say is not made up, except where a fact needs a time:
- A payment has no time: that of the order's approval is taken, else that of the purchase.
- A cancellation has none, and 8 deliveries: the last time known of the order is taken, and the
  order is listed.
- A score counts from its answer, else from the day the question was sent, else as above.
- Of an address only zip prefix, city and state are known: the street reads `-`.
- Names of products are unknown: the name is the id. Categories stay in the source's own words.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from commands.settings import Settings
from workers.importing import ORIGIN, Found, Summary, Tell, Unreadable, check, run_import

SOURCE = "olist"
CURRENCY = "BRL"
COUNTRY = "BR"
TIME_LENGTH = 19
DELIVERED, CANCELLED = "delivered", "canceled"
# Statuses that our facts can say. Of "unavailable" nobody tells what became of the money.
TOLD = frozenset({"created", "approved", "processing", "invoiced", "shipped", DELIVERED, CANCELLED})

Row = dict[str, str]


class Item(NamedTuple):
    """One unit of an order."""

    number: int
    product_id: str
    seller_id: str
    limit: str
    price_minor: int
    freight_minor: int


class Payment(NamedTuple):
    sequential: int
    method: str
    installments: str
    amount_minor: int


class Review(NamedTuple):
    review_id: str
    score: int
    comment: str
    asked: str
    answered: str


class Customer(NamedTuple):
    unique_id: str
    zip_prefix: str
    city: str
    state: str


class Product(NamedTuple):
    category: str
    measures: dict[str, str]


@dataclass(slots=True)
class Order:
    """A row of the orders with what the other files say of it."""

    line: int
    row: tuple[str, ...]
    items: list[Item] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)


@dataclass(slots=True)
class Olist:
    """All files, joined in memory: some 2 kB an order, let go as the orders are told."""

    orders: dict[str, Order] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    sellers: dict[str, dict[str, str]] = field(default_factory=dict)
    review_orders: dict[str, int] = field(default_factory=dict)  # how many orders share a review
    unreadable: list[Unreadable] = field(default_factory=list)


ORDER_COLUMNS = (
    "order_id",
    "customer_id",
    "order_status",
    "order_purchase_timestamp",
    "order_approved_at",
    "order_delivered_carrier_date",
    "order_delivered_customer_date",
    "order_estimated_delivery_date",
)


class NoOlist(Exception):
    """The directory lacks one of the files, or a file lacks a column."""


def import_olist(
    settings: Settings, directory: Path, progress: Tell, actor: str = ORIGIN, limit: int = 0
) -> Summary:
    """Import the Olist files of a directory, .csv or .csv.gz, in the order of purchase.

    `limit`: so many orders only, the first by purchase; 0 takes all. Raises NoOlist, OSError.
    """
    olist = read(directory)
    return run_import(settings, str(directory), records(olist, directory, limit), progress, actor)


def records(olist: Olist, directory: Path, limit: int = 0) -> Iterator[tuple[float, Found]]:
    """The orders as records, oldest purchase first; what could not be read goes before them."""
    for place in olist.unreadable:
        yield 0.0, place
    file = str(_path(directory, "olist_orders_dataset"))
    # Purchase times are not unique.
    due = sorted(olist.orders, key=lambda order_id: (olist.orders[order_id].row[3], order_id))
    due = due[:limit] if limit else due
    for number, order_id in enumerate(due, start=1):
        order = olist.orders.pop(order_id)
        try:
            record = neutral(order, olist)
        except ValueError as error:
            yield number / len(due), Unreadable(file, order.line, str(error))
        else:
            yield number / len(due), check(file, order.line, record)


# -- reading ---------------------------------------------------------------------------------------


def read(directory: Path) -> Olist:
    """Read and join the files. A row that is wrong is left out and named by file and line."""
    olist = Olist()
    readers: tuple[tuple[str, Callable[[Olist, int, Row], None]], ...] = (
        ("olist_orders_dataset", _order),
        ("olist_order_items_dataset", _item),
        ("olist_order_payments_dataset", _payment),
        ("olist_order_reviews_dataset", _review),
        ("olist_customers_dataset", _customer),
        ("olist_products_dataset", _product),
        ("olist_sellers_dataset", _seller),
    )
    for name, take in readers:
        path = _path(directory, name)
        for line, row in _rows(path, olist):
            try:
                take(olist, line, row)
            except KeyError as error:
                raise NoOlist(f"{path} has no column {error}") from None
            except ValueError as error:
                olist.unreadable.append(Unreadable(str(path), line, str(error)))
    return olist


def _path(directory: Path, name: str) -> Path:
    for path in (directory / f"{name}.csv.gz", directory / f"{name}.csv"):
        if path.exists():
            return path
    raise NoOlist(f"{directory} has neither {name}.csv nor {name}.csv.gz")


def _rows(path: Path, olist: Olist) -> Iterator[tuple[int, Row]]:
    """Rows with the line they end on. Bytes that are no UTF-8 become surrogates, refused later."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = csv.reader(text)
        header = next(rows, [])
        while True:
            try:
                cells = next(rows, None)
            except (csv.Error, EOFError, OSError) as error:
                olist.unreadable.append(Unreadable(str(path), rows.line_num, str(error)))
                if not isinstance(error, csv.Error):
                    return
                continue
            if cells is None:
                return
            if len(cells) != len(header):
                reason = f"{len(cells)} cells instead of {len(header)}"
                olist.unreadable.append(Unreadable(str(path), rows.line_num, reason))
            else:
                yield rows.line_num, dict(zip(header, cells, strict=True))


def _order(olist: Olist, line: int, row: Row) -> None:
    cells = tuple(row[column] for column in ORDER_COLUMNS)
    for column, cell in zip(ORDER_COLUMNS[3:], cells[3:], strict=True):
        if cell:
            _time(column, cell)
    _time("order_purchase_timestamp", cells[3])
    if cells[0] in olist.orders:
        raise ValueError("order_id: stands twice")
    olist.orders[cells[0]] = Order(line, (cells[0], cells[1], intern(cells[2]), *cells[3:]))


def _item(olist: Olist, _line: int, row: Row) -> None:
    item = Item(
        number=_integer("order_item_id", row["order_item_id"]),
        product_id=intern(row["product_id"]),
        seller_id=intern(row["seller_id"]),
        limit=row["shipping_limit_date"],
        price_minor=_minor("price", row["price"]),
        freight_minor=_minor("freight_value", row["freight_value"]),
    )
    _order_of(olist, row).items.append(item)


def _payment(olist: Olist, _line: int, row: Row) -> None:
    payment = Payment(
        sequential=_integer("payment_sequential", row["payment_sequential"]),
        method=intern(row["payment_type"]),
        installments=intern(row["payment_installments"]),
        amount_minor=_minor("payment_value", row["payment_value"]),
    )
    _order_of(olist, row).payments.append(payment)


def _review(olist: Olist, _line: int, row: Row) -> None:
    for column in ("review_creation_date", "review_answer_timestamp"):
        if row[column]:
            _time(column, row[column])
    parts = (row["review_comment_title"], row["review_comment_message"])
    review = Review(
        review_id=row["review_id"],
        score=_integer("review_score", row["review_score"]),
        comment="\n".join(part for part in parts if part.strip()),
        asked=row["review_creation_date"],
        answered=row["review_answer_timestamp"],
    )
    _order_of(olist, row).reviews.append(review)
    olist.review_orders[review.review_id] = olist.review_orders.get(review.review_id, 0) + 1


def _customer(olist: Olist, _line: int, row: Row) -> None:
    olist.customers[row["customer_id"]] = Customer(
        row["customer_unique_id"],
        intern(row["customer_zip_code_prefix"]),
        intern(row["customer_city"]),
        intern(row["customer_state"]),
    )


def _product(olist: Olist, _line: int, row: Row) -> None:
    named = ("product_id", "product_category_name")
    measures = {name: cell for name, cell in row.items() if name not in named and cell}
    olist.products[row["product_id"]] = Product(intern(row["product_category_name"]), measures)


def _seller(olist: Olist, _line: int, row: Row) -> None:
    olist.sellers[row["seller_id"]] = {k: v for k, v in row.items() if k != "seller_id"}


def _order_of(olist: Olist, row: Row) -> Order:
    try:
        return olist.orders[row["order_id"]]
    except KeyError:
        raise ValueError("order_id: no such order") from None


def _time(column: str, cell: str) -> None:
    with suppress(ValueError):
        if len(cell) == TIME_LENGTH:  # Other forms of ISO 8601 would not sort as text.
            datetime.fromisoformat(cell)
            return
    raise ValueError(f"{column}: no time such as 2018-01-31 12:00:00")


def _integer(column: str, cell: str) -> int:
    with suppress(ValueError):
        return int(cell)
    raise ValueError(f"{column}: no integer")


def _minor(column: str, cell: str) -> int:
    """An amount with at most two decimals, exactly, in minor units."""
    whole, _, decimals = cell.partition(".")
    if len(decimals) > 2:
        raise ValueError(f"{column}: more than two decimals")
    return _integer(column, whole + decimals.ljust(2, "0"))


# -- joining ---------------------------------------------------------------------------------------


def neutral(order: Order, olist: Olist) -> dict[str, Any]:
    """One order as a record of the neutral format. Raises ValueError for one without customer."""
    order_id, customer_id, status, bought, *times, promised = order.row
    customer = olist.customers.get(customer_id)
    if customer is None:
        raise ValueError("customer_id: no such customer")
    lines, details = _lines(order, olist)
    irregular: set[str] = set()
    facts = _facts(order, [bought, *times], irregular)
    irregular.update(_irregular(order, olist))
    found = {
        "external_ref": order_id,
        "placed_at": bought,
        "shop": SOURCE,
        "channel": "marketplace",
        "customer_id": customer.unique_id,
        "currency": CURRENCY,
        "lines": lines,
        "shipping_minor": sum(item.freight_minor for item in order.items),
        "shipping_address": _address(customer),
        "promised_at": promised or None,
        "verbatim": {"source_status": status, "customer_id": customer_id, "lines": details},
    }
    return {"source": SOURCE, "order": found, "facts": facts, "irregular": sorted(irregular)}


def _address(customer: Customer) -> dict[str, str]:
    parts = {
        "city": customer.city,
        "region": customer.state,
        "postal_code": customer.zip_prefix,
    }
    return {"country": COUNTRY, **{name: part for name, part in parts.items() if part}}


def _lines(order: Order, olist: Olist) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line per product, seller and price; and beside each, what has no field of ours."""
    units: dict[tuple[str, str, int], list[Item]] = {}
    for item in sorted(order.items):
        key = (item.product_id, item.seller_id, item.price_minor)
        units.setdefault(key, []).append(item)
    lines, details = [], []
    for (product_id, seller_id, price), items in units.items():
        product = olist.products.get(product_id, Product("", {}))
        line = {"sku": product_id, "quantity": len(items), "unit_price_minor": price}
        lines.append({**line, "category": product.category} if product.category else line)
        details.append(
            {
                "line_no": len(lines),
                "seller_id": seller_id,
                **olist.sellers.get(seller_id, {}),
                **product.measures,
                "items": [
                    {
                        "order_item_id": item.number,
                        "shipping_limit_date": item.limit,
                        "freight_minor": item.freight_minor,
                    }
                    for item in items
                ],
            }
        )
    return lines, details


def _facts(order: Order, times: list[str], irregular: set[str]) -> list[dict[str, Any]]:
    """In the order in which an order lives: the times of the source often contradict it."""
    bought, approved, dispatched, delivered = times
    last = max(times)  # Their format sorts as text; empty is lowest.
    status = order.row[2]
    facts = [_paid(order, payment, approved or bought) for payment in sorted(order.payments)]
    if approved:
        facts.append({"type": "approved", "at": approved})
    if dispatched:
        facts.append({"type": "dispatched", "at": dispatched})
    if status == DELIVERED and not delivered:
        irregular.add("delivered_without_time")
        delivered = last
    if delivered:
        facts.append({"type": "delivered", "at": delivered})
    if status == CANCELLED:
        irregular.add("cancelled_without_time")
        facts.append({"type": "cancelled", "at": last, "verbatim": {"at": "last time known"}})
    return facts + [_feedback(review, last, irregular) for review in sorted(order.reviews)]


def _paid(order: Order, payment: Payment, at: str) -> dict[str, Any]:
    return {
        "type": "paid",
        "at": at,
        "method": payment.method,
        "amount_minor": payment.amount_minor,
        "reference": f"{order.row[0]}/{payment.sequential}",
        "verbatim": {
            "payment_sequential": payment.sequential,
            "payment_installments": payment.installments,
        },
    }


def _feedback(review: Review, last: str, irregular: set[str]) -> dict[str, Any]:
    at = review.answered or review.asked
    if not at:
        irregular.add("feedback_without_time")
    verbatim = {"review_id": review.review_id}
    if review.asked:
        verbatim["review_creation_date"] = review.asked
    fact = {"type": "feedback", "at": at or last, "score": review.score, "verbatim": verbatim}
    return {**fact, "comment": review.comment} if review.comment else fact


def _irregular(order: Order, olist: Olist) -> Iterator[str]:
    """What only who knows this source can see."""
    if order.row[2] not in TOLD:
        yield "status_unknown"
    if any(
        not olist.products.get(item.product_id, Product("", {})).category for item in order.items
    ):
        yield "category_missing"
    if any(olist.review_orders.get(review.review_id, 0) > 1 for review in order.reviews):
        yield "feedback_of_several_orders"
    numbers = sorted(payment.sequential for payment in order.payments)
    if numbers and numbers[0] != 1:
        yield "payments_start_late"
    if any(payment.installments == "0" for payment in order.payments):
        yield "installments_of_nothing"
