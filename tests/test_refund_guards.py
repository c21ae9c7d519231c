"""What keeps money from leaving twice, to the wrong place, or past the second person."""

from __future__ import annotations

import pytest

from domain.payment_commands import LoseChargeback, WinChargeback
from tests.given import after, given
from tests.given_money import authorise, capture, credit, dispute, gift, money, pay
from tests.given_orders import cancel, line, place, register, reject
from tests.given_returns import (
    approve_refund,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
)

PAID = "order.refund_paid.v1"
LOST = money(LoseChargeback, chargeback_id="C-P1")
WON = money(WinChargeback, chargeback_id="C-P1")
BIG = (place("A", line(price=100_000)), pay(200_000))


# -- disputed money ------------------------------------------------------------------------------


def test_money_that_a_bank_asks_back_is_not_refunded_as_well() -> None:
    """covers: R19: neither while it is disputed nor after it was lost."""
    disputed = after(place(), pay(10_000), refund(10_000), dispute())
    disputed.when(pay_refund()).refused("chargeback_open", asked_minor=10_000, refundable_minor=0)
    lost = given(disputed.world, LOST).when(pay_refund())
    lost.refused("refund_exceeds_payment", asked_minor=10_000, refundable_minor=0)
    given(disputed.world, WON).when(pay_refund()).topics(PAID)


def test_a_refund_of_disputed_money_is_not_approved() -> None:
    disputed = after(*BIG, refund(150_000), dispute())
    disputed.when(approve_refund()).refused("chargeback_open")
    given(disputed.world, LOST).when(approve_refund()).refused("refund_exceeds_payment")


def test_of_a_payment_disputed_in_part_the_rest_can_go_back() -> None:
    start = after(
        place(), pay(10_000), refund(4_000), refund(5_000, refund_id="R2"), dispute("P1", 5_000)
    )
    first = start.when(pay_refund("R2")).topics(PAID)
    given(first).when(pay_refund("R1")).refused("chargeback_open", refundable_minor=0)
    start.when(pay_refund("R1")).topics(PAID)


def test_a_dispute_of_one_payment_leaves_the_others() -> None:
    start = after(place(), pay(5_000), pay(5_000, "P2"), refund(5_000), dispute("P1"), LOST)
    start.when(pay_refund()).topics(PAID)


# -- money that is held --------------------------------------------------------------------------

VOIDED = "order.authorisation_voided.v1"


def test_nothing_is_held_for_an_order_that_was_cancelled() -> None:
    """What was held goes in the same write, and cannot be captured any more."""
    held = after(place(), authorise(10_000), capture(3_000))
    world = held.when(cancel()).topics("order.cancelled.v2", VOIDED)
    assert world.order().money.authorised_minor == 0
    given(world).when(capture(7_000, "P2")).refused("authorisation_closed", why="voided")
    held.when(cancel((1, 1))).topics("order.cancelled.v2")


def test_nor_for_one_that_was_rejected() -> None:
    waiting = after(place("A", line(price=400_000)), authorise(800_000))
    assert not waiting.world.order().approved
    world = given(waiting.world, reject()).world
    assert world.order().money.authorised_minor == 0


# -- credit to credit ----------------------------------------------------------------------------

GIVEN_BACK = "account.given_back.v1"
GRANTED = "account.credit_granted.v1"


@pytest.mark.parametrize("method", ["store_credit", "gift_balance"])
def test_what_the_account_paid_is_never_paid_out_as_cash(method: str) -> None:
    """covers: R19: credit goes back to credit, a gift to the gift."""
    filled = gift(10_000) if method == "gift_balance" else credit(10_000)
    start = after(register(), filled, place(payment_method=method), refund(10_000))
    start.when(pay_refund(method="bank_transfer")).refused(
        "credit_goes_back_to_credit", method="bank_transfer", allowed=[method]
    )
    world = start.when(pay_refund()).topics(PAID, GIVEN_BACK)
    assert world.account().liability_minor == 10_000
    start.when(pay_refund(method=method)).topics(PAID, GIVEN_BACK)


MIXED = after(
    register(),
    credit(4_000),
    place(),
    pay(6_000),
    pay(4_000, "P2", method="store_credit"),
    refund(10_000),
)


def test_a_method_is_named_for_what_the_account_did_not_pay() -> None:
    world = MIXED.when(pay_refund(method="bank_transfer")).topics(PAID, PAID, GIVEN_BACK)
    paid_by = world.order().refunds["R1"].paid_by
    assert paid_by == {"store_credit": 4_000, "bank_transfer": 6_000}
    assert world.account().credit_minor == 4_000


def test_all_of_it_may_become_credit() -> None:
    world = MIXED.when(pay_refund(method="store_credit")).topics(PAID, GIVEN_BACK, GRANTED)
    assert world.account().credit_minor == 10_000


# -- a payout that fails in part -----------------------------------------------------------------

FAILED, RETRIED = "order.refund_failed.v1", "order.refund_retried.v1"
BOUNCED = given(MIXED.world, pay_refund(), fail_refund())


def test_what_left_the_house_may_bounce_while_the_credit_stays() -> None:
    """covers: R19: the part that arrived is held on, and never paid twice."""
    world = given(MIXED.world, pay_refund()).when(fail_refund(method="alipay")).topics(FAILED)
    assert world.order() == BOUNCED.world.order()
    failed = world.order().refunds["R1"]
    assert (failed.status, failed.given_back_minor) == ("failed", 4_000)
    assert world.order().refundable_minor == 0
    BOUNCED.when(fail_refund()).nothing()
    BOUNCED.when(deny_refund()).refused("refund_paid_in_part", paid_minor=4_000)
    BOUNCED.when(refund(1, refund_id="R2")).refused("refund_exceeds_paid", refundable_minor=0)


def test_a_retry_pays_what_came_back_and_nothing_else() -> None:
    again = given(BOUNCED.world, retry_refund())
    world = again.when(pay_refund(method="bank_transfer")).topics(PAID)
    paid = world.order().refunds["R1"]
    assert (paid.status, paid.paid_by) == ("paid", {"store_credit": 4_000, "bank_transfer": 6_000})
    assert world.account().credit_minor == 4_000
    same = again.when(pay_refund()).topics(PAID).order().refunds["R1"]
    assert same.paid_by == {"store_credit": 4_000, "alipay": 6_000}
    given(world).when(pay_refund()).nothing()
    given(world).when(retry_refund()).nothing()


def test_what_bounced_may_become_credit_as_well() -> None:
    again = given(BOUNCED.world, retry_refund())
    world = again.when(pay_refund(method="store_credit")).topics(PAID, GRANTED)
    assert world.account().credit_minor == 10_000
    assert world.order().refunds["R1"].paid_by == {"store_credit": 10_000}
    given(world).when(fail_refund()).refused("refund_is_credited")


def test_a_rest_that_fails_once_more_leaves_what_arrived() -> None:
    again = given(BOUNCED.world, retry_refund(), fail_refund())
    assert again.world.order().refunds["R1"].paid_by == {"store_credit": 4_000}
    again.when(retry_refund()).topics(RETRIED)


def test_of_two_payouts_the_one_that_is_named_fails() -> None:
    two = (pay(6_000), pay(4_000, "P2", method="credit_card"))
    start = after(place(), *two, refund(10_000), pay_refund())
    start.when(fail_refund(method="bank_transfer")).refused(
        "refund_not_paid_so", allowed=["alipay", "credit_card"]
    )
    one = given(start.world, fail_refund(method="credit_card"))
    world = given(one.world, retry_refund(), pay_refund(method="alipay")).world
    assert world.order().refunds["R1"].paid_by == {"alipay": 10_000}
    both = one.when(fail_refund(method="alipay")).topics(FAILED)
    assert both.order().refundable_minor == 10_000
    start.when(fail_refund()).topics(FAILED, FAILED)


def test_what_went_to_the_account_does_not_fail() -> None:
    paid = given(MIXED.world, pay_refund())
    paid.when(fail_refund(method="store_credit")).refused("refund_is_credited")
