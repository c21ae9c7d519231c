"""Invoices, credit notes and fapiao over HTTP, as the desk uses them."""

from __future__ import annotations

import io
import re
from typing import Any

from facturx import get_facturx_xml_from_pdf, parse_ubl_cii_xml
from pypdf import PdfReader

from tests.api_server import Api, events, rows

Json = dict[str, Any]


def billed(api: Api, **changes: Any) -> tuple[str, Json]:
    """A new order, paid and invoiced: where it is, and the invoice's answer."""
    placed = api.place(**changes)
    at = f"/v1/orders/{placed['order_id']}"
    paid = {"method": "alipay", "amount_minor": placed["total_minor"], "reference": "r"}
    api.made(f"{at}/payments", paid)
    return at, api.made(f"{at}/invoices")


def test_an_order_is_invoiced_refunded_and_credited(api: Api) -> None:
    """covers: A24, A68"""
    at, invoice = billed(api)
    assert re.fullmatch(r"INV-20\d\d-\d{6}", invoice["paper_number"])
    assert invoice["paper_total_minor"] == invoice["total_minor"] == 21_000
    again = api.post(f"{at}/invoices")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_invoice")

    refund = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 500})
    api.made(f"{at}/refunds/{refund['refund_id']}/pay", {"reference": "R-1"})
    body = {"reason": "damaged", "refund_id": refund["refund_id"], "text": "The cup was chipped."}
    note = api.made(f"{at}/credit-notes", body)
    assert (note["paper_total_minor"], note["invoice_number"]) == (500, invoice["paper_number"])
    listed = api.shown(f"{at}/papers", min_position=note["position"])
    assert [(one["kind"], one["total_minor"]) for one in listed["papers"]] == [
        ("invoice", 21_000),
        ("credit_note", 500),
    ]
    assert (listed["to_invoice_minor"], listed["to_credit_minor"]) == (0, 0)
    assert sum(one["gross_minor"] for one in listed["papers"][0]["rates"]) == 21_000
    (told,) = [e for e in events(api, note["order_id"]) if e["topic"] == "order.credited.v2"]
    assert told["data"]["text"] == "The cup was chipped."
    shown = api.shown(at, min_position=note["position"])
    assert shown["version"] == note["version"]


def test_a_paper_is_read_as_html_pdf_and_xml(api: Api) -> None:
    """covers: A24"""
    _, invoice = billed(api)
    paper = f"/v1/papers/{invoice['paper_number']}"
    page = api.get(f"{paper}.html", min_position=invoice["position"])
    assert page.headers["content-type"].startswith("text/html")
    for part in (invoice["paper_number"], invoice["number"], "王小明", "210.00 CNY", "销售发票"):
        assert part in page.text
    assert "Invoice" in api.get(f"{paper}.html", language="en").text
    structured = api.get(f"{paper}.xml")
    assert structured.headers["content-type"] == "application/xml"
    told = parse_ubl_cii_xml(structured.content)
    assert (told["BT-1"], told["BT-112"], told["BT-115"]) == (
        invoice["paper_number"],
        "210.00",
        "0.00",
    )
    pdf = api.get(f"{paper}.pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    (first,) = PdfReader(io.BytesIO(pdf.content)).pages
    text = "".join(filter(str.isprintable, first.extract_text().replace(" ", "")))
    assert invoice["paper_number"] in text
    assert "210.00CNY" in text
    assert get_facturx_xml_from_pdf(pdf.content)[1] == structured.content


def test_a_look_at_a_paper_is_recorded(api: Api) -> None:
    """covers: A38"""
    _, invoice = billed(api)
    api.get(f"/v1/papers/{invoice['paper_number']}.html")
    query = "SELECT command FROM ledger_audit WHERE kind = 'viewed' AND target = %s"
    found = rows(api.settings, query, invoice["order_id"])
    assert ("GET /v1/papers/{number}.html",) in found


def test_what_is_no_paper_or_cannot_be_one(api: Api) -> None:
    for kind in ("html", "pdf", "xml"):
        missing = api.get(f"/v1/papers/INV-1.{kind}")
        assert (missing.status_code, missing.json()["code"]) == (404, "paper_not_found")
    assert api.get("/v1/papers/INV-1.docx").status_code == 404
    nowhere = "/v1/orders/0195533e-9d2a-7c41-8f03-2e7b1d5c6a22"
    assert api.get(f"{nowhere}/papers").status_code == 404
    assert api.post(f"{nowhere}/invoices").json()["code"] == "order_not_found"
    _, dinars = billed(api, currency="KWD", total_minor=None)
    paper = f"/v1/papers/{dinars['paper_number']}"
    refused = api.get(f"{paper}.xml")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_expressible")
    assert api.get(f"{paper}.pdf").is_success


def test_a_shop_whose_seller_is_not_set_issues_no_invoice(api: Api) -> None:
    placed = api.place(shop="west")
    refused = api.post(f"/v1/orders/{placed['order_id']}/invoices")
    assert (refused.status_code, refused.json()["code"]) == (409, "seller_unknown")


def test_a_repeated_request_is_one_invoice(api: Api) -> None:
    """covers: A76"""
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}/invoices"
    first, again = (api.post(at, {}, Idempotency_Key=f"k-{placed['number']}") for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"


def test_an_invoice_decided_on_an_old_version_is_refused(api: Api) -> None:
    """covers: A77"""
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    api.made(f"{at}/notes", {"text": "Rang."})
    stale = api.post(f"{at}/invoices", {}, If_Match=f'"{placed["version"]}"')
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_version")


def test_a_fapiao_is_asked_for_recorded_and_taken_back(api: Api) -> None:
    """covers: A68"""
    at, _ = billed(api)
    asked = api.made(f"{at}/fapiao", {"title": "李雷"})
    known = f"{at}/fapiao/{asked['fapiao_id']}"
    file = {"issue_date": "2026-03-02", "file_digest": f"sha256:{'0a' * 32}"}
    assert api.made(f"{known}/issued", file | {"fapiao_number": "1"})["fapiao_number"] == "1"
    note = api.made(f"{at}/credit-notes", {"reason": "wrong", "correction": True})["paper_number"]
    assert api.made(f"{known}/red-letters")["red_letters"] == {note: None}
    red = api.made(f"{known}/red-letters/{note}/issued", file | {"fapiao_number": "2"})
    assert red["red_letters"] == {note: "2"}
    (listed,) = api.shown(f"{at}/papers")["fapiao"]
    assert (listed["fapiao_number"], listed["red_letters"]) == ("1", {note: "2"})
    special = api.post(f"{at}/fapiao", {"title": "李雷", "kind": "special"})
    assert special.status_code == 422
