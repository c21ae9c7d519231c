"""Bad input over HTTP: a clear error that names the field, nothing written, nothing stopped."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api_server import Api, order

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def nothing_written_nothing_stopped(api: Api) -> Iterator[None]:
    before = api.head()
    yield
    assert api.head() == before
    assert api.get("/healthz").is_success


@pytest.fixture(scope="module")
def placed(api: Api) -> Json:
    return api.place()


def line(**changes: Any) -> list[Json]:
    usual = {"sku": "A", "name": "A", "category": "a", "quantity": 1, "unit_price_minor": 1}
    return [usual | changes]


def fields(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors = answer.json()["errors"]
    assert all(error["rule"] and error["message"] for error in errors)
    return [error["field"] for error in errors]


UNKNOWN = "01a20c2a-19a5-71f7-84ce-207d962e43a1"
BIG = 10**12 + 1
CONTACT = {"name": "A\u0000B"}
ADDRESS = {"line1": "x", "city": "x", "country": "China"}
EXEMPT = {"code": "VATEX-EU-132"}
COUPON = {"kind": "coupon", "code": "SPRING", "title": "Spring sale", "amount_minor": 100}
WRONG_FIELDS: list[tuple[str, Json]] = [
    ("lines.0.quantity", {"lines": line(quantity=0)}),
    ("lines.0.quantity", {"lines": line(quantity=-1)}),
    ("lines.0.quantity", {"lines": line(quantity=10**6 + 1)}),
    ("lines.0.quantity", {"lines": line(quantity=1.5)}),
    ("lines.0.quantity", {"lines": line(quantity="1.0001")}),
    ("lines.0.quantity", {"lines": line(quantity="NaN")}),
    ("lines.0.quantity", {"lines": line(quantity="1e3")}),
    ("lines.0.quantity", {"lines": line(quantity="1_000")}),
    ("lines.0.quantity", {"lines": line(quantity=" 5 ")}),
    ("lines.0.quantity", {"lines": line(quantity="１２")}),
    ("lines.0.quantity", {"lines": line(quantity="Infinity")}),
    ("lines.0.quantity", {"lines": line(quantity=True)}),
    ("lines.0.unit_price_minor", {"lines": line(unit_price_minor=-1)}),
    ("lines.0.unit_price_minor", {"lines": line(unit_price_minor=BIG)}),
    ("lines.0.unit_price_minor", {"lines": line(unit_price_minor=10**30)}),
    ("lines.0.unit_price_minor", {"lines": line(unit_price_minor="100")}),
    ("lines.0.unit_price_minor", {"lines": line(unit_price_minor=0.1)}),
    ("lines.0.unit_price", {"lines": line(unit_price="1.00")}),
    ("lines.0.tax_rate_bp", {"lines": line(tax_rate_bp=10_001)}),
    ("lines.0.discount_minor", {"lines": line(discount_minor=-1)}),
    ("lines.0.colour", {"lines": line(colour="red")}),
    ("lines", {"lines": []}),
    ("lines", {"lines": line() * 501}),
    ("lines", {"lines": None}),
    ("prices_include_tax", {"prices_include_tax": "yes"}),
    ("prices_include_tax", {"prices_include_tax": 1}),
    ("discount_minor", {"discount_minor": -1}),
    ("lines.0.exemption", {"lines": line(tax_rate_bp=600, exemption=EXEMPT)}),
    ("lines.0.exemption.code", {"lines": line(exemption={"code": "VATEX-EU-1"})}),
    ("exemption", {"exemption": EXEMPT}),
    ("exemption.reason", {"exemption": {"code": "charity"}}),
    ("exemption_certificate", {"exemption_certificate": "C-1"}),
    ("discounts", {"discounts": [COUPON], "discount_minor": 1}),
    ("discounts", {"discounts": [COUPON] * 2, "discount_minor": None}),
    ("discounts", {"discounts": [COUPON | {"code": str(n)} for n in range(21)]}),
    ("discounts.0.code", {"discounts": [COUPON | {"code": None}]}),
    ("discounts.0.kind", {"discounts": [COUPON | {"kind": "gift"}]}),
    ("discounts.0.amount_minor", {"discounts": [COUPON | {"amount_minor": 0}]}),
    ("shipping_minor", {"shipping_minor": BIG}),
    ("total_minor", {"total_minor": -1}),
    ("currency", {"currency": "cny"}),
    ("currency", {"currency": "XAU"}),
    ("currency", {"currency": ""}),
    ("channel", {"channel": "pigeon"}),
    ("payment_method", {"payment_method": "shells"}),
    ("customer_id", {"customer_id": ""}),
    ("customer_id", {"customer_id": "x" * 129}),
    ("customer_id", {"customer_id": "a\u0000b"}),
    ("customer_id", {"customer_id": "a\nb"}),
    ("customer_id", {"customer_id": 17}),
    ("contact.name", {"contact": CONTACT}),
    ("contact", {"contact": "Li"}),
    ("shipping_address.country", {"shipping_address": ADDRESS}),
    ("promised_at", {"promised_at": "2026-03-01T12:00:00"}),
    ("promised_at", {"promised_at": "tomorrow"}),
    ("promised_at", {"promised_at": 5}),
    ("promised_at", {"promised_at": "5"}),
    ("promised_at", {"promised_at": "9999-12-31T23:59:59-12:00"}),
    ("promised_at", {"promised_at": "0001-01-02T00:00:00Z"}),
    ("promised_at", {"promised_at": "9999-01-01T00:00:00Z"}),
    ("external_ref", {"external_ref": "x" * 200}),
    ("note", {"note": "x" * 10_001}),
    ("surprise", {"surprise": 1}),
    ("shop", {"shop": "a/b"}),
]


@pytest.mark.parametrize(("field", "changes"), WRONG_FIELDS)
def test_a_wrong_field_of_an_order_is_named(api: Api, field: str, changes: Json) -> None:
    answer = api.post("/v1/orders", order(**changes))
    assert fields(answer) == [field]


PAYMENT = {"method": "alipay", "amount_minor": 1, "reference": "A"}
FAR_TIMES: list[tuple[str, str, Json]] = [
    ("occurred_at", f"/v1/orders/{UNKNOWN}/payments", PAYMENT),
    ("delivered_at", f"/v1/parcels/{UNKNOWN}/deliver", {}),
    ("estimated_at", f"/v1/parcels/{UNKNOWN}/dispatch", {"carrier": "sf", "tracking_number": "1"}),
    ("promised_at", f"/v1/orders/{UNKNOWN}/amend", {"reason": "A"}),
]


@pytest.mark.parametrize(("field", "path", "body"), FAR_TIMES)
@pytest.mark.parametrize("time", ["0001-01-02T00:00:00Z", "9999-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_meant_is_named(
    api: Api, field: str, path: str, body: Json, time: str
) -> None:
    answer = api.post(path, body | {field: time})
    assert fields(answer) == [field]
    assert answer.json()["errors"][0]["message"].startswith("must not be ")


def test_a_price_that_is_too_high_names_its_line(api: Api) -> None:
    high = {"unit_price": "9999999999999", "unit_price_minor": None}
    answer = api.post("/v1/orders", order(lines=[*line(), *line(**high)])).json()
    assert (answer["status"], answer["code"]) == (409, "unit_price_out_of_bounds")
    asked = 999_999_999_999_900
    assert answer["facts"] == {"line_no": 2, "asked_minor": asked, "allowed_minor": 10**12}
    most = "10000000000.00 is the most"
    assert answer["detail"] == f"line 2: a unit price of 9999999999999.00, {most}"


def test_every_missing_field_is_named(api: Api) -> None:
    answer = api.post("/v1/orders", {})
    assert fields(answer) == [
        "channel",
        "customer_id",
        "currency",
        "lines",
        "contact",
        "shipping_address",
        "payment_method",
    ]


def test_an_error_never_repeats_what_was_sent(api: Api) -> None:
    secret = "王小明 13800000000"
    contact = {"name": [secret], "email": secret * 20, "phone": {"number": secret}}
    answer = api.post("/v1/orders", order(contact=contact, channel=secret, note=[secret]))
    assert fields(answer) == ["channel", "contact.name", "contact.email", "contact.phone", "note"]
    assert "13800000000" not in answer.text
    assert "13800000000" not in api.log


UNREADABLE = {
    "malformed": b'{"channel": "web",',
    "not JSON at all": b"channel=web",
    "NaN": b'{"total_minor": NaN}',
    "invalid UTF-8": b'{"channel": "\xff\xfe"}',
    "UTF-16": '{"channel": "web"}'.encode("utf-16"),
    "a lone surrogate": b'{"channel": "\\ud800"}',
    "a lone surrogate as a key": b'{"\\udc00": 1}',
    "deeper than any order": b"[" * 100_000,
    "deep, but complete": b'{"note": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    "a key twice": b'{"channel": "web", "channel": "phone"}',
    "a key twice, hidden": b'{"channel" : "web", "channel":"\\u003a"}',
    "a key twice, below": b'{"contact": {"name": "a", "name": "b"}}',
    "a second value": b'{"channel": "web"} {}',
    "a NUL byte": b'{"channel": "\x00"}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_json_is_refused(api: Api, body: bytes) -> None:
    answer = api.client.post("/v1/orders", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "unparsable")
    assert len(answer.text) < 500


def test_the_repeated_key_is_named(api: Api) -> None:
    answer = api.client.post("/v1/orders", content=UNREADABLE["a key twice"])
    assert "'channel'" in answer.json()["detail"]


def test_many_keys_do_not_hold_the_others_up(api: Api) -> None:
    keys = b",".join(b'"k%d":1' % number for number in range(60_000))
    began = time.monotonic()
    answer = api.client.post("/v1/orders", content=b"{" + keys + b',"k59999":2}')
    assert "'k59999'" in answer.json()["detail"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("body", [b"[]", b"null", b"17", b'"text"'])
def test_a_body_is_an_object(api: Api, body: bytes) -> None:
    assert fields(api.client.post("/v1/orders", content=body)) == ["body"]


def test_a_body_of_10_mb_is_refused_unread(api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    connection.putrequest("POST", "/v1/orders")
    for name, value in (("X-Actor", "desk"), ("Content-Length", str(10 * 1024 * 1024))):
        connection.putheader(name, value)
    connection.endheaders(b'{"channel": ')  # The answer comes without the other 10 MB.
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (413, "body_too_large")
    connection.close()


def test_an_endless_body_in_chunks_is_cut(api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    connection.putrequest("POST", "/v1/orders")
    for name, value in (("X-Actor", "desk"), ("Transfer-Encoding", "chunked")):
        connection.putheader(name, value)
    connection.endheaders()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(160):  # 10 MB, without an end
        try:
            connection.send(chunk)
        except OSError:  # The server closed it.
            break
    try:
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (413, "body_too_large")
    except OSError:
        pass  # Closed before the answer could be read: also not taken in.
    connection.close()


def test_one_mebibyte_is_still_read(api: Api) -> None:
    answer = api.client.post("/v1/orders", content=b'{"note": "' + b"x" * 1_000_000 + b'"}')
    assert "note" in fields(answer)


# -- ids, versions, headers ----------------------------------------------------------------------


def test_a_line_packed_twice_under_two_names_of_its_order_is_refused(
    api: Api, placed: Json
) -> None:
    contents = [
        {"order_id": name, "line_no": 1, "quantity": 1}
        for name in (placed["order_id"], placed["number"])
    ]
    answer = api.post("/v1/parcels", {"contents": contents})
    assert fields(answer) == ["contents"]
    message = f"line 1 of {placed['order_id']} stands twice"
    assert answer.json()["errors"][0]["message"] == message


def test_a_switch_is_true_or_false(api: Api, placed: Json) -> None:
    body = {"dimension": "stage", "value": "completed", "reason": "A"}
    for sticky in ("yes", "true", 1, None):
        answer = api.post(f"/v1/orders/{placed['order_id']}/override", body | {"sticky": sticky})
        assert fields(answer) == ["sticky"]


COMMANDS: list[tuple[str, Json]] = [
    ("approve", {}),
    ("amend", {"contact": {"name": "A"}, "reason": "B"}),
    ("payments", {"method": "alipay", "amount_minor": 1, "reference": "A"}),
    ("parcels", {"lines": [{"line_no": 1, "quantity": 1}]}),
    ("cancel", {"reason_code": "changed_mind"}),
    ("refunds", {"reason": "late", "amount_minor": 1}),
    (f"refunds/{UNKNOWN}/pay", {"reference": "A"}),
    ("notes", {"text": "A"}),
    ("override", {"dimension": "stage", "value": "completed", "reason": "A"}),
    ("void", {"reason": "A"}),
]


@pytest.mark.parametrize(("name", "body"), COMMANDS)
@pytest.mark.parametrize("order_id", [UNKNOWN, "1000000008", "1000000007", "nonsense", "%00"])
def test_an_unknown_order_is_not_found(api: Api, order_id: str, name: str, body: Json) -> None:
    answer = api.post(f"/v1/orders/{order_id}/{name}", body)
    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")


@pytest.mark.parametrize("path", ["", "/events"])
def test_an_unknown_order_cannot_be_read(api: Api, path: str) -> None:
    for order_id in (UNKNOWN, "1000000008", "nonsense"):
        answer = api.get(f"/v1/orders/{order_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")


def test_unknown_parcels_and_refunds_are_not_found(api: Api, placed: Json) -> None:
    for parcel_id in (UNKNOWN, "nonsense"):
        body = {"carrier": "sf", "tracking_number": "1"}
        answer = api.post(f"/v1/parcels/{parcel_id}/dispatch", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "parcel_not_found")
        answer = api.post(f"/v1/parcels/{parcel_id}/deliver")
        assert (answer.status_code, answer.json()["code"]) == (404, "parcel_not_found")
    for refund_id in (UNKNOWN, "nonsense"):
        path = f"/v1/orders/{placed['order_id']}/refunds/{refund_id}/pay"
        answer = api.post(path, {"reference": "A"})
        assert (answer.status_code, answer.json()["code"]) == (404, "refund_not_found")


@pytest.mark.parametrize("version", ["1", '"x"', "*", 'W/"1"', '"1", "2"', '"-1"', '"01"', ""])
def test_if_match_is_one_quoted_version(api: Api, placed: Json, version: str) -> None:
    path = f"/v1/orders/{placed['order_id']}/void"
    answer = api.post(path, {"reason": "A"}, If_Match=version)
    assert fields(answer) == ["If-Match"]


def test_a_stale_version_writes_nothing(api: Api, placed: Json) -> None:
    path = f"/v1/orders/{placed['order_id']}/void"
    for version in (1, placed["version"] + 1, 999_999_999):
        answer = api.post(path, {"reason": "A"}, If_Match=f'"{version}"')
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_version")
    unknown = api.post(f"/v1/orders/{UNKNOWN}/void", {"reason": "A"}, If_Match='"3"')
    assert unknown.status_code == 404


def test_headers_have_bounds(api: Api) -> None:
    for name, value in (
        ("Idempotency-Key", b"x" * 4_097),
        ("Idempotency-Key", b""),
        ("Idempotency-Key", b"\xff\xfe"),
        ("X-Correlation-Id", b"nonsense"),
        ("X-Correlation-Id", b""),
    ):
        answer = api.client.post("/v1/orders", json=order(), headers={name.encode(): value})
        assert fields(answer) == [name]


@pytest.mark.parametrize("name", ["X-Actor", "Idempotency-Key", "X-Correlation-Id", "If-Match"])
def test_a_header_that_stands_twice_is_named(api: Api, placed: Json, name: str) -> None:
    """Which of both would be taken is no question that a caller can answer."""
    value = UNKNOWN if name == "X-Correlation-Id" else '"1"'
    twice = [("X-Actor", "desk"), (name, value), *([(name, value)] * (name != "X-Actor"))]
    path = f"/v1/orders/{placed['order_id']}"
    with httpx.Client(base_url=api.url, headers=twice) as client:
        assert fields(client.post(f"{path}/void", json={"reason": "A"})) == [name]
        assert fields(client.get(path)) == [name]


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 201}),
        ("limit", {"limit": "many"}),
        ("status", {"status": "lost in thought"}),
        ("customer_id", {"customer_id": "a\x00b"}),
        ("q", {"q": "a\x00b"}),
        ("q", {"q": "x" * 201}),
        ("placed_from", {"placed_from": "2026-03-01T12:00:00"}),
        ("placed_from", {"placed_from": "2026"}),
        ("placed_to", {"placed_to": "1772445600"}),
        ("placed_to", {"placed_to": "yesterday"}),
        ("min_position", {"min_position": -1}),
        ("min_position", {"min_position": 2**63}),
        ("cursor", {"cursor": "nonsense"}),
        ("cursor", {"cursor": "ü"}),
        ("cursor", {"cursor": "A" * 1_001}),
    ],
)
def test_a_wrong_query_parameter_is_named(api: Api, field: str, query: Json) -> None:
    assert fields(api.get("/v1/orders", **query)) == [field]


@pytest.fixture(scope="module")
def cursor(api: Api) -> str:
    made = [api.place(customer_id="C-cursor") for _ in range(2)]
    query = {"customer_id": "C-cursor", "limit": 1, "min_position": made[1]["position"]}
    found: str = api.shown("/v1/orders", **query)["next_cursor"]
    return found


def test_a_cursor_is_of_its_list_only(api: Api, cursor: str) -> None:
    assert api.get("/v1/orders", customer_id="C-cursor", cursor=cursor).is_success
    middle = len(cursor) // 2
    tampered = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
    for query in (
        {"customer_id": "C-cursor", "cursor": tampered},
        {"customer_id": "C-other", "cursor": cursor},
        {"cursor": cursor},
    ):
        assert fields(api.get("/v1/orders", **query)) == ["cursor"]


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("after", "/v1/feed?after=-1"),
        ("after", f"/v1/feed?after={2**63}"),
        ("limit", "/v1/feed?limit=1001"),
        ("group", "/v1/analytics/sales?group=mood"),
        ("group", "/v1/analytics/payments"),
        ("from", "/v1/analytics/sales?group=month&from=2026-03-01T12:00:00"),
        ("from", "/v1/analytics/sales?group=month&from=2026"),
        ("to", "/v1/analytics/sales?group=month&to=2026-02-30"),
        ("currency", "/v1/analytics/sales?group=month&currency=XXX"),
        ("zone", "/v1/analytics/sales?group=month&zone=localtime"),
        ("zone", "/v1/analytics/sales?group=month&zone=Mars/Olympus"),
        ("zone", "/v1/analytics/sales?group=month&zone=../../etc/passwd"),
        ("sku", "/v1/stock/a%00b"),
        ("sku", "/v1/stock/a%ffb"),
        ("sku", "/v1/stock/" + "x" * 129),
        ("customer_id", "/v1/customers/a%07b/history"),
    ],
)
def test_a_wrong_path_or_page_is_named(api: Api, field: str, path: str) -> None:
    assert fields(api.get(path)) == [field]


STOCK: list[tuple[str, str, Json]] = [
    ("quantity", "receive", {"quantity": -1}),
    ("quantity", "receive", {"quantity": 10**9}),
    ("quantity", "receive", {}),
    ("location", "receive", {"quantity": 1, "location": "a@b"}),
    ("reason", "adjust", {"delta": 1}),
    ("delta", "adjust", {"delta": 10**9, "reason": "A"}),
    ("delta", "adjust", {"delta": 0.5, "reason": "A"}),
    ("surprise", "adjust", {"delta": 1, "reason": "A", "surprise": 1}),
]


@pytest.mark.parametrize(("field", "name", "body"), STOCK)
def test_a_wrong_field_of_a_stock_command_is_named(
    api: Api, field: str, name: str, body: Json
) -> None:
    assert fields(api.post(f"/v1/stock/TEA/{name}", body)) == [field]


def test_a_path_that_is_no_utf_8_names_nothing(api: Api) -> None:
    assert fields(api.post("/v1/stock/a%ff/receive", {"quantity": 1})) == ["sku"]


def test_other_paths_and_methods_are_problems_too(api: Api) -> None:
    answer = api.get("/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for method in ("DELETE", "PATCH", "OPTIONS", "FOO"):
        answer = api.client.request(method, "/v1/orders")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, POST"
    answer = api.client.head(f"/v1/orders/{UNKNOWN}/override")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, POST")


def test_nothing_of_all_this_was_an_error_of_ours(api: Api) -> None:
    assert "request failed" not in api.log
