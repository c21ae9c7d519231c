"""Exemption from tax and named discounts over HTTP: placed, read, amended, invoiced."""

from __future__ import annotations

from typing import Any

from tests.api_server import Api, events, rows

Json = dict[str, Any]

REASON = {"code": "charity", "reason": "§ 4 Nr. 18 UStG"}
COUPON = {"kind": "coupon", "code": "SPRING", "title": "Spring sale", "amount_minor": 300}
AGREED = {"kind": "agreement", "title": "Contract of March", "amount_minor": 201}


def goods(sku: str, price: int, **more: Any) -> Json:
    usual = {"sku": sku, "name": sku, "category": "tea", "quantity": 1, "unit_price_minor": price}
    return usual | more


def exempt(api: Api) -> Json:
    return api.place(
        lines=[goods("TEA", 10_000), goods("CUP", 5_000)],
        discount_minor=None,
        discounts=[COUPON, AGREED],
        exemption=REASON,
        exemption_certificate="ST-44/17",
    )


def test_an_order_tells_why_it_is_exempt_and_what_was_taken_off(api: Api) -> None:
    """covers: A65 (exemption), A66"""
    placed = exempt(api)
    assert placed["total_minor"] == 15_499
    assert [line["tax_minor"] for line in placed["lines"]] == [0, 0]
    shown = api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    assert shown["exemption"] == REASON
    assert shown["exemption_certificate"] == "ST-44/17"
    assert shown["discounts"] == [COUPON, AGREED | {"code": None}]
    lines = [(one["exemption"], one["discount_shares"]) for one in shown["lines"]]
    assert lines == [(REASON, [200, 134]), (REASON, [100, 67])]


def test_the_certificate_is_stored_sealed_and_a_look_at_it_recorded(api: Api) -> None:
    """covers: A38"""
    placed = exempt(api)
    query = "SELECT state FROM ledger_event WHERE topic = 'order.placed.v4' AND key = %s"
    ((state,),) = rows(api.settings, query, placed["order_id"])
    assert b"ST-44" not in bytes(state)
    assert events(api, placed["order_id"])[0]["data"]["exemption_certificate"] == "ST-44/17"
    api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    looked = "SELECT facts::text FROM ledger_audit WHERE kind = 'viewed' AND target = %s"
    assert any(
        "exemption_certificate" in one for (one,) in rows(api.settings, looked, placed["order_id"])
    )


def test_an_amendment_keeps_names_and_exemption(api: Api) -> None:
    """covers: A65 (frozen at sale), R11"""
    placed = exempt(api)
    at = f"/v1/orders/{placed['order_id']}"
    body = {"lines": [{"line_no": 1, "quantity": 2}, goods("POT", 700)], "reason": "One more."}
    amended = api.made(f"{at}/amend", body)
    assert amended["total_minor"] == 26_199
    shown = api.shown(at, min_position=amended["position"])
    assert [one["amount_minor"] for one in shown["discounts"]] == [300, 201]
    assert [one["discount_shares"] for one in shown["lines"]] == [[200, 134], [100, 67], []]
    assert [one["exemption"] for one in shown["lines"]] == [REASON] * 3
    taxed = {"lines": [goods("POT", 700, tax_rate_bp=1300)], "reason": "One more."}
    refused = api.post(f"{at}/amend", taxed)
    assert (refused.status_code, refused.json()["code"]) == (409, "line_is_exempt")


def test_the_invoice_of_an_exempt_order_says_so(api: Api) -> None:
    """covers: A65 (exemption), A68"""
    placed = exempt(api)
    at = f"/v1/orders/{placed['order_id']}"
    invoice = api.made(f"{at}/invoices")
    listed = api.shown(f"{at}/papers", min_position=invoice["position"])
    assert [one["exemption"] for one in listed["papers"][0]["rates"]] == [REASON]
    paper = f"/v1/papers/{invoice['paper_number']}"
    page = api.get(f"{paper}.html", language="en").text
    for words in ("exempt", REASON["reason"], "ST-44/17", "coupon SPRING (Spring sale) 3.00 CNY"):
        assert words in page
    assert "<ram:CategoryCode>E</ram:CategoryCode>" in api.get(f"{paper}.xml").text
