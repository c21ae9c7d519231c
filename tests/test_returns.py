"""Goods that come back: in time, inspected, into stock, refunded; or exchanged for others."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.desk_names import order_stream, stock_stream
from domain.message import Command
from domain.order_facts import Exemption, OrderPlaced, PaymentCaptured, RefundRequested
from domain.order_status import facts, shown
from domain.policy import PublishPolicy
from domain.policy_rules import PolicyRules
from domain.return_facts import (
    ExchangedPart,
    OrderExchanged,
    PlacedInExchange,
    ReturnApproved,
)
from domain.stock_item import StockReturned
from tests.given import NOON, REFUNDED, Given, World, after, given, hours
from tests.given_money import pay
from tests.given_orders import cancel, deliver, dispatch, line, override, pack, place, receive
from tests.given_returns import (
    approve_return,
    close_return,
    deny_return,
    exchange,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)

PICTURE = "a" * 64
THREE = place("A", line(quantity=3, price=1_000), line("CUP", 1, 2_000), shipping_minor=500)
SENT: tuple[Command, ...] = (pay(5_500), pack((1, 3), (2, 1)), dispatch(), deliver())
DELIVERED = (receive(10), THREE, *SENT)
# Delivered on 3 March 2025 at 20:00 in Shanghai: 7 days are over when the 10th is.
LAST_MOMENT = hours(48) + timedelta(days=7, hours=4)


def back(*lines: Any, reason: str = "changed_mind") -> Given:
    """The three teas and the cup were delivered; these lines may come back."""
    evidence = [] if reason == "changed_mind" else [PICTURE]
    asked = send_back(*(lines or ((1, 3),)), reason=reason, evidence=evidence)
    return after(*DELIVERED, asked, approve_return())


def publish(**sections: Any) -> PublishPolicy:
    rules = PolicyRules.model_validate(sections)
    days = {"covered_until": "2026-12-31"}
    return PublishPolicy.model_validate({"shop": "main", "rules": rules, "at": NOON, "days": days})


def requested(world: World) -> RefundRequested:
    found = [e for e in world.events[order_stream("A")] if isinstance(e, RefundRequested)]
    return found[-1]


def test_a_return_goes_from_request_to_refund() -> None:
    """covers: A49: return, inspect, refund; stock only after the inspection."""
    start = after(*DELIVERED)
    world = start.when(send_back((1, 2))).topics("order.return_requested.v2")
    assert facts(world.order()).returns == "requested"
    world = given(world).when(approve_return()).topics("order.return_approved.v1")
    assert facts(world.order()).returns == "approved"
    assert world.stock().on_hand == 7, "nothing is in stock before somebody looked at it"
    world = (
        given(world)
        .when(take_back((1, 1), (1, 1, "scrap")))
        .topics("order.return_received.v2", *REFUNDED, "stock_item.returned.v1")
    )
    assert facts(world.order()).returns == "received"
    assert world.stock().on_hand == 8
    assert world.events[stock_stream("TEA", "main")][-1] == StockReturned(
        sku="TEA",
        location="main",
        order_id="A",
        quantity=Decimal(1),
        at=hours(72),
    )
    assert (requested(world).amount_minor, requested(world).return_id) == (2_000, "T1")
    assert world.order().lines[1].returned == 2
    world = given(world).when(pay_refund()).topics("order.refund_paid.v1", "order.return_closed.v1")
    assert facts(world.order()).returns == "closed"
    assert shown(world.order()).code == "delivered"


def test_two_of_three_received_refund_two() -> None:
    """covers: A67"""
    world = back((1, 3)).when(take_back((1, 2))).world
    assert requested(world).amount_minor == 2_000
    assert world.order().lines[1].refunded == 2
    again = given(world, pay_refund())
    assert facts(again.world.order()).returns == "received", "one is still to come"
    more = refund(None, (1, 1), return_id="T1", reason="changed_mind", refund_id="R2")
    again.when(more).refused("refund_exceeds_return", asked=1, refundable=0)
    rest = again.when(take_back((1, 1), refund_id="R2", at=hours(80))).world
    assert requested(rest).amount_minor == 1_000
    closed = given(rest).when(pay_refund("R2")).world
    assert facts(closed.order()).returns == "closed"


def test_what_never_came_is_given_up_by_closing() -> None:
    world = back((1, 3)).when(take_back((1, 1))).world
    given(world).when(send_back((1, 1), return_id="T2")).refused("return_exceeds_delivered")
    closed = given(world).when(close_return(reason="The rest never came")).world
    given(closed).when(close_return()).nothing()
    given(closed).when(take_back((1, 1), refund_id="R9")).refused("return_is_closed")
    given(closed).when(send_back((1, 2), return_id="T2")).topics("order.return_requested.v2")
    given(closed).when(send_back((1, 3), return_id="T2")).refused(
        "return_exceeds_delivered", asked=3, returnable=2
    )


def test_no_more_comes_back_than_was_delivered_and_has_not_come_back() -> None:
    after(THREE, pay(5_500), pack((1, 2)), dispatch()).when(send_back((1, 1))).refused(
        "return_exceeds_delivered", returnable=0
    )
    start = after(*DELIVERED)
    start.when(send_back((1, 4))).refused("return_exceeds_delivered", asked=4, returnable=3)
    start.when(send_back((9, 1))).refused("unknown_line")
    open_ = given(start.world, send_back((1, 2)))
    open_.when(send_back((1, 2), return_id="T2")).refused("return_exceeds_delivered", returnable=1)
    denied = given(open_.world, deny_return())
    assert facts(denied.world.order()).returns == "denied"
    denied.when(send_back((1, 3), return_id="T2")).topics("order.return_requested.v2")
    approved = given(open_.world, approve_return())
    approved.when(take_back((1, 3))).refused("return_exceeds_request", came=3, awaited=2)
    approved.when(take_back((2, 1))).refused("return_exceeds_request", awaited=0)
    open_.when(take_back((1, 1))).refused("return_is_requested")


def test_without_a_reason_goods_come_back_for_seven_days() -> None:
    start = after(*DELIVERED)
    start.when(send_back((1, 1), at=LAST_MOMENT)).topics("order.return_requested.v2")
    late = LAST_MOMENT + timedelta(microseconds=1)
    start.when(send_back((1, 1), at=late)).refused(
        "return_window_closed", days=7, until=LAST_MOMENT.isoformat()
    )


def test_a_fault_may_show_for_thirty_days_and_needs_evidence() -> None:
    """covers: A6"""
    start = after(*DELIVERED)
    at = hours(48) + timedelta(days=30)
    start.when(send_back((1, 1), reason="damaged", at=at)).refused("evidence_missing")
    shown_ = send_back((1, 1), reason="damaged", at=at, evidence=[PICTURE])
    world = start.when(shown_).topics("order.return_requested.v2")
    world = given(world, approve_return()).world
    refunded = given(world).when(take_back((1, 1))).world
    assert requested(refunded).evidence == [PICTURE]
    later = send_back((1, 1), reason="damaged", at=at + timedelta(days=1), evidence=[PICTURE])
    start.when(later).refused("return_window_closed", days=30)


def test_the_window_is_that_of_each_delivery() -> None:
    """Two came early, one late; what comes back first is taken to have been delivered first."""
    parcels = (
        *(pack((1, 2)), dispatch(), deliver(delivered_at=hours(48))),
        *(pack((1, 1), parcel_id="L"), dispatch("L")),
        deliver("L", at=hours(300), delivered_at=hours(300)),
    )
    start = after(THREE, pay(5_500), *parcels)
    late = hours(301)
    start.when(send_back((1, 1), at=late)).topics("order.return_requested.v2")
    start.when(send_back((1, 2), at=late)).refused("return_window_closed", asked=2, returnable=1)
    early = given(start.world, send_back((1, 2), return_id="T0"))
    early.when(send_back((1, 1), at=late)).topics("order.return_requested.v2")


def test_some_categories_come_back_with_a_fault_only() -> None:
    rules = publish(returns={"excluded_categories": ["drinks"]})
    start = after(rules, *DELIVERED)
    start.when(send_back((1, 1))).refused("return_category_excluded", category="drinks")
    fault = send_back((1, 1), reason="quality_problem", evidence=[PICTURE])
    start.when(fault).topics("order.return_requested.v2")


@pytest.mark.parametrize(
    ("reason", "said", "payer"),
    [
        ("changed_mind", None, "customer"),
        ("damaged", None, "seller"),
        ("changed_mind", "seller", "seller"),
    ],
)
def test_who_is_the_cause_pays_the_way_back(reason: str, said: str | None, payer: str) -> None:
    start = after(*DELIVERED, send_back((1, 1), reason=reason, evidence=[PICTURE]))
    world = start.when(approve_return(postage=said, label="SF-BACK-1")).world
    assert world.events[order_stream("A")][-1] == ReturnApproved(
        return_id="T1", postage=payer, label="SF-BACK-1", at=hours(50)
    )
    given(world).when(approve_return()).nothing()


def test_restocking_costs_what_the_policy_says_unless_the_seller_is_the_cause() -> None:
    fee = publish(returns={"restocking_fee_bp": 1_500})
    start = after(fee, *DELIVERED, send_back((1, 3)), approve_return())
    world = start.when(take_back((1, 3))).world
    event = requested(world)
    assert (event.fee_minor, event.amount_minor) == (450, 2_550)
    assert world.order().refundable_minor == 5_500 - 3_000
    given(world).when(refund(2_501, refund_id="R2")).refused(
        "refund_exceeds_paid", refundable_minor=2_500
    )
    fault = send_back((1, 3), reason="damaged", evidence=[PICTURE])
    start = after(fee, *DELIVERED, fault, approve_return())
    event = requested(start.when(take_back((1, 3))).world)
    assert (event.fee_minor, event.shipping_minor, event.amount_minor) == (0, 500, 3_500)


def test_the_term_begins_with_the_receipt_of_the_goods() -> None:
    """covers: A7: asked on Monday, received on Tuesday 4 March: due when Friday ends."""
    world = back((1, 1)).when(take_back((1, 1))).world
    event = requested(world)
    assert event.starts_at == hours(72)
    assert event.pay_by is not None
    assert event.pay_by.isoformat() == "2025-03-07T16:00:00+00:00"
    later = back((1, 1)).when(take_back((1, 1), refund=False)).world
    by_hand = refund(None, return_id="T1", reason="changed_mind", at=hours(200))
    event = requested(given(later).when(by_hand).topics(*REFUNDED))
    assert (event.starts_at, event.amount_minor) == (hours(72), 1_000)
    assert event.pay_by.isoformat() == "2025-03-07T16:00:00+00:00"  # type: ignore[union-attr]


def test_goods_are_received_also_where_there_is_nothing_to_give_back() -> None:
    cash = place("A", line(quantity=3), payment_method="cash_on_delivery")
    sent = after(cash, pack((1, 3)), dispatch(), deliver(), send_back((1, 3)), approve_return())
    world = sent.when(take_back((1, 3))).topics("order.return_received.v2")
    assert facts(world.order()).returns == "received"
    given(world).when(close_return()).topics("order.return_closed.v1")


def test_money_may_go_back_without_the_goods() -> None:
    """仅退款: a refund by lines needs no return."""
    after(*DELIVERED).when(refund(None, (1, 1), reason="late")).topics(*REFUNDED)


def test_goods_that_cannot_be_sold_again_stay_out_of_stock() -> None:
    start = back((1, 3))
    world = start.when(take_back((1, 1, "repair"), (1, 1, "scrap"), refund=False)).world
    assert world.stock().on_hand == 7
    kept_out = {"line_no": 1, "quantity": 1, "condition": "resell", "restock": False}
    assert start.when(take_back(lines=[kept_out])).world.stock().on_hand == 7
    with pytest.raises(ValueError, match="only goods in condition resell"):
        take_back(lines=[kept_out | {"condition": "scrap", "restock": True}])


def test_a_sku_without_stock_record_gets_none_by_a_return() -> None:
    start = after(THREE, *SENT, send_back((1, 1)), approve_return())
    world = start.when(take_back((1, 1))).topics("order.return_received.v2", *REFUNDED)
    assert not world.stock().kept


def test_a_return_after_the_completion_leaves_the_stage() -> None:
    start = after(*DELIVERED, override("stage", "completed", sticky=True))
    world = given(start.world, send_back((1, 1)), approve_return(), take_back((1, 1))).world
    assert shown(world.order()).dimensions.stage == "completed"


def test_an_override_of_the_return_ends_with_its_next_fact() -> None:
    start = after(*DELIVERED, override("return", "closed"))
    assert shown(start.world.order()).dimensions.returns == "closed"
    world = start.when(send_back((1, 1))).world
    assert shown(world.order()).dimensions.returns == "requested"


def test_ten_ordered_six_sent_four_cancelled_and_refunded() -> None:
    """covers: A59, R21 mixed_ship_refund_completes: nothing is left to send or to owe."""
    ten = place("A", line(quantity=10, price=1_000))
    start = after(ten, pay(10_000), pack((1, 6)), dispatch(), deliver(), cancel((1, 4)))
    order = given(start.world, refund(None, (1, 4)), pay_refund()).world.order()
    assert facts(order).fulfilment == "delivered"
    assert (order.balance_minor, order.net_paid_minor) == (0, 6_000)
    assert order.lines[1].open == 0


def test_all_that_came_back_one_by_one_is_all_that_was_paid() -> None:
    """covers: A66, R4: with a discount and tax on top, to the cent."""
    odd = place(
        "A",
        line(quantity=3, price=333, tax_rate_bp=1_300),
        line("CUP", 2, 1_999, tax_rate_bp=600),
        discount_minor=101,
        prices_include_tax=False,
    )
    total = after(odd).world.order().total_minor
    tax = sum(one.priced.tax_minor for one in after(odd).world.order().lines.values())
    start = after(odd, pay(total), pack((1, 3), (2, 2)), dispatch(), deliver())
    world = given(start.world, send_back((1, 3), (2, 2)), approve_return()).world
    for number, no in enumerate((1, 2, 1, 2, 1)):
        world = given(world).when(take_back((no, 1), refund_id=f"R{number}")).world
    events = [e for e in world.events[order_stream("A")] if isinstance(e, RefundRequested)]
    assert sum(event.amount_minor for event in events) == total
    assert sum(event.tax_minor for event in events) == tax


def test_a_failed_refund_is_not_retried_when_its_goods_were_refunded_since() -> None:
    """One of three came back: it is worth one refund, however often that failed."""
    start = back((1, 1)).world
    once = given(start, take_back((1, 1)), fail_refund())
    once.when(retry_refund()).topics("order.refund_retried.v1")
    twice = given(once.world, refund(None, refund_id="R2", return_id="T1", reason="changed_mind"))
    twice.when(retry_refund()).refused("refund_exceeds_return", asked=1, refundable=0)


def test_a_refund_of_a_return_has_the_reason_of_the_return() -> None:
    """Another would pass by its restocking fee, or by the evidence that it needs."""
    start = given(back((1, 1)).world, take_back((1, 1), refund=False))
    asked = refund(None, return_id="T1", reason="late")
    start.when(asked).refused("refund_reason_differs", allowed=["changed_mind"])
    start.when(refund(None, return_id="T1", reason="changed_mind")).topics(*REFUNDED)


def test_a_return_of_what_was_free_closes_when_it_came() -> None:
    free = place("A", line(), line("CUP", 1, 0))
    start = after(free, pay(10_000), pack((1, 2), (2, 1)), dispatch(), deliver())
    world = given(start.world, send_back((1, 1), (2, 1)), approve_return()).world
    came = given(world, take_back((1, 1), (2, 1))).world
    assert came.order().returns["T1"].status == "received"
    assert given(came, pay_refund()).world.order().returns["T1"].status == "closed"


# -- exchange ------------------------------------------------------------------------------------


def test_an_exchange_is_a_return_and_a_new_order_in_one_write() -> None:
    """covers: A67: linked both ways; the customer pays the difference."""
    start = after(receive(5, "POT"), *DELIVERED)
    world = start.when(exchange(line("POT", 1, 3_600), back=((1, 2),))).topics(
        "order.return_requested.v2",
        "order.return_approved.v1",
        *REFUNDED,
        "order.refund_paid.v1",
        "order.exchanged.v1",
        "order.placed.v4",
        "order.approved.v1",
        "order.placed_in_exchange.v2",
        "order.payment_captured.v2",
        "stock_item.reserved.v1",
    )
    old, new = world.order(), world.order("B")
    assert world.events[order_stream("A")][-1] == OrderExchanged(
        return_id="T1", refund_id="R1", new_order_id="B", amount_minor=2_000, at=hours(49)
    )
    placed, _, link, paid = world.events[order_stream("B")]
    assert isinstance(placed, OrderPlaced)
    assert (placed.contact, placed.shipping_address) == (old.contact, old.shipping_address)
    alipay = ExchangedPart(
        payment_id="R1",
        amount_minor=2_000,
        from_order_id="A",
        from_payment_id="P1",
        from_refund_id="R1",
        method="alipay",
    )
    assert link == PlacedInExchange(
        of_order_id="A", return_id="T1", amount_minor=2_000, parts=[alipay], at=hours(49)
    )
    assert isinstance(paid, PaymentCaptured)
    assert (paid.method, paid.amount_minor) == ("exchange", 2_000)
    assert (new.total_minor, new.unpaid_minor, new.exchange_of) == (3_600, 1_600, "A")
    assert (old.net_paid_minor, old.returns["T1"].exchange_order_id) == (3_500, "B")
    given(world).when(exchange(line("POT", 1, 3_600), back=((1, 2),))).nothing()


def test_an_exchange_of_an_exempt_order_is_exempt() -> None:
    """covers: A65 (exemption), A67"""
    exempt = {"code": "charity", "reason": "by law"}
    tea = line(quantity=3, price=1_000)
    three = place(
        "A", tea, line("CUP", 1, 2_500), exemption=exempt, exemption_certificate="ST-44/17"
    )
    start = after(receive(10, "POT"), three, *SENT)
    new = start.when(exchange(line("POT", 1, 3_600), back=((1, 2),))).world.order("B")
    assert (new.exemption, new.exemption_certificate) == (Exemption(**exempt), "ST-44/17")
    assert {one.priced.exemption for one in new.lines.values()} == {Exemption(**exempt)}
    start.when(exchange(line("POT", tax_rate_bp=600), back=((1, 2),))).refused(
        "line_is_exempt", asked_bp=600, allowed_bp=0
    )


def test_what_came_back_for_an_exchange_is_not_refunded_again() -> None:
    world = after(*DELIVERED, exchange(line("POT", 1, 2_000), back=((1, 2),))).world
    assert world.order("B").unpaid_minor == 0
    world = (
        given(world)
        .when(take_back((1, 2), refund_id="R2"))
        .topics("order.return_received.v2", "order.return_closed.v1", "stock_item.returned.v1")
    )
    assert world.stock().on_hand == 9
    given(world).when(refund(None, (1, 2), refund_id="R3")).refused("refund_exceeds_line")
    given(world).when(refund(None, refund_id="R3", return_id="T1", reason="changed_mind")).refused(
        "nothing_to_refund"
    )


def test_an_exchange_for_less_leaves_an_overpayment_on_the_new_order() -> None:
    world = after(*DELIVERED, exchange(line("POT", 1, 500), back=((1, 2),))).world
    assert world.order("B").balance_minor == -1_500
    given(world).when(refund(1_500, order_id="B", refund_id="R9")).topics(*REFUNDED)


def test_an_exchange_obeys_the_rules_of_returns() -> None:
    start = after(*DELIVERED)
    start.when(exchange(line("POT"), back=((1, 4),))).refused("return_exceeds_delivered")
    late = exchange(line("POT"), back=((1, 1),), at=LAST_MOMENT + timedelta(hours=1))
    start.when(late).refused("return_window_closed")
    start.when(exchange(line("POT"), back=((1, 1),), reason="damaged")).refused("evidence_missing")
    world = given(start.world, exchange(line("POT", 1, 1_000), back=((1, 1),))).world
    given(world).when(deny_return()).refused("return_is_exchanged", exchange_order_id="B")
    given(world).when(fail_refund()).refused("refund_is_exchanged", exchange_order_id="B")
    short = after(receive(1, "POT"), *DELIVERED)
    short.when(exchange(line("POT", 2), back=((1, 1),))).refused("insufficient_stock")
