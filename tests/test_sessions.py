"""Bounds of every session with PostgreSQL: nobody holds the others up for ever."""

import time
from typing import Any

import psycopg
import pytest

from commands.settings import Settings
from commands.store import Store
from projections import rebuild as upkeep_rebuild
from tests.carrier import Desk
from workers import upkeep

BOUNDS = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")


class Hurried(Store):
    """A store whose transactions may take this long only, so that a test need not wait."""

    TRANSACTION_MS = 20

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.session["options"] += f" -c transaction_timeout={self.TRANSACTION_MS}ms"


def seconds(connection: psycopg.Connection, name: str) -> int:
    query = "SELECT setting::int / 1000 FROM pg_settings WHERE name = %s AND unit = 'ms'"
    (found,) = connection.execute(query, [name]).fetchone() or (0,)
    return int(found)


def test_every_wait_of_a_session_ends(settings: Settings) -> None:
    """A transaction may take longer than any of its parts: PostgreSQL passes over longer parts."""
    with Store(settings).connect(autocommit=True) as connection:
        bounds = [seconds(connection, name) for name in (*BOUNDS, "transaction_timeout")]
    assert bounds == sorted(bounds)
    assert bounds[0] > 0


LOCK = "SELECT pg_advisory_xact_lock(42)"


def go_on_and_on(connection: psycopg.Connection) -> None:
    """Small statements follow one another, so neither of the other bounds ends it."""
    connection.execute(LOCK)
    while True:
        connection.execute("SELECT 1")
        time.sleep(0.001)


def test_a_transaction_that_goes_on_and_on_is_ended_and_lets_go(settings: Settings) -> None:
    busy = Hurried(settings).connect()
    with pytest.raises(psycopg.errors.TransactionTimeout):
        go_on_and_on(busy)
    assert busy.closed
    with Store(settings).connect() as connection:
        connection.execute(LOCK)


def test_a_rebuild_takes_the_time_that_it_needs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """covers: L34"""
    Desk(settings).dispatch(["SF1"])

    def slow(*arguments: Any) -> list[str]:
        time.sleep(10 * Hurried.TRANSACTION_MS / 1000)
        return differing(*arguments)

    differing = upkeep_rebuild._differing
    monkeypatch.setattr(upkeep_rebuild, "_differing", slow)
    monkeypatch.setattr(upkeep, "Store", Hurried)
    list(upkeep.rebuild(settings, "order_status", compare=False))
    (found,) = upkeep.rebuild(settings, "order_status", compare=True)
    assert (found.differing, found.swapped) == (0, True)
