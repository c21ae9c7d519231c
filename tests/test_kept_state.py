"""A folded state that was kept as JSON goes on as one that was not, or a rebuild would differ."""

from __future__ import annotations

import pytest

from domain import order_fold, order_state
from domain.desk_names import order_stream
from domain.frozen import replace
from domain.order_facts import OrderPlaced
from domain.order_state import Order
from projections.customer_history import PastOrder, as_json, load
from tests.histories import History
from tests.scale import scale


@pytest.mark.parametrize("seed", range(scale(200, 20)))
def test_a_state_comes_out_of_json_as_it_went_in(seed: int) -> None:
    """covers: L7. Also what has no order by itself, such as a set, would come out in another."""
    history = History(seed)
    for _ in history.units(60):
        pass
    for order_id in history.orders:
        placed, *later = history.world.events[order_stream(order_id)]
        assert isinstance(placed, OrderPlaced)
        order = order_state.impersonal(order_fold.evolve(Order(), placed))
        whole = kept = PastOrder(order, placed.at, placed.channel, 1)
        for event in later:
            whole = replace(whole, order=order_fold.evolve(whole.order, event))
            read = load(as_json(kept))
            kept = replace(read, order=order_fold.evolve(read.order, event))
        whole, kept = (
            replace(one, order=replace(one.order, notes=frozenset())) for one in (whole, kept)
        )
        assert as_json(kept) == as_json(whole)
