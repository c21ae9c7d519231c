"""A payment provider's webhook over HTTP, and the notices that a person has to look after."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from api.examples import NOTICE
from commands.provider import sign
from commands.settings import Settings
from commands.store import Store
from domain.provider_commands import ProviderTerms
from tests.api_server import Api, events, order, rows, running
from tests.servers import fresh_database, settings_of
from workers.local.postgres import LocalPostgres
from workers.provider import Exchange
from workers.provider_links import Directory, Link

SECRET = SecretStr("of this file alone")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def api(
    postgres: LocalPostgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A ledger with a provider that is reached by files."""
    path = tmp_path_factory.mktemp("provider")
    terms = ProviderTerms.model_validate({"secret": SECRET.get_secret_value(), "path": path})
    with fresh_database(postgres, ledger_template) as url:
        settings = settings_of(url, tmp_path_factory.mktemp("var")).model_copy(
            update={"providers": {"acme": terms}}
        )
        with running(settings, tmp_path_factory.mktemp("api")) as one:
            yield one


def notice(**changes: Any) -> Json:
    """A capture of 210.00 for some checkout."""
    unique = uuid4().hex[:12]
    fresh = {"notice_id": f"n-{unique}", "payment": f"ch-{unique}", "order_ref": f"C-{unique}"}
    return {**NOTICE, **fresh, **changes}


def told(
    api: Api,
    said: Json | bytes,
    *,
    secret: SecretStr = SECRET,
    at: datetime | None = None,
    provider: str = "acme",
) -> httpx.Response:
    """As the provider sends it: without an actor."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = sign(secret, "m-1", at or datetime.now(UTC), body)
    return httpx.post(f"{api.url}/v1/providers/{provider}/notices", content=body, headers=headers)


def work(settings: Settings) -> None:
    """The provider's worker, until there is nothing to be done by now."""
    terms = settings.providers["acme"]
    assert terms.path is not None
    link = Link("acme", terms, Directory(terms.path))
    exchange = Exchange(settings, link)
    with Store(settings).connect(autocommit=True) as connection:
        while exchange.turn(connection):
            pass
    link.close()


def shown(api: Api, notice_id: str, **query: Any) -> Json:
    page = api.shown("/v1/providers/acme/notices", min_position=api.head(), **query)
    (found,) = [one for one in page["items"] if one["notice_id"] == notice_id]
    return dict(found)


def test_a_notice_is_answered_once_it_is_in_the_ledger_and_counts_once(api: Api) -> None:
    """By webhook twice and by file: one fact. covers: A93, R30"""
    said = notice()
    before = api.head()
    first = told(api, said)
    assert first.status_code == 200, first.text
    assert first.json()["status"] == "received"
    assert first.json()["position"] == before + 1
    again = told(api, {name: said[name] for name in reversed(said)})
    assert again.json() == first.json()
    path = api.settings.providers["acme"].path
    assert path is not None
    (path / "in").mkdir(exist_ok=True)
    (path / "in" / "1.jsonl").write_text(json.dumps(said))
    work(api.settings)
    assert api.head() == before + 1
    assert list((path / "in").iterdir()) == []


def test_another_body_under_a_known_id_is_kept_and_set_aside(api: Api) -> None:
    """Once, by webhook and by file: what was told first counts. covers: A93, R30"""
    said = notice()
    other = said | {"amount_minor": 1}
    told(api, said)
    before = api.head()
    answers = [told(api, other) for _ in range(2)]
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "conflicting_notice")
        assert "dempotency" not in answer.text
        assert problem["facts"]["notice_id"] == said["notice_id"]
    path = api.settings.providers["acme"].path
    assert path is not None
    (path / "in").mkdir(exist_ok=True)
    (path / "in" / "2.jsonl").write_text(json.dumps(other))
    work(api.settings)
    assert api.head() == before + 2  # What it tells, and that it was set aside.
    kept = shown(api, answers[0].json()["facts"]["kept_as"], status="set_aside")
    assert (kept["outcome"], kept["amount_minor"]) == ("conflicting_notice", 1)
    assert kept["notice_id"].startswith(said["notice_id"])
    assert shown(api, said["notice_id"])["amount_minor"] == said["amount_minor"]
    by_file = said | {"amount_minor": 2}
    (path / "in" / "3.jsonl").write_text(json.dumps(by_file))
    work(api.settings)
    page = api.shown("/v1/providers/acme/notices", status="set_aside", min_position=api.head())
    found = [one for one in page["items"] if one["notice_id"].startswith(said["notice_id"])]
    assert sorted(one["amount_minor"] for one in found) == [1, 2]
    made = api.place()
    assigned = f"/v1/providers/acme/notices/{kept['notice_id']}/assign"
    assert api.made(assigned, {"order_id": made["order_id"]})["status"] == "received"


def test_who_has_not_signed_is_not_heard(api: Api) -> None:
    said, now = notice(), datetime.now(UTC)
    before = api.head()
    old = [now - timedelta(minutes=6), now + timedelta(minutes=6)]
    answers = [told(api, said, at=at) for at in old]
    answers.append(told(api, said, secret=SecretStr("somebody else's!")))
    answers.append(httpx.post(f"{api.url}/v1/providers/acme/notices", json=said))
    for answer in answers:
        assert answer.status_code == 401, answer.text
        assert answer.json()["code"] == "signature_invalid"
    assert told(api, said, provider="nobody").json()["code"] == "provider_not_found"
    assert told(api, said, provider="nobody").status_code == 404
    assert api.head() == before


def test_what_is_signed_and_is_no_notice_is_refused_by_field(api: Api) -> None:
    before = api.head()
    cases: list[tuple[Json, str]] = [
        ({"amount_minor": 0}, "amount_minor"),
        ({"surprise": 1}, "surprise"),
        ({"occurred_at": "2099-01-01T00:00:00Z"}, "occurred_at"),
    ]
    for wrong, field in cases:
        answer = told(api, notice(**wrong))
        assert answer.status_code == 422
        assert field in {one["field"] for one in answer.json()["errors"]}
    assert told(api, b"{").status_code == 400
    assert told(api, b'{"x": "' + b"x" * 70_000 + b'"}').status_code == 413
    assert api.head() == before


def test_a_payment_that_came_before_its_order_finds_it(api: Api) -> None:
    """covers: R16"""
    said = notice()
    told(api, said)
    work(api.settings)
    made = api.place(external_ref=said["order_ref"])
    work(api.settings)
    order_id = made["order_id"]
    assert [one["topic"] for one in events(api, order_id)][-1] == "order.payment_captured.v2"
    applied = shown(api, said["notice_id"], status="applied")
    assert (applied["order_id"], applied["outcome"]) == (order_id, "recorded")
    assert api.shown(f"/v1/orders/{order_id}", min_position=api.head())["paid_minor"] == 21_000


def test_money_that_an_order_refuses_is_assigned_by_a_person(api: Api) -> None:
    made = api.place()
    said = notice(order_ref=made["number"], currency="EUR")
    told(api, said)
    work(api.settings)
    assert shown(api, said["notice_id"], status="set_aside")["outcome"] == "currency_differs"
    euros = api.made("/v1/orders", order(currency="EUR"))
    path = f"/v1/providers/acme/notices/{said['notice_id']}/assign"
    assert api.post(path, {"order_id": str(uuid4())}).status_code == 404
    assigned = api.made(path, {"order_id": euros["number"]})
    assert assigned["status"] == "received"
    work(api.settings)
    found = shown(api, said["notice_id"])
    assert (found["status"], found["order_id"]) == ("applied", euros["order_id"])
    refused = api.post(path, {"order_id": made["order_id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "notice_applied")


def test_money_for_an_order_that_never_comes_is_shown_after_three_days(api: Api) -> None:
    said = notice()
    told(api, said)
    work(api.settings)
    rows_of = "SELECT tries FROM provider_task WHERE id = %s"
    assert rows(api.settings, rows_of, said["notice_id"])[0][0] > 0
    with psycopg.connect(api.settings.postgres_url, autocommit=True) as owner:
        owner.execute(
            "UPDATE main.provider_task SET since = since - interval '73 hours', due_at = now() "
            "WHERE id = %s",
            [said["notice_id"]],
        )
    work(api.settings)
    assert shown(api, said["notice_id"], status="set_aside")["outcome"] == "order_not_found"


def never_ordered(api: Api, **more: Any) -> Json:
    """Money of an order that did not come in three days."""
    said = notice(**more)
    told(api, said)
    work(api.settings)
    with psycopg.connect(api.settings.postgres_url, autocommit=True) as owner:
        owner.execute(
            "UPDATE main.provider_task SET since = since - interval '73 hours', due_at = now() "
            "WHERE id = %s",
            [said["notice_id"]],
        )
    work(api.settings)
    return said


def brought(api: Api, *lines: str) -> Json:
    content = "\n".join(["day,sum,reference", *lines, ""])
    columns = {"date": "day", "amount": "sum", "reference": "reference"}
    body = {"layout": "csv", "file_name": "acme.csv", "mapping": {"columns": columns}}
    body["mapping"]["currency"] = "CNY"  # type: ignore[index]
    body["content"] = base64.b64encode(content.encode()).decode()
    return api.made("/v1/statements", body)


def open_lines(api: Api, statement: Json) -> list[Json]:
    page = api.shown("/v1/reconciliation/lines", limit=100, min_position=api.head())
    own = [one for one in page["items"] if one["statement_id"] == statement["statement_id"]]
    return sorted(own, key=lambda one: int(one["line_no"]))


def test_money_that_was_set_aside_is_one_unallocated_receipt_with_what_the_provider_told(
    api: Api,
) -> None:
    """covers: A25: the notice and the statement's line are one sum of money, not two."""
    said = never_ordered(api, payer="李雷", fee_minor=126)
    assert shown(api, said["notice_id"])["receipt"] is None
    line = f"2026-03-01,210.00,{said['payment']}"
    statement = brought(api, line, line, f"2026-03-01,9.00,{said['payment']}")
    first, *others = open_lines(api, statement)
    assert (first["state"], first["open_minor"]) == ("unallocated", 21_000)
    notice_ = first["notice"]
    assert (notice_["notice_id"], notice_["outcome"]) == (said["notice_id"], "order_not_found")
    assert (notice_["payer"], notice_["fee_minor"]) == ("李雷", 126)
    assert notice_["order_ref"] == said["order_ref"]
    assert [(one["state"], one["notice"]) for one in others] == [("unmatched", None)] * 2
    where = {"statement_id": statement["statement_id"], "line_no": first["line_no"]}
    aside = shown(api, said["notice_id"], status="set_aside")
    assert (aside["receipt"], aside["payer"]) == (where, "李雷")
    path = f"/v1/statements/{statement['statement_id']}"
    assert api.shown(path)["states"] == {"unallocated": 1, "unmatched": 2}
    events_ = "SELECT convert_from(state, 'UTF8') FROM ledger_event WHERE topic = %s"
    stored = rows(api.settings, events_, "provider_notice.received.v2")
    assert not [text for (text,) in stored if "李雷" in text]
    order_id = api.place()["order_id"]
    api.made(f"/v1/providers/acme/notices/{said['notice_id']}/assign", {"order_id": order_id})
    work(api.settings)
    assert open_lines(api, statement)[0]["notice"] is None  # It is an order's now.


def test_the_pages_of_notices_hold_each_once(api: Api) -> None:
    for _ in range(3):
        told(api, notice())
    seen: list[str] = []
    cursor: dict[str, Any] = {"min_position": api.head()}
    while True:
        page = api.shown("/v1/providers/acme/notices", limit=2, **cursor)
        seen += [one["notice_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len({*seen}) >= 3
    assert api.get("/v1/providers/nobody/notices").status_code == 404


def test_a_refund_goes_back_through_the_provider_that_brought_the_money(api: Api) -> None:
    """Asked for under its own id, for what was requested; also of money that was moved since.
    covers: R10, R18, A62
    """
    first, second = api.place(), api.place()
    said = notice(order_ref=first["order_id"])
    told(api, said)
    work(api.settings)
    (payment,) = [
        one["data"]["payment_id"]
        for one in events(api, first["order_id"])
        if one["topic"] == "order.payment_captured.v2"
    ]
    path = f"/v1/orders/{first['order_id']}/payments/{payment}/move"
    api.made(path, {"to_order_id": second["order_id"], "reason": "booked wrongly"})
    orders = f"/v1/orders/{second['order_id']}"
    equal = [
        api.made(f"{orders}/refunds", {"amount_minor": 500, "reason": "late"})["refund_id"]
        for _ in range(2)
    ]
    api.made(f"{orders}/payments", {"method": "alipay", "amount_minor": 700, "reference": "own"})
    by_hand = api.made(f"{orders}/refunds", {"amount_minor": 700, "reason": "late"})["refund_id"]
    work(api.settings)
    terms = api.settings.providers["acme"]
    assert terms.path is not None
    asks = [json.loads(one.read_text()) for one in (terms.path / "out").iterdir()]
    found = {one["key"]: (one["payment"], one["amount_minor"], one["currency"]) for one in asks}
    assert found == dict.fromkeys(equal, (said["payment"], 500, "CNY"))
    refused = api.post(f"{orders}/refunds/{equal[0]}/pay", {"reference": "by hand"})
    assert (refused.status_code, refused.json()["code"]) == (409, "refund_under_way")
    api.made(f"{orders}/refunds/{by_hand}/pay", {"reference": "by hand"})
    for key in equal:
        more = {"key": key, "amount_minor": 500, "payment": said["payment"]}
        told(api, notice(kind="refunded", order_ref=second["order_id"], **more))
    work(api.settings)
    paid = [
        one for one in events(api, second["order_id"]) if one["topic"] == "order.refund_paid.v1"
    ]
    assert {one["data"]["refund_id"] for one in paid} == {*equal, by_hand}
