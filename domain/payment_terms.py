"""When an order's money is due, whether it came in time, and what lateness costs, day by day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any

from domain.money import ratio_half_up
from domain.order_money import Payment
from domain.order_outstanding import to_cover_minor
from domain.order_state import Order
from domain.payment_facts import LateFeeDay
from domain.policy import PolicyVersion
from domain.policy_rules import PaymentRules
from domain.working_calendar import Calendar, end_of_day, local_day

ON_ACCOUNT = "on_account"
CASH_ON_DELIVERY = "cash_on_delivery"
PPM = 1_000_000  # rates of a day are parts per million: a percentage with four places
BP = 10_000
LATE_DAYS_MAX = 3_660  # ten years, at which no cap of a policy is still to be reached
LATE_DAYS_TRIED = (2, 366, LATE_DAYS_MAX)  # ahead, for the next day that costs something


def due_at(method: str, placed_at: datetime, policy: PolicyVersion) -> datetime | None:
    """When an order's money has to be there; on time is up to and including it.

    On account: the end of the local day that the term ends on. None: asked for at the door.
    """
    if method == CASH_ON_DELIVERY:
        return None
    ends = placed_at + timedelta(hours=policy.rules.payment.term_hours)
    if method == ON_ACCOUNT:
        return end_of_day(policy.calendar, local_day(policy.calendar, ends))
    return ends


def due_of(order: Order, policy: PolicyVersion) -> datetime | None:
    """As pinned at placement; orders from before that was pinned have it computed."""
    if order.money.due_at is not None or order.placed_at is None:
        return order.money.due_at
    return due_at(order.payment_method, order.placed_at, policy)


def value_day(payment: Payment, calendar: Calendar) -> date | None:
    """The shop's day from which a payment counts."""
    if payment.value_date is not None or payment.received_at is None:
        return payment.value_date
    return local_day(calendar, payment.received_at)


def in_time(payment: Payment, due: datetime, calendar: Calendar) -> bool:
    """By the value date where there is one, else by the instant it came."""
    if payment.value_date is not None:
        return payment.value_date <= local_day(calendar, due)
    return payment.received_at is not None and payment.received_at <= due


# -- the late fee --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LateFee:
    """What lateness costs up to a time. `days` are all full local days up to the last with a fee,
    oldest first; of them, `new` are not charged yet.
    """

    days: tuple[LateFeeDay, ...]
    new: tuple[LateFeeDay, ...]
    charged_minor: int
    waived_minor: int

    @property
    def fee_minor(self) -> int:
        return sum(one.fee_minor for one in self.days)

    @property
    def new_minor(self) -> int:
        return self.fee_minor - self.charged_minor


def late_fee(order: Order, policy: PolicyVersion, at: datetime) -> LateFee:
    """Simple, on what was outstanding, per full local day after due that has passed at `at`.

    Payments settle goods first, each from its value date on. Days that were charged keep what was
    outstanding on them, whatever became of the order since. A cancelled order costs nothing more.
    """
    rules, money = policy.rules.payment, order.money
    charged = {one.day: one for one in money.late_days}
    outstanding = {day: one.outstanding_minor for day, one in charged.items()}
    for day in _days(order, policy, at) if rules.on_overdue == "late_fee" else []:
        outstanding.setdefault(day, _outstanding(order, day, policy.calendar))
    owed = {day: minor for day, minor in outstanding.items() if minor or day in charged}
    priced = priced_days(owed, rules)
    # A day that cost nothing counts in the sums of those after it: what is charged has no gaps, so
    # that it comes to the same whenever it is priced again.
    while priced and priced[-1].fee_minor == 0 and priced[-1].day not in charged:
        priced.pop()
    return LateFee(
        tuple(priced),
        tuple(one for one in priced if charged.get(one.day) != one),
        money.late_charged_minor,
        money.late_waived_minor,
    )


def priced_days(outstanding: Mapping[date, int], rules: PaymentRules) -> list[LateFeeDay]:
    """The fee of each day: the difference of two rounded sums, so that the days add up to the
    rounded whole. Never above the policy's share of the most that was outstanding until then.
    """
    days = sorted(outstanding)
    amounts = [outstanding[day] for day in days]
    fees = [_capped(so_far, most, rules) for so_far, most in _running(amounts)]
    return [
        LateFeeDay(day=day, outstanding_minor=amount, fee_minor=after - before)
        for day, amount, (before, after) in zip(days, amounts, pairwise([0, *fees]), strict=True)
    ]


def _running(amounts: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(accumulate(amounts), accumulate(amounts, max), strict=True)


def _capped(so_far: int, most: int, rules: PaymentRules) -> int:
    fee = ratio_half_up(so_far * rate_ppm(rules), PPM)
    return min(fee, ratio_half_up(most * rules.late_fee_cap_bp, BP))


def rate_ppm(rules: PaymentRules) -> int:
    """Parts per million a day: 0.05 % is 500. Exact, since a rate has at most four places."""
    whole, _, places = rules.late_fee_percent_per_day.partition(".")
    return int(whole + places.ljust(4, "0"))


def _days(order: Order, policy: PolicyVersion, at: datetime) -> list[date]:
    """Full local days after due that have passed."""
    due = due_of(order, policy)
    if due is None or order.cancelled or order.void or at <= due:
        return []
    calendar, first = policy.calendar, local_day(policy.calendar, due)
    if end_of_day(calendar, first - timedelta(days=1)) < due:
        first += timedelta(days=1)
    count = min((local_day(calendar, at) - first).days, LATE_DAYS_MAX)
    return [first + timedelta(days=n) for n in range(count)]


def next_late_day(order: Order, policy: PolicyVersion) -> date | None:
    """The first day that costs something and is not charged, passed or still to come, if nothing
    else happens to the order.
    """
    due = due_of(order, policy)
    if policy.rules.payment.on_overdue != "late_fee" or due is None or order.void:
        return None
    calendar, charged = policy.calendar, order.money.late_days
    valued = (value_day(payment, calendar) for payment in order.payments.values())
    changed = (local_day(calendar, at) for at, _ in order.money.to_cover)
    days_known = (*changed, *(one.day for one in charged), *(day for day in valued if day))
    known = max([local_day(calendar, due), *days_known])
    covered = _outstanding(order, date.max, calendar) == 0
    for days in LATE_DAYS_TRIED[:1] if covered else LATE_DAYS_TRIED:
        fee = late_fee(order, policy, end_of_day(calendar, known + timedelta(days=days)))
        sums = accumulate(one.fee_minor for one in fee.days)
        for one, total in zip(fee.days, sums, strict=True):
            if total > fee.charged_minor and (not charged or one.day >= charged[-1].day):
                return one.day
    return None


def _outstanding(order: Order, day: date, calendar: Calendar) -> int:
    """What was missing for goods and shipping on a local day, fees for lateness left out."""
    return max(0, _to_cover(order, day, calendar) - _paid_by(order, day, calendar))


def _to_cover(order: Order, day: date, calendar: Calendar) -> int:
    """The least of the day: only what was owed all day is late for a full day. What a time zone
    makes of the instants is known here only.
    """
    points = order.money.to_cover or ((None, to_cover_minor(order)),)
    begun = [amount for at, amount in points if at is None or local_day(calendar, at) < day]
    during = [amount for at, amount in points if at is not None and local_day(calendar, at) == day]
    return min([*(begun or [points[0][1]])[-1:], *during])


def _paid_by(order: Order, day: date, calendar: Calendar) -> int:
    days = ((payment, value_day(payment, calendar)) for payment in order.payments.values())
    # What a bank took back was here until then; what was voided or moved never was this order's.
    return sum(
        payment.here_minor + payment.lost_minor
        for payment, valued in days
        if valued is None or valued <= day
    )


def recharged(
    days: Iterable[LateFeeDay], valued: date, amount_minor: int, rules: PaymentRules
) -> list[LateFeeDay]:
    """The charged days that cost less with a payment that was not known then, and counts since."""
    days = list(days)
    outstanding = {
        one.day: max(0, one.outstanding_minor - (amount_minor if one.day >= valued else 0))
        for one in days
    }
    before = {one.day: one for one in days}
    return [one for one in priced_days(outstanding, rules) if before[one.day] != one]


def explained(order: Order, policy: PolicyVersion, at: datetime) -> dict[str, Any]:
    """The late fee as JSON data: every day with what was outstanding and what it cost."""
    fee, due, rules = late_fee(order, policy, at), due_of(order, policy), policy.rules.payment
    new = {one.day for one in fee.new}
    days = [
        {
            "day": one.day.isoformat(),
            "outstanding_minor": one.outstanding_minor,
            "fee_minor": one.fee_minor,
            "charged": one.day not in new,
        }
        for one in fee.days
    ]
    return {
        "due_at": due and due.isoformat(),
        "percent_per_day": rules.late_fee_percent_per_day,
        "cap_bp": rules.late_fee_cap_bp,
        "days": days,
        "fee_minor": fee.fee_minor,
        "to_charge_minor": fee.new_minor,
        "waived_minor": fee.waived_minor,
        "policy_version": policy.version,
    }
