"""Brings statements in and matches them, by the commands that the API sends as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Amounts
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from psycopg import AsyncConnection, Connection
from pydantic import ValidationError

from commands.keys import SELECT_KEYS, Vault
from commands.planning import Outcome
from commands.runner import BatchRunner, Conflict, digest
from commands.settings import Settings
from commands.shop_rules import tolerances_of
from commands.statement_csv import Mapping
from commands.statement_files import Unreadable, Unusable
from commands.statement_import import StatementFile, read_statement
from commands.store import Store, notify
from domain import codec
from domain.matching import Plan, plan
from domain.matching_commands import match_commands
from domain.message import Attempt, Command, Rejected, Sealed
from domain.reconciliation import COMPLETE
from domain.statement_commands import Layout
from projections import reconciling, statements
from workers import inspection

ORIGIN = "cli"
TRIES_MAX = 5  # of a command that other writers overtook
MAPPING_BYTES_MAX = 100_000


class NotImported(Exception):
    """Rows could not be read, and nobody has consented to leave them out."""

    def __init__(self, unreadable: list[Unreadable]) -> None:
        super().__init__(f"{len(unreadable)} rows could not be read")
        self.unreadable = unreadable


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import. `known`: the file was in already."""

    file: StatementFile
    body: dict[str, Any]
    known: bool


@dataclass(slots=True)
class Matched:
    """What a run of the rules came to."""

    matched: int = 0
    refused: list[Rejected] = field(default_factory=list)
    suggested: int = 0  # lines for which a person has to choose
    cut: bool = False  # there was more than can be compared at once: run it again


class Sender:
    """Runs commands one after the other, each in a transaction of its own."""

    def __init__(self, settings: Settings, actor: str) -> None:
        self._actor = actor
        self._store = Store(settings)
        self._digest_key = settings.digest_key()
        self._correlation = uuid4()
        self._runner = BatchRunner(self._store, Vault(settings.name, settings.master_key_bytes()))

    def connect(self) -> Connection:
        return self._store.connect()

    def run(self, connection: Connection, command: Command) -> Outcome:
        """Raises Rejected, Conflict when overtaken TRIES_MAX times."""
        attempt = self._attempt(command)
        for tries in range(1, TRIES_MAX + 1):
            try:
                with connection.transaction():
                    (outcome,) = self._runner.run(connection, [(command, attempt)])
            except Conflict:
                if tries == TRIES_MAX:
                    raise
                continue
            break
        self._runner.committed()
        connection.execute(notify(self._store.channel))
        connection.commit()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _attempt(self, command: Command) -> Attempt:
        """Aggregates know what they were told already, so each run is an attempt of its own."""
        command_id = uuid4()
        request = [type(command).__name__, command.model_dump(mode="json")]
        return Attempt(
            self._actor,
            ORIGIN,
            command_id,
            self._correlation,
            None,
            str(command_id),
            digest(self._digest_key, request),
        )


def import_file(
    settings: Settings,
    path: Path,
    layout: Layout,
    *,
    mapping: Path | None = None,
    shop: str = "main",
    zone: str,
    accept_unreadable: bool = False,
    actor: str = ORIGIN,
) -> Imported:
    """Import a statement, once. Raises Unusable, NotImported, Rejected, OSError."""
    with path.open("rb") as raw:
        file = read_statement(layout, raw, path.name, _mapping(mapping), zone)
    if file.unreadable and not accept_unreadable:
        raise NotImported(file.unreadable)
    sender = Sender(settings, actor)
    known = True
    body: dict[str, Any] = {}
    with sender.connect() as connection:
        for command in file.commands(shop, datetime.now(UTC)):
            outcome = sender.run(connection, command)
            known = known and outcome.position is None
            body = dict(outcome.body)
            if known and body["status"] == COMPLETE:
                break
    return Imported(file, body, known)


def _mapping(path: Path | None) -> Mapping | None:
    if path is None:
        return None
    try:
        return Mapping.model_validate_json(path.read_bytes()[:MAPPING_BYTES_MAX])
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'mapping'} {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise Unusable("mapping", told) from None


def send(settings: Settings, commands: Iterable[Command], actor: str) -> list[Outcome]:
    """Raises Rejected."""
    sender = Sender(settings, actor)
    with sender.connect() as connection:
        return [sender.run(connection, command) for command in commands]


def match_by_rules(settings: Settings, statement_id: str, actor: str) -> Matched:
    """Match what is beyond doubt. Raises Rejected `statement_not_found`."""
    found, made = suggestions(settings, statement_id)
    result = Matched(suggested=len(made.suggestions), cut=found.cut)
    sender = Sender(settings, actor)
    lines, movements = found.entries
    with sender.connect() as connection:
        for command in match_commands(made.matches, lines, movements, datetime.now(UTC)):
            try:
                sender.run(connection, command)
            except Rejected as refusal:
                result.refused.append(refusal)
            else:
                result.matched += 1
    return result


@dataclass(frozen=True, slots=True)
class Compared:
    """What was compared, for those who show it."""

    statement: dict[str, Any]
    sides: reconciling.Sides
    entries: tuple[list[Any], list[Any]]
    tolerances: Amounts[str, int]  # minor units by currency

    @property
    def cut(self) -> bool:
        return self.sides.cut


def suggestions(settings: Settings, statement_id: str) -> tuple[Compared, Plan]:
    """What may belong together. Raises Rejected `statement_not_found`."""
    compared = asyncio.run(_compared(settings, statement_id))
    return compared, plan(*compared.entries, compared.tolerances)


async def _compared(settings: Settings, statement_id: str) -> Compared:
    store = Store(settings)
    async with await store.aconnect(autocommit=True) as connection:
        statement = await statements.one(connection, statement_id)
        if statement is None:
            raise Rejected("statement_not_found", statement_id=statement_id)
        sides = await reconciling.sides(connection, statement_id, statement["shop"])
        opened = await _opener(settings, connection, sides.persons())
        now = datetime.now(UTC)
        allowed = await tolerances_of(connection, store, statement["shop"], now)
    entries = (
        reconciling.line_entries(sides.lines, opened),
        reconciling.movement_entries(sides.movements, opened),
    )
    return Compared(statement, sides, entries, allowed)


async def _opener(
    settings: Settings, connection: AsyncConnection[Any], persons: set[str]
) -> Callable[[Sealed], Any]:
    """For comparing only: nothing of it is shown."""
    vault = Vault(settings.name, settings.master_key_bytes())
    cursor = await connection.execute(SELECT_KEYS, [list(persons)])
    vault.learn(await cursor.fetchall())

    def opened(sealed: Sealed) -> Any:
        try:
            return codec.reveal(sealed, vault)
        except InvalidTag:
            return None

    return opened


def listed(settings: Settings, limit: int) -> list[dict[str, Any]]:
    """Statements, the newest first."""

    async def ask() -> list[dict[str, Any]]:
        async with await Store(settings).aconnect(autocommit=True) as connection:
            return await statements.page(connection, None, None, limit)

    return asyncio.run(ask())


def order_id_of(settings: Settings, text: str) -> str:
    """The UUID of an order by number or UUID."""
    with Store(settings).connect(autocommit=True) as connection:
        return inspection.order_id_of(connection, text)
