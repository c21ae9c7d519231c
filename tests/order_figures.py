"""What an order itself says that its papers have to come to."""

from __future__ import annotations

from collections.abc import Mapping

from domain.invoice_amounts import charges
from domain.order_state import Order


def owed_by_rate(state: Order) -> Mapping[int, tuple[int, int]]:
    """Rate -> (gross, tax) in minor units."""
    sums: dict[int, tuple[int, int]] = {}
    for charge in charges(state).values():
        gross, tax = sums.get(charge.tax_rate_bp, (0, 0))
        sums[charge.tax_rate_bp] = (gross + charge.owed.gross, tax + charge.owed.tax)
    return sums
