"""Commands about payments and accounts, with what a test does not care for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.account_commands import ExpireGifts, GrantCredit, IssueGift, SetCreditLimit
from domain.message import Command
from domain.payment_commands import (
    AuthorisePayment,
    CapturePayment,
    MovePayment,
    OpenChargeback,
    RecordPayment,
    VoidPayment,
)
from tests.given import NOON, hours


def pay(amount_minor: int, payment_id: str = "P1", order_id: str = "A", **more: Any) -> Command:
    body = {"method": "alipay", "amount_minor": amount_minor, "reference": f"ref {payment_id}"}
    ids = {"order_id": order_id, "payment_id": payment_id, "at": NOON}
    return RecordPayment.model_validate(body | ids | more)


def money(kind: type[Command], order_id: str = "A", at: datetime = NOON, **more: Any) -> Any:
    """A command about the money of an order: `money(VoidPayment, payment_id="P1", reason="r")`."""
    return kind.model_validate({"order_id": order_id, "at": at} | more)


def authorise(amount_minor: int, payment_id: str = "H1", order_id: str = "A", **more: Any) -> Any:
    body: dict[str, Any] = {"method": "credit_card", "amount_minor": amount_minor}
    body |= {"reference": "auth", "payment_id": payment_id} | more
    return money(AuthorisePayment, order_id, **body)


def capture(amount_minor: int | None, payment_id: str = "P1", **more: Any) -> Any:
    ids = {"authorisation_id": "H1", "payment_id": payment_id, "amount_minor": amount_minor}
    return money(CapturePayment, **(ids | more))


def unrecord(payment_id: str = "P1", order_id: str = "A") -> Any:
    return money(VoidPayment, order_id, payment_id=payment_id, reason="typed twice")


def move(
    payment_id: str = "P1", to: str = "B", amount_minor: int | None = None, **more: Any
) -> Any:
    ids = {"payment_id": payment_id, "to_order_id": to, "to_payment_id": f"M-{payment_id}"}
    body: dict[str, Any] = {"amount_minor": amount_minor, "reason": "misread"}
    return money(MovePayment, **(body | ids | more))


def dispute(payment_id: str = "P1", amount_minor: int | None = None, **more: Any) -> Any:
    ids = {"payment_id": payment_id, "chargeback_id": f"C-{payment_id}"}
    body = {"amount_minor": amount_minor, "reference": "case", "code": "not_received"}
    return money(OpenChargeback, **(ids | body | more))


_LI = {"customer_id": "li", "currency": "CNY", "at": NOON}


def credit(amount_minor: int, **more: Any) -> GrantCredit:
    body = {"amount_minor": amount_minor, "cause": "compensation", "reason_code": "late"}
    return GrantCredit.model_validate(_LI | body | more)


def gift(amount_minor: int, gift_id: str = "G1", days: float = 30, **more: Any) -> IssueGift:
    """A gift that is good for so many days from noon."""
    body = {"amount_minor": amount_minor, "reason_code": "birthday", "gift_id": gift_id}
    return IssueGift.model_validate(_LI | body | {"expires_at": hours(24 * days)} | more)


def limit(limit_minor: int, **more: Any) -> SetCreditLimit:
    body = {"limit_minor": limit_minor, "reason": "agreed"}
    return SetCreditLimit.model_validate(_LI | body | more)


def expire_gifts(at: datetime = NOON) -> ExpireGifts:
    return ExpireGifts.model_validate(_LI | {"at": at})
