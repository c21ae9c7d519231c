"""The shapes of drafts and quotes: what commands on them answer, and what is read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.answers import Recorded
from api.views import Personal, Units


class Refused(BaseModel):
    """What an order of it would be refused for; `field` is empty where it is the whole."""

    field: str
    code: str
    message: str


class DraftRecorded(Recorded):
    """`total_minor`: as offered, else as typed; null as long as it cannot be priced."""

    draft_id: str
    number: str
    total_minor: int | None
    missing: list[str] = Field(description="Paths of the fields that an order needs")
    refused: list[Refused]
    offer_no: int | None
    expires_at: datetime | None


class DraftSummary(BaseModel):
    """What a list shows of a draft: nothing personal."""

    draft_id: str
    number: str
    status: str
    shop: str
    channel: str | None
    customer_id: str | None
    currency: str | None
    total_minor: int | None
    missing: int
    offer_no: int | None
    expires_at: datetime | None
    started_at: datetime
    changed_at: datetime
    changed_by: str
    version: int
    position: int


class DraftPage(BaseModel):
    items: list[DraftSummary]
    next_cursor: str | None
    position: int


class LineOffered(BaseModel):
    """Amounts in minor units, for the whole line; `discount_share_minor` of the whole's."""

    line_no: int
    sku: str
    name: str
    unit: str
    quantity: Units
    unit_price_minor: str  # decimal string, up to 6 places
    tax_rate_bp: int
    discount_minor: int
    discount_share_minor: int
    tax_minor: int
    gross_minor: int


class OfferShown(BaseModel):
    """A quote as it was made. `status`: open, expired, revised, declined, withdrawn, accepted."""

    offer_no: int
    status: str
    offered_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    currency: str
    shipping_minor: int
    tax_minor: int
    total_minor: int
    lines: list[LineOffered]
    text: Personal
    reason: Personal


class DraftShown(BaseModel):
    """All that is known of one draft. `order_id`: of the order that it became, with its own id."""

    draft_id: str
    number: str
    stage: str
    status: str
    order_id: str | None
    content: dict[str, Any] = Field(description="As it was typed: it can be changed and sent back")
    total_minor: int | None
    missing: list[str]
    refused: list[Refused]
    offers: list[OfferShown]
    started_at: datetime
    started_by: str
    changed_at: datetime
    changed_by: str
    version: int
    position: int
