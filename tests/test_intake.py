"""What becomes of an order when it comes in, by its channel: refused, or recorded and looked at."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from domain.case_facts import CaseOpened, OrderHeld, UnitsBackordered
from domain.desk_names import order_stream
from domain.intake_body import OrderAsSoldBody, filled
from domain.message import Event
from domain.order_difference import Sum, at_total
from domain.order_facts import OrderPlaced
from domain.order_lines import priced_order
from domain.order_state import Order
from domain.order_status import code, fulfilment, stage
from domain.placement_commands import PlaceOrder
from domain.policy import PublishPolicy
from domain.pricing import tax_of
from tests.given import NOON, World, after, given
from tests.given_money import credit, limit, pay
from tests.given_orders import amend, approve, cancel, line, place, receive, register
from tests.given_returns import refund
from tests.scale import scale

REACHED = {"name": "Li Wei", "phone": "13800000000"}
SOLD_ELSEWHERE = ("marketplace", "import")
OWN = ("web", "phone", "store")


def sold(*lines: Any, channel: str = "marketplace", **more: Any) -> PlaceOrder:
    return place("A", *lines, channel=channel, contact=REACHED, **more)


def facts(world: World, kind: type[Event]) -> list[Any]:
    return [event for event in world.events[order_stream("A")] if isinstance(event, kind)]


def as_sold(**body: Any) -> PlaceOrder:
    """An order as the API reads one that is not complete."""
    whole = {
        "channel": "marketplace",
        "currency": "CNY",
        "lines": [line()],
        "customer_id": "li",
        "contact": REACHED,
        "shipping_address": {"line1": "1 Long Street", "city": "Hangzhou", "country": "CN"},
        "payment_method": "alipay",
    }
    given_parts = {name: value for name, value in (whole | body).items() if value is not None}
    values = filled(OrderAsSoldBody.model_validate(given_parts), "A")
    return PlaceOrder.model_validate(
        {**values, "order_id": "A", "numbers": ("number-A",), "at": NOON}
    )


def policy(**rules: Any) -> PublishPolicy:
    own = {"kind": "own"}  # Without a public calendar, whose days would have to be given.
    body = {"shop": "main", "rules": {"calendar": own, **rules}, "at": NOON}
    return PublishPolicy.model_validate(body)


# -- by channel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", OWN)
def test_a_channel_of_the_shop_refuses_what_is_wrong_or_short(channel: str) -> None:
    """covers: A44"""
    given().when(sold(channel=channel, total_minor=1)).refused("total_differs")
    after(receive(1)).when(sold(channel=channel)).refused("insufficient_stock", available=1)
    incomplete = as_sold(channel=channel, contact=None, payment_method=None)
    given().when(incomplete).refused("order_incomplete", fields=["contact", "payment_method"])


@pytest.mark.parametrize("channel", SOLD_ELSEWHERE)
def test_what_was_sold_elsewhere_is_recorded_whatever_is_wrong_with_it(channel: str) -> None:
    """covers: A41, A44: each fault is a case that holds the order."""
    command = as_sold(channel=channel, contact=None, total_minor=7_777)
    world = given(after(receive(1)).world, command).world
    cases = {event.rule: event for event in facts(world, CaseOpened)}
    assert cases.keys() == {"missing_fields", "total_differs", "stock_short"}
    assert all(case.blocking for case in cases.values())
    assert {case.kind for case in cases.values()} == {
        "incomplete",
        "abnormal_amount",
        "stock_short",
    }
    holds = facts(world, OrderHeld)
    assert {hold.case_id for hold in holds} == {case.case_id for case in cases.values()}
    order = world.order()
    assert (stage(order), code(order), order.total_minor) == ("on_hold", "exception", 7_777)
    assert cases["total_differs"].figures == {
        "sent_minor": 7_777,
        "computed_minor": 10_000,
        "difference_minor": -2_223,
    }


def test_a_clean_order_costs_no_event_more() -> None:
    for channel in (*OWN, *SOLD_ELSEWHERE):
        given().when(sold(channel=channel, total_minor=10_000)).topics(
            "order.placed.v4", "order.approved.v1", "customer.registered.v1"
        )


def test_the_answer_tells_the_stage_and_the_cases_and_names_the_fields() -> None:
    """covers: A40"""
    answer = World().answer(as_sold(contact={"name": "Li Wei", "phone": "138****0000"}))
    [case] = answer["cases"]
    assert (answer["status"], answer["stage"]) == ("exception", "on_hold")
    assert (case["kind"], case["fields"]) == ("incomplete", ["contact.phone"])
    assert answer["holds"] == [{"hold_id": case["case_id"], "type": "customer"}]


def test_every_missing_part_is_named_and_what_is_there_is_kept() -> None:
    """covers: A40"""
    lines = [
        {"sku": "TEA", "quantity": 1},
        {"name": "Cup", "quantity": 2, "unit_price": "5.00", "category": "ware"},
    ]
    address = {"city": "Hangzhou", "country": "China"}
    world = given(
        None,
        as_sold(
            lines=lines,
            customer_id=None,
            contact={"phone": "13800000000"},
            shipping_address=address,
            payment_method=None,
            total_minor=3_000,
        ),
    ).world
    by_rule = {event.rule: event for event in facts(world, CaseOpened)}
    assert by_rule["missing_fields"].fields == [
        "customer_id",
        "lines.0.name",
        "lines.0.category",
        "lines.0.unit_price_minor",
        "lines.1.sku",
        "contact.name",
        "shipping_address.line1",
        "shipping_address.country",
        "payment_method",
    ]
    [placed] = facts(world, OrderPlaced)
    assert placed.customer_id == "order/A"
    assert [(one.sku, one.name) for one in placed.lines] == [("TEA", "TEA"), ("unknown", "Cup")]
    assert (placed.contact.phone, placed.payment_method) == ("13800000000", "unknown")
    assert (placed.shipping_address.city, placed.shipping_address.country) == ("Hangzhou", "China")
    assert placed.total_minor == 3_000


@pytest.mark.parametrize(
    "unreadable",
    [
        {"lines": []},
        {"lines": [{"quantity": 1}]},
        {"lines": [{"sku": "TEA"}]},
        {"lines": [{"sku": "TEA", "quantity": "two"}]},
        {"currency": "XXX?"},
        {"contact": "Li Wei"},
        {"total_minor": "12"},
        {"channel": None},
    ],
)
def test_only_the_unreadable_is_refused(unreadable: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        as_sold(**unreadable)


def test_the_policy_may_record_in_a_channel_of_its_own_too() -> None:
    rules = {"intake": {"phone": {"wrong": "record", "short": "backorder"}}}
    world = given(None, policy(**rules), receive(1)).world
    told = given(world, as_sold(channel="phone", contact=None, total_minor=9_000)).world
    assert {event.rule for event in facts(told, CaseOpened)} == {"missing_fields", "total_differs"}
    given(world).when(sold(channel="web", total_minor=9_000)).refused("total_differs")


# -- stock -----------------------------------------------------------------------------------------


def test_short_units_are_backordered_and_never_reserved() -> None:
    """covers: A44"""
    world = given(None, receive(3), sold(line(quantity=2), line(quantity="2.5"))).world
    order = world.order()
    assert [one.reserved for one in order.lines.values()] == [2, 1]
    assert world.stock().available == 0
    assert fulfilment(order) == "backordered"
    [short] = facts(world, UnitsBackordered)
    assert [(item.line_no, item.quantity) for item in short.lines] == [(2, Decimal("1.5"))]
    [case] = facts(world, CaseOpened)
    assert case.figures == {"lines": [{"line_no": 2, "short": "1.5"}]}
    back = given(world, cancel()).world
    assert back.stock().available == 3
    assert back.order().total_minor == 0


def test_a_backorder_by_policy_is_a_clean_order() -> None:
    rules = {"intake": {"web": {"wrong": "refuse", "short": "backorder"}}}
    world = given(None, policy(**rules), receive(1), sold(channel="web")).world
    assert not facts(world, CaseOpened)
    order = world.order()
    assert (stage(order), fulfilment(order)) == ("approved", "backordered")
    assert order.lines[1].reserved == 1


def test_a_sku_without_stock_record_is_never_short() -> None:
    assert not facts(given(None, sold()).world, UnitsBackordered)


# -- their total -----------------------------------------------------------------------------------


def test_their_total_is_what_the_customer_pays_and_gets_back() -> None:
    """covers: A41: the difference is shared out, so parts of the order are worth what they cost."""
    world = given(None, sold(line(price=3_333), line("CUP", 1, 1_000), total_minor=7_000)).world
    order = world.order()
    assert sum(one.owed_minor for one in order.lines.values()) == order.total_minor == 7_000
    [placed] = facts(world, OrderPlaced)
    assert (placed.discount_minor, placed.verbatim["difference_minor"]) == (666, -666)
    paid = given(world, pay(7_000)).world
    gone = given(paid, cancel()).world.order()
    assert (gone.total_minor, gone.balance_minor) == (0, -7_000)
    given(paid).when(refund(7_001)).refused("refund_exceeds_paid")


def test_a_higher_total_is_a_surcharge() -> None:
    world = given(None, sold(total_minor=10_001)).world
    [placed] = facts(world, OrderPlaced)
    assert (placed.discount_minor, placed.lines[0].base_minor) == (-1, 10_001)
    assert given(world, cancel()).world.order().total_minor == 0


def test_discounts_of_more_than_there_is_to_pay_are_recorded_at_their_total() -> None:
    world = given(None, sold(line(discount_minor=20_000), total_minor=500)).world
    assert {event.rule for event in facts(world, CaseOpened)} == {"too_much_off", "total_differs"}
    assert world.order().total_minor == 500
    free = given(None, sold(discount_minor=99_999)).world
    assert free.order().total_minor == 0


_LINES = st.lists(
    st.tuples(
        st.integers(0, 3_000),
        st.sampled_from(["1", "2", "0.333"]),
        st.sampled_from([0, 1, 600, 1_300, 10_000]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=scale(1_000, 150), deadline=None)
@hypothesis_given(
    _LINES,
    st.integers(0, 20_000),
    st.integers(0, 2_000),
    st.sampled_from([0, 600, 10_000]),
    st.booleans(),
)
def test_every_total_is_reached_to_the_cent(
    lines: list[tuple[int, str, int]], theirs: int, shipping: int, rate_bp: int, inclusive: bool
) -> None:
    """covers: A41"""
    command = sold(
        *(line(quantity=units, price=price, tax_rate_bp=rate) for price, units, rate in lines),
        shipping_minor=shipping,
        shipping_tax_rate_bp=rate_bp,
        prices_include_tax=inclusive,
    )
    totals, priced = priced_order(command, frozenset())
    ours = Sum(
        priced,
        0,
        shipping,
        totals.shipping_tax_minor,
        totals.tax_minor,
        totals.total_minor,
    )
    made = at_total(ours, theirs, rate_bp, inclusive)
    bases, taxes = sum(one.base_minor for one in made.lines), made.tax_minor
    assert bases + made.shipping_minor + (0 if inclusive else taxes) == theirs == made.total_minor
    assert taxes == made.shipping_tax_minor + sum(one.tax_minor for one in made.lines)
    for one in made.lines:
        assert one.base_minor == one.amount_minor - one.discount_minor - one.order_discount_minor
        assert min(one.base_minor, one.tax_minor, made.shipping_minor) >= 0
        by_rule = tax_of(one.base_minor, one.tax_rate_bp, prices_include_tax=inclusive)
        assert 0 <= one.tax_minor - by_rule <= len(lines), "but for cents that were rounded"


# -- review ----------------------------------------------------------------------------------------


def _waits(order: Order) -> tuple[str, str, list[str]]:
    return stage(order), code(order), order.cases.open_criteria


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (place("A", line(price=250_000)), "over_review_limit"),
        (place(currency="USD"), "no_review_limit"),
        (place("A", line(unit_cost_minor=5_001)), "below_cost"),
        (place("A", line(unit_cost_minor=5_000), discount_minor=1), "below_cost"),
    ],
)
def test_what_is_unusual_waits_for_a_person(command: PlaceOrder, rule: str) -> None:
    """covers: A45"""
    order = given(None, command).world.order()
    assert _waits(order) == ("in_review", "awaiting_review", [rule])


def test_below_the_limit_an_order_approves_itself() -> None:
    """covers: A45"""
    for command in (
        place("A", line(quantity=1, price=499_999)),
        place("A", line(unit_cost_minor=5_000)),
        place("A", line(price=5_650, tax_rate_bp=1_300, unit_cost_minor=5_000)),
    ):
        assert stage(given(None, command).world.order()) == "approved"
    usd = policy(review={"auto_approve_below": {"CNY": 500_000, "USD": 100_000}})
    assert stage(given(None, usd, place(currency="USD")).world.order()) == "approved"


def test_a_policy_may_let_every_order_wait_for_a_person() -> None:
    world = given(None, policy(status={"confirm": ["approve"]}), place()).world
    assert _waits(world.order()) == ("received", "awaiting_review", [])
    assert stage(given(world, approve()).world.order()) == "approved"


CHARITY = {"code": "charity", "reason": "for a school"}
COUPON = {"kind": "coupon", "code": "TEA5", "title": "Spring", "amount_minor": 500}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"discount_minor": 700, "discounts": [COUPON]}, ["discounts"]),
        (
            {
                "exemption": CHARITY,
                "exemption_certificate": "C-7",
                "lines": [line(tax_rate_bp=1_300)],
            },
            ["exemption", "exemption_certificate"],
        ),
        ({"exemption_certificate": "C-7"}, ["exemption_certificate"]),
        ({"lines": [line(tax_rate_bp=1_300, exemption=CHARITY)]}, ["lines.0.exemption"]),
        ({"exemption": CHARITY, "exemption_certificate": "C-7"}, []),
    ],
)
def test_sold_elsewhere_what_contradicts_itself_is_recorded_and_named(
    body: dict[str, Any], fields: list[str]
) -> None:
    """The amounts and rates stand: they were paid. Our own channels refuse it."""
    world = after(as_sold(**body)).world
    assert [field for event in facts(world, CaseOpened) for field in event.fields or ()] == fields
    assert world.order().total_minor == 10_000 - body.get("discount_minor", 0)
    if fields:
        given().when(as_sold(channel="web", **body)).refused("order_incomplete", fields=fields)


# -- what the customer's account does not bear ---------------------------------------------------


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("on_account", "no_credit_limit"),
        ("store_credit", "insufficient_credit"),
        ("gift_balance", "insufficient_credit"),
    ],
)
def test_sold_elsewhere_it_is_recorded_although_the_account_does_not_bear_it(
    method: str, code: str
) -> None:
    """It is a fact: the case and its hold say what is wrong. Our own channels refuse it."""
    known = after(register(), credit(4_000))
    known.when(sold(channel="web", payment_method=method)).refused(code)
    world = known.when(sold(payment_method=method)).world
    [case] = world.order().cases.cases.values()
    assert (case.kind, case.rule, case.blocking) == ("payment_mismatch", "not_covered", True)
    assert case.figures is not None
    assert (case.figures["code"], case.figures["asked_minor"]) == (code, 10_000)
    assert world.order().unpaid_minor == 10_000
    account = world.account()
    assert (account.credit_minor, account.liability_minor) == (4_000, 4_000)
    assert account.exposure_minor == (10_000 if method == "on_account" else 0)


def test_sold_elsewhere_within_what_the_account_bears_it_goes_on() -> None:
    paid = after(register(), credit(10_000), sold(payment_method="store_credit")).world.order()
    assert (paid.unpaid_minor, paid.approved) == (0, True)
    owed = after(register(), limit(10_000), sold(payment_method="on_account")).world
    assert owed.order().approved
    assert owed.account().exposure_minor == 10_000


def test_a_change_of_what_stands_above_the_limit_still_asks_for_it() -> None:
    start = after(register(), limit(9_000), sold(payment_method="on_account"))
    more = amend({"line_no": 1, "quantity": 3})
    start.when(more).refused("credit_limit_exceeded", asked_minor=5_000, available_minor=0)
