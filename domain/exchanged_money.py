"""Money that went from one order to another in an exchange: what of it is there, where it came in.

The new order's payment is as good as the one that the goods were paid by. While a bank asks for
that one, the new order is held; what the bank has taken is not paid out once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid5

from domain.message import Event, Rejected
from domain.order_intake import Finding, case_events
from domain.order_money import shown
from domain.order_state import Order
from domain.payment_commands import OpenChargeback
from domain.refund_settlement import paid_out
from domain.return_facts import ExchangedPart

DISPUTED = "exchanged_money_disputed"  # the rule that finds it
OrderOf = Callable[[str], Order]  # by id; one that was not loaded is empty

_CASES = UUID("b6f3a0de-2f0f-5b5e-8f0f-0d5d2f6f4c03")  # namespace of case ids


# -- given back ------------------------------------------------------------------------------------


def sources(order: Order) -> frozenset[str]:
    """Ids of the orders that the money of this one came in by."""
    return frozenset(part.from_order_id for part in order.exchanged.values())


def require_covered(refund_id: str, order: Order, order_of: OrderOf) -> None:
    """Raises Rejected `chargeback_open` or `refund_exceeds_payment`, where the payment that the
    money of a refund came in by does not bear it any more.
    """
    for payment_id, asked in order.refunds[refund_id].payments.items():
        part = order.exchanged.get(payment_id)
        source = order_of(part.from_order_id) if part else None
        if part is None or source is None or part.from_payment_id not in source.payments:
            continue
        before = paid_out(payment_id, refund_id, order)
        left = max(0, _left_minor(part, order, source) - before)
        if asked > left:
            raise _not_covered(part, asked, left, source)


def _left_minor(part: ExchangedPart, order: Order, source: Order) -> int:
    """What of the money that an exchange took is still there, after all that went back otherwise.

    All or nothing where it went on in a further exchange: two orders would share what is left.
    """
    payment = source.payments[part.from_payment_id]
    taken = source.refunds[part.from_refund_id].payments.get(part.from_payment_id, 0)
    others = paid_out(part.from_payment_id, part.from_refund_id, source)
    left = payment.here_minor - payment.disputed_minor - others
    if left >= taken:
        return part.amount_minor
    return max(0, left) if order.exchange_of == part.from_order_id else 0


def _not_covered(part: ExchangedPart, asked: int, left: int, source: Order) -> Rejected:
    payment = source.payments[part.from_payment_id]
    return Rejected(
        "chargeback_open" if payment.disputed_minor else "refund_exceeds_payment",
        f"{shown(asked, source)} asked, {shown(left, source)} left of what payment "
        f"{part.from_payment_id} of order {source.number} paid for the goods that were exchanged: "
        f"{shown(payment.disputed_minor, source)} of it are disputed, "
        f"{shown(payment.lost_minor, source)} lost",
        order_id=source.order_id,
        payment_id=part.from_payment_id,
        asked_minor=asked,
        refundable_minor=left,
        disputed_minor=payment.disputed_minor,
        lost_minor=payment.lost_minor,
    )


# -- asked back by a bank --------------------------------------------------------------------------


def onward(order: Order, order_of: OrderOf) -> Iterator[str]:
    """Ids of the orders that were placed in exchange for goods of this one, and of theirs."""
    for back in order.returns.values():
        if back.exchange_order_id is not None:
            yield back.exchange_order_id
            yield from onward(order_of(back.exchange_order_id), order_of)


def paid_with(payment_id: str, order: Order, order_of: OrderOf) -> Iterator[str]:
    """Ids of those of them that money of a payment went on to."""
    root = (order.order_id, payment_id)
    for name in onward(order, order_of):
        parts = order_of(name).exchanged.values()
        if any((part.from_order_id, part.from_payment_id) == root for part in parts):
            yield name


def hold(command: OpenChargeback, order: Order) -> list[Event]:
    """The case that holds an order whose money is asked back where it came in: until a person has
    seen how that ended. [] where nothing is left to hold.
    """
    if order.void or not _may_leave(order):
        return []
    case_id = str(uuid5(_CASES, f"{command.chargeback_id}/{order.order_id}"))
    if case_id in order.cases.cases:
        return []
    exchanged = sum(part.amount_minor for part in order.exchanged.values())
    figures = {"of_order_id": command.order_id, "exchanged_minor": exchanged}
    found = Finding("chargeback", DISPUTED, True, figures=figures)
    return case_events(found, case_id, order.person, command.at)


def _may_leave(order: Order) -> bool:
    """Also of a cancelled order that has money: it may be brought back."""
    if order.cancelled:
        return order.net_paid_minor > 0
    return any(line.live > line.dispatched for line in order.lines.values())
