"""The shapes of answers about the money of an order."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field

from api.order_answers import OrderRecorded


class MoneyRecorded(OrderRecorded):
    """What the order's money has come to; amounts in minor units."""

    payment: str = Field(description="The dimension of the status")
    paid_minor: int
    due_minor: int = Field(description="What the customer still owes")
    credit_minor: int = Field(description="What was paid above what is owed")
    written_off_minor: int
    late_fee_minor: int


class PaymentRecorded(MoneyRecorded):
    payment_id: str
    outcome: str = Field(
        description="paid, partly_paid, credit, held, failed, voided or expired; after the order "
        "was cancelled `reinstated`, or `refund_due` where it stays so"
    )
    already_recorded: bool = Field(
        False, description="It is the payment of this id, sent again: nothing was recorded"
    )


class PaymentLanded(BaseModel):
    """The order that the money came to."""

    order_id: str
    number: str
    version: int
    status: str
    total_minor: int
    payment: str
    paid_minor: int
    due_minor: int
    credit_minor: int
    written_off_minor: int
    late_fee_minor: int
    payment_id: str
    outcome: str


class PaymentMoved(OrderRecorded):
    payment_id: str
    to: PaymentLanded


class ChargebackRecorded(MoneyRecorded):
    payment_id: str
    outcome: str
    chargeback_id: str


class LateFeeDayShown(BaseModel):
    """One full local day after due."""

    day: date
    outstanding_minor: int
    fee_minor: int
    charged: bool


class LateFeeExplained(BaseModel):
    """What lateness costs by now: the fees of the days are `fee_minor`, `to_charge_minor` of them
    not charged yet. `due_at`: null where nothing is due before the delivery.
    """

    version: int
    due_at: datetime | None
    percent_per_day: str
    cap_bp: int
    days: list[LateFeeDayShown]
    fee_minor: int
    to_charge_minor: int
    waived_minor: int
    policy_version: int
