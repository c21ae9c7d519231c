"""Commands through the one runner: concurrency, repeats, refusals, lost connections."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from commands import committer as committer_module
from commands.committer import Busy, Committer
from commands.keys import Vault
from commands.planning import KeyReused, Outcome, StaleVersion
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain import number
from domain.message import Attempt, Command, Rejected, StreamName
from domain.order_commands import AddNote, ApproveOrder, CancelOrder
from domain.parcel_commands import DispatchParcel, PackParcel, TrackParcel
from domain.payment_commands import RecordPayment
from domain.placement_commands import PlaceOrder
from domain.stock_item import AdjustStock, ReceiveStock
from tests.scale import scale

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def committer(settings: Settings) -> AsyncIterator[Committer]:
    one = Committer(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def attempt(key: str = "", body: str = "") -> Attempt:
    command_id = uuid4()
    digest = hashlib.sha256(body.encode()).digest()
    return Attempt("desk", "test", command_id, command_id, None, key or command_id.hex, digest)


def placing(sku: str = "TEA", quantity: int = 1, **others: Any) -> PlaceOrder:
    return PlaceOrder.model_validate(
        {
            "order_id": str(uuid4()),
            "numbers": (number.from_seed(100_000_000 + uuid4().int % 900_000_000),),
            "at": NOON,
            "channel": "web",
            "customer_id": "C-1",
            "currency": "CNY",
            "lines": [
                {
                    "sku": sku,
                    "name": "Longjing",
                    "category": "tea",
                    "quantity": quantity,
                    "unit_price_minor": 8_800,
                }
            ],
            "contact": {"name": "王小明", "phone": "13800000000"},
            "shipping_address": {"line1": "长安街 1", "city": "北京", "country": "CN"},
            "payment_method": "alipay",
            **others,
        }
    )


def receiving(sku: str = "TEA", quantity: int = 10) -> ReceiveStock:
    return ReceiveStock(sku=sku, quantity=quantity, at=NOON)  # type: ignore[arg-type]


def stock(settings: Settings, sku: str = "TEA") -> tuple[int, int]:
    """(reserved orders, units reserved) as the events tell."""
    with Store(settings).connect() as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(sum((state->>'quantity')::int), 0) FROM ledger_event_json"
            " WHERE topic = 'stock_item.reserved.v1' AND state->>'sku' = %s",
            [sku],
        ).fetchone()
    assert row is not None
    return row


async def settle(*attempts: Any) -> list[Any]:
    return await asyncio.gather(*attempts, return_exceptions=True)


def refusals(outcomes: list[Any]) -> list[str]:
    return [o.code for o in outcomes if isinstance(o, Rejected)]


async def test_the_last_units_are_sold_once_by_several_processes(settings: Settings) -> None:
    """200 orders for 10 units through three committers, each with its own cache.

    covers: A60 (oversell guard), R12 last_unit_sold_once, R6 guards_hold_under_concurrency
    """
    orders = scale(200, 60)
    async with committer(settings) as a, committer(settings) as b, committer(settings) as c:
        await a.run(receiving(quantity=10), attempt())
        outcomes = await settle(
            *((a, b, c)[i % 3].run(placing(), attempt()) for i in range(orders))
        )
    placed = [o for o in outcomes if isinstance(o, Outcome)]
    assert len(placed) == 10
    assert refusals(outcomes) == ["insufficient_stock"] * (orders - 10)
    assert stock(settings) == (10, 10)


async def test_one_checkout_makes_one_order_however_often_it_is_sent(settings: Settings) -> None:
    """covers: R3 one_checkout_one_order, A76, L13"""
    async with committer(settings) as a, committer(settings) as b:
        outcomes = await settle(
            *((a, b)[i % 2].run(placing(), attempt("checkout-1", "same")) for i in range(20))
        )
        other = placing(external_ref="W-1")
        await a.run(other, attempt())
        with pytest.raises(Rejected, match="already_placed") as refused:
            await b.run(placing(external_ref="W-1"), attempt())
    assert {o.body["order_id"] for o in outcomes} == {outcomes[0].body["order_id"]}
    assert {o.position for o in outcomes} == {outcomes[0].position}
    assert sum(not o.repeated for o in outcomes) == 1
    assert refused.value.facts["order_id"] == other.order_id


async def test_a_key_sent_with_another_body_is_refused(settings: Settings) -> None:
    async with committer(settings) as one:
        await one.run(placing(), attempt("k", "first"))
        with pytest.raises(KeyReused):
            await one.run(placing(), attempt("k", "second"))


async def test_a_refusal_is_the_first_answer_too(settings: Settings) -> None:
    """Stock that arrives later does not change what was answered under this key."""
    async with committer(settings) as one:
        await one.run(receiving(quantity=1), attempt())
        for _ in range(2):
            with pytest.raises(Rejected, match="insufficient_stock") as refused:
                await one.run(placing(quantity=2), attempt("k"))
            await one.run(receiving(quantity=5), attempt())
    assert refused.value.facts["available"] == 1


async def test_a_stale_cache_neither_accepts_nor_refuses(settings: Settings) -> None:
    async with committer(settings) as behind, committer(settings) as ahead:
        await behind.run(receiving(quantity=1), attempt())
        await ahead.run(receiving(quantity=5), attempt())
        accepted = await behind.run(placing(quantity=6), attempt())
        assert accepted.position is not None
        await ahead.run(AdjustStock(sku="TEA", delta=3, reason="count", at=NOON), attempt())  # type: ignore[arg-type]
        await ahead.run(placing(quantity=3), attempt())
        with pytest.raises(Rejected, match="insufficient_stock"):
            await behind.run(placing(quantity=1), attempt())


async def test_what_was_decided_on_a_batch_that_missed_is_decided_again(
    settings: Settings,
) -> None:
    """Another process is in the middle of an append: the first batch waits for it, the next one is
    decided meanwhile on what the first would have led to.
    """
    store = Store(settings)
    other = BatchRunner(store, Vault(settings.name, settings.master_key_bytes()))
    async with committer(settings) as one:
        await one.run(receiving(quantity=10), attempt())
        with store.connect() as connection:
            other.run(connection, [(placing(quantity=4), attempt())])
            first = [asyncio.create_task(one.run(placing(quantity=3), attempt())) for _ in "ab"]
            await asyncio.sleep(0.2)
            later = [asyncio.create_task(one.run(placing(quantity=3), attempt())) for _ in "ab"]
            more = asyncio.create_task(one.run(receiving(quantity=1), attempt()))
            await asyncio.sleep(0.2)
            assert not any(task.done() for task in (*first, *later, more))
            connection.commit()
        outcomes = await settle(*first, *later, more)
    assert sum(isinstance(outcome, Outcome) for outcome in outcomes[:4]) == 2
    assert refusals(outcomes) == ["insufficient_stock"] * 2
    assert outcomes[4].body["version"] == 1 + 1 + 2 + 1
    assert stock(settings) == (3, 10)


async def _until_sent(one: Committer) -> None:
    while one._sent is None:  # noqa: ASYNC110 - an append is not announced
        await asyncio.sleep(0)


async def _lose(connection: Any, settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])


async def test_a_writer_that_reconnects_while_others_are_read_spoils_no_state(
    settings: Settings,
) -> None:
    """What is held is dropped then; the tail that was asked for still belongs to what was held."""
    async with committer(settings) as one, committer(settings) as other:
        await one.run(receiving(quantity=10), attempt())
        await other.run(placing(quantity=10), attempt())
        one._deciding._cache.doubt([StreamName("stock_item", "TEA@main")])
        with psycopg.connect(settings.postgres_url) as owner:
            owner.execute("LOCK TABLE main.ledger_event IN ACCESS EXCLUSIVE MODE")
            writes = asyncio.create_task(one.run(receiving("OTHER", quantity=5), attempt()))
            await asyncio.sleep(0.1)
            reads = asyncio.create_task(one.run(placing(quantity=1_000), attempt()))
            await asyncio.sleep(0.1)
            await _lose(one._writing._connection, settings)
            await asyncio.sleep(0.4)
        outcomes = await settle(writes, reads)
    assert isinstance(outcomes[0], Outcome)
    assert refusals(outcomes) == ["insufficient_stock"]
    assert outcomes[1].facts["available"] == 0


async def test_stale_senders_do_not_keep_others_waiting(settings: Settings) -> None:
    order = placing()
    stream = StreamName("order", order.order_id)
    async with committer(settings) as one:
        await one.run(order, attempt())
        ended = asyncio.Event()

        async def stale() -> None:
            while not ended.is_set():
                note = AddNote(order_id=order.order_id, note_id=str(uuid4()), text="x", at=NOON)
                with pytest.raises(StaleVersion):
                    await one.run(note, attempt(), (stream, 999))

        senders = [asyncio.create_task(stale()) for _ in range(16)]
        async with asyncio.timeout(20):
            for n in range(20):
                await one.run(receiving(f"SKU-{n}"), attempt())
        ended.set()
        await asyncio.gather(*senders)


async def test_a_new_customer_orders_again_before_the_first_order_is_stored(
    settings: Settings,
) -> None:
    """The key that was minted for the first order is stored with it, not again with the second."""
    store = Store(settings)
    missed = 0
    async with committer(settings) as one:
        appended = store.aappend

        async def counting(connection: Any, units: Any) -> Any:
            nonlocal missed
            answers = await appended(connection, units)
            missed += sum(bool(answer.missed) for answer in answers)
            return answers

        one._store.aappend = counting  # type: ignore[method-assign]
        for customer in range(scale(50, 10)):
            first = asyncio.create_task(one.run(placing(customer_id=f"C{customer}"), attempt()))
            await _until_sent(one)
            second = one.run(placing(customer_id=f"C{customer}", sku="CUP"), attempt())
            await asyncio.gather(first, second)
    assert missed == 0


async def test_what_is_recorded_is_answered_while_the_next_reads(settings: Settings) -> None:
    """A read that waits for the database does not hold back the answer of what went before."""
    async with committer(settings) as one:
        await one.run(receiving(), attempt())
        read, may_read = one._deciding._reading.run, asyncio.Event()

        async def late(work: Any) -> Any:
            await may_read.wait()
            return await read(work)

        one._deciding._reading.run = late  # type: ignore[method-assign]
        first = asyncio.create_task(one.run(receiving(), attempt()))
        await _until_sent(one)
        second = asyncio.create_task(one.run(placing(), attempt()))
        async with asyncio.timeout(5):
            await first
        assert not second.done()
        may_read.set()
        assert isinstance(await second, Outcome)


async def test_the_newest_version_is_never_called_stale(settings: Settings) -> None:
    """A neighbour in the batch knew an older one; If-Match was read afresh."""
    order = placing()
    stream = StreamName("order", order.order_id)
    async with committer(settings) as one, committer(settings) as other:
        version = (await one.run(order, attempt())).body["version"]
        with psycopg.connect(settings.postgres_url) as owner:
            owner.execute("SELECT pg_advisory_xact_lock(hashtextextended('ledger_append.main', 0))")
            under_way = asyncio.create_task(one.run(receiving("OTHER"), attempt()))
            await asyncio.sleep(0.1)
            reads = ApproveOrder(order_id=order.order_id, at=NOON)
            neighbour = asyncio.create_task(one.run(reads, attempt()))
            await asyncio.sleep(0.1)
        await settle(under_way, neighbour)
        note = AddNote(order_id=order.order_id, note_id="n", text="call first", at=NOON)
        await other.run(note, attempt())
        again = note.model_copy(update={"note_id": "m"})
        assert (await one.run(again, attempt(), (stream, version + 1))).position is not None


async def test_a_repeat_takes_no_neighbour_along(settings: Settings) -> None:
    """Who sends the same again is answered without being appended."""
    async with committer(settings) as one:
        order = placing()
        first = await one.run(order, attempt("K", "same"))
        again = await one.run(order, attempt("K", "same"))
        assert (again.body, again.position, again.repeated) == (first.body, first.position, True)
        with pytest.raises(KeyReused):
            await one.run(order, attempt("K", "other"))


async def test_nothing_is_recorded_after_the_stop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "STOP_SECONDS", 0.5)
    with psycopg.connect(settings.postgres_url) as owner:
        async with committer(settings) as one:
            owner.execute("SELECT pg_advisory_xact_lock(hashtextextended('ledger_append.main', 0))")
            sent = asyncio.create_task(one.run(receiving(), attempt()))
            await asyncio.sleep(0.1)
        assert [type(outcome) for outcome in await settle(sent)] == [Busy]
        owner.rollback()
        await asyncio.sleep(0.3)
        assert owner.execute("SELECT count(*) FROM main.ledger_event").fetchone() == (0,)


async def test_with_another_master_key_nothing_is_recorded(settings: Settings) -> None:
    async with committer(settings) as one:
        await one.run(placing(), attempt())
    foreign = Committer(Store(settings), Vault(settings.name, b"x" * 32))
    await foreign.start()
    with pytest.raises(Busy, match="LEDGER_MASTER_KEY is not the key of this ledger"):
        await foreign.run(placing(customer_id="C-2"), attempt())
    await foreign.stop()


async def test_what_others_wrote_is_read_on_and_not_from_the_start(settings: Settings) -> None:
    """A sku that everybody sells has a long history; each overtaking must not read all of it."""
    async with committer(settings) as one, committer(settings) as other:
        for _ in range(5):
            await one.run(receiving(quantity=1), attempt())
            await other.run(receiving(quantity=1), attempt())
        name = StreamName("stock_item", "TEA@main")
        cache = one._deciding._cache
        cache.doubt([name])
        ids, versions = cache.to_load(cache.bases([name]))
        assert (len(ids), versions) == (1, [9])
        placed = await one.run(placing(quantity=10), attempt())
        assert placed.position is not None
        with pytest.raises(Rejected, match="insufficient_stock"):
            await other.run(placing(quantity=1), attempt())


async def test_a_database_that_stands_still_is_answered_busy_and_the_rest_is_let_go(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "ANSWER_SECONDS", 0.5)
    with psycopg.connect(settings.postgres_url) as owner:
        async with committer(settings) as one:
            await one.run(receiving(), attempt())
            owner.execute("LOCK TABLE main.ledger_event IN ACCESS EXCLUSIVE MODE")
            outcomes = await settle(*(one.run(receiving(), attempt(f"k{n}")) for n in range(300)))
            owner.rollback()
            again = await one.run(receiving(), attempt("k0"))
    assert {type(outcome) for outcome in outcomes} == {Busy}
    assert again.body["on_hand"] <= 10 * (1 + committer_module.BATCH_COMMANDS_MAX)


async def test_a_parcel_packed_by_another_process_can_be_dispatched_here(
    settings: Settings,
) -> None:
    """Here the order is held as it was before it was packed, the parcel not at all."""
    order, parcel_id = placing(), str(uuid4())
    paid = {"method": "alipay", "amount_minor": 8_800, "reference": "r", "at": NOON}
    payment = RecordPayment.model_validate({"order_id": order.order_id, "payment_id": "P", **paid})
    content = {"order_id": order.order_id, "line_no": 1, "quantity": 1}
    pack = PackParcel.model_validate({"parcel_id": parcel_id, "contents": [content], "at": NOON})
    sent = {"carrier": "sf", "tracking_number": "SF1", "parcel_id": parcel_id, "at": NOON}
    async with committer(settings) as there, committer(settings) as here:
        await there.run(order, attempt())
        await here.run(payment, attempt())
        await there.run(pack, attempt())
        outcome = await here.run(DispatchParcel.model_validate(sent), attempt())
    assert outcome.body["orders"][0]["status"] == "shipped"


async def test_an_order_that_does_not_exist_yet_may_exist_later(settings: Settings) -> None:
    order = placing()
    note = AddNote(order_id=order.order_id, note_id="n", text="call first", at=NOON)
    async with committer(settings) as one:
        with pytest.raises(Rejected, match="order_not_found"):
            await one.run(note, attempt("k"))
        await one.run(order, attempt())
        assert (await one.run(note, attempt("k"))).position is not None


async def test_if_match_names_the_version_that_is_changed(settings: Settings) -> None:
    """covers: A77 (expected version), L1"""
    order = placing()
    stream = StreamName("order", order.order_id)
    note = AddNote(order_id=order.order_id, note_id="n", text="call first", at=NOON)
    async with committer(settings) as one, committer(settings) as other:
        version = (await one.run(order, attempt())).body["version"]
        await other.run(note, attempt(), (stream, version))
        with pytest.raises(StaleVersion) as stale:
            await one.run(note.model_copy(update={"note_id": "m"}), attempt(), (stream, version))
    assert (stale.value.expected, stale.value.actual) == (version, version + 1)


async def test_a_repeat_is_the_first_answer_although_its_version_is_stale_by_now(
    settings: Settings,
) -> None:
    """The sender lost the answer and sends the same again; only its own change made it stale."""
    async with committer(settings) as one:
        placing_ = placing()
        placed = await one.run(placing_, attempt())
        stream = StreamName("order", placing_.order_id)
        command = CancelOrder(order_id=placing_.order_id, reason_code="changed_mind", at=NOON)
        first = await one.run(command, attempt("K"), (stream, placed.body["version"]))
        again = await one.run(command, attempt("K"), (stream, placed.body["version"]))
        assert (again.body, again.position, again.repeated) == (first.body, first.position, True)
        with pytest.raises(KeyReused):
            await one.run(command, attempt("K", "other"), (stream, placed.body["version"]))
        with pytest.raises(StaleVersion):
            await one.run(command, attempt("L"), (stream, placed.body["version"]))


async def test_approving_again_is_answered_without_an_event(settings: Settings) -> None:
    order = placing()
    async with committer(settings) as one:
        await one.run(order, attempt())
        outcome = await one.run(ApproveOrder(order_id=order.order_id, at=NOON), attempt())
    assert outcome.position is None


async def test_payment_webhook_and_checkout_in_any_order(settings: Settings) -> None:
    """Payments of one order by many senders at once: each is counted once. covers: A63, R6"""
    order = placing()
    payments = [
        RecordPayment(
            order_id=order.order_id,
            payment_id=f"P-{i}",
            method="alipay",
            amount_minor=100,
            reference=f"ref-{i}",
            at=NOON,
        )
        for i in range(40)
    ]
    async with committer(settings) as a, committer(settings) as b:
        await a.run(order, attempt())
        outcomes = await settle(
            *((a, b)[i % 2].run(payment, attempt(f"p{i}")) for i, payment in enumerate(payments)),
            *(a.run(payment, attempt(f"p{i}")) for i, payment in enumerate(payments)),
        )
    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    with Store(settings).connect() as connection:
        paid = connection.execute(
            "SELECT count(*) FROM ledger_event WHERE topic = 'order.payment_captured.v2'"
        ).fetchone()
    assert paid == (40,)


async def test_a_lost_connection_loses_and_doubles_nothing(settings: Settings) -> None:
    """Connections are killed while 200 receipts are under way. covers: L21 (write side)"""
    count = scale(2_000, 200)
    async with committer(settings) as one:

        async def kill() -> None:
            for _ in range(10):
                await asyncio.sleep(0.02)
                with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
                    owner.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'ledger_main' AND datname = current_database()"
                    )

        outcomes, _ = await asyncio.gather(
            settle(*(one.run(receiving(f"SKU-{i}"), attempt()) for i in range(count))), kill()
        )
    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    with Store(settings).connect() as connection:
        assert connection.execute("SELECT count(*) FROM ledger_event").fetchone() == (count,)
        assert Store(settings).head(connection) == count


async def test_readers_are_woken_after_the_commit_and_never_for_a_refusal(
    settings: Settings,
) -> None:
    """covers: R9 (no_effect_before_commit)"""
    store = Store(settings)
    async with (
        committer(settings) as one,
        await store.aconnect(autocommit=True) as listener,
    ):
        await listener.execute(f"LISTEN {store.channel}")
        with pytest.raises(Rejected):
            await one.run(ApproveOrder(order_id=str(uuid4()), at=NOON), attempt())
        assert [n async for n in listener.notifies(timeout=0.3)] == []
        sent = asyncio.create_task(one.run(receiving(), attempt()))
        assert len([n async for n in listener.notifies(timeout=10, stop_after=1)]) == 1
        found = await listener.execute("SELECT count(*) FROM ledger_event")
        assert await found.fetchone() == (1,), "woken before the event can be read"
        assert (await sent).position == 1


def test_no_personal_word_is_stored_in_clear(settings: Settings) -> None:
    """covers: L26, A16 (sealed part)"""
    runner = BatchRunner(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    with Store(settings).connect() as connection:
        order = placing(note="门铃坏了", payment_method="cash_on_delivery")
        parcel = str(uuid4())
        contents = [{"order_id": order.order_id, "line_no": 1, "quantity": 1}]
        journey = {"parcel_id": parcel, "carrier": "sf", "tracking_number": "SF1", "at": NOON}
        scan = {"event_id": "1", "milestone": "delivered", "occurred_at": NOON}
        for command in (
            order,
            PackParcel.model_validate({"parcel_id": parcel, "contents": contents, "at": NOON}),
            DispatchParcel.model_validate(journey),
            TrackParcel.model_validate({**journey, **scan, "note": "邻居李雷代收"}),
        ):
            (made,) = runner.run(connection, [(command, attempt())])
            assert isinstance(made, Outcome), made
            connection.commit()
        stored = connection.execute(
            "SELECT string_agg(convert_from(state, 'UTF8'), '') FROM ledger_event"
            " UNION ALL SELECT string_agg(outcome, '') FROM ledger_command"
        ).fetchall()
    text = "".join(part for (part,) in stored)
    assert '"sku":"TEA"' in text
    assert '"milestone":"delivered"' in text
    for word in ("王小明", "13800000000", "长安街", "门铃", "李雷"):
        assert word not in text


def test_a_batch_of_a_worker_commits_with_its_side_rows_or_not_at_all(settings: Settings) -> None:
    runner = BatchRunner(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    commands: list[tuple[Command, Attempt]] = [
        (receiving("TEA"), attempt("a")),
        (placing("TEA", 4), attempt("b")),
        (placing("TEA", 7), attempt("c")),
    ]
    with Store(settings).connect() as connection:
        runner.run(connection, commands)
        connection.rollback()
        assert Store(settings).head(connection) == 0
        first = runner.run(connection, commands)
        connection.commit()
        again = runner.run(connection, commands)
        connection.commit()
    assert refusals(first) == refusals(again) == ["insufficient_stock"]
    assert [getattr(o, "position", None) for o in first] == [
        getattr(o, "position", None) for o in again
    ]
