"""The worker that compares placed orders, on a real ledger: what it finds, and finds once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from commands.settings import Settings
from domain.customer import person_of
from domain.intake_checks import TWINS_MAX, case_of_pair
from domain.payment_commands import CancelOverdue
from projections import checkpoint
from projections import intake as model
from tests.clock import Clock, order
from tests.given import NOON, hours
from tests.given_money import money, pay
from tests.given_orders import amend, cancel, close_case, dispatch, line, pack, publish, void
from workers import intake, upkeep
from workers.intake import IntakeChecks

OPENED = "order.case_opened.v1"
CASES = """SELECT key, state->>'rule', state->'figures' FROM ledger_event_json
WHERE topic = 'order.case_opened.v1' AND actor = 'intake' ORDER BY position"""
REACHED = {"name": "Li Wei", "phone": "138 0013 8000"}


class Desk(Clock):
    """A ledger whose orders are compared when it is told to."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.checks = IntakeChecks(settings)
        model.prepare(self.connection, settings.read_schema)

    def found(self, limit: int = 10_000) -> list[tuple[str, str]]:
        """(order, rule) of all cases once it has come to the head."""
        position = self.checks.position(self.connection)
        while batch := self.store.feed(self.connection, position, limit):
            position = self.checks.apply(self.connection, batch, position)
        return [(key, rule) for key, rule, _ in self.cases()]

    def cases(self) -> list[tuple[str, str, Any]]:
        return self.connection.execute(CASES).fetchall()

    def alter(self, table: str, statement: str, *values: Any) -> None:
        """What only the owner of the database can do, past the triggers."""
        with psycopg.connect(self.settings.postgres_url, autocommit=True) as connection:
            connection.execute("SET search_path TO main")
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            connection.execute(statement, values)
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")

    def forget(self) -> None:
        """The rows and the place in the ledger are lost."""
        self.connection.execute(model.EMPTY)
        self.connection.execute("UPDATE checkpoint SET position = 0 WHERE name = %s", [intake.NAME])


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    one = Desk(settings)
    yield one
    one.close()


def bought(desk: Desk, *lines: Any, at: datetime = NOON, **more: Any) -> str:
    placed = order(at, *lines, **more)
    [outcome] = desk.run(placed)
    assert not isinstance(outcome, Exception), outcome
    order_id: str = placed.order_id
    return order_id


def usual(desk: Desk, count: int = 3, **more: Any) -> None:
    """Orders of 2 teas at 50.00 over days, so that none repeats another."""
    for day in range(1, count + 1):
        bought(desk, at=NOON - timedelta(days=2 * day), **more)


def test_a_duplicate_is_found_in_batches_of_whatever_size(desk: Desk) -> None:
    """covers: A39"""
    first, second = bought(desk), bought(desk, at=hours(2))
    assert desk.found(1) == [(second, "duplicate")]
    [(_, _, figures)] = desk.cases()
    assert (figures["of_order_id"], figures["apart_seconds"]) == (first, 7_200)


def test_the_order_that_was_recorded_later_waits_whenever_it_was_placed(desk: Desk) -> None:
    first, late = bought(desk), bought(desk, at=hours(-5))
    assert desk.found() == [(late, "duplicate")]
    assert desk.cases()[0][2]["of_order_id"] == first


PEOPLE = [
    (REACHED, {"name": "W. Li", "phone": "+86-13800138000"}, True),
    (REACHED, {"name": "Li Wei", "phone": "138****8000"}, False),
    (REACHED, {"name": "Li Wei", "phone": "13800138000-1234"}, False),
    ({"name": "Li Wei", "phone": "138****8000"}, {"name": "Li Wei", "phone": "138****8000"}, False),
    ({"name": "Li Wei"}, {"name": "Li Wei"}, False),
    (REACHED, {"name": "Li Wei", "phone": "13800138001"}, False),
]


@pytest.mark.parametrize(("one", "other", "same"), PEOPLE)
def test_other_customers_are_the_same_by_their_telephone_and_never_by_the_address(
    desk: Desk, one: dict[str, str], other: dict[str, str], same: bool
) -> None:
    """covers: A39"""
    bought(desk, contact=one, customer_id="li")
    second = bought(desk, contact=other, customer_id="guest")
    assert desk.found() == ([(second, "duplicate")] if same else [])


def test_no_telephone_can_be_read_in_the_rows_and_an_erased_one_is_gone(desk: Desk) -> None:
    bought(desk, contact=REACHED, customer_id="li")
    desk.found()
    rows = str(desk.connection.execute("SELECT * FROM intake_orders").fetchall())
    assert "13800138000" not in rows
    assert "Wei" not in rows
    model.forget(desk.connection, ["li"])
    bought(desk, contact=REACHED, customer_id="guest")
    assert desk.found() == []


def test_an_order_whose_person_was_erased_is_compared_by_its_customer_only(desk: Desk) -> None:
    bought(desk, contact=REACHED)
    second, _ = bought(desk, contact=REACHED), bought(desk, contact=REACHED, customer_id="guest")
    gone = "UPDATE ledger_person_key SET wrapped = NULL WHERE person = %s"
    desk.alter("ledger_person_key", gone, person_of("li"))
    assert desk.found() == [(second, "duplicate")]


def test_what_was_cancelled_voided_or_changed_before_the_look_is_no_duplicate(desk: Desk) -> None:
    one, other, third, fourth = (bought(desk) for _ in range(4))
    desk.run(cancel(order_id=one), void(other))
    desk.run(amend({"line_no": 1, "quantity": 5}, order_id=third))
    assert desk.found() == []
    again = bought(desk, line(quantity=5))
    assert desk.found() == [(again, "duplicate")]
    assert desk.cases()[0][2]["of_order_id"] == third
    assert fourth


def test_not_a_duplicate_is_remembered_when_all_is_looked_at_again(desk: Desk) -> None:
    """covers: A39: nothing is cancelled, and the pair is never a case again"""
    one, other = bought(desk), bought(desk)
    desk.found()
    done = {"cause": "customer", "action": "Rang: not a duplicate."}
    desk.run(close_case(case_of_pair(one, other), other, **done))
    for limit in (1, 1_000):
        desk.forget()
        desk.found(limit)
        assert (desk.count(OPENED), desk.count("order.released.v1")) == (1, 1)
    assert desk.count("order.cancelled.v2") == 0
    third = bought(desk)
    assert desk.found()[1:] == [(third, "duplicate"), (third, "duplicate")]


def test_a_lost_outcome_does_not_open_a_second_case(desk: Desk) -> None:
    """Also where nobody remembers that the command was sent, as after a restore."""
    bought(desk)
    second = bought(desk)
    assert desk.found() == [(second, "duplicate")]
    desk.alter("ledger_command", "DELETE FROM ledger_command WHERE actor = %s", intake.ACTOR)
    desk.forget()
    assert desk.found() == [(second, "duplicate")]


def test_two_workers_that_look_at_once_open_one_case(desk: Desk, settings: Settings) -> None:
    """covers: A39: without their lease, which keeps all but one of them from trying"""
    for _ in range(5):
        bought(desk, customer_id=str(desk.count(OPENED)))
    bought(desk, line("POT"))
    bought(desk, line("POT"))
    batch = desk.store.feed(desk.connection, 0)

    def look(_: int) -> bool:
        with desk.store.connect(autocommit=True) as connection:
            try:
                IntakeChecks(settings).apply(connection, batch, 0)
            except checkpoint.Overtaken:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(look, range(4))) == [False, False, False, True]
    before = desk.count(OPENED)
    assert before
    desk.found()
    assert desk.count(OPENED) == before


def test_a_price_far_from_what_the_goods_cost_is_found(desk: Desk) -> None:
    """covers: A41"""
    usual(desk)
    fine, high = bought(desk, line(price=7_499)), bought(desk, line(price=7_500, quantity=3))
    assert desk.found() == [(high, "unusual_price")]
    [found] = desk.cases()[0][2]["lines"]
    assert found == {
        "line_no": 1,
        "sku": "TEA",
        "unit_price_minor": "7500",
        "median_minor": "5000",
        "off_bp": 5_000,
        "count": 4,
    }
    assert fine


def test_prices_are_of_one_shop_currency_unit_and_kind(desk: Desk) -> None:
    usual(desk)
    dear = line(price=50_000)
    for more in ({"currency": "USD"}, {"shop": "other"}, {"prices_include_tax": False}):
        bought(desk, dear, **more)
    bought(desk, line(price=50_000, unit="box"))
    assert [rule for _, rule in desk.found()] == []


def test_a_hundred_sales_are_looked_back_on(desk: Desk) -> None:
    for number in range(4):
        bought(desk, line(price=1_000), customer_id=f"old-{number}")
    desk.found()
    desk.connection.execute(
        "INSERT INTO intake_lines SELECT 'x' || n, 1, position, article, 'x' || n, goods, unit,"
        " 2000, 1 FROM generate_series(1, 100) n, (SELECT * FROM intake_lines"
        " ORDER BY position DESC LIMIT 1) one"
    )
    bought(desk, line(price=2_500), customer_id="new")
    assert desk.found() == []


def test_ten_times_what_the_customer_orders_is_found(desk: Desk) -> None:
    """covers: A41"""
    usual(desk)
    fine, many = bought(desk, line(quantity=19)), bought(desk, line(quantity=20))
    new_goods = bought(desk, line("POT", quantity=25))
    assert desk.found() == [(many, "unusual_quantity"), (new_goods, "unusual_quantity")]
    of_sku, of_customer = (figures["lines"][0] for _, _, figures in desk.cases())
    assert (of_sku["quantity"], of_sku["median"], of_sku["of"], of_sku["count"]) == (
        20,
        2,
        "sku",
        4,
    )
    assert of_customer["of"] == "customer"
    assert fine


def test_what_other_customers_order_is_no_habit(desk: Desk) -> None:
    usual(desk)
    bought(desk, line(quantity=500), customer_id="company")
    assert desk.found() == []


def test_imported_orders_are_left_alone_and_teach_what_is_usual(desk: Desk) -> None:
    """covers: A41"""
    for day in range(1, 4):
        desk.run(order(NOON - timedelta(days=2 * day)), origin="import")
    desk.run(order(NOON - timedelta(days=2), line(price=90_000)), origin="import")
    desk.run(order(NOON), order(NOON), origin="import")
    assert desk.found() == []
    sold = line(price=90_000, quantity=90)
    bought(desk, sold, channel="import", contact=REACHED, at=hours(200))
    assert [rule for _, rule in desk.found() if "unusual" in rule] == []
    dear = bought(desk, line(price=90_000, quantity=3), at=hours(300))
    assert (dear, "unusual_price") in desk.found()


def test_cancelled_orders_of_an_import_hide_no_twin(desk: Desk) -> None:
    for _ in range(TWINS_MAX):
        gone = order(NOON)
        desk.run(gone, cancel(order_id=gone.order_id), origin="import")
    bought(desk)
    second = bought(desk, at=hours(2))
    assert desk.found() == [(second, "duplicate")]


def test_what_has_left_is_not_held(desk: Desk) -> None:
    first, second = bought(desk), bought(desk)
    parcel = str(uuid4())
    packed = pack((1, 2), parcel_id=parcel, order_id=second)
    desk.run(pay(10_000, "P", second), packed, dispatch(parcel))
    assert desk.count("order.dispatched.v1") == 1
    assert desk.found() == []
    assert first


def test_an_order_that_comes_back_is_compared_again(desk: Desk) -> None:
    """It was cancelled when the second one came, so that there was nothing to compare."""
    first = bought(desk)
    desk.run(money(CancelOverdue, first, at=hours(72) + timedelta(seconds=1)))
    desk.found()
    bought(desk, at=hours(20))
    assert desk.found() == []
    desk.run(pay(10_000, "P", first, value_date="2025-03-02", at=hours(80)))
    assert desk.count("order.reinstated.v1") == 1
    assert desk.found() == [(first, "duplicate")]


def test_an_old_ledger_is_read_and_not_judged(desk: Desk) -> None:
    bought(desk)
    bought(desk)
    past = "UPDATE ledger_event SET recorded_at = recorded_at - interval '8 days'"
    desk.alter("ledger_event", past)
    assert desk.found() == []
    third = bought(desk)
    assert desk.found() == [(third, "duplicate")] * 2


def test_rules_are_those_of_the_policy_of_the_placement(desk: Desk) -> None:
    rules = {"duplicate_hours": 0, "price_deviation_bp": 100_000, "quantity_factor": 10_000}
    desk.run(publish(NOON, exceptions=rules))
    for count in (1, 2, 3, 4):
        bought(desk, line(quantity=count), at=hours(count))
    bought(desk, line(price=30_000, quantity=400), at=hours(6))
    bought(desk, line(price=30_000, quantity=400), at=hours(7))
    desk.run(publish(hours(40)))
    assert desk.found() == []


def test_an_order_that_cannot_be_read_stops_no_other_and_can_be_released(desk: Desk) -> None:
    broken = bought(desk)
    desk.run(cancel(order_id=broken))
    desk.spoil(broken)
    one, other = bought(desk, line("POT")), bought(desk, line("POT"))
    assert desk.found() == [(other, "duplicate")]
    [parked] = upkeep.parked(desk.settings)
    assert (parked["projection"], parked["key"].split("/")[0]) == ("intake", broken)
    with pytest.raises(upkeep.NotReleased):
        upkeep.release(desk.settings, intake.NAME, parked["key"])
    desk.spoil(broken, '{"by": "policy", "at": "2025-03-01T12:00:00Z"}')
    upkeep.release(desk.settings, intake.NAME, parked["key"])
    assert upkeep.parked(desk.settings) == []
    again = bought(desk)
    assert desk.found() == [(other, "duplicate")]
    assert one
    assert again


def test_another_version_of_the_rows_is_made_anew(desk: Desk) -> None:
    bought(desk)
    second = bought(desk)
    desk.found()
    desk.connection.execute("UPDATE checkpoint SET version = 0 WHERE name = %s", [intake.NAME])
    model.prepare(desk.connection, desk.settings.read_schema)
    assert desk.checks.position(desk.connection) == 0
    assert desk.found() == [(second, "duplicate")]
