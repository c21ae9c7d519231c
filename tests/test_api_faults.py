"""The API under load while it is killed and while PostgreSQL restarts; races over HTTP."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from commands.settings import Settings
from commands.store import Store
from tests.api_server import Api, events, order
from tests.scale import scale
from workers.local.postgres import LocalPostgres

RETRY_SECONDS = 0.05
GIVE_UP_SECONDS = 60.0


@contextmanager
def serving(settings: Settings, directory: Path, count: int = 1) -> Iterator[list[Api]]:
    apis = []
    for number in range(count):
        place = directory / str(number)
        place.mkdir()
        apis.append(Api(settings, place).start())
    try:
        yield apis
    finally:
        for api in apis:
            api.client.close()
            api.stop()


def kill(api: Api) -> None:
    """SIGKILL to the server and its worker at once."""
    assert api._process is not None
    main = psutil.Process(api._process.pid)
    for process in [*main.children(recursive=True), main]:
        os.kill(process.pid, signal.SIGKILL)
    api._process.wait(timeout=10)


def test_a_worker_does_not_outlive_its_killed_server(settings: Settings, tmp_path: Path) -> None:
    with serving(settings, tmp_path) as [api]:
        [worker] = psutil.Process(api.pid).children(recursive=True)
        os.kill(api.pid, signal.SIGKILL)
        assert worker.wait(timeout=20) is None or not worker.is_running()


class Buyers(threading.Thread):
    """Places orders one after the other, each under its key, sent again until it is answered."""

    def __init__(self, api: Api, name: str, ended: threading.Event) -> None:
        super().__init__()
        self.url, self.key, self.ended = api.url, name, ended
        self.answers: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        with httpx.Client(base_url=self.url, headers={"X-Actor": "shop"}, timeout=5) as client:
            number = 0
            while not self.ended.is_set():
                number += 1
                key = f"{self.key}-{number}"
                self.answers[key] = self.place(client, key)

    def place(self, client: httpx.Client, key: str) -> dict[str, Any]:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = client.post(
                    "/v1/orders", json=order(customer_id=key), headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                time.sleep(RETRY_SECONDS)
                continue
            if answer.status_code == 503:
                assert answer.headers["retry-after"]
                time.sleep(RETRY_SECONDS)
                continue
            assert answer.status_code == 201, answer.text
            placed: dict[str, Any] = answer.json()
            return placed
        raise AssertionError(f"{key} was not answered in {GIVE_UP_SECONDS} s")


def disturb(api: Api, disturbance: Callable[[], None], times: int) -> dict[str, dict[str, Any]]:
    """The answers of eight buyers, by key, while something is broken `times` times."""
    ended = threading.Event()
    buyers = [Buyers(api, f"buyer-{n}", ended) for n in range(8)]
    for buyer in buyers:
        buyer.start()
    for _ in range(times):
        time.sleep(random.uniform(0.2, 0.8))
        disturbance()
    time.sleep(0.3)
    ended.set()
    for buyer in buyers:
        buyer.join()
    return {key: answer for buyer in buyers for key, answer in buyer.answers.items()}


def assert_each_answer_is_one_order(settings: Settings, answers: dict[str, Any]) -> None:
    with Store(settings).connect() as connection:
        placed = connection.execute(
            "SELECT key, state->>'customer_id' FROM ledger_event_json"
            " WHERE topic = 'order.placed.v4'"
        ).fetchall()
        head = Store(settings).head(connection)
        counted = connection.execute("SELECT count(*) FROM ledger_event").fetchone()
    assert counted == (head,), "positions have a gap"
    assert sorted(customer for _, customer in placed) == sorted(answers), "lost or doubled"
    assert dict(placed) == {answer["order_id"]: key for key, answer in answers.items()}


def test_killing_the_api_under_load_loses_no_answered_order_and_doubles_none(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: L13, R3, R30, L7 (write side)"""
    with serving(settings, tmp_path) as [api]:

        def restart() -> None:
            kill(api)
            api.start()

        answers = disturb(api, restart, scale(20, 3))
    assert len(answers) > 20
    assert_each_answer_is_one_order(settings, answers)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_orders_go_on_by_themselves_after_postgresql_was_away(
    settings: Settings, tmp_path: Path, postgres: LocalPostgres, how: str
) -> None:
    """covers: L21, R23"""

    def away() -> None:
        if how == "restart":
            postgres.restart()
        else:
            postgres.kill()
            postgres.start()

    with serving(settings, tmp_path) as [api]:
        answers = disturb(api, away, scale(10, 2))
        assert api.get("/healthz").status_code == 200
    assert len(answers) > 20
    assert_each_answer_is_one_order(settings, answers)


def together(apis: list[Api], count: int, path: str, body: Any) -> Counter[tuple[int, str]]:
    """(status, code) of `count` answers, sent by 32 threads to the processes in turn."""
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda n: apis[n % len(apis)].post(path, body), range(count)))
    return Counter((a.status_code, a.json().get("code", "")) for a in answers)


def test_the_last_ten_units_are_sold_ten_times_through_two_processes(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: A60 (oversell guard), R12 last_unit_sold_once"""
    line = {"sku": "RARE", "name": "Da Hong Pao", "category": "tea", "unit_price_minor": 100}
    body = order(lines=[line | {"quantity": 1}], discount_minor=0)
    with serving(settings, tmp_path, 2) as apis:
        apis[0].made("/v1/stock/RARE/receive", {"quantity": 10})
        outcomes = together(apis, 200, "/v1/orders", body)
    assert outcomes == {(201, ""): 10, (409, "insufficient_stock"): 190}


def test_a_hundred_refunds_at_once_never_pass_what_was_paid(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: A62 (refund guard), R19 refunds_never_exceed_capture, R6"""
    with serving(settings, tmp_path, 2) as apis:
        placed = apis[0].place()
        at = f"/v1/orders/{placed['order_id']}"
        for part in (11_000, 10_000):
            payment = {"method": "alipay", "amount_minor": part, "reference": str(part)}
            apis[0].made(f"{at}/payments", payment)
        refund = {"reason": "late", "amount_minor": 2_000}
        outcomes = together(apis, 100, f"{at}/refunds", refund)
    assert outcomes == {(201, ""): 10, (409, "refund_exceeds_paid"): 90}


def test_goods_received_by_many_hands_at_once_come_back_once(
    settings: Settings, tmp_path: Path
) -> None:
    """covers: A67, R6 guards_hold_under_concurrency: three are in stock, and three refunded."""
    line = {"sku": "TEA", "name": "Tea", "category": "tea", "unit_price_minor": 1_001}
    with serving(settings, tmp_path, 2) as apis:
        api = apis[0]
        api.made("/v1/stock/TEA/receive", {"quantity": 5})
        at = f"/v1/orders/{api.place(lines=[line | {'quantity': 5}], discount_minor=0)['order_id']}"
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
        outcomes = together(apis, 40, f"{back}/receive", one)
        stock = api.made("/v1/stock/TEA/adjust", {"delta": 0, "reason": "To see it."})
        recorded = events(api, at.rpartition("/")[2])
    assert outcomes == {(200, ""): 3, (409, "return_exceeds_request"): 37}
    assert stock["on_hand"] == 3
    asked = [e["data"] for e in recorded if e["topic"] == "order.refund_requested.v2"]
    assert [refund["amount_minor"] for refund in asked] == [1_001, 1_001, 1_001]
