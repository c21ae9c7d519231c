"""Looks at each placed order beside the others: duplicates, unusual prices, unusual quantities.

Placing does no more for it. This worker follows the ledger, keeps a read model of what was ordered
and sends `CheckOrder` for the few orders that look wrong in it; the orders decide. Commands are
named after the order and the fact, cases after the order or the pair: two workers, a restart or a
lost position open none twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid5

import psycopg
import structlog
from prometheus_client import Counter
from psycopg import Connection

from commands.keys import SELECT_KEYS, Vault
from commands.planning import Outcome
from commands.runner import BatchRunner, Conflict, digest
from commands.settings import Settings
from commands.store import Store
from domain import codec
from domain.desk_names import order_stream
from domain.message import Attempt, Recorded, Sealed
from domain.order_facts import LinesAmended, OrderCancelled, OrderPlaced, OrderVoided
from domain.order_state import Order
from domain.payment_facts import OrderReinstated
from domain.phone import reaches_one_person
from domain.policy import pinned, policy_stream
from domain.policy_rules import ExceptionRules
from domain.replacement_facts import PlacedAsReplacement
from domain.return_facts import PlacedInExchange
from projections import checkpoint
from projections import intake as model
from projections.intake import NAME
from workers.following import followed
from workers.intake_rows import Look, changed_row, line_rows, order_row, suspicions

__all__ = ["NAME", "IntakeChecks", "release", "run"]

ACTOR = "intake"
HISTORY = "import"  # as an origin: what is brought in is not looked at, others beside it are
EVENTS_MAX = 500  # in one transaction
CHECKED_DAYS_MAX = 7  # after that a hold comes too late; also where an old ledger meets this worker
TRIES_MAX = 5

CHANGES = frozenset(
    kind.TOPIC
    for kind in (
        LinesAmended,
        OrderCancelled,
        OrderReinstated,
        OrderVoided,
        PlacedInExchange,
        PlacedAsReplacement,
    )
)
SUSPECTED = Counter("ledger_intake_suspected", "Orders that looked wrong, of those it compared")

log = structlog.get_logger()

Placed = list[tuple[Recorded, OrderPlaced]]


class IntakeChecks:
    """The target of a follower: placements in, cases out."""

    name = NAME
    batches_max = 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings)
        vault = Vault(settings.name, settings.master_key_bytes())
        self._runner = BatchRunner(self._store, vault)
        self._digest_key = settings.digest_key()

    def open(self, connection: Connection, stack: ExitStack) -> int:  # noqa: ARG002
        model.prepare(connection, self._settings.read_schema)
        return self.position(connection)

    def position(self, connection: Connection) -> int:
        return checkpoint.reached(connection, NAME)

    def rest(self, connection: Connection) -> float:  # noqa: ARG002
        return 0.0

    def apply(self, connection: Connection, batch: Sequence[Recorded], after: int) -> int:
        for start in range(0, len(batch), EVENTS_MAX):
            after = self._part(connection, batch[start : start + EVENTS_MAX], after)
        return after

    def _part(self, connection: Connection, part: Sequence[Recorded], after: int) -> int:
        try:
            return self._do(connection, part, after)
        except (psycopg.OperationalError, checkpoint.Overtaken, Conflict):
            raise
        except Exception as error:  # noqa: BLE001 - one broken order must not stop the others.
            half = len(part) // 2
            if not half:
                return checkpoint.pass_over(connection, NAME, part[0], after, error)
            after = self._part(connection, part[:half], after)
            return self._part(connection, part[half:], after)

    def _do(self, connection: Connection, part: Sequence[Recorded], after: int) -> int:
        """The position moves with the rows and the cases, or not at all."""
        last = part[-1]
        for _ in range(TRIES_MAX):
            try:
                with connection.transaction():
                    checkpoint.move(connection, NAME, after, last.position, last.recorded_at)
                    outcomes = self._check(connection, part)
            except Conflict:
                continue
            self._runner.committed()
            for outcome in outcomes:
                _count(outcome)
            return last.position
        raise Conflict(f"{TRIES_MAX} times in a row")

    def _check(self, connection: Connection, part: Sequence[Recorded]) -> list[Outcome | Exception]:
        placed: Placed = [
            (one, one.event)  # type: ignore[misc]  # The topic says so.
            for one in part
            if one.topic == OrderPlaced.TOPIC
        ]
        changed = [one for one in part if one.topic in CHANGES]
        states = self._orders(connection, changed)
        self._keep(connection, placed, states.values())
        looks = self._looks(connection, placed, changed, states)
        facts = {look.order_id: look.fact for look in looks}
        found = suspicions(connection, looks, datetime.now(UTC)) if looks else []
        commands = [(one, self._attempt(facts[one.order_id])) for one in found]
        return self._runner.run(connection, commands) if commands else []

    def _orders(self, connection: Connection, changed: Sequence[Recorded]) -> dict[str, Order]:
        """As they are stored by now."""
        names = frozenset(order_stream(one.key) for one in changed)
        loaded = self._runner.states(connection, names) if names else {}
        return {name.key: state for name, (_, state) in loaded.items()}

    def _keep(self, connection: Connection, placed: Placed, states: Iterable[Order]) -> None:
        phones = self._phones(connection, placed)
        orders = [order_row(one, event, phones.get(one.key)) for one, event in placed]
        lines = [row for one, event in placed for row in line_rows(one, event)]
        model.add(connection, orders, lines)
        model.change(connection, [changed_row(state) for state in states if state.placed])

    def _phones(self, connection: Connection, placed: Placed) -> dict[str, bytes]:
        """By order, as marks: equal for equal numbers, and without the ledger's key nobody can try
        numbers out. With a vault of its own: a key that was destroyed must not be remembered.
        """
        vault = Vault(self._settings.name, self._settings.master_key_bytes())
        sealed = {
            one.key: event.contact
            for one, event in placed
            if one.origin != HISTORY and isinstance(event.contact, Sealed)
        }
        persons = list({contact.person for contact in sealed.values()})
        vault.learn(connection.execute(SELECT_KEYS, [persons]) if persons else ())
        found = {}
        for key, contact in sealed.items():
            phone = reaches_one_person(codec.reveal(contact, vault).get("phone"))
            if phone is not None:
                found[key] = digest(self._digest_key, ["phone", phone])
        return found

    def _looks(
        self,
        connection: Connection,
        placed: Placed,
        changed: Sequence[Recorded],
        states: dict[str, Order],
    ) -> list[Look]:
        since = datetime.now(UTC) - timedelta(days=CHECKED_DAYS_MAX)
        new = [
            (one, event)
            for one, event in placed
            if one.recorded_at > since and one.origin != HISTORY
        ]
        back = {
            one.key: one
            for one in changed
            if one.topic == OrderReinstated.TOPIC
            and one.recorded_at > since
            and one.origin != HISTORY
        }
        versions = {(event.shop, event.policy_version) for _, event in new}
        versions |= {(states[key].shop, states[key].policy_version) for key in back}
        rules = self._rules(connection, versions)
        looks = {
            key: Look(key, one, rules[states[key].shop, states[key].policy_version])
            for key, one in back.items()
        }
        for one, event in new:
            of = rules[event.shop, event.policy_version]
            looks[one.key] = Look(one.key, one, of, event)
        return [*looks.values()]

    def _rules(
        self, connection: Connection, versions: set[tuple[str, int]]
    ) -> dict[tuple[str, int], ExceptionRules]:
        """Of shops and the policy versions of placements."""
        names = frozenset(policy_stream(shop) for shop, _ in versions)
        loaded = self._runner.states(connection, names) if names else {}
        return {
            (shop, version): pinned(loaded[policy_stream(shop)][1], version).rules.exceptions
            for shop, version in versions
        }

    def _attempt(self, fact: Recorded) -> Attempt:
        key = f"intake/{fact.key}/{fact.position}"
        command_id = uuid5(self._store.namespace, key)
        return Attempt(
            actor=ACTOR,
            origin=ACTOR,
            command_id=command_id,
            correlation_id=fact.correlation_id,
            causation_id=fact.command_id,
            key=key,
            digest=digest(self._digest_key, [key]),
        )

    def release(self, connection: Connection, key: str) -> None:
        """Look at what was set aside: of a key, its last part is the position of the fact."""
        position = int(key.rpartition("/")[2])
        facts = self._store.feed(connection, position - 1, 1)
        with connection.transaction():
            connection.execute(checkpoint.LOCK, [NAME])
            connection.execute(checkpoint.UNPARK, [NAME, key])
            self._check(connection, facts)


def _count(outcome: Outcome | Exception) -> None:
    if isinstance(outcome, Exception):
        log.warning("check refused", refusal=str(outcome))
    elif outcome.position is not None and not outcome.repeated:
        SUSPECTED.inc()


def release(settings: Settings, connection: Connection, key: str) -> None:
    """Look at an order that was set aside. Raises what it raises still."""
    IntakeChecks(settings).release(connection, key)


def run(settings: Settings, stop: threading.Event) -> None:
    """Until `stop` is set. Outlives a restart of PostgreSQL; of several, one is at work."""
    with followed(IntakeChecks(settings), Store(settings), stop):
        stop.wait()
