"""Since when an order owes what: the term that begins anew, and what was to be covered since due.

Applies, never refuses. A late fee is of a day, and must not be told from what is owed today; so
from the due time on every change of what payments have to cover is kept with its instant.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.frozen import replace
from domain.message import Event
from domain.order_facts import LinesAmended, OrderDispatched
from domain.order_state import Order
from domain.payment_facts import OrderReinstated

DAY = timedelta(days=1)


def followed(before: Order, after: Order, event: Event) -> Order:
    """The order after a fact, with its due time, and with what was to be covered when."""
    due = after.money.due_at
    if due is None:
        return after
    if _is_new_debt(before, after, event, due):
        anew = _due_anew(after, event.at, due)
        return replace(after, money=replace(after.money, due_at=anew, to_cover=(), overdue=False))
    if event.at <= due and not after.money.to_cover:
        return after
    return _kept(before, after, event, due)


def _is_new_debt(before: Order, after: Order, event: Event, due: datetime) -> bool:
    """An order that is brought back; or that was settled and is amended to cost more, or is sent
    though it was refunded in the house.
    """
    match event:
        case OrderReinstated():
            return after.balance_minor > 0
        case LinesAmended() | OrderDispatched() if event.at > due:
            return _asked_minor(before) <= 0 < _asked_minor(after)
        case _:
            return False


def _asked_minor(order: Order) -> int:
    """What is held counts where the policy says so."""
    return min(order.balance_minor, order.uncovered_minor)


def _due_anew(order: Order, at: datetime, due: datetime) -> datetime:
    """As long after the fact as it was after the placement. Whole days later where it is the end of
    a local day, which is not known here.
    """
    first, placed = order.money.first_due_at or due, order.placed_at or at
    if order.payment_method == "on_account":
        return first + max(0, -((placed - at) // DAY)) * DAY
    return first + (at - placed)


def _kept(before: Order, after: Order, event: Event, due: datetime) -> Order:
    """A fact that is told late changes what comes after it as well."""
    was, becomes = to_cover_minor(before), to_cover_minor(after)
    if was == becomes:
        return after
    points = after.money.to_cover or ((due, was),)
    at = max(event.at, due)
    last = [amount for when, amount in points if when <= at][-1:]
    more = becomes - was
    kept = (
        *((when, amount) for when, amount in points if when < at),
        (at, (last[0] if last else was) + more),
        *((when, amount + more) for when, amount in points if when > at),
    )
    return replace(after, money=replace(after.money, to_cover=kept))


def to_cover_minor(order: Order) -> int:
    """What payments have to cover for goods and shipping, whatever came in: what is owed and was
    not forgiven, held or collected, and what went back or was lost of them. Money that is only
    asked back is still here.
    """
    money = order.money
    held = money.authorised_minor if money.counts_as_paid == "authorised" else 0
    owed = 0 if order.void else order.asked_minor
    goods = owed - money.late_fees_minor - money.written_off_minor
    lost = sum(payment.lost_minor for payment in order.payments.values())
    gone = sum(refund.given_back_minor for refund in order.refunds.values())
    return goods - money.collected_minor - held + gone + lost
