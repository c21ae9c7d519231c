"""What becomes due of an order by the clock: named by `due`, done by ordinary commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain import deadlines, order_alerts
from domain.deadlines import Deadline
from domain.desk_names import customer_stream, order_stream
from domain.message import StreamName
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    RaiseAlert,
    RefundOverpayment,
    ReinstateOrder,
    RemindPayment,
    VoidAuthorisation,
)
from domain.policy import policy_stream
from tests.given import World, after, given, hours
from tests.given_money import authorise, capture, expire_gifts, gift, money, pay, unrecord
from tests.given_orders import (
    amend,
    cancel,
    dispatch,
    pack,
    place,
    publish,
    receive,
    register,
    void,
)
from tests.given_returns import (
    add_evidence,
    approve_refund,
    ask_evidence,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
)

DUE = hours(72)
LATE = DUE + timedelta(microseconds=1)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def due(world: World, order_id: str = "A") -> list[Deadline]:
    order = world.order(order_id)
    policy = world.state(policy_stream(order.shop))
    return deadlines.due(order, policy.versions[order.policy_version])


def kinds(world: World) -> list[str]:
    return [one.kind for one in due(world)]


def remind(hours_before: int, at: datetime) -> Any:
    return money(RemindPayment, hours_before=hours_before, at=at)


def unhold() -> Any:
    return money(VoidAuthorisation, payment_id="H1", reason="enough")


def alert(at: datetime, kind: str = "refund_overdue", of: str = "R1") -> Any:
    return RaiseAlert(order_id="A", kind=kind, of=of, at=at)


def catch_up(world: World, at: datetime) -> list[str]:
    """What the worker would do by then, in its order; the topics it leads to."""
    done: list[str] = []
    while todo := [one for one in due(world) if one.due_at <= at]:
        command = deadlines.command(order_stream("A"), todo[0], at)
        decision = world.run(command)
        topics = [e.TOPIC for e in decision.events.get(order_stream("A"), [])]
        assert topics or len(todo) > 1, todo
        if not topics:  # Overtaken by the next step.
            command = deadlines.command(order_stream("A"), todo[1], at)
            decision = world.run(command)
            topics = [e.TOPIC for e in decision.events[order_stream("A")]]
        done += topics
    return done


# -- reminders -----------------------------------------------------------------------------------


def test_each_step_reminds_once() -> None:
    """covers: A23"""
    world = after(place()).world
    assert due(world)[:2] == [
        Deadline(hours(48), "payment_reminder", "24"),
        Deadline(DUE, "payment_reminder", "0"),
    ]
    given(world).when(remind(24, hours(47.9))).refused("not_due")
    world = given(world).when(remind(24, hours(48))).topics("order.payment_reminded.v1")
    given(world).when(remind(24, hours(49))).nothing()
    world = given(world).when(remind(0, DUE)).topics("order.payment_reminded.v1")
    given(world).when(remind(0, hours(100))).nothing()
    assert world.order().money.reminded == (24, 0)


def test_a_reminder_says_what_is_owed() -> None:
    world = after(place(), pay(4000), remind(24, hours(50))).world
    [reminded] = world.events[order_stream("A")][-1:]
    assert (reminded.outstanding_minor, reminded.due_at) == (6000, DUE)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "end",
    [
        pay(10_000),
        pay(9_950),  # the rest is within the tolerance
        cancel(),
        void(),
        authorise(10_000),
    ],
)
def test_nobody_is_reminded_of_what_is_not_owed(end: Any) -> None:
    """covers: A23: none after payment"""
    world = after(place(), end).world
    assert "payment_reminder" not in kinds(world)
    given(world).when(remind(24, hours(48))).nothing()


def test_at_the_door_nobody_is_reminded() -> None:
    world = after(place(payment_method="cash_on_delivery")).world
    assert due(world) == []
    given(world).when(remind(0, hours(100))).nothing()


def test_after_days_off_one_reminder_is_enough() -> None:
    """The later step has overtaken the earlier one."""
    world = after(place(), authorise(10_000, expires_at=hours(70))).world
    given(world).when(remind(24, hours(71))).nothing()
    world = after(place()).world
    given(world).when(remind(24, DUE)).nothing()
    assert catch_up(world, DUE) == ["order.payment_reminded.v1"]
    assert world.order().money.reminded == (0,)


def test_what_is_owed_again_is_not_reminded_of_twice() -> None:
    world = after(place(), remind(24, hours(48)), pay(10_000), unrecord()).world
    assert [one.of for one in due(world) if one.kind == "payment_reminder"] == ["0"]


# -- overdue -------------------------------------------------------------------------------------


def test_an_unpaid_order_is_cancelled_and_its_stock_freed() -> None:
    """covers: A21: on time is up to and including the last instant."""
    world = after(receive(10), place()).world
    assert [one for one in due(world) if one.due_at > DUE] == [
        Deadline(LATE, "payment_overdue"),
        Deadline(LATE, "cancel_overdue"),
    ]
    assert catch_up(world, DUE) == ["order.payment_reminded.v1"]
    assert catch_up(world, LATE) == ["order.payment_overdue.v1", "order.cancelled.v2"]
    assert world.stock().reserved == 0
    assert due(world) == []


@pytest.mark.parametrize(
    ("policy", "before"),
    [
        ({}, [pay(4000)]),
        ({}, [authorise(4000)]),
        ({}, [pack((1, 1))]),
        ({"payment": {"on_overdue": "late_fee"}}, []),
        ({"payment": {"on_overdue": "stop_service"}}, []),
        ({"status": {"confirm": ["cancel_overdue"]}}, []),
    ],
)
def test_what_is_left_to_a_person_is_declared_overdue_and_no_more(
    policy: Any, before: list[Any]
) -> None:
    """covers: A21: partly paid, held, packed, or as the policy says."""
    world = given(None, publish(**policy), place(), *before).world
    done = catch_up(world, LATE)
    assert "order.payment_overdue.v1" in done
    assert "order.cancelled.v2" not in done


def test_what_is_partly_paid_becomes_a_case() -> None:
    """covers: A21: DOMAIN.md's payment_mismatch, once, also when it is found late"""
    world = after(place(), pay(4000)).world
    done = ["order.payment_reminded.v1", "order.payment_overdue.v1", "order.case_opened.v1"]
    assert catch_up(world, LATE) == done
    [case] = world.order().cases.cases.values()
    assert (case.kind, case.blocking) == ("payment_mismatch", False)
    assert case.figures == {"paid_minor": 4000, "outstanding_minor": 6000}
    given(world).when(money(DeclareOverdue, at=hours(99))).nothing()
    later = after(place(), authorise(10_000), money(DeclareOverdue, at=LATE), capture(1000)).world
    assert later.order().cases.cases == {}
    done_late = catch_up(given(later, unhold()).world, hours(80))
    assert done_late == ["order.payment_reminded.v1", "order.case_opened.v1"]


def test_money_that_was_held_too_long_is_no_reason_any_more() -> None:
    world = after(place(), authorise(10_000, expires_at=hours(80))).world
    done = catch_up(world, hours(80))
    assert done == ["order.payment_overdue.v1"]
    assert catch_up(world, hours(81)) == [
        "order.authorisation_expired.v1",
        "order.payment_reminded.v1",
        "order.cancelled.v2",
    ]


def test_whom_a_person_brought_back_the_clock_does_not_cancel_again() -> None:
    world = after(place()).world
    catch_up(world, LATE)
    back = given(world, money(ReinstateOrder, at=hours(73))).world
    assert "cancel_overdue" not in kinds(back)
    given(back).when(money(CancelOverdue, at=hours(74))).refused("not_due")
    given(back).when(money(CancelOverdue, at=hours(73 + 73))).refused(
        "not_cancelled_by_itself", why="reinstated"
    )


def test_money_that_was_never_there_makes_an_order_overdue_again() -> None:
    world = after(place(), money(DeclareOverdue, at=LATE), pay(10_000), unrecord()).world
    assert kinds(world)[:1] == ["payment_reminder"]
    assert "payment_overdue" in kinds(world)


# -- late fee ------------------------------------------------------------------------------------


def test_the_late_fee_grows_by_the_local_day() -> None:
    """covers: A22: from one midnight of the shop to the next"""
    rules = {"on_overdue": "late_fee", "late_fee_percent_per_day": "1"}
    world = given(None, publish(payment=rules), place()).world
    catch_up(world, LATE)
    assert due(world) == [Deadline(datetime(2025, 3, 5, 16, tzinfo=UTC), "late_fee", "2025-03-05")]
    assert catch_up(world, datetime(2025, 3, 5, 15, 59, 59, tzinfo=UTC)) == []
    assert catch_up(world, datetime(2025, 3, 5, 16, tzinfo=UTC)) == ["order.late_fee_charged.v1"]
    assert world.order().money.late_fees_minor == 100
    assert catch_up(world, datetime(2025, 3, 9, 17, tzinfo=UTC)) == ["order.late_fee_charged.v1"]
    assert world.order().money.late_fees_minor == 500
    paid = given(world, pay(10_500, at=datetime(2025, 3, 9, 18, tzinfo=UTC))).world
    assert due(paid) == []


def test_a_day_is_as_long_as_the_shops_clock_makes_it() -> None:
    """covers: A22: 23 hours on the Sunday that the clock goes forward, 25 when it goes back"""
    rules: Any = {
        "payment": {
            "on_overdue": "late_fee",
            "term_hours": 1,
            "reminder_hours": [0],
            "late_fee_percent_per_day": "1",
        },
        "calendar": {"kind": "own", "time_zone": "Europe/Berlin"},
    }
    for first, length in ((datetime(2025, 3, 29, 8, tzinfo=UTC), 23), (OCTOBER, 25)):
        policy = publish(first - timedelta(days=1), **rules)
        world = given(None, policy, place(at=first, numbers=("1",))).world
        catch_up(world, first + timedelta(hours=2))
        [one] = [d for d in due(world) if d.kind == "late_fee"]
        midnight = datetime.fromisoformat(one.of).replace(tzinfo=ZoneInfo("Europe/Berlin"))
        assert one.due_at - midnight.astimezone(UTC) == timedelta(hours=length)


OCTOBER = datetime(2025, 10, 25, 8, tzinfo=UTC)


def test_a_fee_that_has_reached_its_cap_is_due_no_more() -> None:
    """covers: A22"""
    rules = {"on_overdue": "late_fee", "late_fee_percent_per_day": "1", "late_fee_cap_bp": 200}
    world = given(None, publish(payment=rules), place()).world
    catch_up(world, hours(24 * 30))
    assert world.order().money.late_fees_minor == 200
    assert due(world) == []


def test_a_fee_below_half_a_cent_waits_until_it_adds_up() -> None:
    rules = {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.05"}
    tea = {"sku": "TEA", "name": "T", "category": "d", "quantity": 1, "unit_price_minor": 200}
    world = given(None, publish(payment=rules), place("A", tea)).world
    catch_up(world, LATE)
    [one] = due(world)
    assert one.of == "2025-03-09"  # five days at a tenth of a cent
    assert catch_up(world, one.due_at - timedelta(microseconds=1)) == []
    assert catch_up(world, one.due_at) == ["order.late_fee_charged.v1"]


def test_waiting_for_a_person_charges_nothing() -> None:
    rules: Any = {"payment": {"on_overdue": "late_fee"}, "status": {"confirm": ["charge_late_fee"]}}
    world = given(None, publish(**rules), place()).world
    catch_up(world, hours(1000))
    assert world.order().money.late_fees_minor == 0
    then = given(world).when(money(ChargeLateFee, at=hours(1000)))
    then.topics("order.late_fee_charged.v1")


# -- authorisations, gifts, overpayments ---------------------------------------------------------


def test_money_is_held_until_its_time_is_over() -> None:
    world = after(place(), authorise(10_000, expires_at=hours(30))).world
    assert due(world)[0] == Deadline(
        hours(30) + timedelta(microseconds=1), "authorisation_expiry", "H1"
    )
    given(world).when(money(ExpireAuthorisation, payment_id="H1", at=hours(30))).refused(
        "not_expired"
    )
    assert catch_up(world, hours(31)) == ["order.authorisation_expired.v1"]


def test_gifts_expire_the_earliest_first() -> None:
    world = given(None, register(), gift(500, "G1", 30), gift(700, "G2", 10)).world
    account = StreamName("account", "li@CNY")
    assert deadlines.due_of_account(world.account()) == [Deadline(hours(240), "gift_expiry")]
    [one] = deadlines.due_of_account(world.account())
    command = deadlines.command(account, one, hours(240))
    assert command == expire_gifts(hours(240))
    world = given(world, command).world
    assert deadlines.due_of_account(world.account()) == [Deadline(hours(720), "gift_expiry")]
    world = given(world, expire_gifts(hours(720))).world
    assert deadlines.due_of_account(world.account()) == []


def test_an_overpayment_stays_for_a_week_and_is_then_a_refund() -> None:
    """covers: A24"""
    world = after(place(), pay(10_000), pay(500, "P2", at=hours(5))).world
    until = hours(5 + 7 * 24)
    assert due(world) == [Deadline(until + timedelta(microseconds=1), "overpayment")]
    ask = money(RefundOverpayment, actor="deadlines", at=until)
    given(world).when(ask).refused("not_due")
    assert catch_up(world, until + timedelta(seconds=1)) == [
        "order.refund_requested.v2",
        "order.refund_approved.v1",
    ]
    [refund_of] = world.order().refunds.values()
    assert (refund_of.amount_minor, refund_of.reason) == (500, "overpayment")
    assert refund_of.payments == {"P2": 500}
    given(world).when(money(RefundOverpayment, actor="deadlines", at=hours(999))).nothing()


def test_what_becomes_owed_meanwhile_uses_up_the_overpayment() -> None:
    world = after(place(), pay(10_500), amend({"line_no": 1, "quantity": 3})).world
    assert "overpayment" not in kinds(world)
    later = given(world, amend({"line_no": 1, "quantity": 2}, at=hours(10))).world
    [one] = [d for d in due(later) if d.kind == "overpayment"]
    assert one.due_at == hours(10 + 7 * 24) + timedelta(microseconds=1)


def test_an_overpayment_may_wait_for_a_person() -> None:
    confirm = publish(status={"confirm": ["refund_overpayment"]})
    assert due(given(None, confirm, place(), pay(12_000)).world) == []
    evidence = publish(refund={"evidence_for": ["overpayment"]})
    assert due(given(None, evidence, place(), pay(12_000)).world) == []


# -- refunds -------------------------------------------------------------------------------------


def test_a_refund_asked_for_on_the_friday_before_a_holiday() -> None:
    """Friday 3 April 2026; 4 to 6 April are 清明节. covers: A7"""
    friday = datetime(2026, 4, 3, 15, tzinfo=SHANGHAI).astimezone(UTC)
    asked = refund(500, at=friday)
    world = given(None, place(at=friday), pay(10_000, at=friday), asked).world
    # Tuesday 7, Wednesday 8, Thursday 9: due at the end of the third working day.
    end = datetime(2026, 4, 10, tzinfo=SHANGHAI).astimezone(UTC)
    [one] = due(world)
    assert one == Deadline(end + timedelta(microseconds=1), "refund_overdue", "R1")
    given(world).when(alert(end)).refused("not_due")
    assert catch_up(world, end) == []
    assert catch_up(world, one.due_at) == ["order.alert_raised.v1"]
    given(world).when(alert(hours(24 * 900))).nothing()
    assert [a.of for a in order_alerts.standing(world.order())] == ["R1"]
    assert due(world) == []


def test_an_alert_ends_with_the_fact_that_ends_it() -> None:
    """covers: A7"""
    world = after(place(), pay(10_000), refund(500)).world
    assert catch_up(world, hours(240)) == ["order.alert_raised.v1"]
    for end in (pay_refund(), deny_refund(), ask_evidence(at=hours(241))):
        assert order_alerts.standing(given(world, end).world.order()) == []
    failed = given(world, pay_refund(), fail_refund()).world
    assert len(order_alerts.standing(failed.order())) == 1
    assert due(failed) == []  # Raised once: it is as late as it was.


def test_a_refund_that_nobody_decides_on_is_told_as_that() -> None:
    """covers: A7"""
    world = after(place("A", BIG), pay(200_000), refund(150_000)).world
    assert kinds(world) == ["refund_undecided", "refund_overdue"]
    decided = given(world, approve_refund()).world
    assert kinds(decided) == ["refund_overdue"]
    given(decided).when(alert(hours(999), "refund_undecided")).nothing()


BIG = {"sku": "POT", "name": "Pot", "category": "d", "quantity": 1, "unit_price_minor": 200_000}


def test_waiting_for_the_customer_is_nobodys_delay() -> None:
    """covers: A7: the term stands still, and then runs on"""
    world = after(place(), pay(10_000), refund(500), ask_evidence(at=hours(1))).world
    assert due(world) == []
    shown = given(world, add_evidence("a" * 64, at=hours(24 * 10))).world
    [one] = due(shown)
    assert one.kind == "refund_overdue"
    assert one.due_at > hours(24 * 10)


# -- stopping the service ------------------------------------------------------------------------

STOP = publish(payment={"on_overdue": "stop_service"})
PAID_B = [place("B"), pay(10_000, "PB", "B"), pack((1, 2), order_id="B")]


def test_who_has_not_paid_gets_nothing_more() -> None:
    """covers: A22: 停止服务: new orders and dispatches, until paid"""
    world = given(None, STOP, place(), *PAID_B, money(DeclareOverdue, at=LATE)).world
    assert world.state(customer_stream("li")).stops.keys() == {"A"}
    for refused in (place("C"), dispatch(), dispatch(unpaid_reason="urgent")):
        then = given(world).when(refused)
        then.refused("service_stopped")
        assert "order number-A: 100.00" in then.message
    given(world).when(place("C", customer_id="wang")).topics(
        "order.placed.v4", "order.approved.v1", "customer.registered.v1"
    )
    reachable = {"name": "Li Wei", "phone": "13800000000"}
    given(world).when(place("C", channel="marketplace", contact=reachable)).topics(
        "order.placed.v4", "order.approved.v1"
    )
    given(world).when(place("B")).nothing()  # It was placed already.
    partly = given(world, pay(4000)).world
    given(partly).when(dispatch()).refused("service_stopped")
    paid = given(partly).when(pay(6000, "P2")).world
    assert paid.state(customer_stream("li")).stops == {}
    given(paid).when(dispatch()).topics("order.dispatched.v1", "parcel.dispatched.v1")


@pytest.mark.parametrize("end", [cancel(), void(), amend({"line_no": 1, "unit_price_minor": 0})])
def test_an_order_that_owes_nothing_any_more_stands_in_nobodys_way(end: Any) -> None:
    world = given(None, STOP, place(), money(DeclareOverdue, at=LATE), end).world
    assert world.state(customer_stream("li")).stops == {}


def test_all_overdue_orders_have_to_be_paid() -> None:
    late = [money(DeclareOverdue, name, at=LATE) for name in "AB"]
    world = given(None, STOP, place(), place("B"), *late, pay(10_000)).world
    given(world).when(place("C")).refused("service_stopped")
    given(given(world, pay(10_000, "P2", "B")).world).when(place("C")).topics(
        "order.placed.v4", "order.approved.v1"
    )


def test_other_policies_stop_nothing() -> None:
    world = given(None, place(), money(DeclareOverdue, at=LATE)).world
    assert world.state(customer_stream("li")).stops == {}
