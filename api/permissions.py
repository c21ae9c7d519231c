"""What a caller may do: every route declares the permission that it needs by its name."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from api.problems import Problem
from domain.procedure_chapters import ALL


class Permission(StrEnum):
    """The permissions of DOMAIN.md, 'Roles and permissions', that routes need today."""

    PUBLIC = "public"  # needs nothing, not even an actor
    ORDER_PLACE = "order.place"
    ORDER_READ = "order.read"
    ORDER_DRAFT = "order.draft"
    ORDER_REVIEW = "order.review"
    ORDER_HOLD = "order.hold"
    CASE_MANAGE = "case.manage"
    ORDER_AMEND = "order.amend"
    ORDER_PRICE = "order.price"
    ORDER_CANCEL = "order.cancel"
    ORDER_NOTE = "order.note"
    ORDER_OVERRIDE = "order.override"
    ORDER_VOID = "order.void"
    ORDER_CONFIRM_RECEIPT = "order.confirm_receipt"
    ORDER_REPLACE = "order.replace"
    ORDER_REINSTATE = "order.reinstate"
    ORDER_SHIP_UNPAID = "order.ship_unpaid"
    PAYMENT_RECORD = "payment.record"
    PAYMENT_RECONCILE = "payment.reconcile"
    PERIOD_CLOSE = "period.close"
    PAYMENT_CAPTURE = "payment.capture"
    PAYMENT_VOID = "payment.void"
    PAYMENT_MOVE = "payment.move"
    PAYMENT_DISPUTE = "payment.dispute"
    PAYMENT_WRITE_OFF = "payment.write_off"
    PAYMENT_REMIT = "payment.remit"
    LATE_FEE_CHARGE = "late_fee.charge"
    LATE_FEE_WAIVE = "late_fee.waive"
    PARCEL_PACK = "parcel.pack"
    PARCEL_DISPATCH = "parcel.dispatch"
    PARCEL_DELIVER = "parcel.deliver"
    PARCEL_INTERCEPT = "parcel.intercept"
    REFUND_REQUEST = "refund.request"
    REFUND_APPROVE = "refund.approve"
    REFUND_PAY = "refund.pay"
    INVOICE_ISSUE = "invoice.issue"
    CREDIT_NOTE_ISSUE = "credit_note.issue"
    FAPIAO_REQUEST = "fapiao.request"
    FAPIAO_RECORD = "fapiao.record"
    COMPENSATION_PAY = "compensation.pay"
    EVIDENCE_ADD = "evidence.add"
    RETURN_REQUEST = "return.request"
    RETURN_DECIDE = "return.decide"
    RETURN_RECEIVE = "return.receive"
    STOCK_READ = "stock.read"
    STOCK_RECEIVE = "stock.receive"
    STOCK_ADJUST = "stock.adjust"
    CUSTOMER_READ = "customer.read"
    CUSTOMER_WRITE = "customer.write"
    CUSTOMER_READ_PERSONAL = "customer.read_personal"
    POLICY_READ = "policy.read"
    POLICY_PUBLISH = "policy.publish"
    PROCEDURE_READ = "procedure.read"
    PROCEDURE_ISSUE = "procedure.issue"
    PROCEDURE_ACKNOWLEDGE = "procedure.acknowledge"
    ACCOUNT_READ = "account.read"
    ACCOUNT_CREDIT = "account.credit"
    ACCOUNT_LIMIT = "account.limit"
    REPORT_RUN = "report.run"
    LEDGER_READ = "ledger.read"


EVERYTHING = frozenset(Permission)


def granted(_actor: str) -> frozenset[Permission]:
    """What an actor may do. Until accounts exist: everything, and the API listens on loopback."""
    return EVERYTHING


def rights() -> dict[str, list[str]]:
    """Each role's permissions, as they are in force; until accounts exist, one role of all."""
    named = EVERYTHING - {Permission.PUBLIC}
    return {ALL: sorted(permission.value for permission in named)}


def require(actor: str, permission: Permission) -> None:
    """Raises Problem 403."""
    if permission not in granted(actor):
        raise Problem(403, "forbidden", f"This needs the permission {permission}.")


def needs(permission: Permission, *, body_bytes_max: int | None = None) -> dict[str, Any]:
    """The declaration of a route, shown in OpenAPI as `x-permission`: `**needs(…)`.

    `body_bytes_max`: of a route whose bodies may be larger than others', as `x-body-bytes-max`.
    """
    extra: dict[str, Any] = {"x-permission": permission.value}
    if body_bytes_max is not None:
        extra["x-body-bytes-max"] = body_bytes_max
    return {"openapi_extra": extra}


def declared(route: Any) -> Permission | None:
    """The permission that a route declares."""
    extra = getattr(route, "openapi_extra", None) or {}
    name = extra.get("x-permission")
    return None if name is None else Permission(name)
