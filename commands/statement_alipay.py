"""Alipay's downloads for merchants: 业务明细 (trades) and 账务明细 (the account), GBK or UTF-8.

Lines that begin with # stand before and after the rows: title, account, period, and at the end the
marker of the end and the sums, against which the rows are checked. Ids end in tabs, so that
spreadsheets take them for text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    said,
    text_lines,
    verbatim,
)
from domain.statement_commands import StatementLine
from domain.statement_facts import LineKind

CURRENCY = "CNY"  # Alipay's books at home
TIME = "%Y-%m-%d %H:%M:%S"
HEAD_ROWS_MAX = 50

# #交易合计：2笔，商家实收共36.80元，… or #退款合计：1笔，商家实收退款共-5.00元，…
# or #收入合计：18笔，共1.00元
_SUM = re.compile(r"#\s*(交易|退款|收入|支出)合计[：:]\s*(\d+)笔[，,]\s*\D*?共\s*(-?[\d.,]+)元")
_ACCOUNT = re.compile(r"#\s*账号[：:]\s*\[?([^\]\s]+)")
_END = re.compile(r"#\s*-*.*列表结束")


@dataclass(slots=True)
class _Sums:
    """Rows and their sum by the names of the footer."""

    rows: dict[str, int] = field(default_factory=dict)
    sums: dict[str, Decimal] = field(default_factory=dict)

    def add(self, name: str, value: Decimal) -> None:
        self.rows[name] = self.rows.get(name, 0) + 1
        self.sums[name] = self.sums.get(name, Decimal(0)) + value


class _Row:
    """One row by the names of its columns, which differ in brackets and spaces over the years."""

    def __init__(self, columns: list[str], cells: list[str]) -> None:
        self._cells = dict(zip(columns, cells, strict=False))

    def text(self, *names: str) -> str | None:
        return next((found for name in names if (found := said(self._cells.get(name)))), None)

    def amount(self, name: str) -> Decimal:
        told = self.text(name)
        return Decimal(0) if told is None else amount(told, name)

    def moment(self, *names: str) -> tuple[object, str]:
        told = self.text(*names)
        if told is None:
            raise BadRow("time_unreadable", names[0])
        return moment(told, TIME, CHINA, names[0])


def _column(cell: str) -> str:
    """`收入金额（+元）` as 收入金额."""
    return re.sub(r"[（(].*?[）)]", "", cell).strip(" \t")


def read(source: Bounded, name: str) -> Parsed:
    """Raises Unusable for what is none of both."""
    parsed = Parsed(name, "alipay")
    lines = text_lines(source, None, parsed)
    columns = _head(lines, parsed)
    make = _trade if "商家实收" in columns else _booking
    if make is _booking and "收入金额" not in columns:
        raise Unusable("layout", "neither 业务明细 nor 账务明细: the columns are others")
    sums, footer = _Sums(), dict[str, tuple[int, Decimal]]()
    last = ended = 0
    for last, line in lines:
        if line.lstrip().startswith("#"):
            ended = ended or (last if _END.match(line.lstrip()) else 0)
            _take_sum(line, footer)
        elif line.strip(" \t,") and not ended:
            parsed.add(last, lambda n=last, text=line: make(n, columns, text, sums))  # type: ignore[misc]
    _check(parsed, sums, footer, last, ended=bool(ended))
    return parsed


def _head(lines: Iterator[tuple[int, str]], parsed: Parsed) -> list[str]:
    titled = False
    for number, line in lines:
        titled = titled or "支付宝" in line
        account = _ACCOUNT.match(line.lstrip())
        if account is not None:
            parsed.account = account[1]
        bare = line.lstrip("\t ")
        if titled and not bare.startswith("#") and bare.strip(" ,"):
            return [_column(cell) for cell in cells_of(bare)]
        if number >= HEAD_ROWS_MAX:
            break
    raise Unusable("layout", "no title of Alipay and no row of columns behind it")


def _take_sum(line: str, footer: dict[str, tuple[int, Decimal]]) -> None:
    found = _SUM.match(line.lstrip())
    if found is not None:
        footer[found[1]] = (int(found[2]), abs(amount(found[3], found[1])))


def _cells(line: str, columns: list[str]) -> list[str]:
    cells = [cell.strip(" \t") for cell in cells_of(line.lstrip("\t"))]
    if not len(columns) <= len(cells) <= len(columns) + 1:  # Some end in a comma.
        raise BadRow("columns", f"{len(cells)} cells for {len(columns)} columns")
    return cells


def _trade(line_no: int, columns: list[str], line: str, sums: _Sums) -> StatementLine:
    cells = _cells(line, columns)
    row = _Row(columns, cells)
    what = row.text("业务类型") or ""
    if what not in {"交易", "退款"}:
        raise BadRow("kind_unknown", "业务类型")
    gross = row.amount("商家实收")
    charged = -1 if what == "退款" else 1
    if gross * charged < 0:
        raise BadRow("sign", "商家实收 does not fit 业务类型")
    # Told below 0 in one year, above in another: what is kept of a trade, given back of a refund.
    kept = charged * (abs(row.amount("服务费")) + abs(row.amount("分润")))
    at, day = row.moment("完成时间", "创建时间")
    made = _line(line_no, "refund" if charged < 0 else "charge", gross, kept, at, day)
    sums.add(what, abs(gross))
    return StatementLine.model_validate(
        {
            **made,
            "reference": row.text("支付宝交易号"),
            "counterparty": row.text("对方账户"),
            "text": joined(
                row.text("商户订单号"), row.text("退款批次号/请求号"), row.text("商品名称"),
                row.text("备注"),
            ),
            "verbatim": verbatim(columns, cells),
        }
    )  # fmt: skip


def _booking(line_no: int, columns: list[str], line: str, sums: _Sums) -> StatementLine | None:
    cells = _cells(line, columns)
    row = _Row(columns, cells)
    came, went = row.amount("收入金额"), abs(row.amount("支出金额"))
    if came < 0 or (came and went):
        raise BadRow("sign", "收入金额 and 支出金额")
    if not came and not went:
        return None
    at, day = row.moment("发生时间")
    kind = _kind(row.text("业务类型") or "", row.text("业务描述") or "", came - went)
    made = _line(line_no, kind, came - went, Decimal(0), at, day)
    sums.add("收入" if came else "支出", came or went)
    return StatementLine.model_validate(
        {
            **made,
            "reference": row.text("业务流水号", "账务流水号"),
            "counterparty": row.text("对方账号"),
            "text": joined(
                row.text("商户订单号"), row.text("业务基础订单号"), row.text("商品名称"),
                row.text("备注"),
            ),
            "verbatim": verbatim(columns, cells),
        }
    )  # fmt: skip


def _kind(what: str, more: str, came: Decimal) -> LineKind:
    told = what + more
    words: tuple[tuple[str, LineKind], ...] = (
        ("退款", "refund"),
        ("收费", "fee"),
        ("服务费", "fee"),
        ("手续费", "fee"),
        ("提现", "payout"),
        ("转账", "transfer"),
    )
    for word, kind in words:
        if word in told:
            return kind
    return (
        "charge" if came > 0 and ("付款" in told or "支付" in told or "交易" in told) else "unknown"
    )


def _line(
    line_no: int, kind: LineKind, gross: Decimal, fee: Decimal, at: object, day: str
) -> dict[str, object]:
    gross_minor, fee_minor = minor(gross, CURRENCY, "amount"), minor(fee, CURRENCY, "服务费")
    return {
        "line_no": line_no,
        "kind": kind,
        "amount_minor": gross_minor,
        "fee_minor": fee_minor,
        "net_minor": gross_minor - fee_minor,
        "currency": CURRENCY,
        "at": at,
        "value_on": day,
    }


def _check(
    parsed: Parsed,
    sums: _Sums,
    footer: dict[str, tuple[int, Decimal]],
    last: int,
    *,
    ended: bool,
) -> None:
    """A file that was cut off looks like a smaller one, but for its footer."""
    if not ended or not footer:
        parsed.refuse(last, "footer_missing", "the end of the list or its sums are missing")
    for name in sorted({*footer, *(sums.rows if footer else ())}):
        rows, total = footer.get(name, (0, Decimal(0)))
        if rows != sums.rows.get(name, 0):
            parsed.refuse(last, "footer_count_differs", f"{name}合计")
        elif total != sums.sums.get(name, Decimal(0)):
            parsed.refuse(last, "footer_sum_differs", f"{name}合计")
