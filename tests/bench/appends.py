"""Single-event durable appends: our ledger, the library's stock recorder, pgbench's INSERT."""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle
from uuid import uuid4

import psycopg
import uvloop
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from commands.committer import Committer
from commands.keys import Vault
from commands.migrate import migrate
from commands.runner import digest
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt
from domain.stock_item import ReceiveStock
from tests.bench.rounds import Contestant, console, interleave, per_second, ratio, table
from tests.servers import fresh_database, settings_of
from workers.calm import calm_gc
from workers.local import rootless
from workers.local.postgres import LocalPostgres, binaries

WRITERS = (1, 16, 64)
TARGETS_STOCK = {16: 8.0, 64: 12.0}  # times the stock recorder
TARGETS_PGBENCH = {64: 0.5}
SKUS_PER_WRITER = 10
WARM_UP_SECONDS = 1.0
PGBENCH_CONNECT_SECONDS = 2.0  # it counts them among its time, but not in its rate
STATE = b'{"at":"2026-03-01T12:00:00Z","sku":"SKU-12345","location":"main","quantity":"1"}'
PGBENCH = f"""INSERT INTO bench_row (stream_id, version, topic, state)
VALUES (gen_random_uuid(), 1, 'stock_item.received.v1', '{STATE.decode()}');
"""
PGBENCH_TABLE = """CREATE TABLE bench_row (id bigserial PRIMARY KEY, stream_id uuid NOT NULL,
version int NOT NULL, topic text NOT NULL, state bytea NOT NULL)"""


def run(postgres: LocalPostgres, seconds: float) -> None:
    with fresh_database(postgres) as url, psycopg.connect(url, autocommit=True) as connection:
        migrate(settings_of(url))
        connection.execute(PGBENCH_TABLE)
        [(fsync,)] = connection.execute("SHOW fsync")
        found = table(
            f"Single-event appends per second, fsync {fsync}: median (lowest–highest)",
            *("writers", "ours", "stock recorder", "pgbench", "ours : stock", "ours : pgbench"),
        )
        for writers in WRITERS:
            rates = interleave(contestants(postgres, url, writers), seconds)
            ours, stock, pgbench = rates["ours"], rates["stock"], rates["pgbench"]
            found.add_row(
                str(writers),
                *(per_second(one) for one in (ours, stock, pgbench)),
                str(ratio(ours, stock, TARGETS_STOCK.get(writers))),
                str(ratio(ours, pgbench, TARGETS_PGBENCH.get(writers))),
            )
    console.print(found)


def contestants(postgres: LocalPostgres, url: str, writers: int) -> dict[str, Contestant]:
    return {
        "ours": lambda seconds: ours(settings_of(url), writers, seconds),
        "stock": lambda seconds: stock(url, writers, seconds),
        "pgbench": lambda seconds: pgbench(postgres, url, writers, seconds),
    }


def ours(settings: Settings, writers: int, seconds: float) -> float:
    """Concurrent senders of commands in one process, as the API has them: rules, metadata,
    idempotency keys and all-or-nothing units on.
    """
    with calm_gc():  # As the API.
        return uvloop.run(_ours(settings, writers, seconds))


async def _ours(settings: Settings, writers: int, seconds: float) -> float:
    committer = Committer(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    await committer.start()
    key = settings.digest_key()
    counts = [0] * writers

    async def send(writer: int) -> None:
        for sku in cycle(f"SKU-{writer}-{n}" for n in range(SKUS_PER_WRITER)):
            command = ReceiveStock(sku=sku, quantity=1, at=datetime.now(UTC))  # type: ignore[arg-type]
            await committer.run(command, _attempt(key, command))
            counts[writer] += 1

    senders = [asyncio.create_task(send(writer)) for writer in range(writers)]
    await asyncio.sleep(WARM_UP_SECONDS)
    before, start = sum(counts), time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (sum(counts) - before) / (time.perf_counter() - start)
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    await committer.stop()
    return rate


def _attempt(key: bytes, command: ReceiveStock) -> Attempt:
    command_id = uuid4()
    request = {"sku": command.sku, "quantity": "1"}
    return Attempt(
        "bench", "bench", command_id, command_id, None, command_id.hex, digest(key, request)
    )


def stock(url: str, writers: int, seconds: float) -> float:
    """The library as it comes: threads of one process, one connection each."""
    target = conninfo_to_dict(url)
    names = ("dbname", "host", "port", "user", "password")
    datastore = PostgresDatastore(*(str(target[name]) for name in names), pool_size=writers)
    with datastore:
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        return _threads(lambda: recorder.insert_events(_event()), writers, seconds)


def _event() -> list[StoredEvent]:
    return [StoredEvent(uuid4(), 1, "stock_item.received.v1", STATE)]


def _threads(operation: Callable[[], object], count: int, seconds: float) -> float:
    counts, stopped = [0] * count, threading.Event()

    def work(number: int) -> None:
        while not stopped.is_set():
            operation()
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP_SECONDS)
    before, start = sum(counts), time.perf_counter()
    time.sleep(seconds)
    rate = (sum(counts) - before) / (time.perf_counter() - start)
    stopped.set()
    for thread in threads:
        thread.join()
    return rate


def pgbench(postgres: LocalPostgres, url: str, clients: int, seconds: float) -> float:
    """PostgreSQL's own client program, in C: about what the server can do at all."""
    script = postgres.directory / "insert.sql"
    script.write_text(PGBENCH)
    program = binaries(rootless.ordinary_user()) / "pgbench"
    whole = round(seconds + PGBENCH_CONNECT_SECONDS)
    command = [program, "-n", "-M", "prepared", "-f", script, "-T", str(whole)]
    command += ["-c", str(clients), "-j", str(min(2, clients)), url]
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True, timeout=300
    )
    found = re.search(r"^tps = ([\d.]+)", result.stdout, re.MULTILINE)
    assert found is not None, result.stdout
    return float(found[1])
