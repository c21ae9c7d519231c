"""What may be asked of a statement: announce it, record its lines, undo, leave unallocated."""

from __future__ import annotations

from collections.abc import Mapping

from domain.message import Event, Rejected
from domain.statement import Line, Statement, Sums, add_line, person_of, shown
from domain.statement_commands import (
    ImportStatement,
    LeaveUnallocated,
    RecordLines,
    StatementLine,
    UnmatchLines,
)
from domain.statement_facts import (
    ReceiptUnallocated,
    StatementCompleted,
    StatementImported,
    StatementLineRecorded,
    StatementTotal,
    StatementUnmatched,
    UnreadableLine,
    Verbatim,
)


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
