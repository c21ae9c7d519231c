"""Who agrees to a refund, what has to be shown for it, until when, and what if the money fails."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.desk_names import order_stream
from domain.message import Command
from domain.order_facts import RefundApproved, RefundEvidenceAdded, RefundRequested
from domain.order_state import Order
from domain.order_status import shown
from domain.policy import DEFAULTS, PublishPolicy
from domain.policy_rules import PolicyRules, RefundRules
from domain.refund_terms import Terms, terms
from tests.given import NOON, REFUNDED, Given, World, after, given
from tests.given_money import pay
from tests.given_orders import amend, cancel, line, place
from tests.given_returns import (
    add_evidence,
    approve_refund,
    ask_evidence,
    compensate,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
PICTURE, LABEL = "a" * 64, "b" * 64
BIG = place("A", line(price=100_000))  # 2000.00
PAID = (BIG, pay(200_000))


def asked(world: World, refund_id: str = "R1") -> RefundRequested:
    found = [e for e in world.events[order_stream("A")] if isinstance(e, RefundRequested)]
    return next(event for event in found if event.refund_id == refund_id)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def publish(**refund_rules: Any) -> PublishPolicy:
    rules = PolicyRules(refund=RefundRules(**refund_rules))
    days = {"covered_until": "2026-12-31"}
    return PublishPolicy.model_validate({"shop": "main", "rules": rules, "at": NOON, "days": days})


# -- evidence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["quality_problem", "damaged", "wrong_item", "not_as_described"])
def test_a_fault_of_the_goods_is_refunded_with_evidence_only(reason: str) -> None:
    """covers: A6"""
    start = after(place(), pay(10_000))
    refused = start.when(refund(100, reason=reason))
    refused.refused("evidence_missing", reason=reason)
    assert reason in refused.outcome.facts["evidence_for"]  # type: ignore[union-attr]
    world = start.when(refund(100, reason=reason, evidence=[PICTURE])).topics(*REFUNDED)
    assert asked(world).evidence == [PICTURE]
    start.when(refund(100, reason="late")).topics(*REFUNDED)


def test_which_reasons_need_evidence_is_the_policy_of_the_placement() -> None:
    """covers: A6, A3"""
    start = after(publish(evidence_for=("late",)), place(), pay(10_000))
    start.when(refund(100, reason="damaged")).topics(*REFUNDED)
    start.when(refund(100, reason="late")).refused("evidence_missing", evidence_for=["late"])
    later = after(place(), publish(evidence_for=()), pay(10_000))
    later.when(refund(100, reason="damaged")).refused("evidence_missing")


# -- a second person -----------------------------------------------------------------------------


def test_up_to_the_limit_a_refund_is_approved_in_the_write_of_its_request() -> None:
    world = after(*PAID).when(refund(100_000)).topics(*REFUNDED)
    assert world.events[order_stream("A")][-1] == RefundApproved(
        refund_id="R1", by="policy", at=NOON
    )
    given(world).when(pay_refund()).topics("order.refund_paid.v1")


def test_above_the_limit_another_person_approves() -> None:
    """covers: A26: who asks for a refund over the limit does not approve it."""
    start = after(*PAID).when(refund(100_001, actor="anna")).topics("order.refund_requested.v2")
    waiting = given(start)
    waiting.when(pay_refund()).refused("refund_is_requested", allowed=["approved"])
    waiting.when(approve_refund("anna")).refused("second_person_needed", requested_by="anna")
    world = waiting.when(approve_refund("bela")).topics("order.refund_approved.v1")
    given(world).when(approve_refund("anna")).nothing()
    given(world).when(pay_refund()).topics("order.refund_paid.v1")


def test_several_refunds_that_pass_the_limit_together_need_a_second_person() -> None:
    """covers: A26: what the policy lets go of one order by itself is one sum."""
    start = after(*PAID, refund(60_000, actor="anna"))
    start.when(refund(40_000, refund_id="R2")).topics(*REFUNDED)
    world = start.when(refund(40_001, refund_id="R2")).topics("order.refund_requested.v2")
    given(world).when(approve_refund("desk", "R2")).refused("second_person_needed")
    seen = given(world, approve_refund("bela", "R2"))
    seen.when(refund(40_000, refund_id="R3")).topics(*REFUNDED)
    denied = given(start.world, deny_refund())
    denied.when(refund(100_000, refund_id="R2")).topics(*REFUNDED)


def test_a_currency_without_a_limit_always_needs_a_second_person() -> None:
    """covers: A26"""
    start = after(place(currency="USD"), pay(10_000))
    world = start.when(refund(1)).topics("order.refund_requested.v2")
    assert world.order().refunds["R1"].status == "requested"


def test_the_order_shows_a_refund_that_waits_as_refunding() -> None:
    assert shown(after(*PAID, refund(150_000)).world.order()).code == "refunding"


def test_a_denied_refund_frees_what_it_held() -> None:
    start = after(*PAID, refund(None, (1, 2)))
    start.when(refund(1, refund_id="R2")).refused("refund_exceeds_paid", refundable_minor=0)
    world = start.when(deny_refund()).topics("order.refund_denied.v1")
    order = world.order()
    assert order.refunded_minor == order.lines[1].refunded == order.lines[1].refunded_minor == 0
    assert order.payments["P1"].refunded_minor == 0
    assert shown(order).code == "paid"
    given(world).when(deny_refund()).nothing()
    given(world).when(approve_refund()).refused("refund_is_denied")
    given(world).when(pay_refund()).refused("refund_is_denied")
    given(world).when(refund(None, (1, 2), refund_id="R2")).topics("order.refund_requested.v2")


def test_what_was_paid_is_not_denied() -> None:
    after(*PAID, refund(5), pay_refund()).when(deny_refund()).refused("refund_is_paid")


# -- payouts that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize("paid_out", [False, True])
def test_a_failed_payout_frees_its_part_and_is_retried(paid_out: bool) -> None:
    """Also one that was reported as paid and came back from the bank."""
    steps: list[Command] = [refund(None, (1, 1)), *([pay_refund()] if paid_out else [])]
    start = after(*PAID, *steps)
    world = start.when(fail_refund()).topics("order.refund_failed.v1")
    assert world.order().refunded_minor == 0
    assert shown(world.order()).code == "refunding"
    failed = given(world)
    failed.when(fail_refund()).nothing()
    failed.when(pay_refund()).refused("refund_is_failed")
    again = failed.when(retry_refund()).topics("order.refund_retried.v1")
    given(again).when(retry_refund()).nothing()
    done = given(again).when(pay_refund()).topics("order.refund_paid.v1")
    assert done.order().refunded_minor == done.order().lines[1].refunded_minor == 100_000


def test_a_retry_is_refused_where_others_have_taken_its_part() -> None:
    start = after(*PAID, refund(None, (1, 2)), approve_refund(), fail_refund())
    taken = given(start.world, refund(None, (1, 1), refund_id="R2"))
    taken.when(retry_refund()).refused("refund_exceeds_paid", refundable_minor=100_000)
    more = given(taken.world, pay(200_000, "P2"))
    more.when(retry_refund()).refused("refund_exceeds_payment", payment_id="P1")
    denied = given(taken.world, deny_refund("R2"))
    denied.when(retry_refund()).topics("order.refund_retried.v1")


def test_a_retry_asks_for_its_units_again() -> None:
    paid_twice = after(BIG, pay(200_000), pay(200_000, "P2"))
    start = given(paid_twice.world, refund(None, (1, 2)), approve_refund(), fail_refund())
    chosen = [{"payment_id": "P1", "amount_minor": 100_000}]
    other = given(start.world, refund(None, (1, 1), refund_id="R2", payments=chosen))
    other.when(retry_refund()).refused("refund_exceeds_line", asked=2, refundable=1)
    gone = given(start.world, amend({"line_no": 1, "quantity": 0}, line("CUP", 1, 1)))
    gone.when(retry_refund()).refused("unknown_line", line_no=1)


# -- shipping ------------------------------------------------------------------------------------


def test_shipping_comes_back_by_itself_when_the_seller_is_the_cause() -> None:
    start = after(place(shipping_minor=800), pay(10_800))
    world = start.when(refund(None, (1, 1), reason="late")).world
    assert (asked(world).amount_minor, asked(world).shipping_minor) == (5_800, 800)
    world = given(world).when(refund(None, (1, 1), reason="late", refund_id="R2")).world
    assert (asked(world, "R2").amount_minor, asked(world, "R2").shipping_minor) == (5_000, 0)


def test_shipping_stays_when_the_customer_is_the_cause() -> None:
    start = after(place(shipping_minor=800), pay(10_800))
    world = start.when(refund(None, (1, 2), reason="changed_mind")).world
    assert asked(world).shipping_minor == 0
    start.when(refund(100, shipping_minor=800)).refused("shipping_not_refundable", reason="other")
    cancelled = given(start.world, cancel())
    cancelled.when(refund(10_000, shipping_minor=800, reason="cancellation")).topics(*REFUNDED)


# -- terms ---------------------------------------------------------------------------------------


def running(order: Order) -> Terms:
    """By the working days; none while evidence is awaited, and once it was denied."""
    found = order.refunds["R1"]
    return terms(found, DEFAULTS, found.pauses) if found.runs else Terms(None, None)


def due_after(at: datetime, *more: Any, needs_approval: bool = False) -> Given:
    start = given(after(place("A", line(price=100_000), at=NOON), pay(200_000)).world)
    return given(start.world, refund(150_000 if needs_approval else 100, at=at), *more)


@pytest.mark.parametrize(
    ("asked_at", "due"),
    [
        # National Day 2025 is off from 1 to 8 October; 28 September and 11 October are worked.
        ("2025-09-26T23:59", "2025-09-30T24:00"),  # Fri; Sun (worked), Mon, Tue
        ("2025-09-30T09:00", "2025-10-11T24:00"),  # Tue; Thu 9, Fri 10, Sat 11 (worked)
        ("2025-10-03T12:00", "2025-10-11T24:00"),  # In the holiday.
        ("2025-03-03T00:00", "2025-03-06T24:00"),  # Mon; Tue, Wed, Thu
    ],
)
def test_a_refund_is_due_at_the_end_of_the_third_working_day(asked_at: str, due: str) -> None:
    """covers: A7"""
    order = due_after(local(asked_at)).world.order()
    day = local(due.replace("T24:00", "T23:59"))
    found = running(order).pay
    assert found is not None
    assert (found.day, found.at > day) == (day.date(), True)
    assert order.refunds["R1"].pay_by == found.at


def test_deciding_has_its_own_days_and_ends_with_the_decision() -> None:
    monday = local("2025-03-03T10:00")
    waiting = due_after(monday, needs_approval=True).world
    decide = running(waiting.order()).decide
    assert decide is not None
    assert decide.day == local("2025-03-06T00:00").date()
    assert asked(waiting).decide_by == decide.at
    approved = given(waiting, approve_refund()).world.order()
    assert running(approved).decide is None
    assert running(approved).pay is not None
    denied = given(waiting, deny_refund()).world.order()
    assert running(denied).pay is None
    assert asked(due_after(monday).world).decide_by is None


def test_waiting_for_the_customers_evidence_pauses_the_terms() -> None:
    """covers: A7: from Monday evening to Thursday noon three working days do not count."""
    waiting = due_after(local("2025-03-03T10:00"), needs_approval=True)
    paused = given(waiting.world, ask_evidence(at=local("2025-03-03T18:00")))
    paused.when(ask_evidence(at=local("2025-03-04T18:00"))).nothing()
    order = paused.world.order()
    assert (running(order).pay, running(order).decide) == (None, None)
    world = paused.when(add_evidence(PICTURE, at=local("2025-03-06T12:00"))).topics(
        "order.refund_evidence_added.v1"
    )
    order, added = world.order(), world.events[order_stream("A")][-1]
    due, decide = running(order).pay, running(order).decide
    assert due is not None
    assert decide is not None
    assert due.day == decide.day == local("2025-03-10T00:00").date()  # Thu, Fri, Mon
    assert isinstance(added, RefundEvidenceAdded)
    assert (added.pay_by, added.decide_by) == (due.at, decide.at)
    assert (order.refunds["R1"].pay_by, order.refunds["R1"].evidence) == (due.at, (PICTURE,))
    given(world).when(add_evidence(PICTURE)).nothing()
    more = given(world).when(add_evidence(PICTURE, LABEL, at=local("2025-03-07T12:00"))).world
    assert more.order().refunds["R1"].evidence == (PICTURE, LABEL)
    assert running(more.order()).pay == due


def test_nobody_waits_for_evidence_of_what_is_settled() -> None:
    paid = due_after(NOON, pay_refund())
    paid.when(ask_evidence()).refused("refund_is_paid")
    paid.when(add_evidence(PICTURE)).refused("refund_is_paid")


# -- compensation --------------------------------------------------------------------------------


def test_compensation_is_paid_beyond_the_price_and_beside_the_guard() -> None:
    start = after(place(), pay(10_000), refund(10_000))
    world = start.when(compensate(3_000, text="We are sorry")).topics("order.compensation_paid.v1")
    order = world.order()
    assert (order.refunded_minor, order.paid_minor, order.refundable_minor) == (10_000, 10_000, 0)
    assert order.compensations == {"X1": 3_000}
    given(world).when(compensate(3_000)).nothing()
    given(world).when(compensate(3_001)).refused("compensation_differs", amount_minor=3_000)
    assert shown(order).code == "refunding"


@pytest.mark.parametrize(
    "command",
    [approve_refund(), deny_refund(), fail_refund(), retry_refund(), add_evidence(PICTURE)],
)
def test_a_refund_that_is_not_there_is_not_found(command: Any) -> None:
    after(place()).when(command).refused("refund_not_found", refund_id="R1")
    given().when(command).refused("order_not_found")
