"""Sales and payments in figures over HTTP, each in one currency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, Field

from api.answers import Answer
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import Instant, ReadCall, Reader
from domain.command_types import CurrencyCode
from projections import order_status
from projections.analytics import NAME
from projections.analytics_queries import (
    SHOP_ZONE,
    Analytics,
    Dated,
    PaymentsGroup,
    Period,
    SalesGroup,
)
from projections.order_status import OrdersGroup

READING = responses(401, 403, 422, 503, 504)

router = APIRouter(tags=["analytics"])

# DuckDB knows all of them but this machine's own, which is no place on earth.
ZONES = available_timezones() - {"localtime"}


def _zone(name: str) -> str:
    if name not in ZONES:
        raise ValueError("must be a time zone such as Asia/Shanghai or UTC")
    return name


Zone = Annotated[
    Annotated[str, Field(max_length=64), AfterValidator(_zone)],
    Query(description="Whose months are meant; the shop's when absent"),
]


def _period(
    start: Annotated[
        Instant | None, Query(alias="from", description="First day or instant that counts")
    ] = None,
    end: Annotated[
        Instant | None, Query(alias="to", description="Day or instant that ends it")
    ] = None,
    currency: Annotated[
        CurrencyCode | None,
        Query(description="The one of most orders when absent; never a sum of two"),
    ] = None,
    dated: Annotated[
        Dated, Query(description="By the time of the fact, or of the placement of its order")
    ] = "occurred",
    zone: Zone = SHOP_ZONE,
) -> Period:
    return Period(start, end, currency, dated=dated, zone=zone)


Asked = Annotated[Period, Depends(_period)]


class OrdersRow(BaseModel):
    group: str
    orders: int


class SalesRow(BaseModel):
    group: str
    orders: int
    units: int | str
    gross_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    refunded_minor: int
    net_minor: int


class PaymentsRow(BaseModel):
    group: str
    payments: int
    paid_minor: int
    refunded_minor: int


class Orders(BaseModel):
    rows: list[OrdersRow]
    position: int


class Sales(BaseModel):
    """net = gross - discount + shipping - refunded. `currency` is null without any sale."""

    rows: list[SalesRow]
    currency: str | None
    position: int


class Payments(BaseModel):
    rows: list[PaymentsRow]
    currency: str | None
    position: int


@router.get(
    "/v1/analytics/orders",
    response_model=Orders,
    responses=READING,
    summary="Orders by status, source status, channel or shop",
    **needs(Permission.REPORT_RUN),
)
async def orders(
    reader: Reader, group: Annotated[OrdersGroup, Query(examples=["status"])]
) -> Answer:
    """Voided ones left out. The source status is an import's own word, else empty."""
    await reader.reach(order_status.NAME)
    async with reader.context.reading() as connection:
        counts, position = await order_status.order_counts(connection, group)
    rows = [{"group": name, "orders": count} for name, count in counts.items()]
    return Answer({"rows": rows, "position": position})


@router.get(
    "/v1/analytics/sales",
    response_model=Sales,
    responses=READING,
    summary="Sales by month, category, sku or channel",
    **needs(Permission.REPORT_RUN),
)
async def sales(
    reader: Reader, group: Annotated[SalesGroup, Query(examples=["month"])], period: Asked
) -> Answer:
    """Amounts in minor units of one currency; months are the shop's."""
    return await _answer(reader, lambda analytics: analytics.sales(group, period))


@router.get(
    "/v1/analytics/payments",
    response_model=Payments,
    responses=READING,
    summary="Payments by month or method",
    **needs(Permission.REPORT_RUN),
)
async def payments(
    reader: Reader, group: Annotated[PaymentsGroup, Query(examples=["month"])], period: Asked
) -> Answer:
    """What came in, and what was paid back."""
    return await _answer(reader, lambda analytics: analytics.payments(group, period))


async def _answer(reader: ReadCall, question: Callable[[Analytics], dict[str, Any]]) -> Answer:
    await reader.reach(NAME)
    return Answer(await reader.context.facts.ask(question))
