"""What lines tell of: scores with reasons, what is beyond doubt, and that nothing is used twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.matching import CERTAIN, Match, Plan, plan
from domain.movement import MovementKey
from domain.scoring import LineKey, MovementEntry, StatementEntry, score
from tests.scale import scale

DAY = date(2025, 3, 1)
TOLERANCE = {"CNY": 100, "EUR": 100}


def line(number: int, amount: int, reference: str | None = None, **more: object) -> StatementEntry:
    values = {"currency": "CNY", "on": DAY, "reference": reference} | more
    return StatementEntry(LineKey("S", number), amount, **values)  # type: ignore[arg-type]


def money(name: str, amount: int, *references: str, **more: object) -> MovementEntry:
    values = {"currency": "CNY", "on": DAY, "references": references} | more
    return MovementEntry(MovementKey("capture", name, "P"), amount, **values)  # type: ignore[arg-type]


def planned(lines: Sequence[StatementEntry], movements: Sequence[MovementEntry]) -> Plan:
    return plan(lines, movements, TOLERANCE)


def pairs(found: Plan) -> list[tuple[list[int], list[str]]]:
    return [
        ([key.line_no for key in one.lines], [key.owner for key in one.movements])
        for one in found.matches
    ]


# -- scores ------------------------------------------------------------------------------------


def test_every_point_has_its_reason_in_words() -> None:
    """covers: A25: reference, amount, payer and date, each with its share."""
    told = line(1, 10_000, "ALI-2025-77", payer="王小明", on=DAY + timedelta(days=2))
    ours = money("A", 10_000, "ali 2025 77", payer="王小明")
    scored = score(told, ours, 100)
    assert scored is not None
    assert scored.points == 50 + 30 + 10 + 7
    assert scored.reasons == (
        "reference ali 2025 77 is equal (+50)",
        "amount 100.00 CNY is equal (+30)",
        "payer is equal (+10)",
        "2 days apart (+7)",
    )


@pytest.mark.parametrize(
    ("told", "ours", "points"),
    [
        (line(1, 10_050, text="order 1234567893 thanks"), money("A", 10_000, "1234567893"), 65),
        (line(1, 500, payer="Wang Xiaoming"), money("A", 900, payer="WANG, Xiao Min"), 15),
        (line(1, 500, "12"), money("A", 500, "12"), 90),
        (line(1, 500, text="12"), money("A", 500, "12"), 40),  # too short to mean anything
        (line(1, 500, on=DAY + timedelta(days=40)), money("A", 500), 30),
        (line(1, 500, on=DAY + timedelta(days=10)), money("A", 501), 18),
        (line(1, 500, "", text="--"), money("A", 501, ""), 25),
    ],
)
def test_points_are_the_sum_of_what_fits(
    told: StatementEntry, ours: MovementEntry, points: int
) -> None:
    scored = score(told, ours, 100)
    assert scored is not None
    assert scored.points == points
    assert sum(int(reason.rpartition("+")[2][:-1]) for reason in scored.reasons) == points


def test_what_came_in_never_tells_of_what_went_out_nor_of_another_currency() -> None:
    assert score(line(1, 500, "X-1234"), money("A", -500, "X-1234"), 100) is None
    assert score(line(1, 500, "X-1234", currency="EUR"), money("A", 500, "X-1234"), 100) is None


# -- plans -------------------------------------------------------------------------------------


def test_a_line_and_a_payment_with_one_reference_are_matched() -> None:
    """covers: A25"""
    found = planned(
        [line(1, 10_000, "R-1001"), line(2, 10_000, "R-1002"), line(3, -700, "B-2001")],
        [money("A", 10_000, "R-1001"), money("B", 10_000, "R-1002"), money("C", -700, "B-2001")],
    )
    assert pairs(found) == [([1], ["A"]), ([2], ["B"]), ([3], ["C"])]
    assert not found.suggestions


def test_two_payments_that_fit_equally_are_only_suggested() -> None:
    """covers: A25: without a person, no guess."""
    found = planned(
        [line(1, 10_000, "R-1001")], [money("A", 10_000, "R-1001"), money("B", 10_000, "R-1001")]
    )
    assert not found.matches
    (suggested,) = found.suggestions.values()
    assert [one.movements[0].owner for one in suggested] == ["A", "B"]


def test_two_lines_never_take_one_payment() -> None:
    """covers: A25"""
    found = planned(
        [line(1, 10_000, "R-1001"), line(2, 10_000, "R-1001")], [money("A", 10_000, "R-1001")]
    )
    assert not found.matches
    assert sorted(key.line_no for key in found.suggestions) == [1, 2]


def test_an_equal_amount_alone_is_a_suggestion() -> None:
    found = planned([line(1, 10_000)], [money("A", 10_000, "R-1001")])
    assert not found.matches
    assert found.suggestions[LineKey("S", 1)][0].score.points == 40


def test_a_difference_within_the_tolerance_can_be_matched_and_beyond_it_cannot() -> None:
    near = planned([line(1, 9_950, "R-1001")], [money("A", 10_000, "R-1001")])
    assert [one.difference_minor for one in near.matches] == [-50]
    far = planned([line(1, 9_800, "R-1001")], [money("A", 10_000, "R-1001")])
    assert not far.matches
    assert far.suggestions


def test_a_transfer_that_names_several_orders_is_matched_with_all_of_them() -> None:
    """covers: A25: one line to many payments."""
    text = "orders 1000000018, 1000000026 and 1000000039"
    ours = [
        money("A", 4_000, "1000000018"),
        money("B", 5_000, "1000000026"),
        money("C", 1_000, "1000000039"),
        money("D", 5_000, "1000000047"),
    ]
    found = planned([line(1, 10_000, text=text)], ours)
    assert pairs(found) == [([1], ["A", "B", "C"])]
    two_ways = planned(
        [line(1, 9_000, text=text)],
        [money("A", 4_000, "1000000018"), money("B", 5_000, "1000000026"),
         money("E", 4_000, "1000000018")],
    )  # fmt: skip
    assert not two_ways.matches
    assert len(two_ways.suggestions[LineKey("S", 1)]) >= 2


def test_instalments_of_one_order_are_matched_with_its_payment() -> None:
    """covers: A25: many lines to one payment."""
    found = planned(
        [line(1, 6_000, "R-1001"), line(2, 4_000, "R-1001"), line(3, 4_000, "R-1009")],
        [money("A", 10_000, "R-1001")],
    )
    assert pairs(found) == [([1, 2], ["A"])]


def test_a_payout_is_matched_by_the_batch_that_the_bank_names() -> None:
    """covers: A25"""
    payout = MovementEntry(
        MovementKey("payout", "5" * 64, "po_1Nw3"), 7_590, "CNY", DAY, ("po_1Nw3",)
    )
    found = planned([line(1, 7_590, text="STRIPE PAYOUT po_1Nw3")], [payout])
    assert [one.movements[0].kind for one in found.matches] == ["payout"]


# -- any input ---------------------------------------------------------------------------------

_REFERENCES = st.sampled_from(["R-1001", "R-1002", "R-1003", "R-1004", "1000000018"])
_AMOUNTS = st.sampled_from([-500, -100, 100, 250, 400, 500, 600, 1_000, 1_050])
_DAYS = st.integers(0, 20).map(lambda days: DAY + timedelta(days=days))


def entries(kind: str) -> st.SearchStrategy[list[tuple[int, str, str, date, str]]]:
    parts = st.tuples(
        _AMOUNTS, _REFERENCES, st.sampled_from(["CNY", "EUR"]), _DAYS, st.sampled_from(["", "Wang"])
    )
    return st.lists(parts, max_size=12)


@settings(max_examples=scale(2_000, 100), deadline=None)
@given(told=entries("line"), ours=entries("money"))
def test_no_line_and_no_payment_is_used_twice_and_every_sum_holds(
    told: list[tuple[int, str, str, date, str]], ours: list[tuple[int, str, str, date, str]]
) -> None:
    """covers: A25, A24"""
    lines = [
        line(number, amount, reference, currency=currency, on=on, payer=payer)
        for number, (amount, reference, currency, on, payer) in enumerate(told, 1)
    ]
    movements = [
        money(f"O{number}", amount, reference, currency=currency, on=on, payer=payer)
        for number, (amount, reference, currency, on, payer) in enumerate(ours, 1)
    ]
    found = planned(lines, movements)
    assert found == planned(lines[::-1], movements[::-1])
    _each_once(found.matches)
    by_line = {one.key: one for one in lines}
    by_movement = {one.key: one for one in movements}
    for one in found.matches:
        gap = sum(by_line[key].amount_minor for key in one.lines) - sum(
            by_movement[key].amount_minor for key in one.movements
        )
        assert gap == one.difference_minor
        assert abs(gap) <= 100
        assert one.score.points >= min(CERTAIN, 70)
        codes = {by_line[key].currency for key in one.lines}
        assert codes == {by_movement[key].currency for key in one.movements}
        assert len(codes) == 1
    matched = set(chain.from_iterable(one.lines for one in found.matches))
    assert not matched & found.suggestions.keys()


def _each_once(matches: Sequence[Match]) -> None:
    lines = [key for one in matches for key in one.lines]
    movements = [key for one in matches for key in one.movements]
    assert len({*lines}) == len(lines)
    assert len({*movements}) == len(movements)


def test_a_day_of_a_large_shop_is_planned_in_seconds() -> None:
    count = scale(20_000, 2_000)
    lines = [line(number, 1_000 + number % 500, f"T-{number:08}") for number in range(1, count)]
    movements = [
        money(f"O{number:08}", 1_000 + number % 500, f"T-{number:08}") for number in range(1, count)
    ]
    assert len(planned(lines, movements).matches) == count - 1
