"""Invoices and credit notes: which number, which amounts, and never more than is owed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from domain.desk_names import order_stream
from domain.invoice import invoice_line
from domain.invoice_amounts import Amount, Charge, rates
from domain.invoice_commands import SellerTerms
from domain.invoice_facts import NumberTaken, OrderInvoiced, PaperLine, RateSum
from domain.message import StreamName
from domain.papers_due import CreditNoteDue, InvoiceDue, papers_due
from tests.given import NOON, World, after, given
from tests.given_money import pay
from tests.given_orders import amend, approve, cancel, dispatch, line, pack, place, void
from tests.given_returns import pay_refund, refund
from tests.order_figures import owed_by_rate
from tests.papers import SELLERS, TERMS, credit, credit_notes, invoices, issue, papers

SERIES = StreamName("invoice_series", "main@2025/invoice")
CREDITS = StreamName("invoice_series", "main@2025/credit_note")


def test_an_invoice_takes_the_next_number_and_says_what_is_owed() -> None:
    """covers: A24, A68"""
    tea = line(tax_rate_bp=1300, discount_minor=500)
    start = after(place("A", tea, shipping_minor=800, shipping_tax_rate_bp=600), pay(4000))
    taken = NumberTaken(
        shop="main",
        kind="invoice",
        year=2025,
        sequence=1,
        number="INV-2025-000001",
        paper_id="I1",
        order_id="A",
        issue_date=date(2025, 3, 1),
        at=NOON,
    )
    goods = PaperLine(
        ref="line/1",
        name="Tea",
        sku="TEA",
        quantity=Decimal(2),
        unit_price_minor="5000",
        discount_minor=500,
        tax_rate_bp=1300,
        net_minor=8407,
        tax_minor=1093,
        gross_minor=9500,
    )
    shipping = PaperLine(
        ref="shipping",
        name="shipping",
        quantity=Decimal(1),
        tax_rate_bp=600,
        net_minor=755,
        tax_minor=45,
        gross_minor=800,
    )
    invoiced = OrderInvoiced(
        paper_id="I1",
        number="INV-2025-000001",
        issue_date=date(2025, 3, 1),
        currency="CNY",
        language="zh",
        seller=SELLERS["main"].seller(),
        lines=[goods, shipping],
        rates=[
            RateSum(tax_rate_bp=1300, net_minor=8407, tax_minor=1093, gross_minor=9500),
            RateSum(tax_rate_bp=600, net_minor=755, tax_minor=45, gross_minor=800),
        ],
        net_minor=9162,
        tax_minor=1138,
        total_minor=10300,
        paid_minor=4000,
        at=NOON,
    )
    world = start.when(issue()).then({SERIES: [taken], order_stream("A"): [invoiced]})
    given(world).when(issue()).nothing()
    given(world).when(issue(paper_id="I2")).refused("nothing_to_invoice")


def test_numbers_run_on_per_shop_kind_and_local_year() -> None:
    """covers: A68"""
    world = after(
        place("A"), issue(), place("B"), issue(order_id="B"), credit(order_id="B", correction=True)
    ).world
    assert invoices(world)[0].number == "INV-2025-000001"
    assert invoices(world, "B")[0].number == "INV-2025-000002"
    assert credit_notes(world, "B")[0].number == "CN-2025-000001"
    assert [world.state(name).last for name in (SERIES, CREDITS)] == [2, 1]
    # 2026 has begun in Shanghai, whatever it is in Greenwich.
    eve = datetime(2025, 12, 31, 16, tzinfo=UTC)
    world = given(world, place("C"), issue(order_id="C", at=eve)).world
    assert invoices(world, "C")[0].number == "INV-2026-000001"
    assert invoices(world, "C")[0].issue_date == date(2026, 1, 1)


def test_no_paper_is_dated_before_the_one_with_the_number_below() -> None:
    """Two processes' clocks differ around midnight."""
    late = datetime(2025, 3, 1, 16, 0, 1, tzinfo=UTC)
    early = datetime(2025, 3, 1, 15, 59, 59, tzinfo=UTC)
    world = after(place("A"), issue(at=late), place("B"), issue(order_id="B", at=early)).world
    assert [invoices(world, o)[0].issue_date.day for o in "AB"] == [2, 2]


def test_a_shop_without_a_seller_issues_no_papers() -> None:
    after(place("A", shop="west")).when(issue()).refused("seller_unknown", shop="west")


def test_two_shops_never_share_a_number() -> None:
    same = {shop: SellerTerms.model_validate(TERMS | {"invoice_prefix": "X"}) for shop in "ab"}
    start = after(place("A", shop="a"), issue(sellers=same), place("B", shop="b"))
    start.when(issue(order_id="B", sellers=same)).refused(
        "paper_number_taken", number="X2025-000001"
    )
    own = {shop: SellerTerms.model_validate(TERMS) for shop in "ab"}
    world = given(start.world, issue(order_id="B", sellers=own)).world
    assert invoices(world, "B")[0].number == "b-INV-2025-000001"


def test_a_sellers_terms_are_checked() -> None:
    zones: list[dict[str, str]] = [{"time_zone": "Mars/Olympus"}, {"time_zone": "../etc"}]
    for wrong in [*zones, {"invoice_prefix": "a/"}, {"vat_id": "123"}]:
        with pytest.raises(ValidationError):
            SellerTerms.model_validate(TERMS | wrong)


def test_an_order_is_invoiced_shipment_by_shipment_to_the_cent() -> None:
    odd = line(quantity=3, price=333, discount_minor=50, tax_rate_bp=1300)
    start = after(place("A", odd, line("CUP", 1, 1999), shipping_minor=801))
    world = given(
        start.world, issue((1, 1)), issue((1, 1), paper_id="I2"), issue(paper_id="I3")
    ).world
    assert [one.total_minor for one in invoices(world)] == [316 + 801, 317, 316 + 1999]
    assert sum(one.total_minor for one in invoices(world)) == world.order().total_minor
    start.when(issue((1, 4))).refused("invoice_exceeds_line", asked=4, open=3)
    start.when(issue((7, 1))).refused("unknown_line")
    alone = start.when(issue((2, 1), charges=False)).world
    assert [one.ref for one in invoices(alone)[0].lines] == ["line/2"]


def test_a_void_order_is_not_invoiced() -> None:
    after(place(), void()).when(issue()).refused("order_void")


def test_each_payment_stands_on_one_invoice_only() -> None:
    start = after(place(), pay(7000), issue((1, 1)), issue((1, 1), paper_id="I2"))
    assert [one.paid_minor for one in invoices(start.world)] == [5000, 2000]


def test_what_is_cancelled_after_the_invoice_is_credited_by_what_is_owed_no_more() -> None:
    """covers: A68: the credit note names its invoice."""
    tea = line(quantity=3, price=333, tax_rate_bp=1300)
    start = after(place("A", tea, shipping_minor=500), issue(), cancel((1, 1)))
    assert papers_due(start.world.order(), "request") == (CreditNoteDue("INV-2025-000001"),)
    world = start.when(credit(reason="cancelled")).world
    (note,) = credit_notes(world)
    assert (note.invoice_number, note.basis, note.total_minor) == (
        "INV-2025-000001",
        "reduction",
        333,
    )
    assert world.order().total_minor == invoices(world)[0].total_minor - note.total_minor
    given(world).when(credit(paper_id="C2")).refused("nothing_to_credit")
    given(world).when(issue(paper_id="I2")).refused("nothing_to_invoice")
    given(start.world).when(credit((1, 1))).refused("reduction_comes_first", reduction_minor=333)
    whole = given(world, cancel(), credit(paper_id="C2")).world
    assert sum(note.total_minor for note in credit_notes(whole)) == 999 + 500


def test_a_dearer_line_is_invoiced_by_the_difference_and_a_cheaper_one_credited() -> None:
    world = after(place(), issue(), amend({"line_no": 1, "unit_price_minor": 6000})).world
    world = given(world, issue(paper_id="I2")).world
    (rise,) = invoices(world)[1].lines
    assert (int(rise.quantity), rise.gross_minor) == (0, 2000)
    world = given(world, amend({"line_no": 1, "unit_price_minor": 4500})).world
    world = given(world, credit()).world
    assert [note.total_minor for note in credit_notes(world)] == [3000]
    assert world.order().total_minor == 12000 - 3000


def test_a_removed_line_is_credited() -> None:
    start = after(place("A", line(), line("CUP", 1, 300)), issue())
    world = given(start.world, amend({"line_no": 2, "quantity": 0}), credit()).world
    assert [one.ref for one in credit_notes(world)[0].lines] == ["line/2"]


def test_a_refund_is_credited_once_with_its_share_of_discount_and_tax() -> None:
    """covers: A66, A68"""
    odd = line(quantity=3, price=333, tax_rate_bp=1300)
    start = after(place("A", odd, discount_minor=100, shipping_minor=500), issue())
    paid = given(start.world, pay(1399), refund(None, (1, 1), shipping_minor=200, reason="late"))
    assert papers_due(paid.world.order(), "request") == ()  # Nothing is paid out yet.
    done = given(paid.world, pay_refund())
    due = CreditNoteDue("INV-2025-000001", "R1")
    assert papers_due(done.world.order(), "request") == (due,)
    world = done.when(credit(refund_id="R1")).world
    (note,) = credit_notes(world)
    assert note.total_minor == world.order().refunded_minor == 500
    assert [(one.ref, int(one.quantity), one.gross_minor) for one in note.lines] == [
        ("line/1", 1, 300),
        ("shipping", 0, 200),
    ]
    assert papers_due(world.order(), "request") == ()
    given(world).when(credit(refund_id="R1", paper_id="C2")).refused("nothing_to_credit")
    given(world).when(credit(refund_id="R9", paper_id="C2")).refused("refund_not_found")
    given(world).when(issue(paper_id="I2")).refused("nothing_to_invoice")


def test_a_refund_of_an_amount_is_spread_over_the_goods() -> None:
    start = after(place("A", line(), line("CUP", 1, 5000)), issue(), pay(15000))
    world = given(start.world, refund(1000), credit(refund_id="R1")).world
    assert [one.gross_minor for one in credit_notes(world)[0].lines] == [667, 333]


def test_money_back_that_was_too_much_or_for_what_was_cancelled_is_no_credit() -> None:
    over = after(place(), issue(), pay(12000), refund(2000, reason="overpayment"))
    over.when(credit(refund_id="R1")).refused("nothing_to_credit")
    fallen = after(place(), issue(), pay(10000), cancel((1, 1)))
    fallen = given(fallen.world, refund(5000, reason="cancellation"), pay_refund())
    world = fallen.when(credit(refund_id="R1")).world
    assert [note.basis for note in credit_notes(world)] == ["reduction"]
    assert papers_due(world.order(), "request") == ()


def test_credit_by_lines_or_amount_stays_within_the_invoice_and_the_refunds() -> None:
    """covers: A68"""
    start = after(place(shipping_minor=800), issue(), pay(10800), refund(6000))
    start.when(credit((1, 3))).refused("credit_exceeds_invoice", line_no=1)
    start.when(credit((1, 2))).refused("credit_exceeds_refunds", asked_minor=10000, open_minor=6000)
    start.when(credit(amount_minor=6001)).refused("credit_exceeds_refunds")
    start.when(credit(shipping_minor=801)).refused("credit_exceeds_invoice", left_minor=800)
    start.when(credit(amount_minor=10801)).refused("credit_exceeds_invoice", left_minor=10800)
    world = given(start.world, credit((1, 1)), credit(paper_id="C2", shipping_minor=800)).world
    assert [note.total_minor for note in credit_notes(world)] == [5000, 800]
    given(world).when(credit(paper_id="C3", amount_minor=201)).refused(
        "credit_exceeds_refunds", open_minor=200
    )


def test_a_wrong_invoice_is_credited_whole_and_written_anew() -> None:
    start = after(place(shipping_minor=800), issue())
    world = start.when(credit(correction=True)).world
    assert credit_notes(world)[0].total_minor == 10800
    world = given(world, issue(paper_id="I2", language="en")).world
    assert [one.total_minor for one in invoices(world)] == [10800, 10800]
    given(world).when(
        credit(correction=True, paper_id="C2", invoice_number="INV-2025-000001")
    ).refused("nothing_to_credit")
    part = start.when(credit((1, 1), correction=True)).world
    part = given(part, issue(paper_id="I2")).world
    assert invoices(part)[1].total_minor == 5000


def test_a_credit_note_needs_an_invoice_of_the_order() -> None:
    after(place()).when(credit(correction=True)).refused("invoice_not_found")
    after(place(), issue()).when(credit(correction=True, invoice_number="INV-1")).refused(
        "invoice_not_found"
    )


def test_a_credit_note_says_one_thing_only() -> None:
    with pytest.raises(ValidationError, match="give refund_id, or lines"):
        credit(refund_id="R1", amount_minor=1)
    with pytest.raises(ValidationError, match="corrects no invoice"):
        credit(refund_id="R1", correction=True)


def test_a_refund_over_two_invoices_is_credited_by_two_notes() -> None:
    start = after(place(), pay(10000), issue((1, 1)), issue((1, 1), paper_id="I2"))
    back = given(start.world, refund(8000), pay_refund())
    assert len(papers_due(back.world.order(), "payment")) == 2
    world = given(back.world, credit(refund_id="R1"), credit(refund_id="R1", paper_id="C2")).world
    assert [note.total_minor for note in credit_notes(world)] == [5000, 3000]
    assert papers_due(world.order(), "payment") == ()


@pytest.mark.parametrize("trigger", ["dispatch", "payment", "completion", "request"])
def test_an_invoice_is_due_when_the_shops_trigger_has_come(trigger: str) -> None:
    """covers: A24"""
    placed = after(place("A", line(), line("CUP", 1, 300)), approve()).world
    paid = given(placed, pay(10300)).world
    sent = given(paid, pack((1, 1)), dispatch()).world
    rest = given(sent, issue((1, 1)), pack((1, 1), (2, 1), parcel_id="K2"), dispatch("K2")).world
    due = [papers_due(one.order(), trigger) for one in (placed, paid, sent, rest)]
    whole, nothing = (InvoiceDue(),), ()
    expected = {
        "dispatch": [nothing, nothing, (InvoiceDue({1: Decimal(1)}),), whole],
        "payment": [nothing, whole, whole, whole],
        "completion": [whole] * 4,
        "request": [nothing] * 4,
    }
    assert due == expected[trigger]


def test_nothing_is_due_of_what_was_voided_or_never_placed() -> None:
    assert papers_due(after(place(), void()).world.order(), "completion") == ()
    assert papers_due(World().order(), "completion") == ()


def test_the_orders_own_figures_by_rate() -> None:
    mixed = after(
        place(
            "A",
            line(tax_rate_bp=1300),
            line("BOOK", 1, 900, tax_rate_bp=900),
            shipping_minor=600,
            shipping_tax_rate_bp=900,
        )
    ).world
    assert owed_by_rate(mixed.order()) == {1300: (10000, 1150), 900: (1500, 74 + 50)}
    assert papers(mixed).shipping_tax_rate_bp == 900


def test_a_fee_is_a_line_of_its_own_with_its_own_tax() -> None:
    """Whoever charges one adds it to `charges`: the rest follows from what is owed."""
    fee = Charge("fee/cancellation", "Cancellation fee", 600, Amount(Decimal(1), 1060, 60))
    made = invoice_line(fee, fee.owed)
    assert (made.ref, made.net_minor, made.tax_minor, made.sku) == (fee.ref, 1000, 60, None)
    assert rates([made])[0].tax_rate_bp == 600


def test_a_line_credited_for_a_refund_and_then_cancelled_leaves_the_others_their_due() -> None:
    start = after(place("A", line(), line("CUP", 1, 300)), pay(10300), issue((1, 2), charges=False))
    back = given(start.world, refund(None, (1, 2)), credit(refund_id="R1"), cancel((1, 2))).world
    assert papers_due(back.order(), "completion") == (InvoiceDue(),)
    world = given(back, issue(paper_id="I2")).world
    assert [one.total_minor for one in invoices(world)] == [10000, 300]
    assert papers_due(world.order(), "completion") == ()


def test_history_whose_total_is_less_than_its_lines_is_not_invoiced_above_it() -> None:
    """Sold elsewhere: their total is kept."""
    placed, *more = after(place("A", line(), line("CUP", 1, 300))).world.events[order_stream("A")]
    theirs = placed.model_copy(update={"total_minor": 10200})
    start = given({order_stream("A"): [theirs, *more]})
    start.when(issue()).refused("invoice_exceeds_owed", asked_minor=10300, open_minor=10200)
    start.when(issue((1, 2))).topics("invoice_series.number_taken.v1", "order.invoiced.v2")
