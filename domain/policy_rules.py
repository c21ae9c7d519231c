"""The rules of a shop, section by section; their defaults are the rules of a shop without any.

The types say what a value is, `policy_faults` what it may be: so rules that were published once
stay readable when a bound becomes tighter. Money is in minor units per currency; in a currency
without an amount an order goes to review. Rates are basis points (1000 is 10 %) or a decimal
string. A section or field that is absent has its default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from domain.values import Text

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _written_day(value: Any) -> Any:
    """Pydantic also reads numbers, as seconds since 1970."""
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise ValueError("must be a day such as 2026-05-04")


Day = Annotated[date, BeforeValidator(_written_day)]
Count = Annotated[int, Field(strict=True)]
Code = Annotated[str, Field(max_length=64)]  # of a reason, a currency, a message
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$")]
LocalTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Amounts = dict[Code, Count]  # currency -> minor units
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Step = Literal[
    "approve",
    "cancel_overdue",
    "charge_late_fee",
    "reinstate",
    "refund_overpayment",
    "write_off_difference",
    "complete",
]

SELLER_CAUSES = ("quality_problem", "wrong_item", "damaged", "not_as_described", "lost", "late")
NO_FEE = (
    "seller_fault",
    "overdue",
    "duplicate",
    "out_of_stock",
    "price_error",
    "fraud",
    "missed_dispatch",
    "missed_promise",
)


class Rules(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class ShopRules(Rules):
    """What the shop is in."""

    currency: Code = "CNY"
    """ISO 4217 code that amounts are given in where nobody says otherwise."""
    language: Literal["zh", "en"] = "zh"
    """Of papers, messages and the policy in words."""


class ChannelIntake(Rules):
    """What becomes of an order that is wrong or short."""

    wrong: Literal["refuse", "record"] = "refuse"
    """Missing fields or another total: refuse, or record it, open a case and hold."""
    short: Literal["refuse", "backorder", "hold"] = "refuse"
    """Too little stock: refuse, take the short units as backorder, or record, open a case, hold."""


_SOLD_ELSEWHERE = ChannelIntake(wrong="record", short="hold")


class IntakeRules(Rules):
    """By channel. What was sold elsewhere is a fact and always recorded."""

    web: ChannelIntake = ChannelIntake()
    phone: ChannelIntake = ChannelIntake()
    store: ChannelIntake = ChannelIntake()
    marketplace: ChannelIntake = _SOLD_ELSEWHERE
    import_: Annotated[ChannelIntake, Field(alias="import")] = _SOLD_ELSEWHERE

    model_config = ConfigDict(serialize_by_alias=True)


class ReviewRules(Rules):
    """When a clean order approves itself."""

    auto_approve_below: Amounts = {"CNY": 500_000}
    """Orders of this total or more wait for a person."""


class ExceptionRules(Rules):
    """What makes an order suspicious."""

    duplicate_hours: Count = 24
    """The same customer and lines within so many hours."""
    price_deviation_bp: Count = 5_000
    """A unit price so far from the sku's median."""
    quantity_factor: Count = 10
    """So many times the customer's usual quantity."""
    negative_margin: StrictBool = True
    """A line that is sold below its cost."""


class PaymentRules(Rules):
    """When money is due, and what follows when it does not come."""

    term_hours: Count = 72
    """From placement to due, for what is paid before dispatch."""
    reminder_hours: tuple[Count, ...] = (24, 0)
    """Reminders, in hours before due; 0 is at due."""
    on_overdue: Literal["cancel", "late_fee", "stop_service"] = "cancel"
    """What happens to an order that is not paid in time."""
    late_fee_percent_per_day: Percent = "0.05"
    """Simple, on the outstanding sum, per full local day after due."""
    late_fee_cap_bp: Count = 500
    """The late fee is never more than this share of the outstanding sum."""
    tolerance: Amounts = {"CNY": 100}
    """A difference up to this is written off."""
    overpayment_days: Count = 7
    """So long an overpayment stays on the order; then it is a refund due."""


class CancellationRules(Rules):
    """What cancelling costs, and until when it is possible."""

    free_hours: Count = 24
    """From placement, the last second included."""
    fee_bp: Count = 1_000
    """Afterwards, of the cancelled goods after discounts, tax included."""
    fee_tax_rate_bp: Count = 0
    """Tax that the fee holds."""
    until: Literal["packed", "dispatched"] = "dispatched"
    """What was packed, or left, is not cancelled but stopped or returned."""
    no_fee_reasons: tuple[Code, ...] = NO_FEE
    """Reasons that are free of charge at any time."""


class RefundRules(Rules):
    """How soon money goes back, who agrees, and what has to be shown."""

    working_days: Count = 3
    """From the request, or the receipt of the goods, until the money is paid."""
    decision_working_days: Count = 3
    """From the request until it is approved or denied."""
    second_approval_over: Amounts = {"CNY": 100_000}
    """More than this needs a second person."""
    evidence_for: tuple[Code, ...] = (
        "quality_problem",
        "damaged",
        "wrong_item",
        "not_as_described",
    )
    """Reasons that need evidence."""
    seller_reasons: tuple[Code, ...] = SELLER_CAUSES
    """Reasons that the seller answers for: shipping is refunded, returning costs nothing."""


class ReturnRules(Rules):
    """Until when goods may come back, and at what cost."""

    no_reason_days: Count = 7
    """From delivery, without a reason."""
    quality_days: Count = 30
    """From delivery, for a fault of the goods."""
    excluded_categories: Annotated[tuple[Text, ...], Field(max_length=200)] = ()
    """Categories that are not taken back without a reason."""
    restocking_fee_bp: Count = 0
    """Of the returned goods, unless the seller is the cause."""


class TrackingRules(Rules):
    """When a parcel is late or silent."""

    dispatch_hours: Count = 48
    """From approval (paid before dispatch: from payment) until all has left."""
    silent_hours: Count = 72
    """Without a scan."""
    delivery_grace_hours: Count = 24
    """After the promised or estimated time."""
    quiet_periods: Annotated[tuple[QuietPeriod, ...], Field(max_length=200)] = ()
    """Days on which carriers rest: silence is not counted."""


class QuietPeriod(Rules):
    """Local days, both included."""

    first: Day
    last: Day


class TermRules(Rules):
    """Business hours that the desk gives itself."""

    review_hours: Count = 4
    """Until an order that waits for review is decided."""
    packing_hours: Count = 24
    """From approval until packed."""


class StatusRules(Rules):
    """How the status follows from facts."""

    completed_days: Count = 7
    """After the delivery of all that was not cancelled."""
    counts_as_paid: Literal["captured", "authorised"] = "captured"
    """Which money makes an order paid."""
    confirm: Annotated[tuple[Step, ...], Field(max_length=200)] = ()
    """Automatic steps that wait for a person's confirmation."""


class CalendarRules(Rules):
    """The shop's days: which are worked, and when the office is open."""

    kind: Literal["china", "own"] = "china"
    """Whose public holidays and make-up working days; the shop's own are added."""
    time_zone: Text = "Asia/Shanghai"
    """IANA name; a day is the local day there."""
    weekend: Annotated[tuple[Weekday, ...], Field(max_length=7)] = ("saturday", "sunday")
    """Days that are not worked unless they are make-up days."""
    holidays: Annotated[tuple[Day, ...], Field(max_length=1_000)] = ()
    """The shop's own holidays."""
    working_days: Annotated[tuple[Day, ...], Field(max_length=1_000)] = ()
    """The shop's own make-up days; they win over every holiday."""
    covered_until: Day | None = None
    """Own calendars: the last day whose holidays are listed; terms beyond it are provisional."""
    opens: LocalTime = "09:00"
    """Local time."""
    closes: LocalTime = "18:00"
    """Local time; 00:00 is the end of the day."""


class InvoiceRules(Rules):
    """When an invoice is written."""

    trigger: Literal["dispatch", "payment", "completion", "request"] = "dispatch"
    """The fact that an invoice follows."""


class Template(Rules):
    """A text by language, with variables such as {number}; without one the usual text is sent."""

    zh: Text | None = None
    en: Text | None = None


class MessageRules(Rules):
    """What customers are told, and how."""

    ways: Annotated[tuple[Literal["mail", "sms", "webhook"], ...], Field(max_length=3)] = (
        "mail",
        "sms",
        "webhook",
    )
    """The ways to reach a customer, the first that works is taken."""
    templates: Annotated[dict[Code, Template], Field(max_length=200)] = {}
    """Texts by message."""


class PolicyRules(Rules):
    """All rules of a shop."""

    shop: ShopRules = ShopRules()
    intake: IntakeRules = IntakeRules()
    review: ReviewRules = ReviewRules()
    exceptions: ExceptionRules = ExceptionRules()
    payment: PaymentRules = PaymentRules()
    cancellation: CancellationRules = CancellationRules()
    refund: RefundRules = RefundRules()
    returns: ReturnRules = ReturnRules()
    tracking: TrackingRules = TrackingRules()
    terms: TermRules = TermRules()
    status: StatusRules = StatusRules()
    calendar: CalendarRules = CalendarRules()
    invoices: InvoiceRules = InvoiceRules()
    messages: MessageRules = MessageRules()


def intake(rules: PolicyRules, channel: str) -> ChannelIntake:
    """What becomes of an order of this channel that is wrong or short."""
    found: ChannelIntake = getattr(rules.intake, "import_" if channel == "import" else channel)
    return found


def amount(amounts: Mapping[str, int], currency: str) -> int | None:
    """Minor units in a currency; None where the policy gives none, so the order goes to review."""
    return amounts.get(currency)


def leaves(rules: Rules, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its path, such as `payment.term_hours`, in the order of the sections."""
    for name, field in type(rules).model_fields.items():
        value, at = getattr(rules, name), f"{path}{field.alias or name}"
        if isinstance(value, Rules):
            yield from leaves(value, f"{at}.")
        else:
            yield at, value


def difference(old: Rules, new: Rules) -> list[tuple[str, Any, Any]]:
    """What differs, as (path, before, after) in plain JSON data."""
    before, after = plain_leaves(old), plain_leaves(new)
    return [(path, before[path], value) for path, value in after.items() if before[path] != value]


def plain_leaves(rules: Rules) -> dict[str, Any]:
    return {path: plain(value) for path, value in leaves(rules)}


def plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case tuple():
            return [plain(part) for part in value]
        case dict():
            return {name: plain(part) for name, part in value.items()}
        case date():
            return value.isoformat()
        case _:
            return value
