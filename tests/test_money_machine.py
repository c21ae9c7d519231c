"""Random lives of three orders, looked at as money: nothing is made, nothing is lost.

A plain count of the facts stands beside the states that decide. Commands name what there is, so
that most are accepted; the amounts do not care.
"""

from __future__ import annotations

from datetime import timedelta
from functools import reduce
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain import desk
from domain.message import Command, Event, Rejected
from domain.order_commands import DIMENSIONS
from domain.order_facts import PaymentCaptured, RefundRequested
from domain.order_money import settlement
from domain.order_state import Order
from domain.order_status import shown
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    LoseChargeback,
    RecordRemittance,
    RefuseDelivery,
    ReinstateOrder,
    VoidAuthorisation,
    WaiveLateFee,
    WinChargeback,
    WriteOffDifference,
)
from domain.payment_facts import (
    ChargebackLost,
    DifferenceWrittenOff,
    LateFeeCharged,
    LateFeeCorrected,
    LateFeeWaived,
    PaymentMovedIn,
    PaymentMovedOut,
    PaymentVoided,
)
from domain.stock_item import StockItem
from tests.given import (
    NOON,
    World,
    amend,
    authorise,
    cancel,
    capture,
    deliver,
    dispatch,
    dispute,
    line,
    money,
    move,
    pack,
    pay,
    pay_refund,
    place,
    publish,
    receive,
    refund,
    unrecord,
)
from tests.scale import scale

ORDERS = ("A", "B", "C")
ORDER = st.sampled_from(ORDERS)
METHODS = st.sampled_from(["alipay", "on_account", "cash_on_delivery"])
POLICIES = (
    {"payment": {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.7"}},
    {"payment": {"on_overdue": "late_fee", "term_hours": 1, "late_fee_cap_bp": 10_000}},
    {"payment": {"on_overdue": "cancel"}},
    {"cancellation": {"free_hours": 0, "fee_bp": 3_333}, "status": {"confirm": ["reinstate"]}},
    {"status": {"counts_as_paid": "authorised"}},
)
PARTS = st.sampled_from([1, 2, 3, 7, 50, 99, 100, 101, 150])  # per cent of what there is


class Money(RuleBasedStateMachine):
    """covers: A24, A62, A63, R6, R8: sums agree after every command, whatever came before."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.now = NOON
        self.made = 0

    # -- what happens

    @initialize(
        policy=st.sampled_from(POLICIES),
        methods=st.tuples(METHODS, METHODS, METHODS),
        prices=st.tuples(*[st.integers(1, 200_000)] * 3),
    )
    def begin(self, policy: Any, methods: tuple[str, ...], prices: tuple[int, ...]) -> None:
        self.run(publish(**policy))
        self.run(receive(12))
        for order, method, price in zip(ORDERS, methods, prices, strict=True):
            bought = [line(quantity=3, price=price, tax_rate_bp=1300), line("CUP", "1.5", 333)]
            self.run(place(order, *bought, payment_method=method, shipping_minor=801))

    def run(self, command: Command) -> None:
        try:
            self.world.run(command)
        except Rejected:
            return
        if self.repeats(command):
            assert not self.world.run(command).events

    def repeats(self, command: Command) -> bool:
        """Whether the state itself knows a repeat; a second equal waiver may be meant."""
        known = getattr(command, "payment_id", None) or getattr(command, "chargeback_id", None)
        return known is not None or isinstance(command, ChargeLateFee | DeclareOverdue)

    def name(self) -> str:
        self.made += 1
        return f"N{self.made}"

    def of(self, order: str) -> Order:
        return self.world.order(order)

    @rule(hours=st.sampled_from([1, 20, 30, 80, 400]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(order=ORDER, part=PARTS, back=st.sampled_from([None, 0, 1, 4, 20]))
    def pay(self, order: str, part: int, back: int | None) -> None:
        amount = max(1, self.of(order).total_minor * part // 100)
        day = None if back is None else (self.now - timedelta(days=back)).date()
        self.run(pay(amount, self.name(), order, at=self.now, value_date=day))

    @rule(order=ORDER, less=st.sampled_from([0, 0, 1, 100, 101]))
    def pay_what_is_owed(self, order: str, less: int) -> None:
        amount = self.of(order).balance_minor - less
        if amount > 0:
            self.run(pay(amount, self.name(), order, at=self.now))

    @rule(order=ORDER, part=PARTS, hours=st.none() | st.integers(1, 99))
    def authorise(self, order: str, part: int, hours: int | None) -> None:
        amount = max(1, self.of(order).total_minor * part // 100)
        ends = hours and self.now + timedelta(hours=hours)
        self.run(authorise(amount, self.name(), order, expires_at=ends, at=self.now))

    @rule(order=ORDER, part=st.none() | PARTS, data=st.data())
    def capture(self, order: str, part: int | None, data: st.DataObject) -> None:
        for held in self.one_of(data, self.of(order).money.authorisations):
            whole = self.of(order).money.authorisations[held].amount_minor
            amount = part and max(1, whole * part // 100)
            ids = {"authorisation_id": held, "order_id": order, "at": self.now}
            self.run(capture(amount, self.name(), **ids))

    @rule(order=ORDER, expires=st.booleans(), data=st.data())
    def let_go(self, order: str, expires: bool, data: st.DataObject) -> None:
        for held in self.one_of(data, self.of(order).money.authorisations):
            kind, more = (ExpireAuthorisation, {}) if expires else (VoidAuthorisation, REASON)
            self.run(money(kind, order, self.now, payment_id=held, **more))

    @rule(order=ORDER, data=st.data())
    def void(self, order: str, data: st.DataObject) -> None:
        for payment in self.one_of(data, self.of(order).payments):
            self.run(unrecord(payment, order))

    @rule(order=ORDER, to=ORDER, part=st.none() | PARTS, data=st.data())
    def move(self, order: str, to: str, part: int | None, data: st.DataObject) -> None:
        for payment in self.one_of(data, self.of(order).payments):
            amount = part and max(1, self.of(order).payments[payment].amount_minor * part // 100)
            ids = {"order_id": order, "to_payment_id": self.name(), "at": self.now}
            self.run(move(payment, to, amount, **ids))

    @rule(order=ORDER, part=st.none() | PARTS, data=st.data())
    def dispute(self, order: str, part: int | None, data: st.DataObject) -> None:
        for payment in self.one_of(data, self.of(order).payments):
            amount = part and max(1, self.of(order).payments[payment].amount_minor * part // 100)
            self.run(dispute(payment, amount, order_id=order, chargeback_id=self.name()))

    @rule(order=ORDER, kind=st.sampled_from([WinChargeback, LoseChargeback]), data=st.data())
    def end_dispute(self, order: str, kind: type[Command], data: st.DataObject) -> None:
        for case in self.one_of(data, self.of(order).money.chargebacks):
            self.run(money(kind, order, chargeback_id=case))

    @rule(order=ORDER, part=PARTS)
    def refund(self, order: str, part: int) -> None:
        amount = max(1, self.of(order).net_paid_minor * part // 100)
        self.run(refund(amount, refund_id=self.name(), order_id=order))

    @rule(order=ORDER, data=st.data())
    def pay_refund(self, order: str, data: st.DataObject) -> None:
        for one in self.one_of(data, self.of(order).refunds):
            self.run(pay_refund(one, order))

    @rule(order=ORDER, no=st.sampled_from([1, 2]), units=st.sampled_from([1, 2, 3, 4]))
    def amend(self, order: str, no: int, units: int) -> None:
        self.run(amend({"line_no": no, "quantity": units}, order_id=order))

    @rule(order=ORDER, part=st.booleans())
    def cancel(self, order: str, part: bool) -> None:
        lines = [(1, 1)] if part else []
        self.run(cancel(*lines, order_id=order, at=self.now))

    @rule(
        order=ORDER,
        kind=st.sampled_from([DeclareOverdue, CancelOverdue, ChargeLateFee, ChargeLateFee]),
        hours=st.sampled_from([0, 30, 150]),
    )
    def be_late(self, order: str, kind: type[Command], hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.run(money(kind, order, self.now))

    @rule(order=ORDER)
    def reinstate(self, order: str) -> None:
        self.run(money(ReinstateOrder, order, self.now))

    @rule(order=ORDER, amount=st.none() | st.integers(1, 500))
    def waive(self, order: str, amount: int | None) -> None:
        self.run(money(WaiveLateFee, order, amount_minor=amount, **REASON))

    @rule(order=ORDER)
    def write_off(self, order: str) -> None:
        self.run(money(WriteOffDifference, order))

    @rule(order=ORDER, no=st.sampled_from([1, 2]), paid=st.booleans())
    def send(self, order: str, no: int, paid: bool) -> None:
        name = self.name()
        self.run(pack((no, 1), parcel_id=name, order_id=order))
        more: dict[str, Any] = {} if paid else {"unpaid_reason": "trusted"}
        self.run(dispatch(name, **more))

    @rule(order=ORDER, refused=st.booleans(), data=st.data())
    def arrive(self, order: str, refused: bool, data: st.DataObject) -> None:
        left = [name for name, one in self.of(order).parcels.items() if one.dispatched]
        for parcel in self.one_of(data, left):
            at: dict[str, Any] = {"freight_minor": 300, "parcel_id": parcel}
            self.run(money(RefuseDelivery, order, **at) if refused else deliver(parcel))

    @rule(order=ORDER, part=PARTS)
    def remit(self, order: str, part: int) -> None:
        amount = max(1, self.of(order).money.collected_minor * part // 100)
        body: dict[str, Any] = {"carrier": "sf-express", "amount_minor": amount, "reference": "r"}
        self.run(money(RecordRemittance, order, payment_id=self.name(), **body))

    def one_of(self, data: st.DataObject, there: Any) -> list[str]:
        return [data.draw(st.sampled_from(sorted(there)))] if there else []

    # -- what always holds

    @invariant()
    def what_came_in_is_kept_given_back_or_due_back(self) -> None:
        for order in self.orders():
            came, gone, refunded = counted(self.facts(order))
            settled = settlement(order)
            kept = settled.kept_minor + settled.fees_minor
            assert came - gone == settled.paid_minor == order.paid_minor
            assert refunded == settled.refunded_minor
            assert settled.paid_minor == kept + settled.credit_minor + settled.refunded_minor
            assert settled.total_minor == kept + settled.written_off_minor + settled.unpaid_minor
            assert settled.credit_minor == max(0, -order.balance_minor)

    @invariant()
    def what_is_owed_is_what_its_parts_add_up_to(self) -> None:
        for order in self.orders():
            shipping = 0 if order.shipping_cancelled else order.shipping_minor
            owed = sum(one.owed_minor for one in order.lines.values())
            fees = order.fees_minor + order.money.late_fees_minor
            assert order.total_minor == owed + shipping + fees
            assert order.money.late_fees_minor == late_fees(self.facts(order))
            assert order.money.written_off_minor == sum(
                f.amount_minor for f in self.facts(order) if isinstance(f, DifferenceWrittenOff)
            )

    @invariant()
    def what_leaves_one_order_comes_to_another(self) -> None:
        facts = [fact for order in self.orders() for fact in self.facts(order)]
        into = sum(f.amount_minor for f in facts if isinstance(f, PaymentMovedIn))
        assert into == sum(f.amount_minor for f in facts if isinstance(f, PaymentMovedOut))

    @invariant()
    def no_payment_is_used_twice(self) -> None:
        """But that a bank may take back by force what was refunded as well."""
        for order in self.orders():
            for one in order.payments.values():
                used = one.refunded_minor + one.moved_minor
                assert used <= one.amount_minor
                assert one.moved_minor + one.lost_minor + one.disputed_minor <= one.amount_minor
                assert not (one.voided and (used or one.lost_minor or one.disputed_minor))
            lost = sum(one.lost_minor for one in order.payments.values())
            assert order.refunded_minor <= order.paid_minor + lost
            free = sum(one.refundable_minor for one in order.payments.values())
            assert 0 <= order.refundable_minor <= free

    @invariant()
    def captures_stay_within_what_was_held(self) -> None:
        for order in self.orders():
            for name, held in order.money.authorisations.items():
                parts = [p for p in order.payments.values() if p.authorisation_id == name]
                captured = sum(0 if p.voided else p.amount_minor for p in parts)
                assert captured == held.captured_minor <= held.amount_minor

    @invariant()
    def stock_is_promised_once(self) -> None:
        promised = sum(one.lines[1].reserved for one in self.orders() if 1 in one.lines)
        stock = self.world.state(desk.stock_stream("TEA", "main"))
        assert isinstance(stock, StockItem)
        assert promised == stock.reserved <= stock.on_hand

    @invariant()
    def the_payment_is_one_that_is_known(self) -> None:
        for order in self.orders():
            assert shown(order).dimensions.payment in DIMENSIONS["payment"]

    def orders(self) -> list[Order]:
        return [one for one in map(self.of, ORDERS) if one.placed]

    def facts(self, order: Order) -> list[Event]:
        return self.world.events[desk.order_stream(order.order_id)]

    def teardown(self) -> None:
        """Any prefix of what was accepted can be folded, the whole to what decided it."""
        for order in self.orders():
            folded = reduce(desk.AGGREGATES["order"][1], self.facts(order), Order())
            assert folded == order


REASON: dict[str, Any] = {"reason": "r"}


def counted(facts: list[Event]) -> tuple[int, int, int]:
    """What came, what left other than by a refund, and what was asked back."""

    def of(*kinds: type[Any]) -> int:
        return sum(fact.amount_minor for fact in facts if isinstance(fact, kinds))

    came = of(PaymentCaptured, PaymentMovedIn)
    return came, of(PaymentVoided, PaymentMovedOut, ChargebackLost), of(RefundRequested)


def late_fees(facts: list[Event]) -> int:
    charged = waived = 0
    for fact in facts:
        match fact:
            case LateFeeCharged():
                charged += fact.amount_minor
            case LateFeeCorrected():
                charged -= fact.amount_minor
            case LateFeeWaived():
                waived += fact.amount_minor
            case _:
                pass
    return max(0, charged - waived)


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=scale(2_000, 400), stateful_step_count=50, deadline=None)
