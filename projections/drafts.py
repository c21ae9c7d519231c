"""The read model of drafts and quotes: what was typed, what it lacks, every offer made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from pydantic import TypeAdapter

from domain import draft_state
from domain.draft_facts import (
    DraftDiscarded,
    DraftOrdered,
    DraftSaved,
    QuoteDeclined,
    QuoteOffered,
)
from domain.draft_state import ORDERED, Draft, Offer
from domain.message import Recorded
from domain.values import quantity_json
from projections.engine import Projection, Table

NAME = "drafts"
VERSION = 1

TOPICS = frozenset(
    kind.TOPIC for kind in (DraftSaved, QuoteOffered, QuoteDeclined, DraftDiscarded, DraftOrdered)
)


@dataclass(frozen=True)
class DraftRow:
    """One draft: the state that decides, and by whom and when it came there."""

    draft: Draft
    started_at: datetime
    started_by: str  # an actor
    changed_at: datetime
    changed_by: str
    version: int  # of the draft's stream
    position: int  # of the last event folded in


_STATE: TypeAdapter[DraftRow] = TypeAdapter(DraftRow)


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.key,)


def fold(row: DraftRow | None, recorded: Recorded) -> DraftRow:
    """Fold one event in; what it means is the decider's own `evolve`."""
    if row is not None and recorded.position <= row.position:
        return row
    event, actor = recorded.event, recorded.actor
    state = draft_state.evolve(Draft() if row is None else row.draft, event)
    started = (event.at, actor) if row is None else (row.started_at, row.started_by)
    return DraftRow(state, *started, event.at, actor, recorded.version, recorded.position)


def load(state: str) -> DraftRow:
    return _STATE.validate_json(state)


def dump(row: DraftRow) -> tuple[Any, ...]:
    state = row.draft
    return (
        state.draft_id,
        state.number,
        state.status,
        state.content.get("shop", "main"),
        state.content.get("channel"),
        state.content.get("customer_id"),
        state.content.get("currency"),
        state.total_minor,
        len(state.checked.missing),
        state.offer and state.offer.offer_no,
        state.offer and state.offer.expires_at,
        row.started_at,
        row.changed_at,
        row.changed_by,
        row.version,
        row.position,
        _STATE.dump_json(row, exclude_defaults=True).decode(),
    )


TABLE = Table(
    columns={
        "draft_id": 'text COLLATE "C"',
        "number": "text",
        "status": "text",
        "shop": "text",
        "channel": "text",
        "customer_id": "text",
        "currency": "text",
        "total_minor": "bigint",  # null as long as it cannot be priced
        "missing": "int",  # fields
        "offer_no": "int",
        "expires_at": "timestamptz",
        "started_at": "timestamptz",
        "changed_at": "timestamptz",
        "changed_by": "text",
        "version": "int",
        "position": "bigint",
        "state": "text",  # JSON of DraftRow
    },
    indexes=(
        "(started_at DESC, draft_id DESC)",
        "(status, started_at DESC, draft_id DESC)",
        "(customer_id, started_at DESC, draft_id DESC)",
    ),
)

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=TABLE,
    keys=keys,
    fold=fold,
    loads=("state",),
    load=load,
    dump=dump,
)

# What a list shows of a draft: nothing personal.
# `expired` is no fact: a quote is that when its time has passed.
SHOWN_STATUS = """CASE WHEN status = 'quoted' AND expires_at <= now() THEN 'expired'
ELSE status END"""
SUMMARY = f"""draft_id, number, {SHOWN_STATUS} AS status, shop, channel, customer_id, currency,
total_minor, missing, offer_no, expires_at, started_at, changed_at, changed_by, version, position"""
LISTED = """SELECT c.position AS at, d.* FROM checkpoint c LEFT JOIN LATERAL (
    SELECT {summary} FROM drafts WHERE {conditions}
    ORDER BY started_at DESC, draft_id DESC LIMIT {limit}) d ON true WHERE c.name = 'drafts'"""
FOUND = """SELECT c.position AS at, d.state FROM checkpoint c
LEFT JOIN drafts d ON d.draft_id = %s WHERE c.name = 'drafts'"""


@dataclass(frozen=True, slots=True)
class DraftFilters:
    """All that are given must hold. Without a status: what may still become an order."""

    status: str | None = None
    customer_id: str | None = None
    shop: str | None = None


async def page(
    connection: AsyncConnection[Any],
    filters: DraftFilters,
    after: tuple[datetime, str] | None,
    limit: int,
) -> tuple[list[dict[str, Any]], int]:
    """At most `limit` drafts, those started last first, and the position reflected."""
    started_at, draft_id = after or (None, None)
    query = sql.SQL(LISTED).format(
        summary=sql.SQL(SUMMARY),
        conditions=sql.SQL(" AND ").join(map(sql.SQL, _conditions(filters, after))),
        limit=limit,
    )
    values = {**asdict(filters), "started_at": started_at, "draft_id": draft_id}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        rows = await cursor.fetchall()
    position = rows[0]["at"] if rows else 0
    found = [row for row in rows if row["draft_id"] is not None]
    return [{name: row[name] for name in row if name != "at"} for row in found], position


def _conditions(filters: DraftFilters, after: Any) -> list[LiteralString]:
    status: LiteralString = "status NOT IN ('discarded', 'ordered')"
    match filters.status:
        case "quoted":
            status = "status = 'quoted' AND expires_at > now()"
        case "expired":
            status = "status = 'quoted' AND expires_at <= now()"
        case str():
            status = "status = %(status)s"
    terms: list[tuple[LiteralString, Any]] = [
        ("customer_id = %(customer_id)s", filters.customer_id),
        ("shop = %(shop)s", filters.shop),
        ("(started_at, draft_id) < (%(started_at)s, %(draft_id)s)", after),
    ]
    return [status, *(condition for condition, value in terms if value is not None)]


async def one(connection: AsyncConnection[Any], draft_id: str) -> tuple[DraftRow | None, int]:
    """A draft and the position reflected."""
    row = await (await connection.execute(FOUND, [draft_id])).fetchone()
    if row is None:
        return None, 0
    return (None if row[1] is None else load(row[1])), row[0]


def view(row: DraftRow, at: datetime) -> dict[str, Any]:
    """All that is known of a draft, personal values sealed. `at`: against which quotes expire."""
    state, found, offer = row.draft, row.draft.checked, row.draft.offer
    expired = offer is not None and offer.status(at) == "expired"
    return {
        "draft_id": state.draft_id,
        "number": state.number,
        "stage": "draft",
        "status": "expired" if expired else state.status,
        "order_id": state.draft_id if state.status == ORDERED else None,
        "content": state.whole,
        "total_minor": state.total_minor,
        "missing": [*found.missing],
        "refused": [asdict(fault) for fault in found.refused],
        "offers": [_offer(one, at) for one in state.offers],
        "started_at": row.started_at,
        "started_by": row.started_by,
        "changed_at": row.changed_at,
        "changed_by": row.changed_by,
        "version": row.version,
        "position": row.position,
    }


def _offer(one: Offer, at: datetime) -> dict[str, Any]:
    return {
        "offer_no": one.offer_no,
        "status": one.status(at),
        "offered_at": one.at,
        "expires_at": one.expires_at,
        "ended_at": one.ended_at,
        "currency": one.currency,
        "shipping_minor": one.shipping_minor,
        "tax_minor": one.tax_minor,
        "total_minor": one.total_minor,
        "lines": [
            {**line.model_dump(), "quantity": quantity_json(line.quantity)} for line in one.lines
        ],
        "text": one.text,
        "reason": one.reason,
    }
