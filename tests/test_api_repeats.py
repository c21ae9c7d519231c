"""The same request again, and several at once: keys, versions and races over HTTP."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from commands.store import Store
from tests.api_server import Api, events, order, rows
from tests.scale import scale

Json = dict[str, Any]


def test_idempotency_never_expires(api: Api) -> None:
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

    columns = [name for (name,) in rows(api.settings, COLUMNS_OF, "ledger_command")]
    assert not [name for name in columns if "expire" in name or "ttl" in name]
    with Store(api.settings).connect() as connection, pytest.raises(psycopg.Error):
        connection.execute("DELETE FROM ledger_command")


TOO_MUCH = {"reason": "late", "amount_minor": 1_000}
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


def test_one_checkout_one_order(api: Api) -> None:
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
    placed = "SELECT key FROM ledger_event WHERE topic = 'order.placed.v4' AND key = ANY(%s)"
    assert rows(api.settings, placed, [*owners]) == [(owners.pop(),)]
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
    assert saved.json()["events"][0]["topic"] == "order.payment_captured.v2"
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
