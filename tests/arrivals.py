"""Builders of the commands about goods that arrived, or did not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.completion_commands import CompleteOrder, ConfirmReceipt
from domain.replacement_commands import ReplaceOrder
from tests.given import NOON, hours
from tests.papers import quantities

# Delivered on 3 March 2025 at 20:00 in Shanghai: 7 days are over when the 10th is.
LAST_MOMENT = datetime.fromisoformat("2025-03-10T16:00:00+00:00")
PICTURE = "a" * 64


def complete(at: datetime, order_id: str = "A") -> CompleteOrder:
    return CompleteOrder(order_id=order_id, at=at)


def confirm(order_id: str = "A", **more: Any) -> ConfirmReceipt:
    return ConfirmReceipt.model_validate({"order_id": order_id, "at": hours(60)} | more)


def replace(*lines: tuple[int, int | str], new: str = "B", **more: Any) -> ReplaceOrder:
    """Order B for units that came damaged, unless another reason is given."""
    body: dict[str, Any] = {
        "order_id": "A",
        "new_order_id": new,
        "numbers": (f"number-{new}",),
        "reason": "damaged",
        "evidence": [PICTURE] if more.get("reason", "damaged") == "damaged" else [],
        "at": NOON,
    }
    return ReplaceOrder.model_validate(body | quantities(lines) | more)
