"""Cancelling units and giving money back, to the cent and never more than was paid."""

from __future__ import annotations

from decimal import Decimal

from domain.desk_names import order_stream
from domain.order_facts import (
    LineQuantity,
    OrderCancelled,
    OrderDispatched,
    PaymentPart,
    RefundPaid,
)
from tests.given import NOON, REFUNDED, Given, after, given
from tests.given_money import pay
from tests.given_orders import (
    amend,
    approve,
    cancel,
    deliver,
    dispatch,
    line,
    pack,
    place,
    receive,
    void,
)
from tests.given_returns import pay_refund, refund


def test_cancelling_frees_the_stock_in_the_same_write() -> None:
    start = after(receive(10), place(shipping_minor=800))
    world = start.when(cancel()).topics("order.cancelled.v2", "stock_item.reservation_released.v1")
    assert world.stock().available == 10
    assert world.events[order_stream("A")][-1] == OrderCancelled(
        person="customer/li",
        initiator="operator",
        reason_code="changed_mind",
        lines=[LineQuantity(line_no=1, quantity=Decimal(2), amount_minor=10000)],
        released=[LineQuantity(line_no=1, quantity=Decimal(2))],
        goods_minor=10000,
        shipping_minor=800,
        total_minor=0,
        all=True,
        at=NOON,
    )
    given(world).when(cancel()).nothing()
    given(world).when(cancel((1, 1))).nothing()


def test_shipping_falls_only_when_all_is_cancelled() -> None:
    start = after(place("A", line(), line("CUP", 1, 5000), shipping_minor=800))
    partly = start.when(cancel((1, 2))).world
    assert partly.order().total_minor == 5800
    whole = given(partly).when(cancel((2, 1))).world
    assert whole.order().total_minor == 0
    assert whole.order().cancelled


def test_shipping_of_what_was_sent_is_not_given_back() -> None:
    """Imports know parcels whose contents nobody wrote down."""
    placed = after(place(shipping_minor=800)).world.events[order_stream("A")]
    unknown = OrderDispatched(parcel_id="K", lines=[], carrier="", tracking_number="", at=NOON)
    world = given({order_stream("A"): [*placed, unknown]}).when(cancel()).world
    assert world.order().total_minor == 800


def test_units_cancelled_one_by_one_take_the_whole_line() -> None:
    thirds = place("A", line(quantity=3, price=333, discount_minor=50), line("CUP", 1, 1))
    world = after(thirds, cancel((1, 1)), cancel((1, 1)), cancel((1, 1))).world
    parts = [
        event.goods_minor
        for event in world.events[order_stream("A")]
        if isinstance(event, OrderCancelled)
    ]
    assert parts == [316, 317, 316]
    assert world.order().total_minor == 1


def test_packed_units_need_the_warehouse_and_dispatched_ones_a_return() -> None:
    start = after(place(), pay(10000), pack((1, 1)))
    start.when(cancel()).refused("packed_needs_warehouse_stop", packed=1, open=1)
    start.when(cancel((1, 2))).refused("packed_needs_warehouse_stop", asked=2)
    assert start.when(cancel((1, 1))).world.order().total_minor == 5000
    sent = given(start.world, dispatch())
    on_its_way = {"parcels": ["K"], "intercept": ["K"]}
    sent.when(cancel((1, 2))).refused("already_dispatched", asked=2, open=1, **on_its_way)
    sent.when(cancel((1, 3))).refused("cancel_exceeds_open", asked=3, open=1)
    rest = sent.when(cancel()).world
    assert (rest.order().total_minor, rest.order().cancelled) == (5000, False)
    given(rest).when(cancel()).refused("already_dispatched", lines=[1], **on_its_way)


def test_a_void_order_is_not_cancelled() -> None:
    after(place(), void()).when(cancel()).refused("order_void")


def test_cancelling_what_the_order_does_not_have() -> None:
    after(place()).when(cancel((7, 1))).refused("unknown_line", line_no=7, lines=[1])
    after(place()).when(cancel((1, 3))).refused("cancel_exceeds_open", asked=3, open=2)


def test_refunds_never_exceed_capture() -> None:
    """covers: R19, A62: two refunds of 60 on 100 paid; the second is refused with the numbers."""
    start = after(place(), pay(10000), refund(6000))
    refused = start.when(refund(6000, refund_id="R2"))
    refused.refused("refund_exceeds_paid", asked_minor=6000, refundable_minor=4000)
    assert refused.message == "60.00 asked, 40.00 refundable"
    paid_out = given(start.world, pay_refund())
    paid_out.when(refund(4001, refund_id="R2")).refused(
        "refund_exceeds_paid", refundable_minor=4000
    )
    paid_out.when(refund(4000, refund_id="R2")).topics(*REFUNDED)
    after(place()).when(refund(1)).refused("refund_exceeds_paid", refundable_minor=0)


def _refunded_by_lines(start: Given, lines: list[tuple[int, int | str]]) -> int:
    world = start.world
    for number, (line_no, units) in enumerate(lines):
        one = refund(None, (line_no, units), refund_id=f"R{number}")
        world = given(world).when(one).world
    return world.order().refunded_minor


def test_line_refunds_sum_to_paid() -> None:
    """covers: R4, A66: item by item the whole is given back, to the cent."""
    odd = [line(quantity=3, price=333, tax_rate_bp=1300), line("CUP", 7, 1999), line("OIL", 1, 100)]
    start = after(place("A", *odd, discount_minor=1001, prices_include_tax=False))
    total = start.world.order().total_minor
    paid = given(start.world, pay(total))
    single: list[tuple[int, int | str]] = [(1, 1)] * 3 + [(2, 1)] * 7 + [(3, "0.5"), (3, "0.5")]
    assert _refunded_by_lines(paid, single) == total
    given(paid.world).when(refund(None, (1, 4))).refused(
        "refund_exceeds_line", asked=4, refundable=3
    )


def test_item_refund_takes_discount_share() -> None:
    """covers: R13, A66: an item gives back what it cost after its part of the discount."""
    start = after(place("A", line(), line("CUP", 1, 5000), discount_minor=3000), pay(12000))
    world = start.when(refund(None, (1, 1))).world
    assert world.order().refunds["R1"].amount_minor == 4000


def test_refunded_units_stay_on_the_line() -> None:
    world = after(place(), pay(10000), refund(None, (1, 1)))
    world.when(amend({"line_no": 1, "quantity": 0})).refused("line_cannot_shrink", least=1)
    world.when(amend({"line_no": 1, "quantity": "0.5"})).refused("line_cannot_shrink", least=1)


def test_a_refund_by_amount_and_lines_must_agree() -> None:
    start = after(place(), pay(10000))
    start.when(refund(5000, (1, 1))).topics(*REFUNDED)
    start.when(refund(4999, (1, 1))).refused(
        "refund_amount_differs", asked_minor=4999, lines_minor=5000
    )


def test_shipping_is_given_back_up_to_what_it_was() -> None:
    start = after(place(shipping_minor=800), pay(10800))
    world = start.when(refund(None, (1, 1), shipping_minor=500, reason="late")).world
    assert world.order().refunds["R1"].amount_minor == 5500
    given(world).when(refund(None, refund_id="R2", shipping_minor=301, reason="late")).refused(
        "refund_exceeds_shipping", asked_minor=301, refundable_minor=300
    )
    given(world).when(refund(None, refund_id="R2", shipping_minor=300, reason="late")).topics(
        *REFUNDED
    )


def test_the_newest_money_goes_back_first_unless_another_is_chosen() -> None:
    start = after(place(), pay(4000), pay(6000, "P2", method="credit_card"))
    world = start.when(refund(7000)).world
    assert [(p.amount_minor, p.refunded_minor) for p in world.order().payments.values()] == [
        (4000, 1000),
        (6000, 6000),
    ]
    chosen = [PaymentPart(payment_id="P1", amount_minor=4001)]
    start.when(refund(4001, payments=chosen)).refused(
        "refund_exceeds_payment", payment_id="P1", asked_minor=4001, refundable_minor=4000
    )
    start.when(refund(4000, payments=chosen)).refused("refund_exceeds_payment")
    chosen = [PaymentPart(payment_id="P1", amount_minor=3000)]
    start.when(refund(4000, payments=chosen)).refused(
        "refund_payments_differ", payments_minor=3000, refund_minor=4000
    )
    start.when(refund(3000, payments=chosen)).topics(*REFUNDED)
    chosen = [PaymentPart(payment_id="P9", amount_minor=1)]
    start.when(refund(1, payments=chosen)).refused("unknown_payment", payment_id="P9")


def test_a_refund_is_paid_once_and_as_requested() -> None:
    start = after(place(), pay(10000), refund(2500))
    world = start.when(pay_refund()).then(
        {
            order_stream("A"): [
                RefundPaid(
                    refund_id="R1", amount_minor=2500, method="alipay", reference="back", at=NOON
                )
            ]
        }
    )
    given(world).when(pay_refund()).nothing()
    given(world).when(pay_refund(told=True, reference="other")).nothing()
    given(world).when(pay_refund(reference="other")).refused(
        "refund_is_paid", reference="back", asked="other"
    )
    given(world).when(refund(2500)).nothing()
    start.when(pay_refund("R9")).refused("refund_not_found", refund_id="R9")


def test_balance_zero_after_refund() -> None:
    """covers: R14: money given back is no longer owed, whatever it was given back for."""
    overpaid = after(place(), pay(12000), refund(2000), pay_refund())
    assert overpaid.world.order().balance_minor == 0
    cancelled = after(place(), pay(10000), cancel((1, 1)))
    assert cancelled.world.order().balance_minor == -5000
    refunded = given(cancelled.world, refund(5000), pay_refund())
    assert refunded.world.order().balance_minor == 0
    goodwill = after(place(), pay(10000), refund(3000), pay_refund())
    assert goodwill.world.order().balance_minor == 0


def test_refund_keeps_fulfilment_state() -> None:
    """covers: R21: a refund after the delivery changes nothing of what was packed and sent."""
    sent = after(place(), approve(), pay(10000), pack((1, 2)), dispatch(), deliver())
    world = given(sent.world, refund(None, (1, 1)), pay_refund()).world
    assert world.order().lines[1].delivered == 2
    given(world).when(pack((1, 1), parcel_id="K2")).refused("pack_exceeds_open", open=0)


def test_money_goes_back_by_the_methods_that_it_came_by() -> None:
    """A fact for each: 600 of 1000 came by Alipay. Another way is one fact, when it is named."""
    start = after(place(), pay(6_000), pay(4_000, "P2", method="wechat_pay"), refund(10_000))
    events = start.when(pay_refund()).world.events[order_stream("A")][-2:]
    assert [(e.method, e.amount_minor) for e in events if isinstance(e, RefundPaid)] == [
        ("wechat_pay", 4_000),
        ("alipay", 6_000),
    ]
    named = pay_refund().model_copy(update={"method": "bank_transfer"})
    (event,) = start.when(named).world.events[order_stream("A")][-1:]
    assert isinstance(event, RefundPaid)
    assert (event.method, event.amount_minor) == ("bank_transfer", 10_000)
