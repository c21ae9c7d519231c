"""The API as its users see it: over HTTP, against a real server and the real PostgreSQL."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from api import permissions
from api.main import create_app
from commands.settings import Settings
from commands.store import Store
from domain.number import is_number
from tests.api_server import Api, order, running
from tests.scale import scale
from tests.servers import fresh_database, settings_of
from workers.local.postgres import LocalPostgres

Json = dict[str, Any]


@pytest.fixture(scope="module")
def settings(
    postgres: LocalPostgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    with fresh_database(postgres, ledger_template) as url:
        yield settings_of(url, tmp_path_factory.mktemp("var"))


@pytest.fixture(scope="module")
def api(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(settings, tmp_path_factory.mktemp("api")) as one:
        yield one


def rows(settings: Settings, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with Store(settings).connect(autocommit=True) as connection:
        return connection.execute(query, values).fetchall()


def events(api: Api, order_id: str) -> list[Json]:
    found: list[Json] = api.shown(f"/v1/orders/{order_id}/events")["events"]
    return found


# -- an order's life -----------------------------------------------------------------------------


def test_a_placed_order_is_answered_with_its_totals_and_read_back(api: Api) -> None:
    """covers: L18"""
    placed = api.place()
    assert placed["total_minor"] == 21_000
    assert placed["status"] == "awaiting_payment"
    assert is_number(placed["number"])
    assert sum(line["gross_minor"] for line in placed["lines"]) + 1_000 == 21_000
    assert sum(line["discount_share_minor"] for line in placed["lines"]) == 500
    for name in (placed["order_id"], placed["number"], placed["order_id"].upper()):
        shown = api.get(f"/v1/orders/{name}", min_position=placed["position"])
        assert shown.headers["etag"] == f'"{placed["version"]}"'
        assert shown.json()["order_id"] == placed["order_id"]
        assert shown.json()["contact"] == {"name": "王小明", "phone": "13800000000"}
        assert shown.json()["position"] >= placed["position"]


def test_an_order_goes_from_placement_to_refund(api: Api) -> None:
    placed = api.place(customer_id="C-life")
    at = f"/v1/orders/{placed['number']}"
    assert api.made(f"{at}/approve")["position"] is None  # It was already.
    assert api.made(f"{at}/amend", {"contact": {"name": "李雷"}, "reason": "Moved."})
    paid = api.made(
        f"{at}/payments",
        {"method": "alipay", "amount_minor": 21_000, "reference": "A-1", "payer": "李雷"},
    )
    assert paid["status"] == "paid"
    packed = api.made(
        f"{at}/parcels", {"lines": [{"line_no": 1, "quantity": 2}, {"line_no": 2, "quantity": 1}]}
    )
    parcel = f"/v1/parcels/{packed['parcel_id']}"
    number = uuid.uuid4().hex
    sent = api.made(f"{parcel}/dispatch", {"carrier": "sf", "tracking_number": number})
    assert sent["orders"][0]["status"] == "shipped"
    assert api.made(f"{parcel}/deliver", {"name": "李雷"})["orders"][0]["status"] == "delivered"
    noted = api.made(f"{at}/notes", {"text": "Rang: the cup is chipped."})
    assert noted["note_id"]
    refund = api.made(f"{at}/refunds", {"reason": "damaged", "amount_minor": 500})
    assert refund["status"] == "refunding"
    paid_out = api.made(f"{at}/refunds/{refund['refund_id']}/pay", {"reference": "R-1"})
    assert paid_out["amount_minor"] == 500

    shown = api.shown(at, min_position=paid_out["position"])
    assert (shown["paid_minor"], shown["refunded_minor"]) == (21_000, 500)
    assert shown["payments"][0]["payer"] == "李雷"
    assert shown["notes"][0]["text"] == "Rang: the cup is chipped."
    history = api.shown("/v1/customers/C-life/history", min_position=paid_out["position"])
    assert [one["number"] for one in history["orders"]] == [placed["number"]]
    assert history["totals"][0]["refunded_minor"] == 500


def test_units_are_cancelled_and_an_untouched_order_is_voided(api: Api) -> None:
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    body = {"reason_code": "changed_mind", "lines": [{"line_no": 2, "quantity": 1}]}
    assert api.made(f"{at}/cancel", body)["total_minor"] < placed["total_minor"]
    voided = api.made(f"{at}/void", {"reason": "Entered twice."})
    assert voided["status"] == "void"
    listed = api.shown("/v1/orders", q=placed["number"], min_position=voided["position"])
    assert listed["items"] == []


def test_each_payment_names_its_method(api: Api) -> None:
    """covers: A20"""
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    for method, amount in (("alipay", 15_000), ("bank_transfer", 6_000)):
        body = {"method": method, "amount_minor": amount, "reference": f"{method}-1"}
        paid = api.made(f"{at}/payments", body)
    assert paid["status"] == "paid"
    captured = [
        (event["data"]["method"], event["data"]["amount_minor"])
        for event in events(api, placed["order_id"])
        if event["topic"] == "order.payment_captured.v1"
    ]
    assert captured == [("alipay", 15_000), ("bank_transfer", 6_000)]


def test_every_order_has_a_channel_and_the_channels_add_up(api: Api) -> None:
    """covers: A44"""
    customer = "C-channels"
    for channel in ("web", "phone", "store", "marketplace", "web"):
        last = api.place(customer_id=customer, channel=channel)
    listed = api.shown("/v1/orders", customer_id=customer, min_position=last["position"])
    by_channel: dict[str, int] = {}
    for item in listed["items"]:
        by_channel[item["channel"]] = by_channel.get(item["channel"], 0) + item["total_minor"]
    assert set(by_channel) == {"web", "phone", "store", "marketplace"}
    assert sum(by_channel.values()) == 5 * 21_000
    figures = {
        group: api.shown(
            "/v1/analytics/sales", group=group, currency="CNY", min_position=last["position"]
        )["rows"]
        for group in ("channel", "month")
    }
    assert {row["group"] for row in figures["channel"]} >= set(by_channel)
    channels, months = (sum(row["net_minor"] for row in rows) for rows in figures.values())
    assert channels == months
    refused = api.post("/v1/orders", order(channel=None))
    assert refused.json()["errors"][0]["field"] == "channel"


def test_payments_are_summed_by_method_and_day(api: Api) -> None:
    at = f"/v1/orders/{api.place(currency='JPY', total_minor=None)['order_id']}/payments"
    for method, amount in (("alipay", 300), ("alipay", 200), ("bank_transfer", 7)):
        body = {"method": method, "amount_minor": amount, "reference": "A"}
        position = api.made(at, body)["position"]
    query = {"group": "method", "currency": "JPY", "min_position": position}
    answer = api.shown("/v1/analytics/payments", **query, **{"from": "2020-01-01"})
    assert answer["currency"] == "JPY"
    assert answer["position"] >= position
    assert answer["rows"] == [
        {"group": "alipay", "payments": 2, "paid_minor": 500, "refunded_minor": 0},
        {"group": "bank_transfer", "payments": 1, "paid_minor": 7, "refunded_minor": 0},
    ]
    past = {"from": "2020-01-01T00:00:00+08:00", "to": "2020-01-02"}
    assert api.shown("/v1/analytics/payments", **query, **past)["rows"] == []


def test_one_parcel_holds_lines_of_two_orders(api: Api) -> None:
    first, second = api.place(), api.place()
    for one in (first, second):
        body = {"method": "alipay", "amount_minor": 21_000, "reference": "A"}
        api.made(f"/v1/orders/{one['order_id']}/payments", body)
    contents = [
        {"order_id": first["number"], "line_no": 1, "quantity": 2},
        {"order_id": second["order_id"], "line_no": 2, "quantity": 1},
    ]
    packed = api.made("/v1/parcels", {"contents": contents})
    assert {one["order_id"] for one in packed["orders"]} == {
        first["order_id"],
        second["order_id"],
    }


def test_stock_is_received_reserved_and_adjusted(api: Api) -> None:
    sku = "TEA/GREEN 1"  # with what a path would take apart
    path = "/v1/stock/TEA%2FGREEN%201"
    assert api.made(f"{path}/receive", {"quantity": "10.5"})["available"] == "10.5"
    line = {"sku": sku, "name": "T", "category": "tea", "quantity": 4, "unit_price_minor": 1_000}
    api.place(lines=[line])
    adjusted = api.made(f"{path}/adjust", {"delta": "-0.5", "reason": "Spilt."})
    level = api.shown(path, min_position=adjusted["position"])
    assert (level["on_hand"], level["reserved"], level["available"]) == (10, 4, 6)
    refused = api.post(f"{path}/adjust", {"delta": -7, "reason": "Gone."})
    assert (refused.status_code, refused.json()["code"]) == (409, "adjustment_below_reserved")
    assert refused.json()["facts"] == {"available": 6}


def test_a_customer_changes_and_the_order_keeps_its_address(api: Api) -> None:
    placed = api.place(customer_id="C/moves")
    address = {"line1": "新路 2 号", "city": "杭州", "country": "CN"}
    moved = api.client.put("/v1/customers/C%2Fmoves", json={"address": address})
    assert moved.json()["customer_id"] == "C/moves"
    shown = api.shown(f"/v1/orders/{placed['order_id']}", min_position=moved.json()["position"])
    assert shown["shipping_address"]["city"] == "上海"


# -- overrides -----------------------------------------------------------------------------------


def test_an_override_is_shown_with_its_reason_and_ended(api: Api) -> None:
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    body = {"dimension": "fulfilment", "value": "delivered", "reason": "The neighbour has it."}
    overridden = api.made(f"{at}/override", body)
    assert overridden["status"] == "delivered"
    shown = api.shown(at, min_position=overridden["position"])["overrides"]["fulfilment"]
    assert (shown["reason"], shown["facts"]) == ("The neighbour has it.", "unallocated")
    ended = api.client.delete(f"{at}/override").json()
    assert ended["status"] == "awaiting_payment"
    refused = api.post(f"{at}/override", {"dimension": "stage", "value": "completed"})
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["reason"]


# -- repeats and races ---------------------------------------------------------------------------


def test_idempotency_never_expires(api: Api, settings: Settings) -> None:
    """The first outcome stands in the ledger itself: no clock is asked, no cache can lose it.

    covers: A76, L13, R30
    """
    first = api.post("/v1/orders", order(), Idempotency_Key="checkout-17")
    number = first.json()["number"]
    refusal = api.post(f"/v1/orders/{number}/refunds", TOO_MUCH, Idempotency_Key="refund-17")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "refund_exceeds_paid")
    paid = {"method": "alipay", "amount_minor": 21_000, "reference": "A-1"}
    api.made(f"/v1/orders/{number}/payments", paid)
    api.stop()
    api.start()
    again = api.post("/v1/orders", order(), Idempotency_Key="checkout-17")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    # Paid meanwhile, so it would be accepted as a new request; the first answer stands.
    same = api.post(f"/v1/orders/{number}/refunds", TOO_MUCH, Idempotency_Key="refund-17")
    assert (same.status_code, same.json()) == (409, refusal.json())

    columns = [name for (name,) in rows(settings, COLUMNS_OF, "ledger_command")]
    assert not [name for name in columns if "expire" in name or "ttl" in name]
    with Store(settings).connect() as connection, pytest.raises(psycopg.Error):
        connection.execute("DELETE FROM ledger_command")


TOO_MUCH = {"reason": "damaged", "amount_minor": 1_000}
COLUMNS_OF = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"


def test_a_key_belongs_to_one_request_of_one_actor(api: Api) -> None:
    api.post("/v1/orders", order(), Idempotency_Key="mine")
    other = api.post("/v1/orders", order(shipping_minor=0), Idempotency_Key="mine")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    reordered = dict(reversed(order().items()))
    same = api.post("/v1/orders", reordered, Idempotency_Key="mine")
    assert same.headers["idempotency-replayed"] == "true"
    others = api.post("/v1/orders", order(), Idempotency_Key="mine", X_Actor="shop")
    assert others.status_code == 201
    assert "idempotency-replayed" not in others.headers


def test_any_text_is_a_key_and_a_long_one_is_kept_as_its_digest(api: Api) -> None:
    for key in ("结账 17", "x" * 200, "y" * 4_000):
        headers = {b"Idempotency-Key": key.encode()}
        first, second = (
            api.client.post("/v1/orders", json=order(), headers=headers) for _ in range(2)
        )
        assert first.json() == second.json()
        used = first.headers.raw
        returned = dict(used)[b"idempotency-key"].decode()
        assert returned == key if len(key) <= 200 else returned.startswith("sha256:")
    made_up = api.post("/v1/orders", order())
    assert uuid.UUID(made_up.headers["idempotency-key"]).version == 7


def test_one_checkout_one_order(api: Api, settings: Settings) -> None:
    """However often and however parallel the button was pressed.

    covers: R3
    """
    presses = scale(200, 16)
    body = order(external_ref="CART-R3", customer_id="C-R3")

    def press(number: int) -> Any:
        # Half are the browser's retries with its key, half come without one.
        headers = {"Idempotency_Key": "cart-r3"} if number % 2 else {}
        return api.post("/v1/orders", body, **headers)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(press, range(presses)))
    made = {answer.json()["order_id"] for answer in answers if answer.status_code == 201}
    assert len(made) <= 1
    refused = [answer.json() for answer in answers if answer.status_code != 201]
    assert {(one["status"], one["code"]) for one in refused} == {(409, "already_placed")}
    owners = made | {one["facts"]["order_id"] for one in refused}
    assert len(owners) == 1
    placed = "SELECT key FROM ledger_event WHERE topic = 'order.placed.v1' AND key = ANY(%s)"
    assert rows(settings, placed, [*owners]) == [(owners.pop(),)]
    last = api.head()
    assert len(api.shown("/v1/orders", customer_id="C-R3", min_position=last)["items"]) == 1


def test_a_stale_version_is_told_what_it_missed(api: Api) -> None:
    """covers: A77"""
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    change = {"contact": {"name": "韩梅梅"}, "reason": "A typing error."}
    seen = f'"{placed["version"]}"'
    first = api.post(f"{at}/amend", change, If_Match=seen)
    assert (first.status_code, first.headers["etag"]) == (200, f'"{placed["version"] + 1}"')
    stale = api.post(f"{at}/cancel", {"reason_code": "changed_mind"}, If_Match=seen)
    problem = stale.json()
    assert (stale.status_code, problem["code"]) == (409, "stale_version")
    assert stale.headers["content-type"] == "application/problem+json"
    missed = problem["events"]
    assert [event["topic"] for event in missed] == ["order.contact_amended.v1"]
    assert missed[0]["data"]["after"] == {"masked": True}
    assert "韩梅梅" not in stale.text
    assert problem["facts"] == {"expected": placed["version"], "actual": placed["version"] + 1}
    assert len(events(api, placed["order_id"])) == 3


def test_stale_write_cannot_undo_payment(api: Api) -> None:
    """A form opened before the payment and saved after it.

    covers: R2
    """
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    seen = {"If_Match": f'"{placed["version"]}"'}
    payment = {"method": "alipay", "amount_minor": 21_000, "reference": "A-1"}
    assert api.post(f"{at}/payments", payment).json()["status"] == "paid"
    saved = api.post(f"{at}/amend", {"contact": {"name": "B"}, "reason": "Late."}, **seen)
    assert saved.json()["events"][0]["topic"] == "order.payment_captured.v1"
    shown = api.shown(at, min_position=api.head())
    assert (shown["status"], shown["paid_minor"]) == ("paid", 21_000)
    # Also without If-Match nothing is overwritten: a fact is added to those there are.
    assert api.post(f"{at}/amend", {"contact": {"name": "B"}, "reason": "Late."}).is_success
    shown = api.shown(at, min_position=api.head())
    assert (shown["status"], shown["paid_minor"]) == ("paid", 21_000)


def test_notes_and_payments_never_conflict(api: Api) -> None:
    placed = api.place()
    at = f"/v1/orders/{placed['order_id']}"
    assert api.post(f"{at}/notes", {"text": "One."}, If_Match='"1"').status_code == 201
    payment = {"method": "alipay", "amount_minor": 1, "reference": "A-1"}
    assert api.post(f"{at}/payments", payment, If_Match='"1"').status_code == 201


def test_of_many_writers_that_saw_one_version_one_wins(api: Api) -> None:
    """covers: L1"""
    placed = api.place()
    at, seen = f"/v1/orders/{placed['order_id']}", f'"{placed["version"]}"'

    def amend(number: int) -> int:
        body = {"contact": {"name": f"N{number}"}, "reason": "A race."}
        return api.post(f"{at}/amend", body, If_Match=seen).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(amend, range(scale(100, 16))))
    assert statuses.count(200) == 1
    assert set(statuses) == {200, 409}


# -- metadata, personal data, reading ------------------------------------------------------------


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


def test_a_look_at_personal_data_is_recorded(api: Api, settings: Settings) -> None:
    placed = api.place()
    api.shown(f"/v1/orders/{placed['order_id']}", min_position=placed["position"])
    shown = events(api, placed["order_id"])
    assert shown[0]["data"]["contact"]["name"] == "王小明"
    looks = "SELECT actor, command, code, facts FROM ledger_audit WHERE target = %s"
    first, second = rows(settings, f"{looks} ORDER BY position", placed["order_id"])
    assert first[:3] == ("desk", "GET /v1/orders/{id}", "customer.read_personal")
    assert second[:3] == ("desk", "GET /v1/orders/{id}/events", "customer.read_personal")
    assert "contact" in first[3]
    assert "王小明" not in first[3]


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


def test_refused_commands_are_recorded(api: Api, settings: Settings) -> None:
    placed = api.place()
    refused = api.post(f"/v1/orders/{placed['order_id']}/refunds", TOO_MUCH)
    assert refused.status_code == 409
    found = rows(
        settings, "SELECT kind, code FROM ledger_audit WHERE target = %s", placed["order_id"]
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
        assert next(lines) == "event: order.placed.v1"
        assert next(lines).startswith('data: {"position":')


def test_who_reads_waits_for_a_position_but_not_for_ever(api: Api) -> None:
    """covers: L18"""
    began = time.monotonic()
    late = api.get("/v1/orders", min_position=2**40)
    assert (late.status_code, late.json()["code"]) == (504, "position_not_reached")
    assert 4 < time.monotonic() - began < 15
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


# -- who may call --------------------------------------------------------------------------------


def test_every_route_declares_the_permission_it_needs(settings: Settings) -> None:
    routes = create_app(settings).routes
    assert len(routes) > 25
    undeclared = [route for route in routes if permissions.declared(route) is None]
    assert undeclared == []
    public = {
        getattr(route, "path", "")
        for route in routes
        if permissions.declared(route) is permissions.Permission.PUBLIC
    }
    assert not [path for path in public if path.startswith("/v1")]


def test_without_an_actor_nothing_is_done(api: Api) -> None:
    head = api.head()
    for actor in ("", "two words", "x" * 129):
        for method, path in (("POST", "/v1/orders"), ("GET", "/v1/orders"), ("GET", "/v1/feed")):
            answer = api.client.request(
                method, path, json=order() if method == "POST" else None, headers={"X-Actor": actor}
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "actor_missing")
    assert api.head() == head


def test_the_api_serves_this_machine_only(api: Api, settings: Settings) -> None:
    for host in ("0.0.0.0", "192.168.1.7", "example.org", ""):
        outside = settings.model_copy(update={"api_host": host})
        with pytest.raises(ValueError, match="LEDGER_API_HOST"):
            create_app(outside)
    answer = api.client.get("/v1/orders", headers={"Host": "attacker.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_host")
    local = api.client.get("/healthz", headers={"Host": f"localhost:{api.port}"})
    assert local.status_code == 200
