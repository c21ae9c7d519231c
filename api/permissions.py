"""What a caller may do: every route declares the permission that it needs by its name."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from api.problems import Problem


class Permission(StrEnum):
    """The permissions of DOMAIN.md, 'Roles and permissions', that routes need today."""

    PUBLIC = "public"  # needs nothing, not even an actor
    ORDER_PLACE = "order.place"
    ORDER_READ = "order.read"
    ORDER_APPROVE = "order.approve"
    ORDER_AMEND = "order.amend"
    ORDER_PRICE = "order.price"
    ORDER_CANCEL = "order.cancel"
    ORDER_NOTE = "order.note"
    ORDER_OVERRIDE = "order.override"
    ORDER_VOID = "order.void"
    PAYMENT_RECORD = "payment.record"
    PARCEL_PACK = "parcel.pack"
    PARCEL_DISPATCH = "parcel.dispatch"
    PARCEL_DELIVER = "parcel.deliver"
    REFUND_REQUEST = "refund.request"
    REFUND_APPROVE = "refund.approve"
    REFUND_PAY = "refund.pay"
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
    REPORT_RUN = "report.run"
    LEDGER_READ = "ledger.read"


EVERYTHING = frozenset(Permission)


def granted(_actor: str) -> frozenset[Permission]:
    """What an actor may do. Until accounts exist: everything, and the API listens on loopback."""
    return EVERYTHING


def require(actor: str, permission: Permission) -> None:
    """Raises Problem 403."""
    if permission not in granted(actor):
        raise Problem(403, "forbidden", f"This needs the permission {permission}.")


def needs(permission: Permission) -> dict[str, Any]:
    """The declaration of a route, shown in OpenAPI as `x-permission`: `**needs(…)`."""
    return {"openapi_extra": {"x-permission": permission.value}}


def declared(route: Any) -> Permission | None:
    """The permission that a route declares."""
    extra = getattr(route, "openapi_extra", None) or {}
    name = extra.get("x-permission")
    return None if name is None else Permission(name)
