"""The outermost layer of the API, plain ASGI: who may call from where, headers, measurement."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import Context
from api.problems import Problem

USUAL_HOSTS = frozenset({"localhost", "127.0.0.1"})
UNROUTED = "unrouted"
SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]


def is_loopback(host: str) -> bool:
    """Whether a host to listen on, or to be called by, is this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(headers: Any) -> str:
    """The name in the Host header, without its port."""
    for name, value in headers:
        if name == b"host":
            text: str = value.decode("latin-1")
            bare = text if text.endswith("]") else text.rpartition(":")[0] or text
            return bare.strip("[]").lower()
    return ""


class Edge:
    """Until accounts exist X-Actor is believed, so only this machine may ask, by its own name:
    otherwise a page that a browser has open could call us through a name of its own.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context
        self._series: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = host_name(scope["headers"])
        if host not in USUAL_HOSTS and not is_loopback(host):
            problem = Problem(403, "foreign_host", "Call this API by its loopback address.")
            await problem.response()(scope, receive, send)
            return
        await self._measured(scope, receive, send)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", UNROUTED)
        key = (scope["method"] if route != UNROUTED else "", route, status)
        series = self._series.get(key)
        if series is None:
            method = key[0]
            series = self._series[key] = (
                self.context.requests.labels(method, route, str(status)),
                self.context.seconds.labels(method, route),
            )
        series[0].inc()
        series[1].observe(seconds)
