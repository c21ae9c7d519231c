"""Query parameters over HTTP: what a route does not know is refused, never passed over."""

import json
import re
import socket
from typing import Any

import pytest

from tests.api_server import Api

Json = dict[str, Any]

PAGES = ("/", "/live", "/docs", "/openapi.json", "/static/page.js")


def refused(answer: Any) -> list[Json]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors: list[Json] = answer.json()["errors"]
    return errors


def routes(api: Api) -> list[tuple[str, str, list[str]]]:
    """Method, path and the documented query parameters of every route."""
    described = [
        (method, re.sub("{[a-z_]+}", "x", path), operation.get("parameters", []))
        for path, methods in api.shown("/openapi.json")["paths"].items()
        for method, operation in methods.items()
    ]
    known = [
        (method, path, sorted(one["name"] for one in parameters if one["in"] == "query"))
        for method, path, parameters in described
    ]
    return [*known, *(("get", page, []) for page in PAGES)]


def test_every_route_refuses_a_parameter_that_it_does_not_know_and_lists_those_it_does(
    api: Api,
) -> None:
    """Reads and commands alike: who asks for `staus` must not be shown all orders."""
    head = api.head()
    for method, path, known in routes(api):
        answer = api.client.request(method, path, params={"staus": "paid"})
        (error,) = refused(answer)
        assert (error["field"], error["rule"]) == ("staus", "extra_forbidden"), path
        assert error["message"].endswith(f"there are: {', '.join(known) or 'none'}"), path
    assert api.head() == head


def test_the_parameters_of_the_description_are_all_known(api: Api) -> None:
    for _, path, known in routes(api):
        for name in known:
            answer = api.get(path, **{name: "\x00"})
            assert answer.status_code in {404, 422}, path
            assert "extra_forbidden" not in answer.text, path


@pytest.mark.parametrize(
    ("field", "rule", "query"),
    [
        ("limit", "repeated", "limit=1&limit=2"),
        ("q", "utf8", "q=%ff"),
        ("q", "utf8", "q=%ED%A0%80"),
        ("query", "extra_forbidden", "=1"),
        ("Limit", "extra_forbidden", "Limit=1"),
        ("limit ", "extra_forbidden", "limit%20=1"),
        ("??", "extra_forbidden", "%ff%fe"),
        ("x" * 200, "extra_forbidden", "x" * 10_000),
    ],
)
def test_what_is_no_clear_parameter_is_named(api: Api, field: str, rule: str, query: str) -> None:
    (error,) = refused(api.client.get(f"/v1/orders?{query}"))
    assert (error["field"], error["rule"]) == (field, rule)


def test_of_very_many_wrong_parameters_the_first_are_named(api: Api) -> None:
    query = "&".join(f"p{number}=1" for number in range(5_000))
    assert len(refused(api.client.get(f"/v1/orders?{query}"))) == 100


def test_who_may_not_ask_is_not_told_of_parameters(api: Api) -> None:
    for path in ("/v1/orders", "/v1/lag"):
        answer = api.client.get(f"{path}?staus=paid", headers={"X-Actor": ""})
        assert answer.status_code == 401


def test_a_search_is_found_as_it_was_typed(api: Api) -> None:
    """curl sends the bytes of a query as they are; a browser encodes them."""
    placed = api.place(customer_id="王小明")
    assert api.shown("/v1/orders", q="王小明", min_position=placed["position"])["items"]
    asked = "GET /v1/orders?q=王小明 HTTP/1.1", "Host: 127.0.0.1", "X-Actor: desk"
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*asked, "Connection: close", "", ""]).encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    (found,) = json.loads(answer.partition(b"\r\n\r\n")[2])["items"]
    assert found["order_id"] == placed["order_id"]


def test_sales_and_payments_are_asked_for_the_same_periods(api: Api) -> None:
    placed = api.place(currency="EUR")
    payment = {"method": "alipay", "amount_minor": 100, "reference": "A-1"}
    position = api.made(f"/v1/orders/{placed['order_id']}/payments", payment)["position"]
    known = {path: names for _, path, names in routes(api)}
    period = {"currency", "dated", "from", "to", "zone"}
    for path in ("/v1/analytics/sales", "/v1/analytics/payments"):
        assert set(known[path]) == period | {"group", "min_position"}
        query = {"group": "month", "currency": "EUR", "dated": "placed", "zone": "UTC"}
        found = api.shown(path, **query, min_position=position, **{"from": "2020-01-01"})
        assert (found["currency"], len(found["rows"])) == ("EUR", 1)
        assert api.shown(path, **query, to="2020-01-01T00:00:00Z")["rows"] == []
