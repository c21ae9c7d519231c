"""An order sold elsewhere whose parts add up to another total: theirs is kept, to the cent.

The difference is shared out to the lines by what they cost, as an order discount is, or, where
their total is higher, as a surcharge: a share below zero. So nothing that follows (cancelling,
refunding, invoicing a line) needs to know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.money import Minor, split
from domain.order_facts import Discount, Line
from domain.pricing import tax_of


@dataclass(frozen=True, slots=True)
class Sum:
    """What an order comes to, in minor units: `discount` is that of the order."""

    lines: list[Line]
    discount_minor: Minor
    shipping_minor: Minor
    shipping_tax_minor: Minor
    tax_minor: Minor
    total_minor: Minor
    discounts: list[Discount] = field(default_factory=list)  # by name; none of another total


def at_total(ours: Sum, theirs: Minor, shipping_rate_bp: int, inclusive: bool) -> Sum:
    """The same order at their total, which is 0 or more.

    Goods take the difference as far as they cost something, shipping the rest. With taxes on top,
    a cent that no change of the goods can reach is a tax that was rounded otherwise.
    """
    goods = sum(line.base_minor for line in ours.lines)
    shipping, shipping_tax = ours.shipping_minor, ours.shipping_tax_minor
    on_top = shipping if inclusive else shipping + shipping_tax
    change = _change_of_goods(ours.lines, theirs - on_top, goods, inclusive)
    lines = _changed(ours.lines, change, inclusive)
    left = theirs - _gross(lines, inclusive)
    if left < on_top:
        shipping = left if inclusive else _largest(left, shipping_rate_bp)
        shipping_tax = tax_of(shipping, shipping_rate_bp, prices_include_tax=inclusive)
    if not inclusive:
        rest = left - shipping - shipping_tax
        lines, shipping_tax = _rounded_otherwise(lines, shipping_tax, rest)
    return Sum(
        lines=lines,
        discount_minor=ours.discount_minor - change,
        shipping_minor=shipping,
        shipping_tax_minor=shipping_tax,
        tax_minor=sum(line.tax_minor for line in lines) + shipping_tax,
        total_minor=theirs,
    )


def _change_of_goods(lines: Sequence[Line], wanted: Minor, goods: Minor, inclusive: bool) -> Minor:
    """What the lines' bases change by, so that they come to `wanted`, or as little less as can be;
    at least to nothing.
    """
    if inclusive:
        return max(wanted - goods, -goods)
    low, high = -goods, max(wanted - goods, -goods)  # Taxes only add: more than that is too much.
    while low < high:
        middle = (low + high + 1) // 2
        if _gross(_changed(lines, middle, inclusive), inclusive) <= wanted:
            low = middle
        else:
            high = middle - 1
    return low


def _changed(lines: Sequence[Line], change: Minor, inclusive: bool) -> list[Line]:
    parts = split(change, [line.base_minor for line in lines])
    return [
        line.model_copy(
            update={
                "order_discount_minor": line.order_discount_minor - part,
                "discount_shares": None,
                "base_minor": line.base_minor + part,
                "tax_minor": tax_of(
                    line.base_minor + part, line.tax_rate_bp, prices_include_tax=inclusive
                ),
            }
        )
        for line, part in zip(lines, parts, strict=True)
    ]


def _gross(lines: Sequence[Line], inclusive: bool) -> Minor:
    return sum(line.base_minor + (0 if inclusive else line.tax_minor) for line in lines)


def _largest(gross: Minor, rate_bp: int) -> Minor:
    """The largest amount that is not above `gross` with its tax on top."""
    low, high = 0, max(0, gross)
    while low < high:
        middle = (low + high + 1) // 2
        if middle + tax_of(middle, rate_bp, prices_include_tax=False) <= gross:
            low = middle
        else:
            high = middle - 1
    return low


def _rounded_otherwise(
    lines: list[Line], shipping_tax: Minor, rest: Minor
) -> tuple[list[Line], Minor]:
    """The rest as tax: of the line that bears most, else of the shipping."""
    if not rest:
        return lines, shipping_tax
    most = max(lines, key=lambda line: (line.tax_minor, line.base_minor, -line.line_no))
    if most.base_minor == 0:
        return lines, shipping_tax + rest
    more = most.model_copy(update={"tax_minor": most.tax_minor + rest})
    return [more if line is most else line for line in lines], shipping_tax
