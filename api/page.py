"""The live page at `/` until the console comes, and the documentation of the API at `/docs`."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from importlib import resources
from itertools import zip_longest
from typing import Any

import orjson
import psycopg
from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from psycopg_pool import PoolTimeout
from starlette.responses import Response, StreamingResponse

from api import body_fields
from api.answers import Answer
from api.context import Context
from api.health import lag_of
from api.permissions import Permission, needs
from api.problems import Problem, busy
from domain.money import CURRENCIES, format_minor
from domain.order_status import LABELS
from projections import order_status
from projections.order_status import OrderFilters

ORDERS_SHOWN = 20
REFRESH_SECONDS = 1.0
STREAM_SECONDS_MAX = 900.0  # the browser connects anew by itself
STREAMS_MAX = 50  # pages open at a time in one process
KEEPALIVE_TURNS = 15  # refreshes without a change

MEDIA_TYPES = {
    "page.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)
templates = Environment(
    loader=PackageLoader("api"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def with_code(text: str) -> Markup:
    """Text whose `backticks` become code; all of it escaped."""
    parts = text.split("`")
    shown = (Markup("<code>{}</code>").format(part) for part in parts[1::2])
    return Markup("").join(part for pair in zip_longest(parts[::2], shown) for part in pair if part)


templates.filters["with_code"] = with_code


class LivePicture:
    """What the page shows, read at most once a second for all who look. No personal data."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._lock = asyncio.Lock()
        self._read_at = -REFRESH_SECONDS
        self._picture = b""
        self.streams = 0

    async def now(self) -> bytes:
        async with self._lock:
            if time.monotonic() - self._read_at >= REFRESH_SECONDS:
                self._picture = orjson.dumps(await self._read())
                self._read_at = time.monotonic()
            return self._picture

    async def _read(self) -> dict[str, Any]:
        try:
            lag = await lag_of(self.context)
            async with self.context.reading() as connection:
                listed = await order_status.list_orders(
                    connection, OrderFilters(), limit=ORDERS_SHOWN
                )
                counts, _ = await order_status.order_counts(connection)
        except psycopg.errors.UndefinedTable:  # The projector has not run yet.
            listed, counts = {"items": []}, {}
        except (PoolTimeout, psycopg.Error):
            return {"down": True}
        return {
            "head": lag["head"],
            "projections": [
                {name: one[name] for name in ("name", "position", "lag_events", "parked")}
                | {"lag_seconds": round(one["lag_seconds"], 1)}
                for one in lag["projections"]
            ],
            "orders": [_order(one) for one in listed["items"]],
            "counts": _counts(counts),
        }


def _order(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": row["number"],
        "status": row["status"],
        **_labels(row["status"]),
        "channel": row["channel"],
        "customer_id": row["customer_id"],
        "total": f"{_amount(row['total_minor'], row['currency'])} {row['currency']}",
        "placed_at": row["placed_at"],
    }


def _amount(minor: int, currency: str) -> str:
    """Imports may have a currency that nobody knows: then minor units as they are."""
    return format_minor(minor, currency) if currency in CURRENCIES else str(minor)


def _counts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Every headline in its usual order, also those that no order has."""
    shown = [code for code in LABELS if code != "void"]
    return [{"status": code, **_labels(code), "count": counts.get(code, 0)} for code in shown]


def _labels(code: str) -> dict[str, str]:
    return {"zh": LABELS.get(code, code), "en": code.replace("_", " ")}


@router.get("/", **needs(Permission.PUBLIC))
async def page() -> Response:
    return _html("page.html")


@router.get("/live", **needs(Permission.PUBLIC))
async def live(request: Request) -> Response:
    """The picture whenever it changes, as server-sent events."""
    picture: LivePicture = request.app.state.picture
    if picture.streams >= STREAMS_MAX:
        raise busy(f"{STREAMS_MAX} pages are open.")
    return StreamingResponse(
        _pictures(picture), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


async def _pictures(picture: LivePicture) -> AsyncIterator[bytes]:
    ends, seen, quiet = time.monotonic() + STREAM_SECONDS_MAX, b"", 0
    picture.streams += 1
    try:
        while time.monotonic() < ends and not picture.context.ending:
            newest = await picture.now()
            quiet += 1
            if newest != seen:
                seen, quiet = newest, 0
                yield b"data: " + newest + b"\n\n"
            elif quiet >= KEEPALIVE_TURNS:
                quiet = 0
                yield b": still here\n\n"
            await asyncio.sleep(REFRESH_SECONDS)
    finally:
        picture.streams -= 1


@router.get("/static/{name}", **needs(Permission.PUBLIC))
async def static(name: str) -> Response:
    if name not in MEDIA_TYPES:
        raise Problem(404, "not_found", "There is no such file.")
    content = (resources.files("api") / "static" / name).read_bytes()
    return Response(content, media_type=MEDIA_TYPES[name], headers=HEADERS)


@router.get("/openapi.json", **needs(Permission.PUBLIC))
async def openapi(request: Request) -> Answer:
    return Answer(request.app.openapi())


@router.get("/docs", **needs(Permission.PUBLIC))
async def documentation(request: Request) -> Response:
    """Rendered here from the OpenAPI description: needs no script and no other host."""
    base = str(request.base_url).rstrip("/")
    return _html("docs.html", groups=_groups(request.app.openapi(), base))


def _html(template: str, **values: Any) -> Response:
    content = templates.get_template(template).render(**values)
    return Response(content, media_type="text/html", headers=HEADERS)


def _groups(schema: dict[str, Any], base: str) -> dict[str, list[dict[str, Any]]]:
    """The operations by tag, each with a curl command that runs."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            described = {
                "method": method.upper(),
                "path": path,
                "summary": operation["summary"],
                "description": operation.get("description", ""),
                "permission": operation["x-permission"],
                "parameters": operation.get("parameters", []),
                "bodies": body_fields.shapes(schema, operation),
                "answers": {
                    status: answer["description"]
                    for status, answer in operation["responses"].items()
                },
                "curl": _curl(method.upper(), _url(base + path, operation), operation),
            }
            groups.setdefault(operation["tags"][0], []).append(described)
    return groups


def _url(url: str, operation: Mapping[str, Any]) -> str:
    """With variables of the shell for what the path names, which curl would take for a choice,
    and an example of each query parameter that is required.
    """
    query = "&".join(
        f"{one['name']}={one['schema']['examples'][0]}"
        for one in operation.get("parameters", [])
        if one["in"] == "query" and one["required"]
    )
    filled = re.sub(r"\{(\w+)\}", lambda name: f"${name[1].upper()}", url)
    return f"{filled}?{query}" if query else filled


def _curl(method: str, url: str, operation: Mapping[str, Any]) -> str:
    parts = [f'curl "{url}"' if method == "GET" else f'curl -X {method} "{url}"']
    if operation["x-permission"] != Permission.PUBLIC:
        parts.append("-H 'X-Actor: you'")
    content = operation.get("requestBody", {}).get("content", {})
    if content and "application/json" not in content:
        parts += [f"-H 'Content-Type: {next(iter(content))}'", "--data-binary @file"]
    for one in content.get("application/json", {}).get("examples", {}).values():
        text = json.dumps(one["value"], ensure_ascii=False).replace("'", "'\\''")
        parts.append(f"-d '{text}'")
    return " \\\n  ".join(parts)
