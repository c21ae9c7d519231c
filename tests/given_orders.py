"""Commands about orders, their cases, stock and parcels, with what a test does not care for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.case_commands import (
    CloseCase,
    HoldOrder,
    OpenCase,
    RejectOrder,
    ReleaseHold,
    ReopenCase,
    TakeCaseStep,
)
from domain.customer import RecordCustomer
from domain.message import Command
from domain.order_commands import AddNote, ApproveOrder, CancelOrder, OverrideStatus, VoidOrder
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.policy import PublishPolicy
from domain.stock_item import ReceiveStock
from tests.given import NOON, hours

ADDRESS = {"line1": "1 Long Street", "city": "Hangzhou", "region": "Zhejiang", "country": "CN"}


def line(sku: str = "TEA", quantity: int | str = 2, price: int = 5000, **more: Any) -> Any:
    """A line of a placement: 2 teas at 50.00."""
    named = {"name": sku.title(), "category": "drinks"} | more
    return {"sku": sku, "quantity": quantity, "unit_price_minor": price, **named}


def place(order_id: str = "A", *lines: Any, at: datetime = NOON, **more: Any) -> PlaceOrder:
    """An order of 2 teas at 50.00 unless lines are given; paid before it leaves."""
    body: dict[str, Any] = {
        "order_id": order_id,
        "numbers": (f"number-{order_id}",),
        "channel": "web",
        "customer_id": "li",
        "currency": "CNY",
        "lines": list(lines) or [line()],
        "contact": {"name": "Li Wei", "email": "li@example.com"},
        "shipping_address": ADDRESS,
        "payment_method": "alipay",
        "at": at,
    }
    return PlaceOrder.model_validate(body | more)


def receive(quantity: int | str, sku: str = "TEA", at: datetime = NOON) -> ReceiveStock:
    return ReceiveStock.model_validate({"sku": sku, "quantity": quantity, "at": at})


def register(customer_id: str = "li") -> RecordCustomer:
    contact = {"name": "Li Wei"}
    body = {"customer_id": customer_id, "contact": contact, "at": NOON}
    return RecordCustomer.model_validate(body)


def publish(at: datetime = NOON, **rules: Any) -> PublishPolicy:
    """A policy of the main shop: `publish(payment={"term_hours": 48})`."""
    body = {"shop": "main", "rules": rules, "days": {"covered_until": "2030-12-31"}, "at": at}
    return PublishPolicy.model_validate(body)


def approve(order_id: str = "A", **more: Any) -> ApproveOrder:
    return ApproveOrder.model_validate({"order_id": order_id, "at": NOON} | more)


def reject(order_id: str = "A", **more: Any) -> RejectOrder:
    body = {"order_id": order_id, "reason_code": "not_reachable", "at": NOON}
    return RejectOrder.model_validate(body | more)


def open_case(case_id: str = "C1", order_id: str = "A", **more: Any) -> OpenCase:
    body = {"kind": "customer_dispute", "blocking": True, "text": "says so", "at": NOON}
    return OpenCase.model_validate({"order_id": order_id, "case_id": case_id} | body | more)


def step(case_id: str = "C1", step_id: str = "S1", order_id: str = "A", **more: Any) -> Command:
    body = {"step": "communicate", "order_id": order_id, "case_id": case_id, "at": NOON}
    return TakeCaseStep.model_validate(body | {"step_id": step_id} | more)


def close_case(case_id: str = "C1", order_id: str = "A", **more: Any) -> CloseCase:
    body = {"order_id": order_id, "case_id": case_id, "at": NOON}
    return CloseCase.model_validate(body | more)


def reopen(case_id: str = "C1", order_id: str = "A") -> ReopenCase:
    return ReopenCase(order_id=order_id, case_id=case_id, reason="not settled", at=NOON)


def hold(kind: str = "fraud", hold_id: str = "H1", order_id: str = "A") -> HoldOrder:
    body = {"order_id": order_id, "hold_id": hold_id, "type": kind, "reason": "doubt"}
    return HoldOrder.model_validate(body | {"at": NOON})


def release(hold_id: str = "H1", order_id: str = "A") -> ReleaseHold:
    return ReleaseHold(order_id=order_id, hold_id=hold_id, reason="cleared", at=NOON)


def amend(*lines: Any, order_id: str = "A", **more: Any) -> AmendOrder:
    body: dict[str, Any] = {"order_id": order_id, "reason": "customer asked", "at": NOON}
    changed = {"lines": list(lines)} if lines else {}
    return AmendOrder.model_validate(body | changed | more)


def cancel(*lines: tuple[int, int | str], order_id: str = "A", **more: Any) -> CancelOrder:
    body: dict[str, Any] = {"order_id": order_id, "reason_code": "changed_mind", "at": NOON}
    return CancelOrder.model_validate(body | quantities(lines) | more)


def quantities(lines: tuple[tuple[int, int | str], ...]) -> dict[str, Any]:
    if not lines:
        return {}
    return {"lines": [{"line_no": no, "quantity": units} for no, units in lines]}


def pack(*lines: tuple[int, int | str], parcel_id: str = "K", order_id: str = "A") -> PackParcel:
    contents = [{"order_id": order_id, "line_no": no, "quantity": units} for no, units in lines]
    return pack_orders(*contents, parcel_id=parcel_id)


def pack_orders(*contents: Any, parcel_id: str = "K") -> PackParcel:
    return PackParcel.model_validate(
        {"parcel_id": parcel_id, "contents": list(contents), "at": NOON}
    )


def dispatch(
    parcel_id: str = "K", number: str | None = None, at: datetime = NOON, **more: Any
) -> Command:
    return DispatchParcel(
        parcel_id=parcel_id,
        carrier="sf-express",
        tracking_number=number or f"SF-{parcel_id}",
        at=at,
        **more,
    )


def deliver(parcel_id: str = "K", **more: Any) -> DeliverParcel:
    return DeliverParcel.model_validate({"parcel_id": parcel_id, "at": hours(48)} | more)


def scan(milestone: str, at: datetime, parcel_id: str = "K", **more: Any) -> TrackParcel:
    body: dict[str, Any] = {
        "parcel_id": parcel_id,
        "event_id": f"{milestone}-{at.isoformat()}",
        "carrier": "sf-express",
        "tracking_number": f"SF-{parcel_id}",
        "milestone": milestone,
        "occurred_at": at,
        "at": hours(100),
    }
    return TrackParcel.model_validate(body | more)


def override(dimension: str, value: str, **more: Any) -> OverrideStatus:
    body = {"order_id": "A", "dimension": dimension, "value": value, "reason": "seen", "at": NOON}
    return OverrideStatus.model_validate(body | more)


def note(note_id: str = "N1") -> AddNote:
    return AddNote(order_id="A", note_id=note_id, text="Ring twice", at=NOON)


def void(order_id: str = "A") -> VoidOrder:
    return VoidOrder(order_id=order_id, reason="test order", at=NOON)
