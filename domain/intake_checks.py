"""Checks of a placed order that need to know other orders: duplicates, unusual prices, quantities.

They are no part of placing, which looks at no other order and stays fast. A worker finds in a read
model what may be wrong and sends `CheckOrder`; decided is on the orders as they are by then. What
is found holds the order as every blocking case does, and is never opened twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from domain.command_types import Id, LineNo
from domain.message import Command, Event
from domain.order_facts import Line
from domain.order_intake import Finding, case_events, case_named, case_of
from domain.order_state import Order
from domain.policy import PolicyVersion
from domain.policy_rules import ExceptionRules
from domain.values import LINES_MAX, UNKNOWN, Quantity, Value, quantity_json

# Fewer are no habit: of three, the median outvotes one slip.
USUAL_MIN = 3
TWINS_MAX = 3  # of one order, the oldest: what was there first; however often it is repeated

DUPLICATE = "duplicate"
UNUSUAL_PRICE = "unusual_price"
UNUSUAL_QUANTITY = "unusual_quantity"


class Twin(Value):
    """Another order that was found to be of the same customer: by id, or by telephone."""

    order_id: Id
    same: Literal["customer", "phone"]


class UsualPrice(Value):
    """What the goods of a line usually cost. `count`: sales that the median is of."""

    line_no: LineNo
    median_minor: Decimal
    count: int


class UsualQuantity(Value):
    """What the customer usually orders of the goods of a line, or of any where they are new to the
    customer. `count`: orders that the median is of.
    """

    line_no: LineNo
    median: Quantity
    count: int
    of: Literal["sku", "customer"]


class CheckOrder(Command):
    """What a read model found about an order. It decides nothing."""

    order_id: Id
    twins: Annotated[tuple[Twin, ...], Field(max_length=TWINS_MAX)] = ()
    prices: Annotated[tuple[UsualPrice, ...], Field(max_length=LINES_MAX)] = ()
    quantities: Annotated[tuple[UsualQuantity, ...], Field(max_length=LINES_MAX)] = ()


def decide(
    command: CheckOrder, state: Order, others: Mapping[str, Order], policy: PolicyVersion
) -> list[Event]:
    """A blocking case for each pair and each rule that has none yet; [] for an order that nobody
    can hold any more. `others`: the twins by id; `policy`: of the order's placement.
    """
    if not may_be_held(state):
        return []
    rules = policy.rules.exceptions
    found = [
        *_duplicates(command, state, others, rules),
        *_prices(command, state, rules),
        *_quantities(command, state, rules),
    ]
    return [
        event
        for case_id, finding in found
        if case_id not in state.cases.cases
        for event in case_events(finding, case_id, state.person, command.at)
    ]


def may_be_held(state: Order) -> bool:
    """Nothing of it has left."""
    return stands(state) and not any(line.dispatched for line in state.lines.values())


def stands(state: Order) -> bool:
    """Whether it is an order of its own: what was exchanged or replaced is repeated on purpose."""
    on_purpose = state.exchange_of is not None or state.replacement_of is not None
    return state.placed and not state.void and not state.cancelled and not on_purpose


def _duplicates(
    command: CheckOrder, state: Order, others: Mapping[str, Order], rules: ExceptionRules
) -> Iterator[tuple[str, Finding]]:
    for twin in command.twins:
        other = others[twin.order_id]
        case_id = case_of_pair(state.order_id, other.order_id)
        if case_id in other.cases.cases:  # The pair was looked at from the other side.
            continue
        if _is_twin(twin, state, other) and _near(state, other, rules):
            figures = _pair(twin, state, other, rules)
            yield case_id, Finding("duplicate", DUPLICATE, True, figures=figures)


def case_of_pair(one: str, other: str) -> str:
    """The same from whichever of the two orders it is looked at: what a person decided of a pair
    is decided for good.
    """
    return case_named("/".join((DUPLICATE, *sorted((one, other)))))


def _is_twin(twin: Twin, state: Order, other: Order) -> bool:
    """Telephones are sealed here: who sent the command has compared them."""
    same = twin.same == "phone" or state.customer_id == other.customer_id
    return same and stands(other) and basket_of(state) == basket_of(other)


def _near(state: Order, other: Order, rules: ExceptionRules) -> bool:
    """Up to and including the last second. 0 hours: nothing is a duplicate."""
    within = timedelta(hours=rules.duplicate_hours)
    return bool(within) and _apart(state, other) <= within


def _apart(state: Order, other: Order) -> timedelta:
    assert state.placed_at is not None
    assert other.placed_at is not None
    return abs(state.placed_at - other.placed_at)


def _pair(twin: Twin, state: Order, other: Order, rules: ExceptionRules) -> dict[str, Any]:
    return {
        "of_order_id": other.order_id,
        "of_number": other.number,
        "same": twin.same,
        "apart_seconds": int(_apart(state, other).total_seconds()),
        "limit_hours": rules.duplicate_hours,
    }


def basket_of(state: Order) -> str:
    """What an order is of by now."""
    lines = ((line.priced, line.live) for line in state.lines.values())
    return basket(state.shop, state.currency, lines)


def basket(shop: str, currency: str, lines: Iterable[tuple[Line, Decimal]]) -> str:
    """Equal for the same units of the same goods, however they stand in lines and at what price."""
    units = sorted((*name, str(quantity_json(all_))) for name, all_ in units_of(lines).items())
    return json.dumps([shop, currency, [one for one in units if one[2] != "0"]])


def units_of(lines: Iterable[tuple[Line, Decimal]]) -> dict[tuple[str, str], Decimal]:
    """Quantities by goods and unit."""
    sums: dict[tuple[str, str], Decimal] = {}
    for line, quantity in lines:
        name = goods(line), line.unit
        sums[name] = sums.get(name, Decimal(0)) + quantity
    return sums


def goods(line: Line) -> str:
    """What was sold elsewhere may be known by its name only."""
    return f"{UNKNOWN}/{line.name}" if line.sku == UNKNOWN else line.sku


def _prices(
    command: CheckOrder, state: Order, rules: ExceptionRules
) -> Iterator[tuple[str, Finding]]:
    far = []
    for usual in command.prices:
        line = state.lines.get(usual.line_no)
        if line is not None and price_is_far(line.priced, usual, rules):
            far.append(_far_price(line.priced, usual))
    if far:
        figures = {"lines": far, "limit_bp": rules.price_deviation_bp, "currency": state.currency}
        found = Finding("abnormal_amount", UNUSUAL_PRICE, True, figures=figures)
        yield case_of(state.order_id, UNUSUAL_PRICE), found


def price_is_far(line: Line, usual: UsualPrice, rules: ExceptionRules) -> bool:
    """So much or more above or below. Goods that are usually given away have no deviation."""
    off = abs(Decimal(line.unit_price_minor) - usual.median_minor)
    median = usual.median_minor if usual.count >= USUAL_MIN else 0
    return median > 0 and off * 10_000 >= rules.price_deviation_bp * median


def _far_price(line: Line, usual: UsualPrice) -> dict[str, Any]:
    off = abs(Decimal(line.unit_price_minor) - usual.median_minor)
    return {
        "line_no": line.line_no,
        "sku": line.sku,
        "unit_price_minor": line.unit_price_minor,
        "median_minor": str(quantity_json(usual.median_minor)),
        "off_bp": int(off * 10_000 / usual.median_minor),
        "count": usual.count,
    }


def _quantities(
    command: CheckOrder, state: Order, rules: ExceptionRules
) -> Iterator[tuple[str, Finding]]:
    units, far = units_of((line.priced, line.live) for line in state.lines.values()), []
    for usual in command.quantities:
        line = state.lines.get(usual.line_no)
        ordered = units[goods(line.priced), line.priced.unit] if line is not None else Decimal(0)
        if line is not None and quantity_is_far(ordered, usual, rules):
            far.append(_far_quantity(line.priced, ordered, usual))
    if far:
        figures = {"lines": far, "limit_factor": rules.quantity_factor}
        found = Finding("abnormal_amount", UNUSUAL_QUANTITY, True, figures=figures)
        yield case_of(state.order_id, UNUSUAL_QUANTITY), found


def quantity_is_far(ordered: Decimal, usual: UsualQuantity, rules: ExceptionRules) -> bool:
    """So many times as much or more; little is no reason to ask."""
    return usual.count >= USUAL_MIN and ordered >= rules.quantity_factor * usual.median


def _far_quantity(line: Line, ordered: Decimal, usual: UsualQuantity) -> dict[str, Any]:
    return {
        "line_no": line.line_no,
        "sku": line.sku,
        "quantity": quantity_json(ordered),
        "median": quantity_json(usual.median),
        "of": usual.of,
        "count": usual.count,
    }
