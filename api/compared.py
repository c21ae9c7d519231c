"""The open lines of a statement beside our open money, and the plan that comes of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.context import Context, head_of
from api.events import opener
from api.problems import Problem
from commands.shop_rules import tolerances_of
from domain.matching import Plan, plan
from domain.movement import MovementKey
from domain.scoring import MovementEntry, StatementEntry
from projections import checkpoint, reconciling, statement_lines, statements
from projections.reconciling import Sides

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Compared:
    sides: Sides
    entries: tuple[list[StatementEntry], list[MovementEntry]]
    plan: Plan
    position: int

    @property
    def worth(self) -> dict[MovementKey, int]:
        """What was open of each movement when they were compared."""
        return {one.key: one.amount_minor for one in self.entries[1]}


async def caught_up(context: Context) -> None:
    """Wait, but not for ever, until the read models know what the caller may have just done: else
    who imports and matches at once finds nothing. Behind, they only find less.
    """
    async with context.reading() as connection:
        head = await head_of(connection)
    with suppress(Problem):
        for projection in reconciling.SOURCES:
            await context.reach(projection, head)


async def compared(context: Context, statement_id: str) -> Compared | None:
    """None for a statement that there is not. Payers are compared, and never shown."""
    async with context.reading() as connection:
        position = await checkpoint.position_of(connection, statement_lines.NAME)
        statement = await statements.one(connection, statement_id)
        if statement is None:
            return None
        shop = statement["shop"]
        sides = await reconciling.sides(connection, statement_id, shop)
        opened = await opener(connection, context, sides.persons())
        allowed = await tolerances_of(connection, context.store, shop, datetime.now(UTC))
    entries, made = await asyncio.to_thread(_planned, sides, opened, allowed)
    return Compared(sides, entries, made, position)


def _planned(
    sides: Sides, opened: Any, allowed: Mapping[str, int]
) -> tuple[tuple[list[StatementEntry], list[MovementEntry]], Plan]:
    """Seconds of a large statement: not for the loop that answers others meanwhile."""
    lines = reconciling.line_entries(sides.lines, lambda one: opened(one.model_dump()))
    movements = reconciling.movement_entries(sides.movements, lambda one: opened(one.model_dump()))
    return (lines, movements), plan(lines, movements, allowed)


async def compared_or_missing(context: Context, statement_id: str) -> Compared:
    found = await compared(context, known(statement_id))
    if found is None:
        raise missing(statement_id)
    return found


def known(statement_id: str) -> str:
    """Raises Problem 404: no other text names a statement."""
    if not _ID.fullmatch(statement_id):
        raise missing(statement_id)
    return statement_id


def missing(statement_id: str) -> Problem:
    facts = {"statement_id": statement_id[:200]}
    return Problem(404, "statement_not_found", "There is no such statement.", facts=facts)
