"""What the routes of one running API share: the committer, reading connections, settings."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from api.evidence_files import EvidenceFiles
from api.facts import Facts
from api.problems import Problem
from commands.committer import Committer
from commands.keys import Vault
from commands.settings import Settings
from commands.store import CLAIMS, HEAD, Store
from domain.number import is_number
from projections import checkpoint

READ_CONNECTIONS_MAX = 8
READ_CONNECTION_WAIT_SECONDS = 5.0
MIN_POSITION_WAIT_SECONDS = 5.0
MIN_POSITION_POLL_SECONDS = 0.02
GC_THRESHOLDS = (50_000, 20, 100)


class Context:
    """One per application. Started and stopped by its lifespan."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings)
        self.digest_key = settings.digest_key()
        self.committer = Committer(self.store, self.vault())
        self.pool = AsyncConnectionPool[AsyncConnection[Any]](
            self.store.url,
            kwargs={**self.store.session, "autocommit": True},
            min_size=1,
            max_size=READ_CONNECTIONS_MAX,
            timeout=READ_CONNECTION_WAIT_SECONDS,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name="reads",
        )
        self.facts = Facts(settings)
        self.evidence = EvidenceFiles(settings)
        self.ending = False  # streams end by themselves, or a stop would wait for them
        self.streams = 0  # feeds that are being streamed
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ledger_http_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "ledger_http_request_seconds",
            "Seconds from request to answer",
            ("method", "route"),
            registry=self.registry,
        )

    def vault(self) -> Vault:
        """A vault without keys in memory, so that an erased key is not found there."""
        return Vault(self.settings.name, self.settings.master_key_bytes())

    async def start(self) -> None:
        """Does not wait for the database: a request meanwhile is told to come again."""
        calm_garbage_collection()
        await self.pool.open(wait=False)
        await self.committer.start()

    async def stop(self) -> None:
        await self.committer.stop()
        await self.pool.close()
        self.facts.close()
        self.evidence.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection in autocommit mode. Raises PoolTimeout."""
        async with self.pool.connection() as connection:
            yield connection

    async def order_id(self, text: str, kind: str = "order") -> str:
        """The UUID of an order, or of the draft that it was or may become, by UUID or number.

        Raises Problem 404.
        """
        if is_number(text):
            async with self.reading() as connection:
                rows = await connection.execute(CLAIMS, [["order_number"], [text]])
                claim = await rows.fetchone()
            if claim is not None:
                return str(claim[2])
        return uuid_text(text, kind)

    async def reach(self, projection: str | None, position: int) -> None:
        """Wait until a projection (None: the ledger) has come to a position. Raises Problem 504.

        The connection is given back between looks: those who wait must not starve those who read.
        """
        deadline = time.monotonic() + MIN_POSITION_WAIT_SECONDS
        while True:
            reached = await self._position_of(projection)
            if reached >= position:
                return
            if time.monotonic() >= deadline:
                name = projection or "the ledger"
                detail = f"{name} is at {reached}, {position} was asked for."
                raise Problem(504, "position_not_reached", detail, position=reached)
            await asyncio.sleep(MIN_POSITION_POLL_SECONDS)

    async def _position_of(self, projection: str | None) -> int:
        async with self.reading() as connection:
            if projection is not None:
                return await checkpoint.position_of(connection, projection)
            return await head_of(connection)


async def head_of(connection: AsyncConnection[Any]) -> int:
    """The newest position; 0 in an empty ledger."""
    row = await (await connection.execute(HEAD)).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def calm_garbage_collection() -> None:
    """Rarer looks for cycles: the committer's cache holds millions of objects that are none.

    With Python's thresholds about a seventh of the time of placing orders went into walking them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def uuid_text(text: str, kind: str) -> str:
    """A UUID in its canonical spelling. Raises Problem 404: no other text names such a thing."""
    try:
        return str(UUID(text))
    except ValueError:
        detail = f"There is no such {kind}."
        raise Problem(404, f"{kind}_not_found", detail, facts={f"{kind}_id": text[:200]}) from None
