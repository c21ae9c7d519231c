"""The rules of an order: what each command makes true of its stream, or why it is refused.

Every rule is a small function; which ones a command must pass stands in a list. Stock, customers
and parcels that a command also touches are put together in desk.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from domain import (
    exemption,
    order_cancellation,
    order_cash,
    order_preview,
    order_refund,
    order_replacement,
    refund_settlement,
)
from domain.account import Account
from domain.customer import person_of
from domain.message import Command, Event, Rejected
from domain.order_commands import (
    AddNote,
    AmendOrder,
    CancelOrder,
    DispatchParcel,
    EndOverride,
    OrderChange,
    OverrideStatus,
    PackParcel,
    PayRefund,
    PlaceOrder,
    RequestRefund,
    VoidOrder,
)
from domain.order_facts import (
    BillingAddressAmended,
    ContactAmended,
    DeliveryTroubled,
    LineQuantity,
    LinesAmended,
    OrderDelivered,
    OrderDispatched,
    OrderNoted,
    OrderPacked,
    OrderPlaced,
    OrderVoided,
    OverrideEnded,
    PromiseAmended,
    ShippingAddressAmended,
    StatusOverridden,
)
from domain.order_hold import not_disputed, not_held
from domain.order_intake import consequences, sold
from domain.order_lines import Amendment, Kept, amended, known_line
from domain.order_money import shown
from domain.order_payment import not_void, payer_of
from domain.order_reinstating import Free
from domain.order_state import ZERO, Order, Override, evolve
from domain.order_status import PAYS_LATER, shown_value
from domain.payment_facts import UnpaidDispatchAllowed
from domain.payment_terms import due_at
from domain.policy import DEFAULTS, PolicyVersion
from domain.values import Address, quantity_json

__all__ = ["decide", "deliver", "dispatch", "pack", "payer_of", "place", "tell"]

Rule = Callable[[Order], None]


def not_cancelled(state: Order) -> None:
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled")


def approved(state: Order) -> None:
    if not state.approved:
        raise Rejected("not_approved", "an order is approved before it is packed")


def nothing_paid(state: Order) -> None:
    if any(not one.voided for one in state.payments.values()) or state.money.authorised_minor:
        raise Rejected(
            "void_after_payment",
            f"{shown(state.paid_minor, state)} were paid: cancel the order and refund",
            paid_minor=state.paid_minor,
        )


def nothing_packed(state: Order) -> None:
    if state.parcels:
        raise Rejected(
            "void_after_packing",
            "units were packed: only an order that nothing happened to is voided",
            parcels=sorted(state.parcels),
        )


RULES: dict[type[Command], tuple[Rule, ...]] = {
    AmendOrder: (not_void, not_cancelled),
    CancelOrder: (not_void,),
    RequestRefund: (not_void,),
    VoidOrder: (nothing_paid, nothing_packed),
    PackParcel: (not_void, not_cancelled, not_held, approved),
    DispatchParcel: (not_void, not_held),
}


def decide(
    command: OrderChange,
    state: Order,
    kept: Kept = frozenset(),
    policy: PolicyVersion | None = None,
) -> list[Event]:
    """Return what the command makes true of the order: [] if it already is. Raises Rejected.

    `kept`: the (sku, location) pairs with a stock record, whose units must be reserved. `policy`:
    the version that the order was placed under, for commands that ask for it.
    """
    _require(command, state)
    match command:
        case AmendOrder():
            return _amend(command, state, kept)
        case CancelOrder():
            assert policy is not None
            return order_cancellation.cancel(command, state, policy)
        case RequestRefund():
            assert policy is not None
            return order_refund.request(command, state, policy)
        case PayRefund():
            return refund_settlement.pay(command, state)
        case AddNote():
            return _note(command, state)
        case OverrideStatus():
            return _override(command, state)
        case EndOverride():
            return _end_overrides(command, state)
        case VoidOrder():
            return _void(command, state)


def _require(command: OrderChange | PackParcel | DispatchParcel, state: Order) -> None:
    for rule in RULES.get(type(command), ()):
        rule(state)


def place(
    command: PlaceOrder,
    number: str,
    free: Free,
    policy: PolicyVersion = DEFAULTS,
    region: str | None = None,
    account: Account | None = None,
) -> list[Event]:
    """The facts of an order that is not there yet. Raises Rejected.

    `free`: units to promise, of the (sku, location) pairs with a stock record; `region`: of an
    address that is sealed, since it was taken over from another order; `account`: the customer's,
    where the order is to be paid from it or to stand on it.
    """
    found = sold(command, free, policy, account)
    made = found.sum
    placed = OrderPlaced(
        order_id=command.order_id,
        number=number,
        shop=command.shop,
        channel=command.channel,
        customer_id=command.customer_id,
        person=person_of(command.customer_id),
        currency=command.currency,
        lines=made.lines,
        prices_include_tax=command.prices_include_tax,
        discount_minor=made.discount_minor,
        discounts=made.discounts or None,
        shipping_minor=made.shipping_minor,
        shipping_tax_rate_bp=command.shipping_tax_rate_bp,
        shipping_tax_minor=made.shipping_tax_minor,
        tax_minor=made.tax_minor,
        total_minor=made.total_minor,
        exemption=exemption.fact(command.exemption),
        exemption_certificate=command.exemption_certificate,
        contact=command.contact,
        shipping_address=command.shipping_address,
        billing_address=command.billing_address,
        payment_method=command.payment_method,
        promised_at=command.promised_at,
        external_ref=command.external_ref,
        note=command.note,
        region=_region(command.shipping_address) if region is None else region or None,
        policy_version=policy.version,
        due_at=due_at(command.payment_method, command.at, policy),
        counts_as_paid=policy.rules.status.counts_as_paid,
        verbatim=found.source,
        at=command.at,
    )
    return [placed, *consequences(command, found, policy)]


def _region(address: Address | None) -> str | None:
    if address is None:
        return None
    return f"{address.country}-{address.region}" if address.region else address.country


def _amend(command: AmendOrder, state: Order, kept: Kept) -> list[Event]:
    """One fact per kind of change, each with what was before."""
    changes = (
        _amend_lines(command, state, kept),
        _amend_contact(command, state),
        _amend_shipping_address(command, state),
        _amend_billing_address(command, state),
        _amend_promise(command, state),
    )
    events = [change for change in changes if change is not None]
    _require_as_previewed(command, events)
    return events


def _require_as_previewed(command: AmendOrder, events: list[Event]) -> None:
    """What came in between may leave it the same: then it is done on the version there is now."""
    if command.digest is None:
        return
    version, _, digest = command.digest.partition("-")
    if order_preview.digest(events) != digest:
        raise Rejected(
            "preview_differs",
            f"since version {version} the order has changed, and with it what this would do",
            version=int(version),
        )


def _amend_lines(command: AmendOrder, state: Order, kept: Kept) -> Event | None:
    amendment = amended(command, state, kept)
    if amendment is None:
        return None
    order_replacement.require_none(state, "its lines stay")
    if state.completed_at is not None and _sells_more(amendment):
        raise Rejected("order_completed", "nothing more is sold with it: place another order")
    return LinesAmended(
        person=state.person,
        reason=command.reason,
        before=amendment.before,
        after=amendment.after,
        tax_minor=amendment.tax_minor,
        total_before_minor=state.total_minor,
        total_minor=amendment.total_minor,
        at=command.at,
    )


def _sells_more(amendment: Amendment) -> bool:
    before = {line.line_no: line.quantity for line in amendment.before}
    return any(line.quantity > before.get(line.line_no, ZERO) for line in amendment.after)


# A sealed value cannot be compared, so a contact or an address that is sent is a fact even when it
# is as before. A repeat of the same request is known by its idempotency key.
def _amend_contact(command: AmendOrder, state: Order) -> Event | None:
    if command.contact is None:
        return None
    return ContactAmended(
        person=state.person,
        reason=command.reason,
        before=state.contact,
        after=command.contact,
        at=command.at,
    )


def _amend_shipping_address(command: AmendOrder, state: Order) -> Event | None:
    if command.shipping_address is None:
        return None
    return ShippingAddressAmended(
        person=state.person,
        reason=command.reason,
        before=state.shipping_address,
        after=command.shipping_address,
        region=_region(command.shipping_address),
        at=command.at,
    )


def _amend_billing_address(command: AmendOrder, state: Order) -> Event | None:
    if command.billing_address is None:
        return None
    return BillingAddressAmended(
        person=state.person,
        reason=command.reason,
        before=state.billing_address,
        after=command.billing_address,
        at=command.at,
    )


def _amend_promise(command: AmendOrder, state: Order) -> Event | None:
    if command.promised_at in {None, state.promised_at}:
        return None
    return PromiseAmended(
        person=state.person,
        reason=command.reason,
        before=state.promised_at,
        after=command.promised_at,
        at=command.at,
    )


def _note(command: AddNote, state: Order) -> list[Event]:
    if command.note_id in state.notes:
        return []
    return [
        OrderNoted(person=state.person, note_id=command.note_id, text=command.text, at=command.at)
    ]


def _override(command: OverrideStatus, state: Order) -> list[Event]:
    if state.overrides.get(command.dimension) == Override(command.value, command.sticky):
        return []
    return [
        StatusOverridden(
            person=state.person,
            dimension=command.dimension,
            value=command.value,
            prior=shown_value(state, command.dimension),
            reason=command.reason,
            sticky=command.sticky,
            at=command.at,
        )
    ]


def _end_overrides(command: EndOverride, state: Order) -> list[Event]:
    return [
        OverrideEnded(dimension=dimension, at=command.at)
        for dimension in sorted(state.overrides)
        if command.dimension in {None, dimension}
    ]


def _void(command: VoidOrder, state: Order) -> list[Event]:
    if state.void:
        return []
    released = [
        LineQuantity(line_no=no, quantity=line.reserved)
        for no, line in state.lines.items()
        if line.reserved > 0
    ]
    return [
        OrderVoided(person=state.person, reason=command.reason, released=released, at=command.at)
    ]


def pack(command: PackParcel, state: Order) -> list[Event]:
    """The order's part of a parcel. Raises Rejected."""
    if command.parcel_id in state.parcels:
        return []
    _require(command, state)
    items = [item for item in command.contents if item.order_id == state.order_id]
    for item in items:
        line = known_line(state, item.line_no)
        if item.quantity > line.open:
            raise Rejected(
                "pack_exceeds_open",
                f"line {item.line_no}: {quantity_json(item.quantity)} asked, "
                f"{quantity_json(line.open)} to pack",
                order_id=state.order_id,
                line_no=item.line_no,
                asked=quantity_json(item.quantity),
                open=quantity_json(line.open),
            )
    lines = [LineQuantity(line_no=item.line_no, quantity=item.quantity) for item in items]
    return [OrderPacked(parcel_id=command.parcel_id, lines=lines, at=command.at)]


def _may_leave(command: DispatchParcel, state: Order) -> list[Event]:
    """Nothing, or the fact that somebody let the goods go unpaid. Raises Rejected `not_paid`, or
    `chargeback_open` whatever reason is given.
    """
    not_disputed(state)
    due = state.missing_minor
    if state.payment_method in PAYS_LATER or not due:
        return []
    if command.unpaid_reason is None:
        raise Rejected(
            "not_paid",
            f"order {state.number}: {shown(due, state)} of {shown(state.total_minor, state)} are "
            "due",
            order_id=state.order_id,
            due_minor=due,
        )
    return [
        UnpaidDispatchAllowed(
            person=state.person,
            parcel_id=command.parcel_id,
            due_minor=due,
            reason=command.unpaid_reason,
            at=command.at,
        )
    ]


def dispatch(command: DispatchParcel, state: Order) -> list[Event]:
    """The order's units in the parcel leave, those promised in stock first. Raises Rejected."""
    parcel = state.parcels[command.parcel_id]
    if parcel.dispatched:
        return []
    _require(command, state)
    allowed = _may_leave(command, state)
    promised = [
        LineQuantity(line_no=item.line_no, quantity=min(item.quantity, line.reserved))
        for item in parcel.lines
        if (line := state.lines[item.line_no]).reserved > 0
    ]
    return [
        *allowed,
        OrderDispatched(
            parcel_id=command.parcel_id,
            lines=list(parcel.lines),
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            estimated_at=command.estimated_at,
            stock_shipped=promised,
            at=command.at,
        ),
    ]


def deliver(parcel_id: str, carrier: str, source: str, at: datetime, state: Order) -> list[Event]:
    """The order's units in the parcel arrived, and what the carrier collected for them. What was
    refused at the door is on its way back: it arrives at the sender's.
    """
    parcel = state.parcels[parcel_id]
    if parcel.delivered or parcel_id in state.money.refused:
        return []
    fact = OrderDelivered(parcel_id=parcel_id, lines=list(parcel.lines), source=source, at=at)
    return [fact, *order_cash.collected(fact, carrier, state, evolve(state, fact))]


def tell(parcel_id: str, milestone: str, at: datetime, state: Order) -> list[Event]:
    """A trouble on the way of a parcel, or its end, which the order has to show."""
    if state.parcels[parcel_id].milestone == milestone:
        return []
    return [DeliveryTroubled(parcel_id=parcel_id, milestone=milestone, at=at)]
