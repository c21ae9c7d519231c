"""What placed orders are compared by: the rows of the read model, and what they make suspicious."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

from psycopg import Connection

from domain.intake_checks import (
    TWINS_MAX,
    USUAL_MIN,
    CheckOrder,
    Twin,
    UsualPrice,
    UsualQuantity,
    basket,
    basket_of,
    goods,
    price_is_far,
    quantity_is_far,
    stands,
    units_of,
)
from domain.message import Recorded
from domain.order_facts import Line, OrderPlaced
from domain.order_state import Order
from domain.policy_rules import ExceptionRules
from projections import intake as model
from projections.intake import Asked, Changed, LineRow, OrderRow

SOLD_ELSEWHERE = "import"  # as a channel: prices and quantities of another desk's making


class Look(NamedTuple):
    """An order to look at. `placed`: None for one that came back, whose prices and quantities were
    looked at before.
    """

    order_id: str
    fact: Recorded
    rules: ExceptionRules
    placed: OrderPlaced | None = None


def order_row(fact: Recorded, event: OrderPlaced, phone: bytes | None) -> OrderRow:
    lines = ((line, line.quantity) for line in event.lines)
    of = basket(event.shop, event.currency, lines)
    placed = event.order_id, fact.position, event.at
    return OrderRow(*placed, event.customer_id, phone, _hash(of))


def line_rows(fact: Recorded, event: OrderPlaced) -> Iterator[LineRow]:
    """The quantity of all lines of the same goods stands on the first of them."""
    left = units_of((line, line.quantity) for line in event.lines)
    for line in event.lines:
        yield LineRow(
            event.order_id,
            line.line_no,
            fact.position,
            _article(event, line),
            event.customer_id,
            goods(line),
            line.unit,
            Decimal(line.unit_price_minor),
            left.pop((goods(line), line.unit), None),
        )


def changed_row(state: Order) -> Changed:
    return Changed(state.order_id, _hash(basket_of(state)), stands(state))


def _article(event: OrderPlaced, line: Line) -> UUID:
    """What can have one price: not a box and a piece, nor with tax and without."""
    net = "" if event.prices_include_tax else "net"
    return _hash("\n".join((event.shop, event.currency, net, line.unit, goods(line))))


def _hash(text: str) -> UUID:
    return uuid5(NAMESPACE_OID, text)


def suspicions(connection: Connection, looks: Sequence[Look], at: datetime) -> list[CheckOrder]:
    """A command for each order that does not look as usual; none for all others."""
    twins = _twins(connection, looks)
    by_id = {look.order_id: look for look in looks if _may_be_unusual(look)}
    prices, quantities = _prices(connection, by_id), _quantities(connection, by_id)
    return [
        CheckOrder(
            order_id=name,
            twins=tuple(twins.get(name, ())),
            prices=tuple(prices.get(name, ())),
            quantities=tuple(quantities.get(name, ())),
            at=at,
        )
        for name in dict.fromkeys(look.order_id for look in looks)
        if name in twins or name in prices or name in quantities
    ]


def _may_be_unusual(look: Look) -> bool:
    return look.placed is not None and look.placed.channel != SOLD_ELSEWHERE


def _twins(connection: Connection, looks: Sequence[Look]) -> dict[str, list[Twin]]:
    asked = {
        look.order_id: Asked(look.order_id, look.rules.duplicate_hours, look.placed is None)
        for look in looks
        if look.rules.duplicate_hours
    }
    found: dict[str, list[Twin]] = {}
    for row in model.twins(connection, [*asked.values()], TWINS_MAX):
        found.setdefault(row.order_id, []).append(Twin(order_id=row.twin, same=row.same))
    return found


def _prices(connection: Connection, looks: Mapping[str, Look]) -> dict[str, list[UsualPrice]]:
    found: dict[str, list[UsualPrice]] = {}
    for row in model.usual_prices(connection, [*looks], USUAL_MIN) if looks else ():
        look = looks[row.order_id]
        assert look.placed is not None
        line = next(one for one in look.placed.lines if one.line_no == row.line_no)
        usual = UsualPrice(line_no=row.line_no, median_minor=row.median, count=row.count)
        if price_is_far(line, usual, look.rules):
            found.setdefault(row.order_id, []).append(usual)
    return found


def _quantities(
    connection: Connection, looks: Mapping[str, Look]
) -> dict[str, list[UsualQuantity]]:
    found: dict[str, list[UsualQuantity]] = {}
    for row in model.usual_quantities(connection, [*looks], USUAL_MIN) if looks else ():
        usual = UsualQuantity(line_no=row.line_no, median=row.median, count=row.count, of=row.of)
        if quantity_is_far(row.quantity, usual, looks[row.order_id].rules):
            found.setdefault(row.order_id, []).append(usual)
    return found
