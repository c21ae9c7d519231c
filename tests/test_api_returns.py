"""Refunds, returns and exchanges as the desk asks for them, over HTTP."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.evidence import FILE_BYTES_MAX, MEDIA_TYPES
from domain.parcel_commands import TrackParcel
from tests.api_server import Api, events, rows
from tests.carrier import Desk

PICTURE = b"\x89PNG\r\n\x1a\n" + b"not much of a picture"
FILES = {
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/png": PICTURE,
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "image/heic": b"\x00\x00\x00\x18ftypheic",
    "application/pdf": b"%PDF-1.7",
    "video/mp4": b"\x00\x00\x00\x18ftypisom",
}


def upload(api: Api, content: bytes, kind: str = "image/png") -> httpx.Response:
    return api.client.post("/v1/evidence", content=content, headers={"Content-Type": kind})


def paid(api: Api, **changes: Any) -> str:
    """The path of an order of 210.00 (two teas at 86.16 after discount, a cup, 10.00 shipping)."""
    at = f"/v1/orders/{api.place(**changes)['order_id']}"
    body = {"method": "alipay", "amount_minor": 21_000, "reference": uuid.uuid4().hex}
    api.made(f"{at}/payments", body)
    return at


def delivered(api: Api, **changes: Any) -> str:
    at = paid(api, **changes)
    everything = [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]
    parcel = f"/v1/parcels/{api.made(f'{at}/parcels', {'lines': everything})['parcel_id']}"
    api.made(f"{parcel}/dispatch", {"carrier": "sf", "tracking_number": uuid.uuid4().hex})
    api.made(f"{parcel}/deliver")
    return at


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def shown(api: Api, at: str) -> dict[str, Any]:
    return api.shown(at, min_position=api.head())


# -- evidence ------------------------------------------------------------------------------------


def test_a_fault_is_shown_by_an_uploaded_file(api: Api) -> None:
    """covers: A6: refused without, and the digest stands in the event."""
    at = paid(api)
    asked = {"reason": "quality_problem", "lines": [{"line_no": 1, "quantity": 1}]}
    answer = api.post(f"{at}/refunds", asked)
    assert refused(answer) == (409, "evidence_missing")
    assert "quality_problem" in answer.json()["facts"]["evidence_for"]

    unknown = {**asked, "evidence": [sha256(b"never uploaded").hexdigest()]}
    answer = api.post(f"{at}/refunds", unknown)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["rule"]) == ("evidence.0", "unknown_evidence")

    kept = upload(api, PICTURE)
    assert kept.status_code == 201
    digest = kept.json()["digest"]
    assert kept.json() == {"digest": digest, "media_type": "image/png", "bytes": len(PICTURE)}
    made = api.made(f"{at}/refunds", {**asked, "evidence": [digest]})
    assert made["refund_status"] == "approved"
    asked_for = [e for e in events(api, at.rpartition("/")[2]) if "requested" in e["topic"]]
    assert asked_for[-1]["data"]["evidence"] == [digest]
    (one,) = shown(api, at)["refunds"]
    assert one["evidence"] == [digest]


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_a_file_is_read_as_it_was_uploaded_and_the_look_is_recorded(api: Api, kind: str) -> None:
    digest = upload(api, FILES[kind], kind).json()["digest"]
    answer = api.client.get(f"/v1/evidence/{digest}")
    assert (answer.content, answer.headers["content-type"]) == (FILES[kind], kind)
    assert answer.headers["content-disposition"] == "attachment"
    query = "SELECT kind, actor FROM ledger_audit WHERE target = %s"
    assert rows(api.settings, query, digest) == [("viewed", "desk")]


def test_a_file_is_kept_once_and_sealed(api: Api) -> None:
    content = PICTURE + b"kept once"
    first, second = (upload(api, content).json() for _ in range(2))
    assert first == second
    kept = [*Path(api.settings.evidence_path).rglob(first["digest"])]
    assert len(kept) == 1
    assert b"kept once" not in kept[0].read_bytes()
    left = [one for one in Path(api.settings.evidence_path).rglob(".*") if one.is_file()]
    assert left == [], "nothing is left under another name"


def test_only_files_that_are_what_they_say_are_taken(api: Api) -> None:
    assert refused(upload(api, PICTURE, "text/html")) == (415, "media_type")
    answer = upload(api, b"<script>", "image/png")
    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (422, "media_type")
    assert refused(upload(api, PICTURE + bytes(FILE_BYTES_MAX))) == (413, "body_too_large")
    nothing = sha256(b"never uploaded").hexdigest()
    assert refused(api.client.get(f"/v1/evidence/{nothing}")) == (404, "evidence_not_found")
    assert api.client.get("/v1/evidence/nonsense").status_code == 422


# -- a second person -----------------------------------------------------------------------------


def test_two_persons_agree_to_a_refund_over_the_limit(api: Api) -> None:
    """covers: A26"""
    shop = f"shop-{uuid.uuid4().hex[:8]}"
    rules = {"refund": {"second_approval_over": {"CNY": 5_000}}}
    api.made(f"/v1/policies/{shop}", {"rules": rules})
    at = paid(api, shop=shop)
    asked = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 5_001})
    assert (asked["refund_status"], asked["status"]) == ("requested", "refunding")
    one = f"{at}/refunds/{asked['refund_id']}"
    assert refused(api.post(f"{one}/pay", {"reference": "R"})) == (409, "refund_is_requested")
    assert refused(api.post(f"{one}/approve")) == (409, "second_person_needed")
    other = api.client.post(f"{one}/approve", json={}, headers={"X-Actor": "manager"})
    assert other.json()["refund_status"] == "approved"
    (told,) = shown(api, at)["refunds"]
    assert (told["requested_by"], told["approved_by"]) == ("desk", "manager")
    assert api.made(f"{one}/pay", {"reference": "R"})["refund_status"] == "paid"
    failed = api.made(f"{one}/fail", {"code": "ACCOUNT_CLOSED"})
    assert (failed["refund_status"], failed["status"]) == ("failed", "refunding")
    assert api.made(f"{one}/retry")["refund_status"] == "approved"
    denied = api.made(f"{one}/deny", {"reason": "The customer keeps it."})
    assert denied["refund_status"] == "denied"
    after = shown(api, at)
    assert (after["refundable_minor"], after["refund_open_minor"]) == (21_000, 0)
    assert after["refunds"][0]["denied_reason"] == "The customer keeps it."


def test_compensation_needs_no_payment_that_it_could_go_back_to(api: Api) -> None:
    at = f"/v1/orders/{api.place()['order_id']}"
    body = {"amount_minor": 900, "reason": "goodwill", "method": "alipay", "reference": "K-1"}
    made = api.made(f"{at}/compensations", body)
    order = shown(api, at)
    assert [one["compensation_id"] for one in order["compensations"]] == [made["compensation_id"]]
    assert (order["refunds"], order["refunded_minor"], order["balance_minor"]) == ([], 0, 21_000)


# -- previews ------------------------------------------------------------------------------------

ASKED: list[dict[str, Any]] = [
    {"reason": "late", "amount_minor": 4_321},
    {"reason": "late", "lines": [{"line_no": 1, "quantity": 1}]},
    {"reason": "changed_mind", "lines": [{"line_no": 1, "quantity": "1.5"}]},
    {
        "reason": "late",
        "lines": [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}],
        "shipping_minor": 333,
    },
]


@pytest.mark.parametrize("asked", ASKED)
def test_a_refund_is_what_its_preview_showed(api: Api, asked: dict[str, Any]) -> None:
    """covers: R10 preview_equals_applied: with a discount, by line, tax, shipping and payment."""
    at = paid(api)
    body = {"method": "wechat_pay", "amount_minor": 1_000, "reference": "more"}
    api.made(f"{at}/payments", body)
    head = api.head()
    seen = api.made(f"{at}/refunds/preview", asked)
    assert api.head() == head, "a preview records nothing"
    made = api.made(f"{at}/refunds", {**asked, "expected_minor": seen["amount_minor"]})
    assert made["amount_minor"] == seen["amount_minor"]
    assert made["pay_by"] == seen["pay_by"]
    event = events(api, at.rpartition("/")[2])[-2]["data"]
    assert event["amount_minor"] == seen["amount_minor"]
    assert event.get("lines", []) == seen["lines"]
    for name in ("tax_minor", "shipping_minor", "fee_minor"):
        assert event[name] == seen[name]
    methods = [part["method"] for part in seen["payments"]]
    assert methods == ["wechat_pay", "alipay"], "the newest first"
    assert event["payments"] == [
        {"payment_id": part["payment_id"], "amount_minor": part["amount_minor"]}
        for part in seen["payments"]
    ]
    order = shown(api, at)
    assert order["refundable_minor"] == seen["refundable_minor"]["after"]
    answer = api.post(f"{at}/refunds", {**asked, "amount_minor": 1, "expected_minor": 2})
    assert answer.status_code == 409


# -- returns -------------------------------------------------------------------------------------


def test_goods_come_back_by_condition_and_two_of_three_are_refunded(api: Api) -> None:
    """covers: A49, A67"""
    sku = f"RETURNED-{uuid.uuid4().hex[:6]}"
    api.made(f"/v1/stock/{sku}/receive", {"quantity": 10})
    line = {"sku": sku, "name": "X", "category": "c", "quantity": 3, "unit_price": "50.00"}
    at = f"/v1/orders/{api.place(lines=[line], discount_minor=0, total_minor=None)['order_id']}"
    body = {"method": "alipay", "amount_minor": 16_000, "reference": uuid.uuid4().hex}
    api.made(f"{at}/payments", body)
    parcel = api.made(f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 3}]})["parcel_id"]
    sent = {"carrier": "sf", "tracking_number": uuid.uuid4().hex}
    api.made(f"/v1/parcels/{parcel}/dispatch", sent)
    api.made(f"/v1/parcels/{parcel}/deliver")

    asked = {"reason": "changed_mind", "lines": [{"line_no": 1, "quantity": 3}]}
    back = api.made(f"{at}/returns", asked)
    assert (back["return_status"], shown(api, at)["return_status"]) == ("requested", "requested")
    one = f"{at}/returns/{back['return_id']}"
    assert refused(api.post(f"{one}/receive", {"lines": [{"line_no": 1, "quantity": 1}]})) == (
        409,
        "return_is_requested",
    )
    assert api.made(f"{one}/approve", {"label": "L-1"})["return_status"] == "approved"
    came = [
        {"line_no": 1, "quantity": 1, "condition": "resell"},
        {"line_no": 1, "quantity": 1, "condition": "scrap"},
    ]
    received = api.made(f"{one}/receive", {"lines": came})
    assert received["return_status"] == "received"
    assert received["refund"]["amount_minor"] == 10_000
    stock = api.shown(f"/v1/stock/{sku}", min_position=received["position"])
    assert stock["locations"][0]["on_hand"] == 8
    api.made(f"{at}/refunds/{received['refund']['refund_id']}/pay", {"reference": "R"})
    api.made(f"{one}/close", {"reason": "The third is kept."})
    order = shown(api, at)
    assert (order["return_status"], order["refunded_minor"]) == ("closed", 10_000)
    assert (order["lines"][0]["returned"], order["lines"][0]["refunded"]) == (2, 2)
    (told,) = order["returns"]
    assert (told["postage"], told["label"], told["closed_reason"]) == (
        "customer",
        "L-1",
        "The third is kept.",
    )
    assert [(one["condition"], one["restocked"]) for one in told["received"]] == [
        ("resell", True),
        ("scrap", False),
    ]
    assert refused(api.post(f"{at}/returns", {**asked, "lines": [{"line_no": 1, "quantity": 2}]}))[
        1
    ] == ("return_exceeds_delivered")
    assert api.post(f"{at}/returns/nonsense/approve").status_code == 404


def scanned(api: Api, parcel_id: str, number: str, milestone: str) -> None:
    """As the carrier tells it; a scan after the last one."""
    now = datetime.now(UTC)
    journey = {"parcel_id": parcel_id, "carrier": "sf", "tracking_number": number}
    told = {"event_id": uuid.uuid4().hex, "milestone": milestone, "occurred_at": now, "at": now}
    Desk(api.settings).run(TrackParcel.model_validate(journey | told))


def test_a_parcel_is_intercepted_and_taken_back_undelivered(api: Api) -> None:
    """covers: A48: over the way that is there when a cancellation comes too late."""
    sku, number = f"BACK-{uuid.uuid4().hex[:6]}", uuid.uuid4().hex
    api.made(f"/v1/stock/{sku}/receive", {"quantity": 10})
    line = {"sku": sku, "name": "X", "category": "c", "quantity": 3, "unit_price": "50.00"}
    at = f"/v1/orders/{api.place(lines=[line], discount_minor=0, total_minor=None)['order_id']}"
    body = {"method": "alipay", "amount_minor": 16_000, "reference": uuid.uuid4().hex}
    api.made(f"{at}/payments", body)
    units = [{"line_no": 1, "quantity": 3}]
    parcel = api.made(f"{at}/parcels", {"lines": units})["parcel_id"]
    stop = {"reason_code": "changed_mind", "text": "王小明 rang too late"}
    intercept = f"{at}/parcels/{parcel}/intercept"
    assert refused(api.post(intercept, stop)) == (409, "not_on_its_way")
    api.made(f"/v1/parcels/{parcel}/dispatch", {"carrier": "sf", "tracking_number": number})

    answer = api.post(f"{at}/cancel", {"reason_code": "changed_mind"})
    assert refused(answer) == (409, "already_dispatched")
    assert answer.json()["facts"]["intercept"] == [parcel]
    assert shown(api, at)["parcels"][0]["intercept"] is None
    assert api.made(intercept, stop)["intercept"] == "requested"
    assert api.made(intercept, stop)["position"] is None, "a repeat is nothing"
    assert shown(api, at)["parcels"][0]["intercept"] == "requested"
    (fact,) = (e for e in events(api, at.rpartition("/")[2]) if "intercept" in e["topic"])
    assert (fact["data"]["reason_code"], fact["data"]["parcel_id"]) == ("changed_mind", parcel)
    query = "SELECT convert_from(state, 'UTF8') FROM ledger_event WHERE position = %s"
    ((stored,),) = rows(api.settings, query, fact["position"])
    assert "王小明" not in stored
    assert '"sealed"' in stored

    asked = {"reason": "changed_mind", "lines": units, "parcel_id": parcel}
    assert refused(api.post(f"{at}/returns", asked)) == (409, "parcel_not_coming_back")
    scanned(api, parcel, number, "returning")
    order = shown(api, at)
    assert order["parcels"][0]["intercept"] == "succeeded"
    assert (order["status"], order["fulfilment"]) == ("exception", "delivery_exception")
    back = f"{at}/returns/{api.made(f'{at}/returns', asked)['return_id']}"
    api.made(f"{back}/approve")
    received = api.made(f"{back}/receive", {"lines": units})
    assert received["refund"]["amount_minor"] == 15_000
    api.made(f"{at}/refunds/{received['refund']['refund_id']}/pay", {"reference": "R"})
    scanned(api, parcel, number, "delivered")
    order = shown(api, at)
    assert (order["parcels"][0]["status"], order["fulfilment"]) == ("returned", "shipped")
    assert order["returns"][0]["parcel_id"] == parcel
    assert (order["return_status"], order["refunded_minor"]) == ("closed", 15_000)
    (left,) = order["lines"]
    assert (left["delivered"], left["returned"], left["refunded"]) == (0, 3, 3)
    stock = api.shown(f"/v1/stock/{sku}", min_position=api.head())
    assert stock["locations"][0]["on_hand"] == 10
    asked.pop("parcel_id")
    assert refused(api.post(f"{at}/returns", asked)) == (409, "return_exceeds_delivered")


def test_an_exchange_is_linked_both_ways_and_the_difference_is_due(api: Api) -> None:
    """covers: A67"""
    at = delivered(api)
    new = {"sku": "POT", "name": "Pot", "category": "ware", "quantity": 1, "unit_price": "100.00"}
    asked = {"reason": "changed_mind", "lines": [{"line_no": 1, "quantity": 1}]}
    made = api.made(f"{at}/exchanges", {**asked, "new_lines": [new]})
    worth = made["refund"]["amount_minor"]
    assert made["new_order"]["total_minor"] == 10_000
    assert made["new_order"]["due_minor"] == 10_000 - worth
    other = f"/v1/orders/{made['new_order']['order_id']}"
    old, fresh = shown(api, at), shown(api, other)
    assert old["returns"][0]["exchange_order_id"] == fresh["order_id"]
    assert fresh["exchange_of"] == old["order_id"]
    assert fresh["contact"] == old["contact"]
    assert fresh["shipping_address"] == old["shipping_address"]
    assert fresh["region"] == old["region"] == "CN"
    assert (fresh["paid_minor"], old["refunded_minor"]) == (worth, worth)
    assert (fresh["status"], old["return_status"]) == ("awaiting_payment", "approved")
    api.made(
        f"{other}/payments",
        {"method": "alipay", "amount_minor": 10_000 - worth, "reference": "difference"},
    )
    assert shown(api, other)["status"] == "paid"


def test_the_reports_agree_after_a_partial_refund(api: Api) -> None:
    """covers: R5 all_reports_agree_after_partial_refund: also after a payout that failed."""
    customer, channel = f"C-{uuid.uuid4().hex[:8]}", "store"
    at = paid(api, customer_id=customer, channel=channel)
    before = api.shown("/v1/analytics/sales", group="channel", min_position=api.head())
    kept = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 700})["refund_id"]
    lost = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 900})["refund_id"]
    for refund_id in (kept, lost):
        api.made(f"{at}/refunds/{refund_id}/pay", {"reference": "R"})
    api.made(f"{at}/refunds/{lost}/fail", {"code": "RETURNED"})
    head = api.head()
    after = api.shown("/v1/analytics/sales", group="channel", min_position=head)
    order = api.shown(at, min_position=head)
    history = api.shown(f"/v1/customers/{customer}/history", min_position=head)
    assert order["refunded_minor"] == history["totals"][0]["refunded_minor"] == 700
    assert refunded(after, channel) - refunded(before, channel) == 700


def refunded(sales: dict[str, Any], channel: str) -> int:
    return sum(row["refunded_minor"] for row in sales["rows"] if row["group"] == channel)
