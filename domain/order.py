"""The rules of an order: what each command makes true of its stream, or why it is refused.

Every rule is a small function; which ones a command must pass stands in a list. Stock, customers
and parcels that a command also touches are put together in desk.py.
"""

from __future__ import annotations

from collections.abc import Callable

from domain import exemption, order_cancellation, order_refund, refund_settlement
from domain.account import Account
from domain.customer import person_of
from domain.message import Command, Event, Rejected
from domain.order_amending import amend, region_of
from domain.order_commands import (
    AddNote,
    CancelOrder,
    EndOverride,
    OrderChange,
    OverrideStatus,
    VoidOrder,
)
from domain.order_facts import (
    LineQuantity,
    OrderNoted,
    OrderPlaced,
    OrderVoided,
    OverrideEnded,
    StatusOverridden,
)
from domain.order_hold import not_held
from domain.order_intake import consequences, sold
from domain.order_lines import Kept
from domain.order_money import shown
from domain.order_payment import not_void
from domain.order_reinstating import Free
from domain.order_state import Order, Override
from domain.order_status import shown_value
from domain.parcel_commands import DispatchParcel, PackParcel
from domain.payment_terms import due_at
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.policy import DEFAULTS, PolicyVersion
from domain.refund_commands import PayRefund, RequestRefund

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
    require(command, state)
    match command:
        case AmendOrder():
            return amend(command, state, kept)
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


def require(command: OrderChange | PackParcel | DispatchParcel, state: Order) -> None:
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
        region=region_of(command.shipping_address) if region is None else region or None,
        policy_version=policy.version,
        due_at=due_at(command.payment_method, command.at, policy),
        counts_as_paid=policy.rules.status.counts_as_paid,
        verbatim=found.source,
        at=command.at,
    )
    return [placed, *consequences(command, found, policy)]


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
