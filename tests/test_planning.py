"""What an attempt that was refused leaves behind: the refusal for ever, or room to try again."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from commands.keys import Vault
from commands.planning import Entry, Plan
from domain.message import Attempt, Command
from tests.given import World, after
from tests.given_money import pay
from tests.given_orders import approve, place
from tests.given_returns import refund

ID = UUID(int=1)
ATTEMPT = Attempt("desk", "test", ID, ID, None, "key", b"digest")


def kept(command: Command, world: World) -> str | None:
    """Code of the refusal that is stored under the attempt's key; None where nothing is."""
    loaded = {name: (0, state) for name, state in world.needed(command).items()}
    plan = Plan(loaded, Vault("test", bytes(32)))
    plan.decide(Entry(command, ATTEMPT), frozenset(loaded))
    ((unit, (decided,)),) = plan.units()
    assert decided.refusal is not None
    (row,) = unit.commands
    assert row.audit is not None
    assert row.audit.code == decided.refusal.code
    return None if row.outcome is None else str(json.loads(row.outcome)["code"])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (refund(20_000), "refund_exceeds_paid"),
        (place("B", external_ref="REF"), "already_placed"),
        (approve("nobody"), None),  # It may be placed later.
        (place("B", numbers=("1",)), None),  # The next try draws other numbers.
    ],
)
def test_a_refusal_is_kept_unless_a_later_try_may_go_well(
    command: Command, code: str | None
) -> None:
    """covers: R30"""
    world = after(place("A", numbers=("1",), external_ref="REF"), pay(10_000)).world
    assert kept(command, world) == code
