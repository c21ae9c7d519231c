"""A movement of our money as statements see it: how much of it they have told of so far.

Its own small stream, so that of two statements that want one payment only one gets it, without
making the order's stream longer. What it amounts to is known to the order or the provider's batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from domain.frozen import replace
from domain.message import Event, Rejected
from domain.statement import shown
from domain.statement_facts import MovementKind, MovementReconciled, MovementReleased


class MovementKey(NamedTuple):
    """As in MovementPart: the order and its payment, refund, …, the statement and its batch."""

    kind: MovementKind
    owner: str
    id: str

    @property
    def stream_key(self) -> str:
        return "/".join(self)


@dataclass(frozen=True)
class Available:
    """What a movement is worth, signed: above 0 came in, below 0 went out."""

    amount_minor: int
    currency: str


@dataclass(frozen=True)
class Movement:
    """By (statement, match), what each took of it."""

    taken: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def taken_minor(self) -> int:
        return sum(self.taken.values())


def evolve(state: Movement, event: Event) -> Movement:
    match event:
        case MovementReconciled():
            name = (event.statement_id, event.match_id)
            return replace(state, taken={**state.taken, name: event.amount_minor})
        case MovementReleased():
            name = (event.statement_id, event.match_id)
            left = {key: part for key, part in state.taken.items() if key != name}
            return replace(state, taken=left)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a movement")


def open_minor(state: Movement, available: Available) -> int:
    return available.amount_minor - state.taken_minor


def require_worth(key: MovementKey, available: Available, state: Movement) -> None:
    """Raises Rejected `movement_void` for what no money stands for."""
    if not available.amount_minor and not state.taken_minor:
        raise Rejected(
            "movement_void",
            f"{key.stream_key} is worth nothing: it was voided, or is not paid, or failed",
            movement=key.stream_key,
        )


def reconcile(
    key: MovementKey,
    amount_minor: int,
    available: Available,
    state: Movement,
    match: tuple[str, str],
    at: datetime,
) -> list[Event]:
    """Raises Rejected `movement_matched` where more is asked than is open. What was told of and
    then fell away is open the other way round: of a refund that failed the statement tells again
    when the money comes back.
    """
    left = open_minor(state, available)
    if amount_minor == 0 or amount_minor * left <= 0 or abs(amount_minor) > abs(left):
        raise Rejected(
            "movement_matched",
            f"{key.stream_key}: {shown(amount_minor, available.currency)} asked, "
            f"{shown(left, available.currency)} open",
            movement=key.stream_key,
            asked_minor=amount_minor,
            open_minor=left,
        )
    statement_id, match_id = match
    return [
        MovementReconciled(
            **key._asdict(),
            statement_id=statement_id,
            match_id=match_id,
            amount_minor=amount_minor,
            currency=available.currency,
            at=at,
        )
    ]


def release(key: MovementKey, state: Movement, match: tuple[str, str], at: datetime) -> list[Event]:
    """[] for what no such match has taken."""
    taken = state.taken.get(match)
    if taken is None:
        return []
    statement_id, match_id = match
    return [
        MovementReleased(
            **key._asdict(),
            statement_id=statement_id,
            match_id=match_id,
            amount_minor=taken,
            at=at,
        )
    ]
