"""Orders over HTTP, with rules, stock, sealing and idempotency; beside them one only parsed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from commands.migrate import migrate
from tests.api_server import Api
from tests.bench.load import SKUS, sku
from tests.bench.rounds import console, interleave, per_second, ratio, table
from tests.servers import fresh_database, settings_of
from workers.local.postgres import LocalPostgres

CONNECTIONS = 64
TARGET = 0.35
WARM_UP_SECONDS = 3.0
UNITS = 1_000_000  # of each sku


def run(postgres: LocalPostgres, directory: Path, seconds: float) -> None:
    with fresh_database(postgres) as url, ExitStack() as running:
        settings = settings_of(url, directory)
        migrate(settings)
        ours, empty = (
            Api(settings, directory, application)
            for application in ("api.main:app", "tests.bench.empty:app")
        )
        for server in (ours, empty):
            running.callback(server.stop)
            server.start()
        for number in range(SKUS):
            ours.made(f"/v1/stock/{sku(number)}/receive", {"quantity": UNITS})
        for server in (ours, empty):
            load(server.port, WARM_UP_SECONDS)
        contestants = {
            "ours": lambda seconds: load(ours.port, seconds),
            "empty": lambda seconds: load(empty.port, seconds),
        }
        rates = interleave(contestants, seconds)
    found = table(
        f"Orders per second over HTTP, {CONNECTIONS} connections, one granian worker",
        *("placed in the ledger", "only parsed", "ratio"),
    )
    found.add_row(
        per_second(rates["ours"]),
        per_second(rates["empty"]),
        str(ratio(rates["ours"], rates["empty"], TARGET)),
    )
    console.print(found)


def load(port: int, seconds: float) -> float:
    command = [sys.executable, "-m", "tests.bench.load", str(port), str(CONNECTIONS), str(seconds)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    return float(result.stdout)
