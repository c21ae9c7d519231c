"""A customer's account over HTTP: grant credit, give presents, set a limit, show what is left."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Body
from psycopg import AsyncConnection
from pydantic import BaseModel

from api.answers import AccountRecorded, Answer, GiftRecorded, etag
from api.attempts import new_id
from api.calls import CommandRoute, MatchedCall, example
from api.context import Context, head_of
from api.events import whole_stream
from api.examples import CREDIT, CREDIT_LIMIT, GIFT
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import Reader, identifier, page_router
from domain import account, codec
from domain.account import Account
from domain.account_commands import (
    CreditBody,
    GiftBody,
    GrantCredit,
    IssueGift,
    LimitBody,
    SetCreditLimit,
)
from domain.command_types import CurrencyCode
from domain.desk_names import account_stream
from domain.message import StreamName

EVENTS_AT_ONCE = 1_000
EXPOSURES_MAX = 1_000  # orders listed, the oldest first
CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
PATH = "/v1/customers/{customer_id:path}/accounts/{currency}"

router = APIRouter(route_class=CommandRoute, tags=["accounts"])
reads = page_router("accounts")


class GiftShown(BaseModel):
    """A gift with something left. `expired`: it buys nothing and is not yet written off."""

    gift_id: str
    amount_minor: int
    left_minor: int
    expires_at: datetime
    expired: bool


class ExposureShown(BaseModel):
    order_id: str
    amount_minor: int


class AccountShown(BaseModel):
    """Amounts in minor units. `available_minor`: credit, and gifts that have not expired.

    liability = issued - spent + given back - expired = credit + what is left of all gifts.
    """

    customer_id: str
    currency: str
    credit_minor: int
    gift_minor: int
    available_minor: int
    gifts: list[GiftShown]
    limit_minor: int | None
    exposure_minor: int
    limit_left_minor: int
    exposures: list[ExposureShown]
    issued_minor: int
    spent_minor: int
    given_back_minor: int
    expired_minor: int
    liability_minor: int
    version: int
    position: int


# A customer's id may hold slashes, hence `:path`.
@router.post(
    f"{PATH}/credit",
    response_model=AccountRecorded,
    responses=CHANGING,
    summary="Grant store credit",
    **needs(Permission.ACCOUNT_CREDIT),
)
async def grant_credit(
    call: MatchedCall,
    customer_id: str,
    currency: str,
    body: Annotated[CreditBody, Body(**example("For a late parcel", CREDIT))],
) -> Answer:
    """Never expires. A correction may be below 0, down to the credit that is still there."""
    name = identifier("customer_id", customer_id)
    command = call.command(GrantCredit, body, customer_id=name, currency=currency)
    return await call.run(command, account_stream(name, currency))


@router.post(
    f"{PATH}/gifts",
    status_code=201,
    response_model=GiftRecorded,
    responses=CHANGING,
    summary="Give a present that expires",
    **needs(Permission.ACCOUNT_CREDIT),
)
async def issue_gift(
    call: MatchedCall,
    customer_id: str,
    currency: str,
    body: Annotated[GiftBody, Body(**example("A birthday", GIFT))],
) -> Answer:
    """Spent before credit, the gift that expires first before the others."""
    name = identifier("customer_id", customer_id)
    command = call.command(IssueGift, body, customer_id=name, currency=currency, gift_id=new_id())
    return await call.run(command, account_stream(name, currency), status=201)


@router.post(
    f"{PATH}/limit",
    response_model=AccountRecorded,
    responses=CHANGING,
    summary="Set the credit limit for orders on account",
    **needs(Permission.ACCOUNT_LIMIT),
)
async def set_limit(
    call: MatchedCall,
    customer_id: str,
    currency: str,
    body: Annotated[LimitBody, Body(**example("Agreed by contract", CREDIT_LIMIT))],
) -> Answer:
    """What unpaid orders on account (月结) may come to. Orders that are there already stay."""
    name = identifier("customer_id", customer_id)
    command = call.command(SetCreditLimit, body, customer_id=name, currency=currency)
    return await call.run(command, account_stream(name, currency))


@reads.get(
    PATH,
    response_model=AccountShown,
    responses=responses(401, 403, 422, 503, 504),
    summary="Credit, gifts, limit and exposure of a customer",
    **needs(Permission.ACCOUNT_READ),
)
async def show(reader: Reader, customer_id: str, currency: CurrencyCode) -> Answer:
    """Folded from the events themselves, so never behind; zeros where nothing has happened."""
    name = identifier("customer_id", customer_id)
    await reader.reach(None)
    async with reader.context.reading() as connection:
        head = await head_of(connection)
        stream = account_stream(name, currency)
        state, version = await _folded(connection, reader.context, stream)
    shown = {
        "customer_id": name,
        "currency": currency,
        **_shown(state, datetime.now(UTC)),
        "version": version,
        "position": head,
    }
    return Answer(shown, headers=[etag(version)])


async def _folded(
    connection: AsyncConnection[Any], context: Context, stream: StreamName
) -> tuple[Account, int]:
    state, version = Account(), 0
    async for row in whole_stream(connection, context, stream, EVENTS_AT_ONCE):
        state = account.evolve(state, codec.decode(row[5], row[6]))
        version = row[2]
    return state, version


def _shown(state: Account, at: datetime) -> dict[str, Any]:
    gifts = state.gift_minor(at)
    exposures = islice(state.exposures.items(), EXPOSURES_MAX)
    return {
        "credit_minor": state.credit_minor,
        "gift_minor": gifts,
        "available_minor": state.credit_minor + gifts,
        "gifts": _gifts(state, at),
        "limit_minor": state.limit_minor,
        "exposure_minor": state.exposure_minor,
        "limit_left_minor": state.limit_left_minor,
        "exposures": [{"order_id": name, "amount_minor": owed} for name, owed in exposures],
        "issued_minor": state.issued_minor,
        "spent_minor": state.spent_minor,
        "given_back_minor": state.given_back_minor,
        "expired_minor": state.expired_minor,
        "liability_minor": state.liability_minor,
    }


def _gifts(state: Account, at: datetime) -> list[dict[str, Any]]:
    """The gift that expires first is first."""
    open_gifts = [(name, gift) for name, gift in state.gifts.items() if gift.left_minor > 0]
    return [
        {
            "gift_id": name,
            "amount_minor": gift.amount_minor,
            "left_minor": gift.left_minor,
            "expires_at": gift.expires_at,
            "expired": not gift.valid(at),
        }
        for name, gift in sorted(open_gifts, key=lambda item: item[1].expires_at)
    ]
