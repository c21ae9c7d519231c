"""Goods and money that come back to the end, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from tests.api_server import Api
from tests.test_api_returns import delivered, paid, refused, shown

UNIT: dict[str, Any] = {"lines": [{"line_no": 1, "quantity": 1}]}
ALL: dict[str, Any] = {"lines": [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]}


def carried() -> dict[str, str]:
    return {"carrier": "sf", "tracking_number": uuid.uuid4().hex}


def test_what_was_refused_at_the_door_is_received_once(api: Api) -> None:
    sku = f"DOOR-{uuid.uuid4().hex[:6]}"
    api.made(f"/v1/stock/{sku}/receive", {"quantity": 10})
    line = {"sku": sku, "name": "X", "category": "c", "quantity": 3, "unit_price": "50.00"}
    sold: dict[str, Any] = {"lines": [line], "discount_minor": 0, "total_minor": None}
    order = api.place(**sold, payment_method="cash_on_delivery")
    at, units = f"/v1/orders/{order['order_id']}", [{"line_no": 1, "quantity": 3}]
    parcel = api.made(f"{at}/parcels", {"lines": units})["parcel_id"]
    api.made(f"/v1/parcels/{parcel}/dispatch", carried())
    asked = {"reason": "other", "lines": units, "parcel_id": parcel}
    assert refused(api.post(f"{at}/returns", asked)) == (409, "cash_on_delivery")
    api.made(f"{at}/parcels/{parcel}/refuse")
    back = f"{at}/returns/{api.made(f'{at}/returns', asked)['return_id']}"
    api.made(f"{back}/approve")
    scrap = [{"line_no": 1, "quantity": 2}, {"line_no": 1, "quantity": 1, "condition": "scrap"}]
    came = api.made(f"{back}/receive", {"lines": scrap})
    assert (came["return_status"], came["refund"]) == ("closed", None)
    assert refused(api.post(f"{back}/receive", {"lines": units})) == (409, "return_is_closed")
    stock = api.shown(f"/v1/stock/{sku}", min_position=api.head())
    assert stock["locations"][0]["on_hand"] == 9
    (told,) = shown(api, at)["returns"]
    assert (told["status"], told["fee_minor"], told["shipping_minor"]) == ("closed", 0, 0)


def test_a_receipt_is_one_and_a_refund_that_fails_opens_its_return(api: Api) -> None:
    at = delivered(api)
    asked = {"reason": "changed_mind", **UNIT}
    back = f"{at}/returns/{api.made(f'{at}/returns', asked)['return_id']}"
    api.made(f"{back}/approve")
    kept = {**UNIT, "refund": False}
    once = [api.post(f"{back}/receive", kept, **{"Idempotency-Key": f"{back}/1"}) for _ in "12"]
    assert once[0].json() == once[1].json()
    assert refused(api.post(f"{back}/receive", kept)) == (409, "return_is_received")
    refund = {"reason": "changed_mind", "return_id": back.rpartition("/")[2]}
    name = api.made(f"{at}/refunds", refund)["refund_id"]
    api.made(f"{at}/refunds/{name}/pay", {"reference": "R"})
    order = shown(api, at)
    assert (order["return_status"], order["returns"][0]["closed_at"] is None) == ("closed", False)
    api.made(f"{at}/refunds/{name}/fail", {"code": "ACCOUNT_CLOSED"})
    order = shown(api, at)
    assert (order["return_status"], order["returns"][0]["closed_at"]) == ("received", None)
    assert (order["lines"][0]["returned"], order["lines"][0]["refunded"]) == (1, 0)


def test_what_went_out_for_disputed_money_is_held_and_not_paid_out(api: Api) -> None:
    at = delivered(api)
    new = {"sku": "POT", "name": "Pot", "category": "ware", "quantity": 1, "unit_price": "10.00"}
    made = api.made(f"{at}/exchanges", {"reason": "changed_mind", **UNIT, "new_lines": [new]})
    other = f"/v1/orders/{made['new_order']['order_id']}"
    parcel = api.made(f"{other}/parcels", UNIT)["parcel_id"]
    (payment,) = shown(api, at)["payments"]
    case = {"reference": "CASE", "code": "not_received", "respond_by": "2030-01-01T00:00:00Z"}
    opened = api.made(f"{at}/payments/{payment['payment_id']}/chargebacks", case)
    answer = api.post(f"/v1/parcels/{parcel}/dispatch", carried())
    assert refused(answer) == (409, "order_held")
    asked = {"reason": "other", "amount_minor": 1}
    assert refused(api.post(f"{other}/refunds", asked)) == (409, "chargeback_open")
    api.made(f"{at}/payments/chargebacks/{opened['chargeback_id']}/win")
    refund = api.made(f"{other}/refunds", asked)["refund_id"]
    assert api.made(f"{other}/refunds/{refund}/pay", {"reference": "R"})["refund_status"] == "paid"
    assert shown(api, other)["refunds"][0]["method"] == "alipay"


def test_who_asked_does_not_approve_in_other_letters(api: Api) -> None:
    shop = f"shop-{uuid.uuid4().hex[:8]}"
    rules = {"refund": {"second_approval_over": {"CNY": 5_000}}}
    api.made(f"/v1/policies/{shop}", {"rules": rules})
    at = paid(api, shop=shop)
    asked = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 5_001})
    one = f"{at}/refunds/{asked['refund_id']}/approve"
    again = api.client.post(one, json={}, headers={"X-Actor": "DESK"})
    assert refused(again) == (409, "second_person_needed")
