"""What a refund would come to: told before it is asked for, by the facts that asking would make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.message import Event
from domain.order_facts import RefundRequested
from domain.order_refund import shipping_comes_back, shipping_left
from domain.order_refund_state import first_method
from domain.order_state import Order
from domain.policy import PolicyVersion
from domain.values import quantity_json


def told(
    events: Iterable[Event], before: Order, after: Order, policy: PolicyVersion
) -> dict[str, Any]:
    """JSON data; amounts in minor units."""
    event = next(event for event in events if isinstance(event, RefundRequested))
    comes_back = shipping_comes_back(event.reason, before, policy.rules.refund)
    return {
        "amount_minor": event.amount_minor,
        "goods_minor": event.amount_minor - event.shipping_minor + event.fee_minor,
        "shipping_minor": event.shipping_minor,
        "shipping_refundable_minor": shipping_left(before) if comes_back else 0,
        "fee_minor": event.fee_minor,
        "tax_minor": event.tax_minor,
        "lines": [
            {
                "line_no": line.line_no,
                "quantity": quantity_json(line.quantity),
                "amount_minor": line.amount_minor,
                "tax_minor": line.tax_minor,
            }
            for line in event.lines
        ],
        "payments": [
            {
                "payment_id": part.payment_id,
                "method": first_method(part.payment_id, before),
                "amount_minor": part.amount_minor,
            }
            for part in event.payments
        ],
        "needs_approval": event.needs_approval,
        "decide_by": event.decide_by,
        "pay_by": event.pay_by,
        "owed_minor": {"before": before.owed_minor, "after": after.owed_minor},
        "due_minor": max(0, after.balance_minor),
        "due_before_dispatch_minor": after.missing_minor,
        "refundable_minor": {"before": before.refundable_minor, "after": after.refundable_minor},
        "policy_version": event.policy_version,
    }
