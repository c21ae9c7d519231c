"""Payment providers: what we ask of one, and what its notices mean for the order they are about.

A notice is kept before anything is made of it. Notices come late, twice and in any order, so each
becomes the ordinary command of what it tells, is applied once, and waits while what it builds on
has not come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID, uuid5

from domain.frozen import replace
from domain.message import Event, Rejected, StreamName
from domain.money import shown_minor
from domain.order_state import Order
from domain.provider_commands import (
    ApplyNotice,
    AssignNotice,
    KeepConflict,
    Notice,
    NoticeCommand,
    RecordNotice,
    SetNoticeAside,
)
from domain.provider_facts import (
    NoticeApplied,
    NoticeAssigned,
    NoticeReceived,
    NoticeSetAside,
)

NAMESPACE = UUID("5d7be1f0-3c9c-5b8e-9a39-7d0d3d2f6f61")  # of ids that a provider's ids give
CONFLICTING = "conflicting_notice"
REFUND_KINDS = frozenset({"refunded", "refund_failed"})


# -- what is asked of a provider -----------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """What a provider is to do, once however often it is asked: `key` is the id in the ledger of
    the capture, refund or authorisation that it is about. Minor units.
    """

    kind: Literal["capture", "void", "refund"]
    key: str
    payment: str  # the provider's id of the charge
    amount_minor: int
    currency: str
    order_ref: str  # the order's id; told back in notices
    attempt: int = 1


@dataclass(frozen=True)
class NoticeFile:
    """What a file says. `unreadable`: numbers of lines that are no notice."""

    name: str
    notices: list[Notice]
    unreadable: list[int]


class PaymentProvider(Protocol):
    """A provider. All calls may be repeated; all raise OSError for what may work later, and then
    nobody knows whether it was done.
    """

    @property
    def name(self) -> str: ...

    def ask(self, ask: Ask) -> Notice | None:
        """What became of it, also when that is a refusal; None where the answer comes later.

        A key is done once. Asked again, the provider answers with what became of it; it tries
        again only what failed, and that only as a later attempt.
        """

    def collect(self) -> list[NoticeFile]:
        """Notices that came as files, which were not settled yet."""

    def settle(self, file: NoticeFile) -> None:
        """The ledger has all of them."""


# -- what a provider tells ---------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One notice, and what became of it."""

    notice: NoticeReceived | None = None
    status: Literal["received", "applied", "set_aside"] = "received"
    order_id: str | None = None  # that it was applied or assigned to


def notice_stream(provider: str, notice_id: str) -> StreamName:
    return StreamName("provider_notice", f"{provider}/{notice_id}")


def evolve(state: Told, event: Event) -> Told:
    match event:
        case NoticeReceived():
            return replace(state, notice=event)
        case NoticeApplied(order_id=order_id):
            return replace(state, status="applied", order_id=order_id)
        case NoticeSetAside():
            return replace(state, status="set_aside")
        case NoticeAssigned(order_id=order_id):
            return replace(state, status="received", order_id=order_id)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a provider's notice")


def decide(command: NoticeCommand, state: Told, order: Order | None) -> list[Event]:
    """All but ApplyNotice. `order`: that a notice is assigned to. Raises Rejected."""
    match command:
        case KeepConflict():
            return _keep_conflict(command, state)
        case RecordNotice():
            return _record(command, state)
        case SetNoticeAside():
            return set_aside(command, known(command, state), state, "order_not_found")
        case AssignNotice():
            return _assign(command, state, order)
        case ApplyNotice():
            raise AssertionError("it concerns an order: see `commands_of`")


def known(command: ApplyNotice | SetNoticeAside | AssignNotice, state: Told) -> NoticeReceived:
    """Raises Rejected `notice_not_found`."""
    if state.notice is None:
        raise Rejected("notice_not_found", notice_id=command.notice_id)
    return state.notice


def _record(command: RecordNotice, state: Told) -> list[Event]:
    """The first one counts. Raises Rejected where the same id tells something else."""
    fact = _told(command)
    if state.notice is None:
        return [fact]
    # A sealed payer is like no other: two bodies are told apart by the digest of the attempt.
    if state.notice.model_copy(update={"payer": None}) != fact.model_copy(update={"payer": None}):
        raise Rejected(
            "notice_differs",
            f"notice {command.notice_id} told {state.notice.kind} of "
            f"{shown_minor(state.notice.amount_minor, state.notice.currency)} "
            f"{state.notice.currency}",
            notice_id=command.notice_id,
        )
    return []


def _told(command: RecordNotice) -> NoticeReceived:
    fields = command.model_dump(exclude={"at", "occurred_at"})
    return NoticeReceived(**fields, person=payer_of(command), at=command.occurred_at)


def payer_of(command: RecordNotice) -> str:
    """Whose key seals the payer of a notice: somebody who is no customer yet."""
    return f"notice/{command.provider}/{command.notice_id}" if command.payer else ""


def _keep_conflict(command: KeepConflict, state: Told) -> list[Event]:
    if state.notice is not None:
        return []
    fact = _told(command)
    aside = NoticeSetAside(
        provider=command.provider, notice_id=command.notice_id, code=CONFLICTING, at=command.at
    )
    return [fact, aside]


def set_aside(
    command: ApplyNotice | SetNoticeAside, notice: NoticeReceived, state: Told, code: str
) -> list[Event]:
    if state.status != "received":
        return []
    return [
        NoticeSetAside(
            provider=notice.provider,
            notice_id=notice.notice_id,
            code=code,
            order_id=getattr(command, "order_id", state.order_id),
            at=command.at,
        )
    ]


def _assign(command: AssignNotice, state: Told, order: Order | None) -> list[Event]:
    notice = known(command, state)
    if order is None or not order.placed:
        raise Rejected("order_not_found", order_id=command.order_id)
    if state.status == "applied":
        if state.order_id == command.order_id:
            return []
        raise Rejected(
            "notice_applied",
            f"it was applied to order {state.order_id}: move the payment",
            order_id=state.order_id,
        )
    if state.status == "received" and state.order_id == command.order_id:
        return []
    return [
        NoticeAssigned(
            provider=notice.provider,
            notice_id=notice.notice_id,
            order_id=command.order_id,
            at=command.at,
        )
    ]


def applied(command: ApplyNotice, *, superseded: bool) -> NoticeApplied:
    return NoticeApplied(
        provider=command.provider,
        notice_id=command.notice_id,
        order_id=command.order_id,
        outcome="superseded" if superseded else "recorded",
        at=command.at,
    )


def their_id(provider: str, *parts: str) -> str:
    """The ledger's id of what a provider has its own id for: the same for ever."""
    return str(uuid5(NAMESPACE, "/".join([provider, *parts])))
