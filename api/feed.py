"""The ordered feed of all events over HTTP, as pages and as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from api.answers import Answer, FeedPage
from api.context import Context, head_of
from api.events import Row, event_json
from api.permissions import Permission, needs
from api.problems import busy, field_problem, responses
from api.reads import POSITION_MAX, Reader
from commands.store import FEED

PAGE_EVENTS_MAX = 1_000
PAGE_EVENTS = 100
STREAMS_MAX = 100  # open at a time in one process
STREAM_SECONDS_MAX = 900.0  # then the client comes again with Last-Event-ID
KEEPALIVE_SECONDS = 15.0
POLL_SECONDS = 0.25

router = APIRouter(tags=["ledger"])


@router.get(
    "/v1/feed",
    response_model=FeedPage,
    responses={
        **responses(401, 403, 422, 503, 504),
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
    },
    summary="All events in order, without gaps",
    **needs(Permission.LEDGER_READ),
)
async def feed(
    reader: Reader,
    after: Annotated[int, Query(ge=0, le=POSITION_MAX, description="The last position seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_EVENTS_MAX)] = PAGE_EVENTS,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header(description="For streams: as `after`")] = None,
) -> Response:
    """Positions have no gaps, so a reader can prove that it missed nothing. Personal fields are
    masked. With `Accept: text/event-stream` the feed is streamed and goes on as events come.
    """
    if "text/event-stream" in accept:
        return _stream(reader.context, _resumed(last_event_id, after))
    await reader.reach(None)
    async with reader.context.reading() as connection:
        head, rows = await _page(connection, after, limit)
    events = [event_json(row) for row in rows]
    next_after = events[-1]["position"] if events else after
    return Answer({"events": events, "next_after": next_after, "head": head})


async def _page(connection: Any, after: int, limit: int) -> tuple[int, list[Row]]:
    """The head is read first: what is behind it may be on the page, never the reverse."""
    head = await head_of(connection)
    cursor = await connection.execute(FEED, [after, limit], binary=True)
    return head, await cursor.fetchall()


def _resumed(last_event_id: str | None, after: int) -> int:
    if last_event_id is None:
        return after
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        raise field_problem("Last-Event-ID", "position", "must be the position of an event")
    return int(last_event_id)


def _stream(context: Context, after: int) -> Response:
    if context.streams >= STREAMS_MAX:
        raise busy(f"{STREAMS_MAX} streams are open.")
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _events(context, after), media_type="text/event-stream", headers=headers
    )


async def _events(context: Context, after: int) -> AsyncIterator[bytes]:
    """Holds no connection while there is nothing to send."""
    ends = time.monotonic() + STREAM_SECONDS_MAX
    spoke = time.monotonic()
    context.streams += 1
    try:
        while time.monotonic() < ends and not context.ending:
            async with context.reading() as connection:
                rows = await _rows(connection, after)
            for row in rows:
                after = row[0]
                yield _message(row)
            if rows:
                spoke = time.monotonic()
            elif time.monotonic() - spoke > KEEPALIVE_SECONDS:
                spoke = time.monotonic()
                yield b": still here\n\n"
            if len(rows) < PAGE_EVENTS:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        context.streams -= 1


async def _rows(connection: Any, after: int) -> list[Row]:
    cursor = await connection.execute(FEED, [after, PAGE_EVENTS], binary=True)
    rows: list[Row] = await cursor.fetchall()
    return rows


def _message(row: Row) -> bytes:
    event = event_json(row)
    topic, position = event["topic"].encode(), event["position"]
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (position, topic, orjson.dumps(event))
