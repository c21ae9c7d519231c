"""The plain counts of orders and accounts: integers in records, and the sums over them.

Amounts are minor units, units of goods thousandths. None of the ledger's own arithmetic is called.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain import order_facts
from domain.account_facts import BalanceGivenBack, BalanceSpent, GiftPart

OF_THE_ACCOUNT = frozenset({"store_credit", "gift_balance"})
EXCHANGE = "exchange"
WITHIN = OF_THE_ACCOUNT | {EXCHANGE}  # methods whose money never left the house


def milli(units: Decimal) -> int:
    return int(units * 1000)


def half_up(amount: int, of: int) -> int:
    return (2 * amount + of) // (2 * of)  # amounts are never below 0


def share(whole: int, of: int, units: int) -> int:
    return half_up(whole * min(units, of), of) if of > 0 else 0


@dataclass
class Line:
    sku: str
    quantity: int
    gross: int
    reserved: int
    short: bool = False  # not all of it could be promised when it was sold
    cancelled: int = 0
    refused: int = 0
    packed: int = 0
    dispatched: int = 0
    delivered: int = 0
    returned: int = 0
    changed: bool = False  # in price or units, after some of it was refunded
    replaced: int = 0  # another order stands for them

    def owed(self) -> int:
        return self.gross - share(self.gross, self.quantity, self.cancelled + self.refused)


@dataclass
class Payment:
    method: str
    amount: int
    authorisation: str | None = None
    settles: int = 0  # of it, what a carrier had collected
    gone: int = 0  # voided, moved away or lost to a bank
    moved: int = 0
    disputed: int = 0
    voided: bool = False

    def here(self) -> int:
        return self.amount - self.gone


@dataclass
class Refund:
    amount: int
    fee: int
    lines: dict[int, tuple[int, int]]  # units and worth
    payments: dict[str, int]
    return_id: str | None
    counts: bool = True
    paid: int = 0


@dataclass
class Order:
    """One order. `at`: its placement; `rules`: the policy in force then."""

    customer: str
    method: str
    inclusive: bool
    at: datetime
    rules: dict[str, Any]
    lines: dict[int, Line]
    shipping: int
    shipping_gone: bool = False
    fees: list[int] = field(default_factory=list)
    late: dict[Any, int] = field(default_factory=dict)  # by day
    waived: int = 0
    written_off: int = 0
    receivable: int = 0  # what carriers collected at the door and have not remitted
    held: dict[str, int] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    came_back: dict[tuple[str, int], int] = field(default_factory=dict)  # return, line -> units
    invoiced: dict[str, int] = field(default_factory=dict)  # by number, less what was credited
    restocking: int = 0  # fees for goods that came back unpaid
    shipping_relieved: int = 0  # not owed, since they came back for the seller's fault
    void: bool = False

    def late_fees(self) -> int:
        return sum(self.late.values()) - self.waived

    def all_fees(self) -> int:
        return sum(self.fees) + self.late_fees()

    def total(self) -> int:
        shipping = 0 if self.shipping_gone else self.shipping
        return sum(line.owed() for line in self.lines.values()) + shipping + self.all_fees()

    def owed(self) -> tuple[int, int]:
        """At least and at most: the total, less what units that were given back or came back cost
        at today's prices, and what was given back by amount, as far as it was for that; and what
        was kept of refunds. A cent for the rounding of each. Of a voided order nothing, whatever
        its total shows.
        """
        back = sum(share(one.gross, one.quantity, one.returned) for one in self.lines.values())
        refunds = self.counting()
        less = sum(self.worth_now(one) for one in refunds) + back
        rounded = sum(len(one.lines) for one in refunds if any(map(self.is_changed, one.lines)))
        least = max(self.all_fees(), self.total() - less - rounded - self.shipping_relieved)
        return (0, 0) if self.void else (least, self.total() + self.kept_of_refunds())

    def is_changed(self, line_no: int) -> bool:
        """Whether its units may take off something else by now than was given back for them."""
        line = self.lines.get(line_no)
        return line is None or line.changed or any(not x.lines for x in self.refunds.values())

    def worth_now(self, refund: Refund) -> int:
        """At most what it may take off: as it was, or at the prices in force."""
        goods, beside = 0, refund.amount
        for no, (units, worth) in refund.lines.items():
            line, beside = self.lines.get(no), beside - worth
            if line is None or not self.is_changed(no):
                goods += worth
            else:
                goods += share(line.gross, line.quantity, units)
        return goods + beside

    def kept_of_refunds(self) -> int:
        """And of goods that came back unpaid."""
        return self.restocking + sum(refund.fee for refund in self.counting())

    def paid(self) -> int:
        return sum(payment.here() for payment in self.payments.values())

    def lost(self) -> int:
        return sum(p.gone - p.moved for p in self.payments.values() if not p.voided)

    def counting(self) -> list[Refund]:
        return [refund for refund in self.refunds.values() if refund.counts]

    def refunded(self) -> int:
        return sum(refund.amount for refund in self.counting())

    def net(self) -> int:
        return self.paid() - self.refunded()

    def given_back(self, payment_id: str) -> int:
        return sum(refund.payments.get(payment_id, 0) for refund in self.counting())

    def refunded_line(self, line_no: int) -> tuple[int, int]:
        parts = [refund.lines.get(line_no, (0, 0)) for refund in self.counting()]
        return sum(units for units, _ in parts), sum(worth for _, worth in parts)

    def kept_back(self) -> int:
        """What no refund may touch: fees, as far as they were paid, and what a bank asks back."""
        restocking = sum(refund.fee for refund in self.counting())
        goods = self.total() + self.kept_of_refunds() - self.late_fees()
        late = min(self.late_fees(), max(0, self.net() - goods))
        disputed = sum(
            min(payment.disputed, max(0, payment.here() - self.given_back(name)))
            for name, payment in self.payments.items()
        )
        return sum(self.fees) + late + restocking + disputed

    def at_hand(self) -> int:
        """Money that came to it and that nobody has got back yet."""
        return self.paid() - sum(refund.paid for refund in self.refunds.values())


@dataclass
class Account:
    credit: int = 0
    gifts: dict[str, int] = field(default_factory=dict)  # what is left of each
    limit: int = 0
    ends: dict[str, datetime] = field(default_factory=dict)
    # order and payment -> what it took of each gift and of the credit (""), not given back yet
    spent: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    granted: int = 0  # by hand, gifts among it, less what has expired

    def spend(self, fact: BalanceSpent) -> None:
        parts = {part.gift_id: part.amount_minor for part in fact.gifts}
        self.spent[fact.order_id, fact.payment_id] = Counter(parts | {"": fact.credit_minor})
        self.add(-fact.credit_minor, fact.gifts, -1)
        self.earliest_first(set(parts), fact.at)

    def give_back(self, fact: BalanceGivenBack) -> None:
        """To where it came from; of a gift that has ended since it becomes credit."""
        lapsed = sum(part.amount_minor for part in fact.lapsed)
        parts = [("", fact.credit_minor - lapsed)]
        parts += [(part.gift_id, part.amount_minor) for part in (*fact.gifts, *fact.lapsed)]
        spent = self.spent[fact.order_id, fact.payment_id]
        spent.subtract(dict(parts))
        assert min(spent.values()) >= 0
        assert all(fact.at < self.ends[part.gift_id] for part in fact.gifts)
        self.add(fact.credit_minor, fact.gifts, 1)

    def add(self, credit: int, gifts: list[GiftPart], sign: int) -> None:
        self.credit += credit
        for part in gifts:
            self.gifts[part.gift_id] += sign * part.amount_minor

    def earliest_first(self, touched: set[str], at: datetime) -> None:
        """No gift was taken of while one that ends before it had something left."""
        last = max((self.ends[name] for name in touched), default=at)
        assert all(at < self.ends[name] for name in touched)
        for name, left in self.gifts.items():
            assert not left or not at < self.ends[name] < last

    def liability(self) -> int:
        return self.credit + sum(self.gifts.values())


def tax_of(amount: int, rate_bp: int, included: bool) -> int:
    return half_up(amount * rate_bp, 10_000 + (rate_bp if included else 0))


def line_of(one: order_facts.Line, included: bool) -> Line:
    """Priced once more: quantity by price, less both discounts, and its tax."""
    price = int(Decimal(one.unit_price_minor) * 10**6)
    amount = half_up(milli(one.quantity) * price, 10**9)
    base = amount - one.discount_minor - one.order_discount_minor
    tax = tax_of(base, one.tax_rate_bp, included)
    assert (one.amount_minor, one.base_minor, one.tax_minor) == (amount, base, tax)
    gross = base if included else base + tax
    return Line(one.sku, milli(one.quantity), gross, milli(one.reserved))
