"""A crowd over HTTP, through several processes at once: exactly what the rules allow, once each."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from commands.settings import Settings
from tests.api_server import Api, events, order, serving
from workers.inspection import verify

PROCESSES = 3
AT_ONCE = 32
BUSY_TRIES_MAX = 200
TEA: dict[str, Any] = {
    "sku": "TEA",
    "name": "Longjing",
    "category": "tea",
    "unit_price_minor": 1_000,
}


class Call(NamedTuple):
    path: str
    body: dict[str, Any]
    key: str  # sent again under it while the answer is that there is no room


def calls(count: int, path: str, body: dict[str, Any]) -> list[Call]:
    return [Call(path, body, uuid4().hex) for _ in range(count)]


def answered(api: Api, call: Call) -> httpx.Response:
    """Busy is no answer, and the only failure that there may be."""
    for _ in range(BUSY_TRIES_MAX):
        answer = api.post(call.path, call.body, Idempotency_Key=call.key)
        if answer.status_code != 503:
            assert answer.status_code < 500, answer.text
            return answer
        assert answer.json()["code"] == "busy", answer.text
        time.sleep(float(answer.headers["retry-after"]) * random.random())
    raise AssertionError(f"{call.path} was busy {BUSY_TRIES_MAX} times")


def crowd(apis: list[Api], asked: list[Call]) -> list[httpx.Response]:
    """The answers to all of them in order, sent by many threads to the processes in turn."""
    shuffled = random.sample(list(enumerate(asked)), len(asked))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sent = [(n, pool.submit(answered, apis[n % len(apis)], call)) for n, call in shuffled]
    return [one.result() for _, one in sorted(sent, key=lambda pair: pair[0])]


def outcomes(answers: list[httpx.Response]) -> Counter[tuple[int, str]]:
    return Counter((one.status_code, one.json().get("code", "")) for one in answers)


def summed(told: list[dict[str, Any]], topic: str, field: str = "amount_minor") -> tuple[int, int]:
    """How many facts there are, and what they add up to."""
    amounts = [int(one["data"][field]) for one in told if one["topic"] == topic]
    return len(amounts), sum(amounts)


def require_whole(settings: Settings) -> None:
    assert verify(settings, lambda _read, _all: None).problems == []


def test_refunds_captures_and_cancellations_of_one_order_come_to_exactly_what_there_is(
    settings: Settings, tmp_path: Path
) -> None:
    """100 at once on an order of 30 teas, of which 5 are packed: 100.00 were paid, and 200.00 are
    held. covers: A62, R6 guards_hold_under_concurrency, R19 refunds_never_exceed_capture
    """
    with serving(settings, tmp_path, PROCESSES) as apis:
        api = apis[0]
        api.made("/v1/stock/TEA/receive", {"quantity": 30})
        placed = api.place(lines=[TEA | {"quantity": 30}], discount_minor=0)
        at = f"/v1/orders/{placed['order_id']}"
        api.made(f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 5}]})
        money = {"method": "alipay", "amount_minor": 10_000, "reference": "P"}
        paid = api.made(f"{at}/payments", money)["payment_id"]
        card = {"method": "credit_card", "amount_minor": 20_000, "reference": "H"}
        held = api.made(f"{at}/payments/authorise", card)["payment_id"]
        part = [{"payment_id": paid, "amount_minor": 1_000}]
        refund = {"reason": "cancellation", "amount_minor": 1_000, "payments": part}
        one = {"reason_code": "changed_mind", "lines": [{"line_no": 1, "quantity": 1}]}
        asked = [
            *calls(34, f"{at}/refunds", refund),
            *calls(33, f"{at}/payments/{held}/capture", {"amount_minor": 1_000}),
            *calls(33, f"{at}/cancel", one),
        ]
        answers = crowd(apis, asked)
        told = events(api, placed["order_id"])
        again = crowd(apis, asked)
        assert events(api, placed["order_id"]) == told
        stock = api.made("/v1/stock/TEA/adjust", {"delta": 0, "reason": "To see it."})
        after = api.made(f"{at}/payments", {**money, "amount_minor": 1, "reference": "P 2"})
    refunds, captures, cancels = (outcomes(answers[a:b]) for a, b in ((0, 34), (34, 67), (67, 100)))
    # No other money is refundable while nothing is captured: then the order says so, not the part.
    refused = {(409, "refund_exceeds_payment"), (409, "refund_exceeds_paid")}
    assert (refunds[201, ""], refunds.keys() - {(201, "")} <= refused) == (10, True)
    assert captures == {(201, ""): 20, (409, "capture_exceeds_authorised"): 13}
    assert cancels == {(200, ""): 25, (409, "packed_needs_warehouse_stop"): 8}
    assert summed(told, "order.payment_captured.v2") == (1 + 20, 10_000 + 20_000)
    assert summed(told, "order.refund_requested.v2") == (10, 10_000)
    assert summed(told, "order.cancelled.v2", "goods_minor") == (25, 25_000)
    assert [(one.status_code, one.json()) for one in answers if one.is_success] == [
        (one.status_code, one.json()) for one in again if one.is_success
    ]
    assert (stock["on_hand"], stock["reserved"]) == (30, 5)
    # Here are 300.00 less 100.00 refunded, for goods of 50.00 and their shipping.
    shipping = placed["total_minor"] - 30_000
    assert after["credit_minor"] == 20_001 - 5_000 - shipping
    require_whole(settings)


def test_of_two_hundred_orders_for_the_last_ten_units_ten_are_placed(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: A60 (oversell guard), R12 last_unit_sold_once, R6"""
    body = order(lines=[TEA | {"sku": "RARE", "quantity": 1}], discount_minor=0)
    asked = [Call("/v1/orders", body | {"customer_id": f"C-{n}"}, uuid4().hex) for n in range(200)]
    with serving(settings, tmp_path, PROCESSES) as apis:
        apis[0].made("/v1/stock/RARE/receive", {"quantity": 10})
        answers = crowd(apis, asked)
        stock = apis[0].made("/v1/stock/RARE/adjust", {"delta": 0, "reason": "To see it."})
    assert outcomes(answers) == {(201, ""): 10, (409, "insufficient_stock"): 190}
    assert (stock["on_hand"], stock["reserved"], stock["available"]) == (10, 10, 0)
    assert len({one.json()["order_id"] for one in answers if one.is_success}) == 10
    require_whole(settings)


def test_goods_received_by_many_hands_at_once_come_back_once(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: A67, R6 guards_hold_under_concurrency: three are in stock, and three refunded."""
    with serving(settings, tmp_path, PROCESSES) as apis:
        api = apis[0]
        api.made("/v1/stock/TEA/receive", {"quantity": 5})
        bought = [TEA | {"quantity": 5, "unit_price_minor": 1_001}]
        at = f"/v1/orders/{api.place(lines=bought, discount_minor=0)['order_id']}"
        payment = {"method": "alipay", "amount_minor": 6_005, "reference": "P"}
        api.made(f"{at}/payments", payment)
        five = {"lines": [{"line_no": 1, "quantity": 5}]}
        parcel = f"/v1/parcels/{api.made(f'{at}/parcels', five)['parcel_id']}"
        api.made(f"{parcel}/dispatch", {"carrier": "sf", "tracking_number": "SF-1"})
        api.made(f"{parcel}/deliver")
        three = {"reason": "changed_mind", "lines": [{"line_no": 1, "quantity": 3}]}
        back = f"{at}/returns/{api.made(f'{at}/returns', three)['return_id']}"
        api.made(f"{back}/approve")
        one = {"lines": [{"line_no": 1, "quantity": 1}]}
        answers = crowd(apis, calls(40, f"{back}/receive", one))
        stock = api.made("/v1/stock/TEA/adjust", {"delta": 0, "reason": "To see it."})
        told = events(api, at.rpartition("/")[2])
    assert outcomes(answers) == {(200, ""): 3, (409, "return_is_received"): 37}
    assert stock["on_hand"] == 3
    assert summed(told, "order.refund_requested.v2") == (3, 3 * 1_001)
