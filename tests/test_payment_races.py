"""Money under a crowd: through two committers, each with its own cache, sums come out exact."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from commands.planning import Outcome
from commands.settings import Settings
from commands.store import Store
from domain.message import Command
from domain.payment_commands import (
    AuthorisePayment,
    CancelOverdue,
    CapturePayment,
    MovePayment,
    OpenChargeback,
    RecordPayment,
    VoidPayment,
)
from domain.payment_facts import PaymentMovedIn, PaymentMovedOut
from domain.placement_commands import PlaceOrder
from domain.refund_commands import RequestRefund
from tests.scale import scale
from tests.test_committer import NOON, attempt, committer, placing, receiving, refusals, settle

pytestmark = pytest.mark.anyio

TOTAL = 8_800


def money(kind: type[Command], order: PlaceOrder, **more: Any) -> Command:
    return kind.model_validate({"order_id": order.order_id, "at": NOON} | more)


def paying(order: PlaceOrder, amount: int, name: str, **more: Any) -> Command:
    body = {"method": "alipay", "amount_minor": amount, "reference": name, "payment_id": name}
    return money(RecordPayment, order, **(body | more))


def summed(settings: Settings, topic: str) -> tuple[int, int]:
    """How many facts there are, and what they add up to."""
    with Store(settings).connect() as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(sum((state->>'amount_minor')::bigint), 0)"
            " FROM ledger_event_json WHERE topic = %s",
            [topic],
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


async def crowd(settings: Settings, before: list[Command], commands: list[Command]) -> list[Any]:
    """What comes of `commands`, all at once through two committers."""
    async with committer(settings) as a, committer(settings) as b:
        for command in before:
            await a.run(command, attempt())
        return await settle(
            *((a, b)[i % 2].run(command, attempt()) for i, command in enumerate(commands))
        )


async def test_a_hundred_captures_never_pass_what_was_held(settings: Settings) -> None:
    """covers: A62, R6 guards_hold_under_concurrency"""
    order = placing()
    held = money(
        AuthorisePayment,
        order,
        payment_id="H",
        method="credit_card",
        amount_minor=TOTAL,
        reference="H",
    )
    parts = [
        money(CapturePayment, order, authorisation_id="H", payment_id=f"P-{i}", amount_minor=2_000)
        for i in range(100)
    ]
    outcomes = await crowd(settings, [order, held], parts)
    assert sum(isinstance(one, Outcome) for one in outcomes) == 4
    assert refusals(outcomes) == ["capture_exceeds_authorised"] * 96
    assert summed(settings, "order.payment_captured.v2") == (4, 8_000)


async def test_a_hundred_refunds_never_pass_what_was_captured(settings: Settings) -> None:
    """covers: A62, R19 refunds_never_exceed_capture, R6"""
    order = placing()
    refunds = [
        money(
            RequestRefund,
            order,
            refund_id=f"R-{i}",
            reason="late",
            actor="desk",
            amount_minor=500,
            evidence=[],
        )
        for i in range(100)
    ]
    outcomes = await crowd(settings, [order, paying(order, TOTAL, "P")], refunds)
    assert sum(isinstance(one, Outcome) for one in outcomes) == TOTAL // 500
    assert refusals(outcomes) == ["refund_exceeds_paid"] * (100 - TOTAL // 500)
    assert summed(settings, "order.refund_requested.v2") == (17, 8_500)


async def test_a_payment_is_voided_moved_refunded_or_disputed_but_spent_once(
    settings: Settings,
) -> None:
    """100 at once want the one payment as a whole: one of them gets it. covers: A62, R6"""
    order, other = placing(), placing()
    wanted: list[Command] = []
    for i in range(25):
        wanted += [
            money(VoidPayment, order, payment_id="P", reason="r"),
            money(
                MovePayment,
                order,
                payment_id="P",
                to_order_id=other.order_id,
                to_payment_id=f"M-{i}",
                reason="r",
            ),
            money(
                RequestRefund,
                order,
                refund_id=f"R-{i}",
                reason="late",
                actor="desk",
                amount_minor=TOTAL,
            ),
            money(
                OpenChargeback,
                order,
                payment_id="P",
                chargeback_id=f"C-{i}",
                reference="c",
                code="f",
            ),
        ]
    before = [order, other, paying(order, TOTAL, "P")]
    await crowd(settings, before, wanted)
    taken = {
        topic: summed(settings, topic)
        for topic in (
            "order.payment_voided.v1",
            "order.payment_moved_out.v1",
            "order.refund_requested.v2",
        )
    }
    disputed = summed(settings, "order.chargeback_opened.v2")
    assert sum(count for count, _ in taken.values()) <= 1
    # Only a bank may take back what was refunded as well.
    assert disputed[0] <= 1
    assert sum(count for count, _ in taken.values()) + disputed[0] >= 1
    if taken["order.payment_voided.v1"][0] or taken["order.payment_moved_out.v1"][0]:
        assert disputed == (0, 0)
    assert summed(settings, "order.payment_moved_in.v2") == taken["order.payment_moved_out.v1"]


async def test_money_moved_to_and_fro_by_a_crowd_is_neither_made_nor_lost(
    settings: Settings,
) -> None:
    """covers: A24, A62: both streams in one append, in either direction at once."""
    one, other = placing(), placing()
    moves = []
    for i in range(scale(200, 60)):
        source, target, name = (one, other, "P") if i % 2 else (other, one, "Q")
        ids = {"payment_id": name, "to_order_id": target.order_id, "to_payment_id": f"M-{i}"}
        moves.append(money(MovePayment, source, **ids, amount_minor=500, reason="r"))
    before = [one, other, paying(one, TOTAL, "P"), paying(other, TOTAL, "Q")]
    outcomes = await crowd(settings, before, moves)
    each = min(len(moves) // 2, TOTAL // 500)
    assert sum(isinstance(outcome, Outcome) for outcome in outcomes) == 2 * each
    kinds = (PaymentMovedOut, PaymentMovedIn)
    out, into = (summed(settings, kind.TOPIC) for kind in kinds)
    assert out == into == (2 * each, 2 * each * 500)


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_payment_at_the_instant_of_the_cancellation_wins_or_loses(
    settings: Settings, in_time: bool
) -> None:
    """covers: A21: alive and paid, its stock promised, or cancelled, a refund due: never both."""
    orders = [placing(quantity=1) for _ in range(scale(100, 30))]
    late = NOON + timedelta(days=4)
    day = (NOON + timedelta(days=1 if in_time else 4)).date()
    commands = [
        command
        for order in orders
        for command in (
            paying(order, TOTAL, uuid4().hex, at=late, value_date=day),
            money(CancelOverdue, order, at=late),
        )
    ]
    before: list[Command] = [receiving(quantity=len(orders)), *orders]
    outcomes = await crowd(settings, before, commands)
    answers = [one.body for one in outcomes[::2]]
    alive = [one for one in answers if one["status"] == "paid"]
    due = [one for one in answers if one["outcome"] == "refund_due"]
    assert len(alive) + len(due) == len(orders)
    assert {one["credit_minor"] for one in due} <= {TOTAL}
    if in_time:
        assert not due
    cancelled, _ = summed(settings, "order.cancelled.v2")
    reinstated, _ = summed(settings, "order.reinstated.v1")
    assert cancelled - reinstated == len(due)
    reserved, released = (
        quantities(settings, topic)
        for topic in ("stock_item.reserved.v1", "stock_item.reservation_released.v1")
    )
    assert reserved - released == len(alive)


def quantities(settings: Settings, topic: str) -> int:
    with Store(settings).connect() as connection:
        row = connection.execute(
            "SELECT coalesce(sum((state->>'quantity')::int), 0) FROM ledger_event_json"
            " WHERE topic = %s",
            [topic],
        ).fetchone()
    assert row is not None
    return int(row[0])
