"""Reads the CSV files of the public Olist data set as they are, and joins them by order."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from sys import intern
from typing import NamedTuple

from workers.import_reading import Unreadable

TIME_LENGTH = 19

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
        path = path_of(directory, name)
        for line, row in _rows(path, olist):
            try:
                take(olist, line, row)
            except KeyError as error:
                raise NoOlist(f"{path} has no column {error}") from None
            except ValueError as error:
                olist.unreadable.append(Unreadable(str(path), line, str(error)))
    return olist


def path_of(directory: Path, name: str) -> Path:
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
            except (csv.Error, EOFError, OSError, zlib.error) as error:
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
