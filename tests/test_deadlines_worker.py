"""The worker of deadlines on a real ledger: days off, two at once, races, killed, broken orders."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from commands.planning import Outcome
from commands.settings import Settings
from projections import deadlines as model
from tests.carrier import wait_until
from tests.clock import DAY, Clock, order
from tests.given import NOON, hours
from tests.given_money import gift, money, pay
from tests.given_orders import publish, receive, register
from tests.given_returns import refund
from tests.scale import scale
from tests.servers import MASTER_KEY
from workers import deadlines, messenger, upkeep
from workers.upkeep import NotReleased

OVERDUE = "order.payment_overdue.v1"
CANCELLED = "order.cancelled.v2"
REMINDED = "order.payment_reminded.v1"
LATE = hours(72) + timedelta(microseconds=1)


@pytest.fixture
def clock(settings: Settings) -> Iterator[Clock]:
    one = Clock(settings)
    yield one
    one.close()


def paying(placed: Any, amount: int = 10_000, **more: Any) -> Any:
    return pay(amount, str(uuid4()), placed.order_id, **more)


def kinds(clock: Clock, placed: Any) -> list[str]:
    return [row.deadline.kind for row in clock.due() if row.stream.key == placed.order_id]


def test_an_unpaid_order_is_reminded_of_twice_and_cancelled_at_the_instant(clock: Clock) -> None:
    """covers: A21, A23"""
    clock.run(receive(10), order())
    for at, reminded, cancelled in (
        (hours(47), 0, 0),
        (hours(48), 1, 0),
        (hours(60), 1, 0),
        (hours(72), 2, 0),
        (LATE, 2, 1),
        (hours(99), 2, 1),
    ):
        clock.reach(at)
        assert (clock.count(REMINDED), clock.count(CANCELLED)) == (reminded, cancelled), at
    assert clock.count("stock_item.reservation_released.v1") == 1
    assert clock.due() == []


def test_a_payment_ends_all_that_was_to_come(clock: Clock) -> None:
    """covers: A23"""
    placed = order()
    clock.run(placed)
    clock.follow()
    assert len(clock.due()) == 4
    clock.run(paying(placed))
    clock.follow()
    assert clock.due() == []


def test_a_row_that_is_stale_does_nothing(clock: Clock) -> None:
    """The payment is in the ledger, and the rows do not know it yet."""
    placed = order()
    clock.run(placed)
    clock.follow()
    clock.run(paying(placed))
    assert clock.clerk.turn(clock.connection, hours(1000)) == 4
    assert clock.count(REMINDED) + clock.count(OVERDUE) + clock.count(CANCELLED) == 0
    refused = clock.connection.execute("SELECT count(*) FROM ledger_audit").fetchone()
    assert refused == (0,)


def test_days_off_are_caught_up_in_the_order_of_the_due_times(clock: Clock) -> None:
    """A worker that comes back after ten days: 150 orders, a late fee, a gift, a refund."""
    placed = [order(NOON + timedelta(hours=i)) for i in range(150)]
    clock.run(register(), gift(500, "G1", 2), *placed, *map(paying, placed[::3]))
    clock.run(refund(500, refund_id=str(uuid4()), order_id=placed[0].order_id))
    clock.reach(NOON + 20 * DAY)
    assert clock.count(CANCELLED) == clock.count(OVERDUE) == 100
    assert clock.count(REMINDED) == 100  # One each: the step that came last.
    assert clock.count("account.gift_expired.v1") == clock.count("order.alert_raised.v1") == 1
    assert clock.due() == []
    rows = clock.connection.execute(
        "SELECT key FROM ledger_event WHERE topic = %s ORDER BY position", [CANCELLED]
    ).fetchall()
    unpaid = [one.order_id for i, one in enumerate(placed) if i % 3]
    assert [key for (key,) in rows] == unpaid


def test_a_late_fee_grows_day_by_day_also_after_days_off(clock: Clock) -> None:
    """covers: A22: day by day or all at once, it comes to the same"""
    rules = {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.7"}
    daily, later = order(), order()
    clock.run(publish(payment=rules), daily)
    for day in range(10):
        clock.reach(NOON + day * DAY)
    assert clock.count("order.late_fee_charged.v1") == 5
    clock.run(later)
    clock.reach(NOON + 9 * DAY + timedelta(hours=1))
    assert clock.count("order.late_fee_charged.v1") == 6
    fees = clock.connection.execute(
        "SELECT key, sum((state->>'amount_minor')::int) FROM ledger_event_json"
        " WHERE topic = 'order.late_fee_charged.v1' GROUP BY key"
    ).fetchall()
    assert {key: int(fee) for key, fee in fees} == {daily.order_id: 350, later.order_id: 350}


AGAIN = """UPDATE deadlines SET next_at = due_at
WHERE ctid = ANY(ARRAY(SELECT ctid FROM deadlines FOR UPDATE SKIP LOCKED))"""


def test_two_workers_at_once_come_to_the_same(clock: Clock, settings: Settings) -> None:
    """covers: A21: each fact once, whoever was first"""
    placed = [order() for _ in range(scale(400, 120))]
    clock.run(receive(1000), *placed)
    clock.follow()
    workers = [Clock(settings) for _ in range(4)]

    def work(one: Clock) -> None:
        for _ in range(12):
            one.clerk.turn(one.connection, LATE)
            # Rows that another one has taken come again at once, so that all fall over each other.
            one.connection.execute(AGAIN)

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(work, workers))
    for one in workers:
        one.close()
    clock.reach(LATE)
    n = len(placed)
    assert (clock.count(REMINDED), clock.count(OVERDUE), clock.count(CANCELLED)) == (n, n, n)
    assert clock.count("stock_item.reservation_released.v1") == n


def test_a_payment_at_the_very_instant_wins_or_loses(clock: Clock, settings: Settings) -> None:
    """covers: A21: paid and alive with its stock, or cancelled with a refund due; never both"""
    placed = [order() for _ in range(scale(150, 50))]
    clock.run(receive(1000), *placed)
    clock.follow()
    other = Clock(settings)
    day = (NOON + 4 * DAY).date()

    def pay_all() -> list[Any]:
        return other.run(*(paying(one, at=hours(96), value_date=day) for one in reversed(placed)))

    with ThreadPoolExecutor(1) as pool:
        paid = pool.submit(pay_all)
        clock.reach(hours(96))
        outcomes = paid.result()
    other.close()
    clock.reach(hours(96))
    assert all(isinstance(one, Outcome) for one in outcomes)
    alive = sum(one.body["status"] == "paid" for one in outcomes)
    due = sum(one.body["outcome"] == "refund_due" for one in outcomes)
    assert alive + due == len(placed)
    assert clock.count(CANCELLED) == due
    stock = clock.connection.execute(
        "SELECT coalesce(sum((state->>'quantity')::int), 0) FROM ledger_event_json"
        " WHERE topic = 'stock_item.reservation_released.v1'"
    ).fetchone()
    assert stock == (2 * due,)


def test_an_imported_order_is_left_alone(clock: Clock) -> None:
    placed = order()
    clock.run(placed, origin="import")
    clock.run(paying(placed, 100))
    clock.follow()
    assert clock.due() == []
    clock.reach(hours(1000))
    assert clock.count(OVERDUE) == 0


def test_what_comes_to_be_owed_again_is_overdue_again(clock: Clock) -> None:
    """The same due time a second time: its command is another one."""
    from domain.payment_commands import VoidPayment

    placed, payment = order(payment_method="on_account"), str(uuid4())
    body: Any = {"payment_id": payment, "reason": "bounced"}
    clock.run(register(), *limits(), placed)
    clock.reach(hours(99))
    assert clock.count(OVERDUE) == 1
    clock.run(pay(10_000, payment, placed.order_id), money(VoidPayment, placed.order_id, **body))
    clock.reach(hours(99))
    assert clock.count(OVERDUE) == 2


def limits() -> list[Any]:
    from tests.given_money import limit

    return [limit(1_000_000)]


def test_one_broken_order_stops_no_other(clock: Clock) -> None:
    """Its stream cannot be read: it is set aside, and looked at again when it is released."""
    broken, fine = order(), order()
    clock.run(broken, fine)
    clock.follow()
    clock.spoil(broken.order_id)
    clock.connection.execute("UPDATE checkpoint SET position = 0 WHERE name = 'deadlines'")
    fresh = Clock(clock.settings)
    fresh.reach(LATE)
    assert fresh.count(CANCELLED) == 1
    parked = fresh.connection.execute("SELECT projection, key FROM parked").fetchall()
    assert parked == [("deadlines", f"order/{broken.order_id}")]
    failing = model.backlog(fresh.connection, LATE)
    assert failing.failing == failing.due > 0
    assert failing.late_seconds > 0
    key = f"order/{broken.order_id}"
    with pytest.raises(NotReleased, match="still fails"):
        upkeep.release(clock.settings, "deadlines", key)
    with pytest.raises(NotReleased, match="not parked"):
        upkeep.release(clock.settings, "deadlines", f"order/{fine.order_id}")
    fresh.spoil(broken.order_id, '{"at": "2025-03-01T12:00:00Z", "by": "policy"}')
    upkeep.release(clock.settings, "deadlines", key)
    assert fresh.connection.execute("SELECT count(*) FROM parked").fetchone() == (0,)
    fresh.reach(LATE + DAY)
    assert fresh.count(CANCELLED) == 2
    fresh.close()


def test_a_rebuild_puts_right_what_differs(clock: Clock, settings: Settings) -> None:
    placed = order()
    clock.run(placed, order())
    clock.follow()
    live = clock.due()
    clock.connection.execute(
        "UPDATE deadlines SET due_at = due_at + '1 h' WHERE key = %s AND kind = 'cancel_overdue'",
        [placed.order_id],
    )
    [found] = upkeep.rebuild(settings, "deadlines", compare=True)
    assert (found.differing, found.examples, found.swapped) == (2, (placed.order_id,), False)
    assert clock.due() != live
    [found] = upkeep.rebuild(settings, "deadlines", compare=False)
    assert (found.rows, found.swapped) == (8, True)
    assert clock.due() == live


def test_the_worker_lives_by_the_real_clock(clock: Clock, settings: Settings) -> None:
    """Rows, acts and messages, each in its thread, until they are told to stop."""
    late = datetime.now(UTC) - 4 * DAY
    clock.run(order(late), order(datetime.now(UTC)))
    stop = threading.Event()
    threads = [
        threading.Thread(target=one.run, args=(settings, stop)) for one in (deadlines, messenger)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: clock.count("message.queued.v1") == 2, 30)
    wait_until(lambda: REGISTRY.get_sample_value("ledger_deadlines_due") == 0, 30)
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert clock.count(CANCELLED) == 1
    assert (
        REGISTRY.get_sample_value("ledger_projection_lag_events", {"projection": "deadlines"})
        is not None
    )


def test_what_cannot_be_done_is_tried_again_later_each_time(clock: Clock) -> None:
    placed = order()
    clock.run(placed)
    clock.follow()
    clock.run(paying(placed))  # And the rows are never told.
    looked = [t for t in range(600) if clock.clerk.turn(clock.connection, LATE + t * SECOND)]
    assert looked == [0, 5, 15, 35, 75, 155, 315]


SECOND = timedelta(seconds=1)


def test_rows_found_out_anew_are_the_same(clock: Clock) -> None:
    """R3 rebuild_equals_live: in one batch, or event by event"""
    placed = [order(NOON + timedelta(hours=i)) for i in range(30)]
    clock.run(register(), gift(500, "G1", 2), *placed)
    clock.follow()
    clock.run(*map(paying, placed[::2]))
    for batch in clock.store.feed(clock.connection, clock.rows.position(clock.connection)):
        clock.rows.apply(clock.connection, [batch], batch.position - 1)
    live = clock.due()
    clock.connection.execute("TRUNCATE deadlines")
    clock.connection.execute("UPDATE checkpoint SET position = 0 WHERE name = 'deadlines'")
    clock.follow()
    assert clock.due() == live
    assert len(live) == 15 * 4 + 1


# -- killed --------------------------------------------------------------------------------------

WORK = """
import sys
from datetime import datetime
from commands.settings import Settings
from tests.clock import Clock
from workers import deadlines
deadlines.ROWS_MAX = 8  # so that there is much to be killed in
clock = Clock(Settings.model_validate_json(sys.argv[1]))
now = datetime.fromisoformat(sys.argv[2])
print("begun", flush=True)
while True:
    clock.connection.execute("UPDATE deadlines SET next_at = due_at")
    clock.reach(now)
"""


def test_a_worker_killed_at_any_moment_has_done_each_thing_once_or_not_at_all(
    clock: Clock, settings: Settings
) -> None:
    """covers: L2: kill -9 of a real process; whoever comes next goes on"""
    placed = [order() for _ in range(scale(2_000, 120))]
    clock.run(receive(10_000), *placed)
    chance = random.Random(7)
    kills = 0
    while clock.count(CANCELLED) < len(placed):
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, _json(settings), LATE.isoformat()],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(chance.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
    clock.connection.execute("UPDATE deadlines SET next_at = due_at")
    clock.reach(LATE)
    n = len(placed)
    assert kills > 1
    assert (clock.count(REMINDED), clock.count(OVERDUE), clock.count(CANCELLED)) == (n, n, n)
    assert clock.count("stock_item.reservation_released.v1") == n


def _json(settings: Settings) -> str:
    return json.dumps({"postgres_url": settings.postgres_url, "master_key": MASTER_KEY})
