"""Store credit, gifts with an expiry, and orders on account within a limit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain import desk_names
from domain.account import Account, evolve
from domain.account_facts import (
    BalanceGivenBack,
    BalanceSpent,
    CreditGranted,
    ExposureFreed,
    ExposureTaken,
    GiftExpired,
    GiftPart,
    LimitSet,
)
from domain.order_facts import OrderApproved, OrderPlaced, PaymentCaptured
from domain.placement_commands import PlaceOrder
from tests.given import NOON, Given, after, given, hours
from tests.given_money import credit, expire_gifts, gift, limit, pay
from tests.given_orders import amend, cancel, line, place, receive, register, void
from tests.given_returns import compensate, pay_refund, refund

LI = desk_names.account_stream("li", "CNY")
A = desk_names.order_stream("A")
WHOSE: dict[str, Any] = {"customer_id": "li", "currency": "CNY"}


def on_account(order_id: str = "A", *lines: Any) -> PlaceOrder:
    """An order of 100.00 that is paid later, unless lines are given."""
    return place(order_id, *lines, payment_method="on_account")


def by_credit(order_id: str = "A", *lines: Any, at: datetime = NOON) -> PlaceOrder:
    return place(order_id, *lines, payment_method="store_credit", at=at)


def by_gift(order_id: str = "A", *lines: Any, at: datetime = NOON) -> PlaceOrder:
    return place(order_id, *lines, payment_method="gift_balance", at=at)


def parts(**amounts: int) -> list[GiftPart]:
    return [GiftPart(gift_id=name, amount_minor=amount) for name, amount in amounts.items()]


@pytest.fixture
def known() -> Given:
    return after(register())


# -- credit and gifts ----------------------------------------------------------------------------


def test_credit_is_granted_with_its_cause(known: Given) -> None:
    command = credit(500, reference="case 7", text="Li was patient")
    granted = CreditGranted(
        **WHOSE,
        person="customer/li",
        amount_minor=500,
        cause="compensation",
        reason_code="late",
        reference="case 7",
        text="Li was patient",
        at=NOON,
    )
    world = known.when(command).then({LI: [granted]})
    assert world.account().liability_minor == 500
    given(world).when(credit(500)).topics("account.credit_granted.v1")


def test_who_the_account_is_of_has_to_be_known() -> None:
    """A slip in the id would make money that is nobody's."""
    for command in (credit(1), gift(1), limit(1)):
        given().when(command).refused("customer_not_found", customer_id="li")
    given().when(expire_gifts()).nothing()


def test_a_correction_takes_back_credit_that_is_still_there(known: Given) -> None:
    start = given(known.world, credit(500), gift(900))
    wrong = credit(-501, cause="correction")
    start.when(wrong).refused("correction_exceeds_credit", asked_minor=501, credit_minor=500)
    world = start.when(credit(-500, cause="correction")).world
    assert world.account().credit_minor == 0
    assert world.account().liability_minor == world.account().issued_minor == 900
    with pytest.raises(ValidationError, match="only a correction"):
        credit(-1)
    with pytest.raises(ValidationError, match="must not be 0"):
        credit(0)


def test_a_gift_is_issued_once(known: Given) -> None:
    start = given(known.world, gift(500))
    start.when(gift(500)).nothing()
    start.when(gift(501)).refused("gift_differs", gift_id="G1", amount_minor=500)
    start.when(gift(1, "G2", days=0)).refused("gift_already_expired")


def test_an_account_has_bounds(known: Given) -> None:
    start = given(known.world, *[credit(10**12) for _ in range(1000)])
    start.when(credit(1)).refused("account_too_large", liability_minor=10**15, asked_minor=1)
    start.when(gift(1)).refused("account_too_large")
    many = given(known.world, *[gift(1, f"G{n}") for n in range(500)])
    many.when(gift(1, "one more")).refused("too_many_gifts", open=500)
    given(many.world, by_gift("A", line(price=1))).when(gift(1, "one more")).topics(
        "account.gift_issued.v1"
    )


def test_what_is_left_of_a_gift_expires_once(known: Given) -> None:
    """covers: A64: liability total = issued - spent - expired"""
    start = given(known.world, gift(500, days=1), gift(700, "G2", days=2), credit(9))
    start = given(start.world, by_gift("A", line(quantity=1, price=200)))
    start.when(expire_gifts(hours(23.99))).nothing()
    expired = GiftExpired(
        **WHOSE, gift_id="G1", amount_minor=300, expires_at=hours(24), at=hours(24)
    )
    world = start.when(expire_gifts(hours(24))).then({LI: [expired]})
    given(world).when(expire_gifts(hours(24))).nothing()
    state = world.account()
    assert state.liability_minor == 709 == 1209 - 200 - 300
    assert (state.issued_minor, state.spent_minor, state.expired_minor) == (1209, 200, 300)


# -- spending ------------------------------------------------------------------------------------


def test_an_order_is_placed_and_paid_out_of_the_account_in_one_write(known: Given) -> None:
    start = given(known.world, credit(12000))
    world = start.when(by_credit()).topics(
        "order.placed.v4", "order.approved.v1", "order.payment_captured.v2", "account.spent.v1"
    )
    placed, approved, paid = world.events[A]
    assert isinstance(placed, OrderPlaced)
    assert isinstance(approved, OrderApproved)
    assert isinstance(paid, PaymentCaptured)
    assert (paid.method, paid.amount_minor, paid.person) == ("store_credit", 10000, "order/A")
    assert world.events[LI][-1] == BalanceSpent(
        **WHOSE,
        order_id="A",
        payment_id=paid.payment_id,
        amount_minor=10000,
        credit_minor=10000,
        at=NOON,
    )
    assert world.order().unpaid_minor == 0
    assert world.account().credit_minor == 2000
    given(world).when(by_credit()).nothing()


def test_more_than_there_is_is_refused_with_the_numbers(known: Given) -> None:
    start = given(known.world, credit(6000), gift(3999))
    refused = start.when(by_credit())
    refused.refused(
        "insufficient_credit",
        asked_minor=10000,
        available_minor=9999,
        credit_minor=6000,
        gift_minor=3999,
    )
    assert refused.message == "100.00 asked, 99.99 there"
    start.when(by_gift()).refused("insufficient_credit", available_minor=3999, credit_minor=0)
    given(start.world, credit(1)).when(by_credit()).topics(
        "order.placed.v4", "order.approved.v1", "order.payment_captured.v2", "account.spent.v1"
    )


def test_an_order_that_costs_nothing_takes_nothing() -> None:
    free = line(price=0)
    for method in ("store_credit", "gift_balance", "on_account"):
        world = after(place("A", free, payment_method=method)).world
        assert LI not in world.events


def test_gifts_are_spent_before_credit_and_the_earliest_expiry_first(known: Given) -> None:
    gifts = (gift(3000, "late", days=9), gift(3000, "soon", days=2), gift(3000, "gone", days=1))
    start = given(known.world, *gifts, credit(9000))
    world = start.when(by_credit(at=hours(24))).world
    spent = world.events[LI][-1]
    assert isinstance(spent, BalanceSpent)
    assert spent.gifts == parts(soon=3000, late=3000)
    assert spent.credit_minor == 4000
    assert world.account().gifts["gone"].left_minor == 3000


def test_an_expired_gift_buys_nothing_even_if_nobody_wrote_it_off(known: Given) -> None:
    start = given(known.world, gift(10000, days=1))
    start.when(by_gift(at=hours(24))).refused("insufficient_credit", gift_minor=0)
    late = place("B", payment_method="alipay")
    dated_back = pay(100, order_id="B", method="gift_balance", at=hours(24), occurred_at=NOON)
    given(start.world, late).when(dated_back).refused("insufficient_credit")
    start.when(by_gift(at=hours(23.99))).topics(
        "order.placed.v4", "order.approved.v1", "order.payment_captured.v2", "account.spent.v1"
    )


def test_a_payment_by_command_spends_as_well(known: Given) -> None:
    start = given(known.world, credit(3000), place())
    world = start.when(pay(2000, method="store_credit")).topics(
        "order.payment_captured.v2", "account.spent.v1"
    )
    given(world).when(pay(2000, method="store_credit")).nothing()
    given(world).when(pay(1001, "P2", method="store_credit")).refused("insufficient_credit")
    assert LI not in world.needed(pay(1, "P3"))


# -- giving back ---------------------------------------------------------------------------------


def test_a_refund_goes_back_to_what_it_came_from(known: Given) -> None:
    """The last that was spent first: credit, then the gift that expires last."""
    gifts = (gift(3000, "soon", days=2), gift(3000, "late", days=9))
    world = given(known.world, *gifts, credit(4000), by_credit()).world
    (payment_id,) = world.order().payments
    back = given(world, refund(9000)).when(pay_refund())
    returned = BalanceGivenBack(
        **WHOSE,
        order_id="A",
        refund_id="R1",
        payment_id=payment_id,
        amount_minor=9000,
        credit_minor=4000,
        gifts=parts(late=3000, soon=2000),
        at=NOON,
    )
    world = back.topics("order.refund_paid.v1", "account.given_back.v1")
    assert world.events[LI][-1] == returned
    state = world.account()
    assert (state.credit_minor, state.gift_minor(NOON)) == (4000, 5000)
    given(world).when(pay_refund()).nothing()
    rest = given(world, refund(1000, refund_id="R2"), pay_refund("R2")).world.account()
    assert rest.liability_minor == 10000
    assert not rest.spends


def test_what_a_gift_paid_comes_back_as_credit_once_it_has_expired(known: Given) -> None:
    gifts = (gift(4000, "soon", days=2), gift(6000, "late", days=9))
    start = given(known.world, *gifts, by_gift(), refund(8000))
    world = start.when(pay_refund(at=hours(48))).world
    returned = world.events[LI][-1]
    assert isinstance(returned, BalanceGivenBack)
    assert (returned.gifts, returned.lapsed) == (parts(late=6000), parts(soon=2000))
    assert returned.credit_minor == world.account().credit_minor == 2000
    rest = given(world, refund(2000, refund_id="R2"), pay_refund("R2", at=hours(48))).world
    assert rest.account().credit_minor == 4000
    assert not rest.account().spends


def test_other_money_refunded_as_credit_is_granted() -> None:
    start = after(place(), pay(10000), refund(4000))
    world = start.when(pay_refund(method="store_credit")).topics(
        "order.refund_paid.v1", "account.credit_granted.v1"
    )
    granted = world.events[LI][-1]
    assert isinstance(granted, CreditGranted)
    assert (granted.cause, granted.order_id, granted.refund_id) == ("refund", "A", "R1")
    assert world.account().credit_minor == world.account().issued_minor == 4000


def test_money_of_two_kinds_goes_back_to_each(known: Given) -> None:
    both = (pay(7000, "P1"), pay(3000, "P2", method="store_credit"))
    start = given(known.world, credit(3000), place(), *both, refund(5000))
    world = start.when(pay_refund()).topics(
        "order.refund_paid.v1", "order.refund_paid.v1", "account.given_back.v1"
    )
    state = world.account()
    assert (state.given_back_minor, state.issued_minor, state.credit_minor) == (3000, 3000, 3000)
    world = start.when(pay_refund(method="store_credit")).topics(
        "order.refund_paid.v1", "account.given_back.v1", "account.credit_granted.v1"
    )
    state = world.account()
    assert (state.given_back_minor, state.issued_minor, state.credit_minor) == (3000, 5000, 5000)


# -- on account ----------------------------------------------------------------------------------


def test_without_a_limit_nothing_is_sold_on_account(known: Given) -> None:
    known.when(on_account()).refused("no_credit_limit", asked_minor=10000)
    given(known.world, limit(0)).when(on_account()).refused("credit_limit_exceeded", limit_minor=0)


def test_an_order_on_account_takes_its_part_of_the_limit(known: Given) -> None:
    """covers: A82"""
    start = given(known.world, limit(15000))
    taken = ExposureTaken(**WHOSE, order_id="A", amount_minor=10000, at=NOON)
    world = start.when(on_account()).world
    assert world.events[LI][-1] == taken
    refused = given(world).when(on_account("B"))
    refused.refused(
        "credit_limit_exceeded",
        limit_minor=15000,
        exposure_minor=10000,
        asked_minor=10000,
        available_minor=5000,
    )
    assert refused.message == "100.00 asked, 50.00 left of 150.00"
    given(world).when(on_account("B", line(quantity=1))).topics(
        "order.placed.v4", "order.approved.v1", "account.exposure_taken.v1"
    )


def test_a_limit_says_what_was_before_and_may_fall_below_the_exposure(known: Given) -> None:
    start = given(known.world, limit(10000), on_account())
    world = start.when(limit(1)).then(
        {
            LI: [
                LimitSet(
                    **WHOSE,
                    person="customer/li",
                    before_minor=10000,
                    limit_minor=1,
                    reason="agreed",
                    at=NOON,
                )
            ]
        }
    )
    given(world).when(limit(1)).nothing()
    cheap = on_account("B", line(quantity=1, price=1))
    given(world).when(cheap).refused("credit_limit_exceeded", available_minor=0)


def test_what_is_paid_frees_the_limit(known: Given) -> None:
    start = given(known.world, limit(10000), on_account())
    world = start.when(pay(3000)).topics("order.payment_captured.v2", "account.exposure_freed.v1")
    assert world.events[LI][-1] == ExposureFreed(**WHOSE, order_id="A", amount_minor=3000, at=NOON)
    world = given(world, pay(9000, "P2")).world
    assert world.account().exposure_minor == 0
    assert not world.account().exposures
    given(world).when(pay(1, "P3")).topics("order.payment_captured.v2")
    given(world, refund(5000), pay_refund()).when(on_account("B")).topics(
        "order.placed.v4", "order.approved.v1", "account.exposure_taken.v1"
    )


def test_on_account_is_a_term_and_no_payment(known: Given) -> None:
    start = given(known.world, limit(10000), on_account(), place("B"))
    for order_id in ("A", "B"):
        command = pay(1, order_id=order_id, method="on_account")
        start.when(command).refused("on_account_is_no_payment")


def test_nothing_is_paid_out_on_account() -> None:
    start = after(place(), pay(10000), refund(100))
    start.when(pay_refund(method="on_account")).refused("on_account_is_no_payment")
    start.when(compensate(100, method="on_account")).refused("on_account_is_no_payment")


def test_credit_pays_an_order_on_account(known: Given) -> None:
    start = given(known.world, limit(10000), credit(10000), on_account())
    world = start.when(pay(10000, method="store_credit")).topics(
        "order.payment_captured.v2", "account.spent.v1", "account.exposure_freed.v1"
    )
    assert world.account().exposure_minor == world.account().liability_minor == 0


def test_cancelling_and_voiding_free_what_was_not_paid(known: Given) -> None:
    start = given(known.world, receive(10), limit(10000), on_account())
    partly = start.when(cancel((1, 1))).world
    assert partly.account().exposures == {"A": 5000}
    assert given(partly, pay(2000), cancel()).world.account().exposures == {}
    start.when(void()).topics(
        "order.voided.v1", "stock_item.reservation_released.v1", "account.exposure_freed.v1"
    )
    paid = given(start.world, pay(10000))
    paid.when(cancel()).topics("order.cancelled.v2", "stock_item.reservation_released.v1")


def test_an_amendment_takes_or_frees_the_difference(known: Given) -> None:
    start = given(known.world, limit(15000), on_account())
    one_more = amend({"line_no": 1, "quantity": 3})
    assert start.when(one_more).world.account().exposures == {"A": 15000}
    two_more = amend({"line_no": 1, "quantity": 4})
    start.when(two_more).refused("credit_limit_exceeded", asked_minor=10000, available_minor=5000)
    fewer = start.when(amend({"line_no": 1, "quantity": 1})).world
    assert fewer.account().exposures == {"A": 5000}
    contact = amend(contact={"name": "Li"})
    assert start.world.needed(contact).keys() == {A}


def test_an_order_from_before_the_accounts_is_left_alone() -> None:
    """Imported: it took nothing, so nothing is freed; only what is added is asked for."""
    placed = after(register(), limit(10000), on_account()).world.events[A]
    start = given({A: placed})
    start.when(pay(4000)).topics("order.payment_captured.v2")
    start.when(cancel()).topics("order.cancelled.v2")
    more = amend({"line_no": 1, "quantity": 3})
    start.when(more).refused("no_credit_limit", asked_minor=5000)
    world = given(start.world, register(), limit(5000), more).world
    assert world.account().exposures == {"A": 5000}
    assert given(world, pay(10000)).world.account().exposures == {"A": 5000}
    assert given(world, pay(10001)).world.account().exposures == {"A": 4999}


def test_other_orders_do_not_look_at_the_account() -> None:
    for method in ("alipay", "cash_on_delivery", "bank_transfer"):
        assert LI not in given().world.needed(place(payment_method=method))
    assert LI in given().world.needed(on_account())


def test_the_answer_tells_what_the_account_holds(known: Given) -> None:
    world = given(known.world, credit(700), limit(10000), on_account()).world
    assert world.answer(gift(500, "G7")) == {
        "customer_id": "li",
        "currency": "CNY",
        "version": 4,
        "status": "funded",
        "credit_minor": 700,
        "gift_minor": 500,
        "limit_minor": 10000,
        "exposure_minor": 10000,
        "gift_id": "G7",
    }
    assert known.world.answer(expire_gifts())["status"] == "empty"


def test_an_account_is_of_one_currency(known: Given) -> None:
    start = given(known.world, credit(10000, currency="EUR"))
    start.when(by_credit()).refused("insufficient_credit", available_minor=0)
    assert desk_names.account_stream("a@b", "EUR").key == "a@b@EUR"


def test_a_fact_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"order\.approved\.v1 is no event of an account"):
        evolve(Account(), OrderApproved(at=NOON))
