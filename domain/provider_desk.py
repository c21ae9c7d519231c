"""Provider notices over all the streams they touch: their order, the payout of a refund."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from domain import payout, provider, provider_meaning
from domain.message import Command, Event, Rejected, StreamName
from domain.order_state import Order
from domain.payment_commands import OpenChargeback, RecordPayment
from domain.payout import payout_stream, refund_id_of
from domain.provider import REFUND_KINDS, Told, notice_stream
from domain.provider_commands import ApplyNotice, AskPayout, AssignNotice, NoticeCommand
from domain.provider_facts import NoticeReceived
from domain.refund_commands import PayRefund

ProviderCommand = NoticeCommand | AskPayout
W = TypeVar("W", bound="Write")
Loaded = Mapping[StreamName, Any]


class Write(Protocol):
    """Of the desk: states so far, and where facts go."""

    states: dict[StreamName, Any]
    events: dict[StreamName, list[Event]]

    def add(self, stream: StreamName, events: Iterable[Event]) -> None: ...

    def trial(self: W) -> W: ...

    def take(self: W, trial: W) -> None: ...


def _order_stream(order_id: str) -> StreamName:
    return StreamName("order", order_id)


def own_stream(command: ProviderCommand) -> StreamName:
    """The stream that a command is about."""
    if isinstance(command, AskPayout):
        return payout_stream(command.refund_id)
    return notice_stream(command.provider, command.notice_id)


def streams(
    command: ProviderCommand, loaded: Loaded, of: Callable[[Command, Loaded], frozenset[StreamName]]
) -> frozenset[StreamName]:
    """`of`: what an ordinary command needs. All that a notice may come to is asked for."""
    own = own_stream(command)
    if not isinstance(command, ApplyNotice):
        order_id = getattr(command, "order_id", None)
        return frozenset({own, *([_order_stream(order_id)] if order_id else [])})
    told: Told = loaded.get(own) or Told()
    names = {own, _order_stream(command.order_id)}
    if told.notice is None:
        return frozenset(names)
    return frozenset(names) | of(_like(command, told.notice), loaded)


def _like(command: ApplyNotice, notice: NoticeReceived) -> Command:
    """An ordinary command that needs what this notice's may need."""
    ids = {"order_id": command.order_id, "at": command.at}
    if notice.kind in REFUND_KINDS:
        name = refund_id_of(notice.key or notice.notice_id)
        return PayRefund.model_validate(ids | {"refund_id": name, "reference": notice.payment})
    money = {"method": notice.method, "amount_minor": notice.amount_minor}
    said = {"payment_id": notice.payment, "reference": notice.payment, **money}
    if notice.kind == "chargeback_opened":
        named: dict[str, Any] = ids | said
        return OpenChargeback.model_construct(**named)  # Only the streams of its order are asked.
    return RecordPayment.model_validate(ids | said)


def decide(command: ProviderCommand, write: Write, run: Callable[[Command, Any], None]) -> None:
    """`run`: adds what an ordinary command makes true. Raises Rejected."""
    own = own_stream(command)
    match command:
        case AskPayout():
            order = _placed(command.order_id, write)
            write.add(own, payout.ask(command, write.states[own], order))
        case ApplyNotice():
            _apply(command, write, run)
        case AssignNotice():
            order = write.states[_order_stream(command.order_id)]
            write.add(own, provider.decide(command, write.states[own], order))
        case _:
            write.add(own, provider.decide(command, write.states[own], None))


def _placed(order_id: str, write: Write) -> Order:
    order: Order = write.states[_order_stream(order_id)]
    if not order.placed:
        raise Rejected("order_not_found", order_id=order_id)
    return order


def _apply(command: ApplyNotice, write: Write, run: Callable[[Command, Any], None]) -> None:
    """What cannot be applied is set aside, unless what it builds on may still come."""
    own = own_stream(command)
    told: Told = write.states[own]
    notice = provider.known(command, told)
    if told.status != "received":
        return
    order = _placed(command.order_id, write)
    before = sum(map(len, write.events.values()))
    try:
        commands = _commands(command, notice, order, write)
        trial = write.trial()
        for one in commands:
            run(one, trial)
    except Rejected as refusal:
        if refusal.code.endswith("_not_found") and not command.final:
            raise
        write.add(own, provider.set_aside(command, notice, told, refusal.code))
        return
    write.take(trial)
    changed = sum(map(len, write.events.values())) > before
    write.add(own, [provider.applied(command, superseded=not changed)])


def _commands(
    command: ApplyNotice, notice: NoticeReceived, order: Order, write: Write
) -> list[Command]:
    """For a refund the payout is told first: whatever the order says, so much has gone."""
    if notice.kind not in REFUND_KINDS:
        return provider_meaning.commands_of(command, notice, order)
    stream = payout_stream(refund_id_of(notice.key or notice.notice_id))
    answered = payout.answered(notice, write.states[stream], order)
    write.add(stream, answered)
    return (
        provider_meaning.commands_of_refund(notice, write.states[stream], order) if answered else []
    )


def answer(
    command: ProviderCommand, states: Loaded, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """What the client is told, as JSON data."""
    own = own_stream(command)
    told: dict[str, Any] = {"provider": command.provider, "version": versions[own]}
    if isinstance(command, AskPayout):
        return {**told, "refund_id": command.refund_id}
    return {**told, "notice_id": command.notice_id, "status": states[own].status}
