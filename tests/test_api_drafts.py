"""Drafts and quotes over HTTP: typed in step by step, checked, saved, offered, made an order."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.examples import ADDRESS, CONTACT, ORDER
from domain.number import is_number
from tests.api_server import Api, events, order, rows

Json = dict[str, Any]
UNKNOWN = "01a20c2a-19a5-71f7-84ce-207d962e43a1"
AT_ONCE = 20


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def path(draft: Json, action: str = "") -> str:
    return f"/v1/drafts/{draft['draft_id']}{action}"


def saved(api: Api, draft: Json, body: Json, **headers: str) -> Any:
    return api.client.put(path(draft), json=body, headers=headers)


def shown(api: Api, draft: Json) -> Json:
    return api.shown(path(draft), min_position=api.head())


def quoted(api: Api, **more: Any) -> Json:
    """A complete draft that is offered until tomorrow."""
    draft = api.made("/v1/drafts", order())
    return api.made(path(draft, "/quote"), {"expires_at": in_hours(24)} | more)


def refused(answer: Any, code: str, status: int = 409) -> Json:
    problem: Json = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


def test_an_order_is_typed_in_step_by_step_and_confirmed(api: Api) -> None:
    """covers: A18: Draft with a missing field can be saved but not confirmed"""
    draft = api.made("/v1/drafts", {"channel": "phone", "contact": {"phone": "138"}})
    assert (draft["version"], draft["status"], draft["total_minor"]) == (1, "draft", None)
    assert is_number(draft["number"])
    assert draft["missing"] == [
        *("customer_id", "currency", "lines", "contact.name", "shipping_address"),
        "payment_method",
    ]
    problem = refused(api.post(path(draft, "/confirm")), "draft_incomplete")
    assert problem["facts"]["missing"] == draft["missing"]
    assert "contact.name" in problem["detail"]
    assert api.get(f"/v1/orders/{draft['number']}").status_code == 404

    body = order(note="按门铃")
    del body["payment_method"]
    step = saved(api, draft, body, **{"If-Match": '"1"'}).json()
    assert (step["version"], step["missing"], step["total_minor"]) == (
        2,
        ["payment_method"],
        21_000,
    )
    refused(saved(api, draft, body, **{"If-Match": '"1"'}), "stale_version")
    problem = refused(api.post(path(draft, "/confirm")), "draft_incomplete")
    assert problem["facts"]["missing"] == ["payment_method"]

    assert saved(api, draft, order(note="按门铃")).json()["missing"] == []
    preview = api.made(path(draft, "/confirm/preview"))
    assert preview["total_minor"] == {"before": 0, "after": 21_000}
    assert preview["version"] == 3
    placed = api.made(f"/v1/drafts/{draft['number']}/confirm")
    assert (placed["order_id"], placed["number"]) == (draft["draft_id"], draft["number"])
    assert placed["total_minor"] == 21_000
    told = api.shown(f"/v1/orders/{draft['number']}", min_position=placed["position"])
    assert (told["order_id"], told["contact"], told["note"]) == (
        draft["draft_id"],
        CONTACT,
        "按门铃",
    )
    assert told["shipping_address"] == ADDRESS
    assert (told["region"], told["channel"]) == ("CN", "web")
    topics = [event["topic"] for event in events(api, draft["draft_id"])]
    assert topics == ["order.placed.v4", "order.approved.v1"]
    again = api.made(path(draft, "/confirm"))
    assert (again["order_id"], again["position"]) == (placed["order_id"], None)
    found = shown(api, draft)
    assert (found["status"], found["order_id"]) == ("ordered", draft["draft_id"])


def test_what_was_incomplete_is_completed_and_confirmed_under_the_same_key(api: Api) -> None:
    draft = api.made("/v1/drafts", {})
    key = {"Idempotency_Key": "confirm-once"}
    refused(api.post(path(draft, "/confirm"), **key), "draft_incomplete")
    assert saved(api, draft, order()).is_success
    placed = api.post(path(draft, "/confirm"), **key)
    assert placed.json()["order_id"] == draft["draft_id"]


def test_what_is_there_must_be_well_formed(api: Api) -> None:
    """covers: A18: errors name each field"""
    before = api.head()
    wrong = {"currency": "cny", "lines": [{"sku": "A"}, {"quantity": 0}], "colour": "red"}
    answer = api.post("/v1/drafts", wrong)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [
        *("currency", "lines.1.quantity", "colour"),
    ]
    draft = api.made("/v1/drafts", {})
    assert saved(api, draft, {"contact": {"email": ""}}).status_code == 422
    assert api.head() == before + 1


def test_a_preview_tells_what_confirming_would_be_refused_for(api: Api) -> None:
    api.made("/v1/stock/RARE/receive", {"quantity": 1})
    line = {**ORDER["lines"][0], "sku": "RARE"}
    draft = api.made("/v1/drafts", order(lines=[line], discount_minor=0))
    assert draft["refused"] == []
    before = api.head()
    for action in ("/confirm/preview", "/confirm"):
        problem = refused(api.post(path(draft, action)), "insufficient_stock")
        assert problem["facts"]["sku"] == "RARE"
    assert api.head() == before
    assert api.shown("/v1/stock/RARE")["reserved"] == 0


def test_a_quote_is_accepted_at_its_price(api: Api) -> None:
    """covers: A56: accepted price frozen"""
    quote = quoted(api, text="Only for you")
    assert (quote["status"], quote["offer_no"], quote["total_minor"]) == ("quoted", 1, 21_000)
    assert quote["missing"] == quote["refused"] == []
    assert api.shown("/v1/stock/TEA-LONGJING")["reserved"] == 0
    placed = api.made(path(quote, "/accept"), {"offer_no": 1})
    assert (placed["order_id"], placed["total_minor"]) == (quote["draft_id"], 21_000)
    assert [one["gross_minor"] for one in placed["lines"]] == [17_171, 2_829]
    found = shown(api, quote)
    assert (found["status"], found["offers"][0]["status"]) == ("ordered", "accepted")
    assert found["offers"][0]["text"] == "Only for you"
    assert api.made(path(quote, "/accept"), {"offer_no": 1})["position"] is None


def test_an_expired_quote_cannot_be_accepted(api: Api) -> None:
    """covers: A56"""
    draft = api.made("/v1/drafts", order())
    expires_at = in_hours(1 / 3600)
    api.made(path(draft, "/quote"), {"expires_at": expires_at})
    time.sleep(1.1)
    problem = refused(api.post(path(draft, "/accept"), {"offer_no": 1}), "quote_expired")
    assert datetime.fromisoformat(problem["facts"]["expires_at"]) == datetime.fromisoformat(
        expires_at
    )
    assert problem["facts"]["at"] > problem["facts"]["expires_at"]
    refused(api.post(path(draft, "/confirm")), "quote_expired")
    found = shown(api, draft)
    assert (found["status"], found["offers"][0]["status"]) == ("expired", "expired")
    ids = [one["draft_id"] for one in api.shown("/v1/drafts", status="expired")["items"]]
    assert draft["draft_id"] in ids
    again = api.made(path(draft, "/quote"), {"expires_at": in_hours(1)})
    assert again["offer_no"] == 2
    assert api.made(path(draft, "/accept"), {"offer_no": 2})["total_minor"] == 21_000


def test_a_quote_is_renegotiated_and_every_offer_can_be_read(api: Api) -> None:
    """covers: A56"""
    quote = quoted(api)
    cheaper = order(lines=[{**ORDER["lines"][0], "unit_price_minor": 8_000}])
    revised = api.made(
        path(quote, "/quote"), {"expires_at": in_hours(48), "draft": cheaper, "text": "-8 %"}
    )
    assert (revised["offer_no"], revised["total_minor"]) == (2, 16_500)
    problem = refused(api.post(path(quote, "/accept"), {"offer_no": 1}), "quote_revised")
    assert problem["facts"] == {
        "offer_no": 1,
        "total_minor": 21_000,
        "last_offer_no": 2,
        "last_total_minor": 16_500,
    }
    refused(saved(api, quote, cheaper), "quote_open")
    api.made(path(quote, "/decline"), {"offer_no": 2, "reason": "Still too dear"})
    refused(api.post(path(quote, "/accept"), {"offer_no": 2}), "quote_declined")
    found = shown(api, quote)
    assert [
        (one["offer_no"], one["status"], one["total_minor"], one["reason"])
        for one in found["offers"]
    ] == [(1, "revised", 21_000, None), (2, "declined", 16_500, "Still too dear")]
    assert [one["unit_price_minor"] for one in found["offers"][0]["lines"]] == ["8800", "2900"]
    assert [one["tax_rate_bp"] for one in found["offers"][1]["lines"]] == [1300]


def test_an_incomplete_draft_is_not_offered(api: Api) -> None:
    draft = api.made("/v1/drafts", {"currency": "CNY"})
    problem = refused(
        api.post(path(draft, "/quote"), {"expires_at": in_hours(1)}), "draft_incomplete"
    )
    assert "lines" in problem["facts"]["missing"]
    complete = api.made("/v1/drafts", order())
    late = api.post(path(complete, "/quote"), {"expires_at": in_hours(-1)})
    refused(late, "quote_already_expired")


def test_what_was_typed_can_be_read_changed_and_sent_back(api: Api) -> None:
    body = order(note="x", promised_at="2030-01-01T00:00:00Z", billing_address=ADDRESS)
    draft = api.made("/v1/drafts", body)
    found = shown(api, draft)
    assert found["content"] == body
    assert (found["stage"], found["started_by"], found["offers"]) == ("draft", "desk", [])
    content = found["content"] | {"discount_minor": 0}
    assert saved(api, draft, content, **{"If-Match": '"1"'}).json()["refused"] == [
        {
            "field": "",
            "code": "total_differs",
            "message": "210.00 sent, 215.00 computed",
        }
    ]
    looks = rows(
        api.settings,
        "SELECT facts FROM ledger_audit WHERE command = %s AND target = %s",
        "GET /v1/drafts/{id}",
        draft["draft_id"],
    )
    assert "content.contact" in looks[0][0]


def test_personal_values_are_sealed_in_the_ledger_and_in_the_read_model(api: Api) -> None:
    body = order(customer_id="C-SEAL", note="Hortensie", contact={"name": "Hortensie"})
    draft = quoted(api, draft=body, text="Hortensie")
    api.made(path(draft, "/decline"), {"offer_no": 1, "reason": "Hortensie"})
    shown(api, draft)
    stored = rows(
        api.settings,
        "SELECT convert_from(state, 'UTF8') FROM ledger_event WHERE key = %s",
        draft["draft_id"],
    )
    model = rows(
        api.settings,
        f"SELECT state FROM {api.settings.read_schema}.drafts WHERE draft_id = %s",
        draft["draft_id"],
    )
    assert len(stored) == 4
    assert not [text for (text,) in (*stored, *model) if "Hortensie" in text]
    persons = rows(
        api.settings,
        "SELECT DISTINCT state->'contact'->>'person' FROM ledger_event_json WHERE key = %s"
        " AND topic = 'draft.saved.v1' ORDER BY 1",
        draft["draft_id"],
    )
    assert persons == [("customer/C-1001",), ("customer/C-SEAL",)]


def test_drafts_are_listed_page_by_page(api: Api) -> None:
    names = {"customer_id": "C-LIST"}
    made = [api.made("/v1/drafts", names)["draft_id"] for _ in range(5)]
    dropped = api.made("/v1/drafts", names)
    api.made(path(dropped, "/discard"), {"reason": "Mistyped"})
    offered = quoted(api, draft=order(customer_id="C-LIST"))
    position = api.head()
    found, cursor = [], None
    while True:
        query = {"customer_id": "C-LIST", "limit": 2, "min_position": position}
        page = api.shown("/v1/drafts", **query, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        assert page["position"] >= position
        if (cursor := page["next_cursor"]) is None:
            break
    assert [one["draft_id"] for one in found] == [offered["draft_id"], *reversed(made)]
    assert (found[0]["status"], found[0]["total_minor"], found[0]["missing"]) == (
        "quoted",
        21_000,
        0,
    )
    assert (found[1]["status"], found[1]["total_minor"], found[1]["missing"]) == ("draft", None, 6)
    for status, one in (("discarded", dropped), ("quoted", offered)):
        listed = api.shown("/v1/drafts", customer_id="C-LIST", status=status)["items"]
        assert [item["draft_id"] for item in listed] == [one["draft_id"]]
    assert api.shown("/v1/drafts", customer_id="C-LIST", shop="other")["items"] == []
    assert api.get("/v1/drafts", status="lost").status_code == 422
    assert api.get("/v1/drafts", cursor="x").status_code == 422


@pytest.mark.parametrize("action", ["quote", "accept", "decline", "confirm", "discard"])
def test_what_there_is_not_is_not_found(api: Api, action: str) -> None:
    body = {"quote": {"expires_at": in_hours(1)}, "accept": {"offer_no": 1}}
    body["decline"] = body["accept"]
    for name in (UNKNOWN, "no-draft", "1000000006"):
        answer = api.post(f"/v1/drafts/{name}/{action}", body.get(action, {}))
        refused(answer, "draft_not_found", 404)
        refused(api.get(f"/v1/drafts/{name}"), "draft_not_found", 404)
    placed = api.place()
    refused(api.get(f"/v1/drafts/{placed['number']}"), "draft_not_found", 404)
    refused(api.post(f"/v1/drafts/{placed['number']}/confirm"), "draft_not_found", 404)


def test_many_accept_one_quote_over_http_and_one_order_comes(api: Api) -> None:
    """covers: A56"""
    quote = quoted(api)

    def accepting(_number: int) -> Any:
        return api.post(path(quote, "/accept"), {"offer_no": 1})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = [*pool.map(accepting, range(AT_ONCE))]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["number"] for answer in answers} == {quote["number"]}
    assert sum(answer.json()["position"] is not None for answer in answers) == 1
    placed = [one for one in events(api, quote["draft_id"]) if one["topic"] == "order.placed.v4"]
    assert len(placed) == 1


def test_a_repeat_under_the_same_key_is_the_same_draft(api: Api) -> None:
    first = api.post("/v1/drafts", {"channel": "web"}, Idempotency_Key="draft-once")
    again = api.post("/v1/drafts", {"channel": "web"}, Idempotency_Key="draft-once")
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
