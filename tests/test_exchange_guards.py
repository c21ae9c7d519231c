"""What an exchange may not do: let goods leave that are held, or go unpaid for goods never sent."""

from __future__ import annotations

from domain.message import Command
from tests.given import (
    after,
    deliver,
    dispatch,
    dispute,
    exchange,
    given,
    hold,
    line,
    pack,
    pay,
    place,
    release,
)

SENT: tuple[Command, ...] = (place(), pay(10_000), pack((1, 2)), dispatch(), deliver())
FOR_A_POT = exchange(line("POT", 1, 3_600), back=((1, 2),))


def test_what_is_held_or_disputed_is_not_exchanged() -> None:
    """The new order would leave all the same."""
    held = after(*SENT, hold())
    held.when(FOR_A_POT).refused("order_held")
    after(*SENT, dispute()).when(FOR_A_POT).refused("chargeback_open")
    world = given(held.world, release(), FOR_A_POT).world
    assert world.order("B").exchange_of == "A"
