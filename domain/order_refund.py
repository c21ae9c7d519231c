"""Money back: what may be refunded of an order, from which payments, and the paying out.

Requested and paid refunds both count against what was paid, so two requests can never pass it
together (R19).
"""

from __future__ import annotations

from decimal import Decimal

from domain.message import Event, Rejected
from domain.money import format_minor
from domain.order_commands import LineQuantityBody, PayRefund, RequestRefund
from domain.order_facts import LineQuantity, PaymentPart, RefundPaid, RefundRequested
from domain.order_lines import known_line
from domain.order_state import ZERO, Order, OrderLine
from domain.values import quantity_json


def request(command: RequestRefund, state: Order) -> list[Event]:
    """Raises Rejected where more is asked than was paid, than a line cost, or than it was sent."""
    if command.refund_id in state.refunds:
        return []
    lines = [_refunded_line(item, state) for item in command.lines or []]
    goods = _goods_minor(command, lines, state)
    _require_shipping_left(command.shipping_minor, state)
    amount = goods + command.shipping_minor
    _require_refundable(amount, state)
    return [
        RefundRequested(
            person=state.person,
            refund_id=command.refund_id,
            amount_minor=amount,
            shipping_minor=command.shipping_minor,
            lines=lines,
            reason=command.reason,
            text=command.text,
            payments=_chosen(command, amount, state) or _newest_first(amount, state),
            evidence=command.evidence,
            at=command.at,
        )
    ]


def pay(command: PayRefund, state: Order) -> list[Event]:
    """Exactly what was requested, once, as the money came unless a method is named: a fact for each
    method. Raises Rejected `refund_not_found`.
    """
    refund = state.refunds.get(command.refund_id)
    if refund is None:
        raise Rejected("refund_not_found", refund_id=command.refund_id)
    if refund.paid:
        return []
    named = {command.method: refund.amount_minor} if command.method else refund.parts
    return [
        RefundPaid(
            refund_id=command.refund_id,
            amount_minor=amount,
            method=method,
            reference=command.reference,
            at=command.at,
        )
        for method, amount in named.items()
    ]


def _refunded_line(item: LineQuantityBody, state: Order) -> LineQuantity:
    line = known_line(state, item.line_no)
    left = line.quantity - line.refunded
    if item.quantity > left:
        raise Rejected(
            "refund_exceeds_line",
            f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
            f"{quantity_json(max(left, ZERO))} refundable",
            line_no=item.line_no,
            asked=quantity_json(item.quantity),
            refundable=quantity_json(max(left, ZERO)),
        )
    return LineQuantity(
        line_no=item.line_no,
        quantity=item.quantity,
        amount_minor=line_share_minor(line, item.quantity),
    )


def line_share_minor(line: OrderLine, units: Decimal) -> int:
    """What `units` more of a line give back: with its discounts and its tax.

    The running share of all refunded units less what was given back before: the parts sum to the
    line's gross (R4), also when its price was amended in between.
    """
    return max(0, line.share(line.gross_minor, line.refunded + units) - line.refunded_minor)


def _goods_minor(command: RequestRefund, lines: list[LineQuantity], state: Order) -> int:
    if command.lines is None:
        return command.amount_minor or 0
    by_lines = sum(line.amount_minor or 0 for line in lines)
    if command.amount_minor not in {None, by_lines}:
        raise Rejected(
            "refund_amount_differs",
            f"{_shown(command.amount_minor or 0, state)} asked, the lines come to "
            f"{_shown(by_lines, state)}",
            asked_minor=command.amount_minor,
            lines_minor=by_lines,
        )
    return by_lines


def _require_shipping_left(asked: int, state: Order) -> None:
    left = max(0, state.shipping_minor - state.shipping_refunded_minor)
    if asked > left:
        raise Rejected(
            "refund_exceeds_shipping",
            f"{_shown(asked, state)} asked, {_shown(left, state)} refundable",
            asked_minor=asked,
            refundable_minor=left,
        )


def _require_refundable(amount: int, state: Order) -> None:
    if amount <= 0:
        raise Rejected("nothing_to_refund", "what was chosen cost nothing")
    left = state.refundable_minor
    if amount > left:
        raise _exceeds_paid(amount, left, state)


def _exceeds_paid(amount: int, left: int, state: Order) -> Rejected:
    return Rejected(
        "refund_exceeds_paid",
        f"{_shown(amount, state)} asked, {_shown(left, state)} refundable",
        asked_minor=amount,
        refundable_minor=left,
    )


def _chosen(command: RequestRefund, amount: int, state: Order) -> list[PaymentPart]:
    """The payments that the command names; [] when it leaves the choice."""
    for part in command.payments or []:
        payment = state.payments.get(part.payment_id)
        if payment is None:
            raise Rejected(
                "unknown_payment", f"no payment {part.payment_id}", payment_id=part.payment_id
            )
        if part.amount_minor > payment.refundable_minor:
            raise Rejected(
                "refund_exceeds_payment",
                f"{_shown(part.amount_minor, state)} asked, "
                f"{_shown(payment.refundable_minor, state)} refundable",
                payment_id=part.payment_id,
                asked_minor=part.amount_minor,
                refundable_minor=payment.refundable_minor,
            )
    named = sum(part.amount_minor for part in command.payments or [])
    if command.payments is not None and named != amount:
        raise Rejected(
            "refund_payments_differ",
            f"the payments come to {_shown(named, state)}, the refund to {_shown(amount, state)}",
            payments_minor=named,
            refund_minor=amount,
        )
    return command.payments or []


def _newest_first(amount: int, state: Order) -> list[PaymentPart]:
    parts = []
    missing = amount
    for payment_id, payment in reversed(list(state.payments.items())):
        part = min(missing, payment.refundable_minor)
        if part > 0:
            parts.append(PaymentPart(payment_id=payment_id, amount_minor=part))
            missing -= part
    if missing:  # Imported payments may have given back more than they brought.
        raise _exceeds_paid(amount, amount - missing, state)
    return parts


def _shown(amount_minor: int, state: Order) -> str:
    """As people read it; imports may have a currency that nobody knows."""
    try:
        return format_minor(amount_minor, state.currency)
    except ValueError:
        return str(amount_minor)
