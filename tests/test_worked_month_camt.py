"""The worked month with its bank's statement as camt.053: the same figures, to the cent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_server import Api
from tests.test_worked_month import expected_period
from tests.worked_month import agree, major, minor
from tests.worked_month_told import SHOPS, Json, Told


@pytest.fixture(scope="module")
def told(api: Api) -> Told:
    month = Told(api, bank="camt053")
    month.happens()
    return month


def lines_of(told: Told) -> list[Json]:
    at = f"/v1/statements/{told.statements['bank']}/lines"
    items: list[Json] = told.api.shown(at, limit=200, min_position=told.api.head())["items"]
    return items


def test_the_statement_says_what_its_file_says(told: Told) -> None:
    """covers: A25: what is not booked yet is none of it; balances are checked by the import."""
    expect = told.month.expected["statements"]["bank"]
    at, head = f"/v1/statements/{told.statements['bank']}", told.api.head()
    shown = told.api.shown(at, min_position=head)
    assert (shown["layout"], shown["account"]) == ("camt053", "571900000010888")
    (total,) = shown["totals"]
    assert (total["lines"], total["currency"]) == (expect["lines"], "CNY")
    amounts = [line["amount_minor"] for line in lines_of(told)]
    came, went = sum(x for x in amounts if x > 0), -sum(x for x in amounts if x < 0)
    moved = minor(expect["closing"], "CNY") - minor(expect["opening"], "CNY")
    agree(
        [
            ("came", expect["came"], major(came, "CNY")),
            ("went", expect["went"], major(went, "CNY")),
            ("moved", moved, total["amount_minor"]),
        ]
    )


def test_what_is_matched_and_what_is_not_is_as_written(told: Told) -> None:
    """covers: A25: whichever layout told of it."""
    expect = told.month.expected["reconciliation"]["unmatched"]
    now = told.open()
    agree(
        (f"{side}: {one}", expect[side].count(one), now[side].count(one))
        for side in ("lines", "movements")
        for one in sorted({*expect[side], *now[side]})
    )


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("month", ["2025-03", "2025-04"])
def test_a_closed_month_has_the_totals_that_were_written(told: Told, month: str, shop: str) -> None:
    """covers: A24"""
    items = told.api.shown("/v1/periods", shop=shop, min_position=told.api.head())["items"]
    (closed,) = [one for one in items if one["month"] == month]
    ledger = totals(closed)
    expect = expected_period(told, month, shop)
    agree((name, expect.get(name), ledger.get(name)) for name in sorted({*expect, *ledger}))


def totals(closed: Json) -> dict[str, Any]:
    return {
        f"{t['month']} {t['currency']} {t['method']} {name.removesuffix('_minor')}": major(
            amount, t["currency"]
        )
        for t in closed["totals"]
        for name, amount in t.items()
        if name.endswith("_minor") and name != "kept_minor" and amount
    }
