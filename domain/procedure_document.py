"""A document of rules: chapters of sentences and tables, its digest, and two of them compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import sha256
from typing import Literal, NamedTuple

from pydantic import Field

from domain.message import Made

Mark = Literal["same", "added", "removed"]


class Line(Made):
    """One sentence, or one row of a table. The key says what it is about, in every language."""

    key: str
    cells: list[str]
    public: bool = False  # concerns customers


class Block(Made):
    """Sentences, or a table where there are columns."""

    code: str
    title: str
    lines: list[Line]
    columns: list[str] = Field(default_factory=list)


class Chapter(Made):
    code: str
    title: str
    blocks: list[Block]


class Document(Made):
    title: str
    chapters: list[Chapter]


@dataclass(frozen=True, slots=True)
class Changed:
    """A line that differs between two documents; None where one has no such line."""

    chapter: str
    title: str
    key: str
    was: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class MarkedLine:
    mark: Mark
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class MarkedBlock:
    title: str
    columns: Sequence[str]
    lines: Sequence[MarkedLine]


@dataclass(frozen=True, slots=True)
class MarkedChapter:
    title: str
    blocks: Sequence[MarkedBlock]


class _Said(NamedTuple):
    chapter: str
    block: str
    text: str


def digest(texts: Sequence[Document]) -> str:
    """SHA-256, in hex, of what the documents say: one wording, one digest."""
    said = [text.model_dump(mode="json") for text in texts]
    canonical = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


def extract(document: Document, title: str) -> Document:
    """What concerns customers, without who does it."""
    chapters = []
    for chapter in document.chapters:
        lines = [line for block in chapter.blocks for line in block.lines if line.public]
        if lines:
            block = Block(code="public", title="", lines=lines)
            chapters.append(Chapter(code=chapter.code, title=chapter.title, blocks=[block]))
    return Document(title=title, chapters=chapters)


def differences(old: Document, new: Document) -> list[Changed]:
    """Every line that one says differently, elsewhere, or not at all, in the order of the new."""
    before, after = _by_key(old), _by_key(new)
    keys = [*after, *(key for key in before if key not in after)]
    return [
        _changed(*key, before.get(key), after.get(key))
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _by_key(document: Document) -> dict[tuple[str, str], _Said]:
    return {
        (chapter.code, line.key): _Said(chapter.title, block.title, " | ".join(line.cells))
        for chapter in document.chapters
        for block in chapter.blocks
        for line in block.lines
    }


def _changed(chapter: str, key: str, was: _Said | None, now: _Said | None) -> Changed:
    title = (now or was or _Said("", "", "")).chapter
    moved = was is not None and now is not None and was.text == now.text
    before, after = (
        one and (f"{one.block}: {one.text}" if moved else one.text) for one in (was, now)
    )
    return Changed(chapter, title, key, before, after)


def marked(old: Document, new: Document) -> list[MarkedChapter]:
    """The new document with what came and what went; all is `same` where both are one."""
    before = {chapter.code: chapter for chapter in old.chapters}
    now = {chapter.code for chapter in new.chapters}
    gone = [chapter for chapter in old.chapters if chapter.code not in now]
    chapters = [(before.get(chapter.code), chapter) for chapter in new.chapters]
    return [
        *(
            MarkedChapter(one.title, _blocks(was.blocks if was else [], one.blocks))
            for was, one in chapters
        ),
        *(MarkedChapter(one.title, _blocks(one.blocks, [])) for one in gone),
    ]


def _blocks(old: Sequence[Block], new: Sequence[Block]) -> list[MarkedBlock]:
    before, after = ({block.code: block for block in blocks} for blocks in (old, new))
    found = []
    for code in dict.fromkeys([*after, *before]):
        was, now = before.get(code), after.get(code)
        block = now or was
        assert block is not None
        lines = _lines(was.lines if was else [], now.lines if now else [])
        found.append(MarkedBlock(block.title, block.columns, lines))
    return found


def _lines(old: Sequence[Line], new: Sequence[Line]) -> list[MarkedLine]:
    before, after = ([tuple(line.cells) for line in lines] for lines in (old, new))
    found: list[MarkedLine] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found += [MarkedLine("same", cells) for cells in before[i1:i2]]
        else:
            found += [MarkedLine("removed", cells) for cells in before[i1:i2]]
            found += [MarkedLine("added", cells) for cells in after[j1:j2]]
    return found
