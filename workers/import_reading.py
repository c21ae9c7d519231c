"""Reads files of the neutral format, a record at a time, and says what it could not read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import orjson
from pydantic import ValidationError

from domain.history_record import Record

LINE_BYTES_MAX = 4_000_000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place of the source that nothing could be made of."""

    file: str
    line: int
    reason: str


Found = tuple[str, int, Record] | Unreadable  # file, line, what stands there


def read_file(path: Path) -> Iterator[tuple[float, Found]]:
    """The records of a file, one at a time. A damaged gzip file is read as far as it goes."""
    size = max(1, path.stat().st_size)
    with path.open("rb") as raw:
        packed = path.suffix == ".gz"
        # gzip's stubs do not say that its files are binary streams.
        lines = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
        number = 0
        try:
            while line := lines.readline(LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > LINE_BYTES_MAX:
                    _skip_rest(line, lines)
                if line.strip():
                    yield min(1.0, raw.tell() / size), parse(str(path), number, line)
        except (OSError, EOFError, zlib.error) as error:
            yield 1.0, Unreadable(str(path), number + 1, f"the file cannot be read on: {error}")


def _skip_rest(line: bytes, lines: IO[bytes]) -> None:
    while line and not line.endswith(b"\n"):
        line = lines.readline(LINE_BYTES_MAX)


def parse(file: str, number: int, line: bytes) -> Found:
    """One line of the neutral format. The reason names the field and shows no value."""
    if len(line) > LINE_BYTES_MAX:
        return Unreadable(file, number, f"longer than {LINE_BYTES_MAX} bytes")
    try:
        parsed = orjson.loads(line.strip())
    except orjson.JSONDecodeError as error:
        return Unreadable(file, number, f"no JSON: {error}")
    return check(file, number, parsed)


def check(file: str, number: int, parsed: Any) -> Found:
    try:
        return file, number, Record.model_validate(parsed)
    except ValidationError as error:
        return Unreadable(file, number, reasons(error))


def reasons(error: ValidationError) -> str:
    """`order.lines.0.quantity: …`, for each field; without the values, which may be personal."""
    return "; ".join(
        f"{'.'.join(map(str, part['loc'])) or 'record'}: {part['msg']}"
        for part in error.errors(include_url=False, include_context=False, include_input=False)
    )
