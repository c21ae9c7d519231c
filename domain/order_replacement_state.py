"""What the facts of replacements make of an order: which units another order stands for by now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from domain.frozen import replace
from domain.replacement_facts import (
    OrderReplaced,
    PlacedAsReplacement,
    ReplacementCompleted,
    ReplacementWithdrawn,
)

if TYPE_CHECKING:
    from domain.order_state import Order

ReplacementEvent = OrderReplaced | ReplacementWithdrawn | ReplacementCompleted | PlacedAsReplacement
LOST = "lost"  # a milestone, and the reason of what is given back or replaced for it
ZERO = Decimal(0)


@dataclass(frozen=True)
class Replacement:
    reason: str
    parcel_id: str | None
    at: datetime
    line_of: Mapping[int, int] = field(default_factory=dict)  # new line_no -> ours
    units: Mapping[int, Decimal] = field(default_factory=dict)  # by our line_no, not withdrawn
    completed: bool = False  # the order that stands for them

    @property
    def is_open(self) -> bool:
        """Its units have not arrived yet, and it was not cancelled."""
        return not self.completed and any(units > 0 for units in self.units.values())


def evolve(state: Order, event: ReplacementEvent) -> Order:
    match event:
        case OrderReplaced():
            units: dict[int, Decimal] = {}
            for item in event.lines:
                units[item.line_no] = units.get(item.line_no, ZERO) + item.quantity
            line_of = {item.new_line_no: item.line_no for item in event.lines}
            made = Replacement(event.reason, event.parcel_id, event.at, line_of, units)
            return _with(_counted(state, units, 1), event.new_order_id, made)
        case ReplacementWithdrawn():
            return _withdrawn(state, event)
        case ReplacementCompleted():
            return _completed(state, event.new_order_id)
        case PlacedAsReplacement():
            return replace(state, replacement_of=event.of_order_id)


def _with(state: Order, order_id: str, one: Replacement) -> Order:
    return replace(state, replacements={**state.replacements, order_id: one})


def _completed(state: Order, new_order_id: str) -> Order:
    known = state.replacements.get(new_order_id)
    return state if known is None else _with(state, new_order_id, replace(known, completed=True))


def _withdrawn(state: Order, event: ReplacementWithdrawn) -> Order:
    known = state.replacements.get(event.new_order_id)
    if known is None:
        return state
    less = {item.line_no: item.quantity for item in event.lines}
    left = {no: units - less.get(no, ZERO) for no, units in known.units.items()}
    return _with(_counted(state, less, -1), event.new_order_id, replace(known, units=left))


def _counted(state: Order, units: Mapping[int, Decimal], sign: int) -> Order:
    lines = dict(state.lines)
    for no in units.keys() & lines.keys():
        lines[no] = replace(lines[no], replaced=lines[no].replaced + sign * units[no])
    return replace(state, lines=lines)


# -- what was lost -------------------------------------------------------------------------------


def lost_parcels(state: Order) -> Iterator[str]:
    for parcel_id, parcel in state.parcels.items():
        if parcel.milestone == LOST and not parcel.delivered:
            yield parcel_id


def lost_units(state: Order, line_no: int) -> Decimal:
    """Units of a line in parcels that are lost by now."""
    parcels = (state.parcels[parcel_id] for parcel_id in lost_parcels(state))
    items = (item for parcel in parcels for item in parcel.lines if item.line_no == line_no)
    return sum((item.quantity for item in items), ZERO)


def made_good(state: Order, line_no: int) -> Decimal:
    """Of them, those that were replaced, or given back as lost."""
    done = replaced_units(state, line_no, lost=True) + refunded_as_lost(state, line_no)
    return min(lost_units(state, line_no), done)


def replaced_units(state: Order, line_no: int, *, lost: bool) -> Decimal:
    """Units that another order stands for: those that were lost, or those that had arrived."""
    replaced = (one for one in state.replacements.values() if (one.reason == LOST) == lost)
    return sum((one.units.get(line_no, ZERO) for one in replaced), ZERO)


def refunded_as_lost(state: Order, line_no: int) -> Decimal:
    refunds = (one for one in state.refunds.values() if one.counts and one.reason == LOST)
    return sum((one.lines[line_no].units for one in refunds if line_no in one.lines), ZERO)


def losses_are_made_good(state: Order) -> bool:
    """Whether nothing that was lost waits for the customer's choice."""
    numbers = {
        item.line_no for parcel_id in lost_parcels(state) for item in state.parcels[parcel_id].lines
    }
    return all(made_good(state, no) >= lost_units(state, no) for no in numbers)


def replaced_at(state: Order) -> list[datetime]:
    """When what was lost was replaced, where it still is."""
    found = (one for one in state.replacements.values() if one.reason == LOST)
    return [one.at for one in found if any(units > 0 for units in one.units.values())]
