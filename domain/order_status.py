"""The status of an order, derived from its facts: four dimensions and one headline (DOMAIN.md).

Overrides change what is shown and nothing else: commands decide on facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from domain.order_line import ZERO
from domain.order_replacement_state import LOST, losses_are_made_good, made_good, replaced_at
from domain.order_return_state import back_undelivered, parcel_is_back
from domain.order_state import Order
from domain.parcel_facts import TROUBLES

PAYS_LATER = frozenset({"cash_on_delivery", "on_account"})

LABELS: dict[str, str] = {  # headline code -> what the desk reads
    "void": "已作废",
    "exception": "异常",
    "refunding": "退款中",
    "refunded": "已退款",
    "cancelled": "已取消",
    "completed": "已完成",
    "delivered": "已送达",
    "shipped": "已发货",
    "awaiting_review": "待审核",
    "awaiting_payment": "待支付",
    "preparing": "备货中",
    "paid": "已支付",
}


@dataclass(frozen=True, slots=True)
class Dimensions:
    stage: str
    payment: str
    fulfilment: str
    returns: str = "none"  # the dimension `return`, a word that Python keeps for itself


@dataclass(frozen=True, slots=True)
class Status:
    """What is shown of an order. Dimensions under an override are named in `overridden`."""

    code: str
    label: str
    dimensions: Dimensions
    overridden: tuple[str, ...]
    shipped_units: Decimal
    units: Decimal  # not cancelled


def facts(state: Order) -> Dimensions:
    """The dimensions as the facts have them."""
    return Dimensions(stage(state), payment(state), fulfilment(state), returns(state))


def shown(state: Order) -> Status:
    """The status to display: the facts under the operator's overrides."""
    dimensions = _overridden(facts(state), state)
    code = headline(dimensions, state)
    return Status(
        code=code,
        label=LABELS[code],
        dimensions=dimensions,
        overridden=tuple(sorted(state.overrides)),
        shipped_units=sum((line.dispatched for line in state.lines.values()), ZERO),
        units=sum((line.live for line in state.lines.values()), ZERO),
    )


def shown_value(state: Order, dimension: str) -> str:
    """What one dimension is shown as; `dimension` as DOMAIN.md names it."""
    dimensions = _overridden(facts(state), state)
    value: str = getattr(dimensions, _attribute(dimension))
    return value


def code(state: Order) -> str:
    """The headline alone."""
    return headline(_overridden(facts(state), state), state)


def _overridden(dimensions: Dimensions, state: Order) -> Dimensions:
    if not state.overrides:
        return dimensions
    values = {
        "stage": dimensions.stage,
        "payment": dimensions.payment,
        "fulfilment": dimensions.fulfilment,
        "returns": dimensions.returns,
    }
    for dimension, override in state.overrides.items():
        values[_attribute(dimension)] = override.value
    return Dimensions(**values)


def _attribute(dimension: str) -> str:
    return "returns" if dimension == "return" else dimension


def stage(state: Order) -> str:
    if state.void:
        return "void"
    if state.cancelled:
        return "rejected" if state.rejected else "cancelled"
    if state.completed_at is not None:
        return "completed"
    if state.cases.holds:
        return "on_hold"
    if state.parcels:
        return "in_progress"
    if state.approved:
        return "approved"
    return "in_review" if state.cases.withhold_approval else "received"


def payment(state: Order) -> str:
    given_back, again = _given_back(state)
    paid = state.paid_minor - again
    if given_back > 0:
        return "refunded" if given_back >= paid else "partially_refunded"
    covered = _covered_minor(state) - again
    if covered >= state.owed_minor and (covered > 0 or not state.cancelled):
        return "paid"
    if state.money.overdue and state.balance_minor > 0:
        return "overdue"
    if paid > 0:
        return "partially_paid"
    return "authorised" if state.money.authorised_minor > 0 else "unpaid"


def _given_back(state: Order) -> tuple[int, int]:
    """By refunds that stand, and by those that came back, in minor units."""
    gone = state.refunds.values()
    if not gone:
        return 0, 0
    again = sum(refund.given_back_minor for refund in gone if refund.undone)
    return sum(refund.given_back_minor for refund in gone) - again, again


def _covered_minor(state: Order) -> int:
    """What counts as paid by the order's policy, and what nobody asks for any more."""
    settled = state.paid_minor + state.money.written_off_minor
    counts = state.money.counts_as_paid == "authorised"
    return settled + (state.money.authorised_minor if counts else 0)


def fulfilment(state: Order) -> str:
    troubles = _troubles(state)
    if troubles:
        return LOST if LOST in troubles else "delivery_exception"
    if any(parcel.delivered for parcel in state.parcels.values()):
        return "delivered" if arrived_everything(state) else "partially_delivered"
    if dispatched_everything(state):
        return "shipped"
    if any(parcel.dispatched for parcel in state.parcels.values()):
        return "partially_shipped"
    if state.parcels:
        return "packed"
    if state.cases.backordered and _short(state):
        return "backordered"
    return "reserved" if any(line.reserved > 0 for line in state.lines.values()) else "unallocated"


def _troubles(state: Order) -> set[str]:
    """Of parcels: that one came back is none any more when its units were taken back, that one was
    lost when they were replaced or given back.
    """
    troubled = {no: one.milestone for no, one in state.parcels.items() if one.milestone in TROUBLES}
    settled: set[str | None] = (
        {LOST} if LOST in troubled.values() and losses_are_made_good(state) else set()
    )
    return {told for no, told in troubled.items() if not parcel_is_back(state, no)} - settled


def _short(state: Order) -> bool:
    """Units that were accepted without stock are still wanted and have none promised."""
    lines = (state.lines.get(no) for no in state.cases.backordered)
    return any(line is not None and line.live > line.reserved for line in lines)


# What waits for somebody stands before what is done.
_RETURNS = ("requested", "approved", "received", "closed", "denied")


def returns(state: Order) -> str:
    """Of several returns, the one that waits for the next step."""
    there = {one.status for one in state.returns.values()}
    return next((status for status in _RETURNS if status in there), "none")


def delivered_everything(state: Order) -> bool:
    """What came back undelivered and was taken back is not waited for."""
    arrived = any(parcel.delivered for parcel in state.parcels.values())
    return arrived and all(
        line.delivered + back_undelivered(state, no) >= line.live
        for no, line in state.lines.items()
    )


def arrived_everything(state: Order) -> bool:
    """As far as it is waited for: what was lost and replaced, or given back, is not any more."""
    arrived = any(parcel.delivered for parcel in state.parcels.values()) or bool(replaced_at(state))
    return arrived and all(
        line.delivered + back_undelivered(state, no) + made_good(state, no) >= line.live
        for no, line in state.lines.items()
    )


def dispatched_everything(state: Order) -> bool:
    left = any(parcel.dispatched for parcel in state.parcels.values())
    return left and all(line.dispatched >= line.live for line in state.lines.values())


def refund_is_open(state: Order) -> bool:
    """Some refund was requested and its money has not gone yet."""
    return any(refund.is_open for refund in state.refunds.values())


def headline(dimensions: Dimensions, state: Order) -> str:
    """The one code for the desk: the first in DOMAIN.md's order whose condition holds."""
    return next(code for code, holds in _HEADLINES if holds(dimensions, state))


def _awaits_payment(shown: Dimensions, state: Order) -> bool:
    if state.payment_method in PAYS_LATER:
        return False
    if shown.payment == "partially_refunded":
        return state.balance_minor > 0
    return shown.payment in {"unpaid", "authorised", "partially_paid", "overdue"}


def _is_prepared(shown: Dimensions, state: Order) -> bool:
    return shown.fulfilment == "packed" or state.payment_method in PAYS_LATER


TROUBLED = frozenset({"delivery_exception", "lost"})
_SHIPPED = frozenset({"partially_shipped", "shipped", "partially_delivered"})
_UNREVIEWED = frozenset({"draft", "received", "in_review", "on_hold"})

# A void order stands before all: it is hidden from lists, and nothing else matters of it.
_HEADLINES: tuple[tuple[str, Callable[[Dimensions, Order], bool]], ...] = (
    ("void", lambda shown, _: shown.stage == "void"),
    ("exception", lambda shown, state: state.cases.blocked or shown.fulfilment in TROUBLED),
    ("refunding", lambda _, state: refund_is_open(state)),
    ("refunded", lambda shown, _: shown.payment == "refunded"),
    ("cancelled", lambda shown, _: shown.stage in {"cancelled", "rejected"}),
    ("completed", lambda shown, _: shown.stage == "completed"),
    ("delivered", lambda shown, _: shown.fulfilment == "delivered"),
    ("shipped", lambda shown, _: shown.fulfilment in _SHIPPED),
    ("awaiting_review", lambda shown, _: shown.stage in _UNREVIEWED),
    ("awaiting_payment", _awaits_payment),
    ("preparing", _is_prepared),
    ("paid", lambda _shown, _state: True),
)
