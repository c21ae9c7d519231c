"""Random histories: what `due` names is what the deciders would do, no more and no less."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from commands.settings import Settings
from commands.store import Store
from domain import deadlines, desk
from domain.completion_commands import CompleteOrder
from domain.deadlines import TICK, Deadline, in_order
from domain.desk_names import order_stream
from domain.message import Command, Event, Rejected
from domain.order_alerts import REFUND_OVERDUE, REFUND_UNDECIDED
from domain.order_state import Order
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    RaiseAlert,
    RefundOverpayment,
    RemindPayment,
)
from domain.policy import PolicyVersion, policy_stream
from tests import given_money, given_orders
from tests.clock import Clock
from tests.given import NOON, World
from tests.histories import History, write
from tests.papers import SELLERS
from tests.scale import scale
from workers.deadline_rows import Streams

POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {"payment": {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.7"}},
    {"payment": {"on_overdue": "late_fee", "late_fee_cap_bp": 100, "term_hours": 5}
     | {"reminder_hours": [5, 4, 3, 0]}},
    {"payment": {"on_overdue": "stop_service", "overpayment_days": 1}},
    {"status": {"confirm": ["cancel_overdue", "refund_overpayment"]}},
    {"status": {"counts_as_paid": "authorised"}, "refund": {"working_days": 1}},
)  # fmt: skip


def history(seed: int, rules: dict[str, Any]) -> History:
    return History(seed) if not rules else _under(History(seed), rules)


def _under(one: History, rules: dict[str, Any]) -> History:
    one.world.run(given_orders.publish(NOON - timedelta(days=1), **rules))
    return one


def held(one: History) -> Iterator[Command]:
    """Money that is held for some orders, for some time."""
    for order_id in one.orders:
        if one.random.random() < 0.3:
            expires = one.now + timedelta(hours=one.random.randint(1, 200))
            name = one.id()
            yield given_money.authorise(500, name, order_id, expires_at=expires, at=one.now)


def policy_of(world: World, order: Order) -> PolicyVersion:
    found: PolicyVersion = world.state(policy_stream(order.shop)).versions[order.policy_version]
    return found


def probes(order: Order, policy: PolicyVersion, at: datetime) -> Iterator[Command]:
    """Every command of the clock that the policy does not leave to a person."""
    body: Any = {"order_id": order.order_id, "at": at}
    confirm = policy.rules.status.confirm
    yield DeclareOverdue(**body)
    if "cancel_overdue" not in confirm:
        yield CancelOverdue(**body)
    if "charge_late_fee" not in confirm:
        yield ChargeLateFee(**body)
    if "refund_overpayment" not in confirm:
        yield RefundOverpayment(actor="deadlines", **body)
    yield CompleteOrder(**body)
    for hours in policy.rules.payment.reminder_hours:
        yield RemindPayment(hours_before=hours, **body)
    for name in order.money.authorisations:
        yield ExpireAuthorisation(payment_id=name, **body)
    for name in order.refunds:
        for kind in (REFUND_UNDECIDED, REFUND_OVERDUE):
            yield RaiseAlert(kind=kind, of=name, **body)


def would(world: World, command: Command) -> list[Event]:
    """What it would record of its order; [] where it is refused."""
    try:
        decision = world.decide(command)
    except Rejected:
        return []
    return [event for events in decision.events.values() for event in events]


def named(world: World, order: Order, one: Deadline, at: datetime) -> Command:
    if one.kind in deadlines.PAPERS:
        return deadlines.paper(one, order, policy_of(world, order), SELLERS, at)
    return deadlines.command(order_stream(order.order_id), one, at)


def key(command: Command) -> tuple[Any, ...]:
    return type(command), *command.model_dump(exclude={"at"}).values()


def due(world: World, order: Order) -> list[Deadline]:
    return deadlines.due(order, policy_of(world, order), SELLERS)


def catch_up(world: World, order_id: str, at: datetime) -> int:
    """As the worker does: all that is due of the order, in order, until nothing is."""
    rounds = 0
    while todo := [one for one in due(world, world.order(order_id)) if one.due_at <= at]:
        before = len(world.events[order_stream(order_id)])
        order = world.order(order_id)
        for command in [named(world, order, one, at) for one in todo]:
            world.run(command)
        assert len(world.events[order_stream(order_id)]) > before, todo
        rounds += 1
    return rounds


@pytest.mark.parametrize("rules", POLICIES)
def test_each_deadline_can_be_met_at_its_time_and_not_before(rules: dict[str, Any]) -> None:
    seen: set[str] = set()
    for one, order in lives(rules):
        todo = due(one.world, order)
        assert todo == sorted(todo, key=in_order)
        for deadline in todo:
            seen.add(deadline.kind)
            if deadline.due_at >= one.now:  # What is long due may have been overtaken.
                assert would(one.world, named(one.world, order, deadline, deadline.due_at)), (
                    deadline
                )
            early = named(one.world, order, deadline, deadline.due_at - TICK)
            # Papers wait for a fact, not for a time.
            assert deadline.kind in deadlines.PAPERS or not would(one.world, early), deadline
    assert {"payment_reminder", "payment_overdue", "authorisation_expiry"} <= seen
    assert {"refund_overdue"} <= seen
    if not rules:
        assert {"cancel_overdue", "overpayment", "completion", "invoice"} <= seen


@pytest.mark.parametrize("rules", POLICIES)
def test_the_clock_brings_about_nothing_that_is_not_named(rules: dict[str, Any]) -> None:
    for one, order in lives(rules):
        policy = policy_of(one.world, order)
        todo = due(one.world, order)
        at = one.now + timedelta(days=one.random.randint(0, 400))
        timed = [d for d in todo if d.due_at <= at and d.kind not in deadlines.PAPERS]
        allowed = {key(named(one.world, order, d, at)) for d in timed}
        for command in probes(order, policy, at):
            assert key(command) in allowed or not would(one.world, command), command


@pytest.mark.parametrize("rules", POLICIES)
def test_after_catching_up_nothing_is_left_to_do(rules: dict[str, Any]) -> None:
    """At any times, in whatever steps they are reached."""
    for one, order in lives(rules, orders=scale(200, 25)):
        chance = random.Random(order.order_id)
        at = one.now
        for _ in range(4):
            at += timedelta(minutes=chance.randint(0, 60 * 24 * 12))
            assert catch_up(one.world, order.order_id, at) < 10
            now = one.world.order(order.order_id)
            for command in probes(now, policy_of(one.world, now), at):
                assert not would(one.world, command), (command, due(one.world, now))


def lives(rules: dict[str, Any], orders: int = scale(1_000, 60)) -> Iterable[tuple[History, Order]]:
    """Orders of a history, at moments of their lives."""
    one = history(11 + len(str(rules)), rules)
    for n, _ in enumerate(one.units(orders)):
        order = one.order(one.random.choice(one.orders[-12:])) if one.orders else Order()
        if n % 7 == 0 and order.placed:
            yield one, order
    for command in held(one):
        one.run(command)
    for order_id in one.orders:
        if one.order(order_id).placed:
            yield one, one.order(order_id)


@pytest.mark.parametrize("rules", [POLICIES[0], POLICIES[1]])
def test_on_a_real_ledger_the_rows_are_what_is_due(settings: Settings, rules: Any) -> None:
    """covers: R3 rebuild_equals_live: and once the worker has come to a time, nothing is left"""
    one = History(5, settings.master_key_bytes(), settings.name)
    clock = Clock(settings)
    begin = [one.run(given_orders.publish(NOON - timedelta(days=1), **rules))] if rules else []
    units = [*begin, *one.units(scale(400, 40)), *(one.run(command) for command in held(one))]
    write(Store(settings), clock.connection, iter([unit for unit in units if unit]))
    at = one.now
    for days in (0, 1, 3, 60):
        at += timedelta(days=days)
        clock.reach(at)
        rows = {(row.stream.key, row.deadline) for row in clock.due()}
        streams = Streams(settings).load(clock.connection, map(order_stream, one.orders))
        found = set()
        for order_id in one.orders:
            _, state = streams[order_stream(order_id)]
            if not state.placed:
                continue
            policy = streams[policy_stream("main")][1].versions[state.policy_version]
            found |= {(order_id, d) for d in deadlines.due(state, policy, settings.sellers)}
            world = World(states={name: state for name, (_, state) in streams.items()})
            for command in probes(state, policy, at):
                assert not would_on(world, clock, command), command
        assert rows == found
        assert all(deadline.due_at > at for _, deadline in rows)
    clock.close()


def would_on(world: World, clock: Clock, command: Command) -> list[Event]:
    """On what the ledger holds; streams that were not read are read."""
    streams = Streams(clock.settings)
    while missing := desk.streams(command, world.states) - world.states.keys():
        loaded = streams.runner.states(clock.connection, missing)
        world.states |= {name: state for name, (_, state) in loaded.items()}
    return would(world, command)
