"""Drafts in the real store: confirmed, accepted, revised and declined at once, one order comes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from commands.committer import Committer
from commands.keys import Vault
from commands.planning import Outcome
from commands.settings import Settings
from commands.store import Store
from domain import number
from domain.draft_commands import (
    AcceptQuote,
    ConfirmDraft,
    DeclineQuote,
    OfferQuote,
    SaveDraft,
    StartDraft,
)
from domain.message import Attempt, Command, Rejected
from domain.stock_item import ReceiveStock
from tests.scale import scale

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOMORROW = NOON + timedelta(days=1)
PRICE = 8_800


@asynccontextmanager
async def committer(settings: Settings) -> AsyncIterator[Committer]:
    one = Committer(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def attempt(key: str = "") -> Attempt:
    command_id = uuid4()
    digest = hashlib.sha256(b"").digest()
    return Attempt("desk", "test", command_id, command_id, None, key or command_id.hex, digest)


def body(price: int = PRICE, sku: str = "POT") -> dict[str, Any]:
    line = {"sku": sku, "name": "Longjing", "category": "tea", "quantity": 1}
    return {
        "channel": "phone",
        "customer_id": "li",
        "currency": "CNY",
        "lines": [line | {"unit_price_minor": price}],
        "contact": {"name": "李雷"},
        "shipping_address": {"line1": "长安街 1", "city": "北京", "country": "CN"},
        "payment_method": "alipay",
        "note": "按门铃",
    }


def starting(draft_id: str, **more: Any) -> StartDraft:
    numbers = (number.from_seed(100_000_000 + uuid4().int % 900_000_000),)
    ids = {"draft_id": draft_id, "numbers": numbers, "at": NOON}
    return StartDraft.model_validate(body(**more) | ids)


def offering(draft_id: str, price: int = PRICE) -> OfferQuote:
    given = {"draft_id": draft_id, "expires_at": TOMORROW, "draft": body(price), "at": NOON}
    return OfferQuote.model_validate(given)


async def race(committers: list[Committer], commands: list[Command]) -> list[Any]:
    """All at once, each through the next process."""
    return await asyncio.gather(
        *(
            committers[index % len(committers)].run(command, attempt())
            for index, command in enumerate(commands)
        ),
        return_exceptions=True,
    )


def accepted(outcomes: list[Any]) -> list[Outcome]:
    return [one for one in outcomes if isinstance(one, Outcome)]


def refusals(outcomes: list[Any]) -> set[str]:
    assert all(isinstance(one, Outcome | Rejected) for one in outcomes), outcomes
    return {one.code for one in outcomes if isinstance(one, Rejected)}


def count(settings: Settings, topic: str) -> int:
    return len(totals(settings, topic))


def totals(settings: Settings, topic: str) -> list[int | None]:
    """What the events of a topic say that it comes to, in the ledger's order."""
    with Store(settings).connect() as connection:
        rows = connection.execute(
            "SELECT (state->>'total_minor')::bigint FROM ledger_event_json"
            " WHERE topic = %s ORDER BY position",
            [topic],
        )
        return [total for (total,) in rows]


async def test_many_confirmations_of_one_draft_make_one_order(settings: Settings) -> None:
    """covers: A18. Through three processes, each answered with the same order."""
    draft_id, many = str(uuid4()), scale(100, 30)
    confirming: list[Command] = [ConfirmDraft(draft_id=draft_id, at=NOON)] * many
    async with committer(settings) as a, committer(settings) as b, committer(settings) as c:
        started = await a.run(starting(draft_id), attempt())
        outcomes = await race([a, b, c], confirming)
        again = await b.run(confirming[0], attempt())
    assert refusals(outcomes) == set()
    answers = [one.body for one in (*accepted(outcomes), again)]
    assert {(one["order_id"], one["number"]) for one in answers} == {
        (draft_id, started.body["number"])
    }
    assert sum(one.position is not None for one in accepted(outcomes)) == 1
    assert (count(settings, "order.placed.v4"), count(settings, "draft.ordered.v1")) == (1, 1)


async def test_accepting_and_declining_race_and_one_wins(settings: Settings) -> None:
    """covers: A56"""
    rounds = scale(40, 12)
    async with committer(settings) as a, committer(settings) as b:
        for turn in range(rounds):
            draft_id = str(uuid4())
            await a.run(starting(draft_id), attempt())
            await a.run(offering(draft_id), attempt())
            answers: list[Command] = [
                AcceptQuote(draft_id=draft_id, offer_no=1, at=NOON),
                DeclineQuote(draft_id=draft_id, offer_no=1, at=NOON),
            ]
            outcomes = await race([a, b], answers[:: -1 if turn % 2 else 1])
            assert len(accepted(outcomes)) == 1
            assert refusals(outcomes) <= {"quote_declined", "draft_ordered"}
    ordered, declined = (
        count(settings, f"{name}.v1") for name in ("draft.ordered", "quote.declined")
    )
    assert ordered + declined == rounds
    assert ordered == count(settings, "order.placed.v4")


async def test_a_price_that_is_revised_while_it_is_accepted_is_one_or_the_other(
    settings: Settings,
) -> None:
    """Whoever accepts names the offer that was seen: never another price. covers: A56"""
    rounds = scale(40, 12)
    async with committer(settings) as a, committer(settings) as b:
        for turn in range(rounds):
            draft_id = str(uuid4())
            await a.run(starting(draft_id), attempt())
            await a.run(offering(draft_id), attempt())
            commands: list[Command] = [
                offering(draft_id, PRICE * 2),
                AcceptQuote(draft_id=draft_id, offer_no=1, at=NOON),
            ]
            outcomes = await race([a, b], commands[:: -1 if turn % 2 else 1])
            assert refusals(outcomes) <= {"quote_revised", "draft_ordered"}
            assert len(accepted(outcomes)) == 1
    assert set(totals(settings, "order.placed.v4")) <= {PRICE}
    assert totals(settings, "order.placed.v4") == totals(settings, "draft.ordered.v1")


async def test_quotes_race_for_the_last_units_and_nothing_else_changes(settings: Settings) -> None:
    """covers: A56, R9 no_effect_before_commit"""
    drafts = [str(uuid4()) for _ in range(scale(60, 20))]
    units = 7
    async with committer(settings) as a, committer(settings) as b, committer(settings) as c:
        await a.run(
            ReceiveStock.model_validate({"sku": "TEA", "quantity": units, "at": NOON}), attempt()
        )
        await race([a, b, c], [starting(draft_id, sku="TEA") for draft_id in drafts])
        assert count(settings, "stock_item.reserved.v1") == 0
        outcomes = await race([a, b, c], [ConfirmDraft(draft_id=one, at=NOON) for one in drafts])
        assert refusals(outcomes) == {"insufficient_stock"}
        assert len(accepted(outcomes)) == units
        for topic in ("order.placed.v4", "draft.ordered.v1", "stock_item.reserved.v1"):
            assert count(settings, topic) == units
        left = drafts[next(i for i, one in enumerate(outcomes) if isinstance(one, Rejected))]
        await a.run(
            ReceiveStock.model_validate({"sku": "TEA", "quantity": 1, "at": NOON}), attempt()
        )
        more = await b.run(ConfirmDraft(draft_id=left, at=NOON), attempt())
    assert more.body["order_id"] == left


async def test_saving_and_confirming_race_and_what_is_ordered_was_saved(settings: Settings) -> None:
    """covers: A18"""
    rounds = scale(40, 12)
    async with committer(settings) as a, committer(settings) as b:
        for turn in range(rounds):
            draft_id = str(uuid4())
            await a.run(starting(draft_id), attempt())
            dearer = body(PRICE + 1) | {"draft_id": draft_id, "at": NOON}
            commands: list[Command] = [
                SaveDraft.model_validate(dearer),
                ConfirmDraft(draft_id=draft_id, at=NOON),
            ]
            outcomes = await race([a, b], commands[:: -1 if turn % 2 else 1])
            assert refusals(outcomes) <= {"draft_ordered"}
            saved_first = not refusals(outcomes)
            assert totals(settings, "order.placed.v4")[-1] == PRICE + saved_first
    assert count(settings, "draft.ordered.v1") == rounds


async def test_two_starts_never_share_a_number_and_a_repeat_is_the_same_draft(
    settings: Settings,
) -> None:
    taken = (number.from_seed(123_456_789), number.from_seed(123_456_780))
    starts = [
        StartDraft.model_validate(body() | {"draft_id": str(uuid4()), "numbers": taken, "at": NOON})
        for _ in range(3)
    ]
    async with committer(settings) as a, committer(settings) as b:
        outcomes = await race([a, b], [*starts])
        first = await a.run(starting(str(uuid4())), attempt("once"))
        again = await b.run(starting(str(uuid4())), attempt("once"))
    assert {one.body["number"] for one in accepted(outcomes)} == set(taken)
    assert refusals(outcomes) == {"numbers_taken"}
    assert again.repeated
    assert again.body == first.body
