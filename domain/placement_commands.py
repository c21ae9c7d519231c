"""What is bought, and what of it is changed later: bodies with their bounds, commands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationInfo, field_validator, model_validator

from domain.command_types import (
    NUMBERS_MAX,
    AmendedQuantity,
    Channel,
    CurrencyCode,
    Handle,
    Id,
    LineNo,
    PaymentMethod,
    PostalAddress,
    UnitPrice,
    all_different,
)
from domain.discount import DiscountBodies, DiscountBody
from domain.exemption import ExemptionBody
from domain.message import Command
from domain.money import shown_minor
from domain.stock_item import Location
from domain.times import Expected
from domain.values import (
    LINES_MAX,
    Address,
    AmountMinor,
    AskedQuantity,
    Contact,
    Identifier,
    LongText,
    OfFields,
    RateBp,
    ShortText,
    Text,
    Value,
)


class LineBody(Value):
    """One line of an order. The unit price is either minor units or a decimal of major units."""

    sku: Identifier
    name: Text
    category: Text
    quantity: AskedQuantity
    unit: Text = "pcs"
    unit_price_minor: AmountMinor | None = None
    unit_price: Annotated[UnitPrice | None, Field(validate_default=True)] = None
    unit_cost_minor: AmountMinor | None = None
    tax_rate_bp: RateBp = 0
    exemption: ExemptionBody | None = None  # from tax: then there is no rate
    discount_minor: AmountMinor = 0
    location: Location = "main"

    @field_validator("exemption")
    @classmethod
    def _no_rate(cls, value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
        return _refuse_a_rate(value, info)

    @field_validator("unit_price")
    @classmethod
    def _one_price(cls, value: str | None, info: ValidationInfo) -> str | None:
        _refuse_two_prices(value, info)
        if value is None and info.data.get("unit_price_minor", ...) is None:
            raise ValueError("give unit_price_minor or unit_price")
        return value


class AmendLineBody(Value):
    """A change of line `line_no`, or a new line without it.

    What is absent stays as it is; quantity 0 removes the line.
    """

    line_no: LineNo | None = None
    sku: Annotated[Identifier | None, Field(validate_default=True)] = None
    name: Annotated[Text | None, Field(validate_default=True)] = None
    category: Text | None = None
    quantity: Annotated[AmendedQuantity | None, Field(validate_default=True)] = None
    unit: Text | None = None
    unit_price_minor: AmountMinor | None = None
    unit_price: Annotated[UnitPrice | None, Field(validate_default=True)] = None
    unit_cost_minor: AmountMinor | None = None
    tax_rate_bp: RateBp | None = None
    exemption: ExemptionBody | None = None  # of a new line
    discount_minor: AmountMinor | None = None
    location: Location | None = None

    @field_validator("exemption")
    @classmethod
    def _no_rate(cls, value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
        return _refuse_a_rate(value, info)

    @field_validator("sku", "name", "quantity")
    @classmethod
    def _needed_by_a_new_line(cls, value: Any, info: ValidationInfo) -> Any:
        if not value and info.data.get("line_no", ...) is None:
            raise ValueError("is required for a line without line_no")
        return value

    @field_validator("unit_price")
    @classmethod
    def _one_price(cls, value: str | None, info: ValidationInfo) -> str | None:
        _refuse_two_prices(value, info)
        new = info.data.get("line_no", ...) is None
        if new and value is None and info.data.get("unit_price_minor", ...) is None:
            raise ValueError("a line without line_no needs unit_price_minor or unit_price")
        return value


def _refuse_two_prices(value: str | None, info: ValidationInfo) -> None:
    if value is not None and info.data.get("unit_price_minor") is not None:
        raise ValueError("give unit_price_minor or unit_price, not both")


def _refuse_a_rate(value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
    """The price is what was agreed: no tax is taken out of it by calling it exempt."""
    rate = info.data.get("tax_rate_bp")
    if value is not None and rate:
        raise ValueError(f"what is exempt from tax has no rate: tax_rate_bp is {rate}, not 0")
    return value


class PlaceOrderBody(Value):
    """What is bought, by whom, where it goes and how it is paid."""

    shop: Handle = "main"
    channel: Channel
    customer_id: Identifier
    currency: CurrencyCode
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=LINES_MAX)]
    prices_include_tax: StrictBool = True
    discount_minor: AmountMinor | None = None  # on the order; the sum of `discounts` when absent
    discounts: DiscountBodies | None = None  # the same by name
    shipping_minor: AmountMinor = 0
    shipping_tax_rate_bp: RateBp = 0
    exemption: ExemptionBody | None = None  # of the order with its shipping from tax
    exemption_certificate: ShortText | None = None  # number of the customer's
    contact: Contact
    shipping_address: PostalAddress
    billing_address: PostalAddress | None = None
    payment_method: PaymentMethod
    promised_at: Expected | None = None
    external_ref: Identifier | None = None
    note: LongText | None = None
    total_minor: AmountMinor | None = None

    @property
    def order_discount_minor(self) -> int:
        if self.discount_minor is None:
            return sum(one.amount_minor for one in self.discounts or ())
        return self.discount_minor

    @field_validator("discounts")
    @classmethod
    def _sum_of_the_parts(
        cls, value: list[DiscountBody] | None, info: ValidationInfo
    ) -> list[DiscountBody] | None:
        total, parts = info.data.get("discount_minor"), sum(d.amount_minor for d in value or ())
        if value and total not in {None, parts}:
            told = [shown_minor(one, info.data.get("currency", "")) for one in (parts, total)]
            raise ValueError(f"sum to {told[0]}, discount_minor is {told[1]}: leave one out")
        return value

    @field_validator("exemption")
    @classmethod
    def _no_rates(cls, value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
        lines = enumerate(info.data.get("lines", ()) if value is not None else ())
        rated = [f"lines.{number}.tax_rate_bp" for number, line in lines if line.tax_rate_bp]
        if value is not None and info.data.get("shipping_tax_rate_bp"):
            rated.append("shipping_tax_rate_bp")
        if rated:
            raise ValueError(f"an order exempt from tax has no rates: {', '.join(rated)}")
        return value

    @field_validator("exemption_certificate")
    @classmethod
    def _for_something_exempt(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or info.data.get("exemption", ...) is not None:
            return value
        if all(line.exemption is None for line in info.data.get("lines", ())):
            raise ValueError("nothing of the order is exempt from tax")
        return value


class AmendBody(Value):
    """Changes of an order and their reason. What is absent stays."""

    lines: Annotated[list[AmendLineBody], Field(max_length=LINES_MAX)] | None = None
    contact: Contact | None = None
    shipping_address: PostalAddress | None = None
    billing_address: PostalAddress | None = None
    promised_at: Expected | None = None
    reason: Text
    digest: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,10}-[0-9a-f]{32}$",
            description="Of a preview: exactly the change that it showed is made, or none",
        ),
    ] = None

    @field_validator("lines")
    @classmethod
    def _each_line_once(cls, lines: list[AmendLineBody] | None) -> list[AmendLineBody] | None:
        all_different((item.line_no for item in lines or [] if item.line_no), "line_no")
        return lines

    @model_validator(mode="after")
    def _something(self) -> AmendBody:
        changes = ("contact", "shipping_address", "billing_address", "promised_at")
        if not self.lines and all(getattr(self, change) is None for change in changes):
            raise OfFields("nothing to amend was given", "lines", *changes)
        return self


class PlaceOrder(PlaceOrderBody, Command):
    """What was sold elsewhere may lack parts: `missing` names them (intake_body.py)."""

    order_id: Id
    contact: Contact | None  # type: ignore[assignment]
    shipping_address: PostalAddress | Address | None  # type: ignore[assignment]
    billing_address: PostalAddress | Address | None = None  # type: ignore[assignment]
    payment_method: PaymentMethod | Literal["unknown"]  # type: ignore[assignment]
    missing: tuple[str, ...] = ()
    # Candidates for the sayable number: the first that nobody has is taken.
    numbers: Annotated[tuple[str, ...], Field(min_length=1, max_length=NUMBERS_MAX)]


class AmendOrder(AmendBody, Command):
    order_id: Id
