"""A connection to the ledger that comes back: work on it is run again after it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection

from commands.keys import SOME_KEY, ForeignKey, Vault
from commands.store import Store

RECONNECT_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 2.0, 2.0, 2.0)  # then Busy

T = TypeVar("T")
log = structlog.get_logger()


class Busy(Exception):
    """No answer now: the database is away, or the queue is full. Nobody knows whether it was done,
    so it is to be sent again under the same idempotency key.
    """


class Link:
    """One connection in autocommit mode, opened when it is first used."""

    def __init__(self, store: Store, vault: Vault, renewed: Callable[[], None]) -> None:
        """`renewed` is called before each new connection: the server may be another one by then."""
        self._store = store
        self._vault = vault
        self._renewed = renewed
        self._connection: AsyncConnection | None = None
        self._closed = False

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """The result of work that may be done twice, on a new connection where the old one is lost.

        Raises Busy when there is none to be had.
        """
        for pause in (*RECONNECT_SECONDS, None):
            if self._closed:
                break
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await self._connect()
                return await work(self._connection)
            except psycopg.OperationalError as error:
                log.warning("database away", error=str(error).strip())
                if pause is None:
                    raise Busy("the database is not reachable") from error
                await asyncio.sleep(pause)
        raise Busy("the process ends")

    async def _connect(self) -> AsyncConnection:
        self._renewed()
        connection = await self._store.aconnect(autocommit=True)
        try:
            self._vault.check(await (await connection.execute(SOME_KEY)).fetchall())
        except ForeignKey as error:
            await connection.close()
            raise Busy(str(error)) from error
        return connection

    async def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            await self._connection.close()
