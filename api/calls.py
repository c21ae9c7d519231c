"""Runs commands over HTTP: request to body and attempt, command to committer, outcome to JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from types import UnionType
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

import orjson
from fastapi import Depends, Header
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from api import attempts, permissions
from api.answers import Answer, etag
from api.attempts import Headers, Sender, uuid7
from api.body_encoding import why_unreadable
from api.context import Context
from api.events import changes_since
from api.problems import Problem, busy, field_errors, field_problem, invalid
from api.reads import identifier
from commands.committer import Busy, Preview
from commands.planning import Outcome, StaleVersion
from domain.command_types import with_ids
from domain.message import Attempt, Command, Rejected, StreamName

BODY_BYTES_MAX = 1 << 20

C = TypeVar("C", bound=Command)


class Unmatched(Enum):
    """Why an If-Match has no stream whose version it could name."""

    NEVER_CONFLICTS = auto()  # DOMAIN.md, 'Modification': applied whatever version there is
    NO_VERSION = auto()  # nothing is there yet, or several things with a version each


class CommandCall:
    """One command on its way: who sends it, when, under which name, against which version."""

    __slots__ = ("at", "attempt", "context", "headers", "sender")

    def __init__(
        self, context: Context, headers: Headers, sender: Sender, attempt: Attempt
    ) -> None:
        self.context = context
        self.headers = headers
        self.sender = sender
        self.attempt = attempt
        self.at = datetime.now(UTC)

    def command(self, kind: type[C], body: BaseModel, **ids: Any) -> C:
        """The command of a body at the time of this call. Raises Problem 422 that names fields."""
        try:
            return with_ids(kind, body, **ids, at=self.at)
        except ValidationError as error:
            raise _invalid(error) from None

    def valid(self, kind: type[C], values: Mapping[str, Any]) -> C:
        """The command of values at the time of this call. Raises Problem 422 that names fields."""
        return cast(C, validated(kind, {**values, "at": self.at}))

    async def ids(self, order_id: str, **others: str) -> dict[str, str]:
        """The order's id, for what names it in a path, and the other ids of that path. Raises
        Problem 404 or 422.
        """
        found = await self.context.order_id(order_id)
        return {
            "order_id": found,
            **{name: identifier(name, text) for name, text in others.items()},
        }

    async def run(
        self, command: Command, about: StreamName | Unmatched, *, status: int = 200
    ) -> Answer:
        """Run it; `about` is what an If-Match names. What was recorded before under another name
        is answered with 200. Raises what the committer raises.
        """
        if_match = self._if_match(about)
        try:
            outcome = await self._outcome(command, self.attempt, if_match)
        except StaleVersion as stale:
            raise await _stale(self.context, stale) from None
        except Rejected as refusal:
            if refusal.code != "preview_differs" or isinstance(about, Unmatched):
                raise
            raise await _differs(self.context, refusal, about) from None
        return self._answer(outcome, 200 if outcome.body.get("already_recorded") else status)

    async def preview(self, command: Command) -> Preview:
        """What it would come to; raises what the committer raises."""
        self.without_version()
        return await self.context.committer.preview(command, self.attempt)

    def without_version(self) -> None:
        """Raises Problem 422 for an If-Match: nothing is changed, or more than one thing."""
        self._if_match(Unmatched.NO_VERSION)

    async def run_as(self, number: int, command: Command) -> Outcome:
        """One of several commands of a call, from 0: each is an attempt with a name of its own
        under that of the call, so that the call as a whole can be sent again.
        """
        attempt = self.attempt
        if number:
            own = f"{attempt.key}/{number}"
            cause = attempt.command_id
            attempt = replace(attempt, command_id=uuid7(), key=own, causation_id=cause)
        return await self._outcome(command, attempt)

    async def _outcome(
        self,
        command: Command,
        attempt: Attempt,
        if_match: tuple[StreamName, int] | None = None,
    ) -> Outcome:
        try:
            return await self.context.committer.run(command, attempt, if_match)
        except Busy as error:
            # Nobody knows whether it was done: this is the key to send the call again under.
            raise busy(str(error), self._names()) from None

    def _if_match(self, about: StreamName | Unmatched) -> tuple[StreamName, int] | None:
        """Raises Problem 422 rather than pass over a condition that it cannot check."""
        version = attempts.expected_version(self.headers)
        if version is None or about is Unmatched.NEVER_CONFLICTS:
            return None
        if isinstance(about, Unmatched):
            raise field_problem(
                "If-Match", "no_version", "is not taken here: there is no one version to match"
            )
        return about, version

    def _names(self) -> dict[str, str]:
        """The headers that name this call, whatever came of it."""
        correlation_id = str(self.attempt.correlation_id)
        return {"idempotency-key": self.attempt.key, "x-correlation-id": correlation_id}

    def answer(self, outcome: Outcome, status: int = 200, **more: Any) -> Answer:
        """An outcome as it is answered; `more` joins its body."""
        return self._answer(replace(outcome, body={**outcome.body, **more}), status)

    def _answer(self, outcome: Outcome, status: int) -> Answer:
        names = ((name.encode(), value.encode()) for name, value in self._names().items())
        headers = [etag(outcome.body["version"]), *names]
        if outcome.repeated:
            headers.append((b"idempotency-replayed", b"true"))
        return Answer({**outcome.body, "position": outcome.position}, status, headers)


async def _stale(context: Context, stale: StaleVersion) -> Problem:
    kind = stale.stream.category
    if stale.actual == 0:
        return Problem(404, f"{kind}_not_found", f"There is no such {kind}.")
    return Problem(
        409,
        "stale_version",
        f"Version {stale.expected} was expected, {stale.actual} was found.",
        facts={"expected": stale.expected, "actual": stale.actual},
        events=await changes_since(context, stale.stream, stale.expected),
        headers={"ETag": f'"{stale.actual}"'},
    )


async def _differs(context: Context, refusal: Rejected, stream: StreamName) -> Problem:
    """What was previewed is not what would be done by now: tell what came in between."""
    since = refusal.facts["version"]
    return Problem(
        409,
        refusal.code,
        refusal.message,
        facts=refusal.facts,
        events=await changes_since(context, stream, since),
    )


def _declared(
    x_actor: Annotated[str, Header(description="Who is calling: an opaque id, never a name")],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Your name for this attempt, any text. Sent again, it is answered with the "
            "first outcome, for ever. The one used is returned."
        ),
    ] = None,
    x_correlation_id: Annotated[
        str | None, Header(description="UUID of the conversation that this belongs to")
    ] = None,
) -> CommandCall:
    """For OpenAPI only: CommandRoute reads these headers itself."""
    raise AssertionError(x_actor, idempotency_key, x_correlation_id)


Call = Annotated[CommandCall, Depends(_declared)]


def _declared_matched(
    call: Call,
    if_match: Annotated[
        str | None,
        Header(
            description='The version that you have seen, such as "3". If there is another by now, '
            "the answer is 409 `stale_version` with the events in between."
        ),
    ] = None,
) -> CommandCall:
    raise AssertionError(call, if_match)


MatchedCall = Annotated[CommandCall, Depends(_declared_matched)]  # it honours an If-Match


class CommandRoute(APIRoute):
    """FastAPI documents it from its signature; it runs by our own few lines.

    Binding four headers, a body and the dependencies FastAPI's way took 140 of 350 microseconds
    of a placement. An endpoint takes `call`, its path parameters and `body` where it has one.
    """

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        permission = permissions.declared(self)
        assert permission is not None, f"{path} declares no permission"
        hint = get_type_hints(endpoint).get("body")
        body_types = get_args(hint) if isinstance(hint, UnionType) else hint and (hint,)
        body_bytes_max = (self.openapi_extra or {}).get("x-body-bytes-max", BODY_BYTES_MAX)
        self.app = _served(endpoint, permission, body_types or (), body_bytes_max)


def _served(
    endpoint: Any,
    permission: permissions.Permission,
    body_types: tuple[type[BaseModel], ...],
    body_bytes_max: int,
) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        context: Context = scope["app"].state.context
        headers = attempts.headers_of(scope)
        sender = attempts.sender(headers)
        permissions.require(sender.actor, permission)
        arguments = dict(scope["path_params"])
        canonical = b"null"
        if body_types:
            raw = await read_body(headers, receive, body_bytes_max)
            canonical, sent = parsed(raw, headers.get(b"content-type", b""))
            arguments["body"] = validated(body_types[0], sent, *body_types[1:])
        attempt = attempts.attempt(
            sender,
            headers,
            context.digest_key,
            scope["method"],
            scope["path"],
            canonical,
        )
        answer: Answer = await endpoint(
            call=CommandCall(context, headers, sender, attempt), **arguments
        )
        await answer(scope, receive, send)

    return app


async def read_body(headers: Headers, receive: Receive, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body, up to `bytes_max`. Raises Problem 413 without reading more."""
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "unparsable", "The body ended early.")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(bytes_max: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"A body may have {bytes_max} bytes.",
        headers={"Connection": "close"},
    )


def parsed(raw: bytes, content_type: bytes = b"") -> tuple[bytes, Any]:
    """Canonical JSON (sorted keys) and the value; no body counts as {}. Raises Problem 400, which
    names the encoding of what is not UTF-8.
    """
    try:
        value = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as error:
        raise Problem(400, "unparsable", why_unreadable(raw, content_type, error)) from None
    try:
        canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # It writes fewer levels than it reads.
        raise Problem(400, "unparsable", "The body is nested too deeply.") from None
    # A key that stands twice is lost in parsing, and its colon with it; a colon in a string stays,
    # unless it was written as an escape. Counting is far cheaper than a parser that looks at keys.
    if raw.count(b":") != canonical.count(b":") or b"\\u003" in raw:
        _refuse_repeated_keys(raw)
    return canonical, value


def _refuse_repeated_keys(raw: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                message = f"The key {key[:200]!r} stands twice in one object."
                raise Problem(400, "unparsable", message)
            found[key] = value
        return found

    json.loads(raw or b"{}", object_pairs_hook=once)  # orjson has no hook for pairs.


def validated(body_type: type[BaseModel], value: Any, *others: type[BaseModel]) -> BaseModel:
    """The body as its model, or as the first of the others that it is.

    Raises Problem 422 that names every field of the first.
    """
    try:
        return body_type.__pydantic_validator__.validate_python(value)  # type: ignore[no-any-return]
    except ValidationError as error:
        for other in others:
            with suppress(ValidationError):
                return other.model_validate(value)
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_input=False)
    return invalid(field_errors(found))


def example(summary: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """One OpenAPI example of a body; a test sends every one."""
    return {"openapi_examples": {"example": {"summary": summary, "value": value}}}
