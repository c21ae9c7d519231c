"""The read model of drafts is a fold of the ledger: each event twice, rebuilt, row by row."""

from collections.abc import Iterator
from typing import Any

import pytest

from commands.append import Unit
from commands.settings import Settings
from commands.store import Store
from domain import desk_names
from domain.draft_commands import (
    AcceptQuote,
    ConfirmDraft,
    DeclineQuote,
    DiscardDraft,
    OfferQuote,
    SaveDraft,
    StartDraft,
)
from domain.message import Command
from projections import drafts
from projections.engine import Engine
from projections.rebuild import rebuild
from tests import given_orders
from tests.given import hours
from tests.given_orders import ADDRESS
from tests.histories import CUSTOMERS, History, write
from tests.scale import scale

DRAFTS = scale(300, 30)


class Desk(History):
    """Random drafts: typed, offered, renegotiated, accepted, declined, confirmed, dropped."""

    def life(self) -> Iterator[Command]:
        draft_id = self.id()
        self.orders.append(draft_id)
        numbers = (draft_id[:8] + draft_id[-4:],)
        yield StartDraft.model_validate(self.body(draft_id) | {"numbers": numbers})
        for _ in range(self.random.randint(0, 3)):
            if self.random.random() < 0.5:
                yield SaveDraft.model_validate(self.body(draft_id))
            yield self.step(draft_id)
        if self.random.random() < 0.7:
            yield SaveDraft.model_validate(self.body(draft_id, whole=True))
            yield self.step(draft_id)
        if self.random.random() < 0.5:
            yield ConfirmDraft(draft_id=draft_id, at=self.tick())

    def body(self, draft_id: str, *, whole: bool = False) -> dict[str, Any]:
        full = {
            "channel": "phone",
            "customer_id": self.pick(*CUSTOMERS),
            "currency": "CNY",
            "lines": [
                given_orders.line(self.pick("TEA", "CUP"), self.pick(1, "1.5"), tax_rate_bp=1300)
            ],
            "contact": {"name": "Li Wei"},
            "shipping_address": ADDRESS,
            "payment_method": "alipay",
            "note": "Ring twice",
        }
        kept = {n: v for n, v in full.items() if whole or self.random.random() < 0.8}
        return kept | {"draft_id": draft_id, "at": self.tick()}

    def step(self, draft_id: str) -> Command:
        ids: dict[str, Any] = {"draft_id": draft_id, "at": self.tick()}
        number = self.pick(1, 1, 2)
        until = self.now + (hours(self.pick(1, 200)) - hours(0))
        return self.pick(  # type: ignore[no-any-return]
            OfferQuote(**ids, expires_at=until, text="For you"),
            OfferQuote(**ids, expires_at=until),
            AcceptQuote(**ids, offer_no=number),
            DeclineQuote(**ids, offer_no=number, reason="Too dear"),
            ConfirmDraft(**ids),
            DiscardDraft(**ids),
        )


@pytest.mark.parametrize("seed", range(scale(10, 2)))
def test_drafts_rebuilt_are_as_they_were_folded(settings: Settings, seed: int) -> None:
    """covers: A18, A56. Random histories, in batches of any size, each twice."""
    history, store = Desk(seed), Store(settings)
    with store.connect(autocommit=True) as connection:
        units: list[Unit] = [*history.units(DRAFTS)]
        write(store, connection, iter(units))
        engine = Engine(drafts.PROJECTION, settings.read_schema)
        engine.prepare(connection)
        position = 0
        while batch := store.feed(connection, position, 37):
            position = engine.apply(connection, batch, position)
            rows = engine.rows(connection, [one.key for one in batch])
            for one in batch:  # At least once: what was seen changes nothing.
                if one.topic in drafts.TOPICS:
                    assert drafts.fold(rows[one.key], one) == rows[one.key]
        query = b"SELECT * FROM drafts ORDER BY 1"
        live = connection.execute(query).fetchall()
        assert len(live) == DRAFTS
        assert len({row[2] for row in live}) >= 4, "of all kinds"

        def feed(after: int, limit: int) -> Any:
            return store.feed(connection, after, limit)

        rebuild(connection, drafts.PROJECTION, settings.read_schema, feed)
        assert connection.execute(query).fetchall() == live
        for draft_id in history.orders:
            state = history.world.state(desk_names.draft_stream(draft_id))
            (row,) = [one for one in live if one[0] == draft_id]
            assert (row[2], row[7]) == (state.status, state.total_minor)
            ordered = history.order(draft_id).placed
            assert ordered == (state.status == "ordered")
