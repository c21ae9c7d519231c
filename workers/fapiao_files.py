"""A tax provider that is reached through a directory: requests go out, answers come in, as files.

`out/NAME.json` is a request, written once and whole. The provider, or a person at its web site,
answers with `in/NAME.json` — {request_id, fapiao_number, issue_date, file} or {request_id,
refused} — and the file it names beside it. Files are kept under `files/` by their digest; settled
answers go to `done/`, unreadable ones to `bad/`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import Field

from domain.command_types import ReasonCode
from domain.fapiao import FapiaoAnswer, FapiaoOrder
from domain.values import Identifier, Value

ANSWERS_AT_ONCE_MAX = 100
FILE_BYTES_MAX = 20 * 1024 * 1024
RETRY_SECONDS = (0.1, 0.5, 2.0)  # a share that hiccups; then the worker's next turn
MEDIA_TYPES = {
    ".pdf": "application/pdf",
    ".ofd": "application/ofd",
    ".xml": "application/xml",
}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")

T = TypeVar("T")
log = structlog.get_logger()


class _Answer(Value):
    """An answer as it lies in the directory."""

    request_id: str = Field(max_length=1_000)
    fapiao_number: Identifier | None = None
    issue_date: date | None = None
    file: str | None = None
    refused: ReasonCode | None = None


class _NotYet(Exception):
    """The file that an answer names is still under way."""


@dataclass(frozen=True)
class DirectoryProvider:
    """One provider is one directory, made when it is first used."""

    directory: Path
    name: str = "directory"

    def submit(self, order: FapiaoOrder) -> None:
        """Raises OSError when the directory stays out of reach."""
        target = self._folder("out") / f"{name_of(order.request_id)}.json"
        settled = self.directory / "done" / target.name
        if not (target.exists() or settled.exists()):
            content = json.dumps(_request(order), ensure_ascii=False, indent=1)
            retried(lambda: write_whole(target, content.encode()))

    def collect(self) -> list[FapiaoAnswer]:
        found = []
        for path in sorted(self._folder("in").glob("*.json"))[:ANSWERS_AT_ONCE_MAX]:
            try:
                found.append(retried(lambda path=path: self._read(path)))  # type: ignore[misc]
            except _NotYet:
                continue
            except ValueError as error:
                log.warning("unreadable answer", file=path.name, error=type(error).__name__)
                path.replace(self._folder("bad") / path.name)
        return found

    def settle(self, request_id: str) -> None:
        for folder in ("in", "out"):
            path = self.directory / folder / f"{name_of(request_id)}.json"
            if path.exists():
                suffix = ".json" if folder == "out" else ".answer.json"
                path.replace(self._folder("done") / f"{name_of(request_id)}{suffix}")

    def _read(self, path: Path) -> FapiaoAnswer:
        """Raises ValueError for what is no answer of ours, _NotYet without its file."""
        answer = _Answer.model_validate_json(_bounded(path))
        if path.name != f"{name_of(answer.request_id)}.json":
            raise ValueError("it is named after another request")
        if answer.refused is not None:
            return FapiaoAnswer(answer.request_id, refused=answer.refused)
        if not (answer.fapiao_number and answer.issue_date and answer.file):
            raise ValueError("neither a number with its day and file, nor a refusal")
        if not _FILE_NAME.fullmatch(answer.file):
            raise ValueError("its file is not beside it")
        source = path.with_name(answer.file)
        if not source.exists():
            raise _NotYet
        return FapiaoAnswer(
            request_id=answer.request_id,
            fapiao_number=answer.fapiao_number,
            issue_date=answer.issue_date,
            file_digest=self._keep(_bounded(source)),
            media_type=MEDIA_TYPES.get(source.suffix.lower(), "application/octet-stream"),
        )

    def _keep(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        target = self._folder("files") / digest
        if not target.exists():
            write_whole(target, content)
        return f"sha256:{digest}"

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def name_of(request_id: str) -> str:
    """What the files of a request are called: ids may hold what a file's name may not."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]


def write_whole(path: Path, content: bytes) -> None:
    """Readers see the whole file or none, also after a crash."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    with waiting.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(path)


def retried(call: Callable[[], T]) -> T:
    """Raises OSError after the last try."""
    for pause in RETRY_SECONDS:
        try:
            return call()
        except OSError:
            time.sleep(pause)
    return call()


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ValueError(f"it has more than {FILE_BYTES_MAX} bytes")
    return path.read_bytes()


def _request(order: FapiaoOrder) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(order).items() if value is not None}
    lines = [line.model_dump(mode="json", exclude_none=True) for line in order.lines]
    return plain | {"lines": lines, "rates": [one.model_dump() for one in order.rates]}
