"""A bank's or provider's statement: its lines, each once, and what money of ours they tell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.blocks import Blocks
from domain.frozen import replace
from domain.message import Event
from domain.money import shown_minor
from domain.statement_commands import (
    StatementLine,
)
from domain.statement_facts import (
    LinePart,
    MovementPart,
    ReceiptUnallocated,
    StatementCompleted,
    StatementImported,
    StatementLineRecorded,
    StatementMatched,
    StatementTotal,
    StatementUnmatched,
)


@dataclass(frozen=True)
class Line:
    """What decides about a line: its words and people stay in its fact."""

    kind: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    value_on: str
    reference: str | None = None
    batch_id: str | None = None
    matched_minor: int = 0
    unallocated: bool = False

    @property
    def open_minor(self) -> int:
        return self.amount_minor - self.matched_minor


@dataclass(frozen=True)
class Batch:
    """What a provider paid out together: gross less fees is what must reach the bank."""

    currency: str
    gross_minor: int = 0
    fee_minor: int = 0
    net_minor: int = 0
    payout_minor: int = 0  # what its payout lines say, below 0
    lines: int = 0

    @property
    def due_minor(self) -> int:
        """What must arrive; a payout without lines of its own is taken at its word."""
        return self.net_minor if self.lines else -self.payout_minor

    @property
    def agrees(self) -> bool:
        return not self.lines or not self.payout_minor or self.net_minor == -self.payout_minor


@dataclass(frozen=True)
class Match:
    lines: tuple[LinePart, ...]
    movements: tuple[MovementPart, ...]


@dataclass(frozen=True)
class Sums:
    lines: int = 0
    amount_minor: int = 0
    fee_minor: int = 0
    net_minor: int = 0


@dataclass(frozen=True)
class Statement:
    statement_id: str = ""
    shop: str = ""
    layout: str = ""
    method: str = ""
    announced: Mapping[str, Sums] = field(default_factory=dict)
    sums: Mapping[str, Sums] = field(default_factory=dict)
    lines: Blocks[int, Line] = field(default_factory=Blocks)
    batches: Blocks[str, Batch] = field(default_factory=Blocks)
    matches: Blocks[str, Match] = field(default_factory=Blocks)
    undone: Blocks[str, bool] = field(default_factory=Blocks)  # matches that were; value unused
    completed: bool = False
    matched_lines: int = 0  # wholly

    @property
    def imported(self) -> bool:
        return bool(self.statement_id)

    @property
    def lines_announced(self) -> int:
        return sum(one.lines for one in self.announced.values())


def person_of(statement_id: str, line_no: int) -> str:
    """The name of a line's key in the vault."""
    return f"statement/{statement_id}/{line_no}"


def batch_of(line_no: int, line: Line | StatementLine) -> str | None:
    """The batch that a line belongs to; a payout that names none is one by itself."""
    if line.batch_id is None and line.kind == "payout":
        return f"line {line_no}"
    return line.batch_id


def evolve(state: Statement, event: Event) -> Statement:
    match event:
        case StatementImported():
            return replace(
                state,
                statement_id=event.statement_id,
                shop=event.shop,
                layout=event.layout,
                method=event.method,
                announced={one.currency: _sums(one) for one in event.totals},
            )
        case StatementLineRecorded():
            return _with_line(state, event)
        case StatementCompleted():
            return replace(state, completed=True)
        case StatementMatched():
            return _with_match(state, event)
        case StatementUnmatched(match_id=match_id):
            return _without_match(state, match_id)
        case ReceiptUnallocated(line_no=line_no):
            return _with_unallocated(state, line_no)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a statement")


def _sums(total: StatementTotal) -> Sums:
    return Sums(total.lines, total.amount_minor, total.fee_minor, total.net_minor)


def _with_line(state: Statement, event: StatementLineRecorded) -> Statement:
    line = Line(
        event.kind,
        event.amount_minor,
        event.fee_minor,
        event.net_minor,
        event.currency,
        event.value_on,
        event.reference,
        event.batch_id,
    )
    return replace(
        state,
        lines=state.lines.put(event.line_no, line),
        batches=_with_batch(state.batches, event.line_no, line),
        sums=add_line(state.sums, event),
    )


def _with_batch(batches: Blocks[str, Batch], line_no: int, line: Line) -> Blocks[str, Batch]:
    name = batch_of(line_no, line)
    if name is None:
        return batches
    # A provider numbers its batches per account, and an account has one currency.
    batch = batches.get(name) or Batch(line.currency)
    if line.kind == "payout":
        return batches.put(name, replace(batch, payout_minor=batch.payout_minor + line.net_minor))
    return batches.put(
        name,
        replace(
            batch,
            gross_minor=batch.gross_minor + line.amount_minor,
            fee_minor=batch.fee_minor + line.fee_minor,
            net_minor=batch.net_minor + line.net_minor,
            lines=batch.lines + 1,
        ),
    )


def _with_match(state: Statement, event: StatementMatched) -> Statement:
    kept = Match(tuple(event.lines), tuple(event.movements))
    changed = _moved(state, event.lines, 1)
    return replace(changed, matches=state.matches.put(event.match_id, kept))


def _without_match(state: Statement, match_id: str) -> Statement:
    kept = state.matches.get(match_id)
    if kept is None:
        return state
    changed = _moved(state, kept.lines, -1)
    return replace(
        changed,
        matches=state.matches.without(match_id),
        undone=state.undone.put(match_id, True),
    )


def _moved(state: Statement, parts: Iterable[LinePart], sign: int) -> Statement:
    lines, whole = state.lines, state.matched_lines
    for part in parts:
        line = lines.get(part.line_no)
        if line is None:
            continue
        matched = line.matched_minor + sign * part.amount_minor
        changed = replace(line, matched_minor=matched, unallocated=False)
        whole += (changed.open_minor == 0) - (line.open_minor == 0)
        lines = lines.put(part.line_no, changed)
    return replace(state, lines=lines, matched_lines=whole)


def _with_unallocated(state: Statement, line_no: int) -> Statement:
    line = state.lines.get(line_no)
    if line is None:
        return state
    return replace(state, lines=state.lines.put(line_no, replace(line, unallocated=True)))


def add_line(
    sums: Mapping[str, Sums], line: StatementLine | StatementLineRecorded
) -> dict[str, Sums]:
    """The sums per currency with one line more."""
    before = sums.get(line.currency) or Sums()
    after = Sums(
        before.lines + 1,
        before.amount_minor + line.amount_minor,
        before.fee_minor + line.fee_minor,
        before.net_minor + line.net_minor,
    )
    return {**sums, line.currency: after}


def totals_of(lines: Iterable[StatementLine]) -> list[StatementTotal]:
    """What lines come to, by currency in alphabetical order."""
    sums: dict[str, Sums] = {}
    for line in lines:
        sums = add_line(sums, line)
    return [StatementTotal(currency=code, **vars(sums[code])) for code in sorted(sums)]


def shown(amount_minor: int, currency: str) -> str:
    """With its currency: a statement may have several."""
    return f"{shown_minor(amount_minor, currency)} {currency}"
