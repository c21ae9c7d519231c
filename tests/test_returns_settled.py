"""What a return comes to, once and to the cent: received twice, refused at the door, unpaid, its
refund failed.
"""

from __future__ import annotations

from typing import Any

import pytest

from domain.desk_names import order_stream
from domain.message import Command
from domain.order_facts import RefundRequested
from domain.order_status import facts
from domain.payment_commands import RefundOverpayment, RefuseDelivery
from domain.return_facts import ReturnReceived
from tests.given import REFUNDED, Given, World, after, given, hours
from tests.given_money import limit, money, pay, unrecord
from tests.given_orders import (
    deliver,
    dispatch,
    line,
    pack,
    place,
    publish,
    receive,
    register,
    scan,
)
from tests.given_returns import (
    approve_refund,
    approve_return,
    close_return,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)

PICTURE = "a" * 64
FEE = publish(returns={"restocking_fee_bp": 1_500})
SENT: tuple[Command, ...] = (pack((1, 3), (2, 1)), dispatch(), deliver())


def bought(**more: Any) -> Command:
    """Three teas at 10.00 and a cup at 20.00, shipped for 5.00."""
    lines = (line(quantity=3, price=1_000), line("CUP", 1, 2_000))
    return place("A", *lines, shipping_minor=500, **more)


def back(*lines: Any, reason: str = "changed_mind") -> tuple[Command, ...]:
    evidence = [] if reason == "changed_mind" else [PICTURE]
    return send_back(*lines, reason=reason, evidence=evidence), approve_return()


def received(world: World) -> ReturnReceived:
    found = [e for e in world.events[order_stream("A")] if isinstance(e, ReturnReceived)]
    return found[-1]


def goods(world: World) -> tuple[int, int]:
    """Teas in stock, and those that came back."""
    return int(world.stock().on_hand), int(world.order().lines[1].returned)


# -- received twice --------------------------------------------------------------------------------


def test_a_receipt_that_is_told_twice_receives_the_goods_once() -> None:
    start = after(receive(10), bought(), pay(5_500), *SENT, *back((1, 3)))
    once = take_back((1, 1), refund=False)
    world = start.when(once).topics("order.return_received.v2", "stock_item.returned.v1")
    again = given(world)
    again.when(once).nothing()
    assert goods(again.world) == (8, 1)
    rest = given(world).when(take_back((1, 2), refund=False, refund_id="R2")).world
    assert goods(rest) == (10, 3)
    given(rest).when(take_back((1, 2), refund=False, refund_id="R2")).nothing()
    given(rest).when(once).nothing()
    given(rest).when(take_back((1, 1), refund=False, refund_id="R3")).refused(
        "return_is_received", received={"1": 3}, received_at=hours(72).isoformat()
    )


# -- the refund failed -----------------------------------------------------------------------------


def paid_back() -> Given:
    return after(bought(), pay(5_500), *SENT, *back((1, 3)), take_back((1, 3)), pay_refund())


def test_a_return_whose_money_came_back_waits_again_and_closes_when_it_is_paid() -> None:
    start = paid_back()
    assert start.world.order().returns["T1"].status == "closed"
    world = start.when(fail_refund()).topics("order.refund_failed.v1", "order.return_reopened.v1")
    assert facts(world.order()).returns == "received"
    given(world).when(fail_refund()).nothing()
    retried = given(world, retry_refund())
    paid = retried.when(pay_refund()).topics("order.refund_paid.v1", "order.return_closed.v1")
    assert facts(paid.order()).returns == "closed"


def test_where_it_is_denied_its_units_can_be_refunded_anew_or_given_up() -> None:
    world = given(paid_back().world, fail_refund(), deny_refund()).world
    assert facts(world.order()).returns == "received"
    assert world.order().lines[1].refunded == 0
    anew = refund(None, refund_id="R2", return_id="T1", reason="changed_mind")
    again = given(world).when(anew).topics(*REFUNDED)
    paid = (
        given(again).when(pay_refund("R2")).topics("order.refund_paid.v1", "order.return_closed.v1")
    )
    assert paid.order().refunded_minor == 3_000
    given(world).when(close_return(reason="they were used")).topics("order.return_closed.v1")


def test_what_a_person_closed_stays_closed() -> None:
    start = after(bought(), pay(5_500), *SENT, *back((1, 3)), take_back((1, 1)), close_return())
    given(start.world, pay_refund()).when(fail_refund()).topics("order.refund_failed.v1")


# -- refused at the door ---------------------------------------------------------------------------


def at_the_door(*payments: Command) -> Given:
    """拒收: one parcel was taken, the other refused."""
    cash = bought(payment_method="cash_on_delivery")
    parcels = (pack((1, 3)), dispatch(), pack((2, 1), parcel_id="L"), dispatch("L"))
    refused = money(RefuseDelivery, parcel_id="K")
    return after(receive(10), cash, *payments, *parcels, deliver("L"), refused)


def test_what_was_refused_comes_back_into_stock_by_its_condition_once() -> None:
    start = at_the_door(pay(2_500))
    asked = send_back((1, 3), parcel_id="K", reason="other")
    world = start.when(asked).topics("order.return_requested.v2")
    given(world).when(send_back((1, 1), parcel_id="K", return_id="T2")).refused(
        "return_exceeds_parcel", returnable=0
    )
    came = given(world, approve_return()).when(take_back((1, 2), (1, 1, "scrap")))
    world = came.topics(
        *("order.return_received.v2", "order.return_closed.v1", "stock_item.returned.v1"),
        *("parcel.tracked.v1", "order.delivery_troubled.v1"),
    )
    assert world.stock().on_hand == 9
    state = world.order()
    assert (state.balance_minor, state.refunded_minor, state.net_paid_minor) == (0, 0, 2_500)
    assert (facts(state).returns, facts(state).fulfilment) == ("closed", "delivered")
    given(world).when(take_back((1, 2), (1, 1, "scrap"))).nothing()
    given(world).when(send_back((1, 3), parcel_id="K", return_id="T2")).refused(
        "return_exceeds_parcel", returnable=0
    )
    anew = refund(None, return_id="T1", refund_id="R2", reason="other")
    given(world).when(anew).refused("nothing_to_refund")


def test_what_was_refused_comes_back_whatever_the_carrier_tells() -> None:
    """Delivered: at the sender's. It is neither delivered to the customer nor received."""
    start = given(at_the_door().world, scan("delivered", hours(60)), scan("in_transit", hours(70)))
    world = given(start.world, send_back((1, 3), parcel_id="K"), approve_return()).world
    came = given(world, take_back((1, 3))).world
    assert goods(came) == (10, 3)
    assert came.order().lines[1].delivered == 0


def test_who_paid_before_gets_back_what_the_refused_goods_cost_once() -> None:
    """It is an overpayment since the refusal, whether or not the goods come."""
    start = at_the_door(pay(5_500))
    asked = (send_back((1, 3), parcel_id="K"), approve_return())
    world = given(start.world, *asked, take_back((1, 3))).world
    assert (world.order().balance_minor, world.order().refunds) == (-3_000, {})
    later = money(RefundOverpayment, actor="deadlines", at=hours(24 * 30))
    refunded = given(world).when(later).topics(*REFUNDED)
    assert (refunded.order().refunded_minor, refunded.order().balance_minor) == (3_000, 0)


# -- not paid for ----------------------------------------------------------------------------------


def on_account(*commands: Command) -> Given:
    return after(FEE, register(), limit(20_000), bought(payment_method="on_account"), *commands)


def owes(world: World, minor: int) -> None:
    state = world.order()
    assert (state.balance_minor, state.unpaid_minor) == (minor, minor)
    assert world.account().exposures.get("A", 0) == minor


@pytest.mark.parametrize(
    ("reason", "fee", "shipping"), [("changed_mind", 450, 0), ("damaged", 0, 500)]
)
def test_what_comes_back_unpaid_leaves_owed_what_a_refund_would_have_kept(
    reason: str, fee: int, shipping: int
) -> None:
    """As if it had been paid before: the fee for restocking and the shipping by the reason."""
    start = on_account(*SENT, *back((1, 3), reason=reason))
    world = start.when(take_back((1, 3))).world
    fact = received(world)
    assert (fact.fee_minor, fact.shipping_minor) == (fee, shipping)
    owes(world, 2_500 + fee - shipping)
    paid = on_account(pay(5_500), *SENT, *back((1, 3), reason=reason), take_back((1, 3)))
    assert paid.world.order().net_paid_minor == world.order().owed_minor
    owes(given(paid.world, approve_refund(), pay_refund()).world, 0)


def test_all_of_it_comes_back_unpaid() -> None:
    whole = ((1, 3), (2, 1))
    kept = on_account(*SENT, *back(*whole)).when(take_back(*whole)).world
    owes(kept, 500 + 750)
    assert kept.order().returns["T1"].status == "closed"
    none = on_account(*SENT, *back(*whole, reason="damaged")).when(take_back(*whole)).world
    owes(none, 0)


def test_the_fee_is_kept_once_it_is_paid_and_not_before() -> None:
    start = on_account(*SENT, *back((1, 3)), take_back((1, 3)))
    part = given(start.world, pay(2_000))
    assert part.world.order().refundable_minor == 2_000
    part.when(unrecord()).topics("order.payment_voided.v1", "account.exposure_taken.v1")
    whole = given(start.world, pay(2_950))
    owes(whole.world, 0)
    assert whole.world.order().refundable_minor == 2_500
    whole.when(refund(2_501, refund_id="R2")).refused("refund_exceeds_paid", refundable_minor=2_500)
    cup = given(whole.world, refund(None, (2, 1), refund_id="R2", reason="late")).world
    assert (cup.order().owed_minor, cup.order().refundable_minor) == (450, 0)


def test_paid_in_part_both_parts_keep_their_fee() -> None:
    """3000 of 5500: of the teas 2941 pay what is asked with their fee, 59 go back less theirs."""
    start = on_account(pay(3_000), *SENT, *back((1, 3)), take_back((1, 3)))
    fact, state = received(start.world), start.world.order()
    asked = [e for e in start.world.events[order_stream("A")] if isinstance(e, RefundRequested)]
    assert (fact.fee_minor, [(e.amount_minor, e.fee_minor) for e in asked]) == (441, [(50, 9)])
    owes(start.world, 0)
    assert (state.owed_minor, state.net_paid_minor) == (2_950, 2_950)


def test_nothing_goes_back_to_who_still_owes_the_fee() -> None:
    """1000 were paid; 500 of shipping and 750 of fees are kept, at once or one after the other."""
    whole = ((1, 3), (2, 1))
    once = on_account(pay(1_000), *SENT, *back(*whole), take_back(*whole)).world
    teas = on_account(*SENT, *back(*whole), take_back((1, 3)), pay(1_000))
    for world in (once, given(teas.world, take_back((2, 1), refund_id="R2")).world):
        owes(world, 250)
        assert world.order().refunds == {}
        assert world.order().returns["T1"].status == "closed"


@pytest.mark.parametrize("paid", [0, 1, 749, 750, 751, 2_000, 4_999, 5_000, 5_399, 5_500])
@pytest.mark.parametrize("fee_bp", [0, 1, 1_500, 3_333, 9_999, 10_000])
def test_whatever_was_paid_before_all_that_is_kept_is_shipping_and_fee(
    paid: int, fee_bp: int
) -> None:
    """To a cent, where the fee is of two parts."""
    whole = ((1, 3), (2, 1))
    rules = publish(returns={"restocking_fee_bp": fee_bp})
    before = [pay(paid)] if paid else []
    known = (rules, register(), limit(20_000), bought(payment_method="on_account"))
    world = after(*known, *before, *SENT, *back(*whole), take_back(*whole)).world
    kept = 500 + (5_000 * fee_bp + 5_000) // 10_000
    state = world.order()
    assert abs(state.owed_minor - kept) <= 1
    assert state.net_paid_minor + state.unpaid_minor == state.owed_minor
    assert not (state.unpaid_minor and state.refunds)


def test_shipping_that_fell_with_damaged_goods_falls_once() -> None:
    start = on_account(*SENT, *back((1, 3), reason="damaged"), take_back((1, 1)))
    owes(start.world, 4_000)
    rest = given(start.world, take_back((1, 2), refund_id="R2"))
    assert (received(rest.world).shipping_minor, rest.world.order().shipping_relieved_minor) == (
        0,
        500,
    )
    owes(rest.world, 2_000)
    paid = given(rest.world, pay(2_000))
    cup = refund(None, (2, 1), refund_id="R3", reason="late")
    state = given(paid.world, cup).world.order()
    assert (state.refunded_minor, state.owed_minor, state.balance_minor) == (2_000, 0, 0)


# -- by a second person ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "approves"), [("Li", "li"), ("li", "LI"), ("straße", "STRASSE"), ("ｌｉ", "li")]
)
def test_who_asked_is_one_person_in_whichever_letters(asks: str, approves: str) -> None:
    start = after(place("A", line(price=100_000)), pay(200_000), refund(150_000, actor=asks))
    start.when(approve_refund(approves)).refused("second_person_needed", requested_by=asks)
    start.when(approve_refund("Wang")).topics("order.refund_approved.v1")
