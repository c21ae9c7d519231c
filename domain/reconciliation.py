"""Statements against our money: the commands of reconciliation over all streams they touch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from domain import movement, movement_worth, period, statement_rules
from domain.message import Event, Rejected, StreamName
from domain.movement import Available, Movement, MovementKey
from domain.order_state import Order
from domain.period import BeginClosing, ClosePeriod, Period
from domain.policy import Policy, in_force, policy_stream
from domain.policy_rules import amount
from domain.reconciliation_streams import (
    ReconciliationCommand,
    key_of,
    movement_stream,
    own_stream,
    owner_stream,
    statement_stream,
    zone_claim,
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


class Write(Protocol):
    """Of the desk: states so far, and where facts go."""

    states: dict[StreamName, Any]
    claims: list[tuple[str, str, str]]  # kind, key, owner

    def add(self, stream: StreamName, events: Iterable[Event]) -> None: ...


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
        case BeginClosing():
            _begin_closing(command, write)
        case ClosePeriod():
            write.add(own, period.decide(command, state))


def _begin_closing(command: BeginClosing, write: Write) -> None:
    own, claim = own_stream(command), zone_claim(command.shop)
    zone = write.states[claim]
    if zone not in {None, command.zone}:
        raise Rejected(
            "period_zone_differs",
            f"the months of {command.shop} are closed by the time of {zone}",
            zone=zone,
        )
    events = period.decide(command, write.states[own])
    write.add(own, events)
    if events and zone is None:
        write.claims.append(("period_zone", command.shop, command.zone))


def available(key: MovementKey, states: Mapping[StreamName, Any]) -> Available:
    """What a movement is worth by the stream that owns it. Raises Rejected."""
    owner = states[owner_stream(key)]
    if isinstance(owner, Statement):
        return _batch(key, owner)
    assert isinstance(owner, Order)
    return Available(movement_worth.net_minor(key, owner), owner.currency)


def tolerances(state: Policy, at: datetime) -> Mapping[str, int]:
    """The difference that a match may have, in minor units by currency: the shop's rule of today,
    since what a bank kept is no matter of an order's own terms.
    """
    return in_force(state, at).rules.payment.tolerance


def _batch(key: MovementKey, owner: Statement) -> Available:
    """Gross less fees is net, and net is what the provider says to have paid out."""
    batch = owner.batches.get(key.id)
    if batch is None or not owner.completed:
        raise movement_worth.unknown(key)
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
    allowed = _tolerance(command, write.states, currency)
    difference = _difference(lines, movements, currency, allowed)
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
    movement.require_worth(key, worth, state)
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


def _tolerance(command: MatchLines, states: Mapping[StreamName, Any], currency: str) -> int:
    """Of the shops whose money it is, the smallest; none in a currency that has no rule."""
    shops = {states[owner_stream(key_of(part))].shop for part in command.movements}
    rules = (tolerances(states[policy_stream(shop)], command.at) for shop in shops)
    return min(amount(one, currency) or 0 for one in rules)


def _difference(
    lines: Iterable[LinePart], movements: Iterable[MovementPart], currency: str, allowed: int
) -> int:
    told = sum(part.amount_minor for part in lines)
    ours = sum(part.amount_minor for part in movements)
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
