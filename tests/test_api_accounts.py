"""A customer's account over HTTP: against a real server and the real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.api_server import Api, events, order, rows

Json = dict[str, Any]
CREDIT: Json = {"amount_minor": 15_000, "cause": "compensation", "reason_code": "late"}
GIFT: Json = {"amount_minor": 1, "expires_at": "2030-01-01T00:00:00Z", "reason_code": "x"}


def account(customer_id: str, currency: str = "CNY") -> str:
    return f"/v1/customers/{quote(customer_id, safe='')}/accounts/{currency}"


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@pytest.fixture
def known(api: Api, request: pytest.FixtureRequest) -> str:
    """The id of a customer of this test alone."""
    name = f"C/{request.node.name}"
    assert api.client.put(
        f"/v1/customers/{quote(name, safe='')}", json={"contact": {"name": "李雷"}}
    ).is_success
    return name


def test_an_account_that_nobody_used_is_empty(api: Api) -> None:
    shown = api.shown(account("nobody"))
    assert (shown["version"], shown["liability_minor"], shown["limit_minor"]) == (0, 0, None)
    assert shown["gifts"] == shown["exposures"] == []


def test_credit_and_gifts_are_spent_by_placing_and_come_back(api: Api, known: str) -> None:
    """covers: A64: liability total = issued - spent + given back - expired"""
    at = account(known)
    granted = api.made(f"{at}/credit", CREDIT | {"text": "Li was patient", "reference": "case 7"})
    assert (granted["credit_minor"], granted["version"], granted["status"]) == (15_000, 1, "funded")
    body = {"amount_minor": 8_000, "expires_at": in_days(9), "reason_code": "birthday"}
    gift = api.made(f"{at}/gifts", body)
    assert gift["gift_minor"] == 8_000

    placed = api.place(customer_id=known, payment_method="store_credit")
    assert placed["status"] == "paid"
    shown = api.shown(at, min_position=placed["position"])
    assert (shown["credit_minor"], shown["gift_minor"]) == (2_000, 0)
    assert shown["available_minor"] == 2_000
    assert shown["gifts"] == []
    topics = [event["topic"] for event in events(api, placed["order_id"])]
    assert topics == ["order.placed.v4", "order.approved.v1", "order.payment_captured.v2"]
    bought = api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    assert (bought["paid_minor"], bought["payments"][0]["method"]) == (21_000, "store_credit")

    path = f"/v1/orders/{placed['order_id']}/refunds"
    refund = api.made(path, {"reason": "late", "amount_minor": 15_000})
    paid = api.made(f"{path}/{refund['refund_id']}/pay", {"reference": "R-1"})
    shown = api.shown(at, min_position=paid["position"])
    assert (shown["credit_minor"], shown["gift_minor"]) == (15_000, 2_000)
    assert shown["gifts"][0]["gift_id"] == gift["gift_id"]
    assert (shown["gifts"][0]["left_minor"], shown["gifts"][0]["expired"]) == (2_000, False)
    sums = [shown[f"{name}_minor"] for name in ("issued", "spent", "given_back", "expired")]
    assert sums == [23_000, 21_000, 15_000, 0]
    assert shown["liability_minor"] == 23_000 - 21_000 + 15_000 == 17_000


def test_too_little_credit_is_refused_with_the_numbers(api: Api, known: str) -> None:
    api.made(f"{account(known)}/credit", CREDIT)
    refused = api.post("/v1/orders", order(customer_id=known, payment_method="store_credit"))
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "insufficient_credit")
    facts = problem["facts"]
    assert (facts["asked_minor"], facts["available_minor"]) == (21_000, 15_000)


def test_orders_on_account_stay_within_the_limit(api: Api, known: str) -> None:
    """covers: A82"""
    at = account(known)
    later = order(customer_id=known, payment_method="on_account")
    assert api.post("/v1/orders", later).json()["code"] == "no_credit_limit"
    agreed = api.made(f"{at}/limit", {"limit_minor": 30_000, "reason": "Contract of March"})
    assert agreed["limit_minor"] == 30_000
    placed = api.made("/v1/orders", later)
    assert placed["status"] == "preparing"
    problem = api.post("/v1/orders", later).json()
    assert problem["code"] == "credit_limit_exceeded"
    numbers = ("limit_minor", "exposure_minor", "asked_minor", "available_minor")
    assert [problem["facts"][name] for name in numbers] == [30_000, 21_000, 21_000, 9_000]
    shown = api.shown(at)
    assert shown["exposures"] == [{"order_id": placed["order_id"], "amount_minor": 21_000}]
    payment = {"method": "bank_transfer", "amount_minor": 21_000, "reference": "B-1"}
    api.made(f"/v1/orders/{placed['order_id']}/payments", payment)
    shown = api.shown(at)
    assert (shown["exposure_minor"], shown["limit_left_minor"]) == (0, 30_000)
    assert shown["exposures"] == []
    api.made("/v1/orders", later)


def test_what_cannot_be_is_refused_by_its_field(api: Api, known: str) -> None:
    at = account(known)
    later = in_days(4000)
    wrong: list[tuple[str, Json, str]] = [
        ("credit", CREDIT | {"amount_minor": 1.5}, "amount_minor"),
        ("credit", CREDIT | {"cause": "mood"}, "cause"),
        ("credit", CREDIT | {"amount_minor": 10**12 + 1}, "amount_minor"),
        ("gifts", GIFT | {"amount_minor": 0}, "amount_minor"),
        ("gifts", GIFT | {"expires_at": later}, "expires_at"),
        ("limit", {"limit_minor": -1, "reason": "x"}, "limit_minor"),
        ("limit", {"limit_minor": 1}, "reason"),
    ]
    for name, body, field in wrong:
        answer = api.post(f"{at}/{name}", body)
        assert answer.status_code == 422, (name, body)
        assert field in {one["field"] for one in answer.json()["errors"]}, answer.text
    answer = api.post(f"{account(known, 'XXX')}/limit", {"limit_minor": 1, "reason": "x"})
    assert answer.json()["errors"][0]["field"] == "currency"
    assert api.get(account(known, "XXX")).status_code == 422
    unknown = api.post(f"{account('nobody')}/credit", CREDIT)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "customer_not_found")


def test_a_grant_is_made_once_under_its_key_and_at_its_version(api: Api, known: str) -> None:
    at = f"{account(known)}/credit"
    first = api.post(at, CREDIT, idempotency_key=f"{known}-1")
    again = api.post(at, CREDIT, idempotency_key=f"{known}-1")
    assert first.json() == again.json()
    stale = api.post(at, CREDIT, if_match='"7"')
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_version")
    assert api.post(at, CREDIT, if_match='"1"').json()["credit_minor"] == 30_000


def test_why_credit_was_granted_is_sealed(api: Api, known: str) -> None:
    made = api.made(f"{account(known)}/credit", CREDIT | {"text": "Li was patient"})
    (event,) = api.shown("/v1/feed", after=made["position"] - 1, limit=1)["events"]
    assert event["topic"] == "account.credit_granted.v1"
    assert event["data"]["text"] == {"masked": True}
    ((state,),) = rows(
        api.settings, "SELECT state FROM ledger_event WHERE position = %s", made["position"]
    )
    assert b"patient" not in state
