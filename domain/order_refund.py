"""What may be refunded of an order, and which payments it goes back to.

Requested, approved and paid refunds all count against what was paid, so two requests can never
pass it together (R19). Denied and failed ones give free what they held.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain import order_lowering, refund_terms
from domain.message import Event, Rejected
from domain.money import ratio_half_up
from domain.order_facts import RefundApproved, RefundedLine, RefundRequested
from domain.order_line import ZERO, OrderLine
from domain.order_lines import known_line
from domain.order_money import EXCHANGE, shown
from domain.order_return_state import Return, refunded_units
from domain.order_state import Order
from domain.policy import PolicyVersion
from domain.policy_rules import PolicyRules, RefundRules, amount
from domain.refund_commands import RequestRefund
from domain.refund_payments import payments_of, require_refundable
from domain.values import quantity_json


@dataclass(frozen=True, slots=True)
class Goods:
    """What a refund gives back for goods, tax included; the fee is kept of it."""

    lines: list[RefundedLine]
    amount_minor: int
    tax_minor: int
    fee_minor: int


def request(
    command: RequestRefund,
    state: Order,
    policy: PolicyVersion,
    *,
    in_advance: bool = False,
    at_most: bool = False,
) -> list[Event]:
    """Raises Rejected where more is asked than was paid, than a line cost, or than it was sent, and
    where the policy wants evidence. What needs no second person is approved at once.

    `in_advance`: for goods of a return that are still to come. `at_most`: as far as it was paid,
    which always goes for what was written off.
    """
    if command.refund_id in state.refunds:
        return []
    back = known_return(command.return_id, state) if command.return_id else None
    _require_its_reason(command, back)
    evidence = command.evidence or (list(back.evidence) if back else [])
    require_evidence(command.reason, evidence, policy.rules.refund)
    goods = _goods(command, back, state, policy.rules, in_advance)
    if goods.lines:
        goods = _as_paid(command, back, goods, state, policy.rules, at_most)
    shipping = _shipping_minor(command, goods, state, policy.rules.refund)
    require_refundable(goods.amount_minor + shipping, goods.fee_minor, state)
    amount_minor = goods.amount_minor + shipping - goods.fee_minor
    _require_as_previewed(command.expected_minor, amount_minor, state)
    waits = needs_second_person(amount_minor, state, policy.rules.refund)
    starts_at = (back and back.received_at) or command.at
    requested = RefundRequested(
        person=state.person,
        refund_id=command.refund_id,
        requested_by=command.actor,
        amount_minor=amount_minor,
        shipping_minor=shipping,
        fee_minor=goods.fee_minor,
        tax_minor=goods.tax_minor + _shipping_tax_minor(shipping, state),
        lines=goods.lines,
        reason=command.reason,
        text=command.text,
        payments=payments_of(command, amount_minor, state),
        evidence=evidence,
        return_id=command.return_id,
        needs_approval=waits,
        starts_at=starts_at,
        decide_by=refund_terms.decide_by(command.at, policy).at if waits else None,
        pay_by=refund_terms.pay_by(starts_at, policy).at,
        policy_version=policy.version,
        at=command.at,
    )
    return [requested] if waits else [requested, by_policy(command.refund_id, command.at)]


def _require_its_reason(command: RequestRefund, back: Return | None) -> None:
    """What a return was approved for decides on evidence, fee and shipping of its refunds."""
    if back is not None and command.reason != back.reason:
        raise Rejected(
            "refund_reason_differs",
            f"{command.reason} asked; return {command.return_id} is for {back.reason}",
            return_id=command.return_id,
            reason=command.reason,
            allowed=[back.reason],
        )


def _require_as_previewed(expected: int | None, asked: int, state: Order) -> None:
    if expected not in {None, asked}:
        raise Rejected(
            "refund_differs",
            f"{shown(expected or 0, state)} expected, it comes to {shown(asked, state)}",
            expected_minor=expected,
            amount_minor=asked,
        )


def by_policy(refund_id: str, at: datetime) -> RefundApproved:
    return RefundApproved(refund_id=refund_id, by="policy", at=at)


def require_evidence(reason: str, evidence: list[str], rules: RefundRules) -> None:
    """Raises Rejected `evidence_missing`, with the reasons that need it."""
    if reason in rules.evidence_for and not evidence:
        raise Rejected(
            "evidence_missing",
            f"{reason} needs evidence, as do all of: {', '.join(rules.evidence_for)}",
            reason=reason,
            evidence_for=list(rules.evidence_for),
        )


def needs_second_person(amount_minor: int, state: Order, rules: RefundRules) -> bool:
    """Where it passes the limit with all that the policy alone has let go of the order: parts are
    one sum. In a currency that the policy gives no amount for, always.
    """
    limit = amount(rules.second_approval_over, state.currency)
    by_policy = sum(
        one.amount_minor
        for one in state.refunds.values()
        if one.counts and one.approved_by == "policy" and EXCHANGE not in one.paid_by
    )
    return limit is None or by_policy + amount_minor > limit


def known_return(return_id: str, state: Order) -> Return:
    """Raises Rejected `return_not_found`."""
    found = state.returns.get(return_id)
    if found is None:
        raise Rejected("return_not_found", return_id=return_id)
    return found


# -- goods ---------------------------------------------------------------------------------------


def _goods(
    command: RequestRefund,
    back: Return | None,
    state: Order,
    rules: PolicyRules,
    in_advance: bool,
) -> Goods:
    units = _units(command, back, state, in_advance)
    if units is None:
        free = command.amount_minor or 0
        require_not_replaced(command.reason, free, state)
        return Goods([], free, _tax_within(free, state), 0)
    sent_first = order_lowering.of_sent(command.reason, command.return_id)
    lines = [_refunded_line(no, asked, sent_first, state) for no, asked in units.items()]
    by_lines = sum(line.amount_minor or 0 for line in lines)
    if command.amount_minor not in {None, by_lines}:
        raise Rejected(
            "refund_amount_differs",
            f"{shown(command.amount_minor or 0, state)} asked, the lines come to "
            f"{shown(by_lines, state)}",
            asked_minor=command.amount_minor,
            lines_minor=by_lines,
        )
    tax = sum(line.tax_minor or 0 for line in lines)
    return Goods(lines, by_lines, tax, restocking_fee_minor(command.reason, back, by_lines, rules))


def _as_paid(
    command: RequestRefund,
    back: Return | None,
    goods: Goods,
    state: Order,
    rules: PolicyRules,
    at_most: bool,
) -> Goods:
    """Without what was never paid of them, taken of the last line first."""
    short = goods.amount_minor - state.refundable_minor
    if not 0 < short < goods.amount_minor:
        return goods
    if not at_most and short > state.money.written_off_minor:
        return goods
    lines: list[RefundedLine] = []
    for line in reversed(goods.lines):
        whole, tax = line.amount_minor or 0, line.tax_minor or 0
        less = min(short, whole)
        short -= less
        part = whole - less
        rest = {"amount_minor": part, "tax_minor": ratio_half_up(tax * part, whole) if part else 0}
        lines.insert(0, line.model_copy(update=rest) if less else line)
    amount_minor = sum(line.amount_minor or 0 for line in lines)
    tax = sum(line.tax_minor or 0 for line in lines)
    fee = restocking_fee_minor(command.reason, back, amount_minor, rules)
    return Goods(lines, amount_minor, tax, fee)


def _units(
    command: RequestRefund, back: Return | None, state: Order, in_advance: bool
) -> dict[int, Decimal] | None:
    """Units by line_no; None for a refund by amount alone."""
    asked = {item.line_no: item.quantity for item in command.lines or []}
    if back is None or command.return_id is None:
        return asked if command.lines is not None else None
    came = back.lines if in_advance else back.received
    left = {no: came[no] - refunded_units(state, command.return_id, no) for no in came}
    for no, units in asked.items():
        if units > left.get(no, ZERO):
            raise _exceeds_return(no, units, left.get(no, ZERO))
    chosen = asked or {no: rest for no, rest in left.items() if rest > 0}
    if not chosen:
        raise Rejected("nothing_to_refund", "what came back was refunded, or nothing came")
    return chosen


def require_return_left(return_id: str, line_no: int, asked: Decimal, state: Order) -> None:
    """Raises Rejected `refund_exceeds_return`: of what came back, less what refunds hold of it."""
    came = known_return(return_id, state).received.get(line_no, ZERO)
    left = came - refunded_units(state, return_id, line_no)
    if asked > left:
        raise _exceeds_return(line_no, asked, left)


def _exceeds_return(line_no: int, asked: Decimal, left: Decimal) -> Rejected:
    return Rejected(
        "refund_exceeds_return",
        f"line {line_no}: {quantity_json(asked)} asked, {quantity_json(left)} came back and are "
        "not refunded",
        line_no=line_no,
        asked=quantity_json(asked),
        refundable=quantity_json(left),
    )


def _refunded_line(line_no: int, units: Decimal, sent_first: bool, state: Order) -> RefundedLine:
    """With the tax of what goes back, where a part of its price went back before."""
    line = known_line(state, line_no)
    require_line_left(line, units)
    whole, tax = line.left_minor(units), line.left_tax_minor(units)
    amount_minor = order_lowering.left_minor(line, units, sent_first)
    if amount_minor < whole:
        tax = ratio_half_up(tax * amount_minor, whole)
    return RefundedLine(line_no=line_no, quantity=units, amount_minor=amount_minor, tax_minor=tax)


def require_line_left(line: OrderLine, asked: Decimal) -> None:
    """Raises Rejected `refund_exceeds_line`. What another order stands for is made good by it."""
    left = max(line.quantity - line.given_back - line.replaced, ZERO)
    if asked > left:
        line_no, replaced = line.priced.line_no, quantity_json(line.replaced)
        why = f" ({replaced} replaced)" if line.replaced else ""
        raise Rejected(
            "refund_exceeds_line",
            f"line {line_no}: {quantity_json(asked)} asked, {quantity_json(left)} refundable{why}",
            line_no=line_no,
            asked=quantity_json(asked),
            refundable=quantity_json(left),
            **({"replaced": replaced} if line.replaced else {}),
        )


def require_not_replaced(reason: str, asked_minor: int, state: Order) -> None:
    """Raises Rejected `units_are_replaced`: nobody says which units an amount is for, but for what
    another order stands for it is not.
    """
    replaced = sum(line.share(line.gross_minor, line.replaced) for line in state.lines.values())
    left = max(0, state.refundable_minor - replaced)
    if reason in order_lowering.OF_SENT and replaced and asked_minor > left:
        raise Rejected(
            "units_are_replaced",
            f"{shown(asked_minor, state)} asked, {shown(left, state)} refundable as {reason}: for "
            f"{shown(replaced, state)} other goods go out",
            asked_minor=asked_minor,
            refundable_minor=left,
            replacements=[*state.replacements],
        )


def _tax_within(amount_minor: int, state: Order) -> int:
    """Of goods that nobody named: as of all that is still sold."""
    owed = sum(line.owed_minor for line in state.lines.values())
    tax = sum(line.owed_tax_minor for line in state.lines.values())
    return ratio_half_up(amount_minor * tax, owed) if owed > 0 else 0


def restocking_fee_minor(
    reason: str, back: Return | None, goods_minor: int, rules: PolicyRules
) -> int:
    if back is None or reason in rules.refund.seller_reasons:
        return 0
    return ratio_half_up(goods_minor * rules.returns.restocking_fee_bp, 10_000)


# -- shipping ------------------------------------------------------------------------------------


def shipping_left(state: Order) -> int:
    return max(0, state.shipping_minor - _shipping_gone(state))


def _shipping_gone(state: Order) -> int:
    """Paid back, or owed no longer since goods came back."""
    return state.shipping_refunded_minor + state.shipping_relieved_minor


def shipping_comes_back(reason: str, state: Order, rules: RefundRules) -> bool:
    """When the seller is the cause, or all is cancelled."""
    return reason in rules.seller_reasons or state.cancelled


def _shipping_minor(command: RequestRefund, goods: Goods, state: Order, rules: RefundRules) -> int:
    """As asked, or with lines by itself where it has to come back, as far as it was paid."""
    comes_back = shipping_comes_back(command.reason, state, rules)
    left, asked = shipping_left(state), command.shipping_minor
    if asked is None:
        paid = max(0, state.refundable_minor - goods.amount_minor)
        return min(left, paid) if comes_back and goods.lines else 0
    if asked and not comes_back:
        raise Rejected(
            "shipping_not_refundable",
            f"shipping stays with {command.reason}; it comes back when all is cancelled, or with "
            f"{', '.join(rules.seller_reasons)}",
            reason=command.reason,
            seller_reasons=list(rules.seller_reasons),
        )
    require_shipping_left(asked, state)
    return asked


def require_shipping_left(asked: int, state: Order) -> None:
    left = shipping_left(state)
    if asked > left:
        raise Rejected(
            "refund_exceeds_shipping",
            f"{shown(asked, state)} asked, {shown(left, state)} refundable",
            asked_minor=asked,
            refundable_minor=left,
        )


def _shipping_tax_minor(shipping_minor: int, state: Order) -> int:
    """The difference of two running shares, as for lines."""
    if not shipping_minor:
        return 0
    tax, whole, before = (
        state.shipping_tax_minor,
        state.shipping_minor,
        _shipping_gone(state),
    )
    return ratio_half_up(tax * (before + shipping_minor), whole) - ratio_half_up(
        tax * before, whole
    )
