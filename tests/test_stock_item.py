"""Units of a sku at a location: received, adjusted, promised, given back, shipped."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from domain.desk_names import stock_stream
from domain.order_facts import OrderPlaced
from domain.stock_item import AdjustStock, ReceiveStock, StockAdjusted, StockItem, StockReceived
from tests.given import NOON, World, after, given
from tests.given_orders import cancel, line, place, receive

TEA = stock_stream("TEA", "main")


def adjust(delta: int | str, **more: Any) -> AdjustStock:
    body: dict[str, Any] = {"sku": "TEA", "delta": delta, "reason": "counted", "at": NOON}
    return AdjustStock.model_validate(body | more)


def test_receiving_and_adjusting_are_facts_with_their_reason() -> None:
    """covers: A47: on hand is the fold of what was received and counted."""
    world = (
        given()
        .when(receive("2.5"))
        .then({TEA: [StockReceived(sku="TEA", location="main", quantity=Decimal("2.5"), at=NOON)]})
    )
    adjusted = StockAdjusted(
        sku="TEA", location="main", delta=Decimal(-1), reason="counted", at=NOON
    )
    world = given(world).when(adjust(-1)).then({TEA: [adjusted]})
    assert world.stock().on_hand == Decimal("1.5")
    given(world).when(adjust(0)).nothing()


def test_an_adjustment_needs_a_reason() -> None:
    """covers: A47: without a reason there is no adjustment."""
    with pytest.raises(ValidationError, match="reason"):
        AdjustStock.model_validate({"sku": "TEA", "delta": 1, "at": NOON})


def test_promised_units_are_not_adjusted_away() -> None:
    start = after(receive(3), place())
    start.when(adjust(-2)).refused("adjustment_below_reserved", available=1)
    start.when(adjust(-1)).topics("stock_item.adjusted.v1")


def test_a_location_holds_a_bounded_number_of_units() -> None:
    world = World()
    for _ in range(1000):
        world.run(receive(1_000_000))
    given(world).when(receive(1)).refused("stock_too_large")
    given(world).when(adjust(1)).refused("stock_too_large")


def test_last_unit_sold_once() -> None:
    """covers: R12, A60: the second order for the last unit is refused with the numbers."""
    start = after(receive(1), place("A", line(quantity=1)))
    start.when(place("B", line(quantity=1))).refused(
        "insufficient_stock", sku="TEA", location="main", asked=1, available=0
    )
    given(start.world, cancel()).when(place("B", line(quantity=1))).topics(
        "order.placed.v4", "order.approved.v1", "stock_item.reserved.v1"
    )


def test_two_lines_of_one_sku_add_up() -> None:
    start = after(receive(3))
    start.when(place("A", line(quantity=2), line(quantity=2))).refused(
        "insufficient_stock", asked=4, available=3
    )
    world = start.when(place("A", line(quantity=2), line(quantity="0.5"))).world
    assert world.stock().available == Decimal("0.5")


def test_a_sku_without_stock_record_is_not_kept() -> None:
    world = after(place()).world
    placed = next(iter(world.events.values()))[0]
    assert isinstance(placed, OrderPlaced)
    assert placed.lines[0].reserved == 0
    assert TEA not in world.events


def test_each_location_has_its_own_units() -> None:
    north = ReceiveStock(sku="TEA", location="north", quantity=Decimal(5), at=NOON)
    start = after(receive(1), north)
    start.when(place()).refused("insufficient_stock", available=1)
    world = start.when(place("A", line(location="north"))).world
    assert world.stock() == StockItem(True, Decimal(1), Decimal(0))
    assert world.stock(location="north").available == 3


def test_a_location_has_no_at_sign() -> None:
    with pytest.raises(ValidationError, match="location"):
        ReceiveStock(sku="TEA", location="a@b", quantity=Decimal(5), at=NOON)


def test_the_answer_tells_what_is_there() -> None:
    assert after(receive(3), place()).world.answer(adjust(-1)) == {
        "sku": "TEA",
        "location": "main",
        "version": 3,
        "status": "out_of_stock",
        "on_hand": 2,
        "reserved": 2,
        "available": 0,
    }
