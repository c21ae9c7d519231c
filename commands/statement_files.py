"""What all layouts of statements share: bounded reading, amounts, times, rows that are named.

Beside the write side, not in a worker, because the API takes uploads and the command line files,
and neither may import the other.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import IO
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from domain.money import minor_digits, ratio_half_up
from domain.statement_commands import LINES_MAX, StatementLine
from domain.values import AMOUNT_MINOR_MAX, storable_text

FILE_BYTES_MAX = 64 * 1024 * 1024
ROW_BYTES_MAX = 64 * 1024
ROWS_OF_A_RECORD_MAX = 100  # of one quoted record
UNREADABLE_NAMED_MAX = 1_000  # then reading stops: it is another file than was thought
VERBATIM_CHARACTERS_MAX = 2_000  # of one field; a longer one is kept cut
CHINA = "Asia/Shanghai"  # where Alipay and WeChat Pay keep their books

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_DECORATION = str.maketrans("", "", "¥￥€$£ \u00a0\u202f\t")


class Unusable(Exception):
    """The file as a whole is not of the layout. `rule` is stable."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule, self.message = rule, message


class BadRow(Exception):
    """A row breaks a rule. `detail` names the column and shows no value, which may be personal."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}" if detail else rule)
        self.rule, self.detail = rule, detail


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that nothing could be made of."""

    file: str
    line: int
    rule: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}" + (f": {self.detail}" if self.detail else "")


@dataclass(slots=True)
class Parsed:
    """A file in our own terms. `ignored`: rows that tell of no booked money."""

    name: str
    method: str  # of payment
    account: str | None = None
    lines: list[StatementLine] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    ignored: int = 0

    def add(self, line_no: int, make: Callable[[], StatementLine | None]) -> None:
        """Take what `make` makes of a row; None is a row without booked money."""
        try:
            line = make()
        except BadRow as bad:
            self.refuse(line_no, bad.rule, bad.detail)
            return
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            self.refuse(line_no, "value_invalid", _place(first["loc"], first["msg"]))
            return
        if line is None:
            self.ignored += 1
        elif len(self.lines) >= LINES_MAX:
            raise Unusable("too_many_lines", f"a statement may have {LINES_MAX} lines")
        else:
            self.lines.append(line)

    def refuse(self, line_no: int, rule: str, detail: str = "") -> None:
        if len(self.unreadable) >= UNREADABLE_NAMED_MAX:
            raise Unusable("too_many_unreadable", f"more than {UNREADABLE_NAMED_MAX} rows")
        self.unreadable.append(Unreadable(self.name, line_no, rule, detail))


def _place(location: Sequence[object], message: str) -> str:
    return f"{'.'.join(map(str, location)) or 'line'} {message.removeprefix('Value error, ')}"


class Bounded:
    """A binary file that is read once, up to FILE_BYTES_MAX, and digested on the way."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        return self._seen(self._raw.read(size))

    def readline(self, size: int) -> bytes:
        return self._seen(self._raw.readline(size))

    def _seen(self, data: bytes) -> bytes:
        self.size += len(data)
        if self.size > FILE_BYTES_MAX:
            raise Unusable("file_too_large", f"a statement may have {FILE_BYTES_MAX} bytes")
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """Of the whole file: what a reader left is read on."""
        while self.read(1024 * 1024):
            pass
        return self._digest.hexdigest()


# -- text --------------------------------------------------------------------------------------


def text_lines(source: Bounded, encoding: str | None, parsed: Parsed) -> Iterator[tuple[int, str]]:
    """Line number and text without its end; a line that cannot be decoded is refused by name.

    Encodings are ASCII in their line ends, as UTF-8 and GBK are. None: UTF-8 with or without mark,
    or what of GBK the first bytes cannot be UTF-8.
    """
    number = 0
    while raw := source.readline(ROW_BYTES_MAX + 1):
        number += 1
        if len(raw) > ROW_BYTES_MAX:
            while raw and not raw.endswith(b"\n"):
                raw = source.readline(ROW_BYTES_MAX)
            parsed.refuse(number, "row_too_long", f"more than {ROW_BYTES_MAX} bytes")
            continue
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if encoding is None and not raw.isascii():
            encoding = "utf-8" if _is_utf8(raw) else "gb18030"
        try:
            yield number, raw.decode(encoding or "ascii").rstrip("\r\n")
        except UnicodeDecodeError:
            parsed.refuse(number, "encoding", f"is not {encoding}")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def cells_of(line: str, delimiter: str = ",") -> list[str]:
    """The cells of a line that is a whole record; one that is none is a single cell."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return [line]


def records(
    lines: Iterator[tuple[int, str]], delimiter: str, quote: str, parsed: Parsed
) -> Iterator[tuple[int, list[str]]]:
    """First line number and cells of each record; a quoted cell may go over several lines."""
    state = {"line": 0, "taken": 0}

    def fed() -> Iterator[str]:
        for number, line in lines:
            state["line"] = state["line"] if state["taken"] else number
            state["taken"] += 1
            if state["taken"] > ROWS_OF_A_RECORD_MAX:
                parsed.refuse(state["line"], "quote_unterminated")
                return
            yield line + "\n"

    reader = csv.reader(fed(), delimiter=delimiter, quotechar=quote or None)
    while True:
        state["taken"] = 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            parsed.refuse(state["line"], "csv", str(error))
            continue
        if state["taken"] > ROWS_OF_A_RECORD_MAX:
            return
        yield state["line"], cells


# -- values ------------------------------------------------------------------------------------


def amount(text: str, column: str, *, comma: bool = False) -> Decimal:
    """A plain decimal of what people write: `1,234.50`, `¥12.00`; `comma`: `1.234,50`.

    Raises BadRow `amount_unreadable`.
    """
    bare = text.translate(_DECORATION)
    group, point = (".", ",") if comma else (",", ".")
    whole, found, rest = bare.partition(point)
    grouped = re.fullmatch(rf"[+-]?[0-9]{{1,3}}(\{group}[0-9]{{2,3}})*\{group}[0-9]{{3}}", whole)
    plain = (whole.replace(group, "") if grouped else whole) + (f".{rest}" if found else "")
    if not _NUMBER.fullmatch(plain):
        raise BadRow("amount_unreadable", column)
    return Decimal(plain)


def minor(value: Decimal, currency: str, column: str) -> int:
    """Minor units, exactly. Raises BadRow where there are more decimals than the currency has."""
    scaled = value.scaleb(digits_of(currency))
    if scaled != scaled.to_integral_value():
        raise BadRow("amount_unreadable", f"{column} has too many decimals for {currency}")
    return _bounded(int(scaled), column)


def rounded_minor(value: Decimal, currency: str, column: str) -> int:
    """Minor units, halves away from zero: of fees that are told in more decimals than are paid."""
    numerator, denominator = value.scaleb(digits_of(currency)).as_integer_ratio()
    return _bounded(ratio_half_up(numerator, denominator), column)


def _bounded(amount_minor: int, column: str) -> int:
    if abs(amount_minor) > AMOUNT_MINOR_MAX:
        raise BadRow("amount_too_large", column)
    return amount_minor


def digits_of(currency: str) -> int:
    try:
        return minor_digits(currency)
    except ValueError:
        raise BadRow("currency_unknown") from None


def moment(text: str, pattern: str, zone: str, column: str) -> tuple[datetime, str]:
    """An instant in UTC and its day in the source's zone. Raises BadRow `time_unreadable`."""
    try:
        local = datetime.strptime(" ".join(text.split()), pattern)  # noqa: DTZ007 - zone below
    except ValueError:
        raise BadRow("time_unreadable", column) from None
    if local.tzinfo is None:
        local = local.replace(tzinfo=ZoneInfo(zone))
    return _utc(local, column), local.date().isoformat()


def start_of(day: date, zone: str, column: str) -> datetime:
    return _utc(datetime.combine(day, time(), ZoneInfo(zone)), column)


def _utc(local: datetime, column: str) -> datetime:
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise BadRow("time_unreadable", column) from None


def said(text: str | None, characters_max: int = 1_000) -> str | None:
    """What a cell says, or None where it says nothing: blank, a dash, a stroke."""
    bare = (text or "").strip().strip("`' \t")
    if not bare or bare in {"-", "/", "--"}:
        return None
    return storable(bare)[:characters_max]


def storable(text: str) -> str:
    """Raises BadRow for what cannot be stored."""
    try:
        return storable_text(text)
    except ValueError as error:
        raise BadRow("text_unstorable", str(error)) from None


def verbatim(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """A row as it stood, without what is empty."""
    return {
        column or f"column {number}": cell[:VERBATIM_CHARACTERS_MAX]
        for number, (column, cell) in enumerate(zip(columns, cells, strict=False), 1)
        if cell.strip() and storable(cell)
    }


def joined(*texts: str | None) -> str | None:
    """Several texts as one, each once."""
    return " ".join(dict.fromkeys(text for text in texts if text)) or None
