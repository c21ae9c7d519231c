"""Whatever an order desk does, in whatever order: what must hold holds, and history folds back."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain import desk
from domain.message import Command, Rejected, StreamName
from domain.order_commands import (
    AmendOrder,
    CancelOrder,
    EndOverride,
)
from domain.order_return_state import refunded_units
from domain.order_state import Order, OrderLine
from domain.order_status import LABELS, shown
from domain.parcel import Parcel
from domain.refund_commands import ReceiveReturn
from domain.stock_item import AdjustStock, ReceiveStock, StockItem
from tests.given import (
    NOON,
    World,
    add_evidence,
    after,
    amend,
    approve,
    approve_refund,
    approve_return,
    ask_evidence,
    cancel,
    close_return,
    compensate,
    deliver,
    deny_refund,
    deny_return,
    dispatch,
    exchange,
    fail_refund,
    given,
    hours,
    line,
    note,
    override,
    pack,
    pack_orders,
    pay,
    pay_refund,
    place,
    receive,
    refund,
    retry_refund,
    scan,
    send_back,
    take_back,
    void,
)

ORDERS = st.sampled_from(["A", "B", "C"])
PARCELS = st.sampled_from(["K", "L", "M"])
SKUS = st.sampled_from(["TEA", "CUP", "OIL"])
LINES = st.integers(1, 4)
UNITS = st.sampled_from([1, 2, 3, "0.5", "1.333"])
AMOUNTS = st.sampled_from([1, 100, 999, 5000, 10_000, 100_000])
PRICES = st.sampled_from([0, 1, 333, 999, 5000])
WHICH = st.integers(0, 30)
NAMES = st.sampled_from(["1", "2", "3", "4"])
MILESTONES = st.sampled_from(["picked_up", "in_transit", "exception", "lost", "delivered"])
BOUGHT = st.lists(
    st.builds(line, SKUS, UNITS, PRICES, tax_rate_bp=st.sampled_from([0, 600, 1300])),
    min_size=1,
    max_size=3,
)


class Desk(RuleBasedStateMachine):
    """covers: L36, A60, A62, A66: random commands on a few orders, parcels and skus."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(lines=BOUGHT, discount=st.sampled_from([0, 1, 100]), sent=st.integers(0, 3))
    def begin(self, lines: list[Any], discount: int, sent: int) -> None:
        """Of a random walk alone, too few steps would lead to a paid order at a customer's door."""
        for sku in ("TEA", "CUP"):
            self.run(receive(20, sku))
        for order in ("A", "B", "C")[:sent]:
            self.run(place(order, *lines, discount_minor=discount, shipping_minor=700))
            self.pay_what_is_due(order)
        for order in ("A", "B")[: max(0, sent - 1)]:
            self.bring_all(order)

    def run(self, command: Command) -> None:
        """Refused or accepted; accepted, a repeat brings nothing new where state knows it."""
        try:
            self.world.run(command)
        except Rejected:
            return
        if not repeats_are_known(command):
            return
        try:
            assert not self.world.run(command).events
        except Rejected as refusal:
            # Of an order that has left in part, nothing is open any more: the rest is a return.
            if not isinstance(command, CancelOrder) or refusal.code != "already_dispatched":
                raise

    @rule(sku=SKUS, units=UNITS)
    def receive(self, sku: str, units: int | str) -> None:
        self.run(receive(units, sku))

    @rule(sku=SKUS, delta=st.sampled_from([-3, -1, 1]))
    def adjust(self, sku: str, delta: int) -> None:
        self.run(
            AdjustStock.model_validate({"sku": sku, "delta": delta, "reason": "r", "at": NOON})
        )

    @rule(order=ORDERS, lines=BOUGHT, cash=st.booleans(), taxed=st.booleans())
    def place(self, order: str, lines: list[Any], cash: bool, taxed: bool) -> None:
        method = "cash_on_delivery" if cash else "alipay"
        self.run(
            place(
                order, *lines, payment_method=method, prices_include_tax=taxed, shipping_minor=700
            )
        )

    @rule(order=ORDERS, lines=BOUGHT, discount=AMOUNTS)
    def place_discounted(self, order: str, lines: list[Any], discount: int) -> None:
        self.run(place(order, *lines, discount_minor=discount))

    @rule(order=ORDERS, no=LINES, units=UNITS | st.just(0))
    def amend_quantity(self, order: str, no: int, units: int | str) -> None:
        self.run(amend({"line_no": no, "quantity": units}, order_id=order))

    @rule(order=ORDERS, no=LINES, price=PRICES, new=st.none() | BOUGHT)
    def amend_price(self, order: str, no: int, price: int, new: list[Any] | None) -> None:
        self.run(amend({"line_no": no, "unit_price_minor": price}, *(new or []), order_id=order))

    @rule(order=ORDERS, amount=AMOUNTS, name=NAMES)
    def pay(self, order: str, amount: int, name: str) -> None:
        self.run(pay(amount, name, order))

    @rule(order=ORDERS)
    def pay_what_is_due(self, order: str) -> None:
        due = self.world.order(order).unpaid_minor
        if due:
            self.run(pay(due, f"due-{len(self.world.order(order).payments)}", order))

    @rule(order=ORDERS, no=LINES, units=UNITS, name=PARCELS)
    def pack(self, order: str, no: int, units: int | str, name: str) -> None:
        self.run(pack((no, units), parcel_id=name, order_id=order))

    @rule(one=ORDERS, other=ORDERS, name=PARCELS)
    def pack_two(self, one: str, other: str, name: str) -> None:
        if one != other:
            contents = [{"order_id": o, "line_no": 1, "quantity": 1} for o in (one, other)]
            self.run(pack_orders(*contents, parcel_id=name))

    @rule(name=PARCELS)
    def dispatch(self, name: str) -> None:
        self.run(dispatch(name))

    @rule(name=PARCELS)
    def deliver(self, name: str) -> None:
        self.run(deliver(name))

    @rule(name=PARCELS, milestone=MILESTONES, hour=st.integers(0, 9))
    def track(self, name: str, milestone: str, hour: int) -> None:
        self.run(scan(milestone, hours(hour), name))

    @rule(order=ORDERS)
    def cancel(self, order: str) -> None:
        self.run(cancel(order_id=order))

    @rule(order=ORDERS, no=LINES, units=UNITS)
    def cancel_units(self, order: str, no: int, units: int | str) -> None:
        self.run(cancel((no, units), order_id=order))

    @rule(order=ORDERS, amount=AMOUNTS, name=NAMES)
    def refund(self, order: str, amount: int, name: str) -> None:
        self.run(refund(amount, refund_id=name, order_id=order))

    @rule(order=ORDERS, no=LINES, units=UNITS, name=NAMES, shipping=st.sampled_from([0, 700]))
    def refund_units(self, order: str, no: int, units: int | str, name: str, shipping: int) -> None:
        one = refund(None, (no, units), refund_id=name, order_id=order, shipping_minor=shipping)
        self.run(one)

    @rule(n=WHICH)
    def pay_refund(self, n: int) -> None:
        self.run(pay_refund(**self.a_refund(n)))

    @rule(order=ORDERS)
    def bring_all(self, order: str) -> None:
        lines = self.world.order(order).lines.items()
        name = f"all-{order}-{len(self.world.order(order).parcels)}"
        open_ = [(no, str(one.open)) for no, one in lines if one.open > 0]
        if open_:
            self.pay_what_is_due(order)
            self.run(pack(*open_, parcel_id=name, order_id=order))
            self.run(dispatch(name))
            self.run(deliver(name))

    def a_refund(self, n: int) -> dict[str, Any]:
        """One of those that there are; names drawn alone would seldom meet any."""
        found = [(o.order_id, name) for o in self._states(Order) for name in o.refunds]
        order_id, refund_id = found[n % len(found)] if found else ("A", "1")
        return {"order_id": order_id, "refund_id": refund_id}

    def a_return(self, n: int) -> dict[str, Any]:
        found = [(o.order_id, name) for o in self._states(Order) for name in o.returns]
        order_id, return_id = found[n % len(found)] if found else ("A", "1")
        return {"order_id": order_id, "return_id": return_id}

    @rule(n=WHICH, actor=st.sampled_from(["desk", "manager"]))
    def approve_refund(self, n: int, actor: str) -> None:
        self.run(approve_refund(actor, **self.a_refund(n)))

    @rule(n=WHICH, step=st.sampled_from([deny_refund, fail_refund, retry_refund]))
    def settle_refund(self, n: int, step: Any) -> None:
        self.run(step(**self.a_refund(n)))

    @rule(n=WHICH, hour=st.integers(0, 99), digest=st.sampled_from("ab"))
    def evidence(self, n: int, hour: int, digest: str) -> None:
        self.run(ask_evidence(**self.a_refund(n), at=hours(hour)))
        self.run(add_evidence(digest * 64, **self.a_refund(n), at=hours(hour + 24)))

    @rule(order=ORDERS, amount=AMOUNTS, name=NAMES)
    def compensate(self, order: str, amount: int, name: str) -> None:
        self.run(compensate(amount, name, order_id=order))

    def delivered(self, n: int, units: int | str | None) -> tuple[str, int, int | str]:
        """A line that was delivered, and so many of its units, or all."""
        found = [
            (order.order_id, no, one.delivered)
            for order in self._states(Order)
            for no, one in order.lines.items()
            if one.delivered > 0
        ]
        order_id, no, all_ = found[n % len(found)] if found else ("A", 1, Decimal(1))
        return order_id, no, str(all_) if units is None else units

    @rule(n=WHICH, units=st.none() | UNITS, name=NAMES, fault=st.booleans())
    def send_back(self, n: int, units: int | str | None, name: str, fault: bool) -> None:
        order, no, asked = self.delivered(n, units)
        more: Any = {"reason": "damaged", "evidence": ["c" * 64]} if fault else {}
        self.run(send_back((no, asked), return_id=name, order_id=order, **more))

    @rule(
        n=WHICH, step=st.sampled_from([approve_return, approve_return, deny_return, close_return])
    )
    def decide_return(self, n: int, step: Any) -> None:
        self.run(step(**self.a_return(n)))

    @rule(
        n=WHICH,
        no=st.none() | LINES,
        units=UNITS,
        condition=st.sampled_from(["resell", "scrap"]),
        refunded=st.booleans(),
    )
    def take_back(
        self, n: int, no: int | None, units: int | str, condition: str, refunded: bool
    ) -> None:
        """Some units, or all that are awaited."""
        ids = self.a_return(n)
        order = self.world.order(ids["order_id"])
        back = order.returns.get(ids["return_id"])
        came = [(no or 1, units, condition)]
        if no is None and back is not None:
            left = {one: back.awaited(one) for one in back.lines}
            came = [(one, str(rest), condition) for one, rest in left.items() if rest > 0] or came
        refund_id = f"back-{len(order.refunds)}"
        self.run(take_back(*came, **ids, refund_id=refund_id, refund=refunded))

    @rule(n=WHICH)
    def refund_what_came_back(self, n: int) -> None:
        ids = self.a_return(n)
        refund_id = f"back-{len(self.world.order(ids['order_id']).refunds)}"
        self.run(refund(None, refund_id=refund_id, **ids))

    @rule(n=WHICH, units=st.none() | UNITS, name=NAMES, lines=BOUGHT)
    def exchange(self, n: int, units: int | str | None, name: str, lines: list[Any]) -> None:
        order, no, asked = self.delivered(n, units)
        new = f"X{len(self.world.states)}"
        ids = {"return_id": name, "refund_id": f"exchange-{new}", "new_order_id": new}
        numbers = {"numbers": (f"number-{new}",)}
        self.run(exchange(*lines, back=((no, asked),), order_id=order, **ids, **numbers))

    @rule(order=ORDERS)
    def void(self, order: str) -> None:
        self.run(void(order))

    @invariant()
    def stock_is_never_oversold(self) -> None:
        for state in self._states(StockItem):
            assert state.reserved >= 0
            assert state.available >= 0

    @invariant()
    def what_stock_promises_is_what_orders_hold(self) -> None:
        held: dict[StreamName, Any] = {}
        for order in self._states(Order):
            for one in order.lines.values():
                name = desk.stock_stream(one.priced.sku, one.priced.location)
                held[name] = held.get(name, 0) + one.reserved
        for name, state in self.world.states.items():
            if isinstance(state, StockItem):
                assert state.reserved == held.get(name, 0)

    @invariant()
    def units_go_one_way(self) -> None:
        for order in self._states(Order):
            for one in order.lines.values():
                assert 0 <= one.delivered <= one.dispatched <= one.packed <= one.live
                assert 0 <= one.reserved <= one.live - one.dispatched
                assert 0 <= one.refunded <= one.quantity
                assert 0 <= one.returned <= one.delivered

    @invariant()
    def nothing_comes_back_twice(self) -> None:
        for order in self._states(Order):
            for no, one in order.lines.items():
                coming = sum((back.awaited(no) for back in order.returns.values()), Decimal(0))
                assert one.returned + coming <= one.delivered
            for return_id, back in order.returns.items():
                for no, came in back.received.items():
                    assert came <= back.lines[no]
                    if back.exchange_order_id is None:
                        assert refunded_units(order, return_id, no) <= came

    @invariant()
    def what_an_exchange_moves_is_neither_made_nor_lost(self) -> None:
        orders: list[Order] = self._states(Order)
        came = sum(
            payment.amount_minor
            for order in orders
            for payment in order.payments.values()
            if payment.method == "exchange"
        )
        went = sum(
            order.refunds[back.exchange_refund_id].amount_minor
            for order in orders
            for back in order.returns.values()
            if back.exchange_refund_id is not None and order.refunds[back.exchange_refund_id].paid
        )
        assert came == went

    @invariant()
    def refunds_never_pass_payments(self) -> None:
        for order in self._states(Order):
            assert 0 <= order.refunded_minor <= order.paid_minor
            counted = [refund for refund in order.refunds.values() if refund.counts]
            assert order.refunded_minor == sum(refund.amount_minor for refund in counted)
            assert order.kept_minor == sum(refund.fee_minor for refund in counted)
            assert order.refunded_minor == sum(p.refunded_minor for p in order.payments.values())
            for payment in order.payments.values():
                assert 0 <= payment.refunded_minor <= payment.amount_minor

    @invariant()
    def totals_are_what_their_parts_add_up_to(self) -> None:
        for order in self._states(Order):
            shipping = 0 if order.shipping_cancelled else order.shipping_minor
            owed = sum(one.owed_minor for one in order.lines.values())
            fees = order.fees_minor + order.money.late_fees_minor
            assert order.total_minor == owed + shipping + fees >= 0
            assert order.total_minor == fees or not order.cancelled
            assert order.fees_minor <= max(0, order.net_paid_minor)

    @invariant()
    def every_order_has_a_headline(self) -> None:
        for order in self._states(Order):
            assert shown(order).code in LABELS

    @invariant()
    def parcels_and_orders_tell_the_same(self) -> None:
        for parcel in self._states(Parcel):
            for order_id in parcel.order_ids:
                part = self.world.order(order_id).parcels[parcel.parcel_id]
                assert (part.dispatched, part.delivered) == (parcel.dispatched, parcel.delivered)

    def teardown(self) -> None:
        """Any history that was accepted folds to the state that decided it."""
        for stream, events in self.world.events.items():
            folded = reduce(
                lambda state, event: desk.evolve(stream.category, state, event),
                events,
                desk.initial(stream.category),
            )
            assert folded == self.world.state(stream)

    def _states(self, kind: Any) -> list[Any]:
        return [state for state in self.world.states.values() if isinstance(state, kind)]


def repeats_are_known(command: Command) -> bool:
    """Where the state itself tells a repeat; elsewhere only the idempotency key does: a second
    equal receipt, adjustment, added line or partial cancellation may be meant.
    """
    match command:
        case AmendOrder():
            return all(item.line_no and item.quantity != 0 for item in command.lines or [])
        case CancelOrder():
            return command.lines is None
        case _:
            # What came back without being refunded has no name of its own.
            return not isinstance(command, ReceiveStock | AdjustStock | ReceiveReturn)


TestDesk = Desk.TestCase
TestDesk.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


SENT = (receive(10), place(), pay(10000), pack((1, 2)), dispatch())
TWICE: list[tuple[tuple[Command, ...], Command]] = [
    ((), place()),
    ((place(),), approve()),
    ((place(),), amend({"line_no": 1, "quantity": 1})),
    ((place(),), pay(10000)),
    ((place(),), pack((1, 2))),
    (SENT[:-1], dispatch()),
    (SENT, deliver(name="Wang")),
    (SENT, scan("in_transit", hours(1))),
    (SENT, scan("delivered", hours(1))),
    ((receive(10), place()), cancel()),
    (SENT, refund(100)),
    ((*SENT, refund(100)), deny_refund()),
    ((*SENT, refund(100)), fail_refund()),
    ((*SENT, refund(100), fail_refund()), retry_refund()),
    ((*SENT, refund(100)), ask_evidence()),
    ((*SENT, refund(100)), add_evidence("a" * 64)),
    (SENT, compensate(100)),
    ((*SENT, deliver()), send_back((1, 1))),
    ((*SENT, deliver(), send_back((1, 1))), approve_return()),
    ((*SENT, deliver(), send_back((1, 1))), deny_return()),
    ((*SENT, deliver(), send_back((1, 1)), approve_return()), take_back((1, 1))),
    ((*SENT, deliver(), send_back((1, 1)), approve_return()), close_return()),
    ((*SENT, deliver()), exchange(line("POT"), back=((1, 1),))),
    ((*SENT, refund(100)), pay_refund()),
    ((place(),), note()),
    ((place(),), override("stage", "on_hold")),
    ((place(), override("stage", "on_hold")), EndOverride(order_id="A", at=NOON)),
    ((receive(10), place()), void()),
]


@pytest.mark.parametrize(("before", "command"), TWICE)
def test_every_command_twice_adds_nothing(before: tuple[Command, ...], command: Command) -> None:
    """covers: L13: the part of it that the state knows; the rest is the key's."""
    after(*before, command).when(command).nothing()


@pytest.mark.parametrize(
    "command",
    [
        approve(),
        amend({"line_no": 1, "quantity": 1}),
        pay(1),
        cancel(),
        refund(1),
        pay_refund(),
        approve_refund(),
        compensate(1),
        send_back((1, 1)),
        approve_return(),
        deny_return(),
        take_back((1, 1)),
        close_return(),
        exchange(line(), back=((1, 1),)),
        note(),
        override("stage", "on_hold"),
        EndOverride(order_id="A", at=NOON),
        void(),
        pack((1, 1)),
    ],
)
def test_an_order_that_is_not_there_is_not_found(command: Command) -> None:
    given().when(command).refused("order_not_found", order_id="A")


def test_the_desk_asks_for_what_it_needs_and_no_more() -> None:
    tea, order, parcel = (
        desk.stock_stream("TEA", "main"),
        desk.order_stream("A"),
        desk.parcel_stream("K"),
    )
    world = after(*SENT).world
    assert world.needed(place("B", external_ref="R")).keys() == {
        desk.order_stream("B"),
        desk.number_claim("number-B"),
        desk.external_ref_claim("main", "R"),
        desk.customer_stream("li"),
        desk.policy_stream("main"),
        tea,
    }
    assert world.needed(pay(1)).keys() == {order, desk.policy_stream("main")}
    assert world.needed(deliver()).keys() == {parcel, order}
    claim = desk.tracking_claim("sf-express", "SF-K")
    li = desk.customer_stream("li")
    assert world.needed(dispatch()).keys() == {parcel, order, tea, claim, li}
    reserved = after(receive(10), place()).world
    assert reserved.needed(cancel()).keys() == {order, tea, desk.policy_stream("main")}
    assert reserved.needed(amend({"line_no": 1, "quantity": 1})).keys() == {order, tea}
    assert reserved.needed(amend({"line_no": 1, "unit_price_minor": 1})).keys() == {order}


def test_new_names_need_no_look() -> None:
    assert desk.fresh(place("B", external_ref="R")) == {
        desk.order_stream("B"),
        desk.number_claim("number-B"),
        desk.external_ref_claim("main", "R"),
    }
    assert desk.fresh(pack((1, 1))) == {desk.parcel_stream("K")}
    assert desk.fresh(pay(1)) == frozenset()


def test_the_desk_says_whose_keys_it_will_seal_with() -> None:
    world = after(*SENT).world
    cases: list[tuple[Command, set[str]]] = [
        (place("B"), {"customer/li"}),
        (pay(1), {"customer/li", "order/A"}),
        (deliver(), {"customer/li", "parcel/K"}),
    ]
    for command, persons in cases:
        assert desk.persons(command, world.needed(command)) == persons


def test_answers_carry_what_was_made_and_nothing_personal() -> None:
    world = after(*SENT).world
    ids = {"order_id": "A", "number": "number-A", "total_minor": 10000}
    assert world.answer(pay(5, "P2")) == ids | {
        "version": 6,
        "status": "shipped",
        "payment_id": "P2",
        "payment": "paid",
        "paid_minor": 10005,
        "due_minor": 0,
        "credit_minor": 5,
        "written_off_minor": 0,
        "late_fee_minor": 0,
        "outcome": "credit",
    }
    assert world.answer(refund(5)) == ids | {
        "version": 8,
        "status": "refunding",
        "refund_id": "R1",
        "amount_minor": 5,
        "refund_status": "approved",
        "decide_by": None,
        "pay_by": "2025-03-05T16:00:00+00:00",  # The end of Wednesday in Shanghai.
    }
    assert world.answer(note())["note_id"] == "N1"
    answer = world.answer(scan("in_transit", hours(1)))
    assert answer == {"parcel_id": "K", "version": 3, "status": "in_transit", "orders": []}
    assert "Li" not in str(world.answer(deliver(name="Li Wei")))


def test_a_command_is_filed_under_what_it_is_about() -> None:
    assert desk.target(pay(1)) == "A"
    assert desk.target(scan("lost", NOON)) == "K"
    assert desk.target(receive(1)) == "TEA@main"


def _line_of(world: World) -> OrderLine:
    return world.order().lines[1]


def test_a_refused_command_leaves_the_world_as_it_was() -> None:
    start = after(*SENT)
    before = _line_of(start.world)
    after_refusal = start.when(refund(10**6)).refused("refund_exceeds_paid")
    assert _line_of(after_refusal) == before
