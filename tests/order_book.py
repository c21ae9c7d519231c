"""A plain count of what became of orders, accounts and stock: sums over the facts, as a clerk would
add them up. It calls none of the rules and folds that it is held against.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from domain import (
    account_facts,
    invoice_facts,
    order_facts,
    payment_facts,
    replacement_facts,
    return_facts,
    stock_item,
)
from domain.message import Event
from tests.order_counts import (
    WITHIN,
    Account,
    Order,
    Payment,
    Refund,
    half_up,
    line_of,
    milli,
    share,
    tax_of,
)


@dataclass
class Book:
    orders: dict[str, Order] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    on_hand: dict[str, int] = field(default_factory=dict)  # of what is stock-kept
    till: int = 0  # all that came from outside less all that went there
    compensated: int = 0
    papers: Counter[str] = field(default_factory=Counter)  # issued, by series
    rules: dict[str, Any] = field(default_factory=dict)  # in force

    def add(self, category: str, key: str, facts: Iterable[Event]) -> None:
        for fact in facts:
            if category == "order":
                self._order(key, fact)
            elif category == "account":
                self._account(self.accounts[key], fact)
            elif category == "stock_item":
                self._stock(fact)

    def reserved(self, sku: str) -> int:
        lines = (line for order in self.orders.values() for line in order.lines.values())
        return sum(line.reserved for line in lines if line.sku == sku)

    # -- orders: what is bought ------------------------------------------------------------------

    def _order(self, key: str, fact: Event) -> None:
        if isinstance(fact, order_facts.OrderPlaced):
            self._placed(key, fact)
            return
        order = self.orders[key]
        self._goods(order, fact)
        self._money(order, fact)
        self._refund(order, fact)
        self._paper(order, fact)
        total = getattr(fact, "total_minor", None)
        if total is not None and fact.TOPIC.startswith("order.") and not hasattr(fact, "paper_id"):
            assert total == order.total(), fact.TOPIC

    def _placed(self, key: str, fact: order_facts.OrderPlaced) -> None:
        included = fact.prices_include_tax
        tax = tax_of(fact.shipping_minor, fact.shipping_tax_rate_bp, included)
        order = Order(
            customer=fact.customer_id,
            method=fact.payment_method,
            inclusive=included,
            at=fact.at,
            rules=self.rules,
            lines={one.line_no: line_of(one, included) for one in fact.lines},
            shipping=fact.shipping_minor + (0 if included else tax),
        )
        for line in order.lines.values():
            line.short = line.reserved < line.quantity
        assert fact.shipping_tax_minor == tax
        assert sum(one.order_discount_minor for one in fact.lines) == fact.discount_minor
        assert fact.total_minor == order.total()
        self.orders[key] = order

    def _goods(self, order: Order, fact: Event) -> None:  # noqa: C901 - a table
        match fact:
            case order_facts.LinesAmended():
                self._amended(order, fact)
            case order_facts.OrderCancelled():
                self._cancelled(order, fact)
            case order_facts.OrderVoided():
                order.void = True
                _count(order, "reserved", fact.released, -1)
            case order_facts.OrderPacked():
                _count(order, "packed", fact.lines)
            case order_facts.OrderDispatched():
                _count(order, "dispatched", fact.lines)
                _change(order, (one.line_no for one in fact.lines))
                _count(order, "reserved", fact.stock_shipped, -1)
                self._shipped(order, fact.lines, -1)
            case order_facts.OrderDelivered():
                _count(order, "delivered", fact.lines)
            case payment_facts.DeliveryRefused():
                _count(order, "refused", fact.lines)
                order.shipping_gone |= fact.shipping_minor > 0
            case payment_facts.OrderReinstated():
                _count(order, "cancelled", fact.lines, -1)
                _count(order, "reserved", fact.reserved)
                order.shipping_gone &= not fact.shipping_minor
                for refund in order.refunds.values():  # Of money only: all units are owed again.
                    refund.lines = {}
                if fact.fee_minor:
                    assert order.fees.pop() == fact.fee_minor
            case replacement_facts.OrderReplaced():
                _count(order, "replaced", fact.lines)
                for no in {item.line_no for item in fact.lines}:
                    line, given = order.lines[no], order.refunded_line(no)[0]
                    assert line.changed or given + line.replaced <= line.quantity
            case replacement_facts.ReplacementWithdrawn():
                _count(order, "replaced", fact.lines, -1)
            case return_facts.ReturnReceived():
                _count(order, "returned", fact.lines)
                self._shipped(order, [one for one in fact.lines if one.restocked], 1)
                order.restocking += fact.fee_minor
                order.shipping_relieved += fact.shipping_minor
                for one in fact.lines:
                    name = fact.return_id, one.line_no
                    units = order.came_back.get(name, 0) + milli(one.quantity)
                    order.came_back[name] = units

    def _amended(self, order: Order, fact: order_facts.LinesAmended) -> None:
        _change(order, (one.line_no for one in fact.before))
        after = {one.line_no: line_of(one, order.inclusive) for one in fact.after}
        for one in fact.before:
            old = order.lines.pop(one.line_no)
            new = after.get(one.line_no)
            if new is not None:
                new.cancelled, new.refused, new.packed = old.cancelled, old.refused, old.packed
                new.dispatched, new.delivered = old.dispatched, old.delivered
                new.returned, new.short = old.returned, old.short
                new.changed = old.changed
                new.replaced = old.replaced
        order.lines |= after

    def _cancelled(self, order: Order, fact: order_facts.OrderCancelled) -> None:
        before, goods = order.total(), sum(line.owed() for line in order.lines.values())
        free = order.at + timedelta(hours=order.rules["free_hours"])
        spared = fact.at <= free or fact.reason_code == "overdue" or fact.initiator == "seller"
        fee = 0 if spared else half_up(fact.goods_minor * order.rules["fee_bp"], 10_000)
        assert fact.fee_minor == fee or fact.fee_minor < fee <= before
        assert fact.fee_minor <= max(0, order.net())
        _count(order, "cancelled", fact.lines)
        _count(order, "reserved", fact.released, -1)
        order.shipping_gone |= fact.shipping_minor > 0
        if fact.fee_minor:
            order.fees.append(fact.fee_minor)
        assert goods - sum(line.owed() for line in order.lines.values()) == fact.goods_minor
        assert fact.refund_due_minor >= max(0, order.net() - order.owed()[1])

    def _shipped(self, order: Order, units: Iterable[Any], sign: int) -> None:
        for one in units:
            sku = order.lines[one.line_no].sku
            if sku in self.on_hand:
                self.on_hand[sku] += sign * milli(one.quantity)

    def _stock(self, fact: Event) -> None:
        """Only what is told to stock itself: the rest follows from the orders."""
        match fact:
            case stock_item.StockReceived(sku=sku, quantity=units):
                self.on_hand[sku] = self.on_hand.get(sku, 0) + milli(units)
            case stock_item.StockAdjusted(sku=sku, delta=units):
                self.on_hand[sku] = self.on_hand.get(sku, 0) + milli(units)

    # -- orders: what is paid --------------------------------------------------------------------

    def _money(self, order: Order, fact: Event) -> None:  # noqa: C901 - a table
        match fact:
            case order_facts.PaymentCaptured():
                paid = Payment(fact.method, fact.amount_minor, fact.authorisation_id)
                order.payments[fact.payment_id] = paid
                if fact.carrier:
                    paid.settles = min(order.receivable, fact.amount_minor)
                    order.receivable -= paid.settles
                self._till(fact.method, fact.amount_minor)
            case payment_facts.PaymentMovedIn():
                order.payments[fact.payment_id] = Payment(fact.method, fact.amount_minor)
            case payment_facts.PaymentMovedOut():
                order.payments[fact.payment_id].gone += fact.amount_minor
                order.payments[fact.payment_id].moved += fact.amount_minor
            case payment_facts.PaymentVoided():
                payment = order.payments[fact.payment_id]
                assert payment.amount == fact.amount_minor
                payment.voided, payment.gone = True, payment.amount
                order.receivable += payment.settles
                self._till(payment.method, -fact.amount_minor)
            case payment_facts.ChargebackOpened():
                order.payments[fact.payment_id].disputed += fact.amount_minor
            case payment_facts.ChargebackWon() | payment_facts.ChargebackLost():
                payment = order.payments[fact.payment_id]
                payment.disputed -= fact.amount_minor
                if isinstance(fact, payment_facts.ChargebackLost):
                    payment.gone += fact.amount_minor
                    self._till(payment.method, -fact.amount_minor)
            case payment_facts.PaymentAuthorised():
                order.held[fact.payment_id] = fact.amount_minor
            case payment_facts.DifferenceWrittenOff():
                order.written_off += fact.amount_minor
            case payment_facts.LateFeeCharged() | payment_facts.LateFeeCorrected():
                order.late |= {one.day: one.fee_minor for one in fact.days}
                order.waived = min(order.waived, sum(order.late.values()))
            case payment_facts.LateFeeWaived():
                order.waived += fact.amount_minor
            case payment_facts.CashCollected():
                order.receivable += fact.amount_minor
                settled = order.net() + order.written_off + order.receivable
                assert settled <= order.owed()[1]

    def _till(self, method: str, amount: int) -> None:
        if method not in WITHIN:
            self.till += amount

    def _refund(self, order: Order, fact: Event) -> None:
        match fact:
            case order_facts.RefundRequested():
                self._asked(order, fact)
            case order_facts.RefundDenied():
                order.refunds[fact.refund_id].counts = False
            case order_facts.RefundRetried():
                order.refunds[fact.refund_id].counts = True
                assert order.net() >= order.kept_back()
            case order_facts.RefundPaid():
                order.refunds[fact.refund_id].paid += fact.amount_minor
                self._till(fact.method, -fact.amount_minor)
            case order_facts.RefundFailed():
                refund = order.refunds[fact.refund_id]
                if fact.was_paid:
                    refund.paid -= fact.amount_minor
                    self._till(fact.method or "", fact.amount_minor)
                refund.counts = refund.paid > 0
            case order_facts.CompensationPaid():
                self.compensated += fact.amount_minor

    def _asked(self, order: Order, fact: order_facts.RefundRequested) -> None:
        for line in fact.lines:
            self._given_back(order, fact, line)
        parts = {part.payment_id: part.amount_minor for part in fact.payments}
        assert sum(parts.values()) == fact.amount_minor > 0
        order.refunds[fact.refund_id] = Refund(
            fact.amount_minor,
            fact.fee_minor,
            {one.line_no: (milli(one.quantity), one.amount_minor or 0) for one in fact.lines},
            parts,
            fact.return_id,
        )
        assert order.net() >= order.kept_back()

    def _given_back(
        self, order: Order, fact: order_facts.RefundRequested, line: order_facts.RefundedLine
    ) -> None:
        """What the units cost, or less where a part of it was never paid, or went back before."""
        units, worth = order.refunded_line(line.line_no)
        sold, more, given = order.lines[line.line_no], milli(line.quantity), line.amount_minor or 0
        if sold.changed:
            cents = len(order.refunds) + 1
            assert 0 <= given <= share(sold.gross, sold.quantity, more) + cents
            return
        assert units + more + sold.replaced <= sold.quantity
        part = share(sold.gross, sold.quantity, units + more) - worth
        less = fact.return_id is not None or order.written_off or sold.returned
        less = less or any(not one.lines for one in order.refunds.values())
        assert given == max(0, part) or (less and 0 <= given < part)

    # -- papers ----------------------------------------------------------------------------------

    def _paper(self, order: Order, fact: Event) -> None:
        match fact:
            case invoice_facts.OrderInvoiced():
                self._numbered("INV-2025-", fact.number)
                order.invoiced[fact.number] = fact.total_minor
            case invoice_facts.OrderCredited():
                self._numbered("CN-2025-", fact.number)
                order.invoiced[fact.invoice_number] -= fact.total_minor
                assert order.invoiced[fact.invoice_number] >= 0

    def _numbered(self, series: str, number: str) -> None:
        """Without a gap."""
        self.papers[series] += 1
        assert number == f"{series}{self.papers[series]:06}"

    # -- accounts --------------------------------------------------------------------------------

    def _account(self, account: Account, fact: Event) -> None:
        match fact:
            case account_facts.CreditGranted():
                account.credit += fact.amount_minor
                account.granted += 0 if fact.refund_id else fact.amount_minor
            case account_facts.GiftIssued():
                account.gifts[fact.gift_id] = fact.amount_minor
                account.ends[fact.gift_id] = fact.expires_at
                account.granted += fact.amount_minor
            case account_facts.GiftExpired():
                account.gifts[fact.gift_id] -= fact.amount_minor
                account.granted -= fact.amount_minor
            case account_facts.BalanceSpent():
                assert fact.amount_minor == fact.credit_minor + sum_of(fact.gifts)
                account.spend(fact)
            case account_facts.BalanceGivenBack():
                assert fact.amount_minor == fact.credit_minor + sum_of(fact.gifts)
                account.give_back(fact)
            case account_facts.LimitSet():
                account.limit = fact.limit_minor


def _count(order: Order, counter: str, units: Iterable[Any], sign: int = 1) -> None:
    for one in units:
        line = order.lines[one.line_no]
        setattr(line, counter, getattr(line, counter) + sign * milli(one.quantity))


def _change(order: Order, touched: Iterable[int]) -> None:
    """Lines of which something was refunded have another price, or leave the house after all."""
    for no in touched:
        order.lines[no].changed |= any(no in refund.lines for refund in order.refunds.values())


def sum_of(parts: Iterable[account_facts.GiftPart]) -> int:
    return sum(part.amount_minor for part in parts)
