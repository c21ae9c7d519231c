"""Lost, short or damaged units: money back, or others at no price; each unit once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.desk_names import order_stream
from domain.intake_checks import stands
from domain.message import Command, Event, Recorded
from domain.order_facts import LineQuantity
from domain.order_status import facts, shown
from domain.payment_commands import ReinstateOrder
from domain.replacement_facts import PlacedAsReplacement, ReplacementWithdrawn
from projections.analytics_facts import TOPICS, fold, selling
from projections.analytics_tables import LINE_FACT
from tests.arrivals import LAST_MOMENT, PICTURE, complete, confirm, replace
from tests.given import NOON, REFUNDED, Given, World, after, given, hours
from tests.given_money import money, pay
from tests.given_orders import (
    amend,
    cancel,
    deliver,
    dispatch,
    hold,
    line,
    pack,
    place,
    publish,
    receive,
    scan,
    void,
)
from tests.given_returns import (
    approve_return,
    deny_refund,
    fail_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)

FOUR = place("A", line(quantity=4, price=1_000, unit_cost_minor=600), line("CUP", 2, 500))
SENT: tuple[Command, ...] = (
    receive(10),
    FOUR,
    pay(5_000),
    *(pack((1, 3)), dispatch(), scan("lost", hours(30))),
    *(pack((1, 1), (2, 2), parcel_id="L"), dispatch("L"), deliver("L")),
)
LOST: Any = {"reason": "lost", "parcel_id": "K"}


def sent(*more: Command) -> Given:
    """Of four teas and two cups, three teas were lost; the rest was delivered."""
    return given(None, *SENT, *more)


def test_a_lost_parcel_is_replaced_by_an_order_at_no_price_in_one_write() -> None:
    """covers: A13"""
    start = sent()
    assert shown(start.world.order()).code == "exception"
    world = start.when(replace(**LOST)).topics(
        "order.replaced.v1",
        "order.placed.v4",
        "order.approved.v1",
        "order.placed_as_replacement.v1",
        "stock_item.reserved.v1",
    )
    old, new = world.order(), world.order("B")
    assert world.events[order_stream("B")][-1] == PlacedAsReplacement(
        of_order_id="A", reason="lost", at=NOON
    )
    assert (new.total_minor, new.unpaid_minor, new.replacement_of) == (0, 0, "A")
    assert [(one.priced.sku, one.quantity, one.reserved) for one in new.lines.values()] == [
        ("TEA", Decimal(3), Decimal(3))
    ]
    assert (new.contact, new.shipping_address) == (old.contact, old.shipping_address)
    assert (old.lines[1].replaced, [*old.replacements]) == (Decimal(3), ["B"])
    assert (old.owed_minor, old.balance_minor) == (5_000, 0)
    assert (shown(old).code, facts(old).fulfilment) == ("delivered", "delivered")
    given(world).when(replace(**LOST)).nothing()
    given(world).when(replace(new="C", **LOST)).refused("nothing_to_replace")
    out = given(world, pack((1, 3), parcel_id="M", order_id="B"), dispatch("M"), deliver("M"))
    assert out.world.stock().on_hand == 10 - 4 - 3
    assert given(out.world, confirm("B")).world.order("B").completed_at is not None


def test_no_more_is_replaced_than_was_lost() -> None:
    start = sent()
    start.when(replace((1, 4), **LOST)).refused("replacement_exceeds_loss", asked=4, replaceable=3)
    start.when(replace((2, 1), **LOST)).refused("replacement_exceeds_loss", replaceable=0)
    one = given(start.world, replace((1, 1), **LOST))
    one.when(replace((1, 3), new="C", **LOST)).refused("replacement_exceeds_loss", replaceable=2)
    rest = one.when(replace(new="C", **LOST)).world
    assert rest.order("C").lines[1].quantity == 2


def test_only_what_is_lost_is_replaced_as_lost() -> None:
    start = sent()
    start.when(replace(reason="lost", parcel_id="L")).refused("parcel_not_lost")
    start.when(replace(reason="lost", parcel_id="X")).refused("parcel_not_found")
    found = given(start.world, scan("in_transit", hours(40)))
    found.when(replace(**LOST)).refused("parcel_not_lost", allowed=["lost"])
    cash = place("A", line(), payment_method="cash_on_delivery")
    after(cash, pack((1, 2)), dispatch(), scan("lost", hours(30))).when(replace(**LOST)).refused(
        "cash_on_delivery"
    )


def test_what_is_replaced_is_not_refunded_and_what_is_refunded_not_replaced() -> None:
    """covers: R6: in whatever order they come."""
    replaced = sent(replace((1, 2), **LOST))
    asked = refund(None, (1, 3), reason="lost")
    replaced.when(asked).refused("refund_exceeds_line", asked=3, refundable=2, replaced=2)
    replaced.when(refund(3_001, reason="lost")).refused(
        "units_are_replaced", refundable_minor=3_000, replacements=["B"]
    )
    back = sent(refund(None, (1, 1), reason="lost"))
    back.when(replace((1, 3), **LOST)).refused("replacement_exceeds_loss", replaceable=2)
    assert back.when(replace(**LOST)).world.order("B").lines[1].quantity == 2


def test_a_refund_that_failed_is_not_retried_for_what_was_replaced_since() -> None:
    whole = refund(None, (1, 3), reason="lost", shipping_minor=0)
    failed = sent(whole, fail_refund(), replace(**LOST))
    failed.when(retry_refund()).refused("refund_exceeds_line", asked=3, refundable=1)
    open_ = sent(whole)
    open_.when(replace(**LOST)).refused("nothing_to_replace")
    given(open_.world, deny_refund()).when(replace(**LOST)).topics(
        "order.replaced.v1",
        "order.placed.v4",
        "order.approved.v1",
        "order.placed_as_replacement.v1",
        "stock_item.reserved.v1",
    )


def test_a_loss_that_was_given_back_is_no_exception_any_more() -> None:
    part = sent(refund(None, (1, 1), reason="lost"))
    assert facts(part.world.order()).fulfilment == "lost"
    rest = given(part.world, replace(**LOST))
    assert facts(rest.world.order()).fulfilment == "delivered"


def test_what_came_damaged_needs_evidence_and_what_came_short_none() -> None:
    """covers: A6"""
    start = sent()
    start.when(replace((2, 1), evidence=[])).refused("evidence_missing")
    world = start.when(replace((2, 1))).world
    assert world.order("B").lines[1].priced.sku == "CUP"
    start.when(replace((2, 3))).refused("replacement_exceeds_loss", asked=3, replaceable=2)
    given(world).when(replace((2, 2), new="C", reason="short")).refused(
        "replacement_exceeds_loss", replaceable=1
    )
    given(world).when(replace((2, 1), new="C", reason="short", parcel_id="L")).topics(
        "order.replaced.v1",
        "order.placed.v4",
        "order.approved.v1",
        "order.placed_as_replacement.v1",
    )
    start.when(replace((1, 1), reason="short", parcel_id="K")).refused("parcel_not_delivered")
    start.when(replace((9, 1))).refused("unknown_line")


def test_what_was_found_again_is_made_good_by_what_went_out_for_it() -> None:
    start = sent(replace((1, 2), **LOST), deliver("K", at=hours(60)))
    start.when(replace((1, 3), new="C")).refused("replacement_exceeds_loss", replaceable=2)
    assert start.when(replace((1, 2), new="C")).world.order().lines[1].replaced == 4
    refunded = sent(refund(None, (1, 3), reason="lost"), deliver("K", at=hours(60)))
    refunded.when(replace((1, 2))).refused("replacement_exceeds_loss", replaceable=1)


def test_what_came_back_or_is_about_to_is_not_replaced() -> None:
    fault: Any = {"reason": "damaged", "evidence": [PICTURE]}
    returning = sent(send_back((2, 2), **fault))
    returning.when(replace((2, 1))).refused("replacement_exceeds_loss", replaceable=0)
    refunded = sent(refund(None, (2, 2), reason="late", shipping_minor=0))
    refunded.when(replace((2, 1))).refused("replacement_exceeds_loss", replaceable=0)


def test_a_replaced_unit_may_come_back_without_its_money() -> None:
    fault: Any = {"reason": "damaged", "evidence": [PICTURE]}
    start = sent(replace((2, 1)), send_back((2, 2), **fault), approve_return())
    world = start.when(take_back((2, 2))).world
    assert world.order().refunds["R1"].amount_minor == 500
    assert world.order().lines[2].returned == 2


def test_a_replacement_that_is_cancelled_leaves_the_units_open_again() -> None:
    start = sent(replace(**LOST))
    world = start.when(cancel((1, 1), order_id="B")).topics(
        "order.cancelled.v2", "order.replacement_withdrawn.v1", "stock_item.reservation_released.v1"
    )
    assert world.events[order_stream("A")][-1] == ReplacementWithdrawn(
        new_order_id="B", lines=[LineQuantity(line_no=1, quantity=Decimal(1))], at=NOON
    )
    assert facts(world.order()).fulfilment == "lost"
    given(world).when(refund(None, (1, 1), reason="lost", shipping_minor=0)).topics(*REFUNDED)
    gone = given(world, cancel(order_id="B")).world
    assert gone.order().lines[1].replaced == 0
    given(gone).when(money(ReinstateOrder, "B")).refused("is_a_replacement", replacement_of="A")
    given(gone, replace(new="C", **LOST))
    voided = start.when(void("B")).world
    assert voided.order().lines[1].replaced == 0


def test_a_replacement_that_comes_back_can_be_refunded_where_it_was_paid() -> None:
    out = sent(
        replace(**LOST), pack((1, 3), parcel_id="M", order_id="B"), dispatch("M"), deliver("M")
    )
    asked = (send_back((1, 2), order_id="B"), approve_return(order_id="B"))
    back = given(out.world, *asked, take_back((1, 2), order_id="B"))
    assert back.world.order("B").refunds == {}
    assert back.world.order().lines[1].replaced == 1
    back.when(refund(None, (1, 4))).refused("refund_exceeds_line", refundable=3)


def test_a_replacement_stays_what_it_is() -> None:
    start = sent(replace(**LOST))
    more = amend({"line_no": 1, "quantity": 9}, order_id="B")
    start.when(more).refused("is_a_replacement", replacement_of="A")
    moved = amend(order_id="B", contact={"name": "Li Wei", "phone": "1"})
    start.when(moved).topics("order.contact_amended.v1")


def test_what_stands_against_dispatching_stands_against_a_replacement() -> None:
    sent(hold()).when(replace(**LOST)).refused("order_held")
    short = given(None, *SENT)
    gone = given(short.world, place("Z", line(quantity=6)))
    gone.when(replace(**LOST)).refused("insufficient_stock")
    given().when(replace(**LOST)).refused("order_not_found")


def test_a_price_of_nothing_waits_for_no_review() -> None:
    """Neither as a loss (its cost is known) nor by a limit that there is none of."""
    world = sent(replace(**LOST)).world
    assert (stands(world.order()), stands(world.order("B"))) == (True, False), "no duplicate of it"
    strict = publish(hours(1), review={"auto_approve_below": {"EUR": 1}})
    world = sent(strict).when(replace(**LOST, at=hours(40))).world
    assert world.order("B").approved


def test_an_order_is_completed_when_its_loss_was_replaced_and_that_has_arrived() -> None:
    """Till then its replacement may be cancelled, and the loss is open again."""
    start = sent(replace(**LOST))
    start.when(complete(LAST_MOMENT + timedelta(days=1))).nothing()
    start.when(confirm()).refused("order_is_open", open={"replacements": ["B"]})
    arrived = given(start.world, pack((1, 3), parcel_id="M", order_id="B"), dispatch("M"))
    came = arrived.when(confirm("B"))
    came.topics(
        *("parcel.delivered.v1", "order.delivered.v1", "order.completed.v1"),
        "order.replacement_completed.v1",
    )
    again = given(came.world)
    again.when(complete(LAST_MOMENT)).refused("not_due")
    again.when(complete(LAST_MOMENT + timedelta(days=1))).topics("order.completed.v1")
    sent().when(complete(LAST_MOMENT + timedelta(days=1))).nothing()


def test_what_has_to_be_said_is_named() -> None:
    with pytest.raises(ValidationError, match="parcel_id: which parcel was lost"):
        replace(reason="lost")
    with pytest.raises(ValidationError, match="lines: which units were short"):
        replace(reason="short")


def test_what_goes_out_at_no_price_is_a_cost_of_the_first_order() -> None:
    """covers: A34"""
    world = sent(replace(**LOST)).world
    assert (cost(world), cost(world, "B")) == (7 * 600, 0)
    gone = given(world, cancel((1, 1), order_id="B")).world
    assert (cost(gone), cost(gone, "B")) == (6 * 600, 0)
    again = (pack((1, 2), parcel_id="M", order_id="B"), dispatch("M"), scan("lost", hours(50), "M"))
    asked = replace(new="C", order_id="B", reason="lost", parcel_id="M")
    lost_again = given(gone, *again, asked).world
    assert [cost(lost_again, name) for name in "ABC"] == [6 * 600, 2 * 600, 0]


def cost(world: World, order_id: str = "A") -> int:
    """Also as the sum of the facts that the events make, one by one."""
    state, made = None, 0
    for n, event in enumerate(world.events[order_stream(order_id)], start=1):
        name = (n, UUID(int=n), n, "order", order_id, event.TOPIC, partial(same, event), NOON)
        told = Recorded(*name, "desk", "test", UUID(int=1), UUID(int=1), None)
        state, facts_ = fold(state, told) if event.TOPIC in TOPICS else (state, [])
        made += sum(row[-1] for table, row in facts_ if table == LINE_FACT)
    assert made == sum(one.cost_minor for one in selling(world.order(order_id)).values())
    return made


def same(event: Event) -> Event:
    return event
