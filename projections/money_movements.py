"""The read model of our money: each capture, paid refund and provider's payout, and how much of it
statements have told of.

Signed as our account sees it: above 0 came in, below 0 went out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import attrgetter

import orjson

from domain.message import Event, Recorded, Sealed
from domain.movement import MovementKey
from domain.order_facts import PaymentCaptured, RefundFailed, RefundPaid
from domain.statement import batch_of
from domain.statement_facts import MovementReconciled, MovementReleased, StatementLineRecorded
from projections.engine import Projection, Table

NAME = "money_movements"
VERSION = 2

TOPICS = frozenset(
    kind.TOPIC
    for kind in (
        PaymentCaptured,
        RefundPaid,
        RefundFailed,
        StatementLineRecorded,
        MovementReconciled,
        MovementReleased,
    )
)


@dataclass(frozen=True, slots=True)
class MovementRow:
    """`movement` is the key of the movement's stream. Of an order's the currency is the order's."""

    movement: str
    kind: str
    owner: str
    id: str
    method: str | None
    reference: str | None
    currency: str | None
    origin: str
    payer: str | None  # JSON of the sealed value
    occurred_at: datetime
    gross_minor: int
    fee_minor: int
    net_minor: int
    payout_minor: int  # what the payout lines of a batch say, below 0
    lines: int  # of a batch, without its payout
    matches: str  # JSON: [[statement, match, amount]]
    position: int  # of the last event folded in
    taken_minor: int = field(default=0)

    @property
    def amount_minor(self) -> int:
        """As `domain.reconciliation.available` has it."""
        if self.kind == "payout" and not self.lines:
            return -self.payout_minor
        return self.net_minor

    @property
    def open_minor(self) -> int:
        return self.amount_minor - self.taken_minor

    @property
    def state(self) -> str:
        if self.open_minor == 0:
            return "matched"
        return "partly_matched" if self.taken_minor else "unmatched"


def keys(recorded: Recorded) -> Sequence[str]:
    event = recorded.event
    match event:
        case MovementReconciled() | MovementReleased():
            return (recorded.key,)
        case StatementLineRecorded():
            batch = _batch(event)
            return () if batch is None else (batch.stream_key,)
        case _:
            return (_of_order(event, recorded).stream_key,)


def _batch(event: StatementLineRecorded) -> MovementKey | None:
    # A line and its fact have the same fields where it matters.
    name = batch_of(event.line_no, event)  # type: ignore[arg-type]
    return None if name is None else MovementKey("payout", event.statement_id, name)


def _of_order(event: Event, recorded: Recorded) -> MovementKey:
    if isinstance(event, PaymentCaptured):
        return MovementKey("capture", recorded.key, event.payment_id)
    assert isinstance(event, RefundPaid | RefundFailed)
    return MovementKey("refund", recorded.key, event.refund_id)


def fold(row: MovementRow | None, recorded: Recorded) -> MovementRow | None:
    event = recorded.event
    if row is not None and recorded.position <= row.position:
        return row
    match event:
        case MovementReconciled() | MovementReleased():
            return None if row is None else _taken(row, event, recorded)
        case StatementLineRecorded():
            return _with_line(row, event, recorded)
        case PaymentCaptured() | RefundPaid():
            return _paid(row, event, recorded)
        case RefundFailed(was_paid=True) if row is not None:
            left = row.net_minor + event.amount_minor
            return replace(row, gross_minor=left, net_minor=left, position=recorded.position)
        case _:
            return row


def _paid(
    row: MovementRow | None, event: PaymentCaptured | RefundPaid, recorded: Recorded
) -> MovementRow:
    """Imported history may tell of one id twice: what counts is what the order's own state keeps,
    the last of a payment and the first of a refund.
    """
    captured = isinstance(event, PaymentCaptured)
    amount = event.amount_minor if captured else -event.amount_minor
    if row is not None:
        if not captured:  # A refund has a fact for each method that its money goes back by.
            amount = row.net_minor + (0 if recorded.origin == "import" else amount)
        return replace(row, gross_minor=amount, net_minor=amount, position=recorded.position)
    key = _of_order(event, recorded)
    payer = event.payer if isinstance(event, PaymentCaptured) else None
    return MovementRow(
        key.stream_key,
        *key,
        method=event.method,
        reference=event.reference,
        currency=None,
        origin=recorded.origin,
        payer=payer.model_dump_json() if isinstance(payer, Sealed) else None,
        occurred_at=event.at,
        gross_minor=amount,
        fee_minor=0,
        net_minor=amount,
        payout_minor=0,
        lines=0,
        matches="[]",
        position=recorded.position,
    )


def _with_line(
    row: MovementRow | None, event: StatementLineRecorded, recorded: Recorded
) -> MovementRow | None:
    key = _batch(event)
    if key is None:
        return row
    before = row or MovementRow(
        key.stream_key,
        *key,
        method=None,
        reference=key.id,
        currency=event.currency,
        origin=recorded.origin,
        payer=None,
        occurred_at=event.at,
        gross_minor=0,
        fee_minor=0,
        net_minor=0,
        payout_minor=0,
        lines=0,
        matches="[]",
        position=recorded.position,
    )
    before = replace(
        before,
        occurred_at=max(before.occurred_at, event.at),
        position=recorded.position,
    )
    if event.kind == "payout":
        return replace(before, payout_minor=before.payout_minor + event.net_minor)
    return replace(
        before,
        gross_minor=before.gross_minor + event.amount_minor,
        fee_minor=before.fee_minor + event.fee_minor,
        net_minor=before.net_minor + event.net_minor,
        lines=before.lines + 1,
    )


def _taken(
    row: MovementRow, event: MovementReconciled | MovementReleased, recorded: Recorded
) -> MovementRow:
    matches = orjson.loads(row.matches)
    name = [event.statement_id, event.match_id]
    if isinstance(event, MovementReconciled):
        matches.append([*name, event.amount_minor])
    else:
        matches = [one for one in matches if one[:2] != name]
    return replace(
        row,
        matches=orjson.dumps(matches).decode(),
        taken_minor=sum(one[2] for one in matches),
        position=recorded.position,
    )


LOADS = tuple(one.name for one in fields(MovementRow))

TABLE = Table(
    columns={
        "movement": 'text COLLATE "C"',
        "kind": "text",
        "owner": "text",
        "id": "text",
        "method": "text",
        "reference": "text",
        "currency": "text",
        "origin": "text",
        "payer": "text",
        "occurred_at": "timestamptz",
        "gross_minor": "bigint",
        "fee_minor": "bigint",
        "net_minor": "bigint",
        "payout_minor": "bigint",
        "lines": "int",
        "matches": "text",
        "position": "bigint",
        "taken_minor": "bigint",
        "amount_minor": "bigint",
        "open_minor": "bigint",
        "state": "text",
    },
    indexes=("(occurred_at DESC, movement DESC) WHERE open_minor <> 0", "(owner)"),
)

PROJECTION = Projection(
    name=NAME,
    version=VERSION,
    topics=TOPICS,
    table=TABLE,
    keys=keys,
    fold=fold,
    loads=LOADS,
    load=MovementRow,
    dump=attrgetter(*TABLE.columns),
)
