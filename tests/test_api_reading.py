"""What is read over HTTP and by whom: lists, feed, personal data, lag, permissions."""

import threading
import time
import uuid
from typing import Any

import pytest

from api import permissions
from api.main import create_app
from tests.api_server import Api, events, order, rows

Json = dict[str, Any]


def test_every_event_says_who_why_and_in_which_conversation(api: Api) -> None:
    """covers: L29"""
    conversation = str(uuid.uuid4())
    answer = api.post("/v1/orders", order(), X_Correlation_Id=conversation, X_Actor="till-3")
    assert answer.headers["x-correlation-id"] == conversation
    found = events(api, answer.json()["order_id"])
    assert {event["correlation_id"] for event in found} == {conversation}
    assert {event["actor"] for event in found} == {"till-3"}
    assert len({event["command_id"] for event in found}) == 1
    assert all(event["recorded_at"] >= event["occurred_at"] for event in found)


def test_a_look_at_personal_data_is_recorded(api: Api) -> None:
    placed = api.place()
    api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    shown = events(api, placed["order_id"])
    assert shown[0]["data"]["contact"]["name"] == "王小明"
    looks = "SELECT actor, command, code, facts FROM ledger_audit WHERE target = %s"
    first, second = rows(api.settings, f"{looks} ORDER BY position", placed["order_id"])
    assert first[:3] == ("desk", "GET /v1/orders/{id}", "customer.read_personal")
    assert second[:3] == ("desk", "GET /v1/orders/{id}/events", "customer.read_personal")
    assert "contact" in first[3]
    assert "王小明" not in first[3]


def test_a_price_that_came_in_major_units_is_told_in_minor_ones(api: Api) -> None:
    """In the answer and in the fact, by a name that no request gives another unit."""
    line = order()["lines"][0] | {"unit_price": "29.005"}
    line.pop("unit_price_minor", None)
    placed = api.place(lines=[line])
    shown = api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    told = events(api, placed["order_id"])[0]["data"]
    for found in (shown["lines"][0], told["lines"][0]):
        assert found["unit_price_minor"] == "2900.5"
        assert "unit_price" not in found


def test_lists_and_the_feed_show_nothing_personal(api: Api) -> None:
    placed = api.place(note="Ring twice: 13800000000")
    body = {"method": "alipay", "amount_minor": 1, "reference": "A", "payer": "王小明"}
    paid = api.made(f"/v1/orders/{placed['order_id']}/payments", body)
    position = paid["position"]
    texts = [
        api.get("/v1/feed", after=placed["position"] - 3).text,
        api.get("/v1/orders", q=placed["number"], min_position=position).text,
        api.get("/v1/customers/C-1001/history", min_position=position).text,
    ]
    assert placed["order_id"] in texts[0]
    for secret in ("王小明", "13800000000", "人民路"):
        assert not [text for text in texts if secret in text]


def test_refused_commands_are_recorded(api: Api) -> None:
    placed = api.place()
    too_much = {"reason": "late", "amount_minor": 1_000}
    refused = api.post(f"/v1/orders/{placed['order_id']}/refunds", too_much)
    assert refused.status_code == 409
    found = rows(
        api.settings, "SELECT kind, code FROM ledger_audit WHERE target = %s", placed["order_id"]
    )
    assert found == [("refused", "refund_exceeds_paid")]


def test_orders_are_listed_in_pages_without_gap_or_repeat(api: Api) -> None:
    made = [api.place(customer_id="C-pages") for _ in range(7)]
    query = {"customer_id": "C-pages", "limit": 3, "min_position": made[-1]["position"]}
    seen: list[str] = []
    cursor: str | None = None
    for size in (3, 3, 1):
        page = api.shown("/v1/orders", **query, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) == size
        seen += [item["number"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == [one["number"] for one in reversed(made)]


def test_orders_are_found_by_what_people_know(api: Api) -> None:
    placed = api.place(external_ref="SHOP-4711", customer_id="C-found")
    for q in (placed["number"], "shop-4711", "C-found", placed["order_id"][:13]):
        found = api.shown("/v1/orders", q=q, min_position=placed["position"])["items"]
        assert placed["order_id"] in [item["order_id"] for item in found]
    later = api.shown("/v1/orders", q=placed["number"], placed_from="2100-01-01T00:00:00Z")
    assert later["items"] == []


def test_the_feed_has_every_position_once(api: Api) -> None:
    for _ in range(3):
        api.place()
    after, seen = 0, list[int]()
    while True:
        page = api.shown("/v1/feed", after=after, limit=50)
        seen += [event["position"] for event in page["events"]]
        if page["next_after"] == page["head"]:
            break
        after = page["next_after"]
    assert seen == list(range(1, page["head"] + 1))


def test_the_feed_streams_and_resumes_where_it_was_cut(api: Api) -> None:
    head = api.head()
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(head)}
    placed: list[Json] = []
    threading.Timer(0.3, lambda: placed.append(api.place())).start()
    with api.client.stream("GET", "/v1/feed", headers=headers) as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines) == f"id: {head + 1}"
        assert next(lines) == "event: order.placed.v4"
        assert next(lines).startswith('data: {"position":')


def test_who_reads_waits_for_a_position_but_not_for_ever(api: Api) -> None:
    """covers: L18, A29"""
    began = time.monotonic()
    late = api.get("/v1/orders", min_position=2**40)
    assert (late.status_code, late.json()["code"]) == (504, "position_not_reached")
    assert 4 < time.monotonic() - began < 15
    assert api.get("/v1/feed", min_position=2**40).status_code == 504
    for path in ("/v1/stock/TEA", "/v1/customers/C-1/history"):
        placed = api.place()
        assert api.shown(path, min_position=placed["position"])["position"] >= placed["position"]


def test_lag_and_readiness_tell_how_the_projections_are(api: Api) -> None:
    placed = api.place()
    api.shown("/v1/orders", min_position=placed["position"])
    lag = api.shown("/v1/lag")
    assert lag["head"] >= placed["position"]
    assert {"order_status", "customer_history", "stock_levels", "analytics"} <= {
        one["name"] for one in lag["projections"]
    }
    assert api.get("/healthz").json()["status"] == "ok"
    assert api.get("/readyz").json() == {"status": "ok", "failing": {}}
    text = api.get("/metrics").text
    assert 'ledger_http_requests_total{method="POST",route="/v1/orders",status="201"}' in text
    assert 'ledger_projection_lag_events{projection="order_status"}' in text


def test_every_route_declares_the_permission_it_needs(api: Api) -> None:
    routes = create_app(api.settings).routes
    assert len(routes) > 25
    undeclared = [route for route in routes if permissions.declared(route) is None]
    assert undeclared == []
    public = {
        getattr(route, "path", "")
        for route in routes
        if permissions.declared(route) is permissions.Permission.PUBLIC
    }
    # What a provider tells is signed with its secret.
    assert {path for path in public if path.startswith("/v1")} == {
        "/v1/providers/{provider}/notices"
    }


def test_without_an_actor_nothing_is_done(api: Api) -> None:
    head = api.head()
    for actor in ("", "two words", "x" * 129):
        for method, path in (("POST", "/v1/orders"), ("GET", "/v1/orders"), ("GET", "/v1/feed")):
            answer = api.client.request(
                method, path, json=order() if method == "POST" else None, headers={"X-Actor": actor}
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "actor_missing")
    assert api.head() == head


def test_the_api_serves_this_machine_only(api: Api) -> None:
    for host in ("0.0.0.0", "192.168.1.7", "example.org", ""):
        outside = api.settings.model_copy(update={"api_host": host})
        with pytest.raises(ValueError, match="LEDGER_API_HOST"):
            create_app(outside)
    answer = api.client.get("/v1/orders", headers={"Host": "attacker.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_host")
    local = api.client.get("/healthz", headers={"Host": f"localhost:{api.port}"})
    assert local.status_code == 200
