"""Drafts and quotes: what may be missing, what stays as offered, and when it becomes an order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain import desk_names
from domain.draft import OFFERS_MAX
from domain.draft_commands import (
    AcceptQuote,
    ConfirmDraft,
    DeclineQuote,
    DiscardDraft,
    DraftBody,
    OfferQuote,
    SaveDraft,
    StartDraft,
)
from domain.draft_content import PERSONAL
from domain.draft_facts import (
    DraftDiscarded,
    DraftOrdered,
    DraftSaved,
    QuoteDeclined,
    QuoteOffered,
)
from domain.draft_state import Draft
from domain.message import Command, Rejected
from domain.order_facts import OrderPlaced
from domain.placement_commands import PlaceOrderBody
from tests.given import NOON, Given, World, after, hours
from tests.given_money import credit, limit
from tests.given_orders import ADDRESS, line, place, receive, register

DRAFT, ORDER = desk_names.draft_stream("D"), desk_names.order_stream("D")
CONTACT = {"name": "Li Wei", "phone": "13800000000"}
# 2 teas at 50.00 with 13 % within, 10.00 for the way: 110.00.
COMPLETE: dict[str, Any] = {
    "channel": "phone",
    "customer_id": "li",
    "currency": "CNY",
    "lines": [line(tax_rate_bp=1300)],
    "shipping_minor": 1000,
    "contact": CONTACT,
    "shipping_address": ADDRESS,
    "payment_method": "alipay",
}
TOMORROW = hours(24)


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in COMPLETE.items() if name not in names} | more


def start(body: dict[str, Any] | None = None, draft_id: str = "D") -> StartDraft:
    ids = {"draft_id": draft_id, "numbers": (f"number-{draft_id}",), "at": NOON}
    return StartDraft.model_validate((COMPLETE if body is None else body) | ids)


def save(body: dict[str, Any], at: datetime = NOON) -> SaveDraft:
    return SaveDraft.model_validate(body | {"draft_id": "D", "at": at})


def offer(expires_at: datetime = TOMORROW, at: datetime = NOON, **more: Any) -> OfferQuote:
    body = {"draft_id": "D", "expires_at": expires_at, "at": at}
    return OfferQuote.model_validate(body | more)


def accept(offer_no: int = 1, at: datetime = NOON) -> AcceptQuote:
    return AcceptQuote(draft_id="D", offer_no=offer_no, at=at)


def decline(offer_no: int = 1, at: datetime = NOON, **more: Any) -> DeclineQuote:
    return DeclineQuote(draft_id="D", offer_no=offer_no, at=at, **more)


def confirm(draft_id: str = "D", at: datetime = NOON) -> ConfirmDraft:
    return ConfirmDraft(draft_id=draft_id, at=at)


def discard(at: datetime = NOON, **more: Any) -> DiscardDraft:
    return DiscardDraft(draft_id="D", at=at, **more)


def draft_of(world: World) -> Draft:
    state = world.state(DRAFT)
    assert isinstance(state, Draft)
    return state


def missing(given: Given) -> list[str]:
    return [*draft_of(given.world).checked.missing]


# -- drafts --------------------------------------------------------------------------------------


def test_a_draft_is_saved_as_it_is_and_keeps_what_is_personal_apart() -> None:
    """covers: A18"""
    body = {"lines": [{"name": "Tea"}], "contact": {"phone": "138"}, "note": "Ring twice"}
    after().when(start(body)).then(
        {
            DRAFT: [
                DraftSaved(
                    draft_id="D",
                    number="number-D",
                    person="draft/D",
                    content={"lines": [{"name": "Tea"}]},
                    contact={"phone": "138"},
                    note="Ring twice",
                    lacking=["contact.name"],
                    at=NOON,
                )
            ]
        }
    )


def test_an_empty_draft_lacks_what_an_order_needs() -> None:
    """covers: A18"""
    required = [name for name, one in PlaceOrderBody.model_fields.items() if one.is_required()]
    assert missing(after(start({}))) == required
    assert missing(after(start({"lines": [], "contact": {}}))) == required


def test_a_draft_can_hold_whatever_an_order_can() -> None:
    assert DraftBody.model_fields.keys() == PlaceOrderBody.model_fields.keys()
    assert not [name for name, one in DraftBody.model_fields.items() if one.is_required()]
    assert set(OrderPlaced.PERSONAL_FIELDS) <= set(PERSONAL) == set(DraftSaved.PERSONAL_FIELDS)


MISSING: list[tuple[list[str], dict[str, Any]]] = [
    (["customer_id"], without("customer_id")),
    (["shipping_address"], without("shipping_address")),
    (["contact.name"], without(contact={"phone": "1"})),
    (["shipping_address.city"], without(shipping_address={**ADDRESS, "city": None})),
    (["lines"], without("lines")),
    (["lines.0.quantity"], without(lines=[{**line(), "quantity": None}])),
    (["lines.1.unit_price"], without(lines=[line(), line(unit_price_minor=None)])),
    (["channel", "payment_method"], without("channel", "payment_method")),
]


@pytest.mark.parametrize(("fields", "body"), MISSING)
def test_a_missing_field_can_be_saved_and_not_confirmed(
    fields: list[str], body: dict[str, Any]
) -> None:
    """covers: A18: errors name each field"""
    given = after(start(body))
    assert missing(given) == fields
    for command in (confirm(), offer()):
        refused = given.when(command)
        refused.refused("draft_incomplete", missing=fields, wrong=[])
        assert all(field in refused.message for field in fields)


def test_each_save_takes_the_place_of_the_last() -> None:
    """covers: A18"""
    given = after(start({"currency": "CNY", "note": "x"}), save(without("note")))
    state = draft_of(given.world)
    assert (state.note, state.person, state.region) == (None, "customer/li", "CN-Zhejiang")
    assert missing(given) == []


def test_the_same_without_anything_personal_is_no_new_fact() -> None:
    body = without("contact", "shipping_address")
    after(start(body)).when(save(body)).nothing()
    after(start(body)).when(save(body | {"discount_minor": 1})).topics("draft.saved.v1")


def test_what_would_be_refused_is_told_with_each_save() -> None:
    two_prices = without(lines=[line(unit_price="50.00")])
    answer = after().world.answer(start(two_prices))
    assert answer["refused"] == [
        {
            "field": "lines.0.unit_price",
            "code": "value_error",
            "message": "give unit_price_minor or unit_price, not both",
        }
    ]
    assert (answer["missing"], answer["total_minor"]) == ([], None)
    discounted = after().world.answer(start(without(discount_minor=10_001)))
    assert [one["code"] for one in discounted["refused"]] == ["discount_exceeds_order"]
    wrong_total = after().world.answer(start(without(total_minor=1)))
    assert [one["code"] for one in wrong_total["refused"]] == ["total_differs"]
    good = after().world.answer(start(without("customer_id", "contact")))
    assert (good["refused"], good["total_minor"]) == ([], 11_000)
    after(start(two_prices)).when(confirm()).refused("draft_incomplete")
    after(start(without(total_minor=1))).when(confirm()).refused("total_differs")
    after(start(without(total_minor=1))).when(offer()).refused("total_differs")


def test_a_confirmed_draft_is_an_order_with_its_id_and_number() -> None:
    """covers: A18"""
    body = without(note="Ring twice", external_ref="W-1", promised_at="2025-03-09T12:00:00Z")
    world = after(receive(10), start(body)).when(confirm(at=hours(1))).outcome
    assert not isinstance(world, Rejected)
    assert world.events[DRAFT] == [
        DraftOrdered(draft_id="D", number="number-D", total_minor=11_000, at=hours(1))
    ]
    direct = place(
        "D",
        *COMPLETE["lines"],
        at=hours(1),
        **{name: value for name, value in body.items() if name != "lines"},
    )
    placed = after(receive(10)).when(direct).outcome
    assert not isinstance(placed, Rejected)
    assert world.events.keys() == placed.events.keys() | {DRAFT}
    assert [e.model_dump() for e in world.events[ORDER]] == [
        e.model_dump() for e in placed.events[ORDER]
    ]
    assert world.events[desk_names.stock_stream("TEA", "main")][0].model_dump()["quantity"] == 2
    assert {claim[:2] for claim in world.claims} == {("external_ref", "main/W-1")}


def test_a_draft_reserves_nothing_until_it_is_an_order() -> None:
    """covers: R9 no_effect_before_commit"""
    given = after(receive(1), start(), offer())
    assert given.world.stock().reserved == 0
    refused = given.when(accept()).refused("insufficient_stock")
    assert not refused.order("D").placed
    assert draft_of(refused).status == "quoted"
    assert refused.stock().reserved == 0
    more = after(receive(5), start(), offer()).when(accept()).world
    assert more.stock().reserved == Decimal(2)


def test_what_a_placement_is_refused_for_a_draft_is_refused_for() -> None:
    on_account = without(payment_method="on_account")
    after(start(on_account)).when(confirm()).refused("no_credit_limit")
    with_limit = after(register(), limit(11_000), start(on_account))
    with_limit.when(confirm()).topics(
        "order.placed.v4", "order.approved.v1", "account.exposure_taken.v1", "draft.ordered.v1"
    )
    store_credit = after(register(), credit(11_000), start(without(payment_method="store_credit")))
    assert store_credit.when(confirm()).world.order("D").paid_minor == 11_000
    taken = after(place("A", external_ref="W-1"), start(without(external_ref="W-1")))
    taken.when(confirm()).refused("already_placed", order_id="A")


def test_confirming_again_is_the_same_order() -> None:
    given = after(start(), confirm())
    given.when(confirm(at=hours(1))).nothing()
    answer = given.world.answer(confirm(at=hours(1)))
    assert (answer["order_id"], answer["number"]) == ("D", "number-D")
    assert answer["lines"][0]["gross_minor"] == 10_000


def test_what_is_ordered_or_discarded_changes_no_more() -> None:
    changes: Sequence[Command] = [save({}), offer(), accept(), decline(), confirm(), discard()]
    ordered, dropped = after(start(), confirm()), after(start(), discard(reason="Entered twice"))
    facts = {"order_id": "D", "number": "number-D"}
    for change in (changes[0], changes[1], changes[-1]):
        ordered.when(change).refused("draft_ordered", **facts)
    ordered.when(accept()).refused("unknown_offer")
    for change in (changes[0], changes[1], changes[4]):
        dropped.when(change).refused("draft_discarded")
    dropped.when(discard()).nothing()
    for change in changes:
        after().when(change).refused("draft_not_found", draft_id="D")


def test_a_draft_is_discarded_with_a_reason() -> None:
    discarded = DraftDiscarded(draft_id="D", person="customer/li", reason="Mistyped", at=NOON)
    after(start()).when(discard(reason="Mistyped")).then({DRAFT: [discarded]})
    world = after(start(), offer()).when(discard(at=hours(1))).world
    assert (draft_of(world).offers[0].ended, draft_of(world).status) == ("withdrawn", "discarded")


# -- quotes --------------------------------------------------------------------------------------


def test_a_quote_is_what_was_saved_at_prices_that_stay() -> None:
    """covers: A56"""
    outcome = after(start()).when(offer(text="Valid today")).outcome
    assert not isinstance(outcome, Rejected)
    (offered,) = outcome.events[DRAFT]
    assert isinstance(offered, QuoteOffered)
    assert (offered.offer_no, offered.expires_at, offered.text) == (1, TOMORROW, "Valid today")
    assert (offered.total_minor, offered.tax_minor) == (11_000, 1_150)
    assert [(one.sku, one.gross_minor, one.tax_rate_bp) for one in offered.lines] == [
        ("TEA", 10_000, 1_300)
    ]
    assert not outcome.claims


def test_an_accepted_quote_is_an_order_at_the_offered_price() -> None:
    """covers: A56: accepted price frozen"""
    world = after(start(), offer()).when(accept(at=hours(23))).world
    order = world.order("D")
    assert (order.total_minor, order.number) == (11_000, "number-D")
    assert world.events[DRAFT][-1] == DraftOrdered(
        draft_id="D", number="number-D", total_minor=11_000, offer_no=1, at=hours(23)
    )
    assert draft_of(world).offers[0].ended == "accepted"
    after(start(), offer(), accept()).when(accept(at=hours(99))).nothing()
    after(start(), offer(), accept()).when(confirm()).nothing()


def test_no_price_is_placed_but_the_offered_one() -> None:
    """Should the same lines ever come to another price than when they were offered. covers: A56"""
    world = after(start(), offer()).world
    state = draft_of(world)
    world.states[DRAFT] = replace(state, offers=(replace(state.offers[0], total_minor=10_999),))
    refused = Given(world).when(accept())
    refused.refused("total_differs", sent_minor=10_999, total_minor=11_000)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(microseconds=1), timedelta(days=90)])
def test_an_expired_quote_cannot_be_accepted(late: timedelta) -> None:
    """covers: A56"""
    given, at = after(start(), offer()), TOMORROW + late
    facts = {"expires_at": TOMORROW.isoformat(), "at": at.isoformat(), "total_minor": 11_000}
    given.when(accept(at=at)).refused("quote_expired", offer_no=1, **facts)
    given.when(confirm(at=at)).refused("quote_expired", **facts)
    given.when(accept(at=TOMORROW - timedelta(microseconds=1))).topics(
        "order.placed.v4", "order.approved.v1", "customer.registered.v1", "draft.ordered.v1"
    )


def test_an_expired_quote_is_offered_anew_or_saved_anew() -> None:
    """covers: A56"""
    given, later = after(start(), offer()), hours(30)
    again = given.when(offer(hours(48), at=later)).world
    assert [one.ended for one in draft_of(again).offers] == ["expired", None]
    saved = given.when(save(without(shipping_minor=0), at=later)).world
    assert draft_of(saved).offers[0].ended == "expired"
    assert (draft_of(saved).status, draft_of(saved).total_minor) == ("draft", 10_000)
    order = Given(saved).when(confirm(at=later)).world.order("D")
    assert order.total_minor == 10_000
    Given(saved).when(accept(at=later)).refused("quote_expired")


def test_a_quote_is_renegotiated_and_its_history_stays() -> None:
    """covers: A56"""
    cheaper = without(lines=[line(price=4_500, tax_rate_bp=1300)])
    given = after(start(), offer())
    given.when(offer(hours(48), draft=cheaper)).topics("draft.saved.v1", "quote.offered.v1")
    world = given.when(offer(hours(48), at=hours(1), draft=cheaper, text="-10 %")).world
    first, second = draft_of(world).offers
    assert (first.total_minor, first.ended, first.ended_at) == (11_000, "revised", hours(1))
    assert first.lines[0].unit_price_minor == "5000"
    assert (second.total_minor, second.ended, second.status(hours(47))) == (10_000, None, "open")
    stale = Given(world).when(accept(1, at=hours(2)))
    stale.refused("quote_revised", offer_no=1, last_offer_no=2, last_total_minor=10_000)
    assert Given(world).when(accept(2, at=hours(2))).world.order("D").total_minor == 10_000
    after(start(), offer(), accept()).when(offer(hours(48))).refused("draft_ordered")


def test_the_same_offer_again_is_no_new_fact() -> None:
    after(start(), offer()).when(offer()).nothing()
    after(start(), offer()).when(offer(hours(25))).topics("quote.offered.v1")
    after(start(), offer()).when(offer(text="again")).topics("quote.offered.v1")


def test_what_is_offered_is_not_changed_or_confirmed_past_the_offer() -> None:
    given = after(start(), offer())
    facts = {"offer_no": 1, "total_minor": 11_000, "expires_at": TOMORROW.isoformat()}
    given.when(save({})).refused("quote_open", **facts)
    given.when(confirm()).refused("quote_open", **facts)
    given.when(accept(2)).refused("unknown_offer", offers=1)


def test_a_quote_may_be_declined_and_offered_anew() -> None:
    """covers: A56"""
    said = QuoteDeclined(
        draft_id="D", offer_no=1, person="customer/li", reason="Too dear", at=hours(1)
    )
    given = after(start(), offer())
    given.when(decline(at=hours(1), reason="Too dear")).then({DRAFT: [said]})
    given.when(decline(at=hours(99))).topics("quote.declined.v1")
    declined = after(start(), offer(), decline())
    declined.when(decline()).nothing()
    declined.when(accept()).refused("quote_declined", offer_no=1)
    declined.when(confirm()).refused("quote_declined", offer_no=1)
    assert declined.when(offer(hours(48))).world.state(DRAFT).status == "quoted"
    declined.when(save({})).topics("draft.saved.v1")
    after(start(), offer(), accept()).when(decline()).refused("draft_ordered")
    after(start(), offer(), offer(hours(9))).when(decline(1)).refused("quote_revised")
    after(start(), offer(), discard()).when(decline()).refused("draft_discarded")
    after(start(), offer(), discard()).when(accept()).refused("draft_discarded")


def test_a_quote_that_would_be_over_at_once_is_refused() -> None:
    after(start()).when(offer(NOON)).refused("quote_already_expired", expires_at=NOON.isoformat())


def test_offers_have_a_bound() -> None:
    many = [offer(hours(24 + number)) for number in range(OFFERS_MAX)]
    after(start(), *many).when(offer(hours(500))).refused("too_many_offers")


def test_quotes_of_every_currency_and_way_of_tax_are_ordered_at_their_price() -> None:
    """covers: A56: accepted price frozen"""
    lines = [line("TEA", "1.5", 333, tax_rate_bp=1300), line("CUP", 3, 101, tax_rate_bp=600)]
    for currency in ("CNY", "JPY", "KWD"):
        for inclusive in (True, False):
            body = without(
                currency=currency,
                prices_include_tax=inclusive,
                lines=lines,
                discount_minor=7,
                shipping_tax_rate_bp=900,
            )
            world = after(start(body), offer()).when(accept()).world
            (offered,) = draft_of(world).offers
            order = world.order("D")
            placed = [(one.gross_minor, one.priced.tax_minor) for one in order.lines.values()]
            assert [(one.gross_minor, one.tax_minor) for one in offered.lines] == placed
            assert (order.total_minor, order.currency) == (offered.total_minor, currency)
