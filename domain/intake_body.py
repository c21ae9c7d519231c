"""An order as somebody else sold it: any part may be missing, but not that something was sold.

It is read where the shop's own form (PlaceOrderBody) is not fulfilled. Every missing or unusable
part is named, and what our facts need stands as `unknown` until a person puts it right.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from domain.command_types import COUNTRIES, PaymentMethod, UnitPrice
from domain.discount import DiscountBody
from domain.exemption import ExemptionBody
from domain.order_lines import CATEGORY_UNKNOWN
from domain.placement_commands import LineBody, PlaceOrderBody
from domain.values import (
    LINES_MAX,
    UNKNOWN,
    Address,
    Contact,
    Email,
    Identifier,
    ShortText,
    Text,
    Value,
)

# A part that may be absent is wider than its base's: these models are frozen, so it can be.


class SoldLineBody(LineBody):
    """So many of something, named by sku or name."""

    sku: Identifier | None = None  # type: ignore[assignment]
    name: Annotated[Text | None, Field(validate_default=True)] = None  # type: ignore[assignment]
    category: Text | None = None  # type: ignore[assignment]

    @field_validator("name")
    @classmethod
    def _something(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("sku", ...) is None:
            raise ValueError("a line needs its sku or its name")
        return value

    @field_validator("exemption")
    @classmethod
    def _no_rate(cls, value: ExemptionBody | None, _info: ValidationInfo) -> ExemptionBody | None:
        return value  # What contradicts itself is recorded, and named by `filled`.

    @field_validator("unit_price")
    @classmethod
    def _one_price(cls, value: UnitPrice | None, info: ValidationInfo) -> UnitPrice | None:
        if value is not None and info.data.get("unit_price_minor") is not None:
            raise ValueError("give unit_price_minor or unit_price, not both")
        return value


class SoldContact(Value):
    name: Text | None = None
    email: Email | None = None
    phone: ShortText | None = None


class SoldAddress(Value):
    line1: Text | None = None
    line2: Text | None = None
    city: Text | None = None
    region: Text | None = None
    postal_code: ShortText | None = None
    country: Text | None = None


class OrderAsSoldBody(PlaceOrderBody):
    """What was sold elsewhere, as far as it is known: channels that record it open a case."""

    customer_id: Identifier | None = None  # type: ignore[assignment]
    lines: Annotated[list[SoldLineBody], Field(min_length=1, max_length=LINES_MAX)]  # type: ignore[assignment]
    contact: SoldContact | None = None  # type: ignore[assignment]
    shipping_address: SoldAddress | None = None  # type: ignore[assignment]
    billing_address: SoldAddress | None = None  # type: ignore[assignment]
    payment_method: PaymentMethod | None = None  # type: ignore[assignment]

    # What contradicts itself is recorded, and named by `filled`.

    @field_validator("discounts")
    @classmethod
    def _sum_of_the_parts(
        cls, value: list[DiscountBody] | None, _info: ValidationInfo
    ) -> list[DiscountBody] | None:
        return value

    @field_validator("exemption")
    @classmethod
    def _no_rates(cls, value: ExemptionBody | None, _info: ValidationInfo) -> ExemptionBody | None:
        return value

    @field_validator("exemption_certificate")
    @classmethod
    def _for_something_exempt(cls, value: str | None, _info: ValidationInfo) -> str | None:
        return value


def filled(body: OrderAsSoldBody, order_id: str) -> dict[str, Any]:
    """The values of a PlaceOrder: with `missing`, the names of what was not there or unusable."""
    missing: list[str] = []
    values = {name: getattr(body, name) for name in body.model_fields_set}
    # Without a customer the order is its own, as an imported one.
    values["customer_id"] = _or(body.customer_id, f"order/{order_id}", "customer_id", missing)
    values["lines"] = [_line(line, f"lines.{n}", missing) for n, line in enumerate(body.lines)]
    values["contact"] = _contact(body.contact, missing)
    values["shipping_address"] = _shipping_address(body.shipping_address, missing)
    values["billing_address"] = _billing_address(body.billing_address, missing)
    values["payment_method"] = _or(body.payment_method, UNKNOWN, "payment_method", missing)
    for name in _contradicting(body):
        missing.append(name)
        values[name] = None
    return {**values, "missing": tuple(missing)}


def _contradicting(body: OrderAsSoldBody) -> Iterable[str]:
    """What cannot be so beside the amounts and rates, which stand: they were paid."""
    parts = sum(one.amount_minor for one in body.discounts or ())
    if body.discounts and body.discount_minor not in {None, parts}:
        yield "discounts"
    rated = body.shipping_tax_rate_bp or any(line.tax_rate_bp for line in body.lines)
    if body.exemption is not None and rated:
        yield "exemption"
    exempt = body.exemption is not None and not rated
    by_line = any(line.exemption and not line.tax_rate_bp for line in body.lines)
    if body.exemption_certificate is not None and not exempt and not by_line:
        yield "exemption_certificate"


def _or(value: str | None, otherwise: str, name: str, missing: list[str]) -> str:
    if value is None:
        missing.append(name)
    return otherwise if value is None else value


def _line(line: SoldLineBody, at: str, missing: list[str]) -> LineBody:
    values = {name: getattr(line, name) for name in line.model_fields_set}
    values["sku"] = _or(line.sku, UNKNOWN, f"{at}.sku", missing)
    values["name"] = _or(line.name, values["sku"], f"{at}.name", missing)
    values["category"] = _or(line.category, CATEGORY_UNKNOWN, f"{at}.category", missing)
    if line.unit_price is None and line.unit_price_minor is None:
        missing.append(f"{at}.unit_price_minor")
        values["unit_price_minor"] = 0
    if line.exemption is not None and line.tax_rate_bp:
        missing.append(f"{at}.exemption")
        values["exemption"] = None
    return LineBody.model_validate(values)


def _contact(contact: SoldContact | None, missing: list[str]) -> Contact | None:
    if contact is None:
        missing.append("contact")
        return None
    name = _or(contact.name, UNKNOWN, "contact.name", missing)
    return Contact(name=name, email=contact.email, phone=contact.phone)


def _shipping_address(address: SoldAddress | None, missing: list[str]) -> Address | None:
    if address is None:
        missing.append("shipping_address")
        return None
    return _address(address, "shipping_address", missing)


def _billing_address(address: SoldAddress | None, missing: list[str]) -> Address | None:
    return None if address is None else _address(address, "billing_address", missing)


def _address(address: SoldAddress, at: str, missing: list[str]) -> Address:
    unusable = [*_unusable(address)]
    missing += [f"{at}.{name}" for name in unusable]
    needed = {name: UNKNOWN for name in unusable if getattr(address, name) is None}
    return Address.model_validate({**dict(address), **needed})


def _unusable(address: SoldAddress) -> Iterable[str]:
    """A country that is no code is kept as it came, and named."""
    for name in ("line1", "city", "country"):
        value = getattr(address, name)
        if value is None or (name == "country" and value not in COUNTRIES):
            yield name
