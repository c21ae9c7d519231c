"""What refunds take off the price: of units at the price in force, and of goods that stay."""

from __future__ import annotations

from typing import Any

import pytest

from domain.desk_names import order_stream
from domain.message import Command
from domain.order_facts import OrderCancelled
from domain.order_money import settlement
from domain.order_status import code, payment
from domain.payment_commands import (
    DeclareOverdue,
    LoseChargeback,
    RefundOverpayment,
    RefuseDelivery,
    ReinstateOrder,
)
from tests import papers
from tests.given import Given, World, after, given, hours
from tests.given_money import dispute, limit, money, pay
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
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)

SENT = (pack((1, 2)), dispatch(), deliver())
PAID = (place(), pay(10_000))
CHEAPER = amend({"line_no": 1, "unit_price_minor": 3_000})
DEARER = amend({"line_no": 1, "unit_price_minor": 7_000})
LOST = refund(None, (1, 1), reason="lost")
LATE = refund(1_000, reason="late")


def back(minor: int, refund_id: str = "R2", reason: str = "overpayment") -> tuple[Command, ...]:
    return refund(minor, refund_id=refund_id, reason=reason), pay_refund(refund_id)


def balance(world: World, minor: int, *, at_dispatch: int | None = None) -> World:
    """By every reading: below 0 it is to be given back, above it is asked for. `at_dispatch`: what
    has to come before goods leave, where that differs.
    """
    state = world.order()
    settled = settlement(state)
    assert state.balance_minor == minor
    assert (state.unpaid_minor, settled.credit_minor) == (max(0, minor), max(0, -minor))
    parts = settled.kept_minor + settled.refunded_minor + settled.credit_minor + settled.fees_minor
    assert settled.paid_minor == parts
    assert state.missing_minor == (max(0, minor) if at_dispatch is None else at_dispatch)
    return world


# -- a price that changes after units were refunded ----------------------------------------------


def test_a_lower_price_is_given_back_for_the_units_that_were_kept() -> None:
    """Of two at 5000 one was refunded. At 3000 the other costs 2000 less; all of it is 10000."""
    world = balance(after(*PAID, *SENT, LOST, pay_refund(), CHEAPER).world, -2_000)
    settled = settlement(world.order())
    assert (settled.kept_minor, settled.refunded_minor) == (3_000, 5_000)
    world = balance(given(world, *back(2_000)).world, 0)
    rest = given(world, refund(None, (1, 1), refund_id="R3", reason="lost")).world
    assert rest.order().refunds["R3"].amount_minor == 3_000
    balance(rest, 0)
    assert rest.order().refundable_minor == 0


def test_a_higher_price_is_asked_for_the_units_that_were_kept() -> None:
    world = balance(after(*PAID, *SENT, LOST, pay_refund(), DEARER).world, 2_000)
    paid = balance(given(world, pay(2_000, "P2")).world, 0)
    rest = given(paid, refund(None, (1, 1), refund_id="R2", reason="lost")).world
    assert rest.order().refunds["R2"].amount_minor == 7_000
    balance(rest, 0)


def test_a_lower_price_of_a_refunded_line_pays_for_no_other_line() -> None:
    """The tea costs a cent by now, the cup 5000 as before, of 15000 that were paid."""
    start = after(place("A", line(), line("CUP", 1, 5_000)), pay(15_000), *SENT, LOST)
    cent = amend({"line_no": 1, "unit_price_minor": 1})
    world = balance(given(start.world, cent).world, -(15_000 - 5_000 - 5_001))
    assert settlement(world.order()).kept_minor == 5_001


def test_the_price_of_fewer_units_holds_for_those_that_were_refunded() -> None:
    """Four at 2500 less 1500: 8500. One is refunded; of three the discount is 500 each: 2000."""
    tea = line(quantity=4, price=2_500, discount_minor=1_500)
    sent = (pack((1, 2)), dispatch())
    start = after(place("A", tea), pay(8_500), *sent, LOST)
    assert start.world.order().refunds["R1"].amount_minor == 2_125
    world = given(start.world, amend({"line_no": 1, "quantity": 3})).world
    balance(world, -(8_500 - 2_125 - 4_000))


def test_the_tax_of_a_refund_is_that_of_the_price_in_force() -> None:
    tea = line(tax_rate_bp=1_300)
    bought = place("A", tea, prices_include_tax=False)
    start = after(bought, pay(11_300), *SENT, LOST, CHEAPER)
    rest = given(start.world, refund(None, (1, 1), refund_id="R2", reason="lost")).world
    assert rest.order().refunds["R2"].lines[1].tax_minor == 390
    assert rest.order().refunds["R2"].amount_minor == 3_390
    balance(rest, -(11_300 - 5_650 - 3_390))


def test_a_price_that_falls_and_rises_again_leaves_what_was_given_back() -> None:
    """covers: R4: also after three units at an odd price were refunded one by one."""
    tea = line(quantity=3, price=3_333)
    sent = (pack((1, 3)), dispatch(), deliver())
    start = after(place("A", tea), pay(9_999), *sent, LOST)
    for price in (1, 7_777, 3_333):
        change = amend({"line_no": 1, "unit_price_minor": price})
        start = given(start.world, change)
    world = balance(start.world, 0)
    for name in ("R2", "R3"):
        world = given(world, refund(None, (1, 1), refund_id=name, reason="lost")).world
    balance(world, 0)
    assert world.order().refunded_minor == 9_999


def test_a_failed_refund_is_not_tried_again_at_the_old_price() -> None:
    """5000 for a unit that costs 3000 by now: 4000 are a credit, of which nothing goes twice."""
    failed = after(*PAID, *SENT, LOST, fail_refund(), CHEAPER)
    balance(failed.world, -4_000)
    failed.when(retry_refund()).refused(
        "refund_exceeds_line", asked_minor=5_000, refundable_minor=3_000
    )
    again = after(*PAID, *SENT, LOST, fail_refund(), CHEAPER, DEARER, retry_refund())
    balance(again.world, 2_000)


def test_what_was_refunded_at_an_old_price_is_denied_for_all_of_it() -> None:
    world = after(*PAID, *SENT, LOST, CHEAPER, deny_refund()).world
    balance(world, -4_000)
    assert world.order().lines[1].given_back == 0


def test_goods_that_came_back_unpaid_are_owed_no_longer_at_any_price() -> None:
    known = (register(), limit(20_000), place(payment_method="on_account"))
    returned = (send_back((1, 1)), approve_return(), take_back((1, 1)))
    for price in (CHEAPER, DEARER):
        world = after(*known, *SENT, *returned, price).world
        state = world.order()
        assert state.balance_minor == state.lines[1].gross_minor // 2
        assert world.account().exposures["A"] == state.balance_minor


def test_what_was_kept_of_a_refund_stays_kept_at_another_price() -> None:
    """A fee of 750 of a unit at 5000: at 3000 the other unit and the fee are kept."""
    rules = publish(returns={"restocking_fee_bp": 1_500})
    returned = (send_back((1, 1)), approve_return(), take_back((1, 1), refund_id="R1"))
    start = after(rules, *PAID, *SENT, *returned)
    balance(start.world, 0)
    world = balance(given(start.world, CHEAPER).world, -2_000)
    assert world.order().refundable_minor == 5_000


# -- units that are still in the house -----------------------------------------------------------

IN_HOUSE = after(*PAID, refund(None, (1, 1)), pay_refund())


def test_a_lower_price_gives_nothing_back_while_refunded_goods_may_still_leave() -> None:
    """5000 are here, both cost 6000: with 1000 more they leave, cancelled in part 2000 go back."""
    world = balance(given(IN_HOUSE.world, CHEAPER).world, 0, at_dispatch=1_000)
    given(world, pack((1, 2))).when(dispatch()).refused("not_paid", due_minor=1_000)
    both = given(world, pay(1_000, "P2"), *SENT).world
    balance(both, 0)
    balance(given(world, cancel((1, 1))).world, -2_000)
    balance(given(world, amend({"line_no": 1, "quantity": 1})).world, -2_000)


def test_refunded_goods_that_are_paid_again_leave_and_are_no_overpayment() -> None:
    world = balance(given(IN_HOUSE.world, pay(5_000, "P2")).world, 0)
    later = money(RefundOverpayment, at=hours(24 * 30), actor="deadlines")
    given(world).when(later).nothing()
    world = balance(given(world, *SENT).world, 0)
    taken = given(world, dispute("P2"), money(LoseChargeback, chargeback_id="C-P2")).world
    balance(taken, 5_000)
    world = given(world, refund(None, (1, 2), refund_id="R2", reason="lost")).world
    assert world.order().refunds["R2"].amount_minor == 10_000
    balance(world, 0)


def test_refunded_goods_that_leave_unpaid_are_owed_again() -> None:
    known = (register(), limit(20_000), place(payment_method="on_account"), pay(10_000))
    world = after(*known, refund(None, (1, 1)), pay_refund()).world
    world = given(world, *SENT).world
    balance(world, 5_000)
    assert world.account().exposures["A"] == 5_000
    trusted = dispatch(unpaid_reason="a friend")
    balance(given(IN_HOUSE.world, pack((1, 2)), trusted).world, 5_000)


def test_what_is_owed_again_since_it_left_is_due_a_term_later() -> None:
    """Sent on the 31st: 72 hours later it is overdue, not from the placement on."""
    later = dispatch(unpaid_reason="a friend", at=hours(24 * 30))
    world = given(IN_HOUSE.world, pack((1, 2)), later).world
    given(world).when(money(DeclareOverdue, at=hours(24 * 33))).refused("not_due")
    overdue = money(DeclareOverdue, at=hours(24 * 33 + 1))
    given(world).when(overdue).topics("order.payment_overdue.v1")


def test_a_unit_that_was_refunded_and_cancelled_leaves_the_other_to_be_refunded() -> None:
    """The second refund is for what was sent: nothing of it is owed again."""
    gone = given(IN_HOUSE.world, cancel((1, 1)), pack((1, 1)), dispatch(), deliver())
    for reason in ("other", "lost"):
        again = refund(None, (1, 1), refund_id="R2", reason=reason)
        balance(given(gone.world, again).world, 0)
    smaller = given(IN_HOUSE.world, amend({"line_no": 1, "quantity": 1}))
    in_house = given(smaller.world, refund(None, (1, 1), refund_id="R2")).world
    balance(in_house, 0, at_dispatch=5_000)
    world = given(smaller.world, pack((1, 1)), dispatch()).world
    rest = given(world, refund(None, (1, 1), refund_id="R2", reason="lost")).world
    assert rest.order().refunds["R2"].amount_minor == 5_000
    balance(rest, 0)


def test_a_unit_that_was_refunded_and_refused_at_the_door_pays_for_no_other_line() -> None:
    bought = place("A", line(), line("CUP", 1, 5_000), payment_method="cash_on_delivery")
    sent = (pay(15_000), pack((1, 2)), dispatch(), LOST, pay_refund())
    refused = money(RefuseDelivery, parcel_id="K", freight_minor=0)
    balance(after(bought, *sent, refused).world, -5_000)


def test_what_a_cancellation_leaves_to_give_back_stands_in_its_fact() -> None:
    """One of two was sent and refunded, the other is cancelled: the rest of the money goes back."""
    start = after(*PAID, pack((1, 1)), dispatch(), LOST)
    world = balance(given(start.world, cancel((1, 1))).world, -5_000)
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, OrderCancelled)
    assert fact.refund_due_minor == 5_000


# -- amounts: a price that falls -----------------------------------------------------------------


@pytest.mark.parametrize("reason", ["late", "other", "lost"])
def test_an_order_whose_price_was_reduced_is_shipped(reason: str) -> None:
    """covers: R14: nothing is owed at any step, and 9000 are kept."""
    world = after(*PAID).world
    for step in (refund(1_000, reason=reason), pay_refund(), pack((1, 2)), dispatch(), deliver()):
        world = balance(given(world, step).world, 0)
    assert settlement(world.order()).kept_minor == 9_000
    assert (payment(world.order()), code(world.order())) == ("partially_refunded", "delivered")


def test_the_shipping_that_was_given_back_does_not_hold_the_goods() -> None:
    start = after(place(shipping_minor=800), pay(10_800))
    only = refund(None, shipping_minor=800, reason="late")
    balance(given(start.world, only, pay_refund(), *SENT).world, 0)


def test_money_for_goods_that_are_not_wanted_keeps_them_in_the_house() -> None:
    for reason in ("changed_mind", "cancellation"):
        world = given(after(*PAID).world, refund(5_000, reason=reason), pay_refund()).world
        balance(world, 0, at_dispatch=5_000)
        given(world, pack((1, 2))).when(dispatch()).refused("not_paid", due_minor=5_000)
        balance(given(world, cancel((1, 1))).world, 0)
        paid = balance(given(world, pay(5_000, "P2"), *SENT).world, 0)
        taken = given(paid, dispute("P2"), money(LoseChargeback, chargeback_id="C-P2")).world
        balance(taken, 5_000)


def test_money_for_goods_that_were_cancelled_then_is_not_given_twice() -> None:
    """5000 went back, then one of two is bought no more: the bank takes all: 10000 are owed."""
    start = after(*PAID, refund(5_000, reason="changed_mind"), pay_refund())
    taken = (dispute(), money(LoseChargeback, chargeback_id="C-P1"))
    for gone in (cancel((1, 1)), amend({"line_no": 1, "quantity": 1})):
        world = balance(given(start.world, gone).world, 0)
        assert given(world, *taken).world.order().balance_minor == 10_000


def test_what_was_paid_too_much_lowers_nothing() -> None:
    """More than the credit went back: that is owed again, and asked for before goods leave."""
    world = balance(after(place(), pay(12_000), *back(3_000)).world, 1_000)
    given(world, pack((1, 2))).when(dispatch()).refused("not_paid", due_minor=1_000)


def test_a_credit_goes_back_before_the_price_falls() -> None:
    world = after(place(), pay(12_000), refund(2_500, reason="late")).world
    balance(world, 0)
    assert settlement(world.order()).kept_minor == 9_500


def test_a_part_paid_order_owes_what_it_owed_when_its_reduction_is_paid_out() -> None:
    """6000 of 10000 are here. 1000 off and paid out: 9000 are the price, 5000 are here."""
    world = after(place(), pay(6_000), LATE).world
    for step in (None, pay_refund()):
        world = balance(given(world, *([step] if step else [])).world, 4_000)
    assert code(world.order()) == "awaiting_payment"
    given(world, pack((1, 2))).when(dispatch()).refused("not_paid", due_minor=4_000)
    balance(given(world, pay(4_000, "P2"), *SENT).world, 0)
    cheaper = amend({"line_no": 1, "discount_minor": 1_000})
    balance(after(place(), pay(6_000), cheaper).world, 3_000)


def test_a_reduction_that_is_denied_or_fails_reduces_nothing() -> None:
    denied = after(*PAID, LATE, deny_refund()).world
    assert settlement(balance(denied, 0).order()).kept_minor == 10_000
    failed = given(after(*PAID, LATE).world, fail_refund()).world
    balance(failed, 0)
    again = given(failed, cancel((1, 1)), retry_refund(), pay_refund()).world
    assert balance(again, 0 - 4_000).order().reduced_minor == 0


def test_a_reduction_goes_with_the_units_that_are_cancelled() -> None:
    """1000 off two units: a cancelled one gives 4500 back, the kept one costs 4500."""
    start = after(*PAID, LATE, pay_refund())
    for gone in (cancel((1, 1)), amend({"line_no": 1, "quantity": 1})):
        world = balance(given(start.world, gone).world, -4_500)
        assert settlement(world.order()).kept_minor == 4_500
    balance(given(start.world, cancel()).world, -9_000)


def test_refunds_by_line_take_their_part_of_a_reduction() -> None:
    """covers: R4, R13: 1001 by amount and the units one by one come to what was paid."""
    bought = place("A", line(), line("CUP", 1, 5_000))
    world = after(bought, pay(15_000), pack((1, 2), (2, 1)), dispatch(), deliver()).world
    world = given(world, refund(1_001, reason="late")).world
    for n, no in enumerate((1, 2, 1)):
        one = refund(None, (no, 1), refund_id=f"L{n}", reason="lost")
        world = balance(given(world, one).world, 0)
    amounts = [one.amount_minor for one in world.order().refunds.values()]
    assert (sum(amounts), amounts[0]) == (15_000, 1_001)
    assert [4_666 <= amount <= 4_667 for amount in amounts[1:]] == [True] * 3


def test_goods_that_come_back_take_their_part_of_a_reduction() -> None:
    start = after(*PAID, *SENT, LATE)
    returned = (send_back((1, 1)), approve_return(), take_back((1, 1), refund_id="R2"))
    world = balance(given(start.world, *returned).world, 0)
    assert world.order().refunds["R2"].amount_minor == 4_500
    account = (register(), limit(20_000), place(payment_method="on_account"), pay(1_000))
    unpaid = after(*account, *SENT, LATE, *returned).world
    balance(unpaid, 4_500)


def test_a_reduction_never_makes_a_line_cost_less_than_nothing() -> None:
    """Half of 1000 is off the cup, which costs 100 by now: the tea is 500 cheaper as before."""
    bought = place("A", line("TEA", 1, 5_000), line("CUP", 1, 5_000))
    cheap = amend({"line_no": 2, "unit_price_minor": 100})
    world = after(bought, pay(10_000), LATE, cheap).world
    assert settlement(world.order()).kept_minor == 4_500
    balance(world, -4_500)


def test_an_order_that_is_brought_back_owes_its_reduction_again() -> None:
    gone = after(*PAID, LATE, pay_refund(), cancel(), *back(9_000, reason="cancellation"))
    world = balance(given(gone.world, money(ReinstateOrder)).world, 10_000)
    assert payment(world.order()) == "unpaid"


# -- papers --------------------------------------------------------------------------------------


def _papers(world: World) -> int:
    found = world.order().papers
    invoiced = sum(one.total_minor for one in found.invoices.values())
    return invoiced - sum(one.total_minor for one in found.credit_notes.values())


def _credited(start: Given, *commands: Command) -> int:
    return _papers(given(start.world, *commands).world)


def test_papers_say_what_a_reduced_order_costs() -> None:
    """Invoiced before or after: 10000 less a credit note over what was given back."""
    before = after(*PAID, papers.issue(), LATE, pay_refund())
    assert _credited(before, papers.credit(refund_id="R1")) == 9_000
    later = after(*PAID, LATE, pay_refund(), *SENT, papers.issue())
    assert _credited(later, papers.credit(refund_id="R1")) == 9_000
    noted = given(before.world, papers.credit(refund_id="R1"), cancel((1, 1)), *back(4_500))
    assert _credited(noted, papers.credit(paper_id="C2")) == 4_500
    assert balance(noted.world, 0).order().owed_minor == 4_500


def test_papers_say_what_a_cheaper_refunded_line_costs() -> None:
    start = after(*PAID, *SENT, papers.issue(), LOST, pay_refund())
    noted = given(start.world, papers.credit(refund_id="R1"), CHEAPER, *back(2_000))
    more: dict[str, Any] = {"paper_id": "C2"}
    world = given(noted.world, papers.credit(**more)).world
    assert _papers(world) == world.order().owed_minor == 3_000
