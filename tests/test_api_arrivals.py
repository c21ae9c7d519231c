"""Receipts, replacements and papers over HTTP, with the worker of deadlines at work beside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.examples import EVIDENCE_ADDED, EVIDENCE_FILE
from tests.api_server import Api, events
from tests.carrier import wait_until
from workers import deadlines

Json = dict[str, Any]
PARCEL = {"lines": [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]}


@contextmanager
def worker(api: Api) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=deadlines.run, args=(api.settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def sent(api: Api, **changes: Any) -> tuple[str, str]:
    """Where an order is that was paid and dispatched, and its parcel."""
    placed = api.place(**changes)
    at = f"/v1/orders/{placed['order_id']}"
    api.made(f"{at}/payments", {"method": "alipay", "amount_minor": 21_000, "reference": "r"})
    parcel = api.made(f"{at}/parcels", PARCEL)["parcel_id"]
    number = f"SF-{parcel[-12:]}"
    api.made(f"/v1/parcels/{parcel}/dispatch", {"carrier": "sf", "tracking_number": number})
    return at, parcel


def picture(api: Api) -> None:
    kind = {"Content-Type": "application/pdf"}
    assert api.client.post("/v1/evidence", content=EVIDENCE_FILE, headers=kind).is_success


def papers(api: Api, at: str) -> list[tuple[str, int]]:
    told = api.shown(f"{at}/papers")["papers"]
    return [(one["kind"], one["total_minor"]) for one in told]


def test_a_confirmed_receipt_completes_the_order_everywhere(api: Api) -> None:
    """covers: A1"""
    at, parcel = sent(api)
    made = api.made(f"{at}/confirm-receipt", {"by": "customer"})
    assert (made["status"], made["completed_at"] is None) == ("completed", False)
    shown = api.shown(at, min_position=made["position"])
    assert (shown["stage"], shown["status"], shown["fulfilment"]) == (
        "completed",
        "completed",
        "delivered",
    )
    assert shown["times"]["completed"]["position"] == made["position"]
    assert shown["parcels"][0]["status"] == "delivered"
    listed = api.shown("/v1/orders", status="completed")["items"]
    assert made["order_id"] in [one["order_id"] for one in listed]
    customer = f"/v1/customers/{shown['customer_id']}/history"
    history = api.shown(customer, min_position=made["position"])["orders"]
    (past,) = (one for one in history if one["order_id"] == made["order_id"])
    assert past["status"] == "completed"
    again = api.post(f"{at}/confirm-receipt", {"by": "customer"})
    assert (again.status_code, again.json()["position"]) == (200, None)
    assert parcel == shown["parcels"][0]["parcel_id"]


def test_an_order_that_is_not_settled_is_not_completed(api: Api) -> None:
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    refused = api.post(f"{at}/confirm-receipt", {"by": "nobody"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "by")
    early = api.post(f"{at}/confirm-receipt")
    assert (early.status_code, early.json()["code"]) == (409, "not_delivered")
    sent_at, _ = sent(api)
    api.made(f"{sent_at}/cases", {"kind": "customer_dispute", "text": "Says so."})
    held = api.post(f"{sent_at}/confirm-receipt")
    assert (held.status_code, held.json()["code"]) == (409, "order_is_open")


def test_a_replacement_is_linked_both_ways_and_blocks_the_refund(api: Api) -> None:
    """covers: A13"""
    picture(api)
    api.made("/v1/stock/TEA-LONGJING/receive", {"quantity": 100, "reference": "PO"})
    at, parcel = sent(api)
    api.made(f"/v1/parcels/{parcel}/deliver")
    body = {"reason": "damaged", "lines": [{"line_no": 1, "quantity": 1}]}
    refused = api.post(f"{at}/replacements", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "evidence_missing")
    key = f"r-{at[-12:]}"
    answers = [
        api.post(f"{at}/replacements", body | EVIDENCE_ADDED, Idempotency_Key=key) for _ in range(2)
    ]
    made, again = (one.json() for one in answers)
    assert (answers[0].status_code, made) == (201, again)
    new = f"/v1/orders/{made['new_order']['order_id']}"
    first = api.shown(at, min_position=made["position"])
    other = api.shown(new, min_position=made["position"])
    (told,) = first["replacements"]
    assert (told["order_id"], told["reason"]) == (other["order_id"], "damaged")
    assert told["lines"] == [{"line_no": 1, "quantity": 1}]
    assert first["lines"][0]["replaced"] == 1
    assert (other["replacement_of"], other["total_minor"]) == (first["order_id"], 0)
    assert other["lines"][0]["reserved"] == 1
    lines = {"reason": "late", "lines": [{"line_no": 1, "quantity": 2}]}
    twice = api.post(f"{at}/refunds", lines)
    assert (twice.status_code, twice.json()["code"]) == (409, "refund_exceeds_line")
    api.made(f"{new}/cancel", {"reason_code": "out_of_stock", "initiator": "seller"})
    assert api.post(f"{at}/refunds", lines).is_success


def test_a_replacement_decided_on_an_old_version_is_refused(api: Api) -> None:
    """covers: A77"""
    at, parcel = sent(api)
    version = api.made(f"{at}/notes", {"text": "Rang."})["version"]
    body = {"reason": "lost", "parcel_id": parcel}
    stale = api.post(f"{at}/replacements", body, If_Match=f'"{version - 1}"')
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_version")
    missing = api.post(f"{at}/replacements", {"reason": "lost"})
    assert missing.status_code == 422
    not_lost = api.post(f"{at}/replacements", body)
    assert (not_lost.status_code, not_lost.json()["code"]) == (409, "parcel_not_lost")


def test_the_worker_issues_what_the_desk_brings_about(api: Api) -> None:
    """covers: A24, A68: dispatched, refunded and paid out over HTTP; the papers come by themselves,
    and those that are asked for at the same time are not written twice.
    """
    with worker(api):
        places = [sent(api)[0] for _ in range(6)]
        for at in places[:3]:
            api.post(f"{at}/invoices")  # Whoever is first.
        wait_until(lambda: all(papers(api, at) == [("invoice", 21_000)] for at in places), 30)
        back = api.made(f"{places[0]}/refunds", {"reason": "late", "amount_minor": 500})
        api.made(f"{places[0]}/refunds/{back['refund_id']}/pay", {"reference": "R"})
        expected = [("invoice", 21_000), ("credit_note", 500)]
        wait_until(lambda: papers(api, places[0]) == expected, 30)
        api.made(f"{places[1]}/confirm-receipt")
    told = [one["topic"] for at in places for one in events(api, at.rsplit("/", 1)[1])]
    assert (told.count("order.invoiced.v2"), told.count("order.credited.v2")) == (6, 1)
