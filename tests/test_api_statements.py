"""Statements over HTTP, as the desk's accountant uses them."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import Api, rows
from tests.test_statement_files import FILES

MAPPING = {
    "columns": {
        "date": "day",
        "amount": "sum",
        "reference": "reference",
        "counterparty": "payer",
        "text": ["text"],
    },
    "currency": "CNY",
}
Json = dict[str, Any]
serial = itertools.count(1)


def csv_of(*lines: str) -> str:
    """A bank's file; the comment makes its bytes like no other's."""
    return "\n".join(["day,sum,reference,payer,text", *lines, ""])


def body(content: str | bytes, **more: Any) -> Json:
    raw = content.encode() if isinstance(content, str) else content
    told = {"layout": "csv", "file_name": "bank.csv", "mapping": MAPPING}
    return {**told, "content": base64.b64encode(raw).decode(), **more}


def bring(api: Api, *lines: str, **more: Any) -> Json:
    return api.made("/v1/statements", body(csv_of(*lines), **more))


def paid(api: Api, amount: int = 21_000, **more: Any) -> Json:
    """An order with a payment by transfer, of a reference that nothing else has."""
    order = api.place(channel="marketplace")  # Sold there, and long ago.
    reference = f"REF-{next(serial):06}"
    at = "2025-03-03T12:00:00+08:00"
    told = {"method": "bank_transfer", "amount_minor": amount, "reference": reference}
    told |= {"occurred_at": at, **more}
    made = api.made(f"/v1/orders/{order['order_id']}/payments", told)
    return {**made, "reference": reference}


def suggestions(api: Api, statement: Json, at: int) -> Json:
    name = statement["statement_id"]
    return api.shown(f"/v1/statements/{name}/suggestions", min_position=at)


def path(statement: Json, what: str = "") -> str:
    return f"/v1/statements/{statement['statement_id']}{what}"


# -- import ------------------------------------------------------------------------------------


def test_a_statement_is_imported_once_and_answers_with_the_first(api: Api) -> None:
    """covers: A25"""
    first = bring(api, "2025-03-03,1.00,ONCE,,")
    assert (first["status"], first["lines"], first["already_imported"]) == ("imported", 1, False)
    again = bring(api, "2025-03-03,1.00,ONCE,,", file_name="renamed.csv")
    assert (again["statement_id"], again["already_imported"]) == (first["statement_id"], True)
    assert again["position"] is None
    shown = api.shown(path(first), min_position=first["position"])
    assert (shown["file_name"], shown["states"]) == ("bank.csv", {"unmatched": 1})


def test_the_same_request_again_is_answered_as_then(api: Api) -> None:
    sent = body(csv_of(*(f"2025-03-03,{n}.00,SAME-{n},," for n in range(1, 450))))
    first = api.post("/v1/statements", sent, idempotency_key="statement-1")
    again = api.post("/v1/statements", sent, idempotency_key="statement-1")
    assert first.json() == again.json()
    assert (first.json()["lines"], first.json()["version"]) == (449, 451)


def test_rows_that_cannot_be_read_are_named_and_nothing_comes_in(api: Api) -> None:
    """covers: A25"""
    lines = ("2025-03-03,5.00,GOOD,,", "2025-03-03,x,BAD,,", "yesterday,1.00,BAD,,")
    head = api.head()
    refused = api.post("/v1/statements", body(csv_of(*lines)))
    assert refused.status_code == 422
    told = [(one["field"], one["rule"], one["message"]) for one in refused.json()["errors"]]
    assert told == [
        ("content", "amount_unreadable", "line 3: sum"),
        ("content", "time_unreadable", "line 4: day"),
    ]
    assert api.head() == head
    taken = bring(api, *lines, accept_unreadable=True)
    assert taken["lines"] == 1
    assert [one["line_no"] for one in taken["unreadable"]] == [3, 4]
    shown = api.shown(path(taken), min_position=taken["position"])
    assert [one["rule"] for one in shown["unreadable"]] == ["amount_unreadable", "time_unreadable"]


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"content": "no base64!"}, "content", "base64"),
        ({"layout": "alipay"}, "content", "layout"),
        ({"mapping": None}, "mapping", "mapping_missing"),
        ({"layout": "mt940"}, "layout", "literal_error"),
        ({"zone": "Mars/Olympus"}, "zone", "value_error"),
        ({"surprise": 1}, "surprise", "extra_forbidden"),
        ({"shop": "a/b"}, "shop", "value_error"),
    ],
)
def test_what_is_wrong_with_an_upload_is_named(
    api: Api, changes: Json, field: str, rule: str
) -> None:
    refused = api.post("/v1/statements", body(csv_of("2025-03-03,1.00,A,,")) | changes)
    assert refused.status_code == 422
    assert [(one["field"], one["rule"]) for one in refused.json()["errors"]] == [(field, rule)]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(api: Api) -> None:
    """A statement may be larger than other bodies, and is bounded all the same."""
    lines = [f"2025-03-03,{n}.00,LARGE-{n},{'x' * 150}," for n in range(1, 9_000)]
    taken = bring(api, *lines)
    assert taken["lines"] == 8_999
    refused = api.client.post("/v1/statements", content=b"{" + b" " * (25 << 20))
    assert refused.status_code == 413


DOWNLOADS = [
    ("alipay", "alipay_trades.csv"),
    ("wechat", "wechat_trades.csv"),
    ("stripe", "stripe_balance.csv"),
    ("camt053", "camt053_v8.xml"),
]


@pytest.mark.parametrize(("layout", "name"), DOWNLOADS)
def test_shipped_layouts_come_in_as_they_are_downloaded(api: Api, layout: str, name: str) -> None:
    """covers: A25"""
    content = (Path(FILES) / name).read_bytes()
    made = api.made("/v1/statements", body(content, layout=layout, mapping=None, file_name=name))
    assert made["status"] == "imported"
    lines = api.shown(path(made, "/lines"), min_position=made["position"])["items"]
    assert len(lines) == made["lines"]
    assert sum(line["net_minor"] for line in lines) == sum(
        total["net_minor"] for total in api.shown(path(made))["totals"]
    )


# -- matching ----------------------------------------------------------------------------------


def test_what_fits_one_way_is_matched_and_the_rest_is_suggested_with_reasons(api: Api) -> None:
    """covers: A25: each line matched, or listed unmatched."""
    sure, double, other = paid(api), paid(api), paid(api)
    again = {"method": "bank_transfer", "amount_minor": 9, "reference": double["reference"]}
    again |= {"occurred_at": "2025-03-03T12:00:00+08:00"}
    api.made(f"/v1/orders/{double['order_id']}/payments", again)
    api.made(f"/v1/orders/{other['order_id']}/payments", again)
    statement = bring(
        api,
        f"2025-03-03,210.00,{sure['reference']},,",
        f"2025-03-03,0.09,{double['reference']},,",
        "2025-03-03,77.77,nothing like it,,",
    )
    shown = suggestions(api, statement, statement["position"])
    certain, choice, unknown = shown["items"]
    assert (certain["suggestions"][0]["certain"], unknown["suggestions"]) == (True, [])
    assert "is equal (+50)" in certain["suggestions"][0]["reasons"][0]
    assert len(choice["suggestions"]) >= 2
    assert {one["score"] for one in choice["suggestions"][:2]} == {90}

    made = api.made(path(statement, "/auto-match"))
    assert (made["matched"], made["suggested"], made["refused"]) == (1, 1, [])
    states = api.shown(path(statement), min_position=made["position"])["states"]
    assert states == {"matched": 1, "unmatched": 2}
    (line, *_) = api.shown(path(statement, "/lines"))["items"]
    (match,) = line["matches"]
    assert (match["by"], match["actor"], match["movements"][0]["id"]) == (
        "rule",
        "desk",
        sure["payment_id"],
    )
    open_ = api.shown("/v1/reconciliation/movements", limit=200)["items"]
    assert sure["payment_id"] not in [one["id"] for one in open_]
    assert double["payment_id"] in [one["id"] for one in open_]


def test_a_person_matches_undoes_and_no_rule_does_it_again(api: Api) -> None:
    """covers: A25, A2"""
    order = paid(api)
    statement = bring(api, f"2025-03-04,210.00,{order['reference']},,")
    suggestions(api, statement, statement["position"])
    by_rule = api.made(path(statement, "/auto-match"))
    lines = api.shown(path(statement, "/lines"), min_position=by_rule["position"])["items"]
    name = lines[0]["matches"][0]["match_id"]
    undone = api.made(path(statement, f"/matches/{name}/undo"), {"reason": "王小明 meant another"})
    api.shown(path(statement), min_position=undone["position"])
    suggestions(api, statement, undone["position"])
    again = api.made(path(statement, "/auto-match"))
    assert (again["matched"], again["refused"][0]["code"]) == (0, "match_undone")
    told = {
        "lines": [{"line_no": 2}],
        "movements": [{"kind": "capture", "owner": order["number"], "id": order["payment_id"]}],
    }
    by_hand = api.made(path(statement, "/matches"), told)
    assert by_hand["matched_lines"] == 1
    feed = api.shown("/v1/feed", after=undone["position"] - 3, limit=3)["events"]
    (event,) = [one for one in feed if one["topic"] == "statement.unmatched.v1"]
    assert event["data"]["reason"] == {"masked": True} or "王小明" in event["data"]["reason"]


def test_a_match_that_does_not_add_up_is_refused_with_its_numbers(api: Api) -> None:
    order = paid(api)
    statement = bring(api, "2025-03-04,200.00,SHORT,,")
    told = {
        "lines": [{"line_no": 2}],
        "movements": [{"kind": "capture", "owner": order["order_id"], "id": order["payment_id"]}],
    }
    refused = api.post(path(statement, "/matches"), told)
    assert refused.status_code == 409
    assert refused.json()["code"] == "match_differs"
    assert refused.json()["facts"] == {
        "lines_minor": 20_000,
        "movements_minor": 21_000,
        "tolerance_minor": 100,
    }


def test_a_payer_who_is_named_helps_to_find_the_order_and_is_not_told(api: Api) -> None:
    """covers: A25: payers are compared, though both are sealed."""
    order = paid(api, 12_345, payer="Wang Xiaoming")
    statement = bring(api, "2025-03-04,123.45,,WANG XIAOMING,")
    (item,) = suggestions(api, statement, statement["position"])["items"]
    (best, *_) = item["suggestions"]
    assert best["movements"][0]["id"] == order["payment_id"]
    assert any("payer is equal (+10)" in reason for reason in best["reasons"])
    assert "iaoming" not in json.dumps(item).casefold()


def test_who_reads_a_payer_is_written_down(api: Api) -> None:
    statement = bring(api, "2025-03-04,1.00,LOOK,Li Wei,a gift")
    (line,) = api.shown(path(statement, "/lines"), min_position=statement["position"])["items"]
    assert (line["counterparty"], line["text"]) == ("Li Wei", "a gift")
    looks = rows(
        api.settings, "SELECT command FROM ledger_audit WHERE target = %s",
        statement["statement_id"],
    )  # fmt: skip
    assert looks == [("GET /v1/statements/{id}/lines",)]


def test_unknown_money_is_kept_as_an_unallocated_receipt(api: Api) -> None:
    """covers: A25"""
    statement = bring(api, "2025-03-05,12.00,WHO,,", "2025-03-05,-3.00,OUT,,")
    left = api.made(path(statement, "/lines/2/unallocated"), {"note": "asked the bank"})
    assert left["line_no"] == 2
    states = api.shown(path(statement), min_position=left["position"])["states"]
    assert states == {"unallocated": 1, "unmatched": 1}
    refused = api.post(path(statement, "/lines/3/unallocated"))
    assert (refused.status_code, refused.json()["code"]) == (409, "no_receipt")
    assert api.post(path(statement, "/lines/x/unallocated")).status_code == 422


def test_a_provider_pays_out_gross_less_fees_and_the_bank_tells_of_the_net(api: Api) -> None:
    """covers: A25, A24: batch, fees and net, from Stripe's file to the bank's line."""
    text = (Path(FILES) / "stripe_balance.csv").read_text(encoding="utf-8")
    batch = f"po_{next(serial)}own"
    stripe = api.made(
        "/v1/statements",
        body(text.replace("po_1Nw3pay", batch), layout="stripe", mapping=None),
    )
    euro = {**MAPPING, "currency": "EUR"}
    bank = bring(api, f"2025-03-04,75.90,,STRIPE,PAYOUT {batch}", mapping=euro)
    (item,) = suggestions(api, bank, bank["position"])["items"]
    assert item["suggestions"][0]["movements"] == [
        {"kind": "payout", "owner": stripe["statement_id"], "id": batch, "amount_minor": 7_590}
    ]
    made = api.made(path(bank, "/auto-match"))
    assert made["matched"] == 1


def test_what_does_not_exist_is_not_found(api: Api) -> None:
    name = "f" * 64
    for found in (
        api.get(f"/v1/statements/{name}"),
        api.get(f"/v1/statements/{name}/lines"),
        api.get(f"/v1/statements/{name}/suggestions"),
        api.get("/v1/statements/short"),
        api.post(f"/v1/statements/{name}/auto-match"),
        api.post(f"/v1/statements/{name}/lines/1/unallocated"),
        api.post(f"/v1/statements/{name}/matches/M/undo", {"reason": "x"}),
    ):
        assert (found.status_code, found.json()["code"]) == (404, "statement_not_found")


def test_lists_come_in_pages(api: Api) -> None:
    statement = bring(api, *(f"2025-03-06,{n}.00,PAGE-{n},," for n in range(1, 6)))
    api.shown(path(statement), min_position=statement["position"])
    for where, key in (
        (path(statement, "/lines"), "line_no"),
        ("/v1/statements", "statement_id"),
        ("/v1/reconciliation/lines", "line_no"),
        ("/v1/reconciliation/movements", "movement"),
    ):
        first = api.shown(where, limit=2)
        second = api.shown(where, limit=2, cursor=first["next_cursor"])
        both = [json.dumps([one.get("statement_id"), one[key]]) for one in first["items"]]
        both += [json.dumps([one.get("statement_id"), one[key]]) for one in second["items"]]
        assert len({*both}) == len(both) >= 3


# -- periods -----------------------------------------------------------------------------------


def test_a_month_is_closed_with_totals_that_equal_the_events(api: Api) -> None:
    """covers: A24"""
    shop = "closing-shop"
    order = api.place(shop=shop, channel="marketplace")["order_id"]
    told = {"method": "alipay", "amount_minor": 21_000, "reference": "c"}
    at = {"occurred_at": "2025-01-31T23:59:59+08:00"}
    api.made(f"/v1/orders/{order}/payments", told | at)
    closed = api.made("/v1/periods/2025-01/close", {"shop": shop})
    assert closed["status"] == "closed"
    late = {"amount_minor": 100, "reference": "d", "occurred_at": "2025-01-15T12:00:00+08:00"}
    api.made(f"/v1/orders/{order}/payments", told | late)
    again = api.made("/v1/periods/2025-01/close", {"shop": shop})
    assert (again["status"], again["position"]) == ("closed", None)
    api.made("/v1/periods/2025-02/close", {"shop": shop})
    february, january = api.shown("/v1/periods", shop=shop, min_position=api.head())["items"]
    assert [(t["month"], t["captured_minor"]) for t in january["totals"]] == [("2025-01", 21_000)]
    assert [(t["month"], t["captured_minor"]) for t in february["totals"]] == [("2025-01", 100)]
    assert (february["late_count"], february["late"][0]["month"]) == (1, "2025-01")


def test_a_month_that_is_not_over_cannot_be_closed(api: Api) -> None:
    refused = api.post("/v1/periods/2099-01/close")
    assert (refused.status_code, refused.json()["code"]) == (409, "period_not_over")
    assert api.post("/v1/periods/January/close").status_code == 422


def test_one_month_stands_beside_its_events_and_its_orders(api: Api) -> None:
    """covers: A24: captures less refunds are what is with us, and late facts have pointers."""
    shop = "report-shop"
    order = api.place(shop=shop, channel="marketplace")["order_id"]
    told = {"method": "alipay", "amount_minor": 21_000, "reference": "c"}
    at = {"occurred_at": "2025-01-31T23:59:59+08:00"}
    wrong = api.made(f"/v1/orders/{order}/payments", told | at)["payment_id"]
    path_ = "/v1/periods/2025-01"
    before = api.shown(path_, shop=shop, min_position=api.head())
    assert (before["status"], before["stated"], before["equal"]) == ("open", None, None)
    api.made(f"{path_}/close", {"shop": shop})
    closed = api.shown(path_, shop=shop)
    assert (closed["status"], closed["equal"], closed["stated"]) == (
        "closed",
        True,
        before["totals"],
    )
    (balance,) = closed["balances"]
    assert balance == {
        "currency": "CNY",
        "orders": 1,
        "events_minor": 21_000,
        "balance_minor": 21_000,
        "difference_minor": 0,
        "differing": 0,
    }
    late = told | {
        "amount_minor": 100,
        "reference": "d",
        "occurred_at": "2025-01-15T12:00:00+08:00",
    }
    api.made(f"/v1/orders/{order}/payments", late)
    api.made(f"/v1/orders/{order}/payments/{wrong}/void", {"reason": "typed twice"})
    february = api.shown("/v1/periods/2025-02", shop=shop, min_position=api.head())
    (total,) = february["totals"]
    assert (total["month"], total["captured_minor"], total["kept_minor"]) == ("2025-01", 100, 100)
    assert [one["month"] for one in february["late"]] == ["2025-01"]
    assert february["balances"][0]["balance_minor"] == 100
    assert api.shown(path_, shop=shop)["equal"] is True
    now = api.shown(f"/v1/periods/{datetime.now(UTC):%Y-%m}", shop=shop)
    assert [one["voided_minor"] for one in now["totals"]] == [21_000]
    assert api.get("/v1/periods/2025-13").status_code == 422


def test_a_payment_that_is_voided_after_its_match_is_a_contradiction(api: Api) -> None:
    """covers: A25: it is listed, never proposed, and gone when the match is undone."""
    order = paid(api, 8_888)
    statement = bring(api, f"2025-03-03,88.88,{order['reference']},,")
    suggestions(api, statement, statement["position"])
    api.made(path(statement, "/auto-match"))
    void = f"/v1/orders/{order['order_id']}/payments/{order['payment_id']}/void"
    gone = api.made(void, {"reason": "typed twice"})
    where = {"limit": 200, "min_position": gone["position"]}
    (found,) = api.shown("/v1/reconciliation/contradictions", **where)["items"]
    assert (found["id"], found["state"], found["amount_minor"], found["open_minor"]) == (
        *(order["payment_id"], "over_matched"),
        *(0, -8_888),
    )
    open_ = api.shown("/v1/reconciliation/movements", **where)["items"]
    assert order["payment_id"] not in [one["id"] for one in open_]
    back = bring(api, f"2025-03-04,-88.88,{order['reference']},,")
    assert suggestions(api, back, back["position"])["items"][0]["suggestions"] == []
    name = found["matches"][0]["match_id"]
    undone = api.made(path(statement, f"/matches/{name}/undo"), {"reason": "it was voided"})
    where = {"min_position": undone["position"]}
    assert api.shown("/v1/reconciliation/contradictions", **where)["items"] == []


def test_the_tolerance_is_the_shops_own(api: Api) -> None:
    """covers: A25"""
    shop = "exact-shop"
    rules = {"rules": {"payment": {"tolerance": {"CNY": 0}}}}
    api.made(f"/v1/policies/{shop}", rules)
    order = api.place(shop=shop, channel="marketplace")["order_id"]
    told = {"method": "bank_transfer", "amount_minor": 21_000, "reference": "EXACT"}
    payment = api.made(f"/v1/orders/{order}/payments", told)["payment_id"]
    statement = bring(api, "2025-03-04,209.99,EXACT,,", shop=shop)
    ours = [{"kind": "capture", "owner": order, "id": payment}]
    refused = api.post(path(statement, "/matches"), {"lines": [{"line_no": 2}], "movements": ours})
    assert refused.json()["facts"]["tolerance_minor"] == 0


# -- chargebacks -------------------------------------------------------------------------------


def disputed(api: Api, outcome: str) -> Json:
    """A payment that its bank asked back, and how that ended; no reference was known."""
    one = paid(api, method="credit_card")
    at = f"/v1/orders/{one['order_id']}/payments"
    case = api.made(f"{at}/{one['payment_id']}/chargebacks", {"code": "fraud"})["chargeback_id"]
    end = {"reference": f"{outcome}-{one['reference']}"}
    api.made(f"{at}/chargebacks/{case}/{outcome}", end)
    return {**one, "case": case, "end": end["reference"]}


def left(api: Api, order_id: str) -> list[tuple[str, int]]:
    """Of an order, what no statement has told of."""
    page = api.shown("/v1/reconciliation/movements", limit=200, min_position=api.head())
    return sorted((m["kind"], m["open_minor"]) for m in page["items"] if m["owner"] == order_id)


def test_both_lines_of_a_chargeback_that_was_won_are_matched(api: Api) -> None:
    """covers: A25: taken when it began, given back when it was won; nothing is left open."""
    today = datetime.now(UTC).date().isoformat()
    won, lost = disputed(api, "win"), disputed(api, "lose")
    assert left(api, won["order_id"]) == [("capture", 21_000)]  # Perhaps it was never taken.
    assert left(api, lost["order_id"]) == [("capture", 21_000), ("chargeback", -21_000)]
    taken = bring(api, f"2025-03-03,210.00,{won['reference']},,", f"{today},-210.00,W,,")
    ours = [("capture", won["payment_id"]), ("chargeback", won["case"])]
    for line_no, (kind, name) in zip((2, 3), ours, strict=True):
        movement = {"kind": kind, "owner": won["order_id"], "id": name}
        body_ = {"lines": [{"line_no": line_no}], "movements": [movement]}
        api.made(path(taken, "/matches"), body_)
    assert left(api, won["order_id"]) == [("chargeback_return", 21_000)]  # Now it must come back.
    back = bring(
        api,
        f"{today},210.00,{won['end']},,",
        f"{today},-210.00,{lost['end']},,",
        f"2025-03-03,210.00,{lost['reference']},,",
    )
    matched = api.made(path(back, "/auto-match"), {})
    assert (matched["matched"], matched["refused"]) == (3, [])
    assert left(api, won["order_id"]) == left(api, lost["order_id"]) == []
    for one in (taken, back):
        shown = api.shown(path(one), min_position=api.head())
        assert shown["states"] == {"matched": shown["lines"]}
    [contradictions] = [api.shown("/v1/reconciliation/contradictions", limit=200)["items"]]
    assert not [m for m in contradictions if m["owner"] in {won["order_id"], lost["order_id"]}]


def test_what_comes_back_is_matched_only_once_it_was_won(api: Api) -> None:
    one = paid(api, method="credit_card")
    at = f"/v1/orders/{one['order_id']}/payments"
    case = api.made(f"{at}/{one['payment_id']}/chargebacks", {"code": "fraud"})["chargeback_id"]
    statement = bring(api, f"2025-03-05,210.00,{one['reference']}R,,")
    movement = {"kind": "chargeback_return", "owner": one["order_id"], "id": case}
    body_ = {"lines": [{"line_no": 2}], "movements": [movement]}
    refused = api.post(path(statement, "/matches"), body_)
    assert (refused.status_code, refused.json()["code"]) == (409, "movement_void")
    api.made(f"{at}/chargebacks/{case}/win")
    api.made(path(statement, "/matches"), body_)
    assert left(api, one["order_id"]) == [("capture", 21_000), ("chargeback", -21_000)]
