"""What may happen to the goods of a few customers' orders, as rules of a state machine.

A number drawn picks among what there is, so that most commands name something that exists. Who
inherits says what must hold after each command (`accepted`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from domain import desk, desk_names, order_preview
from domain.account_commands import GrantCredit
from domain.customer import RecordCustomer
from domain.message import Command, Decision, Event, Rejected
from domain.order_commands import CancelOrder
from domain.order_state import Order
from domain.parcel import Parcel
from domain.payment_commands import RefuseDelivery, WaiveLateFee
from domain.placement_commands import AmendOrder
from domain.stock_item import AdjustStock, ReceiveStock
from tests import given_money, given_orders
from tests.given import NOON
from tests.given_money import money
from tests.given_orders import line
from tests.order_book import Book
from tests.stored import Stored

T = TypeVar("T")
WHICH = st.integers(0, 59)  # of what there is; 60 is divisible by 2, 3, 4, 5 and 6
ORDERS_MAX = 6  # placed; exchanges make more
AMOUNTS = st.sampled_from([1, 99, 700, 2_500, 9_999, 60_000])
UNITS = st.sampled_from([1, 2, 3, "0.5", "1.333"])
CASH = "cash_on_delivery"
METHODS = ("alipay", "credit_card", "on_account", CASH, "store_credit", "gift_balance")
KEPT = ("TEA", "CUP")  # in stock from the start
SKUS = (*KEPT, "OIL")  # oil only once some came in
CUSTOMERS = ("li", "wang")
MILESTONES = st.sampled_from(
    ["in_transit", "exception", "lost", "delivered", "returning", "returned"]
)
HOW = st.sampled_from(["quantity", "quantity", "price", "remove", "add"])
ACCEPTED, ALREADY_SO = "accepted", "already so"
# One of each makes a policy.
LATENESS: tuple[dict[str, Any], ...] = (
    {"on_overdue": "cancel", "tolerance": {"CNY": 0}},
    {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.7"},
    {"on_overdue": "late_fee", "term_hours": 1, "reminder_hours": [0], "late_fee_cap_bp": 10_000},
)
FEES = ({"free_hours": 24, "fee_bp": 1_000}, {"free_hours": 0, "fee_bp": 3_333})
STATUS: tuple[dict[str, Any], ...] = (
    {},
    {"counts_as_paid": "authorised"},
    {"confirm": ["reinstate", "write_off_difference"]},
)
REVIEW: tuple[dict[str, Any], ...] = ({}, {"auto_approve_below": {"CNY": 40_000}}, {})
RETURNS: tuple[dict[str, Any], ...] = (
    {},
    {"restocking_fee_bp": 1_500, "no_reason_days": 60, "quality_days": 60},
)
SECOND_PERSON = ({"CNY": 100_000}, {"CNY": 3_000})
# They have no name of their own; a sealed contact cannot be compared.
KNOWN_BY_THEIR_KEY = (ReceiveStock, AdjustStock, GrantCredit, RecordCustomer)


def pick(which: int, there: Iterable[T]) -> list[T]:
    """One of them; none where there is none."""
    found = list(there)
    return [found[which % len(found)]] if found else []


def several(steps: Iterable[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(steps)), min_size=1, max_size=4)


class Moves(RuleBasedStateMachine):
    """`tally`: how many commands of a name were accepted, or refused by which code, in all runs."""

    tally: ClassVar[Counter[tuple[str, str]]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world, self.book, self.now, self.made = Stored(), Book(), NOON, 0
        self.previewed: list[tuple[AmendOrder, list[Event]]] = []

    def accepted(self, command: Command, decision: Decision) -> None:
        """What must hold after a command."""

    def run(self, command: Command) -> bool:
        """Whether it was accepted; then a repeat changes nothing, where the state knows it."""
        command = command.model_copy(update={"at": self.now})
        name = type(command).__name__
        try:
            decision = self.world.run(command)
        except Rejected as refusal:
            self.tally[name, refusal.code] += 1
            return False
        self.tally[name, ACCEPTED if decision.events else ALREADY_SO] += 1
        for stream, facts in decision.events.items():
            self.book.add(stream.category, stream.key, facts)
        self.accepted(command, decision)
        if repeats_are_known(command):
            self.repeat(command)
        return True

    def repeat(self, command: Command) -> None:
        try:
            assert not self.world.decide(command).events
        except Rejected as refusal:
            # Of an order that has left in part, nothing is open any more: the rest is a return.
            if not isinstance(command, CancelOrder) or refusal.code != "already_dispatched":
                raise

    def name(self) -> str:
        self.made += 1
        return f"N{self.made}"

    def orders(self) -> list[Order]:
        return self.world.all(Order)

    def order(self, which: int) -> Order:
        return self.orders()[which % len(self.orders())]

    def a_line(self, which: int) -> list[tuple[Order, int]]:
        order = self.order(which)
        return [(order, no) for no in pick(which // 3, order.lines)]

    # -- the shop --------------------------------------------------------------------------------

    @initialize(policy=WHICH, first=WHICH, second=WHICH, sent=st.integers(0, 3))
    def begin(self, policy: int, first: int, second: int, sent: int) -> None:
        """Of a random walk alone, too few steps would lead to a paid order at a customer's door."""
        self.publish(policy)
        for sku in KEPT:
            self.run(given_orders.receive(30, sku))
        for customer in CUSTOMERS:
            self.run(given_orders.register(customer))
            self.run(given_money.credit(40_000, customer_id=customer))
            self.run(given_money.gift(9_000, days=9, customer_id=customer))
            self.run(given_money.limit(90_000, customer_id=customer))
        for n, which in enumerate((first, second, 1)):
            self.place(which + n, 3, 5_000 + n, 2 * n, n % 2 == 0)
        for n in range(sent):
            self.bring_all(n, policy % 4 > 0)

    @rule(policy=WHICH)
    def publish(self, policy: int) -> None:
        late, fee = LATENESS[policy % 3], FEES[policy // 3 % 2]
        rules: dict[str, Any] = {
            "payment": late,
            "cancellation": fee,
            "status": STATUS[policy // 4 % 3],
            "review": REVIEW[policy // 7 % 3],
            "returns": RETURNS[policy // 5 % 2],
            "refund": {"second_approval_over": SECOND_PERSON[policy % 2]},
        }
        if self.run(given_orders.publish(**rules)):
            self.book.rules = {**fee, "on_overdue": late["on_overdue"]}

    @rule(hours=st.sampled_from([1, 20, 30, 80, 400]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(units=UNITS, delta=st.sampled_from([0, -3, -1, 1]), sku=st.sampled_from(SKUS))
    def count(self, units: int | str, delta: int, sku: str) -> None:
        """Stock came in, or there is more or less of it than was thought."""
        adjust: dict[str, Any] = {"sku": sku, "delta": delta, "reason": "r", "at": NOON}
        self.run(AdjustStock.model_validate(adjust) if delta else given_orders.receive(units, sku))

    # -- what is bought --------------------------------------------------------------------------

    def lines(self, which: int, units: int | str, price: int) -> list[Any]:
        """One to three; the third may be of the sku of the first."""
        more = {"tax_rate_bp": (0, 1_300, 600)[which % 3], "discount_minor": which % 2}
        first = line(SKUS[which % 3], units, price, **more)
        return [first, line("CUP", "1.5", 333), line("TEA", 1, 1_001)][: 1 + which % 3]

    @rule(
        which=WHICH,
        units=UNITS,
        price=AMOUNTS,
        discount=st.sampled_from([0, 0, 1, 90]),
        included=st.booleans(),
    )
    def place(
        self, which: int, units: int | str, price: int, discount: int, included: bool
    ) -> None:
        if len(self.orders()) >= ORDERS_MAX:
            return
        more: dict[str, Any] = {
            "channel": "marketplace" if which % 7 == 0 else "web",  # the first is sold elsewhere
            "customer_id": CUSTOMERS[which // 6 % 2],
            "payment_method": METHODS[which % 6],
            "discount_minor": discount,
            "prices_include_tax": included,
            "shipping_minor": 801 * (which % 2),
            "shipping_tax_rate_bp": 600 * (which % 3),
        }
        self.run(given_orders.place(self.name(), *self.lines(which, units, price), **more))

    def amendment(self, which: int, units: int | str, price: int, how: str) -> AmendOrder:
        [(order, no)] = self.a_line(which)
        change: Mapping[str, Any] = {
            "quantity": {"line_no": no, "quantity": units},
            "price": {"line_no": no, "unit_price_minor": price, "discount_minor": which % 2},
            "remove": {"line_no": no, "quantity": 0},
            "add": line(SKUS[which % 3], units, price),
        }[how]
        return given_orders.amend(change, order_id=order.order_id)

    @rule(which=WHICH, units=UNITS, price=AMOUNTS, how=HOW)
    def amend(self, which: int, units: int | str, price: int, how: str) -> None:
        self.run(self.amendment(which, units, price, how))

    @rule(which=WHICH, units=UNITS, price=AMOUNTS, how=st.sampled_from(["quantity", "price"]))
    def amend_after_refund(self, which: int, units: int | str, price: int, how: str) -> None:
        """A line of an order that something was given back of is made dearer, cheaper, smaller."""
        for order in pick(which, (one for one in self.orders() if one.refunds)):
            lines = {no: one for no, one in order.lines.items() if one.given_back}
            for no in pick(which // 3, lines or order.lines):
                change: dict[str, Any] = {"line_no": no}
                change |= {"unit_price_minor": price} if how == "price" else {"quantity": units}
                self.run(given_orders.amend(change, order_id=order.order_id))

    @rule(which=WHICH, units=UNITS, price=AMOUNTS, how=HOW)
    def preview(self, which: int, units: int | str, price: int, how: str) -> None:
        command = self.amendment(which, units, price, how)
        stream = desk_names.order_stream(command.order_id)
        try:
            facts = self.world.decide(command).events.get(stream, [])
        except Rejected:
            return
        clear = desk.decide(command, self.world.needed(command)).events.get(stream, [])
        digest = f"{self.world.version(stream)}-{order_preview.digest(clear)}"
        self.previewed.append((command.model_copy(update={"digest": digest}), facts))

    @rule()
    def do_what_was_previewed(self) -> None:
        """Whatever came in between: exactly that, or nothing."""
        for command, facts in self.previewed[:1]:
            stream = desk_names.order_stream(command.order_id)
            before = self.world.version(stream)
            if self.run(command):
                did = self.world.since(stream, before)
                assert did == [fact.model_copy(update={"at": self.now}) for fact in facts]
        del self.previewed[:1]

    @rule(which=WHICH, units=UNITS, whole=st.booleans(), by=st.sampled_from(["customer", "seller"]))
    def cancel(self, which: int, units: int | str, whole: bool, by: str) -> None:
        for order, no in self.a_line(which):
            lines = [] if whole else [(no, units)]
            self.run(given_orders.cancel(*lines, order_id=order.order_id, initiator=by))

    @rule(which=WHICH, yes=st.booleans())
    def review(self, which: int, yes: bool) -> None:
        waiting = (one for one in self.orders() if not one.approved or which % 4 == 0)
        for order in pick(which, waiting):
            self.run((given_orders.approve if yes else given_orders.reject)(order.order_id))

    @rule(which=WHICH, released=st.booleans())
    def hold(self, which: int, released: bool) -> None:
        held = [one for one in self.orders() if one.cases.holds]
        if not released and len(held) < len(self.orders()) // 3:
            self.run(given_orders.hold("fraud", self.name(), self.order(which).order_id))
        for order in pick(which, held) if released else []:
            for name in pick(which // 3, order.cases.holds):
                self.run(given_orders.release(name, order.order_id))

    @rule(which=WHICH)
    def void_order(self, which: int) -> None:
        untouched = (one for one in self.orders() if not one.payments and not one.parcels)
        for order in pick(which, untouched if which % 4 else self.orders()):
            self.run(given_orders.void(order.order_id))

    # -- goods on their way ----------------------------------------------------------------------

    @rule(which=WHICH, units=UNITS)
    def pack(self, which: int, units: int | str) -> None:
        for order, no in self.a_line(which):
            self.run(given_orders.pack((no, units), parcel_id=self.name(), order_id=order.order_id))

    @rule(one=WHICH, other=WHICH)
    def pack_together(self, one: int, other: int) -> None:
        ids = dict.fromkeys((self.order(one).order_id, self.order(other).order_id))
        contents = [{"order_id": order, "line_no": 1, "quantity": 1} for order in ids]
        self.run(given_orders.pack_orders(*contents, parcel_id=self.name()))

    @rule(which=WHICH, paid=st.booleans())
    def dispatch(self, which: int, paid: bool) -> None:
        waiting = (one.parcel_id for one in self.world.all(Parcel) if not one.dispatched)
        for parcel in pick(which, waiting):
            more: dict[str, Any] = {} if paid else {"unpaid_reason": "trusted"}
            self.run(given_orders.dispatch(parcel, **more))

    def on_the_way(self) -> list[Parcel]:
        return [one for one in self.world.all(Parcel) if one.dispatched and not one.delivered]

    @rule(which=WHICH)
    def deliver(self, which: int) -> None:
        for parcel in pick(which, self.on_the_way()):
            self.run(given_orders.deliver(parcel.parcel_id))

    @rule(which=WHICH)
    def refuse_delivery(self, which: int) -> None:
        sent = [(one.parcel_id, order) for one in self.on_the_way() for order in one.order_ids]
        cash = [one for one in sent if self.world.order(one[1]).payment_method == CASH]
        for parcel, order in pick(which, cash if which % 4 else sent):
            self.run(money(RefuseDelivery, order, parcel_id=parcel, freight_minor=300))

    @rule(which=WHICH, hours=st.integers(0, 90), milestone=MILESTONES)
    def track(self, which: int, hours: int, milestone: str) -> None:
        """Scans come late, twice and out of order."""
        for parcel in pick(which, (one for one in self.world.all(Parcel) if one.dispatched)):
            seen = self.now - timedelta(hours=hours)
            self.run(given_orders.scan(milestone, seen, parcel.parcel_id))

    @rule(which=WHICH, home=st.booleans())
    def bring_all(self, which: int, home: bool) -> None:
        """Paid, packed and dispatched, or delivered too, as far as nothing stands against it."""
        order, parcel = self.order(which), self.name()
        if order.unpaid_minor and order.payment_method not in {"on_account", CASH}:
            self.run(given_money.pay(order.unpaid_minor, self.name(), order.order_id))
        open_ = [(no, str(one.open)) for no, one in order.lines.items() if one.open > 0]
        if open_ and self.run(given_orders.pack(*open_, parcel_id=parcel, order_id=order.order_id)):
            sent = self.run(given_orders.dispatch(parcel))
            if sent and home:
                self.run(given_orders.deliver(parcel))


def repeats_are_known(command: Command) -> bool:
    """Where the state itself tells a repeat; elsewhere only the idempotency key does: a second
    equal receipt, grant, added line or partial cancellation may be meant.
    """
    match command:
        case AmendOrder():
            named = all(item.line_no and item.quantity != 0 for item in command.lines or [])
            return named and command.digest is None
        case CancelOrder():
            return command.lines is None
        case WaiveLateFee():
            return command.amount_minor is None
        case _:
            return not isinstance(command, KNOWN_BY_THEIR_KEY)
