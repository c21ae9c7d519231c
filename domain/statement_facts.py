"""The facts of a bank's or provider's statement, and of the money of ours that it is matched with.

Amounts are minor units, signed as our account sees them: above 0 came in, below 0 went out.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from domain.message import Event, Made, Personal

LineKind = Literal["charge", "refund", "fee", "payout", "transfer", "unknown"]
MovementKind = Literal[
    "capture", "refund", "chargeback", "chargeback_return", "compensation", "payout"
]


class StatementTotal(Made):
    """The sums of all lines in one currency: net = amount - fee."""

    currency: str
    lines: int
    amount_minor: int
    fee_minor: int
    net_minor: int


class UnreadableLine(Made):
    """A row that was left out with consent: where it stands, and the rule that it broke."""

    line_no: int
    rule: str


class Verbatim(Made):
    """A row as it stood, by column. A model: a bare dictionary reads like a sealed value."""

    columns: dict[str, Any]


class LinePart(Made):
    line_no: int
    amount_minor: int


class MovementPart(Made):
    """Money of ours: a payment, paid refund, compensation or chargeback of an order, what came back
    of a chargeback that was won, or the payout of a provider's batch.

    `owner` is the order, or the provider's statement; `id` the payment, refund, … or batch there.
    """

    kind: MovementKind
    owner: str
    id: str
    amount_minor: int


class StatementImported(Event, topic="statement.imported.v1"):
    """`statement_id` is the SHA-256 of the file: each is imported once."""

    statement_id: str
    shop: str
    layout: str
    method: str  # of payment: whose money these lines tell of
    account: str | None = None
    file_name: str
    file_bytes: int
    lines: int
    totals: list[StatementTotal]
    unreadable: list[UnreadableLine] = Field(default_factory=list)


class StatementLineRecorded(Event, topic="statement.line_recorded.v1"):
    """One line. `at` is its value time; of a bare date, the start of that day in the source's zone.

    Each line has a key of its own: the people in it are seldom our customers, and to erase one
    must leave the others.
    """

    statement_id: str
    line_no: int  # of the file
    kind: LineKind
    amount_minor: int  # gross
    fee_minor: int  # what the provider keeps; below 0 where it gives some back
    net_minor: int
    currency: str
    value_on: str  # the day in the source's zone, 2026-03-01
    timed: bool  # the source tells a time, not only a day
    reference: str | None = None
    batch_id: str | None = None
    person: str
    counterparty: Personal[str] | None = None
    text: Personal[str] | None = None
    verbatim: Personal[Verbatim] | None = None


class StatementCompleted(Event, topic="statement.completed.v1"):
    """All lines are in, and come to the totals that were announced."""

    statement_id: str


class StatementMatched(Event, topic="statement.matched.v1"):
    """Lines that tell of these movements. `difference_minor` = lines - movements, within the
    tolerance; it is written off.
    """

    statement_id: str
    match_id: str
    lines: list[LinePart]
    movements: list[MovementPart]
    currency: str
    by: str  # `rule` where nothing else fitted, `operator` where a person chose
    score: int  # of 100
    reasons: list[str] = Field(default_factory=list)  # in words; name nobody
    difference_minor: int = 0


class StatementUnmatched(Event, topic="statement.unmatched.v1"):
    """A match was wrong. What it had joined stands here again: readers need not remember it."""

    statement_id: str
    match_id: str
    lines: list[LinePart]
    movements: list[MovementPart]
    person: str
    reason: Personal[str]


class ReceiptUnallocated(Event, topic="statement.receipt_unallocated.v1"):
    """Money that came in and belongs to nothing that we know, until it is matched."""

    statement_id: str
    line_no: int
    amount_minor: int
    currency: str
    person: str
    note: Personal[str] | None = None


class MovementReconciled(Event, topic="movement.reconciled.v1"):
    """The movement's side of a match: no second statement can take it as well."""

    kind: MovementKind
    owner: str
    id: str
    statement_id: str
    match_id: str
    amount_minor: int
    currency: str


class MovementReleased(Event, topic="movement.released.v1"):
    """The movement's side of a match that was undone."""

    kind: MovementKind
    owner: str
    id: str
    statement_id: str
    match_id: str
    amount_minor: int
