"""One parcel: what is in it, when it left, what the carrier saw, how it was delivered.

Scans arrive late, twice and out of order; they merge by the carrier's time. The newest scan tells
where the parcel is, except that delivered and returned, once known, stay (DOMAIN.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID, uuid5

from domain.frozen import replace
from domain.message import Event, Rejected
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.parcel_facts import (
    TROUBLES,
    Content,
    Milestone,
    ParcelDelivered,
    ParcelDispatched,
    ParcelPacked,
    ParcelTracked,
)

SCANS = UUID("6f1d1f0c-5d0b-5a53-9a55-0c6c3c0c7a11")  # namespace of scan ids
FINAL = frozenset({"delivered", "returned"})
# Of two scans with one time the further one counts; the list of milestones stands in that order.
_RANK = {milestone: rank for rank, milestone in enumerate(get_args(Milestone))}


@dataclass(frozen=True)
class Parcel:
    parcel_id: str = ""
    contents: tuple[Content, ...] = ()
    order_ids: tuple[str, ...] = ()
    carrier: str = ""
    tracking_number: str = ""
    dispatched: bool = False
    delivered: bool = False
    proved: bool = False  # a person told who took it, or where the picture lies
    milestone: str | None = None
    milestone_at: datetime | None = None  # by the carrier's clock
    estimated_at: datetime | None = None
    estimate_of: datetime | None = None  # when that estimate was made
    scans: frozenset[str] = frozenset()

    @property
    def person(self) -> str:
        """Whose key seals who took the parcel: need not be the buyer."""
        return person_of(self.parcel_id) if self.parcel_id else ""

    @property
    def status(self) -> str:
        if self.delivered:
            return "delivered"
        if self.dispatched:
            return self.milestone or "dispatched"
        return "packed" if self.parcel_id else "unknown"


def person_of(parcel_id: str) -> str:
    return f"parcel/{parcel_id}"


def scan_id(carrier: str, tracking_number: str, milestone: str, at: datetime) -> str:
    """The name of a scan: equal for a repeat, whichever message brought it."""
    parts = [carrier, tracking_number, milestone, at.astimezone(UTC).isoformat()]
    return str(uuid5(SCANS, json.dumps(parts, ensure_ascii=True)))


def evolve(state: Parcel, event: Event) -> Parcel:
    """Apply a recorded fact. Raises TypeError for what is no fact of a parcel, else nothing."""
    match event:
        case ParcelPacked(parcel_id=parcel_id, contents=contents):
            orders = tuple(dict.fromkeys(item.order_id for item in contents))
            return replace(state, parcel_id=parcel_id, contents=tuple(contents), order_ids=orders)
        case ParcelDispatched():
            return _dispatched(state, event)
        case ParcelTracked():
            return _tracked(state, event)
        case ParcelDelivered(at=at):
            proved = event.name is not None or event.picture_ref is not None
            moved = _moved(state, "delivered", at)
            return replace(moved, delivered=True, proved=state.proved or proved)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a parcel")


def _dispatched(state: Parcel, event: ParcelDispatched) -> Parcel:
    left = replace(
        state,
        parcel_id=event.parcel_id,
        order_ids=state.order_ids or tuple(event.order_ids),
        carrier=event.carrier,
        tracking_number=event.tracking_number,
        dispatched=True,
    )
    return _estimated(left, event.estimated_at, event.at)


def _tracked(state: Parcel, event: ParcelTracked) -> Parcel:
    state = replace(state, scans=state.scans | {event.scan_id})
    return _estimated(_moved(state, event.milestone, event.at), event.estimated_at, event.at)


def _estimated(state: Parcel, estimate: datetime | None, at: datetime) -> Parcel:
    """A late scan does not bring back an estimate that was revised since."""
    if estimate is None or (state.estimate_of is not None and at < state.estimate_of):
        return state
    return replace(state, estimated_at=estimate, estimate_of=at)


def _moved(state: Parcel, milestone: str, at: datetime) -> Parcel:
    if not _supersedes(state, milestone, at):
        return state
    return replace(state, milestone=milestone, milestone_at=at)


def _supersedes(state: Parcel, milestone: str, at: datetime) -> bool:
    if state.milestone is None or state.milestone_at is None:
        return True
    if state.milestone in FINAL:
        return False
    if milestone in FINAL:
        return True  # Final also when a stray scan of a later time came in first.
    newer = (at, _RANK.get(milestone, -1))
    return newer > (state.milestone_at, _RANK.get(state.milestone, -1))


def pack(command: PackParcel, state: Parcel, skus: Mapping[tuple[str, int], str]) -> list[Event]:
    """`skus`: of each (order_id, line_no) in the contents. Raises Rejected."""
    contents = [
        Content(
            order_id=item.order_id,
            line_no=item.line_no,
            sku=skus[item.order_id, item.line_no],
            quantity=item.quantity,
        )
        for item in command.contents
    ]
    if state.parcel_id:
        if tuple(contents) != state.contents:
            raise Rejected("parcel_differs", "this parcel was packed with other contents")
        return []
    return [ParcelPacked(parcel_id=command.parcel_id, contents=contents, at=command.at)]


def decide(command: DispatchParcel | DeliverParcel | TrackParcel, state: Parcel) -> list[Event]:
    """Return what the command makes true of the parcel: [] if it already is. Raises Rejected."""
    if not state.parcel_id:
        raise Rejected("parcel_not_found", parcel_id=command.parcel_id)
    match command:
        case DispatchParcel():
            return _dispatch(command, state)
        case DeliverParcel():
            return _deliver(command, state)
        case TrackParcel():
            return _track(command, state)


def _dispatch(command: DispatchParcel, state: Parcel) -> list[Event]:
    if state.dispatched:
        same = (command.carrier, command.tracking_number)
        if (state.carrier, state.tracking_number) == same:
            return []
        raise Rejected(
            "already_dispatched",
            f"with {state.carrier}, number {state.tracking_number}",
            carrier=state.carrier,
            tracking_number=state.tracking_number,
        )
    return [
        ParcelDispatched(
            parcel_id=state.parcel_id,
            order_ids=list(state.order_ids),
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            estimated_at=command.estimated_at,
            at=command.at,
        )
    ]


def _deliver(command: DeliverParcel, state: Parcel) -> list[Event]:
    if not state.dispatched:
        raise Rejected("not_dispatched", "a parcel is dispatched before it is delivered")
    if state.milestone == "returned":
        raise Rejected("already_returned", "the parcel came back to the sender")
    proof = command.name is not None or command.picture_ref is not None
    if state.delivered and (state.proved or not proof):
        return []
    at = command.delivered_at or command.at
    return [_delivered(state, "manual", at, command.name, command.picture_ref)]


def _delivered(
    state: Parcel, source: str, at: datetime, name: str | None = None, picture: str | None = None
) -> Event:
    return ParcelDelivered(
        parcel_id=state.parcel_id,
        order_ids=list(state.order_ids),
        source=source,
        person=state.person,
        name=name,
        picture_ref=picture,
        at=at,
    )


def _track(command: TrackParcel, state: Parcel) -> list[Event]:
    if not state.dispatched:
        raise Rejected("not_dispatched", "scans count from the dispatch on")
    if (command.carrier, command.tracking_number) != (state.carrier, state.tracking_number):
        raise Rejected(
            "tracking_number_differs",
            f"the parcel travels with {state.carrier}, number {state.tracking_number}",
            carrier=state.carrier,
            tracking_number=state.tracking_number,
        )
    name = scan_id(command.carrier, command.tracking_number, command.milestone, command.occurred_at)
    if name in state.scans:
        return []
    scan = ParcelTracked(
        parcel_id=state.parcel_id,
        order_ids=list(state.order_ids),
        person=state.person,
        milestone=command.milestone,
        scan_id=name,
        location=command.location,
        note=command.note,
        estimated_at=command.estimated_at,
        at=command.occurred_at,
    )
    arrived = command.milestone == "delivered" and state.milestone not in FINAL
    return [scan, _delivered(state, "carrier", command.occurred_at)] if arrived else [scan]


def take_back(state: Parcel, at: datetime) -> list[Event]:
    """Its goods are in the house: it came back, whatever the carrier tells later."""
    if not state.dispatched or state.milestone in FINAL:
        return []
    return [
        ParcelTracked(
            parcel_id=state.parcel_id,
            order_ids=list(state.order_ids),
            person=state.person,
            milestone="returned",
            scan_id=scan_id(state.carrier, state.tracking_number, "returned", at),
            at=at,
        )
    ]


def news_for_orders(before: Parcel, after: Parcel) -> str | None:
    """The milestone that the orders must show: a trouble, or the end of one.

    None also for a delivery, which is a fact of its own on the orders.
    """
    delivered = after.delivered and not before.delivered
    if delivered or after.milestone == before.milestone:
        return None
    troubled = after.milestone in TROUBLES or before.milestone in TROUBLES
    return after.milestone if troubled else None


def may_concern_orders(command: TrackParcel, state: Parcel) -> bool:
    """Most scans change nothing that an order shows, so its stream is not even loaded."""
    return command.milestone in TROUBLES | {"delivered"} or state.milestone in TROUBLES
