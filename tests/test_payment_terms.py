"""Terms of payment: due, overdue, late fee by the day, cancelled by itself, paid after that."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from domain.desk_names import order_stream
from domain.message import Command
from domain.money import ratio_half_up
from domain.order_money import settlement
from domain.order_status import code, payment
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ReinstateOrder,
    WaiveLateFee,
)
from domain.payment_facts import LateFeeCharged, LateFeeCorrected
from domain.payment_terms import late_fee, priced_days, rate_ppm
from domain.policy import PolicyVersion, policy_stream
from domain.policy_rules import PaymentRules
from tests.given import World, after, given, hours
from tests.given_money import authorise, limit, money, move, pay
from tests.given_orders import cancel, line, pack, place, publish, receive, register, void

# 20:00 in Shanghai; due three days later at 20:00, so the first full day after due is the 5th.
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(hours=72)
DAY = timedelta(days=1)
FEE = publish(payment={"on_overdue": "late_fee"})
BIG = line(quantity=1, price=100_000)  # 1000.00: a fee of 0.50 a day


def midnight(day: int) -> datetime:
    """The start of a day of March 2025 in Shanghai."""
    return datetime(2025, 3, day, tzinfo=UTC) - timedelta(hours=8)


def charge(at: datetime) -> Command:
    command: Command = money(ChargeLateFee, at=at)
    return command


def rules_of(world: World) -> PolicyVersion:
    state = world.order()
    found: PolicyVersion = world.state(policy_stream("main")).versions[state.policy_version]
    return found


LIMIT = (register(), limit(1_000_000))


# --- due


def test_when_money_is_due_depends_on_how_it_is_paid() -> None:
    """covers: A21: 72 hours; on account the end of that local day; at the door never before."""
    methods = ("alipay", "on_account", "cash_on_delivery")
    due = [after(*LIMIT, place(payment_method=m)).world.order().money.due_at for m in methods]
    assert due == [DUE, midnight(5), None]
    longer = after(publish(payment={"term_hours": 24}), place())
    assert longer.world.order().money.due_at == NOON + timedelta(hours=24)


def test_overdue_is_said_once_and_ends_with_the_money() -> None:
    declare = money(DeclareOverdue, at=DUE)
    start = after(place(), pay(4000))
    start.when(declare).refused("not_due", due_at=DUE.isoformat())
    late = money(DeclareOverdue, at=DUE + timedelta(microseconds=1))
    world = start.when(late).topics("order.payment_overdue.v1", "order.case_opened.v1")
    assert payment(world.order()) == "overdue"
    given(world).when(late).nothing()
    world = given(world).when(pay(5000, "P2")).world
    assert payment(world.order()) == "overdue"
    world = given(world).when(pay(1000, "P3")).world
    assert payment(world.order()) == "paid"
    assert not world.order().money.overdue
    after(place(), pay(10000)).when(late).nothing()
    after(place(payment_method="cash_on_delivery")).when(late).refused("not_due", due_at=None)


# --- cancelled by itself


def test_an_order_that_is_not_paid_in_time_is_cancelled_and_its_stock_freed() -> None:
    """covers: A21"""
    start = after(receive(10), place())
    start.when(money(CancelOverdue, at=DUE)).refused("not_due")
    command = money(CancelOverdue, at=DUE + DAY)
    world = start.when(command).topics("order.cancelled.v2", "stock_item.reservation_released.v1")
    assert world.order().cancelled
    assert world.stock().available == 10
    assert world.order().fees_minor == 0
    given(world).when(command).nothing()


@pytest.mark.parametrize(
    ("why", "before"),
    [
        ("partly_paid", (place(), pay(1000))),
        ("authorised", (place(), authorise(10000))),
        ("packed", (place(), pack((1, 1)))),
        ("pays_later", (*LIMIT, place(payment_method="on_account"))),
        ("policy", (FEE, place())),
    ],
)
def test_what_a_person_has_to_look_at_is_never_cancelled_by_itself(
    why: str, before: tuple[Command, ...]
) -> None:
    command = money(CancelOverdue, at=DUE + 30 * DAY)
    after(*before).when(command).refused("not_cancelled_by_itself", why=why)


def test_a_paid_order_is_left_alone() -> None:
    after(place(), pay(10000)).when(money(CancelOverdue, at=DUE + DAY)).nothing()


# --- paid after that


def overdue(*more: Command) -> World:
    return after(receive(2), place(), money(CancelOverdue, at=DUE + DAY), *more).world


def test_money_that_came_in_time_brings_the_order_back_at_its_old_prices() -> None:
    """covers: A21: by its value date, whenever we learn of it."""
    world = overdue()
    late = pay(10000, at=DUE + 2 * DAY, value_date="2025-03-04")
    world = (
        given(world)
        .when(late)
        .topics("order.payment_captured.v2", "order.reinstated.v1", "stock_item.reserved.v1")
    )
    state = world.order()
    assert (state.cancelled, state.total_minor) == (False, 10000)
    assert state.lines[1].reserved == 2
    assert (payment(state), code(state)) == ("paid", "paid")
    assert world.stock().available == 0
    answer = given(overdue()).world.answer(late)
    assert (answer["outcome"], answer["status"]) == ("reinstated", "paid")


@pytest.mark.parametrize(
    ("world", "late"),
    [
        (overdue(), pay(10000, at=DUE + 2 * DAY)),
        (overdue(), pay(10000, at=DUE + 2 * DAY, value_date="2025-03-05")),
        (overdue(), pay(9000, at=DUE + 2 * DAY, value_date="2025-03-04")),
        (overdue(place("B")), pay(10000, at=DUE + 2 * DAY, value_date="2025-03-04")),
        (
            after(receive(2), place(), cancel()).world,
            pay(10000, at=DUE + 2 * DAY, value_date="2025-03-04"),
        ),
    ],
    ids=["too late", "valued too late", "too little", "stock is gone", "cancelled by the customer"],
)
def test_otherwise_the_money_is_a_refund_that_is_due(world: World, late: Command) -> None:
    world = given(world).when(late).topics("order.payment_captured.v2")
    assert world.order().cancelled
    assert settlement(world.order()).credit_minor == world.order().paid_minor
    assert given(overdue(place("B"))).world.answer(late)["outcome"] == "refund_due"


def test_money_that_moves_to_an_overdue_order_brings_it_back_as_well() -> None:
    world = overdue(place("B", line("CUP"), at=NOON), pay(10000, order_id="B"))
    moved = move(order_id="B", to="A", at=DUE + 2 * DAY)
    given(world).when(moved).topics(
        "order.payment_moved_out.v1",
        "order.payment_moved_in.v2",
        "order.reinstated.v1",
        "stock_item.reserved.v1",
    )


def test_a_person_may_bring_an_order_back_while_there_is_stock() -> None:
    command = money(ReinstateOrder, at=DUE + 2 * DAY)
    world = given(overdue()).when(command).topics("order.reinstated.v1", "stock_item.reserved.v1")
    given(world).when(command).nothing()
    given(overdue(place("B"))).when(command).refused("insufficient_stock", available=0, asked=2)


def test_only_what_the_last_cancellation_took_comes_back() -> None:
    steps = (receive(9), place("A", line(quantity=3), shipping_minor=700), cancel((1, 1)))
    world = after(*steps, money(CancelOverdue, at=DUE + DAY)).world
    assert world.order().total_minor == 0
    late = pay(10700, at=DUE + 2 * DAY, value_date="2025-03-04")
    world = given(world).when(late).world
    assert world.order().total_minor == 10700
    assert world.order().lines[1].live == 2
    assert world.stock().reserved == 2


def test_a_policy_may_leave_it_to_a_person() -> None:
    steps = (publish(status={"confirm": ["reinstate"]}), receive(2), place())
    world = after(*steps, money(CancelOverdue, at=DUE + DAY)).world
    late = pay(10000, at=DUE + 2 * DAY, value_date="2025-03-04")
    given(world).when(late).topics("order.payment_captured.v2")


# --- the late fee


def test_the_fee_is_by_full_local_days_after_due() -> None:
    """covers: A22: explainable day by day. Due on the 4th at 20:00: the 5th is the first day."""
    world = after(FEE, place("A", BIG)).world
    rules = rules_of(world)
    assert late_fee(world.order(), rules, midnight(6) - timedelta(microseconds=1)).days == ()
    days = late_fee(world.order(), rules, midnight(8)).days
    assert [(one.day, one.outstanding_minor, one.fee_minor) for one in days] == [
        (date(2025, 3, 5), 100_000, 50),
        (date(2025, 3, 6), 100_000, 50),
        (date(2025, 3, 7), 100_000, 50),
    ]


def test_days_are_charged_once_however_often_it_is_asked() -> None:
    world = after(FEE, place("A", BIG), charge(midnight(7))).world
    assert world.order().total_minor == 100_100
    given(world).when(charge(midnight(7))).nothing()
    world = given(world).when(charge(midnight(10))).topics("order.late_fee_charged.v1")
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, LateFeeCharged)
    assert [one.day.day for one in fact.days] == [7, 8, 9]
    assert (fact.amount_minor, fact.total_minor) == (150, 100_250)
    assert payment(given(world).when(pay(100_250)).world.order()) == "paid"


def test_the_fee_is_capped() -> None:
    world = after(FEE, place("A", BIG), charge(midnight(1) + 400 * DAY)).world
    assert world.order().money.late_fees_minor == 5_000
    assert len(world.order().money.late_days) == 100
    given(world).when(charge(midnight(1) + 500 * DAY)).nothing()


def test_a_payment_ends_the_fee_on_its_value_date_and_settles_goods_first() -> None:
    """800.00 with a value date of the 7th: on that day 200.00 were outstanding."""
    steps = (FEE, place("A", BIG), pay(80_000, at=midnight(9), value_date="2025-03-07"))
    world = after(*steps, charge(midnight(10))).world
    assert [one.fee_minor for one in world.order().money.late_days] == [50, 50, 10, 10, 10]
    world = given(world).when(pay(20_000, "P2", value_date="2025-03-10")).world
    assert settlement(world.order()).kept_minor == 100_000
    assert world.order().balance_minor == 130
    given(world).when(charge(midnight(30))).nothing()  # The fee itself costs nothing.


def test_days_that_were_charged_although_the_money_was_there_fall_off_with_it() -> None:
    world = after(FEE, place("A", BIG), charge(midnight(10))).world
    assert world.order().total_minor == 100_250
    late = pay(100_100, at=midnight(11), value_date="2025-03-07")
    world = (
        given(world).when(late).topics("order.payment_captured.v2", "order.late_fee_corrected.v1")
    )
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, LateFeeCorrected)
    assert [(one.day.day, one.fee_minor) for one in fact.days] == [(7, 0), (8, 0), (9, 0)]
    assert (fact.amount_minor, fact.total_minor) == (150, 100_100)
    assert (world.order().total_minor, payment(world.order())) == (100_100, "paid")


def test_a_fee_is_waived_with_a_reason_and_not_charged_again() -> None:
    """covers: A22: the waiver is an event."""
    start = after(FEE, place("A", BIG), charge(midnight(10)))
    part = money(WaiveLateFee, amount_minor=100, reason="Half of it was ours.")
    world = start.when(part).topics("order.late_fee_waived.v1")
    assert world.order().total_minor == 100_150
    rest = money(WaiveLateFee, reason="An old customer.")
    world = given(world).when(rest).world
    assert world.order().total_minor == 100_000
    given(world).when(rest).nothing()
    given(world).when(part).refused("waiver_exceeds_late_fee", charged_minor=0)
    given(world).when(charge(midnight(10))).nothing()
    assert late_fee(world.order(), rules_of(world), midnight(10)).waived_minor == 250


def test_no_fee_where_there_is_none_to_charge() -> None:
    after(place()).when(charge(midnight(20))).refused("no_late_fee")
    after(FEE, place(payment_method="cash_on_delivery")).when(charge(midnight(20))).nothing()
    after(FEE, place(), cancel()).when(charge(midnight(20))).nothing()
    after(FEE, place(), void()).when(charge(midnight(20))).refused("order_void")


def test_a_fee_that_was_paid_is_not_refunded_with_the_goods() -> None:
    start = after(FEE, place("A", BIG), charge(midnight(10)), pay(100_250, at=midnight(10)))
    assert start.world.order().refundable_minor == 100_000


@examples(
    amounts=st.lists(st.integers(0, 10**9), max_size=40),
    percent=st.sampled_from(["0.05", "0.0001", "1", "33.3333"]),
    cap_bp=st.integers(0, 10_000),
)
def test_the_days_add_up_to_the_rounded_whole_and_never_pass_the_cap(
    amounts: list[int], percent: str, cap_bp: int
) -> None:
    """covers: A22: no cent between the days and their sum, whatever days are added later."""
    rules = PaymentRules(late_fee_percent_per_day=percent, late_fee_cap_bp=cap_bp)
    outstanding = {date(2025, 1, 1) + n * DAY: amount for n, amount in enumerate(amounts)}
    days = priced_days(outstanding, rules)
    whole = ratio_half_up(sum(amounts) * rate_ppm(rules), 1_000_000)
    cap = ratio_half_up(max(amounts, default=0) * cap_bp, 10_000)
    assert sum(one.fee_minor for one in days) == min(whole, cap)
    assert all(one.fee_minor >= 0 for one in days)
    assert priced_days(dict([*outstanding.items()][:-1]), rules) == days[:-1]


def test_a_waiver_forgives_what_was_charged_and_nothing_later() -> None:
    """Of 2.50 that were waived 1.50 fell off afterwards: the next days are owed all the same."""
    waived = money(WaiveLateFee, reason="An old customer.")
    late = pay(50_000, at=midnight(11), value_date="2025-03-05")
    world = after(FEE, place("A", BIG), charge(midnight(10)), waived, late).world
    assert world.order().total_minor == 100_000
    world = given(world).when(charge(midnight(12))).topics("order.late_fee_charged.v1")
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, LateFeeCharged)
    assert (fact.amount_minor, fact.total_minor) == (50, 100_050)
    assert world.order().total_minor == 100_050


def test_days_of_a_cent_here_and_there_stay_as_they_were_charged() -> None:
    """0.7 a day is 1, 0, 1, 1, 0 …: what was charged is priced the same for ever. covers: A22"""
    rules = {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.7"}
    cheap = line(quantity=1, price=100)
    charge = [money(ChargeLateFee, at=hours(72 + 24 * n)) for n in range(2, 7)]
    world = given(None, publish(payment=rules), place("A", cheap), *charge).world
    assert [one.fee_minor for one in world.order().money.late_days] == [1, 0, 1, 1, 1]
    gone = given(world, cancel(at=hours(300))).world
    given(gone).when(money(ChargeLateFee, at=hours(400))).nothing()
    early = money(ChargeLateFee, at=hours(100))
    given(world).when(early).nothing()
    back = given(world, pay(100, at=hours(400), value_date="2025-03-08")).world
    assert [one.fee_minor for one in back.order().money.late_days] == [1, 0, 1, 0, 0]


def test_a_move_under_the_name_of_another_payment_is_refused() -> None:
    start = after(place(), place("B"), pay(10_000), pay(2_000, "M-P1", "B"))
    start.when(move()).refused("payment_differs", payment_id="M-P1", amount_minor=2_000)
    moved = after(place(), place("B"), pay(10_000), move(amount_minor=4_000))
    moved.when(move(amount_minor=4_000)).nothing()
    moved.when(move(amount_minor=3_000)).refused("payment_differs", amount_minor=4_000)
