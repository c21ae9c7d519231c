"""What an exchange may not do: let goods leave that are held, or go unpaid for goods never sent."""

from __future__ import annotations

from domain.message import Command
from tests.given import after, given
from tests.given_money import dispute, pay
from tests.given_orders import deliver, dispatch, hold, line, pack, place, release
from tests.given_returns import close_return, exchange, take_back

SENT: tuple[Command, ...] = (place(), pay(10_000), pack((1, 2)), dispatch(), deliver())
FOR_A_POT = exchange(line("POT", 1, 3_600), back=((1, 2),))


def test_what_is_held_or_disputed_is_not_exchanged() -> None:
    """The new order would leave all the same."""
    held = after(*SENT, hold())
    held.when(FOR_A_POT).refused("order_held")
    after(*SENT, dispute()).when(FOR_A_POT).refused("chargeback_open")
    world = given(held.world, release(), FOR_A_POT).world
    assert world.order("B").exchange_of == "A"


def test_an_exchange_is_not_closed_while_its_goods_are_missing() -> None:
    """They were paid back into the new order: who gives them up says why."""
    one_of_two = given(None, *SENT, FOR_A_POT, take_back((1, 1), refund_id="R2"))
    one_of_two.when(close_return()).refused(
        "exchanged_goods_missing", missing={"1": 1}, exchange_order_id="B"
    )
    one_of_two.when(close_return(reason="the customer keeps it")).topics("order.return_closed.v1")
    whole = given(one_of_two.world, take_back((1, 1), refund_id="R3"))
    assert whole.world.order().returns["T1"].status == "closed"


CHARITY = {"code": "charity", "reason": "for a school"}


def test_the_certificate_goes_with_the_exemption() -> None:
    """Exempt by a line alone, the order hands its customer's certificate on with such a line."""
    sold = place("A", line(exemption=CHARITY), exemption_certificate="C-77")
    start = after(sold, *SENT[1:])
    assert given(start.world, FOR_A_POT).world.order("B").exemption_certificate is None
    exempt = exchange(line("POT", 1, 3_600, exemption=CHARITY), back=((1, 2),))
    assert given(start.world, exempt).world.order("B").exemption_certificate == "C-77"
