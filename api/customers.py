"""Customers over HTTP: record contact and address, and the history of a customer's orders."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import model_validator

from api.answers import Answer, CustomerRecorded
from api.calls import CommandRoute, MatchedCall, example
from api.customer_views import CustomerHistory
from api.examples import CUSTOMER
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Limit,
    Reader,
    identifier,
    opened_place,
    page_router,
    sealed_cursor,
)
from domain.command_types import PostalAddress
from domain.customer import RecordCustomer
from domain.desk_names import customer_stream
from domain.values import Contact, OfFields, Value
from projections import customer_history

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)

router = APIRouter(route_class=CommandRoute, tags=["customers"])
reads = page_router("customers")


class CustomerBody(Value):
    """What is absent stays."""

    contact: Contact | None = None
    address: PostalAddress | None = None

    @model_validator(mode="after")
    def _something(self) -> CustomerBody:
        if self.contact is None and self.address is None:
            raise OfFields("give contact or address", "contact", "address")
        return self


@router.put(
    "/v1/customers/{customer_id:path}",
    response_model=CustomerRecorded,
    responses=CHANGING,
    summary="Record a customer's contact and address",
    **needs(Permission.CUSTOMER_WRITE),
)
async def record(
    call: MatchedCall,
    customer_id: str,
    body: Annotated[CustomerBody, Body(**example("Contact and address", CUSTOMER))],
) -> Answer:
    """Orders keep the address that they were placed with."""
    name = identifier("customer_id", customer_id)
    command = call.command(RecordCustomer, body, customer_id=name)
    return await call.run(command, customer_stream(name))


@reads.get(
    "/v1/customers/{customer_id:path}/history",
    response_model=CustomerHistory,
    responses=responses(401, 403, 404, 422, 503, 504),
    summary="The orders of a customer",
    **needs(Permission.CUSTOMER_READ),
)
async def history(
    reader: Reader, customer_id: str, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Answer:
    """Newest first, with sums per currency; empty for a customer without orders."""
    name = identifier("customer_id", customer_id)
    query = ["history", name]
    after = opened_place(reader.context, query, cursor)
    await reader.reach(customer_history.NAME)
    async with reader.context.reading() as connection:
        found = await customer_history.customer_history(connection, name, after, limit)
    following = found.pop("next")
    next_cursor = following and sealed_cursor(reader.context, query, following)
    return Answer({**found, "next_cursor": next_cursor})
