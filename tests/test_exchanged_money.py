"""Money of an exchange: it goes back to where it came in, never more than is there, and what was
bought with it does not leave while a bank asks for it.
"""

from __future__ import annotations

from typing import Any

import pytest

from domain.account_facts import BalanceGivenBack
from domain.case_commands import CloseCase
from domain.desk_names import account_stream, order_stream
from domain.message import Command
from domain.order_facts import RefundPaid
from domain.order_money import settlement
from domain.payment_commands import LoseChargeback, WinChargeback
from tests.given import REFUNDED, World, after, given
from tests.given_money import credit, dispute, gift, money, pay
from tests.given_orders import cancel, deliver, dispatch, line, pack, place, register
from tests.given_returns import exchange, pay_refund, refund, take_back
from tests.test_provider_rules import apply, both, told

HELD = ("order.case_opened.v1", "order.held.v1")
ALIPAY: dict[str, Any] = {"payment_method": "alipay"}  # pays the rest of the new order
FOR_A_POT = exchange(line("POT", 1, 6_000), back=((1, 1),), **ALIPAY)  # worth 5000
BACK = refund(5_000, order_id="B", refund_id="R9", reason="cancellation")
PAID = pay_refund("R9", "B")


def sent(*payments: Command, **more: Any) -> list[Command]:
    """Two teas at 50.00 at the customer's."""
    return [place("A", **more), *payments, pack((1, 2)), dispatch(), deliver()]


def paid_out(world: World, order_id: str = "B") -> dict[str, int]:
    facts = world.events[order_stream(order_id)]
    return {one.method: one.amount_minor for one in facts if isinstance(one, RefundPaid)}


def sums_are_true(world: World, *orders: str) -> None:
    for name in orders:
        told = settlement(world.order(name))
        rest = told.kept_minor + told.fees_minor + told.credit_minor
        assert told.paid_minor == rest + told.refunded_minor
        assert told.total_minor == (
            told.kept_minor + told.fees_minor + told.written_off_minor + told.unpaid_minor
        )


# -- back to where it came from --------------------------------------------------------------------


def test_the_worth_of_exchanged_goods_goes_back_as_they_were_paid() -> None:
    """covers: A67"""
    start = after(*sent(pay(10_000)), FOR_A_POT, cancel(order_id="B"), BACK)
    world = start.when(PAID).topics("order.refund_paid.v1")
    assert paid_out(world) == {"alipay": 5_000}
    sums_are_true(world, "A", "B")
    old, new = world.order(), world.order("B")
    assert (old.net_paid_minor, new.net_paid_minor, new.balance_minor) == (5_000, 0, 0)
    given(world).when(refund(1, order_id="B", refund_id="R10")).refused("refund_exceeds_paid")


def test_store_credit_is_a_way_for_it_as_well() -> None:
    start = after(register(), *sent(pay(10_000)), FOR_A_POT, cancel(order_id="B"), BACK)
    world = start.when(pay_refund("R9", "B", method="store_credit")).topics(
        "order.refund_paid.v1", "account.credit_granted.v1"
    )
    assert (paid_out(world), world.account().credit_minor) == ({"store_credit": 5_000}, 5_000)


def test_credit_goes_back_to_credit_and_a_gift_to_the_gift_it_was() -> None:
    """Bought for 7000 of credit and a gift of 3000, the newest of it exchanged first."""
    by = (credit(7_000), gift(3_000))
    bought = sent(payment_method="store_credit")
    start = after(register(), *by, *bought, FOR_A_POT, cancel(order_id="B"), BACK)
    start.when(pay_refund("R9", "B", method="alipay")).refused(
        "credit_goes_back_to_credit", allowed=["store_credit"]
    )
    world = start.when(PAID).topics("order.refund_paid.v1", "account.given_back.v1")
    (back,) = (
        one
        for one in world.events[account_stream("li", "CNY")]
        if isinstance(one, BalanceGivenBack)
    )
    assert (back.order_id, back.amount_minor, back.credit_minor) == ("A", 5_000, 5_000)
    assert world.account().liability_minor == 5_000
    whole = after(
        *(register(), *by, *bought, exchange(line("POT", 1, 9_000), back=((1, 2),), **ALIPAY)),
        *(cancel(order_id="B"), refund(10_000, order_id="B", refund_id="R9")),
    )
    account = given(whole.world, PAID).world.account()
    assert (account.credit_minor, account.gifts["G1"].left_minor) == (7_000, 3_000)


def test_two_payments_of_the_goods_are_two_of_what_went_out_for_them() -> None:
    two = sent(pay(8_000), pay(2_000, "P2", method="store_credit"))
    start = after(register(), credit(2_000), *two, FOR_A_POT, cancel(order_id="B"))
    assert [one.amount_minor for one in start.world.order("B").payments.values()] == [2_000, 3_000]
    world = given(start.world, BACK, PAID).world
    assert paid_out(world) == {"store_credit": 2_000, "alipay": 3_000}
    assert world.account().credit_minor == 2_000
    sums_are_true(world, "A", "B")


def test_over_two_exchanges_it_goes_back_to_the_first_payment() -> None:
    start = after(register(), credit(10_000), *sent(payment_method="store_credit"), FOR_A_POT)
    ship = (pay(1_000, order_id="B", payment_id="P9"), pack((1, 1), order_id="B", parcel_id="L"))
    ids: dict[str, Any] = {"return_id": "T2", "refund_id": "R2", "new_order_id": "C"}
    again = exchange(
        line("CUP", 1, 100), back=((1, 1),), order_id="B", numbers=("number-C",), **ids
    )
    more: dict[str, Any] = {"order_id": "C", "refund_id": "R9"}
    world = given(start.world, *ship, dispatch("L"), deliver("L"), again).world
    world = given(world, cancel(order_id="C"), refund(6_000, **more), pay_refund("R9", "C")).world
    assert paid_out(world, "C") == {"alipay": 1_000, "store_credit": 5_000}
    assert world.account().credit_minor == 5_000
    sums_are_true(world, "A", "B", "C")


# -- never above what is there ---------------------------------------------------------------------


def test_what_a_bank_asks_back_is_not_paid_out_on_the_new_order() -> None:
    start = after(*sent(pay(10_000)), FOR_A_POT, BACK, dispute())
    start.when(PAID).refused("chargeback_open", refundable_minor=0, payment_id="P1", order_id="A")
    given(start.world, money(WinChargeback, chargeback_id="C-P1")).when(PAID).topics(
        "order.refund_paid.v1"
    )
    lost = given(start.world, money(LoseChargeback, chargeback_id="C-P1"))
    lost.when(PAID).refused("refund_exceeds_payment", asked_minor=5_000, lost_minor=10_000)
    by_credit = pay_refund("R9", "B", method="store_credit")
    lost.when(by_credit).refused("refund_exceeds_payment", refundable_minor=0)
    lost.when(refund(1, order_id="B", refund_id="R10")).refused("refund_exceeds_paid")
    sums_are_true(lost.world, "A", "B")


def test_what_a_bank_has_left_of_it_can_go_back() -> None:
    """7000 of 10000 were taken: of the 5000 for the exchanged goods 3000 are still there."""
    taken = (dispute("P1", 7_000), money(LoseChargeback, chargeback_id="C-P1"))
    start = after(*sent(pay(10_000)), FOR_A_POT, *taken)
    more: dict[str, Any] = {"order_id": "B", "refund_id": "R9"}
    start.when(refund(3_001, **more)).refused("refund_exceeds_payment", refundable_minor=3_000)
    world = given(start.world, refund(3_000, **more), PAID).world
    given(world).when(refund(1, order_id="B", refund_id="R10")).refused(
        "refund_exceeds_payment", refundable_minor=0
    )


def test_of_what_went_on_in_a_second_exchange_all_or_nothing_can_go_back() -> None:
    """Two orders would share what the bank has left of it."""
    ids: dict[str, Any] = {"return_id": "T2", "refund_id": "R2", "new_order_id": "C"}
    ship = (pay(1_000, order_id="B", payment_id="P9"), pack((1, 1), order_id="B", parcel_id="L"))
    again = exchange(line("CUP", 1, 9), back=((1, 1),), order_id="B", numbers=("number-C",), **ids)
    chain = (FOR_A_POT, *ship, dispatch("L"), deliver("L"), again)
    start = after(*sent(pay(10_000)), *chain, dispute("P1", 1_000))
    more: dict[str, Any] = {"order_id": "C", "refund_id": "R9"}
    start.when(refund(5_991, **more)).topics(*REFUNDED)
    most = given(start.world, dispute("P1", 7_000, chargeback_id="C-2"))
    most.when(refund(5_991, **more)).refused("chargeback_open", refundable_minor=0)


def test_what_went_back_of_the_old_order_counts_first() -> None:
    other = (refund(None, (1, 1), refund_id="R2"), pay_refund("R2"))
    taken = (dispute("P1", 4_000), money(LoseChargeback, chargeback_id="C-P1"))
    start = after(*sent(pay(10_000)), FOR_A_POT, *other, *taken)
    assert start.world.order().payments["P1"].here_minor == 6_000
    more: dict[str, Any] = {"order_id": "B", "refund_id": "R9"}
    start.when(refund(1_001, **more)).refused("refund_exceeds_payment", refundable_minor=1_000)
    start.when(refund(1_000, **more)).topics(*REFUNDED)


# -- does not leave --------------------------------------------------------------------------------


def test_what_disputed_money_was_exchanged_for_is_held() -> None:
    ready = (pay(1_000, order_id="B", payment_id="P9"), pack((1, 1), order_id="B", parcel_id="L"))
    start = after(*sent(pay(10_000)), FOR_A_POT, *ready)
    world = start.when(dispute()).topics("order.chargeback_opened.v2", *HELD)
    given(world).when(dispute()).nothing()
    (case_id,) = world.order("B").cases.cases
    case = world.order("B").cases.cases[case_id]
    assert (case.kind, case.blocking, dict(case.figures or {})) == (
        "chargeback",
        True,
        {"of_order_id": "A", "exchanged_minor": 5_000},
    )
    given(world).when(dispatch("L")).refused("order_held")
    ended = given(world, money(WinChargeback, chargeback_id="C-P1"))
    ended.when(dispatch("L")).refused("order_held")
    seen: dict[str, Any] = {"order_id": "B", "case_id": case_id, "cause": "customer"}
    closed = given(ended.world, money(CloseCase, action="the bank gave it back", **seen))
    assert given(closed.world, dispatch("L")).world.order("B").lines[1].dispatched == 1


NOT_HELD = ["dispatched", "cancelled", "another payment", "nothing was exchanged"]


@pytest.mark.parametrize("gone", NOT_HELD)
def test_only_what_can_still_be_held_and_was_paid_with_it_is_held(gone: str) -> None:
    two = sent(pay(4_000), pay(6_000, "P2"))
    ready = (pay(1_000, order_id="B", payment_id="P9"), pack((1, 1), order_id="B", parcel_id="L"))
    world = after(*two).world if gone == "nothing was exchanged" else after(*two, FOR_A_POT).world
    if gone == "dispatched":
        world = given(world, *ready, dispatch("L")).world
    if gone == "cancelled":
        world = given(world, cancel(order_id="B"), BACK).world
    disputed = dispute("P1" if gone == "another payment" else "P2")
    given(world).when(disputed).topics("order.chargeback_opened.v2")


def test_a_cancelled_order_with_such_money_is_held_for_it_may_be_brought_back() -> None:
    start = after(*sent(pay(10_000)), FOR_A_POT, cancel(order_id="B"))
    start.when(dispute()).topics("order.chargeback_opened.v2", *HELD)


def test_a_second_exchange_is_held_as_well() -> None:
    ids: dict[str, Any] = {"return_id": "T2", "refund_id": "R2", "new_order_id": "C"}
    ship = (pay(1_000, order_id="B", payment_id="P9"), pack((1, 1), order_id="B", parcel_id="L"))
    again = exchange(line("CUP", 1), back=((1, 1),), order_id="B", numbers=("number-C",), **ids)
    start = after(*sent(pay(10_000)), FOR_A_POT, *ship, dispatch("L"), deliver("L"), again)
    world = start.when(dispute()).topics("order.chargeback_opened.v2", *HELD)
    assert (len(world.order("B").cases.holds), len(world.order("C").cases.holds)) == (0, 1)
    took = take_back((1, 1), return_id="T2", refund_id="R7", order_id="B")
    assert given(world, took).world.order("B").returns["T2"].status == "closed"


def test_a_dispute_that_a_provider_tells_of_holds_it_too() -> None:
    ready = (pack((1, 2)), dispatch(), deliver())
    start = after(place(), *both(told("captured")), *ready, FOR_A_POT)
    notice = told("chargeback_opened", dispute="dp-1", code="fraud")
    world = given(start.world, notice).when(apply(notice)).world
    assert [one.kind for one in world.order("B").cases.cases.values()] == ["chargeback"]
    packing = pack((1, 1), order_id="B", parcel_id="L")
    given(world).when(packing).refused("order_held")
