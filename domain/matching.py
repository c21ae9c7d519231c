"""Which line tells of which money of ours: candidates scored in words, and what is beyond doubt.

Pure. A plan matches what fits one way only; what fits several ways is suggested to a person. No
line and no movement is ever in two matches of a plan.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from itertools import combinations
from typing import NamedTuple, TypeVar

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

CERTAIN = 75  # points from which a match may be made without a person
AHEAD = 10  # points that the best must have before the second
SUGGESTED = 25  # points from which a candidate is shown
SUGGESTIONS_MAX = 10  # per line

NEAR_DAYS = 3
FAR_DAYS = 14
PAYER_CHARACTERS_MAX = 200
REFERENCE_CHARACTERS_MIN = 4  # a shorter word in a text says nothing
CANDIDATES_MAX = 50  # with a name in common with a line, that are scored
NEAREST_MAX = 10  # of the same amount, before and after the line's day
SUBSET_CANDIDATES_MAX = 20
SUBSET_SIZE_MAX = 6
SUBSETS_MAX = 60_000  # looked at per sum

T = TypeVar("T")

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


@dataclass(frozen=True, slots=True)
class Match:
    """Lines and movements with the same sum; `difference_minor` = lines - movements."""

    lines: tuple[LineKey, ...]
    movements: tuple[MovementKey, ...]
    score: Score
    difference_minor: int = 0


@dataclass(slots=True)
class Plan:
    matches: list[Match] = field(default_factory=list)
    suggestions: dict[LineKey, list[Match]] = field(default_factory=dict)


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
        _by_reference(line, movement),
        _by_amount(line, movement, tolerance_minor),
        _by_payer(line, movement),
        _by_date(line, movement),
    ]
    told = [one for one in found if one is not None]
    reasons = tuple(f"{reason} (+{points})" for points, reason in told)
    return Score(sum(points for points, _ in told), reasons)


_Found = tuple[int, str] | None


def _by_reference(line: StatementEntry, movement: MovementEntry) -> _Found:
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


# -- the plan ----------------------------------------------------------------------------------


def plan(
    lines: Iterable[StatementEntry],
    movements: Iterable[MovementEntry],
    tolerance_minor: Mapping[str, int],
) -> Plan:
    """Match what is beyond doubt, and suggest for the rest. The same input, the same plan.

    `tolerance_minor` by currency; 0 for one that is not named.
    """
    return _Planner(lines, movements, tolerance_minor).plan()


class _Planner:
    def __init__(
        self,
        lines: Iterable[StatementEntry],
        movements: Iterable[MovementEntry],
        tolerance_minor: Mapping[str, int],
    ) -> None:
        self._lines = {one.key: one for one in sorted(lines, key=lambda one: one.key)}
        self._movements = {one.key: one for one in sorted(movements, key=lambda one: one.key)}
        self._tolerance = tolerance_minor
        self._plan = Plan()
        self._by_word: dict[str, list[MovementKey]] = defaultdict(list)
        self._by_amount: dict[tuple[str, int], list[tuple[date, MovementKey]]] = defaultdict(list)
        for key, one in self._movements.items():
            for word in {folded(reference) for reference in one.references} - {""}:
                self._by_word[word].append(key)
            self._by_amount[one.currency, one.amount_minor].append((one.on, key))
        for same in self._by_amount.values():
            same.sort()
        self._scores = {key: self._scored(one) for key, one in self._lines.items()}
        self._wanted_by: dict[MovementKey, list[LineKey]] = defaultdict(list)
        for line, scores in self._scores.items():
            for key in scores:
                self._wanted_by[key].append(line)

    def plan(self) -> Plan:
        self._one_to_one()
        self._one_line_to_many()
        self._many_lines_to_one()
        self._suggest()
        return self._plan

    # -- candidates

    def _scored(self, line: StatementEntry) -> dict[MovementKey, Score]:
        found = {}
        for key in self._candidates(line):
            scored = score(line, self._movements[key], self._tolerance.get(line.currency, 0))
            if scored is not None:
                found[key] = scored
        return found

    def _candidates(self, line: StatementEntry) -> list[MovementKey]:
        """Those with a name in common, and those of the same amount, the nearest in time."""
        names = {*words(line), folded(line.reference or "")}
        named = [key for name in sorted(names) for key in self._by_word.get(name, ())]
        same = self._by_amount.get((line.currency, line.amount_minor), [])
        place = bisect_left(same, (line.on,))
        near = same[max(0, place - NEAREST_MAX) : place + NEAREST_MAX]
        return list(dict.fromkeys([*named[:CANDIDATES_MAX], *(key for _, key in near)]))

    def _within(self, difference: int, currency: str) -> bool:
        return abs(difference) <= self._tolerance.get(currency, 0)

    # -- one to one

    def _one_to_one(self) -> None:
        """Where each is the other's best by far. Two payments of one sum on one day are not."""
        for line, scores in list(self._scores.items()):
            ranked = sorted(((scored.points, key) for key, scored in scores.items()), reverse=True)
            if not ranked:
                continue
            points, key = ranked[0]
            second = max([*(other for other, _ in ranked[1:]), *self._rivals(line, key)], default=0)
            fits = self._within(self._gap([line], [key]), self._lines[line].currency)
            if fits and points >= CERTAIN and points - second >= AHEAD:
                self._take([line], [key], scores[key])

    def _rivals(self, line: LineKey, key: MovementKey) -> list[int]:
        """Points of the other lines that want this movement."""
        others = [other for other in self._wanted_by[key] if other != line]
        return [self._scores[other][key].points for other in others if other in self._scores]

    def _gap(self, lines: Iterable[LineKey], movements: Iterable[MovementKey]) -> int:
        told = sum(self._lines[key].amount_minor for key in lines)
        return told - sum(self._movements[key].amount_minor for key in movements)

    def _take(
        self, lines: Sequence[LineKey], movements: Sequence[MovementKey], scored: Score
    ) -> None:
        gap = self._gap(lines, movements)
        self._plan.matches.append(Match((*lines,), (*movements,), scored, gap))
        for line in lines:
            del self._scores[line]
        for key in movements:
            for line in self._wanted_by.pop(key, []):
                self._scores.get(line, {}).pop(key, None)

    # -- several

    def _one_line_to_many(self) -> None:
        """A transfer that names several orders, or all orders of which make its sum one way."""
        for line in list(self._scores):
            entry = self._lines[line]
            named = self._named(line)
            parts = [(key, self._movements[key].amount_minor) for key in named]
            sets = list(_sums(parts, entry.amount_minor))
            if len(sets) == 1:
                self._take([line], sets[0], _several(len(sets[0]), "payments", entry))

    def _named(self, line: LineKey) -> list[MovementKey]:
        """Movements that the line names, and that are whole smaller than it."""
        entry = self._lines[line]
        scores = self._scores[line]
        named = [
            key
            for key in sorted(scores)
            if _by_reference(entry, self._movements[key]) is not None
            and abs(self._movements[key].amount_minor) < abs(entry.amount_minor)
        ]
        return named[:SUBSET_CANDIDATES_MAX]

    def _many_lines_to_one(self) -> None:
        """Instalments: lines that all name one movement and make its sum in one way."""
        for key in sorted(self._wanted_by):
            parts = [(line, self._lines[line].amount_minor) for line in self._instalments(key)]
            sets = list(_sums(parts, self._movements[key].amount_minor))
            if len(sets) == 1:
                entry = self._lines[sets[0][0]]
                self._take(sets[0], [key], _several(len(sets[0]), "lines", entry))

    def _instalments(self, key: MovementKey) -> list[LineKey]:
        """Free lines of one statement that name a movement, each smaller than it."""
        movement = self._movements[key]
        free = [
            line
            for line in self._wanted_by[key]
            if line in self._scores
            and abs(self._lines[line].amount_minor) < abs(movement.amount_minor)
            and _by_reference(self._lines[line], movement) is not None
        ]
        return [line for line in free if line.statement_id == free[0].statement_id][
            :SUBSET_CANDIDATES_MAX
        ]

    # -- what a person has to choose from

    def _suggest(self) -> None:
        for line, scores in self._scores.items():
            found = [
                Match((line,), (key,), scored, self._gap([line], [key]))
                for key, scored in scores.items()
                if scored.points >= SUGGESTED
            ]
            found += self._sums_of_many(line)
            found.sort(
                key=lambda one: (-one.score.points, abs(one.difference_minor), one.movements)
            )
            if found:
                self._plan.suggestions[line] = found[:SUGGESTIONS_MAX]

    def _sums_of_many(self, line: LineKey) -> Iterator[Match]:
        entry, named = self._lines[line], self._named(line)
        parts = [(key, self._movements[key].amount_minor) for key in named]
        for chosen in _sums(parts, entry.amount_minor):
            yield Match((line,), (*chosen,), _several(len(chosen), "payments", entry))


def _several(count: int, what: str, line: StatementEntry) -> Score:
    reasons = (
        f"{count} {what} that share a reference (+{REFERENCE_CONTAINED})",
        f"together they come to the sum in {line.currency} (+{AMOUNT_EQUAL})",
    )
    return Score(REFERENCE_CONTAINED + AMOUNT_EQUAL, reasons)


def _sums(parts: Sequence[tuple[T, int]], wanted: int) -> Iterator[list[T]]:
    """The subsets of two and more that come to a sum exactly: the first two, small ones first.

    Bounded in candidates, size and number: who does not find it leaves it to a person.
    """
    found = looked = 0
    for size in range(2, min(len(parts), SUBSET_SIZE_MAX) + 1):
        for chosen in combinations(parts, size):
            looked += 1
            if looked > SUBSETS_MAX:
                return
            if sum(amount for _, amount in chosen) == wanted:
                yield [key for key, _ in chosen]
                found += 1
                if found == 2:
                    return
