"""What the desk sees of one order: the state that decides, and when, by whom and in which words.

The state is folded by the deciders' own `evolve` (domain/order_fold.py, domain/parcel.py), so what
is shown and what is decided never differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from domain import order_fold, order_papers, parcel
from domain.case_facts import CASE_FACTS
from domain.completion_facts import OrderCompleted
from domain.frozen import replace
from domain.message import EVENT_TYPES, Recorded, Sealed
from domain.order_facts import (
    CompensationPaid,
    FeedbackGiven,
    OrderDelivered,
    OrderDispatched,
    OrderNoted,
    OrderPlaced,
    PaymentCaptured,
    RefundApproved,
    RefundDenied,
    RefundEvidenceAsked,
    RefundFailed,
    RefundPaid,
    RefundRequested,
    ShippingAddressAmended,
    StatusOverridden,
)
from domain.order_state import Order
from domain.parcel import Parcel
from domain.parcel_facts import ParcelDelivered, ParcelDispatched, ParcelPacked, ParcelTracked
from domain.payment_facts import PaymentMovedIn
from domain.return_facts import (
    ReturnApproved,
    ReturnClosed,
    ReturnDenied,
    ReturnReceived,
    ReturnReopened,
    ReturnRequested,
)
from projections import case_told
from projections.case_told import Handled
from projections.order_told import (
    CameBack,
    CompensationTold,
    Estimate,
    OverrideTold,
    PaymentTold,
    RefundTold,
    Remark,
    ReturnTold,
    Told,
)


@dataclass(frozen=True)
class OrderStatus:
    """All that the desk sees of one order."""

    order: Order
    position: int  # of the last event folded in
    version: int  # of the order's stream
    channel: str
    origin: str
    ordered: Told
    external_ref: str | None = None
    region: str | None = None
    note: str | Sealed | None = None
    source: Mapping[str, Any] | None = None  # import: the source's words that are not ours
    tax_minor: int = 0  # at placement
    shipped: Told | None = None  # the first parcel that left
    delivered: Told | None = None  # the last that arrived
    completed: Told | None = None
    estimates: tuple[Estimate, ...] = ()  # all that were given, in the order they were recorded
    parcels: Mapping[str, Parcel] = field(default_factory=dict)
    payments: Mapping[str, PaymentTold] = field(default_factory=dict)
    refunds: Mapping[str, RefundTold] = field(default_factory=dict)
    returns: Mapping[str, ReturnTold] = field(default_factory=dict)
    compensations: Mapping[str, CompensationTold] = field(default_factory=dict)
    overrides: Mapping[str, OverrideTold] = field(default_factory=dict)  # also ended ones
    notes: tuple[Remark, ...] = ()
    feedback: tuple[Remark, ...] = ()
    handled: Handled = case_told.NOTHING

    @property
    def estimated_at(self) -> datetime | None:
        """When the last parcel on its way is expected, by the newest estimate of each."""
        newest = [p.estimated_at for p in self.parcels.values() if p.estimated_at is not None]
        return max(newest, default=None)

    @property
    def paid_out_minor(self) -> int:
        """Refunds whose money has gone."""
        return sum(refund.given_back_minor for refund in self.order.refunds.values())


ReturnStep = ReturnApproved | ReturnDenied | ReturnReceived | ReturnClosed | ReturnReopened
ParcelEvent = ParcelPacked | ParcelDispatched | ParcelTracked | ParcelDelivered
_ORDER_TOPICS = frozenset(
    topic
    for topic, kind in EVENT_TYPES.items()
    if topic.startswith("order.") and kind.__module__.startswith("domain.")
)
TOPICS = _ORDER_TOPICS | {kind.TOPIC for kind in get_args(ParcelEvent)}


def keys(recorded: Recorded) -> Sequence[str]:
    """The orders that an event concerns."""
    if recorded.category != "parcel":
        return (recorded.key,)
    event = recorded.event
    if isinstance(event, ParcelPacked):
        return list(dict.fromkeys(item.order_id for item in event.contents))
    assert isinstance(event, ParcelDispatched | ParcelTracked | ParcelDelivered)
    return event.order_ids


def fold(row: OrderStatus | None, recorded: Recorded) -> OrderStatus | None:
    """Fold one event in. An order begins with its placement: what came before has no meaning."""
    if row is None:
        event = recorded.event
        return _placed(event, recorded) if isinstance(event, OrderPlaced) else None
    if recorded.position <= row.position:
        return row
    if recorded.category == "parcel":
        return _with_parcel(row, recorded)
    order = order_fold.evolve(row.order, recorded.event)
    # Only deciders ask which notes there are, whose text this row keeps, and what the papers say.
    if order.notes or order.papers is not order_papers.NONE:
        order = replace(order, notes=frozenset(), papers=order_papers.NONE)
    more = _told(row, recorded)
    return replace(row, order=order, position=recorded.position, version=recorded.version, **more)


def _placed(event: OrderPlaced, recorded: Recorded) -> OrderStatus:
    return OrderStatus(
        order=replace(order_fold.evolve(Order(), event), papers=order_papers.NONE),
        position=recorded.position,
        version=recorded.version,
        channel=event.channel,
        origin=recorded.origin,
        ordered=Told(event.at, recorded.position),
        external_ref=event.external_ref,
        region=event.region,
        note=event.note,
        source=event.verbatim,
        tax_minor=event.tax_minor,
    )


def _told(  # noqa: C901 - a table
    row: OrderStatus, recorded: Recorded
) -> dict[str, Any]:
    """What a fact tells beyond the state that decides: when, by whom, in which words."""
    event, position = recorded.event, recorded.position
    match event:
        case PaymentCaptured():
            payment = PaymentTold(
                event.method,
                event.amount_minor,
                event.reference,
                event.at,
                position,
                event.payer,
                event.fee_minor,
            )
            return {"payments": {**row.payments, event.payment_id: payment}}
        case PaymentMovedIn():
            payment = PaymentTold(
                event.method,
                event.amount_minor,
                event.reference,
                event.at,
                position,
                event.payer,
                from_order_id=event.from_order_id,
            )
            return {"payments": {**row.payments, event.payment_id: payment}}
        case OrderDispatched():
            return _dispatched(row, event, position)
        case OrderDelivered():
            return _delivered(row, event, position)
        case OrderCompleted():
            return {"completed": Told(event.at, position)}
        case RefundRequested():
            refund = RefundTold(
                event.amount_minor, event.reason, event.at, position, text=event.text
            )
            return {"refunds": {**row.refunds, event.refund_id: refund}}
        case RefundPaid():
            return {"refunds": {**row.refunds, event.refund_id: _paid(row, event, position)}}
        case RefundApproved() | RefundDenied() | RefundFailed() | RefundEvidenceAsked():
            return _refund_told(row, event, recorded.actor)
        case CompensationPaid():
            paid = CompensationTold(
                event.amount_minor,
                event.reason,
                event.method,
                event.reference,
                event.at,
                position,
                event.text,
            )
            return {"compensations": {**row.compensations, event.compensation_id: paid}}
        case ReturnRequested():
            asked = ReturnTold(event.reason, event.at, position, event.text)
            return {"returns": {**row.returns, event.return_id: asked}}
        case _ if isinstance(event, ReturnStep):
            return _return_told(row, event)
        case StatusOverridden():
            override = OverrideTold(
                event.value,
                event.prior,
                event.sticky,
                event.reason,
                recorded.actor,
                event.at,
                position,
            )
            return {"overrides": {**row.overrides, event.dimension: override}}
        case OrderNoted():
            remark = Remark(event.note_id, event.at, position, event.text, actor=recorded.actor)
            return {"notes": (*row.notes, remark)}
        case FeedbackGiven():
            remark = Remark(event.feedback_id, event.at, position, event.comment, event.score)
            return {"feedback": (*row.feedback, remark)}
        case ShippingAddressAmended():
            return {"region": event.region}
        case _ if isinstance(event, CASE_FACTS):
            handled = case_told.told(row.handled, event, recorded.actor, position)  # type: ignore[arg-type]
            return {"handled": handled}
        case _:
            return {}


def _dispatched(row: OrderStatus, event: OrderDispatched, position: int) -> dict[str, Any]:
    """Imported orders have no parcel stream: what their dispatch tells of the parcel counts."""
    told = ParcelDispatched(
        parcel_id=event.parcel_id,
        order_ids=[],
        carrier=event.carrier,
        tracking_number=event.tracking_number,
        estimated_at=event.estimated_at,
        at=event.at,
    )
    left = Told(event.at, position)
    return {
        "shipped": left if row.shipped is None or left.at < row.shipped.at else row.shipped,
        "parcels": _parcels(row, told),
        "estimates": _estimates(row, told, position),
    }


def _delivered(row: OrderStatus, event: OrderDelivered, position: int) -> dict[str, Any]:
    told = ParcelDelivered(
        parcel_id=event.parcel_id, order_ids=[], source=event.source, person="", at=event.at
    )
    arrived = Told(event.at, position)
    last = row.delivered is None or arrived.at >= row.delivered.at
    return {"delivered": arrived if last else row.delivered, "parcels": _parcels(row, told)}


def _refund_told(
    row: OrderStatus,
    event: RefundApproved | RefundDenied | RefundFailed | RefundEvidenceAsked,
    actor: str,
) -> dict[str, Any]:
    known = row.refunds.get(event.refund_id)
    if known is None:
        return {}
    match event:
        case RefundApproved():
            by = event.by if event.by == "policy" else actor
            known = replace(known, approved_at=event.at, approved_by=by)
        case RefundDenied():
            known = replace(known, denied_at=event.at, denied_reason=event.reason)
        case RefundFailed():
            known = replace(known, failed_at=event.at, failure=event.code, paid_at=None)
        case RefundEvidenceAsked():
            known = replace(known, evidence_asked=event.text)
    return {"refunds": {**row.refunds, event.refund_id: known}}


def _return_told(row: OrderStatus, event: ReturnStep) -> dict[str, Any]:
    known = row.returns.get(event.return_id)
    if known is None:
        return {}
    match event:
        case ReturnApproved():
            known = replace(known, postage=event.postage, label=event.label)
        case ReturnDenied():
            known = replace(known, denied_reason=event.reason)
        case ReturnReceived():
            came = [
                CameBack(one.line_no, one.quantity, one.condition, one.restocked, event.at)
                for one in event.lines
            ]
            known = replace(
                known,
                received=(*known.received, *came),
                fee_minor=known.fee_minor + event.fee_minor,
                shipping_minor=known.shipping_minor + event.shipping_minor,
            )
        case ReturnClosed():
            known = replace(known, closed_at=event.at, closed_reason=event.reason)
        case ReturnReopened():
            known = replace(known, closed_at=None, closed_reason=None)
    return {"returns": {**row.returns, event.return_id: known}}


def _paid(row: OrderStatus, event: RefundPaid, position: int) -> RefundTold:
    known = row.refunds.get(event.refund_id)
    asked = known or RefundTold(event.amount_minor, "", None, position)
    # A fact for each method that the money had come by.
    method = f"{asked.method}, {event.method}" if asked.method else event.method
    return replace(asked, method=method, reference=event.reference, paid_at=event.at)


def _with_parcel(row: OrderStatus, recorded: Recorded) -> OrderStatus:
    event, position = recorded.event, recorded.position
    assert isinstance(event, ParcelPacked | ParcelDispatched | ParcelTracked | ParcelDelivered)
    return replace(
        row,
        position=position,
        parcels=_parcels(row, event),
        estimates=_estimates(row, event, position),
    )


def _parcels(row: OrderStatus, event: ParcelEvent) -> dict[str, Parcel]:
    known = row.parcels.get(event.parcel_id) or Parcel(parcel_id=event.parcel_id)
    told = parcel.evolve(known, event)
    # Which scans there were and what other orders lie in it is the parcel's own affair.
    told = replace(told, scans=frozenset(), contents=(), order_ids=())
    return {**row.parcels, event.parcel_id: told}


def _estimates(row: OrderStatus, event: ParcelEvent, position: int) -> tuple[Estimate, ...]:
    """Kept once each: order and parcel tell the same dispatch, carriers repeat themselves."""
    if not isinstance(event, ParcelDispatched | ParcelTracked) or event.estimated_at is None:
        return row.estimates
    estimate = Estimate(event.parcel_id, event.estimated_at, event.at, position)
    same = (estimate.parcel_id, estimate.estimated_at)
    if any((known.parcel_id, known.estimated_at) == same for known in row.estimates):
        return row.estimates
    return (*row.estimates, estimate)
