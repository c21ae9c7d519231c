"""The read model of our money: each capture, paid refund, compensation, chargeback and provider's
payout, and how much of it statements have told of.

Signed as our account sees it: above 0 came in, below 0 went out. Worth the same as
`domain.movement_worth` finds by the order's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import attrgetter

import orjson

from domain.message import Event, Recorded, Sealed
from domain.movement import MovementKey
from domain.order_facts import CompensationPaid, PaymentCaptured, RefundFailed, RefundPaid
from domain.order_money import INTERNAL_METHODS
from domain.payment_facts import (
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PaymentVoided,
)
from domain.statement import batch_of
from domain.statement_facts import MovementReconciled, MovementReleased, StatementLineRecorded
from projections.engine import Projection, Table

NAME = "money_movements"
VERSION = 4

TOPICS = frozenset(
    kind.TOPIC
    for kind in (
        PaymentCaptured,
        PaymentVoided,
        RefundPaid,
        RefundFailed,
        CompensationPaid,
        ChargebackOpened,
        ChargebackWon,
        ChargebackLost,
        StatementLineRecorded,
        MovementReconciled,
        MovementReleased,
    )
)


@dataclass(frozen=True, slots=True)
class MovementRow:
    """`movement` is the key of the movement's stream. Of an order's the currency is the order's.

    `other`: of a chargeback that is not lost, which a statement may tell of or not: the movement
    that makes nothing of both.
    """

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
    other: str | None
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
        """`void`: it was worth something and is no more. `over_matched`: statements have told of
        more than it is worth by now. `optional`: nothing is missing unless `other` was told of.
        """
        if not self.taken_minor and self.other is not None:
            return "optional"
        if not self.taken_minor:
            return "unmatched" if self.amount_minor else "void"
        if self.open_minor == 0:
            return "matched"
        over = self.open_minor * self.amount_minor <= 0
        return "over_matched" if over else "partly_matched"


def keys(recorded: Recorded) -> Sequence[str]:
    event = recorded.event
    match event:
        case MovementReconciled() | MovementReleased():
            return (recorded.key,)
        case StatementLineRecorded():
            batch = _batch(event)
            return () if batch is None else (batch.stream_key,)
        case _:
            return (_of_order(event, recorded.key).stream_key,)


def _batch(event: StatementLineRecorded) -> MovementKey | None:
    # A line and its fact have the same fields where it matters.
    name = batch_of(event.line_no, event)  # type: ignore[arg-type]
    return None if name is None else MovementKey("payout", event.statement_id, name)


def _of_order(event: Event, order_id: str) -> MovementKey:
    match event:
        case PaymentCaptured() | PaymentVoided():
            return MovementKey("capture", order_id, event.payment_id)
        case RefundPaid() | RefundFailed():
            return MovementKey("refund", order_id, event.refund_id)
        case CompensationPaid():
            return MovementKey("compensation", order_id, event.compensation_id)
        case ChargebackOpened() | ChargebackLost():
            return MovementKey("chargeback", order_id, event.chargeback_id)
        case ChargebackWon():
            return MovementKey("chargeback_return", order_id, event.chargeback_id)
        case _:
            raise TypeError(event.TOPIC)


def fold(row: MovementRow | None, recorded: Recorded) -> MovementRow | None:
    event = recorded.event
    if row is not None and recorded.position <= row.position:
        return row
    match event:
        case MovementReconciled() | MovementReleased():
            return None if row is None else _taken(row, event, recorded)
        case StatementLineRecorded():
            return _with_line(row, event, recorded)
        case PaymentCaptured():
            return _captured(row, event, recorded)
        case PaymentVoided():
            return _voided(row, event, recorded)
        case RefundPaid():
            return _paid_back(row, event, recorded)
        case RefundFailed(was_paid=True) if row is not None:
            back = 0 if event.method in INTERNAL_METHODS else event.amount_minor
            return _worth(row, row.net_minor + back, recorded)
        case CompensationPaid():
            return row or _begun(event, -event.amount_minor, recorded)
        case ChargebackOpened() | ChargebackWon() | ChargebackLost():
            return _disputed(row, event, recorded)
        case _:
            return row


def _captured(
    row: MovementRow | None, event: PaymentCaptured, recorded: Recorded
) -> MovementRow | None:
    """Imported history may tell of one id twice: what counts is what the order's own state keeps,
    the last of a payment and the first of a refund.
    """
    if event.method in INTERNAL_METHODS:
        return row and _worth(row, 0, recorded)
    begun = row or _begun(event, event.amount_minor, recorded)
    whole = _worth(begun, event.amount_minor, recorded)
    return replace(whole, fee_minor=event.fee_minor, net_minor=event.amount_minor - event.fee_minor)


def _voided(row: MovementRow | None, event: PaymentVoided, recorded: Recorded) -> MovementRow:
    """Money that came from another order is a movement of that one still, at its old worth: what
    was voided of it here is taken off by a movement the other way.
    """
    if row is None:
        return _begun(event, -event.amount_minor, recorded)
    return _worth(row, 0, recorded)


def _paid_back(
    row: MovementRow | None, event: RefundPaid, recorded: Recorded
) -> MovementRow | None:
    """A refund has a fact for each method that its money goes back by; one that failed and is paid
    once more is of that day.
    """
    if event.method in INTERNAL_METHODS:
        return row
    if row is None:
        return _begun(event, -event.amount_minor, recorded)
    again = 0 if recorded.origin == "import" else -event.amount_minor
    if row.net_minor == 0:
        row = replace(row, occurred_at=event.at, method=event.method, reference=event.reference)
    return _worth(row, row.net_minor + again, recorded)


def _disputed(
    row: MovementRow | None,
    event: ChargebackOpened | ChargebackWon | ChargebackLost,
    recorded: Recorded,
) -> MovementRow:
    """The bank takes the money at once, or when it has won, or not at all."""
    if isinstance(event, ChargebackLost):
        return _lost(row, event, recorded)
    if row is not None:
        return row
    key, won = _of_order(event, recorded.key), isinstance(event, ChargebackWon)
    other = key._replace(kind="chargeback" if won else "chargeback_return")
    begun = _begun(event, event.amount_minor if won else -event.amount_minor, recorded)
    return replace(begun, other=other.stream_key)


def _lost(row: MovementRow | None, event: ChargebackLost, recorded: Recorded) -> MovementRow:
    """Of the day that it was lost, unless a statement has told of it before."""
    if row is None:
        return _begun(event, -event.amount_minor, recorded)
    lost = replace(
        row,
        other=None,
        method=event.method,
        reference=event.reference or row.reference,
        position=recorded.position,
    )
    return lost if row.taken_minor else replace(lost, occurred_at=event.at)


def _worth(row: MovementRow, minor: int, recorded: Recorded) -> MovementRow:
    position = recorded.position
    return replace(row, gross_minor=minor, fee_minor=0, net_minor=minor, position=position)


def _begun(event: Event, minor: int, recorded: Recorded) -> MovementRow:
    key = _of_order(event, recorded.key)
    payer = getattr(event, "payer", None)
    return MovementRow(
        key.stream_key,
        *key,
        method=getattr(event, "method", None),
        reference=getattr(event, "reference", None),
        currency=None,
        origin=recorded.origin,
        payer=payer.model_dump_json() if isinstance(payer, Sealed) else None,
        occurred_at=event.at,
        gross_minor=minor,
        fee_minor=0,
        net_minor=minor,
        payout_minor=0,
        lines=0,
        matches="[]",
        other=None,
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
        other=None,
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
        "other": "text",
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
