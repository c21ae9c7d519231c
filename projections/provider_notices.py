"""The read model of what payment providers told: applied, waiting, or set aside for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from domain.message import Recorded, Sealed
from domain.provider_facts import NoticeApplied, NoticeAssigned, NoticeReceived, NoticeSetAside
from projections.engine import Projection, Table

NAME = "provider_notices"
VERSION = 2

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
    shop: str
    payment: str
    capture: str | None
    method: str
    amount_minor: int
    fee_minor: int | None
    currency: str
    payer: str | None  # JSON of the sealed value
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
        shop=event.shop,
        payment=event.payment,
        capture=event.capture,
        method=event.method,
        amount_minor=event.amount_minor,
        fee_minor=event.fee_minor,
        currency=event.currency,
        payer=event.payer.model_dump_json() if isinstance(event.payer, Sealed) else None,
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
    "shop": "text",
    "payment": "text",
    "capture": "text",
    "method": "text",
    "amount_minor": "bigint",
    "fee_minor": "bigint",
    "currency": "text",
    "payer": "text",
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
    table=Table(
        columns=COLUMNS,
        indexes=(
            "(provider, status, received_at DESC, key DESC)",
            "(currency, amount_minor) WHERE status = 'set_aside'",
        ),
    ),
    keys=keys,
    fold=fold,
    loads=tuple(COLUMNS),
    load=NoticeRow,
    dump=attrgetter(*COLUMNS),
)

# The one notice that was set aside whose money a statement's open line `l` (of statement `s`) tells
# of: by the provider's id of it, and the sum. Of lines that say the same it belongs to the first.
OF_LINE = """LEFT JOIN LATERAL (
    SELECT c.provider, c.notice_id, c.order_ref, c.payment, c.capture, c.method, c.outcome,
        c.fee_minor, c.payer, c.occurred_at
    FROM provider_notices c
    WHERE l.state IN ('unmatched', 'unallocated') AND l.amount_minor > 0
      AND c.status = 'set_aside' AND c.outcome <> 'conflicting_notice'
      AND c.kind = 'captured' AND c.shop = s.shop
      AND c.currency = l.currency AND c.amount_minor = l.amount_minor
      AND l.reference IN (c.payment, c.capture)
      AND NOT EXISTS (
        SELECT FROM statement_lines e JOIN statements o USING (statement_id)
        WHERE e.reference = l.reference AND e.currency = l.currency AND o.shop = s.shop
          AND e.amount_minor = l.amount_minor AND e.state IN ('unmatched', 'unallocated')
          AND (e.value_at, e.line) < (l.value_at, l.line))
    ORDER BY c.occurred_at, c.key LIMIT 1
) c ON true"""
# Money that came in and belongs to nothing that we know, though a provider told of it.
LINE_STATE = """CASE WHEN l.state = 'unmatched' AND c.notice_id IS NOT NULL THEN 'unallocated'
ELSE l.state END"""
RECEIPT = """(SELECT json_build_object('statement_id', l.statement_id, 'line_no', l.line_no)
FROM statement_lines l JOIN statements s USING (statement_id)
WHERE n.status = 'set_aside' AND n.outcome <> 'conflicting_notice'
  AND n.kind = 'captured' AND n.shop = s.shop
  AND l.currency = n.currency AND l.amount_minor = n.amount_minor
  AND l.reference IN (n.payment, n.capture) AND l.state IN ('unmatched', 'unallocated')
ORDER BY l.value_at, l.line LIMIT 1) AS receipt"""

SHOWN = ", ".join(name for name in COLUMNS if name not in {"key", "position", "shop"})
PAGE = f"""SELECT key, {SHOWN}, {RECEIPT} FROM provider_notices n
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
        rows = await cursor.fetchall()
    return [{**row, "payer": sealed(row["payer"])} for row in rows]


def sealed(text: str | None) -> Sealed | None:
    """A personal value as it stands in a row."""
    return None if text is None else Sealed.model_validate_json(text)
