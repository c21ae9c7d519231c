"""Orders as they are read: one with all that is known of it, lists, and the events themselves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from api.answers import Answer, etag
from api.context import Context
from api.events import Open, event_json, mask, opener, record_look, sealed_persons, stream_rows
from api.permissions import Permission, needs
from api.problems import Problem, responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Instant,
    Limit,
    ReadCall,
    Reader,
    opened_place,
    revealed,
    sealed_cursor,
    sealed_fields,
)
from api.views import OrderEvents, OrderPage, OrderShown
from domain.desk_names import order_stream
from domain.order_status import LABELS
from domain.values import Identifier, storable_text
from projections import order_status
from projections.order_status import OrderFilters

EVENTS_MAX = 1_000  # of one order, in one answer
VERSION_MAX = 2**31 - 1
READING = responses(401, 403, 404, 422, 503, 504)

router = APIRouter(tags=["orders"])


def _headline(code: str) -> str:
    if code not in LABELS:
        raise ValueError(f"must be one of {', '.join(LABELS)}")
    return code


Sought = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable_text)]
Headline = Annotated[str, AfterValidator(_headline), Field(json_schema_extra={"enum": [*LABELS]})]


@router.get(
    "/v1/orders",
    response_model=OrderPage,
    responses=responses(401, 403, 422, 503, 504),
    summary="List and find orders",
    **needs(Permission.ORDER_READ),
)
async def list_orders(
    reader: Reader,
    status: Annotated[Headline | None, Query()] = None,
    customer_id: Annotated[Identifier | None, Query()] = None,
    placed_from: Annotated[Instant | None, Query()] = None,
    placed_to: Annotated[Instant | None, Query(description="Not included")] = None,
    q: Annotated[
        Sought | None,
        Query(
            description="Number, external reference, customer, sku or tracking number as a "
            "whole, or the beginning of the order's id",
        ),
    ] = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Answer:
    """Newest first, nothing personal. Voided orders only by status `void`."""
    filters = OrderFilters(status, customer_id, placed_from, placed_to, q)
    query = ["orders", status, customer_id, placed_from, placed_to, q]
    after = opened_place(reader.context, query, cursor)
    await reader.reach(order_status.NAME)
    async with reader.context.reading() as connection:
        page = await order_status.list_orders(connection, filters, after, limit)
    return Answer(
        {
            "items": page["items"],
            "next_cursor": page["next"] and sealed_cursor(reader.context, query, page["next"]),
            "position": page["position"],
        }
    )


@router.get(
    "/v1/orders/{order_id}",
    response_model=OrderShown,
    responses=READING,
    summary="One order by UUID or number",
    **needs(Permission.ORDER_READ),
)
async def show(reader: Reader, order_id: str) -> Answer:
    """Status, times, lines, payments, parcels. Personal values need `customer.read_personal` and
    are masked without; a look at them is recorded.
    """
    found = await reader.context.order_id(order_id)
    await reader.reach(order_status.NAME)
    order = await _order(reader.context, found)
    shown = await _revealed(reader, order, "GET /v1/orders/{id}", found)
    return Answer(shown, headers=[etag(order["version"])])


async def _order(context: Context, order_id: str) -> dict[str, Any]:
    """Raises Problem 404 only for what the ledger does not know: a read model may be behind."""
    async with context.reading() as connection:
        order, position = await order_status.get_order(connection, order_id)
        if order is not None:
            return order | {"position": position}
        rows = await stream_rows(connection, context, order_stream(order_id), 0, 1)
    if not rows:
        raise _not_found(order_id)
    await context.reach(order_status.NAME, rows[0][0])
    async with context.reading() as connection:
        order, position = await order_status.get_order(connection, order_id)
    if order is None:
        raise _not_found(order_id)
    return order | {"position": position}


def _not_found(order_id: str) -> Problem:
    return Problem(404, "order_not_found", "There is no such order.", facts={"order_id": order_id})


async def _revealed(reader: ReadCall, answer: Any, what: str, target: str) -> Any:
    fields = sealed_fields(answer)
    if not fields or not reader.sees_personal:
        return revealed(answer, mask)
    async with reader.context.reading() as connection:
        opened = await opener(connection, reader.context, set(fields.values()))
        await record_look(connection, reader.sender, what, target, [*fields])
    return revealed(answer, opened)


@router.get(
    "/v1/orders/{order_id}/events",
    response_model=OrderEvents,
    responses=READING,
    summary="The events of an order, as recorded",
    **needs(Permission.ORDER_READ),
)
async def events(
    reader: Reader,
    order_id: str,
    after: Annotated[
        int, Query(ge=0, le=VERSION_MAX, description="The last version that was seen")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=EVENTS_MAX)] = EVENTS_MAX,
) -> Answer:
    """From the ledger itself. Personal values as in the order."""
    context = reader.context
    found = await context.order_id(order_id)
    await reader.reach(None)
    async with context.reading() as connection:
        rows = await stream_rows(connection, context, order_stream(found), after, limit)
        if not rows and after == 0:
            raise _not_found(found)
        opened: Open = mask
        persons = sealed_persons(rows)
        if persons and reader.sees_personal:
            opened = await opener(connection, context, persons)
            what = "GET /v1/orders/{id}/events"
            await record_look(connection, reader.sender, what, found, ["events"])
    shown = [event_json(row, opened) for row in rows]
    more = shown[-1]["version"] if len(shown) == limit else None
    return Answer({"events": shown, "next_after": more})
