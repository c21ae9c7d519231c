"""Tells the public Olist data set in the neutral form of imported history.

What the source does not say is not made up, except where a fact needs a time:
- A payment has no time: that of the order's approval is taken, else that of the purchase.
- A cancellation has none, and 8 deliveries: the last time known of the order is taken, and the
  order is listed.
- A score counts from its answer, else from the day the question was sent, else as above.
- Of an address only zip prefix, city and state are known: the street reads `-`.
- Names of products are unknown: the name is the id. Categories stay in the source's own words.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commands.settings import Settings
from workers.import_batch import ORIGIN
from workers.import_reading import Found, Unreadable, check
from workers.importing import Summary, Tell, run_import
from workers.olist_files import (
    Customer,
    Item,
    Olist,
    Order,
    Payment,
    Product,
    Review,
    path_of,
    read,
)

SOURCE = "olist"
CURRENCY = "BRL"
COUNTRY = "BR"
DELIVERED, CANCELLED = "delivered", "canceled"
# Statuses that our facts can say. Of "unavailable" nobody tells what became of the money.
TOLD = frozenset({"created", "approved", "processing", "invoiced", "shipped", DELIVERED, CANCELLED})


def import_olist(
    settings: Settings, directory: Path, progress: Tell, actor: str = ORIGIN, every: int = 1
) -> Summary:
    """Import the Olist files of a directory, .csv or .csv.gz, in the order of purchase.

    `every`: a sample, each so-manieth order. Raises NoOlist, OSError.
    """
    with lasting_objects():
        olist = read(directory)
    found = records(olist, directory, every)
    try:
        return run_import(settings, str(directory), found, progress, actor)
    finally:
        gc.unfreeze()


@contextmanager
def lasting_objects() -> Iterator[None]:
    """Keep what is made within out of the garbage collector's rounds, until `gc.unfreeze`.

    The joined files are two million objects without a cycle: walking them again and again costs
    the import a fifth of its time.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def records(olist: Olist, directory: Path, every: int = 1) -> Iterator[tuple[float, Found]]:
    """The orders as records, oldest purchase first; what could not be read goes before them."""
    for place in olist.unreadable:
        yield 0.0, place
    file = str(path_of(directory, "olist_orders_dataset"))
    # Purchase times are not unique.
    due = sorted(olist.orders, key=lambda order_id: (olist.orders[order_id].row[3], order_id))
    due = due[::every]
    for number, order_id in enumerate(due, start=1):
        order = olist.orders.pop(order_id)
        try:
            record = neutral(order, olist)
        except ValueError as error:
            yield number / len(due), Unreadable(file, order.line, str(error))
        else:
            yield number / len(due), check(file, order.line, record)


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
