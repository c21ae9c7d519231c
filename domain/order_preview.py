"""What a change of an order would come to: told before it is made, and known again when it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from domain.message import Decision, Event, StreamName
from domain.order_facts import Line, OrderCancelled
from domain.order_line import OrderLine
from domain.order_state import Order
from domain.stock_item import ReservationReleased, StockReserved
from domain.values import quantity_json


def digest(events: Iterable[Event]) -> str:
    """Equal for facts that say the same, whenever they are decided."""
    facts = [[event.TOPIC, event.model_dump(mode="json", exclude={"at"})] for event in events]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def difference(stream: StreamName, before: Order, decision: Decision) -> dict[str, Any]:
    """What the facts of a decision change of an order, as JSON data; amounts in minor units."""
    after: Order = decision.states.get(stream, before)
    return {
        "topics": [event.TOPIC for event in decision.events.get(stream, [])],
        "lines": _lines(before, after),
        "total_minor": {"before": before.total_minor, "after": after.total_minor},
        "tax_minor": {"before": _tax_minor(before), "after": _tax_minor(after)},
        "due_minor": max(0, after.balance_minor),
        "refund_due_minor": max(0, -after.balance_minor),
        "stock": _stock(decision),
    }


def fee(events: Iterable[Event]) -> dict[str, Any]:
    """What a cancellation costs; nothing where everything was cancelled before."""
    for event in events:
        if isinstance(event, OrderCancelled):
            return {
                "fee_minor": event.fee_minor,
                "fee_tax_minor": event.fee_tax_minor,
                "goods_minor": event.goods_minor,
                "shipping_minor": event.shipping_minor,
                "policy_version": event.policy_version,
            }
    none = dict.fromkeys(("fee_minor", "fee_tax_minor", "goods_minor", "shipping_minor"), 0)
    return {**none, "policy_version": None}


def _lines(before: Order, after: Order) -> list[dict[str, Any]]:
    """The lines that differ; a line that is new or gone is null on one side."""
    return [
        {
            "line_no": no,
            "before": _line(before.lines.get(no)),
            "after": _line(after.lines.get(no)),
        }
        for no in {**before.lines, **after.lines}
        if before.lines.get(no) != after.lines.get(no)
    ]


def _line(line: OrderLine | None) -> dict[str, Any] | None:
    if line is None:
        return None
    priced: Line = line.priced
    return {
        "sku": priced.sku,
        "name": priced.name,
        "quantity": quantity_json(priced.quantity),
        "cancelled": quantity_json(line.cancelled),
        "unit_price_minor": priced.unit_price_minor,
        "discount_minor": priced.discount_minor,
        "discount_share_minor": priced.order_discount_minor,
        "tax_minor": line.owed_tax_minor,
        "gross_minor": line.owed_minor,
    }


def _tax_minor(order: Order) -> int:
    shipping = 0 if order.shipping_cancelled else order.shipping_tax_minor
    return shipping + sum(line.owed_tax_minor for line in order.lines.values())


def _stock(decision: Decision) -> list[dict[str, Any]]:
    """Units promised (above 0) or given back (below) per sku and location."""
    found: list[dict[str, Any]] = []
    for events in decision.events.values():
        for event in events:
            match event:
                case StockReserved():
                    units = event.quantity
                case ReservationReleased():
                    units = -event.quantity
                case _:
                    continue
            found.append(
                {
                    "sku": event.sku,
                    "location": event.location,
                    "reserved": quantity_json(units),
                }
            )
    return found
