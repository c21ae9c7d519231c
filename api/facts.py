"""The analytics store as the API asks it: opened when needed, by a few threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import duckdb
import structlog

from api.problems import busy
from commands.settings import Settings
from projections.analytics import Lake, LakeUnreachable
from projections.analytics_queries import Analytics

QUERIES_AT_ONCE_MAX = 2  # each uses `analytics_threads` threads of its own
QUERY_WAIT_SECONDS = 10.0  # for one of these places

log = structlog.get_logger()


class Facts:
    """The analytics store, opened at the first question and anew after a failure."""

    def __init__(self, settings: Settings) -> None:
        self._lake = Lake(
            settings.postgres_url,
            settings.analytics_schema,
            settings.role,
            settings.analytics_path,
            settings.analytics_threads,
            settings.analytics_memory_limit,
        )
        self._analytics: Analytics | None = None
        self._opening = asyncio.Lock()
        self._places = asyncio.Semaphore(QUERIES_AT_ONCE_MAX)
        self._threads = ThreadPoolExecutor(QUERIES_AT_ONCE_MAX, thread_name_prefix="facts")

    async def ask(self, question: Callable[[Analytics], dict[str, Any]]) -> dict[str, Any]:
        """The answer of one query. Raises Problem 503."""
        async with self._place():
            try:
                answer: dict[str, Any] = await self._run(question, await self._opened())
            except (duckdb.Error, LakeUnreachable) as error:
                # Of the error only its kind: the text may hold the connection string.
                log.warning("facts unreachable", error=type(error).__name__)
                self._analytics = None
                raise busy("The analytics store does not answer, or has no facts yet.") from None
        return answer

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(QUERY_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise busy(f"{QUERIES_AT_ONCE_MAX} figures are being computed.") from None
        try:
            yield
        finally:
            self._places.release()

    async def _opened(self) -> Analytics:
        async with self._opening:
            if self._analytics is None:
                self._analytics = await self._run(Analytics, self._lake)
            return self._analytics

    async def _run(self, work: Callable[[Any], Any], argument: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, argument)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._analytics is not None:
            self._analytics.close()
