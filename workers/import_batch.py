"""Prepares imported orders for the ledger: free numbers, sealed facts, one unit for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import orjson

from commands.append import CommandRow, Unit
from commands.keys import SELECT_KEYS, Vault
from commands.runner import digest
from commands.settings import Settings
from commands.store import CLAIMS, Store
from domain import codec
from domain.customer import person_of
from domain.history import History, history, numbers, order_id_of
from domain.history_placement import customer_of
from domain.history_record import Record
from domain.message import Attempt
from domain.order_payment import payer_of

ORIGIN = "import"
CHANGED = "changed_since_import"
REFERENCE_TAKEN = "reference_of_another_order"

KNOWN = "SELECT key, digest FROM ledger_command WHERE actor = %s AND key = ANY(%s)"

Claim = tuple[str, str]  # kind and key


@dataclass(frozen=True, slots=True)
class Item:
    """A record on its way."""

    record: Record
    order_id: str
    digest: bytes

    @property
    def reference(self) -> str:
        return f"{self.record.order.shop}/{self.record.order.external_ref}"


@dataclass(slots=True)
class Batch:
    """Orders that go in together, in one unit. `keys` and `claims` are taken by them."""

    items: list[Item]
    persons: set[str]
    unit: Unit = field(default_factory=Unit)
    keys: dict[str, bytes] = field(default_factory=dict)  # idempotency key -> digest
    claims: set[Claim] = field(default_factory=set)
    told: list[tuple[Item, History]] = field(default_factory=list)  # new ones
    others: list[tuple[Item, str, History | None]] = field(default_factory=list)  # and why not


class Preparer:
    """Looks up what the ledger has, on a connection of its own, and makes batches of the rest.

    `under_way`: the batches that were prepared before and are not known to be committed.
    """

    def __init__(self, settings: Settings, actor: str) -> None:
        self._settings = settings
        self._actor = actor
        self._digest_key = settings.digest_key()
        self._store = Store(settings)
        self.reads = self._store.connect(autocommit=True)
        self._vault = self._new_vault()

    def close(self) -> None:
        self.reads.close()

    def reset(self) -> None:
        """Start anew on what the ledger holds: keys that were lost with a batch are forgotten."""
        self._vault = self._new_vault()
        if self.reads.closed:
            self.reads = self._store.connect(autocommit=True)

    def item(self, record: Record) -> Item:
        request = record.model_dump(mode="json", exclude_defaults=True)
        order_id = order_id_of(self._store.namespace, record)
        return Item(record, order_id, digest(self._digest_key, request))

    def prepare(self, items: list[Item], under_way: Sequence[Batch]) -> Batch:
        """One unit with the new ones among the items. Raises psycopg.OperationalError."""
        batch = Batch(items, persons={person for item in items for person in _persons(item)})
        # In this order: what another import commits in between is then known, and not taken for
        # an order of somebody else that has the same reference.
        taken = self._owned(items).union(*(earlier.claims for earlier in under_way))
        known = self._known(items, under_way)
        self._learn(batch.persons)
        for item in items:
            first = known.get(item.record.key) or batch.keys.get(item.record.key)
            reference = ("external_ref", item.reference)
            if first == item.digest:
                batch.others.append((item, "", history(item.record, item.order_id, "")))
            elif first is not None:
                batch.others.append((item, CHANGED, None))
            elif reference in taken or reference in batch.claims:
                batch.others.append((item, REFERENCE_TAKEN, None))
            else:
                self._add(batch, item, self._free_number(item, taken | batch.claims))
        batch.unit.keys = self._vault.minted(batch.persons)
        self._vault.stored(batch.unit.keys)  # As good as: no later batch goes in without this one.
        return batch

    def committed(self, batch: Batch, under_way: Sequence[Batch]) -> None:
        """Let go of its keys, so that memory stays flat."""
        for person in batch.persons.difference(*(later.persons for later in under_way)):
            self._vault.forget(person)

    def _add(self, batch: Batch, item: Item, number: str) -> None:
        told = history(item.record, item.order_id, number)
        index, command_id = len(batch.unit.commands), uuid4()
        body = {"order_id": item.order_id, "number": number}
        outcome = orjson.dumps({"body": body}).decode()
        batch.unit.commands.append(CommandRow(self._attempt(item, command_id), outcome))
        batch.unit.claims += told.decision.claims
        for stream, events in told.decision.events.items():
            batch.unit.streams[stream] = (0, True)
            sealed = (codec.seal(event, self._vault, command_id) for event in events)
            batch.unit.events += [(index, stream, event) for event in sealed]
        batch.keys[item.record.key] = item.digest
        batch.claims |= {(kind, key) for kind, key, _ in told.decision.claims}
        batch.told.append((item, told))

    def _attempt(self, item: Item, command_id: UUID) -> Attempt:
        return Attempt(
            actor=self._actor,
            origin=ORIGIN,
            command_id=command_id,
            correlation_id=command_id,
            causation_id=None,
            key=item.record.key,
            digest=item.digest,
        )

    def _known(self, items: list[Item], under_way: Sequence[Batch]) -> dict[str, bytes]:
        """Digests of the records that the ledger has already, or is about to have."""
        keys = [item.record.key for item in items]
        known: dict[str, bytes] = dict(self.reads.execute(KNOWN, [self._actor, keys]).fetchall())
        for batch in under_way:
            known |= batch.keys
        return known

    def _owned(self, items: list[Item]) -> set[Claim]:
        """Which of the references and numbers that the items would like are taken."""
        numbered = [("order_number", next(numbers(item.order_id))) for item in items]
        return self._claimed([*numbered, *(("external_ref", item.reference) for item in items)])

    def _claimed(self, claims: list[Claim]) -> set[Claim]:
        kinds, keys = [kind for kind, _ in claims], [key for _, key in claims]
        rows = self.reads.execute(CLAIMS, [kinds, keys]).fetchall()
        return {(kind, key) for kind, key, _ in rows}

    def _free_number(self, item: Item, taken: set[Claim]) -> str:
        """The first of its candidates that nobody has; a clash is rare, so it costs a question."""
        first = next(numbers(item.order_id))
        if ("order_number", first) not in taken:
            return first
        candidates = [("order_number", number) for number in numbers(item.order_id)]
        taken = taken | self._claimed(candidates)
        return next(number for kind, number in candidates if (kind, number) not in taken)

    def _learn(self, persons: set[str]) -> None:
        unknown = self._vault.unknown(persons)
        if unknown:
            self._vault.learn(self.reads.execute(SELECT_KEYS, [unknown]).fetchall())

    def _new_vault(self) -> Vault:
        return Vault(self._settings.name, self._settings.master_key_bytes())


def _persons(item: Item) -> set[str]:
    customer = customer_of(item.record.order, item.order_id)
    return {person_of(customer), payer_of(item.order_id)}
