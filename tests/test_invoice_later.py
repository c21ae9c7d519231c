"""Papers after what happens later: fees, refusals, reinstatement, refunds that fall through."""

from __future__ import annotations

import pytest

from domain.invoice_amounts import billable_minor, open_amounts
from domain.message import Command
from domain.papers_due import CreditNoteDue, InvoiceDue, papers_due
from domain.payment_commands import ChargeLateFee, RefuseDelivery, ReinstateOrder
from tests.given import Given, World, after, given, hours
from tests.given_money import money, pay
from tests.given_orders import cancel, deliver, dispatch, line, pack, place, publish
from tests.given_returns import (
    approve_return,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)
from tests.papers import credit, credit_notes, invoices, issue

TAXED = line("TEA", 2, 11_300, tax_rate_bp=1300)  # 226.00, of which 26.00 are tax


def on_paper(world: World) -> int:
    told = sum(one.total_minor for one in credit_notes(world))
    return sum(one.total_minor for one in invoices(world)) - told


def due(world: World, trigger: str = "dispatch") -> list[object]:
    return [*papers_due(world.order(), trigger)]


def sold(*more: Command) -> Given:
    return after(place("A", TAXED), pay(22_600), *more)


def test_a_payout_that_fails_after_its_credit_note_is_invoiced_again_until_it_is_retried() -> None:
    """covers: A68: papers say what is owed less what was given back, at every step."""
    paid = sold(issue(), refund(4_000), pay_refund(), credit(refund_id="R1"))
    assert on_paper(paid.world) == 18_600
    failed = given(paid.world, fail_refund())
    assert due(failed.world, "payment") == [InvoiceDue()]
    again = given(failed.world, issue(paper_id="I2"))
    assert (on_paper(again.world), due(again.world)) == (22_600, [])
    retried = given(again.world, retry_refund(), pay_refund(reference="again"))
    note, *_ = due(retried.world)
    assert isinstance(note, CreditNoteDue)
    done = given(retried.world, credit(paper_id="C2", invoice_number=note.invoice_number))
    assert (on_paper(done.world), due(done.world)) == (18_600, [])
    tax = [sum(one.tax_minor for one in note.lines) for note in credit_notes(done.world)]
    assert tax == [460, 460]


def test_a_refund_that_is_denied_after_its_credit_note_is_invoiced_again() -> None:
    failed = sold(issue(), refund(4_000), pay_refund(), credit(refund_id="R1"), fail_refund())
    denied = given(failed.world, deny_refund(), issue(paper_id="I2"))
    assert (on_paper(denied.world), due(denied.world)) == (22_600, [])
    denied.when(credit(paper_id="C2", refund_id="R1")).refused("nothing_to_credit")


def test_what_is_kept_for_restocking_stays_their_price_with_its_tax() -> None:
    """covers: A67, A68: the note is over what went back, so what stays is what was paid."""
    sent = after(
        publish(returns={"restocking_fee_bp": 1_000}),
        place("A", TAXED),
        pay(22_600),
        *(pack((1, 2)), dispatch(), issue(), deliver()),
        *(send_back((1, 1)), approve_return(), take_back((1, 1)), pay_refund()),
    )
    noted = given(sent.world, credit(refund_id="R1"))
    (note,) = credit_notes(noted.world)
    (only,) = note.lines
    assert (str(only.quantity), only.gross_minor, only.tax_minor) == ("1", 10_170, 1_170)
    state = noted.world.order()
    assert on_paper(noted.world) == state.net_paid_minor == 12_430
    assert due(noted.world) == []


def test_a_fee_is_kept_of_each_line_by_what_it_is_worth() -> None:
    """Else all of it would fall on the last line, and on its tax rate."""
    bought = [line("TEA", 1, 10_000, tax_rate_bp=1300), line("CUP", 1, 20_000, tax_rate_bp=600)]
    sent = after(
        publish(returns={"restocking_fee_bp": 1_000}),
        place("A", *bought),
        pay(30_000),
        *(pack((1, 1), (2, 1)), dispatch(), issue(), deliver(), send_back((1, 1), (2, 1))),
        *(approve_return(), take_back((1, 1), (2, 1)), pay_refund(), credit(refund_id="R1")),
    )
    (note,) = credit_notes(sent.world)
    assert [one.gross_minor for one in note.lines] == [9_000, 18_000]


def test_a_late_fee_is_on_no_invoice() -> None:
    """covers: A22, A68"""
    fees = {"on_overdue": "late_fee", "late_fee_percent_per_day": "1"}
    late = after(publish(payment=fees), place("A", TAXED), money(ChargeLateFee, at=hours(24 * 9)))
    state = late.world.order()
    assert state.total_minor > billable_minor(state) == 22_600
    billed = given(late.world, issue())
    assert on_paper(billed.world) == 22_600
    billed.when(issue(paper_id="I2")).refused("nothing_to_invoice")
    paid = pay(state.total_minor, at=hours(24 * 9))
    whole = given(billed.world, paid, refund(22_600), pay_refund())
    assert on_paper(given(whole.world, credit(refund_id="R1")).world) == 0


def test_an_order_that_lives_on_has_its_fee_credited_and_its_lines_invoiced_again() -> None:
    """covers: A21, A68"""
    gone = sold(issue(), cancel(at=hours(30)))
    (note,) = due(gone.world)
    assert isinstance(note, CreditNoteDue)
    told = given(gone.world, credit(), issue(paper_id="I2"))
    assert (on_paper(told.world), told.world.order().total_minor) == (2_260, 2_260)
    back = given(told.world, money(ReinstateOrder, at=hours(31)))
    (note,) = due(back.world)
    assert note == CreditNoteDue(invoices(back.world)[1].number)
    done = given(back.world, credit(paper_id="C2"), issue(paper_id="I3"))
    assert on_paper(done.world) == 22_600
    assert not any(one.gross or one.tax for one in open_amounts(done.world.order()).values())


def test_what_nobody_took_at_the_door_is_credited() -> None:
    """covers: A68: the goods are owed no longer."""
    at_door = after(
        place("A", TAXED, payment_method="cash_on_delivery", shipping_minor=1_000),
        *(pack((1, 2)), dispatch(), issue(), money(RefuseDelivery, parcel_id="K")),
    )
    assert len(due(at_door.world)) == 1
    told = given(at_door.world, credit())
    assert (on_paper(told.world), due(told.world)) == (0, [])


def test_a_fee_that_comes_after_the_last_parcel_waits_for_none() -> None:
    """A shop that invoices at dispatch would never tell of it."""
    both = sold(pack((1, 1)), dispatch(), issue((1, 1)), cancel((1, 1), at=hours(30)))
    assert due(both.world) == [InvoiceDue()]
    assert due(sold(cancel(at=hours(30))).world) == [InvoiceDue()]
    assert due(sold().world) == []


def test_a_note_that_names_no_refund_falls_with_the_money_all_the_same() -> None:
    paid = sold(issue(), refund(300), pay_refund(), refund(500, refund_id="R2"), pay_refund("R2"))
    noted = given(paid.world, credit(amount_minor=800), fail_refund("R2"))
    assert due(noted.world, "completion") == [InvoiceDue()]
    again = given(noted.world, issue(paper_id="I2"))
    assert on_paper(again.world) == 22_300


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (issue((1, 3)), "line 1: 3 asked, 2 not invoiced"),
        (refund(99_999), "999.99 asked, 226.00 refundable"),
        (cancel(at=hours(30), expected_fee_minor=1), "0.01 expected, the fee is 22.60"),
    ],
)
def test_refusals_show_amounts_as_people_read_them(command: Command, said: str) -> None:
    assert said in sold().when(command).message
