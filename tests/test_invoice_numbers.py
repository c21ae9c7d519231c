"""Numbers of papers when several processes issue at once, and a provider beside a real ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection

from commands.planning import Outcome
from commands.settings import Settings
from commands.store import Store
from domain.invoice_commands import IssueCreditNote, IssueInvoice, RequestFapiao, ReverseFapiao
from domain.message import Command
from domain.payment_commands import RecordPayment
from domain.refund_commands import PayRefund, RequestRefund
from tests.papers import SELLERS
from tests.scale import scale
from tests.test_committer import NOON, attempt, committer, placing, refusals, settle
from workers.fapiao import Exchange
from workers.fapiao_files import DirectoryProvider

pytestmark = pytest.mark.anyio


def issue(order_id: str, **more: Any) -> IssueInvoice:
    ids = {"order_id": order_id, "paper_id": str(uuid4()), "sellers": SELLERS, "at": NOON}
    return IssueInvoice.model_validate(ids | more)


def correct(order_id: str) -> IssueCreditNote:
    ids = {"order_id": order_id, "paper_id": str(uuid4()), "sellers": SELLERS, "at": NOON}
    return IssueCreditNote.model_validate(ids | {"reason": "wrong", "correction": True})


def numbers(settings: Settings, topic: str) -> list[str]:
    """As printed on the papers, in the order of the ledger."""
    query = "SELECT state->>'number' FROM ledger_event_json WHERE topic = %s ORDER BY position"
    with Store(settings).connect(autocommit=True) as connection:
        return [row[0] for row in connection.execute(query, [topic])]


def taken(settings: Settings, kind: str) -> list[int]:
    query = (
        "SELECT (state->>'sequence')::int FROM ledger_event_json"
        " WHERE topic = 'invoice_series.number_taken.v1' AND state->>'kind' = %s ORDER BY position"
    )
    with Store(settings).connect(autocommit=True) as connection:
        return [row[0] for row in connection.execute(query, [kind])]


async def test_concurrent_issuing_leaves_no_gap_and_repeats_no_number(settings: Settings) -> None:
    """covers: A68, R6: three processes at once, each order asked for by two of them."""
    count = scale(200, 30)
    placements = [placing(quantity=2) for _ in range(count)]
    async with (
        committer(settings) as first,
        committer(settings) as second,
        committer(settings) as third,
    ):
        placed = await settle(*(first.run(one, attempt()) for one in placements))
        assert all(isinstance(one, Outcome) for one in placed)
        racing = [
            process.run(issue(one.order_id), attempt())
            for one in placements
            for process in (second, third)
        ]
        outcomes = await settle(*racing)
        credited = await settle(
            *(
                process.run(correct(one.order_id), attempt())
                for one in placements[: count // 2]
                for process in (first, second)
            )
        )
    assert refusals(outcomes) == ["nothing_to_invoice"] * count
    assert refusals(credited) == ["nothing_to_credit"] * (count // 2)
    expected = [f"INV-2026-{number:06d}" for number in range(1, count + 1)]
    assert numbers(settings, "order.invoiced.v2") == expected
    assert taken(settings, "invoice") == list(range(1, count + 1))
    assert taken(settings, "credit_note") == list(range(1, count // 2 + 1))
    answered = sorted(o.body["paper_number"] for o in outcomes if isinstance(o, Outcome))
    assert answered == expected


async def test_two_processes_never_invoice_one_order_above_what_is_owed(settings: Settings) -> None:
    """covers: A68, R6: unit by unit from both sides, ten units in all."""
    placement = placing(quantity=10)
    line = [{"line_no": 1, "quantity": 1}]
    async with committer(settings) as first, committer(settings) as second:
        await first.run(placement, attempt())
        outcomes = await settle(
            *(
                process.run(issue(placement.order_id, lines=line), attempt())
                for _ in range(8)
                for process in (first, second)
            )
        )
    assert refusals(outcomes) == ["invoice_exceeds_line"] * 6
    issued = [o.body["paper_total_minor"] for o in outcomes if isinstance(o, Outcome)]
    assert issued == [8_800] * 10


# -- the tax provider ----------------------------------------------------------------------------


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with Store(settings).connect(autocommit=True) as one:
        yield one


async def run(settings: Settings, commands: Sequence[Command]) -> None:
    async with committer(settings) as one:
        for command in commands:
            await one.run(command, attempt())


def answer(directory: Path, fapiao_number: str) -> dict[str, Any]:
    """As the provider: take the one request there is, and answer it. Returns the request."""
    (file,) = (directory / "out").glob("*.json")
    request: dict[str, Any] = json.loads(file.read_text())
    said = {
        "request_id": request["request_id"],
        "fapiao_number": fapiao_number,
        "issue_date": "2026-03-02",
        "file": f"{fapiao_number}.pdf",
    }
    (directory / "in" / said["file"]).write_bytes(fapiao_number.encode())
    (directory / "in" / file.name).write_text(json.dumps(said))
    return request


async def test_a_fapiao_and_its_red_letter_come_from_the_provider(
    settings: Settings, tmp_path: Path, connection: Connection
) -> None:
    """covers: A68: in clear for the provider, sealed in the ledger, each once whatever happens."""
    placement = placing(quantity=2)
    order, fapiao_id = placement.order_id, str(uuid4())
    ids = {"order_id": order, "at": NOON}
    money = {"method": "alipay", "amount_minor": 17_600, "reference": "r", "payment_id": "P"}
    asked = {"fapiao_id": fapiao_id, "title": "杭州茶友有限公司", "tax_id": "91330100MA27ABC456"}
    await run(
        settings,
        [
            placement,
            RecordPayment.model_validate(ids | money),
            issue(order),
            RequestFapiao.model_validate(ids | asked | {"kind": "special"}),
        ],
    )
    exchange = Exchange(settings, DirectoryProvider(tmp_path), tmp_path / "position")
    assert exchange.turn(connection) == 1
    request = answer(tmp_path, "100")
    assert (request["title"], request["total_minor"]) == ("杭州茶友有限公司", 17_600)
    assert exchange.turn(connection) == 1
    assert exchange.turn(connection) == 0

    one = [{"line_no": 1, "quantity": 1}]
    back = {"refund_id": "R", "reason": "late", "lines": one, "actor": "desk"}
    paper = {"paper_id": str(uuid4()), "sellers": SELLERS, "reason": "refund", "refund_id": "R"}
    await run(
        settings,
        [
            RequestRefund.model_validate(ids | back),
            PayRefund.model_validate(ids | {"refund_id": "R", "reference": "x"}),
            IssueCreditNote.model_validate(ids | paper),
            ReverseFapiao.model_validate(ids | {"fapiao_id": fapiao_id}),
        ],
    )
    assert exchange.turn(connection) == 1
    request = answer(tmp_path, "101")
    assert (request["reverses"], request["total_minor"]) == ("100", 8_800)
    (tmp_path / "position").unlink()  # Lost: all is handed in and recorded again, and nothing new.
    assert exchange.turn(connection) == 2
    assert exchange.turn(connection) == 0
    query = "SELECT topic, state FROM ledger_event_json WHERE topic LIKE 'order.fapiao%%'"
    events = connection.execute(query + " ORDER BY position").fetchall()
    assert [topic for topic, _ in events] == [
        "order.fapiao_requested.v1",
        "order.fapiao_issued.v1",
        "order.fapiao_reversal_requested.v1",
        "order.fapiao_reversed.v1",
    ]
    assert "茶友" not in json.dumps([state for _, state in events], ensure_ascii=False)
    assert events[3][1]["fapiao_number"] == "101"
    digest = events[1][1]["file_digest"].removeprefix("sha256:")
    assert (tmp_path / "files" / digest).read_bytes() == b"100"
