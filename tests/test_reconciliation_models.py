"""Read models of the reconciliation: folds of the events, equal to what the deciders know."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection

from commands import period_totals
from commands.settings import Settings
from commands.store import Store
from domain.message import Command, Rejected
from domain.movement import MovementKey, open_minor
from domain.period import BeginClosing, ClosePeriod
from domain.reconciliation import available
from domain.reconciliation_streams import movement_stream, owner_stream, statement_stream
from domain.statement_commands import LeaveUnallocated, StatementLine, UnmatchLines
from projections import money_movements, periods, reconciling, statement_lines, statements
from projections.engine import Engine, Projection
from projections.order_status import PROJECTION as ORDERS
from projections.rebuild import rebuild
from tests import given
from tests.histories import History, write
from tests.scale import scale
from tests.test_statement import announce, match, record, row, statement
from workers.periods import check, close
from workers.statements import send

PROJECTIONS: tuple[Projection[Any], ...] = (
    statements.PROJECTION,
    statement_lines.PROJECTION,
    money_movements.PROJECTION,
    periods.PROJECTION,
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Books:
    """A shop with a history, and statements that tell of its money more or less well."""

    settings: Settings
    connection: Connection
    history: History
    random: random.Random

    @property
    def store(self) -> Store:
        return Store(self.settings)

    def run(self, *commands: Command) -> None:
        units = [self.history.run(command) for command in commands]
        write(self.store, self.connection, iter([u for u in units if u is not None and u.events]))

    def fold(self, projection: Projection[Any], events: int = 200, *, twice: bool = False) -> int:
        engine = Engine(projection, self.settings.read_schema)
        engine.prepare(self.connection)
        position = engine.position(self.connection)
        while batch := self.store.feed(self.connection, position, events):
            engine.apply(self.connection, batch, position)
            if twice:
                self.connection.execute("UPDATE checkpoint SET position = %s", [position])
                engine.apply(self.connection, batch, position)
            position = batch[-1].position
        return position

    def captured(self) -> Iterator[tuple[str, str, int, str]]:
        for order_id in self.history.orders:
            state = self.history.order(order_id)
            for payment_id, payment in state.payments.items():
                yield order_id, payment_id, payment.amount_minor, state.currency

    def rows(self, projection: Projection[Any]) -> list[dict[str, Any]]:
        columns = [*projection.table.columns]
        query = f"SELECT * FROM {projection.name} ORDER BY 1"
        return [dict(zip(columns, r, strict=True)) for r in self.connection.execute(query.encode())]


@pytest.fixture
def books(settings: Settings) -> Iterator[Books]:
    with Store(settings).connect(autocommit=True) as connection:
        shop = Books(settings, connection, History(11), random.Random(5))
        write(shop.store, connection, shop.history.units(scale(200, 20)))
        reconcile(shop)
        yield shop


def reconcile(shop: Books) -> None:
    """Two statements, lines of which are matched, undone, left unallocated."""
    money = list(shop.captured())
    for number in range(2):
        name = f"{number:064x}"
        lines = [line(shop, place, one) for place, one in enumerate(money, 1)]
        lines.append(row(len(lines) + 1, -777, kind="payout", batch_id="po"))
        shop.run(announce(*lines, statement_id=name))
        for start in range(0, len(lines), 20):
            shop.run(record(*lines[start : start + 20], statement_id=name))
        for place, one in enumerate(money, 1):
            shop.run(*deeds(shop, name, place, one))


def line(shop: Books, place: int, one: tuple[str, str, int, str]) -> StatementLine:
    _, payment_id, amount, currency = one
    fee = shop.random.choice([0, 3])
    batch = shop.random.choice([None, "po"])
    values = {"currency": currency, "batch_id": batch, "reference": payment_id}
    text = {"counterparty": "王小明", "text": "thanks", "verbatim": {"a": "b"}}
    return row(place, amount, fee, **values, **text)


def deeds(shop: Books, name: str, place: int, one: tuple[str, str, int, str]) -> Iterator[Command]:
    order_id, payment_id, amount, _ = one
    chance = shop.random.random()
    ours = {"kind": "capture", "owner": order_id, "id": payment_id}
    if chance < 0.1:
        yield LeaveUnallocated(statement_id=name, line_no=place, at=given.NOON)
        return
    part = amount if chance < 0.7 else max(1, amount // 2)
    told: list[Any] = [{"line_no": place, "amount_minor": part}]
    yield match(told, [ours | {"amount_minor": part}], f"M{place}", name)
    if 0.5 < chance < 0.6:
        yield UnmatchLines(statement_id=name, match_id=f"M{place}", reason="no", at=given.NOON)


def test_what_is_open_is_what_the_deciders_know(books: Books) -> None:
    """covers: A25, R8: of every line and every payment, what is matched and what is left."""
    for projection in (*PROJECTIONS, ORDERS):
        books.fold(projection)
    world = books.history.world
    told = books.rows(statement_lines.PROJECTION)
    assert len(told) > 15
    for found in told:
        state = world.state(statement_stream(found["statement_id"])).lines[found["line_no"]]
        assert found["open_minor"] == state.open_minor
        assert (found["state"] == "unallocated") == state.unallocated
    states = {found["state"] for found in told}
    assert states >= {"matched", "unmatched", "partly_matched", "unallocated", "booked"}
    ours = books.rows(money_movements.PROJECTION)
    assert {found["kind"] for found in ours} == {"capture", "refund", "payout"}
    for found in ours:
        key = MovementKey(found["kind"], found["owner"], found["id"])
        owner = {owner_stream(key): world.state(owner_stream(key))}
        taken = world.state(movement_stream(key))
        if key.kind == "payout":
            batch = owner[owner_stream(key)].batches[key.id]
            assert found["amount_minor"] == batch.due_minor
        else:
            assert found["open_minor"] == open_minor(taken, available(key, owner))
        assert found["taken_minor"] == taken.taken_minor


def test_no_payment_is_told_of_by_more_than_it_is(books: Books) -> None:
    """covers: A25, A24: two statements tell of the same payments, and together never of more."""
    books.fold(money_movements.PROJECTION)
    ours = books.rows(money_movements.PROJECTION)
    assert any(len(found["matches"].split("],[")) > 1 for found in ours)
    for found in ours:
        assert 0 <= abs(found["taken_minor"]) <= max(abs(found["amount_minor"]), 0)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda p: p.name)
def test_a_rebuild_equals_the_live_rows_though_batches_came_twice(
    books: Books, projection: Projection[Any]
) -> None:
    """covers: L5, L7, L16"""
    books.run(BeginClosing(month="2025-03", at=NOW), closing_of(books))
    books.fold(projection, events=37, twice=True)
    assert books.rows(projection)
    schema = books.settings.read_schema
    found = rebuild(
        books.connection,
        projection,
        schema,
        lambda after, limit: books.store.feed(books.connection, after, limit),
        compare=True,
    )
    assert (found.differing, found.swapped) == (0, True), found.examples


def closing_of(books: Books) -> ClosePeriod:
    return ClosePeriod(month="2025-03", through_position=1, totals=[], at=NOW)


def test_personal_values_are_sealed_in_events_and_rows(books: Books) -> None:
    """covers: A25: who paid and what they wrote, under a key of the line's own."""
    books.fold(statement_lines.PROJECTION)
    state = "SELECT string_agg(convert_from(state, 'UTF8'), '') FROM ledger_event"
    (stored,) = books.connection.execute(state).fetchone() or ("",)
    assert "王小明" not in stored
    assert "thanks" not in stored
    sealed = [r for r in books.rows(statement_lines.PROJECTION) if r["counterparty"]]
    assert sealed
    assert all(f"statement/{r['line']}" in r["counterparty"] for r in sealed)


def test_both_sides_are_listed_page_by_page(books: Books) -> None:
    """covers: A25: each line matched, or listed unmatched."""
    for projection in (*PROJECTIONS, ORDERS):
        books.fold(projection)

    async def everything() -> tuple[list[str], list[str]]:
        lines: list[str] = []
        ours: list[str] = []
        async with await books.store.aconnect(autocommit=True) as connection:
            after = None
            while rows := await reconciling.open_lines(connection, 7, after=after):
                lines += [one["line"] for one in rows]
                after = (rows[-1]["value_at"], rows[-1]["line"])
            after = None
            while rows := await reconciling.open_movements(connection, 7, after=after):
                ours += [one["movement"] for one in rows]
                assert all(one["currency"] and one["shop"] == "main" for one in rows)
                after = (rows[-1]["occurred_at"], rows[-1]["movement"])
        return lines, ours

    lines, ours = asyncio.run(everything())
    told = books.rows(statement_lines.PROJECTION)
    wanted = {r["line"] for r in told if r["state"] not in {"matched", "booked"}}
    assert (len({*lines}), {*lines}) == (len(lines), wanted)
    left = {r["movement"] for r in books.rows(money_movements.PROJECTION) if r["open_minor"]}
    assert (len({*ours}), {*ours}) == (len(ours), left)


# -- periods -----------------------------------------------------------------------------------


def month_totals(books: Books, month: str) -> ClosePeriod:
    found = period_totals.closing(books.store, "main", month, lambda: NOW)
    assert found is not None
    return found


def test_the_totals_of_the_months_are_the_captures_less_refunds_of_all_orders(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """covers: A24: captures - refunds of every order in the period, in ranges of any size."""
    monkeypatch.setattr(period_totals, "RANGE_EVENTS", 53)
    at = "SELECT min(occurred_at), max(occurred_at) FROM ledger_event"
    first, last = books.connection.execute(at).fetchone() or (NOW, NOW)
    months = period_months(first, last)
    for month in months:
        books.run(BeginClosing(month=month, at=NOW))
    sums: dict[str, int] = {}
    for month in months:
        for total in month_totals(books, month).totals:
            assert total.month == month
            kept = total.captured_minor - total.refunded_minor
            sums[total.currency] = sums.get(total.currency, 0) + kept
    expected: dict[str, int] = {}
    for order_id in books.history.orders:
        state = books.history.order(order_id)
        paid_out = sum(one.amount_minor for one in state.refunds.values() if one.paid)
        held = expected.get(state.currency, 0) + state.paid_minor - paid_out
        expected[state.currency] = held
    assert {k: v for k, v in sums.items() if v} == {k: v for k, v in expected.items() if v}


def period_months(first: datetime, last: datetime) -> list[str]:
    from domain.period import months

    return months(first, last)


def test_what_comes_after_the_line_is_booked_in_the_next_month(books: Books) -> None:
    """covers: A24: a closed month never changes, and nothing is lost."""
    books.run(BeginClosing(month="2025-03", at=NOW))
    before = month_totals(books, "2025-03")
    order_id = books.history.id()
    books.history.orders.append(order_id)
    books.run(given.place(order_id), given.pay(4_321, "late", order_id, method="bank_transfer"))
    assert month_totals(books, "2025-03").totals == before.totals
    books.run(BeginClosing(month="2025-04", at=NOW))
    april = month_totals(books, "2025-04")
    (late,) = [total for total in april.totals if total.month == "2025-03"]
    assert (late.method, late.captured_minor, late.captures) == ("bank_transfer", 4_321, 1)
    assert april.late_count == 1
    query = "SELECT topic, occurred_at FROM ledger_event WHERE position = %s"
    found = books.connection.execute(query, [april.late[0].position]).fetchone()
    assert found == ("order.payment_captured.v2", given.NOON)


def test_the_line_is_drawn_once(books: Books) -> None:
    assert period_totals.closing(books.store, "main", "2025-03", lambda: NOW) is None
    books.run(BeginClosing(month="2025-03", at=NOW))
    through = month_totals(books, "2025-03").through_position
    assert through == books.store.head(books.connection)
    with pytest.raises(period_totals.TooLong):
        period_totals.closing(books.store, "main", "2025-03", lambda: NOW, seconds_max=-1)


# -- races -------------------------------------------------------------------------------------


def test_of_two_statements_that_want_one_payment_at_once_one_gets_it(settings: Settings) -> None:
    """covers: A25, L12: two writers, one movement, exactly one wins."""
    order_id, digests = str(uuid4()), [f"{number:064x}" for number in range(scale(100, 6))]
    start = [given.place(order_id, at=given.NOON), given.pay(10_000, "P1", order_id)]
    for name in digests:
        start += statement(row(1, 10_000), statement_id=name)
    send(settings, start, "desk")
    ours = {"kind": "capture", "owner": order_id, "id": "P1", "amount_minor": 10_000}

    def take(name: str) -> str:
        try:
            send(settings, [match([1], [ours], "M", name)], "desk")
        except Rejected as refusal:
            return refusal.code
        return "taken"

    with ThreadPoolExecutor(4) as threads:
        found = Counter(threads.map(take, digests))
    assert found == {"taken": 1, "movement_matched": len(digests) - 1}


def test_a_closing_and_payments_at_once_lose_and_double_nothing(settings: Settings) -> None:
    """covers: A24: each payment is in the month or late in the next, whoever was first."""
    order_ids = [str(uuid4()) for _ in range(scale(100, 12))]
    send(settings, [given.place(name) for name in order_ids], "desk")

    def pay(name: str) -> None:
        send(settings, [given.pay(100, f"P-{name}", name)], "desk")

    with ThreadPoolExecutor(4) as threads:
        paying = [threads.submit(pay, name) for name in order_ids]
        closing = threads.submit(close, settings, "main", "2025-03", "Asia/Shanghai")
        done: list[Future[Any]] = [*paying, closing]
        for one in done:
            one.result()
    close(settings, "main", "2025-04", "Asia/Shanghai")
    totals = [
        total for month in ("2025-03", "2025-04") for total in check(settings, "main", month)[0]
    ]
    assert sum(total.captures for total in totals) == len(order_ids)
    assert check(settings, "main", "2025-03")[1]
    assert check(settings, "main", "2025-04")[1]
