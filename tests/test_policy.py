"""A shop's policy: published for the future, kept for ever, in force from its time on."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from commands.china_calendar import china_days, public_days
from domain import policy
from domain.command_types import Channel
from domain.message import Rejected
from domain.policy import (
    DEFAULTS,
    Policy,
    PolicyPublished,
    PublishPolicy,
    in_force,
    still_to_begin,
)
from domain.policy_calendar import DEFAULT_DAYS, CalendarDays
from domain.policy_rules import IntakeRules, PolicyRules, amount, difference, intake
from tests.given import NOON, World, after, given, hours

VERSION_0 = Path(__file__).parent / "golden" / "policy_version_0.json"
STREAM = policy.policy_stream("main")


def rules(**sections: Any) -> PolicyRules:
    return PolicyRules.model_validate(sections)


def free_for(free_hours: int) -> PolicyRules:
    return rules(cancellation={"free_hours": free_hours})


def publish(published: PolicyRules, at: datetime = NOON, **more: Any) -> PublishPolicy:
    body = {"shop": "main", "rules": published, "days": public_days(published), "at": at}
    return PublishPolicy.model_validate(body | more)


def published(version: int, said: PolicyRules, begins: datetime = NOON, **more: Any) -> Any:
    return PolicyPublished(
        shop="main",
        version=version,
        effective_from=begins,
        rules=said.model_dump(mode="json"),
        days=china_days(),
        **{"at": NOON, **more},
    )


def state(world: World) -> Policy:
    found = world.state(STREAM)
    assert isinstance(found, Policy)
    return found


# -- publishing ----------------------------------------------------------------------------------


def test_the_first_version_is_1_and_holds_all_rules_and_the_days_as_they_are_known() -> None:
    """covers: A3."""
    given().when(publish(free_for(48), note="Longer for spring")).then(
        {STREAM: [published(1, free_for(48), note="Longer for spring")]}
    )


def test_every_shop_has_its_own_versions() -> None:
    world = after(publish(free_for(48)), publish(free_for(12), shop="second")).world
    assert state(world).newest == 1
    other: Policy = world.state(policy.policy_stream("second"))
    assert in_force(other, NOON).rules.cancellation.free_hours == 12


def test_versions_follow_each_other_without_a_gap() -> None:
    commands = [publish(free_for(count), hours(count)) for count in range(1, 6)]
    found = state(after(*commands).world)
    assert [one.version for one in found.versions] == [0, 1, 2, 3, 4, 5]


def test_publishing_what_is_in_force_changes_nothing() -> None:
    """Also the defaults in a shop that has published nothing."""
    given().when(publish(PolicyRules())).nothing()
    after(publish(free_for(48))).when(publish(free_for(48), hours(1))).nothing()


def test_the_same_rules_with_a_newer_calendar_are_a_new_version() -> None:
    longer = china_days().model_copy(update={"covered_until": date(2027, 12, 31)})
    given().when(publish(PolicyRules(), days=longer)).topics("policy.published.v1")


def test_nothing_is_published_for_the_past() -> None:
    """covers: A3: what was decided stays explained by what was in force."""
    command = publish(free_for(48), effective_from=hours(-1))
    given().when(command).refused(
        "policy_for_the_past",
        effective_from=hours(-1).isoformat(),
        earliest=NOON.isoformat(),
    )


def test_who_has_not_seen_the_newest_version_is_refused() -> None:
    one = after(publish(free_for(48)))
    one.when(publish(free_for(12), expected_version=0)).refused(
        "policy_version_differs", expected=0, newest=1
    )
    one.when(publish(free_for(12), expected_version=1)).topics("policy.published.v1")


def test_impossible_rules_are_refused_with_code_and_path() -> None:
    given().when(publish(free_for(-1))).refused(
        "policy_impossible", faults=[{"path": "cancellation.free_hours", "code": "negative"}]
    )


def test_chinas_holidays_have_to_be_given_along() -> None:
    given().when(publish(free_for(48), days=CalendarDays())).refused("calendar_days_missing")
    own = rules(calendar={"kind": "own"})
    given().when(publish(own)).topics("policy.published.v1")


# -- in force ------------------------------------------------------------------------------------


def test_a_version_holds_from_its_time_on_and_the_one_before_it_until_then() -> None:
    """covers: A3, A5: the last moment belongs to the old rule, the first to the new one."""
    found = state(after(publish(free_for(48), effective_from=hours(5))).world)
    moment = timedelta(microseconds=1)
    assert in_force(found, hours(5) - moment).version == 0
    assert in_force(found, hours(5) - moment).rules.cancellation.free_hours == 24
    assert in_force(found, hours(5)).version == 1
    assert in_force(found, hours(5)).rules.cancellation.free_hours == 48


def test_an_old_version_says_for_ever_what_it_said() -> None:
    """covers: A3: an order keeps the number of the version that it was placed under."""
    world = after(publish(free_for(48))).world
    before = state(world).versions[1]
    later = state(given(world, publish(free_for(12), hours(1))).world)
    assert later.versions[1] == before
    assert later.versions[0] == DEFAULTS


def test_publishing_replaces_what_was_to_begin_later() -> None:
    """Otherwise a version that somebody forgot would undo the newer one one day."""
    scheduled = after(publish(free_for(48), effective_from=hours(5)))
    assert [one.version for one in still_to_begin(state(scheduled.world), NOON)] == [1]
    found = state(scheduled.when(publish(free_for(12), hours(1))).topics("policy.published.v1"))
    assert still_to_begin(found, hours(1)) == []
    assert in_force(found, hours(9)).version == 2


def test_a_version_that_is_not_in_force_yet_can_be_withdrawn() -> None:
    scheduled = after(publish(free_for(48)), publish(free_for(12), effective_from=hours(5)))
    world = scheduled.when(publish(free_for(48), hours(1))).topics("policy.published.v1")
    assert in_force(state(world), hours(9)).rules == free_for(48)


def test_the_versions_fold_back_from_what_was_stored() -> None:
    world = after(publish(free_for(48)), publish(rules(calendar={"kind": "own"}), hours(1))).world
    assert state(given(world.events).world) == state(world)


# -- what stays for ever -------------------------------------------------------------------------


def test_version_0_is_the_same_for_ever() -> None:
    """Orders of shops that never published refer to it. When this fails, the code is wrong."""
    kept = json.loads(VERSION_0.read_text(encoding="utf-8"))
    now = {
        "rules": DEFAULTS.rules.model_dump(mode="json"),
        "days": DEFAULTS.days.model_dump(mode="json"),
    }
    assert now == kept
    assert (DEFAULTS.version, DEFAULTS.effective_from) == (0, None)


def test_the_defaults_are_those_of_the_domain() -> None:
    """DOMAIN.md, 'Policy defaults'."""
    said = PolicyRules()
    assert (said.cancellation.free_hours, said.cancellation.fee_bp) == (24, 1_000)
    assert said.cancellation.until == "dispatched"
    assert (said.payment.term_hours, said.payment.reminder_hours) == (72, (24, 0))
    assert (said.payment.on_overdue, said.payment.late_fee_percent_per_day) == ("cancel", "0.05")
    assert said.payment.late_fee_cap_bp == 500
    assert amount(said.payment.tolerance, "CNY") == 100
    assert (said.refund.working_days, amount(said.refund.second_approval_over, "CNY")) == (
        3,
        100_000,
    )
    assert set(said.refund.evidence_for) == {
        "quality_problem",
        "damaged",
        "wrong_item",
        "not_as_described",
    }
    assert (said.returns.no_reason_days, said.returns.quality_days) == (7, 30)
    assert amount(said.review.auto_approve_below, "CNY") == 500_000
    assert (said.exceptions.duplicate_hours, said.exceptions.price_deviation_bp) == (24, 5_000)
    assert said.exceptions.quantity_factor == 10
    tracking = said.tracking
    assert (tracking.dispatch_hours, tracking.silent_hours) == (48, 72)
    assert tracking.delivery_grace_hours == 24
    assert (said.terms.review_hours, said.terms.packing_hours) == (4, 24)
    assert (said.status.completed_days, said.status.counts_as_paid) == (7, "captured")
    assert said.calendar.kind == "china"


def test_a_currency_without_an_amount_has_none_and_the_order_goes_to_review() -> None:
    assert amount(PolicyRules().review.auto_approve_below, "EUR") is None


def test_every_channel_has_its_intake() -> None:
    names = [field.alias or name for name, field in IntakeRules.model_fields.items()]
    assert names == list(get_args(Channel))
    for channel in names:
        recorded = channel in {"marketplace", "import"}
        assert intake(PolicyRules(), channel).wrong == ("record" if recorded else "refuse")


def test_the_days_of_version_0_are_those_that_the_library_had() -> None:
    """A newer library may know more years, never other days."""
    known = china_days()
    for name in ("holidays", "working_days"):
        of_those_years = [day for day in getattr(known, name) if day <= date(2026, 12, 31)]
        assert of_those_years == getattr(DEFAULT_DAYS, name)
    assert known.covered_until is not None
    assert known.covered_until >= date(2026, 12, 31)


def test_a_field_that_came_later_has_its_default_in_what_was_stored_before() -> None:
    stored = free_for(48).model_dump(mode="json")
    del stored["messages"], stored["payment"]["tolerance"]
    assert PolicyRules.model_validate(stored) == free_for(48)


def test_floats_and_words_for_numbers_are_no_rules() -> None:
    for wrong in (24.0, "24", True, None):
        with pytest.raises(ValueError, match="free_hours"):
            rules(cancellation={"free_hours": wrong})
    for wrong in (0, "0", "20260504", "2026-05-04T00:00:00Z", True):
        with pytest.raises(ValueError, match="holidays"):
            rules(calendar={"holidays": [wrong]})
    for wrong in (0.05, "5e-2", "-1", "0.00001", ""):
        with pytest.raises(ValueError, match="late_fee_percent_per_day"):
            rules(payment={"late_fee_percent_per_day": wrong})


def test_a_difference_names_each_path_with_before_and_after() -> None:
    new = rules(
        cancellation={"free_hours": 48},
        payment={"tolerance": {"CNY": 100, "EUR": 20}},
        intake={"web": {"short": "backorder"}},
    )
    assert difference(PolicyRules(), new) == [
        ("intake.web.short", "refuse", "backorder"),
        ("payment.tolerance", {"CNY": 100}, {"CNY": 100, "EUR": 20}),
        ("cancellation.free_hours", 24, 48),
    ]
    assert difference(new, new) == []


def test_the_answer_says_which_version_holds_from_then_on() -> None:
    world = after(publish(free_for(48))).world
    assert world.answer(publish(free_for(12), effective_from=hours(5))) == {
        "shop": "main",
        "version": 2,
        "policy_version": 2,
        "effective_from": hours(5).isoformat(),
        "status": "scheduled",
    }
    again = world.answer(publish(free_for(12), effective_from=hours(6)))
    assert (again["version"], again["policy_version"]) == (2, 2)


def test_a_refusal_says_it_in_words() -> None:
    with pytest.raises(Rejected, match="free_hours must not be below 0"):
        World().run(publish(free_for(-1)))
