"""Orders compared after they were placed, over HTTP with the worker at work."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from commands.settings import Settings
from tests.api_server import Api, following, rows, running, serving
from tests.scale import scale
from tests.servers import fresh_database, settings_of
from workers import intake
from workers.local.postgres import LocalPostgres

CHECKED_SECONDS_MAX = 20.0
CLOSED = {"cause": "customer", "action": "Rang: not a duplicate.", "outcome": "not a duplicate"}


@contextmanager
def comparing(settings: Settings, count: int = 1) -> Iterator[None]:
    """So many workers that compare placed orders, until the end."""
    ended = threading.Event()
    threads = [threading.Thread(target=intake.run, args=(settings, ended)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def api(
    postgres: LocalPostgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    with fresh_database(postgres, ledger_template) as url:
        settings = settings_of(url, tmp_path_factory.mktemp("var"))
        with running(settings, tmp_path_factory.mktemp("api")) as one, comparing(settings, 2):
            yield one


def goods(sku: str = "TEA", price: int = 5_000, quantity: int = 2) -> dict[str, Any]:
    named = {"sku": sku, "name": sku.title(), "category": "tea"}
    return named | {"quantity": quantity, "unit_price_minor": price}


def body(customer: str, *lines: dict[str, Any], phone: str = "", **more: Any) -> dict[str, Any]:
    address = {"line1": "1 Long Street", "city": "Hangzhou", "country": "CN"}
    return {
        "channel": "web",
        "customer_id": customer,
        "currency": "CNY",
        "lines": list(lines) or [goods()],
        "contact": {"name": "Li Wei"} | ({"phone": phone} if phone else {}),
        "shipping_address": address,
        "payment_method": "alipay",
        **more,
    }


def buy(api: Api, customer: str, *lines: dict[str, Any], **more: Any) -> str:
    order_id: str = api.made("/v1/orders", body(customer, *lines, **more))["order_id"]
    return order_id


def someone() -> str:
    return f"C-{uuid4()}"


def checked(api: Api, head: int | None = None) -> int:
    """Wait until all orders are compared; the head by then."""
    head = api.head() if head is None else head
    deadline = time.monotonic() + CHECKED_SECONDS_MAX
    while time.monotonic() < deadline:
        behind = rows(api.settings, "SELECT position FROM checkpoint WHERE name = 'intake'")
        if behind and behind[0][0] >= head:
            return api.head()
        time.sleep(0.05)
    raise AssertionError(f"not compared within {CHECKED_SECONDS_MAX} s")


def cases(api: Api, *orders: str, **filters: Any) -> list[dict[str, Any]]:
    """All cases of these orders, as the worklist shows them."""
    found: list[dict[str, Any]] = []
    query = {"limit": 100, "min_position": checked(api), **filters}
    while True:
        page = api.shown("/v1/cases", **query)
        found += [one for one in page["items"] if one["order_id"] in orders]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def shown(api: Api, order_id: str) -> dict[str, Any]:
    return api.shown(f"/v1/orders/{order_id}", min_position=api.head())


def test_a_duplicate_waits_in_the_worklist_with_both_orders_and_is_let_go(api: Api) -> None:
    """covers: A39, A42"""
    who = someone()
    first, second = buy(api, who), buy(api, who)
    [case] = cases(api, first, second, open=True, kind="duplicate", blocking=True)
    other = shown(api, first)
    assert case["order_id"] == second
    assert case["duplicate_of"] == {
        "order_id": first,
        "number": other["number"],
        "order_status": "awaiting_payment",
    }
    assert (case["figures"]["of_order_id"], case["figures"]["limit_hours"]) == (first, 24)
    at = f"/v1/orders/{second}"
    held = shown(api, second)
    assert (held["stage"], held["status"], held["holds"][0]["type"]) == (
        "on_hold",
        "exception",
        "review",
    )
    refused = api.post(f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 2}]})
    assert (refused.status_code, refused.json()["code"]) == (409, "order_held")
    assert (other["stage"], other["holds"]) == ("approved", [])
    closed = api.made(f"{at}/cases/{case['case_id']}/close", CLOSED)
    assert (closed["stage"], closed["holds"]) == ("approved", [])
    third = buy(api, who, goods("POT"))
    assert [one["open"] for one in cases(api, first, second, third)] == [False]


def test_of_two_the_one_that_a_person_cancels_costs_nothing_and_the_other_stays(api: Api) -> None:
    """covers: A39"""
    who = someone()
    first, second = buy(api, who), buy(api, who)
    assert len(cases(api, second)) == 1
    why = {"reason_code": "duplicate", "initiator": "operator"}
    api.made(f"/v1/orders/{second}/cancel", why)
    stages = {one: shown(api, one)["stage"] for one in (first, second)}
    assert stages == {first: "approved", second: "cancelled"}
    third = buy(api, who)
    [case] = cases(api, third)
    assert case["duplicate_of"]["order_id"] == first


def test_a_guest_with_the_same_telephone_is_the_same_customer(api: Api) -> None:
    """covers: A39: a masked or a lent number says nothing, nor does the address"""
    real = buy(api, someone(), phone="139 1234 5678"), buy(api, someone(), phone="+8613912345678")
    [case] = cases(api, *real)
    assert (case["order_id"], case["figures"]["same"]) == (real[1], "phone")
    for phone in ("", "139****5678", "13912345679转8821", "17012345678"):
        assert cases(api, *(buy(api, someone(), phone=phone) for _ in range(2))) == []


def test_equal_orders_of_one_moment_in_several_processes_are_all_found(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: A39"""
    pairs = max(10, scale(100))
    customers = [f"C-{number}" for number in range(pairs)]
    with (
        serving(settings, tmp_path, 2) as apis,
        following(settings),
        comparing(settings, 2),
        ThreadPoolExecutor(16) as pool,
    ):
        sent = [(api, who) for who in customers for api in apis]
        placed = list(pool.map(lambda one: (one[1], buy(*one)), sent))
        found = cases(apis[0], *(order_id for _, order_id in placed))
    of = {order_id: who for who, order_id in placed}
    assert len(of) == 2 * pairs
    assert Counter(of[one["order_id"]] for one in found) == Counter(customers)
    assert all(of[one["duplicate_of"]["order_id"]] == of[one["order_id"]] for one in found)


def test_a_worker_that_starts_again_opens_nothing_twice(settings: Settings, tmp_path: Path) -> None:
    """covers: A39: nor one that has lost its place, nor for a pair that a person has decided on"""
    with running(settings, tmp_path) as api:
        who = someone()
        first, second = buy(api, who), buy(api, who)
        with comparing(settings):
            [case] = cases(api, first, second)
        api.made(f"/v1/orders/{second}/cases/{case['case_id']}/close", CLOSED)
        third = buy(api, who)
        for _ in range(2):
            rows(settings, "UPDATE checkpoint SET position = 0 WHERE name = 'intake' RETURNING 1")
            with comparing(settings, 2):
                found = cases(api, first, second, third)
                assert Counter((one["order_id"], one["open"]) for one in found) == {
                    (second, False): 1,
                    (third, True): 2,
                }
        assert shown(api, second)["stage"] == "approved"


def test_a_slip_in_the_price_is_held_with_what_was_found_the_median_and_the_limit(api: Api) -> None:
    """covers: A41"""
    sku = f"SKU-{uuid4()}"
    for _ in range(3):
        buy(api, someone(), goods(sku, 8_800))
    slip = buy(api, someone(), goods(sku, 880))
    [case] = cases(api, slip)
    assert (case["kind"], case["rule"], case["blocking"]) == (
        "abnormal_amount",
        "unusual_price",
        True,
    )
    assert case["figures"] == {
        "lines": [
            {
                "line_no": 1,
                "sku": sku,
                "unit_price_minor": "880",
                "median_minor": "8800",
                "off_bp": 9_000,
                "count": 3,
            }
        ],
        "limit_bp": 5_000,
        "currency": "CNY",
    }
    assert case["duplicate_of"] is None
    assert shown(api, slip)["stage"] == "on_hold"


def test_ten_times_the_usual_quantity_is_held(api: Api) -> None:
    """covers: A41"""
    who, sku = someone(), f"SKU-{uuid4()}"
    for quantity in (1, 2, 3):
        buy(api, who, goods(sku, quantity=quantity))
    fine, many = buy(api, who, goods(sku, quantity=19)), buy(api, who, goods(sku, quantity=30))
    [case] = cases(api, fine, many)
    assert (case["order_id"], case["rule"]) == (many, "unusual_quantity")
    [found] = case["figures"]["lines"]
    assert (found["quantity"], found["median"], case["figures"]["limit_factor"]) == (30, 2, 10)


BAD = [
    ("duplicate_hours", -1, "negative"),
    ("duplicate_hours", 8_785, "too_large"),
    ("price_deviation_bp", 0, "zero"),
    ("price_deviation_bp", -1, "negative"),
    ("price_deviation_bp", 1_000_001, "too_large"),
    ("quantity_factor", 1, "factor_too_small"),
    ("quantity_factor", 10_001, "too_large"),
]


@pytest.mark.parametrize(("name", "value", "code"), BAD)
def test_rules_that_would_find_nothing_or_everything_are_refused(
    api: Api, name: str, value: int, code: str
) -> None:
    answer = api.post("/v1/policies/main", {"rules": {"exceptions": {name: value}}})
    assert answer.status_code in {409, 422}, answer.text
    assert f"exceptions.{name}" in answer.text
    assert code in answer.text


@pytest.mark.parametrize("value", ["24", 1.5, None, True])
def test_rules_that_are_no_whole_numbers_are_refused(api: Api, value: Any) -> None:
    for name in ("duplicate_hours", "price_deviation_bp", "quantity_factor"):
        answer = api.post("/v1/policies/main", {"rules": {"exceptions": {name: value}}})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == f"rules.exceptions.{name}"


def test_the_procedure_says_that_the_system_looks(api: Api) -> None:
    chapters = api.shown("/v1/procedure", format="json", language="en")["chapters"]
    blocks = next(one for one in chapters if one["code"] == "exceptions")["blocks"]
    told = {line["key"] for block in blocks if block["code"] == "system" for line in block["lines"]}
    assert told >= {
        "exceptions.duplicate_hours",
        "exceptions.price_deviation_bp",
        "exceptions.quantity_factor",
        "exceptions.compared",
    }


def test_a_shop_with_its_own_window_is_judged_by_it(api: Api) -> None:
    rules = {"exceptions": {"duplicate_hours": 0}}
    api.made("/v1/policies/calm", {"rules": rules})
    who = someone()
    assert cases(api, buy(api, who, shop="calm"), buy(api, who, shop="calm")) == []
