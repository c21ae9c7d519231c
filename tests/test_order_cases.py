"""Cases, holds and the review of an order: what they forbid, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from domain.case_commands import CaseKind
from domain.case_facts import CaseClosed, OrderHeld, OrderReviewed
from domain.desk_names import order_stream
from domain.message import Event
from domain.order_facts import OrderApproved
from domain.order_hold import FORBID_CAPTURING
from domain.order_intake import case_of
from domain.order_status import code, stage
from domain.payment_commands import AuthorisePayment, CapturePayment, ReinstateOrder
from tests.given import NOON, World, after, given, hours
from tests.given_money import pay
from tests.given_orders import (
    approve,
    cancel,
    close_case,
    deliver,
    dispatch,
    hold,
    line,
    open_case,
    override,
    pack,
    place,
    receive,
    reject,
    release,
    reopen,
    step,
    void,
)

HOLD_TYPES = ("review", "payment", "fraud", "customer", "stock", "other")
OVER_LIMIT = place("A", line(price=300_000))
DONE = {"cause": "customer", "action": "rang them"}


def facts(world: World, kind: type[Event]) -> list[Any]:
    return [event for event in world.events[order_stream("A")] if isinstance(event, kind)]


def authorise(amount_minor: int = 10_000) -> AuthorisePayment:
    body = {"method": "credit_card", "amount_minor": amount_minor, "reference": "card"}
    ids = {"order_id": "A", "payment_id": "AUTH", "expires_at": hours(100), "at": NOON}
    return AuthorisePayment.model_validate(body | ids)


def capture() -> CapturePayment:
    return CapturePayment(order_id="A", authorisation_id="AUTH", payment_id="P1", at=NOON)


# -- holds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HOLD_TYPES)
def test_a_held_order_stays_in_the_house(kind: str) -> None:
    """covers: A58: held order refuses ship."""
    after(place(), hold(kind)).when(pack((1, 1))).refused("order_held")
    packed = after(place(), pay(10_000), pack((1, 1)), hold(kind))
    packed.when(dispatch()).refused("order_held", order_id="A")
    given(packed.world, release()).when(dispatch()).topics(
        "order.dispatched.v1", "parcel.dispatched.v1"
    )


@pytest.mark.parametrize("kind", HOLD_TYPES)
def test_the_type_of_a_hold_says_whether_money_is_captured(kind: str) -> None:
    """covers: A58: capture rules per hold type."""
    held = after(place(), authorise(), hold(kind))
    if kind in FORBID_CAPTURING:
        held.when(capture()).refused("held_against_capture")
        assert given(held.world, release(), capture()).world.order().paid_minor == 10_000
    else:
        assert given(held.world, capture()).world.order().paid_minor == 10_000


def test_only_doubts_whether_it_is_an_order_keep_money_from_being_captured() -> None:
    assert {"review", "fraud"} == FORBID_CAPTURING


def test_money_that_arrives_unasked_is_recorded_whatever_holds_the_order() -> None:
    """covers: A58"""
    world = after(place(), hold("fraud")).when(pay(10_000)).world
    assert world.order().paid_minor == 10_000
    assert (stage(world.order()), code(world.order())) == ("on_hold", "awaiting_review")


def test_several_holds_are_released_one_by_one() -> None:
    world = after(place(), hold("fraud"), hold("stock", "H2"), release()).world
    assert stage(world.order()) == "on_hold"
    assert stage(given(world, release("H2")).world.order()) == "approved"
    given(world).when(release()).nothing()
    given(world).when(hold("fraud")).nothing()
    given(world).when(release("H3")).refused("hold_not_found")


def test_what_is_over_is_not_held() -> None:
    after(place(), cancel()).when(hold()).refused("order_cancelled")
    after(place(), void()).when(hold()).refused("order_void")


def test_what_has_left_still_arrives() -> None:
    sent = after(place(), pay(10_000), pack((1, 2)), dispatch(), hold("customer"))
    assert given(sent.world, deliver()).world.order().lines[1].delivered == 2


def test_a_hold_ends_an_override_of_the_stage() -> None:
    world = after(place(), override("stage", "completed"), hold()).world
    assert not world.order().overrides


def test_what_was_rejected_and_reinstated_is_later_cancelled_and_not_rejected() -> None:
    rejected = given(None, OVER_LIMIT, reject())
    assert stage(rejected.world.order()) == "rejected"
    again = given(rejected.world, ReinstateOrder(order_id="A", at=hours(1)), cancel())
    assert stage(again.world.order()) == "cancelled"
    again.when(reject()).refused("order_cancelled")


# -- cases -----------------------------------------------------------------------------------------


def test_a_blocking_case_holds_the_order_until_it_is_closed() -> None:
    """covers: A42, A58"""
    world = after(place(), open_case()).world
    assert (stage(world.order()), code(world.order())) == ("on_hold", "exception")
    given(world).when(pack((1, 1))).refused("order_held")
    closed = (
        given(world).when(close_case(**DONE)).topics("order.case_closed.v1", "order.released.v1")
    )
    assert (stage(closed.order()), code(closed.order())) == ("approved", "awaiting_payment")
    again = given(closed).when(reopen()).topics("order.case_reopened.v1", "order.held.v1")
    assert (stage(again.order()), code(again.order())) == ("on_hold", "exception")


def test_a_case_reopened_on_a_cancelled_order_holds_it_when_it_is_reinstated() -> None:
    closed = after(place(), pay(10_000), open_case(), close_case(**DONE), cancel())
    world = closed.when(reopen()).topics("order.case_reopened.v1", "order.held.v1")
    assert stage(world.order()) == "cancelled"
    back = given(world, ReinstateOrder(order_id="A", at=hours(1)))
    assert stage(back.world.order()) == "on_hold"
    back.when(pack((1, 1))).refused("order_held")


@pytest.mark.parametrize("kind", CaseKind.__args__)  # type: ignore[attr-defined]
def test_every_kind_of_case_can_be_opened_by_a_person(kind: str) -> None:
    world = after(place(), open_case(kind=kind), open_case("C2", kind=kind, blocking=False)).world
    [held] = facts(world, OrderHeld)
    assert (held.case_id, held.hold_id) == ("C1", "C1")
    given(world).when(open_case(kind=kind)).nothing()


def test_a_case_that_does_not_block_stops_nothing() -> None:
    world = after(place(), pay(10_000), open_case(blocking=False), pack((1, 2))).world
    assert code(world.order()) == "preparing"


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({}, ["cause", "action"]),
        ({"cause": "carrier"}, ["action"]),
        ({"action": "sent again", "outcome": "arrived"}, ["cause"]),
    ],
)
def test_a_case_is_not_closed_without_cause_and_action(
    told: dict[str, str], missing: list[str]
) -> None:
    """covers: A42"""
    after(place(), open_case()).when(close_case(**told)).refused("case_incomplete", missing=missing)


def test_what_a_step_has_told_need_not_be_told_again() -> None:
    """covers: A42: each step is an event."""
    world = after(
        place(),
        open_case(),
        step(step="analyse", cause="carrier"),
        step(step_id="S2", step="correct", action="sent again"),
    ).world
    given(world).when(step(step_id="S2", action="sent again")).nothing()
    closed = given(world, close_case()).world
    [fact] = facts(closed, CaseClosed)
    assert (fact.cause, fact.action) == ("carrier", None)
    given(closed).when(close_case()).nothing()
    given(closed).when(step(step_id="S3", step="prevent", prevention="other carrier")).topics(
        "order.case_step_taken.v1"
    )


def test_a_case_of_another_order_is_not_found() -> None:
    world = after(place(), place("B"), open_case(order_id="B")).world
    for command in (close_case(), reopen(), step(text="?")):
        given(world).when(command).refused("case_not_found", case_id="C1")


def test_releasing_the_hold_of_a_case_leaves_the_case_open() -> None:
    world = after(place(), open_case(), release("C1"), pack((1, 1))).world
    assert (stage(world.order()), code(world.order())) == ("in_progress", "exception")
    given(world).when(close_case(**DONE)).topics("order.case_closed.v1")


# -- what a rule opened ----------------------------------------------------------------------------


def _short() -> World:
    contact = {"name": "Li", "phone": "13800000000"}
    command = place(channel="marketplace", contact=contact, total_minor=9_000)
    return after(receive(1), command).world


def test_the_order_is_approved_when_the_last_blocking_case_closes() -> None:
    """covers: A58, A45"""
    world = _short()
    short, differs = case_of("A", "stock_short"), case_of("A", "total_differs")
    assert not world.order().approved
    world = given(world, close_case(differs, **DONE)).world
    assert (stage(world.order()), world.order().approved) == ("on_hold", False)
    world = (
        given(world)
        .when(close_case(short, **DONE))
        .topics("order.case_closed.v1", "order.released.v1", "order.approved.v1")
    )
    assert (stage(world.order()), code(world.order())) == ("approved", "awaiting_payment")
    sent = given(world, receive(5), pay(9_000), pack((1, 2)), dispatch()).world
    assert sent.stock().on_hand == 4
    assert sent.stock().reserved == 0


def test_what_is_also_over_the_limit_still_waits_for_its_review() -> None:
    contact = {"name": "Li", "phone": "13800000000"}
    command = place(channel="import", contact=contact, total_minor=900_000)
    differs = case_of("A", "total_differs")
    world = given(None, command, close_case(differs, **DONE)).world
    assert (stage(world.order()), code(world.order())) == ("in_review", "awaiting_review")


# -- review ----------------------------------------------------------------------------------------


def test_an_order_over_the_limit_waits_but_takes_its_money() -> None:
    """covers: A45"""
    world = after(OVER_LIMIT, pay(600_000)).world
    assert (stage(world.order()), code(world.order())) == ("in_review", "awaiting_review")
    given(world).when(pack((1, 1))).refused("not_approved")
    given(world).when(close_case(case_of("A", "over_review_limit"), **DONE)).refused("needs_review")


def test_an_approval_records_the_criteria_and_their_version() -> None:
    """covers: A45"""
    world = (
        after(OVER_LIMIT)
        .when(approve(text="a known company"))
        .topics("order.reviewed.v1", "order.case_closed.v1", "order.approved.v1")
    )
    [review], [approved] = facts(world, OrderReviewed), facts(world, OrderApproved)
    assert (review.decision, review.criteria, review.policy_version) == (
        "approved",
        ["over_review_limit"],
        0,
    )
    [closed] = facts(world, CaseClosed)
    assert (closed.cause, closed.action, approved.by) == (
        "customer",
        "a known company",
        "operator",
    )
    given(world).when(approve()).nothing()
    assert given(world, pay(600_000), pack((1, 1)), dispatch()).world.order().parcels


def test_approving_does_not_lift_what_blocks_the_order() -> None:
    world = given(_short(), approve()).world
    assert (world.order().approved, stage(world.order())) == (True, "on_hold")
    assert len(world.order().cases.holds) == 2


def test_a_rejected_order_owes_nothing_and_gives_back_stock_and_money() -> None:
    """covers: A45"""
    world = (
        after(receive(2), OVER_LIMIT, pay(600_000))
        .when(reject(at=hours(100)))
        .topics(
            "order.reviewed.v1",
            "order.case_closed.v1",
            "order.cancelled.v2",
            "stock_item.reservation_released.v1",
        )
    )
    order = world.order()
    assert (stage(order), order.total_minor, order.fees_minor) == ("rejected", 0, 0)
    assert order.balance_minor == -600_000
    assert world.stock().available == 2
    assert code(after(OVER_LIMIT, reject()).when(reject()).nothing().order()) == "cancelled"
    given(world).when(approve()).refused("order_cancelled")


def test_rejecting_closes_what_rules_found_and_releases_its_holds() -> None:
    order = given(_short(), reject()).world.order()
    assert not order.cases.holds
    assert (order.cases.open_criteria, code(order)) == ([], "cancelled")


def test_an_approved_or_cancelled_order_is_not_rejected() -> None:
    after(place()).when(reject()).refused("already_approved")
    after(OVER_LIMIT, cancel()).when(reject()).refused("order_cancelled")
