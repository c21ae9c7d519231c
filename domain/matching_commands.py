"""A plan of matches as the commands that make them: each is decided again on its streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from domain.matching import Match
from domain.reconciliation import match_name
from domain.scoring import MovementEntry, StatementEntry
from domain.statement_commands import (
    MATCHED_LINES_MAX,
    MATCHED_MOVEMENTS_MAX,
    LinePartBody,
    MatchLines,
    MovementPartBody,
)


def match_commands(
    matches: Iterable[Match],
    lines: Iterable[StatementEntry],
    movements: Iterable[MovementEntry],
    at: datetime,
) -> Iterator[MatchLines]:
    """Commands with the amounts that were compared: what has changed since is refused."""
    told = {one.key: one.amount_minor for one in lines}
    ours = {one.key: one.amount_minor for one in movements}
    for match in matches:
        if len(match.lines) > MATCHED_LINES_MAX or len(match.movements) > MATCHED_MOVEMENTS_MAX:
            continue
        yield MatchLines(
            statement_id=match.lines[0].statement_id,
            match_id=match_name([key.line_no for key in match.lines], match.movements),
            lines=[
                LinePartBody(line_no=key.line_no, amount_minor=told[key]) for key in match.lines
            ],
            movements=[
                MovementPartBody(**key._asdict(), amount_minor=ours[key]) for key in match.movements
            ],
            by="rule",
            score=match.score.points,
            reasons=[*match.score.reasons],
            at=at,
        )
