"""Who sends a request and under which name: headers to a sender and to a command's Attempt."""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass
from uuid import UUID

import orjson
from starlette.types import Scope

from api.problems import Problem, field_problem
from commands.runner import digest
from domain import number
from domain.message import Attempt

IDEMPOTENCY_KEY_BYTES_MAX = 4_096
IDEMPOTENCY_KEY_STORED_BYTES_MAX = 200  # longer ones are kept as their SHA-256
CORRELATION_BYTES_MAX = 100
NUMBER_SEEDS = number.SEED_MAX - number.SEED_MIN + 1
NUMBER_CANDIDATES = 3  # With a million orders, all are taken once in 700 million placements.

_ACTOR = re.compile(rb"[\x21-\x7e]{1,128}")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ETAG = re.compile(rb'"(0|[1-9][0-9]{0,8})"')

Headers = dict[bytes, bytes]  # as ASGI has them: names in lower case
# Of which a second one would leave open what was meant.
ONCE = frozenset({b"x-actor", b"x-correlation-id", b"idempotency-key", b"if-match"})


@dataclass(frozen=True, slots=True)
class Sender:
    """Who is calling, and the conversation that the call belongs to."""

    actor: str
    correlation_id: UUID


def uuid7() -> UUID:
    """A new id whose first 48 bits are milliseconds, so that new rows stand together (RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    high = milliseconds << 16 | 0x7000 | random >> 68
    low = 1 << 63 | random & (1 << 62) - 1
    return UUID(int=high << 64 | low)


def new_id() -> str:
    return str(uuid7())


def new_numbers() -> tuple[str, ...]:
    """Candidates for the number of an order, drawn anew for each attempt."""
    drawn = memoryview(os.urandom(8 * NUMBER_CANDIDATES)).cast("Q")
    return tuple(number.from_seed(number.SEED_MIN + one % NUMBER_SEEDS) for one in drawn)


def headers_of(scope: Scope) -> Headers:
    """By name. Raises Problem 422 for one of ours that stands twice."""
    sent = scope["headers"]
    headers: Headers = dict(sent)
    if len(headers) != len(sent):
        _refuse_repeated([name for name, _ in sent])
    return headers


def _refuse_repeated(names: list[bytes]) -> None:
    for name in sorted(ONCE):
        if names.count(name) > 1:
            raise field_problem(name.decode().title(), "repeated", "must stand once")


def sender(headers: Headers) -> Sender:
    """The caller. Raises Problem 401 without a well-formed X-Actor, 422 for X-Correlation-Id."""
    actor = headers.get(b"x-actor", b"")
    if not _ACTOR.fullmatch(actor):
        raise Problem(
            401,
            "actor_missing",
            "The header X-Actor must name who is calling: 1 to 128 visible ASCII characters.",
            headers={"WWW-Authenticate": "X-Actor"},
        )
    return Sender(actor.decode("ascii"), _correlation_id(headers))


def _correlation_id(headers: Headers) -> UUID:
    given = headers.get(b"x-correlation-id")
    if given is None:
        return uuid7()
    try:
        return UUID(given[:CORRELATION_BYTES_MAX].decode("ascii"))
    except ValueError:
        raise field_problem("X-Correlation-Id", "uuid", "must be a UUID") from None


def attempt(
    sender: Sender, headers: Headers, digest_key: bytes, method: str, path: str, canonical: bytes
) -> Attempt:
    """The metadata of one command. The digest covers method, path and canonical JSON body."""
    command_id = uuid7()
    return Attempt(
        actor=sender.actor,
        origin="api",
        command_id=command_id,
        correlation_id=sender.correlation_id,
        causation_id=None,
        key=idempotency_key(headers) or str(command_id),
        digest=digest(digest_key, [method, path, orjson.Fragment(canonical)]),
    )


def idempotency_key(headers: Headers) -> str | None:
    """The caller's name for this attempt; a long one as `sha256:…`. Raises Problem 422."""
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    if not given or len(given) > IDEMPOTENCY_KEY_BYTES_MAX or _CONTROL.search(given):
        raise field_problem(
            "Idempotency-Key",
            "length",
            f"must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes without control characters",
        )
    try:
        text = given.decode()
    except UnicodeDecodeError:
        raise field_problem("Idempotency-Key", "utf8", "must be UTF-8") from None
    if len(given) > IDEMPOTENCY_KEY_STORED_BYTES_MAX:
        return f"sha256:{hashlib.sha256(given).hexdigest()}"
    return text


def expected_version(headers: Headers) -> int | None:
    """The version that If-Match asks for. Raises Problem 422 unless it is one quoted version."""
    given = headers.get(b"if-match")
    if given is None:
        return None
    found = _ETAG.fullmatch(given.strip())
    if found is None:
        raise field_problem("If-Match", "etag", 'must be one quoted version, such as "3"')
    return int(found[1])
