"""The procedure document over HTTP and on the command line: read, issued, acknowledged."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from typer.testing import CliRunner, Result

from api.procedure_view import STYLE
from tests.api_server import Api, rows
from tests.test_api_policies import errors, free_for, in_hours, publish
from workers.cli import app

Json = dict[str, Any]
Ledger = Callable[..., Result]
_shops = count(1)
FREE_24 = "Cancelling is free for 24 hours after placing."
FREE_48 = "Cancelling is free for 48 hours after placing."


@pytest.fixture
def shop() -> str:
    """A shop that has issued nothing."""
    return f"desk-{next(_shops)}"


def issue(api: Api, shop: str, **more: Any) -> Json:
    return api.made("/v1/procedure/issue", {"shop": shop, **more})


def acknowledge(api: Api, shop: str, version: int, actor: str, **headers: str) -> Any:
    path = f"/v1/procedure/{version}/acknowledge"
    return api.post(path, {"shop": shop}, x_actor=actor, **headers)


def shown(api: Api, shop: str, **query: Any) -> Json:
    return api.shown("/v1/procedure", shop=shop, **{"language": "en"} | query)


def sentences(document: Json) -> list[str]:
    blocks = [block for chapter in document["chapters"] for block in chapter["blocks"]]
    return [cell for block in blocks for line in block["lines"] for cell in line["cells"]]


# -- reading -------------------------------------------------------------------------------------


def test_the_document_follows_the_rules_without_being_written(api: Api, shop: str) -> None:
    """covers: A3"""
    head = api.head()
    before = shown(api, shop)
    assert (before["version"], before["newest_version"], before["is_newest"]) == (None, None, False)
    assert FREE_24 in sentences(before)
    assert api.head() == head
    publish(api, shop, free_for(48))
    after = shown(api, shop)
    assert FREE_48 in sentences(after)
    assert after["digest"] != before["digest"]
    assert after["policy_version"] == 1


def test_it_is_in_the_shops_language_unless_asked_for(api: Api, shop: str) -> None:
    assert api.shown("/v1/procedure", shop=shop)["title"] == "订单管理程序文件"
    publish(api, shop, {"rules": {"shop": {"language": "en"}}})
    assert api.shown("/v1/procedure", shop=shop)["title"] == "Order management procedure"
    assert shown(api, shop, language="zh")["title"] == "订单管理程序文件"


def test_what_will_be_in_force_can_be_read_before(api: Api, shop: str) -> None:
    publish(api, shop, free_for(48, effective_from=in_hours(24)))
    assert FREE_24 in sentences(shown(api, shop))
    assert FREE_48 in sentences(shown(api, shop, at=in_hours(25)))


def test_html_and_pdf_as_accept_or_format_ask(api: Api, shop: str) -> None:
    def got(accept: str, **query: Any) -> Any:
        return api.client.get(
            "/v1/procedure",
            params={"shop": shop, "language": "en", **query},
            headers={"Accept": accept},
        )

    browser = got("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert browser.headers["content-type"].startswith("text/html")
    assert FREE_24 in browser.text
    assert STYLE in browser.text
    assert "default-src 'none'" in browser.headers["content-security-policy"]
    pdf = got("text/html;q=0.5, application/pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    assert got("*/*").headers["content-type"] == "application/json"
    assert got("text/html;q=0").headers["content-type"] == "application/json"
    assert got("text/html", format="pdf").content[:5] == b"%PDF-"
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    letters = "".join(c for c in text if c.isprintable() and c != " ")
    assert FREE_24.replace(" ", "") in letters


def test_customers_get_an_extract(api: Api, shop: str) -> None:
    extract = shown(api, shop, audience="customers")
    assert [one["code"] for one in extract["chapters"]] == ["payment", "cancellation", "refund"]
    page = api.get("/v1/procedure", shop=shop, language="en", format="html", audience="customers")
    assert FREE_24 in page.text
    for hidden in ("order.place", "second person", extract["digest"][:16]):
        assert hidden not in page.text


def test_what_is_no_question_is_refused(api: Api, shop: str) -> None:
    for query, field in (
        ({"language": "fr"}, "language"),
        ({"format": "docx"}, "format"),
        ({"version": 0}, "version"),
        ({"at": "soon"}, "at"),
        ({"at": "2026-01-01", "version": 1}, "at"),
        ({"lang": "zh"}, "lang"),
    ):
        ((found, _),) = errors(api.get("/v1/procedure", shop=shop, **query))
        assert found == field
    for path, query in (("", {"version": 1}), ("/compare", {"from": 1})):
        missing = api.get(f"/v1/procedure{path}", shop=shop, **query)
        assert (missing.status_code, missing.json()["code"]) == (404, "procedure_version_not_found")


# -- issuing -------------------------------------------------------------------------------------


def test_an_issued_version_stays_word_for_word(api: Api, shop: str) -> None:
    seen = shown(api, shop)
    made = issue(api, shop, expected_digest=seen["digest"], readers=["an"])
    assert (made["procedure_version"], made["digest"]) == (1, seen["digest"])
    assert (made["status"], made["outstanding"]) == ("issued", ["an"])
    now = shown(api, shop, min_position=made["position"])
    assert (now["version"], now["newest_version"], now["is_newest"]) == (1, 1, True)
    publish(api, shop, free_for(48))
    assert (shown(api, shop)["version"], shown(api, shop)["is_newest"]) == (None, False)
    kept = shown(api, shop, version=1)
    assert FREE_24 in sentences(kept)
    assert kept["chapters"] == seen["chapters"]
    assert issue(api, shop)["procedure_version"] == 2


def test_going_back_to_old_rules_is_a_version_of_its_own(api: Api, shop: str) -> None:
    first = issue(api, shop)
    publish(api, shop, free_for(48))
    issue(api, shop)
    publish(api, shop, free_for(24))
    now = shown(api, shop)
    assert (now["version"], now["is_newest"], now["digest"]) == (1, False, first["digest"])
    assert issue(api, shop)["procedure_version"] == 3
    assert shown(api, shop)["version"] == 3


def test_what_was_issued_is_not_issued_again(api: Api, shop: str) -> None:
    issue(api, shop, readers=["an"])
    again = issue(api, shop)
    assert (again["position"], again["procedure_version"]) == (None, 1)
    assert again["outstanding"] == ["an"]
    first, second = (
        api.post("/v1/procedure/issue", {"shop": shop}, idempotency_key=f"spring {shop}")
        for _ in range(2)
    )
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"


def test_a_text_that_changed_since_it_was_seen_is_not_issued(api: Api, shop: str) -> None:
    seen = shown(api, shop)["digest"]
    publish(api, shop, free_for(48))
    refused = api.post("/v1/procedure/issue", {"shop": shop, "expected_digest": seen})
    assert (refused.status_code, refused.json()["code"]) == (409, "procedure_differs")
    assert refused.json()["facts"] == {"expected": seen, "in_force": shown(api, shop)["digest"]}
    bad = {"shop": shop, "expected_digest": "1", "readers": ["王"]}
    assert {field for field, _ in errors(api.post("/v1/procedure/issue", bad))} == {
        "expected_digest",
        "readers.0",
    }


# -- acknowledging -------------------------------------------------------------------------------


def test_who_has_read_and_who_has_not_is_listed(api: Api, shop: str) -> None:
    issue(api, shop, readers=["an", "bo"])
    made = acknowledge(api, shop, 1, "bo").json()
    assert (made["status"], made["procedure_version"], made["outstanding"]) == (
        "acknowledged",
        1,
        ["an"],
    )
    again = acknowledge(api, shop, 1, "bo").json()
    assert again["position"] is None
    publish(api, shop, free_for(48))
    issue(api, shop)
    listed = api.shown("/v1/procedure/versions", shop=shop)
    assert listed["is_newest"]
    newest, first = listed["versions"]
    assert (newest["version"], newest["policy_version"], newest["issued_by"]) == (2, 1, "desk")
    assert (newest["outstanding"], newest["acknowledged"]) == (["an", "bo"], [])
    assert first["outstanding"] == ["an"]
    assert [one["reader"] for one in first["acknowledged"]] == ["bo"]
    query = "SELECT actor FROM ledger_event WHERE topic = 'procedure.acknowledged.v1' AND key = %s"
    assert rows(api.settings, query, shop) == [("bo",)]


def test_only_the_newest_version_is_acknowledged(api: Api, shop: str) -> None:
    refused = acknowledge(api, shop, 1, "an")
    assert (refused.status_code, refused.json()["code"]) == (404, "procedure_version_not_found")
    issue(api, shop)
    publish(api, shop, free_for(48))
    issue(api, shop)
    refused = acknowledge(api, shop, 1, "an")
    assert (refused.status_code, refused.json()["code"]) == (409, "procedure_superseded")
    assert refused.json()["facts"] == {"version": 1, "newest": 2}
    odd = api.post("/v1/procedure/one/acknowledge", {"shop": shop})
    assert errors(odd) == [("version", "int_parsing")]


# -- comparing -----------------------------------------------------------------------------------


def test_the_changed_sentences_are_marked(api: Api, shop: str) -> None:
    issue(api, shop)
    publish(api, shop, free_for(48))
    issue(api, shop)
    compared = api.shown("/v1/procedure/compare", **{"from": 1, "to": 2}, shop=shop, language="en")
    change = {
        "chapter": "cancellation",
        "title": "Cancellation",
        "key": "cancellation.free_hours",
        "was": FREE_24,
        "now": FREE_48,
    }
    assert compared["changes"] == [change]
    back = api.shown("/v1/procedure/compare", **{"from": 2, "to": 1}, shop=shop, language="en")
    assert back["changes"] == [change | {"was": FREE_48, "now": FREE_24}]
    query = {"from": 1, "shop": shop, "language": "en", "format": "html"}
    page = api.get("/v1/procedure/compare", **query).text
    assert f"<del>{FREE_24}</del>" in page
    assert f"<ins>{FREE_48}</ins>" in page
    assert page.count("<ins>") == 1


def test_what_issuing_would_change_is_seen_before(api: Api, shop: str) -> None:
    issue(api, shop)
    same = api.shown("/v1/procedure/compare", **{"from": 1}, shop=shop)
    assert (same["changes"], same["to"]) == ([], None)
    publish(api, shop, {"rules": {"refund": {"working_days": 5}}})
    compared = api.shown("/v1/procedure/compare", **{"from": 1}, shop=shop)
    assert [one["now"] for one in compared["changes"]] == ["退款在 5 个工作日内完成。"]


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture
def ledger(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ledger:
    monkeypatch.setenv("LEDGER_API_PORT", str(api.port))
    monkeypatch.setenv("LEDGER_VAR_PATH", str(tmp_path))

    def run(*arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(app, ["procedure", *arguments])
        assert (result.exit_code != 0) == fails, (result.output, result.exception)
        return result

    return run


def test_the_command_writes_html_and_pdf(
    api: Api, shop: str, ledger: Ledger, tmp_path: Path
) -> None:
    page = ledger("--shop", shop, "--language", "en").stdout
    assert FREE_24 in page
    file = tmp_path / "procedure.pdf"
    ledger("--shop", shop, "--format", "pdf", "--output", str(file))
    assert file.read_bytes()[:5] == b"%PDF-"
    assert "order.place" not in ledger("--shop", shop, "--customers").stdout
    publish(api, shop, free_for(48, effective_from=in_hours(24)))
    assert FREE_48 in ledger("--shop", shop, "--language", "en", "--at", in_hours(25)).stdout


def test_the_command_marks_what_has_changed(api: Api, shop: str, ledger: Ledger) -> None:
    issue(api, shop)
    publish(api, shop, free_for(48))
    page = ledger("--shop", shop, "--language", "en", "--compare", "1").stdout
    assert f"<del>{FREE_24}</del>" in page
    assert FREE_24 in ledger("--shop", shop, "--language", "en", "--version", "1").stdout


def test_the_command_says_in_a_line_what_is_wrong(
    shop: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "language: " in ledger("--shop", shop, "--language", "fr", fails=True).stderr
    assert "0 versions were issued" in ledger("--shop", shop, "--version", "1", fails=True).stderr
    monkeypatch.setenv("LEDGER_API_PORT", "1")
    said = ledger("--shop", shop, fails=True).stderr
    assert "no API answers at http://127.0.0.1:1" in said
    assert "`ledger up`" in said
