"""A month of sixty-odd orders with every case, its figures written by hand beforehand: orders,
reports, papers, reconciliation and closed months say the same over HTTP, to the cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from domain.order_status import LABELS
from tests.api_server import Api
from tests.worked_month import COLUMNS, agree, by_hand, major, minor, order_id
from tests.worked_month_told import SHOPS, Json, Told

MARCH = {"from": "2025-03-01T00:00:00+08:00", "to": "2025-04-01T00:00:00+08:00"}
SALES = ("gross", "discount", "shipping", "tax", "refunded", "net")
LINES = {"bank": 43, "alipay": 33, "wechat": 11, "stripe": 19}  # of the files


@pytest.fixture(scope="module")
def told(api: Api) -> Told:
    month = Told(api)
    month.happens()
    return month


# -- orders ----------------------------------------------------------------------------------------


def test_each_order_comes_out_as_written(told: Told) -> None:
    """covers: A24, A62, A63, A64, A66, A67, A78, R4, R13, R14"""
    found: list[tuple[str, Any, Any]] = []
    for name in told.real_orders():
        expect, shown = told.month.orders[name]["expect"], told.shown(name)
        currency = told.month.currency(name)
        ledger = columns(shown)
        found.append((f"{name} status", expect["status"], shown["status"]))
        for column, amount in by_hand(expect, currency).items():
            text = f"{name} {column}", major(amount, currency), major(ledger[column], currency)
            found.append(text)
    agree(found)


def columns(shown: Json) -> dict[str, int]:
    """The fixture's columns of an order as the API shows it."""
    fees = shown["fees_minor"] + shown["late_fee_minor"]
    net = shown["paid_minor"] - shown["refunded_minor"] - shown["refund_open_minor"]
    return {
        **{name: shown[f"{name}_minor"] for name in COLUMNS if f"{name}_minor" in shown},
        "fee": fees,
        "kept": min(net, shown["total_minor"] - fees),
        "owes": shown["balance_minor"],
        "compensation": sum(one["amount_minor"] for one in shown["compensations"]),
    }


def test_an_order_that_was_refused_does_not_exist(told: Told) -> None:
    """covers: A82"""
    for name in told.month.orders.keys() - set(told.real_orders()):
        answer = told.api.get(f"/v1/orders/{order_id(name)}", min_position=told.api.head())
        assert answer.status_code == 404, name


def test_lines_of_an_order_make_its_total(told: Told) -> None:
    """covers: A66, R11, R13: parts sum to the whole, after whatever happened."""
    found = []
    for name in told.real_orders():
        shown = told.shown(name)
        paid = [one for one in shown["payments"] if not one["voided"]]
        here = sum(p["amount_minor"] - p["moved_minor"] - p["lost_minor"] for p in paid)
        back = sum(r["amount_minor"] for r in shown["refunds"] if r["status"] == "paid")
        found += [
            (f"{name} payments", shown["paid_minor"], here),
            (f"{name} refunds", shown["refunded_minor"], back),
        ]
    agree(found)


def test_accounts_come_out_as_written(told: Told) -> None:
    """covers: A64: liability = issued - spent - expired."""
    names = ("issued", "spent", "expired", "credit", "liability", "exposure")
    found = []
    for customer, one in told.month.told["accounts"].items():
        shown = told.api.shown(f"/v1/customers/{customer}/accounts/CNY")
        expect = {name: minor(one["expect"].get(name, "0.00"), "CNY") for name in names}
        found += [(f"{customer} {n}", expect[n], shown[f"{n}_minor"]) for n in names]
        owed = shown["issued_minor"] - shown["spent_minor"] - shown["expired_minor"]
        found.append((f"{customer} liability", shown["liability_minor"], owed))
    agree(found)


def test_stock_and_money_agree(told: Told) -> None:
    """covers: A47"""
    for sku, expect in told.month.expected["stock"].items():
        shown = told.api.shown(f"/v1/stock/{sku}", min_position=told.api.head())
        names = ("on_hand", "reserved", "available")
        agree((f"{sku} {n}", expect[n], str(shown[n])) for n in names)


# -- reports ---------------------------------------------------------------------------------------


def sales(told: Told, group: str, currency: str, **more: Any) -> list[Json]:
    query = {"group": group, "currency": currency, "min_position": told.api.head(), **MARCH}
    rows: list[Json] = told.api.shown("/v1/analytics/sales", **(query | more))["rows"]
    return rows


def test_sales_of_the_month_are_as_written(told: Told) -> None:
    """covers: A27, A32, A65"""
    found: list[tuple[str, Any, Any]] = []
    for currency, expect in told.month.expected["sales"].items():
        (row,) = sales(told, "month", currency)
        found += [(f"{currency} {n}", expect[n], major(row[f"{n}_minor"], currency)) for n in SALES]
        found.append((f"{currency} orders", expect["orders"], row["orders"]))
        found.append((f"{currency} units", expect["units"], str(row["units"])))
    agree(found)


@pytest.mark.parametrize("dated", ["occurred", "placed"])
def test_every_grouping_of_the_sales_comes_to_the_same(told: Told, dated: str) -> None:
    """covers: R5, A83: all_reports_agree_after_partial_refund."""
    found = []
    for currency, expect in told.month.expected["sales"].items():
        for group in ("category", "sku", "channel", "month"):
            rows = sales(told, group, currency, dated=dated)
            for name in SALES:
                total = sum(row[f"{name}_minor"] for row in rows)
                found.append((f"{currency} {name} by {group}", expect[name], total))
    agree((n, a, major(b, n[:3])) for n, a, b in found)


def test_money_of_the_month_is_as_written_by_method(told: Told) -> None:
    """covers: A20, A24, A27"""
    found: list[tuple[str, Any, Any]] = []
    for currency, methods in told.month.expected["payments"].items():
        query = {"currency": currency, "min_position": told.api.head(), **MARCH}
        rows = told.api.shown("/v1/analytics/payments", group="method", **query)["rows"]
        ledger = {row["group"]: row for row in rows}
        found.append((f"{currency} methods", sorted(methods), sorted(ledger)))
        for method, expect in methods.items():
            row = ledger.get(method, {"paid_minor": 0, "refunded_minor": 0})
            for name in ("paid", "refunded"):
                amount = major(row[f"{name}_minor"], currency)
                found.append((f"{currency} {method} {name}", expect[name], amount))
        (whole,) = told.api.shown("/v1/analytics/payments", group="month", **query)["rows"]
        names = ("paid_minor", "refunded_minor")
        found += [(f"{currency} {n}", whole[n], sum(row[n] for row in rows)) for n in names]
    agree(found)


def test_the_money_of_all_orders_is_the_money_of_the_reports(told: Told) -> None:
    """covers: A24, R8: captures less refunds are what the orders say, to the cent."""
    query = {"group": "month", "currency": "CNY", "min_position": told.api.head()}
    rows = told.api.shown("/v1/analytics/payments", **query)["rows"]
    shown = [told.shown(n) for n in told.real_orders() if told.month.currency(n) == "CNY"]
    for name in ("paid_minor", "refunded_minor"):
        assert sum(row[name] for row in rows) == sum(one[name] for one in shown), name


def test_orders_are_counted_by_their_status(told: Told) -> None:
    """covers: A27"""
    wanted: dict[str, int] = {}
    for name in told.real_orders():
        status = told.month.orders[name]["expect"]["status"]
        wanted[status] = wanted.get(status, 0) + 1
    wanted.pop("void")
    query = {"group": "status", "min_position": told.api.head()}
    rows = told.api.shown("/v1/analytics/orders", **query)["rows"]
    assert {row["group"]: row["orders"] for row in rows} == wanted
    assert wanted.keys() <= LABELS.keys()


def test_a_voided_order_is_hidden_from_lists_and_kept(told: Told) -> None:
    """covers: A27"""
    items = told.api.shown("/v1/orders", limit=200, min_position=told.api.head())["items"]
    listed = {one["order_id"] for one in items}
    wanted = {name for name in told.real_orders() if name != "M051"}
    assert listed == {order_id(name) for name in wanted}
    (void,) = told.api.shown("/v1/orders", status="void")["items"]
    assert void["order_id"] == order_id("M051")


def test_a_customers_history_comes_to_what_is_written(told: Told) -> None:
    """covers: A15, A27"""
    found: list[tuple[str, Any, Any]] = []
    for customer, expect in told.month.expected["customers"].items():
        shown = told.api.shown(f"/v1/customers/{customer}/history", min_position=told.api.head())
        (totals,) = shown["totals"]
        found.append((f"{customer} orders", expect["orders"], totals["orders"]))
        for name in ("total", "paid", "refunded"):
            amount = major(totals[f"{name}_minor"], "CNY")
            found.append((f"{customer} {name}", expect[name], amount))
    agree(found)


# -- papers ----------------------------------------------------------------------------------------


def papers(told: Told) -> Iterator[tuple[str, Json]]:
    for name in told.real_orders():
        listed = told.api.shown(f"/v1/orders/{order_id(name)}/papers")
        yield from ((name, paper) for paper in listed["papers"])


def test_invoices_and_credit_notes_are_as_written_by_tax_rate(told: Told) -> None:
    """covers: A24, A65, A68"""
    ledger: dict[str, int] = {}
    for _, paper in papers(told):
        for rate in paper["rates"]:
            for part in ("gross", "tax"):
                percent = f"{rate['tax_rate_bp'] // 100} %"
                name = f"{paper['currency']} {paper['kind']} {percent} {part}"
                ledger[name] = ledger.get(name, 0) + rate[f"{part}_minor"]
    expect = {
        f"{currency} {kind} {rate} {part}": minor(amounts[part], currency)
        for currency, kinds in told.month.expected["papers"].items()
        if currency != "numbers"
        for kind, rates in kinds.items()
        for rate, amounts in rates.items()
        if rate != "sums"
        for part in ("gross", "tax")
    }
    names = sorted(ledger.keys() | expect.keys())
    agree((n, expect.get(n), ledger.get(n)) for n in names)


def test_papers_are_numbered_without_gap_in_the_order_of_their_issue(told: Told) -> None:
    """covers: A68"""
    found = {"invoice": {}, "credit_note": {}}  # type: dict[str, dict[str, str]]
    for name, paper in papers(told):
        found[paper["kind"]][paper["number"]] = name
    for kind, prefix in (("invoice", "INV"), ("credit_note", "CN")):
        wanted = told.month.expected["papers"]["numbers"][kind]
        numbers = {f"{prefix}-2025-{n:06}": name for n, name in enumerate(wanted, start=1)}
        assert found[kind] == numbers


def test_what_is_invoiced_is_what_is_owed_and_given_back(told: Told) -> None:
    """covers: A68: no invoiced order has anything left to invoice or to credit."""
    for name in {name for name, _ in papers(told)}:
        listed = told.api.shown(f"/v1/orders/{order_id(name)}/papers")
        assert (listed["to_invoice_minor"], listed["to_credit_minor"]) == (0, 0), name


def test_the_red_letter_stands_beside_its_fapiao(told: Told) -> None:
    """covers: A68"""
    listed = told.api.shown(f"/v1/orders/{order_id('M050')}/papers")
    (fapiao,) = listed["fapiao"]
    assert fapiao["fapiao_number"] == "25332000000012345678"
    assert fapiao["red_letters"] == {"CN-2025-000004": "25332000000087654321"}


# -- reconciliation --------------------------------------------------------------------------------


def test_what_is_matched_and_what_is_not_is_as_written(told: Told) -> None:
    """covers: A25: each line matched, or listed unmatched; and our money alike."""
    expect = told.month.expected["reconciliation"]["unmatched"]
    now = told.open()
    found = [
        (f"{side}: {one}", expect[side].count(one), now[side].count(one))
        for side in ("lines", "movements")
        for one in sorted({*expect[side], *now[side]})
    ]
    agree(found)


def test_a_difference_is_written_off_by_its_match(told: Told) -> None:
    """covers: A25"""
    for text, lost in told.month.expected["reconciliation"]["written_off"].items():
        statement, no = told.line(text)
        items = told.api.shown(f"/v1/statements/{statement}/lines", limit=200)["items"]
        (match,) = next(one for one in items if one["line_no"] == no)["matches"]
        assert major(-match["difference_minor"], "CNY") == lost, text


def test_lines_of_what_is_told_late_wait_until_it_is(told: Told) -> None:
    """covers: A25"""
    waiting = set(told.march["lines"]) - set(told.open()["lines"])
    assert waiting == {"bank 03-31 333.00", "alipay 03-31 50.00"}


def test_statements_say_what_their_files_say(told: Told) -> None:
    """covers: A25"""
    at = told.api.head()
    for name, lines in LINES.items():
        shown = told.api.shown(f"/v1/statements/{told.statements[name]}", min_position=at)
        assert sum(one["lines"] for one in shown["totals"]) == lines, name


# -- the closed months -----------------------------------------------------------------------------


def expected_period(told: Told, month: str, shop: str) -> dict[str, str]:
    """`2025-03 CNY alipay captured` -> amount; late facts under the month that they are of."""
    period = told.month.expected["period"].get(month, {})
    parts = {month: period.get(shop, {})}
    if shop == "main":
        parts |= period.get("late_from", {})
    return {
        f"{of} {currency} {method} {name}": amount
        for of, currencies in parts.items()
        for currency, methods in currencies.items()
        for method, amounts in methods.items()
        for name, amount in amounts.items()
        if name != "sums"
    }


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("month", ["2025-03", "2025-04"])
def test_a_closed_month_has_the_totals_that_were_written(told: Told, month: str, shop: str) -> None:
    """covers: A24"""
    items = told.api.shown("/v1/periods", shop=shop, min_position=told.api.head())["items"]
    (closed,) = [one for one in items if one["month"] == month]
    ledger = {
        f"{t['month']} {t['currency']} {t['method']} {name.removesuffix('_minor')}": major(
            amount, t["currency"]
        )
        for t in closed["totals"]
        for name, amount in t.items()
        if name.endswith("_minor") and name != "kept_minor" and amount
    }
    expect = expected_period(told, month, shop)
    names = sorted(expect.keys() | ledger.keys())
    agree((name, expect.get(name), ledger.get(name)) for name in names)


def test_a_closed_month_agrees_with_its_events_and_its_orders(told: Told) -> None:
    """covers: A24, R8: totals are folds; captures less refunds are what the orders hold."""
    for shop in SHOPS:
        shown = told.api.shown("/v1/periods/2025-03", shop=shop, min_position=told.api.head())
        assert shown["equal"] is True
        assert [one["difference_minor"] for one in shown["balances"] if one["orders"]] != []
        assert {one["difference_minor"] for one in shown["balances"]} == {0}


def test_late_facts_are_booked_in_april_with_a_pointer_to_march(told: Told) -> None:
    """covers: A24"""
    items = told.api.shown("/v1/periods", shop="main", min_position=told.api.head())["items"]
    (april,) = [one for one in items if one["month"] == "2025-04"]
    assert (april["late_count"], {one["month"] for one in april["late"]}) == (2, {"2025-03"})
