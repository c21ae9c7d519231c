"""Lines of an order as they are priced at placement and changed by an amendment.

What was fixed at placement stays: a line's share of the order discount, its tax rate or exemption,
its sku and location. Another line's amendment or cancellation moves none of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from domain import discount, exemption
from domain.message import Rejected
from domain.money import Currency, minor_digits, shown_minor, split
from domain.order_facts import Discount, Exemption, Line
from domain.order_line import ZERO, OrderLine, gross_minor, order_line, repriced
from domain.order_state import Order, OrderParcel
from domain.placement_commands import AmendLineBody, AmendOrder, LineBody, PlaceOrder
from domain.pricing import (
    AMOUNT_MINOR_MAX,
    LINES_MAX,
    PricedInput,
    PricedLine,
    PricingProblem,
    Totals,
    price,
    price_line,
    unit_price_in_minor,
)
from domain.values import percent, quantity_json

Kept = Container[tuple[str, str]]  # (sku, location) pairs that have a stock record

CATEGORY_UNKNOWN = "uncategorised"


@dataclass(frozen=True, slots=True)
class Amendment:
    """The lines that differ, before and after, and what the order comes to."""

    before: list[Line]
    after: list[Line]  # without the removed
    tax_minor: int
    total_minor: int


@contextmanager
def pricing_rules(currency: str) -> Iterator[None]:
    """What cannot be priced is refused under the code of the pricing rule."""
    try:
        yield
    except PricingProblem as problem:
        told = _told(problem, currency)
        raise Rejected(problem.code, told, **problem.facts) from problem


def _told(problem: PricingProblem, currency: str) -> str:
    """With amounts as people read them: the arithmetic knows no currency."""
    facts: Mapping[str, Any] = problem.facts
    if "allowed_minor" not in facts:
        return problem.detail
    most = shown_minor(facts["allowed_minor"], currency)
    line = f"line {facts['line_no']}: " if "line_no" in facts else ""
    match problem.code:
        case "unit_price_out_of_bounds":
            price = Decimal(facts["asked_minor"]).scaleb(-minor_digits(currency))
            return f"{line}a unit price of {price:f}, {most} is the most"
        case "amount_out_of_bounds":
            asked = shown_minor(facts["asked_minor"], currency)
            return f"{facts['of']}: {asked}, {most} is the most"
        case _:
            asked = shown_minor(facts["asked_minor"], currency)
            return f"{line}{asked} asked as discount, {most} can be"


def priced_order(command: PlaceOrder, kept: Kept) -> tuple[Totals, list[Line]]:
    """Totals and lines of an order to place, numbered from 1. Raises Rejected."""
    prices = [_unit_price(line, command.currency) for line in command.lines]
    with pricing_rules(command.currency):
        totals = price(
            [
                _priced_input(number, line.quantity, price, line.discount_minor, line.tax_rate_bp)
                for number, (line, price) in enumerate(
                    zip(command.lines, prices, strict=True), start=1
                )
            ],
            discount_minor=command.order_discount_minor,
            shipping_minor=command.shipping_minor,
            shipping_tax_rate_bp=command.shipping_tax_rate_bp,
            prices_include_tax=command.prices_include_tax,
        )
    lines = [
        _line(body, price, amounts, kept)
        for body, price, amounts in zip(command.lines, prices, totals.lines, strict=True)
    ]
    if command.exemption is not None:
        lines = _exempt(lines, exemption.fact(command.exemption))
    if command.discounts:
        lines = _by_discount(lines, discount.facts(command.discounts))
    return totals, lines


def require_same_total(sent: int | None, computed: int, currency: Currency) -> None:
    """Raises Rejected. `sent`: what the sender says that it comes to, if anything."""
    if sent is not None and sent != computed:
        raise Rejected(
            "total_differs",
            f"{shown_minor(sent, currency)} sent, {shown_minor(computed, currency)} computed",
            sent_minor=sent,
            total_minor=computed,
        )


def _exempt(lines: list[Line], by: Exemption | None) -> list[Line]:
    """By the order's exemption where a line has none of its own."""
    return [line if line.exemption else line.model_copy(update={"exemption": by}) for line in lines]


def _by_discount(lines: list[Line], discounts: list[Discount]) -> list[Line]:
    shares = discount.shares(discounts, [line.order_discount_minor for line in lines])
    return [
        line.model_copy(update={"discount_shares": parts})
        for line, parts in zip(lines, shares, strict=True)
    ]


def amended(command: AmendOrder, state: Order, kept: Kept) -> Amendment | None:
    """What the command changes of the lines; None when nothing. Raises Rejected."""
    lines = dict(state.lines)
    next_line_no = state.last_line_no + 1
    with pricing_rules(state.currency):
        for item in command.lines or []:
            if item.line_no is None:
                added = _added(item, next_line_no, state, kept)
                lines[next_line_no] = order_line(added, state.prices_include_tax)
                next_line_no += 1
            elif item.quantity == 0:
                _require_removable(known_line(state, item.line_no))
                del lines[item.line_no]
            else:
                old = known_line(state, item.line_no)
                lines[item.line_no] = repriced(
                    old, _changed(item, old, state, kept), state.prices_include_tax
                )
    return _difference(state, lines)


def _difference(state: Order, lines: dict[int, OrderLine]) -> Amendment | None:
    touched = [no for no in {**state.lines, **lines} if state.lines.get(no) != lines.get(no)]
    if not touched:
        return None
    if not lines:
        raise Rejected("order_needs_a_line", "cancel the order instead of removing all its lines")
    if len(lines) > LINES_MAX:
        raise Rejected("too_many_lines", f"{len(lines)} lines, at most {LINES_MAX}")
    owed_before = sum(line.owed_minor for line in state.lines.values())
    total = state.total_minor - owed_before + sum(line.owed_minor for line in lines.values())
    if total > AMOUNT_MINOR_MAX:
        most = shown_minor(AMOUNT_MINOR_MAX, state.currency)
        raise Rejected(
            "amount_out_of_bounds",
            f"the total: {shown_minor(total, state.currency)}, {most} is the most",
            asked_minor=total,
            allowed_minor=AMOUNT_MINOR_MAX,
        )
    shipping_tax = 0 if state.shipping_cancelled else state.shipping_tax_minor
    return Amendment(
        before=[_as_line(state.lines[no]) for no in touched if no in state.lines],
        after=[_as_line(lines[no]) for no in touched if no in lines],
        tax_minor=sum(line.owed_tax_minor for line in lines.values()) + shipping_tax,
        total_minor=total,
    )


def _as_line(line: OrderLine) -> Line:
    return line.priced.model_copy(update={"reserved": line.reserved})


def known_line(state: Order, line_no: int) -> OrderLine:
    """Raises Rejected `unknown_line`."""
    line = state.lines.get(line_no)
    if line is None:
        known = sorted(state.lines)
        raise Rejected(
            "unknown_line", f"line {line_no}; the order has {known}", line_no=line_no, lines=known
        )
    return line


def known_parcel(parcel_id: str, state: Order) -> OrderParcel:
    """Raises Rejected `parcel_not_found`."""
    parcel = state.parcels.get(parcel_id)
    if parcel is None:
        raise Rejected("parcel_not_found", parcel_id=parcel_id)
    return parcel


def _require_removable(line: OrderLine) -> None:
    if line.packed or line.cancelled or line.refunded:
        _refuse_to_shrink(line, ZERO)


def _refuse_to_shrink(line: OrderLine, asked: Decimal) -> None:
    least = _least_quantity(line)
    raise Rejected(
        "line_cannot_shrink",
        f"line {line.priced.line_no}: {quantity_json(asked)} asked, at least "
        f"{quantity_json(least)} are packed, cancelled or refunded",
        line_no=line.priced.line_no,
        asked=quantity_json(asked),
        least=quantity_json(least),
    )


def _least_quantity(line: OrderLine) -> Decimal:
    return max(line.packed + line.cancelled, line.refunded)


def _changed(item: AmendLineBody, old: OrderLine, state: Order, kept: Kept) -> Line:
    _require_fixed_parts(item, old.priced)
    quantity = old.quantity if item.quantity is None else item.quantity
    if quantity < min(_least_quantity(old), old.quantity):
        _refuse_to_shrink(old, quantity)
    before = old.priced
    price = _amended_price(item, state.currency, Decimal(before.unit_price_minor))
    discount = before.discount_minor if item.discount_minor is None else item.discount_minor
    asked = _priced_input(before.line_no, quantity, price, discount, before.tax_rate_bp)
    amounts = _at_its_share(asked, old.as_sold or before, state.prices_include_tax)
    cost = before.unit_cost_minor if item.unit_cost_minor is None else item.unit_cost_minor
    return before.model_copy(
        update={
            "name": item.name or before.name,
            "category": item.category or before.category,
            "unit": item.unit or before.unit,
            "unit_price_minor": price_text(price),
            "unit_cost_minor": cost,
            "reserved": _reserved(old, quantity, kept),
            "discount_shares": _named(amounts.order_discount_minor, old.as_sold or before),
            **_amounts(amounts),
        }
    )


def _at_its_share(asked: PricedInput, sold: Line, prices_include_tax: bool) -> PricedLine:
    """With its share of the order discount as it was sold, as far as the line costs so much: what
    does not fit goes to no other line, and is there again once the line costs more.
    """
    whole = price_line(asked, order_discount_minor=0, prices_include_tax=prices_include_tax)
    share = min(sold.order_discount_minor, whole.base_minor)
    return price_line(asked, order_discount_minor=share, prices_include_tax=prices_include_tax)


def _named(share_minor: int, sold: Line) -> list[int] | None:
    """What each of the order's discounts gave of a line's share."""
    if sold.discount_shares is None or share_minor == sold.order_discount_minor:
        return sold.discount_shares
    return split(share_minor, sold.discount_shares)


def _reserved(old: OrderLine, quantity: Decimal, kept: Kept) -> Decimal:
    """Units to be promised from now on. Only a change of quantity touches stock."""
    rise = quantity - old.quantity
    if rise > 0:
        stocked = (old.priced.sku, old.priced.location) in kept
        return old.reserved + (rise if stocked else ZERO)
    if rise < 0:
        return min(old.reserved, quantity - old.cancelled - old.dispatched)
    return old.reserved


def _require_fixed_parts(item: AmendLineBody, old: Line) -> None:
    if item.tax_rate_bp not in {None, old.tax_rate_bp}:
        raise Rejected(
            "tax_rate_is_frozen",
            f"line {old.line_no}: the rate of {percent(old.tax_rate_bp)} was fixed when sold",
            line_no=old.line_no,
            tax_rate_bp=old.tax_rate_bp,
        )
    if item.exemption is not None and exemption.fact(item.exemption) != old.exemption:
        raise Rejected(
            "exemption_is_frozen",
            f"line {old.line_no}: whether it is exempt from tax was fixed when it was sold",
            line_no=old.line_no,
            exemption=old.exemption and old.exemption.code,
        )
    if item.sku not in {None, old.sku} or item.location not in {None, old.location}:
        raise Rejected(
            "line_is_another_item",
            f"line {old.line_no} is {old.sku} at {old.location}: remove it and add a line",
            line_no=old.line_no,
            sku=old.sku,
            location=old.location,
        )


def _added(item: AmendLineBody, line_no: int, state: Order, kept: Kept) -> Line:
    """A new line; it has no share of the order discount, which was given to the first ones."""
    assert item.sku is not None
    assert item.name is not None
    assert item.quantity is not None
    _require_no_rate(item, line_no, state)
    price = _amended_price(item, state.currency, None)
    amounts = price_line(
        _priced_input(
            line_no, item.quantity, price, item.discount_minor or 0, item.tax_rate_bp or 0
        ),
        order_discount_minor=0,
        prices_include_tax=state.prices_include_tax,
    )
    body = LineBody(
        sku=item.sku,
        name=item.name,
        category=item.category or CATEGORY_UNKNOWN,
        quantity=item.quantity,
        unit=item.unit or "pcs",
        unit_price_minor=item.unit_price_minor,
        unit_price=item.unit_price,
        unit_cost_minor=item.unit_cost_minor,
        tax_rate_bp=item.tax_rate_bp or 0,
        exemption=item.exemption,
        location=item.location or "main",
    )
    line = _line(body, price, amounts, kept)
    return line if state.exemption is None else _exempt([line], state.exemption)[0]


def _require_no_rate(item: AmendLineBody, line_no: int, state: Order) -> None:
    if state.exemption is not None and item.tax_rate_bp:
        raise Rejected(
            "line_is_exempt",
            f"line {line_no}: a tax rate of {percent(item.tax_rate_bp)} asked, none allowed: the "
            f"order is exempt from tax ({state.exemption.code})",
            line_no=line_no,
            asked_bp=item.tax_rate_bp,
            allowed_bp=0,
        )


def _amended_price(item: AmendLineBody, currency: Currency, before: Decimal | None) -> Decimal:
    if item.unit_price is not None:
        return unit_price_in_minor(item.unit_price, currency)
    if item.unit_price_minor is not None:
        return Decimal(item.unit_price_minor)
    assert before is not None
    return before


def _unit_price(line: LineBody, currency: Currency) -> Decimal:
    if line.unit_price is not None:
        return unit_price_in_minor(line.unit_price, currency)
    assert line.unit_price_minor is not None
    return Decimal(line.unit_price_minor)


def _priced_input(
    line_no: int, quantity: Decimal, unit_price: Decimal, discount_minor: int, tax_rate_bp: int
) -> PricedInput:
    return PricedInput(
        line_no=line_no,
        quantity=quantity,
        unit_price=unit_price,
        discount_minor=discount_minor,
        tax_rate_bp=tax_rate_bp,
    )


def _line(body: LineBody, unit_price: Decimal, amounts: PricedLine, kept: Kept) -> Line:
    return Line(
        line_no=amounts.line_no,
        sku=body.sku,
        name=body.name,
        category=body.category,
        unit=body.unit,
        unit_price_minor=price_text(unit_price),
        unit_cost_minor=body.unit_cost_minor,
        tax_rate_bp=body.tax_rate_bp,
        location=body.location,
        reserved=body.quantity if (body.sku, body.location) in kept else ZERO,
        exemption=exemption.fact(body.exemption),
        **_amounts(amounts),
    )


def _amounts(amounts: PricedLine) -> dict[str, Any]:
    return {
        "quantity": amounts.quantity,
        "amount_minor": amounts.amount_minor,
        "discount_minor": amounts.discount_minor,
        "order_discount_minor": amounts.order_discount_minor,
        "base_minor": amounts.base_minor,
        "tax_minor": amounts.tax_minor,
    }


def price_text(unit_price: Decimal) -> str:
    """A unit price in minor units as it is stored: no exponent, no trailing zeros."""
    return str(quantity_json(unit_price))


def line_answer(line: Line, prices_include_tax: bool) -> dict[str, int]:
    """A line's amounts for the answer to a placement, in minor units."""
    gross = gross_minor(line, prices_include_tax)
    return {
        "line_no": line.line_no,
        "net_minor": gross - line.tax_minor,
        "tax_minor": line.tax_minor,
        "discount_minor": line.discount_minor,
        "discount_share_minor": line.order_discount_minor,
        "gross_minor": gross,
    }
