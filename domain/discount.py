"""The order discount by name: coupons and the like, whose sum is shared out to the lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from domain.money import Minor, split
from domain.order_facts import Discount
from domain.values import AMOUNT_MINOR_MAX, Identifier, Text, Value

DISCOUNTS_MAX = 20  # of an order

DiscountKind = Literal["coupon", "promotion", "agreement", "price_difference"]


class DiscountBody(Value):
    """A discount on the whole order, tax included where prices include it."""

    kind: DiscountKind
    code: Annotated[Identifier | None, Field(validate_default=True)] = None
    title: Text
    amount_minor: Annotated[int, Field(gt=0, le=AMOUNT_MINOR_MAX, strict=True)]

    @field_validator("code")
    @classmethod
    def _a_coupon_has_a_code(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("kind") == "coupon":
            raise ValueError("is required for a coupon")
        return value


def _each_code_once(discounts: list[DiscountBody]) -> list[DiscountBody]:
    """Without regard to case, as customers type them."""
    seen: set[str] = set()
    for one in discounts:
        code = (one.code or "").casefold()
        if code and code in seen:
            raise ValueError(f"code {one.code} stands twice")
        seen.add(code)
    return discounts


DiscountBodies = Annotated[
    list[DiscountBody], Field(max_length=DISCOUNTS_MAX), AfterValidator(_each_code_once)
]


def facts(bodies: Sequence[DiscountBody]) -> list[Discount]:
    return [
        Discount(kind=one.kind, code=one.code, title=one.title, amount_minor=one.amount_minor)
        for one in bodies
    ]


def shares(discounts: Sequence[Discount], line_shares: Sequence[Minor]) -> list[list[Minor]]:
    """Per line, what each discount gave of the line's share; both sums are exact.

    `line_shares` sum to the discounts. Each discount in turn is split by what the ones before it
    left of the shares (largest remainder), so no part is negative and the last one takes the rest.
    """
    left, by_discount = list(line_shares), []
    for one in discounts:
        parts = split(one.amount_minor, left)
        left = [rest - part for rest, part in zip(left, parts, strict=True)]
        by_discount.append(parts)
    assert not any(left), f"{sum(line_shares)} shared out, the discounts are another sum"
    return [list(parts) for parts in zip(*by_discount, strict=True)]
