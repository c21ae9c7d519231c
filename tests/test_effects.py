"""What leaves the house follows from facts: never from a row that lags, never from a rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from commands.settings import Settings
from projections import read_models
from tests.api_server import Api, following, rows, serving
from tests.carrier import wait_until
from tests.clock import order
from tests.given_money import pay
from tests.papers import credit, fapiao, issue
from tests.test_messenger import BIG, Desk, bought, steps
from workers import upkeep
from workers.fapiao import Exchange
from workers.fapiao_files import DirectoryProvider
from workers.upkeep import NAMES

Json = dict[str, Any]
STORED = """SELECT position, stream_id, category, key, version, topic, occurred_at, recorded_at,
    actor, origin, command_id, correlation_id, causation_id, convert_from(state, 'UTF8')
FROM ledger_event ORDER BY position"""
NAMED = (
    *("position", "stream_id", "category", "key", "version", "topic", "occurred_at"),
    *("recorded_at", "actor", "origin", "command_id", "correlation_id", "causation_id"),
)
SEALED = {"sealed", "person", "key", "context"}


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    one = Desk(settings)
    yield one
    one.close()


def stored(settings: Settings) -> list[bytes]:
    """The ledger's events as they are to be delivered: all that was recorded, personal fields
    masked.
    """
    found = []
    for *columns, state in rows(settings, STORED):
        data = {
            name: {"masked": True} if isinstance(value, dict) and value.keys() == SEALED else value
            for name, value in orjson.loads(state).items()
        }
        found.append(orjson.dumps(dict(zip(NAMED, columns, strict=True)) | {"data": data}))
    return found


def paged(api: Api) -> list[Json]:
    """All events of the feed, two at a time."""
    found: list[Json] = []
    while True:
        page = api.shown("/v1/feed", after=len(found), limit=2)
        found += page["events"]
        if len(found) == page["head"]:
            return found


def streamed(api: Api, count: int) -> list[bytes]:
    """So many events of the feed as server-sent events."""
    found: list[bytes] = []
    headers = {"Accept": "text/event-stream"}
    with api.client.stream("GET", "/v1/feed", headers=headers) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(line.removeprefix("data: ").encode())
                if len(found) == count:
                    return found
    raise AssertionError("the stream ended early")


def changed(api: Api, placed: Json) -> None:
    """A line more, another quantity, paid in full, a refund asked for."""
    at = f"/v1/orders/{placed['order_id']}"
    new = {"sku": "POT", "name": "Pot", "category": "ware", "quantity": 1, "unit_price": "50.00"}
    lines = [{"line_no": 1, "quantity": 3}, new]
    total = api.made(f"{at}/amend", {"lines": lines, "reason": "One more, and a pot."})
    owed = {"method": "alipay", "amount_minor": total["total_minor"], "reference": "P-1"}
    api.made(f"{at}/payments", owed)
    api.made(f"{at}/refunds", {"reason": "late", "amount_minor": 100})


def test_payload_is_the_event(settings: Settings, tmp_path: Path) -> None:
    """covers: R17, A74: the projector has stopped, and what is delivered is whole all the same."""
    with serving(settings, tmp_path) as (api,):
        with following(settings):
            placed = api.place()
            seen = partial(api.get, "/v1/orders", min_position=placed["position"])
            wait_until(lambda: seen().is_success)
        changed(api, placed)
        (row,) = api.shown("/v1/orders", q=placed["number"])["items"]
        assert (row["total_minor"], row["payment"]) == (21_000, "unpaid")  # It lags.
        facts = stored(settings)
        pages = paged(api)
        assert [orjson.dumps(one) for one in pages] == facts
        assert streamed(api, len(facts)) == facts
    of = {one["topic"].rsplit(".", 1)[0]: one["data"] for one in pages}
    assert [line["sku"] for line in of["order.placed"]["lines"]] == ["TEA-LONGJING", "CUP-WHITE"]
    after = {line["line_no"]: line["sku"] for line in of["order.lines_amended"]["after"]}
    assert after == {1: "TEA-LONGJING", 3: "POT"}
    facts_of = {one["position"]: one for one in pages}
    for message in queued(settings):
        fact = facts_of[message["position"]]
        assert fact["topic"].rsplit(".", 1)[0] == f"order.{message['kind']}"
        assert message["about"] == fact["data"]["refund_id"]
        assert (message["order_id"], message["customer_id"]) == (placed["order_id"], "C-1001")


def queued(settings: Settings) -> list[Json]:
    """What a messenger tells of the ledger: of the refund, that it was asked for and approved."""
    desk = Desk(settings)
    try:
        assert [kind for kind, _ in desk.tell()] == ["refund_requested", "refund_approved"]
    finally:
        desk.close()
    read = "SELECT convert_from(state, 'UTF8') FROM ledger_event WHERE topic = %s"
    return [orjson.loads(state) for (state,) in rows(settings, read, "message.queued.v1")]


# -- a rebuild -------------------------------------------------------------------------------------


def numbers(desk: Desk) -> list[tuple[Any, ...]]:
    """Every number that was taken for a paper, and by whom it is claimed."""
    claims = "SELECT kind, key, owner FROM ledger_claim ORDER BY kind, key"
    taken = """SELECT key, state->>'number' FROM ledger_event_json
    WHERE topic LIKE 'invoice_series.%' ORDER BY position"""
    return [*desk.connection.execute(taken).fetchall(), *desk.connection.execute(claims).fetchall()]


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    """What lies ready for the tax provider, and when it was written."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(directory.rglob("*.json"))
    }


def replayed(desk: Desk, exchange: Exchange, place: Path) -> None:
    """Everyone who acts on facts begins at the first one again."""
    desk.forget()
    desk.connection.execute("TRUNCATE deadlines")
    desk.connection.execute("UPDATE checkpoint SET position = 0 WHERE name = 'deadlines'")
    place.unlink()
    exchange.turn(desk.connection)


def test_rebuild_sends_nothing(desk: Desk, tmp_path: Path) -> None:
    """covers: R26, L17, A8: every read model is folded again and every fact followed again."""
    now = datetime.now(UTC)
    of: Any = {"at": now}
    placed, unpaid = bought(desk), order(now, BIG)
    desk.run(unpaid, issue(order_id=placed.order_id, **of), fapiao(order_id=placed.order_id, **of))
    desk.run(*steps(placed, "R-1"))
    desk.run(pay(100, "again", placed.order_id, at=now))
    desk.run(credit(order_id=placed.order_id, reason="wrong_address", correction=True, **of))
    place = tmp_path / "position"
    exchange = Exchange(desk.settings, DirectoryProvider(tmp_path / "fapiao"), place)
    assert exchange.turn(desk.connection) == 1
    late = now + timedelta(hours=73)
    desk.reach(late)
    told = desk.tell()
    assert {"refund_paid", "payment_due", "overdue"} <= {kind for kind, _ in told}
    assert len([one for one in numbers(desk) if one[0].startswith("main")]) == 2
    read_models.prepare(desk.connection, desk.settings.read_schema)
    before = stored(desk.settings), numbers(desk), files(tmp_path)
    assert list(before[2])

    rebuilt = [one.name for one in upkeep.rebuild(desk.settings, "all", compare=False)]
    assert rebuilt == [*NAMES]
    replayed(desk, exchange, place)
    desk.reach(late)
    assert desk.tell() == told
    assert (stored(desk.settings), numbers(desk), files(tmp_path)) == before
