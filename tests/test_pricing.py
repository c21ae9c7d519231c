"""The arithmetic of an order: the ten examples of ADR 0002, and what holds for any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import money
from domain.order_facts import Line
from domain.order_line import OrderLine
from domain.placement_commands import PlaceOrder
from domain.pricing import (
    AMOUNT_MINOR_MAX,
    LINES_MAX,
    PricedInput,
    PricedLine,
    PricingProblem,
    Totals,
    price,
    running_share,
    tax_of,
    unit_price_in_minor,
)
from tests.given import World, after
from tests.given_money import pay
from tests.given_orders import amend, place
from tests.given_returns import refund

ADR = Path(__file__).parent.parent / "docs" / "adr" / "0002-arithmetic-of-an-order.md"


def table(first_columns: str) -> Iterator[dict[str, str]]:
    """Rows of the ADR's table that starts with these columns."""
    text = ADR.read_text(encoding="utf-8")
    lines = text[text.index(first_columns) :].splitlines()
    columns, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for row in rows:
        if len(row) != len(columns):
            return
        yield dict(zip(columns, row, strict=True))


ORDERS = list(table("| example | case |"))
LINES = list(table("| example | line |"))
DISCOUNTS = list(table("| example | discount |"))
STEPS = list(table("| example | step |"))


def of(example: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["example"] == example]


def line_of(row: dict[str, str], currency: str) -> PricedInput:
    return PricedInput(
        line_no=int(row["line"]),
        quantity=Decimal(row["quantity"]),
        unit_price=unit_price_in_minor(row["unit price"], currency),
        discount_minor=int(row["line discount"]),
        tax_rate_bp=int(row["bp"]),
    )


def priced(order: dict[str, str]) -> Totals:
    return price(
        [line_of(row, order["currency"]) for row in of(order["example"], LINES)],
        discount_minor=int(order["order discount"]),
        shipping_minor=int(order["shipping"]),
        shipping_tax_rate_bp=int(order["shipping bp"]),
        prices_include_tax=order["prices"] == "inclusive",
    )


def example(number: int) -> Totals:
    return priced(ORDERS[number - 1])


@pytest.mark.parametrize("order", ORDERS, ids=[row["case"] for row in ORDERS])
def test_worked_example(order: dict[str, str]) -> None:
    """covers: A65 (inclusive and exclusive), A66, A78."""
    totals = priced(order)
    for row, line in zip(of(order["example"], LINES), totals.lines, strict=True):
        assert (line.line_no, line.amount_minor) == (int(row["line"]), int(row["amount"]))
        assert (line.order_discount_minor, line.base_minor) == (int(row["share"]), int(row["base"]))
        assert (line.tax_minor, line.net_minor) == (int(row["tax"]), int(row["net"]))
        assert line.gross_minor == int(row["gross"])
    assert totals.shipping_tax_minor == int(order["shipping tax"])
    assert (totals.tax_minor, totals.total_minor) == (int(order["tax"]), int(order["total"]))


def test_there_are_ten_examples() -> None:
    assert [row["example"] for row in ORDERS] == [str(number) for number in range(1, 11)]
    assert {money.minor_digits(row["currency"]) for row in ORDERS} == {0, 2, 3}
    assert {row["prices"] for row in ORDERS} == {"inclusive", "exclusive"}


def exemption(code: str) -> dict[str, Any]:
    return {"exemption": {"code": code, "reason": "by law"}} if code else {}


def placement(order: dict[str, str]) -> PlaceOrder:
    """The example as a shop sends it."""
    lines = [
        {
            "sku": f"SKU-{row['line']}",
            "name": "Tea",
            "category": "tea",
            "quantity": row["quantity"],
            "unit_price": row["unit price"],
            "discount_minor": int(row["line discount"]),
            "tax_rate_bp": int(row["bp"]),
            **exemption(row["exempt"]),
        }
        for row in of(order["example"], LINES)
    ]
    discounts = [
        {
            "kind": row["kind"],
            "code": row["code"] or None,
            "title": "Spring",
            "amount_minor": int(row["amount"]),
        }
        for row in of(order["example"], DISCOUNTS)
    ]
    return place(
        "A",
        *lines,
        currency=order["currency"],
        prices_include_tax=order["prices"] == "inclusive",
        discount_minor=int(order["order discount"]),
        discounts=discounts,
        shipping_minor=int(order["shipping"]),
        shipping_tax_rate_bp=int(order["shipping bp"]),
        total_minor=int(order["total"]),
    )


@pytest.mark.parametrize("order", ORDERS, ids=[row["case"] for row in ORDERS])
def test_placing_comes_to_the_worked_example(order: dict[str, str]) -> None:
    """covers: A65 (exemption), A66, A78: the order keeps what the tables say, discounts by name."""
    state = after(placement(order)).world.order()
    assert (state.total_minor, state.shipping_tax_minor) == (
        int(order["total"]),
        int(order["shipping tax"]),
    )
    for row in of(order["example"], LINES):
        line = state.lines[int(row["line"])]
        assert (line.gross_minor, line.priced.tax_minor) == (int(row["gross"]), int(row["tax"]))
        assert line.priced.order_discount_minor == int(row["share"])
        assert (line.priced.exemption.code if line.priced.exemption else "") == row["exempt"]
    shares = [
        [(line.priced.discount_shares or [])[nth] for line in state.lines.values()]
        for nth, _ in enumerate(state.discounts)
    ]
    told = of(order["example"], DISCOUNTS)
    assert shares == [[int(part) for part in row["of the lines"].split()] for row in told]


@pytest.mark.parametrize("example", sorted({row["example"] for row in STEPS}))
def test_what_comes_later_is_as_in_the_worked_example(example: str) -> None:
    """covers: A66, R4, R13: units of a line amended or refunded, one after the other."""
    order = ORDERS[int(example) - 1]
    world = after(placement(order)).world
    if of(example, STEPS)[0]["change"] == "refund":
        world.run(pay(int(order["total"])))
    for row in of(example, STEPS):
        step(world, row)


def step(world: World, row: dict[str, str]) -> None:
    before, line_no = world.order(), int(row["line"])
    if row["change"] == "amend":
        world.run(amend({"line_no": line_no, "quantity": row["units"]}))
        state = world.order()
        comes_to, total = state.lines[line_no].gross_minor, state.total_minor
    else:
        world.run(refund(None, (line_no, row["units"]), refund_id=f"R{row['step']}"))
        state = world.order()
        comes_to, total = state.refunded_minor - before.refunded_minor, state.refunded_minor
    assert (comes_to, total) == (int(row["comes to"]), int(row["sum"]))


def test_where_every_unit_goes_back_the_sum_is_what_was_paid() -> None:
    """covers: A66: to the cent, as the tables have it."""
    back = {row["example"]: row["sum"] for row in STEPS if row["change"] == "refund"}
    assert back == {example: ORDERS[int(example) - 1]["total"] for example in back}


def refunds(priced_line: PricedLine, steps: list[Decimal]) -> list[int]:
    """What an order gives back for units of a line, step by step."""
    line = sold(priced_line)
    given_back = []
    for units in steps:
        given_back.append(line.left_minor(units))
        line = replace(
            line,
            refunded=line.refunded + units,
            settled_minor=line.settled_minor + given_back[-1],
        )
    return given_back


def sold(line: PricedLine) -> OrderLine:
    priced = Line(
        line_no=line.line_no,
        sku="TEA",
        name="Tea",
        category="tea",
        quantity=line.quantity,
        unit_price_minor="1",
        amount_minor=line.amount_minor,
        base_minor=line.base_minor,
        tax_minor=line.tax_minor,
    )
    return OrderLine(priced, line.gross_minor)


def test_item_refund_takes_discount_share() -> None:
    """covers: R13. Three lines of 10.00 less 1.00: a third comes back as 9.66, not as 10.00."""
    assert refunds(example(3).lines[0], [Decimal(1)]) == [966]


# Any order that can be priced.


@dataclass(frozen=True)
class Order:
    lines: list[PricedInput]
    discount_minor: int
    shipping_minor: int
    shipping_tax_rate_bp: int
    prices_include_tax: bool

    def price(self) -> Totals:
        return price(
            self.lines,
            discount_minor=self.discount_minor,
            shipping_minor=self.shipping_minor,
            shipping_tax_rate_bp=self.shipping_tax_rate_bp,
            prices_include_tax=self.prices_include_tax,
        )


def scaled(largest: int, places: int, smallest: int = 0) -> st.SearchStrategy[Decimal]:
    return st.integers(smallest, largest * 10**places).map(
        lambda number: Decimal(number).scaleb(-places)
    )


QUANTITIES = st.one_of(st.integers(1, 20).map(Decimal), scaled(1000, 3, smallest=1))
UNIT_PRICES = st.one_of(st.integers(0, 20_000).map(Decimal), scaled(10_000, 6))
RATES = st.sampled_from([0, 300, 600, 825, 900, 1000, 1300, 1900, 2100, 10_000])


def rounded(value: Decimal) -> int:
    return money.ratio_half_up(*value.as_integer_ratio())


@st.composite
def order_lines(draw: st.DrawFn) -> list[PricedInput]:
    lines = []
    for line_no in draw(st.lists(st.integers(1, 999), unique=True, max_size=8)):
        quantity, unit_price = draw(QUANTITIES), draw(UNIT_PRICES)
        discount = draw(st.integers(0, rounded(quantity * unit_price)))
        lines.append(PricedInput(line_no, quantity, unit_price, discount, draw(RATES)))
    return lines


@st.composite
def orders(draw: st.DrawFn) -> Order:
    lines = draw(order_lines())
    left = sum(rounded(x.quantity * x.unit_price) - x.discount_minor for x in lines)
    return Order(
        lines=lines,
        discount_minor=draw(st.one_of(st.just(left), st.integers(0, left))),
        shipping_minor=draw(st.integers(0, 10_000)),
        shipping_tax_rate_bp=draw(RATES),
        prices_include_tax=draw(st.booleans()),
    )


@given(orders())
def test_parts_sum_to_the_whole(order: Order) -> None:
    """covers: A66, A65 (inclusive and exclusive)."""
    totals = order.price()
    assert totals.order_discount_minor == order.discount_minor
    assert (
        totals.base_minor
        == totals.amount_minor - totals.discount_minor - totals.order_discount_minor
    )
    assert totals.gross_minor == totals.net_minor + totals.tax_minor - totals.shipping_tax_minor
    on_top = 0 if order.prices_include_tax else totals.tax_minor
    assert totals.total_minor == totals.base_minor + totals.shipping_minor + on_top
    assert [line.line_no for line in totals.lines] == sorted(x.line_no for x in order.lines)


@given(orders())
def test_no_share_is_negative_or_more_than_its_line_has_left(order: Order) -> None:
    """covers: A66."""
    for line in order.price().lines:
        assert 0 <= line.order_discount_minor <= line.amount_minor - line.discount_minor
        assert min(line.base_minor, line.tax_minor, line.net_minor, line.gross_minor) >= 0
        assert line.gross_minor == line.net_minor + line.tax_minor


@given(orders())
def test_order_of_the_lines_in_the_request_does_not_matter(order: Order) -> None:
    turned = Order(
        order.lines[::-1],
        order.discount_minor,
        order.shipping_minor,
        order.shipping_tax_rate_bp,
        order.prices_include_tax,
    )
    assert turned.price() == order.price()


@given(orders())
def test_tax_is_within_half_a_minor_unit_of_its_formula(order: Order) -> None:
    """covers: A65 (inclusive and exclusive)."""
    rates = {line.line_no: line.tax_rate_bp for line in order.lines}
    for line in order.price().lines:
        bp = rates[line.line_no]
        whole = 10_000 + bp if order.prices_include_tax else 10_000
        assert (
            -Fraction(1, 2)
            < line.tax_minor - Fraction(line.base_minor * bp, whole)
            <= Fraction(1, 2)
        )


@given(orders(), st.data())
def test_line_refunds_sum_to_paid(order: Order, data: st.DataObject) -> None:
    """covers: R4, R13, A66. In whatever steps: never past the gross, together exactly the gross."""
    for line in order.price().lines:
        units = int(line.quantity * 1000)
        stops = sorted(data.draw(st.sets(st.integers(1, units), max_size=6)) | {units})
        steps = [stop - done for done, stop in pairwise([0, *stops])]
        shares = refunds(line, [Decimal(step).scaleb(-3) for step in steps])
        assert min(shares) >= 0
        assert sum(shares) == line.gross_minor


@given(st.integers(0, 10**12), QUANTITIES, QUANTITIES)
def test_a_running_share_is_within_half_a_minor_unit_of_its_formula(
    whole: int, of: Decimal, units: Decimal
) -> None:
    """covers: A66. Units that the line does not have are worth nothing more."""
    share = running_share(whole, of, units)
    if units >= of:
        assert share == whole
    else:
        assert -Fraction(1, 2) < share - Fraction(whole) * Fraction(units) / Fraction(of)
        assert share - Fraction(whole) * Fraction(units) / Fraction(of) <= Fraction(1, 2)


@pytest.mark.parametrize("of", ["0", "-1"])
def test_a_line_without_units_has_nothing_to_give_back(of: str) -> None:
    """Imported history holds such lines, and nothing may stop at them."""
    assert running_share(1000, Decimal(of), Decimal(1)) == 0


@given(st.integers(0, 10**9), RATES)
def test_inclusive_and_exclusive_tax_agree(net: int, rate_bp: int) -> None:
    """covers: A65. Tax put on top of a net price is found again inside the gross."""
    tax = tax_of(net, rate_bp, prices_include_tax=False)
    assert tax_of(net + tax, rate_bp, prices_include_tax=True) == tax


@given(
    st.sampled_from(["JPY", "KWD", "CNY"]),
    st.integers(-(10**12), 10**12),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=50),
)
def test_split_of_any_amount_sums_exactly(currency: str, total: int, weights: list[int]) -> None:
    """covers: A78. Exact in the text form of each currency too, whatever its minor unit."""
    parts = money.split(total, weights)
    assert sum(parts) == total
    texts = [Decimal(money.format_minor(part, currency)) for part in parts]
    assert sum(texts) == Decimal(money.format_minor(total, currency))
    if any(weights):
        whole = sum(weights)
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - Fraction(total * weight, whole)) < 1


def test_ties_go_to_the_lower_index_and_worthless_lines_share_evenly() -> None:
    """covers: A66."""
    assert money.split(100, [1, 1, 1]) == [34, 33, 33]
    assert money.split(-100, [1, 1, 1]) == [-34, -33, -33]
    assert money.split(5, [0, 0]) == [3, 2]
    assert money.split(7, [0, 3, 0]) == [0, 7, 0]
    assert money.split(0, []) == []


@pytest.mark.parametrize(("total", "weights"), [(1, []), (1, [2, -1])])
def test_split_refuses_what_cannot_be_split(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"split over nothing|negative"):
        money.split(total, weights)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (12000, "CNY", "120.00"),
        (-5, "CNY", "-0.05"),
        (0, "CNY", "0.00"),
        (120, "JPY", "120"),
        (-120, "JPY", "-120"),
        (1275, "KWD", "1.275"),
        (7, "CLF", "0.0007"),
    ],
)
def test_amounts_are_written_with_the_places_of_their_currency(
    amount: int, currency: str, text: str
) -> None:
    """covers: A78."""
    assert money.format_minor(amount, currency) == text


@pytest.mark.parametrize("code", ["", "cny", "XXX", "XAU", "EURO"])
def test_unknown_currency_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="no ISO 4217 currency"):
        money.minor_digits(code)


@pytest.mark.parametrize(
    ("value", "nearest"),
    [("0.5", 1), ("1.5", 2), ("2.5", 3), ("2.4999", 2), ("-2.5", -3), ("1E+3", 1000)],
)
def test_halves_are_rounded_up(value: str, nearest: int) -> None:
    assert rounded(Decimal(value)) == nearest


def test_no_decimal_context_rounds_a_second_time() -> None:
    with localcontext(prec=3):
        totals = price_of([PricedInput(1, Decimal("999.999"), Decimal("123456789.123456"))])
    assert totals.total_minor == 123_456_665_667  # 999.999 x 123456789.123456 is …666.67


def price_of(lines: list[PricedInput], discount_minor: int = 0, shipping_minor: int = 0) -> Totals:
    return price(
        lines,
        discount_minor=discount_minor,
        shipping_minor=shipping_minor,
        shipping_tax_rate_bp=0,
        prices_include_tax=True,
    )


def line(
    line_no: int = 1,
    quantity: str = "1",
    unit_price: str = "1000",
    discount_minor: int = 0,
    tax_rate_bp: int = 0,
) -> PricedInput:
    return PricedInput(line_no, Decimal(quantity), Decimal(unit_price), discount_minor, tax_rate_bp)


REFUSED: list[tuple[str, list[PricedInput], int, int]] = [
    ("too_many_lines", [line(n) for n in range(LINES_MAX + 1)], 0, 0),
    ("line_no_repeated", [line(1), line(1)], 0, 0),
    ("quantity_out_of_bounds", [line(quantity="0")], 0, 0),
    ("quantity_out_of_bounds", [line(quantity="-1")], 0, 0),
    ("quantity_out_of_bounds", [line(quantity="1000000.001")], 0, 0),
    ("quantity_out_of_bounds", [line(quantity="1.0005")], 0, 0),
    ("quantity_out_of_bounds", [line(quantity="NaN")], 0, 0),
    ("unit_price_out_of_bounds", [line(unit_price="-1")], 0, 0),
    ("unit_price_out_of_bounds", [line(unit_price="1000000000000.1")], 0, 0),
    ("unit_price_out_of_bounds", [line(unit_price="0.0000001")], 0, 0),
    ("tax_rate_out_of_bounds", [line(tax_rate_bp=10_001)], 0, 0),
    ("amount_out_of_bounds", [line(quantity="2", unit_price=str(AMOUNT_MINOR_MAX))], 0, 0),
    ("amount_out_of_bounds", [line()], 0, -1),
    ("amount_out_of_bounds", [line()], -1, 0),
    ("amount_out_of_bounds", [line(discount_minor=-1)], 0, 0),
    ("amount_out_of_bounds", [line()], 0, AMOUNT_MINOR_MAX),
    ("discount_exceeds_line", [line(discount_minor=1001)], 0, 0),
    ("discount_exceeds_order", [line(discount_minor=400)], 601, 0),
    ("discount_exceeds_order", [], 1, 0),
]


@pytest.mark.parametrize(("code", "lines", "discount_minor", "shipping_minor"), REFUSED)
def test_refuses_by_name(
    code: str, lines: list[PricedInput], discount_minor: int, shipping_minor: int
) -> None:
    with pytest.raises(PricingProblem) as refused:
        price_of(lines, discount_minor, shipping_minor)
    assert refused.value.code == code


def test_a_refusal_says_what_would_be_allowed() -> None:
    with pytest.raises(PricingProblem, match="601 asked, 600 is left") as refused:
        price_of([line(discount_minor=400)], 601)
    assert refused.value.facts == {"asked_minor": 601, "allowed_minor": 600}


@pytest.mark.parametrize("text", ["", "1.", "-1", "1e3", "1.1234567", "NaN", "12345678901234"])
def test_malformed_unit_prices_are_refused(text: str) -> None:
    with pytest.raises(PricingProblem, match="unit_price_malformed"):
        unit_price_in_minor(text, "CNY")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("12.345678", "CNY", "1234.5678"), ("0.000001", "JPY", "0.000001"), ("1.5", "KWD", "1500")],
)
def test_unit_prices_come_in_major_units(text: str, currency: str, minor: str) -> None:
    """covers: A78."""
    assert unit_price_in_minor(text, currency) == Decimal(minor)
