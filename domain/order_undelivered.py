"""What left and never reached the customer: asked back from the carrier, taken back without a
window.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from domain.command_types import LineQuantityBody
from domain.message import Event, Rejected
from domain.order_line import ZERO
from domain.order_lines import known_line, known_parcel
from domain.order_payment import not_void
from domain.order_state import COMING_BACK, Order, OrderParcel
from domain.payment_terms import CASH_ON_DELIVERY
from domain.refund_commands import RequestIntercept
from domain.return_facts import InterceptRequested
from domain.values import quantity_json


def request_intercept(command: RequestIntercept, state: Order) -> list[Event]:
    """Raises Rejected for a parcel that has not left, has arrived, or is back already."""
    not_void(state)
    parcel = known_parcel(command.parcel_id, state)
    if parcel.intercept_requested:
        return []
    if not parcel.on_its_way:
        raise _not_on_its_way(command.parcel_id, parcel)
    return [
        InterceptRequested(
            person=state.person,
            parcel_id=command.parcel_id,
            reason_code=command.reason_code,
            text=command.text,
            at=command.at,
        )
    ]


def _not_on_its_way(parcel_id: str, parcel: OrderParcel) -> Rejected:
    if not parcel.dispatched:
        what = "the parcel has not left: it is stopped in the warehouse"
    elif parcel.delivered:
        what = "the parcel was delivered: a return is the way"
    else:
        what = "the parcel is back: a return takes its units back"
    return Rejected("not_on_its_way", what, parcel_id=parcel_id)


def require_coming_back(parcel_id: str, asked: Iterable[LineQuantityBody], state: Order) -> None:
    """Raises Rejected unless the parcel comes back undelivered with these units in it. What was
    refused at the door comes back, whatever the carrier tells.
    """
    parcel = known_parcel(parcel_id, state)
    if parcel_id not in state.money.refused:
        _require_paid_before(parcel_id, state)
        _require_returning(parcel_id, parcel)
    for item in asked:
        known_line(state, item.line_no)
        left = _left_in(parcel_id, item.line_no, state)
        if item.quantity > left:
            raise _exceeds_parcel(parcel_id, item, left)


def _require_returning(parcel_id: str, parcel: OrderParcel) -> None:
    if parcel.delivered or parcel.milestone not in COMING_BACK:
        where = "was delivered" if parcel.delivered else f"is {parcel.milestone or 'on its way'}"
        raise Rejected(
            "parcel_not_coming_back",
            f"the parcel {where}; it would have to be {' or '.join(sorted(COMING_BACK))}",
            parcel_id=parcel_id,
            allowed=sorted(COMING_BACK),
        )


def _require_paid_before(parcel_id: str, state: Order) -> None:
    """A refund of what nobody paid for would take the money of other goods."""
    if state.payment_method == CASH_ON_DELIVERY:
        raise Rejected(
            "cash_on_delivery",
            "nothing was paid for what comes back: record first that its delivery was refused",
            parcel_id=parcel_id,
        )


def _left_in(parcel_id: str, line_no: int, state: Order) -> Decimal:
    """Units of the parcel that no return has taken back or waits for."""
    packed = (i.quantity for i in state.parcels[parcel_id].lines if i.line_no == line_no)
    of_parcel = (one for one in state.returns.values() if one.parcel_id == parcel_id)
    return sum(packed, ZERO) - sum((one.taken(line_no) for one in of_parcel), ZERO)


def _exceeds_parcel(parcel_id: str, item: LineQuantityBody, left: Decimal) -> Rejected:
    return Rejected(
        "return_exceeds_parcel",
        f"line {item.line_no}: {quantity_json(item.quantity)} asked, {quantity_json(left)} came "
        "back with the parcel and were not taken back",
        parcel_id=parcel_id,
        line_no=item.line_no,
        asked=quantity_json(item.quantity),
        returnable=quantity_json(left),
    )
