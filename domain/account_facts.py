"""The facts of a customer's account. Topics and fields are the storage format: never changed."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from domain.message import Event, Made, Personal


class GiftPart(Made):
    """So much of one gift."""

    gift_id: str
    amount_minor: int


class CreditGranted(Event, topic="account.credit_granted.v1"):
    """Credit that the shop owes from now on. Below 0 it takes back what was granted wrongly."""

    customer_id: str
    currency: str
    person: str
    amount_minor: int
    cause: str  # refund, compensation, correction
    reason_code: str  # about the case, never about a person; stored in clear
    reference: str | None = None
    text: Personal[str] | None = None
    order_id: str | None = None  # both where a refund of an order was paid as credit
    refund_id: str | None = None


class GiftIssued(Event, topic="account.gift_issued.v1"):
    customer_id: str
    currency: str
    person: str
    gift_id: str
    amount_minor: int
    expires_at: datetime  # from then on it buys nothing
    reason_code: str
    reference: str | None = None
    text: Personal[str] | None = None


class GiftExpired(Event, topic="account.gift_expired.v1"):
    customer_id: str
    currency: str
    gift_id: str
    amount_minor: int  # what was left of it
    expires_at: datetime


class BalanceSpent(Event, topic="account.spent.v1"):
    """A payment of an order out of the account: the order's capture stands in the same write."""

    customer_id: str
    currency: str
    order_id: str
    payment_id: str
    amount_minor: int
    credit_minor: int  # of it, out of the credit; the rest out of the gifts
    gifts: list[GiftPart] = Field(default_factory=list)  # the one that expires first is first


class BalanceGivenBack(Event, topic="account.given_back.v1"):
    """A refund of money that was spent out of the account: back to what it came from."""

    customer_id: str
    currency: str
    order_id: str
    refund_id: str
    payment_id: str
    amount_minor: int
    credit_minor: int  # also what came from gifts that have expired since
    gifts: list[GiftPart] = Field(default_factory=list)
    lapsed: list[GiftPart] = Field(default_factory=list)  # within credit_minor: from which gifts


class LimitSet(Event, topic="account.limit_set.v1"):
    """How much of the customer's orders on account may be unpaid at any time."""

    customer_id: str
    currency: str
    person: str
    before_minor: int | None = None
    limit_minor: int
    reason: Personal[str]


class ExposureTaken(Event, topic="account.exposure_taken.v1"):
    customer_id: str
    currency: str
    order_id: str
    amount_minor: int


class ExposureFreed(Event, topic="account.exposure_freed.v1"):
    customer_id: str
    currency: str
    order_id: str
    amount_minor: int
