"""Random histories of a shop, decided by the desk and written to a real ledger."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4, uuid5

from psycopg import Connection

from commands.append import CommandRow, Unit
from commands.keys import Vault
from commands.store import Store
from domain import codec, desk_names
from domain.message import Attempt, Command, Decision, Event, Rejected
from domain.order_facts import FeedbackGiven
from domain.order_state import Order
from domain.payment_commands import (
    LoseChargeback,
    RecordRemittance,
    RefuseDelivery,
    WinChargeback,
    WriteOffDifference,
)
from tests import given_money, given_orders, given_returns
from tests.given import NOON, World

SKUS = ("TEA", "CUP", "POT", "TIN", "JAR")
CUSTOMERS = ("li", "wang", "zhang", "chen", "liu")
METHODS = ("alipay", "credit_card", "cash_on_delivery", "bank_transfer")
CURRENCIES = ("CNY", "CNY", "CNY", "JPY")
UNITS_PER_CALL = 100
IDS = UUID("0a0cf0de-0000-4000-8000-000000000000")


class History:
    """A world whose decisions are also kept as units of a ledger."""

    def __init__(self, seed: int, master_key: bytes = b"k" * 32, ledger: str = "main") -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.vault = Vault(ledger, master_key)
        self.now = NOON
        self.orders: list[str] = []
        self._ids = (str(uuid5(IDS, f"{seed}/{n}")) for n in count())
        self._versions: dict[Any, int] = {}

    def id(self) -> str:
        return next(self._ids)

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def tick(self) -> datetime:
        self.now += timedelta(minutes=self.random.randint(1, 600))
        return self.now

    def run(self, command: Command) -> Unit | None:
        """The unit of an accepted command; a refusal writes nothing."""
        try:
            decision = self.world.run(command)
        except Rejected:
            return None
        return self.unit(decision)

    def unit(self, decision: Decision) -> Unit:
        command_id = uuid4()
        attempt = Attempt("desk", "test", command_id, command_id, None, command_id.hex, b"d" * 32)
        unit = Unit(commands=[CommandRow(attempt, '{"body": {}}')], claims=[*decision.claims])
        persons = set()
        for name, events in decision.events.items():
            version = self._versions.get(name, 0)
            if not events:
                continue
            unit.streams[name] = (version, True)
            self._versions[name] = version + len(events)
            for event in events:
                unit.events.append((0, name, codec.seal(event, self.vault, command_id)))
                persons.add(getattr(event, "person", ""))
        unit.keys = self.vault.minted(persons)
        self.vault.stored(unit.keys)
        return unit

    def stock(self) -> Iterator[Command]:
        for sku in SKUS[:3]:
            yield given_orders.receive(1_000_000, sku, at=self.tick())

    def life(self) -> Iterator[Command]:
        """One order from its placement on, with everything that may go otherwise."""
        order_id = self.id()
        self.orders.append(order_id)
        yield self.place(order_id)
        chance = self.random.random
        yield from self.handling(order_id)
        if chance() < 0.05:
            yield given_orders.void(order_id)
            return
        if chance() < 0.15:
            yield self.amend(order_id)
        if chance() < 0.1:
            yield given_orders.cancel((1, 1), order_id=order_id)
        yield from self.payments(order_id)
        if chance() < 0.1:
            yield given_orders.override(
                "payment", "overdue", order_id=order_id, sticky=chance() < 0.5
            )
        if chance() < 0.08:
            yield given_orders.cancel(order_id=order_id)
        else:
            yield from self.parcels(order_id)
        if chance() < 0.3:
            yield from self.refunds(order_id)
        if chance() < 0.3:
            yield from self.returns(order_id)

    def handling(self, order_id: str) -> Iterator[Command]:
        """What a rule found is put right or decided, and people find more."""
        chance = self.random.random
        if chance() < 0.1:
            case_id = self.id()
            yield given_orders.open_case(case_id, order_id, blocking=chance() < 0.5)
            yield given_orders.step(case_id, self.id(), order_id, cause="carrier", action="asked")
            yield given_orders.close_case(case_id, order_id)
            if chance() < 0.3:
                yield given_orders.reopen(case_id, order_id)
        if chance() < 0.1:
            hold_id = self.id()
            yield given_orders.hold(self.pick("fraud", "stock"), hold_id, order_id)
            if chance() < 0.8:
                yield given_orders.release(hold_id, order_id)
        for case_id, case in self.order(order_id).cases.cases.items():
            if case.open and case.blocking and chance() < 0.8:
                yield given_orders.close_case(
                    case_id, order_id, cause="operator", action="put right"
                )
        if not self.order(order_id).approved:
            yield (
                given_orders.reject(order_id) if chance() < 0.05 else given_orders.approve(order_id)
            )

    def place(self, order_id: str) -> Command:
        lines = [
            given_orders.line(
                self.random.choice(SKUS),
                self.pick(1, 2, 3, "0.5", "1.333"),
                self.random.randint(0, 20_000),
                category=self.pick("drinks", "tableware"),
                tax_rate_bp=self.pick(0, 600, 1300),
                unit_cost_minor=self.random.randint(1, 9_000),
            )
            for _ in range(self.random.randint(1, 4))
        ]
        for one in lines[1:]:
            if one["tax_rate_bp"] == 0:
                one["exemption"] = {"code": "VATEX-EU-132"}
        channel = self.pick("web", "phone", "store", "marketplace")
        return given_orders.place(
            order_id,
            *lines,
            discounts=self.discounts(lines[0]["unit_price_minor"]),
            at=self.tick(),
            numbers=(order_id[:8] + order_id[-4:],),
            channel=channel,
            total_minor=self.pick(None, 12_345) if channel == "marketplace" else None,
            customer_id=self.random.choice(CUSTOMERS),
            currency=self.random.choice(CURRENCIES),
            prices_include_tax=self.pick(True, False),
            shipping_minor=self.pick(0, 990, 1501),
            shipping_tax_rate_bp=self.pick(0, 600),
            payment_method=self.random.choice(METHODS),
            external_ref=self.pick(None, f"ref-{order_id}"),
        )

    def discounts(self, price_minor: int) -> list[dict[str, Any]]:
        """Of every third order, two by name: less than half a unit of its first line."""
        if price_minor % 3 or price_minor < 20:
            return []
        return [
            {"kind": "coupon", "code": "S", "title": "Spring", "amount_minor": price_minor // 5},
            {"kind": "promotion", "title": "Tea week", "amount_minor": price_minor // 7},
        ]

    def amend(self, order_id: str) -> Command:
        line = self.pick(
            {"line_no": 1, "quantity": self.pick(0, 1, 4)},
            given_orders.line("JAR", 2, 700),
            {"line_no": 1, "unit_price_minor": 333},
        )
        return given_orders.amend(line, order_id=order_id, at=self.tick())

    def payments(self, order_id: str) -> Iterator[Command]:
        owed = self.order(order_id).total_minor
        at_the_door = self.order(order_id).payment_method == "cash_on_delivery"
        if owed <= 0 or self.random.random() < (0.7 if at_the_door else 0.05):
            return
        first = self.pick(owed, owed, owed // 2, owed + 500)
        for amount in (first, owed - first):
            if amount > 0:
                method = self.random.choice(METHODS)
                yield given_money.pay(amount, self.id(), order_id, at=self.tick(), method=method)
        yield from self.mishaps(order_id)

    def mishaps(self, order_id: str) -> Iterator[Command]:
        """Payments that never were, belong elsewhere, or that a bank took back."""
        payments, chance = [*self.order(order_id).payments], self.random.random
        if payments and chance() < 0.1:
            yield given_money.unrecord(payments[-1], order_id)
        if payments and chance() < 0.1:
            to, moved = self.random.choice(self.orders), self.id()
            ids = {"order_id": order_id, "to_payment_id": moved, "at": self.tick()}
            yield given_money.move(payments[0], to, self.pick(None, 100), **ids)
            if chance() < 0.4:  # Refused where nothing was moved.
                yield given_money.unrecord(moved, to)
        if payments and chance() < 0.15:
            name, part = self.id(), self.pick(None, 50)
            yield given_money.dispute(payments[0], part, order_id=order_id, chargeback_id=name)
            for kind in self.pick((LoseChargeback,), (LoseChargeback,), (WinChargeback,), ()):
                yield given_money.money(kind, order_id, self.tick(), chargeback_id=name)
        if chance() < 0.1:
            yield given_money.money(WriteOffDifference, order_id, self.tick())

    def at_the_door(self, order_id: str, parcel_id: str) -> Iterator[Command]:
        """A parcel that was to be paid on delivery: nobody takes it, or its carrier remits."""
        if self.order(order_id).payment_method != "cash_on_delivery":
            return
        if self.random.random() < 0.2:
            of = {"parcel_id": parcel_id, "freight_minor": 600}
            yield given_money.money(RefuseDelivery, order_id, self.tick(), **of)
        owed = self.order(order_id).money.collected_minor
        if owed > 0 and self.random.random() < 0.8:
            told: dict[str, Any] = {"carrier": "sf-express", "reference": "r"}
            told["payment_id"] = self.id()
            told |= {"amount_minor": owed, "fee_minor": owed // 50}
            yield given_money.money(RecordRemittance, order_id, self.tick(), **told)

    def parcels(self, order_id: str) -> Iterator[Command]:
        for line in self.order(order_id).lines.values():
            if line.open <= 0:
                continue
            parcel_id = self.id()
            yield given_orders.pack(
                (line.priced.line_no, str(line.open)), parcel_id=parcel_id, order_id=order_id
            )
            yield given_orders.dispatch(parcel_id, at=self.tick())
            for milestone in ("in_transit", self.pick("customs", "attempt_failed", "exception")):
                estimate = self.pick(None, self.now + timedelta(days=2))
                yield given_orders.scan(milestone, self.tick(), parcel_id, estimated_at=estimate)
            if self.random.random() < 0.8:
                yield given_orders.deliver(parcel_id, at=self.tick(), name="Li")
            else:
                yield from self.brought_back(order_id, parcel_id, line.priced.line_no)
            yield from self.at_the_door(order_id, parcel_id)

    def brought_back(self, order_id: str, parcel_id: str, line_no: int) -> Iterator[Command]:
        """Intercepted, and taken back undelivered; a late scan may tell otherwise."""
        of: dict[str, Any] = {"order_id": order_id, "return_id": self.id()}
        yield given_returns.intercept(parcel_id, order_id=order_id, at=self.tick())
        yield given_orders.scan("returning", self.tick(), parcel_id)
        yield given_returns.send_back((line_no, 1), parcel_id=parcel_id, **of, at=self.tick())
        yield given_returns.approve_return(**of, at=self.tick())
        refund_id = self.id()
        yield given_returns.take_back((line_no, 1), **of, refund_id=refund_id, at=self.tick())
        yield given_orders.scan("delivered", self.tick(), parcel_id)
        yield given_returns.pay_refund(refund_id, order_id, at=self.tick())

    def refunds(self, order_id: str) -> Iterator[Command]:
        refund_id = self.id()
        line = next(iter(self.order(order_id).lines), 1)
        asked = self.pick((self.random.randint(1, 900),), (None, (line, 1)))
        yield given_returns.refund(*asked, refund_id=refund_id, order_id=order_id, at=self.tick())
        yield from self.settlement(order_id, refund_id)

    def settlement(self, order_id: str, refund_id: str) -> Iterator[Command]:
        """What may happen to a refund; refused where it does not fit."""
        of: dict[str, Any] = {"refund_id": refund_id, "order_id": order_id}
        chance = self.random.random
        if chance() < 0.1:
            yield given_returns.ask_evidence(**of, at=self.tick())
            yield given_returns.add_evidence("a" * 64, **of, at=self.tick())
        if chance() < 0.8:
            yield given_returns.approve_refund(**of, at=self.tick())
        if chance() < 0.1:
            yield given_returns.deny_refund(**of, at=self.tick())
        if chance() < 0.8:
            yield given_returns.pay_refund(refund_id, order_id)
        if chance() < 0.15:
            yield given_returns.fail_refund(**of, at=self.tick())
            if chance() < 0.7:
                yield given_returns.retry_refund(**of, at=self.tick())
                yield given_returns.pay_refund(refund_id, order_id)
        if chance() < 0.1:
            amount, compensation_id = self.random.randint(1, 900), self.id()
            yield given_returns.compensate(
                amount, compensation_id, order_id=order_id, at=self.tick()
            )

    def returns(self, order_id: str) -> Iterator[Command]:
        of: dict[str, Any] = {"order_id": order_id, "return_id": self.id()}
        line = next(iter(self.order(order_id).lines), 1)
        reason, refund_id = self.pick("damaged", "changed_mind"), self.id()
        more = {"reason": reason, "evidence": ["b" * 64]}
        if self.random.random() < 0.3:
            pot, new = given_orders.line("POT", 1, 700), self.id()
            ids = {**of, "new_order_id": new, "numbers": (new[:8] + new[-4:],)}
            ids |= {"refund_id": refund_id, "at": self.tick()}
            yield given_returns.exchange(pot, back=((line, 1),), **more, **ids)
            if self.order(new).placed:
                self.orders.append(new)
            yield given_returns.take_back((line, 1), **of, refund_id=self.id(), at=self.tick())
            return
        yield given_returns.send_back((line, 1), **of, **more, at=self.tick())
        if self.random.random() < 0.1:
            yield given_returns.deny_return(**of, at=self.tick())
        yield given_returns.approve_return(**of, at=self.tick())
        condition = self.pick("resell", "scrap")
        back = ((line, 1, condition),)
        yield given_returns.take_back(*back, **of, refund_id=refund_id, at=self.tick())
        yield from self.settlement(order_id, refund_id)
        if self.random.random() < 0.3:
            yield given_returns.close_return(**of, at=self.tick())

    def order(self, order_id: str) -> Order:
        return self.world.order(order_id)

    def feedback(self, order_id: str) -> Unit:
        """Feedback has no command yet; imports bring it."""
        event: Event = FeedbackGiven(
            person=self.order(order_id).person,
            feedback_id=self.id(),
            score=self.random.randint(1, 5),
            comment="很好",
            at=self.tick(),
        )
        stream = desk_names.order_stream(order_id)
        self.world.add(stream, [event])
        return self.unit(Decision({stream: [event]}))

    def units(self, orders: int, at_once: int = 10) -> Iterator[Unit]:
        """The lives of so many orders, `at_once` of them interleaved."""
        lives = [self.stock()]
        begun = 0
        while lives or begun < orders:
            while len(lives) < at_once and begun < orders:
                lives.append(self.life())
                begun += 1
            life = self.random.choice(lives)
            command = next(life, None)
            if command is None:
                lives.remove(life)
                continue
            unit = self.run(command)
            if unit is not None and unit.events:
                yield unit


def write(store: Store, connection: Connection, units: Iterator[Unit]) -> int:
    """Append units in calls of several, no stream twice in one call; the head afterwards."""
    waiting: list[Unit] = []
    taken: set[Any] = set()
    for unit in units:
        if len(waiting) == UNITS_PER_CALL or taken & unit.streams.keys() or unit.keys:
            _append(store, connection, waiting)
            waiting, taken = [], set()
        waiting.append(unit)
        taken |= unit.streams.keys()
    _append(store, connection, waiting)
    return store.head(connection)


def _append(store: Store, connection: Connection, units: list[Unit]) -> None:
    for answer in store.append(connection, units) if units else []:
        assert not answer.missed, answer
