"""An order is completed: some days after its delivery, or when the receipt is confirmed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import deadlines
from domain.completion_facts import OrderCompleted
from domain.deadlines import Deadline
from domain.desk_names import order_stream
from domain.message import Command
from domain.order_status import facts, shown
from domain.payment_commands import OpenChargeback
from domain.policy import policy_stream
from tests.arrivals import LAST_MOMENT, complete, confirm
from tests.given import REFUNDED, Given, World, after, given, hours
from tests.given_money import money, pay
from tests.given_orders import (
    amend,
    cancel,
    close_case,
    deliver,
    dispatch,
    hold,
    line,
    open_case,
    override,
    pack,
    place,
    publish,
    scan,
    step,
)
from tests.given_returns import approve_return, pay_refund, refund, send_back, take_back

SENT: tuple[Command, ...] = (place(), pay(10_000), pack((1, 2)), dispatch())
DELIVERED = (*SENT, deliver())
LATE = LAST_MOMENT + timedelta(microseconds=1)


def completions(world: World, order_id: str = "A") -> list[Deadline]:
    order = world.order(order_id)
    policy = world.state(policy_stream(order.shop)).versions[order.policy_version]
    return [one for one in deadlines.due(order, policy) if one.kind == "completion"]


def test_seven_days_after_the_delivery_it_is_completed() -> None:
    """covers: A1: the last instant of the local day is still the customer's."""
    start = after(*DELIVERED)
    assert completions(start.world) == [Deadline(LATE, "completion")]
    start.when(complete(LAST_MOMENT)).refused("not_due", due_at=LAST_MOMENT.isoformat())
    fact = OrderCompleted(by="policy", due_at=LAST_MOMENT, policy_version=0, at=LATE)
    world = start.when(complete(LATE)).then({order_stream("A"): [fact]})
    assert facts(world.order()).stage == "completed"
    assert shown(world.order()).code == "completed"
    assert completions(world) == []
    given(world).when(complete(LATE)).nothing()
    given(world).when(confirm()).nothing()


def test_a_confirmed_receipt_completes_it_at_once() -> None:
    world = after(*DELIVERED).when(confirm()).topics("order.completed.v1")
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, OrderCompleted)
    assert (fact.by, fact.due_at) == ("customer", LAST_MOMENT)


def test_a_confirmed_receipt_delivers_what_the_carrier_has_not_told() -> None:
    world = after(*SENT).when(confirm(by="operator"))
    world_after = world.topics("parcel.delivered.v1", "order.delivered.v1", "order.completed.v1")
    assert world_after.parcel().delivered
    assert facts(world_after.order()).fulfilment == "delivered"
    half = after(place(), pay(10_000), pack((1, 1)), dispatch())
    half.when(confirm()).refused("not_delivered", missing={"1": 1})
    back = after(*SENT, scan("returning", hours(20)))
    back.when(confirm()).refused("not_delivered", fulfilment="delivery_exception")


def test_what_was_cancelled_is_not_waited_for_and_the_last_delivery_counts() -> None:
    two = (place("A", line(quantity=4)), pay(20_000), pack((1, 1)), dispatch(), deliver())
    more = (pack((1, 1), parcel_id="L"), dispatch("L"), deliver("L", at=hours(72)))
    start = after(*two, *more)
    assert completions(start.world) == []
    start.when(complete(LATE)).nothing()
    rest = given(start.world, cancel((1, 2)))
    a_day_later = LATE + timedelta(days=1)
    assert completions(rest.world) == [Deadline(a_day_later, "completion")]
    rest.when(complete(LATE)).refused("not_due")
    rest.when(complete(a_day_later)).topics("order.completed.v1")


def test_only_what_is_paid_is_completed() -> None:
    """By the order's own rule: where what is authorised counts, that is enough."""
    cash = place(payment_method="cash_on_delivery")
    start = after(cash, pack((1, 2)), dispatch(), deliver())
    start.when(confirm()).refused("not_paid", due_minor=10_000)
    assert completions(start.world) == []
    start.when(complete(LATE)).nothing()
    assert completions(given(start.world, pay(10_000)).world)


OPEN: list[tuple[Command, str]] = [
    (open_case(blocking=False), "cases"),
    (hold(), "holds"),
    (send_back((1, 1)), "returns"),
    (refund(500), "refunds"),
    (money(OpenChargeback, payment_id="P1", chargeback_id="C", reference="r", code="x"),
     "chargebacks"),
]  # fmt: skip


@pytest.mark.parametrize(("opening", "kind"), OPEN)
def test_nothing_may_be_open(opening: Command, kind: str) -> None:
    start = after(*DELIVERED, opening)
    refused = start.when(confirm())
    assert kind in refused.outcome.facts["open"]  # type: ignore[union-attr]
    refused.refused("order_is_open")
    start.when(complete(LATE)).nothing()
    assert completions(start.world) == []


def test_what_is_ended_stands_against_it_no_longer() -> None:
    case = given(None, *DELIVERED, open_case(), step(cause="carrier", action="asked"), close_case())
    assert completions(case.world)
    refunded = given(None, *DELIVERED, refund(500), pay_refund())
    world = refunded.when(complete(LATE)).topics("order.completed.v1")
    assert facts(world.order()).stage == "completed"


def completed(*more: Command) -> Given:
    return given(None, *DELIVERED, complete(LATE), *more)


def test_a_return_after_the_completion_leaves_the_stage() -> None:
    fault: Any = {"reason": "damaged", "evidence": ["a" * 64], "at": LATE}
    start = completed(send_back((1, 1), **fault))
    assert facts(start.world.order()).stage == "completed"
    done = given(start.world, approve_return(), take_back((1, 1)))
    assert shown(done.world.order()).code == "refunding"
    assert facts(given(done.world, pay_refund()).world.order()).stage == "completed"
    assert completions(done.world) == []


def test_money_that_goes_back_later_does_not_reopen_it() -> None:
    start = completed()
    start.when(refund(500)).topics(*REFUNDED)
    held = given(start.world, hold())
    assert facts(held.world.order()).stage == "completed"


def test_nothing_more_is_sold_with_it() -> None:
    start = completed()
    start.when(amend({"line_no": 1, "quantity": 3})).refused("order_completed")
    start.when(amend(line("CUP", 1, 100))).refused("order_completed")
    start.when(amend({"line_no": 1, "unit_price_minor": 4_000})).topics("order.lines_amended.v2")


def test_its_fact_ends_an_override_of_the_stage() -> None:
    start = given(None, *DELIVERED, override("stage", "on_hold"))
    assert shown(start.when(complete(LATE)).world.order()).dimensions.stage == "completed"


def test_a_policy_may_leave_it_to_a_person_or_take_another_time() -> None:
    own = {"confirm": ["complete"], "completed_days": 3}
    by_hand = after(publish(status=own), *DELIVERED)
    assert completions(by_hand.world) == []
    by_hand.when(complete(LATE)).nothing()
    by_hand.when(confirm(by="operator")).topics("order.completed.v1")
    three = after(publish(status={"completed_days": 3}), *DELIVERED)
    assert completions(three.world) == [Deadline(LATE - timedelta(days=4), "completion")]


def test_what_never_was_one_is_not_completed() -> None:
    after(place(), cancel()).when(confirm()).refused("order_cancelled")
    after(place()).when(confirm()).refused("not_delivered")
    given().when(confirm("Z")).refused("order_not_found")
