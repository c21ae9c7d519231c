"""The texts of a shop's procedure document: as they follow from what is in force, and as issued."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from api import permissions
from api.context import head_of
from api.events import whole_stream
from api.problems import Problem
from api.reads import ReadCall
from commands.store import recorded
from domain import policy, procedure
from domain.desk_names import procedure_stream
from domain.message import Recorded, StreamName
from domain.policy import Policy, in_force, policy_stream
from domain.policy_words import Language
from domain.procedure import Procedure, ProcedureVersion
from domain.procedure_chapters import written
from domain.procedure_document import Document, digest

EVENTS_READ = 100  # at a time


class Found(NamedTuple):
    """A shop's rules and issued versions, as the ledger was at `position`."""

    shop: str
    policy: Policy
    procedure: Procedure
    facts: list[Recorded]  # of the procedure
    position: int

    def version(self, number: int) -> ProcedureVersion:
        """Raises Problem 404."""
        found = self.procedure.version(number)
        if found is None:
            detail = f"{len(self.procedure.versions)} versions were issued."
            raise Problem(404, "procedure_version_not_found", detail, facts={"version": number})
        return found

    def text(self, at: datetime) -> Text:
        """What follows from the rules of that time and the rights of today."""
        rules = in_force(self.policy, at)
        zh, en = (written(rules, permissions.rights(), language) for language in ("zh", "en"))
        said = digest([zh, en])
        issued = (one for one in reversed(self.procedure.versions) if one.issued.digest == said)
        return Text(zh, en, said, rules.version, next(issued, None))

    def is_newest(self, text: Text) -> bool:
        newest = self.procedure.newest
        return newest is not None and newest.issued.digest == text.digest


class Text(NamedTuple):
    """A document in both languages; `version` is None where it was never issued."""

    zh: Document
    en: Document
    digest: str
    policy_version: int
    version: ProcedureVersion | None

    def document(self, language: Language) -> Document:
        return self.zh if language == "zh" else self.en


def as_issued(version: ProcedureVersion) -> Text:
    one = version.issued
    return Text(one.zh, one.en, one.digest, one.policy_version, version)


async def read(reader: ReadCall, shop: str) -> Found:
    await reader.reach(None)
    async with reader.context.reading() as connection:
        head = await head_of(connection)

        async def facts(stream: StreamName) -> list[Recorded]:
            rows = whole_stream(connection, reader.context, stream, EVENTS_READ)
            return [recorded(tuple(row)) async for row in rows]

        rules, issued = await facts(policy_stream(shop)), await facts(procedure_stream(shop))
    state, made = Policy(), Procedure()
    for one in rules:
        state = policy.evolve(state, one.event)
    for one in issued:
        made = procedure.evolve(made, one.event)
    return Found(shop, state, made, issued, head)
