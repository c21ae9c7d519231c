"""What makes rules impossible: each fault with a code that stays the same, and the field's path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import get_args
from zoneinfo import ZoneInfo

from domain.command_types import RefundReason
from domain.money import CURRENCIES, shown_minor
from domain.policy_rules import Amounts, PolicyRules, leaves
from domain.policy_templates import MESSAGES, variables
from domain.values import AMOUNT_MINOR_MAX

HOURS_MAX = 8_784  # a year
DAYS_MAX = 366
RATE_BP_MAX = 10_000
DEVIATION_BP_MAX = 1_000_000
FACTOR_MIN, FACTOR_MAX = 2, 10_000
LIST_MAX = 200
REFUND_REASONS = frozenset(get_args(RefundReason))

_REASON = re.compile(r"[a-z][a-z0-9_]*")
_UNITS_MAX = {"hours": HOURS_MAX, "days": DAYS_MAX, "bp": RATE_BP_MAX}
_MAX = {
    "exceptions.price_deviation_bp": DEVIATION_BP_MAX,
    "exceptions.quantity_factor": FACTOR_MAX,
}
_NEVER_ZERO = frozenset(
    {
        "payment.term_hours",
        "refund.working_days",
        "refund.decision_working_days",
        "tracking.dispatch_hours",
        "tracking.silent_hours",
        "terms.review_hours",
        "terms.packing_hours",
        "exceptions.price_deviation_bp",
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    path: str
    code: str
    message: str


def faults(rules: PolicyRules) -> list[Fault]:
    """All that keeps these rules from being published; empty when nothing does."""
    return [fault for check in CHECKS for fault in check(rules)]


def _numbers(rules: PolicyRules) -> Iterator[Fault]:
    """Every count within its unit's bounds; the unit ends its name."""
    for path, value in leaves(rules):
        if type(value) is not int:
            continue
        most = _MAX.get(path) or _UNITS_MAX[path.rpartition("_")[2]]
        if value < 0:
            yield Fault(path, "negative", "must not be below 0")
        elif value > most:
            yield Fault(path, "too_large", f"must not be above {most}")
        elif value == 0 and path in _NEVER_ZERO:
            yield Fault(path, "zero", "must be above 0")


def _lists(rules: PolicyRules) -> Iterator[Fault]:
    for path, value in leaves(rules):
        if not isinstance(value, tuple):
            continue
        if len(value) > LIST_MAX and not path.startswith("calendar."):
            yield Fault(path, "too_many", f"must not be more than {LIST_MAX}")
        elif len(set(value)) < len(value):
            yield Fault(path, "repeated", "must hold nothing twice")


def _amounts(rules: PolicyRules) -> Iterator[Fault]:
    yield from _currency("shop.currency", rules.shop.currency)
    for path, value in (
        ("review.auto_approve_below", rules.review.auto_approve_below),
        ("payment.tolerance", rules.payment.tolerance),
        ("refund.second_approval_over", rules.refund.second_approval_over),
    ):
        yield from _amounts_of(path, value)


def _amounts_of(path: str, amounts: Amounts) -> Iterator[Fault]:
    for currency, amount in amounts.items():
        yield from _currency(f"{path}.{currency}", currency)
        if amount < 0:
            yield Fault(f"{path}.{currency}", "negative", "must not be below 0")
        elif amount > AMOUNT_MINOR_MAX:
            most = f"{shown_minor(AMOUNT_MINOR_MAX, currency)} {currency}"
            yield Fault(f"{path}.{currency}", "too_large", f"must not be above {most}")


def _currency(path: str, code: str) -> Iterator[Fault]:
    if code not in CURRENCIES:
        yield Fault(path, "unknown_currency", "must be an ISO 4217 code such as CNY")


def _intake(rules: PolicyRules) -> Iterator[Fault]:
    """What is recorded although it is wrong was sold already: it cannot be refused for stock."""
    for name, field in type(rules.intake).model_fields.items():
        channel = getattr(rules.intake, name)
        if channel.wrong == "record" and channel.short == "refuse":
            path = f"intake.{field.alias or name}.short"
            yield Fault(path, "recorded_but_refused", "must be hold or backorder: wrong is record")


def _exceptions(rules: PolicyRules) -> Iterator[Fault]:
    if 0 <= rules.exceptions.quantity_factor < FACTOR_MIN:
        message = f"must be {FACTOR_MIN} or more: a usual quantity is not suspicious"
        yield Fault("exceptions.quantity_factor", "factor_too_small", message)


def _payment(rules: PolicyRules) -> Iterator[Fault]:
    payment = rules.payment
    for index, hours in enumerate(payment.reminder_hours):
        path = f"payment.reminder_hours.{index}"
        if hours < 0:
            yield Fault(path, "reminder_after_due", "must not be after due")
        elif hours > payment.term_hours:
            message = f"must not be before placement, {payment.term_hours} hours before due"
            yield Fault(path, "reminder_before_placement", message)
    yield from _late_fee(Decimal(payment.late_fee_percent_per_day), rules)


def _late_fee(percent: Decimal, rules: PolicyRules) -> Iterator[Fault]:
    path, payment = "payment.late_fee_percent_per_day", rules.payment
    if percent > 100:
        yield Fault(path, "too_large", "must not be above 100 %")
    elif percent == 0 and payment.on_overdue == "late_fee":
        yield Fault(path, "zero", "must be above 0: on_overdue is late_fee")
    elif percent * 100 > payment.late_fee_cap_bp >= 0:
        message = f"must not be below one day's fee of {payment.late_fee_percent_per_day} %"
        yield Fault("payment.late_fee_cap_bp", "cap_below_a_day", message)


def _reasons(rules: PolicyRules) -> Iterator[Fault]:
    for name in ("evidence_for", "seller_reasons"):
        for index, reason in enumerate(getattr(rules.refund, name)):
            if reason not in REFUND_REASONS:
                message = f"must be one of {', '.join(sorted(REFUND_REASONS))}"
                yield Fault(f"refund.{name}.{index}", "unknown_reason", message)
    for index, reason in enumerate(rules.cancellation.no_fee_reasons):
        if not _REASON.fullmatch(reason):
            path = f"cancellation.no_fee_reasons.{index}"
            yield Fault(path, "malformed_reason", "must be a code such as out_of_stock")


def _returns(rules: PolicyRules) -> Iterator[Fault]:
    if rules.returns.quality_days < rules.returns.no_reason_days:
        message = "must not be shorter than the window without a reason"
        yield Fault("returns.quality_days", "window_too_short", message)


def _tracking(rules: PolicyRules) -> Iterator[Fault]:
    for index, period in enumerate(rules.tracking.quiet_periods):
        path = f"tracking.quiet_periods.{index}.last"
        if period.last < period.first:
            yield Fault(path, "ends_before_it_begins", "must not be before first")
        elif (period.last - period.first).days > DAYS_MAX:
            yield Fault(path, "too_large", f"must not be more than {DAYS_MAX} days after first")


def _calendar(rules: PolicyRules) -> Iterator[Fault]:
    calendar = rules.calendar
    if not is_time_zone(calendar.time_zone):
        message = "must be an IANA name such as Asia/Shanghai"
        yield Fault("calendar.time_zone", "unknown_time_zone", message)
    if len(set(calendar.weekend)) == 7:
        yield Fault("calendar.weekend", "no_working_day", "must leave a working day")
    if calendar.closes != "00:00" and calendar.closes <= calendar.opens:
        yield Fault("calendar.closes", "office_never_open", "must be after opens")
    for day in sorted(set(calendar.holidays) & set(calendar.working_days)):
        yield Fault("calendar.working_days", "holiday_and_working_day", f"{day} is a holiday too")
    yield from _covered(calendar.covered_until, rules)


def _covered(last: date | None, rules: PolicyRules) -> Iterator[Fault]:
    if last is None:
        return
    path, calendar = "calendar.covered_until", rules.calendar
    if calendar.kind != "own":
        yield Fault(path, "not_ours_to_say", "must be absent: the holidays are China's")
    elif any(day > last for day in (*calendar.holidays, *calendar.working_days)):
        yield Fault(path, "day_not_covered", "must not be before the last day that is listed")


def is_time_zone(name: str) -> bool:
    if name == "localtime":  # This machine's own, which is no place on earth.
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no name at all; a directory of the database
        return False
    return True


def _messages(rules: PolicyRules) -> Iterator[Fault]:
    if not rules.messages.ways:
        yield Fault("messages.ways", "empty", "must name a way to reach a customer")
    for name, template in rules.messages.templates.items():
        path = f"messages.templates.{name}"
        if name not in MESSAGES:
            message = f"must be one of {', '.join(sorted(MESSAGES))}"
            yield Fault(path, "unknown_message", message)
            continue
        for language, text in (("zh", template.zh), ("en", template.en)):
            if text is not None:
                yield from _template(f"{path}.{language}", text, MESSAGES[name])


def _template(path: str, text: str, known: frozenset[str]) -> Iterator[Fault]:
    try:
        unknown = variables(text) - known
    except ValueError as error:
        yield Fault(path, "malformed_template", str(error))
        return
    if unknown:
        there_are = f"there are {', '.join(sorted(known))}"
        message = f"does not know {', '.join(sorted(unknown))}; {there_are}"
        yield Fault(path, "unknown_variable", message)


CHECKS: tuple[Callable[[PolicyRules], Iterator[Fault]], ...] = (
    _numbers,
    _lists,
    _amounts,
    _intake,
    _exceptions,
    _payment,
    _reasons,
    _returns,
    _tracking,
    _calendar,
    _messages,
)
