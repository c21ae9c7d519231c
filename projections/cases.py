"""The read model of exception cases over all orders: the worklist. Nothing personal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, LiteralString

import orjson
from psycopg import AsyncConnection

from domain.case_facts import CaseClosed, CaseOpened, CaseReopened, CaseStepTaken
from domain.message import Recorded
from projections import pages
from projections.engine import Projection, Table

NAME = "cases"
VERSION = 1
PAGE_CASES_MAX = 500

TOPICS = frozenset(kind.TOPIC for kind in (CaseOpened, CaseStepTaken, CaseClosed, CaseReopened))


@dataclass(frozen=True, slots=True)
class CaseRow:
    case_key: str  # order/case
    order_id: str
    case_id: str
    kind: str
    blocking: bool
    rule: str | None  # that found it; a person did when absent
    fields: str  # JSON: names of what is missing or wrong
    figures: str  # JSON: what the rule compared
    is_open: bool
    cause: str | None
    steps: int
    opened_at: datetime
    closed_at: datetime | None
    position: int  # of the last event folded in


def keys(recorded: Recorded) -> Sequence[str]:
    return (f"{recorded.key}/{recorded.event.case_id}",)  # type: ignore[attr-defined]


def fold(row: CaseRow | None, recorded: Recorded) -> CaseRow | None:
    event = recorded.event
    if row is None:
        return _opened(event, recorded) if isinstance(event, CaseOpened) else None
    if recorded.position <= row.position:
        return row
    row = replace(row, position=recorded.position)
    match event:
        case CaseStepTaken():
            return replace(row, steps=row.steps + 1, cause=event.cause or row.cause)
        case CaseClosed():
            return replace(row, is_open=False, cause=event.cause, closed_at=event.at)
        case CaseReopened():
            return replace(row, is_open=True, closed_at=None)
        case _:
            return row


def _opened(event: CaseOpened, recorded: Recorded) -> CaseRow:
    return CaseRow(
        f"{recorded.key}/{event.case_id}",
        recorded.key,
        event.case_id,
        event.kind,
        event.blocking,
        event.rule,
        orjson.dumps(event.fields or []).decode(),
        orjson.dumps(event.figures).decode(),
        is_open=True,
        cause=None,
        steps=0,
        opened_at=event.at,
        closed_at=None,
        position=recorded.position,
    )


COLUMNS: dict[LiteralString, LiteralString] = {
    "case_key": 'text COLLATE "C"',
    "order_id": "text",
    "case_id": "text",
    "kind": "text",
    "blocking": "boolean",
    "rule": "text",
    "fields": "text",
    "figures": "text",
    "is_open": "boolean",
    "cause": "text",
    "steps": "int",
    "opened_at": "timestamptz",
    "closed_at": "timestamptz",
    "position": "bigint",
}

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=Table(
        columns=COLUMNS,
        indexes=("(opened_at, case_key)", "(opened_at, case_key) WHERE is_open"),
    ),
    keys=keys,
    fold=fold,
    loads=tuple(COLUMNS),
    load=CaseRow,
    dump=attrgetter(*COLUMNS),
)

# Number, shop and status of the order are those of its own read model, which may be a little ahead
# or behind.
LISTED = """SELECT p.position AS at, s.* FROM checkpoint p LEFT JOIN LATERAL (
    SELECT c.*, o.number, o.shop, o.customer_id, o.status AS order_status,
        t.order_id AS twin_id, t.number AS twin_number, t.status AS twin_status FROM cases c
    LEFT JOIN order_status o ON o.order_id = c.order_id
    LEFT JOIN order_status t ON t.order_id =
        CASE WHEN c.rule = 'duplicate' THEN c.figures::jsonb->>'of_order_id' END
    WHERE {conditions} ORDER BY c.opened_at, c.case_key LIMIT {limit}) s ON true
WHERE p.name = 'cases'"""


@dataclass(frozen=True, slots=True)
class CaseFilters:
    """All that are given must hold."""

    kind: str | None = None
    blocking: bool | None = None
    open: bool | None = None


Cursor = tuple[datetime, str]  # opened_at and case_key of the last case of the page before


async def page(
    connection: AsyncConnection[Any], filters: CaseFilters, after: Cursor | None, limit: int
) -> dict[str, Any]:
    """{items, next: Cursor | None, position}: the oldest first, since they wait longest."""
    assert 0 < limit <= PAGE_CASES_MAX
    conditions, values = _conditions(filters, after)
    place = ("opened_at", "case_key")
    return await pages.page(
        connection, LISTED, conditions, values, place=place, limit=limit, item=_item
    )


def _conditions(
    filters: CaseFilters, after: Cursor | None
) -> tuple[list[LiteralString], dict[str, Any]]:
    opened_at, case_key = after or (None, None)
    values = {
        "kind": filters.kind,
        "blocking": filters.blocking,
        "open": filters.open,
        "at": opened_at,
        "key": case_key,
    }
    terms: list[tuple[str, LiteralString]] = [
        ("kind", "c.kind = %(kind)s"),
        ("blocking", "c.blocking = %(blocking)s"),
        ("open", "c.is_open = %(open)s"),
        ("at", "(c.opened_at, c.case_key) > (%(at)s, %(key)s)"),
    ]
    given = [condition for name, condition in terms if values[name] is not None]
    return ["true", *given], values


def _item(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _INNER}
    read = {name: orjson.loads(row[name]) for name in ("fields", "figures")}
    return {**shown, "open": row["is_open"], "duplicate_of": _twin(row), **read}


def _twin(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["twin_id"] is None:
        return None
    return {
        "order_id": row["twin_id"],
        "number": row["twin_number"],
        "order_status": row["twin_status"],
    }


_TWIN = ("twin_id", "twin_number", "twin_status")
_INNER = frozenset({"at", "case_key", "is_open", "position", *_TWIN})
