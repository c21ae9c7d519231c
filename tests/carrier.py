"""A carrier and its parcels for the tests of tracking: orders dispatched, scans sent to Kafka."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer
from psycopg import Connection

from commands.keys import Vault
from commands.planning import Outcome
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt, Command
from domain.number import SEED_MIN, from_seed
from domain.parcel_commands import DispatchParcel, PackParcel
from domain.placement_commands import PlaceOrder
from workers import kafka_topics, tracking
from workers.entry import Work

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CARRIER = "sf-express"
BATCH = 100  # orders
WAIT_SECONDS = 60.0
_seeds = itertools.count(SEED_MIN)


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


def scan(number: str, milestone: str = "in_transit", at: float = 1, **more: Any) -> dict[str, Any]:
    """The value of a record: `milestone` so many hours after noon."""
    return {
        "event_id": uuid4().hex,
        "carrier": CARRIER,
        "tracking_number": number,
        "milestone": milestone,
        "occurred_at": hours(at).isoformat(),
        **more,
    }


@dataclass
class Desk:
    """Places, packs and dispatches through the one runner that everybody uses."""

    settings: Settings
    parcels: dict[str, str] = field(default_factory=dict)  # tracking number -> parcel id

    def __post_init__(self) -> None:
        vault = Vault(self.settings.name, self.settings.master_key_bytes())
        self._runner = BatchRunner(Store(self.settings), vault)

    def run(self, *commands: Command) -> None:
        with Store(self.settings).connect() as connection:
            self._run(connection, commands)

    def dispatch(self, numbers: Sequence[str]) -> None:
        """One order and one parcel for each tracking number."""
        with Store(self.settings).connect() as connection:
            for start in range(0, len(numbers), BATCH):
                self._dispatch(connection, numbers[start : start + BATCH])

    def _dispatch(self, connection: Connection, numbers: Sequence[str]) -> None:
        orders = {number: str(uuid4()) for number in numbers}
        parcels = {number: str(uuid4()) for number in numbers}
        self._run(connection, [place(order) for order in orders.values()])
        self._run(connection, [pack(parcels[n], orders[n]) for n in numbers])
        self._run(
            connection,
            [
                DispatchParcel(parcel_id=parcels[n], carrier=CARRIER, tracking_number=n, at=NOON)
                for n in numbers
            ],
        )
        self.parcels |= parcels

    def _run(self, connection: Connection, commands: Sequence[Command]) -> None:
        outcomes = self._runner.run(connection, [(one, attempt()) for one in commands])
        connection.commit()
        for outcome in outcomes:
            assert isinstance(outcome, Outcome), outcome


def place(order_id: str) -> PlaceOrder:
    return PlaceOrder.model_validate(
        {
            "order_id": order_id,
            "numbers": (from_seed(next(_seeds)),),
            "channel": "web",
            "customer_id": f"c-{order_id[:8]}",
            "currency": "CNY",
            "lines": [
                {
                    "sku": "TEA",
                    "name": "龙井茶",
                    "category": "tea",
                    "quantity": 1,
                    "unit_price_minor": 8_800,
                }
            ],
            "contact": {"name": "王小明"},
            "shipping_address": {"line1": "中山路 1 号", "city": "杭州", "country": "CN"},
            "payment_method": "cash_on_delivery",
            "at": NOON,
        }
    )


def pack(parcel_id: str, order_id: str) -> PackParcel:
    contents = [{"order_id": order_id, "line_no": 1, "quantity": 1}]
    return PackParcel.model_validate({"parcel_id": parcel_id, "contents": contents, "at": NOON})


def attempt() -> Attempt:
    one = uuid4()
    return Attempt("desk", "test", one, one, None, one.hex, b"digest".ljust(32))


@contextmanager
def sending(settings: Settings) -> Iterator[Callable[..., None]]:
    """A function that sends values (JSON data or raw bytes) and waits for the broker."""
    kafka_topics.ensure(settings)
    topic = settings.kafka_topic(kafka_topics.TRACKING)
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=5)

    def send(*values: Any, **options: Any) -> None:
        for value in values:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            number = value.get("tracking_number", "") if isinstance(value, dict) else "garbage"
            producer.send(topic, key=number.encode(), value=raw, **options)
        producer.flush(timeout=60)

    try:
        yield send
    finally:
        producer.close()


@contextmanager
def worker(settings: Settings, run: Work = tracking.run) -> Iterator[threading.Thread]:
    """The real worker in a thread of the test."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(settings, stop), name=run.__module__)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()


def rows(settings: Settings, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with Store(settings).connect() as connection:
        return connection.execute(query.encode(), values or None).fetchall()


def number_of(settings: Settings, query: str, *values: Any) -> int:
    return int(rows(settings, query, *values)[0][0])


SCANS = "SELECT count(*) FROM ledger_event WHERE topic = 'parcel.tracked.v1'"
WAITING = "SELECT count(*) FROM waiting_update"
DEAD = "SELECT count(*) FROM dead_letter"
OFFSETS = "SELECT coalesce(sum(next_offset), 0) FROM ingest_offset"


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def wait_for_offset(settings: Settings, offset: int, seconds: float = WAIT_SECONDS) -> None:
    """Until so many records are behind the worker, over all partitions."""
    wait_until(lambda: number_of(settings, OFFSETS) >= offset, seconds)
