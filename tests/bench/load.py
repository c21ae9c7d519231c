"""A client in its own process: orders over keep-alive connections, as fast as they are answered.

`python -m tests.bench.load PORT CONNECTIONS SECONDS` prints answers per second, and all answers.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from itertools import count
from typing import cast
from uuid import uuid4

import orjson
import uvloop

from api.examples import ADDRESS

SKUS = 200
CUSTOMERS = 1_000
BODIES = 1_000  # prepared before the clock starts
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def sku(number: int) -> str:
    return f"SKU-{number % SKUS}"


def body(number: int) -> bytes:
    """Two stock-kept lines; a customer of its own in most of them."""
    lines = [
        {
            "sku": sku(number * 7 + nth),
            "name": "Longjing tea, 100 g",
            "category": "tea",
            "quantity": 1,
            "unit_price_minor": 8_800,
            "tax_rate_bp": 1_300,
        }
        for nth in range(2)
    ]
    return orjson.dumps(
        {
            "channel": "web",
            "customer_id": f"C-{number % CUSTOMERS}",
            "currency": "CNY",
            "lines": lines,
            "shipping_minor": 1_000,
            "contact": {"name": "王小明", "phone": "13800000000"},
            "shipping_address": ADDRESS,
            "payment_method": "alipay",
        }
    )


class Sender(asyncio.Protocol):
    """One connection: the next order leaves when the last one is answered."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it.
        self._transport.write(self._orders.next())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        found = LENGTH.search(head)
        assert found is not None, head
        if len(body) < int(found[1]):
            return
        if not head.startswith(b"HTTP/1.1 201"):
            sys.exit(f"not placed: {self._received.decode(errors='replace')}")
        self._received = b""
        self._orders.answered += 1
        assert self._transport is not None
        self._transport.write(self._orders.next())


class Orders:
    """Requests, each with an idempotency key of its own."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self._numbers = count()
        self._run = uuid4().hex
        bodies = [body(number) for number in range(BODIES)]
        head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Actor: bench\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._prepared = [
            (f"{head}{len(one)}\r\nIdempotency-Key: ".encode(), b"\r\n\r\n" + one) for one in bodies
        ]

    def next(self) -> bytes:
        number = next(self._numbers)
        head, rest = self._prepared[number % BODIES]
        return head + f"{self._run}-{number}".encode() + rest


async def measure(port: int, connections: int, seconds: float) -> tuple[float, int]:
    """Answers per second, counted after a tenth of the time; and all answers."""
    orders, loop = Orders(port), asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Sender(orders), "127.0.0.1", port)
    await asyncio.sleep(seconds / 10)
    before, start = orders.answered, time.perf_counter()
    await asyncio.sleep(seconds)
    return (orders.answered - before) / (time.perf_counter() - start), orders.answered


if __name__ == "__main__":
    print(*uvloop.run(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
