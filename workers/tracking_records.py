"""What a carrier's record in Kafka says: an update, or why there is none to read."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid5

from pydantic import ValidationError

from domain.command_types import Handle
from domain.message import Attempt
from domain.parcel_commands import TrackParcel
from domain.parcel_facts import Milestone
from domain.times import Recordable, Utc
from domain.values import Identifier, Text, Value

FORMAT_HEADER = "format"  # absent or FORMAT: our normalised form
FORMAT = "ledger"
# A scan "from the future" would outrank every true one that follows; clocks and zones are off by
# hours, not by years.
FUTURE_MAX = timedelta(days=366)
REASON_LENGTH_MAX = 1_000  # characters
ERRORS_NAMED_MAX = 5
FIELD_NAME = re.compile("[a-z][a-z_]{0,39}")
NAMESPACE = UUID("b0a5c6f1-6f4e-5d0c-8a43-6b0f3f1d2c90")  # of the ids that a record's place gives

Headers = Iterable[tuple[str, bytes]]


class TrackingUpdate(Value):
    """The normalised form of one scan, as the topic's values carry it."""

    event_id: Identifier
    carrier: Handle
    tracking_number: Identifier
    milestone: Milestone
    occurred_at: Recordable  # by the carrier's clock
    location: Text | None = None
    note: Text | None = None
    estimated_at: Utc | None = None

    @property
    def tracking(self) -> str:
        """Key of the claim by which the parcel is found."""
        return f"{self.carrier}/{self.tracking_number}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a record is no update. Names fields, never their values: those may be personal."""

    reason: str


def decode(value: bytes | None, headers: Headers, now: datetime) -> TrackingUpdate | Unreadable:
    """The update that a record's value holds, or why it holds none. Never raises."""
    if not value:
        return Unreadable("the value is empty")
    for name, content in headers:
        if name == FORMAT_HEADER and content != FORMAT.encode():
            return Unreadable("the header format names a form that is not known")
    try:
        update: TrackingUpdate = TrackingUpdate.__pydantic_validator__.validate_json(value)
    except ValidationError as error:
        return Unreadable(_reason(error))
    except RecursionError:
        return Unreadable("nested too deeply")
    if update.occurred_at - now > FUTURE_MAX:
        return Unreadable(f"occurred_at: lies more than {FUTURE_MAX.days} days ahead")
    return update


def _reason(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    named = [
        f"{'.'.join(map(_name, one['loc'])) or 'value'}: {one['msg']}"
        for one in found[:ERRORS_NAMED_MAX]
    ]
    return "; ".join(named)[:REASON_LENGTH_MAX]


def _name(part: int | str) -> str:
    """An unknown field's name is a stranger's text: said only where it reads like a name of ours,
    and not like that of a person or a telephone.
    """
    plain = isinstance(part, int) or FIELD_NAME.fullmatch(part)
    return str(part) if plain else "a field of no plain name"


def track(update: TrackingUpdate, parcel_id: str, at: datetime) -> TrackParcel:
    """The command, not validated again: its fields have the same types as the update's."""
    return TrackParcel.model_construct(parcel_id=parcel_id, at=at, **update.__dict__)


@lru_cache(maxsize=20_000)
def _journey(tracking: str) -> UUID:
    return uuid5(NAMESPACE, f"journey {tracking}")


def attempt(source: str, update: TrackingUpdate, value: bytes, digest_key: bytes) -> Attempt:
    """The one attempt of the record at `source`, equal however often that record is read.

    The key is the record's place, with the ids of cluster and topic: a topic made anew begins at
    offset 0 again, and a carrier's event_id is not to be relied on. Correlation is the journey of
    the parcel, causation the carrier's event.
    """
    return Attempt(
        actor=f"carrier/{update.carrier}",
        origin="tracking",
        command_id=uuid5(NAMESPACE, source),
        correlation_id=_journey(update.tracking),
        causation_id=uuid5(NAMESPACE, f"event {update.carrier}/{update.event_id}"),
        key=source,
        digest=hmac.digest(digest_key, value, hashlib.sha256),
    )
