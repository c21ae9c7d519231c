"""The shapes of answers about an order: placed, reviewed, changed, previewed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from api.answers import Recorded


class OrderRecorded(Recorded):
    order_id: str
    number: str
    total_minor: int


class PlacedLine(BaseModel):
    """Amounts of a line in minor units; `discount_share_minor` is of the order's discount."""

    line_no: int
    net_minor: int
    tax_minor: int
    discount_minor: int
    discount_share_minor: int
    gross_minor: int


class OpenCase(BaseModel):
    """`rule`: that found it, null where a person did; `fields`: what is missing or wrong."""

    case_id: str
    kind: str
    blocking: bool
    rule: str | None
    fields: list[str]
    figures: dict[str, Any] | None


class OpenHold(BaseModel):
    hold_id: str
    type: str


class Handling(BaseModel):
    """What stands against an order: its open cases and its holds."""

    stage: str
    cases: list[OpenCase]
    holds: list[OpenHold]


class Reviewed(OrderRecorded, Handling):
    """An order after the decision on it."""


class OrderPlaced(OrderRecorded, Handling):
    lines: list[PlacedLine]


class NoteRecorded(OrderRecorded):
    note_id: str


class BeforeAfter(BaseModel):
    before: int
    after: int


class PreviewedLine(BaseModel):
    """A line as it would be owed; amounts in minor units."""

    sku: str
    name: str
    quantity: int | str
    cancelled: int | str
    unit_price_minor: str
    discount_minor: int
    discount_share_minor: int
    tax_minor: int
    gross_minor: int


class PreviewedChange(BaseModel):
    """Null before: a new line; null after: it goes."""

    line_no: int
    before: PreviewedLine | None
    after: PreviewedLine | None


class PreviewedStock(BaseModel):
    """Units promised (above 0) or given back (below)."""

    sku: str
    location: str
    reserved: int | str


class ChangePreview(BaseModel):
    """What would change, and what the customer would owe or get back."""

    version: int
    topics: list[str]
    lines: list[PreviewedChange]
    total_minor: BeforeAfter
    tax_minor: BeforeAfter
    due_minor: int
    refund_due_minor: int
    stock: list[PreviewedStock]


class AmendmentPreview(ChangePreview):
    digest: str


class CancellationPreview(ChangePreview):
    fee_minor: int
    fee_tax_minor: int
    goods_minor: int
    shipping_minor: int
    policy_version: int | None
