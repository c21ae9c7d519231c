"""All read models in PostgreSQL, and their tables."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from projections import (
    cases,
    customer_history,
    drafts,
    money_movements,
    order_status,
    periods,
    provider_notices,
    statement_lines,
    statements,
    stock_levels,
)
from projections.engine import Engine, Projection

ALL: tuple[Projection[Any], ...] = (
    order_status.PROJECTION,
    customer_history.PROJECTION,
    stock_levels.PROJECTION,
    cases.PROJECTION,
    statements.PROJECTION,
    statement_lines.PROJECTION,
    money_movements.PROJECTION,
    periods.PROJECTION,
    provider_notices.PROJECTION,
    drafts.PROJECTION,
)
BY_NAME = {projection.name: projection for projection in ALL}


def prepare(connection: Connection[Any], schema: str) -> None:
    """Create what is missing, so that readers find tables before the first event was folded.

    The connection must be in autocommit mode. Raises VersionMismatch.
    """
    for projection in ALL:
        Engine(projection, schema).prepare(connection)
