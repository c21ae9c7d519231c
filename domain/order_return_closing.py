"""The end of a return: closed when nothing more is to come or to be done, and opened again."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.message import Event, Rejected
from domain.order_lowering import left_minor
from domain.order_refund import known_return
from domain.order_return_state import Return, refunded_units, unrefunded_units
from domain.order_state import Order
from domain.refund_commands import CloseReturn
from domain.return_facts import ReturnClosed, ReturnReopened
from domain.values import quantity_json


def require_status(back: Return, return_id: str, *allowed: str) -> None:
    if back.status not in allowed:
        raise Rejected(
            f"return_is_{back.status}",
            f"return {return_id} is {back.status}; it would have to be {' or '.join(allowed)}",
            return_id=return_id,
            allowed=list(allowed),
        )


def closed_when_done(return_id: str | None, state: Order, at: datetime) -> list[Event]:
    """Closed by itself when all of it came and was paid back, as far as it is to be."""
    back = state.returns.get(return_id or "")
    if return_id is None or back is None or back.status != "received" or not back.came_whole:
        return []
    refunds = [one for one in state.refunds.values() if one.return_id == return_id]
    if any(one.counts and not one.paid for one in refunds):
        return []
    if any(_is_left(no, units, return_id, state) for no, units in back.received.items()):
        return []
    return [ReturnClosed(person=state.person, return_id=return_id, by="policy", at=at)]


def reopened(return_id: str | None, refund_id: str, state: Order, at: datetime) -> list[Event]:
    """What the policy had closed since all was paid back waits again, once money of it comes back:
    the refund is tried again, or denied and asked for anew.
    """
    back = state.returns.get(return_id or "")
    if return_id is None or back is None or back.status != "closed" or back.closed_by != "policy":
        return []
    return [ReturnReopened(return_id=return_id, refund_id=refund_id, at=at)]


def _require_whole(back: Return, return_id: str) -> None:
    """What has not come in an exchange was given back all the same, into the new order: who gives
    it up says why.
    """
    missing = {no: units for no in back.lines if (units := back.awaited(no)) > 0}
    if missing:
        raise Rejected(
            "exchanged_goods_missing",
            f"order {back.exchange_order_id} was paid with goods that have not come: receive them, "
            "or give them up with a reason",
            return_id=return_id,
            exchange_order_id=back.exchange_order_id,
            missing={str(no): quantity_json(units) for no, units in missing.items()},
        )


def _is_left(line_no: int, came: Decimal, return_id: str, state: Order) -> bool:
    """Whether something may still go back for units that came, of a line that is known."""
    if came <= refunded_units(state, return_id, line_no):
        return False
    line = state.lines.get(line_no)
    if line is None:
        return True
    return left_minor(line, unrefunded_units(state, return_id, line_no), sent_first=True) > 0


def close(command: CloseReturn, state: Order) -> list[Event]:
    """What has not come by then is not waited for any more."""
    back = known_return(command.return_id, state)
    if back.status == "closed":
        return []
    require_status(back, command.return_id, "approved", "received")
    if back.exchange_order_id is not None and command.reason is None:
        _require_whole(back, command.return_id)
    return [
        ReturnClosed(
            person=state.person,
            return_id=command.return_id,
            by="operator",
            reason=command.reason,
            at=command.at,
        )
    ]
