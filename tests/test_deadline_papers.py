"""Papers that are issued by themselves: when the shop's trigger has come, once, in whatever way the
worker that does it is disturbed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from commands.settings import Settings
from domain import deadlines
from domain.deadlines import Deadline
from domain.desk_names import order_stream
from domain.fapiao import due_red_letters
from domain.invoice_facts import OrderCredited, OrderInvoiced
from domain.message import Command
from domain.payment_commands import ReinstateOrder
from domain.policy import policy_stream
from tests.arrivals import LAST_MOMENT, complete
from tests.clock import DAY, Clock, order
from tests.given import NOON, World, after, given, hours
from tests.given_money import limit, pay
from tests.given_orders import (
    cancel,
    deliver,
    dispatch,
    line,
    pack,
    pack_orders,
    place,
    publish,
    register,
    void,
)
from tests.given_returns import approve_return, pay_refund, refund, send_back, take_back
from tests.papers import SELLERS, answered, credit_notes, fapiao, invoices, issue
from tests.scale import scale

LATE = LAST_MOMENT + timedelta(microseconds=1)
TAXED = line("TEA", 2, 11_300, tax_rate_bp=1300)  # 226.00, of which 26.00 are tax
ON_ACCOUNT = place("A", TAXED, payment_method="on_account")
SENT: tuple[Command, ...] = (pack((1, 2)), dispatch(), deliver())


def papers_due(world: World, sellers: Any = SELLERS) -> list[Deadline]:
    state = world.order()
    policy = world.state(policy_stream(state.shop)).versions[state.policy_version]
    return [one for one in deadlines.due(state, policy, sellers) if one.kind in deadlines.PAPERS]


def issued(world: World, at: Any = None) -> World:
    """As the worker does, until nothing is due."""
    for _ in range(9):
        state = world.order()
        policy = world.state(policy_stream(state.shop)).versions[state.policy_version]
        due = papers_due(world)
        if not due:
            return world
        world = given(world, deadlines.paper(due[0], state, policy, SELLERS, at or NOON)).world
    raise AssertionError("papers come without end")


def trigger(name: str) -> Command:
    return publish(invoices={"trigger": name})


def kinds(world: World) -> list[str]:
    return [one.kind for one in papers_due(world)]


def on_paper(world: World) -> int:
    told = sum(one.total_minor for one in credit_notes(world))
    return sum(one.total_minor for one in invoices(world)) - told


# -- what is due ---------------------------------------------------------------------------------


def test_each_trigger_comes_with_its_own_fact() -> None:
    """covers: A24"""
    lived = [pay(22_600), pack((1, 2)), dispatch(), deliver(), complete(LATE)]
    first_due = {"payment": 1, "dispatch": 3, "completion": 5, "request": None}
    for name, when in first_due.items():
        world = after(trigger(name), place("A", TAXED)).world
        for n, command in enumerate(lived, start=1):
            world = given(world, command).world
            assert kinds(world) == (["invoice"] if when and n >= when else []), (name, n)
        assert [one.total_minor for one in invoices(issued(world))] == [22_600] * bool(when)


def test_an_invoice_says_what_made_the_shop_write_it() -> None:
    world = issued(after(place("A", TAXED), pay(22_600), *SENT).world)
    (paper,) = (e for e in world.events[order_stream("A")] if isinstance(e, OrderInvoiced))
    assert paper.trigger == "dispatch"


def test_nothing_is_due_where_nobody_issues_papers() -> None:
    world = after(place("A", TAXED), pay(22_600), *SENT).world
    assert papers_due(world, {}) == []
    assert papers_due(world)[0].due_at == hours(48)
    assert papers_due(after(place("A"), void()).world) == []


def test_parcels_are_invoiced_one_by_one_and_the_last_takes_the_rest() -> None:
    two = place("A", TAXED, line("CUP", 1, 300), shipping_minor=800)
    half = issued(after(two, pay(23_700), pack((1, 1)), dispatch()).world)
    assert [one.total_minor for one in invoices(half)] == [11_300]
    fee = issued(given(half, cancel((2, 1), at=hours(30))).world)
    rest = given(fee, pack((1, 1), parcel_id="L"), dispatch("L"))
    done = issued(rest.world)
    assert on_paper(done) == done.order().total_minor == 22_600 + 800 + 30
    assert kinds(done) == []


def test_a_refund_that_was_paid_is_credited_and_only_then() -> None:
    """covers: A68"""
    world = issued(after(place("A", TAXED), pay(22_600), *SENT, refund(4_000)).world)
    assert kinds(world) == []
    paid = given(world, pay_refund()).world
    assert kinds(paid) == ["credit_note"]
    done = issued(paid)
    (note,) = (e for e in done.events[order_stream("A")] if isinstance(e, OrderCredited))
    assert (note.total_minor, note.refund_id, note.reason) == (4_000, "R1", "other")


def test_also_where_invoices_wait_to_be_asked_for() -> None:
    asked = after(trigger("request"), place("A", TAXED), pay(22_600), issue())
    world = issued(given(asked.world, refund(4_000), pay_refund()).world)
    assert on_paper(world) == 18_600


def test_a_cancellation_with_a_fee_credits_the_goods_and_invoices_the_fee() -> None:
    """covers: A5, A68"""
    for name in ("payment", "completion"):
        start = after(trigger(name), place("A", TAXED), pay(22_600), issue())
        gone = issued(given(start.world, cancel(at=hours(30))).world)
        assert [note.total_minor for note in credit_notes(gone)] == [22_600], name
        assert [one.total_minor for one in invoices(gone)] == [22_600, 2_260], name


def test_goods_that_come_back_unpaid_are_credited() -> None:
    """covers: A67, A68: nothing is paid out, but less is owed than the invoice says."""
    sold = after(register(), limit(100_000), ON_ACCOUNT, *SENT)
    billed = issued(sold.world)
    assert on_paper(billed) == 22_600
    back = given(billed, send_back((1, 1)), approve_return(), take_back((1, 1))).world
    assert (back.order().owed_minor, back.order().refunds) == (11_300, {})
    assert kinds(back) == ["credit_note"]
    done = issued(back)
    (note,) = credit_notes(done)
    assert (note.basis, note.total_minor, note.lines[0].tax_minor) == ("reduction", 11_300, 1_300)
    assert str(note.lines[0].quantity) == "1"
    (told,) = (e for e in done.events[order_stream("A")] if isinstance(e, OrderCredited))
    assert told.reason == "return"
    assert on_paper(done) == done.order().owed_minor


def test_goods_that_came_back_unpaid_are_not_invoiced() -> None:
    sold = after(register(), limit(100_000), trigger("completion"), ON_ACCOUNT, *SENT)
    back = given(sold.world, send_back((1, 1)), approve_return(), take_back((1, 1)))
    done = issued(given(back.world, pay(11_300), issue()).world)
    assert (on_paper(done), kinds(done)) == (11_300, [])


def test_what_is_partly_paid_and_comes_back_is_credited_in_both_ways() -> None:
    """Half of it is owed no longer, the other half goes back."""
    start = after(register(), limit(100_000), ON_ACCOUNT, *SENT, pay(18_000))
    billed = issued(start.world)
    back = given(billed, send_back((1, 1)), approve_return(), take_back((1, 1))).world
    assert (back.order().relieved_minor, back.order().refunds["R1"].amount_minor) == (4_600, 6_700)
    done = issued(given(back, pay_refund()).world)
    assert [(one.basis, one.total_minor) for one in credit_notes(done)] == [
        ("reduction", 4_600),
        ("refund", 6_700),
    ]
    assert on_paper(done) == done.order().owed_minor == 11_300
    assert sum(one.tax_minor for note in credit_notes(done) for one in note.lines) == 1_300


def test_what_is_kept_for_restocking_stays_on_paper_and_relieved_shipping_does_not() -> None:
    """covers: A67, A68: as a refund would have it, to the cent and by its tax."""
    fee = publish(returns={"restocking_fee_bp": 1_000})
    start = after(register(), limit(100_000), fee, ON_ACCOUNT, *SENT)
    back = given(issued(start.world), send_back((1, 1)), approve_return(), take_back((1, 1)))
    done = issued(back.world)
    (note,) = credit_notes(done)
    assert (note.total_minor, note.lines[0].tax_minor) == (10_170, 1_170)
    assert on_paper(done) == done.order().owed_minor == 12_430
    posted = place(
        "A", TAXED, payment_method="on_account", shipping_minor=800, shipping_tax_rate_bp=600
    )
    sent = issued(after(register(), limit(100_000), posted, *SENT).world)
    fault: Any = {"reason": "damaged", "evidence": ["a" * 64]}
    whole = given(sent, send_back((1, 2), **fault), approve_return(), take_back((1, 2))).world
    empty = issued(whole)
    assert on_paper(empty) == empty.order().owed_minor == 0
    assert sum(one.tax_minor for note in credit_notes(empty) for one in note.lines) == 2_600 + 45


def test_a_fapiao_waits_for_its_request_and_its_red_letter_for_nobody() -> None:
    """covers: A68"""
    world = issued(after(place("A", TAXED), pay(22_600), *SENT).world)
    assert world.order().papers.fapiao == {}
    known = given(world, fapiao(), answered("26332"), refund(4_000), pay_refund()).world
    done = issued(known)
    (one,) = done.order().papers.fapiao.values()
    assert [*one.red_letters] == [note.number for note in credit_notes(done)]
    assert not [*due_red_letters(one, done.order())]


def test_an_order_that_lives_on_is_invoiced_again() -> None:
    gone = after(trigger("payment"), place("A", TAXED), pay(22_600), issue(), cancel(at=hours(30)))
    back = given(issued(gone.world), given_back()).world
    done = issued(back)
    assert (on_paper(done), kinds(done)) == (22_600, [])


def given_back() -> Command:
    return ReinstateOrder(order_id="A", at=hours(31))


# -- done by the worker --------------------------------------------------------------------------


@pytest.fixture
def clock(settings: Settings) -> Iterator[Clock]:
    one = Clock(settings)
    yield one
    one.close()


INVOICED, CREDITED = "order.invoiced.v2", "order.credited.v2"


def sold(clock: Clock, count: int, **more: Any) -> list[str]:
    """So many orders that were paid and delivered."""
    placed = [order(**more) for _ in range(count)]
    for one in placed:
        parcel = str(uuid4())
        whole = {"order_id": one.order_id, "line_no": 1, "quantity": 2}
        clock.run(
            one,
            pay(10_000, str(uuid4()), one.order_id),
            pack_orders(whole, parcel_id=parcel),
            dispatch(parcel),
            deliver(parcel),
        )
    return [one.order_id for one in placed]


def numbers(clock: Clock, kind: str = "invoice") -> list[int]:
    rows = clock.connection.execute(
        "SELECT (state->>'sequence')::int, state->>'kind' FROM ledger_event_json"
        " WHERE topic = 'invoice_series.number_taken.v1' ORDER BY position"
    )
    return [sequence for sequence, of in rows.fetchall() if of == kind]


def billed_orders(clock: Clock, topic: str = INVOICED) -> list[str]:
    query = "SELECT key FROM ledger_event WHERE topic = %s ORDER BY key"
    return [key for (key,) in clock.connection.execute(query, [topic]).fetchall()]


def test_orders_are_invoiced_completed_and_credited_after_days_off(clock: Clock) -> None:
    """covers: A24, A68, R26: each once, however late; a rebuild issues none."""
    ids = sold(clock, 12)
    clock.run(refund(500, refund_id="R1", order_id=ids[0]), pay_refund("R1", ids[0]))
    clock.reach(NOON + 20 * DAY)
    assert billed_orders(clock) == sorted(ids)
    assert billed_orders(clock, CREDITED) == [ids[0]]
    assert numbers(clock) == [*range(1, 13)]
    assert clock.count("order.completed.v1") == 12
    assert clock.due() == []
    clock.connection.execute("TRUNCATE deadlines")
    clock.connection.execute("UPDATE checkpoint SET position = 0 WHERE name = 'deadlines'")
    clock.reach(NOON + 40 * DAY)
    assert (clock.count(INVOICED), clock.count(CREDITED)) == (12, 1)


AGAIN = """UPDATE deadlines SET next_at = due_at
WHERE ctid = ANY(ARRAY(SELECT ctid FROM deadlines FOR UPDATE SKIP LOCKED))"""


def test_several_workers_issue_each_invoice_once_and_no_number_is_missing(
    clock: Clock, settings: Settings
) -> None:
    """covers: A68: all of them want the next number of one series"""
    ids = sold(clock, scale(200, 40))
    clock.follow()
    workers = [Clock(settings) for _ in range(3)]

    def work(one: Clock) -> None:
        for _ in range(6):
            one.clerk.turn(one.connection, LATE)
            one.connection.execute(AGAIN)

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(work, workers))
    for one in workers:
        one.close()
    clock.connection.execute("UPDATE deadlines SET next_at = due_at")
    clock.reach(LATE)
    assert billed_orders(clock) == sorted(ids)
    assert numbers(clock) == [*range(1, len(ids) + 1)]
    assert clock.count("order.completed.v1") == len(ids)


def test_a_row_that_is_stale_issues_nothing(clock: Clock) -> None:
    """An invoice was asked for meanwhile, and the rows do not know it yet."""
    (one,) = sold(clock, 1)
    clock.follow()
    clock.run(issue(paper_id=str(uuid4()), order_id=one, sellers=clock.settings.sellers))
    assert clock.clerk.turn(clock.connection, hours(50)) == 1
    assert (clock.count(INVOICED), numbers(clock)) == (1, [1])
    refused = clock.connection.execute("SELECT count(*) FROM ledger_audit").fetchone()
    assert refused == (0,)


def test_a_worker_that_comes_again_makes_no_second_one(clock: Clock, settings: Settings) -> None:
    """Its rows are as they were before it was killed: after its commit, before they followed."""
    ids = sold(clock, 3)
    clock.follow()
    rows = clock.due()
    clock.clerk.turn(clock.connection, hours(50))
    again = Clock(settings)
    assert again.due() == rows
    again.connection.execute("UPDATE deadlines SET next_at = due_at, tries = 0")
    again.clerk.turn(again.connection, hours(50))
    assert (billed_orders(again), numbers(again)) == (sorted(ids), [1, 2, 3])
    again.close()


def test_a_confirmed_receipt_wins_or_loses_against_the_clock(clock: Clock) -> None:
    from tests.arrivals import confirm

    ids = sold(clock, 2)
    clock.follow()
    clock.run(confirm(ids[0]))
    clock.clerk.turn(clock.connection, LATE)
    clock.run(confirm(ids[1], at=LATE))
    by = clock.connection.execute(
        "SELECT state->>'by' FROM ledger_event_json WHERE topic = 'order.completed.v1'"
        " ORDER BY position"
    ).fetchall()
    assert by == [("customer",), ("policy",)]


def test_an_imported_order_gets_no_papers_and_keeps_its_stage(clock: Clock) -> None:
    one = order()
    parcel = str(uuid4())
    clock.run(one, origin="import")
    whole = {"order_id": one.order_id, "line_no": 1, "quantity": 2}
    paid = pay(10_000, str(uuid4()), one.order_id)
    clock.run(paid, pack_orders(whole, parcel_id=parcel), dispatch(parcel), deliver(parcel))
    clock.reach(LATE + 30 * DAY)
    assert (clock.count(INVOICED), clock.count("order.completed.v1")) == (0, 0)


def test_a_number_that_another_shop_has_is_refused_until_the_prefix_is_another(
    settings: Settings,
) -> None:
    """Nothing is lost for a setting that was wrong: no number, and no invoice for ever."""
    same = SELLERS["main"].model_copy(update={"invoice_prefix": "INV-"})
    wrong = Clock(settings.model_copy(update={"sellers": SELLERS | {"depot": same}}))
    (ours,) = sold(wrong, 1)
    wrong.reach(hours(50))
    (theirs,) = sold(wrong, 1, shop="depot")
    wrong.reach(hours(50))
    assert billed_orders(wrong) == [ours]
    assert failing(wrong) == [("invoice", theirs)]
    wrong.close()
    right = Clock(settings.model_copy(update={"sellers": SELLERS | {"depot": SELLERS["main"]}}))
    right.connection.execute("UPDATE deadlines SET next_at = due_at")
    right.reach(hours(50))
    assert billed_orders(right) == sorted([ours, theirs])
    assert (numbers(right), failing(right)) == ([1, 1], [])
    right.close()


def failing(clock: Clock) -> list[tuple[str, str]]:
    """What could not be done, for a person to see."""
    found = "SELECT kind, key FROM deadlines WHERE error IS NOT NULL"
    return clock.connection.execute(found).fetchall()
