"""Carriers' updates from Kafka to the ledger, by the tracking worker."""

from __future__ import annotations

from pathlib import Path

from commands.migrate import migrate
from commands.settings import Settings
from tests.bench.rounds import console, table
from tests.carrier import SCANS, Desk, number_of, rows, scan, sending, wait_for_offset, worker
from tests.servers import fresh_database, settings_of
from workers.local.kafka import LocalKafka
from workers.local.postgres import LocalPostgres

TARGET = 5_000
SCANS_PER_SECOND = 10_000  # asked for on the command line: what the worker has to bring in
SCANS_PER_PARCEL = 10
WAIT_SECONDS = 300.0
# By the ledger's own clock: joining the consumer group is no part of it, so the first batch is not.
RATE = """SELECT (count(*) FILTER (WHERE recorded_at > first))::float8
       / extract(epoch FROM max(recorded_at) - min(recorded_at))::float8
FROM ledger_event, (SELECT min(recorded_at) AS first FROM ledger_event
                    WHERE topic = 'parcel.tracked.v1') AS begin
WHERE topic = 'parcel.tracked.v1'"""


def run(postgres: LocalPostgres, kafka: LocalKafka, directory: Path, seconds: float) -> None:
    count = round(SCANS_PER_SECOND * seconds)
    with fresh_database(postgres) as url:
        settings = settings_of(url, directory, kafka_bootstrap=kafka.bootstrap)
        migrate(settings)
        rate = brought_in(settings, count)
    found = table("Tracking updates per second, Kafka to ledger", "updates", "rate", "target")
    reached = "green" if rate >= TARGET else "red"
    found.add_row(f"{count:,}", f"[{reached}]{rate:,.0f}[/]", f"{TARGET:,}")
    console.print(found)


def brought_in(settings: Settings, count: int) -> float:
    numbers = [f"SF{n}" for n in range(count // SCANS_PER_PARCEL)]
    Desk(settings).dispatch(numbers)
    with sending(settings) as send:
        send(*(scan(number, at=1 + nth) for nth in range(SCANS_PER_PARCEL) for number in numbers))
    with worker(settings):
        wait_for_offset(settings, count, WAIT_SECONDS)
    assert number_of(settings, SCANS) == count
    return float(rows(settings, RATE)[0][0])
