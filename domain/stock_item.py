"""One SKU at one location: units on hand, and how many of them are promised to orders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from domain.frozen import replace
from domain.message import Command, Event, Rejected
from domain.values import QUANTITY_MAX, AskedQuantity, Identifier, Quantity, Text, quantity_json

ON_HAND_MAX = Decimal(10**9)


def _without_at(text: str) -> str:
    # The stream's key is `sku@location`: with no @ in the second half it names one item only.
    if "@" in text:
        raise ValueError("must not contain an @")
    return text


Location = Annotated[Identifier, AfterValidator(_without_at)]
AdjustmentReason = Annotated[
    Text, Field(description="About the goods, never about a person; stored in clear")
]


class StockReceived(Event, topic="stock_item.received.v1"):
    sku: str
    location: str
    quantity: Quantity
    reference: str | None = None


class StockAdjusted(Event, topic="stock_item.adjusted.v1"):
    """`reason` is about the goods, never about a person: stored in clear, since stock is nobody's
    and there is no person's key to seal it with. Who adjusted is the event's actor.
    """

    sku: str
    location: str
    delta: Quantity
    reason: str


class StockReserved(Event, topic="stock_item.reserved.v1"):
    sku: str
    location: str
    order_id: str
    quantity: Quantity


class ReservationReleased(Event, topic="stock_item.reservation_released.v1"):
    sku: str
    location: str
    order_id: str
    quantity: Quantity


class StockShipped(Event, topic="stock_item.shipped.v1"):
    sku: str
    location: str
    order_id: str
    quantity: Quantity
    reserved: Quantity  # of them, units that were reserved


class StockReturned(Event, topic="stock_item.returned.v1"):
    """Units that an order's customer sent back, inspected and fit to be sold again."""

    sku: str
    location: str
    order_id: str
    quantity: Quantity


class ReceiveStock(Command):
    sku: Identifier
    location: Location = "main"
    quantity: AskedQuantity
    reference: Text | None = None


class AdjustStock(Command):
    sku: Identifier
    location: Location = "main"
    delta: Annotated[
        Quantity, Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX, decimal_places=3, allow_inf_nan=False)
    ]
    reason: AdjustmentReason


@dataclass(frozen=True)
class StockItem:
    """Reservations are summed: who holds how much is known to each order, which changes in the
    same write (ADR 0004), so a hot sku's state stays small.
    """

    kept: bool = False  # a sku without stock record is not stock-kept
    on_hand: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    @property
    def available(self) -> Decimal:
        return self.on_hand - self.reserved


def evolve(state: StockItem, event: Event) -> StockItem:
    match event:
        case StockReceived(quantity=units) | StockReturned(quantity=units):
            return replace(state, kept=True, on_hand=state.on_hand + units)
        case StockAdjusted(delta=delta):
            return replace(state, kept=True, on_hand=state.on_hand + delta)
        case StockReserved(quantity=units):
            return replace(state, reserved=state.reserved + units)
        case ReservationReleased(quantity=units):
            return replace(state, reserved=state.reserved - units)
        case StockShipped(quantity=units, reserved=reserved):
            return replace(state, on_hand=state.on_hand - units, reserved=state.reserved - reserved)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a stock item")


def decide(command: ReceiveStock | AdjustStock, state: StockItem) -> list[Event]:
    """Return what the command makes true. Raises Rejected."""
    sku, location, at = command.sku, command.location, command.at
    match command:
        case ReceiveStock(quantity=units, reference=reference):
            _require_room(state, units)
            return [
                StockReceived(
                    sku=sku, location=location, quantity=units, reference=reference, at=at
                )
            ]
        case AdjustStock(delta=delta, reason=reason):
            if delta == 0:
                return []
            if state.available + delta < 0:
                raise Rejected(
                    "adjustment_below_reserved",
                    f"{quantity_json(-delta)} to take, "
                    f"{quantity_json(state.available)} not reserved",
                    available=quantity_json(state.available),
                )
            _require_room(state, delta)
            return [StockAdjusted(sku=sku, location=location, delta=delta, reason=reason, at=at)]


def _require_room(state: StockItem, units: Decimal) -> None:
    if state.on_hand + units > ON_HAND_MAX:
        raise Rejected(
            "stock_too_large",
            f"{quantity_json(units)} more than {quantity_json(state.on_hand)} is above "
            f"{ON_HAND_MAX}, the most at a location",
            on_hand=quantity_json(state.on_hand),
            asked=quantity_json(units),
        )


def stream_key(sku: str, location: str) -> str:
    return f"{sku}@{location}"


def reserve(
    state: StockItem, sku: str, location: str, order_id: str, units: Decimal, at: datetime
) -> list[Event]:
    """Promise units to an order. Raises Rejected `insufficient_stock`: no oversell."""
    _require_available(state, sku, location, units)
    return [StockReserved(sku=sku, location=location, order_id=order_id, quantity=units, at=at)]


def release(sku: str, location: str, order_id: str, units: Decimal, at: datetime) -> list[Event]:
    """Give promised units back. The order knows how many it holds."""
    return [
        ReservationReleased(sku=sku, location=location, order_id=order_id, quantity=units, at=at)
    ]


def ship(
    state: StockItem,
    sku: str,
    location: str,
    order_id: str,
    units: Decimal,
    reserved: Decimal,
    at: datetime,
) -> list[Event]:
    """Take units out of the house, `reserved` of them promised to the order before.

    The others must be free: they belong to an order that was placed before the sku had a stock
    record. Raises Rejected `insufficient_stock`.
    """
    _require_available(state, sku, location, units - reserved)
    return [
        StockShipped(
            sku=sku, location=location, order_id=order_id, quantity=units, reserved=reserved, at=at
        )
    ]


def take_back(
    state: StockItem, sku: str, location: str, order_id: str, units: Decimal, at: datetime
) -> list[Event]:
    """Put units on hand that came back from an order. Raises Rejected `stock_too_large`."""
    _require_room(state, units)
    return [StockReturned(sku=sku, location=location, order_id=order_id, quantity=units, at=at)]


def _require_available(state: StockItem, sku: str, location: str, units: Decimal) -> None:
    if units > state.available:
        raise Rejected(
            "insufficient_stock",
            f"{quantity_json(units)} of {sku} at {location} asked, "
            f"{quantity_json(state.available)} available",
            sku=sku,
            location=location,
            asked=quantity_json(units),
            available=quantity_json(state.available),
        )
