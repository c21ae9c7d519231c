"""What a customer still owes, after money and goods went back and orders were brought back."""

from __future__ import annotations

from typing import Any

import pytest

from domain.desk_names import order_stream
from domain.message import Command
from domain.order_facts import OrderCancelled
from domain.order_money import settlement
from domain.order_status import payment
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    LoseChargeback,
    RefuseDelivery,
    ReinstateOrder,
    WriteOffDifference,
)
from tests.given import World, after, given, hours
from tests.given_money import authorise, dispute, limit, money, move, pay, unrecord
from tests.given_orders import (
    amend,
    cancel,
    deliver,
    dispatch,
    line,
    pack,
    place,
    publish,
    register,
)
from tests.given_returns import (
    approve_return,
    deny_refund,
    pay_refund,
    refund,
    send_back,
    take_back,
)

SENT = (pack((1, 2)), dispatch(), deliver())
ON_ACCOUNT = (register(), limit(20_000), place(payment_method="on_account"))


def owes(world: World, minor: int, order_id: str = "A") -> None:
    """By every reading: asked for, missing, taken of the limit."""
    state = world.order(order_id)
    assert (state.balance_minor, state.unpaid_minor) == (minor, minor)
    if state.payment_method == "on_account":
        assert world.account().exposures.get(order_id, 0) == minor


def test_a_refund_of_what_was_paid_too_much_does_not_pay_for_what_is_bought_later() -> None:
    """15000 were paid for 10000 and 5000 went back: a price of 15000 is 5000 short."""
    dearer = amend({"line_no": 1, "unit_price_minor": 7_500})
    back = (pay(15_000), refund(5_000, reason="overpayment"), pay_refund())
    world = after(*ON_ACCOUNT, *back, dearer, *SENT).world
    owes(world, 5_000)
    overdue = money(DeclareOverdue, at=hours(2_000))
    given(world).when(overdue).topics("order.payment_overdue.v1")
    owes(after(place(), *back, dearer).world, 5_000)


CANCELLED = (pay(10_000), cancel(), refund(10_000, reason="cancellation"), pay_refund())


@pytest.mark.parametrize("start", [ON_ACCOUNT, (place(),)])
def test_an_order_that_is_brought_back_after_its_refund_is_owed_again(start: Any) -> None:
    gone = after(*start, *CANCELLED).world
    owes(gone, 0)
    world = given(gone, money(ReinstateOrder, at=hours(1))).world
    owes(world, 10_000)
    assert payment(world.order()) == "unpaid"
    given(world).when(money(DeclareOverdue, at=hours(2_000))).topics("order.payment_overdue.v1")


def test_cash_is_collected_for_an_order_that_was_refunded_and_brought_back() -> None:
    start = after(place(payment_method="cash_on_delivery"), *CANCELLED)
    sent = given(start.world, money(ReinstateOrder), pack((1, 2)), dispatch())
    assert sent.when(deliver()).world.order().money.collected_minor == 10_000


@pytest.mark.parametrize(
    "back", [refund(10_000), refund(None, (1, 2)), refund(10_000, reason="cancellation")]
)
def test_what_is_brought_back_and_paid_again_can_be_refunded_again(back: Command) -> None:
    gone = after(place(), pay(10_000), cancel(), back, pay_refund())
    world = given(gone.world, money(ReinstateOrder), pay(10_000, "P2"), *SENT).world
    assert payment(world.order()) == "paid"
    again = refund(None, (1, 2), refund_id="R2", reason="lost")
    world = given(world, again, pay_refund("R2")).world
    assert (payment(world.order()), world.order().refundable_minor) == ("refunded", 0)
    owes(world, 0)


def test_a_unit_that_was_refunded_and_cancelled_then_is_given_back_once() -> None:
    """Half of 10000 went back, the other half is kept: of the fee of 500 nothing was paid."""
    advance = (place(), pay(10_000), refund(None, (1, 1)), pay_refund())
    world = after(*advance).world
    owes(world, 0)
    given(world, pack((1, 2))).when(dispatch()).refused("not_paid", due_minor=5_000)
    world = given(world, cancel((1, 1), at=hours(30))).world
    owes(world, 500)
    given(world, pack((1, 1))).when(dispatch()).refused("not_paid", due_minor=500)
    owes(after(*advance, cancel((1, 1))).world, 0)
    owes(after(*advance, amend({"line_no": 1, "quantity": 1})).world, 0)
    denied = after(place(), pay(10_000), refund(None, (1, 1)), cancel((1, 1)), deny_refund())
    assert denied.world.order().balance_minor == -5_000


def test_goods_that_were_refunded_and_stay_lower_the_price_not_the_payments() -> None:
    world = after(place(), pay(10_000), *SENT, refund(None, (1, 1), reason="lost")).world
    owes(world, 0)
    settled = settlement(world.order())
    assert (settled.kept_minor, settled.refunded_minor) == (5_000, 5_000)
    for more in (refund(1_000, refund_id="R2"), refund(None, (1, 1), refund_id="R2")):
        owes(given(world, more, pay_refund("R2")).world, 0)


def test_a_unit_that_was_cancelled_is_refunded_before_one_that_was_sent() -> None:
    """Of two one was cancelled, one was sent: the credit is given back, then the price falls."""
    world = after(
        place(), pay(10_000), pack((1, 1)), dispatch(), cancel((1, 1)), refund(None, (1, 1))
    ).world
    owes(world, 0)
    assert settlement(world.order()).credit_minor == 0
    faulty = refund(None, (1, 1), refund_id="R2", reason="damaged", evidence=["a" * 64])
    owes(given(world, faulty).world, 0)


# --- goods that came back


def returned(*units: tuple[int, int], return_id: str = "T1", **more: Any) -> tuple[Command, ...]:
    return (
        send_back(*units, return_id=return_id),
        approve_return(return_id),
        take_back(*units, return_id=return_id, refund_id=f"R-{return_id}", **more),
    )


def test_goods_that_come_back_unpaid_are_owed_no_longer() -> None:
    """On account, nothing was paid: there is nothing to refund, and nothing to ask for."""
    sent = after(*ON_ACCOUNT, *SENT)
    world = given(sent.world, *returned((1, 1))).world
    owes(world, 5_000)
    assert world.order().returns["T1"].status == "closed"
    world = given(world, *returned((1, 1), return_id="T2")).world
    owes(world, 0)
    assert not world.order().refunds
    given(world).when(money(DeclareOverdue, at=hours(2_000))).nothing()
    late = given(world, pay(10_000)).world
    assert late.order().balance_minor == -10_000
    owes(given(late, refund(10_000), pay_refund()).world, 0)


def test_goods_that_come_back_partly_paid_settle_what_is_owed_first() -> None:
    """3000 of 10000 were paid. One unit back: 2000 are owed still; both: the 3000 go back."""
    sent = after(*ON_ACCOUNT, pay(3_000), *SENT)
    one = given(sent.world, *returned((1, 1))).world
    owes(one, 2_000)
    assert not one.order().refunds
    both = given(one, *returned((1, 1), return_id="T2")).world
    assert both.order().refunds["R-T2"].amount_minor == 3_000
    owes(both, 0)
    at_once = given(sent.world, *returned((1, 2))).world
    assert at_once.order().refunds["R-T1"].amount_minor == 3_000
    owes(at_once, 0)
    done = given(at_once, pay_refund("R-T1")).world.order()
    assert (done.returns["T1"].status, done.refundable_minor) == ("closed", 0)


def test_goods_that_come_back_are_received_though_a_remainder_was_written_off() -> None:
    """99.50 were paid of 100.00: 99.50 go back, by the receipt as by a refund of the lines."""
    sent = after(place(), pay(9_950), *SENT)
    for back in (returned((1, 2)), (refund(None, (1, 2), refund_id="R-T1", reason="lost"),)):
        world = given(sent.world, *back, pay_refund("R-T1")).world
        assert world.order().refunds["R-T1"].amount_minor == 9_950
        owes(world, 0)
    given(sent.world, pay(50, "P2"), refund(51, reason="overpayment")).when(
        refund(None, (1, 2), refund_id="R2")
    ).refused("refund_exceeds_paid", asked_minor=10_000, refundable_minor=9_949)


def test_goods_that_come_back_are_refunded_as_far_as_they_were_not() -> None:
    """One unit was refunded before and both come back: the other one's price goes back."""
    sent = after(place(), pay(10_000), *SENT, refund(None, (1, 1), reason="lost"))
    world = given(sent.world, *returned((1, 2))).world
    assert world.order().refunds["R-T1"].amount_minor == 5_000
    assert world.order().lines[1].refunded == 2
    world = given(world, pay_refund("R-T1")).world
    assert world.order().returns["T1"].status == "closed"
    owes(world, 0)


def test_goods_that_came_back_paid_wait_for_their_refund() -> None:
    sent = after(place(), pay(10_000), *SENT)
    world = given(sent.world, *returned((1, 1), refund=False)).world
    owes(world, 0)
    assert world.order().returns["T1"].status == "received"
    paid = given(world, refund(None, return_id="T1", reason="changed_mind"), pay_refund()).world
    assert (paid.order().refunds["R1"].amount_minor, paid.order().balance_minor) == (5_000, 0)
    assert paid.order().returns["T1"].status == "closed"


# --- brought back, and due anew


def test_bringing_an_order_back_keeps_to_the_credit_limit() -> None:
    known = (register(), limit(10_000))
    gone = after(*known, place(payment_method="on_account"), cancel())
    gone.when(money(ReinstateOrder)).topics("order.reinstated.v1", "account.exposure_taken.v1")
    taken = given(gone.world, place("B", payment_method="on_account"))
    taken.when(money(ReinstateOrder)).refused("credit_limit_exceeded", asked_minor=10_000)


# --- what was outstanding on which day

FEE = publish(payment={"on_overdue": "late_fee"})
BIG = line(quantity=1, price=100_000)  # 1000.00: a fee of 0.50 a day from the fifth of March on


def days_charged(world: World, at: float) -> list[tuple[int, int]]:
    """(day of the year, outstanding) of every day that a fee is charged for by then."""
    charged = given(world).when(money(ChargeLateFee, at=hours(24 * at)))
    days = charged.world.order().money.late_days
    return [(one.day.timetuple().tm_yday, one.outstanding_minor) for one in days]


def test_no_fee_for_days_before_a_bank_took_the_money_back() -> None:
    """Paid in time; the bank took it back on the thirtieth of April, day 120 of the year."""
    paid = after(FEE, place("A", BIG), pay(100_000), dispute(at=hours(24 * 50)))
    world = given(paid.world, money(LoseChargeback, chargeback_id="C-P1", at=hours(24 * 60))).world
    assert days_charged(world, 60) == []
    assert days_charged(world, 62) == [(121, 100_000)]


def test_no_fee_for_days_before_an_authorisation_ended() -> None:
    rules = publish(status={"counts_as_paid": "authorised"}, payment={"on_overdue": "late_fee"})
    held = after(rules, place("A", BIG), authorise(100_000, expires_at=hours(24 * 20)))
    world = given(held.world, money(ExpireAuthorisation, payment_id="H1", at=hours(24 * 21))).world
    assert days_charged(world, 22) == [(81, 100_000)]  # It ended on day 80, in the evening.


def test_a_dearer_order_that_was_paid_is_due_a_whole_term_later() -> None:
    """Paid in time and made 500.00 dearer on the 31st: due on the third of April (day 93)."""
    dearer = amend({"line_no": 1, "unit_price_minor": 150_000}, at=hours(24 * 30))
    world = after(FEE, place("A", BIG), pay(100_000), dearer).world
    given(world).when(money(DeclareOverdue, at=hours(24 * 33))).refused("not_due")
    given(world).when(money(DeclareOverdue, at=hours(24 * 33.1))).topics("order.payment_overdue.v1")
    assert days_charged(world, 36) == [(94, 50_000), (95, 50_000)]


def test_a_dearer_order_that_is_late_already_costs_more_from_the_next_day_on() -> None:
    dearer = amend({"line_no": 1, "unit_price_minor": 150_000}, at=hours(24 * 5))
    world = after(FEE, place("A", BIG), dearer).world
    assert days_charged(world, 7) == [(64, 100_000), (65, 100_000), (66, 150_000)]
    cheaper = amend({"line_no": 1, "unit_price_minor": 50_000}, at=hours(24 * 6))
    assert days_charged(given(world, cheaper).world, 8)[-2:] == [(66, 50_000), (67, 50_000)]


@pytest.mark.parametrize("method", ["alipay", "on_account"])
def test_an_order_that_is_brought_back_late_has_its_whole_term_again(method: str) -> None:
    """Cancelled after an hour and brought back on the 31st, as long after the placement as ever."""
    known = (register(), limit(200_000), FEE, place("A", BIG, payment_method=method))
    back = money(ReinstateOrder, at=hours(24 * 30))
    world = after(*known, cancel(at=hours(1)), back).world
    assert days_charged(world, 33) == []
    assert days_charged(world, 36) == [(94, 100_000), (95, 100_000)]


def test_what_is_brought_back_after_its_term_is_due_a_term_later() -> None:
    back = money(ReinstateOrder, at=hours(200))
    world = after(place(), money(CancelOverdue, at=hours(100)), back).world
    given(world).when(money(DeclareOverdue, at=hours(272))).refused("not_due")
    given(world).when(money(CancelOverdue, at=hours(273))).refused("not_cancelled_by_itself")
    again = given(world, cancel(at=hours(290)), money(ReinstateOrder, at=hours(300)))
    assert again.world.order().money.due_at == hours(372)


def test_a_fact_that_is_told_late_counts_from_its_own_day_on() -> None:
    """An authorisation ended before the price rose, which was known only afterwards."""
    rules = publish(status={"counts_as_paid": "authorised"}, payment={"on_overdue": "late_fee"})
    held = (pay(30_000), authorise(60_000, expires_at=hours(24 * 20)))
    dearer = amend({"line_no": 1, "unit_price_minor": 110_000}, at=hours(24 * 22))
    told = money(ExpireAuthorisation, payment_id="H1", at=hours(24 * 23))
    world = after(rules, place("A", BIG), *held, dearer, told).world
    assert days_charged(world, 24)[-4:] == [
        (80, 10_000),
        (81, 70_000),
        (82, 70_000),
        (83, 80_000),
    ]


# --- what is written off


def test_what_is_written_off_of_an_order_stays_within_the_tolerance_together() -> None:
    """A tolerance of 1.00: 50 cents and 50 more, then the next cent is asked for."""
    first = after(place(), pay(9_950), amend({"line_no": 1, "unit_price_minor": 5_050}))
    second = given(first.world, pay(50, "P2")).world
    owes(second, 0)
    assert second.order().money.written_off_minor == 100
    dearer = given(second, amend({"line_no": 1, "unit_price_minor": 5_060}))
    dearer.when(pay(19, "P3")).topics("order.payment_captured.v2")
    dearer.when(money(WriteOffDifference)).refused(
        "write_off_exceeds_tolerance", owed_minor=20, tolerance_minor=0
    )


def test_what_was_written_off_of_a_payment_is_asked_for_again_without_it() -> None:
    start = after(place(), place("B"), pay(9_950))
    for gone in (unrecord(), move()):
        world = given(start.world, gone).world
        owes(world, 10_000)
        assert world.order().money.written_off_minor == 0
    owes(given(start.world, move(amount_minor=9_000)).world, 9_000)
    again = given(start.world, unrecord(), pay(9_950, "P2")).world
    owes(again, 0)


# --- fees and shipping of what is cancelled


def test_the_shipping_of_what_nobody_took_is_not_owed_whichever_came_first() -> None:
    """Of two units one was refused at the door, the other cancelled: nothing is delivered."""
    bought = place(shipping_minor=800, payment_method="cash_on_delivery")
    start = after(bought, pack((1, 1)), dispatch())
    refuse, rest = money(RefuseDelivery, parcel_id="K"), cancel((1, 1))
    owes(given(start.world, refuse).world, 5_800)
    for steps in ((refuse, rest), (rest, refuse), (refuse, cancel())):
        world = given(start.world, *steps).world
        owes(world, 0)
        assert world.order().shipping_cancelled
    arrived = given(start.world, deliver(), rest).world
    assert not arrived.order().shipping_cancelled


def test_the_money_that_a_cancellation_fee_is_kept_of_stays() -> None:
    """Of 10000 a fee of 1000 is kept: 9000 can move, and the payment is not voided."""
    start = after(place(), place("B"), pay(10_000), cancel(at=hours(30)))
    start.when(move(amount_minor=9_001)).refused("move_exceeds_payment", movable_minor=9_000)
    start.when(unrecord()).refused("payment_used", kept_minor=1_000)
    moved = given(start.world, move()).world
    owes(moved, 0)
    assert (moved.order().paid_minor, moved.order("B").paid_minor) == (1_000, 9_000)
    given(start.world, money(ReinstateOrder)).when(unrecord()).topics("order.payment_voided.v1")
    given(start.world, pay(10_000, "P2")).when(unrecord("P2")).topics("order.payment_voided.v1")


@pytest.mark.parametrize("cause", [{"initiator": "seller"}, {"reason_code": "out_of_stock"}])
def test_a_late_fee_is_waived_when_the_seller_cancels(cause: dict[str, str]) -> None:
    late = after(FEE, place("A", BIG), money(ChargeLateFee, at=hours(24 * 6)))
    world = late.when(cancel(at=hours(24 * 7), **cause)).topics(
        "order.cancelled.v2", "order.late_fee_waived.v1"
    )
    owes(world, 0)
    paid = given(late.world, pay(100_100, at=hours(24 * 6)))
    world = paid.when(cancel(at=hours(24 * 7), **cause)).world
    fact = world.events[order_stream("A")][-2]
    assert isinstance(fact, OrderCancelled)
    assert (fact.refund_due_minor, world.order().balance_minor) == (100_100, -100_100)
    owes(given(late.world, cancel(at=hours(24 * 7))).world, 100)


def test_a_late_fee_stays_when_the_customer_cancels_or_goods_were_sent() -> None:
    known = (register(), limit(200_000), FEE, place(payment_method="on_account"))
    sent = after(*known, pack((1, 1)), dispatch(), money(ChargeLateFee, at=hours(24 * 30)))
    fee = sent.world.order().money.late_fees_minor
    world = given(sent.world, cancel((1, 1), initiator="seller", at=hours(24 * 31))).world
    assert fee > 0
    owes(world, 5_000 + fee)
