"""What becomes of an order when it comes in: refused, or recorded as the fact that it is.

Channels of the shop's own refuse what is wrong or short. What was sold elsewhere is recorded as it
was sold; what is wrong with it opens a case each and holds the order. What is right but unusual
waits for a person. A clean order costs nothing here: no event beyond its approval.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from domain import discount
from domain.account import Account
from domain.case_facts import CaseOpened, OrderHeld, UnitsBackordered
from domain.customer import person_of
from domain.message import Event, Rejected
from domain.order_account import NOT_COVERED, not_covered
from domain.order_difference import Sum, at_total
from domain.order_facts import Discount, Line, LineQuantity, OrderApproved
from domain.order_hold import TYPE_OF_KIND
from domain.order_line import ZERO
from domain.order_lines import priced_order, require_same_total
from domain.order_reinstating import Free
from domain.placement_commands import PlaceOrder
from domain.policy import PolicyVersion
from domain.policy_rules import ChannelIntake, amount, intake
from domain.pricing import Totals
from domain.values import Contact, quantity_json

INCOMPLETE = "order_incomplete"  # the refusal that names missing fields
_TOO_MUCH_OFF = frozenset({"discount_exceeds_line", "discount_exceeds_order"})
_CASES = UUID("7d6fd0a4-6e0e-4b8e-8a52-3c9f1f0c5d01")  # namespace of the cases that rules open


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found. A blocking one is wrong; the others only wait for a person."""

    kind: str
    rule: str
    blocking: bool
    fields: list[str] | None = None
    figures: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Sold:
    """An order as it is recorded: what it comes to, what is short, what was found."""

    sum: Sum
    findings: tuple[Finding, ...] = ()
    short: tuple[LineQuantity, ...] = ()
    source: dict[str, Any] | None = None  # what the sender said otherwise


def sold(
    command: PlaceOrder, free: Free, policy: PolicyVersion, account: Account | None = None
) -> Sold:
    """Raises Rejected, by what the policy says of the channel. `account`: that it shall be paid
    from or stand on, which refuses by itself what is not recorded in any case.
    """
    rules = intake(policy.rules, command.channel)
    found: list[Finding] = []
    missing = _missing(command, rules)
    if missing:
        found.append(Finding("incomplete", "missing_fields", True, fields=missing))
    totals, lines = _priced(command, free, rules, found)
    made, source = _at_their_total(command, _sum(command, totals, lines), rules, found)
    short: tuple[LineQuantity, ...] = ()
    if rules.short != "refuse":
        made, short = _promised(made, free)
    if short and rules.short == "hold":
        figures = {"lines": [_units(item) for item in short]}
        found.append(Finding("stock_short", "stock_short", True, figures=figures))
    if rules.wrong != "refuse" and account is not None:
        found += _not_covered(command, made, account)
    found += _unusual(command, made, policy)
    return Sold(made, tuple(found), short, source)


def _missing(command: PlaceOrder, rules: ChannelIntake) -> list[str]:
    """Raises Rejected `order_incomplete` where the channel refuses what is wrong."""
    if rules.wrong == "refuse":
        if command.missing:
            raise Rejected(
                INCOMPLETE, f"missing: {', '.join(command.missing)}", fields=list(command.missing)
            )
        return []
    missing = [*command.missing]
    contact = command.contact  # Sealed, where it was taken over from another order.
    if isinstance(contact, Contact) and _unreachable(contact.phone):
        missing.append("contact.phone")
    return missing


def _unreachable(phone: str | None) -> bool:
    """A masked number reaches nobody."""
    return phone is None or "*" in phone


def _priced(
    command: PlaceOrder, free: Free, rules: ChannelIntake, found: list[Finding]
) -> tuple[Totals, list[Line]]:
    try:
        return priced_order(command, free)
    except Rejected as refusal:
        if rules.wrong == "refuse" or refusal.code not in _TOO_MUCH_OFF:
            raise
        figures = {"code": refusal.code, **refusal.facts}
        found.append(Finding("abnormal_amount", "too_much_off", True, figures=figures))
        return priced_order(_within(command), free)


def _within(command: PlaceOrder) -> PlaceOrder:
    """With discounts of no more than there is to pay."""
    bare = [line.model_copy(update={"discount_minor": 0}) for line in command.lines]
    none = {"discount_minor": 0, "discounts": None}
    undiscounted = command.model_copy(update={"lines": bare, **none})
    totals, _ = priced_order(undiscounted, frozenset())
    lines = [
        line.model_copy(update={"discount_minor": min(line.discount_minor, of.amount_minor)})
        for line, of in zip(command.lines, totals.lines, strict=True)
    ]
    room = totals.amount_minor - sum(line.discount_minor for line in lines)
    less = {"discount_minor": min(command.order_discount_minor, room), "discounts": None}
    return command.model_copy(update={"lines": lines, **less})


def _sum(command: PlaceOrder, totals: Totals, lines: list[Line]) -> Sum:
    return Sum(
        lines=lines,
        discount_minor=totals.order_discount_minor,
        shipping_minor=command.shipping_minor,
        shipping_tax_minor=totals.shipping_tax_minor,
        tax_minor=totals.tax_minor,
        total_minor=totals.total_minor,
        discounts=_named(command, lines),
    )


def _named(command: PlaceOrder, lines: list[Line]) -> list[Discount]:
    """None where they had to be lowered: then no line has a share of theirs."""
    shared = any(line.discount_shares for line in lines)
    return discount.facts(command.discounts or []) if shared else []


def _at_their_total(
    command: PlaceOrder, ours: Sum, rules: ChannelIntake, found: list[Finding]
) -> tuple[Sum, dict[str, Any] | None]:
    """Raises Rejected `total_differs` where the channel refuses what is wrong."""
    theirs, computed = command.total_minor, ours.total_minor
    if theirs is None or theirs == computed:
        return ours, None
    if rules.wrong == "refuse":
        require_same_total(theirs, computed, command.currency)
    figures = {
        "sent_minor": theirs,
        "computed_minor": computed,
        "difference_minor": theirs - computed,
    }
    found.append(Finding("abnormal_amount", "total_differs", True, figures=figures))
    inclusive = command.prices_include_tax
    return at_total(ours, theirs, command.shipping_tax_rate_bp, inclusive), figures


def _promised(made: Sum, free: Free) -> tuple[Sum, tuple[LineQuantity, ...]]:
    """Lines promised what is there, the first ones first; and the units that are short."""
    left, lines, short = dict(free), [], []
    for line in made.lines:
        there = max(ZERO, left.get((line.sku, line.location), ZERO))
        promised = min(line.reserved, there)
        if promised < line.reserved:
            short.append(LineQuantity(line_no=line.line_no, quantity=line.reserved - promised))
        if promised:
            left[line.sku, line.location] = there - promised
        same = promised == line.reserved
        lines.append(line if same else line.model_copy(update={"reserved": promised}))
    return (replace(made, lines=lines), tuple(short)) if short else (made, ())


def _not_covered(command: PlaceOrder, made: Sum, account: Account) -> Iterable[Finding]:
    refusal = not_covered(command, made.total_minor, account)
    if refusal is not None:
        figures = {"code": refusal.code, **refusal.facts}
        yield Finding("payment_mismatch", NOT_COVERED, True, figures=figures)


def _units(item: LineQuantity) -> dict[str, Any]:
    return {"line_no": item.line_no, "short": quantity_json(item.quantity)}


def _unusual(command: PlaceOrder, made: Sum, policy: PolicyVersion) -> Iterable[Finding]:
    """What is no mistake but waits for a person."""
    limit = amount(policy.rules.review.auto_approve_below, command.currency)
    if limit is None or made.total_minor >= limit:
        rule = "no_review_limit" if limit is None else "over_review_limit"
        figures = {"total_minor": made.total_minor, "currency": command.currency}
        limited = {} if limit is None else {"limit_minor": limit}
        yield Finding("abnormal_amount", rule, False, figures={**figures, **limited})
    if policy.rules.exceptions.negative_margin:
        below = [line.line_no for line in made.lines if _below_cost(line, command)]
        if below:
            yield Finding("abnormal_amount", "below_cost", False, figures={"lines": below})


def _below_cost(line: Line, command: PlaceOrder) -> bool:
    if line.unit_cost_minor is None:
        return False
    net = line.base_minor - (line.tax_minor if command.prices_include_tax else 0)
    return net < line.unit_cost_minor * line.quantity


def consequences(command: PlaceOrder, found: Sold, policy: PolicyVersion) -> list[Event]:
    """What follows a placement in the same write: it is approved, or the cases and holds."""
    if not found.findings and not found.short:
        return _approved(command, policy)
    events: list[Event] = []
    if found.short:
        events.append(UnitsBackordered(lines=list(found.short), at=command.at))
    person = person_of(command.customer_id)
    for one in found.findings:
        case_id = case_of(command.order_id, one.rule)
        events += case_events(one, case_id, person, command.at)
    return events if found.findings else events + _approved(command, policy)


def _approved(command: PlaceOrder, policy: PolicyVersion) -> list[Event]:
    if "approve" in policy.rules.status.confirm:
        return []
    return [OrderApproved(at=command.at)]


def case_events(found: Finding, case_id: str, person: str, at: datetime) -> list[Event]:
    """The case's id follows from the order's, and is that of its hold: a retry makes the same."""
    opened = CaseOpened(
        person=person,
        case_id=case_id,
        kind=found.kind,
        blocking=found.blocking,
        rule=found.rule,
        fields=found.fields,
        figures=found.figures,
        at=at,
    )
    return [opened, *held_by(opened)]


def case_of(order_id: str, rule: str) -> str:
    return case_named(f"{order_id}/{rule}")


def case_named(name: str) -> str:
    return str(uuid5(_CASES, name))


def held_by(opened: CaseOpened) -> list[Event]:
    """The hold of a blocking case: it stands under the id of the case."""
    if not opened.blocking:
        return []
    return [
        OrderHeld(
            person=opened.person,
            hold_id=opened.case_id,
            type=TYPE_OF_KIND.get(opened.kind, "other"),
            case_id=opened.case_id,
            at=opened.at,
        )
    ]
