"""The read model of what payment providers told: applied, waiting, or set aside for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from domain.message import Recorded
from domain.provider_facts import NoticeApplied, NoticeAssigned, NoticeReceived, NoticeSetAside
from projections.engine import Projection, Table

NAME = "provider_notices"
VERSION = 1

TOPICS = frozenset(
    {NoticeReceived.TOPIC, NoticeApplied.TOPIC, NoticeSetAside.TOPIC, NoticeAssigned.TOPIC}
)


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """Minor units. `status`: received, applied, set_aside; `outcome`: how, or why not."""

    key: str
    provider: str
    notice_id: str
    kind: str
    order_ref: str
    order_id: str | None
    payment: str
    method: str
    amount_minor: int
    currency: str
    status: str
    outcome: str | None
    occurred_at: datetime
    received_at: datetime
    position: int  # of the last event folded in


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.key,)


def fold(row: NoticeRow | None, recorded: Recorded) -> NoticeRow | None:
    event, position = recorded.event, recorded.position
    if row is not None and position <= row.position:
        return row
    match event:
        case NoticeReceived():
            return _received(event, recorded)
        case NoticeApplied(order_id=order_id, outcome=outcome) if row is not None:
            return replace(
                row, status="applied", order_id=order_id, outcome=outcome, position=position
            )
        case NoticeSetAside(code=code) if row is not None:
            return replace(row, status="set_aside", outcome=code, position=position)
        case NoticeAssigned(order_id=order_id) if row is not None:
            return replace(
                row, status="received", order_id=order_id, outcome=None, position=position
            )
        case _:
            return row


def _received(event: NoticeReceived, recorded: Recorded) -> NoticeRow:
    return NoticeRow(
        key=recorded.key,
        provider=event.provider,
        notice_id=event.notice_id,
        kind=event.kind,
        order_ref=event.order_ref,
        order_id=None,
        payment=event.payment,
        method=event.method,
        amount_minor=event.amount_minor,
        currency=event.currency,
        status="received",
        outcome=None,
        occurred_at=event.at,
        received_at=recorded.recorded_at,
        position=recorded.position,
    )


COLUMNS = {
    "key": 'text COLLATE "C"',
    "provider": "text",
    "notice_id": "text",
    "kind": "text",
    "order_ref": "text",
    "order_id": "text",
    "payment": "text",
    "method": "text",
    "amount_minor": "bigint",
    "currency": "text",
    "status": "text",
    "outcome": "text",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "position": "bigint",
}

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=Table(columns=COLUMNS, indexes=("(provider, status, received_at DESC, key DESC)",)),
    keys=keys,
    fold=fold,
    loads=tuple(COLUMNS),
    load=NoticeRow,
    dump=attrgetter(*COLUMNS),
)

SHOWN = ", ".join(name for name in COLUMNS if name not in {"key", "position"})
PAGE = f"""SELECT key, {SHOWN} FROM provider_notices
WHERE provider = %(provider)s AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(at)s::timestamptz IS NULL OR (received_at, key) < (%(at)s, %(key)s))
ORDER BY received_at DESC, key DESC LIMIT %(limit)s"""


async def page(
    connection: AsyncConnection[Any],
    provider: str,
    status: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Notices of a provider, those received last first."""
    at, key = after or (None, None)
    asked = {"provider": provider, "status": status, "at": at, "key": key, "limit": limit}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(PAGE, asked)
        return await cursor.fetchall()
