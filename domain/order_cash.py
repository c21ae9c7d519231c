"""Cash on delivery: what the carrier collects at the door, and parcels that nobody takes (拒收)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from domain.message import Event, Rejected
from domain.order_facts import LineQuantity, OrderDelivered
from domain.order_line import OrderLine
from domain.order_lines import known_parcel
from domain.order_payment import Decider, not_void
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.order_status import delivered_everything
from domain.order_times import require_meant
from domain.payment_commands import RefuseDelivery
from domain.payment_facts import CashCollected, DeliveryRefused
from domain.payment_terms import CASH_ON_DELIVERY
from domain.policy import PolicyVersion


def collected(fact: OrderDelivered, carrier: str, before: Order, after: Order) -> list[Event]:
    """What the customer paid the carrier for a parcel: its goods, shipping with the first one, and
    whatever is left with the last.
    """
    if after.payment_method != CASH_ON_DELIVERY or after.balance_minor <= 0:
        return []
    worth = sum(_worth(item, before, "delivered") for item in fact.lines)
    if not any(line.delivered > 0 for line in before.lines.values()):
        worth += 0 if after.shipping_cancelled else after.shipping_minor
    owed = after.balance_minor
    amount = owed if delivered_everything(after) else min(worth, owed)
    if amount <= 0:
        return []
    return [
        CashCollected(parcel_id=fact.parcel_id, carrier=carrier, amount_minor=amount, at=fact.at)
    ]


def _worth(item: LineQuantity, before: Order, counter: str) -> int:
    """The running share of units more, so that all parcels add up to the line (ADR 0002)."""
    line: OrderLine | None = before.lines.get(item.line_no)
    if line is None:
        return 0
    until = getattr(line, counter)
    return line.share(line.gross_minor, until + item.quantity) - line.share(line.gross_minor, until)


def refuse(
    command: RefuseDelivery, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """The parcel's goods are owed no longer; they are on their way back. Raises Rejected."""
    not_void(state)
    parcel = known_parcel(command.parcel_id, state)
    if command.parcel_id in state.money.refused:
        return []
    if state.payment_method != CASH_ON_DELIVERY:
        raise Rejected(
            "not_cash_on_delivery",
            "what was paid before comes back as a return",
            payment_method=state.payment_method,
        )
    if not parcel.dispatched or parcel.delivered:
        raise Rejected(
            "not_on_its_way",
            "the parcel was delivered" if parcel.delivered else "the parcel has not left",
            parcel_id=command.parcel_id,
        )
    require_meant(state, occurred_at=command.occurred_at)
    return [_refused(command, parcel.lines, state, command.occurred_at or command.at)]


def _refused(
    command: RefuseDelivery, units: Iterable[LineQuantity], state: Order, at: datetime
) -> Event:
    lines = [_refused_line(item, state) for item in units if item.line_no in state.lines]
    goods = sum(item.amount_minor or 0 for item in lines)
    refused = {item.line_no: item.quantity for item in lines}
    nothing_else = all(
        line.live - line.refused <= refused.get(no, 0) for no, line in state.lines.items()
    )
    shipping = state.shipping_minor if nothing_else and not state.shipping_cancelled else 0
    return DeliveryRefused(
        person=state.person,
        parcel_id=command.parcel_id,
        carrier=command.carrier,
        lines=lines,
        goods_minor=goods,
        shipping_minor=shipping,
        freight_minor=command.freight_minor,
        reason=command.reason,
        total_minor=state.total_minor - goods - shipping,
        at=at,
    )


def _refused_line(item: LineQuantity, state: Order) -> LineQuantity:
    line = state.lines[item.line_no]
    after = line.share(line.gross_minor, line.gone + item.quantity)
    return LineQuantity(
        line_no=item.line_no,
        quantity=item.quantity,
        amount_minor=after - line.share(line.gross_minor, line.gone),
    )


DECIDERS: dict[type, Decider] = {RefuseDelivery: refuse}
