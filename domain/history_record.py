"""The neutral form in which real history arrives: one order with its facts, as the source knows it.

Lenient where the desk is strict: lines may be missing, methods unknown, amounts zero or below.
What has no field of ours goes into `verbatim`, which is stored as it is and NOT sealed: nothing
personal belongs there. An unknown field is an error, because it may hold just that.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from domain.command_types import Handle
from domain.discount import DISCOUNTS_MAX
from domain.money import CURRENCIES
from domain.times import recordable
from domain.values import (
    AMOUNT_MINOR_MAX,
    LINES_MAX,
    QUANTITY_MAX,
    UNKNOWN,
    Contact,
    Identifier,
    LongText,
    Quantity,
    ShortText,
    Text,
    Value,
)

FACTS_MAX = 500  # of one order, so that it fits into one transaction
KINDS_MAX = 50  # of irregularities that the source's reader names
VERBATIM_BYTES_MAX = 65_536
VERBATIM_DEPTH_MAX = 20

IMPORT = "import"  # key of what the import found out, within an order's `verbatim`
MISSING = "-"  # for a part of an address that the source does not know


_DATED = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)  # digits alone would be seconds since 1970


def _utc(at: datetime) -> datetime:
    """A source without a zone is read as UTC."""
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


def _written(value: Any) -> Any:
    if not isinstance(value, datetime) and not (isinstance(value, str) and _DATED.match(value)):
        raise ValueError("must be a text such as 2018-01-31 12:00:00 or 2018-01-31T12:00:00Z")
    return value


def _storable(value: Any, depth: int = 0) -> None:
    """Raises ValueError for text that cannot be stored, and for endless nesting."""
    if depth > VERBATIM_DEPTH_MAX:
        raise ValueError(f"must not be nested deeper than {VERBATIM_DEPTH_MAX}")
    if isinstance(value, str):
        surrogates = not value.isascii() and any("\ud800" <= c < "\ue000" for c in value)
        if surrogates or "\x00" in value:
            raise ValueError("must not contain U+0000 or lone surrogates")
    elif isinstance(value, dict):
        for key, part in value.items():
            _storable(key, depth + 1)
            _storable(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _storable(part, depth + 1)


def _verbatim(value: dict[str, Any]) -> dict[str, Any]:
    _storable(value)
    if len(json.dumps(value, default=str)) > VERBATIM_BYTES_MAX:
        raise ValueError(f"must not be longer than {VERBATIM_BYTES_MAX} bytes as JSON")
    return value


def _without_import(value: dict[str, Any]) -> dict[str, Any]:
    if IMPORT in value:
        raise ValueError(f"must not have the key {IMPORT}: the import writes its own there")
    return value


Foreseen = Annotated[datetime, BeforeValidator(_written), AfterValidator(_utc)]
Instant = Annotated[Foreseen, AfterValidator(recordable)]  # becomes a fact's own time
Amount = Annotated[int, Field(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX, strict=True)]
FoundQuantity = Annotated[
    Quantity,
    Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX, decimal_places=3, allow_inf_nan=False),
]
FoundPrice = Annotated[str, Field(pattern=r"^-?[0-9]{1,13}(\.[0-9]{1,6})?$")]
RateBp = Annotated[int, Field(ge=0, le=10_000, strict=True)]
Verbatim = Annotated[dict[str, Any], AfterValidator(_verbatim)]


class FoundAddress(Value):
    """An address as far as the source knows it."""

    line1: Text = MISSING
    line2: Text | None = None
    city: Text = MISSING
    region: Text | None = None
    postal_code: ShortText | None = None
    country: Text = MISSING


class FoundExemption(Value):
    """Why there is no tax, in whichever words."""

    code: Identifier
    reason: Text | None = None


class FoundDiscount(Value):
    """A part of the order discount by its name."""

    kind: Identifier
    code: Identifier | None = None
    title: Text
    amount_minor: Amount


class FoundLine(Value):
    """A line; its number is its place in the list, from 1."""

    sku: Identifier
    name: Text | None = None  # the sku when absent
    category: Text | None = None
    unit: Text = "pcs"
    quantity: FoundQuantity = Decimal(1)
    unit_price_minor: Amount | None = None
    unit_price: FoundPrice | None = None  # decimal of major units
    unit_cost_minor: Amount | None = None
    tax_rate_bp: RateBp = 0
    exemption: FoundExemption | None = None
    discount_minor: Amount = 0
    location: Identifier = "main"

    @property
    def location_unclear(self) -> bool:
        """With an @ it would name the stock of another sku: a stream's key is `sku@location`."""
        return "@" in self.location

    @field_validator("unit_price")
    @classmethod
    def _one_price(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("unit_price_minor") is not None:
            raise ValueError("give unit_price_minor or unit_price, not both")
        return value


class FoundOrder(Value):
    """The body of POST /v1/orders, as far as the source knows it, and when it was placed."""

    external_ref: Identifier
    placed_at: Instant
    shop: Handle = "main"
    channel: Text = "import"
    customer_id: Identifier | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    lines: list[FoundLine] = Field(default_factory=list, max_length=LINES_MAX)
    prices_include_tax: bool = True
    discount_minor: Amount | None = None  # the sum of `discounts` when absent
    discounts: list[FoundDiscount] = Field(default_factory=list, max_length=DISCOUNTS_MAX)
    shipping_minor: Amount = 0
    shipping_tax_rate_bp: RateBp = 0
    exemption: FoundExemption | None = None
    exemption_certificate: ShortText | None = None
    contact: Contact | None = None
    shipping_address: FoundAddress | None = None
    billing_address: FoundAddress | None = None
    payment_method: Text | None = None  # that of the first payment when absent
    promised_at: Foreseen | None = None
    note: LongText | None = None
    total_minor: Amount | None = None
    verbatim: Annotated[Verbatim, AfterValidator(_without_import)] | None = None

    @property
    def order_discount_minor(self) -> int:
        if self.discount_minor is None:
            return sum(one.amount_minor for one in self.discounts)
        return self.discount_minor

    @field_validator("lines")
    @classmethod
    def _priced_in_a_known_currency(
        cls, lines: list[FoundLine], info: ValidationInfo
    ) -> list[FoundLine]:
        unknown = info.data.get("currency", "") not in CURRENCIES
        if unknown and any(line.unit_price is not None for line in lines):
            raise ValueError("unit_price needs an ISO 4217 currency; give unit_price_minor")
        return lines


class FoundUnits(Value):
    line_no: Annotated[int, Field(gt=0, le=LINES_MAX, strict=True)]
    quantity: FoundQuantity


Lines = Annotated[list[FoundUnits], Field(max_length=LINES_MAX)]


class Approved(Value):
    type: Literal["approved"]
    at: Instant


class Paid(Value):
    type: Literal["paid"]
    at: Instant
    method: Text = UNKNOWN
    amount_minor: Amount
    reference: Text = UNKNOWN
    payer: Text | None = None
    verbatim: Verbatim | None = None


class Dispatched(Value):
    """All that was not dispatched before, unless `lines` says less. `parcel` names it in here."""

    type: Literal["dispatched"]
    at: Instant
    carrier: Handle = UNKNOWN
    tracking_number: Identifier | None = None
    estimated_at: Foreseen | None = None
    parcel: Identifier | None = None
    lines: Lines | None = None
    verbatim: Verbatim | None = None


class Delivered(Value):
    """The parcel of that name, or the one dispatched last."""

    type: Literal["delivered"]
    at: Instant
    parcel: Identifier | None = None
    lines: Lines | None = None


class Cancelled(Value):
    type: Literal["cancelled"]
    at: Instant
    initiator: Text = UNKNOWN
    reason_code: Text = UNKNOWN
    text: Text | None = None
    lines: Lines | None = None  # everything when absent
    verbatim: Verbatim | None = None


class Refunded(Value):
    """Money that was given back at `at`; `shipping_minor` is within the amount."""

    type: Literal["refunded"]
    at: Instant
    requested_at: Instant | None = None
    amount_minor: Amount
    shipping_minor: Amount = 0
    reason: Text = "other"
    text: Text | None = None
    lines: Lines = Field(default_factory=list)
    method: Text | None = None
    reference: Text = UNKNOWN


class Feedback(Value):
    type: Literal["feedback"]
    at: Instant
    score: Annotated[int, Field(ge=-1_000, le=1_000, strict=True)]
    comment: LongText | None = None
    verbatim: Verbatim | None = None


class Note(Value):
    type: Literal["note"]
    at: Instant
    text: LongText


Fact = Annotated[
    Approved | Paid | Dispatched | Delivered | Cancelled | Refunded | Feedback | Note,
    Field(discriminator="type"),
]


class Record(Value):
    """One order of the source with its facts, in the order in which they are to be told.

    `source` names where it comes from; the shop when absent. (source, external_ref) is one order,
    however often it is imported. `irregular`: kinds that only the source's reader could see.
    """

    source: Handle | None = None
    order: FoundOrder
    facts: list[Fact] = Field(default_factory=list, max_length=FACTS_MAX)
    irregular: list[Identifier] = Field(default_factory=list, max_length=KINDS_MAX)

    @property
    def origin(self) -> str:
        return self.source or self.order.shop

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"import/{self.origin}/{self.order.external_ref}"

    @property
    def events_max(self) -> int:
        """As many events at most: a refund is requested and paid."""
        return 1 + sum(2 if isinstance(fact, Refunded) else 1 for fact in self.facts)
