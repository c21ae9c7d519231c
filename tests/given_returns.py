"""Commands about refunds, returns and exchanges, with what a test does not care for."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from domain.message import Command
from domain.refund_commands import (
    AddEvidence,
    ApproveRefund,
    ApproveReturn,
    AskEvidence,
    CloseReturn,
    DenyRefund,
    DenyReturn,
    ExchangeOrder,
    FailRefund,
    PayCompensation,
    PayRefund,
    ReceiveReturn,
    RequestIntercept,
    RequestRefund,
    RequestReturn,
    RetryRefund,
)
from tests.given import NOON, hours
from tests.given_orders import quantities

C = TypeVar("C", bound=Command)


def refund(
    amount_minor: int | None = None,
    *lines: tuple[int, int | str],
    refund_id: str = "R1",
    order_id: str = "A",
    **more: Any,
) -> RequestRefund:
    body: dict[str, Any] = {"reason": "other", "amount_minor": amount_minor, "actor": "desk"}
    ids = {"order_id": order_id, "refund_id": refund_id, "at": NOON}
    return RequestRefund.model_validate(body | ids | quantities(lines) | more)


def pay_refund(refund_id: str = "R1", order_id: str = "A", **more: Any) -> PayRefund:
    body = {"order_id": order_id, "refund_id": refund_id, "reference": "back", "at": NOON}
    return PayRefund.model_validate(body | more)


def _of(kind: type[C], refund_id: str, more: dict[str, Any]) -> C:
    ids = {"order_id": "A", "refund_id": refund_id, "at": NOON}
    return kind.model_validate(ids | more)


def approve_refund(actor: str = "manager", refund_id: str = "R1", **more: Any) -> ApproveRefund:
    return _of(ApproveRefund, refund_id, {"actor": actor} | more)


def deny_refund(refund_id: str = "R1", **more: Any) -> DenyRefund:
    return _of(DenyRefund, refund_id, {"reason": "no fault found"} | more)


def fail_refund(refund_id: str = "R1", **more: Any) -> FailRefund:
    return _of(FailRefund, refund_id, {"code": "ACCOUNT_CLOSED"} | more)


def retry_refund(refund_id: str = "R1", **more: Any) -> RetryRefund:
    return _of(RetryRefund, refund_id, more)


def ask_evidence(refund_id: str = "R1", **more: Any) -> AskEvidence:
    return _of(AskEvidence, refund_id, {"text": "A picture of the label, please"} | more)


def add_evidence(*digests: str, refund_id: str = "R1", **more: Any) -> AddEvidence:
    return _of(AddEvidence, refund_id, {"evidence": list(digests)} | more)


def compensate(amount_minor: int, compensation_id: str = "X1", **more: Any) -> PayCompensation:
    body = {
        "amount_minor": amount_minor,
        "reason": "goodwill",
        "method": "alipay",
        "reference": "K",
    }
    ids = {"order_id": "A", "compensation_id": compensation_id, "at": NOON}
    return PayCompensation.model_validate(body | ids | more)


def send_back(
    *lines: tuple[int, int | str], return_id: str = "T1", at: datetime | None = None, **more: Any
) -> RequestReturn:
    """Units that were delivered (`deliver` is 48 hours after noon), by default an hour after."""
    body: dict[str, Any] = {"reason": "changed_mind", "order_id": "A", "return_id": return_id}
    return RequestReturn.model_validate(body | quantities(lines) | {"at": at or hours(49)} | more)


def intercept(parcel_id: str = "K", **more: Any) -> RequestIntercept:
    body = {"order_id": "A", "parcel_id": parcel_id, "reason_code": "changed_mind", "at": hours(30)}
    return RequestIntercept.model_validate(body | more)


def approve_return(return_id: str = "T1", **more: Any) -> ApproveReturn:
    body = {"order_id": "A", "return_id": return_id, "at": hours(50)}
    return ApproveReturn.model_validate(body | more)


def deny_return(return_id: str = "T1", **more: Any) -> DenyReturn:
    body = {"order_id": "A", "return_id": return_id, "reason": "worn", "at": hours(50)}
    return DenyReturn.model_validate(body | more)


def take_back(
    *lines: tuple[int, int | str] | tuple[int, int | str, str],
    return_id: str = "T1",
    refund_id: str = "R1",
    **more: Any,
) -> ReceiveReturn:
    """Units that came back, to be sold again unless a condition is named."""
    came = [dict(zip(("line_no", "quantity", "condition"), one, strict=False)) for one in lines]
    body = {"order_id": "A", "return_id": return_id, "refund_id": refund_id, "lines": came}
    return ReceiveReturn.model_validate(body | {"actor": "warehouse", "at": hours(72)} | more)


def close_return(return_id: str = "T1", **more: Any) -> CloseReturn:
    body = {"order_id": "A", "return_id": return_id, "at": hours(99)}
    return CloseReturn.model_validate(body | more)


def exchange(*new_lines: Any, back: tuple[tuple[int, int | str], ...], **more: Any) -> Command:
    """Order B for units of order A."""
    body: dict[str, Any] = {
        "order_id": "A",
        "return_id": "T1",
        "refund_id": "R1",
        "new_order_id": "B",
        "numbers": ("number-B",),
        "reason": "changed_mind",
        "new_lines": list(new_lines),
        "actor": "desk",
        "at": hours(49),
    }
    return ExchangeOrder.model_validate(body | quantities(back) | more)
