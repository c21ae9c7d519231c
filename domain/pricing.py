"""What an order costs: line amounts, discounts, taxes and totals (ADR 0002)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.money import Currency, Minor, minor_digits, ratio_half_up, split
from domain.values import percent, quantity_json

AMOUNT_MINOR_MAX = 10**12  # of a unit price, a line, a discount, a fee and a total
QUANTITY_MAX = 10**6
QUANTITY_PLACES = 3
UNIT_PRICE_PLACES = 6
LINES_MAX = 500
TAX_RATE_BP_MAX = 10_000  # 100 %
_BP = 10_000  # basis points in a whole

_UNIT_PRICE_TEXT = re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?")


class PricingProblem(ValueError):
    """An order that cannot be priced. `code` is stable; `facts` are the numbers and the limit."""

    def __init__(self, code: str, detail: str, **facts: int | str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.facts = facts


@dataclass(frozen=True, slots=True)
class PricedInput:
    """One order line before pricing."""

    line_no: int
    quantity: Decimal  # above 0, at most 3 places
    unit_price: Decimal  # minor units, at most 6 places
    discount_minor: Minor = 0  # for the whole line
    tax_rate_bp: int = 0


@dataclass(frozen=True, slots=True)
class PricedLine:
    """One order line with its amounts, fixed at placement; all in minor units."""

    line_no: int
    quantity: Decimal
    amount_minor: Minor  # quantity x unit price
    discount_minor: Minor  # the line's own
    order_discount_minor: Minor  # its share of the order's
    base_minor: Minor  # amount less both discounts; holds the tax when prices include it
    tax_minor: Minor
    net_minor: Minor  # base without tax
    gross_minor: Minor  # what the customer pays for the line


@dataclass(frozen=True, slots=True)
class Totals:
    """A priced order; all in minor units, sums over the lines unless it says shipping or total."""

    lines: tuple[PricedLine, ...]  # in order of line_no
    amount_minor: Minor
    discount_minor: Minor  # the lines' own
    order_discount_minor: Minor
    base_minor: Minor
    net_minor: Minor
    gross_minor: Minor
    shipping_minor: Minor  # as given
    shipping_tax_minor: Minor
    tax_minor: Minor  # lines and shipping
    total_minor: Minor  # what the customer pays


def unit_price_in_minor(unit_price: str, currency: Currency) -> Decimal:
    """A unit price given as a decimal string in major units, in minor units.

    "12.345678" CNY is 1234.5678, so a price can be finer than the minor unit. An integer
    `unit_price_minor` needs no conversion: Decimal(n). Raises PricingProblem
    `unit_price_malformed`, ValueError for an unknown currency.
    """
    if not _UNIT_PRICE_TEXT.fullmatch(unit_price):
        raise PricingProblem(
            "unit_price_malformed",
            f"{unit_price[:40]!r} is not a number of at most 13 digits and 6 places",
        )
    return Decimal(unit_price).scaleb(minor_digits(currency))


def tax_of(amount_minor: Minor, rate_bp: int, *, prices_include_tax: bool) -> Minor:
    """The tax in, or on top of, an amount: rounded half up once. Rate in basis points."""
    whole = _BP + rate_bp if prices_include_tax else _BP
    return ratio_half_up(amount_minor * rate_bp, whole)


def price(
    lines: Sequence[PricedInput],
    *,
    discount_minor: Minor,
    shipping_minor: Minor,
    shipping_tax_rate_bp: int,
    prices_include_tax: bool,
) -> Totals:
    """Price an order, by the rules and worked examples of ADR 0002.

    Lines come back in order of line_no. No lines cost nothing: that an order needs one is not
    arithmetic. Raises PricingProblem: `too_many_lines`, `line_no_repeated`,
    `quantity_out_of_bounds`, `unit_price_out_of_bounds`, `tax_rate_out_of_bounds`,
    `amount_out_of_bounds`, `discount_exceeds_line`, `discount_exceeds_order`.
    """
    ordered = sorted(lines, key=lambda line: line.line_no)
    _check_line_numbers(ordered)
    amounts = [_line_amount(line) for line in ordered]
    shares = _order_discount_shares(ordered, amounts, discount_minor)
    priced = tuple(
        _priced(line, amount, share, prices_include_tax)
        for line, amount, share in zip(ordered, amounts, shares, strict=True)
    )
    _check_amount("shipping", shipping_minor)
    _check_rate(shipping_tax_rate_bp)
    tax = tax_of(shipping_minor, shipping_tax_rate_bp, prices_include_tax=prices_include_tax)
    return _totals(priced, shipping_minor, tax, prices_include_tax)


def price_line(
    line: PricedInput, *, order_discount_minor: Minor, prices_include_tax: bool
) -> PricedLine:
    """Price one line whose share of the order discount is fixed: an amended or an added one.

    Raises PricingProblem as `price`, and `discount_exceeds_line` when the amount is less than both
    discounts.
    """
    amount = _line_amount(line)
    room = amount - line.discount_minor
    if order_discount_minor > room:
        raise PricingProblem(
            "discount_exceeds_line",
            f"line {line.line_no}: {order_discount_minor} is its share of the order discount, "
            f"{room} is left of its amount",
            line_no=line.line_no,
            asked_minor=order_discount_minor,
            allowed_minor=room,
        )
    return _priced(line, amount, order_discount_minor, prices_include_tax)


def running_share(whole_minor: Minor, of: Decimal, units: Decimal) -> Minor:
    """What the first `units` of `of` are worth of an amount for them all, rounded half up once.

    What more units are worth is the difference of two running shares: taken in any steps, the
    parts sum to the whole. Total, since history is irregular: units beyond `of` are worth no more
    than the whole, and those of a line without units nothing.
    """
    if of <= 0:
        return 0
    part, part_of = min(units, of).as_integer_ratio()
    all_units, all_of = of.as_integer_ratio()
    return ratio_half_up(whole_minor * part * all_of, part_of * all_units)


def _line_amount(line: PricedInput) -> Minor:
    """Quantity x price in integers, so that no decimal context can round a second time."""
    _check_rate(line.tax_rate_bp)
    quantity, unit_price = _thousandths(line.quantity), _millionths(line)
    amount = ratio_half_up(quantity * unit_price, 10 ** (QUANTITY_PLACES + UNIT_PRICE_PLACES))
    _check_amount(f"line {line.line_no}", amount)
    _check_amount(f"discount of line {line.line_no}", line.discount_minor)
    if line.discount_minor > amount:
        raise PricingProblem(
            "discount_exceeds_line",
            f"line {line.line_no}: {line.discount_minor} asked, {amount} is its amount",
            line_no=line.line_no,
            asked_minor=line.discount_minor,
            allowed_minor=amount,
        )
    return amount


def _order_discount_shares(
    lines: Sequence[PricedInput], amounts: Sequence[Minor], discount_minor: Minor
) -> list[Minor]:
    _check_amount("discount", discount_minor)
    room = [amount - line.discount_minor for line, amount in zip(lines, amounts, strict=True)]
    if discount_minor > sum(room):
        raise PricingProblem(
            "discount_exceeds_order",
            f"{discount_minor} asked, {sum(room)} is left after the lines' discounts",
            asked_minor=discount_minor,
            allowed_minor=sum(room),
        )
    if discount_minor == 0:  # As most orders: nothing to share out.
        return [0] * len(lines)
    return _split_within(discount_minor, amounts, room)


def _split_within(total: Minor, weights: Sequence[int], room: Sequence[Minor]) -> list[Minor]:
    """Split by weights, no part above its room; what does not fit goes to the other parts.

    A full part only raises the others' shares, so what is full stays full: at most one round a
    part. Needs total <= sum(room) and room <= weight: then weights of the open parts are not all
    zero while something is left.
    """
    parts = [0] * len(weights)
    open_parts = list(range(len(weights)))
    while open_parts:
        shares = split(total - sum(parts), [weights[i] for i in open_parts])
        wanted = dict(zip(open_parts, shares, strict=True))
        full = [i for i in open_parts if wanted[i] > room[i]]
        for index in full or open_parts:
            parts[index] = min(wanted[index], room[index])
        open_parts = [i for i in open_parts if i not in full] if full else []
    assert sum(parts) == total
    return parts


def _priced(line: PricedInput, amount: Minor, share: Minor, prices_include_tax: bool) -> PricedLine:
    base = amount - line.discount_minor - share
    tax = tax_of(base, line.tax_rate_bp, prices_include_tax=prices_include_tax)
    return PricedLine(
        line_no=line.line_no,
        quantity=line.quantity,
        amount_minor=amount,
        discount_minor=line.discount_minor,
        order_discount_minor=share,
        base_minor=base,
        tax_minor=tax,
        net_minor=base - tax if prices_include_tax else base,
        gross_minor=base if prices_include_tax else base + tax,
    )


def _totals(
    lines: tuple[PricedLine, ...], shipping: Minor, shipping_tax: Minor, prices_include_tax: bool
) -> Totals:
    gross = sum(line.gross_minor for line in lines)
    total = gross + shipping + (0 if prices_include_tax else shipping_tax)
    _check_amount("total", total)
    return Totals(
        lines=lines,
        amount_minor=sum(line.amount_minor for line in lines),
        discount_minor=sum(line.discount_minor for line in lines),
        order_discount_minor=sum(line.order_discount_minor for line in lines),
        base_minor=sum(line.base_minor for line in lines),
        net_minor=sum(line.net_minor for line in lines),
        gross_minor=gross,
        shipping_minor=shipping,
        shipping_tax_minor=shipping_tax,
        tax_minor=sum(line.tax_minor for line in lines) + shipping_tax,
        total_minor=total,
    )


def _thousandths(quantity: Decimal) -> int:
    scaled = _scaled(quantity, QUANTITY_PLACES, QUANTITY_MAX)
    if not scaled:
        raise PricingProblem(
            "quantity_out_of_bounds",
            f"{quantity} is not above 0, at most {QUANTITY_MAX}, with at most 3 places",
        )
    return scaled


def _millionths(line: PricedInput) -> int:
    scaled = _scaled(line.unit_price, UNIT_PRICE_PLACES, AMOUNT_MINOR_MAX)
    if scaled is None:
        raise PricingProblem(
            "unit_price_out_of_bounds",
            f"line {line.line_no}: unit price {line.unit_price:f} is not 0 to {AMOUNT_MINOR_MAX} "
            "minor units with at most 6 places",
            line_no=line.line_no,
            asked_minor=quantity_json(line.unit_price),
            allowed_minor=AMOUNT_MINOR_MAX,
        )
    return scaled


def _scaled(value: Decimal, places: int, largest: int) -> int | None:
    """The value as an integer of its last place; None when outside 0..largest or too fine."""
    if not value.is_finite() or not 0 <= value <= largest:
        return None
    numerator, denominator = value.as_integer_ratio()
    scaled, rest = divmod(numerator * 10**places, denominator)
    return None if rest else scaled


def _check_line_numbers(lines: Sequence[PricedInput]) -> None:
    if len(lines) > LINES_MAX:
        raise PricingProblem("too_many_lines", f"{len(lines)} lines, at most {LINES_MAX}")
    if len({line.line_no for line in lines}) < len(lines):
        raise PricingProblem("line_no_repeated", "two lines have the same number")


def _check_amount(name: str, amount: Minor) -> None:
    if not 0 <= amount <= AMOUNT_MINOR_MAX:
        raise PricingProblem(
            "amount_out_of_bounds",
            f"{name}: {amount} is not 0 to {AMOUNT_MINOR_MAX} minor units",
            of=name,
            asked_minor=amount,
            allowed_minor=AMOUNT_MINOR_MAX,
        )


def _check_rate(rate_bp: int) -> None:
    if not 0 <= rate_bp <= TAX_RATE_BP_MAX:
        raise PricingProblem(
            "tax_rate_out_of_bounds",
            f"{percent(rate_bp)} is not 0 to {percent(TAX_RATE_BP_MAX)}",
        )
