"""A statement's file to the commands that bring it in: what it is first, then its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import IO

from commands import (
    statement_alipay,
    statement_camt,
    statement_csv,
    statement_stripe,
    statement_wechat,
)
from commands.statement_csv import Mapping
from commands.statement_files import Bounded, Parsed, Unreadable, Unusable
from domain.message import Command
from domain.period import ZONE
from domain.statement import totals_of
from domain.statement_commands import (
    LINES_PER_COMMAND_MAX,
    UNREADABLE_MAX,
    ImportStatement,
    Layout,
    RecordLines,
    TotalBody,
    UnreadableBody,
)


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file that was read. With unreadable rows it is not brought in unless that is consented."""

    statement_id: str  # SHA-256 of its bytes
    layout: Layout
    size_bytes: int
    parsed: Parsed

    @property
    def unreadable(self) -> list[Unreadable]:
        return self.parsed.unreadable

    def commands(self, shop: str, at: datetime) -> Iterator[Command]:
        """What brings it in, in order; each may be sent again. Raises Unusable without lines."""
        yield self._announced(shop, at)
        lines = self.parsed.lines
        for start in range(0, len(lines), LINES_PER_COMMAND_MAX):
            some = lines[start : start + LINES_PER_COMMAND_MAX]
            yield RecordLines(statement_id=self.statement_id, lines=some, at=at)

    def _announced(self, shop: str, at: datetime) -> ImportStatement:
        parsed = self.parsed
        if not parsed.lines:
            raise Unusable("no_lines", "the file tells of no booked money")
        if len(parsed.unreadable) > UNREADABLE_MAX:
            raise Unusable("too_many_unreadable", f"more than {UNREADABLE_MAX} rows")
        return ImportStatement(
            statement_id=self.statement_id,
            shop=shop,
            layout=self.layout,
            method=parsed.method,  # type: ignore[arg-type] # pydantic checks it
            account=parsed.account,
            file_name=parsed.name,
            file_bytes=self.size_bytes,
            lines=len(parsed.lines),
            totals=[TotalBody(**dict(total)) for total in totals_of(parsed.lines)],
            unreadable=[
                UnreadableBody(line_no=max(1, one.line), rule=one.rule) for one in self.unreadable
            ],
            at=at,
        )


def read_statement(
    layout: Layout,
    raw: IO[bytes],
    name: str,
    mapping: Mapping | None = None,
    zone: str = ZONE,
) -> StatementFile:
    """Read a file to its end. `mapping` for CSV, `zone` for camt.053.

    Raises Unusable for a file that is not of the layout.
    """
    source = Bounded(raw)
    parsed = _read(layout, source, PurePath(name).name[:255] or "statement", mapping, zone)
    digest = source.hexdigest()
    if not source.size:
        raise Unusable("empty", "the file is empty")
    parsed.unreadable.sort(key=lambda one: one.line)
    return StatementFile(digest, layout, source.size, parsed)


def _read(layout: Layout, source: Bounded, name: str, mapping: Mapping | None, zone: str) -> Parsed:
    match layout:
        case "alipay":
            return statement_alipay.read(source, name)
        case "wechat":
            return statement_wechat.read(source, name)
        case "stripe":
            return statement_stripe.read(source, name)
        case "camt053":
            return statement_camt.read(source, name, zone)
        case "csv":
            if mapping is None:
                raise Unusable("mapping_missing", "a CSV needs a mapping")
            return statement_csv.read(source, name, mapping)
