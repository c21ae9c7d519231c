"""Intake, cases, holds and the review over HTTP, and the worklist of cases."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from api.examples import ADDRESS, CASE, CASE_CLOSING, CONTACT, HOLD, ORDER, RELEASE
from tests.api_server import Api, events, order

PARTS = ("contact", "shipping_address", "payment_method", "customer_id")


def as_sold(*without: str, **changes: Any) -> dict[str, Any]:
    body = {**ORDER, "channel": "marketplace", "external_ref": f"M-{uuid4()}", **changes}
    return {name: value for name, value in body.items() if name not in without}


def refusal(api: Api, path: str, body: Any = None) -> tuple[int, str]:
    answer = api.post(path, body)
    return answer.status_code, answer.json()["code"]


def test_a_marketplace_order_is_recorded_held_and_told(api: Api) -> None:
    """covers: A40, A41, A44"""
    body = as_sold(contact={"name": "王小明"}, total_minor=20_000)
    placed = api.made("/v1/orders", body)
    assert (placed["status"], placed["stage"], placed["total_minor"]) == (
        "exception",
        "on_hold",
        20_000,
    )
    cases = {one["rule"]: one for one in placed["cases"]}
    assert cases["missing_fields"]["fields"] == ["contact.phone"]
    assert cases["total_differs"]["figures"]["difference_minor"] == -1_000
    shown = api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    assert (shown["stage"], shown["status"], shown["source"]) == (
        "on_hold",
        "exception",
        cases["total_differs"]["figures"],
    )
    assert {one["type"] for one in shown["holds"]} == {"customer", "review"}
    assert {one["rule"] for one in shown["cases"]} == cases.keys()
    assert sum(line["gross_minor"] for line in shown["lines"]) + 1_000 == 20_000


@pytest.mark.parametrize("part", PARTS)
def test_what_is_missing_is_named_by_who_refuses_it_and_by_who_records_it(
    api: Api, part: str
) -> None:
    """covers: A40, A44"""
    own = api.post("/v1/orders", as_sold(part, channel="web"))
    assert (own.status_code, own.json()["code"]) == (422, "invalid")
    assert [(one["field"], one["rule"]) for one in own.json()["errors"]] == [(part, "missing")]
    [case] = api.made("/v1/orders", as_sold(part))["cases"]
    assert (case["kind"], case["fields"]) == ("incomplete", [part])


def test_what_was_not_complete_is_put_right_under_the_same_name(api: Api) -> None:
    key, body = f"K-{uuid4()}", as_sold("contact", channel="phone")
    assert api.post("/v1/orders", body, idempotency_key=key).status_code == 422
    answer = api.post("/v1/orders", body | {"contact": CONTACT}, idempotency_key=key)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"sku": "TEA"}]}, "lines.0.quantity"),
        ({"currency": "???"}, "currency"),
        ({"shipping_address": "Hangzhou"}, "shipping_address"),
    ],
)
def test_only_the_unreadable_is_refused(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.post("/v1/orders", as_sold(**change))
    assert answer.status_code == 422
    assert field in {one["field"] for one in answer.json()["errors"]}
    answer = api.client.post("/v1/orders", content=b"<order/>")
    assert (answer.status_code, answer.json()["code"]) == (400, "unparsable")


def test_the_same_order_of_a_marketplace_is_one(api: Api) -> None:
    body = as_sold("contact")
    placed = api.made("/v1/orders", body)
    answer = api.post("/v1/orders", body)
    assert answer.json()["facts"]["order_id"] == placed["order_id"]


def test_a_case_is_worked_on_to_its_end(api: Api) -> None:
    """covers: A42, A58: personal words are sealed, and shown to who may see them."""
    order_id = api.place()["order_id"]
    at = f"/v1/orders/{order_id}"
    case = api.made(f"{at}/cases", CASE | {"blocking": True})
    name = f"{at}/cases/{case['case_id']}"
    assert (case["stage"], case["status"]) == ("on_hold", "exception")
    assert refusal(api, f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 1}]}) == (
        409,
        "order_held",
    )
    refused = api.post(f"{name}/close", {"cause": "customer"}).json()
    assert (refused["code"], refused["facts"]["missing"]) == ("case_incomplete", ["action"])
    call = {"step": "communicate", "contact": "Mr Wang", "text": "He keeps it."}
    api.made(f"{name}/steps", call)
    closed = api.made(f"{name}/close", CASE_CLOSING)
    assert (closed["stage"], closed["cases"], closed["holds"]) == ("approved", [], [])
    shown = api.shown(at, min_position=closed["position"])
    [one] = shown["cases"]
    assert (one["open"], one["cause"], one["text"]) == (False, "customer", CASE["text"])
    assert [(step["step"], step.get("contact")) for step in one["steps"]] == [
        ("communicate", "Mr Wang"),
        ("close", None),
    ]
    assert shown["holds"][0]["released_at"] is not None
    opened = next(one for one in events(api, order_id) if one["topic"] == "order.case_opened.v1")
    assert opened["data"]["text"] == CASE["text"]
    again = api.made(f"{name}/reopen", {"reason": "He rang again."})
    assert (again["stage"], len(again["holds"])) == ("on_hold", 1)
    assert refusal(api, f"{at}/cases/{uuid4()}/close", CASE_CLOSING) == (404, "case_not_found")


def test_a_hold_is_put_on_and_released_over_http(api: Api) -> None:
    """covers: A58"""
    at = f"/v1/orders/{api.place()['order_id']}"
    held = api.made(f"{at}/hold", HOLD)
    card = {"method": "credit_card", "amount_minor": 21_000, "reference": "card"}
    held_money = api.made(f"{at}/payments/authorise", card)["payment_id"]
    capture = f"{at}/payments/{held_money}/capture"
    assert refusal(api, capture, {}) == (409, "held_against_capture")
    released = api.made(f"{at}/holds/{held['hold_id']}/release", RELEASE)
    assert (released["stage"], released["holds"]) == ("approved", [])
    assert api.made(capture, {})["paid_minor"] == 21_000
    assert refusal(api, f"{at}/holds/{uuid4()}/release", RELEASE) == (404, "hold_not_found")
    bad = api.post(f"{at}/hold", {"type": "mood", "reason": "?"}).json()
    assert bad["errors"][0]["field"] == "type"


def test_an_order_over_the_limit_waits_until_it_is_decided_on(api: Api) -> None:
    """covers: A45"""
    line = {"sku": "GOLD", "name": "Gold", "category": "x", "quantity": 1}
    body = order(lines=[line | {"unit_price_minor": 900_000}])
    one, other = (api.made("/v1/orders", body)["order_id"] for _ in range(2))
    waiting = api.shown(f"/v1/orders/{one}", min_position=api.shown("/v1/lag")["head"])
    assert (waiting["stage"], waiting["status"]) == ("in_review", "awaiting_review")
    approved = api.made(f"/v1/orders/{one}/approve", {"text": "A company that we know."})
    assert (approved["stage"], approved["cases"]) == ("approved", [])
    review = next(o["data"] for o in events(api, one) if o["topic"] == "order.reviewed.v1")
    assert (review["criteria"], review["policy_version"]) == (["over_review_limit"], 0)
    rejected = api.made(f"/v1/orders/{other}/reject", {"reason_code": "fraud"})
    assert (rejected["stage"], rejected["total_minor"]) == ("rejected", 0)
    shown = api.shown(f"/v1/orders/{other}", min_position=rejected["position"])
    assert (shown["stage"], shown["status"]) == ("rejected", "cancelled")


def test_the_worklist_names_what_waits_longest_first(api: Api) -> None:
    """covers: A42"""
    made = [api.made("/v1/orders", as_sold("contact")) for _ in range(3)]
    at = f"/v1/orders/{made[0]['order_id']}/cases/{made[0]['cases'][0]['case_id']}"
    closed = api.made(f"{at}/close", CASE_CLOSING)
    query = {"kind": "incomplete", "blocking": True, "min_position": closed["position"]}
    numbers, place = list[str](), dict[str, str]()
    while True:
        page = api.shown("/v1/cases", open=True, limit=1, **place, **query)
        numbers += [one["number"] for one in page["items"]]
        assert all(one["open"] and one["kind"] == "incomplete" for one in page["items"])
        if page["next_cursor"] is None:
            break
        place = {"cursor": page["next_cursor"]}
    ours = [one["number"] for one in made]
    assert [number for number in numbers if number in ours] == ours[1:]
    done = api.shown("/v1/cases", open=False, **query)["items"]
    [one] = [one for one in done if one["number"] == ours[0]]
    assert (one["cause"], one["steps"], one["order_status"]) == ("customer", 0, "awaiting_payment")
    assert one["fields"] == ["contact"]
    assert api.get("/v1/cases", kind="mood").status_code == 422
    assert api.get("/v1/cases", order="x").status_code == 422
    assert ADDRESS["line1"] not in api.get("/v1/cases").text
