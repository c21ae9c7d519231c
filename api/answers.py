"""The shapes of answers, and the JSON response that carries them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

RawHeader = tuple[bytes, bytes]


class Answer(Response):
    """A JSON response without the general machinery, which costs more than the JSON."""

    background = None

    def __init__(self, value: Any, status: int = 200, headers: Iterable[RawHeader] = ()) -> None:
        self.body = orjson.dumps(value)
        self.status_code = status
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
            *headers,
        ]


def etag(version: int) -> RawHeader:
    return b"etag", b'"%d"' % version


class Recorded(BaseModel):
    """What every command answers. `position`: of its last event, null when nothing was recorded."""

    version: int
    position: int | None
    status: str


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


class OrderPlaced(OrderRecorded):
    lines: list[PlacedLine]


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


class PaymentRecorded(OrderRecorded):
    payment_id: str


class RefundState(BaseModel):
    """`decide_by` and `pay_by` are null when they do not run, as while evidence is awaited."""

    refund_id: str
    amount_minor: int
    refund_status: str  # requested, approved, paid, failed, denied
    decide_by: datetime | None
    pay_by: datetime | None


class RefundRecorded(RefundState, OrderRecorded):
    pass


class CompensationRecorded(OrderRecorded):
    compensation_id: str
    amount_minor: int


class ReturnRecorded(OrderRecorded):
    return_id: str
    return_status: str  # requested, approved, received, closed, denied


class ReturnReceivedRecorded(ReturnRecorded):
    refund: RefundState | None


class NewOrder(BaseModel):
    """`due_minor`: what the customer pays on top of what came back."""

    order_id: str
    number: str
    version: int
    status: str
    total_minor: int
    due_minor: int


class ExchangeRecorded(ReturnRecorded):
    refund: RefundState
    new_order: NewOrder


class PreviewedRefundLine(BaseModel):
    line_no: int
    quantity: int | str
    amount_minor: int
    tax_minor: int


class PreviewedPart(BaseModel):
    payment_id: str
    method: str
    amount_minor: int


class RefundPreview(BaseModel):
    """`amount_minor` = goods - fee + shipping goes back to `payments`; `tax_minor` is within goods
    and shipping. `shipping_refundable_minor`: what of shipping this reason may give back.
    """

    version: int
    amount_minor: int
    goods_minor: int
    shipping_minor: int
    shipping_refundable_minor: int
    fee_minor: int
    tax_minor: int
    lines: list[PreviewedRefundLine]
    payments: list[PreviewedPart]
    needs_approval: bool
    decide_by: datetime | None
    pay_by: datetime
    refundable_minor: BeforeAfter
    policy_version: int


class NoteRecorded(OrderRecorded):
    note_id: str


class ParcelOrder(BaseModel):
    order_id: str
    number: str
    version: int
    status: str
    total_minor: int


class ParcelRecorded(Recorded):
    parcel_id: str
    orders: list[ParcelOrder]


class StockRecorded(Recorded):
    sku: str
    location: str
    on_hand: int | str
    reserved: int | str
    available: int | str


class CustomerRecorded(Recorded):
    customer_id: str


class EventShown(BaseModel):
    """One event. Personal fields of `data` are opened, or {"masked": true}, or {"erased": true}."""

    position: int
    stream_id: str
    category: str
    key: str
    version: int
    topic: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    origin: str
    command_id: str
    correlation_id: str
    causation_id: str | None
    data: dict[str, Any]


class FeedPage(BaseModel):
    """`next_after` is what the next page's `after` must be; `head` the newest position there is."""

    events: list[EventShown]
    next_after: int
    head: int


class ProjectionLag(BaseModel):
    name: str
    position: int
    lag_events: int
    lag_seconds: float
    heartbeat_at: datetime
    parked: int


class Lag(BaseModel):
    head: int
    projections: list[ProjectionLag]
