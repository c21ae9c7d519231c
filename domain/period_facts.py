"""The facts of a shop's month: closing began, and what it came to."""

from __future__ import annotations

from pydantic import Field

from domain.message import Event, Made


class PeriodTotal(Made):
    """Money of one currency and method, in minor units.

    `month` is when it happened: the period's own, or an earlier one that was closed already when
    the ledger learned of it.
    """

    month: str
    currency: str
    method: str
    captures: int = 0
    captured_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0
    fees_minor: int = 0  # what providers kept
    written_off_minor: int = 0  # differences within the tolerance; above 0 is a loss


class LateFact(Made):
    """A fact booked here because its own month was closed: its position in the ledger."""

    position: int
    month: str


class ClosingBegan(Event, topic="period.closing_began.v1"):
    """From this event's position on, what happened in the month is booked in the next open one."""

    shop: str
    month: str  # 2026-03
    zone: str  # IANA name: whose local month


class PeriodClosed(Event, topic="period.closed.v1"):
    """The totals equal the events: all that are booked here, up to the position where the closing
    began. `late` lists the first of the late facts, `late_count` says how many there are.
    """

    shop: str
    month: str
    zone: str
    through_position: int  # of the ClosingBegan
    totals: list[PeriodTotal]
    late: list[LateFact] = Field(default_factory=list)
    late_count: int = 0
