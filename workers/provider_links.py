"""A payment provider over HTTP and through a directory: asks go out, notices come in.

`in/*.jsonl` holds notices, one a line, as the webhook's bodies are; what was read goes to `done/`,
files with a line that nobody can read to `bad/`. Without a URL an ask is a file `out/NAME.json`,
and its answer is a notice like any other.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import structlog
from pydantic import SecretStr, ValidationError

from commands.provider import sign
from domain.provider import Ask, NoticeFile
from domain.provider_commands import Notice, ProviderTerms
from workers.fapiao_files import name_of, retried, write_whole

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0  # then nobody knows whether it was done
ANSWER_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 8
FILES_AT_ONCE_MAX = 20
FILE_BYTES_MAX = 20 * 1024 * 1024

log = structlog.get_logger()


class Unknown(OSError):
    """The provider has not said what became of it."""


@dataclass(frozen=True)
class Directory:
    """The file half of a provider. Raises OSError when the directory stays out of reach."""

    path: Path

    def put(self, ask: Ask) -> None:
        """Once: what was asked is left as it is."""
        target = self._folder("out") / f"{name_of(f'{ask.kind} {ask.key}')}.json"
        if not target.exists():
            content = json.dumps(asdict(ask), ensure_ascii=False).encode()
            retried(lambda: write_whole(target, content))

    def collect(self) -> list[NoticeFile]:
        files = sorted(self._folder("in").glob("*.jsonl"))[:FILES_AT_ONCE_MAX]
        return [_read(path) for path in files]

    def settle(self, file: NoticeFile) -> None:
        folder = self._folder("bad" if file.unreadable else "done")
        (self.path / "in" / file.name).replace(folder / file.name)

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _read(path: Path) -> NoticeFile:
    if path.stat().st_size > FILE_BYTES_MAX:
        log.warning("too large a file of notices", file=path.name, bytes_max=FILE_BYTES_MAX)
        return NoticeFile(path.name, [], [0])
    found = NoticeFile(path.name, [], [])
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.notices.append(Notice.model_validate_json(line))
        except ValidationError:
            found.unreadable.append(number)
    if found.unreadable:
        log.warning("lines are no notices", file=path.name, lines=found.unreadable[:20])
    return found


@dataclass
class Link:
    """One provider as its terms say; a `PaymentProvider`. Safe to use from several threads."""

    name: str
    terms: ProviderTerms
    directory: Directory
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            trust_env=False,
        )
    )

    def ask(self, ask: Ask) -> Notice | None:
        """Raises Unknown, OSError."""
        if not self.terms.url:
            self.directory.put(ask)
            return None
        answer = self._post(ask, self.terms.secret)
        if answer.status_code == httpx.codes.ACCEPTED:
            return None
        if answer.status_code != httpx.codes.OK or len(answer.content) > ANSWER_BYTES_MAX:
            raise Unknown(f"{self.name} answered {answer.status_code}")
        try:
            return Notice.model_validate_json(answer.content)
        except ValidationError:
            raise Unknown(f"{self.name} answered with no notice") from None

    def _post(self, ask: Ask, secret: SecretStr) -> httpx.Response:
        body = json.dumps(asdict(ask)).encode()
        headers = {
            "content-type": "application/json",
            "idempotency-key": ask.key,
            **sign(secret, ask.key, datetime.now(UTC), body),
        }
        try:
            return self.client.post(f"{self.terms.url}/{ask.kind}s", content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unknown(f"{self.name}: {type(error).__name__}") from None

    def collect(self) -> list[NoticeFile]:
        return self.directory.collect()

    def settle(self, file: NoticeFile) -> None:
        self.directory.settle(file)

    def close(self) -> None:
        self.client.close()
