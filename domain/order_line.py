"""A line of an order as last priced, and what has happened to its units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from domain.frozen import replace
from domain.order_facts import Line
from domain.pricing import running_share

ZERO = Decimal(0)


class Reduction(NamedTuple):
    """What an amount given back takes off one line: of so many units, and of each alike."""

    amount_minor: int
    units: Decimal


@dataclass(frozen=True)
class OrderLine:
    """A line as last priced, and what has happened to its units."""

    priced: Line
    gross_minor: int  # what the customer pays for all its units, tax included
    cancelled: Decimal = ZERO
    packed: Decimal = ZERO  # at any time: dispatched and delivered units are among them
    dispatched: Decimal = ZERO
    delivered: Decimal = ZERO
    reserved: Decimal = ZERO  # still promised in stock
    refused: Decimal = ZERO  # at the door; dispatched, never to be delivered
    refunded: Decimal = ZERO
    refunded_minor: int = 0  # as it was given back
    settled_minor: int = 0  # what the refunded units cost at the price in force
    settled_tax_minor: int = 0
    lowered: Decimal = ZERO  # of the refunded: units that were sent, so that their price fell
    advanced: Decimal = ZERO  # of the refunded: units that were still in the house
    relieved: Decimal = ZERO  # of the returned: units that are owed no longer instead of refunded
    relieved_minor: int = 0  # also for parts of units, whose rest is refunded
    restocking_minor: int = 0  # of it, what is owed all the same: the fee for restocking
    relieved_tax_minor: int = 0
    replaced: Decimal = ZERO  # another order stands for them
    returned: Decimal = ZERO  # came back, delivered before or not
    reductions: Mapping[str, Reduction] = field(default_factory=dict)  # by refund_id
    as_sold: Line | None = None  # its share of the order discount is fixed

    @property
    def quantity(self) -> Decimal:
        return self.priced.quantity

    @property
    def gone(self) -> Decimal:
        """Units that nothing is owed for."""
        return self.cancelled + self.refused

    @property
    def live(self) -> Decimal:
        """Units that were or shall be delivered."""
        return self.priced.quantity - self.cancelled

    @property
    def open(self) -> Decimal:
        """Units that may still be packed or cancelled."""
        return self.priced.quantity - self.cancelled - self.packed

    @property
    def in_house(self) -> Decimal:
        """Units that shall still leave the house."""
        return max(ZERO, self.priced.quantity - self.cancelled - self.dispatched)

    @property
    def sent(self) -> Decimal:
        """Units that are out of the house, on their way or with the customer."""
        return self.dispatched - self.refused

    @property
    def given_back(self) -> Decimal:
        """Units that were paid back, or are owed no longer since they came back."""
        return self.refunded + self.relieved

    def left_minor(self, units: Decimal) -> int:
        """What `units` more of it give back, with their discounts and their tax.

        The running share of all units given back less that of those given back before, at the price
        in force: the parts sum to the gross (R4). What was given back by amount is not looked at.
        """
        whole = self.share(self.gross_minor, self.given_back + units)
        return max(0, whole - self.settled_minor - self.relieved_minor)

    def left_tax_minor(self, units: Decimal) -> int:
        whole = self.share(self.priced.tax_minor, self.given_back + units)
        return max(0, whole - self.settled_tax_minor - self.relieved_tax_minor)

    @property
    def owing(self) -> Decimal:
        """Units that something is owed for."""
        less = self.gone + self.lowered + self.advanced + self.relieved
        return max(ZERO, self.priced.quantity - less)

    @property
    def reduced_minor(self) -> int:
        """What was given back by amount of the price of what is still owed."""
        return self.reduced_of(self.owing) if self.reductions else 0

    def reduced_of(self, units: Decimal) -> int:
        """So much of it for these of the units: it goes with them, and never below nothing."""
        off = sum(
            running_share(one.amount_minor, one.units, min(units, one.units))
            for one in self.reductions.values()
        )
        return min(off, self.share(self.gross_minor, units))

    @property
    def owed_minor(self) -> int:
        """The gross less the share of the units that were cancelled or refused at the door."""
        return self.gross_minor - self.share(self.gross_minor, self.gone)

    @property
    def owed_tax_minor(self) -> int:
        return self.priced.tax_minor - self.share(self.priced.tax_minor, self.gone)

    def share(self, whole_minor: int, units: Decimal) -> int:
        """The running share of `units` in an amount for all of them (ADR 0002)."""
        return running_share(whole_minor, self.priced.quantity, units)


def order_line(line: Line, prices_include_tax: bool) -> OrderLine:
    """A line whose units have gone nowhere yet."""
    gross = gross_minor(line, prices_include_tax)
    return OrderLine(line, gross, reserved=line.reserved, as_sold=line)


def repriced(old: OrderLine, line: Line, prices_include_tax: bool) -> OrderLine:
    """The line after an amendment: what happened to its units stays."""
    gross = gross_minor(line, prices_include_tax)
    return replace(old, priced=line, gross_minor=gross, reserved=line.reserved)


def gross_minor(line: Line, prices_include_tax: bool) -> int:
    """What the customer pays for a line: inclusive prices carry their tax in the base."""
    return line.base_minor if prices_include_tax else line.base_minor + line.tax_minor
