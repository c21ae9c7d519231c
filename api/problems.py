"""Errors as RFC 9457 problem details, each with a code that stays the same."""

from __future__ import annotations

import http
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from commands.committer import Busy
from commands.planning import KeyReused, not_found
from domain.message import Rejected
from domain.values import OfFields

MEDIA_TYPE = "application/problem+json"
ERRORS_MAX = 100  # fields named in one answer
FIELD_CHARACTERS_MAX = 200
RETRY_AFTER_SECONDS = 2
TYPE_PREFIX = "urn:order-ledger:problem:"

log = structlog.get_logger()


class FieldError(BaseModel):
    """One field that broke one rule. Never holds what was sent."""

    field: str
    rule: str
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. `code` is stable; `facts` are a refusal's numbers."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    facts: dict[str, Any] | None = None
    errors: list[FieldError] | None = None
    events: list[dict[str, Any]] | None = None


class Problem(Exception):
    """An answer that is not a success. `more` joins the body's members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        body = {
            "type": TYPE_PREFIX + self.code,
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }
        return Response(
            orjson.dumps(body, default=str), self.status, self.headers, media_type=MEDIA_TYPE
        )


def field_problem(field: str, rule: str, message: str) -> Problem:
    """422 that names one field."""
    return invalid([FieldError(field=field, rule=rule, message=message)])


def invalid(errors: Sequence[FieldError]) -> Problem:
    names = ", ".join(dict.fromkeys(error.field for error in errors))
    return Problem(
        422,
        "invalid",
        f"Not accepted: {names[:1_000]}.",
        errors=[error.model_dump() for error in errors],
    )


def field_errors(errors: Iterable[Mapping[str, Any]], skip: int = 0) -> list[FieldError]:
    """Pydantic's errors by field name; `skip` drops the leading parts of each location."""
    return list(islice(_named(errors, skip), ERRORS_MAX))


def _named(errors: Iterable[Mapping[str, Any]], skip: int) -> Iterator[FieldError]:
    """A rule over several fields names them itself."""
    for error in errors:
        place = [str(part) for part in error["loc"][skip:]]
        cause = error.get("ctx", {}).get("error")
        message = error["msg"].removeprefix("Value error, ")
        for name in cause.fields if isinstance(cause, OfFields) else [""]:
            field = ".".join([*place, name] if name else place) or "body"
            yield FieldError(
                field=field[:FIELD_CHARACTERS_MAX], rule=error["type"], message=message
            )


def of_refusal(refusal: Rejected) -> Problem:
    """A rule's refusal: 404 where something does not exist, else 409."""
    status = 404 if not_found(refusal) else 409
    return Problem(
        status, refusal.code, refusal.message or _words(refusal.code), facts=refusal.facts
    )


def _words(code: str) -> str:
    return code.replace("_", " ")


def busy(detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    after = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(503, "busy", detail, headers={**after, **(headers or {})})


def install(app: FastAPI) -> None:
    """Turn every exception that can leave a route into problem details."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, _asynchronous(handler))
    app.add_exception_handler(HTTPException, _http_exception)


def _asynchronous(handler: Callable[[Any], Problem]) -> Any:
    async def handle(_request: Request, error: Exception) -> Response:
        return handler(error).response()

    return handle


def _itself(error: Problem) -> Problem:
    return error


def _key_reused(_error: KeyReused) -> Problem:
    problem = field_problem("Idempotency-Key", "key_reused", "was used before for another request")
    problem.code = "key_reused"
    return problem


def _busy(error: Busy) -> Problem:
    return busy(str(error))


def _no_connection(_error: PoolTimeout) -> Problem:
    return busy("The database is not reachable, or all reading connections are in use.")


def _database_away(error: psycopg.OperationalError) -> Problem:
    log.warning("database away", error=str(error).strip())
    return busy("The database is not reachable.")


def _no_read_models(_error: psycopg.errors.UndefinedTable) -> Problem:
    return busy("The read models are not there yet: the worker that keeps them has not run.")


def _other_read_models(error: psycopg.errors.UndefinedColumn) -> Problem:
    log.error("read model of another version", error=str(error).strip())
    return busy("A read model is of another version: its worker, or a rebuild, has to run first.")


def _invalid_request(error: RequestValidationError) -> Problem:
    return invalid(field_errors(error.errors(), skip=1))


async def _http_exception(request: Request, error: Any) -> Response:
    code = HTTP_CODES.get(error.status_code, "http_error")
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _methods(request)
        detail = f"This path takes {headers['Allow']}."
    return Problem(error.status_code, code, detail, headers=headers).response()


def _methods(request: Request) -> str:
    """Of all routes of a path: the one that refused knows its own only."""
    alike = (
        route
        for route in request.app.routes
        if route.matches(dict(request.scope))[0] is not Match.NONE
    )
    return ", ".join(sorted({method for route in alike for method in route.methods}))


def _unexpected(error: Exception) -> Problem:
    log.error("request failed", error=repr(error), exc_info=error)
    return Problem(500, "internal_error", "This is our fault; it has been logged.")


HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
HANDLERS: dict[type[Exception], Callable[[Any], Problem]] = {
    Problem: _itself,
    Rejected: of_refusal,
    KeyReused: _key_reused,
    Busy: _busy,
    PoolTimeout: _no_connection,
    psycopg.OperationalError: _database_away,
    psycopg.errors.UndefinedTable: _no_read_models,
    psycopg.errors.UndefinedColumn: _other_read_models,
    RequestValidationError: _invalid_request,
    Exception: _unexpected,
}


# -- OpenAPI -----------------------------------------------------------------------------------

DESCRIPTIONS = {
    400: "Not readable as JSON",
    401: "X-Actor is missing or malformed",
    403: "The actor lacks the permission",
    404: "Not found",
    409: "A rule refused, or `stale_version` with the events in between",
    413: "The body is too large",
    415: "Of a media type that is not taken",
    422: "A field is wrong, or `key_reused`",
    503: "Try again after the seconds in Retry-After",
    504: "`min_position` was not reached in time",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declared error answers of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {
        status: {"description": DESCRIPTIONS[status], "content": content} for status in statuses
    }
