"""Statements: every line once, what it tells of matched and undone, never twice; batches add up."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from domain.message import Command
from domain.movement import MovementKey
from domain.reconciliation import match_name
from domain.reconciliation_streams import movement_stream, statement_stream
from domain.statement import Statement, totals_of
from domain.statement_commands import (
    ImportStatement,
    LeaveUnallocated,
    MatchLines,
    RecordLines,
    StatementLine,
    UnmatchLines,
)
from tests.given import NOON, Given, World, after, given
from tests.given_money import pay
from tests.given_orders import place
from tests.given_returns import pay_refund, refund

BANK, STRIPE = "b" * 64, "5" * 64


def row(line_no: int, amount: int, fee: int = 0, **more: Any) -> StatementLine:
    body: dict[str, Any] = {
        "line_no": line_no,
        "kind": "charge" if amount > 0 else "refund",
        "amount_minor": amount,
        "fee_minor": fee,
        "net_minor": amount - fee,
        "currency": "CNY",
        "at": NOON,
        "value_on": "2025-03-01",
    }
    return StatementLine.model_validate(body | more)


def announce(*rows: StatementLine, statement_id: str = BANK, **more: Any) -> ImportStatement:
    body: dict[str, Any] = {
        "statement_id": statement_id,
        "layout": "csv",
        "method": "bank_transfer",
        "file_name": "march.csv",
        "file_bytes": 100,
        "lines": len(rows),
        "totals": [dict(total) for total in totals_of(rows)],
        "at": NOON,
    }
    return ImportStatement.model_validate(body | more)


def record(*rows: StatementLine, statement_id: str = BANK) -> RecordLines:
    return RecordLines(statement_id=statement_id, lines=list(rows), at=NOON)


def statement(*rows: StatementLine, statement_id: str = BANK, **more: Any) -> list[Command]:
    """The commands that bring a whole file in."""
    announced = announce(*rows, statement_id=statement_id, **more)
    return [announced, record(*rows, statement_id=statement_id)]


def capture(order_id: str = "A", payment_id: str = "P1", amount: int | None = None) -> Any:
    return {"kind": "capture", "owner": order_id, "id": payment_id, "amount_minor": amount}


def match(
    lines: list[Any], movements: list[Any], match_id: str = "M", statement_id: str = BANK
) -> MatchLines:
    parts = [line if isinstance(line, dict) else {"line_no": line} for line in lines]
    return MatchLines.model_validate(
        {
            "statement_id": statement_id,
            "match_id": match_id,
            "lines": parts,
            "movements": movements,
            "at": NOON,
        }
    )


def unmatch(match_id: str = "M") -> UnmatchLines:
    return UnmatchLines(statement_id=BANK, match_id=match_id, reason="another payer", at=NOON)


def state(world: World, statement_id: str = BANK) -> Statement:
    found = world.state(statement_stream(statement_id))
    assert isinstance(found, Statement)
    return found


def taken(world: World, order_id: str = "A", payment_id: str = "P1") -> int:
    total: int = world.state(
        movement_stream(MovementKey("capture", order_id, payment_id))
    ).taken_minor
    return total


def paid(*rows: StatementLine) -> Given:
    """An order of 100.00, paid, and a statement with these lines."""
    return after(place(), pay(10_000), *statement(*rows))


# -- import ------------------------------------------------------------------------------------


def test_a_file_is_imported_once() -> None:
    """covers: A25: the digest names the stream, so a second import finds the first."""
    rows = [row(1, 10_000), row(2, -500)]
    world = given().when(announce(*rows)).topics("statement.imported.v1")
    world = (
        given(world)
        .when(record(*rows))
        .topics(
            "statement.line_recorded.v1", "statement.line_recorded.v1", "statement.completed.v1"
        )
    )
    given(world).when(announce(*rows, file_name="again.csv")).nothing()
    given(world).when(record(*rows)).nothing()
    assert world.answer(announce(*rows)) == {
        "statement_id": BANK,
        "version": 4,
        "status": "imported",
        "lines": 2,
        "lines_announced": 2,
        "matched_lines": 0,
    }


def test_an_import_that_was_stopped_goes_on_where_it_was() -> None:
    rows = [row(number, 100 * number) for number in (1, 2, 3)]
    half = after(announce(*rows), record(*rows[:2]))
    half.when(match([1], [capture()])).refused("statement_incomplete", lines=2, announced=3)
    half.when(record(*rows)).topics("statement.line_recorded.v1", "statement.completed.v1")


def test_lines_must_come_to_what_was_announced() -> None:
    announced = after(announce(row(1, 100), row(2, 200)))
    announced.when(record(row(1, 100), row(2, 201))).refused("totals_differ")
    announced.when(record(row(1, 100), row(1, 200))).refused("line_differs", line_no=1)
    half = given(announced.world, record(row(1, 100)))
    half.when(record(row(1, 101))).refused("line_differs", line_no=1)
    whole = given(half.world, record(row(2, 200)))
    whole.when(record(row(3, 1))).refused("statement_complete")
    given().when(record(row(1, 1))).refused("statement_not_found")


def test_gross_less_fee_is_net_in_every_line() -> None:
    with pytest.raises(ValidationError, match="amount less fee must be net"):
        row(1, 1_000, 6, net_minor=995)


# -- match -------------------------------------------------------------------------------------


def test_one_line_tells_of_one_payment() -> None:
    """covers: A25, A24"""
    start = paid(row(1, 10_000))
    world = start.when(match([1], [capture()])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )
    assert (state(world).matched_lines, taken(world)) == (1, 10_000)
    given(world).when(match([1], [capture()])).nothing()
    given(world).when(match([1], [capture()], "M2")).refused("line_matched", open_minor=0)


def test_one_line_tells_of_many_payments_and_many_lines_of_one() -> None:
    """covers: A25"""
    both = after(
        place(),
        place("B"),
        pay(10_000),
        pay(10_000, order_id="B"),
        *statement(row(1, 20_000), row(2, 4_000), row(3, 6_000)),
    )
    world = both.when(match([1], [capture(), capture("B")])).world
    assert (taken(world), taken(world, "B")) == (10_000, 10_000)
    parts = both.when(match([2, 3], [capture()])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )
    assert (taken(parts), state(parts).matched_lines) == (10_000, 2)
    halves = given(both.world, match([2], [capture(amount=4_000)], "M1"))
    halves.when(match([3], [capture()], "M2")).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )


def test_a_payment_is_told_of_once_by_all_statements_together() -> None:
    """covers: A25: what one statement took, no other can take."""
    other = "c" * 64
    start = given(
        paid(row(1, 10_000)).world,
        *statement(row(1, 10_000), statement_id=other),
        match([1], [capture()]),
    )
    start.when(match([1], [capture()], "X", other)).refused("match_differs")
    start.when(match([1], [capture(amount=10_000)], "X", other)).refused(
        "movement_matched", open_minor=0
    )
    freed = given(start.world, unmatch())
    freed.when(match([1], [capture()], "X", other)).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )


def test_a_difference_within_the_tolerance_is_written_off() -> None:
    world = paid(row(1, 9_900)).when(match([1], [capture()])).world
    matched = world.events[statement_stream(BANK)][-1]
    assert matched.difference_minor == -100  # type: ignore[attr-defined]
    paid(row(1, 9_899)).when(match([1], [capture()])).refused(
        "match_differs", lines_minor=9_899, movements_minor=10_000, tolerance_minor=100
    )


def test_a_refund_that_was_paid_is_told_of_by_money_that_went_out() -> None:
    asked = given(paid(row(1, -2_000)).world, refund(2_000))
    back = {"kind": "refund", "owner": "A", "id": "R1"}
    asked.when(match([1], [back])).refused("movement_void", movement="refund/A/R1")
    given(asked.world, pay_refund()).when(match([1], [back])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )
    given(asked.world, pay_refund()).when(match([1], [capture()])).refused("match_differs")


def test_what_does_not_exist_is_named() -> None:
    start = paid(row(1, 10_000))
    start.when(match([2], [capture()])).refused("line_unknown", line_no=2)
    start.when(match([1], [capture("B")])).refused("movement_unknown", owner="B")
    start.when(unmatch()).refused("match_not_found")
    start.when(match([1], [capture()], statement_id="d" * 64)).refused("statement_not_found")


def test_a_match_has_one_currency() -> None:
    start = after(place(), pay(10_000), *statement(row(1, 10_000, currency="EUR")))
    start.when(match([1], [capture()])).refused("currency_differs")


def test_a_match_is_undone_with_its_reason() -> None:
    """covers: A25"""
    start = given(paid(row(1, 10_000)).world, match([1], [capture()]))
    world = start.when(unmatch()).topics("statement.unmatched.v1", "movement.released.v1")
    assert (state(world).matched_lines, taken(world)) == (0, 0)
    given(world).when(match([1], [capture()], "M2")).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )


def test_what_a_person_undid_no_rule_does_again() -> None:
    """covers: A25"""
    key = MovementKey("capture", "A", "P1")
    by_rule = match([1], [capture()], match_name([1], [key])).model_copy(update={"by": "rule"})
    undone = unmatch(by_rule.match_id)
    world = given(paid(row(1, 10_000)).world, by_rule, undone).world
    given(world).when(by_rule).refused("match_undone")
    given(world).when(match([1], [capture()])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )


def test_a_line_stands_once_in_a_match() -> None:
    with pytest.raises(ValidationError, match="stands twice"):
        match([1, 1], [capture()])
    with pytest.raises(ValidationError, match="stands twice"):
        match([1], [capture(), capture(amount=1)])


# -- unknown money -----------------------------------------------------------------------------


def unallocated(line_no: int = 1) -> LeaveUnallocated:
    return LeaveUnallocated(statement_id=BANK, line_no=line_no, note="no order found", at=NOON)


def test_unknown_money_is_an_unallocated_receipt_until_it_is_matched() -> None:
    """covers: A25"""
    start = paid(row(1, 10_000), row(2, -10))
    world = start.when(unallocated()).topics("statement.receipt_unallocated.v1")
    given(world).when(unallocated()).nothing()
    assert state(world).lines[1].unallocated
    matched = given(world).when(match([1], [capture()])).world
    assert not state(matched).lines[1].unallocated
    given(matched).when(unallocated()).refused("line_matched")
    start.when(unallocated(2)).refused("no_receipt")
    start.when(unallocated(3)).refused("line_unknown")


# -- provider batches --------------------------------------------------------------------------


def stripe(payout: int) -> list[Command]:
    rows = [
        row(1, 10_000, 320, batch_id="po_1"),
        row(2, -2_000, -60, batch_id="po_1"),
        row(3, -150, kind="fee", batch_id="po_1"),
        row(4, payout, kind="payout", batch_id="po_1"),
        row(5, 700, 21, batch_id="po_2"),
    ]
    return statement(*rows, statement_id=STRIPE, layout="stripe", method="credit_card")


PAYOUT = {"kind": "payout", "owner": STRIPE, "id": "po_1"}


def test_gross_less_fees_is_the_net_that_reaches_the_bank() -> None:
    """covers: A25, A24"""
    start = after(*stripe(-7_590), *statement(row(1, 7_590), row(2, 679)))
    batch = state(start.world, STRIPE).batches["po_1"]
    assert (batch.gross_minor, batch.fee_minor, batch.net_minor) == (7_850, 260, 7_590)
    world = start.when(match([1], [PAYOUT])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )
    given(world).when(match([2], [PAYOUT], "M2")).refused("match_differs")
    start.when(match([2], [{**PAYOUT, "id": "po_2"}])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )


def test_a_batch_that_does_not_add_up_is_not_matched() -> None:
    start = after(*stripe(-7_500), *statement(row(1, 7_500)))
    start.when(match([1], [PAYOUT])).refused("batch_differs", net_minor=7_590, paid_out_minor=7_500)


def test_a_payout_without_lines_is_taken_at_its_word() -> None:
    rows = [row(7, -5_000, kind="payout")]
    start = after(*statement(*rows, statement_id=STRIPE), *statement(row(1, 5_000)))
    start.when(match([1], [{**PAYOUT, "id": "line 7"}])).topics(
        "statement.matched.v1", "movement.reconciled.v1"
    )
    start.when(match([1], [{**PAYOUT, "id": "po_9"}])).refused("movement_unknown")
