"""The shapes of statements, of both sides of a reconciliation and of periods as they are read."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from api.answers import Recorded
from api.views import Personal


class StatementRecorded(Recorded):
    """`status`: imported, or incomplete until all lines are in."""

    statement_id: str
    lines: int
    lines_announced: int
    matched_lines: int


class UnreadableRow(BaseModel):
    line_no: int
    rule: str


class StatementUploaded(StatementRecorded):
    """`already_imported`: these bytes were in before, and nothing was recorded."""

    already_imported: bool
    unreadable: list[UnreadableRow]


class MatchRecorded(StatementRecorded):
    match_id: str


class LineLeft(StatementRecorded):
    line_no: int


class RefusedMatch(BaseModel):
    """A match that the rules proposed and that was refused when it was decided."""

    code: str
    message: str
    lines: list[int]


class RuleMatches(BaseModel):
    """`suggested`: lines that fit several ways, or not well enough; `cut`: call again for more."""

    statement_id: str
    matched: int
    suggested: int
    refused: list[RefusedMatch]
    cut: bool
    position: int | None


class StatementTotal(BaseModel):
    currency: str
    lines: int
    amount_minor: int
    fee_minor: int
    net_minor: int


class StatementSummary(BaseModel):
    statement_id: str
    shop: str
    layout: str
    method: str
    account: str | None
    file_name: str
    lines: int
    unreadable: list[UnreadableRow]
    totals: list[StatementTotal]
    status: str
    imported_by: str
    imported_at: datetime


class StatementShown(StatementSummary):
    """`states`: how many lines are booked (fees, payouts), matched, unmatched, …"""

    states: dict[str, int]
    position: int


class StatementPage(BaseModel):
    items: list[StatementSummary]
    next_cursor: str | None
    position: int


class LinePart(BaseModel):
    line_no: int
    amount_minor: int


class MovementPart(BaseModel):
    kind: str
    owner: str
    id: str
    amount_minor: int


class MatchShown(BaseModel):
    """What a line is matched with; `amount_minor` is the line's part of it."""

    match_id: str
    amount_minor: int
    lines: list[LinePart]
    movements: list[MovementPart]
    by: str
    actor: str
    score: int
    reasons: list[str]
    difference_minor: int
    position: int


class LineNotice(BaseModel):
    """What a provider told of the money of a line, and `outcome`: why it was set aside."""

    provider: str
    notice_id: str
    order_ref: str
    payment: str
    capture: str | None
    method: str
    outcome: str
    fee_minor: int | None
    payer: Personal
    occurred_at: datetime


class LineShown(BaseModel):
    """One line. Above 0 came in, below 0 went out. `notice`: of money that a provider told of as
    well and that was set aside: both are one unallocated receipt.
    """

    statement_id: str
    line_no: int
    shop: str
    method: str
    kind: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    open_minor: int
    currency: str
    value_on: str
    value_at: datetime
    timed: bool
    reference: str | None
    batch_id: str | None
    counterparty: Personal
    text: Personal
    notice: LineNotice | None
    state: str
    matches: list[MatchShown]


class LinePage(BaseModel):
    items: list[LineShown]
    next_cursor: str | None
    position: int


class TakenBy(BaseModel):
    statement_id: str
    match_id: str
    amount_minor: int


class MovementShown(BaseModel):
    """Money of ours: a capture, a paid refund, compensation, a chargeback, what came back of one
    that was won (`chargeback_return`), or a batch that a provider pays out.

    `owner`: the order, or the provider's statement. Gross less fees is the amount: of a batch, and
    of what a carrier remits. `state`: void when it is worth nothing any more, over_matched when
    statements have told of more than it is worth. What a bank took for a dispute, and gave back
    where it was won, is listed only once a statement has told of the other half, or it was lost.
    """

    movement: str
    kind: str
    owner: str
    id: str
    number: str | None
    external_ref: str | None
    shop: str | None
    method: str | None
    reference: str | None
    currency: str | None
    gross_minor: int
    fee_minor: int
    amount_minor: int
    open_minor: int
    state: str
    occurred_at: datetime
    payer: Personal
    matches: list[TakenBy]


class MovementPage(BaseModel):
    items: list[MovementShown]
    next_cursor: str | None
    position: int


class Suggestion(BaseModel):
    """What a line may belong to; each reason ends with its share of the score of 100.

    `certain`: nothing else fits, so `auto-match` makes it.
    """

    score: int
    certain: bool
    reasons: list[str]
    lines: list[int]
    movements: list[MovementPart]
    difference_minor: int


class LineSuggestions(BaseModel):
    line_no: int
    kind: str
    open_minor: int
    currency: str
    value_on: str
    reference: str | None
    suggestions: list[Suggestion]


class Suggestions(BaseModel):
    statement_id: str
    items: list[LineSuggestions]
    cut: bool
    position: int


class PeriodRecorded(Recorded):
    """`status`: closing until the totals are stated, then closed."""

    shop: str
    month: str


class PeriodTotalShown(BaseModel):
    """`month`: when it happened; another than the period's is late and booked here.

    `kept_minor` = captured + moved in - moved out - voided - charged back - refunded: by how much
    more of the orders' payments is with us. Compensation stands apart.
    """

    month: str
    currency: str
    method: str
    captures: int
    captured_minor: int
    refunds: int
    refunded_minor: int
    fees_minor: int
    written_off_minor: int
    voided_minor: int
    moved_in_minor: int
    moved_out_minor: int
    charged_back_minor: int
    compensation_minor: int
    carrier_fees_minor: int
    forgiven_minor: int
    late_fees_minor: int
    kept_minor: int


class LateShown(BaseModel):
    """A fact booked here because its own month was closed: its position in the ledger."""

    position: int
    month: str


class PeriodShown(BaseModel):
    shop: str
    month: str
    zone: str
    status: str
    closing_at: datetime
    line_position: int
    closed_at: datetime | None
    totals: list[PeriodTotalShown]
    late: list[LateShown]
    late_count: int


class PeriodBalance(BaseModel):
    """Of the orders with money in the month: what the facts of their money come to, and what is
    with us by the state of each. `differing`: orders for which these are not equal.
    """

    currency: str
    orders: int
    events_minor: int
    balance_minor: int
    difference_minor: int
    differing: int


class PeriodReport(BaseModel):
    """`totals`: as the events have them. `stated`: what the closing said, `equal` when it is the
    same; both null until the month is closed. `through_position`: the line where the closing began,
    for an open month the ledger's head.
    """

    shop: str
    month: str
    zone: str
    status: str
    through_position: int
    totals: list[PeriodTotalShown]
    stated: list[PeriodTotalShown] | None
    equal: bool | None
    late: list[LateShown]
    late_count: int
    balances: list[PeriodBalance]
    orders: int
    orders_checked: int
    position: int


class Periods(BaseModel):
    items: list[PeriodShown]
    position: int
