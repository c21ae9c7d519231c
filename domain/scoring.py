"""How well a line fits money of ours: points of 100, each share with its reason in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from typing import NamedTuple

from domain.movement import MovementKey
from domain.statement import shown

REFERENCE_EQUAL = 50
REFERENCE_CONTAINED = 40
AMOUNT_EQUAL = 30
AMOUNT_NEAR = 15
PAYER_EQUAL = 10
PAYER_SIMILAR = 5
DATE_SAME = 10
DATE_NEAR = 7
DATE_FAR = 3

NEAR_DAYS = 3
FAR_DAYS = 14
PAYER_CHARACTERS_MAX = 200
REFERENCE_CHARACTERS_MIN = 4  # a shorter word in a text says nothing

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*[A-Za-z0-9]")


class LineKey(NamedTuple):
    statement_id: str
    line_no: int


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """A line as it is compared: the open part of its gross amount, signed."""

    key: LineKey
    amount_minor: int
    currency: str
    on: date
    reference: str | None = None
    text: str | None = None
    payer: str | None = None  # in clear, where the caller may open it


@dataclass(frozen=True, slots=True)
class MovementEntry:
    """Money of ours as it is compared: the open part, signed as our account sees it.

    `references`: what others may call it by: its reference, the order's number and external one.
    """

    key: MovementKey
    amount_minor: int
    currency: str
    on: date
    references: tuple[str, ...] = ()
    payer: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Points of 100, and for each share of them why."""

    points: int
    reasons: tuple[str, ...]


def folded(text: str) -> str:
    """A name or reference as it is compared: case and what stands between words do not count."""
    return "".join(character for character in text.casefold() if character.isalnum())


def words(entry: StatementEntry) -> set[str]:
    """What of a line may be a reference of ours."""
    found = _WORD.findall(f"{entry.reference or ''} {entry.text or ''}")
    long = {folded(word) for word in found}
    return {word for word in long if len(word) >= REFERENCE_CHARACTERS_MIN}


def score(line: StatementEntry, movement: MovementEntry, tolerance_minor: int) -> Score | None:
    """How well they fit, with a reason for each point; None where they cannot belong together."""
    if line.currency != movement.currency or line.amount_minor * movement.amount_minor <= 0:
        return None
    found = [
        by_reference(line, movement),
        _by_amount(line, movement, tolerance_minor),
        _by_payer(line, movement),
        _by_date(line, movement),
    ]
    told = [one for one in found if one is not None]
    reasons = tuple(f"{reason} (+{points})" for points, reason in told)
    return Score(sum(points for points, _ in told), reasons)


_Found = tuple[int, str] | None


def by_reference(line: StatementEntry, movement: MovementEntry) -> _Found:
    """What the line calls the movement by, where it does."""
    ours = {folded(reference): reference for reference in movement.references}
    ours.pop("", None)
    named = ours.get(folded(line.reference or ""))
    if named is not None:
        return REFERENCE_EQUAL, f"reference {named} is equal"
    contained = sorted(ours[word] for word in words(line) & ours.keys())
    if contained:
        return REFERENCE_CONTAINED, f"the text names {', '.join(contained[:3])}"
    return None


def _by_amount(line: StatementEntry, movement: MovementEntry, tolerance_minor: int) -> _Found:
    difference = line.amount_minor - movement.amount_minor
    if difference == 0:
        return AMOUNT_EQUAL, f"amount {shown(line.amount_minor, line.currency)} is equal"
    if abs(difference) <= tolerance_minor:
        return AMOUNT_NEAR, f"amount differs by {shown(difference, line.currency)}"
    return None


def _by_payer(line: StatementEntry, movement: MovementEntry) -> _Found:
    theirs, ours = folded(line.payer or ""), folded(movement.payer or "")
    if not theirs or not ours:
        return None
    if theirs == ours:
        return PAYER_EQUAL, "payer is equal"
    pair = (theirs[:PAYER_CHARACTERS_MAX], ours[:PAYER_CHARACTERS_MAX])
    likeness = round(100 * SequenceMatcher(None, *pair, autojunk=False).ratio())
    if likeness >= 70:
        return PAYER_SIMILAR, f"payer is similar ({likeness} %)"
    return None


def _by_date(line: StatementEntry, movement: MovementEntry) -> _Found:
    days = abs((line.on - movement.on).days)
    if days == 0:
        return DATE_SAME, "the same day"
    if days <= FAR_DAYS:
        points = DATE_NEAR if days <= NEAR_DAYS else DATE_FAR
        return points, f"{days} day{'s' * (days > 1)} apart"
    return None
