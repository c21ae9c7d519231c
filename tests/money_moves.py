"""What may happen to the money of orders, accounts and papers, as rules of a state machine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from domain.message import Command
from domain.order_money import Payment
from domain.order_state import Order
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    LoseChargeback,
    RecordPaymentFailure,
    RecordRemittance,
    RefundOverpayment,
    ReinstateOrder,
    VoidAuthorisation,
    WaiveLateFee,
    WinChargeback,
    WriteOffDifference,
)
from tests import given_money, given_orders, given_returns, papers
from tests.given_money import money
from tests.order_moves import AMOUNTS, CUSTOMERS, METHODS, UNITS, WHICH, Moves, pick

PARTS = st.sampled_from([1, 7, 50, 99, 100, 101])  # per cent of what there is
PAID_BY = ("alipay", "bank_transfer", "credit_card", "wechat_pay", "store_credit", "on_account")
WAIVED = st.sampled_from([0, None, 1, 40, 500])
REASON: dict[str, Any] = {"reason": "r"}
AMOUNT_FOR = st.sampled_from(["late", "other", "changed_mind", "cancellation", "overpayment"])
BY = st.sampled_from([None, None, "store_credit", "alipay", "on_account"])
REFUND_STEPS = {  # step -> the statuses that it leads on from
    "approve": ("requested",),
    "deny": ("requested", "approved", "failed"),
    "pay": ("approved",),
    "fail": ("approved", "paid"),
    "retry": ("failed",),
}
WAYS = st.sampled_from(
    [
        "approve",
        "approve pay",
        "deny",
        "pay",
        "fail",
        "fail retry",
        "pay fail",
        "retry",
        "retry pay",
    ]
)
FROM_OUTSIDE = ("alipay", "bank_transfer", "credit_card", "wechat_pay")


def part_of(whole: int, part: int | None) -> int | None:
    return part and max(1, whole * part // 100)


class MoneyMoves(Moves):
    def owing(self, which: int) -> list[Order]:
        """One that owes something, mostly."""
        return pick(which, (o for o in self.orders() if which % 4 == 0 or o.balance_minor > 0))

    def a_payment(self, which: int) -> list[tuple[str, str, Payment]]:
        """One that came from outside, mostly."""
        found = [(o.order_id, name, one) for o in self.orders() for name, one in o.payments.items()]
        outside = [one for one in found if one[2].method in FROM_OUTSIDE]
        return pick(which, outside if which % 4 else found)

    def held(self, which: int) -> list[tuple[str, str, int]]:
        return pick(
            which,
            (
                (order.order_id, name, one.open_minor)
                for order in self.orders()
                for name, one in order.money.authorisations.items()
                if one.open_minor or which % 4 == 0
            ),
        )

    def a_refund(self, which: int, *allowed: str) -> list[tuple[str, str]]:
        found = [
            (o.order_id, name, r.status) for o in self.orders() for name, r in o.refunds.items()
        ]
        fitting = [one for one in found if one[2] in allowed]
        return [(order, name) for order, name, _ in pick(which, fitting if which % 4 else found)]

    # -- money that comes in ---------------------------------------------------------------------

    @rule(which=WHICH, part=PARTS, back=st.sampled_from([None, 0, 1, 4, 20]))
    def pay(self, which: int, part: int, back: int | None) -> None:
        """Also what was cancelled: by its value date it may come in time all the same."""
        order = self.order(which)
        gone = order.money.cancellation if order.cancelled else None
        whole = order.total_minor + (gone.goods_minor + gone.shipping_minor if gone else 0)
        day = None if back is None else (self.now - timedelta(days=back)).date()
        more: dict[str, Any] = {"value_date": day, "method": PAID_BY[which % 6], "at": self.now}
        amount = max(1, whole * part // 100)
        self.run(given_money.pay(amount, self.name(), order.order_id, **more))

    @rule(which=WHICH, less=st.sampled_from([0, 0, 1, 90, 101]))
    def pay_what_is_owed(self, which: int, less: int) -> None:
        for order in pick(which, (one for one in self.orders() if one.balance_minor > less)):
            self.run(given_money.pay(order.balance_minor - less, self.name(), order.order_id))

    @rule(which=WHICH, part=PARTS, hours=st.none() | st.integers(1, 99))
    def authorise(self, which: int, part: int, hours: int | None) -> None:
        order, method = self.order(which), METHODS[which % 6 if which % 5 == 0 else 1]
        more = {"method": method, "expires_at": hours and self.now + timedelta(hours=hours)}
        amount = max(1, order.total_minor * part // 100)
        self.run(given_money.authorise(amount, self.name(), order.order_id, at=self.now, **more))

    @rule(which=WHICH, part=st.none() | PARTS)
    def capture(self, which: int, part: int | None) -> None:
        for order, name, open_ in self.held(which):
            ids = {"authorisation_id": name, "order_id": order}
            self.run(given_money.capture(part_of(open_, part), self.name(), **ids))

    @rule(which=WHICH, expires=st.booleans())
    def let_go(self, which: int, expires: bool) -> None:
        for order, name, _ in self.held(which):
            kind, more = (ExpireAuthorisation, {}) if expires else (VoidAuthorisation, REASON)
            self.run(money(kind, order, payment_id=name, **more))

    @rule(which=WHICH)
    def void_payment(self, which: int) -> None:
        for order, name, _ in self.a_payment(which):
            self.run(given_money.unrecord(name, order))

    @rule(which=WHICH, to=WHICH, part=st.none() | PARTS)
    def move(self, which: int, to: int, part: int | None) -> None:
        for order, name, one in self.a_payment(which):
            ids = {"order_id": order, "to_payment_id": self.name()}
            amount = part_of(one.amount_minor, part)
            self.run(given_money.move(name, self.order(to).order_id, amount, **ids))

    @rule(which=WHICH, part=st.none() | PARTS)
    def dispute(self, which: int, part: int | None) -> None:
        for order, name, one in self.a_payment(which):
            ids = {"order_id": order, "chargeback_id": self.name()}
            self.run(given_money.dispute(name, part_of(one.amount_minor, part), **ids))

    @rule(which=WHICH, kind=st.sampled_from([WinChargeback, LoseChargeback]))
    def end_dispute(self, which: int, kind: type[Command]) -> None:
        disputed = (
            (order.order_id, name)
            for order in self.orders()
            for name, one in order.money.chargebacks.items()
            if one.outcome is None or which % 4 == 0
        )
        for order_id, name in pick(which, disputed):
            self.run(money(kind, order_id, chargeback_id=name))

    @rule(which=WHICH, part=PARTS)
    def remit(self, which: int, part: int) -> None:
        """What a carrier collected, or before it is known that it did."""
        body: dict[str, Any] = {"carrier": "sf-express", "reference": "r", "fee_minor": which % 2}
        known = [one for one in self.orders() if one.money.collected_minor]
        for order in pick(which, known if which % 4 else self.orders()):
            whole = order.money.collected_minor or order.total_minor
            body["amount_minor"] = max(1, whole * part // 100)
            self.run(money(RecordRemittance, order.order_id, payment_id=self.name(), **body))

    # -- lateness --------------------------------------------------------------------------------

    @rule(which=WHICH, hours=st.sampled_from([0, 30, 150]))
    def declare_overdue(self, which: int, hours: int) -> None:
        self.now += timedelta(hours=hours)
        for order in self.owing(which):
            self.run(money(DeclareOverdue, order.order_id))

    @rule(which=WHICH, hours=st.sampled_from([30, 150, 400]), waived=WAIVED)
    def charge_late_fee(self, which: int, hours: int, waived: int | None) -> None:
        """And waive it, or a part of it; 0: not."""
        self.now += timedelta(hours=hours)
        owing = (one for one in self.orders() if one.balance_minor > 0 or which % 4 == 0)
        rules = {name: one.rules["on_overdue"] for name, one in self.book.orders.items()}
        for order in pick(which, (one for one in owing if rules[one.order_id] == "late_fee")):
            self.run(money(ChargeLateFee, order.order_id))
            if waived != 0:
                body = {"amount_minor": waived} | REASON
                self.run(money(WaiveLateFee, order.order_id, **body))

    @rule(which=WHICH)
    def cancel_what_nobody_paid(self, which: int) -> None:
        self.now += timedelta(hours=80)
        untouched = (one for one in self.orders() if not one.payments and not one.parcels)
        for order in pick(which, (one for one in untouched if not one.cancelled and not one.void)):
            self.run(money(CancelOverdue, order.order_id))

    @rule(which=WHICH)
    def reinstate(self, which: int) -> None:
        for order in pick(which, (one for one in self.orders() if one.cancelled)):
            self.run(money(ReinstateOrder, order.order_id))

    @rule(which=WHICH)
    def write_off(self, which: int) -> None:
        small = (one for one in self.orders() if 0 < one.balance_minor <= 100 or which % 4 == 0)
        for order in pick(which, small):
            self.run(money(WriteOffDifference, order.order_id))

    # -- money that goes back --------------------------------------------------------------------

    def paid_order(self, which: int) -> list[Order]:
        return pick(which, (one for one in self.orders() if one.net_paid_minor > 0))

    @rule(which=WHICH, part=PARTS, chosen=st.booleans(), reason=AMOUNT_FOR)
    def refund(self, which: int, part: int, chosen: bool, reason: str) -> None:
        for order in self.paid_order(which):
            amount = max(1, order.net_paid_minor * part // 100)
            names = pick(which // 3, order.payments) if chosen else []
            parts = [{"payment_id": name, "amount_minor": amount} for name in names]
            more: dict[str, Any] = {"reason": reason} | ({"payments": parts} if parts else {})
            ids = {"refund_id": self.name(), "order_id": order.order_id}
            self.run(given_returns.refund(amount, **ids, **more))

    @rule(which=WHICH, units=UNITS, shipping=st.sampled_from([None, 0, 801]), late=st.booleans())
    def refund_units(self, which: int, units: int | str, shipping: int | None, late: bool) -> None:
        for order in self.paid_order(which):
            for no in pick(which // 3, order.lines):
                more: dict[str, Any] = {"reason": "late"} if late else {}
                more |= {"refund_id": self.name(), "order_id": order.order_id}
                self.run(given_returns.refund(None, (no, units), shipping_minor=shipping, **more))

    @rule(which=WHICH, days=st.sampled_from([1, 8]))
    def refund_overpayment(self, which: int, days: int) -> None:
        self.now += timedelta(days=days)
        for order in pick(which, (one for one in self.orders() if one.balance_minor < 0)):
            self.run(money(RefundOverpayment, order.order_id, actor="deadlines"))

    @rule(which=WHICH, steps=WAYS, method=BY)
    def settle_refunds(self, which: int, steps: str, method: str | None) -> None:
        """Each step with one that it leads on from, mostly."""
        for step in steps.split():
            for order, name in self.a_refund(which, *REFUND_STEPS[step]):
                command: Any = {
                    "approve": given_returns.approve_refund(
                        "desk" if which % 3 == 0 else "manager"
                    ),
                    "deny": given_returns.deny_refund(),
                    "pay": given_returns.pay_refund(method=method),
                    "fail": given_returns.fail_refund(),
                    "retry": given_returns.retry_refund(),
                }[step]
                self.run(command.model_copy(update={"order_id": order, "refund_id": name}))

    @rule(which=WHICH, digest=st.sampled_from("ab"))
    def evidence(self, which: int, digest: str) -> None:
        for order, name in self.a_refund(which, "requested", "approved"):
            self.run(given_returns.ask_evidence(name, order_id=order))
            self.run(given_returns.add_evidence(digest * 64, refund_id=name, order_id=order))

    # -- accounts, papers, and what changes no order ---------------------------------------------

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        amount=AMOUNTS,
        how=st.sampled_from(["grant", "take", "give", "expire", "limit"]),
    )
    def account(self, customer: str, amount: int, how: str) -> None:
        whose: dict[str, Any] = {"customer_id": customer}
        ends = self.now + timedelta(hours=amount % 1_000)
        match how:
            case "grant":
                self.run(given_money.credit(amount, **whose))
            case "take":
                self.run(given_money.credit(-amount, cause="correction", **whose))
            case "give":
                self.run(given_money.gift(amount, self.name(), **(whose | {"expires_at": ends})))
            case "expire":
                self.run(given_money.expire_gifts().model_copy(update=whose))
            case _:
                self.run(given_money.limit(amount * 5, **whose))

    @rule(which=WHICH)
    def invoice(self, which: int) -> None:
        self.run(papers.issue(paper_id=self.name(), order_id=self.order(which).order_id))

    @rule(which=WHICH, how=st.sampled_from(["what is owed less", "correction", "refund"]))
    def credit_note(self, which: int, how: str) -> None:
        for order in pick(which, (one for one in self.orders() if one.papers.invoices)):
            more: dict[str, Any] = {"correction": True} if how == "correction" else {}
            if how == "refund":
                more = {"refund_id": pick(which // 3, order.refunds or ["none"])[0]}
            self.run(papers.credit(paper_id=self.name(), order_id=order.order_id, **more))

    @rule(which=WHICH, how=st.sampled_from(["compensation", "failure", "override"]))
    def aside(self, which: int, how: str) -> None:
        """What changes nothing of the order's money, or only what is shown."""
        ids: dict[str, Any] = {"order_id": self.order(which).order_id}
        body: dict[str, Any] = {
            "method": "alipay",
            "amount_minor": 5,
            "reference": "r",
            "code": "no_funds",
        }
        match how:
            case "compensation":
                self.run(given_returns.compensate(500, self.name(), **ids))
            case "failure":
                known = pick(which, self.order(which).payments) if which % 4 == 0 else []
                name = known[0] if known else self.name()
                self.run(money(RecordPaymentFailure, ids["order_id"], payment_id=name, **body))
            case _:
                self.run(given_orders.override("stage", "on_hold").model_copy(update=ids))
