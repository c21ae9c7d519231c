"""The API under load while it is killed and while PostgreSQL restarts."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from commands.settings import Settings
from commands.store import Store
from tests.api_server import Api, order, serving
from tests.scale import scale
from workers.local.postgres import LocalPostgres

RETRY_SECONDS = 0.05
GIVE_UP_SECONDS = 60.0


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
