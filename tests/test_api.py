"""An order's life over HTTP: against a real server and the real PostgreSQL."""

import uuid
from typing import Any

from domain.number import is_number
from tests.api_server import Api, events, order

Json = dict[str, Any]


def test_a_placed_order_is_answered_with_its_totals_and_read_back(api: Api) -> None:
    """covers: L18"""
    placed = api.place()
    assert placed["total_minor"] == 21_000
    assert placed["status"] == "awaiting_payment"
    assert is_number(placed["number"])
    assert sum(line["gross_minor"] for line in placed["lines"]) + 1_000 == 21_000
    assert sum(line["discount_share_minor"] for line in placed["lines"]) == 500
    for name in (placed["order_id"], placed["number"], placed["order_id"].upper()):
        shown = api.get(f"/v1/orders/{name}", min_position=placed["position"])
        assert shown.headers["etag"] == f'"{placed["version"]}"'
        assert shown.json()["order_id"] == placed["order_id"]
        assert shown.json()["contact"] == {"name": "王小明", "phone": "13800000000"}
        assert shown.json()["position"] >= placed["position"]


def test_an_order_goes_from_placement_to_refund(api: Api) -> None:
    placed = api.place(customer_id="C-life")
    at = f"/v1/orders/{placed['number']}"
    assert api.made(f"{at}/approve")["position"] is None  # It was already.
    assert api.made(f"{at}/amend", {"contact": {"name": "李雷"}, "reason": "Moved."})
    paid = api.made(
        f"{at}/payments",
        {"method": "alipay", "amount_minor": 21_000, "reference": "A-1", "payer": "李雷"},
    )
    assert paid["status"] == "paid"
    packed = api.made(
        f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]}
    )
    parcel = f"/v1/parcels/{packed['parcel_id']}"
    number = uuid.uuid4().hex
    sent = api.made(f"{parcel}/dispatch", {"carrier": "sf", "tracking_number": number})
    assert sent["orders"][0]["status"] == "shipped"
    assert api.made(f"{parcel}/deliver", {"name": "李雷"})["orders"][0]["status"] == "delivered"
    noted = api.made(f"{at}/notes", {"text": "Rang: the cup is chipped."})
    assert noted["note_id"]
    refund = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 500})
    assert refund["status"] == "refunding"
    paid_out = api.made(f"{at}/refunds/{refund['refund_id']}/pay", {"reference": "R-1"})
    assert paid_out["amount_minor"] == 500

    shown = api.shown(at, min_position=paid_out["position"])
    assert (shown["paid_minor"], shown["refunded_minor"]) == (21_000, 500)
    assert shown["payments"][0]["payer"] == "李雷"
    assert shown["notes"][0]["text"] == "Rang: the cup is chipped."
    history = api.shown("/v1/customers/C-life/history", min_position=paid_out["position"])
    assert [one["number"] for one in history["orders"]] == [placed["number"]]
    assert history["totals"][0]["refunded_minor"] == 500


def test_units_are_cancelled_and_an_untouched_order_is_voided(api: Api) -> None:
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    body = {"reason_code": "changed_mind", "lines": [{"line_no": 2, "quantity": 1}]}
    assert api.made(f"{at}/cancel", body)["total_minor"] < placed["total_minor"]
    voided = api.made(f"{at}/void", {"reason": "Entered twice."})
    assert voided["status"] == "void"
    listed = api.shown("/v1/orders", q=placed["number"], min_position=voided["position"])
    assert listed["items"] == []


def test_each_payment_names_its_method(api: Api) -> None:
    """covers: A20"""
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    for method, amount in (("alipay", 15_000), ("bank_transfer", 6_000)):
        body = {"method": method, "amount_minor": amount, "reference": f"{method}-1"}
        paid = api.made(f"{at}/payments", body)
    assert paid["status"] == "paid"
    captured = [
        (event["data"]["method"], event["data"]["amount_minor"])
        for event in events(api, placed["order_id"])
        if event["topic"] == "order.payment_captured.v2"
    ]
    assert captured == [("alipay", 15_000), ("bank_transfer", 6_000)]


def test_every_order_has_a_channel_and_the_channels_add_up(api: Api) -> None:
    """covers: A44"""
    customer = "C-channels"
    for channel in ("web", "phone", "store", "marketplace", "web"):
        last = api.place(customer_id=customer, channel=channel)
    listed = api.shown("/v1/orders", customer_id=customer, min_position=last["position"])
    by_channel: dict[str, int] = {}
    for item in listed["items"]:
        by_channel[item["channel"]] = by_channel.get(item["channel"], 0) + item["total_minor"]
    assert set(by_channel) == {"web", "phone", "store", "marketplace"}
    assert sum(by_channel.values()) == 5 * 21_000
    figures = {
        group: api.shown(
            "/v1/analytics/sales", group=group, currency="CNY", min_position=last["position"]
        )["rows"]
        for group in ("channel", "month")
    }
    assert {row["group"] for row in figures["channel"]} >= set(by_channel)
    channels, months = (sum(row["net_minor"] for row in rows) for rows in figures.values())
    assert channels == months
    refused = api.post("/v1/orders", order(channel=None))
    assert refused.json()["errors"][0]["field"] == "channel"


def test_payments_are_summed_by_method_and_day(api: Api) -> None:
    at = f"/v1/orders/{api.place(currency='JPY', total_minor=None)['order_id']}/payments"
    for method, amount in (("alipay", 300), ("alipay", 200), ("bank_transfer", 7)):
        body = {"method": method, "amount_minor": amount, "reference": f"A {amount}"}
        position = api.made(at, body)["position"]
    query = {"group": "method", "currency": "JPY", "min_position": position}
    answer = api.shown("/v1/analytics/payments", **query, **{"from": "2020-01-01"})
    assert answer["currency"] == "JPY"
    assert answer["position"] >= position
    assert answer["rows"] == [
        {"group": "alipay", "payments": 2, "paid_minor": 500, "refunded_minor": 0},
        {"group": "bank_transfer", "payments": 1, "paid_minor": 7, "refunded_minor": 0},
    ]
    past = {"from": "2020-01-01T00:00:00+08:00", "to": "2020-01-02"}
    assert api.shown("/v1/analytics/payments", **query, **past)["rows"] == []


def test_one_parcel_holds_lines_of_two_orders(api: Api) -> None:
    first, second = api.place(), api.place()
    for one in (first, second):
        body = {"method": "alipay", "amount_minor": 21_000, "reference": "A"}
        api.made(f"/v1/orders/{one['order_id']}/payments", body)
    contents = [
        {"order_id": first["number"], "line_no": 1, "quantity": 2},
        {"order_id": second["order_id"], "line_no": 2, "quantity": 1},
    ]
    packed = api.made("/v1/parcels", {"contents": contents})
    assert {one["order_id"] for one in packed["orders"]} == {
        first["order_id"],
        second["order_id"],
    }


def test_stock_is_received_reserved_and_adjusted(api: Api) -> None:
    sku = "TEA/GREEN 1"  # with what a path would take apart
    path = "/v1/stock/TEA%2FGREEN%201"
    assert api.made(f"{path}/receive", {"quantity": "10.5"})["available"] == "10.5"
    line = {"sku": sku, "name": "T", "category": "tea", "quantity": 4, "unit_price_minor": 1_000}
    api.place(lines=[line])
    adjusted = api.made(f"{path}/adjust", {"delta": "-0.5", "reason": "Spilt."})
    level = api.shown(path, min_position=adjusted["position"])
    assert (level["on_hand"], level["reserved"], level["available"]) == (10, 4, 6)
    refused = api.post(f"{path}/adjust", {"delta": -7, "reason": "Gone."})
    assert (refused.status_code, refused.json()["code"]) == (409, "adjustment_below_reserved")
    assert refused.json()["facts"] == {"available": 6}


def test_a_customer_changes_and_the_order_keeps_its_address(api: Api) -> None:
    placed = api.place(customer_id="C/moves")
    address = {"line1": "新路 2 号", "city": "杭州", "country": "CN"}
    moved = api.client.put("/v1/customers/C%2Fmoves", json={"address": address})
    assert moved.json()["customer_id"] == "C/moves"
    shown = api.shown(f"/v1/orders/{placed['order_id']}", min_position=moved.json()["position"])
    assert shown["shipping_address"]["city"] == "上海"


def test_an_override_is_shown_with_its_reason_and_ended(api: Api) -> None:
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    body = {"dimension": "fulfilment", "value": "delivered", "reason": "The neighbour has it."}
    overridden = api.made(f"{at}/override", body)
    assert overridden["status"] == "delivered"
    shown = api.shown(at, min_position=overridden["position"])["overrides"]["fulfilment"]
    assert (shown["reason"], shown["facts"]) == ("The neighbour has it.", "unallocated")
    ended = api.client.delete(f"{at}/override").json()
    assert ended["status"] == "awaiting_payment"
    refused = api.post(f"{at}/override", {"dimension": "stage", "value": "completed"})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["reason"]
