"""Packing, dispatching, tracking and delivering parcels of one or several orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given as sample
from hypothesis import strategies as st

from domain.desk_names import order_stream, parcel_stream, stock_stream
from domain.message import StreamName
from domain.order_facts import DeliveryTroubled, LineQuantity, OrderDelivered, OrderDispatched
from domain.order_status import shown
from domain.parcel import scan_id
from domain.parcel_commands import DispatchParcel
from domain.parcel_facts import TROUBLES, ParcelDelivered, ParcelDispatched, ParcelTracked
from domain.stock_item import StockItem, StockShipped
from tests.given import NOON, Given, after, given, hours
from tests.given_money import limit, pay
from tests.given_orders import (
    amend,
    approve,
    cancel,
    deliver,
    dispatch,
    line,
    pack,
    pack_orders,
    place,
    receive,
    register,
    scan,
    void,
)
from tests.given_returns import refund

A, K = order_stream("A"), parcel_stream("K")


@pytest.fixture
def packed() -> Given:
    return after(receive(10), place(), pay(10000), pack((1, 2)))


@pytest.fixture
def sent(packed: Given) -> Given:
    return given(packed.world, dispatch())


def test_a_parcel_is_packed_once() -> None:
    start = after(place())
    world = start.when(pack((1, 2))).topics("parcel.packed.v1", "order.packed.v1")
    given(world).when(pack((1, 2))).nothing()
    given(world).when(pack((1, 1))).refused("parcel_differs")
    given(world).when(pack((1, 1), parcel_id="K2")).refused(
        "pack_exceeds_open", asked=1, open=0, line_no=1
    )


def test_only_an_approved_open_order_is_packed() -> None:
    placed = after(place()).world.events[A][:1]
    unapproved = given({A: placed})
    unapproved.when(pack((1, 1))).refused("not_approved")
    given(unapproved.world, approve()).when(pack((1, 1))).topics(
        "parcel.packed.v1", "order.packed.v1"
    )
    after(place(), cancel()).when(pack((1, 1))).refused("order_cancelled")
    after(place(), void()).when(pack((1, 1))).refused("order_void")
    after(place()).when(pack((7, 1))).refused("unknown_line", line_no=7)
    given().when(pack((1, 1))).refused("order_not_found")


def test_dispatch_takes_the_promised_units_out_of_stock(packed: Given) -> None:
    """covers: A48, A47: the parcel, the order and the stock change in one write."""
    units = LineQuantity(line_no=1, quantity=Decimal(2))
    common: Any = {"carrier": "sf-express", "tracking_number": "SF-K", "at": NOON}
    world = packed.when(dispatch()).then(
        {
            K: [ParcelDispatched(parcel_id="K", order_ids=["A"], **common)],
            A: [OrderDispatched(parcel_id="K", lines=[units], stock_shipped=[units], **common)],
            stock_stream("TEA", "main"): [
                StockShipped(
                    sku="TEA",
                    location="main",
                    order_id="A",
                    quantity=Decimal(2),
                    reserved=Decimal(2),
                    at=NOON,
                )
            ],
        }
    )
    assert world.stock() == StockItem(True, Decimal(8), Decimal(0))


def test_dispatch_twice_is_nothing_and_another_number_is_refused(sent: Given) -> None:
    sent.when(dispatch()).nothing()
    sent.when(dispatch(number="SF-other")).refused(
        "already_dispatched", carrier="sf-express", tracking_number="SF-K"
    )


def test_a_tracking_number_is_one_parcels(sent: Given) -> None:
    world = given(sent.world, place("B"), pay(10000, order_id="B")).world
    world.run(pack((1, 2), parcel_id="K2", order_id="B"))
    given(world).when(dispatch("K2", number="SF-K")).refused("tracking_number_taken", parcel_id="K")
    other = DispatchParcel(parcel_id="K2", carrier="yto", tracking_number="SF-K", at=NOON)
    given(world).when(other).topics(
        "parcel.dispatched.v1", "order.dispatched.v1", "stock_item.shipped.v1"
    )


def test_an_unpaid_parcel_stays_unless_it_is_paid_later() -> None:
    """covers: A48: prepaid goods leave when they are paid in full."""
    unpaid = after(place(), pay(9899), pack((1, 2)))
    unpaid.when(dispatch()).refused("not_paid", due_minor=101, order_id="A")
    given(unpaid.world, pay(101, "P2")).when(dispatch()).topics(
        "parcel.dispatched.v1", "order.dispatched.v1"
    )
    for method in ("cash_on_delivery", "on_account"):
        later = place(payment_method=method)
        after(register(), limit(10000), later, pack((1, 2))).when(dispatch()).topics(
            "parcel.dispatched.v1", "order.dispatched.v1"
        )


def test_money_for_goods_that_are_not_wanted_is_missing_at_the_dispatch() -> None:
    world = after(place(), pay(10000), pack((1, 2)), refund(4000, reason="changed_mind"))
    world.when(dispatch()).refused("not_paid", due_minor=4000)


def test_goods_placed_before_their_stock_record_need_free_units() -> None:
    start = after(place(), pay(10000), pack((1, 2)))
    short = given(start.world, receive(1))
    short.when(dispatch()).refused("insufficient_stock", asked=2, available=1)
    enough = given(start.world, receive(2)).when(dispatch()).world
    assert enough.stock().on_hand == 0


def test_one_parcel_carries_lines_of_several_orders() -> None:
    """covers: A48: merged shipment; each order has its own units in it."""
    start = after(receive(10), place(), place("B"), pay(10000), pay(10000, order_id="B"))
    both = pack_orders(
        {"order_id": "A", "line_no": 1, "quantity": 1},
        {"order_id": "B", "line_no": 1, "quantity": 2},
    )
    world = given(start.world, both, dispatch(), deliver()).world
    assert [world.order(name).lines[1].delivered for name in "AB"] == [1, 2]
    assert world.stock() == StockItem(True, Decimal(7), Decimal(1))
    answer = world.answer(deliver())
    assert [one["status"] for one in answer["orders"]] == ["shipped", "delivered"]
    assert (answer["status"], answer["version"]) == ("delivered", 3)


def test_delivery_comes_after_dispatch_and_keeps_its_proof(packed: Given, sent: Given) -> None:
    """covers: A48: no delivery before the dispatch; who took it and when is kept on the parcel."""
    packed.when(deliver()).refused("not_dispatched")
    world = sent.when(deliver(name="Wang", delivered_at=hours(40), picture_ref="p1")).then(
        {
            K: [
                ParcelDelivered(
                    parcel_id="K",
                    order_ids=["A"],
                    source="manual",
                    person="parcel/K",
                    name="Wang",
                    picture_ref="p1",
                    at=hours(40),
                )
            ],
            A: [
                OrderDelivered(
                    parcel_id="K",
                    lines=[LineQuantity(line_no=1, quantity=Decimal(2))],
                    source="manual",
                    at=hours(40),
                )
            ],
        }
    )
    given(world).when(deliver(name="Wang")).nothing()
    given().when(deliver()).refused("parcel_not_found", parcel_id="K")


def test_the_carriers_delivery_is_a_delivery_and_takes_a_proof_later(sent: Given) -> None:
    world = sent.when(scan("delivered", hours(30))).topics(
        "parcel.tracked.v1", "parcel.delivered.v1", "order.delivered.v1"
    )
    given(world).when(deliver()).nothing()
    given(world).when(deliver(name="Wang")).topics("parcel.delivered.v1")
    given(sent.world, deliver()).when(scan("delivered", hours(30))).topics("parcel.tracked.v1")


def test_a_repeated_scan_is_known_by_its_time_in_any_zone(sent: Given) -> None:
    """covers: A85: carrier, number, milestone and the carrier's time name a scan."""
    world = sent.when(scan("picked_up", hours(2))).topics("parcel.tracked.v1")
    in_china = hours(2).astimezone(timezone(timedelta(hours=8)))
    given(world).when(scan("picked_up", in_china, event_id="other")).nothing()
    given(world).when(scan("picked_up", hours(3))).topics("parcel.tracked.v1")
    assert scan_id("a", "b|c", "lost", NOON) != scan_id("a|b", "c", "lost", NOON)


def test_a_scan_belongs_to_a_dispatched_parcel_with_that_number(packed: Given, sent: Given) -> None:
    packed.when(scan("picked_up", NOON)).refused("not_dispatched")
    sent.when(scan("picked_up", NOON, tracking_number="SF-X")).refused(
        "tracking_number_differs", tracking_number="SF-K"
    )
    given().when(scan("picked_up", NOON)).refused("parcel_not_found")


def test_a_late_old_scan_never_moves_a_parcel_back(sent: Given) -> None:
    world = given(sent.world, scan("out_for_delivery", hours(20))).world
    world.run(scan("in_transit", hours(10)))
    assert world.parcel().milestone == "out_for_delivery"
    world.run(scan("in_transit", hours(21)))
    assert world.parcel().milestone == "in_transit"


def test_of_two_scans_with_one_time_the_further_counts(sent: Given) -> None:
    for first, second in permutations(("picked_up", "in_transit")):
        world = given(sent.world, scan(first, hours(1)), scan(second, hours(1))).world
        assert world.parcel().milestone == "in_transit"


def test_delivered_stays_and_lost_is_found_again(sent: Given) -> None:
    world = given(sent.world, scan("delivered", hours(20)), scan("in_transit", hours(30))).world
    assert world.parcel().milestone == "delivered"
    late = given(sent.world, scan("in_transit", hours(30)), scan("delivered", hours(20))).world
    assert late.parcel().delivered
    found = given(sent.world, scan("lost", hours(20)), scan("in_transit", hours(30))).world
    assert found.parcel().milestone == "in_transit"
    returned = given(sent.world, scan("returned", hours(20)), scan("delivered", hours(30))).world
    assert returned.parcel().status == "returned"
    given(returned).when(deliver()).refused("already_returned")


@sample(
    st.lists(
        st.tuples(
            st.sampled_from(
                ("picked_up", "in_transit", "customs", "exception", "lost", "delivered")
            ),
            st.integers(0, 6),
        ),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_scans_merge_to_one_state_in_whatever_order_they_come(
    scans: list[tuple[str, int]], order: Random
) -> None:
    """covers: L31: late, twice and out of order, the same parcel comes out."""
    start = after(place(), pay(10000), pack((1, 2)), dispatch())
    shuffled = [*scans, *scans]
    order.shuffle(shuffled)
    one = given(start.world, *(scan(name, hours(at)) for name, at in scans)).world
    other = given(start.world, *(scan(name, hours(at)) for name, at in shuffled)).world
    assert one.parcel().scans == other.parcel().scans
    assert one.parcel().milestone == other.parcel().milestone
    assert shown(one.order()) == shown(other.order())


@pytest.mark.parametrize("trouble", sorted(TROUBLES))
def test_an_order_shows_the_trouble_of_its_parcel_until_it_ends(sent: Given, trouble: str) -> None:
    world = sent.when(scan(trouble, hours(5))).world
    assert world.events[A][-1] == DeliveryTroubled(parcel_id="K", milestone=trouble, at=hours(5))
    assert shown(world.order()).code == "exception"
    given(world).when(scan(trouble, hours(6))).topics("parcel.tracked.v1")
    if trouble != "returned":
        world = given(world).when(scan("in_transit", hours(7))).world
        assert shown(world.order()).code == "shipped"
        assert isinstance(world.events[A][-1], DeliveryTroubled)


def test_an_ordinary_scan_needs_no_order(sent: Given) -> None:
    """A carrier sends thousands; most change nothing that an order shows."""
    assert sent.world.needed(scan("in_transit", hours(1))).keys() == {K}
    assert sent.world.needed(scan("lost", hours(1))).keys() == {K, A}


def test_an_estimate_that_was_revised_does_not_come_back(sent: Given) -> None:
    world = given(
        sent.world,
        scan("in_transit", hours(5), estimated_at=hours(60)),
        scan("picked_up", hours(2), estimated_at=hours(40)),
    ).world
    assert world.parcel().estimated_at == hours(60)
    kept = [event.estimated_at for event in world.events[K] if isinstance(event, ParcelTracked)]
    assert kept == [hours(60), hours(40)]


def test_a_packed_order_is_amended_around_its_parcel(packed: Given) -> None:
    packed.when(amend(line("CUP", 1, 100))).topics("order.lines_amended.v2")


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    command = scan("in_transit", datetime.fromisoformat("2025-03-01T20:00:00+08:00"))
    assert command.occurred_at == NOON
    assert command.occurred_at.tzinfo is UTC


def test_streams_are_named_by_what_people_know() -> None:
    assert stock_stream("a@b", "c") == StreamName("stock_item", "a@b@c")
