"""What an amendment changes of an order: its lines, contact, addresses, promise."""

from __future__ import annotations

from domain import order_preview, order_replacement
from domain.message import Event, Rejected
from domain.order_facts import (
    BillingAddressAmended,
    ContactAmended,
    LinesAmended,
    PromiseAmended,
    ShippingAddressAmended,
)
from domain.order_line import ZERO
from domain.order_lines import Amendment, Kept, amended
from domain.order_state import Order
from domain.placement_commands import AmendOrder
from domain.values import Address


def amend(command: AmendOrder, state: Order, kept: Kept) -> list[Event]:
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
            f"this would do something else than was shown at version {version}",
            version=int(version),
        )


def _sells_more(amendment: Amendment) -> bool:
    before = {line.line_no: line.quantity for line in amendment.before}
    return any(line.quantity > before.get(line.line_no, ZERO) for line in amendment.after)


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
        region=region_of(command.shipping_address),
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


def region_of(address: Address | None) -> str | None:
    if address is None:
        return None
    return f"{address.country}-{address.region}" if address.region else address.country
