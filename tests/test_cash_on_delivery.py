"""Cash on delivery: collected by the carrier, remitted less its fee, refused at the door."""

from __future__ import annotations

from typing import Any

from domain.desk_names import order_stream
from domain.order_facts import PaymentCaptured
from domain.order_money import settlement
from domain.order_status import code, fulfilment, payment
from domain.payment_commands import RecordRemittance, RefuseDelivery
from domain.payment_facts import CashCollected, DeliveryRefused
from tests.given import Given, World, after, given, hours
from tests.given_money import money, move, pay, unrecord
from tests.given_orders import deliver, dispatch, line, pack, pack_orders, place, scan
from tests.given_returns import refund


def remit(amount_minor: int, payment_id: str = "R1", **more: Any) -> Any:
    body: dict[str, Any] = {
        "carrier": "sf-express",
        "amount_minor": amount_minor,
        "reference": "batch 9",
    }
    return money(RecordRemittance, payment_id=payment_id, **(body | more))


def refuse(parcel_id: str = "K", **more: Any) -> Any:
    return money(RefuseDelivery, parcel_id=parcel_id, **more)


def sent() -> Given:
    bought = place("A", line(quantity=3), shipping_minor=700, payment_method="cash_on_delivery")
    return after(bought, pack((1, 2)), dispatch(), pack((1, 1), parcel_id="L"), dispatch("L"))


def collected(world: World) -> list[tuple[str, int]]:
    facts = world.events[order_stream("A")]
    return [(f.parcel_id, f.amount_minor) for f in facts if isinstance(f, CashCollected)]


def test_what_is_delivered_the_carrier_owes_us() -> None:
    """covers: A20"""
    world = sent().when(deliver()).world
    state = world.order()
    assert collected(world) == [("K", 10_700)]
    assert (state.money.collected, state.balance_minor) == ({"sf-express": 10_700}, 5_000)
    assert (payment(state), state.paid_minor) == ("unpaid", 0)
    world = given(world).when(scan("delivered", hours(5), "L")).world
    assert collected(world) == [("K", 10_700), ("L", 5_000)]
    assert world.order().balance_minor == 0
    given(world).when(refund(1)).refused("refund_exceeds_paid", refundable_minor=0)


def test_the_carrier_pays_less_its_fee_and_the_order_is_paid_in_full() -> None:
    world = sent().when(deliver()).world
    world = given(world).when(remit(10_700, fee_minor=107)).topics("order.payment_captured.v2")
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, PaymentCaptured)
    assert (fact.method, fact.amount_minor, fact.fee_minor, fact.carrier) == (
        "cash_on_delivery",
        10_700,
        107,
        "sf-express",
    )
    state = world.order()
    assert (state.money.collected_minor, state.paid_minor, state.balance_minor) == (
        0,
        10_700,
        5_000,
    )
    given(world).when(remit(10_700, fee_minor=107)).nothing()
    world = given(world).when(deliver("L")).world
    world = given(world).when(remit(5_000, "R2")).world
    assert payment(world.order()) == "paid"
    given(world).when(remit(1, "R3", fee_minor=2)).refused("fee_exceeds_amount")


def test_a_remittance_may_come_before_the_news_of_the_delivery() -> None:
    world = sent().when(remit(15_700)).world
    for name in ("K", "L"):
        world = given(world).when(deliver(name)).world
    assert (collected(world), world.order().money.collected_minor) == ([], 0)
    assert payment(world.order()) == "paid"


def test_a_remittance_that_was_a_mistake_leaves_the_carrier_owing_what_it_collected() -> None:
    early = given(sent().world, remit(15_700)).when(unrecord("R1")).world
    assert early.order().money.collected_minor == 0
    more = given(sent().world, deliver(), remit(12_000)).when(unrecord("R1")).world
    assert more.order().money.collected == {"sf-express": 10_700}
    part = given(sent().world, deliver(), remit(3_000)).when(unrecord("R1")).world
    assert part.order().money.collected == {"sf-express": 10_700}


def test_a_remittance_is_not_moved_or_two_orders_would_be_owed_the_wrong_cash() -> None:
    start = given(sent().world, deliver(), remit(10_700), place("B"))
    start.when(move("R1")).refused("money_of_a_carrier", carrier="sf-express")


def test_who_paid_before_owes_nothing_at_the_door() -> None:
    world = given(sent().world, pay(15_700)).when(deliver()).world
    assert collected(world) == []


def test_a_parcel_that_nobody_takes_is_owed_no_longer_and_its_freight_is_a_cost() -> None:
    """拒收"""
    world = (
        sent()
        .when(refuse(freight_minor=2_400, reason="Wrong colour."))
        .topics("order.delivery_refused.v1")
    )
    fact = world.events[order_stream("A")][-1]
    assert isinstance(fact, DeliveryRefused)
    assert (fact.carrier, fact.goods_minor, fact.shipping_minor) == ("sf-express", 10_000, 0)
    state = world.order()
    assert (state.total_minor, state.money.freight_minor) == (5_700, 2_400)
    assert (fulfilment(state), code(state)) == ("delivery_exception", "exception")
    given(world).when(refuse()).nothing()
    world = given(world).when(refuse("L")).world
    settled = settlement(world.order())
    assert (settled.total_minor, settled.credit_minor, settled.unpaid_minor) == (0, 0, 0)


def test_what_was_refused_at_the_door_is_not_delivered() -> None:
    """The carrier may say so all the same, when it is back at the sender's."""
    start = given(sent().world, refuse())
    start.when(deliver()).refused("delivery_refused", parcel_id="K")
    world = start.when(scan("delivered", hours(60))).world
    assert world.parcel().delivered
    assert world.order().lines[1].delivered == 0
    assert collected(world) == []
    together = [{"order_id": one, "line_no": 1, "quantity": 2} for one in ("A", "B")]
    cash = (place(one, payment_method="cash_on_delivery") for one in ("A", "B"))
    shared = after(*cash, pack_orders(*together), dispatch(), refuse()).when(deliver()).world
    assert [shared.order(one).lines[1].delivered for one in ("A", "B")] == [0, 2]


def test_only_a_parcel_on_its_way_to_who_pays_at_the_door_is_refused() -> None:
    sent().when(refuse("X")).refused("parcel_not_found")
    given(sent().world, deliver()).when(refuse()).refused("not_on_its_way")
    prepaid = after(place(), pay(10_000), pack((1, 2)), dispatch())
    prepaid.when(refuse()).refused("not_cash_on_delivery")
