"""Query strings are read strictly, for all routes: what a route does not know, it refuses."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from urllib.parse import parse_qsl, quote

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from api import attempts, permissions
from api.permissions import Permission
from api.problems import ERRORS_MAX, FIELD_CHARACTERS_MAX, FieldError, invalid

ASCII = bytes(range(128))


def strict(route: BaseRoute) -> APIRoute:
    """The same route, which answers 422 to a parameter that is unknown, repeated or no UTF-8."""
    assert isinstance(route, APIRoute)
    guarded, known, permission = copy(route), parameters(route), permissions.declared(route)
    assert permission is not None, f"{route.path} declares no permission"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"]:
            scope["query_string"] = _encoded(scope["query_string"])
            _check(scope, known, permission)
        await route.app(scope, receive, send)

    guarded.app = app
    return guarded


def parameters(route: APIRoute) -> tuple[str, ...]:
    """The names of the query parameters that a route takes, in alphabetical order."""
    taken = get_flat_params(route.dependant)
    return tuple(sorted(one.alias for one in taken if isinstance(one.field_info, Query)))


def _encoded(query: bytes) -> bytes:
    """Percent-encoded: what curl sends as it was typed would be read as Latin-1."""
    return query if query.isascii() else quote(query, safe=ASCII).encode()


def _check(scope: Scope, known: Collection[str], permission: Permission) -> None:
    """Raises Problem 422; before it 401 and 403, since who may not ask is told only that."""
    errors = list(_errors(scope["query_string"].decode("ascii"), known))
    if not errors:
        return
    if permission is not Permission.PUBLIC:
        permissions.require(attempts.sender(attempts.headers_of(scope)).actor, permission)
    raise invalid(errors[:ERRORS_MAX])


def _errors(query: str, known: Collection[str]) -> Iterator[FieldError]:
    seen = set[str]()
    for name, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape"):
        if name not in known:
            there_are = ", ".join(known) or "none"
            message = f"is no parameter of this query; there are: {there_are}"
            yield FieldError(field=_shown(name), rule="extra_forbidden", message=message)
        elif name in seen:
            yield FieldError(field=name, rule="repeated", message="must stand once")
        elif not _is_text(value):
            yield FieldError(field=name, rule="utf8", message="must be percent-encoded UTF-8")
        seen.add(name)


def _is_text(value: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in value)


def _shown(name: str) -> str:
    """A name as it can be answered: it may be anything."""
    return name.encode(errors="replace").decode()[:FIELD_CHARACTERS_MAX] or "query"
