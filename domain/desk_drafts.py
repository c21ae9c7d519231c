"""Drafts and quotes at the desk, until they become an order."""

from __future__ import annotations

import dataclasses
from typing import Any

from domain import draft
from domain.desk_names import States, draft_stream, order_stream
from domain.desk_orders import free_number, sell, streams_of_placing
from domain.desk_write import Write
from domain.draft_commands import AcceptQuote, ConfirmDraft, DraftChange, OrderDraft, StartDraft
from domain.draft_state import Draft
from domain.message import Rejected, StreamName
from domain.order_state import Order


def streams_of_ordering(command: OrderDraft, loaded: States) -> frozenset[StreamName]:
    """The draft, the order with its id, and what placing it needs, unless it is refused before."""
    names = frozenset({draft_stream(command.draft_id), order_stream(command.draft_id)})
    state: Draft = loaded.get(draft_stream(command.draft_id)) or Draft()
    try:
        placing = draft.placement(command, state)
    except Rejected:
        return names
    return names if placing is None else names | streams_of_placing(placing)


def change_draft(command: StartDraft | DraftChange | OrderDraft, write: Write) -> None:
    stream = draft_stream(command.draft_id)
    match command:
        case StartDraft():
            _start_draft(command, write)
        case ConfirmDraft() | AcceptQuote():
            _order_draft(command, write)
        case _:
            write.add(stream, draft.decide(command, write.states[stream]))


def _start_draft(command: StartDraft, write: Write) -> None:
    stream = draft_stream(command.draft_id)
    if write.states[stream].status:
        return
    number = free_number(command.numbers, command.draft_id, write)
    write.add(stream, draft.start(command, number))


def _order_draft(command: OrderDraft, write: Write) -> None:
    """The order and the end of its draft in one write, by the rules of any placement."""
    stream = draft_stream(command.draft_id)
    state: Draft = write.states[stream]
    placing = draft.placement(command, state)
    if placing is None:
        return
    sell(placing, write, state.region or "")
    placed: Order = write.states[order_stream(command.draft_id)]
    write.add(stream, draft.ordered(command, state, placed.total_minor))


def draft_answer(state: Draft, version: int) -> dict[str, Any]:
    """`total_minor` is None as long as it cannot be priced; `offer_no` is of the last quote."""
    found, offer = state.checked, state.offer
    return {
        "draft_id": state.draft_id,
        "number": state.number,
        "version": version,
        "status": state.status,
        "total_minor": state.total_minor,
        "missing": [*found.missing],
        "refused": [dataclasses.asdict(fault) for fault in found.refused],
        "offer_no": offer and offer.offer_no,
        "expires_at": offer and offer.expires_at.isoformat(),
    }
