"""What may come back of orders, and go out for it, as rules of a state machine."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from domain.order_state import Order
from domain.parcel import Parcel
from tests import arrivals, given_orders, given_returns
from tests.order_moves import AMOUNTS, UNITS, WHICH, Moves, pick, several

RETURN_STEPS = {  # step -> the statuses that it leads on from
    "approve": ("requested",),
    "deny": ("requested", "approved"),
    "close": ("received",),
    "refund": ("received", "closed"),
}


class ReturnMoves(Moves):
    def delivered(self, which: int, units: int | str | None) -> list[tuple[str, int, int | str]]:
        """A line of which something is at the customer's, and so many of its units, or all."""
        found = (
            (order.order_id, no, str(one.delivered - one.returned) if units is None else units)
            for order in self.orders()
            for no, one in order.lines.items()
            if one.delivered > one.returned
        )
        return pick(which, found)

    def a_return(self, which: int, *allowed: str) -> list[tuple[Order, str]]:
        found = [(o, name, one.status) for o in self.orders() for name, one in o.returns.items()]
        fitting = [one for one in found if one[2] in allowed]
        return [(order, name) for order, name, _ in pick(which, fitting if which % 4 else found)]

    @rule(which=WHICH, units=st.none() | UNITS, fault=st.booleans(), at_once=st.booleans())
    def send_back(self, which: int, units: int | str | None, fault: bool, at_once: bool) -> None:
        more: Any = {"reason": "damaged", "evidence": ["c" * 64]} if fault else {}
        for order, no, asked in self.delivered(which, units):
            name = self.name()
            command = given_returns.send_back((no, asked), return_id=name, order_id=order, **more)
            if self.run(command) and at_once:
                self.run(given_returns.approve_return(name, order_id=order))

    @rule(which=WHICH)
    def intercept(self, which: int) -> None:
        """A parcel on its way is asked back; what is coming back is taken back undelivered."""
        for parcel in pick(which, self.on_the_way()):
            for order in pick(which // 3, parcel.order_ids):
                ids: dict[str, Any] = {"parcel_id": parcel.parcel_id, "order_id": order}
                self.run(given_returns.intercept(**ids))
                seen = given_orders.scan("returning", self.now, parcel.parcel_id)
                if which % 2 and self.run(seen):
                    self.take_parcel_back(parcel, order)

    def take_parcel_back(self, parcel: Parcel, order: str) -> None:
        name = self.name()
        inside = [(i.line_no, str(i.quantity)) for i in parcel.contents if i.order_id == order]
        ids: dict[str, Any] = {"return_id": name, "order_id": order}
        if self.run(given_returns.send_back(*inside, parcel_id=parcel.parcel_id, **ids)):
            self.run(given_returns.approve_return(name, order_id=order))

    @rule(which=WHICH)
    def take_refused_back(self, which: int) -> None:
        """What was refused at the door is asked back: once."""
        refused = [(one, name) for one in self.orders() for name in one.money.refused]
        for order, name in pick(which, refused):
            self.take_parcel_back(self.world.parcel(name), order.order_id)

    @rule(which=WHICH, steps=several(RETURN_STEPS))
    def settle_returns(self, which: int, steps: list[str]) -> None:
        """Each step with one that it leads on from, mostly."""
        for n, step in enumerate(steps):
            for order, name in self.a_return(which + n, *RETURN_STEPS[step]):
                command: Any = {
                    "approve": given_returns.approve_return(name),
                    "deny": given_returns.deny_return(name),
                    "close": given_returns.close_return(name),
                    "refund": given_returns.refund(refund_id=self.name(), return_id=name),
                }[step]
                self.run(command.model_copy(update={"order_id": order.order_id}))

    @rule(
        which=WHICH,
        units=st.none() | UNITS,
        refunded=st.booleans(),
        condition=st.sampled_from(["resell", "scrap"]),
    )
    def take_back(
        self, which: int, units: int | str | None, refunded: bool, condition: str
    ) -> None:
        """Some units, or all that are awaited."""
        for order, name in self.a_return(which, "approved", "received"):
            back = order.returns[name]
            left = {no: str(back.awaited(no)) for no in back.lines if back.awaited(no) > 0}
            came = [(no, rest if units is None else units, condition) for no, rest in left.items()]
            ids = {"return_id": name, "order_id": order.order_id, "refund_id": self.name()}
            if came:
                self.run(given_returns.take_back(*came, **ids, refund=refunded))

    @rule(which=WHICH, units=st.none() | UNITS, how=st.sampled_from(["short", "damaged"]))
    def replace(self, which: int, units: int | str | None, how: str) -> None:
        for order, no, asked in self.delivered(which, units):
            self.run(self.replacement(order, (no, asked), reason=how))

    @rule(which=WHICH, units=st.none() | UNITS)
    def lose(self, which: int, units: int | str | None) -> None:
        """A parcel is lost, and some units of it are sent once more, or all."""
        for parcel in pick(which, self.on_the_way()):
            self.run(given_orders.scan("lost", self.now, parcel.parcel_id))
            for item in pick(which // 3, parcel.contents):
                lines = [] if units is None else [(item.line_no, units)]
                of: dict[str, Any] = {"reason": "lost", "parcel_id": parcel.parcel_id}
                self.run(self.replacement(item.order_id, *lines, **of))

    def replacement(self, order: str, *lines: tuple[int, int | str], **more: Any) -> Any:
        new = self.name()
        ids: dict[str, Any] = {"order_id": order, "numbers": (f"number-{new}",)}
        return arrivals.replace(*lines, new=new, **(ids | more))

    @rule(which=WHICH, days=st.sampled_from([0, 1, 9]), said=st.booleans())
    def complete(self, which: int, days: int, said: bool) -> None:
        self.now += timedelta(days=days)
        arrived = (one for one in self.orders() if any(p.delivered for p in one.parcels.values()))
        for order in pick(which, arrived if which % 4 else self.orders()):
            one = arrivals.confirm if said else partial(arrivals.complete, self.now)
            self.run(one(order_id=order.order_id))

    @rule(which=WHICH, units=st.none() | UNITS, price=AMOUNTS)
    def exchange(self, which: int, units: int | str | None, price: int) -> None:
        for order, no, asked in self.delivered(which, units):
            new = self.name()
            ids: dict[str, Any] = {"return_id": self.name(), "refund_id": self.name()}
            ids |= {"new_order_id": new, "numbers": (f"number-{new}",), "order_id": order}
            self.run(
                given_returns.exchange(*self.lines(which, 1, price), back=((no, asked),), **ids)
            )
