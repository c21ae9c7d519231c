"""One account, many buyers at once, through several processes and over HTTP: never too much."""

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
from domain.account_commands import GrantCredit, IssueGift, SetCreditLimit
from domain.customer import RecordCustomer
from domain.message import Attempt, Command, Rejected
from domain.payment_commands import RecordPayment
from domain.placement_commands import PlaceOrder
from domain.refund_commands import PayRefund, RequestRefund
from tests.scale import scale

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LI: dict[str, Any] = {"customer_id": "li", "currency": "CNY", "at": NOON}
PRICE = 8_800


@asynccontextmanager
async def committer(settings: Settings) -> AsyncIterator[Committer]:
    one = Committer(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def attempt() -> Attempt:
    command_id = uuid4()
    digest = hashlib.sha256(b"").digest()
    return Attempt("desk", "test", command_id, command_id, None, command_id.hex, digest)


def placing(method: str) -> PlaceOrder:
    line = {"sku": "TEA", "name": "Longjing", "category": "tea", "quantity": 1}
    return PlaceOrder.model_validate(
        {
            **LI,
            "order_id": str(uuid4()),
            "numbers": (number.from_seed(100_000_000 + uuid4().int % 900_000_000),),
            "channel": "web",
            "lines": [line | {"unit_price_minor": PRICE}],
            "contact": {"name": "李雷"},
            "shipping_address": {"line1": "长安街 1", "city": "北京", "country": "CN"},
            "payment_method": method,
        }
    )


def registering() -> RecordCustomer:
    body = {"customer_id": "li", "contact": {"name": "李雷"}, "at": NOON}
    return RecordCustomer.model_validate(body)


def granting(amount_minor: int) -> GrantCredit:
    body = {"amount_minor": amount_minor, "cause": "compensation", "reason_code": "late"}
    return GrantCredit.model_validate(LI | body)


def giving(amount_minor: int, days: int) -> IssueGift:
    expiry = {"expires_at": NOON + timedelta(days=days), "gift_id": str(uuid4())}
    body = {"amount_minor": amount_minor, "reason_code": "birthday"}
    return IssueGift.model_validate(LI | body | expiry)


def agreeing(limit_minor: int) -> SetCreditLimit:
    return SetCreditLimit.model_validate(LI | {"limit_minor": limit_minor, "reason": "agreed"})


async def race(committers: list[Committer], commands: list[Command]) -> list[Any]:
    """All at once, each through the next process."""
    return await asyncio.gather(
        *(
            committers[index % len(committers)].run(command, attempt())
            for index, command in enumerate(commands)
        ),
        return_exceptions=True,
    )


def accepted(outcomes: list[Any]) -> int:
    return sum(isinstance(one, Outcome) for one in outcomes)


def refusals(outcomes: list[Any]) -> list[str]:
    return [one.code for one in outcomes if isinstance(one, Rejected)]


def total(settings: Settings, topic: str) -> int:
    """The amounts of all events of a topic."""
    with Store(settings).connect() as connection:
        row = connection.execute(
            "SELECT coalesce(sum((state->>'amount_minor')::bigint), 0)::bigint"
            " FROM ledger_event_json WHERE topic = %s",
            [topic],
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_two_orders_race_for_one_limit_and_one_wins(settings: Settings) -> None:
    """Again and again, each time with the limit for one more.

    covers: A82, L12, R6 guards_hold_under_concurrency
    """
    rounds = scale(20, 5)
    async with committer(settings) as a, committer(settings) as b:
        await a.run(registering(), attempt())
        for held in range(rounds):
            await a.run(agreeing(PRICE * (held + 1)), attempt())
            outcomes = await race([a, b], [placing("on_account"), placing("on_account")])
            assert accepted(outcomes) == 1
            assert refusals(outcomes) == ["credit_limit_exceeded"]
    assert total(settings, "account.exposure_taken.v1") == PRICE * rounds


async def test_what_is_freed_may_be_taken_again_and_never_twice(settings: Settings) -> None:
    """Payments free the limit while other orders ask for it. covers: A82, R6"""
    first = [placing("on_account") for _ in range(5)]
    async with committer(settings) as a, committer(settings) as b, committer(settings) as c:
        await a.run(registering(), attempt())
        await a.run(agreeing(PRICE * 5), attempt())
        assert accepted(await race([a, b, c], [*first])) == 5
        paying: list[Command] = [
            RecordPayment(
                order_id=one.order_id,
                payment_id=str(uuid4()),
                method="alipay",
                amount_minor=PRICE,
                reference="A",
                at=NOON,
            )
            for one in first
        ]
        more: list[Command] = [placing("on_account") for _ in range(scale(40, 20))]
        outcomes = await race([a, b, c], [*more[::2], *paying, *more[1::2]])
        assert set(refusals(outcomes)) <= {"credit_limit_exceeded"}
        assert 5 <= accepted(outcomes) <= 10
        await race([a, b, c], [placing("on_account") for _ in range(6)])
    taken = total(settings, "account.exposure_taken.v1")
    freed = total(settings, "account.exposure_freed.v1")
    assert freed == PRICE * 5
    assert taken - freed == PRICE * 5


async def test_a_hundred_orders_never_spend_more_than_there_is(settings: Settings) -> None:
    """Credit for 4 and gifts for 3 orders. covers: A64, L12, R6 guards_hold_under_concurrency"""
    orders = 100
    async with committer(settings) as a, committer(settings) as b, committer(settings) as c:
        await a.run(registering(), attempt())
        await a.run(granting(PRICE * 4), attempt())
        await a.run(giving(PRICE, 2), attempt())
        await a.run(giving(PRICE * 2 + 1, 1), attempt())
        outcomes = await race([a, b, c], [placing("store_credit") for _ in range(orders)])
    assert accepted(outcomes) == 7
    assert refusals(outcomes) == ["insufficient_credit"] * (orders - 7)
    assert total(settings, "account.spent.v1") == PRICE * 7
    assert total(settings, "order.payment_captured.v2") == PRICE * 7


async def test_a_refund_gives_back_once_while_others_spend_it(settings: Settings) -> None:
    """covers: A64, R6, R19"""
    bought = placing("store_credit")
    refund_id = str(uuid4())
    async with committer(settings) as a, committer(settings) as b:
        await a.run(registering(), attempt())
        await a.run(granting(PRICE), attempt())
        await a.run(bought, attempt())
        asked = RequestRefund(
            order_id=bought.order_id,
            refund_id=refund_id,
            reason="late",
            amount_minor=PRICE,
            evidence=[],
            actor="desk",
            at=NOON,
        )
        await a.run(asked, attempt())
        paying = PayRefund(order_id=bought.order_id, refund_id=refund_id, reference="R", at=NOON)
        commands: list[Command] = [paying, placing("store_credit"), paying, placing("store_credit")]
        await race([a, b], commands)
        await race([a, b], [placing("store_credit") for _ in range(4)])
    assert total(settings, "account.given_back.v1") == PRICE
    assert total(settings, "account.spent.v1") == PRICE * 2
