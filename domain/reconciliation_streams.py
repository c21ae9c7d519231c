"""The streams of statements, movements and periods, and which ones their commands need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from domain.message import Command, StreamName
from domain.movement import MovementKey
from domain.period import BeginClosing, ClosePeriod, period_key
from domain.policy import policy_stream
from domain.statement import Statement, person_of
from domain.statement_commands import (
    ImportStatement,
    LeaveUnallocated,
    MatchLines,
    MovementPartBody,
    RecordLines,
    StatementCommand,
    UnmatchLines,
)
from domain.statement_facts import MovementPart

ReconciliationCommand: TypeAlias = StatementCommand | BeginClosing | ClosePeriod
COMMANDS = (
    ImportStatement,
    RecordLines,
    MatchLines,
    UnmatchLines,
    LeaveUnallocated,
    BeginClosing,
    ClosePeriod,
)


def statement_stream(statement_id: str) -> StreamName:
    return StreamName("statement", statement_id)


def movement_stream(key: MovementKey) -> StreamName:
    return StreamName("movement", key.stream_key)


def period_stream(shop: str, month: str) -> StreamName:
    return StreamName("period", period_key(shop, month))


def zone_claim(shop: str) -> StreamName:
    """Owned by the time zone of all the shop's months: with two, a fact at midnight would be of no
    month, or of both.
    """
    return StreamName("claim:period_zone", shop)


def key_of(part: MovementPart | MovementPartBody) -> MovementKey:
    return MovementKey(part.kind, part.owner, part.id)


def owner_stream(key: MovementKey) -> StreamName:
    """Where stands what a movement is worth."""
    if key.kind == "payout":
        return statement_stream(key.owner)
    return StreamName("order", key.owner)


def own_stream(command: ReconciliationCommand) -> StreamName:
    """The stream that a command is about."""
    match command:
        case BeginClosing() | ClosePeriod():
            return period_stream(command.shop, command.month)
        case _:
            return statement_stream(command.statement_id)


def streams(
    command: ReconciliationCommand, loaded: Mapping[StreamName, Any]
) -> frozenset[StreamName]:
    own = own_stream(command)
    match command:
        case MatchLines():
            keys = [key_of(part) for part in command.movements]
            owners = {owner_stream(key) for key in keys}
            shops = {loaded[name].shop for name in owners & loaded.keys()} - {""}
            return frozenset(
                {own, *map(movement_stream, keys), *owners, *map(policy_stream, shops)}
            )
        case BeginClosing():
            return frozenset({own, zone_claim(command.shop)})
        case UnmatchLines():
            state: Statement = loaded.get(own) or Statement()
            kept = state.matches.get(command.match_id)
            parts = kept.movements if kept else ()
            return frozenset({own, *(movement_stream(key_of(part)) for part in parts)})
        case _:
            return frozenset({own})


def persons(command: Command, states: Mapping[StreamName, Any]) -> set[str]:
    """Whose keys the facts of a command may be sealed under."""
    match command:
        case RecordLines():
            return {person_of(command.statement_id, line.line_no) for line in command.lines}
        case LeaveUnallocated():
            return {person_of(command.statement_id, command.line_no)}
        case UnmatchLines():
            state: Statement = states.get(statement_stream(command.statement_id)) or Statement()
            kept = state.matches.get(command.match_id)
            return {person_of(command.statement_id, kept.lines[0].line_no)} if kept else set()
        case _:
            return set()
