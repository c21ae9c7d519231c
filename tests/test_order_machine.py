"""Random lives of whole orders beside a plain count: no money is made or lost, stock and money
agree, and any prefix of what is stored can be replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import get_args

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from domain import desk_names
from domain.account_commands import ACCOUNT_CHANGES
from domain.account_facts import ExposureTaken
from domain.case_commands import HoldOrder, RejectOrder, ReleaseHold
from domain.completion_commands import COMPLETION_COMMANDS
from domain.invoice_commands import IssueCreditNote, IssueInvoice
from domain.message import Command, Decision
from domain.order_commands import DIMENSIONS, ORDER_CHANGES, AddNote, ApproveOrder, EndOverride
from domain.order_money import settlement
from domain.order_state import Order
from domain.order_status import LABELS, shown
from domain.parcel import Parcel
from domain.parcel_commands import ParcelCommand
from domain.payment_commands import (
    PAYMENT_CHANGES,
    MovePayment,
    RaiseAlert,
    ReinstateOrder,
    RemindPayment,
    RequestCapture,
)
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.policy import PublishPolicy
from domain.refund_commands import REFUND_CHANGES, RETURN_CHANGES, ExchangeOrder
from domain.replacement_commands import ReplaceOrder
from domain.stock_item import AdjustStock, ReceiveStock
from tests.money_moves import MoneyMoves
from tests.order_counts import Line, milli
from tests.order_counts import Order as Counted
from tests.order_moves import ACCEPTED, ALREADY_SO, CUSTOMERS, KEPT, SKUS, Moves
from tests.return_moves import ReturnMoves
from tests.scale import scale

STEPS = scale(500_000, least=20_000)  # commands that are sent and decided, repeats not counted
LIVES = settings(
    max_examples=100,  # Hypothesis remembers them all
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
STEPS_OF_A_BATCH = 5_000  # of so many lives, at least: some rules find nothing to do
# They tell or ask, and change nothing of money or goods.
NO_MONEY = (AddNote, EndOverride, RaiseAlert, RemindPayment, RequestCapture)
COMMANDS = {
    *ORDER_CHANGES,
    *PAYMENT_CHANGES,
    *REFUND_CHANGES,
    *RETURN_CHANGES,
    *ACCOUNT_CHANGES,
    *(IssueInvoice, IssueCreditNote),
    *get_args(ParcelCommand),
    *(PlaceOrder, ExchangeOrder, MovePayment, ReceiveStock, AdjustStock, PublishPolicy),
    *(ApproveOrder, RejectOrder, HoldOrder, ReleaseHold),
    *(ReplaceOrder, *COMPLETION_COMMANDS),
}.difference(NO_MONEY)


class Orders(MoneyMoves, ReturnMoves):
    """covers: A24, A60, A62, A63, A64, A66, A82, L36, R4, R6, R8, R19"""

    def accepted(self, command: Command, decision: Decision) -> None:
        elsewhere = isinstance(command, PlaceOrder) and command.channel == "marketplace"
        if isinstance(command, PlaceOrder | AmendOrder | ReinstateOrder) and not elsewhere:
            self.within_the_limit(decision)
        for stream, state in decision.states.items():
            if isinstance(state, Order) and stream in decision.events:
                self.check(self.book.orders[stream.key], state)
        self.money_comes_in_and_goes_out_by_the_door()
        self.accounts_owe_what_they_were_given()
        self.stock_is_promised_once()
        self.parcels_and_orders_tell_the_same()

    def within_the_limit(self, decision: Decision) -> None:
        for customer in CUSTOMERS:
            stream = desk_names.account_stream(customer, "CNY")
            facts = decision.events.get(stream, [])
            if any(isinstance(fact, ExposureTaken) for fact in facts):
                owing = sum(self.exposures(customer).values())
                assert owing <= self.book.accounts[stream.key].limit

    def exposures(self, customer: str) -> dict[str, int]:
        """What each order on account owes, where it owes something."""
        owing = {
            order.order_id: order.owed_minor - told.written_off - told.net()
            for order in self.orders()
            for told in [self.book.orders[order.order_id]]
            if (told.customer, told.method) == (customer, "on_account")
        }
        return {name: amount for name, amount in owing.items() if amount > 0}

    # -- one order -------------------------------------------------------------------------------

    def check(self, told: Counted, order: Order) -> None:
        self.money_is_somewhere(told, order)
        self.parts_add_up(told, order)
        self.nothing_is_used_twice(told, order)
        self.units_go_one_way(told, order)
        self.refunds_hold_what_the_order_counts(order)
        assert shown(order).dimensions.payment in DIMENSIONS["payment"]
        assert shown(order).code in LABELS

    def money_is_somewhere(self, told: Counted, order: Order) -> None:
        """paid = kept + fees + credit + refunded; total = kept + fees + written off + unpaid"""
        least, most = told.owed()
        owed, net, settled = order.owed_minor, told.net(), settlement(order)
        fees = 0 if told.void else told.all_fees()
        kept = min(net, owed - fees)
        assert least <= owed <= most
        assert settled.total_minor == (0 if told.void else max(told.total(), owed))
        assert (settled.paid_minor, settled.refunded_minor) == (told.paid(), told.refunded())
        assert settled.kept_minor == kept
        assert settled.fees_minor == min(max(0, net - kept), fees)
        assert settled.credit_minor == max(0, net - owed) == max(0, -order.balance_minor)
        rest = settled.fees_minor + settled.credit_minor + settled.refunded_minor
        assert settled.paid_minor == kept + rest
        assert settled.written_off_minor == min(told.written_off, max(0, owed - net))
        forgiven = settled.written_off_minor + settled.unpaid_minor
        assert settled.total_minor == kept + settled.fees_minor + forgiven

    def parts_add_up(self, told: Counted, order: Order) -> None:
        assert order.total_minor == told.total() >= 0
        assert order.fees_minor == sum(told.fees)
        assert order.kept_minor == sum(refund.fee for refund in told.counting())
        assert order.restocking_minor == told.restocking
        assert order.shipping_relieved_minor == told.shipping_relieved <= told.shipping
        assert order.money.late_fees_minor == told.late_fees()
        assert order.money.written_off_minor == told.written_off
        assert order.money.collected_minor == told.receivable >= 0
        assert order.total_minor == told.all_fees() or not order.cancelled

    def nothing_is_used_twice(self, told: Counted, order: Order) -> None:
        """But that a bank may take back by force what was refunded as well."""
        assert told.refunded() <= told.paid() + told.lost()
        for name, payment in told.payments.items():
            back, seen = told.given_back(name), order.payments[name]
            assert (seen.here_minor, seen.refunded_minor) == (payment.here(), back)
            assert back + payment.moved <= payment.amount
            assert payment.gone + payment.disputed <= payment.amount
            assert not (payment.voided and back)
        for name, amount in told.held.items():
            parts = [one for one in told.payments.values() if one.authorisation == name]
            captured = sum(0 if one.voided else one.amount for one in parts)
            assert captured == order.money.authorisations[name].captured_minor <= amount
        free = sum(one.refundable_minor for one in order.payments.values())
        assert 0 <= order.refundable_minor <= free

    def units_go_one_way(self, told: Counted, order: Order) -> None:
        assert told.lines.keys() == order.lines.keys()
        for no, line in told.lines.items():
            live = line.quantity - line.cancelled
            assert 0 <= line.delivered + line.refused <= line.dispatched <= line.packed <= live
            left = 0 if order.void else live - line.dispatched
            short = line.short or line.sku not in KEPT
            assert line.reserved == left or (short and 0 <= line.reserved < left)
            assert line.changed or told.refunded_line(no)[0] <= line.quantity
            assert 0 <= line.replaced == milli(order.lines[no].replaced) <= line.dispatched
            assert milli(order.lines[no].refunded) + line.replaced <= line.quantity
            assert milli(order.lines[no].reserved) == line.reserved
            assert order.lines[no].owed_minor == line.owed()
            self.nothing_comes_back_twice(no, line, order)
        for name, back in order.returns.items():
            for no in back.lines:
                came = told.came_back.get((name, no), 0)
                given = [one for one in told.counting() if one.return_id == name]
                units = sum(one.lines.get(no, (0, 0))[0] for one in given)
                assert came <= milli(back.lines[no])
                assert units <= came or back.exchange_order_id
                assert not given or back.parcel_id not in order.money.refused

    def refunds_hold_what_the_order_counts(self, order: Order) -> None:
        """Units are refunded once: as gone, sent or in the house; the sums are those of refunds."""
        refunds = [one for one in order.refunds.values() if one.counts]
        assert order.lowered_minor == sum(one.lowers_minor for one in refunds)
        assert order.awaited_minor >= 0
        assert order.reduced_minor >= 0
        for no, line in order.lines.items():
            parts = [one.lines[no] for one in refunds if no in one.lines]
            assert line.settled_minor == sum(part.worth_minor for part in parts)
            assert line.refunded == sum(part.units for part in parts)
            assert line.refunded + line.relieved <= line.quantity
            assert 0 <= line.advanced <= line.in_house
            assert 0 <= line.lowered + line.relieved <= line.sent
            assert line.refunded >= line.lowered + line.advanced
            assert line.gone + line.lowered + line.advanced + line.relieved <= line.quantity

    def nothing_comes_back_twice(self, no: int, line: Line, order: Order) -> None:
        """Of what was delivered, or with parcels that were not."""
        from_home, undelivered, refused = Decimal(0), Decimal(0), Decimal(0)
        for back in order.returns.values():
            if back.parcel_id in order.money.refused:
                refused += back.taken(no)
            elif back.parcel_id and not order.parcels[back.parcel_id].delivered:
                undelivered += back.taken(no)
            else:
                from_home += back.taken(no)
        assert milli(from_home) <= line.delivered
        assert milli(undelivered) <= line.dispatched - line.delivered - line.refused
        assert milli(refused) <= line.refused
        assert line.returned <= milli(from_home + undelivered + refused)

    # -- all of them -----------------------------------------------------------------------------

    def money_comes_in_and_goes_out_by_the_door(self) -> None:
        """What orders hold and accounts owe is what came from outside and has not gone there."""
        accounts = self.book.accounts.values()
        held = sum(order.at_hand() for order in self.book.orders.values())
        granted = sum(account.granted for account in accounts)
        assert held + sum(one.liability() for one in accounts) == self.book.till + granted

    def accounts_owe_what_they_were_given(self) -> None:
        for customer in CUSTOMERS:
            told = self.book.accounts[f"{customer}@CNY"]
            state = self.world.account(customer)
            assert state.liability_minor == told.liability()
            assert state.credit_minor == told.credit >= 0
            assert {name: gift.left_minor for name, gift in state.gifts.items()} == told.gifts
            assert min(told.gifts.values(), default=0) >= 0
            owing = self.exposures(customer)
            assert state.exposures == owing
            assert state.exposure_minor == sum(owing.values())

    def stock_is_promised_once(self) -> None:
        for sku in SKUS:
            stock = self.world.stock(sku)
            assert milli(stock.on_hand) == self.book.on_hand.get(sku, 0)
            assert milli(stock.reserved) == self.book.reserved(sku)
            assert stock.available >= 0

    def parcels_and_orders_tell_the_same(self) -> None:
        for parcel in self.world.all(Parcel):
            for order_id in parcel.order_ids:
                order = self.world.order(order_id)
                part, refused = order.parcels[parcel.parcel_id], order.money.refused
                arrived = parcel.delivered and parcel.parcel_id not in refused
                assert (part.dispatched, part.delivered) == (parcel.dispatched, arrived)

    def teardown(self) -> None:
        self.world.replay()


def test_no_order_ever_makes_or_loses_money() -> None:
    """covers: A24, A60, A62, A63, A64, A66, A82, L36, R4, R6, R8, R19: and every command of the
    desk that touches money or stock was accepted, in lives that went on from there.
    """
    Moves.tally.clear()
    for batch in range(2 * STEPS // STEPS_OF_A_BATCH):
        if LIVES.derandomize:  # In CI: else it would be the same lives again.
            seed(batch)(Orders)
        run_state_machine_as_test(Orders, settings=LIVES)
        if Moves.tally.total() >= STEPS and not never_accepted():
            break
    print(f"\n{Moves.tally.total()} steps", *told(), sep="\n")
    assert Moves.tally.total() >= STEPS
    assert never_accepted() == []


def never_accepted() -> list[str]:
    return sorted(kind.__name__ for kind in COMMANDS if not Moves.tally[kind.__name__, ACCEPTED])


def told() -> Iterator[str]:
    """Every command that was sent: how often it was accepted, was already so, and was refused."""
    for name in sorted({name for name, _ in Moves.tally}):
        counts = {what: n for (one, what), n in Moves.tally.items() if one == name}
        accepted, already = counts.pop(ACCEPTED, 0), counts.pop(ALREADY_SO, 0)
        codes = ", ".join(f"{code} {n}" for code, n in sorted(counts.items()))
        yield f"{name:22} {accepted:7} {already:7} {sum(counts.values()):7}  {codes}"
