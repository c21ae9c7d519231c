"""What an order means for its customer's account: spent, given back, exposure taken and freed.

Every fact here stands in the write of the order's own fact, so order and account never differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID, uuid5

from domain.account import Account, Spend, evolve
from domain.account_facts import (
    BalanceGivenBack,
    BalanceSpent,
    CreditGranted,
    ExposureFreed,
    ExposureTaken,
    GiftPart,
)
from domain.case_commands import CASE_CHANGES, RejectOrder
from domain.customer import person_of
from domain.message import Command, Event, Rejected
from domain.money import shown_minor
from domain.order_commands import AddNote, EndOverride, OverrideStatus
from domain.order_facts import PaymentCaptured, RefundPaid
from domain.order_money import ACCOUNT_METHODS
from domain.order_refund_state import first_method
from domain.order_state import Order
from domain.payment_commands import RecordPayment, ReinstateOrder
from domain.payment_terms import ON_ACCOUNT
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.refund_commands import PayRefund

NOT_COVERED = "not_covered"  # the rule that finds an order sold elsewhere that is not
TOUCHING_METHODS = ACCOUNT_METHODS | {ON_ACCOUNT}

_PLACING = UUID("0c8f9d3e-5a55-4bb2-9d5a-6f1de2f7a001")  # namespace of payments at the placing


def concerned(command: Command, state: Order) -> bool:
    """Whether the command may change the account of the order's customer."""
    match command:
        case RecordPayment(method=method):
            return method in TOUCHING_METHODS or state.payment_method == ON_ACCOUNT
        case PayRefund(refund_id=refund_id, method=method):
            refund = state.refunds.get(refund_id)
            parts = refund.parts if refund else {}
            return not ACCOUNT_METHODS.isdisjoint({method, *parts})
        case AmendOrder(lines=lines):
            return bool(lines) and state.payment_method == ON_ACCOUNT
        case AddNote() | OverrideStatus() | EndOverride():
            return False
        case _ if isinstance(command, CASE_CHANGES) and not isinstance(command, RejectOrder):
            return False
        case _:  # Rather once too often: what an order owes must not change unnoticed.
            return state.payment_method == ON_ACCOUNT


def rises_at_dispatch(state: Order) -> bool:
    """Whether goods that leave are owed again, since they were refunded in the house."""
    return state.payment_method == ON_ACCOUNT and state.withheld_minor > 0


def payment_at_placing(state: Order, at: datetime, payer: str) -> list[Event]:
    """The capture of what an order still costs that is paid out of the account. `payer`: whose key
    would seal one. The payment's id follows from the order's: a retry makes the same.
    """
    if state.payment_method not in ACCOUNT_METHODS or state.unpaid_minor == 0 or _sold_short(state):
        return []
    return [
        PaymentCaptured(
            person=payer,
            payment_id=str(uuid5(_PLACING, state.order_id)),
            method=state.payment_method,
            amount_minor=state.unpaid_minor,
            reference=state.number,
            at=at,
        )
    ]


def _sold_short(state: Order) -> bool:
    """It was sold elsewhere although the account does not bear it: it is held for that."""
    return NOT_COVERED in state.cases.open_criteria


def not_covered(command: PlaceOrder, asked: int, state: Account) -> Rejected | None:
    """Why the account does not bear an order that comes to so much; None where it does."""
    method, currency = command.payment_method, command.currency
    if asked == 0:
        return None
    if method == ON_ACCOUNT:
        return _over_limit(asked, currency, state)
    credit = state.credit_minor if method == "store_credit" else 0
    if asked <= credit + state.gift_minor(command.at):
        return None
    return _insufficient(method, asked, currency, command.at, credit, state)


def needs_account(before: Order, after: Order, facts: Iterable[Event]) -> bool:
    """Whether facts of an order cannot stand without those of the account."""
    return _owed(before) != _owed(after) or any(
        isinstance(fact, PaymentCaptured | RefundPaid) and fact.method in ACCOUNT_METHODS
        for fact in facts
    )


def follow(
    command: Command, before: Order, after: Order, facts: Iterable[Event], state: Account
) -> list[Event]:
    """The account's facts that go with those of an order. Raises Rejected: `insufficient_credit`,
    `no_credit_limit`, `credit_limit_exceeded`, `on_account_is_no_payment`.

    What is valid is asked at the command's own time: a payment dated back cannot spend a gift that
    has expired.
    """
    made: list[Event] = []
    for fact in facts:
        more = _of_fact(fact, after, command.at, state)
        made += more
        state = reduce(evolve, more, state)
    return made + _exposure(command, before, after, state)


def _of_fact(fact: Event, order: Order, at: datetime, state: Account) -> list[Event]:
    match fact:
        case PaymentCaptured(method=method) if method in ACCOUNT_METHODS:
            return [_spend(fact, order, at, state)]
        case PaymentCaptured(method=method) if method == ON_ACCOUNT:
            raise Rejected(
                "on_account_is_no_payment", "on account is a term: record how the money came"
            )
        case RefundPaid(method=method) if method in ACCOUNT_METHODS:
            return _give_back(fact, order, at, state)
        case _:
            return []


# -- spending ------------------------------------------------------------------------------------


def _spend(payment: PaymentCaptured, order: Order, at: datetime, state: Account) -> Event:
    """Gifts first, since they would be lost, then credit; a `gift_balance` payment gifts only."""
    gifts = _taken_of_gifts(payment.amount_minor, at, state)
    credit = payment.amount_minor - sum(part.amount_minor for part in gifts)
    usable = state.credit_minor if payment.method == "store_credit" else 0
    if credit > usable:
        raise _insufficient(payment.method, payment.amount_minor, order.currency, at, usable, state)
    return BalanceSpent(
        customer_id=order.customer_id,
        currency=order.currency,
        order_id=order.order_id,
        payment_id=payment.payment_id,
        amount_minor=payment.amount_minor,
        credit_minor=credit,
        gifts=gifts,
        at=at,
    )


def _taken_of_gifts(asked: int, at: datetime, state: Account) -> list[GiftPart]:
    """Earliest expiry first, never of one that has expired; ties as issued."""
    usable = [(name, g) for name, g in state.gifts.items() if g.left_minor > 0 and g.valid(at)]
    parts = []
    for gift_id, gift in sorted(usable, key=lambda item: item[1].expires_at):
        part = min(asked, gift.left_minor)
        if part > 0:
            parts.append(GiftPart(gift_id=gift_id, amount_minor=part))
            asked -= part
    return parts


def _insufficient(
    method: str, asked: int, currency: str, at: datetime, credit: int, state: Account
) -> Rejected:
    gifts = state.gift_minor(at)
    return Rejected(
        "insufficient_credit",
        f"{shown_minor(asked, currency)} asked, {shown_minor(credit + gifts, currency)} there",
        asked_minor=asked,
        available_minor=credit + gifts,
        credit_minor=credit,
        gift_minor=gifts,
        method=method,
    )


# -- giving back ---------------------------------------------------------------------------------


def _give_back(refund: RefundPaid, order: Order, at: datetime, state: Account) -> list[Event]:
    """What was spent goes back to where it came from; other money becomes credit.

    The fact is of the money of one method, or of all of it where somebody chose the method.
    """
    made: list[Event] = []
    missing = refund.amount_minor
    asked = order.refunds[refund.refund_id]
    # Of a refund that failed in part, what came from the account has gone back before.
    before = asked.paid_by[refund.method] > refund.amount_minor
    for payment_id, amount in () if before else asked.payments.items():
        own = first_method(payment_id, order) == refund.method
        if not own and refund.amount_minor != asked.amount_minor:
            continue
        back = _returned(refund, payment_id, amount, order, at, state)
        if back is not None:
            made.append(back)
            missing -= back.amount_minor
    if missing > 0:
        made.append(_granted(refund, missing, order, at))
    return made


def _returned(
    refund: RefundPaid, payment_id: str, asked: int, order: Order, at: datetime, state: Account
) -> BalanceGivenBack | None:
    """The last that was spent goes back first: credit, then the gift that expires last. What paid
    for exchanged goods was spent on their order.
    """
    of = order.exchanged.get(payment_id)
    order_id, payment_id = (
        (of.from_order_id, of.from_payment_id) if of else (order.order_id, payment_id)
    )
    spend = state.spends.get((order_id, payment_id), Spend(0))
    amount = min(asked, spend.amount_minor)
    if amount <= 0:
        return None
    credit = min(amount, spend.credit_minor)
    gifts = _latest_first(spend.gifts, amount - credit)
    valid = [gift for gift in gifts if state.gifts[gift.gift_id].valid(at)]
    lapsed = [gift for gift in gifts if gift not in valid]
    return BalanceGivenBack(
        customer_id=order.customer_id,
        currency=order.currency,
        order_id=order_id,
        refund_id=refund.refund_id,
        payment_id=payment_id,
        amount_minor=amount,
        credit_minor=credit + sum(gift.amount_minor for gift in lapsed),
        gifts=valid,
        lapsed=lapsed,
        at=at,
    )


def _latest_first(gifts: tuple[GiftPart, ...], amount: int) -> list[GiftPart]:
    parts = []
    for gift in reversed(gifts):
        part = min(amount, gift.amount_minor)
        if part > 0:
            parts.append(GiftPart(gift_id=gift.gift_id, amount_minor=part))
            amount -= part
    return parts


def _granted(refund: RefundPaid, amount: int, order: Order, at: datetime) -> Event:
    return CreditGranted(
        customer_id=order.customer_id,
        currency=order.currency,
        person=person_of(order.customer_id),
        amount_minor=amount,
        cause="refund",
        reason_code="refund_as_credit",
        reference=refund.reference,
        order_id=order.order_id,
        refund_id=refund.refund_id,
        at=at,
    )


# -- exposure ------------------------------------------------------------------------------------


def _owed(order: Order) -> int:
    """What an order on account exposes the shop to."""
    return 0 if order.void or order.payment_method != ON_ACCOUNT else order.unpaid_minor


def _exposure(command: Command, before: Order, after: Order, state: Account) -> list[Event]:
    """Take what is owed more, free what is owed no longer.

    Orders that took nothing (imported, or placed before there were accounts) free nothing.
    """
    asked = _owed(after) - _owed(before)
    freed = state.exposures.get(after.order_id, 0) - _owed(after)
    if asked > 0:
        by_us = isinstance(command, PlaceOrder) and not _sold_short(after)
        over = _over_limit(asked, after.currency, state)
        if over is not None and (by_us or isinstance(command, AmendOrder | ReinstateOrder)):
            raise over
        return [ExposureTaken(**_exposed(after), amount_minor=asked, at=command.at)]
    if freed > 0:
        return [ExposureFreed(**_exposed(after), amount_minor=freed, at=command.at)]
    return []


def _exposed(order: Order) -> dict[str, Any]:
    return {
        "customer_id": order.customer_id,
        "currency": order.currency,
        "order_id": order.order_id,
    }


def _over_limit(asked: int, currency: str, state: Account) -> Rejected | None:
    if state.limit_minor is None:
        return Rejected(
            "no_credit_limit",
            "nothing was agreed with the customer: set a credit limit first",
            asked_minor=asked,
        )
    if asked <= state.limit_left_minor:
        return None
    return Rejected(
        "credit_limit_exceeded",
        f"{shown_minor(asked, currency)} asked, "
        f"{shown_minor(state.limit_left_minor, currency)} left of "
        f"{shown_minor(state.limit_minor, currency)}",
        limit_minor=state.limit_minor,
        exposure_minor=state.exposure_minor,
        asked_minor=asked,
        available_minor=state.limit_left_minor,
    )
