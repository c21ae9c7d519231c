"""A shop's rules as who only looks needs them: what a match of a statement may leave open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from typing import Any

from psycopg import AsyncConnection

from commands.append import stream_id
from commands.store import STREAM, Store
from domain import codec, policy
from domain.policy import Policy, policy_stream
from domain.reconciliation import tolerances

VERSIONS_MAX = 10_000  # of a policy, read at once


async def tolerances_of(
    connection: AsyncConnection[Any], store: Store, shop: str, at: datetime
) -> Mapping[str, int]:
    """Minor units by currency, as the shop's rules are at `at`."""
    stream = stream_id(store.namespace, policy_stream(shop))
    cursor = await connection.execute(STREAM, [stream, 0, VERSIONS_MAX], binary=True)
    facts = [codec.decode(row[5], row[6]) async for row in cursor]
    return tolerances(reduce(policy.evolve, facts, Policy()), at)
