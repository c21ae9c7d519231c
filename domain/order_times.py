"""Times that somebody names for an order: not so long before it was placed that they are a slip.

A deposit comes before its order, and an order may be typed in after its goods have left; a slip in
the year does not. What was sold elsewhere and imported is older than its placement here.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from domain.message import Rejected
from domain.order_state import Order
from domain.service_stop import SOLD_ELSEWHERE

BEFORE_PLACEMENT_DAYS_MAX = 90  # that money or a delivery may be older than its order


def require_meant(state: Order, **times: date | datetime | None) -> None:
    """Raises Rejected `time_before_order`, by the name of the first field that cannot be meant."""
    if state.placed_at is None or state.channel in SOLD_ELSEWHERE:
        return
    earliest = state.placed_at - timedelta(days=BEFORE_PLACEMENT_DAYS_MAX)
    for field, time in times.items():
        if time is not None and _is_before(time, earliest):
            raise _before_order(field, time, earliest, state.placed_at)


def _is_before(time: date | datetime, earliest: datetime) -> bool:
    return time < (earliest if isinstance(time, datetime) else earliest.date())


def _before_order(
    field: str, time: date | datetime, earliest: datetime, placed_at: datetime
) -> Rejected:
    return Rejected(
        "time_before_order",
        f"{field} {time.isoformat()} lies more than {BEFORE_PLACEMENT_DAYS_MAX} days before the "
        f"order was placed at {placed_at.isoformat()}: not before {earliest.isoformat()}",
        field=field,
        earliest=earliest.isoformat(),
        placed_at=placed_at.isoformat(),
        days_max=BEFORE_PLACEMENT_DAYS_MAX,
    )
