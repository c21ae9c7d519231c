"""The status of an order as it follows from its facts, and the overrides of what is shown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain import desk_names
from domain.message import Command, Event
from domain.order_commands import DIMENSIONS, EndOverride
from domain.order_facts import (
    DeliveryTroubled,
    LineQuantity,
    LinesAmended,
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderPlaced,
    OrderVoided,
    PaymentPart,
    RefundedLine,
    RefundPaid,
    RefundRequested,
    StatusOverridden,
)
from domain.order_fold import evolve
from domain.order_state import Order
from domain.order_status import LABELS, Dimensions, facts, headline, shown
from tests.given import NOON, after, given, hours
from tests.given_money import pay
from tests.given_orders import (
    cancel,
    deliver,
    dispatch,
    line,
    override,
    pack,
    place,
    receive,
    scan,
    void,
)
from tests.given_returns import pay_refund, refund

TWO = place("A", line(), line("CUP", 1, 5000))
PAID = (TWO, pay(15000))
SENT = (*PAID, pack((1, 2)), dispatch())
ALL_SENT = (*SENT, pack((2, 1), parcel_id="K2"), dispatch("K2"))

CASES: list[tuple[str, str, tuple[Command, ...]]] = [
    ("awaiting_payment", "待支付", (TWO,)),
    ("awaiting_payment", "待支付", (TWO, pay(14899))),
    ("awaiting_payment", "待支付", (TWO, pack((1, 1)))),
    ("paid", "已支付", PAID),
    ("preparing", "备货中", (*PAID, pack((1, 1)))),
    ("preparing", "备货中", (place(payment_method="cash_on_delivery"),)),
    ("shipped", "已发货", SENT),
    ("shipped", "已发货", ALL_SENT),
    ("shipped", "已发货", (*ALL_SENT, deliver("K2"))),
    ("shipped", "已发货", (*SENT, deliver())),
    ("delivered", "已送达", (*ALL_SENT, deliver(), deliver("K2"))),
    ("delivered", "已送达", (*SENT, cancel((2, 1)), deliver())),
    ("exception", "异常", (*SENT, scan("lost", hours(9)))),
    ("exception", "异常", (*SENT, scan("attempt_failed", hours(9)), refund(1))),
    ("refunding", "退款中", (*PAID, refund(100))),
    ("refunding", "退款中", (*PAID, cancel(), refund(15000))),
    ("refunded", "已退款", (*PAID, cancel(), refund(15000), pay_refund())),
    ("paid", "已支付", (*PAID, refund(100), pay_refund())),
    ("cancelled", "已取消", (TWO, cancel())),
    ("cancelled", "已取消", (*PAID, cancel())),
    ("void", "已作废", (TWO, void())),
]


@pytest.mark.parametrize(("code", "label", "commands"), CASES)
def test_the_headline_follows_from_the_facts(
    code: str, label: str, commands: tuple[Command, ...]
) -> None:
    """covers: A1: no command sets a status; facts make it."""
    status = shown(after(*commands).world.order())
    assert (status.code, status.label) == (code, label)


def test_the_dimensions_are_independent() -> None:
    def dimensions(*commands: Command) -> Dimensions:
        return facts(after(*commands).world.order())

    assert dimensions(TWO) == Dimensions("approved", "unpaid", "unallocated")
    assert dimensions(receive(5), TWO) == Dimensions("approved", "unpaid", "reserved")
    assert dimensions(TWO, pay(1)) == Dimensions("approved", "partially_paid", "unallocated")
    assert dimensions(*SENT) == Dimensions("in_progress", "paid", "partially_shipped")
    assert dimensions(*ALL_SENT) == Dimensions("in_progress", "paid", "shipped")
    assert dimensions(*SENT, deliver()) == Dimensions("in_progress", "paid", "partially_delivered")
    assert dimensions(*PAID, refund(5), pay_refund()) == Dimensions(
        "approved", "partially_refunded", "unallocated"
    )
    assert dimensions(*SENT, scan("lost", hours(9))).fulfilment == "lost"
    assert dimensions(*SENT, scan("returning", hours(9))).fulfilment == "delivery_exception"
    assert dimensions(place("A", line(price=0))).payment == "paid"


def test_shipped_tells_how_many_of_how_many() -> None:
    status = shown(after(*SENT, cancel((2, 1))).world.order())
    assert (status.shipped_units, status.units) == (Decimal(2), Decimal(2))


def test_every_value_has_a_headline() -> None:
    """Overrides can show any combination: each must have a word."""
    for stage in DIMENSIONS["stage"]:
        for payment in DIMENSIONS["payment"]:
            for fulfilment in DIMENSIONS["fulfilment"]:
                assert headline(Dimensions(stage, payment, fulfilment), Order()) in LABELS


def test_an_override_is_a_fact_with_its_reason_and_what_was_before() -> None:
    """covers: A2: what is shown changes, what commands decide on does not."""
    start = after(*PAID)
    world = start.when(override("payment", "unpaid")).then(
        {
            desk_names.order_stream("A"): [
                StatusOverridden(
                    person="customer/li",
                    dimension="payment",
                    value="unpaid",
                    prior="paid",
                    reason="seen",
                    at=NOON,
                )
            ]
        }
    )
    status = shown(world.order())
    assert (status.code, status.overridden) == ("awaiting_payment", ("payment",))
    assert facts(world.order()).payment == "paid"
    given(world).when(override("payment", "unpaid")).nothing()
    given(world, pack((1, 2))).when(dispatch()).topics(
        "parcel.dispatched.v1", "order.dispatched.v1"
    )


def test_the_next_fact_of_the_dimension_ends_an_override_unless_sticky() -> None:
    """covers: A2: other dimensions' facts leave it alone."""
    world = after(TWO, override("payment", "overdue"), override("stage", "on_hold")).world
    assert shown(world.order()).code == "awaiting_review"
    world.run(pay(15000))
    assert shown(world.order()).overridden == ("stage",)
    world.run(pack((1, 1)))
    assert shown(world.order()).overridden == ()
    sticky = after(TWO, override("payment", "overdue", sticky=True), pay(15000)).world
    assert shown(sticky.order()).dimensions.payment == "overdue"


def test_an_override_is_ended_by_command() -> None:
    world = after(TWO, override("payment", "overdue"), override("return", "requested"))
    one = EndOverride(order_id="A", dimension="return", at=NOON)
    assert shown(world.when(one).world.order()).overridden == ("payment",)
    every = world.when(EndOverride(order_id="A", at=NOON)).topics(
        "order.override_ended.v1", "order.override_ended.v1"
    )
    given(every).when(EndOverride(order_id="A", at=NOON)).nothing()


def test_a_completed_order_can_be_shown_as_such() -> None:
    world = after(*ALL_SENT, deliver(), deliver("K2"), override("stage", "completed")).world
    assert shown(world.order()).label == "已完成"


# --- irregular history: applied, never refused

UNITS = [LineQuantity(line_no=1, quantity=Decimal(9)), LineQuantity(line_no=7, quantity=Decimal(1))]
PLACED = OrderPlaced(
    order_id="A",
    number="",
    shop="main",
    channel="import",
    customer_id="x",
    person="customer/x",
    currency="???",
    lines=[],
    prices_include_tax=True,
    tax_minor=0,
    total_minor=0,
    payment_method="boleto",
    at=NOON,
)
SENT_OUT = OrderDispatched(parcel_id="P", lines=UNITS, carrier="", tracking_number="", at=NOON)
ARRIVED = OrderDelivered(parcel_id="P", lines=UNITS, source="import", at=NOON)
ODD: list[Event] = [
    PLACED,
    SENT_OUT,
    SENT_OUT,
    ARRIVED,
    ARRIVED,
    SENT_OUT.model_copy(update={"parcel_id": "Q"}),
    DeliveryTroubled(parcel_id="unseen", milestone="unheard_of", at=NOON),
    LinesAmended(
        person="x",
        reason="x",
        before=[],
        after=[],
        tax_minor=0,
        total_before_minor=0,
        total_minor=-5,
        at=NOON,
    ),
    OrderCancelled(
        person="x",
        initiator="system",
        reason_code="unavailable",
        lines=UNITS,
        released=UNITS,
        goods_minor=99,
        total_minor=0,
        all=True,
        at=NOON,
    ),
    RefundRequested(
        person="x",
        refund_id="r",
        amount_minor=0,
        lines=[RefundedLine(**dict(item)) for item in UNITS],
        reason="?",
        payments=[PaymentPart(payment_id="none", amount_minor=5)],
        at=NOON,
    ),
    RefundPaid(refund_id="never asked", amount_minor=7, method="voucher", reference="", at=NOON),
    OrderVoided(person="x", reason="x", released=UNITS, at=NOON),
]


@pytest.mark.parametrize(
    "start", [[], [PLACED], after(TWO).world.events[desk_names.order_stream("A")]]
)
def test_irregular_history_is_applied_and_has_a_status(start: list[Event]) -> None:
    state = Order()
    for event in [*start, *ODD, *reversed(ODD)]:
        state = evolve(state, event)
        assert shown(state).code in LABELS


def test_an_import_may_be_delivered_without_dispatch_and_without_lines() -> None:
    state = evolve(evolve(Order(), PLACED), ARRIVED)
    assert (shown(state).code, facts(state).fulfilment) == ("delivered", "delivered")


def test_units_sent_twice_in_one_parcel_count_once() -> None:
    state = after(TWO).world.order()
    units = [LineQuantity(line_no=1, quantity=Decimal(2))]
    again = SENT_OUT.model_copy(update={"lines": units})
    for _ in range(2):
        state = evolve(state, again)
    assert state.lines[1].dispatched == 2
