"""What all reads share: who asks, min_position, cursor pages, personal values opened or masked."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from api import attempts, permissions
from api.attempts import Sender
from api.context import Context
from api.events import Open
from api.permissions import Permission
from api.problems import field_errors, field_problem, invalid
from domain.message import Sealed
from domain.times import Written
from domain.values import Identifier
from projections.analytics_queries import SHOP_ZONE

POSITION_MAX = 2**63 - 1
PAGE_ITEMS_MAX = 200
PAGE_ITEMS = 50
CURSOR_CHARACTERS_MAX = 1_000
SIGNATURE_BYTES = 12
REPLACEMENT = "\ufffd"  # What the server makes of bytes in a path that are no UTF-8.

Limit = Annotated[int, Query(ge=1, le=PAGE_ITEMS_MAX, description="Items of one page")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_CHARACTERS_MAX, description="`next_cursor` of the page before"),
]


def _shop_day(value: Any) -> Any:
    """A date without time is the shop's local day: its midnight there."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=ZoneInfo(SHOP_ZONE))
    return value


Instant = Annotated[Written, BeforeValidator(_shop_day)]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_identifier: TypeAdapter[str] = TypeAdapter(Identifier)


@dataclass(frozen=True, slots=True)
class ReadCall:
    """One read: by whom, and at least as new as which position."""

    context: Context
    sender: Sender
    min_position: int | None

    async def reach(self, projection: str | None) -> None:
        """Read your own writes, from a projection or from the ledger itself. Raises Problem 504."""
        if self.min_position is not None:
            await self.context.reach(projection, self.min_position)

    @property
    def sees_personal(self) -> bool:
        return Permission.CUSTOMER_READ_PERSONAL in permissions.granted(self.sender.actor)


_Actor = Annotated[
    str | None, Header(description="Who is calling: an opaque id, never a name. Required.")
]


async def _read_call(
    request: Request,
    x_actor: _Actor = None,
    min_position: Annotated[
        int | None,
        Query(ge=0, le=POSITION_MAX, description="Wait until the answer reflects this position"),
    ] = None,
) -> ReadCall:
    return ReadCall(request.app.state.context, _allowed(request, x_actor), min_position)


async def _read_call_now(request: Request, x_actor: _Actor = None) -> ReadCall:
    return ReadCall(request.app.state.context, _allowed(request, x_actor), None)


def _allowed(request: Request, _x_actor: str | None) -> Sender:
    """Raises Problem 401 or 403. The actor is read as commands read it."""
    sender = attempts.sender(attempts.headers_of(request.scope))
    permission = permissions.declared(request.scope["route"])
    assert permission is not None, "the route declares no permission"
    permissions.require(sender.actor, permission)
    return sender


Reader = Annotated[ReadCall, Depends(_read_call)]
ReaderNow = Annotated[ReadCall, Depends(_read_call_now)]  # of what waits for no position


def page_router(tag: str) -> APIRouter:
    return APIRouter(tags=[tag])


def identifier(field: str, text: str) -> str:
    """An id that others chose, from a path. Raises Problem 422 that names it."""
    if REPLACEMENT in text:
        raise field_problem(field, "utf8", "must be UTF-8")
    try:
        return _identifier.validate_python(text)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False, include_input=False))
        raise invalid([one.model_copy(update={"field": field}) for one in found]) from None


# -- cursors -------------------------------------------------------------------------------------


def sealed_cursor(context: Context, query: Sequence[Any], after: Any) -> str:
    """An opaque place in the list that `query` describes; signed, so that it is ours."""
    place = orjson.dumps(after)
    return base64.urlsafe_b64encode(_signature(context, query, place) + place).decode()


def opened_cursor(context: Context, query: Sequence[Any], cursor: str | None) -> Any:
    """What was put in. Raises Problem 422 for a cursor that is not ours or of another list."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode())
    except ValueError:
        raw = b""
    signature, place = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if not place or not hmac.compare_digest(signature, _signature(context, query, place)):
        raise field_problem("cursor", "cursor", "is not a next_cursor of this list")
    return orjson.loads(place)


def opened_place(
    context: Context, query: Sequence[Any], cursor: str | None
) -> tuple[datetime, str] | None:
    """The time and id of the order that the page before ended with. Raises Problem 422."""
    opened = opened_cursor(context, query, cursor)
    return None if opened is None else (datetime.fromisoformat(opened[0]), opened[1])


def _signature(context: Context, query: Sequence[Any], place: bytes) -> bytes:
    signed = orjson.dumps([*query, orjson.Fragment(place)], default=str)
    return hmac.digest(context.digest_key, b"cursor" + signed, sha256)[:SIGNATURE_BYTES]


# -- personal values -----------------------------------------------------------------------------


def sealed_fields(value: Any, path: str = "") -> dict[str, str]:
    """Where personal values stand in an answer: path -> person."""
    if isinstance(value, Sealed):
        return {path: value.person}
    found: dict[str, str] = {}
    parts: Any = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list):
        parts = enumerate(value)
    for name, part in parts:
        found |= sealed_fields(part, f"{path}.{name}" if path else str(name))
    return found


def revealed(value: Any, opened: Open) -> Any:
    """The answer with every sealed value replaced by what `opened` makes of it."""
    if isinstance(value, Sealed):
        return opened(value.model_dump())
    if isinstance(value, Mapping):
        return {name: revealed(part, opened) for name, part in value.items()}
    if isinstance(value, list):
        return [revealed(part, opened) for part in value]
    return value
