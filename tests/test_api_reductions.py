"""A price that is lowered by a refund, as the desk sees it over HTTP: nothing holds the goods."""

from __future__ import annotations

import uuid
from typing import Any

from tests.api_server import Api

BOTH = [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]
LATE = {"reason": "late", "amount_minor": 1_000}


def order(api: Api, paid_minor: int = 21_000, **changes: Any) -> str:
    """The path of an order of 210.00."""
    at = f"/v1/orders/{api.place(**changes)['order_id']}"
    pay(api, at, paid_minor)
    return at


def pay(api: Api, at: str, amount_minor: int) -> None:
    body = {"method": "alipay", "amount_minor": amount_minor, "reference": uuid.uuid4().hex}
    api.made(f"{at}/payments", body)


def refund(api: Api, at: str, **body: Any) -> dict[str, Any]:
    asked = api.made(f"{at}/refunds", body)
    return api.made(f"{at}/refunds/{asked['refund_id']}/pay", {"reference": "R"})


def parcel(api: Api, at: str) -> str:
    return f"/v1/parcels/{api.made(f'{at}/parcels', {'lines': BOTH})['parcel_id']}"


def sending() -> dict[str, str]:
    return {"carrier": "sf", "tracking_number": uuid.uuid4().hex}


def balance(api: Api, at: str) -> int:
    minor: int = api.shown(at, min_position=api.head())["balance_minor"]
    return minor


def test_an_order_whose_price_was_reduced_is_shipped_and_owes_nothing_at_any_step(api: Api) -> None:
    """covers: R10, R14"""
    at = order(api)
    seen = api.made(f"{at}/refunds/preview", LATE)
    assert seen["owed_minor"] == {"before": 21_000, "after": 20_000}
    assert (seen["due_minor"], seen["due_before_dispatch_minor"]) == (0, 0)
    refund(api, at, **LATE)
    assert balance(api, at) == 0
    there = parcel(api, at)
    assert balance(api, at) == 0
    api.made(f"{there}/dispatch", sending())
    assert balance(api, at) == 0
    api.made(f"{there}/deliver")
    told = api.shown(at, min_position=api.head())
    assert (told["balance_minor"], told["credit_minor"]) == (0, 0)
    assert (told["status"], told["payment"]) == ("delivered", "partially_refunded")


def test_the_papers_of_a_reduced_order_say_its_price(api: Api) -> None:
    at = order(api)
    invoiced = api.made(f"{at}/invoices")["paper_total_minor"]
    made = refund(api, at, **LATE)
    body = {"reason": "late", "refund_id": made["refund_id"]}
    assert api.made(f"{at}/credit-notes", body)["paper_total_minor"] == 1_000
    listed = api.shown(f"{at}/papers", min_position=api.head())
    assert invoiced == 21_000
    assert (listed["to_invoice_minor"], listed["to_credit_minor"]) == (0, 0)


def test_a_part_paid_order_is_shipped_once_the_rest_of_its_price_is_there(api: Api) -> None:
    """What was paid out leaves the rest as it was: 20000 are the price, 11000 are here."""
    at = order(api, 12_000)
    seen = api.made(f"{at}/refunds/preview", LATE)
    assert (seen["due_minor"], seen["due_before_dispatch_minor"]) == (9_000, 9_000)
    refund(api, at, **LATE)
    told = api.shown(at, min_position=api.head())
    assert (told["balance_minor"], told["status"]) == (9_000, "awaiting_payment")
    there = parcel(api, at)
    answer = api.post(f"{there}/dispatch", sending())
    assert (answer.status_code, answer.json()["code"]) == (409, "not_paid")
    assert answer.json()["facts"]["due_minor"] == 9_000
    pay(api, at, 9_000)
    api.made(f"{there}/dispatch", sending())
    assert balance(api, at) == 0


def test_money_for_what_is_not_wanted_and_an_overpayment_hold_the_goods(api: Api) -> None:
    """Before they leave the one is there again; the other is asked for."""
    for reason, asked in (("changed_mind", 0), ("overpayment", 1_000)):
        at = order(api)
        body = {"reason": reason, "amount_minor": 1_000}
        seen = api.made(f"{at}/refunds/preview", body)
        assert (seen["due_minor"], seen["due_before_dispatch_minor"]) == (asked, 1_000)
        refund(api, at, **body)
        assert balance(api, at) == asked
        there = parcel(api, at)
        answer = api.post(f"{there}/dispatch", sending())
        assert (answer.json()["code"], answer.json()["facts"]["due_minor"]) == ("not_paid", 1_000)
        pay(api, at, 1_000)
        assert balance(api, at) == 0
        api.made(f"{there}/dispatch", sending())
        assert balance(api, at) == 0


def test_a_cheaper_line_gives_back_the_price_of_the_units_that_are_kept(api: Api) -> None:
    """Of two teas at 86.16 one was refunded: at 60.00 less the discount the other is 27.84 less."""
    at = order(api)
    there = parcel(api, at)
    api.made(f"{there}/dispatch", sending())
    lost = {"reason": "lost", "lines": [{"line_no": 1, "quantity": 1}], "shipping_minor": 0}
    refund(api, at, **lost)
    line = api.shown(at, min_position=api.head())["lines"][0]
    change = {"lines": [{"line_no": 1, "unit_price": "60.00"}], "reason": "A promotion."}
    seen = api.made(f"{at}/amend/preview", change)
    fallen = line["gross_minor"] - seen["lines"][0]["after"]["gross_minor"]
    assert seen["refund_due_minor"] == fallen // 2
    api.made(f"{at}/amend", change)
    assert balance(api, at) == -(fallen // 2)
    refund(api, at, reason="overpayment", amount_minor=fallen // 2)
    again = refund(api, at, **lost)
    assert again["amount_minor"] == seen["lines"][0]["after"]["gross_minor"] // 2
    assert balance(api, at) == 0
