"""The read model of what each customer ordered, paid, got back and thought of it.

One row per order, so that a customer of ten thousand orders costs no more per event than one of
two; sums are made when asked for. Status and amounts come from the deciders' own functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from pydantic import TypeAdapter

from domain import order_fold, order_state
from domain.case_facts import CASE_FACTS
from domain.completion_facts import OrderCompleted
from domain.frozen import replace
from domain.message import Recorded
from domain.order_facts import (
    DeliveryTroubled,
    FeedbackGiven,
    LinesAmended,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderPacked,
    OrderPlaced,
    OrderVoided,
    OverrideEnded,
    PaymentCaptured,
    RefundApproved,
    RefundDenied,
    RefundFailed,
    RefundPaid,
    RefundRequested,
    RefundRetried,
    StatusOverridden,
)
from domain.order_replacement_state import ReplacementEvent
from domain.order_return_state import ReturnEvent
from domain.order_state import Order
from domain.order_status import LABELS, shown
from domain.payment_facts import PAYMENT_FACTS
from domain.return_facts import PlacedInExchange
from projections.engine import Projection, Table

NAME = "customer_history"
VERSION = 8
PAGE_ORDERS_MAX = 500

# What moves the status or an amount. Contact and addresses do not: none of it is kept here.
TOPICS = frozenset(kind.TOPIC for kind in PAYMENT_FACTS + CASE_FACTS) | frozenset(
    kind.TOPIC
    for kind in (
        OrderPlaced,
        OrderApproved,
        LinesAmended,
        PaymentCaptured,
        OrderPacked,
        OrderDispatched,
        OrderDelivered,
        DeliveryTroubled,
        OrderCancelled,
        OrderVoided,
        RefundRequested,
        RefundApproved,
        RefundDenied,
        RefundPaid,
        RefundFailed,
        RefundRetried,
        *get_args(ReturnEvent),
        PlacedInExchange,
        OrderCompleted,
        *get_args(ReplacementEvent),
        StatusOverridden,
        OverrideEnded,
        FeedbackGiven,
    )
)


@dataclass(frozen=True)
class Opinion:
    """Feedback on an order, without its words: those stay with the order."""

    score: int
    at: datetime
    position: int


@dataclass(frozen=True)
class PastOrder:
    """One order in its customer's history."""

    order: Order  # without contact and addresses
    placed_at: datetime
    channel: str
    position: int  # of the last event folded in
    feedback: tuple[Opinion, ...] = ()


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.key,)


def fold(row: PastOrder | None, recorded: Recorded) -> PastOrder | None:
    event = recorded.event
    if row is None:
        return _placed(event, recorded.position) if isinstance(event, OrderPlaced) else None
    if recorded.position <= row.position:
        return row
    if isinstance(event, FeedbackGiven):
        opinion = Opinion(event.score, event.at, recorded.position)
        return replace(row, feedback=(*row.feedback, opinion), position=recorded.position)
    return replace(row, order=order_fold.evolve(row.order, event), position=recorded.position)


def _placed(event: OrderPlaced, position: int) -> PastOrder:
    order = order_state.impersonal(order_fold.evolve(Order(), event))
    return PastOrder(order, event.at, event.channel, position)


_STATE: TypeAdapter[PastOrder] = TypeAdapter(PastOrder)


def load(state: str) -> PastOrder:
    return _STATE.validate_json(state)


def as_json(row: PastOrder) -> str:
    return _STATE.dump_json(row, exclude_defaults=True).decode()


def dump(row: PastOrder) -> tuple[Any, ...]:
    order = row.order
    return (
        order.order_id,
        order.customer_id,
        order.number,
        order.shop,
        row.channel,
        order.currency,
        shown(order).code,
        order.total_minor,
        order.paid_minor,
        sum(refund.given_back_minor for refund in order.refunds.values()),
        row.placed_at,
        [opinion.score for opinion in row.feedback],
        row.position,
        as_json(row),
    )


TABLE = Table(
    columns={
        "order_id": 'text COLLATE "C"',
        "customer_id": "text",
        "number": "text",
        "shop": "text",
        "channel": "text",
        "currency": "text",
        "status": "text",
        "total_minor": "bigint",
        "paid_minor": "bigint",
        "refunded_minor": "bigint",  # paid out
        "placed_at": "timestamptz",
        "scores": "int[]",
        "position": "bigint",
        "state": "text",  # JSON of PastOrder
    },
    indexes=("(customer_id, placed_at DESC, order_id DESC)",),
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

# Voided orders are no part of it. One statement, so sums, page and position are of one snapshot.
HISTORY = """WITH mine AS (
    SELECT order_id, number, shop, channel, currency, status, total_minor, paid_minor,
           refunded_minor, placed_at, scores
    FROM customer_history WHERE customer_id = %(customer)s AND status <> 'void'
)
SELECT c.position,
    coalesce((SELECT jsonb_agg(t ORDER BY t.currency) FROM (
        SELECT currency, count(*) AS orders, sum(total_minor)::bigint AS total_minor,
               sum(paid_minor)::bigint AS paid_minor,
               sum(refunded_minor)::bigint AS refunded_minor
        FROM mine GROUP BY currency) t), '[]') AS totals,
    (SELECT count(*) FROM mine) AS orders_count,
    (SELECT min(placed_at) FROM mine) AS first_at,
    (SELECT max(placed_at) FROM mine) AS last_at,
    (SELECT count(score) FROM mine, unnest(scores) AS score) AS scores_count,
    (SELECT avg(score)::float8 FROM mine, unnest(scores) AS score) AS score_average,
    page.*
FROM checkpoint c LEFT JOIN LATERAL (
    SELECT * FROM mine
    WHERE %(placed_at)s::timestamptz IS NULL
       OR (placed_at, order_id) < (%(placed_at)s::timestamptz, %(order_id)s::text)
    ORDER BY placed_at DESC, order_id DESC LIMIT %(limit)s) page ON true
WHERE c.name = 'customer_history'"""
SUMS = ("totals", "orders_count", "first_at", "last_at", "scores_count", "score_average")


async def customer_history(
    connection: AsyncConnection[Any],
    customer_id: str,
    after: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> dict[str, Any]:
    """{customer_id, orders: [newest first], next, totals per currency, …SUMS, position}.

    `after` is placed_at and order_id of the last order of the page before, `next` the same for the
    next one. Amounts are minor units; a customer without orders has an empty history.
    """
    assert 0 < limit <= PAGE_ORDERS_MAX
    placed_at, order_id = after or (None, None)
    values = {
        "customer": customer_id,
        "placed_at": placed_at,
        "order_id": order_id,
        "limit": limit + 1,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(HISTORY, values)
        rows = await cursor.fetchall()
    sums = {name: rows[0][name] if rows else None for name in SUMS}
    orders = [_order(row) for row in rows if row["order_id"] is not None]
    more = len(orders) > limit
    orders = orders[:limit]
    return {
        "customer_id": customer_id,
        "orders": orders,
        "next": (orders[-1]["placed_at"], orders[-1]["order_id"]) if more else None,
        **sums,
        "position": rows[0]["position"] if rows else 0,
    }


def _order(row: dict[str, Any]) -> dict[str, Any]:
    order = {name: value for name, value in row.items() if name not in (*SUMS, "position")}
    return order | {"status_label": LABELS.get(row["status"] or "", "")}
