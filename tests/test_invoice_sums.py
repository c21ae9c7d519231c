"""Whatever happens to an order, its papers add up to what it says itself, by line and tax rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from domain.invoice_amounts import (
    NOTHING,
    Amount,
    amount,
    billable_minor,
    billed,
    given_back_minor,
    given_minor,
    standing,
)
from domain.message import Command, Rejected
from domain.order_papers import Papers
from domain.order_state import Order
from domain.papers_due import CreditNoteDue, papers_due
from domain.payment_commands import (
    ChargeLateFee,
    LoseChargeback,
    RefuseDelivery,
    ReinstateOrder,
    WaiveLateFee,
)
from tests.given import World, hours
from tests.given_money import dispute, money, pay, unrecord
from tests.given_orders import amend, cancel, deliver, dispatch, line, pack, place, publish
from tests.given_returns import (
    approve_refund,
    approve_return,
    deny_refund,
    fail_refund,
    pay_refund,
    refund,
    retry_refund,
    send_back,
    take_back,
)
from tests.order_figures import owed_by_rate
from tests.papers import credit, issue
from tests.scale import scale

STEPS_MAX = 16
RATES = st.sampled_from([0, 600, 900, 1300, 1900])
MONEY = st.integers(1, 20_000)
LINE_NO = st.integers(1, 3)
UNITS = st.sampled_from(["1", "2", "0.5", "3", "0.333"])
LINES = st.builds(
    lambda sku, quantity, price, rate, off: line(
        sku, quantity, price, tax_rate_bp=rate, discount_minor=min(off, price // 4)
    ),
    st.sampled_from(["TEA", "CUP"]),
    UNITS,
    MONEY,
    RATES,
    st.integers(0, 3000),
)


EXEMPT = st.sampled_from([None, {"code": "VATEX-EU-132"}, {"code": "own", "reason": "by law"}])


@st.composite
def placements(draw: st.DrawFn) -> Command:
    lines = draw(st.lists(LINES, min_size=1, max_size=3))
    for one in lines:
        one["exemption"] = None if one["tax_rate_bp"] else draw(EXEMPT)
    # A line of a third of a unit, less a quarter of the price, has a twelfth left.
    most = lines[0]["unit_price_minor"] // 40
    amounts = draw(st.lists(st.integers(1, most), max_size=3)) if most else []
    return place(
        "A",
        *lines,
        discounts=[
            {"kind": "promotion", "title": "Spring", "amount_minor": amount} for amount in amounts
        ],
        prices_include_tax=draw(st.booleans()),
        shipping_minor=draw(st.integers(0, 1500)),
        shipping_tax_rate_bp=draw(RATES),
        payment_method=draw(st.sampled_from(["alipay", "cash_on_delivery"])),
    )


ACTS = st.sampled_from(
    [
        *("invoice", "invoice_lines", "credit", "correct", "correct_lines", "correct_amount"),
        *("credit_lines", "credit_amount", "credit_refund", "cancel", "cancel_lines", "price"),
        *("quantity", "pay", "refund", "refund_lines", "pay_refund", "pack", "dispatch"),
        *("fail", "retry", "deny", "deliver", "refuse", "send_back", "take_back", "late", "waive"),
        *("overdue", "reinstate", "void_payment", "charge_back", "dear_cancel"),
    ]
)
STEPS = st.lists(
    st.tuples(ACTS, LINE_NO, UNITS, MONEY, st.booleans()), min_size=1, max_size=STEPS_MAX
)
Step = tuple[str, int, str, int, bool]


def command(step: Step, new: str, order: Order) -> Any:  # noqa: C901 - a table
    act, no, units, minor, flag = step
    refunds = [*order.refunds, "none"]
    match act:
        case "invoice":
            return issue(paper_id=new, charges=flag)
        case "invoice_lines":
            return issue((no, units), paper_id=new, charges=flag)
        case "credit":
            return credit(paper_id=new)
        case "correct":
            return credit(paper_id=new, correction=True)
        case "correct_lines":
            return credit((no, units), paper_id=new, correction=True)
        case "correct_amount":
            return credit(paper_id=new, amount_minor=minor, correction=True)
        case "credit_lines":
            return credit((no, units), paper_id=new)
        case "credit_amount":
            return credit(paper_id=new, amount_minor=minor)
        case "credit_refund":
            return credit(paper_id=new, refund_id=refunds[minor % len(refunds)])
        case "cancel":
            return cancel()
        case "cancel_lines":
            return cancel((no, units))
        case "price":
            return amend({"line_no": no, "unit_price_minor": minor})
        case "quantity":
            return amend({"line_no": no, "quantity": units if flag else 0})
        case "pay":
            return pay(minor, new)
        case "refund":
            return refund(minor, refund_id=new)
        case "refund_lines":
            return refund(None, (no, units), refund_id=new)
        case "pay_refund":
            return pay_refund(refunds[minor % len(refunds)])
        case "pack":
            return pack((no, units), parcel_id=new)
        case "dispatch":
            return dispatch(one_of(order.parcels, minor), unpaid_reason="trusted")
        case _:
            return mishap(act, no, units, minor, new, order)


def mishap(  # noqa: C901 - a table
    act: str, no: int, units: str, minor: int, new: str, order: Order
) -> Any:
    refund_id, parcel_id = one_of(order.refunds, minor), one_of(order.parcels, minor)
    payment_id, back = one_of(order.payments, minor), one_of(order.returns, minor)
    match act:
        case "fail":
            return fail_refund(refund_id)
        case "retry":
            return retry_refund(refund_id)
        case "deny":
            return deny_refund(refund_id)
        case "deliver":
            return deliver(parcel_id)
        case "refuse":
            return money(RefuseDelivery, parcel_id=parcel_id)
        case "send_back":
            return send_back((no, units), return_id=new)
        case "take_back":
            return take_back((no, units), return_id=back, refund_id=new)
        case "late":
            return money(ChargeLateFee, at=LATER)
        case "waive":
            return money(WaiveLateFee, amount_minor=minor % 50 + 1, reason="goodwill")
        case "overdue":
            return cancel(reason_code="overdue", initiator="system")
        case "reinstate":
            return money(ReinstateOrder, at=LATER)
        case "void_payment":
            return unrecord(payment_id)
        case "charge_back":
            return dispute(payment_id, chargeback_id=new)
        case _:
            return cancel((no, units), at=LATER)


def one_of(there: Mapping[str, object], number: int) -> str:
    names = [*there] or ["none"]
    return names[number % len(names)]


def tried(world: World, command: Command) -> bool:
    try:
        world.run(command)
    except Rejected:
        return False
    return True


def lived(placed: Command, made: list[Step]) -> World:
    world = World()
    world.run(publish(payment=LATE, returns={"restocking_fee_bp": 700}))
    world.run(placed)
    tried(world, pay(world.order().total_minor // 2 or 1, "P0"))
    for number, step in enumerate(made):
        if tried(world, command(step, f"X{number}", world.order())):
            event(step[0])
            follow(world, f"X{number}", step[0])
        check(world.order())
    return world


LATE = {"on_overdue": "late_fee", "late_fee_percent_per_day": "0.7"}
LATER = hours(24 * 9)


def follow(world: World, new: str, act: str) -> None:
    """What makes the next steps likely to be accepted."""
    if act == "send_back":
        tried(world, approve_return(new))
    if act == "charge_back":
        tried(world, money(LoseChargeback, chargeback_id=new))
    if act in {"refund", "refund_lines", "take_back"}:
        tried(world, approve_refund(refund_id=new))


def check(state: Order) -> None:
    """No credit note takes more off than its invoice says, by line, and no more than went back."""
    papers = state.papers
    for number, invoice in papers.invoices.items():
        for one in invoice.lines:
            whole, off = amount(one), NOTHING
            for note in papers.credit_notes.values():
                if note.invoice_number == number:
                    off = sum((amount(x) for x in note.lines if x.ref == one.ref), off)
            left = whole - off
            assert left.gross >= 0
            assert left.tax * (1 if whole.tax >= 0 else -1) >= 0
            assert left.gross > 0 or left.tax == 0
        totals = sum(line.gross_minor for line in invoice.lines)
        assert totals == invoice.total_minor
    told = sum(one.gross for one in standing(state).values())
    assert told + given_back_minor(state) == given_minor(state)
    assert told >= 0 <= given_back_minor(state)


@settings(max_examples=scale(2_000, 150), deadline=None)
@given(placements(), STEPS)
def test_papers_add_up_to_the_order_by_line_and_rate(placed: Command, made: list[Step]) -> None:
    """covers: A68, R4: once nothing is open, the papers are the order's own figures to the cent."""
    world = lived(placed, made)
    settle(world)
    state = world.order()
    sums: dict[int, tuple[int, int]] = {}
    for ref, one in billed(state).items():
        add(sums, rate_of(state.papers, ref), one)
    owed = owed_by_rate(state)
    assert nonzero(sums) == nonzero(owed)
    assert sum(gross for gross, _ in owed.values()) == billable_minor(state)
    assert billable_minor(state) == state.total_minor - state.money.late_fees_minor
    untold = given_back_minor(state)
    event("refunds are told of" if not untold else "a refund is not told of")
    assert on_paper(state) == billable_minor(state) - (given_minor(state) - untold)


def on_paper(state: Order) -> int:
    """What the customer's papers come to."""
    invoices, notes = state.papers.invoices.values(), state.papers.credit_notes.values()
    return sum(one.total_minor for one in invoices) - sum(one.total_minor for one in notes)


def add(sums: dict[int, tuple[int, int]], rate: int, one: Amount) -> None:
    gross, tax = sums.get(rate, (0, 0))
    sums[rate] = (gross + one.gross, tax + one.tax)


def nonzero(sums: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    return {rate: both for rate, both in sums.items() if both != (0, 0)}


def settle(world: World) -> None:
    """Issue what is due, as a worker does, until nothing is open."""
    for number in range(50):
        due = papers_due(world.order(), "completion")
        if not due:
            break
        one = due[0]
        if isinstance(one, CreditNoteDue):
            paper: Command = credit(
                paper_id=f"S{number}",
                invoice_number=one.invoice_number,
                refund_id=one.refund_id,
            )
        else:
            paper = issue(paper_id=f"S{number}")
        world.run(paper)
    assert not papers_due(world.order(), "completion")


def rate_of(papers: Papers, ref: str) -> int:
    return next(
        one.tax_rate_bp
        for paper in papers.invoices.values()
        for one in paper.lines
        if one.ref == ref
    )


@settings(max_examples=scale(500, 50), deadline=None)
@given(placements(), st.lists(st.tuples(LINE_NO, UNITS), max_size=6))
def test_refunds_one_by_one_are_credited_to_the_cent(placed: Command, parts: list[Any]) -> None:
    """covers: R4: money back for every unit takes the whole invoice, tax included."""
    world = World()
    world.run(placed)
    total = world.order().total_minor
    if not tried(world, issue()):
        return
    world.run(pay(total))
    for number, (no, units) in enumerate(parts):
        if tried(world, refund(None, (no, units), refund_id=f"R{number}")):
            world.run(pay_refund(f"R{number}"))
            tried(world, credit(refund_id=f"R{number}", paper_id=f"C{number}"))
            check(world.order())
    state = world.order()
    told = sum(note.total_minor for note in state.papers.credit_notes.values())
    assert told == state.refunded_minor
