"""A bank's or provider's statement: its lines, each once, and what money of ours they tell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.blocks import Blocks
from domain.frozen import replace
from domain.message import Event, Rejected
from domain.money import format_minor
from domain.statement_commands import (
    ImportStatement,
    LeaveUnallocated,
    RecordLines,
    StatementLine,
    UnmatchLines,
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
    UnreadableLine,
    Verbatim,
)

DIFFERENCES_SHOWN_MAX = 20


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


# -- evolve ------------------------------------------------------------------------------------


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


# -- decide ------------------------------------------------------------------------------------


def announce(command: ImportStatement, state: Statement) -> list[Event]:
    """[] for a file that was imported before: the first import stands."""
    if state.imported:
        return []
    return [
        StatementImported(
            statement_id=command.statement_id,
            shop=command.shop,
            layout=command.layout,
            method=command.method,
            account=command.account,
            file_name=command.file_name,
            file_bytes=command.file_bytes,
            lines=command.lines,
            totals=[StatementTotal(**dict(total)) for total in command.totals],
            unreadable=[UnreadableLine(**dict(row)) for row in command.unreadable],
            at=command.at,
        )
    ]


def record(command: RecordLines, state: Statement) -> list[Event]:
    """The lines that are not in yet; with the last one the statement is complete.

    Raises Rejected: `line_differs` for a line that is in with other amounts, `totals_differ` when
    the lines do not come to what was announced.
    """
    require_imported(state, command.statement_id)
    events: list[Event] = []
    sums: Mapping[str, Sums] = state.sums
    seen: set[int] = set()
    for line in command.lines:
        known = state.lines.get(line.line_no)
        if line.line_no in seen or (known is not None and not _same(known, line)):
            raise Rejected("line_differs", f"line {line.line_no}", line_no=line.line_no)
        seen.add(line.line_no)
        if known is None:
            events.append(_line_recorded(command, line))
            sums = add_line(sums, line)
    if sum(one.lines for one in sums.values()) >= state.lines_announced and not state.completed:
        _require_announced(sums, state)
        events.append(StatementCompleted(statement_id=command.statement_id, at=command.at))
    elif events and state.completed:
        raise Rejected("statement_complete", "all of its lines are in")
    return events


def _same(known: Line, line: StatementLine) -> bool:
    told = (line.kind, line.amount_minor, line.fee_minor, line.currency, line.value_on)
    return told == (
        known.kind,
        known.amount_minor,
        known.fee_minor,
        known.currency,
        known.value_on,
    )


def _line_recorded(command: RecordLines, line: StatementLine) -> Event:
    verbatim = Verbatim(columns=line.verbatim) if line.verbatim else None
    values = {**dict(line), "verbatim": verbatim}
    return StatementLineRecorded(
        statement_id=command.statement_id,
        person=person_of(command.statement_id, line.line_no),
        **values,
    )


def _require_announced(sums: Mapping[str, Sums], state: Statement) -> None:
    differing = {
        code: {
            "announced": vars(state.announced.get(code) or Sums()),
            "found": vars(sums.get(code) or Sums()),
        }
        for code in sorted({*sums, *state.announced})
        if sums.get(code) != state.announced.get(code)
    }
    if differing:
        raise Rejected(
            "totals_differ",
            f"the lines do not come to what was announced in {', '.join(differing)}",
            currencies=differing,
        )


def unmatch(command: UnmatchLines, state: Statement) -> list[Event]:
    """Undo a match. Raises Rejected `match_not_found`."""
    require_imported(state, command.statement_id)
    kept = state.matches.get(command.match_id)
    if kept is None:
        raise Rejected("match_not_found", match_id=command.match_id)
    return [
        StatementUnmatched(
            statement_id=command.statement_id,
            match_id=command.match_id,
            lines=[*kept.lines],
            movements=[*kept.movements],
            person=person_of(command.statement_id, kept.lines[0].line_no),
            reason=command.reason,
            at=command.at,
        )
    ]


def leave_unallocated(command: LeaveUnallocated, state: Statement) -> list[Event]:
    """Raises Rejected `line_unknown`, `line_matched`, or `no_receipt` for money that went out."""
    require_complete(state, command.statement_id)
    line = known_line(state, command.line_no)
    if line.unallocated:
        return []
    if line.open_minor == 0:
        raise Rejected(
            "line_matched", f"line {command.line_no} is matched", line_no=command.line_no
        )
    if line.open_minor < 0:
        raise Rejected(
            "no_receipt",
            f"line {command.line_no}: {shown(line.open_minor, line.currency)} went out",
            line_no=command.line_no,
        )
    return [
        ReceiptUnallocated(
            statement_id=command.statement_id,
            line_no=command.line_no,
            amount_minor=line.open_minor,
            currency=line.currency,
            person=person_of(command.statement_id, command.line_no),
            note=command.note,
            at=command.at,
        )
    ]


def require_imported(state: Statement, statement_id: str) -> None:
    if not state.imported:
        raise Rejected("statement_not_found", statement_id=statement_id)


def require_complete(state: Statement, statement_id: str) -> None:
    require_imported(state, statement_id)
    if not state.completed:
        raise Rejected(
            "statement_incomplete",
            f"{len(state.lines)} of {state.lines_announced} lines are in: import the file again",
            lines=len(state.lines),
            announced=state.lines_announced,
        )


def known_line(state: Statement, line_no: int) -> Line:
    line = state.lines.get(line_no)
    if line is None:
        raise Rejected("line_unknown", f"there is no line {line_no}", line_no=line_no)
    return line


def shown(amount_minor: int, currency: str) -> str:
    """As people read it; imports may have a currency that nobody knows."""
    try:
        return f"{format_minor(amount_minor, currency)} {currency}"
    except ValueError:
        return f"{amount_minor} {currency}"
