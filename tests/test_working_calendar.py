"""The shop's days: when terms end over weekends, holidays, make-up days and changes of the clock.

Due dates of the tables were counted by hand on the calendars of the State Council.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.policy import DEFAULTS
from domain.policy_calendar import CalendarDays, calendar_ends_soon, calendar_of
from domain.policy_rules import CalendarRules, PolicyRules
from domain.working_calendar import (
    Calendar,
    Pause,
    add_business_hours,
    add_days,
    add_working_days,
    business_time,
    covered_days_left,
    end_of_day,
    is_provisional,
    is_working_day,
    local_day,
    office_hours,
)

CHINA = DEFAULTS.calendar
BERLIN = Calendar(
    zone="Europe/Berlin", holidays=frozenset({date(2025, 12, 25), date(2025, 12, 26)})
)
NEW_YORK = Calendar(zone="America/New_York")
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Kathmandu")
ROUND_THE_CLOCK = Calendar(zone="Europe/Berlin", weekend=frozenset(), opens=time(0), closes=time(0))


def local(text: str, zone: str = "Asia/Shanghai") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# -- days in China -------------------------------------------------------------------------------

THREE_WORKING_DAYS = [
    ("an ordinary week", "2025-03-03T10:00", "2025-03-06"),
    ("over a weekend", "2025-03-06T10:00", "2025-03-11"),
    # Sunday 28 September is worked; then 1 to 8 October are not.
    ("Friday before National Day", "2025-09-26T15:00", "2025-09-30"),
    ("into National Day", "2025-09-28T15:00", "2025-10-09"),
    # 9 and 10 October, and Saturday 11 October, which is worked.
    ("last day before National Day", "2025-09-30T23:59", "2025-10-11"),
    ("on a holiday", "2025-10-03T12:00", "2025-10-11"),
    # Saturday 14 February is worked, 15 to 23 are not.
    ("Friday before Spring Festival", "2026-02-13T09:00", "2026-02-25"),
    ("Saturday 28 February is worked", "2026-02-26T09:00", "2026-03-02"),
    # 1 to 3 January are not worked, Sunday 4 January is.
    ("over the end of a year", "2025-12-31T09:00", "2026-01-06"),
]


@pytest.mark.parametrize(
    ("asked", "due"),
    [row[1:] for row in THREE_WORKING_DAYS],
    ids=[r[0] for r in THREE_WORKING_DAYS],
)
def test_three_working_days_end_with_the_third_local_day(asked: str, due: str) -> None:
    """covers: A7: the starting day is day 0, make-up days count, holidays do not."""
    found = add_working_days(CHINA, local(asked), 3)
    assert found.day == date.fromisoformat(due)
    assert found.at == local(f"{due}T00:00") + timedelta(days=1)
    assert not found.provisional


def test_it_is_the_shops_day_that_counts_not_the_day_in_utc() -> None:
    """Half past four in the afternoon UTC is tomorrow in Shanghai."""
    at = datetime(2025, 9, 25, 16, 30, tzinfo=UTC)
    assert local_day(CHINA, at) == date(2025, 9, 26)
    assert add_working_days(CHINA, at, 3).day == date(2025, 9, 30)
    assert add_working_days(CHINA, at - timedelta(hours=1), 3).day == date(2025, 9, 29)


def test_beyond_the_known_holidays_weekends_count_and_the_end_is_provisional() -> None:
    sure = add_working_days(CHINA, local("2026-12-30T10:00"), 1)
    assert (sure.day, sure.provisional) == (date(2026, 12, 31), False)
    found = add_working_days(CHINA, local("2026-12-30T10:00"), 3)
    assert (found.day, found.provisional) == (date(2027, 1, 4), True)  # New Year counted as worked
    assert is_provisional(CHINA, date(2024, 12, 31))
    assert not is_provisional(CHINA, date(2025, 1, 1))


def test_the_end_of_the_known_holidays_is_announced_60_days_before() -> None:
    assert calendar_ends_soon(CHINA, date(2026, 11, 1)) == 60
    assert calendar_ends_soon(CHINA, date(2026, 10, 31)) is None
    assert calendar_ends_soon(CHINA, date(2027, 1, 2)) == -2
    assert calendar_ends_soon(BERLIN, date(2030, 1, 1)) is None
    assert covered_days_left(CHINA, date(2026, 12, 31)) == 0


def test_no_working_day_is_the_end_of_the_same_day_and_plain_days_count_all() -> None:
    """On account: due with the local day that the term ends on, worked or not."""
    saturday = local("2025-03-01T10:00")
    assert add_working_days(CHINA, saturday, 0).at == local("2025-03-02T00:00")
    assert add_days(CHINA, saturday, 30).at == local("2025-04-01T00:00")


def test_a_shops_own_days_stand_beside_the_public_ones() -> None:
    """Closed on a public make-up day, open on a public holiday."""
    rules = PolicyRules(
        calendar=CalendarRules(
            holidays=(date(2026, 2, 14),), working_days=(date(2026, 10, 7),), weekend=("friday",)
        )
    )
    calendar = calendar_of(rules, DEFAULTS.days)
    assert not is_working_day(calendar, date(2026, 2, 14))
    assert is_working_day(calendar, date(2026, 10, 7))
    assert not is_working_day(calendar, date(2026, 3, 6))  # a Friday
    assert is_working_day(calendar, date(2026, 3, 7))


def test_a_calendar_of_ones_own_ends_where_the_shop_says() -> None:
    own = CalendarRules(kind="own", covered_until=date(2025, 12, 31), holidays=(date(2025, 5, 1),))
    calendar = calendar_of(PolicyRules(calendar=own), CalendarDays())
    assert not is_working_day(calendar, date(2025, 5, 1))
    assert is_working_day(calendar, date(2025, 10, 1))
    assert add_working_days(calendar, local("2025-12-31T10:00"), 1).provisional


def test_a_calendar_without_a_working_day_ends_with_an_error_and_not_never() -> None:
    never = Calendar(weekend=frozenset(range(1, 8)))
    with pytest.raises(ValueError, match="no end within"):
        add_working_days(never, local("2025-03-01T10:00"), 1)


# -- pauses --------------------------------------------------------------------------------------

MONDAY = local("2025-03-03T10:00")


def pause(since: str, to: str) -> Pause:
    return local(since), local(to)


def test_a_pause_moves_the_end_by_the_working_days_that_ended_in_it() -> None:
    """covers: A7: waiting for the customer's evidence from Tuesday to Thursday morning."""
    waited = pause("2025-03-04T10:00", "2025-03-06T09:00")
    assert add_working_days(CHINA, MONDAY, 3, [waited]).day == date(2025, 3, 10)
    within_a_day = pause("2025-03-04T10:00", "2025-03-04T17:00")
    assert add_working_days(CHINA, MONDAY, 3, [within_a_day]).day == date(2025, 3, 6)
    over_a_weekend = pause("2025-03-07T19:00", "2025-03-09T19:00")
    assert add_working_days(CHINA, MONDAY, 5, [over_a_weekend]).day == date(2025, 3, 11)


def test_business_hours_do_not_run_while_paused_and_overlapping_pauses_count_once() -> None:
    pauses = [pause("2025-03-03T11:00", "2025-03-03T12:00")] * 2
    pauses.append(pause("2025-03-03T11:30", "2025-03-03T13:00"))
    found = add_business_hours(CHINA, MONDAY, 4, pauses)
    assert found.at == local("2025-03-03T16:00")
    assert business_time(CHINA, MONDAY, found.at, pauses) == timedelta(hours=4)


def test_a_pause_of_no_time_or_outside_the_term_changes_nothing() -> None:
    """Hypothesis found the first: a pause that ended as it began doubled the time before it."""
    ten, eleven = MONDAY, local("2025-03-03T11:00")
    for nothing in (
        (eleven, eleven),
        (eleven, ten),
        pause("2025-03-02T10:00", "2025-03-03T09:30"),
        pause("2025-03-03T18:00", "2025-03-03T20:00"),
    ):
        assert business_time(CHINA, ten, eleven, [nothing]) == timedelta(hours=1)
        assert add_business_hours(CHINA, ten, 1, [nothing]).at == eleven


# -- business hours ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2025-03-03T10:00", 4, "2025-03-03T14:00"),
        ("2025-03-03T14:00", 4, "2025-03-03T18:00"),  # as the office closes, not as it opens
        ("2025-03-03T16:00", 4, "2025-03-04T11:00"),
        ("2025-03-03T07:00", 4, "2025-03-03T13:00"),
        ("2025-03-07T17:30", 4, "2025-03-10T12:30"),
        ("2025-03-08T12:00", 24, "2025-03-12T15:00"),
        ("2025-09-30T17:00", 4, "2025-10-09T12:00"),
        ("2026-02-14T17:00", 24, "2026-02-26T14:00"),  # a Saturday that is worked
        ("2025-03-08T12:00", 0, "2025-03-08T12:00"),
    ],
)
def test_business_hours_run_while_the_office_is_open(start: str, hours: int, due: str) -> None:
    assert add_business_hours(CHINA, local(start), hours).at == local(due)


# -- clocks that are changed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "day", "ends", "hours"),
    [
        (BERLIN, date(2025, 3, 29), "2025-03-29T23:00Z", 24),
        (BERLIN, date(2025, 3, 30), "2025-03-30T22:00Z", 23),
        (BERLIN, date(2025, 10, 26), "2025-10-26T23:00Z", 25),
        (NEW_YORK, date(2025, 3, 9), "2025-03-10T04:00Z", 23),
        (NEW_YORK, date(2025, 11, 2), "2025-11-03T05:00Z", 25),
        # There midnight itself does not exist, and comes twice.
        (Calendar(zone="America/Havana"), date(2025, 3, 8), "2025-03-09T05:00Z", 24),
        (Calendar(zone="America/Havana"), date(2025, 11, 1), "2025-11-02T04:00Z", 24),
    ],
)
def test_a_local_day_ends_when_the_next_begins(
    calendar: Calendar, day: date, ends: str, hours: int
) -> None:
    end = end_of_day(calendar, day)
    assert end == datetime.fromisoformat(ends)
    assert end - end_of_day(calendar, day - timedelta(days=1)) == timedelta(hours=hours)


def test_terms_in_days_follow_the_wall_clock() -> None:
    friday = local("2025-03-28T17:00", "Europe/Berlin")
    due = add_working_days(BERLIN, friday, 1)
    assert due.at == datetime(2025, 3, 31, 22, tzinfo=UTC)
    assert add_business_hours(BERLIN, friday, 2).at == datetime(2025, 3, 31, 8, tzinfo=UTC)
    christmas = local("2025-12-24T12:00", "Europe/Berlin")
    assert add_working_days(BERLIN, christmas, 3).day == date(2025, 12, 31)


def test_hours_are_hours_where_the_office_never_closes() -> None:
    noon = local("2025-03-29T12:00", "Europe/Berlin")
    assert noon == datetime(2025, 3, 29, 11, tzinfo=UTC)
    assert add_business_hours(ROUND_THE_CLOCK, noon, 24).at == datetime(2025, 3, 30, 11, tzinfo=UTC)
    hours = office_hours(ROUND_THE_CLOCK, date(2025, 10, 26))
    assert hours is not None
    assert hours[1] - hours[0] == timedelta(hours=25)


# -- properties ----------------------------------------------------------------------------------

DAYS = st.dates(date(2024, 12, 1), date(2026, 3, 1))
TIMES = st.integers(0, 395 * 24 * 60).map(
    lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes, microseconds=7)
)
CALENDARS = st.builds(
    Calendar,
    zone=st.sampled_from(ZONES),
    weekend=st.frozensets(st.integers(1, 7), max_size=3),
    holidays=st.frozensets(DAYS, max_size=30),
    working_days=st.frozensets(DAYS, max_size=10),
    opens=st.sampled_from([time(0), time(2, 30), time(9)]),
    closes=st.sampled_from([time(12, 15), time(18), time(0)]),
)
PAUSES = st.lists(
    st.tuples(TIMES, st.timedeltas(timedelta(), timedelta(days=5))).map(
        lambda one: (one[0], one[0] + one[1])
    ),
    max_size=4,
)
COUNTS = st.integers(0, 30)


@given(CALENDARS, DAYS)
def test_every_instant_belongs_to_one_local_day(calendar: Calendar, day: date) -> None:
    end = end_of_day(calendar, day)
    assert local_day(calendar, end - timedelta(microseconds=1)) == day
    assert local_day(calendar, end) == day + timedelta(days=1)


@given(CALENDARS, TIMES, st.integers(1, 30))
def test_a_term_of_n_working_days_holds_n_of_them_and_ends_on_one(
    calendar: Calendar, start: datetime, days: int
) -> None:
    first, due = local_day(calendar, start), add_working_days(calendar, start, days)
    after = (first + timedelta(days=n) for n in range(1, (due.day - first).days + 1))
    assert sum(is_working_day(calendar, day) for day in after) == days
    assert is_working_day(calendar, due.day)
    assert due.at == end_of_day(calendar, due.day)


@given(CALENDARS, TIMES, TIMES, COUNTS, PAUSES)
def test_who_begins_later_never_ends_sooner_nor_does_who_was_paused(
    calendar: Calendar, one: datetime, other: datetime, count: int, pauses: list[Pause]
) -> None:
    early, late = sorted((one, other))
    for term in (add_working_days, add_business_hours):
        assert term(calendar, early, count, pauses).at <= term(calendar, late, count, pauses).at
        assert term(calendar, early, count).at <= term(calendar, early, count, pauses).at
        assert term(calendar, early, count).at <= term(calendar, early, count + 1).at


@given(CALENDARS, TIMES, COUNTS, COUNTS, PAUSES)
def test_business_hours_add_up(
    calendar: Calendar, start: datetime, some: int, more: int, pauses: list[Pause]
) -> None:
    between = add_business_hours(calendar, start, some, pauses).at
    end = add_business_hours(calendar, start, some + more, pauses).at
    assert add_business_hours(calendar, between, more, pauses).at == end or more == 0
    assert business_time(calendar, start, end, pauses) == timedelta(hours=some + more)


@given(CALENDARS, TIMES, TIMES, PAUSES)
def test_business_time_is_within_the_time_that_passed(
    calendar: Calendar, one: datetime, other: datetime, pauses: list[Pause]
) -> None:
    start, end = sorted((one, other))
    open_ = business_time(calendar, start, end)
    assert timedelta() <= business_time(calendar, start, end, pauses) <= open_ <= end - start
