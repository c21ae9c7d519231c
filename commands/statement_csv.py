"""Any bank's CSV by a mapping: which columns, encoding, dates, decimals and signs it has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from commands.statement_files import (
    BadRow,
    Bounded,
    Parsed,
    Unusable,
    amount,
    joined,
    minor,
    moment,
    records,
    said,
    start_of,
    text_lines,
    verbatim,
)
from domain.command_types import CurrencyCode, PaymentMethod
from domain.period import ZONE, Zone
from domain.statement_commands import StatementLine
from domain.statement_facts import LineKind
from domain.values import OfFields, Text, Value

SKIP_ROWS_MAX = 100
TIME_FIELDS = frozenset(["%H", "%I", "%c"])

Column = Annotated[str, Field(min_length=1, max_length=200)]
Encoding = Literal["utf-8", "gb18030", "gbk", "big5", "latin-1", "cp1252", "iso-8859-15", "cp1251"]


class Columns(Value):
    """The names of the columns in the file's own row of names.

    Either `amount`, or `credit` and `debit`. `text` may be several, joined by a blank.
    """

    date: Column
    amount: Column | None = None
    credit: Column | None = None
    debit: Column | None = None
    direction: Column | None = None  # says by a word whether money came or went
    fee: Column | None = None
    currency: Column | None = None
    kind: Column | None = None
    reference: Column | None = None
    counterparty: Column | None = None
    text: Annotated[list[Column], Field(max_length=10)] = Field(default_factory=list)
    batch: Column | None = None

    @model_validator(mode="after")
    def _some_amount(self) -> Columns:
        if (self.amount is None) == (self.credit is None and self.debit is None):
            raise OfFields("give amount, or credit and debit", "amount", "credit", "debit")
        return self


class Mapping(Value):
    """How to read a file. `negative`: what the sign of `amount` means; `went`: the words of
    `direction` that mean money that went out; `kinds`: words of `kind` -> ours.
    """

    columns: Columns
    method: PaymentMethod = "bank_transfer"
    account: Text | None = None
    delimiter: Literal[",", ";", "\t", "|"] = ","
    quote: Literal['"', "'", ""] = '"'
    encoding: Encoding | None = None
    skip_rows: Annotated[int, Field(ge=0, le=SKIP_ROWS_MAX)] = 0
    date_format: Annotated[str, Field(pattern="%", max_length=60)] = "%Y-%m-%d"
    zone: Zone = ZONE
    decimal_comma: bool = False
    negative: Literal["out", "in"] = "out"
    went: Annotated[list[Text], Field(max_length=20)] = Field(default_factory=list)
    fee_included: bool = False  # the amount is net already
    currency: CurrencyCode | None = None
    kinds: Annotated[dict[str, LineKind], Field(max_length=100)] = Field(default_factory=dict)
    footer: Text | None = None  # what the first cell of the first row behind the lines begins with

    @model_validator(mode="after")
    def _some_currency(self) -> Mapping:
        if self.currency is None and self.columns.currency is None:
            raise OfFields("give currency, or a column of it", "currency", "columns.currency")
        if (self.columns.direction is None) != (not self.went):
            raise OfFields("direction and went belong together", "columns.direction", "went")
        return self

    @property
    def timed(self) -> bool:
        return any(field in self.date_format for field in TIME_FIELDS)


def read(source: Bounded, name: str, mapping: Mapping) -> Parsed:
    """Raises Unusable where a column of the mapping is missing."""
    parsed = Parsed(name, mapping.method, mapping.account)
    rows = records(_behind(source, mapping, parsed), mapping.delimiter, mapping.quote, parsed)
    _, header = next(rows, (0, []))
    columns = [cell.strip() for cell in header]
    _require(columns, mapping)
    for number, cells in rows:
        if mapping.footer and cells and cells[0].strip().startswith(mapping.footer):
            _check(number, columns, cells, mapping, parsed)
            return parsed
        if any(cell.strip() for cell in cells):
            parsed.add(number, lambda n=number, c=cells: _line(n, columns, c, mapping))  # type: ignore[misc]
    if mapping.footer:
        parsed.refuse(max((line.line_no for line in parsed.lines), default=1), "footer_missing")
    return parsed


def _check(
    number: int, columns: list[str], cells: list[str], mapping: Mapping, parsed: Parsed
) -> None:
    """A sum in the column of amounts must be that of the lines."""
    row, named = dict(zip(columns, cells, strict=False)), mapping.columns.amount
    if named is None or said(row.get(named)) is None or not parsed.lines:
        return
    try:
        told = minor(_signed(row, mapping), parsed.lines[0].currency, named)
    except BadRow as bad:
        parsed.refuse(number, bad.rule, bad.detail)
        return
    sums = (one.net_minor if mapping.fee_included else one.amount_minor for one in parsed.lines)
    if told != sum(sums):
        parsed.refuse(number, "footer_sum_differs", named)


def _behind(source: Bounded, mapping: Mapping, parsed: Parsed) -> Iterator[tuple[int, str]]:
    for number, line in text_lines(source, mapping.encoding, parsed):
        if number > mapping.skip_rows:
            yield number, line


def _require(columns: list[str], mapping: Mapping) -> None:
    named = [*mapping.columns.text]
    named += [
        value
        for field, value in dict(mapping.columns).items()
        if field != "text" and value is not None
    ]
    missing = [name for name in named if name not in columns]
    if missing:
        raise Unusable("columns", f"the row of names has no {', '.join(missing)}")
    twice = [name for name in named if columns.count(name) > 1]
    if twice:
        raise Unusable("columns", f"the row of names has {', '.join(twice)} twice")


def _line(
    line_no: int, columns: list[str], cells: list[str], mapping: Mapping
) -> StatementLine | None:
    if len(cells) != len(columns):
        raise BadRow("columns", f"{len(cells)} cells for {len(columns)} columns")
    row, named = dict(zip(columns, cells, strict=True)), mapping.columns
    currency = (row[named.currency].strip().upper() if named.currency else None) or mapping.currency
    if currency is None:
        raise BadRow("currency_unknown", named.currency or "")
    told = minor(_signed(row, mapping), currency, named.amount or "credit and debit")
    fee = minor(_told(row, named.fee, mapping), currency, named.fee or "") if named.fee else 0
    if not told and not fee:
        return None
    gross = told + fee if mapping.fee_included else told
    at, day = _moment(row[named.date], mapping)
    return StatementLine.model_validate(
        {
            "line_no": line_no,
            "kind": _kind(row, mapping, gross),
            "amount_minor": gross,
            "fee_minor": fee,
            "net_minor": gross - fee,
            "currency": currency,
            "at": at,
            "value_on": day,
            "timed": mapping.timed,
            "reference": said(row[named.reference]) if named.reference else None,
            "counterparty": said(row[named.counterparty]) if named.counterparty else None,
            "text": joined(*(said(row[name]) for name in named.text)),
            "batch_id": said(row[named.batch]) if named.batch else None,
            "verbatim": verbatim(columns, cells),
        }
    )


def _told(row: dict[str, str], column: str | None, mapping: Mapping) -> Decimal:
    if column is None or said(row[column]) is None:
        return Decimal(0)
    return amount(row[column].strip(), column, comma=mapping.decimal_comma)


def _signed(row: dict[str, str], mapping: Mapping) -> Decimal:
    """Above 0 for what came in, whatever the file's own convention."""
    named = mapping.columns
    if named.amount is None:
        came, went = _told(row, named.credit, mapping), _told(row, named.debit, mapping)
        if came and went:
            raise BadRow("sign", "credit and debit in one row")
        return came or -abs(went)
    if said(row[named.amount]) is None:
        raise BadRow("amount_unreadable", named.amount)
    told = _told(row, named.amount, mapping)
    if named.direction is not None:
        return -abs(told) if row[named.direction].strip() in mapping.went else abs(told)
    return told if mapping.negative == "out" else -told


def _kind(row: dict[str, str], mapping: Mapping, gross: int) -> LineKind:
    if mapping.columns.kind is not None:
        return mapping.kinds.get(row[mapping.columns.kind].strip(), "unknown")
    return "charge" if gross > 0 else "unknown"


def _moment(text: str, mapping: Mapping) -> tuple[datetime, str]:
    column = mapping.columns.date
    at, day = moment(text, mapping.date_format, mapping.zone, column)
    return (at if mapping.timed else start_of(date.fromisoformat(day), mapping.zone, column)), day
