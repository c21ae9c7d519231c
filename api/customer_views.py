"""The shapes of a customer's history."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class PastOrder(BaseModel):
    """One order in a customer's history."""

    model_config = ConfigDict(extra="allow")

    order_id: str
    number: str
    shop: str
    channel: str
    currency: str
    status: str
    status_label: str
    total_minor: int
    paid_minor: int
    refunded_minor: int
    placed_at: datetime
    scores: list[int]


class CurrencyTotals(BaseModel):
    currency: str
    orders: int
    total_minor: int
    paid_minor: int
    refunded_minor: int


class CustomerHistory(BaseModel):
    customer_id: str
    orders: list[PastOrder]
    next_cursor: str | None
    totals: list[CurrencyTotals] | None
    orders_count: int | None
    first_at: datetime | None
    last_at: datetime | None
    scores_count: int | None
    score_average: float | None
    position: int
