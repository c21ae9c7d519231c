"""What is known of an order: the fold of its facts. Applies, never refuses, whatever history holds.

Imported history is irregular: lines may be missing, a parcel dispatched twice or delivered without
dispatch, amounts zero. Every fact is applied as far as it has a meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeVar

from domain import (
    order_cases,
    order_money,
    order_money_state,
    order_outstanding,
    order_papers,
    order_refund_state,
    order_replacement_state,
    order_return_state,
)
from domain.alert_facts import AlertRaised, PaymentReminded
from domain.case_facts import (
    CASE_FACTS,
    HoldReleased,
    OrderHeld,
    OrderReviewed,
    UnitsBackordered,
)
from domain.completion_facts import OrderCompleted
from domain.frozen import replace
from domain.message import Event, Sealed
from domain.order_cases import Cases
from domain.order_facts import (
    BillingAddressAmended,
    CompensationPaid,
    ContactAmended,
    DeliveryTroubled,
    Discount,
    Exemption,
    FeedbackGiven,
    Line,
    LineQuantity,
    LinesAmended,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderNoted,
    OrderPacked,
    OrderPlaced,
    OrderVoided,
    OverrideEnded,
    PaymentCaptured,
    PromiseAmended,
    RefundApproved,
    RefundDenied,
    RefundEvidenceAdded,
    RefundEvidenceAsked,
    RefundFailed,
    RefundPaid,
    RefundRequested,
    RefundRetried,
    ShippingAddressAmended,
    StatusOverridden,
)
from domain.order_money import Money, Payment
from domain.order_papers import PaperFact, Papers
from domain.order_refund_state import Refund
from domain.order_replacement_state import Replacement
from domain.order_return_state import Return
from domain.payment_facts import (
    PAYMENT_FACTS,
    DeliveryRefused,
    OrderReinstated,
)
from domain.pricing import running_share
from domain.replacement_facts import OrderReplaced, PlacedAsReplacement, ReplacementWithdrawn
from domain.return_facts import (
    InterceptRequested,
    OrderExchanged,
    PlacedInExchange,
    ReturnApproved,
    ReturnClosed,
    ReturnDenied,
    ReturnReceived,
    ReturnRequested,
)
from domain.values import Address, Contact

K = TypeVar("K")
V = TypeVar("V")

ZERO = Decimal(0)
COMING_BACK = frozenset({"returning", "returned"})  # milestones of a parcel not delivered


@dataclass(frozen=True)
class OrderLine:
    """A line as last priced, and what has happened to its units."""

    priced: Line
    gross_minor: int  # what the customer pays for all its units, tax included
    cancelled: Decimal = ZERO
    packed: Decimal = ZERO  # at any time: dispatched and delivered units are among them
    dispatched: Decimal = ZERO
    delivered: Decimal = ZERO
    reserved: Decimal = ZERO  # still promised in stock
    refused: Decimal = ZERO  # at the door; dispatched, never to be delivered
    refunded: Decimal = ZERO
    refunded_minor: int = 0
    refunded_tax_minor: int = 0
    lowered: Decimal = ZERO  # of the refunded: units that were sent, so that their price fell
    advanced: Decimal = ZERO  # of the refunded: units that were still in the house
    relieved: Decimal = ZERO  # of the returned: units that are owed no longer instead of refunded
    relieved_minor: int = 0  # also for parts of units, whose rest is refunded
    relieved_tax_minor: int = 0
    returned: Decimal = ZERO  # came back, delivered before or not
    replaced: Decimal = ZERO  # another order stands for them

    @property
    def quantity(self) -> Decimal:
        return self.priced.quantity

    @property
    def gone(self) -> Decimal:
        """Units that nothing is owed for."""
        return self.cancelled + self.refused

    @property
    def live(self) -> Decimal:
        """Units that were or shall be delivered."""
        return self.priced.quantity - self.cancelled

    @property
    def open(self) -> Decimal:
        """Units that may still be packed or cancelled."""
        return self.priced.quantity - self.cancelled - self.packed

    @property
    def sent(self) -> Decimal:
        """Units that are out of the house, on their way or with the customer."""
        return self.dispatched - self.refused

    @property
    def given_back(self) -> Decimal:
        """Units that were paid back, or are owed no longer since they came back."""
        return self.refunded + self.relieved

    def left_minor(self, units: Decimal) -> int:
        """What `units` more of it give back, with their discounts and their tax.

        The running share of all units given back less what was given back before: the parts sum to
        the gross (R4), also when the price was amended in between.
        """
        whole = self.share(self.gross_minor, self.given_back + units)
        return max(0, whole - self.refunded_minor - self.relieved_minor)

    @property
    def owed_minor(self) -> int:
        """The gross less the share of the units that were cancelled or refused at the door."""
        return self.gross_minor - self.share(self.gross_minor, self.gone)

    @property
    def owed_tax_minor(self) -> int:
        return self.priced.tax_minor - self.share(self.priced.tax_minor, self.gone)

    def share(self, whole_minor: int, units: Decimal) -> int:
        """The running share of `units` in an amount for all of them (ADR 0002)."""
        return running_share(whole_minor, self.priced.quantity, units)


@dataclass(frozen=True)
class Fee:
    amount_minor: int  # tax included
    tax_minor: int
    tax_rate_bp: int


@dataclass(frozen=True)
class OrderParcel:
    """The order's units in one parcel."""

    lines: tuple[LineQuantity, ...] = ()
    dispatched: bool = False
    delivered: bool = False
    delivered_at: datetime | None = None
    milestone: str | None = None  # the newest one that the order was told of
    intercept_requested: bool = False

    @property
    def on_its_way(self) -> bool:
        """It left, and has neither arrived nor come back."""
        return self.dispatched and not self.delivered and self.milestone != "returned"

    @property
    def intercept(self) -> str | None:
        """What became of the request to bring it back, if there was one."""
        if not self.intercept_requested:
            return None
        if self.delivered:
            return "failed"
        return "succeeded" if self.milestone in COMING_BACK else "requested"


@dataclass(frozen=True)
class Override:
    value: str
    sticky: bool


@dataclass(frozen=True)
class Order:
    placed: bool = False
    placed_at: datetime | None = None
    policy_version: int = 0
    order_id: str = ""
    number: str = ""
    shop: str = ""
    customer_id: str = ""
    person: str = ""  # whose key seals the personal fields
    currency: str = ""
    payment_method: str = ""
    prices_include_tax: bool = True
    lines: Mapping[int, OrderLine] = field(default_factory=dict)  # by line_no
    last_line_no: int = 0  # numbers of removed lines are not used again
    shipping_minor: int = 0  # tax included
    shipping_tax_minor: int = 0
    shipping_cancelled: bool = False
    shipping_refunded_minor: int = 0
    fees: tuple[Fee, ...] = ()  # for cancellations
    exemption: Exemption | None = None  # of the order with its shipping from tax
    exemption_certificate: str | Sealed | None = None
    discounts: tuple[Discount, ...] = ()  # by name, as they were given
    total_minor: int = 0  # as sold, less what was cancelled or refused, and with fees
    lowered_minor: int = 0  # of it, by refunds that lower the price of what was sent
    advanced_minor: int = 0  # of it, by refunds for goods that are still in the house
    advances_used_minor: int = 0  # of these, since the total fell after them
    relieved_minor: int = 0  # of it, for goods that came back before they were paid
    paid_minor: int = 0  # came in and is here: not voided, moved away or charged back
    refunded_minor: int = 0  # requested, approved and paid
    kept_minor: int = 0  # fees for restocking of these refunds
    payments: Mapping[str, Payment] = field(default_factory=dict)  # oldest first
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    returns: Mapping[str, Return] = field(default_factory=dict)
    exchange_of: str | None = None  # the order whose goods this one stands for
    replacements: Mapping[str, Replacement] = field(default_factory=dict)  # by the new order's id
    replacement_of: str | None = None  # the order whose units this one stands for, at no price
    compensations: Mapping[str, int] = field(default_factory=dict)  # minor units, beyond the price
    parcels: Mapping[str, OrderParcel] = field(default_factory=dict)
    contact: Contact | Sealed | None = None
    shipping_address: Address | Sealed | None = None
    region: str | None = None  # of the delivery: it names nobody
    billing_address: Address | Sealed | None = None
    promised_at: datetime | None = None
    approved: bool = False
    cancelled: bool = False  # as a whole
    completed_at: datetime | None = None
    changed_at: datetime | None = None  # by its last fact
    void: bool = False
    overrides: Mapping[str, Override] = field(default_factory=dict)  # by dimension
    notes: frozenset[str] = frozenset()
    alerts: tuple[tuple[str, str, datetime], ...] = ()  # ever raised: kind, of what, what was due
    papers: Papers = order_papers.NONE
    money: Money = order_money.NONE
    cases: Cases = order_cases.NONE

    @property
    def fees_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.fees)

    @property
    def rejected(self) -> bool:
        """By its last cancellation: a review had rejected it, and nothing brought it back since."""
        gone = self.money.cancellation
        last = gone is None or gone.reason_code == order_money.REJECTED
        return self.cancelled and self.cases.rejected and last

    @property
    def net_paid_minor(self) -> int:
        return self.paid_minor - self.refunded_minor

    @property
    def owed_minor(self) -> int:
        """What the customer owes in all, before payments: the one sum that all others follow from.

        The total less what refunds lowered the price by, and less goods that came back unpaid. A
        refund of what was paid too much or for what was cancelled only gives money back: it lowers
        what is paid, and nothing of what is owed. A voided order only shows what it was.
        """
        if self.void:
            return 0
        fees = self.fees_minor + self.money.late_fees_minor
        lowered = self.lowered_minor + self.relieved_minor + self.withheld_minor
        return max(0, self.total_minor - fees - lowered) + fees

    @property
    def withheld_minor(self) -> int:
        """Given back for goods that are still in the house: they do not leave for nothing, though
        the money is not asked for.
        """
        return max(0, self.advanced_minor - self.advances_used_minor)

    @property
    def late_fees_paid_minor(self) -> int:
        """Payments settle goods first: what came above them pays the late fee."""
        late = self.money.late_fees_minor
        return min(late, max(0, self.net_paid_minor - (self.owed_minor - late)))

    @property
    def refundable_minor(self) -> int:
        """What was paid and is neither given back, kept as a fee nor asked back by a bank."""
        kept = self.fees_minor + self.kept_minor + self.late_fees_paid_minor
        withheld = sum(payment.withheld_minor for payment in self.payments.values())
        return max(0, self.net_paid_minor - kept - withheld)

    @property
    def unpaid_minor(self) -> int:
        """What is not here of what is owed."""
        return max(0, self.owed_minor - self.money.written_off_minor - self.net_paid_minor)

    @property
    def uncovered_minor(self) -> int:
        """What is missing by the order's own rule, which may also count what is authorised."""
        return self._without_authorised(self.unpaid_minor)

    @property
    def missing_minor(self) -> int:
        """What has to come before goods leave: also what was given back for them."""
        owed = self.owed_minor + self.withheld_minor - self.money.written_off_minor
        return self._without_authorised(max(0, owed - self.net_paid_minor))

    def _without_authorised(self, minor: int) -> int:
        counts = self.money.counts_as_paid == "authorised"
        return max(0, minor - (self.money.authorised_minor if counts else 0))

    @property
    def balance_minor(self) -> int:
        """Above 0: what the customer still owes. Below: what the shop owes the customer.

        What a carrier collected is the carrier's debt.
        """
        asked = self.unpaid_minor - self.money.collected_minor
        return asked if asked > 0 else min(0, self.owed_minor - self.net_paid_minor)


def evolve(state: Order, event: Event) -> Order:
    """Apply a recorded fact. Raises TypeError for what is no fact of an order, else nothing."""
    after = _applied(_without_ended_overrides(state, event), event)
    after = order_outstanding.followed(state, after, event)
    after = order_money_state.credit_noted(state, after, event.at)
    return replace(after, changed_at=event.at)


def _applied(state: Order, event: Event) -> Order:  # noqa: C901 - a table
    match event:
        case OrderPlaced():
            return _placed(event)
        case OrderApproved():
            return replace(state, approved=True)
        case LinesAmended():
            return _lines_amended(state, event)
        case ContactAmended():
            return replace(state, contact=event.after)
        case ShippingAddressAmended():
            return replace(state, shipping_address=event.after, region=event.region)
        case BillingAddressAmended():
            return replace(state, billing_address=event.after)
        case PromiseAmended():
            return replace(state, promised_at=event.after)
        case PaymentCaptured():
            return order_money_state.evolve(state, event)
        case OrderPacked():
            return _packed(state, event.parcel_id, event.lines)
        case OrderDispatched():
            return _dispatched(state, event)
        case OrderDelivered():
            return _delivered(state, event)
        case DeliveryTroubled():
            return _milestone(state, event)
        case InterceptRequested():
            return _intercept_requested(state, event)
        case OrderCancelled():
            return _cancelled(state, event)
        case (
            RefundRequested()
            | RefundEvidenceAsked()
            | RefundEvidenceAdded()
            | RefundApproved()
            | RefundDenied()
            | RefundPaid()
            | RefundFailed()
            | RefundRetried()
        ):
            return order_refund_state.evolve(state, event)
        case (
            ReturnRequested()
            | ReturnApproved()
            | ReturnDenied()
            | ReturnReceived()
            | ReturnClosed()
            | OrderExchanged()
        ):
            return order_return_state.evolve(state, event)
        case OrderReplaced() | ReplacementWithdrawn() | PlacedAsReplacement():
            return order_replacement_state.evolve(state, event)
        case OrderCompleted():
            return replace(state, completed_at=event.at)
        case PlacedInExchange():
            return replace(state, exchange_of=event.of_order_id)
        case PaymentReminded():
            reminded = (*state.money.reminded, event.hours_before)
            return replace(state, money=replace(state.money, reminded=reminded))
        case AlertRaised():
            alert = (event.kind, event.of, event.due_at)
            return replace(state, alerts=(*state.alerts, alert))
        case CompensationPaid():
            paid = {**state.compensations, event.compensation_id: event.amount_minor}
            return replace(state, compensations=paid)
        case OrderNoted():
            return replace(state, notes=state.notes | {event.note_id})
        case FeedbackGiven():
            return state
        case StatusOverridden():
            override = Override(event.value, event.sticky)
            return replace(state, overrides={**state.overrides, event.dimension: override})
        case OverrideEnded():
            return replace(state, overrides=_without(state.overrides, {event.dimension}))
        case OrderVoided():
            return replace(_released(state, event.released), void=True)
        case _ if isinstance(event, PaperFact):
            return replace(state, papers=order_papers.evolve(state.papers, event))
        case _ if isinstance(event, CASE_FACTS):
            return replace(state, cases=order_cases.evolve(state.cases, event))  # type: ignore[arg-type]
        case _ if isinstance(event, PAYMENT_FACTS):
            return order_money_state.evolve(state, event)  # type: ignore[arg-type]
        case _:
            raise TypeError(f"{event.TOPIC} is no event of an order")


def _placed(event: OrderPlaced) -> Order:
    shipping_tax = 0 if event.prices_include_tax else event.shipping_tax_minor
    return Order(
        placed=True,
        placed_at=event.at,
        policy_version=event.policy_version,
        order_id=event.order_id,
        number=event.number,
        shop=event.shop,
        customer_id=event.customer_id,
        person=event.person,
        currency=event.currency,
        payment_method=event.payment_method,
        prices_include_tax=event.prices_include_tax,
        lines={line.line_no: order_line(line, event.prices_include_tax) for line in event.lines},
        last_line_no=max((line.line_no for line in event.lines), default=0),
        shipping_minor=event.shipping_minor + shipping_tax,
        shipping_tax_minor=event.shipping_tax_minor,
        exemption=event.exemption,
        exemption_certificate=event.exemption_certificate,
        discounts=tuple(event.discounts or ()),
        total_minor=event.total_minor,
        contact=event.contact,
        shipping_address=event.shipping_address,
        region=event.region,
        billing_address=event.billing_address,
        promised_at=event.promised_at,
        papers=order_papers.begun(event.shipping_tax_rate_bp),
        money=order_money.begun(event),
    )


def impersonal(order: Order) -> Order:
    """Without what is about a person, not even sealed: for who needs figures only."""
    return replace(
        order,
        contact=None,
        shipping_address=None,
        billing_address=None,
        exemption_certificate=None,
    )


def order_line(line: Line, prices_include_tax: bool) -> OrderLine:
    """A line whose units have gone nowhere yet."""
    return OrderLine(line, gross_minor(line, prices_include_tax), reserved=line.reserved)


def repriced(old: OrderLine, line: Line, prices_include_tax: bool) -> OrderLine:
    """The line after an amendment: what happened to its units stays."""
    gross = gross_minor(line, prices_include_tax)
    return replace(old, priced=line, gross_minor=gross, reserved=line.reserved)


def gross_minor(line: Line, prices_include_tax: bool) -> int:
    """What the customer pays for a line: inclusive prices carry their tax in the base."""
    return line.base_minor if prices_include_tax else line.base_minor + line.tax_minor


def _lines_amended(state: Order, event: LinesAmended) -> Order:
    removed = {line.line_no for line in event.before} - {line.line_no for line in event.after}
    lines = _without(state.lines, removed)
    for line in event.after:
        old = lines.get(line.line_no) or order_line(line, state.prices_include_tax)
        lines[line.line_no] = repriced(old, line, state.prices_include_tax)
    return replace(
        state,
        lines=lines,
        last_line_no=max([state.last_line_no, *lines]),
        total_minor=state.total_minor + event.total_minor - event.total_before_minor,
        advances_used_minor=_used(state, event.total_before_minor - event.total_minor),
    )


def _used(state: Order, fallen_minor: int) -> int:
    """What was given back before for goods that are not bought any more is not given twice."""
    return state.advances_used_minor + max(0, min(fallen_minor, state.withheld_minor))


Counter = Literal["cancelled", "packed", "dispatched", "delivered"]


def _counted(state: Order, counter: Counter, units: Iterable[LineQuantity]) -> Order:
    lines = dict(state.lines)
    for item in units:
        line = lines.get(item.line_no)
        if line is not None:
            more = {counter: getattr(line, counter) + item.quantity}
            lines[item.line_no] = replace(line, **more)
    return replace(state, lines=lines)


def _released(state: Order, units: Iterable[LineQuantity]) -> Order:
    """Units that are no longer promised in stock: given back or shipped."""
    lines = dict(state.lines)
    for item in units:
        line = lines.get(item.line_no)
        if line is not None:
            lines[item.line_no] = replace(line, reserved=line.reserved - item.quantity)
    return replace(state, lines=lines)


def _packed(state: Order, parcel_id: str, units: Iterable[LineQuantity]) -> Order:
    if parcel_id in state.parcels:
        return state
    parcel = OrderParcel(tuple(units))
    return _with_parcel(_counted(state, "packed", parcel.lines), parcel_id, parcel)


def _dispatched(state: Order, event: OrderDispatched) -> Order:
    state = _left(state, event.parcel_id, event.lines)
    return _released(state, event.stock_shipped)


def _left(state: Order, parcel_id: str, units: Iterable[LineQuantity]) -> Order:
    """The parcel is out of the house. What was never packed by our records was so all the same."""
    state = _packed(state, parcel_id, units)
    parcel = state.parcels[parcel_id]
    if parcel.dispatched:
        return state
    state = _counted(state, "dispatched", parcel.lines)
    return _with_parcel(state, parcel_id, replace(parcel, dispatched=True))


def _delivered(state: Order, event: OrderDelivered) -> Order:
    state = _left(state, event.parcel_id, event.lines)
    parcel = state.parcels[event.parcel_id]
    if parcel.delivered:
        return state
    state = _counted(state, "delivered", parcel.lines)
    arrived = replace(parcel, delivered=True, delivered_at=event.at, milestone="delivered")
    return _with_parcel(state, event.parcel_id, arrived)


def _milestone(state: Order, event: DeliveryTroubled) -> Order:
    parcel = state.parcels.get(event.parcel_id, OrderParcel())
    return _with_parcel(state, event.parcel_id, replace(parcel, milestone=event.milestone))


def _intercept_requested(state: Order, event: InterceptRequested) -> Order:
    parcel = state.parcels.get(event.parcel_id, OrderParcel())
    return _with_parcel(state, event.parcel_id, replace(parcel, intercept_requested=True))


def _with_parcel(state: Order, parcel_id: str, parcel: OrderParcel) -> Order:
    return replace(state, parcels={**state.parcels, parcel_id: parcel})


def _cancelled(state: Order, event: OrderCancelled) -> Order:
    state = _released(_counted(state, "cancelled", event.lines), event.released)
    return replace(
        state,
        fees=(*state.fees, _fee(event)) if event.fee_minor else state.fees,
        total_minor=state.total_minor - event.goods_minor - event.shipping_minor + event.fee_minor,
        shipping_cancelled=state.shipping_cancelled or event.shipping_minor != 0,
        cancelled=state.cancelled or event.all,
        advances_used_minor=_used(state, event.goods_minor + event.shipping_minor),
        money=order_money.cancelled(state.money, event),
    )


def _fee(event: OrderCancelled) -> Fee:
    return Fee(event.fee_minor, event.fee_tax_minor, event.fee_tax_rate_bp)


# The dimensions of the status that a fact belongs to: it ends an override of theirs.
_DIMENSIONS: dict[type[Event], frozenset[str]] = {
    OrderApproved: frozenset({"stage"}),
    **dict.fromkeys((OrderHeld, HoldReleased, OrderReviewed), frozenset({"stage"})),
    UnitsBackordered: frozenset({"fulfilment"}),
    OrderCancelled: frozenset({"stage"}),
    OrderVoided: frozenset({"stage"}),
    OrderCompleted: frozenset({"stage"}),
    OrderPacked: frozenset({"stage", "fulfilment"}),
    OrderDispatched: frozenset({"stage", "fulfilment"}),
    OrderDelivered: frozenset({"fulfilment"}),
    DeliveryTroubled: frozenset({"fulfilment"}),
    PaymentCaptured: frozenset({"payment"}),
    **dict.fromkeys(PAYMENT_FACTS, frozenset({"payment"})),
    OrderReinstated: frozenset({"stage", "payment"}),
    DeliveryRefused: frozenset({"payment", "fulfilment"}),
    RefundRequested: frozenset({"payment"}),
    RefundDenied: frozenset({"payment"}),
    RefundPaid: frozenset({"payment"}),
    RefundFailed: frozenset({"payment"}),
    ReturnRequested: frozenset({"return"}),
    ReturnApproved: frozenset({"return"}),
    ReturnDenied: frozenset({"return"}),
    ReturnReceived: frozenset({"return"}),
    ReturnClosed: frozenset({"return"}),
}


def _without_ended_overrides(state: Order, event: Event) -> Order:
    if not state.overrides:
        return state
    touched = _DIMENSIONS.get(type(event), frozenset())
    ended = {name for name in touched & state.overrides.keys() if not state.overrides[name].sticky}
    return replace(state, overrides=_without(state.overrides, ended)) if ended else state


def _without(mapping: Mapping[K, V], keys: set[K]) -> dict[K, V]:
    return {key: value for key, value in mapping.items() if key not in keys}
