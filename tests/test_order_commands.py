"""Request bodies: what is refused before any rule is asked, and that the error names the field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from domain.command_types import with_ids
from domain.message import Command
from domain.order_commands import CancelBody, OverrideBody
from domain.parcel_commands import (
    DeliverBody,
    DeliverParcel,
    DispatchBody,
    DispatchParcel,
    PackBody,
    PackParcelBody,
)
from domain.payment_commands import PaymentBody, RecordPayment
from domain.placement_commands import AmendBody, AmendOrder, PlaceOrder, PlaceOrderBody
from domain.refund_commands import RefundBody
from tests.given import NOON
from tests.given_orders import ADDRESS, line

ORDER: dict[str, Any] = {
    "channel": "web",
    "customer_id": "li",
    "currency": "CNY",
    "lines": [line()],
    "contact": {"name": "Li Wei"},
    "shipping_address": ADDRESS,
    "payment_method": "alipay",
}
PAYMENT = {"method": "alipay", "amount_minor": 1, "reference": "r"}
DISPATCH = {"carrier": "sf", "tracking_number": "1"}
NEW_LINE = {"sku": "TEA", "name": "Tea", "quantity": 1, "unit_price_minor": 1}


def order(**more: Any) -> dict[str, Any]:
    return ORDER | more


def with_line(**more: Any) -> dict[str, Any]:
    return ORDER | {"lines": [line() | more]}


def amended(*lines: Any) -> dict[str, Any]:
    return {"reason": "asked", "lines": list(lines)}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


REFUSED: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    *((PlaceOrderBody, without(ORDER, name), name) for name in ORDER),
    (PlaceOrderBody, order(surprise=1), "surprise"),
    (PlaceOrderBody, order(lines=[]), "lines"),
    (PlaceOrderBody, order(lines=[line()] * 501), "lines"),
    (PlaceOrderBody, order(currency="cny"), "currency"),
    (PlaceOrderBody, order(currency="XXX"), "currency"),
    (PlaceOrderBody, order(channel="fax"), "channel"),
    (PlaceOrderBody, order(payment_method="barter"), "payment_method"),
    (PlaceOrderBody, order(customer_id=""), "customer_id"),
    (PlaceOrderBody, order(customer_id="x" * 129), "customer_id"),
    (PlaceOrderBody, order(customer_id="a\nb"), "customer_id"),
    (PlaceOrderBody, order(shop="a/b"), "shop"),
    (PlaceOrderBody, order(discount_minor=-1), "discount_minor"),
    (PlaceOrderBody, order(shipping_minor=10**12 + 1), "shipping_minor"),
    (PlaceOrderBody, order(total_minor=1.0), "total_minor"),
    (PlaceOrderBody, order(shipping_tax_rate_bp=10001), "shipping_tax_rate_bp"),
    (PlaceOrderBody, order(promised_at="2025-03-01T12:00:00"), "promised_at"),
    (PlaceOrderBody, order(promised_at="0001-01-01T00:00:00+14:00"), "promised_at"),
    *(
        (PlaceOrderBody, order(promised_at=time), "promised_at: Value error, must be RFC 3339")
        for time in (5, 5.5, True, "5", "1772445600", "2026-03-02", "2026-03-02T12:00:00")
    ),
    (PaymentBody, PAYMENT | {"occurred_at": 1_772_445_600}, "occurred_at"),
    (PlaceOrderBody, order(shipping_address=ADDRESS | {"country": "China"}), "country"),
    (PlaceOrderBody, order(shipping_address=ADDRESS | {"country": "ZZ"}), "country"),
    (PlaceOrderBody, order(note="a\x00b"), "note"),
    *(
        (PlaceOrderBody, order(**{name: text}), f"{name}: Value error, must not begin or end")
        for name, text in (("customer_id", "   "), ("shop", " "), ("external_ref", "A "))
    ),
    *(
        (PlaceOrderBody, with_line(sku=text), "lines.0.sku")
        for text in ("   ", "X ", " X", "X\u00a0")
    ),
    (PlaceOrderBody, with_line(location="   "), "lines.0.location"),
    (PlaceOrderBody, order(contact={"name": " "}), "contact.name: Value error, must hold"),
    (PlaceOrderBody, order(note="\n\u3000\u200b"), "note: Value error, must hold"),
    (PlaceOrderBody, order(note="x" * 10_001), "note: String should have at most 10000 characters"),
    (PlaceOrderBody, order(customer_id="x" * 129), "should have at most 128 characters"),
    (PlaceOrderBody, order(contact={"name": "A", "email": "x" * 255}), "at most 254 characters"),
    (PlaceOrderBody, order(shipping_address=ADDRESS | {"postal_code": "1" * 41}), "40 characters"),
    (AmendBody, amended({"line_no": 1}) | {"reason": " "}, "reason"),
    (AmendBody, amended({"line_no": 1}) | {"reason": "x" * 1_001}, "at most 1000 characters"),
    (OverrideBody, {"dimension": "payment", "value": "paid", "reason": " "}, "reason"),
    (PlaceOrderBody, with_line(quantity=1.5), "lines.0.quantity"),
    (PlaceOrderBody, with_line(quantity=True), "lines.0.quantity"),
    (PlaceOrderBody, with_line(quantity=0), "lines.0.quantity"),
    (PlaceOrderBody, with_line(quantity="0.0001"), "lines.0.quantity"),
    (PlaceOrderBody, with_line(quantity="NaN"), "lines.0.quantity"),
    (PlaceOrderBody, with_line(quantity="Infinity"), "lines.0.quantity"),
    (PlaceOrderBody, with_line(quantity=1_000_001), "lines.0.quantity"),
    (PlaceOrderBody, with_line(unit_price_minor=1.5), "lines.0.unit_price_minor"),
    (PlaceOrderBody, with_line(unit_price_minor="5"), "lines.0.unit_price_minor"),
    (PlaceOrderBody, with_line(unit_price_minor=None), "lines.0.unit_price"),
    (PlaceOrderBody, with_line(unit_price="50.00"), "lines.0.unit_price"),
    (PlaceOrderBody, with_line(unit_price_minor=None, unit_price=50.0), "lines.0.unit_price"),
    (PlaceOrderBody, with_line(unit_price_minor=None, unit_price="-1"), "lines.0.unit_price"),
    (PlaceOrderBody, with_line(unit_price_minor=None, unit_price="1e3"), "lines.0.unit_price"),
    (PlaceOrderBody, with_line(unit_price_minor=None, unit_price="0." + "1" * 7), "unit_price"),
    (PlaceOrderBody, with_line(tax_rate_bp=-1), "lines.0.tax_rate_bp"),
    (PlaceOrderBody, with_line(location="a@b"), "lines.0.location"),
    (AmendBody, amended({"line_no": 1}) | {"reason": ""}, "reason"),
    (AmendBody, {"reason": "asked"}, "nothing to amend"),
    (AmendBody, amended({"line_no": 1}, {"line_no": 1}), "lines"),
    (AmendBody, amended({"line_no": 0}), "lines.0.line_no"),
    (AmendBody, amended({"line_no": 1, "quantity": -1}), "lines.0.quantity"),
    *((AmendBody, amended(without(NEW_LINE, n)), f"lines.0.{n}") for n in ("sku", "name")),
    (AmendBody, amended(without(NEW_LINE, "quantity")), "lines.0.quantity"),
    (AmendBody, amended(NEW_LINE | {"quantity": 0}), "lines.0.quantity"),
    (AmendBody, amended(without(NEW_LINE, "unit_price_minor")), "lines.0.unit_price"),
    (AmendBody, amended(NEW_LINE | {"unit_price": "1"}), "lines.0.unit_price"),
    (PaymentBody, PAYMENT | {"amount_minor": 0}, "amount_minor"),
    (PaymentBody, PAYMENT | {"amount_minor": 10**12 + 1}, "amount_minor"),
    (PaymentBody, PAYMENT | {"occurred_at": "yesterday"}, "occurred_at"),
    (
        PaymentBody,
        PAYMENT | {"occurred_at": "1989-12-31T23:59:59Z"},
        "occurred_at: Value error, must",
    ),
    (PackBody, {"lines": []}, "lines"),
    (PackBody, {"lines": [{"line_no": 1, "quantity": 1}] * 2}, "line_no 1 stands twice"),
    (
        PackParcelBody,
        {"contents": [{"order_id": "A", "line_no": 1, "quantity": 1}] * 2},
        "contents",
    ),
    (DispatchBody, {"carrier": "a/b", "tracking_number": "1"}, "carrier"),
    (DispatchBody, {"carrier": "sf"}, "tracking_number"),
    (DispatchBody, DISPATCH | {"estimated_at": "0001-01-02T00:00:00Z"}, "estimated_at"),
    (DeliverBody, {"delivered_at": "0001-01-02T00:00:00Z"}, "delivered_at"),
    (AmendBody, {"reason": "asked", "promised_at": "0001-01-02T00:00:00Z"}, "promised_at"),
    (CancelBody, {"reason_code": "Because I can"}, "reason_code"),
    (CancelBody, {"reason_code": "x", "initiator": "nobody"}, "initiator"),
    (RefundBody, {"reason": "damaged"}, "give amount_minor, lines or shipping_minor"),
    (RefundBody, {"reason": "mood", "amount_minor": 1}, "reason"),
    (RefundBody, {"reason": "damaged", "amount_minor": -1}, "amount_minor"),
    (
        RefundBody,
        {"reason": "damaged", "amount_minor": 1, "payments": [{"payment_id": "P"}]},
        "payments.0.amount_minor",
    ),
    (OverrideBody, {"dimension": "payment", "value": "paid"}, "reason"),
    (OverrideBody, {"dimension": "mood", "value": "paid", "reason": "r"}, "dimension"),
    (OverrideBody, {"dimension": "payment", "value": "shipped", "reason": "r"}, "value"),
]


@pytest.mark.parametrize(("kind", "body", "field"), REFUSED)
def test_the_error_names_the_field(kind: type[BaseModel], body: dict[str, Any], field: str) -> None:
    """covers: A2: also an override without a reason."""
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(body)
    named = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in refused.value.errors()]
    assert any(field in text for text in named), named


def test_only_one_error_stands_for_one_wrong_price() -> None:
    with pytest.raises(ValidationError) as refused:
        PlaceOrderBody.model_validate(with_line(unit_price_minor=-1))
    assert len(refused.value.errors()) == 1


def test_a_change_of_a_line_says_only_what_changes() -> None:
    item = AmendBody.model_validate(amended({"line_no": 1, "quantity": 0})).lines
    assert item is not None
    assert item[0].model_fields_set == {"line_no", "quantity"}


def test_a_body_becomes_a_command_without_being_checked_twice() -> None:
    body = PlaceOrderBody.model_validate(ORDER)
    command = with_ids(PlaceOrder, body, order_id="A", numbers=("1",), at=NOON)
    assert command.lines[0] is body.lines[0]
    assert (command.shop, command.order_id) == ("main", "A")


HAPPENED, EXPECTED = timedelta(hours=24), timedelta(days=3652.5)
TIMES: list[tuple[type[Command], type[BaseModel], dict[str, Any], str, timedelta]] = [
    (RecordPayment, PaymentBody, PAYMENT, "occurred_at", HAPPENED),
    (DeliverParcel, DeliverBody, {}, "delivered_at", HAPPENED),
    (DispatchParcel, DispatchBody, DISPATCH, "estimated_at", EXPECTED),
    (PlaceOrder, PlaceOrderBody, ORDER, "promised_at", EXPECTED),
    (AmendOrder, AmendBody, {"reason": "asked"}, "promised_at", EXPECTED),
]
IDS: dict[str, Any] = {"order_id": "A", "parcel_id": "K", "payment_id": "P", "numbers": ("1",)}


@pytest.mark.parametrize(("kind", "body_kind", "given", "field", "ahead"), TIMES)
def test_a_time_is_near_that_of_its_command(
    kind: type[Command],
    body_kind: type[BaseModel],
    given: dict[str, Any],
    field: str,
    ahead: timedelta,
) -> None:
    """What happened lies at most a day ahead, what is expected ten years; neither before 1990."""
    ids = {name: IDS[name] for name in IDS.keys() & kind.model_fields.keys()}

    def named(time: datetime) -> Command:
        body = body_kind.model_validate(given | {field: time})
        return with_ids(kind, body, **ids, at=NOON)

    for time in (datetime(1990, 1, 1, tzinfo=UTC), NOON + ahead):
        assert getattr(named(time), field) == time
    for time in (NOON + ahead + timedelta(seconds=1), datetime(9999, 1, 1, tzinfo=UTC)):
        with pytest.raises(ValidationError, match="ahead") as refused:
            named(time)
        assert [error["loc"] for error in refused.value.errors()] == [(field,)]
