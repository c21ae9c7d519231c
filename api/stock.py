"""Stock over HTTP: receive, adjust, and the levels of a sku."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from api.answers import Answer, StockRecorded
from api.calls import CommandRoute, MatchedCall, example
from api.examples import ADJUSTMENT, RECEIPT
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import Reader, identifier, page_router
from domain.desk_names import stock_stream
from domain.stock_item import AdjustmentReason, AdjustStock, Location, ReceiveStock
from domain.values import QUANTITY_MAX, AskedQuantity, Quantity, Text, Value
from projections import stock_levels

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)

router = APIRouter(route_class=CommandRoute, tags=["stock"])
reads = page_router("stock")


class ReceiveBody(Value):
    """Units that came in."""

    quantity: AskedQuantity
    location: Location = "main"
    reference: Text | None = None


class AdjustBody(Value):
    """Units more or less than the record says, and why."""

    delta: Annotated[
        Quantity, Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX, decimal_places=3, allow_inf_nan=False)
    ]
    reason: AdjustmentReason
    location: Location = "main"


class LevelAt(BaseModel):
    location: str
    version: int
    on_hand: int | str
    reserved: int | str
    available: int | str


class StockLevels(BaseModel):
    """Sums, and the levels of each location. Not `kept`: sold without being counted."""

    sku: str
    kept: bool
    on_hand: int | str
    reserved: int | str
    available: int | str
    locations: list[LevelAt]
    position: int


# A sku may hold slashes, hence `:path`.
@router.post(
    "/v1/stock/{sku:path}/receive",
    response_model=StockRecorded,
    responses=CHANGING,
    summary="Receive units of a sku",
    **needs(Permission.STOCK_RECEIVE),
)
async def receive(
    call: MatchedCall,
    sku: str,
    body: Annotated[ReceiveBody, Body(**example("A delivery", RECEIPT))],
) -> Answer:
    """The first receipt makes the sku stock-kept: from then on orders reserve its units."""
    command = call.command(ReceiveStock, body, sku=identifier("sku", sku))
    return await call.run(command, stock_stream(sku, body.location))


@router.post(
    "/v1/stock/{sku:path}/adjust",
    response_model=StockRecorded,
    responses=CHANGING,
    summary="Correct the units of a sku",
    **needs(Permission.STOCK_ADJUST),
)
async def adjust(
    call: MatchedCall,
    sku: str,
    body: Annotated[AdjustBody, Body(**example("Breakage", ADJUSTMENT))],
) -> Answer:
    """Never below what is promised to orders."""
    command = call.command(AdjustStock, body, sku=identifier("sku", sku))
    return await call.run(command, stock_stream(sku, body.location))


@reads.get(
    "/v1/stock/{sku:path}",
    response_model=StockLevels,
    responses=responses(401, 403, 404, 422, 503, 504),
    summary="Levels of a sku",
    **needs(Permission.STOCK_READ),
)
async def levels(reader: Reader, sku: str) -> Answer:
    """Per location and in sum."""
    name = identifier("sku", sku)
    await reader.reach(stock_levels.NAME)
    async with reader.context.reading() as connection:
        return Answer(await stock_levels.stock_of(connection, name))
