"""Queues a message to the customer for each fact that calls for one. Sending comes after.

It follows the ledger with a position of its own. What it queues has an id that follows from the
command whose fact it tells: followed twice, after a kill or with its position lost, a fact is
still one message; and a read model that is rebuilt has nothing to do with it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import psycopg
import structlog
from prometheus_client import Counter
from psycopg import Connection

from commands.append import stream_id
from commands.keys import Vault
from commands.planning import Outcome
from commands.runner import BatchRunner, Conflict, digest
from commands.settings import Settings
from commands.store import Store
from domain.customer_messages import KINDS, TOPICS, QueueMessage
from domain.desk_names import order_stream
from domain.message import Attempt, Recorded
from projections import checkpoint
from projections.engine import create_tables
from workers.deadline_rows import IMPORTED
from workers.following import followed

NAME = "messages"
VERSION = 1
ACTOR = "messenger"
MESSAGES_MAX = 200  # in one transaction
TOLD_DAYS_MAX = 7  # after that it is news to nobody; also where an old ledger meets this worker
TRIES_MAX = 5

QUEUED = Counter("ledger_messages_queued", "Messages that wait to be sent", ["kind"])

log = structlog.get_logger()


class MessageQueue:
    """The target of a follower: facts in, queued messages out."""

    name = NAME
    batches_max = 1

    def __init__(self, settings: Settings) -> None:
        self._schema = settings.read_schema
        self._store = Store(settings)
        vault = Vault(settings.name, settings.master_key_bytes())
        self._runner = BatchRunner(self._store, vault)
        self._digest_key = settings.digest_key()

    def open(self, connection: Connection, stack: ExitStack) -> int:  # noqa: ARG002
        with connection.transaction():
            create_tables(connection, self._schema)
            connection.execute(checkpoint.START, [NAME, VERSION])
        return self.position(connection)

    def position(self, connection: Connection) -> int:
        return checkpoint.reached(connection, NAME)

    def rest(self, connection: Connection) -> float:  # noqa: ARG002
        return 0.0

    def apply(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int:
        """As far as one transaction goes; the position moves with what is queued, or not at all."""
        try:
            return self._queue(connection, batch, after)
        except (psycopg.OperationalError, checkpoint.Overtaken, Conflict):
            raise
        except Exception as error:  # noqa: BLE001 - one broken order must not stop the others.
            if len(batch) > 1:
                return self.apply(connection, batch[: len(batch) // 2], after)
            return checkpoint.pass_over(connection, NAME, batch[0], after, error)

    def _queue(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int:
        facts, last = self._facts(batch)
        facts = self._ours(connection, facts)
        commands = [(_command(name, one), self._attempt(name)) for name, one in facts.items()]
        for _ in range(TRIES_MAX):
            try:
                with connection.transaction():
                    checkpoint.move(connection, NAME, after, last.position, last.recorded_at)
                    outcomes = self._runner.run(connection, commands) if commands else []
            except Conflict:
                continue
            self._runner.committed()
            for command, outcome in zip(commands, outcomes, strict=True):
                _count(command[0], outcome)
            return last.position
        raise Conflict(f"{TRIES_MAX} times in a row")

    def _facts(self, batch: Sequence[Recorded]) -> tuple[dict[str, Recorded], Recorded]:
        """One fact for each message, by its id, and the last event that was looked at."""
        since = datetime.now(UTC) - timedelta(days=TOLD_DAYS_MAX)
        found: dict[str, Recorded] = {}
        for one in batch:
            if one.topic in TOPICS and one.recorded_at > since:
                # A payment by two methods is two facts, and one thing to tell.
                found.setdefault(self._message_id(one), one)
                if len(found) == MESSAGES_MAX:
                    return found, one
        return found, batch[-1]

    def _ours(self, connection: Connection, facts: Mapping[str, Recorded]) -> dict[str, Recorded]:
        """Without those of an imported history, which is left alone."""
        namespace = self._store.namespace
        ids = [stream_id(namespace, order_stream(one.key)) for one in facts.values()]
        imported = {key for _, key in connection.execute(IMPORTED, [ids])} if ids else set()
        return {name: one for name, one in facts.items() if one.key not in imported}

    def release(self, connection: Connection, key: str) -> None:
        """Queue what was set aside: of a key, its last part is the position of the fact."""
        position = int(key.rpartition("/")[2])
        (fact,) = self._store.feed(connection, position - 1, 1)
        name = self._message_id(fact)
        with connection.transaction():
            self._runner.run(connection, [(_command(name, fact), self._attempt(name))])
            connection.execute(checkpoint.UNPARK, [NAME, key])

    def _message_id(self, fact: Recorded) -> str:
        name = f"message/{fact.command_id}/{fact.key}/{fact.topic}/{_about(fact)}"
        return str(uuid5(self._store.namespace, name))

    def _attempt(self, message_id: str) -> Attempt:
        return Attempt(
            actor=ACTOR,
            origin=ACTOR,
            command_id=uuid5(self._store.namespace, f"queue/{message_id}"),
            correlation_id=UUID(message_id),
            causation_id=None,
            key=message_id,
            digest=digest(self._digest_key, [message_id]),
        )


def _about(fact: Recorded) -> str | None:
    return getattr(fact.event, "refund_id", None)


def _command(message_id: str, fact: Recorded) -> QueueMessage:
    return QueueMessage(
        message_id=message_id,
        order_id=fact.key,
        kind=KINDS[type(fact.event)],
        about=_about(fact),
        position=fact.position,
        at=fact.recorded_at,
    )


def _count(command: QueueMessage, outcome: Outcome | Exception) -> None:
    if isinstance(outcome, Exception):
        log.warning("message refused", order=command.order_id, refusal=str(outcome))
    elif not outcome.repeated:
        QUEUED.labels(command.kind).inc()


def release(settings: Settings, connection: Connection, key: str) -> None:
    """Queue a message that was set aside. Raises what it raises still."""
    MessageQueue(settings).release(connection, key)


def run(settings: Settings, stop: threading.Event) -> None:
    """Until `stop` is set. Outlives a restart of PostgreSQL; of several, one is at work."""
    with followed(MessageQueue(settings), Store(settings), stop):
        stop.wait()
