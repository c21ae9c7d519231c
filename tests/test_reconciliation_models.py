"""Read models of the reconciliation: folds of the events, equal to what the deciders know."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import pytest
from psycopg import Connection

from commands import period_report, period_totals
from commands.period_report import balance_minor
from commands.settings import Settings
from commands.store import Store
from domain.message import Command, Rejected
from domain.movement import MovementKey, open_minor
from domain.order_money import INTERNAL_METHODS
from domain.order_state import Order
from domain.payment_commands import ChargeLateFee, LoseChargeback, WaiveLateFee, WinChargeback
from domain.period import ZONE, BeginClosing, ClosePeriod, following, kept_minor, month_of
from domain.reconciliation import available
from domain.reconciliation_streams import movement_stream, owner_stream, statement_stream
from domain.statement_commands import LeaveUnallocated, StatementLine, UnmatchLines
from domain.statement_facts import MovementKind
from projections import money_movements, periods, reconciling, statement_lines, statements
from projections.engine import Engine, Projection
from projections.order_status import PROJECTION as ORDERS
from projections.provider_notices import PROJECTION as NOTICES
from projections.rebuild import rebuild
from tests import given, given_money, given_orders, given_returns
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
        shop = Books(settings, connection, History(12), random.Random(5))
        write(shop.store, connection, shop.history.units(scale(200, 30)))
        reconcile(shop)
        undo(shop)
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


def undo(shop: Books) -> None:
    """What statements have told of falls away: voided, failed, lost to a bank, given on top."""
    for order_id in shop.history.orders:
        state, at = shop.history.order(order_id), shop.history.tick()
        for payment_id in state.payments:
            chance, name = shop.random.random(), f"C-{payment_id}"
            if chance < 0.15:
                shop.run(given_money.unrecord(payment_id, order_id))
            elif chance < 0.35:
                shop.run(given_money.dispute(payment_id, order_id=order_id, chargeback_id=name))
                ends = LoseChargeback if chance < 0.25 else WinChargeback
                shop.run(given_money.money(ends, order_id, at, chargeback_id=name))
        for refund_id in state.refunds:
            if shop.random.random() < 0.3:
                shop.run(given_returns.fail_refund(refund_id, order_id=order_id, at=at))
        if shop.random.random() < 0.1:
            shop.run(given_returns.compensate(77, f"X-{order_id}", order_id=order_id, at=at))

    first, second = shop.history.id(), shop.history.id()
    shop.history.orders += [first, second]
    shop.run(
        given_orders.place(first), given_orders.place(second), given_money.pay(5_000, "P", first)
    )
    shop.run(
        given_money.move("P", second, 400, order_id=first), given_money.unrecord("M-P", second)
    )


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
    assert {found["kind"] for found in ours} == {*get_args(MovementKind)}
    assert {found["state"] for found in ours} == {
        *("matched", "unmatched", "partly_matched", "over_matched", "void", "optional")
    }
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


def movements_of(order: Order) -> Iterator[tuple[MovementKey, int]]:
    """All that the state of an order knows to be worth something, as the decider finds it."""
    ids: dict[MovementKind, Any] = {
        "capture": order.payments,
        "refund": order.refunds,
        "chargeback": order.money.chargebacks,
        "chargeback_return": order.money.chargebacks,
        "compensation": order.compensations,
    }
    for kind, known in ids.items():
        for name in known:
            key = MovementKey(kind, order.order_id, name)
            with suppress(Rejected):  # Moved in, or of the house.
                if worth := available(key, {owner_stream(key): order}).amount_minor:
                    yield key, worth


def test_each_movement_is_listed_once_and_is_worth_what_the_decider_finds(books: Books) -> None:
    """covers: A24, A25: and together they are what is with us, compensation and fees apart."""
    books.fold(money_movements.PROJECTION)
    ours = [one for one in books.rows(money_movements.PROJECTION) if one["kind"] != "payout"]
    orders = [books.history.order(order_id) for order_id in books.history.orders]
    expected = {k.stream_key: worth for order in orders for k, worth in movements_of(order)}
    listed = {one["movement"]: one["amount_minor"] for one in ours if one["amount_minor"]}
    assert listed == expected
    assert all(one["gross_minor"] - one["fee_minor"] == one["net_minor"] for one in ours)
    assert any(one["fee_minor"] for one in ours)
    passed = sum(one["gross_minor"] for one in ours if one["kind"] != "compensation")
    assert passed == sum(
        amount
        for order in orders
        for method, amount in with_us(order).items()
        if method not in INTERNAL_METHODS
    )


def with_us(order: Order) -> Counter[str]:
    """By method, what is here of an order's payments less refunds that were paid, and less what a
    bank asks for: it may have taken that already.
    """
    found: Counter[str] = Counter()
    for payment in order.payments.values():
        found[payment.method] += payment.here_minor - payment.disputed_minor
    for refund in order.refunds.values():
        found.subtract(refund.paid_by if refund.paid else {})
    return found


def test_no_payment_is_told_of_by_more_than_it_is(books: Books) -> None:
    """covers: A25, A24: two statements tell of the same payments, and together never of more."""
    books.fold(money_movements.PROJECTION)
    ours = books.rows(money_movements.PROJECTION)
    assert any(len(found["matches"].split("],[")) > 1 for found in ours)
    for found in ours:
        over = abs(found["taken_minor"]) > abs(found["amount_minor"])
        assert over == (found["state"] == "over_matched")


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
    for projection in (*PROJECTIONS, ORDERS, NOTICES):
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
    rows = [r for r in books.rows(money_movements.PROJECTION) if r["open_minor"]]
    left = {r["movement"] for r in rows if r["state"] not in {"over_matched", "optional"}}
    assert (len({*ours}), {*ours}) == (len(ours), left)


# -- periods -----------------------------------------------------------------------------------


def month_totals(books: Books, month: str) -> ClosePeriod:
    found = period_totals.closing(books.store, "main", month, lambda: NOW)
    assert found is not None
    return found


def test_the_totals_of_the_months_are_the_captures_less_refunds_of_all_orders(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """covers: A24: captures - refunds of every order in the period, in ranges of any size; by
    method, with what was voided, moved and charged back.
    """
    monkeypatch.setattr(period_totals, "RANGE_EVENTS", 53)
    at = "SELECT min(occurred_at), max(occurred_at) FROM ledger_event"
    first, last = books.connection.execute(at).fetchone() or (NOW, NOW)
    months = period_months(first, last)
    for month in months:
        books.run(BeginClosing(month=month, at=NOW))
    kept: Counter[tuple[str, str]] = Counter()
    beyond: Counter[str] = Counter()
    for month in months:
        for total in month_totals(books, month).totals:
            assert total.month == month
            kept[total.currency, total.method] += kept_minor(dict(total))
            beyond.update({name: getattr(total, name) for name in BEYOND})
    expected: Counter[tuple[str, str]] = Counter()
    orders = [books.history.order(order_id) for order_id in books.history.orders]
    for order in orders:
        for method, amount in with_us(order).items():
            expected[order.currency, method] += amount
        assert balance_minor(order) == with_us(order).total()
    assert {k: v for k, v in kept.items() if v} == {k: v for k, v in expected.items() if v}
    assert beyond == {
        "compensation_minor": sum(sum(one.compensations.values()) for one in orders),
        "forgiven_minor": sum(one.money.written_off_minor for one in orders),
        "carrier_fees_minor": sum(p.fee_minor for one in orders for p in one.payments.values()),
        "late_fees_minor": 0,
    }


BEYOND = ("compensation_minor", "forgiven_minor", "carrier_fees_minor", "late_fees_minor")


def period_months(first: datetime, last: datetime) -> list[str]:
    found = [month_of(first, ZONE)]
    while found[-1] < month_of(last, ZONE):
        found.append(following(found[-1]))
    return found


def test_what_comes_after_the_line_is_booked_in_the_next_month(books: Books) -> None:
    """covers: A24: a closed month never changes, and nothing is lost."""
    books.run(BeginClosing(month="2025-03", at=NOW))
    before = month_totals(books, "2025-03")
    order_id = books.history.id()
    books.history.orders.append(order_id)
    books.run(
        given_orders.place(order_id),
        given_money.pay(4_321, "late", order_id, method="bank_transfer"),
    )
    assert month_totals(books, "2025-03").totals == before.totals
    books.run(BeginClosing(month="2025-04", at=NOW))
    april = month_totals(books, "2025-04")
    (late,) = [total for total in april.totals if total.month == "2025-03"]
    assert (late.method, late.captured_minor, late.captures) == ("bank_transfer", 4_321, 1)
    assert april.late_count == 1
    query = "SELECT topic, occurred_at FROM ledger_event WHERE position = %s"
    found = books.connection.execute(query, [april.late[0].position]).fetchone()
    assert found == ("order.payment_captured.v2", given.NOON)


def test_whatever_is_dated_into_a_closed_month_is_booked_in_the_next_with_a_pointer(
    books: Books,
) -> None:
    """covers: A24: no fact says itself where it is booked: the line decides for all of them."""
    ids = [books.history.id() for _ in range(3)]
    books.history.orders += ids
    for name in ids:
        books.run(
            given_orders.place(name),
            given_money.pay(10_000, f"P-{name}", name, method="credit_card"),
        )
    books.run(BeginClosing(month="2025-03", at=NOW))
    before = month_totals(books, "2025-03").totals
    first, second, third = ids
    late: list[Command] = [
        given_money.move(f"P-{first}", second, 400, order_id=first, to_payment_id="M"),
        given_money.dispute(f"P-{second}", 1_000, order_id=second, chargeback_id="C"),
        given_money.money(LoseChargeback, second, chargeback_id="C"),
        given_money.unrecord(f"P-{third}", third),
        given_returns.refund(300, order_id=first),
        given_returns.pay_refund(order_id=first),
        given_returns.fail_refund(order_id=first),
        given_returns.compensate(55, order_id=first),
        given_money.pay(9_950, "again", third, method="credit_card"),  # 0.50 are written off.
    ]
    books.run(*late)
    assert month_totals(books, "2025-03").totals == before
    books.run(BeginClosing(month="2025-04", at=NOW))
    april = month_totals(books, "2025-04")
    found = [one for one in april.totals if one.month == "2025-03"]
    sums = Counter[str]()
    for one in found:
        sums.update({name: value for name, value in dict(one).items() if isinstance(value, int)})
    assert {name: value for name, value in sums.items() if value} == {
        "captures": 1,
        "captured_minor": 9_950,
        "moved_in_minor": 400,
        "moved_out_minor": 400,
        "charged_back_minor": 1_000,
        "voided_minor": 10_000,
        "refunds": 1,
        "compensation_minor": 55,
        "forgiven_minor": 50,
    }
    query = "SELECT topic FROM ledger_event WHERE position = ANY(%s) AND occurred_at = %s"
    positions = [one.position for one in april.late]
    topics = books.connection.execute(query, [positions, given.NOON]).fetchall()
    assert len(topics) == april.late_count == len(positions) == 9


def test_a_difference_is_written_off_no_longer_when_its_match_is_undone(books: Books) -> None:
    """covers: A24, A25"""
    order_id, name = books.history.id(), "e" * 64
    books.run(given_orders.place(order_id), given_money.pay(10_000, "P", order_id))
    books.run(*statement(row(1, 9_900), statement_id=name))
    ours = {"kind": "capture", "owner": order_id, "id": "P"}
    books.run(match([1], [ours], "M", name))
    written = written_off(books)
    assert written == 100
    books.run(UnmatchLines(statement_id=name, match_id="M", reason="no", at=given.NOON))
    assert written_off(books) == 0


def written_off(books: Books) -> int:
    line = period_totals.Line(books.store.head(books.connection), ZONE)
    found = period_totals.period_totals(books.connection, "main", "2025-03", line)
    return sum(one.written_off_minor for one in found.totals())


def test_late_fees_are_summed_as_they_are_charged_and_waived(books: Books) -> None:
    """covers: A22, A24: they stand on no invoice, so this is their book."""
    order_id = books.history.id()
    fees = {"on_overdue": "late_fee", "late_fee_percent_per_day": "1"}
    books.run(given_orders.publish(payment=fees), given_orders.place(order_id))
    at = given.hours(24 * 8)
    books.run(given_money.money(ChargeLateFee, order_id, at))
    books.run(given_money.money(WaiveLateFee, order_id, at, amount_minor=30, reason="goodwill"))
    owed = books.history.order(order_id).money.late_fees_minor
    assert late_fees(books) == owed > 0
    books.run(given_money.money(WaiveLateFee, order_id, at, reason="all of it"))
    early = given.hours(24 * 5).date()  # The later days fall off, and were forgiven before.
    books.run(given_money.pay(5_000, "P", order_id, at=given.hours(24 * 9), value_date=early))
    books.run(given_money.money(ChargeLateFee, order_id, given.hours(24 * 12)))
    assert late_fees(books) == books.history.order(order_id).money.late_fees_minor > 0


def late_fees(books: Books) -> int:
    line = period_totals.Line(books.store.head(books.connection), ZONE)
    found = period_totals.period_totals(books.connection, "main", "2025-03", line)
    return sum(one.late_fees_minor for one in found.totals())


def test_a_report_puts_the_events_beside_the_orders(books: Books) -> None:
    """covers: A24: for every order in the period, captures less refunds are what is with us."""
    found = period_report.report(books.store, "main", "2025-03", 60)
    assert found.orders == sum(one.orders for one in found.balances) > 10
    assert all(one.events_minor == one.balance_minor for one in found.balances)
    assert not any(one.differing for one in found.balances)
    assert (found.state.stage, found.stated()) == ("open", None)
    with pytest.raises(period_totals.TooLong):
        period_report.report(books.store, "main", "2025-03", -1)


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
    start = [given_orders.place(order_id, at=given.NOON), given_money.pay(10_000, "P1", order_id)]
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
    send(settings, [given_orders.place(name) for name in order_ids], "desk")

    def pay(name: str) -> None:
        send(settings, [given_money.pay(100, f"P-{name}", name)], "desk")

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
