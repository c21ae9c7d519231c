"""What can be asked of statements: the neutral line, import, match, unmatch, leave unallocated."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from domain.command_types import CurrencyCode, Handle, LineNo, PaymentMethod
from domain.message import Command
from domain.statement_facts import LineKind, MovementKind
from domain.times import Recordable
from domain.values import AMOUNT_MINOR_MAX, Identifier, LongText, OfFields, Text, Value

LINES_MAX = 50_000  # of one statement
LINES_PER_COMMAND_MAX = 200
UNREADABLE_MAX = 100  # rows left out with consent; more, and it is another file than was thought
MATCHED_LINES_MAX = 100
MATCHED_MOVEMENTS_MAX = 100
REASONS_MAX = 20
FIELDS_MAX = 100  # of a row, kept verbatim
TOTAL_MINOR_MAX = AMOUNT_MINOR_MAX * LINES_MAX


def _day(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("must be a day such as 2026-03-01")
    return text


StatementId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file")]
SignedMinor = Annotated[int, Field(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX, strict=True)]
TotalMinor = Annotated[int, Field(ge=-TOTAL_MINOR_MAX, le=TOTAL_MINOR_MAX, strict=True)]
Rule = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_day)]
Layout = Literal["csv", "camt053", "alipay", "wechat", "stripe"]
Name = Annotated[Text, Field(max_length=255)]
Score = Annotated[int, Field(ge=0, le=100, strict=True)]


class StatementLine(Value):
    """One line of any layout in our own terms. Amounts in minor units of `currency`.

    `at` is the value time in UTC; of a bare date (`timed` false) the start of the day `value_on` in
    the source's zone. `verbatim` is the row as it stood, by column.
    """

    line_no: LineNo
    kind: LineKind
    amount_minor: SignedMinor
    fee_minor: SignedMinor = 0
    net_minor: SignedMinor
    currency: CurrencyCode
    at: Recordable
    value_on: Day
    timed: bool = True
    reference: Text | None = None
    counterparty: Text | None = None
    text: LongText | None = None
    batch_id: Identifier | None = None
    verbatim: Annotated[dict[str, str], Field(max_length=FIELDS_MAX)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _adds_up(self) -> StatementLine:
        if self.amount_minor - self.fee_minor != self.net_minor:
            raise ValueError("amount less fee must be net")
        return self


class TotalBody(Value):
    """The sums of all lines in one currency."""

    currency: CurrencyCode
    lines: Annotated[int, Field(gt=0, le=LINES_MAX, strict=True)]
    amount_minor: TotalMinor
    fee_minor: TotalMinor
    net_minor: TotalMinor


class UnreadableBody(Value):
    line_no: Annotated[int, Field(gt=0, le=10_000_000, strict=True)]
    rule: Rule


class ImportStatement(Command):
    """A file was read: what it is, and what its lines come to. The lines follow."""

    statement_id: StatementId
    shop: Handle = "main"
    layout: Layout
    method: PaymentMethod
    account: Text | None = None
    file_name: Name
    file_bytes: Annotated[int, Field(gt=0, strict=True)]
    lines: Annotated[int, Field(gt=0, le=LINES_MAX, strict=True)]
    totals: Annotated[list[TotalBody], Field(min_length=1, max_length=200)]
    unreadable: Annotated[list[UnreadableBody], Field(max_length=UNREADABLE_MAX)] = Field(
        default_factory=list
    )


class RecordLines(Command):
    """Some of the lines of a statement, each once."""

    statement_id: StatementId
    lines: Annotated[list[StatementLine], Field(min_length=1, max_length=LINES_PER_COMMAND_MAX)]


class LinePartBody(Value):
    """A line, or a part of it; without an amount, all of it that is open."""

    line_no: LineNo
    amount_minor: SignedMinor | None = None


class MovementPartBody(Value):
    """A payment, refund, compensation or chargeback of an order, or what came back of one that was
    won (`owner`: the order's id), or a batch of a provider's statement (`owner`: that statement's
    id); without an amount, all that is open.
    """

    kind: MovementKind
    owner: Identifier
    id: Identifier
    amount_minor: SignedMinor | None = None


class MatchBody(Value):
    """These lines tell of these movements."""

    lines: Annotated[list[LinePartBody], Field(min_length=1, max_length=MATCHED_LINES_MAX)]
    movements: Annotated[
        list[MovementPartBody], Field(min_length=1, max_length=MATCHED_MOVEMENTS_MAX)
    ]

    @model_validator(mode="after")
    def _each_once(self) -> MatchBody:
        lines = [one.line_no for one in self.lines]
        movements = [(one.kind, one.owner, one.id) for one in self.movements]
        if len({*lines}) != len(lines):
            raise OfFields("a line stands twice", "lines")
        if len({*movements}) != len(movements):
            raise OfFields("a movement stands twice", "movements")
        return self


class MatchLines(MatchBody, Command):
    statement_id: StatementId
    match_id: Identifier
    by: Literal["rule", "operator"] = "operator"
    score: Score = 0
    reasons: Annotated[list[Text], Field(max_length=REASONS_MAX)] = Field(default_factory=list)


class UnmatchBody(Value):
    """Why the match was wrong."""

    reason: Text


class UnmatchLines(UnmatchBody, Command):
    statement_id: StatementId
    match_id: Identifier


class UnallocatedBody(Value):
    """What is known of the money."""

    note: Text | None = None


class LeaveUnallocated(UnallocatedBody, Command):
    statement_id: StatementId
    line_no: LineNo


StatementCommand = ImportStatement | RecordLines | MatchLines | UnmatchLines | LeaveUnallocated
