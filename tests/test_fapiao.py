"""Fapiao (发票): asked for, answered by the tax provider, and taken back by red letters (红冲)."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from domain.desk_names import order_stream
from domain.fapiao import FapiaoAnswer, FapiaoOrder, FapiaoProvider
from domain.invoice_facts import FapiaoIssued, FapiaoRequested, FapiaoReversed
from domain.papers_due import RedLetterDue, papers_due
from tests.given import NOON, after, given
from tests.given_money import pay
from tests.given_orders import line, place
from tests.given_returns import pay_refund, refund
from tests.papers import answered, credit, fapiao, invoices, issue, papers, reverse
from workers.fapiao_files import DirectoryProvider, name_of

TEA = line(tax_rate_bp=1300)


def test_a_fapiao_is_asked_for_an_invoice_and_answered_once() -> None:
    start = after(place("A", TEA), issue())
    asked = FapiaoRequested(
        person="customer/li",
        fapiao_id="F1",
        invoice_number="INV-2025-000001",
        kind="special",
        title="杭州茶友有限公司",
        tax_id="91330100MA27ABC456",
        at=NOON,
    )
    body = {"kind": "special", "title": "杭州茶友有限公司", "tax_id": "91330100MA27ABC456"}
    world = start.when(fapiao(**body)).then({order_stream("A"): [asked]})
    given(world).when(fapiao(**body)).nothing()
    given(world).when(fapiao("F2")).refused("fapiao_exists")
    issued = FapiaoIssued(
        fapiao_id="F1",
        fapiao_number="25332000000012345678",
        issue_date=date(2025, 3, 2),
        file_digest=f"sha256:{'ab' * 32}",
        media_type="application/pdf",
        provider="manual",
        at=NOON,
    )
    done = given(world).when(answered("25332000000012345678")).then({order_stream("A"): [issued]})
    given(done).when(answered("25332000000012345678")).nothing()
    given(done).when(answered("1")).refused("fapiao_differs", fapiao_number="25332000000012345678")
    given(done).when(answered("1", "F9")).refused("fapiao_not_found")


def test_a_fapiao_needs_an_invoice_in_the_countrys_currency() -> None:
    after(place("A", TEA)).when(fapiao()).refused("fapiao_exists")
    start = after(place("A", TEA), issue())
    start.when(fapiao(invoice_number="INV-1")).refused("invoice_not_found")
    after(place("A", TEA, currency="EUR"), issue()).when(fapiao()).refused("fapiao_needs_cny")
    with pytest.raises(ValidationError, match="needs tax_id"):
        fapiao(kind="special")


def test_what_the_provider_refused_may_be_asked_anew() -> None:
    from domain.invoice_commands import RecordFapiaoRefusal

    said = {"order_id": "A", "code": "unknown_title", "provider": "directory", "at": NOON}
    no = RecordFapiaoRefusal.model_validate(said | {"fapiao_id": "F1"})
    world = after(place("A", TEA), issue(), fapiao()).when(no).world
    given(world).when(no).nothing()
    given(world).when(answered("1")).refused("fapiao_refused")
    given(world).when(fapiao("F2")).topics("order.fapiao_requested.v1")


def test_a_refund_is_followed_by_a_credit_note_and_a_red_letter() -> None:
    """covers: A68: 红冲 of what was given back, once."""
    start = after(place("A", TEA), pay(10000), issue(), fapiao())
    back = given(start.world, refund(None, (1, 1)), pay_refund(), credit(refund_id="R1"))
    back.when(reverse()).refused("fapiao_not_issued")
    assert papers_due(back.world.order(), "request") == ()
    known = given(back.world, answered("100"))
    due = papers_due(known.world.order(), "request")
    assert due == (RedLetterDue("F1", "CN-2025-000001"),)
    asked = known.when(reverse()).topics("order.fapiao_reversal_requested.v1")
    given(asked).when(reverse()).refused("nothing_to_reverse")
    assert papers_due(asked.order(), "request") == ()
    red = answered("101", credit_number="CN-2025-000001")
    done = given(asked).when(red).topics("order.fapiao_reversed.v1")
    given(done).when(red).nothing()
    given(done).when(answered("102", credit_number="CN-2025-000001")).refused("fapiao_differs")
    given(done).when(answered("102", credit_number="CN-1")).refused("red_letter_not_found")
    assert papers(done).fapiao["F1"].red_letters == {"CN-2025-000001": "101"}
    assert isinstance(done.events[order_stream("A")][-1], FapiaoReversed)


# -- the provider that is a directory ------------------------------------------------------------


def order(request_id: str = "A/F1", title: str = "李伟") -> FapiaoOrder:
    (invoice,) = invoices(after(place("A", TEA), issue()).world)
    return FapiaoOrder(
        request_id=request_id,
        kind="general",
        seller_tax_id="91330100MA27XYZ123",
        title=title,
        tax_id=None,
        email=None,
        paper_number=invoice.number,
        lines=invoice.lines,
        rates=(),
        total_minor=invoice.total_minor,
    )


def answer(directory: Path, request_id: str, said: Any, files: dict[str, bytes]) -> None:
    folder = directory / "in"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    text = said if isinstance(said, str) else json.dumps({"request_id": request_id} | said)
    (folder / f"{name_of(request_id)}.json").write_text(text)


ISSUED = {"fapiao_number": "100", "issue_date": "2025-03-02", "file": "100.ofd"}


def test_a_request_is_one_file_however_often_it_is_handed_in(tmp_path: Path) -> None:
    provider: FapiaoProvider = DirectoryProvider(tmp_path)
    provider.submit(order())
    provider.submit(order(title="另一个"))
    (file,) = (tmp_path / "out").iterdir()
    written = json.loads(file.read_text())
    assert written["title"] == "李伟"
    assert written["lines"][0]["tax_minor"] == 1150
    answer(tmp_path, "A/F1", ISSUED, {"100.ofd": b"file"})
    provider.settle("A/F1")
    provider.submit(order())
    assert list((tmp_path / "out").iterdir()) == []


def test_an_answer_comes_with_its_file_or_waits_for_it(tmp_path: Path) -> None:
    provider = DirectoryProvider(tmp_path)
    answer(tmp_path, "A/F1", ISSUED, {})
    assert provider.collect() == []
    (tmp_path / "in" / "100.ofd").write_bytes(b"a fapiao")
    digest = hashlib.sha256(b"a fapiao").hexdigest()
    expected = FapiaoAnswer("A/F1", "100", date(2025, 3, 2), f"sha256:{digest}", "application/ofd")
    assert provider.collect() == [expected]
    assert provider.collect() == [expected]  # Until the ledger has it.
    assert (tmp_path / "files" / digest).read_bytes() == b"a fapiao"
    provider.settle("A/F1")
    assert provider.collect() == []


def test_a_refusal_needs_no_file(tmp_path: Path) -> None:
    answer(tmp_path, "A/F1", {"refused": "unknown_title"}, {})
    (found,) = DirectoryProvider(tmp_path).collect()
    assert found.refused == "unknown_title"


@pytest.mark.parametrize(
    "said",
    [
        "no JSON",
        {"fapiao_number": "100"},
        {**ISSUED, "file": "../../etc/passwd"},
        {**ISSUED, "request_id": "B/F2"},
        {**ISSUED, "surprise": 1},
    ],
)
def test_what_is_no_answer_is_set_aside(tmp_path: Path, said: Any) -> None:
    answer(tmp_path, "A/F1", said, {"100.ofd": b"file"})
    assert DirectoryProvider(tmp_path).collect() == []
    assert len(list((tmp_path / "bad").iterdir())) == 1
