"""What may be done with an order's money: held, captured in parts, voided, moved, disputed."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from domain.desk_names import order_stream
from domain.message import Command
from domain.order_facts import PaymentCaptured
from domain.order_money import settlement
from domain.order_status import payment, shown
from domain.payment_commands import (
    ExpireAuthorisation,
    LoseChargeback,
    RecordPaymentFailure,
    VoidAuthorisation,
    WinChargeback,
    WriteOffDifference,
)
from domain.payment_facts import PaymentMovedIn, PaymentMovedOut, UnpaidDispatchAllowed
from domain.policy import policy_stream
from tests.given import NOON, World, after, given, hours
from tests.given_money import authorise, capture, dispute, money, move, pay, unrecord
from tests.given_orders import amend, cancel, dispatch, line, pack, place, publish, receive, void
from tests.given_returns import pay_refund, refund


def paid_in(world: World, order_id: str = "A") -> int:
    return world.order(order_id).paid_minor


# --- held and captured


def test_what_is_held_is_no_money_until_it_is_captured() -> None:
    world = after(place(), authorise(10000)).world
    assert payment(world.order()) == "authorised"
    assert (paid_in(world), world.order().unpaid_minor) == (0, 10000)
    given(world, pack((1, 2))).when(dispatch()).refused("not_paid", due_minor=10000)
    world.run(capture(4000))
    assert payment(world.order()) == "partially_paid"
    world.run(capture(6000, "P2"))
    assert payment(world.order()) == "paid"
    facts = [e for e in world.events[order_stream("A")] if isinstance(e, PaymentCaptured)]
    assert [(f.method, f.amount_minor, f.authorisation_id, f.reference) for f in facts] == [
        ("credit_card", 4000, "H1", "auth"),
        ("credit_card", 6000, "H1", "auth"),
    ]


def test_a_shop_may_count_what_is_held_as_paid() -> None:
    start = after(publish(status={"counts_as_paid": "authorised"}), place(), authorise(10000))
    assert payment(start.world.order()) == "paid"
    given(start.world, pack((1, 2))).when(dispatch()).topics(
        "parcel.dispatched.v1", "order.dispatched.v1"
    )


def test_parts_of_what_is_held_never_pass_it() -> None:
    """covers: A62 (partial capture, sums guarded), R6"""
    start = after(place(), authorise(10000), capture(6000))
    start.when(capture(4001, "P2")).refused("capture_exceeds_authorised", held_minor=4000)
    start.when(capture(None, "P2")).topics("order.payment_captured.v2")
    whole = given(start.world, capture(None, "P2"))
    whole.when(capture(1, "P3")).refused("capture_exceeds_authorised", held_minor=0)
    whole.when(capture(None, "P2")).nothing()
    whole.when(capture(1, "P2")).refused("payment_differs", amount_minor=4000)


@pytest.mark.parametrize("method", ["store_credit", "gift_balance", "on_account"])
def test_only_what_a_provider_holds_is_authorised(method: str) -> None:
    after(place()).when(authorise(10000, method=method)).refused("method_holds_nothing")


def test_what_is_not_captured_is_let_go_and_what_is_captured_stays() -> None:
    start = after(place(), authorise(10000), capture(6000))
    command = money(VoidAuthorisation, payment_id="H1", reason="one is sold out")
    world = start.when(command).topics("order.authorisation_voided.v1")
    assert (paid_in(world), world.order().money.authorised_minor) == (6000, 0)
    given(world).when(command).nothing()
    given(world).when(capture(1, "P2")).refused("authorisation_closed", why="voided")


def test_what_is_held_expires_when_its_time_has_come_and_not_before() -> None:
    start = after(place(), authorise(10000, expires_at=hours(24)))
    command = money(ExpireAuthorisation, payment_id="H1", at=hours(24))
    start.when(command).refused("not_expired")
    late = money(ExpireAuthorisation, payment_id="H1", at=hours(25))
    world = start.when(late).topics("order.authorisation_expired.v1")
    assert payment(world.order()) == "unpaid"
    given(world).when(late).nothing()
    start.when(capture(1, at=hours(25))).refused("authorisation_closed", why="expired")
    # The provider took it in time; we only learn of it late.
    start.when(capture(1, at=hours(25), occurred_at=hours(23))).topics("order.payment_captured.v2")


def test_a_failed_payment_is_known_and_changes_nothing() -> None:
    body: dict[str, Any] = {"method": "credit_card", "amount_minor": 10000, "reference": "try 1"}
    command = money(RecordPaymentFailure, payment_id="P1", code="refused", **body)
    start = after(place())
    world = start.when(command).topics("order.payment_failed.v1")
    assert payment(world.order()) == "unpaid"
    given(world).when(command).nothing()
    after(place(), pay(1)).when(command).refused("payment_succeeded")
    given(world).when(pay(10000, "P2")).topics("order.payment_captured.v2")


# --- voided


def test_a_payment_that_never_was_is_voided_and_the_order_is_unpaid_again() -> None:
    """covers: A62 (void)"""
    world = after(place(), pay(10000)).when(unrecord()).topics("order.payment_voided.v1")
    assert (paid_in(world), payment(world.order())) == (0, "unpaid")
    given(world).when(unrecord()).nothing()
    given(world).when(pay(10000)).nothing()  # The same id is the same mistake.
    given(world).when(refund(1)).refused("refund_exceeds_paid", refundable_minor=0)
    given(world).when(void()).topics("order.voided.v1")


def test_a_voided_order_shows_what_it_was_and_is_owed_by_nobody() -> None:
    order = after(place()).when(void()).topics("order.voided.v1").order()
    assert (order.total_minor, order.unpaid_minor, order.balance_minor) == (10000, 0, 0)
    assert (settlement(order).total_minor, settlement(order).kept_minor) == (0, 0)


@pytest.mark.parametrize(
    "used",
    [(refund(1),), (refund(1), pay_refund()), (place("B"), move(amount_minor=1)), (dispute(),)],
)
def test_money_that_was_used_did_exist(used: tuple[Command, ...]) -> None:
    after(place(), pay(10000), *used).when(unrecord()).refused("payment_used", payment_id="P1")


def test_voiding_a_capture_leaves_the_money_held() -> None:
    world = after(place(), authorise(10000), capture(6000), unrecord()).world
    assert world.order().money.authorised_minor == 10000
    given(world).when(capture(10000, "P2")).topics("order.payment_captured.v2")


def test_a_void_order_is_one_that_no_money_is_held_for() -> None:
    after(place(), authorise(1)).when(void()).refused("void_after_payment")


# --- moved


def test_money_booked_wrongly_moves_in_one_write_and_keeps_what_it_was() -> None:
    """covers: A24 (sum of captures less refunds is unchanged)"""
    start = after(place(), place("B"), pay(10000, value_date="2025-02-27", reference="line 7"))
    world = start.when(move()).topics("order.payment_moved_out.v1", "order.payment_moved_in.v2")
    out, into = (world.events[order_stream(name)][-1] for name in ("A", "B"))
    assert isinstance(out, PaymentMovedOut)
    assert isinstance(into, PaymentMovedIn)
    assert (into.method, into.reference, into.value_date) == (
        "alipay",
        "line 7",
        date(2025, 2, 27),
    )
    assert (out.to_order_id, out.to_payment_id) == ("B", into.payment_id)
    assert (into.from_order_id, into.from_payment_id, into.received_at) == ("A", "P1", NOON)
    assert (paid_in(world), paid_in(world, "B")) == (0, 10000)
    assert [payment(world.order(name)) for name in ("A", "B")] == ["unpaid", "paid"]
    given(world).when(move()).nothing()


def test_only_what_is_neither_refunded_nor_disputed_moves() -> None:
    start = after(place(), place("B"), pay(10000), refund(3000))
    start.when(move(amount_minor=7001)).refused("move_exceeds_payment", movable_minor=7000)
    world = start.when(move()).world
    assert (paid_in(world), paid_in(world, "B")) == (3000, 7000)
    disputed = after(place(), place("B"), pay(10000), dispute(amount_minor=9000))
    disputed.when(move(amount_minor=1001)).refused("move_exceeds_payment", movable_minor=1000)


def test_money_does_not_change_its_currency_nor_stay_where_it_is() -> None:
    start = after(place(), place("B", currency="JPY"), pay(10000))
    start.when(move()).refused("currency_differs", to_currency="JPY")
    start.when(move(to="A")).refused("same_order")
    start.when(move(to="C")).refused("order_not_found", order_id="C")
    start.when(move("P9")).refused("payment_not_found")
    after(place(), place("B"), pay(1), void("B")).when(move()).refused("order_void")


def test_moved_money_can_be_refunded_where_it_is_and_only_there() -> None:
    world = after(place(), place("B"), pay(10000), move()).world
    given(world).when(refund(1)).refused("refund_exceeds_paid", refundable_minor=0)
    given(world).when(refund(10000, order_id="B")).topics(
        "order.refund_requested.v2", "order.refund_approved.v1"
    )


# --- disputed


def test_a_chargeback_holds_the_goods_and_the_money_until_it_is_won() -> None:
    """covers: A58 (hold), A62"""
    start = after(place(), pay(10000), pack((1, 2)), dispute(amount_minor=4000))
    start.when(dispatch()).refused("chargeback_open", order_id="A")
    start.when(dispatch(unpaid_reason="trusted")).refused("chargeback_open")
    start.when(refund(6001)).refused("refund_exceeds_paid", refundable_minor=6000)
    start.when(dispute(amount_minor=4000)).nothing()
    other = dispute(amount_minor=6001, chargeback_id="C2")
    start.when(other).refused("chargeback_exceeds_payment", payment_minor=6000)
    world = start.when(money(WinChargeback, chargeback_id="C-P1")).world
    assert paid_in(world) == 10000
    given(world).when(dispatch()).topics("parcel.dispatched.v1", "order.dispatched.v1")
    given(world).when(money(WinChargeback, chargeback_id="C-P1")).nothing()
    given(world).when(money(LoseChargeback, chargeback_id="C-P1")).refused("chargeback_ended")


def test_a_lost_chargeback_is_money_gone() -> None:
    lost = money(LoseChargeback, chargeback_id="C-P1")
    world = after(place(), pay(10000), dispute(amount_minor=4000), lost).world
    assert (paid_in(world), world.order().balance_minor) == (6000, 4000)
    assert payment(world.order()) == "partially_paid"
    given(world).when(refund(6001)).refused("refund_exceeds_paid", refundable_minor=6000)
    given(world).when(money(LoseChargeback, chargeback_id="C9")).refused("chargeback_not_found")


def test_a_bank_may_take_back_what_was_refunded_as_well() -> None:
    """Both happened: the shop is out of the money twice, and the sums say so."""
    steps = (pay(10000), refund(10000), pay_refund(), dispute())
    world = after(place(), *steps, money(LoseChargeback, chargeback_id="C-P1")).world
    settled = settlement(world.order())
    assert (settled.paid_minor, settled.refunded_minor, settled.kept_minor) == (0, 10000, -10000)


# --- small differences, credit


def test_a_remainder_within_the_tolerance_is_written_off_with_the_payment() -> None:
    start = after(place())
    world = start.when(pay(9900)).topics(
        "order.payment_captured.v2", "order.difference_written_off.v1"
    )
    assert (payment(world.order()), world.order().balance_minor) == ("paid", 0)
    assert settlement(world.order()).written_off_minor == 100
    start.when(pay(9899)).topics("order.payment_captured.v2")
    after(place(currency="JPY")).when(pay(9999)).topics("order.payment_captured.v2")
    given(world, pack((1, 2))).when(dispatch()).topics(
        "parcel.dispatched.v1", "order.dispatched.v1"
    )


def test_a_remainder_that_is_still_held_is_not_written_off() -> None:
    start = after(place(), authorise(10000))
    start.when(capture(9950)).topics("order.payment_captured.v2")


def test_a_person_may_have_to_confirm_the_difference() -> None:
    start = after(publish(status={"confirm": ["write_off_difference"]}), place(), pay(9950))
    assert payment(start.world.order()) == "partially_paid"
    world = start.when(money(WriteOffDifference, amount_minor=50, text="kind")).topics(
        "order.difference_written_off.v1"
    )
    given(world).when(money(WriteOffDifference)).nothing()
    start.when(money(WriteOffDifference, amount_minor=49)).refused("write_off_differs")
    after(place(), pay(9000)).when(money(WriteOffDifference)).refused(
        "write_off_exceeds_tolerance", owed_minor=1000, tolerance_minor=100
    )
    after(place(), pay(10000)).when(money(WriteOffDifference)).refused("nothing_to_write_off")


def test_what_was_written_off_comes_off_no_refund() -> None:
    """Half is cancelled after 99.50 of 100.00 were paid: 49.50 go back, not 50.00."""
    world = after(place(), pay(9950), cancel((1, 1))).world
    assert settlement(world.order()).credit_minor == 4950
    given(world).when(amend({"line_no": 1, "quantity": 3})).topics("order.lines_amended.v2")


def test_more_than_is_owed_stays_as_credit_on_the_order() -> None:
    settled = settlement(after(place(), pay(12000)).world.order())
    assert (settled.kept_minor, settled.credit_minor) == (10000, 2000)


# --- leaving unpaid


def test_who_may_lets_goods_leave_unpaid_and_says_why() -> None:
    start = after(place(), pay(4000), pack((1, 2)))
    start.when(dispatch()).refused("not_paid", due_minor=6000)
    world = start.when(dispatch(unpaid_reason="An old customer.")).topics(
        "parcel.dispatched.v1", "order.unpaid_dispatch_allowed.v1", "order.dispatched.v1"
    )
    fact = world.events[order_stream("A")][-2]
    assert isinstance(fact, UnpaidDispatchAllowed)
    assert (fact.due_minor, fact.reason, fact.parcel_id) == (6000, "An old customer.", "K")
    paid = after(place(), pay(10000), pack((1, 2)))
    paid.when(dispatch(unpaid_reason="?")).topics("parcel.dispatched.v1", "order.dispatched.v1")


# --- what a late write can do


def test_stale_write_cannot_undo_payment() -> None:
    """covers: R2: no command but one about that payment ever lowers what was paid."""
    world = after(receive(10), place("A", line(quantity=4, price=2500)), pay(10000)).world
    for command in (
        amend({"line_no": 1, "quantity": 2}),
        cancel((1, 1)),
        amend({"line_no": 1, "unit_price_minor": 1}),
        cancel(),
    ):
        world = given(world).when(command).world
        assert paid_in(world) == 10000
    assert shown(world.order()).dimensions.payment == "paid"


def test_the_payment_needs_only_its_order_and_the_rules_of_its_placement() -> None:
    world = after(place(), place("B"), pay(1)).world
    assert world.needed(move()).keys() == {
        order_stream("A"),
        order_stream("B"),
        policy_stream("main"),
    }
    assert world.needed(unrecord()).keys() == {order_stream("A"), policy_stream("main")}
