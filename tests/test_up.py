"""`ledger up`, as a newcomer uses it: an empty directory, one command, Ctrl-C, and again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from api.examples import ORDER
from tests.carrier import wait_until
from tests.servers import temporary_directory
from workers.local import ports

START_SECONDS = 180.0
SECOND_START_SECONDS = 15.0  # measured: 4.6
STOP_SECONDS = 90.0


class Up:
    """One run of the command."""

    def __init__(self, directory: Path, running: subprocess.Popen[bytes], output: Path) -> None:
        self.directory = directory
        self.running = running
        self._output = output

    @property
    def said(self) -> str:
        """Without the frame and the line ends that a narrow terminal makes."""
        return re.sub(r"\s+", " ", self._output.read_text().replace("│", " "))

    def says(self, text: str) -> bool:
        return text in self.said

    @property
    def endpoints(self) -> dict[str, str]:
        return dict(json.loads((self.directory / "var" / "endpoints.json").read_text()))

    def ready(self) -> "Up":
        def is_up() -> bool:
            assert self.running.poll() is None, self.said
            return "Ctrl-C stops everything" in self.said

        wait_until(is_up, START_SECONDS)
        return self

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.endpoints["api"], headers={"X-Actor": "newcomer"}, timeout=30
        )

    def child(self, name: str) -> psutil.Process | None:
        for one in psutil.Process(self.running.pid).children():
            if one.cmdline()[-2:] == ["workers", name]:
                return one
        return None

    def server(self, program: str) -> psutil.Process | None:
        for one in psutil.Process(self.running.pid).children():
            if one.name() == program and one.status() != psutil.STATUS_ZOMBIE:
                return one
        return None

    def interrupt(self) -> None:
        """Ctrl-C reaches the whole group of a terminal's foreground."""
        family = psutil.Process(self.running.pid).children(recursive=True)
        os.killpg(self.running.pid, signal.SIGINT)
        assert self.running.wait(STOP_SECONDS) == 0, self.said
        assert not psutil.wait_procs(family, timeout=5)[1]
        assert not (self.directory / "var" / "endpoints.json").exists()
        assert "All data are kept" in self.said


@contextmanager
def up(directory: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    output = directory / "output.txt"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    with output.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "workers", "up", *arguments],
            cwd=directory,
            env={**clean, **environment, "PYTHONWARNINGS": "default"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Up(directory, running, output)
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGTERM)
            running.wait(STOP_SECONDS)


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as path:
        yield path


def topics(client: httpx.Client) -> set[str]:
    found: set[str] = set()
    after = 0
    while page := client.get("/v1/feed", params={"after": after, "limit": 1000}).json():
        if not page["events"]:
            return found
        found |= {event["topic"] for event in page["events"]}
        after = page["next_after"]
    return found


def test_one_command_starts_all_and_ctrl_c_keeps_the_data(directory: Path):
    """covers: R23"""
    with socket.create_server((ports.LOOPBACK, ports.choose())) as taken:
        port = taken.getsockname()[1]
        with up(directory, "--no-simulate", LEDGER_API_PORT=str(port)) as first:
            first.ready()
            assert f"Port {port} is taken" in first.said
            order = _place(first)
            _check_secrets(directory)
            _a_worker_that_dies_is_started_again(first)
            _a_server_that_dies_is_started_again(first, order)
            _workers_are_watched_while_a_server_starts(first)
            _the_panel_can_be_copied(first)
            _only_one_at_a_time(directory)
            _kafka_is_being_started_again(first)
            first.interrupt()
    begun = time.monotonic()
    with up(directory) as second:
        second.ready()
        assert time.monotonic() - begun < SECOND_START_SECONDS
        with second.client() as client:
            found = client.get(f"/v1/orders/{order['number']}").json()
            assert found["order_id"] == order["order_id"]
            assert client.get("/v1/feed").json()["events"][0]["position"] == 1
            wait_until(lambda: "parcel.tracked.v1" in topics(client), 90)
            assert {"order.placed.v4", "parcel.dispatched.v1"} <= topics(client)
        second.interrupt()


def _place(running: Up) -> dict[str, Any]:
    with running.client() as client:
        placed: dict[str, Any] = client.post("/v1/orders", json=ORDER).raise_for_status().json()
        read = client.get(
            f"/v1/orders/{placed['order_id']}", params={"min_position": placed["position"]}
        )
        assert read.raise_for_status().json()["number"] == placed["number"]
        for page in ("/", "/docs", "/openapi.json"):
            client.get(page).raise_for_status()
    httpx.get(running.endpoints["mail"]).raise_for_status()
    for address in (running.endpoints["api"], running.endpoints["mail"]):
        assert address in running.said
    return placed


def _check_secrets(directory: Path) -> None:
    for name in ("master.key", "endpoints.json"):
        assert (directory / "var" / name).stat().st_mode & 0o077 == 0
    assert len((directory / "var" / "master.key").read_text().strip()) == 64


def _a_worker_that_dies_is_started_again(running: Up) -> None:
    before = running.child("tracking")
    assert before is not None
    before.kill()
    wait_until(lambda: "tracking ended with code -9 and starts again" in running.said)
    wait_until(lambda: running.child("tracking") not in {None, before})


def _a_server_that_dies_is_started_again(running: Up, order: dict[str, Any]) -> None:
    for name, program in (("PostgreSQL", "postgres"), ("Kafka", "java")):
        before = running.server(program)
        assert before is not None
        before.kill()
        wait_until(partial(running.says, f"{name} ended and starts again in"), 30)
        wait_until(partial(running.says, f"{name} runs again"), 60)
        assert running.server(program) not in {None, before}
    with running.client() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, 60)
        found = client.get(f"/v1/orders/{order['number']}").raise_for_status().json()
        assert found["order_id"] == order["order_id"]


def _kafka_is_being_started_again(running: Up) -> None:
    before = running.server("java")
    assert before is not None
    before.kill()
    wait_until(lambda: running.server("java") not in {None, before}, 30)


def _workers_are_watched_while_a_server_starts(running: Up) -> None:
    _kafka_is_being_started_again(running)
    worker = running.child("dead-letters")
    assert worker is not None
    worker.kill()
    wait_until(lambda: running.said.count("Kafka runs again") == 2, 60)
    told = "dead-letters ended with code -9"
    assert told in running.said
    assert running.said.index(told) < running.said.rindex("Kafka runs again")
    wait_until(lambda: running.child("dead-letters") not in {None, worker})


def _the_panel_can_be_copied(running: Up) -> None:
    assert "jq -r" not in running.said
    place = running.endpoints["postgres"].partition("@")[2]
    assert f"PostgreSQL {place}" in running.said
    password = running.endpoints["postgres"].split(":")[2].partition("@")[0]
    assert password not in running.said


def _only_one_at_a_time(directory: Path) -> None:
    """A second one in the same directory says so and touches nothing."""
    second = subprocess.run(
        [sys.executable, "-m", "workers", "up"],
        cwd=directory,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert b"already run by process" in second.stderr


def test_a_lost_master_key_is_not_replaced_by_another(directory: Path):
    (directory / "var" / "postgres").mkdir(parents=True)
    with up(directory) as running:
        assert running.running.wait(60) == 2
        assert "master.key is missing" in running.said
    assert not (directory / "var" / "master.key").exists()
