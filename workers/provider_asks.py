"""What is to be asked of a provider for one task, by the order's and the payout's own events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce

from psycopg import Connection

from commands.provider import ORIGIN, actor
from domain import order_fold, payout
from domain.desk_names import order_stream
from domain.message import Event, Recorded, StreamName
from domain.order_facts import PaymentCaptured
from domain.order_state import Order
from domain.payment_facts import AuthorisationVoided, PaymentAuthorised, PaymentMovedIn
from domain.payout import Payout, key_of, payout_stream
from domain.provider import Ask
from domain.provider_commands import AskPayout, PayoutPartBody
from workers.provider_tasks import Task

MOVES_MAX = 20  # of one payment from order to order

Read = Callable[[Connection, StreamName], list[Recorded]]


class Asks:
    """Of one provider. `read`: all events of a stream."""

    def __init__(self, provider: str, read: Read) -> None:
        self._provider = provider
        self._read = read

    def opening(
        self, connection: Connection, task: Task, at: datetime
    ) -> tuple[AskPayout, str] | None:
        """What the ledger has to know before a refund is paid out, and the attempt's name; None
        where this provider pays nothing of it.
        """
        if task.kind != "refund":
            return None
        events = self._read(connection, order_stream(task.order_ref))
        refund = _order(events).refunds.get(task.id)
        if refund is None or refund.status != "approved":
            return None
        parts = [
            PayoutPartBody(key=key, payment_id=payment_id, amount_minor=amount)
            for payment_id, amount in refund.payments.items()
            if amount > 0 and self._charge(connection, events, payment_id) is not None
            for key in [key_of(task.id, payment_id, refund.payments)]
        ]
        if not parts:
            return None
        before = len(self._read(connection, payout_stream(task.id)))
        command = AskPayout(
            order_id=task.order_ref,
            refund_id=task.id,
            provider=self._provider,
            parts=parts,
            at=at,
        )
        return command, f"payout {task.id}#{len(events)}.{before}"

    def of(self, connection: Connection, task: Task) -> list[Ask]:
        events = self._read(connection, order_stream(task.order_ref))
        match task.kind:
            case "refund":
                return self._refunds(connection, task, events)
            case "capture":
                return self._capture(connection, task, events)
            case _:
                return self._void(connection, task, events)

    def _refunds(self, connection: Connection, task: Task, events: Sequence[Recorded]) -> list[Ask]:
        paid = self._payout(connection, task.id)
        currency = _order(events).currency
        asks = []
        for key, part in paid.parts.items():
            charge = self._charge(connection, events, part.payment_id)
            if part.status == "asked" and charge is not None:
                amount, attempt = part.amount_minor, part.attempt
                asks.append(Ask("refund", key, charge, amount, currency, task.order_ref, attempt))
        return asks

    def _payout(self, connection: Connection, refund_id: str) -> Payout:
        events = self._read(connection, payout_stream(refund_id))
        return reduce(payout.evolve, (one.event for one in events), Payout())

    def _capture(self, connection: Connection, task: Task, events: Sequence[Recorded]) -> list[Ask]:
        order = _order(events)
        asked = order.money.captures.get(task.id)
        if asked is None:
            return []
        charge = self._charge(connection, events, asked.authorisation_id)
        if charge is None:
            return []
        amount = asked.amount_minor
        return [Ask("capture", task.id, charge, amount, order.currency, task.order_ref)]

    def _void(self, connection: Connection, task: Task, events: Sequence[Recorded]) -> list[Ask]:
        charge = self._charge(connection, events, task.id)
        found = [
            one.event.amount_minor
            for one in events
            if isinstance(one.event, AuthorisationVoided) and one.event.payment_id == task.id
        ]
        if charge is None or not found:
            return []
        key = f"void/{task.id}"
        return [Ask("void", key, charge, found[0], _order(events).currency, task.order_ref)]

    def _charge(
        self, connection: Connection, events: Sequence[Recorded], payment_id: str
    ) -> str | None:
        """The provider's id of a payment that it has told of, also where it was moved since; None
        of any other money.
        """
        for _ in range(MOVES_MAX):
            one = next((one for one in events if _brings(one.event, payment_id)), None)
            if one is None:
                return None
            if isinstance(one.event, PaymentMovedIn):
                payment_id = one.event.from_payment_id
                events = self._read(connection, order_stream(one.event.from_order_id))
                continue
            if one.origin == ORIGIN and one.actor == actor(self._provider):
                return str(one.event.reference)  # type: ignore[attr-defined]
            held = getattr(one.event, "authorisation_id", None)
            if held is None:
                return None
            payment_id = held  # A person said that what this provider holds was captured.
        return None


def _brings(event: Event, payment_id: str) -> bool:
    kinds = PaymentCaptured | PaymentAuthorised | PaymentMovedIn
    return isinstance(event, kinds) and event.payment_id == payment_id


def _order(events: Sequence[Recorded]) -> Order:
    return reduce(order_fold.evolve, (one.event for one in events), Order())
