"""The hand-written figures of the worked month by themselves: each calculation, and their sums.

Nothing of the ledger is asked here, so a slip of the pen is not mistaken for a fault of it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from math import floor

from tests.worked_month import FOLDER, Month, agree, by_hand, minor, sums


def worked_out(calculation: str) -> str:
    """`3 × 33.30` to as many places as the result has, rounded half up once."""
    terms, _, result = calculation.rpartition(" = ")
    total = Fraction(0)
    for sign, term in re.findall(r"(^|[+-] )([^+-]+)", terms):
        value = Fraction(1)
        for operator, number in re.findall(r"(^|[×/] )([\d.]+)", term.strip()):
            value = value / Fraction(number) if operator == "/ " else value * Fraction(number)
        total += -value if sign == "- " else value
    places = len(result.partition(".")[2])
    return str(Decimal(floor(total * 10**places + Fraction(1, 2))).scaleb(-places))


def test_every_calculation_in_the_fixture_is_right() -> None:
    month = Month()
    written = [*sums(month.told), *sums(month.expected)]
    assert len(written) > 200
    agree((one, one.rpartition(" = ")[2], worked_out(one)) for one in written)


def test_the_table_of_cases_names_every_order() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8").partition("## The cases")[2]
    assert sorted({*re.findall(r"M\d{3}", table)}) == sorted(Month().orders)


def test_the_hand_written_figures_of_each_order_add_up() -> None:
    """covers: A24: paid = kept + fees + credit + refunded; total = kept + fees + written off +
    unpaid.
    """
    month = Month()
    found = []
    for name, order in month.orders.items():
        if "expect" not in order or order["expect"]["status"] == "void":
            continue
        has = by_hand(order["expect"], month.currency(name))
        fees = has["paid"] - has["kept"] - has["credit"] - has["refunded"]
        owed = has["kept"] + fees + has["written_off"] + has["unpaid"]
        found += [(f"{name} total", has["total"], owed), (f"{name} fees", True, fees >= 0)]
        found.append((f"{name} fees kept", True, fees <= has["fee"]))
    agree(found)


def test_the_orders_add_up_to_the_month() -> None:
    """covers: A24"""
    month, names = Month(), ("paid", "refunded", "kept", "credit")
    orders = [
        by_hand(one["expect"], "CNY")
        for name, one in month.orders.items()
        if "expect" in one and month.currency(name) == "CNY" and name not in {"M051", "M066"}
    ]  # voided, and of April
    total = month.expected["orders"]["CNY"]
    found = [(name, minor(total[name], "CNY"), sum(x[name] for x in orders)) for name in names]
    tax = minor(month.expected["sales"]["CNY"]["tax"], "CNY")
    agree([*found, ("tax", tax, sum(one["tax"] for one in orders))])
