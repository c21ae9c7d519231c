"""Every command of the order desk: sent twice, sent for nothing, and which streams it asks for."""

from __future__ import annotations

import pytest

from domain import desk, desk_names, policy
from domain.message import Command
from domain.order_commands import (
    EndOverride,
)
from domain.order_line import OrderLine
from tests.given import NOON, World, after, given, hours
from tests.given_money import pay
from tests.given_orders import (
    amend,
    approve,
    cancel,
    deliver,
    dispatch,
    line,
    note,
    override,
    pack,
    place,
    receive,
    scan,
    void,
)
from tests.given_returns import (
    add_evidence,
    approve_refund,
    approve_return,
    ask_evidence,
    close_return,
    compensate,
    deny_refund,
    deny_return,
    exchange,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)

SENT = (receive(10), place(), pay(10000), pack((1, 2)), dispatch())
TWICE: list[tuple[tuple[Command, ...], Command]] = [
    ((), place()),
    ((place(),), approve()),
    ((place(),), amend({"line_no": 1, "quantity": 1})),
    ((place(),), pay(10000)),
    ((place(),), pack((1, 2))),
    (SENT[:-1], dispatch()),
    (SENT, deliver(name="Wang")),
    (SENT, scan("in_transit", hours(1))),
    (SENT, scan("delivered", hours(1))),
    ((receive(10), place()), cancel()),
    (SENT, refund(100)),
    ((*SENT, refund(100)), deny_refund()),
    ((*SENT, refund(100)), fail_refund()),
    ((*SENT, refund(100), fail_refund()), retry_refund()),
    ((*SENT, refund(100)), ask_evidence()),
    ((*SENT, refund(100)), add_evidence("a" * 64)),
    (SENT, compensate(100)),
    ((*SENT, deliver()), send_back((1, 1))),
    ((*SENT, deliver(), send_back((1, 1))), approve_return()),
    ((*SENT, deliver(), send_back((1, 1))), deny_return()),
    ((*SENT, deliver(), send_back((1, 1)), approve_return()), take_back((1, 1))),
    ((*SENT, deliver(), send_back((1, 1)), approve_return()), close_return()),
    ((*SENT, deliver()), exchange(line("POT"), back=((1, 1),))),
    ((*SENT, refund(100)), pay_refund()),
    ((place(),), note()),
    ((place(),), override("stage", "on_hold")),
    ((place(), override("stage", "on_hold")), EndOverride(order_id="A", at=NOON)),
    ((receive(10), place()), void()),
]


@pytest.mark.parametrize(("before", "command"), TWICE)
def test_every_command_twice_adds_nothing(before: tuple[Command, ...], command: Command) -> None:
    """covers: L13: the part of it that the state knows; the rest is the key's."""
    after(*before, command).when(command).nothing()


@pytest.mark.parametrize(
    "command",
    [
        approve(),
        amend({"line_no": 1, "quantity": 1}),
        pay(1),
        cancel(),
        refund(1),
        pay_refund(),
        approve_refund(),
        compensate(1),
        send_back((1, 1)),
        approve_return(),
        deny_return(),
        take_back((1, 1)),
        close_return(),
        exchange(line(), back=((1, 1),)),
        note(),
        override("stage", "on_hold"),
        EndOverride(order_id="A", at=NOON),
        void(),
        pack((1, 1)),
    ],
)
def test_an_order_that_is_not_there_is_not_found(command: Command) -> None:
    given().when(command).refused("order_not_found", order_id="A")


def test_the_desk_asks_for_what_it_needs_and_no_more() -> None:
    tea, order, parcel = (
        desk_names.stock_stream("TEA", "main"),
        desk_names.order_stream("A"),
        desk_names.parcel_stream("K"),
    )
    world = after(*SENT).world
    assert world.needed(place("B", external_ref="R")).keys() == {
        desk_names.order_stream("B"),
        desk_names.number_claim("number-B"),
        desk_names.external_ref_claim("main", "R"),
        desk_names.customer_stream("li"),
        policy.policy_stream("main"),
        tea,
    }
    assert world.needed(pay(1)).keys() == {order, policy.policy_stream("main")}
    assert world.needed(deliver()).keys() == {parcel, order}
    claim = desk_names.tracking_claim("sf-express", "SF-K")
    li = desk_names.customer_stream("li")
    assert world.needed(dispatch()).keys() == {parcel, order, tea, claim, li}
    reserved = after(receive(10), place()).world
    assert reserved.needed(cancel()).keys() == {order, tea, policy.policy_stream("main")}
    assert reserved.needed(amend({"line_no": 1, "quantity": 1})).keys() == {order, tea}
    assert reserved.needed(amend({"line_no": 1, "unit_price_minor": 1})).keys() == {order}


def test_new_names_need_no_look() -> None:
    assert desk.fresh(place("B", external_ref="R")) == {
        desk_names.order_stream("B"),
        desk_names.number_claim("number-B"),
        desk_names.external_ref_claim("main", "R"),
    }
    assert desk.fresh(pack((1, 1))) == {desk_names.parcel_stream("K")}
    assert desk.fresh(pay(1)) == frozenset()


def test_the_desk_says_whose_keys_it_will_seal_with() -> None:
    world = after(*SENT).world
    cases: list[tuple[Command, set[str]]] = [
        (place("B"), {"customer/li"}),
        (pay(1), {"customer/li", "order/A"}),
        (deliver(), {"customer/li", "parcel/K"}),
    ]
    for command, persons in cases:
        assert desk.persons(command, world.needed(command)) == persons


def test_answers_carry_what_was_made_and_nothing_personal() -> None:
    world = after(*SENT).world
    ids = {"order_id": "A", "number": "number-A", "total_minor": 10000}
    assert world.answer(pay(5, "P2")) == ids | {
        "version": 6,
        "status": "shipped",
        "payment_id": "P2",
        "payment": "paid",
        "paid_minor": 10005,
        "due_minor": 0,
        "credit_minor": 5,
        "written_off_minor": 0,
        "late_fee_minor": 0,
        "outcome": "credit",
    }
    assert world.answer(refund(5)) == ids | {
        "version": 8,
        "status": "refunding",
        "refund_id": "R1",
        "amount_minor": 5,
        "refund_status": "approved",
        "decide_by": None,
        "pay_by": "2025-03-05T16:00:00+00:00",  # The end of Wednesday in Shanghai.
    }
    assert world.answer(note())["note_id"] == "N1"
    answer = world.answer(scan("in_transit", hours(1)))
    assert answer == {"parcel_id": "K", "version": 3, "status": "in_transit", "orders": []}
    assert "Li" not in str(world.answer(deliver(name="Li Wei")))


def test_a_command_is_filed_under_what_it_is_about() -> None:
    assert desk.target(pay(1)) == "A"
    assert desk.target(scan("lost", NOON)) == "K"
    assert desk.target(receive(1)) == "TEA@main"


def _line_of(world: World) -> OrderLine:
    return world.order().lines[1]


def test_a_refused_command_leaves_the_world_as_it_was() -> None:
    start = after(*SENT)
    before = _line_of(start.world)
    after_refusal = start.when(refund(10**6)).refused("refund_exceeds_paid")
    assert _line_of(after_refusal) == before
