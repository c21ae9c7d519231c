"""What keeps money from leaving twice, to the wrong place, or past the second person."""

from __future__ import annotations

from domain.payment_commands import LoseChargeback, WinChargeback
from tests.given import (
    after,
    approve_refund,
    dispute,
    given,
    line,
    money,
    pay,
    pay_refund,
    place,
    refund,
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
