"""WeChat Pay's downloads for merchants: 交易账单 (trades) and 资金账单 (the account), UTF-8 or GBK.

Every cell begins with a backtick, so that spreadsheets take it for text. The last two lines are the
names and values of the sums, against which the rows are checked. Trades are paid out by the day:
that is their batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from commands.statement_files import (
    CHINA,
    BadRow,
    Bounded,
    Parsed,
    Unusable,
    amount,
    cells_of,
    joined,
    minor,
    moment,
    rounded_minor,
    said,
    text_lines,
    verbatim,
)
from domain.statement_commands import StatementLine
from domain.statement_facts import LineKind

TIME = "%Y-%m-%d %H:%M:%S"
# Column of the rows -> name of its sum in the footer.
TRADE_SUMS = {
    "应结订单金额": "应结订单总金额",
    "退款金额": "退款总金额",
    "充值券退款金额": "充值券退款总金额",
    "手续费": "手续费总金额",
    "订单金额": "订单总金额",
    "申请退款金额": "申请退款总金额",
}
TRADE_ROWS = "总交易单数"
FUND_ROWS = "资金流水总笔数"

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Layout:
    rows: str  # name of the number of rows in the footer
    make: Callable[[int, Row], StatementLine | None]
    sums: Callable[[Row], dict[str, Decimal]]  # what a row adds to the footer's sums


def read(source: Bounded, name: str) -> Parsed:
    """Raises Unusable for what is none of both."""
    parsed = Parsed(name, "wechat_pay")
    lines = text_lines(source, None, parsed)
    header = next((line for _, line in lines if line.strip()), "")
    columns = [cell.removesuffix("(元)").removesuffix("（元）") for cell in _cells(header)]
    layout = _layout(columns)
    found, rows, last = dict[str, Decimal](), 0, 0
    footer: list[list[str]] = []
    for last, line in lines:
        cells = _cells(line)
        if footer or cells[:1] == [layout.rows]:
            footer += [cells] if any(cells) else []
        elif any(cells):
            rows += 1
            parsed.add(last, lambda n=last, c=cells: _one(n, columns, c, layout, found, parsed))  # type: ignore[misc]
    _check(parsed, layout, footer, rows, found, last)
    return parsed


def _layout(columns: list[str]) -> _Layout:
    if {"交易时间", "交易状态", "微信订单号"} <= {*columns}:
        return _Layout(TRADE_ROWS, _trade, _trade_sums)
    if {"记账时间", "收支类型", "收支金额"} <= {*columns}:
        return _Layout(FUND_ROWS, _fund, _fund_sums)
    raise Unusable("layout", "neither 交易账单 nor 资金账单 of WeChat Pay: the columns are others")


def _cells(line: str) -> list[str]:
    return [cell.strip(" \t").removeprefix("`").strip(" \t") for cell in cells_of(line)]


def _one(
    line_no: int,
    columns: list[str],
    cells: list[str],
    layout: _Layout,
    found: dict[str, Decimal],
    parsed: Parsed,
) -> StatementLine | None:
    if len(cells) != len(columns):
        raise BadRow("columns", f"{len(cells)} cells for {len(columns)} columns")
    row = dict(zip(columns, cells, strict=True))
    line = layout.make(line_no, row)
    for name, value in layout.sums(row).items():
        found[name] = found.get(name, Decimal(0)) + value
    if parsed.account is None:
        parsed.account = said(row.get("商户号"))
    return line


def _amount(row: Row, column: str) -> Decimal:
    told = said(row.get(column))
    return Decimal(0) if told is None else amount(told, column)


def _moment(row: Row, *columns: str) -> tuple[datetime, str]:
    told = next((found for column in columns if (found := said(row.get(column)))), None)
    if told is None:
        raise BadRow("time_unreadable", columns[-1])
    return moment(told, TIME, CHINA, columns[-1])


def _trade_sums(row: Row) -> dict[str, Decimal]:
    return {total: _amount(row, column) for column, total in TRADE_SUMS.items() if column in row}


def _trade(line_no: int, row: Row) -> StatementLine | None:
    state = row["交易状态"]
    if state not in {"SUCCESS", "REFUND", "REVOKED"}:
        raise BadRow("kind_unknown", "交易状态")
    back = state != "SUCCESS"
    column = "退款金额" if back else "应结订单金额" if "应结订单金额" in row else "总金额"
    told = _amount(row, column)
    if told < 0:
        raise BadRow("sign", column)
    if told == 0 and not _amount(row, "手续费"):
        return None
    at, day = _moment(row, *(("退款成功时间",) if back else ()), "交易时间")
    currency = row.get("货币种类") or "CNY"
    gross = minor(-told if back else told, currency, column)
    fee = rounded_minor(_amount(row, "手续费"), currency, "手续费")
    order, refund = said(row.get("微信订单号")), said(row.get("微信退款单号"))
    ours = (said(row.get("商户订单号")), said(row.get("商户退款单号")) if back else None)
    return StatementLine.model_validate(
        {
            "line_no": line_no,
            "kind": "refund" if back else "charge",
            "amount_minor": gross,
            "fee_minor": fee,
            "net_minor": gross - fee,
            "currency": currency,
            "at": at,
            "value_on": day,
            "reference": refund if back else order,
            "text": joined(*ours, order if back else None, said(row.get("商品名称"))),
            "counterparty": said(row.get("用户标识")),
            "batch_id": day,
            "verbatim": verbatim([*row], [*row.values()]),
        }
    )


def _fund_sums(row: Row) -> dict[str, Decimal]:
    kind = row["收支类型"]
    return {f"{kind}金额": abs(_amount(row, "收支金额")), f"{kind}笔数": Decimal(1)}


def _fund(line_no: int, row: Row) -> StatementLine | None:
    direction = {"收入": 1, "支出": -1}.get(row["收支类型"])
    if direction is None:
        raise BadRow("kind_unknown", "收支类型")
    told = direction * abs(_amount(row, "收支金额"))
    if told == 0:
        return None
    at, day = _moment(row, "记账时间")
    gross = minor(told, "CNY", "收支金额")
    return StatementLine.model_validate(
        {
            "line_no": line_no,
            "kind": _kind(row.get("业务名称", "") + row.get("业务类型", ""), direction),
            "amount_minor": gross,
            "net_minor": gross,
            "currency": "CNY",
            "at": at,
            "value_on": day,
            "reference": said(row.get("微信支付业务单号")),
            "text": joined(
                said(row.get("业务凭证号")), said(row.get("资金流水单号")), said(row.get("备注"))
            ),
            "verbatim": verbatim([*row], [*row.values()]),
        }
    )


def _kind(told: str, direction: int) -> LineKind:
    words: tuple[tuple[str, LineKind], ...] = (
        ("手续费", "fee"),
        ("服务费", "fee"),
        ("退款", "refund"),
        ("提现", "payout"),
        ("转账", "transfer"),
    )
    for word, kind in words:
        if word in told:
            return kind
    return "charge" if direction > 0 and "交易" in told else "unknown"


def _check(
    parsed: Parsed,
    layout: _Layout,
    footer: list[list[str]],
    rows: int,
    found: dict[str, Decimal],
    last: int,
) -> None:
    if len(footer) != 2 or len(footer[0]) != len(footer[1]):
        parsed.refuse(last, "footer_missing", f"the sums that begin with {layout.rows}")
        return
    for name, told in zip(*footer, strict=True):
        try:
            value = amount(told, name)
        except BadRow as bad:
            parsed.refuse(last, bad.rule, bad.detail)
            continue
        if name == layout.rows:
            if value != rows:
                parsed.refuse(last, "footer_count_differs", name)
        elif (name in found or value) and value != found.get(name, Decimal(0)):
            parsed.refuse(last, "footer_sum_differs", name)
