"""What the customer is to be told: each fact once, whatever happens to those who follow it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from commands.settings import Settings
from domain.placement_commands import PlaceOrder
from projections import checkpoint, read_models
from tests.clock import Clock, order
from tests.given_money import pay
from tests.given_orders import publish
from tests.given_returns import (
    add_evidence,
    approve_refund,
    ask_evidence,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
)
from workers import messenger, up, upkeep
from workers.messenger import MessageQueue

BIG = {"sku": "POT", "name": "Pot", "category": "d", "quantity": 1, "unit_price_minor": 400_000}
MESSAGES = """SELECT state->>'kind', state->>'about' FROM ledger_event_json
WHERE topic = 'message.queued.v1' ORDER BY position"""


class Desk(Clock):
    """A ledger with a messenger that follows it when told to."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.queue = MessageQueue(settings)
        self.position = 0

    def tell(self, limit: int = 10_000) -> list[tuple[str, str | None]]:
        """All messages that are queued when it has come to the head."""
        with self.connection.transaction():
            self.connection.execute(checkpoint.START, [messenger.NAME, messenger.VERSION])
        position = self.queue.position(self.connection)
        while batch := self.store.feed(self.connection, position, limit):
            position = self.queue.apply(self.connection, batch, position)
        return self.connection.execute(MESSAGES).fetchall()

    def forget(self) -> None:
        self.connection.execute("DELETE FROM checkpoint WHERE name = %s", [messenger.NAME])


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    one = Desk(settings)
    yield one
    one.close()


def bought(desk: Desk, *payments: tuple[str, int], **more: Any) -> PlaceOrder:
    placed: PlaceOrder = order(datetime.now(UTC), BIG, **more)
    desk.run(placed)
    for method, amount in payments or [("alipay", 400_000)]:
        desk.run(pay(amount, str(uuid4()), placed.order_id, method=method))
    return placed


def steps(placed: PlaceOrder, name: str) -> list[Any]:
    """Every transition that a refund knows."""
    now = datetime.now(UTC)
    of: Any = {"refund_id": name, "order_id": placed.order_id, "at": now}
    return [
        refund(300_000, **of),
        ask_evidence(**of),
        add_evidence("a" * 64, **of),
        approve_refund(**of),
        pay_refund(**of),
        fail_refund(**of),
        retry_refund(**of),
        pay_refund(**of),
        fail_refund(**of),
        deny_refund(**of),
    ]


TOLD = [
    "refund_requested",
    "refund_evidence_asked",
    "refund_evidence_received",
    "refund_approved",
    "refund_paid",
    "refund_failed",
    "refund_retried",
    "refund_paid",
    "refund_failed",
    "refund_denied",
]


def test_each_step_of_a_refund_is_one_message(desk: Desk) -> None:
    """covers: A8"""
    placed = bought(desk)
    desk.run(*steps(placed, "R-1"))
    assert desk.tell() == [(kind, "R-1") for kind in TOLD]
    state = desk.connection.execute(
        "SELECT state FROM ledger_event_json WHERE topic = 'message.queued.v1' LIMIT 1"
    ).fetchone()
    assert state is not None
    assert state[0]["order_id"] == placed.order_id
    assert (state[0]["language"], state[0]["ways"]) == ("zh", ["mail", "sms", "webhook"])


def test_a_repeated_command_is_no_second_message(desk: Desk) -> None:
    placed = bought(desk)
    twice = [command for step in steps(placed, "R-1")[:5] for command in (step, step)]
    desk.run(*twice)
    assert len(desk.tell()) == 5


def test_a_rebuild_of_read_models_queues_none(desk: Desk) -> None:
    """covers: A8: nor a messenger that has lost its place, in batches of whatever size"""
    placed = bought(desk)
    desk.run(*steps(placed, "R-1"))
    told = desk.tell()
    read_models.prepare(desk.connection, desk.settings.read_schema)
    for name in ("order_status", "customer_history", "deadlines"):
        [_] = upkeep.rebuild(desk.settings, name, compare=False)
    assert desk.tell() == told
    for limit in (1, 3, 1000):
        desk.forget()
        assert desk.tell(limit) == told


def test_what_goes_back_in_two_ways_is_told_once(desk: Desk) -> None:
    placed = bought(desk, ("alipay", 100_000), ("credit_card", 300_000))
    of: Any = {"refund_id": "R-1", "order_id": placed.order_id, "at": datetime.now(UTC)}
    desk.run(refund(400_000, **of), approve_refund(**of), pay_refund(**of))
    assert desk.count("order.refund_paid.v1") == 2
    assert [kind for kind, _ in desk.tell()] == [
        "refund_requested",
        "refund_approved",
        "refund_paid",
    ]


def test_reminders_and_delays_are_told_in_the_words_of_the_policy(desk: Desk) -> None:
    """covers: A23"""
    now = datetime.now(UTC)
    rules: Any = {"shop": {"language": "en"}, "messages": {"ways": ["sms"]}}
    desk.run(publish(now, **rules), order(now))
    desk.reach(now + timedelta(hours=48))
    desk.reach(now + timedelta(hours=73))
    assert desk.tell() == [("payment_due", None), ("payment_due", None), ("overdue", None)]
    ways = desk.connection.execute(
        "SELECT DISTINCT state->>'language', state->>'ways' FROM ledger_event_json"
        " WHERE topic = 'message.queued.v1'"
    ).fetchall()
    assert ways == [("en", '["sms"]')]


def test_an_imported_order_is_told_nothing(desk: Desk) -> None:
    placed = order(datetime.now(UTC), BIG)
    desk.run(placed, origin="import")
    desk.run(pay(400_000, "P", placed.order_id))
    desk.run(*steps(placed, "R-1"))
    assert desk.tell() == []


def test_what_is_long_ago_is_no_news(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old ledger meets the messenger for the first time."""
    desk.run(*steps(bought(desk), "R-1"))
    monkeypatch.setattr(messenger, "TOLD_DAYS_MAX", 0)
    assert desk.tell() == []


def test_one_broken_order_keeps_no_other_from_being_told(desk: Desk) -> None:
    fine, broken = bought(desk), bought(desk)
    desk.run(*steps(broken, "R-1"), *steps(fine, "R-2"))
    desk.spoil(broken.order_id)
    fresh = Desk(desk.settings)
    assert fresh.tell() == [(kind, "R-2") for kind in TOLD]
    parked = fresh.connection.execute("SELECT count(*) FROM parked").fetchone()
    assert parked == (len(TOLD),)
    fresh.close()


def test_what_was_set_aside_is_queued_once_it_is_released(desk: Desk) -> None:
    broken = bought(desk)
    desk.run(*steps(broken, "R-1"))
    read = "SELECT convert_from(state, 'UTF8') FROM ledger_event WHERE key = %s AND version = 2"
    (whole,) = desk.connection.execute(read, [broken.order_id]).fetchone() or ("",)
    desk.spoil(broken.order_id)
    fresh = Desk(desk.settings)
    assert fresh.tell() == []
    keys = [one["key"] for one in upkeep.parked(desk.settings)]
    with pytest.raises(upkeep.NotReleased, match="still fails"):
        upkeep.release(desk.settings, "messages", keys[0])
    desk.spoil(broken.order_id, whole)
    for key in keys:
        upkeep.release(desk.settings, "messages", key)
    assert upkeep.parked(desk.settings) == []
    with pytest.raises(upkeep.NotReleased, match="is not parked"):
        upkeep.release(desk.settings, "messages", keys[0])
    queued = fresh.connection.execute(
        "SELECT count(*) FROM ledger_event WHERE topic = 'message.queued.v1'"
    ).fetchone()
    assert queued == (len(keys),)
    fresh.close()


def test_a_policy_that_another_process_published_is_read_when_an_order_names_it(
    desk: Desk,
) -> None:
    """The messenger holds the policy from before."""
    desk.run(*steps(bought(desk), "R-1"))
    assert desk.tell() == [(kind, "R-1") for kind in TOLD]
    other = Desk(desk.settings)
    other.run(publish(at=datetime.now(UTC), cancellation={"free_hours": 36}))
    other.run(*steps(bought(other), "R-2"))
    assert desk.tell() == [(kind, name) for name in ("R-1", "R-2") for kind in TOLD]
    assert upkeep.parked(desk.settings) == []
    other.close()


def test_a_read_model_of_another_version_is_folded_anew_at_the_start(desk: Desk) -> None:
    """The program was replaced by a newer one while its data stayed."""
    bought(desk)
    read_models.prepare(desk.connection, desk.settings.read_schema)
    assert upkeep.outdated(desk.settings) == []
    older = "UPDATE checkpoint SET version = version - 1 WHERE name = 'order_status'"
    desk.connection.execute(older)
    assert upkeep.outdated(desk.settings) == ["order_status"]
    up.fold_anew(desk.settings)
    assert upkeep.outdated(desk.settings) == []
