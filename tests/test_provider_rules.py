"""What a payment provider's notices mean, and what may be paid out: the rules, without a provider.

Notices come late, twice and out of order; nobody may pay a refund while a provider may be doing so.
"""

from __future__ import annotations

import base64
import hmac
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from commands.provider import ID, SIGNATURE, TIMESTAMP, TOLERANCE_SECONDS, is_signed, sign
from domain.desk_names import order_stream
from domain.payment_commands import RequestCapture
from domain.payout import Payout, key_of, payout_stream
from domain.provider import Told, notice_stream, their_id
from domain.provider_commands import (
    ApplyNotice,
    AskPayout,
    AssignNotice,
    Notice,
    PayoutPartBody,
    RecordNotice,
    SetNoticeAside,
)
from domain.refund_commands import DenyRefund, FailRefund, PayRefund, RequestRefund, RetryRefund
from tests.given import NOON, Given, after, given
from tests.given_orders import line, place

TOTAL = 10_000
CHARGE = their_id("acme", "ch-1")


def told(kind: str, notice_id: str = "", minutes: int = 0, **changes: Any) -> RecordNotice:
    """A notice of charge ch-1, `minutes` after noon."""
    said = {
        "notice_id": notice_id or f"{kind}-{minutes}",
        "kind": kind,
        "occurred_at": NOON + timedelta(minutes=minutes),
        "order_ref": "A",
        "payment": "ch-1",
        "method": "alipay",
        "amount_minor": TOTAL,
        "currency": "CNY",
    }
    return RecordNotice.model_validate({**said, **changes, "provider": "acme", "at": LATER})


LATER = NOON + timedelta(hours=1)


def apply(notice: RecordNotice, *, final: bool = False, order_id: str = "A") -> ApplyNotice:
    return ApplyNotice(
        provider="acme", notice_id=notice.notice_id, order_id=order_id, final=final, at=LATER
    )


def both(*notices: RecordNotice) -> list[Any]:
    return [command for notice in notices for command in (notice, apply(notice))]


def ask(refund_id: str = "R1", **parts: int) -> AskPayout:
    """All of them by the provider; of one payment the charge, unless named."""
    named = parts or {CHARGE: 4_000}
    return AskPayout(
        order_id="A",
        refund_id=refund_id,
        provider="acme",
        parts=[
            PayoutPartBody(key=key_of(refund_id, one, named), payment_id=one, amount_minor=amount)
            for one, amount in named.items()
        ],
        at=LATER,
    )


def refund(refund_id: str = "R1", amount_minor: int = 4_000) -> RequestRefund:
    return RequestRefund(
        order_id="A",
        refund_id=refund_id,
        actor="clerk",
        reason="late",
        amount_minor=amount_minor,
        evidence=[],
        at=LATER,
    )


def paid() -> Given:
    """An order of 100.00 that the provider has taken."""
    return after(place("A", line()), *both(told("captured")))


# -- notices -------------------------------------------------------------------------------------


def test_a_notice_is_kept_once_and_never_told_otherwise() -> None:
    """covers: A93"""
    notice = told("captured", "n-1")
    start = after(notice)
    start.when(notice).nothing()
    start.when(told("captured", "n-1", amount_minor=1)).refused("notice_differs")
    start.when(told("captured", "n-1", fee_minor=1)).refused("notice_differs")
    after().when(apply(notice)).refused("notice_not_found")


def test_webhook_and_checkout_commute() -> None:
    """Whichever is first, the order is the same: facts, money, status. covers: R16"""
    checkout, webhook = place("A", line()), told("captured")
    early = after(webhook)
    early.when(apply(webhook)).refused("order_not_found")  # It waits.
    one = after(webhook, checkout, apply(webhook)).world
    other = after(checkout, webhook, apply(webhook)).world
    assert one.order() == other.order()
    assert one.events[order_stream("A")] == other.events[order_stream("A")]
    assert one.order().balance_minor == 0


STORY = [
    told("authorised", "n-1", 1, expires_at=NOON + timedelta(days=7)),
    told("captured", "n-2", 2, capture="cp-1", amount_minor=6_000),
    told("captured", "n-3", 3, capture="cp-2", amount_minor=3_000),
    told("chargeback_opened", "n-4", 5, dispute="dp-1", amount_minor=3_000, code="fraud"),
    told("chargeback_won", "n-5", 6, dispute="dp-1", amount_minor=3_000, code="fraud"),
]


def test_notices_in_any_order_come_to_the_same_money() -> None:
    """Each waits for what it builds on. covers: R16, A62, A20"""
    outcomes = set()
    for order in permutations(STORY):
        world = after(place("A", line()), *order).world
        waiting = [*order]
        while waiting:
            left = []
            for one in waiting:
                tried = given(world).when(apply(one))
                world = tried.world
                if isinstance(tried.outcome, Exception):
                    left.append(one)
            assert len(left) < len(waiting), [one.kind for one in left]
            waiting = left
        state = world.order()
        held = state.money.authorisations[CHARGE]
        outcomes.add((state.paid_minor, held.captured_minor, held.open_minor, state.balance_minor))
        assert state.money.chargebacks[next(iter(state.money.chargebacks))].outcome == "won"
    assert outcomes == {(9_000, 9_000, 1_000, 1_000)}


def test_the_same_fact_under_another_id_is_superseded() -> None:
    start = paid()
    again = told("captured", "n-other", 1)
    world = given(start.world, again).when(apply(again)).topics("provider_notice.applied.v1")
    assert world.order().paid_minor == TOTAL
    assert world.events[notice_stream("acme", "n-other")][-1].outcome == "superseded"  # type: ignore[attr-defined]


def test_a_charge_that_was_held_is_taken_under_an_id_of_its_own() -> None:
    """Also where the provider names no capture; nothing is held any more, and nothing paid twice"""
    held, taken = told("authorised"), told("captured", minutes=5)
    start = after(place("A", line()), *both(held, taken))
    assert start.world.order().paid_minor == TOTAL
    assert start.world.order().money.authorised_minor == 0
    again = given(start.world, *both(told("captured", minutes=6))).world
    assert again.order().paid_minor == TOTAL
    other = after(place("A", line()), *both(taken, held)).world.order()
    assert (other.paid_minor, other.money.authorised_minor) == (TOTAL, 0)


def test_a_failure_told_after_the_success_changes_nothing() -> None:
    late = told("failed", "n-9", 0, code="card_declined")
    given(paid().world, late).when(apply(late)).topics("provider_notice.applied.v1")


def test_money_that_came_in_is_recorded_whatever_became_of_the_authorisation() -> None:
    """covers: A62"""
    held, voided = told("authorised", "n-1", 1), told("voided", "n-2", 3)
    captured = told("captured", "n-3", 2, capture="cp-1", amount_minor=4_000)
    world = after(place("A", line()), *both(held, voided, captured)).world
    state = world.order()
    assert (state.paid_minor, state.money.authorised_minor) == (4_000, 0)
    lone = after(place("A", line()), captured)
    lone.when(apply(captured)).refused("authorisation_not_found")  # It waits for that,
    assert lone.when(apply(captured, final=True)).world.order().paid_minor == 4_000  # not for ever.


def test_what_no_order_takes_is_set_aside_until_a_person_says_whose_it_is() -> None:
    """covers: A25"""
    foreign = told("captured", "n-1", currency="EUR")
    start = after(place("A", line()), place("B", line(), currency="EUR"), foreign)
    aside = start.when(apply(foreign)).topics("provider_notice.set_aside.v1")
    assert aside.order().paid_minor == 0
    assign = AssignNotice(provider="acme", notice_id="n-1", order_id="B", at=LATER)
    assigned = given(aside).when(assign).topics("provider_notice.assigned.v1")
    given(assigned).when(assign).nothing()
    done = given(assigned).when(apply(foreign, order_id="B")).world
    assert done.order("B").paid_minor == TOTAL
    given(done).when(assign).nothing()
    given(done).when(assign.model_copy(update={"order_id": "A"})).refused("notice_applied")
    nobody = assign.model_copy(update={"order_id": "C"})
    given(aside).when(nobody).refused("order_not_found")


def test_money_for_an_order_that_never_comes_is_shown_as_unknown() -> None:
    notice = told("captured", "n-1", order_ref="CHECKOUT-7")
    aside = SetNoticeAside(provider="acme", notice_id="n-1", at=LATER)
    world = after(notice).when(aside).topics("provider_notice.set_aside.v1")
    given(world).when(aside).nothing()
    state: Told = world.state(notice_stream("acme", "n-1"))
    assert state.status == "set_aside"


# -- captures that are asked for -------------------------------------------------------------------


def capture(payment_id: str, amount_minor: int | None = None) -> RequestCapture:
    return RequestCapture(
        order_id="A",
        authorisation_id=CHARGE,
        payment_id=payment_id,
        amount_minor=amount_minor,
        at=LATER,
    )


def test_captures_under_way_never_pass_what_is_held() -> None:
    """covers: A62"""
    start = after(place("A", line()), *both(told("authorised")), capture("C1", 6_000))
    start.when(capture("C1", 6_000)).nothing()
    start.when(capture("C2", 5_000)).refused("capture_exceeds_authorised", held_minor=4_000)
    done = told("captured", "n-2", 2, capture="cp-1", key="C1", amount_minor=6_000)
    world = given(start.world, *both(done)).world
    assert world.order().payments["C1"].amount_minor == 6_000  # Under the id that it was asked by.
    assert world.order().money.captures == {}
    given(world).when(capture("C2")).topics("order.capture_requested.v1")
    given(world).when(capture("C2", 4_001)).refused("capture_exceeds_authorised", held_minor=4_000)
    again = told("captured", "n-3", 3, capture="cp-1", key="C1", amount_minor=6_000)
    assert given(world, *both(again)).world.order().paid_minor == 6_000


def test_a_capture_that_failed_can_be_asked_for_anew() -> None:
    no = told("failed", "n-2", 2, key="C1", code="expired", amount_minor=TOTAL)
    start = after(place("A", line()), *both(told("authorised")), capture("C1"), *both(no))
    assert start.world.order().money.failures == {"C1": "expired"}
    start.when(capture("C2")).topics("order.capture_requested.v1")


# -- refunds ---------------------------------------------------------------------------------------


def refunded(
    key: str = "R1", minutes: int = 10, amount_minor: int = 4_000, **changes: Any
) -> RecordNotice:
    more = {"key": key, "amount_minor": amount_minor, **changes}
    return told("refunded", f"paid-{key}-{minutes}".replace("/", ":"), minutes, **more)


def no_refund(key: str = "R1", minutes: int = 10, amount_minor: int = 4_000) -> RecordNotice:
    more = {"key": key, "amount_minor": amount_minor, "code": "account_closed"}
    return told("refund_failed", f"no-{key}-{minutes}".replace("/", ":"), minutes, **more)


def test_equal_partial_refunds_both_pay() -> None:
    """The key is the refund's id, never its amount. covers: R18, A62"""
    start = given(paid().world, refund("R1"), refund("R2"), ask("R1"), ask("R2"))
    assert {key_of(one, CHARGE, {CHARGE: 1}) for one in ("R1", "R2")} == {"R1", "R2"}
    world = given(start.world, *both(refunded("R1"), refunded("R2"))).world
    assert [one.status for one in world.order().refunds.values()] == ["paid", "paid"]
    assert world.order().refunded_minor == 8_000
    given(world).when(refund("R3")).refused("refund_exceeds_paid")  # covers: R19


def test_what_is_asked_of_the_provider_is_what_was_requested() -> None:
    """covers: R10 preview_equals_applied"""
    start = given(paid().world, refund("R1"))
    start.when(ask("R1", **{CHARGE: 3_999})).refused("payout_differs", refund_minor=4_000)
    start.when(ask("R1", **{CHARGE: 4_001})).refused("payout_differs")
    start.when(ask("R2")).refused("refund_not_found")
    world = start.when(ask("R1")).topics("payout.asked.v1")
    given(world).when(ask("R1")).nothing()
    wrong = refunded("R1", amount_minor=4_001)
    aside = given(world, wrong).when(apply(wrong)).topics("provider_notice.set_aside.v1")
    assert aside.order().refunds["R1"].status == "approved"
    unasked = refunded("R9")
    given(world, unasked).when(apply(unasked)).topics("provider_notice.set_aside.v1")


def test_while_the_provider_may_be_paying_nobody_else_settles_the_refund() -> None:
    ids: dict[str, Any] = {"order_id": "A", "refund_id": "R1", "at": LATER}
    by_hand: list[Any] = [
        PayRefund(**ids, reference="by hand"),
        FailRefund(**ids, code="lost"),
        DenyRefund(**ids, reason="changed our mind"),
    ]
    free = given(paid().world, refund("R1"))
    asked = given(free.world, ask("R1"))
    failed = given(asked.world, *both(no_refund()))
    for command in by_hand:
        assert not isinstance(free.when(command).outcome, Exception)
        asked.when(command).refused("refund_under_way")
    failed.when(by_hand[2]).topics("order.refund_denied.v1")
    done = given(asked.world, *both(refunded()))
    done.when(by_hand[1]).refused("refund_under_way", paid_minor=4_000)
    denied = given(free.world, by_hand[2])
    denied.when(ask("R1")).refused("refund_is_denied")


def test_a_refund_that_failed_is_retried_under_the_same_key() -> None:
    retry = RetryRefund(order_id="A", refund_id="R1", at=LATER)
    failed = given(paid().world, refund("R1"), ask("R1"), *both(no_refund(minutes=10)))
    assert failed.world.order().refunds["R1"].status == "failed"
    failed.when(ask("R1")).refused("refund_is_failed")
    again = given(failed.world, retry, ask("R1"))
    state: Payout = again.world.state(payout_stream("R1"))
    assert {key: (one.status, one.attempt) for key, one in state.parts.items()} == {
        "R1": ("asked", 2)
    }
    late = told("refund_failed", "n-late", 10, key="R1", amount_minor=4_000, code="account_closed")
    still = given(again.world, *both(late))  # The first failure, told once more.
    assert still.world.order().refunds["R1"].status == "approved"
    world = given(still.world, *both(refunded(minutes=20))).world
    assert world.order().refunds["R1"].status == "paid"


@pytest.mark.parametrize("late", [False, True])
def test_by_the_providers_clock_the_last_word_counts(late: bool) -> None:
    failure, success = no_refund(minutes=10), refunded(minutes=20)
    order = (success, failure) if late else (failure, success)
    world = given(paid().world, refund("R1"), ask("R1"), *both(*order)).world
    assert world.order().refunds["R1"].status == "paid"
    bounced = no_refund(minutes=30)
    assert given(world, *both(bounced)).world.order().refunds["R1"].status == "failed"


def two_charges() -> Given:
    """100.00 in two charges of the provider, all of it to be refunded."""
    first = told("captured", "n-1", 1, amount_minor=6_000)
    second = told("captured", "n-2", 2, amount_minor=4_000, payment="ch-2")
    parts = {CHARGE: 6_000, their_id("acme", "ch-2"): 4_000}
    start = after(place("A", line()), *both(first, second), refund("R1", TOTAL))
    return given(start.world, ask("R1", **parts))


KEYS = [f"R1/{CHARGE}", f"R1/{their_id('acme', 'ch-2')}"]


def test_a_refund_to_two_payments_is_paid_when_both_are() -> None:
    """covers: A62"""
    first = refunded(KEYS[0], amount_minor=6_000)
    second = refunded(KEYS[1], minutes=11, amount_minor=4_000, payment="ch-2")
    half = given(two_charges().world, *both(first))
    assert half.world.order().refunds["R1"].status == "approved"
    assert given(half.world, *both(second)).world.order().refunds["R1"].status == "paid"


def test_a_refund_that_failed_in_part_frees_nothing() -> None:
    """What was paid must not be refunded once more; the rest is a person's to pay."""
    first = refunded(KEYS[0], amount_minor=6_000)
    second = no_refund(KEYS[1], 11, 4_000)
    for order in ((first, second), (second, first)):
        world = given(two_charges().world, *both(*order)).world
        assert world.order().refunds["R1"].status == "approved"
        given(world).when(refund("R2", 1)).refused("refund_exceeds_paid")
        given(world).when(FailRefund(order_id="A", refund_id="R1", code="x", at=LATER)).refused(
            "refund_under_way"
        )
        aside: Told = world.state(notice_stream("acme", order[1].notice_id))
        assert aside.status == "set_aside"
        hand = PayRefund(order_id="A", refund_id="R1", reference="bank", at=LATER)
        assert given(world).when(hand).world.order().refunds["R1"].status == "paid"


# -- signatures ------------------------------------------------------------------------------------

SECRET = SecretStr("a secret of our own")


def test_only_what_the_provider_signed_just_now_is_believed() -> None:
    body = b'{"amount_minor": 100}'
    headers = sign(SECRET, "n-1", NOON, body)
    assert is_signed(SECRET, headers, body, NOON)
    both_secrets = {**headers, SIGNATURE: f"v1,older {headers[SIGNATURE]}"}
    assert is_signed(SECRET, both_secrets, body, NOON)
    for seconds in (-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1):
        assert not is_signed(SECRET, headers, body, NOON + timedelta(seconds=seconds))
    assert not is_signed(SECRET, headers, body.replace(b"100", b"900"), NOON)
    assert not is_signed(SecretStr("another secret..."), headers, body, NOON)
    for name in headers:
        assert not is_signed(SECRET, {**headers, name: ""}, body, NOON)
        assert not is_signed(SECRET, {k: v for k, v in headers.items() if k != name}, body, NOON)
    assert not is_signed(SECRET, {**headers, TIMESTAMP: "²"}, body, NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "chargeback_opened", "code": "fraud"},
        {"kind": "failed"},
        {"amount_minor": 0},
        {"amount_minor": "100"},
        {"currency": "cny"},
        {"method": "cash_on_delivery"},
        {"payment": "ch 1"},
        {"surprise": 1},
    ],
)
def test_what_is_no_notice_is_refused(wrong: dict[str, Any]) -> None:
    said = {
        "notice_id": "n-1",
        "kind": "captured",
        "occurred_at": NOON,
        "order_ref": "A",
        "payment": "ch-1",
        "method": "alipay",
        "amount_minor": 1,
        "currency": "CNY",
    }
    Notice.model_validate(said)
    with pytest.raises(ValidationError):
        Notice.model_validate(said | wrong)


def test_a_secret_in_base64_signs_as_the_libraries_of_the_standard_do() -> None:
    """The key is what `whsec_` stands before, decoded."""
    text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body, seconds = b'{"id":"n-1"}', str(int(NOON.timestamp()))
    key = base64.b64decode(text.removeprefix("whsec_"))
    mac = hmac.digest(key, b".".join([b"n-1", seconds.encode(), body]), "sha256")
    headers = {ID: "n-1", TIMESTAMP: seconds, SIGNATURE: f"v1,{base64.b64encode(mac).decode()}"}
    assert is_signed(SecretStr(text), headers, body, NOON)
    assert not is_signed(SecretStr(text.removeprefix("whsec_")), headers, body, NOON)
