"""What is known of an order, and the sums that follow from it. Folded in `order_fold`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain import order_cases, order_money, order_papers
from domain.frozen import replace
from domain.message import Sealed
from domain.order_cases import Cases
from domain.order_facts import Discount, Exemption, LineQuantity
from domain.order_line import OrderLine
from domain.order_money import Money, Payment
from domain.order_papers import Papers
from domain.order_refund_state import Refund
from domain.order_replacement_state import Replacement
from domain.order_return_state import Return
from domain.return_facts import ExchangedPart
from domain.values import Address, Contact

COMING_BACK = frozenset({"returning", "returned"})  # milestones of a parcel not delivered


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
    channel: str = ""  # that it was sold by
    payment_method: str = ""
    prices_include_tax: bool = True
    lines: Mapping[int, OrderLine] = field(default_factory=dict)  # by line_no
    last_line_no: int = 0  # numbers of removed lines are not used again
    shipping_minor: int = 0  # tax included
    shipping_tax_minor: int = 0
    shipping_cancelled: bool = False
    shipping_refunded_minor: int = 0
    shipping_relieved_minor: int = 0  # owed no longer, since goods came back for the seller's fault
    fees: tuple[Fee, ...] = ()  # for cancellations
    exemption: Exemption | None = None  # of the order with its shipping from tax
    exemption_certificate: str | Sealed | None = None
    discounts: tuple[Discount, ...] = ()  # by name, as they were given
    total_minor: int = 0  # as sold, less what was cancelled or refused, and with fees
    lowered_minor: int = 0  # of it, by refunds that lower the price of what was sent
    awaited_minor: int = 0  # of it, by refunds for units that are still in the house
    advanced_minor: int = 0  # of it, by amounts for goods in the house that are not wanted
    advances_used_minor: int = 0  # of these amounts, since the total fell after them
    reducing: frozenset[str] = frozenset()  # refunds by amount that lower the price of lines
    relieved_minor: int = 0  # of it, for goods that came back before they were paid
    restocking_minor: int = 0  # of what is owed: fees for goods that came back unpaid
    paid_minor: int = 0  # came in and is here: not voided, moved away or charged back
    refunded_minor: int = 0  # requested, approved and paid
    kept_minor: int = 0  # fees for restocking of these refunds
    payments: Mapping[str, Payment] = field(default_factory=dict)  # oldest first
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    returns: Mapping[str, Return] = field(default_factory=dict)
    exchange_of: str | None = None  # the order whose goods this one stands for
    exchanged: Mapping[str, ExchangedPart] = field(default_factory=dict)  # by payment_id
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
        """What the customer owes in all: the one sum that all others follow from.

        The total less what refunds lowered the price by, and less goods that came back unpaid. A
        refund of what was paid too much or for what was cancelled only gives money back: it lowers
        what is paid, and nothing of what is owed. What was given back for goods in the house is not
        asked for, and is no credit either once it has come again. A voided order only shows what it
        was.
        """
        if self.void:
            return 0
        asked = self.asked_minor
        if not self.withheld_minor:
            return asked
        return max(asked, min(self.net_paid_minor, self.owed_at_dispatch_minor))

    @property
    def asked_minor(self) -> int:
        """What is owed without goods that are in the house and were paid back."""
        return self._owed_but(self.withheld_minor)

    @property
    def owed_at_dispatch_minor(self) -> int:
        """What has to be paid before all that is in the house may leave."""
        return self._owed_but(0)

    def _owed_but(self, withheld_minor: int) -> int:
        fees = self.fees_minor + self.money.late_fees_minor
        lowered = self.lowered_minor + self.relieved_minor + self.reduced_minor + withheld_minor
        return max(0, self.total_minor - fees - lowered) + fees

    @property
    def reduced_minor(self) -> int:
        if not self.reducing:
            return 0
        return sum(line.reduced_minor for line in self.lines.values())

    @property
    def withheld_minor(self) -> int:
        """Given back for goods that are still in the house: they do not leave for nothing, though
        the money is not asked for.
        """
        return self.awaited_minor + max(0, self.advanced_minor - self.advances_used_minor)

    @property
    def late_fees_paid_minor(self) -> int:
        """Payments settle goods first: what came above them pays the late fee."""
        late = self.money.late_fees_minor
        return min(late, max(0, self.net_paid_minor - (self.owed_minor - late)))

    @property
    def restocking_paid_minor(self) -> int:
        """Of the fees for goods that came back unpaid: payments settle what was kept first."""
        late, fee = self.money.late_fees_minor, self.restocking_minor
        return min(fee, max(0, self.net_paid_minor - (self.owed_minor - late - fee)))

    @property
    def refundable_minor(self) -> int:
        """What was paid and is neither given back, kept as a fee nor asked back by a bank."""
        restocking = self.kept_minor + self.restocking_paid_minor
        kept = self.fees_minor + restocking + self.late_fees_paid_minor
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
        owed = 0 if self.void else self.owed_at_dispatch_minor - self.money.written_off_minor
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


def impersonal(order: Order) -> Order:
    """Without what is about a person, not even sealed: for who needs figures only."""
    return replace(
        order,
        contact=None,
        shipping_address=None,
        billing_address=None,
        exemption_certificate=None,
    )
