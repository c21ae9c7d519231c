"""What a refusal says is for people: amounts as they are written, the numbers beside."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.message import EVENT_TYPES
from tests.api_server import Api, order

Json = dict[str, Any]
DOMAIN = Path(__file__).parents[1] / "domain"
READABLE = {"shown", "shown_minor", "format_minor", "percent"}
RAW = ("_minor", "_bp")


def sentences() -> Iterator[tuple[str, ast.expr]]:
    """(where, message) of every refusal that says more than its code."""
    for file in sorted(DOMAIN.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Rejected":
                for message in node.args[1:]:
                    yield f"{file.name}:{node.lineno}", message


def raw_numbers(message: ast.expr) -> list[str]:
    """Expressions of minor units or basis points that a sentence shows as they are."""
    found = []
    for part in ast.walk(message):
        if isinstance(part, ast.FormattedValue):
            called = getattr(part.value, "func", None)
            readable = called is not None and ast.unparse(called) in READABLE
            text = ast.unparse(part.value)
            if not readable and any(mark in text for mark in RAW):
                found.append(text)
    return found


def test_no_refusal_shows_minor_units_or_words_of_the_code() -> None:
    classes = {kind.__name__ for kind in EVENT_TYPES.values()}
    messages = list(sentences())
    assert len(messages) > 150
    for where, message in messages:
        assert raw_numbers(message) == [], where
        for part in ast.walk(message):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                assert not any(f"{mark}" in part.value for mark in RAW), where
                assert not classes & set(part.value.split()), where


def refused(answer: Any, status: int = 409) -> Json:
    assert answer.status_code == status, answer.text
    told: Json = answer.json()
    return told


SENTENCES: list[tuple[str, str, str, Json]] = [
    ("total_differs", "CNY", "0.01 sent, 210.00 computed", {"total_minor": 1}),
    ("total_differs", "JPY", "1 sent, 20990 computed", {"total_minor": 1}),
    (
        "unit_price_out_of_bounds",
        "CNY",
        "line 1: a unit price of 10000000001.00, 10000000000.00 is the most",
        {"unit_price": "10000000001.00"},
    ),
    (
        "amount_out_of_bounds",
        "CNY",
        "line 1: 20000000000.00, 10000000000.00 is the most",
        {"unit_price": "10000000000.00", "quantity": 2},
    ),
]


def priced(currency: str, changes: Json) -> Json:
    """One line as `changes` say, or two when it is the total that is wrong."""
    line = {"sku": "A", "name": "A", "category": "a", "quantity": 1, "unit_price": "1"}
    if "total_minor" not in changes:
        return order(currency=currency, lines=[line | changes])
    whole = order(currency=currency) | changes
    if currency == "JPY":
        whole["lines"] = [line | {"unit_price": "20490"}]
    return whole


@pytest.mark.parametrize(("code", "currency", "sentence", "changes"), SENTENCES)
def test_a_refusal_speaks_in_the_currency_and_keeps_the_numbers_beside(
    api: Api, code: str, currency: str, sentence: str, changes: Json
) -> None:
    told = refused(api.post("/v1/orders", priced(currency, changes)))
    assert (told["code"], told["detail"]) == (code, sentence)
    assert [name for name in told["facts"] if name.endswith("_minor")]


def test_a_draft_speaks_as_the_order_that_it_becomes(api: Api) -> None:
    draft = api.post("/v1/drafts", order(total_minor=1))
    assert draft.json()["refused"][0]["message"] == "0.01 sent, 210.00 computed"


def test_discounts_that_do_not_add_up_are_told_in_the_currency(api: Api) -> None:
    coupon = {"kind": "coupon", "code": "A", "title": "A", "amount_minor": 150}
    told = refused(api.post("/v1/orders", order(discounts=[coupon], discount_minor=100)), 422)
    (error,) = told["errors"]
    assert error["message"] == "sum to 1.50, discount_minor is 1.00: leave one out"


OF_SEVERAL: list[tuple[str, Json, list[str]]] = [
    (
        "/v1/orders/{}/amend",
        {"reason": "x"},
        ["lines", "contact", "shipping_address", "billing_address", "promised_at"],
    ),
    ("/v1/orders/{}/refunds", {"reason": "late"}, ["amount_minor", "lines", "shipping_minor"]),
    (
        "/v1/orders/{}/credit-notes",
        {"reason": "x", "refund_id": "R", "amount_minor": 1},
        ["amount_minor", "refund_id"],
    ),
    (
        "/v1/orders/{}/credit-notes",
        {"reason": "x", "refund_id": "R", "correction": True},
        ["correction"],
    ),
    ("/v1/orders/{}/fapiao", {"kind": "special", "title": "A"}, ["tax_id"]),
    (
        "/v1/orders/{}/cases/C/steps",
        {"step": "decide"},
        ["cause", "contact", "action", "outcome", "prevention", "text"],
    ),
    (
        "/v1/customers/C/accounts/CNY/credit",
        {"amount_minor": 0, "cause": "refund", "reason_code": "x"},
        ["amount_minor"],
    ),
    (
        "/v1/policies/main/try",
        {"rules": {}, "placed_from": "2026-02-01T00:00:00Z", "placed_to": "2026-01-01T00:00:00Z"},
        ["placed_to"],
    ),
    (
        "/v1/statements",
        {
            "layout": "csv",
            "file_name": "a.csv",
            "content": "YQ==",
            "mapping": {"columns": {"date": "day"}, "currency": "CNY"},
        },
        ["mapping.columns.amount", "mapping.columns.credit", "mapping.columns.debit"],
    ),
    (
        "/v1/statements",
        {
            "layout": "csv",
            "file_name": "a.csv",
            "content": "YQ==",
            "mapping": {"columns": {"date": "day", "amount": "sum"}},
        },
        ["mapping.currency", "mapping.columns.currency"],
    ),
    (
        "/v1/statements/S/matches",
        {
            "lines": [{"line_no": 1}, {"line_no": 1}],
            "movements": [{"kind": "capture", "owner": "O", "id": "P"}],
        },
        ["lines"],
    ),
]


@pytest.mark.parametrize(("path", "body", "fields"), OF_SEVERAL)
def test_a_rule_over_several_fields_names_them(
    api: Api, path: str, body: Json, fields: list[str]
) -> None:
    one = api.place()["order_id"]
    told = refused(api.post(path.format(one), body), 422)
    assert [error["field"] for error in told["errors"]] == fields


def test_a_customer_without_anything_is_told_what_to_give(api: Api) -> None:
    told = refused(api.client.put("/v1/customers/C", json={}), 422)
    assert [error["field"] for error in told["errors"]] == ["contact", "address"]


NAMES = json.dumps({"shop": "main", "note": "请放在门卫处，谢谢！"}, ensure_ascii=False)
ENCODED: list[tuple[str, bytes, str]] = [
    ("GB18030 (GBK, GB2312)", NAMES.encode("gbk"), "application/json"),
    ("announced as GBK", NAMES.encode("gbk"), "application/json; charset=GBK"),
    ("Windows-1252", '{"note": "Café"}'.encode("cp1252"), "application/json"),
    ("UTF-16", NAMES.encode("utf-16"), "application/json"),
    ("UTF-32", NAMES.encode("utf-32"), "application/json"),
    ("byte order mark", NAMES.encode("utf-8-sig"), "application/json"),
]


@pytest.mark.parametrize(("named", "body", "content_type"), ENCODED)
def test_a_body_in_another_encoding_is_refused_by_its_name(
    api: Api, named: str, body: bytes, content_type: str
) -> None:
    answer = api.client.post("/v1/orders", content=body, headers={"Content-Type": content_type})
    told = refused(answer, 400)
    assert told["code"] == "unparsable"
    assert named in told["detail"]
    assert "UTF-8" in told["detail"]
    assert len(told["detail"]) < 200
