"""What one provider's worker has to look after: found by following the ledger, kept in a table.

A task says only that something is to be looked at. What is to be done follows from the streams, so
a task that is done twice, or too late, does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from commands.provider import ORIGIN, actor
from commands.store import Store
from domain.message import Recorded
from domain.order_facts import OrderPlaced, RefundApproved, RefundRetried
from domain.payment_facts import AuthorisationVoided, CaptureRequested
from domain.provider_facts import NoticeAssigned, NoticeReceived

BATCH_EVENTS_MAX = 5_000
TASKS_AT_ONCE_MAX = 200
# After so many tries; the last for ever: what is unknown is asked for until it is known.
PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0)

PLACE = "SELECT position FROM provider_place WHERE provider = %s FOR UPDATE"
BEGIN = "INSERT INTO provider_place (provider, position) VALUES (%s, 0) ON CONFLICT DO NOTHING"
MOVE = "UPDATE provider_place SET position = %s WHERE provider = %s"
ADD = """INSERT INTO provider_task (provider, kind, id, order_ref) VALUES (%s, %s, %s, %s)
ON CONFLICT (provider, kind, id) DO UPDATE
SET order_ref = excluded.order_ref, tries = 0, since = clock_timestamp(),
    due_at = clock_timestamp()"""
WAKE = """UPDATE provider_task SET due_at = clock_timestamp()
WHERE provider = %s AND kind = 'notice' AND order_ref = ANY(%s)"""
DUE = """SELECT kind, id, order_ref, tries, since FROM provider_task
WHERE provider = %s AND due_at <= clock_timestamp() ORDER BY due_at LIMIT %s"""
LATER = """UPDATE provider_task
SET tries = tries + 1, due_at = clock_timestamp() + make_interval(secs => %s)
WHERE provider = %s AND kind = %s AND id = %s"""
DONE = "DELETE FROM provider_task WHERE provider = %s AND kind = %s AND id = %s"


class Task(NamedTuple):
    kind: str  # notice, refund, capture, void
    id: str
    order_ref: str
    tries: int
    since: datetime


class Tasks:
    """Of one provider. Every call is one transaction."""

    def __init__(self, provider: str, store: Store) -> None:
        self._provider = provider
        self._store = store

    def follow(self, connection: Connection) -> int:
        """Read on in the ledger, remember what is to be done; how many events there were."""
        with connection.transaction():
            connection.execute(BEGIN, [self._provider])
            row = connection.execute(PLACE, [self._provider]).fetchone()
            assert row is not None
            batch = self._store.feed(connection, row[0], BATCH_EVENTS_MAX)
            if batch:
                self._take(connection, batch)
                connection.execute(MOVE, [batch[-1].position, self._provider])
        return len(batch)

    def _take(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        woken: list[str] = []
        for one in batch:
            if one.topic == OrderPlaced.TOPIC:
                woken += _references(one.event)
            elif (task := self._task_of(one)) is not None:
                connection.execute(ADD, [self._provider, *task])
        if woken:
            self.wake(connection, woken)

    def _task_of(self, one: Recorded) -> tuple[str, str, str] | None:
        """Kind, id, order."""
        match one.topic:
            case NoticeReceived.TOPIC | NoticeAssigned.TOPIC:
                event = one.event
                assert isinstance(event, NoticeReceived | NoticeAssigned)
                order = event.order_ref if isinstance(event, NoticeReceived) else event.order_id
                mine = event.provider == self._provider
                return ("notice", event.notice_id, order) if mine else None
            case RefundApproved.TOPIC | RefundRetried.TOPIC:
                return "refund", one.event.refund_id, one.key  # type: ignore[attr-defined]
            case CaptureRequested.TOPIC:
                return "capture", one.event.payment_id, one.key  # type: ignore[attr-defined]
            case AuthorisationVoided.TOPIC if not self._told_by_it(one):
                return "void", one.event.payment_id, one.key  # type: ignore[attr-defined]
            case _:
                return None

    def _told_by_it(self, one: Recorded) -> bool:
        return one.origin == ORIGIN and one.actor == actor(self._provider)

    def wake(self, connection: Connection, order_refs: Iterable[str]) -> None:
        """Notices of these orders may find now what they wait for."""
        connection.execute(WAKE, [self._provider, [*order_refs]])

    def due(self, connection: Connection) -> list[Task]:
        rows = connection.execute(DUE, [self._provider, TASKS_AT_ONCE_MAX])
        return [Task(*row) for row in rows]

    def later(self, connection: Connection, task: Task) -> None:
        pause = PAUSES_SECONDS[min(task.tries, len(PAUSES_SECONDS) - 1)]
        connection.execute(LATER, [pause, self._provider, task.kind, task.id])

    def done(self, connection: Connection, task: Task) -> None:
        connection.execute(DONE, [self._provider, task.kind, task.id])


def _references(event: object) -> list[str]:
    """What a notice may call an order."""
    assert isinstance(event, OrderPlaced)
    return [one for one in (event.order_id, event.number, event.external_ref) if one]
