"""The shapes in which the procedure document and its versions are answered."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.answers import Recorded
from api.policy_answers import instant
from domain.policy_words import Language
from domain.procedure import ProcedureVersion
from domain.procedure_document import Changed, Document

Audience = Literal["operators", "customers"]


class ProcedureRecorded(Recorded):
    """`procedure_version` was issued or acknowledged; `outstanding` have yet to read it."""

    shop: str
    procedure_version: int
    digest: str
    outstanding: list[str]


class LineShown(BaseModel):
    """A sentence (one cell) or a row of a table; `key` names it in every language."""

    key: str
    cells: list[str]


class BlockShown(BaseModel):
    code: str
    title: str
    columns: list[str]
    lines: list[LineShown]


class ChapterShown(BaseModel):
    code: str
    title: str
    blocks: list[BlockShown]


class ProcedureText(BaseModel):
    """`version`: the issued one with this text, null where it was never issued; `is_newest`:
    whether that is the newest, so whether the text that operators were given still holds.
    """

    shop: str
    language: Language
    audience: Audience
    version: int | None
    newest_version: int | None
    is_newest: bool
    digest: str
    policy_version: int
    title: str
    chapters: list[ChapterShown]
    position: int


class Acknowledged(BaseModel):
    reader: str
    at: datetime


class VersionListed(BaseModel):
    """`outstanding`: who is to read it and has not."""

    version: int
    digest: str
    policy_version: int
    issued_at: datetime
    issued_by: str
    readers: list[str]
    acknowledged: list[Acknowledged]
    outstanding: list[str]


class ProcedureVersions(BaseModel):
    """`in_force_digest` is that of the newest version, or there is something to issue."""

    shop: str
    in_force_digest: str
    is_newest: bool
    versions: list[VersionListed]
    position: int


class ChangedLine(BaseModel):
    """`was` null: the line came; `now` null: it went."""

    chapter: str
    title: str
    key: str
    was: str | None
    now: str | None


class ProcedureCompared(BaseModel):
    """`to` null: what is in force now."""

    shop: str
    from_: Annotated[int, Field(alias="from")]
    to: int | None
    language: Language
    changes: list[ChangedLine]
    position: int


def chapters_json(document: Document) -> list[dict[str, Any]]:
    hidden = {"chapters": {"__all__": {"blocks": {"__all__": {"lines": {"__all__": {"public"}}}}}}}
    chapters: list[dict[str, Any]] = document.model_dump(mode="json", exclude=hidden)["chapters"]
    return chapters


def version_json(version: ProcedureVersion, issued_by: str) -> dict[str, Any]:
    issued, acknowledged = version.issued, version.acknowledged
    return {
        "version": issued.version,
        "digest": issued.digest,
        "policy_version": issued.policy_version,
        "issued_at": instant(issued.at),
        "issued_by": issued_by,
        "readers": list(version.readers),
        "acknowledged": [{"reader": who, "at": instant(at)} for who, at in acknowledged.items()],
        "outstanding": version.outstanding,
    }


def changes_json(changes: list[Changed]) -> list[dict[str, Any]]:
    return [asdict(one) for one in changes]
