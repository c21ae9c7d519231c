"""What a placed order is looked at for beside other orders, decided on the orders themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.case_facts import CaseOpened, OrderHeld
from domain.desk_names import order_stream
from domain.intake_checks import CheckOrder, case_of_pair
from domain.phone import reaches_one_person
from tests.given import NOON, World, after, hours
from tests.given_money import pay
from tests.given_orders import (
    amend,
    cancel,
    close_case,
    deliver,
    dispatch,
    line,
    pack,
    place,
    publish,
    void,
)
from tests.given_returns import exchange

PAIR = case_of_pair("A", "B")
HELD = ("order.case_opened.v1", "order.held.v1")


def check(order_id: str = "B", **found: Any) -> CheckOrder:
    return CheckOrder.model_validate({"order_id": order_id, "at": NOON} | found)


def twins(of: str = "B", other: str = "A", same: str = "customer") -> CheckOrder:
    return check(of, twins=[{"order_id": other, "same": same}])


def prices(median: int | str, count: int = 3, line_no: int = 1) -> CheckOrder:
    return check(prices=[{"line_no": line_no, "median_minor": median, "count": count}])


def quantities(median: int | str, count: int = 3, of: str = "sku") -> CheckOrder:
    usual = {"line_no": 1, "median": median, "count": count, "of": of}
    return check(quantities=[usual])


def cases(world: World, order_id: str = "B") -> list[CaseOpened]:
    facts = world.events[order_stream(order_id)]
    return [one for one in facts if isinstance(one, CaseOpened)]


def same(**more: Any) -> Any:
    return place("B", at=hours(1), **more)


def test_the_same_again_within_a_day_waits_and_says_what_it_repeats() -> None:
    """covers: A39"""
    world = after(place(), same()).when(twins()).topics(*HELD)
    [case] = cases(world)
    assert (case.kind, case.rule, case.blocking, case.case_id) == (
        "duplicate",
        "duplicate",
        True,
        PAIR,
    )
    assert case.figures == {
        "of_order_id": "A",
        "of_number": "number-A",
        "same": "customer",
        "apart_seconds": 3_600,
        "limit_hours": 24,
    }
    held = world.events[order_stream("B")][-1]
    assert isinstance(held, OrderHeld)
    assert (held.type, held.case_id) == ("review", PAIR)
    assert world.order("A").cases.holds == {}


def test_to_the_last_second_of_the_window_and_not_beyond() -> None:
    later = place("C", at=hours(24) + timedelta(seconds=1))
    placed = place(), place("B", at=hours(24)), later
    after(*placed).when(twins("B")).topics(*HELD)
    after(*placed).when(twins("C")).nothing()


@pytest.mark.parametrize(("window", "apart", "found"), [(0, 0, 0), (1, 30, 0), (48, 30, 1)])
def test_the_window_is_that_of_the_policy_of_the_placement(
    window: int, apart: int, found: int
) -> None:
    rules = publish(exceptions={"duplicate_hours": window})
    placed = rules, place(), place("B", at=hours(apart)), publish(hours(40))
    after(*placed).when(twins()).topics(*HELD * found)


SAME: dict[str, Any] = {
    "split": [line(quantity=1), line(quantity=1)],
    "cheaper": [line(price=4_000)],
}
OTHER: dict[str, Any] = {
    "more": [line(quantity=3)],
    "boxes": [line(unit="box")],
    "other goods": [line("POT")],
    "more goods": [line(), line("POT")],
}


@pytest.mark.parametrize("lines", SAME.values(), ids=SAME)
def test_the_same_goods_in_other_lines_or_at_another_price_are_the_same(lines: list[Any]) -> None:
    after(place(), place("B", *lines)).when(twins()).topics(*HELD)


@pytest.mark.parametrize("lines", OTHER.values(), ids=OTHER)
def test_other_goods_are_no_duplicate(lines: list[Any]) -> None:
    after(place(), place("B", *lines)).when(twins()).nothing()


def test_what_an_order_became_is_compared_and_not_what_it_was() -> None:
    amended = amend({"line_no": 1, "quantity": 3})
    after(place(), amended, same()).when(twins()).nothing()
    after(place(), amended, place("B", line(quantity=3))).when(twins()).topics(*HELD)


def test_another_customer_is_no_duplicate_unless_the_telephone_is_the_same() -> None:
    placed = place(), same(customer_id="wang")
    after(*placed).when(twins()).nothing()
    world = after(*placed).when(twins(same="phone")).topics(*HELD)
    assert (cases(world)[0].figures or {})["same"] == "phone"


LEFT: dict[str, tuple[Any, ...]] = {
    "the first was cancelled": (cancel(),),
    "the second was cancelled": (cancel(order_id="B"),),
    "the first was voided": (void(),),
    "the second was voided": (void("B"),),
    "the second has left": (pay(10_000, "P", "B"), pack((1, 2), order_id="B"), dispatch()),
}


@pytest.mark.parametrize("facts", LEFT.values(), ids=LEFT)
def test_what_is_cancelled_or_has_left_is_left_out(facts: tuple[Any, ...]) -> None:
    after(place(), same(), *facts).when(twins()).nothing()


def test_an_exchange_repeats_an_order_on_purpose() -> None:
    sent = place(), pay(10_000), pack((1, 2)), dispatch(), deliver(at=hours(48))
    exchanged = after(*sent, exchange(line(quantity=1, price=5_000), back=((1, 1),)))
    assert exchanged.world.order("B").exchange_of == "A"
    again = place("C", line(quantity=1), at=hours(50))
    check_again = check("C", twins=[{"order_id": "B", "same": "customer"}])
    after(*sent, exchange(line(quantity=1), back=((1, 1),)), again).when(check_again).nothing()
    after(*sent, again, exchange(line(quantity=1), back=((1, 1),))).when(twins("B", "C")).nothing()


def test_what_is_packed_is_still_held() -> None:
    packed = pay(10_000, "P", "B"), pack((1, 2), order_id="B")
    after(place(), same(), *packed).when(twins()).topics(*HELD)
    after(place(), same(), *packed, twins()).when(dispatch()).refused("order_held")


def test_not_a_duplicate_is_remembered_of_the_pair_from_either_side() -> None:
    """covers: A39"""
    closed = close_case(PAIR, "B", cause="customer", action="Asked: not a duplicate.")
    story = place(), same(), twins(), closed
    world = after(*story).world
    assert world.order("B").cases.holds == {}
    after(*story).when(twins()).nothing()
    after(*story).when(twins("A", "B")).nothing()
    third = place("C", at=hours(2))
    after(*story, third).when(check("C", twins=[{"order_id": "B", "same": "customer"}])).topics(
        *HELD
    )


def test_an_order_that_repeats_two_has_a_case_for_each_pair() -> None:
    both = check("C", twins=[{"order_id": one, "same": "customer"} for one in "AB"])
    world = after(place(), same(), place("C", at=hours(2))).when(both).topics(*HELD, *HELD)
    assert {one.case_id for one in cases(world, "C")} == {
        case_of_pair("A", "C"),
        case_of_pair("B", "C"),
    }


PRICES = [
    (7_500, 5_000, True),  # 50 % above
    (7_499, 5_000, False),
    (2_500, 5_000, True),  # 50 % below
    (2_501, 5_000, False),
    (0, 5_000, True),
    (5_000, 0, False),  # usually given away
]


@pytest.mark.parametrize(("price", "median", "far"), PRICES)
def test_a_price_far_from_the_usual_one_waits_with_its_numbers(
    price: int, median: int, far: bool
) -> None:
    """covers: A41"""
    then = after(place("B", line(price=price))).when(prices(median))
    if not far:
        then.nothing()
        return
    [case] = cases(then.topics(*HELD))
    assert (case.kind, case.rule, case.blocking) == ("abnormal_amount", "unusual_price", True)
    assert case.figures == {
        "lines": [
            {
                "line_no": 1,
                "sku": "TEA",
                "unit_price_minor": str(price),
                "median_minor": str(median),
                "off_bp": abs(price - median) * 10_000 // median,
                "count": 3,
            }
        ],
        "limit_bp": 5_000,
        "currency": "CNY",
    }


@pytest.mark.parametrize(
    ("quantity", "median", "far"), [(20, 2, True), (19, 2, False), (1, 20, False), (5, "0.5", True)]
)
def test_many_times_the_usual_quantity_waits_with_its_numbers(
    quantity: int, median: int | str, far: bool
) -> None:
    """covers: A41"""
    placed = (
        place("B", line(quantity=quantity - 1), line(quantity=1)) if quantity > 1 else place("B")
    )
    then = after(placed).when(quantities(median, of="customer"))
    if not far:
        then.nothing()
        return
    [case] = cases(then.topics(*HELD))
    assert (case.kind, case.rule) == ("abnormal_amount", "unusual_quantity")
    assert case.figures == {
        "lines": [
            {
                "line_no": 1,
                "sku": "TEA",
                "quantity": quantity,
                "median": median,
                "of": "customer",
                "count": 3,
            }
        ],
        "limit_factor": 10,
    }


def test_two_sales_are_no_habit() -> None:
    placed = place("B", line(price=90_000, quantity=100))
    after(placed).when(prices(100, count=2)).nothing()
    after(placed).when(quantities(1, count=2)).nothing()


def test_the_limits_are_those_of_the_policy() -> None:
    rules = publish(exceptions={"price_deviation_bp": 20_000, "quantity_factor": 100})
    placed = rules, place("B", line(price=10_000, quantity=50))
    after(*placed).when(prices(5_000)).nothing()
    after(*placed).when(quantities(1)).nothing()
    after(*placed).when(prices(3_000)).topics(*HELD)


def test_an_order_that_was_found_wrong_is_held_until_a_person_has_closed_the_case() -> None:
    story = place("B", line(price=10_000)), prices(5_000)
    world = after(*story).world
    assert world.order("B").approved
    [case_id] = world.order("B").cases.holds
    after(*story).when(pack((1, 2), order_id="B")).refused("order_held")
    after(*story).when(prices(5_000)).nothing()
    done = close_case(case_id, "B", cause="supplier", action="The price has risen.")
    after(*story).when(done).topics("order.case_closed.v1", "order.released.v1")
    after(*story, done).when(prices(5_000)).nothing()


PHONES: list[tuple[str | None, str | None]] = [
    ("13800138000", "13800138000"),
    ("+86 138-0013-8000", "13800138000"),
    ("0086 13800138000", "13800138000"),
    ("１３８００１３８０００", "13800138000"),
    ("(0571) 8888-7777", "057188887777"),
    ("+1 555 010 0001", "15550100001"),
    (None, None),
    ("", None),
    ("138****8000", None),
    ("13800138000-1234", None),
    ("13800138000转1234", None),
    ("+86 13800138000 ext 12", None),
    ("17012345678", None),
    ("00000000", None),
    ("12345", None),
]


@pytest.mark.parametrize(("phone", "one"), PHONES)
def test_masked_and_virtual_numbers_are_nobodys(phone: str | None, one: str | None) -> None:
    assert reaches_one_person(phone) == one
