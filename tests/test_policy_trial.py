"""A draft policy tried on orders that are there: what it would have decided otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.desk_names import order_stream
from domain.message import Command, Event
from domain.payment_commands import CancelOverdue, ChargeLateFee
from domain.policy import DEFAULTS, PolicyVersion, drafted
from domain.policy_calendar import CalendarDays
from domain.policy_rules import PolicyRules
from domain.policy_trial import RULES, Decided, tried
from tests.given import NOON, after, hours
from tests.given_money import money, pay
from tests.given_orders import cancel, deliver, dispatch, pack, place, publish
from tests.given_returns import approve_return, refund, send_back, take_back

COVERED = CalendarDays.model_validate({"covered_until": "2030-12-31"})
DELIVERED = (place(), pay(10_000), pack((1, 2)), dispatch(), deliver())


def draft(**rules: Any) -> PolicyVersion:
    return drafted(PolicyRules.model_validate(rules), COVERED)


def facts(*commands: Command) -> list[Event]:
    return after(*commands).world.events[order_stream("A")]


def differences(draft: PolicyVersion, *commands: Command) -> dict[str, Decided]:
    return {one.rule: one for one in tried(facts(*commands), draft) if one.differs}


def test_two_days_free_instead_of_one_gives_the_fee_back() -> None:
    """covers: A89"""
    story = (place(), pay(10_000), cancel(at=hours(30)))
    found = differences(draft(cancellation={"free_hours": 48}), *story)
    assert found == {"cancellation_fee": Decided("cancellation_fee", hours(30), 1_000, 0, -1_000)}
    assert differences(draft(), *story) == {}


def test_a_fee_is_never_above_what_was_paid_also_in_a_trial() -> None:
    story = (place(), pay(300), cancel(at=hours(30)))
    found = differences(draft(cancellation={"fee_bp": 5_000}), *story)
    assert found == {}, "the whole 3.00 were kept already"


def test_another_term_moves_what_is_due_and_what_is_cancelled() -> None:
    """covers: A3, A89"""
    late = hours(72) + timedelta(seconds=1)
    story = (place(), money(CancelOverdue, at=late))
    found = differences(draft(payment={"term_hours": 24}), *story)
    assert found.keys() == {"payment_due"}
    assert found["payment_due"].would_be == hours(24).isoformat()
    found = differences(draft(payment={"on_overdue": "late_fee"}), *story)
    assert (found["cancelled_when_overdue"].was, found["cancelled_when_overdue"].would_be) == (
        "cancel",
        "late_fee",
    )


def test_a_late_fee_is_priced_anew_as_a_whole() -> None:
    """10 full days at 0.1 % of 100.00 are 1.00; at 0.2 % 2.00; with 24 h more 9 days. A89"""
    terms = {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.1"}
    at = NOON + timedelta(days=14)
    story = (
        publish(payment=terms),
        place(),
        money(ChargeLateFee, at=NOON + timedelta(days=6)),
        money(ChargeLateFee, at=at),
    )
    charged = sum(getattr(one, "amount_minor", 0) for one in facts(*story)[-2:])
    assert charged == 100
    doubled = draft(payment=terms | {"late_fee_percent_per_day": "0.2"})
    assert differences(doubled, *story)["late_fee"].change_minor == 100
    longer = draft(payment=terms | {"term_hours": 96})
    assert differences(longer, *story)["late_fee"].change_minor == -10
    assert differences(draft(payment={"on_overdue": "cancel"}), *story)["late_fee"].would_be == 0


def test_refunds_wait_for_a_second_person_or_for_evidence() -> None:
    """covers: A26, A6 under other rules"""
    story = (place(), pay(10_000), refund(5_000, reason="late"))
    stricter = draft(refund={"second_approval_over": {"CNY": 4_999}, "evidence_for": ["late"]})
    found = differences(stricter, *story)
    assert found["refund_approval"].would_be == "second_person"
    assert found["refund_evidence"].would_be == "refused"
    slower = draft(refund={"working_days": 10})
    assert differences(slower, *story).keys() == {"refund_term"}


def test_returns_may_come_too_late_and_cost_something() -> None:
    story = (
        *DELIVERED,
        send_back((1, 2), at=NOON + timedelta(days=7)),
        approve_return(at=NOON + timedelta(days=7)),
        take_back((1, 2), at=NOON + timedelta(days=8)),
    )
    found = differences(draft(returns={"no_reason_days": 3}), *story)
    assert found["return"].would_be == "return_window_closed"
    found = differences(draft(returns={"restocking_fee_bp": 1_500}), *story)
    assert found["restocking_fee"].change_minor == 1_500


@pytest.mark.parametrize("story", [DELIVERED, (*DELIVERED, refund(1, reason="late"))])
def test_the_rules_in_force_differ_from_themselves_in_nothing(story: tuple[Command, ...]) -> None:
    decided = list(tried(facts(*story), replace(DEFAULTS, days=COVERED)))
    assert decided
    assert {one.rule for one in decided} <= set(RULES)
    assert not any(one.differs for one in decided)
