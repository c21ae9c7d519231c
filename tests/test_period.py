"""Months: closed once and for good, late facts booked in the next, totals that equal the events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.period import (
    LATE_FACTS_MAX,
    BeginClosing,
    Booking,
    ClosePeriod,
    MoneyFact,
    TotalBody,
    Totals,
    booked,
    end_of,
    following,
    month_of,
)
from domain.period_facts import ClosingBegan
from domain.reconciliation_streams import period_stream
from tests.given import after, given

APRIL = datetime(2025, 4, 2, 9, tzinfo=UTC)
ZONE = "Asia/Shanghai"
MARCH = period_stream("main", "2025-03")


def begin(month: str = "2025-03", at: datetime = APRIL) -> BeginClosing:
    return BeginClosing(month=month, at=at)


def close(*totals: TotalBody, through: int = 41) -> ClosePeriod:
    return ClosePeriod(month="2025-03", through_position=through, totals=list(totals), at=APRIL)


def total(captured: int = 100) -> TotalBody:
    return TotalBody(
        month="2025-03", currency="CNY", method="alipay", captures=1, captured_minor=captured
    )


# -- the stream --------------------------------------------------------------------------------


def test_a_month_is_closed_in_two_steps() -> None:
    """covers: A24: first the line is drawn, then the sums before it are stated."""
    given().when(close(total())).refused("period_not_closing")
    began = ClosingBegan(shop="main", month="2025-03", zone=ZONE, at=APRIL)
    world = given().when(begin()).then({MARCH: [began]})
    given(world).when(begin()).nothing()
    world = given(world).when(close(total())).topics("period.closed.v2")
    assert world.state(MARCH).stage == "closed"
    assert world.state(MARCH).totals[0].captured_minor == 100


def test_a_closed_month_is_never_opened_or_changed() -> None:
    """covers: A24"""
    closed = after(begin(), close(total()))
    closed.when(begin()).nothing()
    closed.when(close(total())).nothing()
    closed.when(close(total(101))).refused("period_differs")


def test_a_month_that_is_not_over_is_not_closed() -> None:
    last = datetime(2025, 3, 31, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Shanghai
    given().when(begin(at=last)).refused("period_not_over", ends_at="2025-03-31T16:00:00+00:00")
    given().when(begin(at=last + timedelta(seconds=1))).topics("period.closing_began.v1")


def test_all_months_of_a_shop_are_of_one_time_zone() -> None:
    """covers: A24: else a fact at midnight would be in two months, or in none."""
    closed = after(begin("2025-01"), begin("2025-02").model_copy(update={"zone": ZONE}))
    berlin = begin().model_copy(update={"zone": "Europe/Berlin"})
    closed.when(berlin).refused("period_zone_differs", zone=ZONE)
    other = berlin.model_copy(update={"shop": "other"})
    closed.when(other).topics("period.closing_began.v1")


def test_the_answer_tells_how_far_a_closing_is() -> None:
    world = given().world
    answer = {"shop": "main", "month": "2025-03", "version": 1, "status": "closing"}
    assert world.answer(begin()) == answer
    assert world.answer(close()) == answer | {"version": 2, "status": "closed"}


@pytest.mark.parametrize("month", ["2025-13", "2025-3", "2025-00", "25-03", "2025-03-01"])
def test_a_month_is_written_one_way(month: str) -> None:
    with pytest.raises(ValidationError, match="month"):
        begin(month)


def test_a_time_zone_must_exist() -> None:
    with pytest.raises(ValidationError, match="IANA"):
        BeginClosing(month="2025-03", zone="Mars/Olympus", at=APRIL)


# -- months ------------------------------------------------------------------------------------


def test_a_month_is_the_shops_own() -> None:
    late = datetime(2025, 2, 28, 16, 30, tzinfo=UTC)
    assert month_of(late, ZONE) == "2025-03"
    assert month_of(late, "Europe/Berlin") == "2025-02"
    assert following("2025-12") == "2026-01"
    assert following("2025-01") == "2025-02"
    assert end_of("2025-03", "Europe/Berlin") == datetime(2025, 3, 31, 22, tzinfo=UTC)


# -- where a fact is booked --------------------------------------------------------------------

IN_MARCH = datetime(2025, 3, 10, tzinfo=UTC)
LINES = st.dictionaries(
    st.sampled_from(["2025-01", "2025-02", "2025-03", "2025-04"]), st.integers(1, 50)
)


def test_a_fact_is_booked_in_its_own_month_while_that_is_open() -> None:
    assert booked(IN_MARCH, 9, {}) == Booking("2025-03")
    assert booked(IN_MARCH, 9, {"2025-03": 10}) == Booking("2025-03")


def test_a_late_fact_is_booked_in_the_next_open_month_with_a_pointer() -> None:
    """covers: A24: nothing is written into a closed period."""
    assert booked(IN_MARCH, 11, {"2025-03": 10}) == Booking("2025-04", "2025-03")
    both = {"2025-03": 10, "2025-04": 20}
    assert booked(IN_MARCH, 15, both) == Booking("2025-04", "2025-03")
    assert booked(IN_MARCH, 21, both) == Booking("2025-05", "2025-03")


@given_any(lines=LINES, position=st.integers(1, 60), day=st.integers(0, 119))
def test_no_fact_is_booked_behind_a_line_that_was_drawn_before_it(
    lines: dict[str, int], position: int, day: int
) -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day)
    found = booked(at, position, lines)
    assert position <= lines.get(found.month, position)
    assert found.month >= month_of(at, ZONE) == (found.late_for or found.month)


# -- totals ------------------------------------------------------------------------------------


def fact(position: int, day: int, captured: int = 100, method: str = "alipay") -> MoneyFact:
    at = datetime(2025, 1, 1, 4, tzinfo=UTC) + timedelta(days=day)
    sums = {"captures": 1, "captured_minor": captured}
    return MoneyFact(position, at, "A", "CNY", method, sums)


def test_totals_are_per_currency_method_and_the_month_it_happened_in() -> None:
    """covers: A24"""
    lines = {"2025-01": 10, "2025-02": 20}
    facts = [fact(5, 3), fact(11, 4, 70), fact(12, 33), fact(13, 34, method="cash"), fact(21, 35)]
    sums = Totals("2025-02", lines)
    sums.add(facts)
    assert [(t.month, t.method, t.captures, t.captured_minor) for t in sums.totals()] == [
        ("2025-01", "alipay", 1, 70),
        ("2025-02", "alipay", 1, 100),
        ("2025-02", "cash", 1, 100),
    ]
    assert [(one.position, one.month) for one in sums.late()] == [(11, "2025-01")]


def test_many_late_facts_are_all_summed_and_counted_though_not_all_listed() -> None:
    sums = Totals("2025-02", {"2025-01": 1})
    sums.add(fact(position, 3, 1) for position in range(2, LATE_FACTS_MAX + 12))
    assert sums.late_count == LATE_FACTS_MAX + 10
    assert len(sums.late()) == LATE_FACTS_MAX
    assert sums.totals()[0].captured_minor == LATE_FACTS_MAX + 10


@given_any(
    lines=LINES,
    facts=st.lists(
        st.builds(fact, st.integers(1, 60), st.integers(0, 119), st.integers(1, 999)), max_size=30
    ),
)
def test_every_fact_is_booked_in_exactly_one_month(
    lines: dict[str, int], facts: list[MoneyFact]
) -> None:
    """covers: A24: the months together come to all there is."""
    found = 0
    for month in ("2025-01", "2025-02", "2025-03", "2025-04", "2025-05"):
        sums = Totals(month, lines)
        sums.add(facts)
        found += sum(one.captured_minor for one in sums.totals())
    assert found == sum(one.sums["captured_minor"] for one in facts)
