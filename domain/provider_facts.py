"""The facts of a payment provider: what it told us, what became of that, and payouts by it.

Topics and fields are the storage format, so a version never changes. Amounts are minor units. A
provider knows orders and payments by ids; personal is only the payer's name, where it is told.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from domain.message import Event, Made, Personal

NoticeKind = Literal[
    "authorised",
    "captured",
    "voided",
    "failed",
    "refunded",
    "refund_failed",
    "chargeback_opened",
    "chargeback_won",
    "chargeback_lost",
]


NoticeMethod = Literal["credit_card", "alipay", "wechat_pay", "bank_transfer"]


class NoticeReceived(Event, topic="provider_notice.received.v2"):
    """As the provider tells it, at its own time. Kept first, applied to an order afterwards.

    Version 1 had neither payer nor fee.
    """

    provider: str
    notice_id: str  # the provider's
    kind: NoticeKind
    order_ref: str  # what the provider was told: the order's id, number or external reference
    shop: str  # of an external reference
    payment: str  # the provider's id of the charge
    capture: str | None = None  # the provider's id of a capture of an authorisation
    dispute: str | None = None  # the provider's id of a chargeback
    key: str | None = None  # the idempotency key of what we asked for
    method: NoticeMethod
    amount_minor: int
    currency: str
    code: str | None = None  # why it failed, or is charged back
    expires_at: AwareDatetime | None = None
    respond_by: AwareDatetime | None = None
    person: str = ""  # whose key seals the payer: it is nobody's that we know
    payer: Personal[str] | None = None
    fee_minor: int | None = None  # that the provider keeps of the amount


class NoticeApplied(Event, topic="provider_notice.applied.v1"):
    """The order knows. `superseded`: it knew better already, and nothing was changed."""

    provider: str
    notice_id: str
    order_id: str
    outcome: Literal["recorded", "superseded"]


class NoticeSetAside(Event, topic="provider_notice.set_aside.v1"):
    """Nothing could be made of it by itself: money that a person has to look after.

    `conflicting_notice`: its id was told before with another body, which counts. This one is kept
    under an id of ours that begins with theirs.
    """

    provider: str
    notice_id: str
    code: str  # of the rule that refused it
    order_id: str | None = None


class NoticeAssigned(Event, topic="provider_notice.assigned.v1"):
    """A person has said which order it belongs to, or that it can be tried again."""

    provider: str
    notice_id: str
    order_id: str


class PayoutPart(Made):
    """What goes back to one payment, asked for under `key`."""

    key: str
    payment_id: str
    amount_minor: int


class PayoutAsked(Event, topic="payout.asked.v1"):
    """Stands before the provider is asked: from here on nobody else may settle the refund."""

    order_id: str
    refund_id: str
    provider: str
    parts: list[PayoutPart]  # those that are not paid


class PayoutAnswered(Event, topic="payout.answered.v1"):
    """What became of one part, at the provider's time."""

    order_id: str
    refund_id: str
    provider: str
    key: str
    amount_minor: int
    outcome: Literal["paid", "failed"]
    reference: str
    code: str | None = None
