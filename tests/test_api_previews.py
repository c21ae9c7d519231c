"""Find, change, check, save: a preview over HTTP, and a change that does exactly what it showed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_server import Api, events

AMENDMENTS: list[dict[str, Any]] = [
    {"lines": [{"line_no": 1, "quantity": 3}]},
    {"lines": [{"line_no": 1, "unit_price": "80.00"}]},
    {"lines": [{"line_no": 2, "quantity": 0}]},
    {
        "lines": [
            {"sku": "POT", "name": "Pot", "quantity": 1, "unit_price": "99.90", "tax_rate_bp": 1300}
        ]
    },
    {"contact": {"name": "李娜", "phone": "13900000000"}},
    {"promised_at": "2027-01-05T10:00:00+08:00"},
]


@pytest.mark.parametrize("change", AMENDMENTS)
def test_what_is_saved_is_what_was_shown(api: Api, change: dict[str, Any]) -> None:
    """covers: A19, A57, R10 (preview_equals_applied)"""
    order_id = api.place()["order_id"]
    at, body = f"/v1/orders/{order_id}", {**change, "reason": "The customer asked."}
    before = events(api, order_id)
    shown = api.made(f"{at}/amend/preview", body)
    assert events(api, order_id) == before, "a preview records nothing"
    saved = api.made(f"{at}/amend", {**body, "digest": shown["digest"]})
    assert saved["total_minor"] == shown["total_minor"]["after"]
    made = events(api, order_id)[len(before) :]
    assert [event["topic"] for event in made] == shown["topics"]
    lines = [event["data"] for event in made if event["topic"] == "order.lines_amended.v2"]
    if lines:
        assert lines[0]["tax_minor"] == shown["tax_minor"]["after"]
        assert {one["line_no"] for one in shown["lines"]} == {
            line["line_no"] for line in lines[0]["before"] + lines[0]["after"]
        }


def test_a_change_that_would_do_something_else_by_now_is_refused_with_what_came_between(
    api: Api,
) -> None:
    """covers: A57 (preview hash must match at confirm, else 409), A77"""
    order_id = api.place()["order_id"]
    at = f"/v1/orders/{order_id}"
    body = {"lines": [{"line_no": 1, "quantity": 3}], "reason": "One more."}
    shown = api.made(f"{at}/amend/preview", body)
    other = {"lines": [{"line_no": 1, "unit_price": "70.00"}], "reason": "A promotion."}
    api.made(f"{at}/amend", other)
    answer = api.post(f"{at}/amend", {**body, "digest": shown["digest"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "preview_differs")
    assert [one["topic"] for one in answer.json()["events"]] == ["order.lines_amended.v2"]
    again = api.made(f"{at}/amend/preview", body)
    assert again["total_minor"]["after"] == 3 * 7_000 + 2_900 - 500 + 1_000
    assert api.made(f"{at}/amend", {**body, "digest": again["digest"]})


def test_what_does_not_conflict_does_not_stop_it(api: Api) -> None:
    """Notes and payments that come in between leave the change as it was shown."""
    order_id = api.place()["order_id"]
    at = f"/v1/orders/{order_id}"
    body = {"lines": [{"line_no": 1, "quantity": 3}], "reason": "One more."}
    shown = api.made(f"{at}/amend/preview", body)
    assert (shown["due_minor"], shown["refund_due_minor"]) == (29_800, 0)
    api.made(f"{at}/notes", {"text": "Called."})
    api.made(f"{at}/payments", {"method": "alipay", "amount_minor": 21_000, "reference": "R-1"})
    saved = api.made(f"{at}/amend", {**body, "digest": shown["digest"]})
    assert saved["total_minor"] == 29_800


def test_a_preview_refuses_what_saving_would_refuse(api: Api) -> None:
    order_id = api.place()["order_id"]
    at = f"/v1/orders/{order_id}"
    body = {"lines": [{"line_no": 9, "quantity": 1}], "reason": "?"}
    for path in (f"{at}/amend/preview", f"{at}/amend"):
        answer = api.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "unknown_line")
    answer = api.post(f"{at}/amend", {**body, "digest": "nonsense"})
    assert answer.json()["errors"][0]["field"] == "digest"
    assert api.post("/v1/orders/1234567897/amend/preview", body).status_code == 404


def test_stock_is_shown_as_it_would_be_promised(api: Api) -> None:
    api.made("/v1/stock/PREVIEWED/receive", {"quantity": 5})
    line = {"sku": "PREVIEWED", "name": "X", "category": "c", "quantity": 2, "unit_price": "1.00"}
    order_id = api.place(lines=[line], discount_minor=0)["order_id"]
    at = f"/v1/orders/{order_id}"
    more = {"lines": [{"line_no": 1, "quantity": 4}], "reason": "More."}
    shown = api.made(f"{at}/amend/preview", more)
    assert shown["stock"] == [{"sku": "PREVIEWED", "location": "main", "reserved": 2}]
    freed = api.made(f"{at}/cancel/preview", {"reason_code": "changed_mind"})
    assert freed["stock"] == [{"sku": "PREVIEWED", "location": "main", "reserved": -2}]
    answer = api.post(f"{at}/amend/preview", {**more, "lines": [{"line_no": 1, "quantity": 9}]})
    assert answer.json()["code"] == "insufficient_stock"


def test_a_cancellation_is_shown_with_its_fee_before_it_is_made(api: Api) -> None:
    """covers: A5 (preview)"""
    rules = {"cancellation": {"free_hours": 0, "fee_bp": 1_000}}
    api.made("/v1/policies/fee-shop", {"rules": rules})
    order_id = api.place(shop="fee-shop")["order_id"]
    at = f"/v1/orders/{order_id}"
    api.made(f"{at}/payments", {"method": "alipay", "amount_minor": 21_000, "reference": "R-2"})
    shown = api.made(f"{at}/cancel/preview", {"reason_code": "changed_mind"})
    goods = 21_000 - 1_000
    assert shown["goods_minor"] == goods
    assert shown["fee_minor"] == goods // 10
    assert shown["refund_due_minor"] == 21_000 - goods // 10
    assert shown["policy_version"] == 1
    answer = api.post(f"{at}/cancel", {"reason_code": "changed_mind", "expected_fee_minor": 0})
    assert (answer.status_code, answer.json()["code"]) == (409, "fee_differs")
    body = {"reason_code": "changed_mind", "expected_fee_minor": shown["fee_minor"]}
    assert api.made(f"{at}/cancel", body)["total_minor"] == shown["fee_minor"]
    again = api.made(f"{at}/cancel/preview", {"reason_code": "changed_mind"})
    assert (again["fee_minor"], again["topics"]) == (0, [])
