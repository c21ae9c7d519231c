"""The README is true: its tour runs, and it names every setting, topic and command."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from api.health import UNREAD
from commands.settings import Settings
from domain import desk_write
from domain.message import EVENT_TYPES
from tests.servers import temporary_directory
from workers import kafka_topics
from workers.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text()
START_SECONDS = 90.0
TOUR_SECONDS = 90.0


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def api() -> Iterator[str]:
    """The address of a ledger that a new user started in an empty directory."""
    with temporary_directory() as directory:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LEDGER_")}
        environment |= {"PYTHONPATH": str(Path(__file__).parents[1])}
        with (directory / "up.log").open("wb") as log:
            up = subprocess.Popen(
                [sys.executable, "-m", "workers", "up", "--no-simulate"],
                cwd=directory,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield address(directory, up)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(timeout=60)


def address(directory: Path, up: "subprocess.Popen[bytes]") -> str:
    endpoints, deadline = directory / "var" / "endpoints.json", time.monotonic() + START_SECONDS
    while not endpoints.exists():
        assert up.poll() is None, (directory / "up.log").read_text()
        assert time.monotonic() < deadline, (directory / "up.log").read_text()
        time.sleep(0.1)
    api: str = json.loads(endpoints.read_text())["api"]
    return api


def test_the_tour_runs_as_it_is_printed(api: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", section("Five minutes with curl"), re.DOTALL)
    script = "\n".join(["set -euo pipefail", *blocks, 'echo; echo "$ORDER $PARCEL $REFUND"'])
    assert "http://127.0.0.1:8000" in script
    ran = subprocess.run(
        ["bash", "-c", script.replace("http://127.0.0.1:8000", api.rstrip("/"))],
        capture_output=True,
        text=True,
        timeout=TOUR_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answers = ran.stdout
    assert '"code":"refund_exceeds_paid"' in answers
    assert answers.count('"code":') == 1, answers
    decoder, found, rest = json.JSONDecoder(), [], answers.strip()
    while rest.startswith("{"):
        answer, end = decoder.raw_decode(rest)
        found.append(answer)
        rest = rest[end:].strip()
    history, stock, sales, feed, lag = found[-5:]
    assert history["orders"][0]["paid_minor"] == 38_800
    assert (stock["on_hand"], stock["reserved"], stock["available"]) == (7, 0, 7)
    assert [row["units"] for row in sales["rows"]] == [3]
    assert [event["position"] for event in feed["events"]] == [1, 2, 3, 4, 5]
    # Those that nobody waited for may be folding the last of the five events still; who acts on
    # facts has begun behind the API.
    read = [one for one in lag["projections"] if one["name"] not in UNREAD]
    assert all(one["lag_events"] <= 5 for one in read), lag
    assert len(rest.split()) == 3


def test_every_setting_is_named() -> None:
    for name in Settings.model_fields:
        assert f"`LEDGER_{name.upper()}`" in section("Settings")


def test_every_topic_is_named() -> None:
    assert desk_write.AGGREGATES, "imports all events"
    for topic in [*EVENT_TYPES, *kafka_topics.PARTITIONS]:
        if not topic.startswith("test."):
            assert f"`{topic}`" in section("Topics")


def test_every_command_is_named() -> None:
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`ledger {name}`" in section("Commands")
