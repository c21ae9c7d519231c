"""What left and never reached the customer: intercepted, brought back, taken back, refunded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as sample
from hypothesis import settings
from hypothesis import strategies as st

from domain.desk_names import order_stream, parcel_stream
from domain.message import Command
from domain.order_facts import DeliveryTroubled, RefundRequested
from domain.order_status import code, facts
from domain.parcel_facts import ParcelTracked
from domain.payment_commands import RefuseDelivery
from domain.return_facts import InterceptRequested, ReturnRequested
from tests.given import REFUNDED, Given, World, after, given, hours
from tests.given_money import money, pay
from tests.given_orders import (
    cancel,
    deliver,
    dispatch,
    line,
    pack,
    pack_orders,
    place,
    publish,
    receive,
    scan,
)
from tests.given_returns import (
    approve_return,
    close_return,
    deny_return,
    intercept,
    pay_refund,
    refund,
    send_back,
    take_back,
)

A = order_stream("A")
BACK_FOR_GOOD = ("parcel.tracked.v1", "order.delivery_troubled.v1")
YEAR = timedelta(days=365)


def bought(**more: Any) -> Command:
    """Three teas at 10.00, discount 0.01, shipping 5.00: 34.99."""
    return place("A", line(quantity=3, price=1_000, discount_minor=1), shipping_minor=500, **more)


def on_its_way(*more: Command) -> Given:
    """All three in parcel K, paid and dispatched."""
    return after(receive(10), bought(), pay(3_499), pack((1, 3)), dispatch(), *more)


def in_two(*more: Command) -> Given:
    """Two in K, one in L, both dispatched."""
    parcels = (pack((1, 2)), dispatch(), pack((1, 1), parcel_id="L"), dispatch("L"))
    return after(receive(10), bought(), pay(3_499), *parcels, *more)


def back(units: int | str = 3, parcel_id: str = "K", **more: Any) -> Command:
    return send_back((1, units), parcel_id=parcel_id, **more)


def requests(world: World) -> list[RefundRequested]:
    return [e for e in world.events[A] if isinstance(e, RefundRequested)]


# -- asked for -----------------------------------------------------------------------------------


def test_a_parcel_on_its_way_is_asked_back_once() -> None:
    world = (
        on_its_way().when(intercept(text="Rang too late")).topics("order.intercept_requested.v1")
    )
    assert world.events[A][-1] == InterceptRequested(
        person="customer/li",
        parcel_id="K",
        reason_code="changed_mind",
        text="Rang too late",
        at=hours(30),
    )
    assert world.order().parcels["K"].intercept == "requested"
    assert facts(world.order()).fulfilment == "shipped"
    given(world).when(intercept(reason_code="fraud")).nothing()
    told = world.answer(intercept())
    assert (told["parcel_id"], told["intercept"]) == ("K", "requested")


def test_only_what_is_on_its_way_is_asked_back() -> None:
    """covers: A48: neither before the dispatch nor after the end of the way."""
    after(bought(), pay(3_499), pack((1, 3))).when(intercept()).refused("not_on_its_way")
    on_its_way(deliver()).when(intercept()).refused("not_on_its_way", parcel_id="K")
    on_its_way(scan("returned", hours(20))).when(intercept()).refused("not_on_its_way")
    on_its_way().when(intercept("X")).refused("parcel_not_found", parcel_id="X")
    for milestone in ("out_for_delivery", "attempt_failed", "returning", "lost"):
        world = on_its_way(scan(milestone, hours(20))).world
        given(world).when(intercept()).topics("order.intercept_requested.v1")


@pytest.mark.parametrize(
    ("milestones", "outcome"),
    [
        (["in_transit"], "requested"),
        (["returning"], "succeeded"),
        (["returning", "returned"], "succeeded"),
        (["delivered"], "failed"),
        (["returning", "delivered"], "failed"),
        (["returning", "in_transit"], "requested"),
    ],
)
def test_what_became_of_an_intercept_follows_from_the_parcel(
    milestones: list[str], outcome: str
) -> None:
    scans = [scan(name, hours(31 + no)) for no, name in enumerate(milestones)]
    state = on_its_way(intercept(), *scans).world.order()
    assert state.parcels["K"].intercept == outcome
    assert on_its_way(*scans).world.order().parcels["K"].intercept is None


def test_a_cancellation_that_meets_what_has_left_names_the_parcels() -> None:
    """No fee question arises: also late, and whatever fee was expected."""
    late: dict[str, Any] = {"at": hours(100), "expected_fee_minor": 0}
    found = on_its_way().when(cancel(**late))
    found.refused("already_dispatched", parcels=["K"], intercept=["K"])
    assert "an intercept can be requested of K" in found.message
    two = in_two(deliver("L"))
    two.when(cancel((1, 1), **late)).refused(
        "already_dispatched", parcels=["K", "L"], intercept=["K"], asked=1, open=0
    )
    found = on_its_way(deliver()).when(cancel(**late))
    found.refused("already_dispatched", parcels=["K"], intercept=[])
    assert "a return is the way" in found.message


# -- taken back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("milestone", ["returning", "returned"])
def test_what_comes_back_undelivered_is_taken_back_and_refunded(milestone: str) -> None:
    """covers: A48: a customer's change of mind: goods with their discount, not the shipping, and no
    cancellation fee though the free time is over.
    """
    start = on_its_way(intercept(), scan(milestone, hours(40)))
    assert facts(start.world.order()).fulfilment == "delivery_exception"
    world = start.when(back()).topics("order.return_requested.v2")
    asked = world.events[A][-1]
    assert isinstance(asked, ReturnRequested)
    assert asked.parcel_id == "K"
    told = BACK_FOR_GOOD if milestone == "returning" else ()
    world = (
        given(world, approve_return())
        .when(take_back((1, 2), (1, 1, "scrap")))
        .topics("order.return_received.v2", *REFUNDED, "stock_item.returned.v1", *told)
    )
    state = world.order()
    assert world.stock().on_hand == 9
    (asked_back,) = requests(world)
    assert (asked_back.amount_minor, asked_back.shipping_minor, asked_back.fee_minor) == (
        2_999,
        0,
        0,
    )
    tea = state.lines[1]
    assert tea.open == tea.delivered == state.fees_minor == 0
    assert tea.returned == 3
    assert (facts(state).fulfilment, code(state)) == ("shipped", "refunding")
    done = given(world).when(pay_refund()).topics("order.refund_paid.v1", "order.return_closed.v1")
    state = done.order()
    assert (facts(state).returns, facts(state).payment) == ("closed", "partially_refunded")
    assert (code(state), state.net_paid_minor, state.refundable_minor) == ("shipped", 500, 500)


def test_shipping_comes_back_where_the_seller_is_the_cause() -> None:
    start = on_its_way(scan("returned", hours(40)), back(reason="late"), approve_return())
    world = start.when(take_back((1, 3))).world
    (asked,) = requests(world)
    assert (asked.shipping_minor, asked.amount_minor) == (500, 3_499)
    assert code(given(world, pay_refund()).world.order()) == "refunded"


def test_it_is_taken_back_at_any_time_and_of_any_category() -> None:
    rules = publish(returns={"excluded_categories": ["drinks"], "no_reason_days": 0})
    start = after(rules, bought(), pay(3_499), pack((1, 3)), dispatch())
    world = given(start.world, scan("returned", hours(40))).world
    given(world).when(back(at=hours(40) + YEAR)).topics("order.return_requested.v2")
    given(world).when(send_back((1, 1))).refused("return_exceeds_delivered", returnable=0)
    given(world).when(back(reason="damaged")).refused("evidence_missing")


def test_only_what_comes_back_is_taken_back_without_a_delivery() -> None:
    on_its_way().when(back()).refused("parcel_not_coming_back", allowed=["returned", "returning"])
    on_its_way(deliver()).when(back()).refused("parcel_not_coming_back", parcel_id="K")
    gone = on_its_way(scan("returning", hours(30)), scan("in_transit", hours(40)))
    gone.when(back()).refused("parcel_not_coming_back")
    start = in_two(scan("returned", hours(40)))
    start.when(back(parcel_id="X")).refused("parcel_not_found")
    start.when(back(3)).refused("return_exceeds_parcel", asked=3, returnable=2, parcel_id="K")
    start.when(send_back((7, 1), parcel_id="K")).refused("unknown_line")
    again = given(start.world, back(2))
    again.when(back(1, return_id="T2")).refused("return_exceeds_parcel", returnable=0)
    given(again.world, deny_return()).when(back(2, return_id="T2")).topics(
        "order.return_requested.v2"
    )


def test_cash_on_delivery_is_refused_at_the_door_instead() -> None:
    """Nothing was paid for it, so a refund would give back the money of what was delivered."""
    cash = bought(payment_method="cash_on_delivery")
    start = after(cash, pack((1, 3)), dispatch(), intercept(), scan("returning", hours(40)))
    start.when(back()).refused("cash_on_delivery")
    world = start.when(money(RefuseDelivery, parcel_id="K")).topics("order.delivery_refused.v1")
    assert world.order().parcels["K"].intercept == "succeeded"
    given(world).when(back()).topics("order.return_requested.v2")


def test_goods_whose_money_went_back_as_lost_come_in_without_a_second_refund() -> None:
    lost = on_its_way(scan("lost", hours(30)), refund(None, (1, 3), reason="lost", at=hours(31)))
    start = given(lost.world, scan("returning", hours(60)), back(), approve_return())
    world = start.when(take_back((1, 3), refund_id="R2")).topics(
        "order.return_received.v2",
        "order.return_closed.v1",
        "stock_item.returned.v1",
        *BACK_FOR_GOOD,
    )
    assert world.order().refunded_minor == 3_499


# -- counted once --------------------------------------------------------------------------------


def test_a_parcel_that_was_taken_back_is_back_for_good() -> None:
    """A stray scan tells of a delivery, by an earlier or a later time: it delivers nothing."""
    start = on_its_way(scan("returning", hours(40)), back(), approve_return(), take_back((1, 3)))
    assert start.world.parcel().status == "returned"
    assert start.world.events[parcel_stream("K")][-1].at == hours(72)
    for at in (hours(39), hours(90)):
        world = start.when(scan("delivered", at)).topics("parcel.tracked.v1")
        assert world.order().lines[1].delivered == 0
        given(world).when(send_back((1, 1), return_id="T2")).refused("return_exceeds_delivered")
        given(world).when(back(1, return_id="T2")).refused("return_exceeds_parcel", returnable=0)
    start.when(deliver()).refused("already_returned")
    start.when(take_back((1, 3))).nothing()


def test_a_parcel_delivered_before_it_was_received_counts_as_delivered() -> None:
    """The intercept failed after all: the return that waits holds the units, once."""
    waits = on_its_way(scan("returning", hours(40)), back(2), approve_return())
    world = given(waits.world, scan("delivered", hours(60))).world
    assert facts(world.order()).fulfilment == "delivered"
    at = hours(61)
    given(world).when(send_back((1, 2), return_id="T2", at=at)).refused(
        "return_exceeds_delivered", returnable=1
    )
    came = (
        given(world)
        .when(take_back((1, 2)))
        .topics("order.return_received.v2", *REFUNDED, "stock_item.returned.v1")
    )
    assert facts(came.order()).fulfilment == "delivered"
    given(came).when(send_back((1, 1), return_id="T2", at=at)).topics("order.return_requested.v2")
    given(came).when(send_back((1, 2), return_id="T2", at=at)).refused(
        "return_exceeds_delivered", returnable=1
    )


def test_delivered_units_of_a_line_keep_their_own_window() -> None:
    """What came back undelivered is never taken for a unit whose window has closed, nor the
    reverse.
    """
    start = in_two(deliver("L"), scan("returning", hours(60)))
    late = hours(48) + timedelta(days=9)
    world = given(start.world, send_back((1, 1), return_id="T0"), back(2, at=late)).world
    assert sum(one.taken(1) for one in world.order().returns.values()) == 3
    world = given(start.world, back(2), approve_return(), take_back((1, 2))).world
    given(world).when(send_back((1, 1), return_id="T2")).topics("order.return_requested.v2")
    given(world).when(send_back((1, 1), return_id="T2", at=late)).refused(
        "return_window_closed", asked=1, returnable=0
    )


def test_part_of_a_parcel_may_come_later_or_never() -> None:
    start = on_its_way(scan("returned", hours(40)), back(), approve_return(), take_back((1, 1)))
    assert facts(start.world.order()).fulfilment == "delivery_exception"
    rest = given(start.world, take_back((1, 2), refund_id="R2")).world
    assert [one.amount_minor for one in requests(rest)] == [1_000, 1_999]
    assert facts(rest.order()).fulfilment == "shipped"
    closed = given(start.world, close_return()).world
    given(closed).when(back(3, return_id="T2")).refused("return_exceeds_parcel", returnable=2)
    given(closed).when(back(2, return_id="T2")).topics("order.return_requested.v2")


def test_delivered_in_part_and_back_in_part_leaves_nothing_open() -> None:
    """covers: R21 mixed_ship_refund_completes: one cancelled, one delivered, two came back."""
    four = place("A", line(quantity=4, price=1_000))
    parcels = (pack((1, 1)), dispatch(), pack((1, 2), parcel_id="L"), dispatch("L"))
    start = after(four, pay(4_000), *parcels, cancel((1, 1)), deliver())
    assert facts(start.world.order()).fulfilment == "partially_delivered"
    cancelled = refund(None, (1, 1), reason="cancellation", refund_id="R0")
    back_in_house = (approve_return(), take_back((1, 2)), pay_refund("R0"), pay_refund())
    world = given(start.world, cancelled, scan("returning", hours(50), "L"), back(2, "L")).world
    assert facts(world.order()).fulfilment == "delivery_exception"
    state = given(world, *back_in_house).world.order()
    assert (facts(state).fulfilment, facts(state).returns) == ("delivered", "closed")
    assert state.lines[1].open == state.balance_minor == 0
    assert (state.net_paid_minor, code(state)) == (1_000, "delivered")


def test_all_orders_of_a_parcel_learn_that_it_is_back() -> None:
    """合单: the goods of one order were received, so the parcel of both is in the house."""
    both = pack_orders(
        {"order_id": "A", "line_no": 1, "quantity": 3},
        {"order_id": "B", "line_no": 1, "quantity": 2},
    )
    orders = (bought(), place("B"), pay(3_499), pay(10_000, order_id="B"))
    start = after(*orders, both, dispatch(), intercept(), scan("returning", hours(40)), back())
    world = given(start.world, approve_return()).when(take_back((1, 3), refund=False)).world
    told = DeliveryTroubled(parcel_id="K", milestone="returned", at=hours(72))
    assert world.events[A][-1] == world.events[order_stream("B")][-1] == told
    assert isinstance(world.events[parcel_stream("K")][-1], ParcelTracked)
    assert facts(world.order()).fulfilment == "shipped"
    assert facts(world.order("B")).fulfilment == "delivery_exception", (
        "its units are to be received"
    )
    assert world.order("B").parcels["K"].intercept is None
    given(world).when(back(2, order_id="B", return_id="T2")).topics("order.return_requested.v2")


STEPS = st.sampled_from(
    [
        *(scan(name, hours(at)) for name in ("returning", "in_transit") for at in (40, 50)),
        *(scan(name, hours(at)) for name in ("returned", "delivered") for at in (45, 55)),
        *(scan(name, hours(46), "L") for name in ("returning", "delivered")),
        *(back(units, parcel, return_id=parcel) for units in (1, 2) for parcel in "KL"),
        *(send_back((1, units), return_id="T", at=hours(60)) for units in (1, 2, 3)),
        *(approve_return(name) for name in "KLT"),
        *(
            take_back((1, 1), return_id=name, refund_id=f"R{n}{name}")
            for name in "KLT"
            for n in "12"
        ),
        *(close_return(name) for name in "KLT"),
        intercept(),
    ]
)


@settings(max_examples=150, deadline=None)
@sample(st.lists(STEPS, max_size=14))
def test_no_unit_comes_back_twice_whatever_the_carrier_tells(steps: list[Command]) -> None:
    start = in_two().world
    for command in steps:
        outcome = given(start).when(command)
        start = outcome.world
        state = start.order()
        assert sum(one.taken(1) for one in state.returns.values()) <= 3
        assert state.lines[1].returned <= 3
        assert start.stock().on_hand == 7 + state.lines[1].returned
        assert state.refunded_minor <= 2_999
