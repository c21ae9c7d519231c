"""Orders over HTTP, with rules, stock, sealing and idempotency; beside them one only parsed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
from rich.table import Table

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
        stock(ours)
        for server in (ours, empty):
            load(server.port, WARM_UP_SECONDS)
        costs: dict[str, list[float]] = {"ours": [], "empty": []}
        contestants = {
            "ours": lambda seconds: costly(ours, seconds, costs["ours"]),
            "empty": lambda seconds: costly(empty, seconds, costs["empty"]),
        }
        rates = interleave(contestants, seconds)
    found = table(
        f"Orders per second over HTTP, {CONNECTIONS} connections, one granian worker",
        *("", "placed in the ledger", "only parsed", "ratio"),
    )
    show(found, [*rates.values()], [*costs.values()], TARGET)


def show(found: Table, rates: list[list[float]], costs: list[list[float]], target: float) -> None:
    """Print both rates and costs, ours first, with our ratio."""
    (our_rates, rates_beside), (our_costs, costs_beside) = rates, costs
    found.add_row(
        "orders per second",
        per_second(our_rates),
        per_second(rates_beside),
        str(ratio(our_rates, rates_beside, target)),
    )
    # Tells how far a busy machine is to blame: it takes time, but less of the processor's.
    found.add_row(
        "µs of the server's CPU per order",
        per_second(our_costs),
        per_second(costs_beside),
        str(ratio(costs_beside, our_costs)),
    )
    console.print(found)


def stock(server: Api) -> None:
    """More than is ordered, of all that is."""
    for number in range(SKUS):
        server.made(f"/v1/stock/{sku(number)}/receive", {"quantity": UNITS})


def costly(server: Api, seconds: float, costs: list[float]) -> float:
    """Orders per second; adds the microseconds of CPU that one took."""
    before = cpu_seconds(server.pid)
    rate, answers = load(server.port, seconds)
    costs.append((cpu_seconds(server.pid) - before) / answers * 1e6)
    return rate


def cpu_seconds(pid: int) -> float:
    server = psutil.Process(pid)
    times = [one.cpu_times() for one in [server, *server.children(recursive=True)]]
    return float(sum(one.user + one.system for one in times))


def load(port: int, seconds: float) -> tuple[float, int]:
    command = [sys.executable, "-m", "tests.bench.load", str(port), str(CONNECTIONS), str(seconds)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    rate, answers = result.stdout.split()
    return float(rate), int(answers)
