"""A provider that behaves badly, a worker that is killed, and books that agree to the cent."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.settings import Settings
from commands.store import Store
from domain.message import Recorded, StreamName
from domain.order_facts import PaymentCaptured
from domain.order_fold import evolve as evolve_order
from domain.order_state import Order
from domain.payout import Payout
from domain.payout import evolve as evolve_payout
from domain.provider import Ask
from domain.provider_commands import ProviderTerms
from tests.api_server import Api, environment, order, rows, running
from tests.scale import scale
from tests.servers import fresh_database, settings_of
from workers.local import ports
from workers.local.postgres import LocalPostgres
from workers.provider_links import Directory

SEED = 20250301
SETTLED_SECONDS = 120.0
START_SECONDS = 30.0
POLL_SECONDS = 0.2
KILL_SECONDS = (1.5, 3.0)
ORDERS = 200
TOTAL = 21_000

# -- the processes -------------------------------------------------------------------------------


@dataclass
class Shop:
    """An API, and a provider that misbehaves."""

    api: Api
    provider: httpx.Client
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **environment(self.api.settings),
            "LEDGER_API_PORT": str(self.api.port),
            "LEDGER_VAR_PATH": str(self.api.settings.var_path),
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{arguments[0]}.log").open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "workers", *arguments],
                env=self.environment,
                stdout=file,
                stderr=file,
            )

    def book(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.provider.get("/book").json()
        return shown

    def pay(self, order_ref: str, *, capture: bool, amount_minor: int = TOTAL) -> str:
        """As the customer does, at the provider; the id of the charge."""
        said = {
            "order_ref": order_ref,
            "shop": "main",
            "method": "alipay",
            "currency": "CNY",
            "amount_minor": amount_minor,
            "capture": capture,
        }
        return str(self.provider.post("/checkouts", json=said).json()["payment"])


@pytest.fixture(scope="module")
def shop(
    postgres: LocalPostgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    port, directory = ports.choose(), tmp_path_factory.mktemp("provider")
    url = f"http://127.0.0.1:{port}"
    terms = ProviderTerms.model_validate(
        {"secret": "of this test alone", "url": url, "path": directory / "files"}
    )
    with fresh_database(postgres, ledger_template) as database:
        settings = settings_of(database, tmp_path_factory.mktemp("var")).model_copy(
            update={"providers": {"acme": terms}}
        )
        with (
            running(settings, tmp_path_factory.mktemp("api")) as api,
            httpx.Client(base_url=url, timeout=10) as provider,
        ):
            made = Shop(api, provider, directory)
            simulator = made.start("provider-simulator", "acme", "--seed", str(SEED))
            try:
                deadline = time.monotonic() + START_SECONDS
                while not ports.answers(port):
                    assert simulator.poll() is None, _log(made, "provider-simulator")
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield made
            finally:
                simulator.terminate()
                simulator.wait(timeout=30)


def _log(shop: Shop, name: str) -> str:
    return (shop.directory / f"{name}.log").read_text()


@contextmanager
def worker_that_dies(shop: Shop, chance: random.Random) -> Iterator[list[int]]:
    """The provider's worker, killed at random and started again; how often is counted."""
    ended, kills = threading.Event(), [0]
    worker = shop.start("provider")

    def kill() -> None:
        nonlocal worker
        while not ended.wait(chance.uniform(*KILL_SECONDS)):
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            kills[0] += 1
            worker = shop.start("provider")
            ended.wait(START_SECONDS / 10)  # It has to come to work before it is killed again.

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield kills
    finally:
        ended.set()
        thread.join()
        worker.terminate()
        worker.wait(timeout=30)


# -- what the ledger knows -------------------------------------------------------------------------


@dataclass
class Ledger:
    """All orders and payouts, as their events say."""

    settings: Settings
    position: int = 0
    events: dict[StreamName, list[Recorded]] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    payouts: dict[str, Payout] = field(default_factory=dict)

    def read(self) -> None:
        store = Store(self.settings)
        with store.connect(autocommit=True) as connection:
            for one in store.feed(connection, self.position):
                self._take(one)

    def _take(self, one: Recorded) -> None:
        self.position = one.position
        self.events.setdefault(StreamName(one.category, one.key), []).append(one)
        if one.category == "order":
            before = self.orders.get(one.key, Order())
            self.orders[one.key] = evolve_order(before, one.event)
        if one.category == "payout":
            self.payouts[one.key] = evolve_payout(self.payouts.get(one.key, Payout()), one.event)

    def captured(self) -> dict[str, int]:
        """By charge."""
        found: dict[str, int] = {}
        for events in self.events.values():
            for event in (one.event for one in events):
                if isinstance(event, PaymentCaptured):
                    found[event.reference] = found.get(event.reference, 0) + event.amount_minor
        return found

    def paid_out(self) -> dict[str, int]:
        """By key."""
        return {
            key: part.amount_minor
            for paid in self.payouts.values()
            for key, part in paid.parts.items()
            if part.status == "paid"
        }


# -- one order's way -------------------------------------------------------------------------------


@dataclass
class Buyer:
    """Steps on whenever the ledger shows that the step before has come about."""

    shop: Shop
    number: int
    chance: random.Random
    order_id: str = ""
    charge: str = ""
    authorised: bool = False
    step: int = 0

    def begin(self) -> None:
        """Checkout and payment race: either comes first."""
        reference = f"CHECKOUT-{self.number}"
        self.authorised = self.number % 3 == 1
        first = self.chance.random() < 0.5
        if first:
            self.charge = self.shop.pay(reference, capture=not self.authorised)
        made = self.shop.api.made("/v1/orders", order(external_ref=reference))
        self.order_id = made["order_id"]
        if not first:
            self.charge = self.shop.pay(reference, capture=not self.authorised)

    def go_on(self, state: Order) -> bool:
        """Whether all has been done."""
        match self.step:
            case 0 if state.money.authorisations:
                self._take_in_parts(state)
                self.step = 1
            case 0 if state.payments:
                self.step = 2
            case 1 if len(state.payments) == 2 and not state.money.captures:
                self._let_the_rest_go(state)
                self.step = 2
            case 2:
                self._give_back()
                self.step = 3
            case 3 if self._all_given_back(state):
                self._dispute()
                self.step = 4
            case 4:
                return self.number % 4 != 0 or any(
                    one.outcome is not None for one in state.money.chargebacks.values()
                )
            case _:
                pass
        return False

    def _path(self, *parts: str) -> str:
        return "/".join((f"/v1/orders/{self.order_id}", *parts))

    def _take_in_parts(self, state: Order) -> None:
        (held,) = state.money.authorisations
        for amount in (9_000, 8_000):
            path = self._path("payments", held, "request-capture")
            self.shop.api.made(path, {"amount_minor": amount})

    def _let_the_rest_go(self, state: Order) -> None:
        (held,) = state.money.authorisations
        path = self._path("payments", held, "void-authorisation")
        self.shop.api.made(path, {"reason": "the rest is not needed"})

    def _give_back(self) -> None:
        """Equal parts, as R18 has them; every fifth order also more than one capture holds."""
        amounts = [1_500, 1_500] + ([9_500] if self.number % 5 == 0 else [])
        if self.number % 7 == 3:
            amounts = []
        for amount in amounts:
            body = {"amount_minor": amount, "reason": "late"}
            self.shop.api.made(self._path("refunds"), body)

    def _all_given_back(self, state: Order) -> bool:
        open_ = [one for one in state.refunds.values() if one.status != "paid"]
        for refund_id, refund in state.refunds.items():
            if refund.status == "failed":
                self.shop.api.made(self._path("refunds", refund_id, "retry"))
        return not open_

    def _dispute(self) -> None:
        """Some banks ask for money back, and every other one gets it."""
        if self.number % 4 == 0:
            said = {"payment": self.charge, "amount_minor": 2_000, "lost": self.number % 8 == 0}
            self.shop.provider.post("/disputes", json=said)


def part_failed(ledger: Ledger, refund_id: str) -> bool:
    """Another part of it was paid: what is left is a person's to settle."""
    paid = ledger.payouts.get(refund_id, Payout())
    return {part.status for part in paid.parts.values()} == {"paid", "failed"}


def settle_by_hand(shop: Shop, ledger: Ledger) -> int:
    """What the provider could not pay of a refund goes by bank."""
    found = 0
    for order_id, state in ledger.orders.items():
        for refund_id, refund in state.refunds.items():
            if refund.status == "approved" and part_failed(ledger, refund_id):
                path = f"/v1/orders/{order_id}/refunds/{refund_id}/pay"
                shop.api.made(path, {"reference": "by bank"})
                found += 1
    return found


def test_the_providers_book_and_the_ledger_agree_to_the_cent(shop: Shop) -> None:
    """Late, twice, out of order, dead after doing it, failing and then working; and the worker
    killed at random. covers: R16 webhook_and_checkout_commute, R18 equal_partial_refunds_both_pay,
    R19, A62, A93
    """
    chance = random.Random(SEED)
    buyers = [Buyer(shop, number, chance) for number in range(scale(ORDERS, 24))]
    ledger = Ledger(shop.api.settings)
    with worker_that_dies(shop, chance) as kills:
        for buyer in buyers:
            buyer.begin()
        deadline = time.monotonic() + SETTLED_SECONDS
        waiting = buyers
        while waiting or not _quiet(shop):
            ledger.read()
            waiting = [one for one in waiting if not one.go_on(ledger.orders[one.order_id])]
            settle_by_hand(shop, ledger)
            assert time.monotonic() < deadline, _left(shop, ledger, waiting)
            time.sleep(POLL_SECONDS)
    ledger.read()
    assert kills[0] >= 2
    book = shop.book()
    assert sum(one["asked_again"] for one in book["done"].values()) >= 3
    assert_books_agree(book, ledger)
    set_aside = rows(
        shop.api.settings,
        "SELECT encode(state, 'escape') FROM ledger_event WHERE topic = %s",
        "provider_notice.set_aside.v1",
    )
    codes = {json.loads(state)["code"] for (state,) in set_aside}
    assert codes <= {"refund_part_failed"}


def _quiet(shop: Shop) -> bool:
    """Nothing under way: no notice, no file, no task."""
    files = list((shop.directory / "files" / "in").glob("*.jsonl"))
    tasks = rows(shop.api.settings, "SELECT count(*) FROM provider_task")
    return not (shop.book()["notices_left"] or files or tasks[0][0])


def _left(shop: Shop, ledger: Ledger, waiting: list[Buyer]) -> str:
    tasks = rows(shop.api.settings, "SELECT kind, id, order_ref, tries FROM provider_task LIMIT 5")
    steps = [(one.number, one.step, one.order_id) for one in waiting[:5]]
    states = [ledger.orders[one.order_id] for one in waiting[:2]]
    return f"{len(waiting)} wait: {steps}\n{tasks}\n{states}\n{_log(shop, 'provider')[-4_000:]}"


def assert_books_agree(book: dict[str, Any], ledger: Ledger) -> None:
    """Charge by charge and key by key."""
    charges = {one["id"]: one for one in book["charges"]}
    assert ledger.captured() == {k: one["captured"] for k, one in charges.items()}
    moved = {k: one["moved_minor"] for k, one in book["done"].items() if one["moved_minor"]}
    captures = {k for state in ledger.orders.values() for k in state.payments if k in moved}
    assert ledger.paid_out() == {k: amount for k, amount in moved.items() if k not in captures}
    assert {one["times"] for one in book["done"].values()} <= {0, 1}
    assert sum(ledger.paid_out().values()) == sum(one["refunded"] for one in charges.values())
    held = sum(one.money.authorised_minor for one in ledger.orders.values())
    assert held == sum(
        0 if c["voided"] else c["authorised"] - c["captured"] for c in book_held(charges)
    )
    lost = sum(p.lost_minor for one in ledger.orders.values() for p in one.payments.values())
    assert lost == sum(one["lost"] for one in charges.values()) > 0
    for state in ledger.orders.values():
        refunds = [one.amount_minor for one in state.refunds.values() if one.status == "paid"]
        assert sum(refunds) == state.refunded_minor  # Each once, as it was requested.


def book_held(charges: dict[str, Any]) -> list[Any]:
    """Charges that were authorised first: only those can hold what is not captured."""
    return [one for one in charges.values() if one["captured"] != one["authorised"]]


# -- files -----------------------------------------------------------------------------------------


def test_what_is_asked_by_file_is_asked_once(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    ask = Ask("refund", "R1", "ch-1", 1_500, "CNY", "A")
    directory.put(ask)
    (file,) = (tmp_path / "out").iterdir()
    written = file.read_bytes()
    directory.put(Ask("refund", "R1", "ch-1", 9_999, "CNY", "A"))
    assert [one.read_bytes() for one in (tmp_path / "out").iterdir()] == [written]
    assert json.loads(written)["key"] == "R1"


NOTICE = {
    "notice_id": "n-1",
    "kind": "captured",
    "occurred_at": "2025-03-01T12:00:00Z",
    "order_ref": "CHECKOUT-7",
    "payment": "ch-1",
    "method": "alipay",
    "amount_minor": 100,
    "currency": "CNY",
}


def test_a_file_with_a_line_that_nobody_can_read_is_kept_apart_and_the_rest_counts(
    tmp_path: Path,
) -> None:
    directory = Directory(tmp_path)
    directory.collect()
    good, bad = json.dumps(NOTICE), json.dumps(NOTICE | {"amount_minor": -1})
    (tmp_path / "in" / "1.jsonl").write_text(f"{good}\n\n{bad}\nno JSON\n")
    (tmp_path / "in" / "2.jsonl").write_text(good)
    (tmp_path / "in" / "3.part").write_text("not yet whole")
    first, second = directory.collect()
    assert ([one.notice_id for one in first.notices], first.unreadable) == (["n-1"], [3, 4])
    assert second.unreadable == []
    for file in (first, second):
        directory.settle(file)
    assert [one.name for one in (tmp_path / "bad").iterdir()] == ["1.jsonl"]
    assert [one.name for one in (tmp_path / "done").iterdir()] == ["2.jsonl"]
    assert directory.collect() == []
