"""The OpenAPI description is true: its examples run, no input that it allows breaks the server."""

import re
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.examples import EVIDENCE_FILE
from domain.stock_item import StockAdjusted
from tests.api_server import Api, tell
from tests.clock import Clock
from tests.scale import scale
from tests.servers import PROVIDER

Json = dict[str, Any]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(api: Api) -> Json:
    return api.shown("/openapi.json")


def operations(described: Json) -> list[tuple[str, str, Json]]:
    return [
        (method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


EVIDENCE = "/v1/evidence"  # takes files, not JSON
WEBHOOK = "/v1/providers/{provider}/notices"  # signed, and named by the provider's own id
INTERFACE = {
    "POST /v1/orders",
    "POST /v1/drafts",
    "PUT /v1/drafts/{}",
    "POST /v1/drafts/{}/quote",
    "POST /v1/drafts/{}/accept",
    "POST /v1/drafts/{}/decline",
    "POST /v1/drafts/{}/confirm",
    "POST /v1/drafts/{}/confirm/preview",
    "POST /v1/drafts/{}/discard",
    "GET /v1/drafts",
    "GET /v1/drafts/{}",
    "POST /v1/orders/{}/approve",
    "POST /v1/orders/{}/reject",
    "POST /v1/orders/{}/cases",
    "POST /v1/orders/{}/cases/{}/steps",
    "POST /v1/orders/{}/cases/{}/close",
    "POST /v1/orders/{}/cases/{}/reopen",
    "POST /v1/orders/{}/hold",
    "POST /v1/orders/{}/holds/{}/release",
    "GET /v1/cases",
    "GET /v1/deadlines",
    "POST /v1/orders/{}/amend",
    "POST /v1/orders/{}/amend/preview",
    "POST /v1/orders/{}/payments",
    "POST /v1/orders/{}/payments/authorise",
    "POST /v1/orders/{}/payments/{}/capture",
    "POST /v1/orders/{}/payments/{}/request-capture",
    "POST /v1/orders/{}/payments/{}/void-authorisation",
    "POST /v1/orders/{}/payments/{}/expire",
    "POST /v1/orders/{}/payments/fail",
    "POST /v1/orders/{}/payments/{}/void",
    "POST /v1/orders/{}/payments/{}/move",
    "POST /v1/orders/{}/payments/{}/chargebacks",
    "POST /v1/orders/{}/payments/chargebacks/{}/win",
    "POST /v1/orders/{}/payments/chargebacks/{}/lose",
    "POST /v1/orders/{}/payments/write-off",
    "POST /v1/orders/{}/payments/overdue",
    "POST /v1/orders/{}/payments/cancel-overdue",
    "POST /v1/orders/{}/payments/late-fee/preview",
    "POST /v1/orders/{}/payments/late-fee",
    "POST /v1/orders/{}/payments/late-fee/waive",
    "POST /v1/orders/{}/payments/remit",
    "POST /v1/orders/{}/parcels/{}/refuse",
    "POST /v1/orders/{}/parcels/{}/intercept",
    "POST /v1/orders/{}/reinstate",
    "POST /v1/orders/{}/parcels",
    "POST /v1/orders/{}/cancel",
    "POST /v1/orders/{}/cancel/preview",
    "POST /v1/orders/{}/refunds",
    "POST /v1/orders/{}/refunds/preview",
    "POST /v1/orders/{}/refunds/{}/approve",
    "POST /v1/orders/{}/refunds/{}/deny",
    "POST /v1/orders/{}/refunds/{}/pay",
    "POST /v1/orders/{}/refunds/{}/fail",
    "POST /v1/orders/{}/refunds/{}/retry",
    "POST /v1/orders/{}/refunds/{}/ask-evidence",
    "POST /v1/orders/{}/refunds/{}/evidence",
    "POST /v1/orders/{}/compensations",
    "POST /v1/orders/{}/returns",
    "POST /v1/orders/{}/returns/{}/approve",
    "POST /v1/orders/{}/returns/{}/deny",
    "POST /v1/orders/{}/returns/{}/receive",
    "POST /v1/orders/{}/returns/{}/close",
    "POST /v1/orders/{}/exchanges",
    "POST /v1/orders/{}/replacements",
    "POST /v1/orders/{}/confirm-receipt",
    "POST /v1/evidence",
    "GET /v1/evidence/{}",
    "POST /v1/orders/{}/notes",
    "POST /v1/orders/{}/override",
    "DELETE /v1/orders/{}/override",
    "POST /v1/orders/{}/void",
    "POST /v1/parcels",
    "POST /v1/parcels/{}/dispatch",
    "POST /v1/parcels/{}/deliver",
    "POST /v1/stock/{}/receive",
    "POST /v1/stock/{}/adjust",
    "GET /v1/orders",
    "GET /v1/orders/{}",
    "GET /v1/orders/{}/events",
    "POST /v1/orders/{}/invoices",
    "POST /v1/orders/{}/credit-notes",
    "GET /v1/orders/{}/papers",
    "GET /v1/papers/{}.html",
    "GET /v1/papers/{}.pdf",
    "GET /v1/papers/{}.xml",
    "POST /v1/orders/{}/fapiao",
    "POST /v1/orders/{}/fapiao/{}/issued",
    "POST /v1/orders/{}/fapiao/{}/red-letters",
    "POST /v1/orders/{}/fapiao/{}/red-letters/{}/issued",
    "GET /v1/customers/{}/history",
    "PUT /v1/customers/{}",
    "GET /v1/stock/{}",
    "GET /v1/policies/{}",
    "GET /v1/policies/{}/versions",
    "GET /v1/policies/{}/compare",
    "POST /v1/policies/{}/preview",
    "POST /v1/policies/{}/try",
    "POST /v1/policies/{}",
    "GET /v1/procedure",
    "GET /v1/procedure/versions",
    "GET /v1/procedure/compare",
    "POST /v1/procedure/issue",
    "POST /v1/procedure/{}/acknowledge",
    "GET /v1/customers/{}/accounts/{}",
    "POST /v1/customers/{}/accounts/{}/credit",
    "POST /v1/customers/{}/accounts/{}/gifts",
    "POST /v1/customers/{}/accounts/{}/limit",
    "POST /v1/statements",
    "GET /v1/statements",
    "GET /v1/statements/{}",
    "GET /v1/statements/{}/lines",
    "GET /v1/statements/{}/suggestions",
    "POST /v1/statements/{}/auto-match",
    "POST /v1/statements/{}/matches",
    "POST /v1/statements/{}/matches/{}/undo",
    "POST /v1/statements/{}/lines/{}/unallocated",
    "POST /v1/providers/{}/notices",
    "GET /v1/providers/{}/notices",
    "POST /v1/providers/{}/notices/{}/assign",
    "GET /v1/reconciliation/lines",
    "GET /v1/reconciliation/movements",
    "GET /v1/reconciliation/contradictions",
    "POST /v1/periods/{}/close",
    "GET /v1/periods",
    "GET /v1/periods/{}",
    "GET /v1/analytics/orders",
    "GET /v1/analytics/sales",
    "GET /v1/analytics/payments",
    "GET /v1/feed",
    "GET /v1/lag",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}


def test_the_description_names_exactly_the_interface(described: Json) -> None:
    names = {
        f"{method.upper()} {re.sub('{[a-z_]+}', '{}', path)}"
        for method, path, _ in operations(described)
    }
    assert names == INTERFACE


def test_every_operation_says_what_it_is_and_how_it_fails(described: Json) -> None:
    for method, path, operation in operations(described):
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["x-permission"], path
        if not path.startswith("/v1"):
            continue
        failures = set(operation["responses"])
        assert failures >= {"401", "403", "422", "503"}, path
        for status in failures - {"200", "201"}:
            content = operation["responses"][status]["content"]
            assert set(content) == {"application/problem+json"}, path
        if path == EVIDENCE:  # The file is its own name: sent again, it is there already.
            continue
        if "requestBody" in operation:
            assert failures >= {"400", "413"}, path
            assert operation["requestBody"]["content"]["application/json"]["examples"], path
        if method != "get" and path != WEBHOOK:
            headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
            assert headers >= {"x-actor", "idempotency-key", "x-correlation-id"}
            assert headers - {"x-actor", "idempotency-key", "x-correlation-id"} <= {"if-match"}


def test_what_takes_a_position_to_wait_for_may_wait_in_vain(described: Json) -> None:
    """covers: L18. And what waits for none, such as the lag itself, does not take one."""
    for method, path, operation in operations(described):
        taken = {one["name"] for one in operation.get("parameters", [])}
        assert ("min_position" in taken) == ("504" in operation["responses"]), (method, path)
    assert "504" not in described["paths"]["/v1/lag"]["get"]["responses"]


# -- examples ------------------------------------------------------------------------------------


def example(described: Json, method: str, path: str) -> Any:
    content = described["paths"][path][method]["requestBody"]["content"]["application/json"]
    (one,) = content["examples"].values()
    return one["value"]


ORDER = "/v1/orders/{order_id}"


class Examples:
    """Sends the examples of the description in the order of an order's life."""

    def __init__(self, api: Api, described: Json) -> None:
        self._api, self._described = api, described
        self.sent = set[tuple[str, str]]()

    def send(self, path: str, method: str = "post", refused: str = "", **ids: str) -> Json:
        """`refused`: the code of a refusal that only waiting for days would spare."""
        body = example(self._described, method, path)
        self.sent.add((method, path))
        filled = path.format(**{name: quote(value, safe="") for name, value in ids.items()})
        answer = self._api.client.request(method, filled, json=self._with(body, ids))
        made: Json = answer.json()
        assert answer.is_success or made["code"] == refused, answer.text
        return made

    def _with(self, body: Json, ids: dict[str, str]) -> Json:
        """Contents name orders, which only exist once they were placed."""
        if "movements" in body:
            ours = {"owner": ids["order_id"], "id": ids["payment_id"]}
            return body | {"movements": [body["movements"][0] | ours]}
        if "to_order_id" in body:
            return body | {"to_order_id": ids["second_id"]}
        if "order_id" in body:
            return body | {"order_id": ids["order_id"]}
        if "contents" not in body:
            return body
        orders = (ids["order_id"], ids["second_id"])
        pairs = zip(body["contents"], orders, strict=True)
        return {"contents": [item | {"order_id": order_id} for item, order_id in pairs]}


def send_examples_of_refunds(api: Api, examples: Examples, id_: str) -> None:
    one = f"{ORDER}/refunds/{{refund_id}}"
    examples.send(f"{ORDER}/refunds/preview", order_id=id_)
    refund = examples.send(f"{ORDER}/refunds", order_id=id_)["refund_id"]
    upload = api.client.post(
        EVIDENCE, content=EVIDENCE_FILE, headers={"Content-Type": "application/pdf"}
    )
    assert upload.status_code == 201, upload.text
    for name in ("approve", "ask-evidence", "evidence", "pay", "fail", "retry"):
        examples.send(f"{one}/{name}", order_id=id_, refund_id=refund)
    examples.send(f"{one}/deny", order_id=id_, refund_id=refund)
    examples.send(f"{ORDER}/compensations", order_id=id_)

    denied = examples.send(f"{ORDER}/returns", order_id=id_)["return_id"]
    examples.send(f"{ORDER}/returns/{{return_id}}/deny", order_id=id_, return_id=denied)
    returned = examples.send(f"{ORDER}/returns", order_id=id_)["return_id"]
    for name in ("approve", "receive", "close"):
        examples.send(f"{ORDER}/returns/{{return_id}}/{name}", order_id=id_, return_id=returned)


def send_examples_of_papers(examples: Examples) -> None:
    billed = examples.send("/v1/orders")["order_id"]
    examples.send(f"{ORDER}/invoices", order_id=billed)
    fapiao = {"order_id": billed}
    fapiao["fapiao_id"] = examples.send(f"{ORDER}/fapiao", order_id=billed)["fapiao_id"]
    examples.send(f"{ORDER}/fapiao/{{fapiao_id}}/issued", **fapiao)
    note = examples.send(f"{ORDER}/credit-notes", order_id=billed)["paper_number"]
    letters = f"{ORDER}/fapiao/{{fapiao_id}}/red-letters"
    examples.send(letters, **fapiao)
    examples.send(f"{letters}/{{credit_number}}/issued", **fapiao, credit_number=note)


def send_examples_of_statements(examples: Examples, ours: dict[str, str]) -> None:
    bank = examples.send("/v1/statements")["statement_id"]
    statement, ids = "/v1/statements/{statement_id}", {"statement_id": bank}
    one = examples.send(f"{statement}/matches", **ours, **ids)
    examples.send(f"{statement}/lines/{{line_no}}/unallocated", line_no="2", **ids)
    examples.send(f"{statement}/matches/{{match_id}}/undo", match_id=one["match_id"], **ids)
    examples.send(f"{statement}/auto-match", **ids)
    examples.send("/v1/periods/{month}/close", month="2025-03")


def send_example_of_exchange(api: Api, examples: Examples) -> None:
    third = examples.send("/v1/orders")["order_id"]
    rest = {"method": "alipay", "amount_minor": 50_000, "reference": "rest"}
    api.made(f"/v1/orders/{third}/payments", rest)
    parcel = examples.send(f"{ORDER}/parcels", order_id=third)["parcel_id"]
    dispatched = {"carrier": "sf", "tracking_number": "SF-EXCHANGE"}
    api.made(f"/v1/parcels/{parcel}/dispatch", dispatched)
    api.made(f"/v1/parcels/{parcel}/deliver")
    examples.send(f"{ORDER}/exchanges", order_id=third)


def send_examples_of_arrivals(api: Api, examples: Examples) -> None:
    one = f"/v1/orders/{examples.send('/v1/orders')['order_id']}"
    api.made(f"{one}/payments", {"method": "alipay", "amount_minor": 21_000, "reference": "all"})
    lines = {"lines": [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]}
    parcel = api.made(f"{one}/parcels", lines)["parcel_id"]
    api.made(f"/v1/parcels/{parcel}/dispatch", {"carrier": "sf", "tracking_number": "SF-ARRIVES"})
    examples.send(f"{ORDER}/confirm-receipt", order_id=one.rsplit("/", 1)[1])
    examples.send(f"{ORDER}/replacements", order_id=one.rsplit("/", 1)[1])


def test_every_example_runs(api: Api, described: Json) -> None:
    examples = Examples(api, described)
    order = ORDER
    for name in ("receive", "adjust"):
        examples.send(f"/v1/stock/{{sku}}/{name}", sku="TEA-LONGJING")
    examples.send("/v1/customers/{customer_id}", "put", customer_id="C-1001")
    for name in ("credit", "gifts", "limit"):
        path = f"/v1/customers/{{customer_id}}/accounts/{{currency}}/{name}"
        examples.send(path, customer_id="C-1001", currency="CNY")

    examples.send("/v1/policies/{shop}/preview", shop="main")
    examples.send("/v1/policies/{shop}/try", shop="main")
    examples.send("/v1/policies/{shop}", shop="main")
    examples.send("/v1/procedure/issue")
    examples.send("/v1/procedure/{version}/acknowledge", version="1")

    id_ = examples.send("/v1/orders")["order_id"]
    previewed = ("amend/preview", "amend", "cancel/preview", "cancel")
    for name in ("approve", *previewed, "notes"):
        examples.send(f"{order}/{name}", order_id=id_)
    payment = examples.send(f"{order}/payments", order_id=id_)["payment_id"]
    rest = {"method": "alipay", "amount_minor": 50_000, "reference": "rest"}
    api.made(f"/v1/orders/{id_}/payments", rest)
    parcel = examples.send(f"{order}/parcels", order_id=id_)["parcel_id"]
    examples.send("/v1/parcels/{parcel_id}/dispatch", parcel_id=parcel)
    examples.send(f"{order}/parcels/{{parcel_id}}/intercept", order_id=id_, parcel_id=parcel)
    examples.send("/v1/parcels/{parcel_id}/deliver", parcel_id=parcel)
    examples.send(f"{order}/override", order_id=id_)
    send_examples_of_refunds(api, examples, id_)
    send_examples_of_papers(examples)
    send_examples_of_statements(examples, {"order_id": id_, "payment_id": payment})
    told = example(described, "post", WEBHOOK)
    named = {"provider": PROVIDER, "notice_id": tell(api, told)["notice_id"], "order_id": id_}
    examples.send(f"{WEBHOOK}/{{notice_id}}/assign", **named)

    def drafted(*names: str) -> None:
        at = "/v1/drafts/{draft_id}"
        draft_id = examples.send("/v1/drafts")["draft_id"]
        examples.send(at, "put", draft_id=draft_id)
        for name in names:
            examples.send(f"{at}/{name}", draft_id=draft_id)

    drafted("quote", "accept")
    drafted("quote", "decline", "discard")
    drafted("confirm/preview", "confirm")

    first, second = (examples.send("/v1/orders")["order_id"] for _ in range(2))
    examples.send("/v1/parcels", order_id=first, second_id=second)
    examples.send(f"{order}/void", order_id=examples.send("/v1/orders")["order_id"])
    send_examples_of_money(api, examples)
    send_examples_of_cases(api, examples)
    send_example_of_exchange(api, examples)
    send_examples_of_arrivals(api, examples)

    with_example = {
        (method, path)
        for method, path, one in operations(described)
        if "requestBody" in one and path not in {EVIDENCE, WEBHOOK}
    }
    assert examples.sent == with_example


def send_examples_of_cases(api: Api, examples: Examples) -> None:
    order = "/v1/orders/{order_id}"
    one = examples.send("/v1/orders")["order_id"]
    case = {"order_id": one, "case_id": examples.send(f"{order}/cases", order_id=one)["case_id"]}
    for name in ("steps", "close", "reopen"):
        examples.send(f"{order}/cases/{{case_id}}/{name}", **case)
    held = examples.send(f"{order}/hold", order_id=one)["hold_id"]
    examples.send(f"{order}/holds/{{hold_id}}/release", order_id=one, hold_id=held)
    waits = api.place(currency="USD")["order_id"]
    examples.send(f"{order}/reject", order_id=waits)


def send_examples_of_money(api: Api, examples: Examples) -> None:
    order, paid = "/v1/orders/{order_id}", "/v1/orders/{order_id}/payments"
    one = examples.send("/v1/orders")["order_id"]
    held = examples.send(f"{paid}/authorise", order_id=one)["payment_id"]
    ids = {"order_id": one, "payment_id": held}
    first = examples.send(f"{paid}/{{payment_id}}/capture", **ids)["payment_id"]
    examples.send(f"{paid}/{{payment_id}}/request-capture", **ids)
    examples.send(f"{paid}/{{payment_id}}/expire", refused="not_expired", **ids)
    second = examples.send(f"{paid}/{{payment_id}}/capture", **ids)["payment_id"]
    examples.send(f"{paid}/{{payment_id}}/void-authorisation", **ids)
    examples.send(f"{paid}/fail", order_id=one)
    examples.send(f"{paid}/{{payment_id}}/void", order_id=one, payment_id=second)
    other = examples.send("/v1/orders")["order_id"]
    moved = {"order_id": one, "payment_id": first, "second_id": other}
    examples.send(f"{paid}/{{payment_id}}/move", **moved)
    for ending in ("win", "lose"):
        named = {"order_id": one, "payment_id": first}
        case = examples.send(f"{paid}/{{payment_id}}/chargebacks", **named)["chargeback_id"]
        path = f"{paid}/chargebacks/{{chargeback_id}}/{ending}"
        examples.send(path, order_id=one, chargeback_id=case)
    examples.send(f"{paid}/write-off", refused="write_off_exceeds_tolerance", order_id=other)
    for name, code in (
        ("overdue", "not_due"),
        ("cancel-overdue", "not_due"),
        ("late-fee/preview", "no_late_fee"),
        ("late-fee", "no_late_fee"),
        ("late-fee/waive", "waiver_exceeds_late_fee"),
    ):
        examples.send(f"{paid}/{name}", refused=code, order_id=other)
    examples.send(f"{order}/reinstate", order_id=other)
    cash = api.place(payment_method="cash_on_delivery")["order_id"]
    lines = {"lines": [{"line_no": 1, "quantity": 1}]}
    parcel = api.made(f"/v1/orders/{cash}/parcels", lines)["parcel_id"]
    api.made(f"/v1/parcels/{parcel}/dispatch", {"carrier": "sf", "tracking_number": "SF-COD"})
    examples.send(f"{order}/parcels/{{parcel_id}}/refuse", order_id=cash, parcel_id=parcel)
    examples.send(f"{paid}/remit", order_id=cash)


def test_who_adjusts_stock_is_told_that_the_reason_is_stored_in_clear(described: Json) -> None:
    """A stock item is nobody's: there is no key of a person to seal free text with."""
    reason = described["components"]["schemas"]["AdjustBody"]["properties"]["reason"]
    assert reason["description"] == "About the goods, never about a person; stored in clear"
    assert StockAdjusted.PERSONAL_FIELDS == ()


# -- any input -----------------------------------------------------------------------------------


def test_no_input_that_the_description_allows_makes_the_server_fail(
    api: Api, described: Json
) -> None:
    api.place()
    Clock(api.settings).close()  # Without a table of deadlines their list is busy.
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=api.url)
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        run(operation)
    assert "request failed" not in api.log


def run(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @hypothesis_settings(
        max_examples=scale(200, 8),
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        derandomize=True,
        database=None,
    )
    def cases(case: Any) -> None:
        if "min_position" in (case.query or {}):
            case.query["min_position"] = 0  # Most would wait for their whole time.
        case.call_and_validate(checks=CHECKS, headers={"X-Actor": "desk"}, timeout=20)

    cases()
