"""The facts of a shop's month: closing began, and what it came to."""

from __future__ import annotations

from pydantic import Field

from domain.message import Event, Made


class PeriodTotal(Made):
    """Money of one currency and method, in minor units, each sum of facts of its own. What puts an
    earlier month right (voided, moved, charged back) is booked when it happened.

    `month` is when that was: the period's own, or an earlier one that was closed already when the
    ledger learned of it. What belongs to no payment stands under the order's method.
    """

    month: str
    currency: str
    method: str
    captures: int = 0
    captured_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0  # paid, less what failed afterwards
    fees_minor: int = 0  # what providers kept, as statements tell
    written_off_minor: int = 0  # differences of statements; above 0 is a loss
    voided_minor: int = 0  # recorded by mistake
    moved_in_minor: int = 0  # from other orders
    moved_out_minor: int = 0
    charged_back_minor: int = 0  # lost to the payers' banks
    compensation_minor: int = 0  # beyond the price: no part of what orders settle
    carrier_fees_minor: int = 0  # what carriers kept of the cash that they collected
    forgiven_minor: int = 0  # remainders that orders owed, within the tolerance
    late_fees_minor: int = 0  # charged, less what was corrected and waived: on no invoice


class LateFact(Made):
    """A fact booked here because its own month was closed: its position in the ledger."""

    position: int
    month: str


class ClosingBegan(Event, topic="period.closing_began.v1"):
    """From this event's position on, what happened in the month is booked in the next open one."""

    shop: str
    month: str  # 2026-03
    zone: str  # IANA name: whose local month


class PeriodClosed(Event, topic="period.closed.v2"):
    """The totals equal the events: all that are booked here, up to the position where the closing
    began. `late` lists the first of the late facts, `late_count` says how many there are.

    Version 1 knew no sums of their own for what was voided, moved or charged back: it took them off
    what was captured, so both versions keep the same.
    """

    shop: str
    month: str
    zone: str
    through_position: int  # of the ClosingBegan
    totals: list[PeriodTotal]
    late: list[LateFact] = Field(default_factory=list)
    late_count: int = 0
