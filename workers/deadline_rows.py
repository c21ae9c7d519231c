"""Keeps the read model of deadlines: which streams have changed, and what is due of them now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime

import psycopg
import structlog
from psycopg import Connection

from commands.append import stream_id
from commands.keys import Vault
from commands.planning import Loaded
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain import deadlines
from domain.deadlines import Deadline
from domain.message import Command, Recorded, StreamName
from domain.order_state import Order
from domain.policy import PolicyVersion, pinned, policy_stream
from projections import checkpoint
from projections import deadlines as model
from projections.deadlines import NAME
from projections.rebuild import DIFFERENCES_MAX, Rebuilt

CATEGORIES = frozenset({"order", "account"})
STREAMS_MAX = 500  # read at once

IMPORTED = """SELECT category, key FROM ledger_event
WHERE stream_id = ANY(%s) AND version = 1 AND origin = 'import'"""

UNPARK = "DELETE FROM parked WHERE projection = %s AND key = ANY(%s)"

log = structlog.get_logger()


class Streams:
    """Reads streams and says what is due of them. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings)
        self.sellers = settings.sellers
        vault = Vault(settings.name, settings.master_key_bytes())
        self.runner = BatchRunner(self.store, vault)

    def load(self, connection: Connection, names: Iterable[StreamName]) -> dict[StreamName, Loaded]:
        """As they are stored by now, with the policies of the orders among them. Without those of
        an imported history, which is left alone. Raises what a broken stream raises.
        """
        wanted = self._ours(connection, frozenset(names))
        found = self.runner.states(connection, wanted)
        shops = {state.shop for _, state in found.values() if isinstance(state, Order)}
        return found | self.runner.states(connection, frozenset(map(policy_stream, shops)))

    def _ours(self, connection: Connection, names: frozenset[StreamName]) -> frozenset[StreamName]:
        ids = [stream_id(self.store.namespace, name) for name in names]
        imported = connection.execute(IMPORTED, [ids]).fetchall() if ids else []
        return names - {StreamName(*row) for row in imported}

    def due(self, name: StreamName, loaded: Mapping[StreamName, Loaded]) -> list[Deadline]:
        """What is and becomes due of one stream that was loaded."""
        _, state = loaded.get(name, (0, None))
        if state is None:
            return []
        if isinstance(state, Order):
            return deadlines.due(state, _policy(state, loaded), self.sellers)
        return deadlines.due_of_account(state)

    def command(self, row: model.Row, loaded: Mapping[StreamName, Loaded], at: datetime) -> Command:
        """What does it on the state that was loaded."""
        if row.deadline.kind not in deadlines.PAPERS:
            return deadlines.command(row.stream, row.deadline, at)
        state: Order = loaded[row.stream][1]
        policy = _policy(state, loaded)
        return deadlines.paper(row.deadline, state, policy, self.sellers, at)


def _policy(state: Order, loaded: Mapping[StreamName, Loaded]) -> PolicyVersion:
    _, policy = loaded[policy_stream(state.shop)]
    return pinned(policy, state.policy_version)


def _shop(name: StreamName, loaded: dict[StreamName, Loaded]) -> str | None:
    _, state = loaded[name]
    return state.shop if isinstance(state, Order) else None


class DeadlineRows:
    """The target of a follower."""

    name = NAME
    batches_max = 1

    def __init__(self, settings: Settings) -> None:
        self._schema = settings.read_schema
        self._streams = Streams(settings)

    def open(self, connection: Connection, stack: ExitStack) -> int:  # noqa: ARG002
        model.prepare(connection, self._schema)
        return self.position(connection)

    def position(self, connection: Connection) -> int:
        return checkpoint.reached(connection, NAME)

    def rest(self, connection: Connection) -> float:  # noqa: ARG002
        return 0.0

    def apply(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int:
        """States are read inside the transaction that moves the position, so they are never older
        than what the batch tells; that they may be newer harms nothing.
        """
        last = batch[-1]
        with connection.transaction():
            checkpoint.move(connection, NAME, after, last.position, last.recorded_at)
            for names in _chunks(batch):
                self._renew(connection, names, last.position)
        return last.position

    def _renew(self, connection: Connection, names: Sequence[StreamName], position: int) -> None:
        """One stream that cannot be read must not stop the others: it is set aside, and tried
        again with its next event, or when it is released.
        """
        try:
            self.renew(connection, names)
        except psycopg.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, only this stream may stop.
            if len(names) > 1:
                for name in names:
                    self._renew(connection, [name], position)
                return
            log.error("parked", projection=NAME, key=names[0].key, error=repr(error)[:500])
            checkpoint.park(connection, NAME, "/".join(names[0]), position, error)

    def renew(self, connection: Connection, names: Sequence[StreamName]) -> set[model.Row]:
        """In a savepoint of the open transaction; returns the rows that came or went."""
        with connection.transaction():
            loaded = self._streams.load(connection, names)
            before = model.of_streams(connection, names)
            after = {
                model.Row(name, one, _shop(name, loaded))
                for name in names
                for one in self._streams.due(name, loaded)
            }
            if before != after:
                model.replace(connection, names, after)
            connection.execute(UNPARK, [NAME, ["/".join(name) for name in names]])
        return before ^ after


def _chunks(batch: Iterable[Recorded]) -> Iterator[list[StreamName]]:
    touched = (StreamName(one.category, one.key) for one in batch if one.category in CATEGORIES)
    names = list(dict.fromkeys(touched))
    return (names[at : at + STREAMS_MAX] for at in range(0, len(names), STREAMS_MAX))


def release(settings: Settings, connection: Connection, key: str) -> None:
    """Look again at a stream that was set aside. Raises what it raises still."""
    with connection.transaction():
        connection.execute(checkpoint.LOCK, [NAME])
        DeadlineRows(settings).renew(connection, [StreamName(*key.split("/", 1))])


def rebuild(settings: Settings, connection: Connection, *, compare: bool) -> Rebuilt:
    """Find all out anew, stream by stream, in the place of what is there; `compare` only looks.

    The position stays: what the follower reads on from there is as new as this.
    """
    model.prepare(connection, settings.read_schema)
    rows, store, seen = DeadlineRows(settings), Store(settings), set[StreamName]()
    differing: set[model.Row] = set()
    after = 0
    while batch := store.feed(connection, after):
        for names in _chunks(batch):
            new = [name for name in names if name not in seen]
            changed = _again(connection, rows, new, compare=compare)
            differing |= changed if compare else set()
            seen.update(new)
        after = batch[-1].position
    examples = sorted({row.stream.key for row in differing})[:DIFFERENCES_MAX]
    kept = compare and bool(differing)
    count = model.count(connection)
    return Rebuilt(NAME, after, count, len(differing), tuple(examples), swapped=not kept)


def _again(
    connection: Connection, rows: DeadlineRows, names: Sequence[StreamName], *, compare: bool
) -> set[model.Row]:
    with connection.transaction() as transaction:
        connection.execute(checkpoint.LOCK, [NAME])  # Or the follower might be overwritten.
        differing = rows.renew(connection, names)
        if compare:
            raise psycopg.Rollback(transaction)
    return differing
