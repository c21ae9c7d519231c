"""Exemption from tax and named discounts, from the placement to the invoice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import discount
from domain.invoice_amounts import rates
from domain.money import split
from domain.order_facts import Discount, Exemption
from tests.given import Given, World, after, given
from tests.given_money import pay
from tests.given_orders import amend, cancel, line, place
from tests.given_returns import refund
from tests.papers import credit, issue
from tests.scale import scale

BOOK: dict[str, Any] = {"code": "VATEX-EU-132", "reason": None}
CHARITY: dict[str, Any] = {"code": "charity", "reason": "§ 4 Nr. 18 UStG"}
COUPON = {"kind": "coupon", "code": "SPRING", "title": "Spring sale", "amount_minor": 300}
AGREED = {"kind": "agreement", "title": "Contract of March", "amount_minor": 201}


def exempt_order(*lines: Any, **more: Any) -> Given:
    body = {"exemption": CHARITY, "exemption_certificate": "ST-44/17"} | more
    return after(place("A", *(lines or [line(), line("CUP", 1, 4000)]), **body))


def refused(field: str, words: str, *lines: Any, **more: Any) -> None:
    with pytest.raises(ValidationError, match=words) as wrong:
        place("A", *lines, **more)
    places = [".".join(map(str, one["loc"])) for one in wrong.value.errors()]
    assert places == [field]


# Exemption


def test_an_exempt_price_is_the_agreed_price_with_no_tax_in_it() -> None:
    """covers: A65 (exemption): of the order with its shipping, inclusive or exclusive."""
    for inclusive in (True, False):
        state = exempt_order(prices_include_tax=inclusive, shipping_minor=500).world.order()
        assert state.total_minor == 14_500
        assert [x.priced.tax_minor for x in state.lines.values()] == [0, 0]
        assert {x.priced.exemption for x in state.lines.values()} == {Exemption(**CHARITY)}
        assert (state.exemption, state.exemption_certificate) == (Exemption(**CHARITY), "ST-44/17")


def test_a_line_may_be_exempt_beside_taxed_and_zero_rated_ones() -> None:
    """covers: A65 (exemption)"""
    lines = (line(tax_rate_bp=1300), line("BOOK", 1, 4000, exemption=BOOK), line("MILK", 1, 700))
    state = after(place("A", *lines)).world.order()
    assert [x.priced.exemption for x in state.lines.values()] == [None, Exemption(**BOOK), None]
    assert [x.priced.tax_minor for x in state.lines.values()] == [1150, 0, 0]
    assert state.exemption is None


def test_a_lines_own_exemption_goes_before_the_orders() -> None:
    state = exempt_order(line(exemption=BOOK), line("CUP")).world.order()
    found = [x.priced.exemption for x in state.lines.values()]
    assert found == [Exemption(**BOOK), Exemption(**CHARITY)]


def test_an_exemption_and_a_rate_contradict_each_other() -> None:
    """No tax is taken out of a price by calling it exempt."""
    refused("lines.0.exemption", "tax_rate_bp is 1300", line(tax_rate_bp=1300, exemption=BOOK))
    rated = line("CUP", tax_rate_bp=600)
    refused("exemption", r"lines\.1\.tax_rate_bp", line(), rated, exemption=CHARITY)
    refused("exemption", "shipping_tax_rate_bp", exemption=CHARITY, shipping_tax_rate_bp=900)


@pytest.mark.parametrize("code", ["VATEX-EU-999", "VATEX-EU-IC", "VATEX-EU-AE", "Charity", ""])
def test_a_code_is_of_the_standard_or_a_word(code: str) -> None:
    refused("exemption.code", "must be a VATEX code", exemption={"code": code, "reason": "by law"})


def test_a_word_of_ones_own_needs_its_reason() -> None:
    refused("exemption.reason", "charity is no VATEX code", exemption={"code": "charity"})


def test_a_certificate_is_for_something_exempt() -> None:
    refused("exemption_certificate", "nothing of the order is exempt", exemption_certificate="C-1")
    after(place("A", line(exemption=BOOK), exemption_certificate="C-1"))


def test_exemption_is_frozen_at_placement() -> None:
    """covers: A65 (frozen at sale), R15"""
    start = exempt_order()
    for item in ({"quantity": 3}, {"unit_price_minor": 4500}, {"exemption": CHARITY}):
        state = start.when(amend({"line_no": 1, "name": "Tea", **item})).world.order()
        assert state.lines[1].priced.exemption == Exemption(**CHARITY)
        assert state.lines[1].priced.tax_minor == 0
    start.when(amend({"line_no": 1, "tax_rate_bp": 1300})).refused("tax_rate_is_frozen")
    start.when(amend({"line_no": 1, "exemption": BOOK})).refused(
        "exemption_is_frozen", exemption="charity"
    )
    after(place("A", line(tax_rate_bp=1300))).when(
        amend({"line_no": 1, "exemption": BOOK})
    ).refused("exemption_is_frozen", exemption=None)


def test_what_is_added_to_an_exempt_order_is_exempt() -> None:
    start = exempt_order()
    state = start.when(amend(line("POT", 1, 900))).world.order()
    assert state.lines[3].priced.exemption == Exemption(**CHARITY)
    start.when(amend(line("POT", 1, 900, tax_rate_bp=1300))).refused(
        "line_is_exempt", asked_bp=1300, allowed_bp=0
    )
    added = after(place()).when(amend(line("BOOK", 1, 900, exemption=BOOK))).world.order()
    assert added.lines[2].priced.exemption == Exemption(**BOOK)


# Discounts by name


def names(world: World) -> list[tuple[str | None, int]]:
    return [(one.code, one.amount_minor) for one in world.order().discounts]


def lines_shares(world: World) -> list[list[int] | None]:
    return [x.priced.discount_shares for x in world.order().lines.values()]


def test_named_discounts_are_the_order_discount() -> None:
    """covers: A66: shared out as their sum would be, each one's share known."""
    lines = (line(), line("CUP", 1, 5000))
    named = after(place("A", *lines, discounts=[COUPON, AGREED])).world
    plain = after(place("A", *lines, discount_minor=501)).world
    assert named.order().total_minor == plain.order().total_minor == 14_499
    assert lines_shares(named) == [[200, 134], [100, 67]]
    assert lines_shares(plain) == [None, None]
    for no, one in named.order().lines.items():
        other = plain.order().lines[no]
        assert one.priced.order_discount_minor == sum(one.priced.discount_shares or ())
        assert one.gross_minor == other.gross_minor
    assert names(named) == [("SPRING", 300), (None, 201)]
    assert names(plain) == []


def test_names_and_their_sum_must_agree() -> None:
    given().when(place("A", discounts=[COUPON], discount_minor=300)).world.order()
    refused(
        "discounts", "sum to 3.00, discount_minor is 0.00", discounts=[COUPON], discount_minor=0
    )
    given().when(place("A", discounts=[COUPON | {"amount_minor": 10_001}])).refused(
        "discount_exceeds_order", asked_minor=10_001, allowed_minor=10_000
    )


def test_a_code_stands_once_in_an_order() -> None:
    """Also as customers type it."""
    again = COUPON | {"code": "Spring", "kind": "promotion"}
    refused("discounts", "code Spring stands twice", discounts=[COUPON, again])
    after(place("A", discounts=[AGREED, AGREED, COUPON]))


def test_a_coupon_has_a_code() -> None:
    coupon = {"kind": "coupon", "title": "Spring sale", "amount_minor": 1}
    refused("discounts.0.code", "required for a coupon", discounts=[coupon])


def test_names_and_shares_of_discounts_are_frozen() -> None:
    """covers: R11: by name too, whatever becomes of the lines."""
    start = after(place("A", line(), line("CUP", 1, 5000), discounts=[COUPON, AGREED]))
    for command in (
        cancel((2, 1)),
        amend({"line_no": 2, "unit_price_minor": 9000}),
        amend(line("POT", 1, 100)),
    ):
        world = start.when(command).world
        assert lines_shares(world)[:2] == [[200, 134], [100, 67]]
        assert lines_shares(world)[2:] in ([], [None])
        assert names(world) == [("SPRING", 300), (None, 201)]


@settings(max_examples=scale(2000, 100), deadline=None)
@given_any(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=12),
)
def test_shares_by_name_sum_to_the_lines_and_to_the_discounts(
    amounts: list[int], weights: list[int]
) -> None:
    """covers: A66: for any discounts and lines, none negative."""
    line_shares = split(sum(amounts), weights)
    named = [Discount(kind="promotion", title="x", amount_minor=amount) for amount in amounts]
    shares = discount.shares(named, line_shares)
    assert [sum(parts) for parts in shares] == line_shares
    assert [sum(parts) for parts in zip(*shares, strict=True)] == amounts
    assert min(min(parts) for parts in shares) >= 0


@settings(max_examples=scale(200, 20), deadline=None)
@given_any(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9999)), min_size=1, max_size=4),
    st.lists(st.integers(1, 99), max_size=3),
    st.booleans(),
    st.data(),
)
def test_single_items_give_back_what_was_paid(
    lines: list[tuple[int, int]], amounts: list[int], exempt: bool, data: st.DataObject
) -> None:
    """covers: A66, R4, R13: discounts by name, exempt or taxed, unit by unit to the cent."""
    rate = 0 if exempt else data.draw(st.sampled_from([0, 600, 1300]))
    goods = [
        line(f"S{n}", units, price, tax_rate_bp=rate) for n, (units, price) in enumerate(lines)
    ]
    whole = sum(units * price for units, price in lines)
    off = [AGREED | {"amount_minor": amount} for amount in amounts if sum(amounts) <= whole]
    more: dict[str, Any] = {"exemption": CHARITY} if exempt else {}
    world = after(place("A", *goods, discounts=off, **more)).world
    paid = world.order().total_minor
    if not paid:
        return
    world.run(pay(paid))
    for no, (units, _) in enumerate(lines, start=1):
        for nth in range(units):
            before = world.order()
            share = before.lines[no].share(
                before.lines[no].gross_minor, before.lines[no].refunded + 1
            )
            if share > before.lines[no].refunded_minor:
                world.run(refund(None, (no, 1), refund_id=f"R{no}-{nth}"))
    left = world.order()
    assert left.refunded_minor == paid


# Invoices


def test_an_invoice_tells_exempt_from_zero_rated() -> None:
    """covers: A65 (exemption), A68: by reason, and a credit note takes it over."""
    lines = (line(tax_rate_bp=1300), line("BOOK", 1, 4000, exemption=BOOK), line("MILK", 1, 700))
    world = after(place("A", *lines), issue(), pay(14_700)).world
    world.run(refund(None, (2, 1)))
    world.run(credit(refund_id="R1"))
    (invoice,), (note,) = (list(papers.values()) for papers in (_invoices(world), _notes(world)))
    told = [
        (r.tax_rate_bp, r.exemption and r.exemption.code, r.gross_minor) for r in rates(invoice)
    ]
    assert told == [(1300, None, 10_000), (0, None, 700), (0, "VATEX-EU-132", 4000)]
    assert [(one.ref, one.exemption) for one in note] == [("line/2", Exemption(**BOOK))]


def _invoices(world: World) -> dict[str, Any]:
    return {number: one.lines for number, one in world.order().papers.invoices.items()}


def _notes(world: World) -> dict[str, Any]:
    return {number: one.lines for number, one in world.order().papers.credit_notes.items()}


def test_an_exempt_orders_shipping_is_exempt_on_the_invoice() -> None:
    world = exempt_order(shipping_minor=500).when(issue()).world
    (lines,) = _invoices(world).values()
    assert {one.exemption for one in lines} == {Exemption(**CHARITY)}
    assert [one.gross_minor for one in rates(lines)] == [14_500]


def test_an_invoice_names_the_discounts_within_its_lines() -> None:
    """covers: A66: all of them at once, or the part of the units that are invoiced."""
    lines = (line(discount_minor=100), line("CUP", 1, 5000))
    start = after(place("A", *lines, discounts=[COUPON, AGREED]))
    assert told(start.when(issue()).world) == [[("SPRING", 300), (None, 201)]]
    part = start.when(issue((2, 1))).world
    assert told(part) == [[("SPRING", 100), (None, 67)]]
    assert told(given(part).when(issue(paper_id="I2")).world)[1] == [("SPRING", 200), (None, 134)]
    assert told(after(place("A", discount_minor=300)).when(issue()).world) == [None]


def told(world: World) -> list[list[tuple[str | None, int]] | None]:
    """The named discounts of each invoice."""
    found = [e for events in world.events.values() for e in events if hasattr(e, "discounts")]
    papers = [event.discounts for event in found if event.TOPIC.startswith("order.invoiced")]
    return [d if d is None else [(one.code, one.amount_minor) for one in d] for d in papers]
