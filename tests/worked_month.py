"""The worked month: reads its fixture, and tells its story to a ledger step by step.

How the files of `fixtures/worked_month` are written stands in their README. Nothing here computes
an amount: every figure is the fixture's own.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5
from zoneinfo import ZoneInfo

from commands.keys import Vault
from commands.planning import Outcome
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt, Command, Rejected
from domain.money import minor_digits

FOLDER = Path(__file__).parent / "fixtures" / "worked_month"
ZONE = ZoneInfo("Asia/Shanghai")
YEAR = 2025
BATCH_COMMANDS = 100
PLACED = {"placed": "place", "drafted": "draft"}  # how an order begins, and the verb of it
COLUMNS = (
    *("total", "tax", "paid", "refunded", "fee", "kept", "credit", "written_off", "unpaid"),
    *("owes", "freight", "compensation"),
)

_LINE = re.compile(r"(\w+) ([\d.]+) × ([\d.]+) at (\d+) %(?: less ([\d.]+))?")
_SHIPPING = re.compile(r"shipping ([\d.]+)(?: at (\d+) %)?")
_DISCOUNT = re.compile(r"discount ([\d.]+)")
_NAMED = re.compile(r"(coupon|promotion|agreement) (\w+) ([\d.]+)")
_UNITS = re.compile(r"(\d+):([\d.]+)")


@dataclass(frozen=True)
class Step:
    """One line of a story: `03-12 10:00 refund R1 other amount=20.00 1:1 by=desk !code`."""

    at: datetime
    of: str  # the order, customer or shop
    verb: str
    words: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    units: tuple[tuple[int, str], ...] = ()
    refused: str | None = None

    def __str__(self) -> str:
        return f"{self.of}: {self.at:%m-%d %H:%M:%S} {self.verb} {' '.join(self.words)}"

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [{"line_no": no, "quantity": quantity} for no, quantity in self.units]


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def moment(day: str, time: str = "00:00") -> datetime:
    """The shop's local `03-12`, `10:00` or `10:00:01`."""
    return datetime.fromisoformat(f"{YEAR}-{day}T{time}").replace(tzinfo=ZONE)


def step(of: str, text: str) -> Step:
    day, time, verb, *rest = text.split()
    words, units, refused = [], [], None
    options: dict[str, str] = {}
    for one in rest:
        if one.startswith("!"):
            refused = one[1:]
        elif pair := _UNITS.fullmatch(one):
            units.append((int(pair[1]), pair[2]))
        elif "=" in one:
            name, _, value = one.partition("=")
            options[name] = value
        else:
            words.append(one)
    return Step(moment(day, time), of, verb, tuple(words), options, tuple(units), refused)


def minor(amount: str, currency: str) -> int:
    """An amount of the fixture in minor units; it has exactly the currency's decimals."""
    value, digits = Decimal(amount), minor_digits(currency)
    assert value.as_tuple().exponent == -digits, f"{amount} {currency} has other than {digits}"
    return int(value.scaleb(digits))


def major(amount_minor: int, currency: str) -> str:
    """As the fixture writes it."""
    return str(Decimal(amount_minor).scaleb(-minor_digits(currency)))


def order_id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"worked-month/{name}"))


def parcel_id(name: str, parcel: str) -> str:
    return order_id(f"{name}/{parcel}")


@dataclass
class Month:
    """The fixture as read: what is told, and what must come out."""

    told: dict[str, Any] = field(default_factory=lambda: read("orders.toml"))
    expected: dict[str, Any] = field(default_factory=lambda: read("expected.toml"))

    @property
    def orders(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.told["orders"]
        return found

    def placing(self, name: str) -> Step:
        """How an order is placed: `03-01 10:00 web alipay shop=depot currency=JPY exclusive`.

        One that is placed in an exchange takes all this from the order that it stands for.
        """
        for how in PLACED:
            if how in self.orders[name]:
                return step(name, self.orders[name][how])
        for other, one in self.orders.items():
            if any(f" for={name}" in text for text in one.get("story", ())):
                return self.placing(other)
        raise AssertionError(f"{name} is not placed")

    def currency(self, name: str) -> str:
        """Of an order; accounts are in CNY."""
        return self.placing(name).options.get("currency", "CNY") if name in self.orders else "CNY"

    def lines(self, name: str) -> dict[str, Any]:
        """Lines, discount and shipping of an order as a placement has them."""
        currency, body = self.currency(name), dict[str, Any](lines=[])
        for text in self.orders[name]["lines"]:
            if found := _LINE.fullmatch(text):
                body["lines"].append(self._line(currency, *found.groups()))
            elif found := _SHIPPING.fullmatch(text):
                rate = int(found[2] or 0) * 100
                body |= {"shipping_minor": minor(found[1], currency), "shipping_tax_rate_bp": rate}
            elif found := _NAMED.fullmatch(text):
                named = {"kind": found[1], "code": found[2], "title": found[2].title()}
                named |= {"amount_minor": minor(found[3], currency)}
                body["discounts"] = [*body.get("discounts", ()), named]
            else:
                found = _DISCOUNT.fullmatch(text)
                assert found, f"{name}: {text}"
                body["discount_minor"] = minor(found[1], currency)
        return body

    def _line(
        self, currency: str, sku: str, quantity: str, price: str, rate: str, less: str | None
    ) -> dict[str, Any]:
        return {
            "sku": sku,
            "name": sku.title(),
            "category": self.told["goods"][sku]["category"],
            "quantity": quantity,
            "unit_price": price,
            "tax_rate_bp": int(rate) * 100,
            "discount_minor": minor(less, currency) if less else 0,
        }

    def steps(self) -> list[Step]:
        """The story in the order of its times; those of one time as the fixture has them."""
        return sorted(self._steps(), key=lambda one: one.at)

    def late(self) -> list[Step]:
        """What is told when the month is closed."""
        return [step(name, t) for name, one in self.orders.items() for t in one.get("late", ())]

    def _steps(self) -> Iterator[Step]:
        for sku, goods in self.told["goods"].items():
            if "received" in goods:
                yield step(sku, f"{goods['on']} received {goods['received']}")
        for shop, one in self.told["shops"].items():
            yield step(shop, f"{one['from']} publish")
        for part in ("accounts", "orders"):
            for name, one in self.told[part].items():
                for how, verb in PLACED.items():
                    if how in one:
                        yield replace(step(name, one[how]), verb=verb)
                yield from (step(name, text) for text in one.get("story", ()))


@dataclass
class Teller:
    """Sends commands with the time that the story gives them, by the one runner of all workers."""

    settings: Settings

    def tell(self, asked: Sequence[tuple[Step, Command]]) -> None:
        """One after the other. Raises AssertionError where the ledger does other than told."""
        runner = BatchRunner(
            Store(self.settings), Vault(self.settings.name, self.settings.master_key_bytes())
        )
        with Store(self.settings).connect() as connection:
            for start in range(0, len(asked), BATCH_COMMANDS):
                batch = asked[start : start + BATCH_COMMANDS]
                sent = [(command, _attempt(command)) for _, command in batch]
                outcomes = runner.run(connection, sent)
                connection.commit()
                for (step, _), outcome in zip(batch, outcomes, strict=True):
                    _as_told(step, outcome)


def _as_told(step: Step, outcome: Outcome | Exception) -> None:
    if step.refused:
        code = outcome.code if isinstance(outcome, Rejected) else "accepted"
        assert code == step.refused, f"{step}: {outcome}"
    else:
        assert isinstance(outcome, Outcome), f"{step}: {outcome!r}"


def _attempt(command: Command) -> Attempt:
    one, actor = uuid4(), getattr(command, "actor", "desk")
    return Attempt(actor, "api", one, one, None, one.hex, b"digest".ljust(32))


# -- the calculations ----------------------------------------------------------------------------


def sums(part: Any) -> Iterator[str]:
    """Every calculation of a part of the fixture: `3 × 33.30 = 99.90`."""
    if isinstance(part, dict):
        yield from part.get("sums", ())
        yield from itertools.chain.from_iterable(sums(one) for one in part.values())


# -- comparing ----------------------------------------------------------------------------------


def by_hand(expect: dict[str, Any], currency: str) -> dict[str, int]:
    """An order's columns in minor units; what is not named is 0."""
    assert set(expect) <= {*COLUMNS, "status"}, expect
    return {name: minor(expect[name], currency) if name in expect else 0 for name in COLUMNS}


def agree(found: Iterable[tuple[str, Any, Any]]) -> None:
    """Raises AssertionError that names every figure which is not as written."""
    wrong = [
        f"{name}: {by_hand} by hand, {by_ledger} in the ledger"
        for name, by_hand, by_ledger in found
        if by_hand != by_ledger
    ]
    assert not wrong, "\n".join(["", *wrong])
