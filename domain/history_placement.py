"""The placement of an imported order: its lines priced as the desk would, or as they were found."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from domain import discount, pricing
from domain.customer import person_of
from domain.history_record import (
    FoundAddress,
    FoundExemption,
    FoundLine,
    FoundOrder,
    Paid,
    Record,
)
from domain.money import ratio_half_up, split
from domain.order_facts import Discount, Exemption, Line, OrderPlaced
from domain.order_line import ZERO
from domain.order_lines import CATEGORY_UNKNOWN, price_text
from domain.order_payment import payer_of
from domain.pricing import PricedInput, PricingProblem
from domain.values import UNKNOWN, Address

DIFFERENCE = "difference"  # sku and category of the line that makes up for a total of theirs


def placed(record: Record, order_id: str, order_number: str, irregular: set[str]) -> OrderPlaced:
    """The placement of a record; adds the kinds of what it notices to `irregular`."""
    order = record.order
    lines, tax, shipping_tax = _lines(order, irregular)
    lines = _exempt(_by_discount(lines, order, irregular), order, irregular)
    total = _sum(order, lines, shipping_tax)
    if order.total_minor not in {None, total}:
        assert order.total_minor is not None
        irregular.add("total_differs")
        lines.append(_difference(len(lines) + 1, order.total_minor - total))
        total = order.total_minor
    customer = customer_of(order, order_id)
    address = _address(order.shipping_address)
    return OrderPlaced(
        order_id=order_id,
        number=order_number,
        shop=order.shop,
        channel=order.channel,
        customer_id=customer,
        person=person_of(customer),
        currency=order.currency,
        lines=lines,
        prices_include_tax=order.prices_include_tax,
        discount_minor=order.order_discount_minor,
        discounts=_named(order) or None,
        shipping_minor=order.shipping_minor,
        shipping_tax_rate_bp=order.shipping_tax_rate_bp,
        shipping_tax_minor=shipping_tax,
        tax_minor=tax,
        total_minor=total,
        exemption=_exemption(order.exemption),
        exemption_certificate=order.exemption_certificate,
        contact=order.contact,
        shipping_address=address,
        billing_address=_address(order.billing_address),
        payment_method=order.payment_method or _first_method(record),
        promised_at=order.promised_at,
        external_ref=order.external_ref,
        note=order.note,
        region=_region(order.shipping_address),
        at=order.placed_at,
    )


def customer_of(order: FoundOrder, order_id: str) -> str:
    """An order without customer is its own."""
    return order.customer_id or payer_of(order_id)


def _first_method(record: Record) -> str:
    return next((fact.method for fact in record.facts if isinstance(fact, Paid)), UNKNOWN)


def _address(found: FoundAddress | None) -> Address | None:
    return None if found is None else Address.model_construct(**dict(found))


def _region(found: FoundAddress | None) -> str | None:
    """For figures, as a placement at the desk has it."""
    if found is None:
        return None
    return f"{found.country}-{found.region}" if found.region else found.country


def _lines(order: FoundOrder, irregular: set[str]) -> tuple[list[Line], int, int]:
    """Lines, the tax of all, the tax of the shipping."""
    prices = [_unit_price(line, order, irregular) for line in order.lines]
    try:
        return _priced(order, prices)
    except PricingProblem as problem:
        irregular.add(problem.code)
        return _as_found(order, prices)


def _unit_price(line: FoundLine, order: FoundOrder, irregular: set[str]) -> Decimal:
    if line.unit_price_minor is not None:
        return Decimal(line.unit_price_minor)
    if line.unit_price is None:
        irregular.add("price_missing")
        return ZERO
    sign = -1 if line.unit_price.startswith("-") else 1
    return sign * pricing.unit_price_in_minor(line.unit_price.lstrip("-"), order.currency)


def _priced(order: FoundOrder, prices: Sequence[Decimal]) -> tuple[list[Line], int, int]:
    """By the arithmetic of the desk. Raises PricingProblem for what it would refuse."""
    totals = pricing.price(
        [
            PricedInput(number, line.quantity, price, line.discount_minor, line.tax_rate_bp)
            for number, (line, price) in enumerate(zip(order.lines, prices, strict=True), start=1)
        ],
        discount_minor=order.order_discount_minor,
        shipping_minor=order.shipping_minor,
        shipping_tax_rate_bp=order.shipping_tax_rate_bp,
        prices_include_tax=order.prices_include_tax,
    )
    lines = [
        _line(
            found, price, line.line_no, line.amount_minor, line.order_discount_minor, line.tax_minor
        )
        for found, price, line in zip(order.lines, prices, totals.lines, strict=True)
    ]
    return lines, totals.tax_minor, totals.shipping_tax_minor


def _as_found(order: FoundOrder, prices: Sequence[Decimal]) -> tuple[list[Line], int, int]:
    """The same arithmetic without bounds: nothing, or less than nothing, is kept as it is."""
    amounts = [
        _exact(line.quantity, price) for line, price in zip(order.lines, prices, strict=True)
    ]
    weights = [max(0, amount) for amount in amounts]
    shares = split(order.order_discount_minor, weights) if weights else []
    lines: list[Line] = []
    for found, price, amount, share in zip(order.lines, prices, amounts, shares, strict=True):
        tax = _tax(amount - found.discount_minor - share, found.tax_rate_bp, order)
        lines.append(_line(found, price, len(lines) + 1, amount, share, tax))
    shipping_tax = _tax(order.shipping_minor, order.shipping_tax_rate_bp, order)
    return lines, sum(line.tax_minor for line in lines) + shipping_tax, shipping_tax


def _named(order: FoundOrder) -> list[Discount]:
    return [Discount(**dict(one)) for one in order.discounts]


def _exemption(found: FoundExemption | None) -> Exemption | None:
    return None if found is None else Exemption(code=found.code, reason=found.reason)


def _by_discount(lines: list[Line], order: FoundOrder, irregular: set[str]) -> list[Line]:
    """What each named discount gave, where names and sums agree; the names are kept anyway."""
    named = _named(order)
    line_shares = [line.order_discount_minor for line in lines]
    if not named:
        return lines
    amounts = [one.amount_minor for one in named]
    if sum(amounts) != sum(line_shares) or min([*amounts, *line_shares]) < 0:
        irregular.add("discounts_differ")
        return lines
    shares = discount.shares(named, line_shares)
    return [
        line.model_copy(update={"discount_shares": parts})
        for line, parts in zip(lines, shares, strict=True)
    ]


def _exempt(lines: list[Line], order: FoundOrder, irregular: set[str]) -> list[Line]:
    """A line that was taxed was not exempt, whatever the source says."""
    made = []
    for line, found in zip(lines, order.lines, strict=True):
        why = _exemption(found.exemption or order.exemption)
        if why is not None and line.tax_rate_bp:
            irregular.add("exempt_but_taxed")
            why = None
        made.append(line if why is None else line.model_copy(update={"exemption": why}))
    return made


def _exact(quantity: Decimal, price: Decimal) -> int:
    (units, of_units), (minor, of_minor) = quantity.as_integer_ratio(), price.as_integer_ratio()
    return ratio_half_up(units * minor, of_units * of_minor)


def _tax(base_minor: int, rate_bp: int, order: FoundOrder) -> int:
    return pricing.tax_of(base_minor, rate_bp, prices_include_tax=order.prices_include_tax)


def _line(
    found: FoundLine, price: Decimal, line_no: int, amount: int, share: int, tax: int
) -> Line:
    return Line.model_construct(
        line_no=line_no,
        sku=found.sku,
        name=found.name or found.sku,
        category=found.category or CATEGORY_UNKNOWN,
        unit=found.unit,
        quantity=found.quantity,
        unit_price_minor=price_text(price),
        unit_cost_minor=found.unit_cost_minor,
        tax_rate_bp=found.tax_rate_bp,
        amount_minor=amount,
        discount_minor=found.discount_minor,
        order_discount_minor=share,
        base_minor=amount - found.discount_minor - share,
        tax_minor=tax,
        location=UNKNOWN if found.location_unclear else found.location,
    )


def _sum(order: FoundOrder, lines: Sequence[Line], shipping_tax: int) -> int:
    total = sum(line.base_minor for line in lines) + order.shipping_minor
    if order.prices_include_tax:
        return total
    return total + sum(line.tax_minor for line in lines) + shipping_tax


def _difference(line_no: int, amount: int) -> Line:
    """Their total is kept, and the difference to its parts is a line of its own, of no units."""
    return Line(
        line_no=line_no,
        sku=DIFFERENCE,
        name="Difference to the total of the source",
        category=DIFFERENCE,
        quantity=ZERO,
        unit_price_minor=str(amount),
        amount_minor=amount,
        base_minor=amount,
        tax_minor=0,
    )
