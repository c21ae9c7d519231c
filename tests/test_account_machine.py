"""Whatever one customer's orders do to the account, as time goes on: the sums agree."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain import desk
from domain.account import Account, evolve
from domain.account_facts import BalanceGivenBack, BalanceSpent, CreditGranted, GiftExpired
from domain.message import Command, Event, Rejected
from domain.order_state import Order
from tests.given import (
    World,
    amend,
    cancel,
    credit,
    expire_gifts,
    gift,
    hours,
    limit,
    line,
    pay,
    pay_refund,
    place,
    refund,
    register,
    void,
)

LI = desk.account_stream("li", "CNY")
ORDERS = st.integers(0, 20)  # of those placed, from the newest
METHODS = st.sampled_from(["store_credit", "gift_balance", "on_account", "alipay"])
AMOUNTS = st.sampled_from([1, 99, 1000, 2500, 5000])
NAMES = st.sampled_from(["1", "2", "3"])
BOUGHT = st.lists(
    st.builds(line, st.sampled_from(["TEA", "CUP"]), st.integers(1, 2), AMOUNTS),
    min_size=1,
    max_size=2,
)


class Accounts(RuleBasedStateMachine):
    """covers: A64, A82, R6: random orders, payments, refunds of one customer, as time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.hour = 0
        self.placed = 0

    def name(self, order: int) -> str:
        return str(self.placed - order % max(1, self.placed))

    @property
    def at(self) -> datetime:
        return hours(self.hour)

    def run(self, command: Command) -> bool:
        before = self.world.account().exposure_minor
        try:
            self.world.run(command)
        except Rejected:
            return False
        state = self.world.account()
        assert state.exposure_minor <= max(before, state.limit_minor or 0)
        return True

    @initialize()
    def begin(self) -> None:
        self.run(register())
        self.run(limit(20_000))
        self.run(credit(10_000))

    @rule(more=st.integers(1, 40))
    def wait(self, more: int) -> None:
        self.hour += more

    @rule(amount=AMOUNTS | st.sampled_from([-1, -5000]))
    def grant(self, amount: int) -> None:
        self.run(credit(amount, cause="correction", at=self.at))

    @rule(amount=AMOUNTS, name=NAMES, days=st.integers(1, 5))
    def give(self, amount: int, name: str, days: int) -> None:
        number = len(self.world.account().gifts)
        self.run(gift(amount, f"{name}-{number}", days=self.hour / 24 + days, at=self.at))

    @rule()
    def expire(self) -> None:
        assert self.run(expire_gifts(self.at))
        assert self.world.account().gift_minor(self.at) == sum(
            one.left_minor for one in self.world.account().gifts.values()
        )

    @rule(amount=st.sampled_from([0, 5000, 40_000]))
    def agree(self, amount: int) -> None:
        self.run(limit(amount, at=self.at))

    @rule(lines=BOUGHT, method=METHODS)
    def place(self, lines: list[Any], method: str) -> None:
        before, order = self.world.account(), str(self.placed + 1)
        if self.run(place(order, *lines, payment_method=method, at=self.at)):
            self.placed += 1
            after = self.world.account()
            taken = before.liability_minor - after.liability_minor
            total = self.world.order(order).total_minor
            assert taken == (total if method in {"store_credit", "gift_balance"} else 0)
            of_gifts = before.gift_minor(self.at) - after.gift_minor(self.at)
            assert of_gifts == min(taken, before.gift_minor(self.at))
            assert method != "gift_balance" or taken == of_gifts
            self.earliest_first(before, after)

    def earliest_first(self, before: Account, after: Account) -> None:
        """No gift was touched while one that expires before it had something left."""
        touched = [
            one.expires_at
            for name, one in before.gifts.items()
            if one.left_minor != after.gifts[name].left_minor
        ]
        for one in after.gifts.values():
            if one.left_minor and one.valid(self.at):
                assert one.expires_at >= max(touched, default=one.expires_at)

    @rule(order=ORDERS, units=st.integers(0, 5))
    def amend(self, order: int, units: int) -> None:
        self.run(amend({"line_no": 1, "quantity": units}, order_id=self.name(order), at=self.at))

    @rule(order=ORDERS, amount=AMOUNTS, name=NAMES, method=METHODS)
    def pay(self, order: int, amount: int, name: str, method: str) -> None:
        self.run(pay(amount, name, self.name(order), method=method, at=self.at))

    @rule(order=ORDERS, units=st.integers(1, 2))
    def cancel_units(self, order: int, units: int) -> None:
        self.run(cancel((1, units), order_id=self.name(order)))

    @rule(order=ORDERS)
    def cancel(self, order: int) -> None:
        self.run(cancel(order_id=self.name(order)))

    @rule(order=ORDERS)
    def void(self, order: int) -> None:
        self.run(void(self.name(order)))

    @rule(order=ORDERS, amount=AMOUNTS, name=NAMES)
    def refund(self, order: int, amount: int, name: str) -> None:
        self.run(refund(amount, refund_id=name, order_id=self.name(order)))

    @rule(order=ORDERS, name=NAMES, method=st.none() | st.sampled_from(["store_credit", "alipay"]))
    def pay_refund(self, order: int, name: str, method: str | None) -> None:
        """What came back to gifts and to credit is within what the payment took of each."""
        before = self.world.account()
        if not self.run(pay_refund(name, self.name(order), method=method, at=self.at)):
            return
        after, asked = self.world.account(), self.world.order(self.name(order)).refunds[name]
        more = after.liability_minor - before.liability_minor
        assert more in {0, asked.amount_minor}
        for gift_id, one in after.gifts.items():
            assert one.valid(self.at) or one == before.gifts[gift_id]

    @invariant()
    def the_liability_is_what_the_facts_add_up_to(self) -> None:
        state = self.world.account()
        issued, spent = self.total(CreditGranted), self.total(BalanceSpent)
        issued += sum(one.amount_minor for one in state.gifts.values())
        back, expired = self.total(BalanceGivenBack), self.total(GiftExpired)
        assert state.liability_minor == issued - spent + back - expired
        assert (state.issued_minor, state.spent_minor) == (issued, spent)
        assert (state.given_back_minor, state.expired_minor) == (back, expired)

    @invariant()
    def nothing_is_below_zero(self) -> None:
        require_sound(self.world.account())

    @invariant()
    def what_orders_owe_is_what_the_account_holds(self) -> None:
        state = self.world.account()
        for order in self.orders():
            later = order.payment_method == "on_account" and not order.void
            settled = order.paid_minor + order.money.written_off_minor
            owed = max(0, order.total_minor - settled) if later else 0
            assert state.exposures.get(order.order_id, 0) == owed
        assert sum(state.exposures.values()) == state.exposure_minor

    @invariant()
    def what_orders_took_is_what_was_spent(self) -> None:
        state = self.world.account()
        taken = sum(
            payment.amount_minor
            for order in self.orders()
            for payment in order.payments.values()
            if payment.method in {"store_credit", "gift_balance"}
        )
        assert taken == state.spent_minor
        assert state.spent_minor - state.given_back_minor == sum(
            one.amount_minor for one in state.spends.values()
        )

    def teardown(self) -> None:
        """Any prefix folds, and all of it to the state that decided it."""
        state = Account()
        for event in self.facts():
            state = evolve(state, event)
            require_sound(state)
        assert state == self.world.account() == reduce(evolve, self.facts(), Account())

    def facts(self) -> list[Event]:
        return self.world.events.get(LI, [])

    def total(self, kind: type[Any]) -> int:
        return sum(fact.amount_minor for fact in self.facts() if isinstance(fact, kind))

    def orders(self) -> list[Order]:
        return [state for state in self.world.states.values() if isinstance(state, Order)]


def require_sound(state: Account) -> None:
    assert state.credit_minor >= 0
    assert state.exposure_minor >= 0
    assert all(0 <= one.left_minor <= one.amount_minor for one in state.gifts.values())
    assert all(amount > 0 for amount in state.exposures.values())
    assert all(spend.amount_minor > 0 for spend in state.spends.values())


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
