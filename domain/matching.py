"""Which line tells of which money of ours: what is beyond doubt, and what a person has to choose.

Pure. A plan matches what fits one way only; what fits several ways is suggested. No line and no
movement is ever in two matches of a plan.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations
from typing import TypeVar

from domain.movement import MovementKey
from domain.scoring import (
    AMOUNT_EQUAL,
    REFERENCE_CONTAINED,
    LineKey,
    MovementEntry,
    Score,
    StatementEntry,
    by_reference,
    folded,
    score,
    words,
)

CERTAIN = 75  # points from which a match may be made without a person
AHEAD = 10  # points that the best must have before the second
SUGGESTED = 25  # points from which a candidate is shown
SUGGESTIONS_MAX = 10  # per line

CANDIDATES_MAX = 50  # with a name in common with a line, that are scored
NEAREST_MAX = 10  # of the same amount, before and after the line's day
SUBSET_CANDIDATES_MAX = 20
SUBSET_SIZE_MAX = 6
SUBSETS_MAX = 60_000  # looked at per sum

T = TypeVar("T")


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
            if by_reference(entry, self._movements[key]) is not None
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
            and by_reference(self._lines[line], movement) is not None
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
