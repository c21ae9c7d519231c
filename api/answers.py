"""The JSON response, and the shapes of answers that are not of an order."""

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


class AccountRecorded(Recorded):
    """`gift_minor`: gifts that have not expired. `limit_minor`: null where none was agreed."""

    customer_id: str
    currency: str
    credit_minor: int
    gift_minor: int
    limit_minor: int | None
    exposure_minor: int


class GiftRecorded(AccountRecorded):
    gift_id: str


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
