"""What facts tell of an order beyond the state that decides: when, by whom and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.message import Sealed
from domain.values import Quantity


@dataclass(frozen=True)
class Told:
    """A time, and the position of the event that told it."""

    at: datetime
    position: int


@dataclass(frozen=True)
class Estimate:
    """When a parcel was expected, by a word given at `at`."""

    parcel_id: str
    estimated_at: datetime
    at: datetime
    position: int


@dataclass(frozen=True)
class PaymentTold:
    method: str
    amount_minor: int
    reference: str
    at: datetime
    position: int
    payer: str | Sealed | None = None
    fee_minor: int = 0  # of the amount, kept by carrier or provider
    from_order_id: str | None = None  # where it was booked before


@dataclass(frozen=True)
class RefundTold:
    amount_minor: int
    reason: str
    requested_at: datetime | None
    position: int
    method: str | None = None
    reference: str | None = None
    paid_at: datetime | None = None
    text: str | Sealed | None = None
    approved_at: datetime | None = None
    approved_by: str | None = None  # actor, or `policy`
    denied_at: datetime | None = None
    denied_reason: str | Sealed | None = None
    failed_at: datetime | None = None
    failure: str | None = None  # code of the provider or bank
    evidence_asked: str | Sealed | None = None


@dataclass(frozen=True)
class CameBack:
    """Units that came back in one condition."""

    line_no: int
    quantity: Quantity
    condition: str
    restocked: bool
    at: datetime


@dataclass(frozen=True)
class ReturnTold:
    reason: str
    requested_at: datetime
    position: int
    text: str | Sealed | None = None
    postage: str | None = None  # who pays the way back
    label: str | None = None
    received: tuple[CameBack, ...] = ()
    fee_minor: int = 0  # for restocking of what was not paid: it stays owed
    shipping_minor: int = 0  # owed no longer since these goods came
    denied_reason: str | Sealed | None = None
    closed_at: datetime | None = None
    closed_reason: str | Sealed | None = None


@dataclass(frozen=True)
class CompensationTold:
    """Money beyond the price."""

    amount_minor: int
    reason: str
    method: str
    reference: str
    at: datetime
    position: int
    text: str | Sealed | None = None


@dataclass(frozen=True)
class OverrideTold:
    """Why a dimension is shown as something else than the facts say."""

    value: str
    prior: str
    sticky: bool
    reason: str | Sealed
    actor: str
    at: datetime
    position: int


@dataclass(frozen=True)
class Remark:
    """A note, or feedback with its score."""

    id: str
    at: datetime
    position: int
    text: str | Sealed | None = None
    score: int | None = None
    actor: str | None = None
