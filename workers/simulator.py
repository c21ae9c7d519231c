"""A shop's day in fast motion: orders through the API, scans of their parcels through Kafka."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError

from commands.settings import Settings
from workers import kafka_topics
from workers.provider_simulator import BY_PROVIDER, DEMO_PROVIDER
from workers.simulator_goods import (
    BUYERS_PER_LANGUAGE,
    CARRIERS,
    CHANNELS,
    GOODS,
    HUB,
    JOURNEY_WEIGHTS,
    JOURNEYS,
    METHODS,
    Buyer,
    all_goods,
    buyer,
    line,
)

ACTOR = "simulator"
COUPON = {"kind": "coupon", "code": "SPRING", "title": "Spring sale", "amount_minor": 500}
SECOND_PERSON = "simulator-manager"  # approves refunds where the policy has no limit
STOCK_UNITS = 5_000
STOCK_LOW_UNITS = 200
STEP_SECONDS = (0.5, 3.0)  # between two steps of an order
SCAN_HOURS = (2.0, 12.0)  # that a scan is later than the one before, by the carrier's clock
STORIES_MAX = 2_000  # orders under way
REQUEST_SECONDS = 10.0
PAID_STEPS_MAX = 30  # that an order waits for its payment
RETRY_SECONDS = 2.0
GARBAGE_SHARE = 0.002  # of scans

log = structlog.get_logger()

Story = Iterator[None]  # each step ends with a yield; the next follows after a while


def run(settings: Settings, stop: threading.Event, rate: float = 1.0) -> None:
    """Go on until `stop` is set, with `rate` new orders a second."""
    while not stop.is_set():
        try:
            Shop(settings, stop, rate).open()
        except (urllib.error.URLError, OSError, KafkaError) as error:
            log.warning("the simulated shop opens again", error=repr(error))
            stop.wait(RETRY_SECONDS)


class Refused(Exception):
    """The API refused a step: the story of this order ends here."""


class Shop:
    def __init__(self, settings: Settings, stop: threading.Event, rate: float) -> None:
        self._api = f"http://{settings.api_host}:{settings.api_port}"
        demo = settings.providers.get(DEMO_PROVIDER)
        self._provider = None if demo is None else demo.url
        self._topic = settings.kafka_topic(kafka_topics.TRACKING)
        self._bootstrap = kafka_topics.servers(settings)
        self._stop = stop
        self._pause = 1 / rate
        self._random = random.Random()  # noqa: S311 - a game
        self._stories: list[tuple[float, int, Story]] = []
        self._numbers = itertools.count()

    def open(self) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=self._bootstrap,
            allow_auto_create_topics=False,
            reconnect_backoff_max_ms=1_000,
        )
        try:
            self._work()
        finally:
            self._producer.close(timeout=5)

    def _work(self) -> None:
        new_order = restock = 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            if now >= restock:
                self._stock()
                restock = now + 60
            if now >= new_order and len(self._stories) < STORIES_MAX:
                self._plan(self._order())
                new_order = now + self._random.expovariate(1 / self._pause)
            while self._stories and self._stories[0][0] <= now:
                self._go_on(heapq.heappop(self._stories)[2])
            next_story = self._stories[0][0] if self._stories else new_order
            self._stop.wait(max(0.01, min(next_story, new_order) - time.monotonic()))

    def _plan(self, story: Story, seconds: float = 0.0) -> None:
        heapq.heappush(self._stories, (time.monotonic() + seconds, next(self._numbers), story))

    def _go_on(self, story: Story) -> None:
        try:
            next(story)
        except StopIteration:
            return
        except Refused as error:
            log.info("refused", reason=str(error))
            return
        self._plan(story, self._random.uniform(*STEP_SECONDS))

    # -- the story of one order ----------------------------------------------------------------

    def _order(self) -> Story:
        language = self._random.choice(["zh", "zh", "zh", "en", "en"])
        who = buyer(language, self._random.randrange(BUYERS_PER_LANGUAGE))
        method = self._random.choice(METHODS[language])
        placed = self._post("/v1/orders", self._body(who, method))
        path = f"/v1/orders/{placed['order_id']}"
        yield
        if placed["stage"] == "in_review":
            if self._happens(0.05):
                self._post(f"{path}/reject", {"reason_code": "not_reachable"})
                return
            self._post(f"{path}/approve", {})
            yield
        if self._happens(0.04):
            self._post(f"{path}/cancel", {"reason_code": "changed_mind", "initiator": "customer"})
            return
        at_provider = self._provider is not None and method in BY_PROVIDER
        if at_provider:
            yield from self._pay_at_provider(placed, GOODS[language][0], method)
        elif method != "cash_on_delivery":
            yield from self._pay(path, placed["total_minor"], method)
        if self._happens(0.05):
            text = "请在工作日送货" if language == "zh" else "Please ring twice"
            self._post(f"{path}/notes", {"text": text})
            yield
        parcel = self._post(f"{path}/parcels", {"lines": self._contents(placed)})
        yield
        yield from self._ship(parcel["parcel_id"], who)
        if self._happens(0.06) and method != "cash_on_delivery":
            yield from self._refund(path, placed["total_minor"], by_hand=not at_provider)

    def _body(self, who: Buyer, method: str) -> dict[str, Any]:
        currency, shelf = GOODS[who.language]
        chosen = self._random.sample(shelf, self._random.choice([1, 1, 2, 3]))
        tax = 1_300 if who.language == "zh" else 0
        lines = [line(goods, self._random.choice([1, 1, 1, 2, 3]), tax) for goods in chosen]
        return {
            "channel": self._random.choice(CHANNELS),
            "customer_id": who.customer_id,
            "currency": currency,
            "lines": lines,
            "discounts": self._random.choice([[], [], [], [COUPON]]),
            "shipping_minor": self._random.choice([0, 800, 1_200]),
            "contact": who.contact,
            "shipping_address": who.address,
            "payment_method": method,
        }

    def _pay(self, path: str, total_minor: int, method: str) -> Story:
        first = total_minor // 2 if self._happens(0.1) else total_minor
        for part in (first, total_minor - first):
            if part:
                reference = f"PAY-{uuid4().hex[:12].upper()}"
                body = {"method": method, "amount_minor": part, "reference": reference}
                self._post(f"{path}/payments", body)
                yield

    def _pay_at_provider(self, placed: dict[str, Any], currency: str, method: str) -> Story:
        """Its word comes when it comes: the order goes on once it is paid."""
        checkout = {
            "order_ref": placed["number"],
            "shop": "main",
            "method": method,
            "currency": currency,
            "amount_minor": placed["total_minor"],
        }
        self._call("POST", f"{self._provider}/checkouts", checkout)
        path = f"/v1/orders/{placed['order_id']}?min_position={placed['position']}"
        for _ in range(PAID_STEPS_MAX):
            yield
            if self._call("GET", path)["paid_minor"] >= placed["total_minor"]:
                return
        raise Refused(f"{path}: not paid")

    def _contents(self, placed: dict[str, Any]) -> list[dict[str, Any]]:
        order = self._call(
            "GET", f"/v1/orders/{placed['order_id']}?min_position={placed['position']}"
        )
        return [{"line_no": one["line_no"], "quantity": one["quantity"]} for one in order["lines"]]

    def _refund(self, path: str, total_minor: int, *, by_hand: bool) -> Story:
        """Money that a provider brought goes back through it, by itself."""
        body = {"reason": "changed_mind", "amount_minor": total_minor // 4}
        asked = self._post(f"{path}/refunds", body)
        yield
        if asked["refund_status"] == "requested":
            self._call("POST", f"{path}/refunds/{asked['refund_id']}/approve", {}, SECOND_PERSON)
            yield
        if not by_hand:
            return
        reference = f"RF-{uuid4().hex[:12].upper()}"
        self._post(f"{path}/refunds/{asked['refund_id']}/pay", {"reference": reference})

    # -- the parcel's journey ------------------------------------------------------------------

    def _ship(self, parcel_id: str, who: Buyer) -> Story:
        carrier = self._random.choice(CARRIERS[who.language])
        number = f"{carrier[:2].upper()}{self._random.randrange(10**11):011}"
        clock = datetime.now(UTC)
        arrives = clock + timedelta(days=self._random.randint(2, 5))
        if self._happens(0.1):  # The carrier is faster than the desk: this one has to wait.
            self._scan(carrier, number, "label_created", clock, HUB[who.language])
        body = {
            "carrier": carrier,
            "tracking_number": number,
            "estimated_at": arrives.isoformat(),
        }
        self._post(f"/v1/parcels/{parcel_id}/dispatch", body)
        yield
        journey = self._random.choices(JOURNEYS, JOURNEY_WEIGHTS)[0]
        for milestone, place in journey:
            clock += timedelta(hours=self._random.uniform(*SCAN_HOURS))
            where = HUB[who.language] if place == "hub" else who.address["city"]
            self._scan(carrier, number, milestone, clock, where)
            if self._happens(0.05):  # Carriers send things twice.
                self._scan(carrier, number, milestone, clock, where)
            yield

    def _scan(self, carrier: str, number: str, milestone: str, at: datetime, location: str) -> None:
        value = {
            "event_id": uuid4().hex,
            "carrier": carrier,
            "tracking_number": number,
            "milestone": milestone,
            "occurred_at": at.isoformat(),
            "location": location,
        }
        raw = json.dumps(value, ensure_ascii=False).encode()
        if self._happens(GARBAGE_SHARE):
            raw = raw[: len(raw) // 2]
        self._producer.send(self._topic, key=number.encode(), value=raw)

    # -- the API -------------------------------------------------------------------------------

    def _stock(self) -> None:
        """Goods come in before they run out."""
        for goods in all_goods():
            try:
                left = self._call("GET", f"/v1/stock/{goods.sku}")["available"]
            except Refused:
                left = 0
            if float(left) < STOCK_LOW_UNITS:
                body = {"quantity": STOCK_UNITS, "reference": f"PO-{uuid4().hex[:8].upper()}"}
                self._post(f"/v1/stock/{goods.sku}/receive", body)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, body)

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, actor: str = ACTOR
    ) -> dict[str, Any]:
        """Raises Refused for an answer of 4xx, URLError when there is no answer."""
        request = urllib.request.Request(  # noqa: S310 - our own API
            path if path.startswith("http") else f"{self._api}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-Actor": actor},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500:
                    raise Refused(f"{method} {path}: {error.read(500).decode()}") from None
            raise

    def _happens(self, share: float) -> bool:
        return self._random.random() < share
