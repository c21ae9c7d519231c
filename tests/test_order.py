"""Placing, approving, amending, paying, noting and voiding an order."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.command_types import PostalAddress
from domain.customer import CustomerRegistered
from domain.desk_names import customer_stream, order_stream, stock_stream
from domain.message import Rejected
from domain.order_facts import (
    Line,
    LinesAmended,
    OrderApproved,
    OrderPlaced,
    PaymentCaptured,
)
from domain.stock_item import StockItem, StockReserved
from domain.values import Address, Contact
from tests.given import NOON, World, after, given, hours
from tests.given_money import pay
from tests.given_orders import (
    ADDRESS,
    amend,
    approve,
    cancel,
    dispatch,
    line,
    note,
    pack,
    place,
    receive,
    void,
)
from tests.given_returns import pay_refund, refund

CONTACT = Contact(name="Li Wei", email="li@example.com")
TEA = Line(
    line_no=1,
    sku="TEA",
    name="Tea",
    category="drinks",
    quantity=Decimal(2),
    unit_price_minor="5000",
    amount_minor=10000,
    base_minor=10000,
    tax_minor=0,
    reserved=Decimal(2),
)


def test_placing_computes_reserves_approves_and_registers_in_one_write() -> None:
    """covers: L36, L11, A44: the whole write, given-when-then over four streams."""
    world = given(None, receive(10)).when(place())
    placed = OrderPlaced(
        order_id="A",
        number="number-A",
        shop="main",
        channel="web",
        customer_id="li",
        person="customer/li",
        currency="CNY",
        lines=[TEA],
        prices_include_tax=True,
        tax_minor=0,
        total_minor=10000,
        contact=CONTACT,
        shipping_address=Address.model_validate(ADDRESS),
        payment_method="alipay",
        region="CN-Zhejiang",
        due_at=hours(72),
        at=NOON,
    )
    reserved = StockReserved(sku="TEA", location="main", order_id="A", quantity=Decimal(2), at=NOON)
    registered = CustomerRegistered(
        customer_id="li", person="customer/li", contact=CONTACT, at=NOON
    )
    world.then(
        {
            order_stream("A"): [placed, OrderApproved(by="policy", at=NOON)],
            stock_stream("TEA", "main"): [reserved],
            customer_stream("li"): [registered],
        }
    )


def test_placing_twice_is_one_order() -> None:
    after(receive(10), place()).when(place()).nothing()


def test_a_known_customer_is_not_registered_again() -> None:
    after(place()).when(place("B")).topics("order.placed.v4", "order.approved.v1")


def test_one_shop_and_reference_is_one_order() -> None:
    """covers: R3: the second placement is answered with the first order."""
    first = after(place("A", external_ref="REF"))
    first.when(place("B", external_ref="REF")).refused("already_placed", order_id="A")
    first.when(place("B", external_ref="REF", shop="other")).topics(
        "order.placed.v4", "order.approved.v1"
    )


def test_the_first_free_number_is_taken() -> None:
    world = after(place("A", numbers=("1", "2"))).world
    given(world).when(place("B", numbers=("1", "2"))).topics("order.placed.v4", "order.approved.v1")
    world.run(place("B", numbers=("1", "2")))
    assert world.order("B").number == "2"
    given(world).when(place("C", numbers=("1", "2"))).refused("numbers_taken")


def test_every_order_names_its_channel() -> None:
    """covers: A44: a placement without channel is no placement; the fact carries it."""
    for channel in ("web", "phone", "store", "marketplace", "import"):
        event = after(place(channel=channel)).world.events[order_stream("A")][0]
        assert isinstance(event, OrderPlaced)
        assert event.channel == channel


def test_the_total_sent_along_must_agree() -> None:
    given().when(place(total_minor=10000)).topics(
        "order.placed.v4", "order.approved.v1", "customer.registered.v1"
    )
    given().when(place(total_minor=9999)).refused(
        "total_differs", sent_minor=9999, total_minor=10000
    )


def test_what_cannot_be_priced_is_refused_by_the_name_of_the_rule() -> None:
    given().when(place("A", line(discount_minor=10001))).refused(
        "discount_exceeds_line", line_no=1, asked_minor=10001, allowed_minor=10000
    )
    given().when(place(discount_minor=10001)).refused("discount_exceeds_order")


def test_the_answer_shows_the_lines_with_their_shares() -> None:
    """covers: A66: each line's part of the order discount is told and kept."""
    lines = [line(price=5000, tax_rate_bp=1300), line("CUP", 1, 5000)]
    answer = World().answer(place("A", *lines, discount_minor=1000, shipping_minor=800))
    assert answer == {
        "order_id": "A",
        "number": "number-A",
        "version": 2,
        "status": "awaiting_payment",
        "total_minor": 14800,
        "stage": "approved",
        "cases": [],
        "holds": [],
        "lines": [
            {
                "line_no": 1,
                "net_minor": 8259,
                "tax_minor": 1074,
                "discount_minor": 0,
                "discount_share_minor": 667,
                "gross_minor": 9333,
            },
            {
                "line_no": 2,
                "net_minor": 4667,
                "tax_minor": 0,
                "discount_minor": 0,
                "discount_share_minor": 333,
                "gross_minor": 4667,
            },
        ],
    }


def test_approving_again_is_nothing_and_a_cancelled_order_is_not_approved() -> None:
    after(place()).when(approve()).nothing()
    after(place(), cancel()).when(approve()).refused("order_cancelled")
    given().when(approve()).refused("order_not_found", order_id="A")


# --- amending


def test_every_edit_names_the_reason_and_before_and_after() -> None:
    """covers: A19, R1: name, contact, goods, quantity and price, one fact per kind of change."""
    start = after(place())
    world = start.when(amend({"line_no": 1, "quantity": 3, "unit_price_minor": 4000})).world
    amended = world.events[order_stream("A")][-1]
    before = TEA.model_copy(update={"reserved": Decimal(0)})
    assert amended == LinesAmended(
        person="customer/li",
        reason="customer asked",
        before=[before],
        after=[
            before.model_copy(
                update={
                    "quantity": Decimal(3),
                    "unit_price_minor": "4000",
                    "amount_minor": 12000,
                    "base_minor": 12000,
                }
            )
        ],
        tax_minor=0,
        total_before_minor=10000,
        total_minor=12000,
        at=NOON,
    )
    moved = ADDRESS | {"city": "Ningbo"}
    others = amend(
        contact={"name": "Li Na"},
        shipping_address=moved,
        billing_address=ADDRESS,
        promised_at=hours(72),
    )
    world = start.when(others).topics(
        "order.contact_amended.v1",
        "order.shipping_address_amended.v1",
        "order.billing_address_amended.v1",
        "order.promise_amended.v1",
    )
    state = world.order()
    assert state.contact == Contact(name="Li Na")
    assert state.shipping_address == PostalAddress.model_validate(moved)
    assert state.promised_at == hours(72)


def test_an_amendment_that_changes_nothing_is_nothing() -> None:
    world = after(receive(10), place(promised_at=hours(72)))
    same = {"line_no": 1, "quantity": 2, "unit_price": "50.00", "name": "Tea", "tax_rate_bp": 0}
    world.when(amend(same, promised_at=hours(72))).nothing()


def test_a_line_is_added_and_removed() -> None:
    added = line("CUP", 1, 700)
    world = after(receive(10), place(), amend(added)).world
    assert world.order().total_minor == 10700
    world.run(amend({"line_no": 1, "quantity": 0}))
    assert world.order().total_minor == 700
    assert world.stock().available == 10
    world.run(amend(added))
    assert sorted(world.order().lines) == [2, 3]
    given(world, amend({"line_no": 2, "quantity": 0})).when(
        amend({"line_no": 3, "quantity": 0})
    ).refused("order_needs_a_line")
    given(world).when(amend({"line_no": 1, "quantity": 1})).refused("unknown_line", lines=[2, 3])


def test_price_edit_leaves_stock_alone() -> None:
    """covers: R7: only a change of quantity moves reservations, by the difference."""
    start = after(receive(10), place())
    world = start.when(amend({"line_no": 1, "unit_price_minor": 1})).topics(
        "order.lines_amended.v2"
    )
    assert world.stock() == StockItem(True, Decimal(10), Decimal(2))
    world = start.when(amend({"line_no": 1, "quantity": 5})).topics(
        "order.lines_amended.v2", "stock_item.reserved.v1"
    )
    assert world.stock().reserved == 5
    world = (
        given(world)
        .when(amend({"line_no": 1, "quantity": 1}))
        .topics("order.lines_amended.v2", "stock_item.reservation_released.v1")
    )
    assert world.stock().reserved == 1
    start.when(amend({"line_no": 1, "quantity": 11})).refused(
        "insufficient_stock", asked=9, available=8
    )


def test_used_reservations_do_not_come_back_with_a_price() -> None:
    """covers: R7: an edit after the dispatch revives no reservation."""
    sent = after(receive(10), place(), pay(10000), pack((1, 2)), dispatch())
    world = sent.when(amend({"line_no": 1, "unit_price_minor": 4000})).world
    assert world.stock() == StockItem(True, Decimal(8), Decimal(0))


def test_moving_units_between_lines_of_one_sku_needs_no_free_stock() -> None:
    world = after(receive(2), place())
    world.when(amend({"line_no": 1, "quantity": 0}, line("TEA", 2, 4000))).topics(
        "order.lines_amended.v2"
    )


def test_discount_allocation_is_frozen() -> None:
    """covers: R11: another line's change or cancellation moves no share of the discount."""
    start = after(place("A", line(), line("CUP", 1, 5000), discount_minor=1500))
    shares = {1: 1000, 2: 500}
    for command in (
        cancel((2, 1)),
        amend({"line_no": 2, "unit_price_minor": 9000}),
        amend(line("POT", 1, 100)),
    ):
        state = start.when(command).world.order()
        kept = {no: state.lines[no].priced.order_discount_minor for no in shares}
        assert kept == shares
        assert state.lines[1].gross_minor == 9000


def test_a_line_that_costs_less_than_its_discount_costs_nothing() -> None:
    """covers: R11: what does not fit goes to no other line, and is there again afterwards."""
    coupons = [
        {"kind": "coupon", "code": "TEA", "title": "Tea", "amount_minor": 900},
        {"kind": "promotion", "title": "Spring", "amount_minor": 600},
    ]
    start = after(place("A", line(), line("CUP", 1, 5000), discounts=coupons))
    world = start.when(amend({"line_no": 2, "unit_price_minor": 499})).world
    small = world.order().lines[2]
    assert (small.gross_minor, small.priced.order_discount_minor) == (0, 499)
    assert (small.priced.discount_shares, world.order().total_minor) == ([299, 200], 9_000)
    back = given(world).when(amend({"line_no": 2, "unit_price_minor": 9_000})).world.order()
    assert back.lines[2].priced.discount_shares == [300, 200]
    assert (back.lines[2].gross_minor, back.total_minor) == (8_500, 17_500)


def test_an_order_shrinks_below_its_discount_line_by_line() -> None:
    """covers: R11: a line that is removed takes its share with it."""
    start = after(place("A", line(quantity=10, price=100), line("CUP", 1, 500), discount_minor=900))
    one = start.when(amend({"line_no": 1, "quantity": 1})).world.order()
    assert [(x.gross_minor, x.priced.order_discount_minor) for x in one.lines.values()] == [
        (0, 100),
        (200, 300),
    ]
    gone = start.when(amend({"line_no": 1, "quantity": 0})).world.order()
    assert (gone.total_minor, gone.lines[2].priced.order_discount_minor) == (200, 300)


def test_tax_frozen_at_placement() -> None:
    """covers: R15, A65: a line keeps the rate that it was sold at."""
    start = after(place("A", line(tax_rate_bp=1300)))
    start.when(amend({"line_no": 1, "tax_rate_bp": 600})).refused(
        "tax_rate_is_frozen", tax_rate_bp=1300
    )
    state = start.when(amend({"line_no": 1, "unit_price_minor": 11300})).world.order()
    assert (state.lines[1].priced.tax_rate_bp, state.lines[1].priced.tax_minor) == (1300, 2600)
    paid = given(start.world, pay(10000), refund(5000), pay_refund())
    assert paid.world.order().lines[1].priced.tax_minor == 1150


def test_inclusive_and_exclusive_prices() -> None:
    """covers: A65: the same price with the tax in it and on top of it."""
    tea = line(tax_rate_bp=1300)
    assert after(place("A", tea)).world.order().total_minor == 10000
    assert after(place("A", tea, prices_include_tax=False)).world.order().total_minor == 11300


def test_what_is_packed_cannot_shrink() -> None:
    packed = after(place(), pack((1, 1)))
    packed.when(amend({"line_no": 1, "quantity": "0.5"})).refused(
        "line_cannot_shrink", asked="0.5", least=1
    )
    packed.when(amend({"line_no": 1, "quantity": 0})).refused("line_cannot_shrink", least=1)
    packed.when(amend({"line_no": 1, "quantity": 1})).topics("order.lines_amended.v2")


def test_another_item_is_another_line() -> None:
    after(place()).when(amend({"line_no": 1, "sku": "CUP"})).refused("line_is_another_item")
    after(place()).when(amend({"line_no": 1, "location": "north"})).refused(
        "line_is_another_item", location="main"
    )


@pytest.mark.parametrize(
    ("closing", "code"), [(cancel(), "order_cancelled"), (void(), "order_void")]
)
def test_a_closed_order_is_not_amended(closing: object, code: str) -> None:
    after(place(), closing).when(amend({"line_no": 1, "quantity": 1})).refused(code)  # type: ignore[arg-type]


# --- paying


def test_an_order_is_paid_in_two_ways() -> None:
    """covers: A20: each capture names its method; together they pay the order."""
    world = after(place(), pay(4000, method="bank_transfer")).world
    assert world.order().balance_minor == 6000
    world = given(world).when(pay(6000, "P2", method="credit_card")).world
    methods = [
        event.method
        for event in world.events[order_stream("A")]
        if isinstance(event, PaymentCaptured)
    ]
    assert methods == ["bank_transfer", "credit_card"]
    assert world.order().balance_minor == 0


def test_two_equal_payments_are_two_and_a_repeat_is_none() -> None:
    world = after(place(), pay(5000))
    world.when(pay(5000)).nothing()
    world.when(pay(6000)).refused("payment_differs", amount_minor=5000)
    assert world.when(pay(5000, "P2")).world.order().paid_minor == 10000


def test_the_payer_has_a_key_of_their_own() -> None:
    event = after(place(), pay(5000, payer="Wang")).world.events[order_stream("A")][-1]
    assert isinstance(event, PaymentCaptured)
    assert (event.person, event.payer) == ("order/A", "Wang")


def test_edit_up_then_down_returns_to_paid() -> None:
    """covers: A63: a rise asks for the difference, the fall back leaves nothing to refund."""
    world = after(place(), pay(10000)).world
    assert world.order().balance_minor == 0
    world.run(amend({"line_no": 1, "quantity": 3}))
    assert world.order().balance_minor == 5000
    world.run(amend({"line_no": 1, "quantity": 2}))
    assert world.order().balance_minor == 0
    assert not world.order().refunds


def test_overpayment_stays_on_the_order() -> None:
    assert after(place(), pay(12000)).world.order().balance_minor == -2000


def test_a_void_order_takes_no_money() -> None:
    after(place(), void()).when(pay(1)).refused("order_void")


# --- noting and voiding


def test_a_note_is_kept_once() -> None:
    after(place()).when(note()).topics("order.noted.v1")
    after(place(), note()).when(note()).nothing()


def test_voiding_gives_the_stock_back() -> None:
    start = after(receive(10), place())
    world = start.when(void()).topics("order.voided.v1", "stock_item.reservation_released.v1")
    assert world.stock().available == 10
    given(world).when(void()).nothing()


def test_only_an_order_that_nothing_happened_to_is_voided() -> None:
    after(place(), pay(1)).when(void()).refused("void_after_payment", paid_minor=1)
    after(place(), pack((1, 1))).when(void()).refused("void_after_packing", parcels=["K"])
    given().when(void()).then(Rejected("order_not_found", order_id="A"))


def test_totals_are_folds_never_overwritten() -> None:
    """covers: R8: the total is what its facts add up to, in whatever order they came."""
    world = after(
        place("A", line(quantity=10, price=999), shipping_minor=500),
        pay(10490),
        cancel((1, 3)),
        refund(None, (1, 3)),
        pay_refund(),
        amend({"line_no": 1, "unit_price_minor": 1001}),
    ).world
    state = world.order()
    assert state.total_minor == 7007 + 500
    assert state.total_minor == sum(one.owed_minor for one in state.lines.values()) + 500
    assert (state.paid_minor, state.refunded_minor) == (10490, 2997)
