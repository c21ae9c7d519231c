"""What both edges know of payment providers: their signatures, and the one attempt of a notice."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from uuid import uuid5

from pydantic import SecretStr

from commands.runner import digest
from domain.message import Attempt
from domain.provider import NAMESPACE
from domain.provider_commands import Notice, RecordNotice

ORIGIN = "provider"  # of all that a provider has told; no API call has it
TOLERANCE_SECONDS = 300  # between a signature's time and ours, either way
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def actor(provider: str) -> str:
    return f"provider/{provider}"


def sign(secret: SecretStr, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Headers as of Standard Webhooks: an HMAC over id, time and the raw body."""
    seconds = str(int(at.timestamp()))
    return {
        ID: message_id,
        TIMESTAMP: seconds,
        SIGNATURE: _signature(secret, message_id, seconds, body),
    }


def _signature(secret: SecretStr, message_id: str, seconds: str, body: bytes) -> str:
    signed = b".".join([message_id.encode(), seconds.encode(), body])
    mac = hmac.digest(secret.get_secret_value().encode(), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(mac).decode()}"


def is_signed(secret: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Whether the provider has sent exactly this, and just now. Several signatures may stand beside
    each other while a secret is changed.
    """
    message_id, seconds = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not (message_id and seconds.isascii() and seconds.isdigit()):
        return False
    if abs(int(seconds[:12]) - now.timestamp()) > TOLERANCE_SECONDS:
        return False
    expected = _signature(secret, message_id, seconds, body).encode()
    given = headers.get(SIGNATURE, "").encode().split()
    matches = [hmac.compare_digest(expected, one) for one in given]
    return any(matches)


def recording(provider: str, notice: Notice, at: datetime) -> RecordNotice:
    """Raises pydantic's ValidationError for times that lie too far ahead."""
    return RecordNotice.model_validate(
        {**notice.model_dump(exclude_unset=True), "provider": provider, "at": at}
    )


def attempt(digest_key: bytes, provider: str, notice: Notice) -> Attempt:
    """By the provider's own id: by webhook, by file and in an answer it is one command for ever."""
    return named(digest_key, provider, notice.notice_id, notice.model_dump(mode="json"))


def named(digest_key: bytes, provider: str, key: str, request: object) -> Attempt:
    """An attempt of a provider whose ids all follow from `key`."""
    return Attempt(
        actor=actor(provider),
        origin=ORIGIN,
        command_id=uuid5(NAMESPACE, f"command {provider}/{key}"),
        correlation_id=uuid5(NAMESPACE, f"notice {provider}/{key.partition('#')[0]}"),
        causation_id=None,
        key=key,
        digest=digest(digest_key, request),
    )
