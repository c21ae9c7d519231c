"""The read model of statement lines: what each tells, how much of it is matched, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson

from domain.message import Recorded, Sealed
from domain.statement_facts import (
    ReceiptUnallocated,
    StatementLineRecorded,
    StatementMatched,
    StatementUnmatched,
)
from projections.engine import Projection, Table

NAME = "statement_lines"
VERSION = 1
# Fees are money that is booked as it stands; payouts are matched by the bank's line for them.
UNMATCHED_KINDS = ("fee", "payout")

TOPICS = frozenset(
    kind.TOPIC
    for kind in (StatementLineRecorded, StatementMatched, StatementUnmatched, ReceiptUnallocated)
)


@dataclass(frozen=True, slots=True)
class LineRow:
    line: str  # statement/number
    statement_id: str
    line_no: int
    kind: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    value_on: str
    value_at: datetime
    timed: bool
    reference: str | None
    batch_id: str | None
    counterparty: str | None  # JSON of the sealed value, as the next two
    text: str | None
    verbatim: str | None
    matched_minor: int
    unallocated: bool
    matches: str  # JSON: [{match_id, amount_minor, movements, by, score, reasons, …}]
    position: int  # of the last event folded in

    @property
    def open_minor(self) -> int:
        return self.amount_minor - self.matched_minor

    @property
    def state(self) -> str:
        if self.kind in UNMATCHED_KINDS:
            return "booked"
        if self.open_minor == 0:
            return "matched"
        if self.unallocated:
            return "unallocated"
        return "partly_matched" if self.matched_minor else "unmatched"


def line_key(statement_id: str, line_no: int) -> str:
    return f"{statement_id}/{line_no}"


def keys(recorded: Recorded) -> Sequence[str]:
    match event := recorded.event:
        case StatementMatched() | StatementUnmatched():
            return [line_key(event.statement_id, part.line_no) for part in event.lines]
        case StatementLineRecorded() | ReceiptUnallocated():
            return (line_key(event.statement_id, event.line_no),)
        case _:
            raise TypeError(event.TOPIC)


def fold(row: LineRow | None, recorded: Recorded) -> LineRow | None:
    event = recorded.event
    if row is None:
        return _recorded(event, recorded) if isinstance(event, StatementLineRecorded) else None
    if recorded.position <= row.position:
        return row
    match event:
        case StatementMatched():
            return _matched(row, event, recorded)
        case StatementUnmatched():
            return _unmatched(row, event, recorded)
        case ReceiptUnallocated():
            return replace(row, unallocated=True, position=recorded.position)
        case _:
            return row


def _recorded(event: StatementLineRecorded, recorded: Recorded) -> LineRow:
    return LineRow(
        line_key(event.statement_id, event.line_no),
        event.statement_id,
        event.line_no,
        event.kind,
        event.amount_minor,
        event.fee_minor,
        event.net_minor,
        event.currency,
        event.value_on,
        event.at,
        event.timed,
        event.reference,
        event.batch_id,
        _sealed(event.counterparty),
        _sealed(event.text),
        _sealed(event.verbatim),
        matched_minor=0,
        unallocated=False,
        matches="[]",
        position=recorded.position,
    )


def _sealed(value: Any) -> str | None:
    return value.model_dump_json() if isinstance(value, Sealed) else None


def _matched(row: LineRow, event: StatementMatched, recorded: Recorded) -> LineRow:
    amount = sum(part.amount_minor for part in event.lines if part.line_no == row.line_no)
    told = {
        "match_id": event.match_id,
        "amount_minor": amount,
        "lines": [part.model_dump() for part in event.lines],
        "movements": [part.model_dump() for part in event.movements],
        "by": event.by,
        "actor": recorded.actor,
        "score": event.score,
        "reasons": event.reasons,
        "difference_minor": event.difference_minor,
        "position": recorded.position,
    }
    return replace(
        row,
        matched_minor=row.matched_minor + amount,
        unallocated=False,
        matches=orjson.dumps([*orjson.loads(row.matches), told]).decode(),
        position=recorded.position,
    )


def _unmatched(row: LineRow, event: StatementUnmatched, recorded: Recorded) -> LineRow:
    matches = orjson.loads(row.matches)
    gone = sum(one["amount_minor"] for one in matches if one["match_id"] == event.match_id)
    left = [one for one in matches if one["match_id"] != event.match_id]
    return replace(
        row,
        matched_minor=row.matched_minor - gone,
        matches=orjson.dumps(left).decode(),
        position=recorded.position,
    )


LOADS = tuple(one.name for one in fields(LineRow))

TABLE = Table(
    columns={
        "line": 'text COLLATE "C"',
        "statement_id": "text",
        "line_no": "int",
        "kind": "text",
        "amount_minor": "bigint",
        "fee_minor": "bigint",
        "net_minor": "bigint",
        "currency": "text",
        "value_on": "text",
        "value_at": "timestamptz",
        "timed": "boolean",
        "reference": "text",
        "batch_id": "text",
        "counterparty": "text",
        "text": "text",
        "verbatim": "text",
        "matched_minor": "bigint",
        "unallocated": "boolean",
        "matches": "text",
        "position": "bigint",
        "open_minor": "bigint",
        "state": "text",
    },
    indexes=(
        "(statement_id, line_no)",
        "(value_at DESC, line DESC) WHERE state NOT IN ('matched', 'booked')",
    ),
)

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=TABLE,
    keys=keys,
    fold=fold,
    loads=LOADS,
    load=LineRow,
    dump=attrgetter(*TABLE.columns),
)
