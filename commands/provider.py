"""What both edges know of payment providers: their signatures, and the one attempt of a notice."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid5

from pydantic import SecretStr

from commands.runner import digest
from domain.message import Attempt
from domain.provider import NAMESPACE
from domain.provider_commands import KeepConflict, Notice, RecordNotice

ORIGIN = "provider"  # of all that a provider has told; no API call has it
TOLERANCE_SECONDS = 300  # between a signature's time and ours, either way
ENCODED = "whsec_"  # what stands before a key in base64
LATER_FIELDS = frozenset({"payer", "fee_minor"})
CONFLICT_CHARACTERS = 16  # of a digest
CONFLICT_ID_CHARACTERS = 70  # of the provider's id
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
    mac = hmac.digest(_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(mac).decode()}"


def _key(secret: SecretStr) -> bytes:
    """As Standard Webhooks has it: base64 behind `whsec_`. Anything else is the key as it is."""
    text = secret.get_secret_value()
    encoded = text.removeprefix(ENCODED)
    if encoded == text:
        return text.encode()
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return text.encode()


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
    return named(digest_key, provider, notice.notice_id, _request(notice))


def _request(notice: Notice) -> dict[str, Any]:
    """What a digest is made of. Fields that notices did not always have count only where they are
    told: what was told before they were known is the same notice today.
    """
    told = notice.model_dump(mode="json")
    return {k: v for k, v in told.items() if v is not None or k not in LATER_FIELDS}


def conflict(
    digest_key: bytes, provider: str, notice: Notice, at: datetime
) -> tuple[KeepConflict, Attempt]:
    """How a notice is kept whose id was told before with another body: under an id of its own,
    which is the same whenever this body comes again.
    """
    request = _request(notice)
    mark = digest(digest_key, request).hex()[:CONFLICT_CHARACTERS]
    name = f"{notice.notice_id[:CONFLICT_ID_CHARACTERS]}:conflict-{mark}"
    told = notice.model_dump(exclude_unset=True) | {"notice_id": name}
    command = KeepConflict.model_validate({**told, "provider": provider, "at": at})
    return command, named(digest_key, provider, name, request)


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
