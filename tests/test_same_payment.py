"""The same payment, told twice, counts once; that another one looks like it can be said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.desk_names import order_stream
from domain.message import Rejected
from domain.order_money import Payment
from domain.payment_commands import RecordRemittance, RefuseDelivery, RequestCapture
from domain.payment_facts import PaymentMovedIn
from domain.provider import notice_stream
from domain.provider_commands import ApplyNotice, AssignNotice, RecordNotice
from tests.given import NOON, World, after, given, hours
from tests.given_money import authorise, capture, money, move, pay, unrecord
from tests.given_orders import deliver, dispatch, pack, place

CAPTURED = "order.payment_captured.v2"


def paid_in(world: World) -> int:
    return world.order().paid_minor


def alipay(payment_id: str, amount_minor: int = 4_000, **more: Any) -> Any:
    return pay(amount_minor, payment_id, **({"reference": "2026022822001"} | more))


def transfer(payment_id: str, amount_minor: int = 4_000, **more: Any) -> Any:
    return alipay(payment_id, amount_minor, method="bank_transfer", reference="number-A", **more)


def cash(payment_id: str, amount_minor: int = 4_000, **more: Any) -> Any:
    body: dict[str, Any] = {
        "carrier": "sf",
        "fee_minor": 40,
        "reference": "BATCH",
        "payment_id": payment_id,
    }
    return money(RecordRemittance, amount_minor=amount_minor, **(body | more))


# -- the same


@pytest.mark.parametrize("one", [alipay, transfer, cash])
def test_the_same_payment_sent_again_under_a_new_id_is_recorded_already(one: Any) -> None:
    """covers: A76: also for who sends no idempotency key."""
    start = after(place(), one("P1"))
    start.when(one("P2")).nothing()
    told = start.world.answer(one("P2"))
    assert (told["payment_id"], told["already_recorded"]) == ("P1", True)
    assert (told["outcome"], told["paid_minor"]) == ("partly_paid", 4_000)
    assert "already_recorded" not in after(place()).world.answer(one("P1"))


def test_a_reference_of_a_providers_names_one_payment() -> None:
    start = after(place(), alipay("P1", payer="Li Wei"))
    start.when(alipay("P2", payer="  li  WEI ")).nothing()
    start.when(alipay("P2", payer=None)).nothing()
    start.when(alipay("P2", value_date="2025-02-28")).nothing()
    refused = start.when(alipay("P2", 4_001)).refused
    refused("payment_reference_used", payment_id="P1", amount_minor=4_000)
    start.when(alipay("P2", payer="Wang Fang")).refused("payment_reference_used", payment_id="P1")
    start.when(alipay("P2", method="wechat_pay")).topics(CAPTURED)
    start.when(alipay("P2", reference="2026022822002")).topics(CAPTURED)


def test_several_transfers_may_have_the_orders_number_as_their_reference() -> None:
    first = transfer("P1", payer="Li Wei", value_date="2025-02-28")
    start = after(place(), first)
    for other in (
        transfer("P2", 3_000),
        transfer("P2", payer="Wang Fang"),
        transfer("P2", value_date="2025-03-01"),
    ):
        start.when(other).topics(CAPTURED)
    start.when(transfer("P2", value_date="2025-02-28")).nothing()
    timed = after(place(), transfer("P1", occurred_at=hours(-30)))
    timed.when(transfer("P2", occurred_at=hours(-30))).nothing()
    timed.when(transfer("P2", occurred_at=hours(-2))).topics(CAPTURED)


@pytest.mark.parametrize("one", [alipay, transfer, cash])
def test_another_one_that_looks_the_same_is_said_to_be_another(one: Any) -> None:
    """What was said so is known again as well, however often it is sent."""
    second = one("P2", another_than="P1")
    world = after(place(), one("P1")).when(second).topics(CAPTURED)
    assert paid_in(world) == 8_000
    again = world.answer(one("P3", another_than="P1"))
    assert (again["payment_id"], again["paid_minor"]) == ("P2", 8_000)
    assert world.answer(one("P3"))["payment_id"] == "P1"
    given(world).when(one("P3", another_than="P2")).topics(CAPTURED)
    given(world).when(one("P3", another_than="P9")).refused("payment_not_found", payment_id="P9")


def test_captures_in_parts_share_the_reference_of_what_was_held() -> None:
    start = after(place(), authorise(8_000, reference="AUTH"), capture(4_000), capture(4_000, "P2"))
    assert paid_in(start.world) == 8_000
    typed = pay(4_000, "P3", method="credit_card", reference="AUTH")
    start.when(typed).nothing()  # That money is known: it was captured.


def test_what_was_recorded_by_mistake_is_no_payment_that_is_known() -> None:
    after(place(), alipay("P1"), unrecord("P1")).when(alipay("P2")).topics(CAPTURED)


def test_money_that_came_by_moving_is_known_by_its_reference() -> None:
    start = after(place("A"), place("B"), alipay("P1"), move("P1", "B"))
    told = start.world.answer(alipay("P2", order_id="B"))
    assert (told["payment_id"], told["already_recorded"]) == ("M-P1", True)


def test_what_a_person_typed_before_its_provider_told_it_is_one_payment() -> None:
    """covers: R16: both orders of arrival; another amount is set aside until a person looks."""
    said = {"kind": "captured", "order_ref": "A", "method": "alipay", "amount_minor": 4_000}
    ids = {"provider": "acme", "notice_id": "n-1", "payment": "2026022822001"}
    body = {**said, **ids, "occurred_at": NOON, "currency": "CNY", "at": NOON}
    notice = RecordNotice.model_validate(body)
    applied = ApplyNotice(provider="acme", notice_id="n-1", order_id="A", at=NOON)
    for typed, code in ((alipay("P1"), None), (alipay("P1", 1_000), "payment_reference_used")):
        world = given(after(place(), typed).world, notice, applied).world
        assert [*world.order().payments] == ["P1"]
        last = world.events[notice_stream("acme", "n-1")][-1]
        assert getattr(last, "code", None) == code
    wrong = given(after(place(), alipay("P1", 1_000)).world, notice, applied, unrecord()).world
    again = AssignNotice(provider="acme", notice_id="n-1", order_id="A", at=NOON)
    assert paid_in(given(wrong, again, applied).world) == 4_000
    body |= {"kind": "chargeback_opened", "notice_id": "n-2", "dispute": "d", "code": "fraud"}
    dispute = [RecordNotice.model_validate(body), applied.model_copy(update={"notice_id": "n-2"})]
    disputed = given(after(place(), alipay("P1")).world, notice, applied, *dispute).world
    assert disputed.order().payments["P1"].disputed_minor == 4_000
    told = given(after(place()).world, notice, applied).world
    assert told.answer(alipay("P1"))["already_recorded"]


def test_what_is_held_under_a_reference_of_a_providers_is_held_once() -> None:
    said = {"reference": "2026022822001", "method": "alipay"}
    start = after(place(), authorise(4_000, **said))
    start.when(authorise(4_000, "H2", **said)).nothing()
    told = start.world.answer(authorise(4_000, "H2", **said))
    assert (told["payment_id"], told["outcome"], told["already_recorded"]) == ("H1", "held", True)
    refused = start.when(authorise(4_001, "H2", **said)).refused
    refused("payment_reference_used", payment_id="H1", amount_minor=4_000)


# -- who paid


def test_moved_money_keeps_its_payer() -> None:
    """A refund gives it back to who paid it, wherever it was moved to."""
    start = after(place("A"), place("B"), place("C"), alipay("P1", payer="Li Wei"), move("P1", "B"))
    back = move("M-P1", "C", order_id="B")
    world = given(start.world).when(back).world
    into = world.events[order_stream("C")][-1]
    assert isinstance(into, PaymentMovedIn)
    assert into.payer == "Li Wei"
    known: Payment = world.order("C").payments["M-M-P1"]
    assert known.payer == "Li Wei"


# -- times that can be meant


def test_money_is_not_held_until_a_time_that_has_passed() -> None:
    for late in (NOON, NOON - timedelta(seconds=1)):
        with pytest.raises(ValidationError, match=r"expires_at\n.*must lie ahead"):
            authorise(1, expires_at=late)
    after(place()).when(authorise(1, expires_at=hours(1))).topics("order.payment_authorised.v1")


def test_what_had_expired_when_a_provider_told_it_is_recorded_as_told() -> None:
    said = {"kind": "authorised", "order_ref": "A", "method": "alipay", "amount_minor": 4_000}
    ids = {"provider": "acme", "notice_id": "n-1", "payment": "ch-1", "currency": "CNY"}
    late = {"occurred_at": NOON, "expires_at": hours(-1), "at": hours(2)}
    notice = RecordNotice.model_validate({**said, **ids, **late})
    applied = ApplyNotice(provider="acme", notice_id="n-1", order_id="A", at=hours(2))
    world = given(after(place(at=hours(-2))).world, notice, applied).world
    [held] = world.order().money.authorisations.values()
    assert held.expires_at == hours(-1)


DEPOSIT = {"value_date": "2024-12-01"}
SLIP: dict[str, Any] = {"value_date": "2024-11-30"}
OLD: dict[str, Any] = {"occurred_at": NOON - timedelta(days=90, seconds=1)}


@pytest.mark.parametrize("one", [alipay, cash, lambda name, **more: capture(4_000, name, **more)])
def test_money_is_a_deposit_before_its_order_but_no_slip_in_the_year(one: Any) -> None:
    start = after(place(), authorise(8_000))
    start.when(one("P1", **DEPOSIT)).topics(CAPTURED)
    start.when(one("P1", occurred_at=NOON - timedelta(days=90))).topics(CAPTURED)
    for slip, field in ((SLIP, "value_date"), (OLD, "occurred_at")):
        start.when(one("P1", **slip)).refused("time_before_order", field=field, days_max=90)


@pytest.mark.parametrize("channel", ["marketplace", "import"])
def test_what_was_sold_elsewhere_is_older_than_its_placement(channel: str) -> None:
    after(place(channel=channel)).when(alipay("P1", **SLIP)).topics(CAPTURED)


def test_a_delivery_is_not_long_before_its_order() -> None:
    start = after(place(), pay(10_000), pack((1, 2)), dispatch())
    start.when(deliver(delivered_at=hours(-1))).topics("parcel.delivered.v1", "order.delivered.v1")
    start.when(deliver(delivered_at=OLD["occurred_at"])).refused(
        "time_before_order", field="delivered_at"
    )
    by_cash = after(place(payment_method="cash_on_delivery"), pack((1, 2)), dispatch())
    refused = money(RefuseDelivery, parcel_id="K", **OLD)
    by_cash.when(refused).refused("time_before_order", field="occurred_at")


# -- captures that are asked for


def asked(payment_id: str = "C1", **more: Any) -> Any:
    return money(RequestCapture, authorisation_id="H1", payment_id=payment_id, **more)


def test_asking_for_a_capture_of_nothing_says_what_is_held() -> None:
    start = after(place(), authorise(8_000), capture(5_000))
    start.when(asked(amount_minor=4_000)).refused("capture_exceeds_authorised", held_minor=3_000)
    world = start.when(asked()).world
    refusal = given(world).when(asked("C2")).outcome
    assert isinstance(refusal, Rejected)
    assert (refusal.code, refusal.facts["captured_minor"]) == ("nothing_held", 5_000)
    assert refusal.facts["asked_minor"] == 3_000
    assert "of 80.00 held as H1 nothing is left" in refusal.message
    assert "50.00 captured, 30.00 asked for already" in refusal.message
    late = after(place(), authorise(8_000, expires_at=hours(1)))
    late.when(asked(at=hours(2))).refused("nothing_held", why="expired", authorised_minor=8_000)
    taken = after(place(), pay(1_000), authorise(8_000))
    wrong = money(RequestCapture, authorisation_id="P1", payment_id="C1")
    message = taken.when(wrong).message
    assert "P1 is money that was taken already; held is 80.00 as H1" in message
