"""The facts of a draft and its quotes. Topics and fields are the storage format."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from domain.message import PERSONAL, Event, Made, Personal, Sealed
from domain.values import Quantity

# A part of a personal value, such as a contact without a name; stored sealed, as the whole would
# be. `Sealed` first: any JSON object is a part.
PersonalPart = Annotated[Sealed | dict[str, Any], Field(union_mode="left_to_right"), PERSONAL]


class DraftSaved(Event, topic="draft.saved.v1"):
    """All that is typed so far; it takes the place of what was saved before."""

    draft_id: str  # and that of the order, once it is one
    number: str  # the same
    person: str  # the customer where one is named, else the draft has a key of its own
    content: dict[str, Any]  # as the body of a placement, without what is personal
    contact: PersonalPart | None = None
    shipping_address: PersonalPart | None = None
    billing_address: PersonalPart | None = None
    note: Personal[str] | None = None
    exemption_certificate: Personal[str] | None = None
    # Paths missing within the sealed values: nobody can look there later.
    lacking: list[str] = Field(default_factory=list)
    region: str | None = None  # of the delivery, as of an order


class OfferedLine(Made):
    """One line as it was offered; amounts in minor units, for the whole line."""

    line_no: int
    sku: str
    name: str
    unit: str
    quantity: Quantity
    unit_price_minor: str  # decimal string, up to 6 places
    tax_rate_bp: int
    discount_minor: int = 0
    discount_share_minor: int = 0  # of the order's discount
    tax_minor: int
    gross_minor: int


class QuoteOffered(Event, topic="quote.offered.v1"):
    """What was saved last, offered at these prices until `expires_at`, not included.

    A later offer takes the place of an earlier one. Amounts are minor units.
    """

    draft_id: str
    offer_no: int  # from 1
    person: str
    expires_at: datetime
    currency: str
    prices_include_tax: bool
    lines: list[OfferedLine]
    discount_minor: int = 0
    shipping_minor: int = 0
    shipping_tax_rate_bp: int = 0
    shipping_tax_minor: int = 0
    tax_minor: int
    total_minor: int
    text: Personal[str] | None = None


class QuoteDeclined(Event, topic="quote.declined.v1"):
    draft_id: str
    offer_no: int
    person: str
    reason: Personal[str] | None = None


class DraftDiscarded(Event, topic="draft.discarded.v1"):
    draft_id: str
    person: str
    reason: Personal[str] | None = None


class DraftOrdered(Event, topic="draft.ordered.v1"):
    """It is an order, placed in the same write under the draft's own id and number."""

    draft_id: str
    number: str
    total_minor: int
    offer_no: int | None = None  # of the quote that was accepted
