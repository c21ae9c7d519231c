"""If-Match over HTTP: honoured where it is described, and nowhere passed over in silence."""

from typing import Any

import pytest

from api.examples import AUTHORISATION, CASE, EVIDENCE_FILE, NOTICE, PROCEDURE, STATEMENT
from tests.api_server import Api, tell
from tests.servers import PROVIDER

Json = dict[str, Any]

STALE = '"999"'
NEVER_CONFLICT = {
    "/v1/orders/{order_id}/payments",
    "/v1/orders/{order_id}/payments/authorise",
    "/v1/orders/{order_id}/payments/{payment_id}/capture",
    "/v1/orders/{order_id}/payments/fail",
    "/v1/orders/{order_id}/payments/{payment_id}/chargebacks",
    "/v1/orders/{order_id}/payments/remit",
    "/v1/orders/{order_id}/notes",
    "/v1/orders/{order_id}/cases",
    "/v1/orders/{order_id}/cases/{case_id}/steps",
}
WITHOUT_VERSION = {
    "/v1/orders",
    "/v1/parcels",
    "/v1/drafts",
    "/v1/drafts/{draft_id}/confirm/preview",
    "/v1/orders/{order_id}/amend/preview",
    "/v1/orders/{order_id}/cancel/preview",
    "/v1/orders/{order_id}/refunds/preview",
    "/v1/orders/{order_id}/payments/late-fee/preview",
    "/v1/policies/{shop}/preview",
    "/v1/policies/{shop}/try",
    "/v1/statements",
    "/v1/statements/{statement_id}/auto-match",
    "/v1/periods/{month}/close",
    "/v1/procedure/issue",
    "/v1/procedure/{version}/acknowledge",
}


# A file has no version, and a provider knows none.
WITHOUT_CONDITION = {"/v1/evidence", "/v1/providers/{provider}/notices"}


@pytest.fixture(scope="module")
def ids(api: Api) -> dict[str, str]:
    """What the commands of the description can be sent to."""
    order_id = api.place()["order_id"]
    at = f"/v1/orders/{order_id}"
    paid = {"method": "alipay", "amount_minor": 21_000, "reference": "A-1"}
    payment = api.made(f"{at}/payments", paid)
    held = api.made(f"{at}/payments/authorise", {**AUTHORISATION, "reference": "held before"})
    packed = api.made(f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 1}]})
    refund = api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 1})
    pdf = {"Content-Type": "application/pdf"}
    assert api.client.post("/v1/evidence", content=EVIDENCE_FILE, headers=pdf).is_success
    api.made("/v1/stock/TEA/receive", {"quantity": 1})
    api.made("/v1/policies/main", {"rules": {"cancellation": {"free_hours": 25}}})
    body = {"contact": {"name": "A"}}
    assert api.client.put("/v1/customers/C-1", json=body).is_success
    draft = api.made("/v1/drafts", {})
    statement = api.made("/v1/statements", STATEMENT)
    api.made("/v1/customers/C-1/accounts/CNY/limit", {"limit_minor": 1, "reason": "r"})
    return {
        "order_id": order_id,
        "draft_id": draft["draft_id"],
        "payment_id": payment["payment_id"],
        "authorisation_id": held["payment_id"],
        "other_id": api.place()["order_id"],
        "chargeback_id": "C-1",
        "case_id": api.made(f"{at}/cases", CASE)["case_id"],
        "hold_id": "H-1",
        "version": str(api.made("/v1/procedure/issue", PROCEDURE)["version"]),
        "parcel_id": packed["parcel_id"],
        "refund_id": refund["refund_id"],
        "return_id": "T-1",
        "sku": "TEA",
        "customer_id": "C-1",
        "shop": "main",
        "currency": "CNY",
        "fapiao_id": "F-1",
        "credit_number": "CN-1",
        "statement_id": statement["statement_id"],
        "match_id": "M-1",
        "line_no": "1",
        "month": "2025-01",
        "provider": PROVIDER,
        "notice_id": tell(api, NOTICE)["notice_id"],
    }


def commands(api: Api) -> list[tuple[str, str, Json]]:
    return [
        (method, path, operation)
        for path, methods in api.shown("/openapi.json")["paths"].items()
        for method, operation in methods.items()
        if method != "get" and path not in WITHOUT_CONDITION
    ]


def body_of(operation: Json, ids: dict[str, str]) -> Json:
    if "requestBody" not in operation:
        return {}
    content = operation["requestBody"]["content"]["application/json"]
    body: Json = content["examples"]["example"]["value"]
    if "contents" in body:
        return {"contents": [{**body["contents"][0], "order_id": ids["order_id"]}]}
    if "order_id" in body:
        return body | {"order_id": ids["order_id"]}
    if "to_order_id" in body:
        return body | {"to_order_id": ids["other_id"]}
    return body


def test_a_stale_version_stops_exactly_the_commands_that_describe_it(
    api: Api, ids: dict[str, str]
) -> None:
    """covers: A77"""
    for method, path, operation in commands(api):
        described = "if-match" in {one["name"] for one in operation["parameters"]}
        assert described == (path not in NEVER_CONFLICT | WITHOUT_VERSION), path
        body, head = body_of(operation, ids), api.head()
        url = path.replace("{payment_id}/capture", "{authorisation_id}/capture").format(**ids)
        answer = api.client.request(method, url, json=body, headers={"If-Match": STALE})
        if described:
            assert (answer.status_code, answer.json()["code"]) == (409, "stale_version"), path
        elif path in NEVER_CONFLICT:
            assert answer.is_success, path
        else:
            (error,) = answer.json()["errors"]
            assert (answer.status_code, error["field"]) == (422, "If-Match"), path
        assert api.head() == head + (path in NEVER_CONFLICT), path
