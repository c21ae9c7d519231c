"""Statements against our money: the commands of reconciliation over all streams they touch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Protocol

from domain import movement, period, statement_rules
from domain.message import Event, Rejected, StreamName
from domain.money import CURRENCIES, minor_digits
from domain.movement import Available, Movement, MovementKey
from domain.order_state import Order
from domain.period import BeginClosing, ClosePeriod, Period
from domain.reconciliation_streams import (
    ReconciliationCommand,
    key_of,
    movement_stream,
    own_stream,
    owner_stream,
    statement_stream,
)
from domain.statement import Statement, shown
from domain.statement_commands import (
    ImportStatement,
    LeaveUnallocated,
    LinePartBody,
    MatchLines,
    RecordLines,
    UnmatchLines,
)
from domain.statement_facts import LinePart, MovementPart, StatementMatched

COMPLETE = "imported"  # the status of a statement all lines of which are in
TOLERANCE_MAJOR = 1  # DOMAIN.md, 'Payment': differences up to 1.00 are written off


class Write(Protocol):
    """Of the desk: states so far, and where facts go."""

    states: dict[StreamName, Any]

    def add(self, stream: StreamName, events: Iterable[Event]) -> None: ...


def tolerance_minor(currency: str) -> int:
    """The difference that a match may have: 100 of CNY, 1 of JPY; none of an unknown currency."""
    try:
        return int(TOLERANCE_MAJOR * 10 ** minor_digits(currency))
    except ValueError:
        return 0


TOLERANCES = {code: tolerance_minor(code) for code in sorted(CURRENCIES)}


def decide(command: ReconciliationCommand, write: Write) -> None:
    """Add the command's facts. Raises Rejected."""
    own = own_stream(command)
    state = write.states[own]
    match command:
        case ImportStatement():
            write.add(own, statement_rules.announce(command, state))
        case RecordLines():
            write.add(own, statement_rules.record(command, state))
        case LeaveUnallocated():
            write.add(own, statement_rules.leave_unallocated(command, state))
        case MatchLines():
            _match(command, write)
        case UnmatchLines():
            _unmatch(command, write)
        case BeginClosing() | ClosePeriod():
            write.add(own, period.decide(command, state))


def available(key: MovementKey, states: Mapping[StreamName, Any]) -> Available:
    """What a movement is worth by the stream that owns it. Raises Rejected."""
    owner = states[owner_stream(key)]
    if isinstance(owner, Statement):
        return _batch(key, owner)
    assert isinstance(owner, Order)
    if key.kind == "capture" and key.id in owner.payments:
        return Available(owner.payments[key.id].amount_minor, owner.currency)
    refund = owner.refunds.get(key.id)
    if key.kind == "refund" and refund is not None and refund.paid:
        return Available(-refund.amount_minor, owner.currency)
    raise _unknown(key)


def _batch(key: MovementKey, owner: Statement) -> Available:
    """Gross less fees is net, and net is what the provider says to have paid out."""
    batch = owner.batches.get(key.id)
    if batch is None or not owner.completed:
        raise _unknown(key)
    if not batch.agrees:
        raise Rejected(
            "batch_differs",
            f"batch {key.id}: {shown(batch.gross_minor, batch.currency)} less fees of "
            f"{shown(batch.fee_minor, batch.currency)} is "
            f"{shown(batch.net_minor, batch.currency)}, paid out were "
            f"{shown(-batch.payout_minor, batch.currency)}",
            gross_minor=batch.gross_minor,
            fee_minor=batch.fee_minor,
            net_minor=batch.net_minor,
            paid_out_minor=-batch.payout_minor,
        )
    return Available(batch.due_minor, batch.currency)


def _unknown(key: MovementKey) -> Rejected:
    return Rejected(
        "movement_unknown", f"there is no {key.kind} {key.id} of {key.owner}", **key._asdict()
    )


def _match(command: MatchLines, write: Write) -> None:
    own = statement_stream(command.statement_id)
    state: Statement = write.states[own]
    statement_rules.require_complete(state, command.statement_id)
    if command.match_id in state.matches:
        return
    if command.by == "rule" and command.match_id in state.undone:
        raise Rejected("match_undone", "a person undid this match", match_id=command.match_id)
    lines = [_line_part(part, state) for part in command.lines]
    worth = {key_of(part): available(key_of(part), write.states) for part in command.movements}
    movements = [_movement_part(part, worth[key_of(part)], write) for part in command.movements]
    currency = _one_currency(lines, worth.values(), state)
    difference = _difference(lines, movements, currency)
    write.add(
        own,
        [
            StatementMatched(
                statement_id=command.statement_id,
                match_id=command.match_id,
                lines=lines,
                movements=movements,
                currency=currency,
                by=command.by,
                score=command.score,
                reasons=command.reasons,
                difference_minor=difference,
                at=command.at,
            )
        ],
    )
    match = (command.statement_id, command.match_id)
    for part in movements:
        key = key_of(part)
        stream = movement_stream(key)
        taken = movement.reconcile(
            key, part.amount_minor, worth[key], write.states[stream], match, command.at
        )
        write.add(stream, taken)


def _line_part(part: LinePartBody, state: Statement) -> LinePart:
    line = statement_rules.known_line(state, part.line_no)
    asked = line.open_minor if part.amount_minor is None else part.amount_minor
    if asked == 0 or asked * line.open_minor <= 0 or abs(asked) > abs(line.open_minor):
        raise Rejected(
            "line_matched",
            f"line {part.line_no}: {shown(asked, line.currency)} asked, "
            f"{shown(line.open_minor, line.currency)} open",
            line_no=part.line_no,
            asked_minor=asked,
            open_minor=line.open_minor,
        )
    return LinePart(line_no=part.line_no, amount_minor=asked)


def _movement_part(part: Any, worth: Available, write: Write) -> MovementPart:
    key = key_of(part)
    state: Movement = write.states[movement_stream(key)]
    asked = part.amount_minor
    amount = movement.open_minor(state, worth) if asked is None else asked
    return MovementPart(**key._asdict(), amount_minor=amount)


def _one_currency(lines: Iterable[LinePart], worth: Iterable[Available], state: Statement) -> str:
    found = {state.lines[part.line_no].currency for part in lines}
    found |= {one.currency for one in worth}
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise Rejected("currency_differs", f"a match has one currency, these have {names}")
    return found.pop()


def _difference(lines: Iterable[LinePart], movements: Iterable[MovementPart], currency: str) -> int:
    told = sum(part.amount_minor for part in lines)
    ours = sum(part.amount_minor for part in movements)
    allowed = tolerance_minor(currency)
    if abs(told - ours) > allowed:
        raise Rejected(
            "match_differs",
            f"the lines come to {shown(told, currency)}, the movements to {shown(ours, currency)}; "
            f"{shown(allowed, currency)} may be written off",
            lines_minor=told,
            movements_minor=ours,
            tolerance_minor=allowed,
        )
    return told - ours


def _unmatch(command: UnmatchLines, write: Write) -> None:
    own = statement_stream(command.statement_id)
    state: Statement = write.states[own]
    events = statement_rules.unmatch(command, state)
    parts = state.matches[command.match_id].movements
    write.add(own, events)
    match = (command.statement_id, command.match_id)
    for key in map(key_of, parts):
        stream = movement_stream(key)
        write.add(stream, movement.release(key, write.states[stream], match, command.at))


def match_name(lines: Iterable[int], movements: Iterable[MovementKey]) -> str:
    """The id of a match that a rule makes: the same lines and movements, the same id, so that what
    a person has undone is not done again.
    """
    told = ",".join(map(str, sorted(lines)))
    ours = ",".join(key.stream_key for key in sorted(movements))
    return f"rule-{sha256(f'{told}|{ours}'.encode()).hexdigest()[:32]}"


# -- answers -----------------------------------------------------------------------------------


def answer(
    command: ReconciliationCommand,
    states: Mapping[StreamName, Any],
    versions: Mapping[StreamName, int],
) -> dict[str, Any]:
    """What the client is told, as JSON data."""
    own = own_stream(command)
    state = states[own]
    if isinstance(state, Period):
        assert isinstance(command, BeginClosing | ClosePeriod)
        return {
            "shop": command.shop,
            "month": command.month,
            "version": versions[own],
            "status": state.stage,
        }
    told = statement_answer(state, versions[own])
    match command:
        case MatchLines(match_id=match_id) | UnmatchLines(match_id=match_id):
            return {**told, "match_id": match_id}
        case LeaveUnallocated(line_no=line_no):
            return {**told, "line_no": line_no}
        case _:
            return told


def statement_answer(state: Statement, version: int) -> dict[str, Any]:
    return {
        "statement_id": state.statement_id,
        "version": version,
        "status": status(state),
        "lines": len(state.lines),
        "lines_announced": state.lines_announced,
        "matched_lines": state.matched_lines,
    }


def status(state: Statement) -> str:
    return COMPLETE if state.completed else "incomplete"
