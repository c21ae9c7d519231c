"""Values that commands and events share: text, quantities, contact, address."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal
from unicodedata import normalize

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

UNKNOWN: Literal["unknown"] = "unknown"  # for what our facts need and the source does not say
QUANTITY_MAX = 1_000_000
AMOUNT_MINOR_MAX = 10**12
LINES_MAX = 500


class OfFields(ValueError):
    """A rule over several fields was broken. Pydantic would name the whole: `fields` are those that
    can be mended, by their path from the model that has the rule.
    """

    def __init__(self, message: str, *fields: str) -> None:
        super().__init__(message)
        self.fields = fields


def _storable(text: str) -> str:
    """PostgreSQL cannot hold U+0000 in text, and UTF-8 cannot hold a lone surrogate."""
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("must not contain lone surrogates")
    return text


def storable_text(text: str) -> str:
    """Raises ValueError for text that is blank or that cannot be stored."""
    if text.isprintable() and text and not text.isspace():
        return text  # The usual case; neither U+0000 nor a surrogate is printable.
    _storable(text)
    if not any(c.isprintable() and not c.isspace() for c in text):
        raise ValueError("must hold a character that is not blank")
    return text


def _identifier(text: str) -> str:
    """Printable, which no blank is but the space: `X` and `X ` are not to be two goods."""
    _storable(text)
    if not text.isprintable():
        raise ValueError("must consist of printable characters")
    if text != text.strip():
        raise ValueError("must not begin or end with a blank")
    return text


def same_person(one: str, other: str) -> bool:
    """Whether two names of who acts are one, whichever letters they were typed in."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return normalize("NFKC", normalize("NFKC", name).casefold())


_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _plain(value: Any) -> Any:
    """Python's Decimal also reads blanks, exponents, underscores and other scripts' digits."""
    if isinstance(value, float | bool):
        raise ValueError("must be an integer or a decimal string, never a float")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("must be a plain decimal string such as 0.335")
    return value


def quantity_json(value: Decimal) -> int | str:
    """An integer where it is whole, else a decimal string without trailing zeros."""
    whole = int(value)
    return whole if whole == value else format(value.normalize(), "f")


def percent(basis_points: int) -> str:
    """Basis points as people say them: 1300 is 13 %."""
    return f"{quantity_json(Decimal(basis_points) / 100)} %"


# The bounds stand first, so that their errors speak of characters.
Text = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(storable_text)]
LongText = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(storable_text)]
Email = Annotated[str, Field(min_length=1, max_length=254), AfterValidator(storable_text)]
ShortText = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(storable_text)]
# Ids that others chose: customer, sku, location, shop.
Identifier = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_identifier)]
# Units as stored: at most 3 decimals, written as an integer where whole.
Quantity = Annotated[
    Decimal,
    BeforeValidator(_plain),
    PlainSerializer(quantity_json, return_type=int | str),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
AskedQuantity = Annotated[
    Quantity, Field(gt=0, le=QUANTITY_MAX, decimal_places=3, allow_inf_nan=False)
]
AmountMinor = Annotated[int, Field(ge=0, le=AMOUNT_MINOR_MAX, strict=True)]
RateBp = Annotated[int, Field(ge=0, le=10_000, strict=True)]  # basis points: 1300 is 13 %


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Contact(Value):
    """How a customer is reached."""

    name: Text
    email: Email | None = None
    phone: ShortText | None = None


class Address(Value):
    """Where goods or papers go. The country is ISO 3166 alpha-2; imports keep what they find."""

    line1: Text
    line2: Text | None = None
    city: Text
    region: Text | None = None
    postal_code: ShortText | None = None
    country: Text
