"""Figures from the facts: sales and payments, grouped, as of any position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import duckdb

from domain.values import quantity_json
from projections.analytics import NAME, Lake, transaction
from projections.analytics_tables import LINE_FACT, PAYMENT_FACT, REFUND_FACT

SHOP_ZONE = "Asia/Shanghai"

SalesGroup = Literal["month", "category", "sku", "channel"]
PaymentsGroup = Literal["month", "method"]
Dated = Literal["occurred", "placed"]

_AMOUNTS = ("gross_minor", "discount_minor", "shipping_minor", "tax_minor")


@dataclass(frozen=True, slots=True)
class Period:
    """Which facts count, and by which day. `start` counts, `end` does not.

    dated: by the fact's own time (a cancellation in May lowers May), or `placed`: by the time of
    the order's placement (it lowers the month of the order). zone: whose days and months are meant.
    currency: None takes the one with the most orders. as_of: up to this position; None is all.
    """

    start: datetime | None = None
    end: datetime | None = None
    currency: str | None = None
    as_of: int | None = None
    zone: str = SHOP_ZONE
    dated: Dated = "occurred"


class Analytics:
    """Reads the facts: one warm connection per process, a cursor per question.

    Safe to call from several threads. Raises LakeUnreachable when opened, duckdb.Error when the
    store fails.
    """

    def __init__(self, lake: Lake) -> None:
        self._connection = lake.connect()

    def close(self) -> None:
        self._connection.close()

    def position(self) -> int:
        """The position up to which the facts are complete."""
        with self._connection.cursor() as cursor:
            return _position(cursor)

    def sales(self, group: SalesGroup, period: Period = Period()) -> dict[str, Any]:
        """{rows: [{group, orders, units, …}], currency, position}, rows in order of their group.

        orders: orders of which a line (or, without lines, the order itself) is sold in the group.
        units: sold less cancelled; voided orders are in nothing.
        gross_minor: line amounts before discounts, their tax within (also where prices exclude it).
        discount_minor: of lines and orders. shipping_minor: as paid by customers, shared out to the
        lines of an order by largest remainder, so every grouping adds up to the same whole.
        tax_minor: contained in goods and shipping; for information, no part of the sum.
        refunded_minor: paid out, by line, as far as it lowers what was sold: what was paid above
        what is owed, as after a cancellation, was never sold and goes back first.
        net_minor = gross_minor - discount_minor + shipping_minor - refunded_minor.
        """
        assert group in get_args(SalesGroup)
        with self._connection.cursor() as cursor, transaction(cursor):
            position, currency = self._scope(cursor, period)
            sold = _sold(cursor, group, period, currency, position)
            refunded = _refunded(cursor, "sold_minor", group, period, currency, position)
        nothing = {"orders": 0, "units": 0, **dict.fromkeys(_AMOUNTS, 0)}
        rows = [
            _with_net({"group": name, **(sold.get(name) or nothing)}, refunded.get(name, 0))
            for name in sorted(sold.keys() | refunded.keys())
        ]
        return {"rows": rows, "currency": currency, "position": position}

    def payments(
        self,
        group: PaymentsGroup,
        period: Period = Period(),
    ) -> dict[str, Any]:
        """{rows: [{group, payments, paid_minor, refunded_minor}], currency, position}.

        payments: how many came in, less those of which nothing is left; paid_minor: their sum, less
        what was voided, moved to another order (where it counts) or lost to a payer's bank, in the
        month that it was. refunded_minor: paid out, by the month of the refund, or the method by
        which it went back.
        """
        assert group in get_args(PaymentsGroup)
        with self._connection.cursor() as cursor, transaction(cursor):
            position, currency = self._scope(cursor, period)
            paid = _rows(
                cursor,
                f"SELECT {_group(group, period)}, sum(payments), sum(amount_minor)",
                PAYMENT_FACT,
                *_where(period, currency, position),
            )
            refunded = _refunded(cursor, "amount_minor", group, period, currency, position)
        sums = {name: (int(count), int(amount)) for name, count, amount in paid}
        rows = [
            {
                "group": name,
                "payments": sums.get(name, (0, 0))[0],
                "paid_minor": sums.get(name, (0, 0))[1],
                "refunded_minor": refunded.get(name, 0),
            }
            for name in sorted(sums.keys() | refunded.keys())
        ]
        return {"rows": rows, "currency": currency, "position": position}

    def _scope(self, cursor: duckdb.DuckDBPyConnection, period: Period) -> tuple[int, str | None]:
        """The position reflected and the currency answered; None when there are no facts yet."""
        ZoneInfo(period.zone)  # Raises ZoneInfoNotFoundError, which names it.
        position = _position(cursor)
        if period.as_of is not None:
            position = min(position, period.as_of)
        return position, period.currency or _commonest_currency(cursor, position)


def _position(cursor: duckdb.DuckDBPyConnection) -> int:
    query = "SELECT position FROM lake.checkpoint WHERE name = ?"
    row = cursor.execute(query, [NAME]).fetchone()
    return 0 if row is None else int(row[0])


def _commonest_currency(cursor: duckdb.DuckDBPyConnection, position: int) -> str | None:
    query = f"""SELECT currency FROM (
        SELECT currency, count(DISTINCT order_id) AS orders FROM lake.{LINE_FACT}
        WHERE position <= ? GROUP BY currency) ORDER BY orders DESC, currency LIMIT 1"""
    row = cursor.execute(query, [position]).fetchone()
    return None if row is None else str(row[0])


def _group(group: str, period: Period) -> str:
    """An SQL expression of constants only: zone was checked to be one, the rest are our words."""
    if group != "month":
        return f"{group} AS grp"
    zone = period.zone.replace("'", "''")
    return f"strftime(timezone('{zone}', {period.dated}_at), '%Y-%m') AS grp"


def _where(period: Period, currency: str | None, position: int) -> tuple[str, list[Any]]:
    conditions = ["currency = ?", "position <= ?"]
    values: list[Any] = [currency, position]
    for sign, bound in ((">=", period.start), ("<", period.end)):
        if bound is not None:
            conditions.append(f"{period.dated}_at {sign} CAST(? AS TIMESTAMPTZ)")
            values.append(bound.isoformat())
    return " AND ".join(conditions), values


def _rows(
    cursor: duckdb.DuckDBPyConnection,
    select: str,
    table: str,
    where: str,
    values: Sequence[Any],
) -> list[tuple[Any, ...]]:
    query = f"{select} FROM lake.{table} WHERE {where} GROUP BY grp"
    return cursor.execute(query, values).fetchall()


def _sold(
    cursor: duckdb.DuckDBPyConnection,
    group: SalesGroup,
    period: Period,
    currency: str | None,
    position: int,
) -> dict[str, dict[str, Any]]:
    where, values = _where(period, currency, position)
    sums = ", ".join(f"sum({name}) AS {name}" for name in _AMOUNTS)
    query = f"""SELECT grp, count(*) FILTER (WHERE lines > 0), sum(units), {sums} FROM (
        SELECT {_group(group, period)}, order_id, sum(lines) AS lines, sum(quantity) AS units,
               {sums}
        FROM lake.{LINE_FACT} WHERE {where} GROUP BY grp, order_id
    ) GROUP BY grp"""
    return {
        name: {
            "orders": orders,
            "units": quantity_json(Decimal(units)),
            **{column: int(amount) for column, amount in zip(_AMOUNTS, amounts, strict=True)},
        }
        for name, orders, units, *amounts in cursor.execute(query, values).fetchall()
    }


def _refunded(
    cursor: duckdb.DuckDBPyConnection,
    column: Literal["amount_minor", "sold_minor"],
    group: str,
    period: Period,
    currency: str | None,
    position: int,
) -> dict[str, int]:
    select = f"SELECT {_group(group, period)}, sum({column})"
    where, values = _where(period, currency, position)
    found = _rows(cursor, select, REFUND_FACT, f"{where} AND {column} <> 0", values)
    return {name: int(amount) for name, amount in found}


def _with_net(row: dict[str, Any], refunded_minor: int) -> dict[str, Any]:
    owed = row["gross_minor"] - row["discount_minor"] + row["shipping_minor"]
    return row | {"refunded_minor": refunded_minor, "net_minor": owed - refunded_minor}
