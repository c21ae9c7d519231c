"""The list of what comes due: filtered, paged, as new as its position says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import pytest

from api.examples import CUSTOMER
from domain.deadlines import KINDS, Kind
from projections import deadlines as model
from tests.api_server import Api
from tests.clock import Clock
from workers import upkeep

Json = dict[str, Any]
UNPAID = ["payment_reminder", "payment_reminder", "cancel_overdue", "payment_overdue"]


@pytest.fixture(scope="module")
def clock(api: Api) -> Iterator[Clock]:
    one = Clock(api.settings)
    yield one
    one.close()


@pytest.fixture
def shop() -> str:
    return f"shop-{uuid4()}"


def listed(api: Api, **query: Any) -> list[Json]:
    items: list[Json] = api.shown("/v1/deadlines", **query)["items"]
    return items


def test_what_comes_due_of_an_order_is_listed_until_it_is_paid(
    api: Api, clock: Clock, shop: str
) -> None:
    """covers: A23"""
    placed = api.place(shop=shop)
    clock.follow()
    found = api.shown("/v1/deadlines", shop=shop, min_position=placed["position"])
    assert [one["kind"] for one in found["items"]] == UNPAID
    assert found["position"] >= placed["position"]
    first, *_, last = found["items"]
    assert (first["order_id"], first["shop"], first["of"]) == (placed["order_id"], shop, "24")
    assert (first["currency"], first["tries"], first["failing"]) == (None, 0, False)
    assert last["due_at"] > first["due_at"]
    assert (first["number"], first["customer_id"]) == (placed["number"], "C-1001")
    paid = {"method": "alipay", "amount_minor": 21_000, "reference": "P"}
    api.made(f"/v1/orders/{placed['order_id']}/payments", paid)
    clock.follow()
    assert listed(api, shop=shop) == []


def test_the_list_is_filtered_by_time_kind_and_shop(api: Api, clock: Clock, shop: str) -> None:
    api.place(shop=shop)
    other = api.place(shop=f"{shop}-2")
    clock.follow()
    in_two_days = (datetime.now(UTC) + timedelta(hours=49)).isoformat()
    assert [one["kind"] for one in listed(api, shop=shop, due_before=in_two_days)] == UNPAID[:1]
    due_at = listed(api, shop=shop)[0]["due_at"]
    assert listed(api, shop=shop, due_before=due_at) == []
    (one,) = listed(api, shop=f"{shop}-2", kind="cancel_overdue")
    assert one["order_id"] == other["order_id"]
    assert {one["kind"] for one in listed(api, kind="payment_overdue")} == {"payment_overdue"}


def test_pages_hold_every_deadline_once(api: Api, clock: Clock, shop: str) -> None:
    orders = {api.place(shop=shop)["order_id"] for _ in range(3)}
    clock.follow()
    whole = listed(api, shop=shop, min_position=api.head())
    page = api.shown("/v1/deadlines", shop=shop, limit=5)
    found = page["items"]
    while cursor := page["next_cursor"]:
        page = api.shown("/v1/deadlines", shop=shop, limit=5, cursor=cursor)
        found += page["items"]
    assert found == whole
    assert len(found) == 4 * len(orders)
    assert [one["due_at"] for one in found] == sorted(one["due_at"] for one in found)


def test_a_gift_that_expires_is_one_of_the_customers_account(api: Api, clock: Clock) -> None:
    customer = f"C@{uuid4()}"
    assert api.client.put(f"/v1/customers/{customer}", json=CUSTOMER).is_success
    gift = {"amount_minor": 5_000, "expires_at": "2031-01-01T00:00:00Z", "reason_code": "birthday"}
    api.made(f"/v1/customers/{customer}/accounts/CNY/gifts", gift)
    clock.follow()
    mine = [one for one in listed(api, kind="gift_expiry") if one["customer_id"] == customer]
    assert [(one["currency"], one["order_id"], one["shop"]) for one in mine] == [
        ("CNY", None, None)
    ]
    assert mine[0]["due_at"] == "2031-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("kind", {"kind": "birthday"}),
        ("due_before", {"due_before": "tomorrow"}),
        ("shop", {"shop": "a/b"}),
        ("limit", {"limit": 0}),
        ("cursor", {"cursor": "mine"}),
        ("until", {"until": "2026-01-01"}),
    ],
)
def test_what_cannot_be_asked_is_named(api: Api, field: str, query: Json) -> None:
    answer = api.get("/v1/deadlines", **query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_each_kind_that_the_worker_knows_can_be_asked_for() -> None:
    assert set(get_args(Kind)) == set(KINDS)


def test_rows_of_an_older_version_are_found_out_anew(api: Api, clock: Clock, shop: str) -> None:
    """The program was replaced by a newer one while its data stayed: there was no shop."""
    api.place(shop=shop)
    clock.follow()
    clock.connection.execute("ALTER TABLE deadlines DROP COLUMN shop")
    older = "UPDATE checkpoint SET version = 1 WHERE name = 'deadlines'"
    clock.connection.execute(older)
    assert upkeep.outdated(api.settings) == ["deadlines"]
    early = api.get("/v1/deadlines")  # The API is newer already, the worker has not come yet.
    assert (early.status_code, "another version" in early.text) == (503, True)
    model.prepare(clock.connection, api.settings.read_schema)
    assert upkeep.outdated(api.settings) == []
    assert listed(api, shop=shop) == []
    clock.follow()
    assert len(listed(api, shop=shop)) == len(UNPAID)
