"""A shop's procedure document: which texts were issued, who is to read them, and who has.

The text follows from the rules and the rights (`procedure_chapters`), so it changes by itself. An
operator issues it: the fact keeps both languages as they were, for whoever acknowledges reading
them acknowledges these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field

from domain.command_types import Handle
from domain.message import Command, Event, Rejected
from domain.policy import PolicyVersion
from domain.policy_words import Language
from domain.procedure_chapters import written
from domain.procedure_document import Document, digest
from domain.values import Value

READERS_MAX = 1_000
VERSION_MAX = 1_000_000

Reader = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]  # as X-Actor has it: an opaque id
Readers = Annotated[list[Reader], Field(max_length=READERS_MAX)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ProcedureIssued(Event, topic="procedure.issued.v1"):
    shop: str
    version: int  # from 1, without gaps
    digest: str  # SHA-256 of both texts
    policy_version: int
    readers: list[str]  # who is to acknowledge it
    zh: Document
    en: Document


class ReadersNamed(Event, topic="procedure.readers_named.v1"):
    """Of a version that has been issued: all of them, in place of those before."""

    shop: str
    version: int
    readers: list[str]


class ProcedureAcknowledged(Event, topic="procedure.acknowledged.v1"):
    shop: str
    version: int
    digest: str
    reader: str


class IssueBody(Value):
    """Whose document, who is to read it, and which text was seen."""

    shop: Handle = "main"
    readers: Annotated[
        Readers | None,
        Field(
            description="Actors who are to acknowledge it; those of the version before if absent"
        ),
    ] = None
    expected_digest: Annotated[
        Digest | None, Field(description="Of the text that you have seen; another is not issued")
    ] = None


class IssueProcedure(IssueBody, Command):
    rights: dict[str, list[str]]  # role -> its permissions


class AcknowledgeBody(Value):
    shop: Handle = "main"


class AcknowledgeProcedure(AcknowledgeBody, Command):
    version: Annotated[int, Field(ge=1, le=VERSION_MAX)]
    reader: Reader


ProcedureCommand: TypeAlias = IssueProcedure | AcknowledgeProcedure


@dataclass(frozen=True, slots=True)
class ProcedureVersion:
    """One issued text, and who has acknowledged it when."""

    issued: ProcedureIssued
    readers: tuple[str, ...]
    acknowledged: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def outstanding(self) -> list[str]:
        return [reader for reader in self.readers if reader not in self.acknowledged]

    def text(self, language: Language) -> Document:
        return self.issued.zh if language == "zh" else self.issued.en


@dataclass(frozen=True, slots=True)
class Procedure:
    """`versions[0]` is version 1."""

    versions: tuple[ProcedureVersion, ...] = ()

    @property
    def newest(self) -> ProcedureVersion | None:
        return self.versions[-1] if self.versions else None

    def version(self, number: int) -> ProcedureVersion | None:
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None


def evolve(state: Procedure, event: Event) -> Procedure:
    match event:
        case ProcedureIssued():
            return Procedure((*state.versions, ProcedureVersion(event, tuple(event.readers))))
        case ReadersNamed(version=number, readers=readers):
            return _with(state, replace(state.versions[number - 1], readers=tuple(readers)))
        case ProcedureAcknowledged(version=number, reader=reader):
            known = state.versions[number - 1]
            acknowledged = {reader: event.at} | dict(known.acknowledged)
            return _with(state, replace(known, acknowledged=acknowledged))
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a procedure")


def _with(state: Procedure, changed: ProcedureVersion) -> Procedure:
    place = changed.issued.version - 1
    return Procedure((*state.versions[:place], changed, *state.versions[place + 1 :]))


def issue(command: IssueProcedure, state: Procedure, policy: PolicyVersion) -> list[Event]:
    """The next version; [] where the last says the same to the same readers. Raises Rejected."""
    zh, en = (written(policy, command.rights, language) for language in ("zh", "en"))
    said = digest([zh, en])
    if command.expected_digest not in {None, said}:
        raise Rejected(
            "procedure_differs",
            "the rules or the rights have changed since: look at the text that is in force now",
            expected=command.expected_digest,
            in_force=said,
        )
    newest = state.newest
    before = newest.readers if newest else ()
    readers = before if command.readers is None else tuple(dict.fromkeys(command.readers))
    if newest is not None and newest.issued.digest == said:
        return _name_readers(command, newest, readers)
    return [
        ProcedureIssued(
            shop=command.shop,
            version=len(state.versions) + 1,
            digest=said,
            policy_version=policy.version,
            readers=list(readers),
            zh=zh,
            en=en,
            at=command.at,
        )
    ]


def _name_readers(
    command: IssueProcedure, newest: ProcedureVersion, readers: tuple[str, ...]
) -> list[Event]:
    if set(readers) == set(newest.readers):
        return []
    version = newest.issued.version
    return [ReadersNamed(shop=command.shop, version=version, readers=list(readers), at=command.at)]


def acknowledge(command: AcknowledgeProcedure, state: Procedure) -> list[Event]:
    """Once per reader; [] when they have. Only the newest version can still be acknowledged: who
    reads an older one has not read what is in force. Raises Rejected.
    """
    known, newest = state.version(command.version), state.newest
    if known is None or newest is None:
        raise Rejected(
            "procedure_version_not_found",
            f"{len(state.versions)} versions were issued",
            version=command.version,
            newest=len(state.versions),
        )
    if command.reader in known.acknowledged:
        return []
    if known is not newest:
        raise Rejected(
            "procedure_superseded",
            f"version {newest.issued.version} was issued since: that is the one to read",
            version=command.version,
            newest=newest.issued.version,
        )
    return [
        ProcedureAcknowledged(
            shop=command.shop,
            version=command.version,
            digest=known.issued.digest,
            reader=command.reader,
            at=command.at,
        )
    ]
