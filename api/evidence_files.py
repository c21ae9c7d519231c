"""The files that customers show, as the API asks for them: by a few threads, opened when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from api.problems import FieldError, busy, invalid
from commands.evidence import EvidenceStore
from commands.settings import Settings

FILES_AT_ONCE_MAX = 4  # each up to FILE_BYTES_MAX in memory
FILE_WAIT_SECONDS = 10.0  # for one of these places

log = structlog.get_logger()
T = TypeVar("T")


class EvidenceFiles:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: EvidenceStore | None = None
        self._places = asyncio.Semaphore(FILES_AT_ONCE_MAX)
        self._threads = ThreadPoolExecutor(FILES_AT_ONCE_MAX, thread_name_prefix="evidence")

    async def ask(self, question: Callable[[EvidenceStore], T]) -> T:
        """Raises Problem 503 when the store does not answer, or too many ask."""
        try:
            async with asyncio.timeout(FILE_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise busy(f"{FILES_AT_ONCE_MAX} files are on their way.") from None
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._answer, question)
        except OSError as error:
            log.warning("evidence unreachable", error=repr(error))
            raise busy("The store of evidence does not answer.") from None
        finally:
            self._places.release()

    def _answer(self, question: Callable[[EvidenceStore], T]) -> T:
        if self._store is None:
            self._store = EvidenceStore(self._settings)
        return question(self._store)

    async def require(self, digests: Sequence[str]) -> None:
        """Raises Problem 422 that names each digest of a body that no file was uploaded under."""
        if not digests:
            return
        unknown = await self.ask(lambda store: store.unknown(digests))
        errors = [
            FieldError(
                field=f"evidence.{index}",
                rule="unknown_evidence",
                message="no file with this SHA-256 was uploaded",
            )
            for index, digest in enumerate(digests)
            if digest in unknown
        ]
        if errors:
            raise invalid(errors)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
