"""What a cancellation costs: free for a day, then a share of the goods, by the order's policy."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from domain.desk_names import order_stream
from domain.invoice_amounts import charges
from domain.order_facts import OrderCancelled
from domain.policy import PublishPolicy
from domain.policy_rules import CancellationRules, PolicyRules
from tests.given import NOON, REFUNDED, Given, World, after, given
from tests.given_money import pay
from tests.given_orders import cancel, dispatch, line, pack, place
from tests.given_returns import refund

SECOND = timedelta(seconds=1)
FREE_UNTIL = NOON + timedelta(hours=24)


def publish(at: datetime = NOON, **cancellation: Any) -> PublishPolicy:
    rules = PolicyRules(cancellation=CancellationRules(**cancellation))
    return PublishPolicy.model_validate({"shop": "main", "rules": rules, "at": at, "days": DAYS})


DAYS = {"covered_until": "2026-12-31"}


def cancelled(world: World) -> OrderCancelled:
    event = world.events[order_stream("A")][-1]
    assert isinstance(event, OrderCancelled)
    return event


def paid(amount_minor: int = 10_000) -> Given:
    """Two units at 50.00."""
    return after(place(), pay(amount_minor))


@pytest.mark.parametrize(
    ("at", "fee"),
    [
        (FREE_UNTIL - SECOND, 0),
        (FREE_UNTIL, 0),
        (FREE_UNTIL + timedelta(microseconds=1), 1_000),
        (FREE_UNTIL + SECOND, 1_000),
    ],
)
def test_cancelling_is_free_for_a_day_and_then_costs_a_tenth(at: datetime, fee: int) -> None:
    """covers: A5"""
    event = cancelled(paid().when(cancel(at=at)).world)
    assert (event.fee_minor, event.refund_due_minor) == (fee, 10_000 - fee)
    assert event.total_minor == fee


def test_the_fee_is_from_the_policy_that_the_order_was_placed_under() -> None:
    """covers: A5, A3: an order placed before a change is decided by the old rules."""
    earlier = after(publish(free_hours=1, fee_bp=2_000), place(), pay(10_000))
    world = earlier.when(publish(at=NOON + SECOND, free_hours=48, fee_bp=500)).world
    world = given(world).when(place("B", at=NOON + 2 * SECOND)).world
    late = NOON + timedelta(hours=2)
    event = cancelled(given(world).when(cancel(at=late)).world)
    assert (event.fee_minor, event.policy_version) == (2_000, 1)
    world = given(world).when(pay(10_000, "P2", order_id="B")).world
    world = given(world).when(cancel(order_id="B", at=late)).world
    event = world.events[order_stream("B")][-1]  # type: ignore[assignment]
    assert (event.fee_minor, event.policy_version) == (0, 2)


@pytest.mark.parametrize(
    "free",
    [
        {"initiator": "seller"},
        {"reason_code": "out_of_stock"},
        {"reason_code": "overdue", "initiator": "system"},
        {"reason_code": "duplicate"},
        {"reason_code": "missed_promise"},
    ],
)
def test_no_fee_where_the_customer_is_not_the_cause(free: dict[str, str]) -> None:
    event = cancelled(paid().when(cancel(at=FREE_UNTIL + SECOND, **free)).world)
    assert (event.fee_minor, event.refund_due_minor) == (0, 10_000)


def test_the_fee_is_never_more_than_was_paid_and_not_given_back() -> None:
    late = FREE_UNTIL + SECOND
    assert cancelled(after(place()).when(cancel(at=late)).world).fee_minor == 0
    assert cancelled(paid(300).when(cancel(at=late)).world).fee_minor == 300
    given_back = after(place(), pay(10_000), refund(9_400))
    assert cancelled(given_back.when(cancel(at=late)).world).fee_minor == 600


def test_each_line_has_its_fee_and_shipping_comes_back_with_the_last() -> None:
    start = after(place("A", line(), line("CUP", 1, 5_000), shipping_minor=800), pay(15_800))
    world = start.when(cancel((1, 2), at=FREE_UNTIL + SECOND)).world
    assert cancelled(world).fee_minor == 1_000
    assert cancelled(world).refund_due_minor == 9_000
    world = given(world).when(cancel(at=FREE_UNTIL + SECOND)).world
    event = cancelled(world)
    assert (event.fee_minor, event.shipping_minor, event.total_minor) == (500, 800, 1_500)
    assert event.refund_due_minor == 15_800 - 1_500
    given(world).when(refund(14_301)).refused("refund_exceeds_paid", refundable_minor=14_300)
    given(world).when(refund(14_300)).topics(*REFUNDED)


def test_another_fee_than_was_shown_is_refused() -> None:
    late = FREE_UNTIL + SECOND
    paid().when(cancel(at=late, expected_fee_minor=0)).refused("fee_differs", fee_minor=1_000)
    paid().when(cancel(at=late, expected_fee_minor=1_000)).topics("order.cancelled.v2")


def test_the_fee_holds_its_own_tax() -> None:
    start = after(publish(fee_tax_rate_bp=600), place(), pay(10_000))
    event = cancelled(start.when(cancel(at=FREE_UNTIL + SECOND)).world)
    assert (event.fee_minor, event.fee_tax_minor) == (1_000, 57)  # 1000 x 6 / 106


def test_the_fee_is_a_charge_on_the_invoice() -> None:
    """With its own tax; the cancelled goods are none any more."""
    start = after(publish(fee_tax_rate_bp=600), place(), pay(10_000))
    order = start.when(cancel(at=FREE_UNTIL + SECOND)).world.order()
    owed = {ref: charge.owed for ref, charge in charges(order).items() if charge.owed.gross}
    assert [(ref, one.gross, one.tax) for ref, one in owed.items()] == [("fee/1", 1_000, 57)]


@examples(
    fee_bp=st.integers(0, 10_000),
    paid_minor=st.integers(0, 20_000),
    units=st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_money_is_kept_owed_or_due_back(fee_bp: int, paid_minor: int, units: list[int]) -> None:
    """Paid = owed + refund due, or less than what is owed: nothing is created or lost."""
    steps = [pay(paid_minor)] if paid_minor else []
    world = after(publish(fee_bp=fee_bp), place("A", line(quantity=9)), *steps).world
    for quantity in units:
        world = given(world).when(cancel((1, quantity), at=FREE_UNTIL + SECOND)).world
        order, event = world.order(), cancelled(world)
        assert order.total_minor == event.total_minor
        assert event.refund_due_minor == max(0, order.paid_minor - order.total_minor)
        assert order.fees_minor <= order.paid_minor


@pytest.mark.parametrize(
    ("until", "code"),
    [("dispatched", "packed_needs_warehouse_stop"), ("packed", "already_packed")],
)
def test_what_is_packed_is_stopped_first_or_not_cancelled_as_the_policy_says(
    until: str, code: str
) -> None:
    """covers: A3: what is not packed is cancelled, what has left is not, under either rule."""
    start = after(publish(until=until), place(), pay(10_000), pack((1, 1)))
    start.when(cancel()).refused(code, packed=1, open=1)
    start.when(cancel((1, 2))).refused(code, asked=2)
    assert cancelled(start.when(cancel((1, 1))).world).goods_minor == 5_000
    given(start.world, dispatch()).when(cancel((1, 2))).refused("already_dispatched", open=1)
