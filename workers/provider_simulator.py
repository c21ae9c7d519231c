"""A payment provider that behaves badly on purpose, as a process of its own on loopback.

It never gets its own book wrong. But it tells of what it did late, twice, out of order, by webhook
or by file; it fails before and after doing what it was asked for, hangs, or says nothing.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import structlog

from commands.provider import is_signed, sign
from commands.settings import Settings
from domain.provider import Ask
from domain.provider_commands import Notice, ProviderTerms
from workers.fapiao_files import write_whole
from workers.provider import directory_of
from workers.provider_book import Book

BODY_BYTES_MAX = 64 * 1024
DELIVERY_SECONDS = 5.0
AGAIN_SECONDS = 0.5  # until a webhook is answered with 2xx
IDLE_SECONDS = 0.05
DEMO_PROVIDER = "demo"  # that `ledger up` makes, for simulated customers to pay at
BY_PROVIDER = frozenset({"alipay", "wechat_pay", "credit_card"})

log = structlog.get_logger()


@dataclass(frozen=True)
class Manners:
    """Shares of what is asked or told, 0 to 1."""

    refused: float = 0.15  # 500 before anything was done
    lost: float = 0.15  # done, but answered with 500
    cut: float = 0.1  # done, and the connection dies
    hanging: float = 0.03  # done, and no answer for `hang_seconds`
    silent: float = 0.2  # done, and 202: the notice follows
    failing: float = 0.25  # refunds whose first attempt fails
    declined: float = 0.1  # checkouts that fail before they work
    twice: float = 0.3  # notices
    by_file: float = 0.2
    late_seconds: float = 3.0  # at most
    hang_seconds: float = 8.0


@dataclass
class Courier:
    """Delivers notices when their time has come, and again until they are taken."""

    name: str
    terms: ProviderTerms
    api: str
    directory: Path
    random: random.Random
    manners: Manners
    stop: threading.Event
    _waiting: list[tuple[float, int, Notice]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _under_way: int = 0

    def send(self, notices: list[Notice]) -> None:
        for notice in notices:
            copies = 2 if self.random.random() < self.manners.twice else 1
            for _ in range(copies):
                self._put(notice, self.random.uniform(0, self.manners.late_seconds))

    def _put(self, notice: Notice, seconds: float) -> None:
        with self._lock:
            due = time.monotonic() + seconds
            heapq.heappush(self._waiting, (due, next(self._numbers), notice))

    @property
    def left(self) -> int:
        with self._lock:
            return len(self._waiting) + self._under_way

    def run(self) -> None:
        with httpx.Client(timeout=DELIVERY_SECONDS, trust_env=False) as client:
            while not self.stop.is_set():
                notice = self._next()
                if notice is None:
                    self.stop.wait(IDLE_SECONDS)
                    continue
                if not self._deliver(client, notice):
                    self._put(notice, AGAIN_SECONDS)
                with self._lock:
                    self._under_way -= 1

    def _next(self) -> Notice | None:
        with self._lock:
            if not self._waiting or self._waiting[0][0] > time.monotonic():
                return None
            self._under_way += 1
            return heapq.heappop(self._waiting)[2]

    def _deliver(self, client: httpx.Client, notice: Notice) -> bool:
        body = notice.model_dump_json(exclude_none=True).encode()
        if self.random.random() < self.manners.by_file:
            folder = self.directory / "in"
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / f"{next(self._numbers):08}-{notice.notice_id}.jsonl", body)
            return True
        signed = sign(self.terms.secret, notice.notice_id, datetime.now(UTC), body)
        try:
            url = f"{self.api}/v1/providers/{self.name}/notices"
            answer = client.post(url, content=body, headers=signed)
        except httpx.HTTPError:
            return False
        if answer.is_client_error:
            log.error("a notice was refused", notice=notice.notice_id, answer=answer.text[:500])
        return not answer.is_server_error


class Server(ThreadingHTTPServer):
    """One provider on one port."""

    daemon_threads = True

    def __init__(
        self, port: int, terms: ProviderTerms, book: Book, courier: Courier, manners: Manners
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.terms, self.book, self.courier, self.manners = terms, book, courier, manners

    def chance(self, share: float) -> bool:
        return self.book.random.random() < share

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news here."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30.0

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: the book says it all."""

    def do_GET(self) -> None:
        """`/book`: what it holds, and how many notices are still under way."""
        shown = {**self.server.book.shown(), "notices_left": self.server.courier.left}
        self._answer(200, json.dumps(shown).encode())

    def do_POST(self) -> None:
        length = min(int(self.headers.get("content-length", 0)), BODY_BYTES_MAX)
        body = self.rfile.read(length)
        said = json.loads(body)
        match self.path:
            case "/checkouts":
                self._check_out(said)
            case "/disputes":
                charge, amount = said["payment"], said["amount_minor"]
                self.server.courier.send(
                    self.server.book.dispute(charge, amount, lost=said["lost"])
                )
                self._answer(200, b"{}")
            case "/captures" | "/voids" | "/refunds":
                self._do(Ask(**said), body)
            case _:
                self._answer(404, b"{}")

    def _check_out(self, said: dict[str, Any]) -> None:
        """The customer's side: never wrong, but its first card may be declined."""
        if self.server.chance(self.server.manners.declined):
            self.server.courier.send(self.server.book.decline(said))
        notices = self.server.book.pay(said)
        self.server.courier.send(notices)
        self._answer(200, json.dumps({"payment": notices[0].payment}).encode())

    def _do(self, ask: Ask, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_signed(self.server.terms.secret, headers, body, datetime.now(UTC)):
            self._answer(401, b"{}")
            return
        manners, chance = self.server.manners, self.server.chance
        if chance(manners.refused):
            self._answer(500, b"{}")
            return
        notice, news = self.server.book.ask(ask)
        if news:
            self.server.courier.send([notice])
        if chance(manners.lost):
            self._answer(500, b"{}")
        elif chance(manners.cut):
            self._cut()
        elif chance(manners.hanging):
            self.server.courier.stop.wait(manners.hang_seconds)
            self._cut()
        elif chance(manners.silent):
            self._answer(202, b"{}")
        else:
            self._answer(200, notice.model_dump_json(exclude_none=True).encode())

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def run(settings: Settings, stop: threading.Event, name: str, seed: int) -> None:
    """The provider `name` of the settings, on the port of its URL, until told to stop."""
    terms = settings.providers[name]
    manners, chance = Manners(), random.Random(seed)  # noqa: S311 - to be repeatable
    api = f"http://{settings.api_host}:{settings.api_port}"
    directory = directory_of(settings, name, terms)
    courier = Courier(name, terms, api, directory, random.Random(seed + 1), manners, stop)  # noqa: S311
    book = Book(chance, manners.failing)
    port = httpx.URL(terms.url).port or 0
    with Server(port, terms, book, courier, manners) as server:
        threads = [
            threading.Thread(target=courier.run, name="courier"),
            threading.Thread(target=server.serve_forever, args=(IDLE_SECONDS,), name="asks"),
        ]
        for thread in threads:
            thread.start()
        log.info("simulated provider", name=name, port=server.server_port)
        stop.wait()
        server.shutdown()
        for thread in threads:
            thread.join()
