"""Payment providers: what we ask of one, and what its notices mean for the order they are about.

A notice is kept before anything is made of it. Notices come late, twice and in any order, so each
becomes the ordinary command of what it tells, is applied once, and waits while what it builds on
has not come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID, uuid5

from domain.frozen import replace
from domain.message import Command, Event, Rejected, StreamName
from domain.order_commands import PayRefund, RecordPayment
from domain.order_payment_undone import ACCOUNT_METHODS
from domain.order_refund_state import Refund
from domain.order_state import Order
from domain.payment_commands import (
    AuthorisePayment,
    CapturePayment,
    LoseChargeback,
    OpenChargeback,
    RecordPaymentFailure,
    VoidAuthorisation,
    WinChargeback,
)
from domain.payout import Payout, refund_id_of
from domain.provider_commands import (
    ApplyNotice,
    AssignNotice,
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
from domain.refund_commands import FailRefund, RetryRefund

NAMESPACE = UUID("5d7be1f0-3c9c-5b8e-9a39-7d0d3d2f6f61")  # of ids that a provider's ids give
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
    fields = command.model_dump(exclude={"at", "occurred_at"})
    fact = NoticeReceived(**fields, at=command.occurred_at)
    if state.notice is None:
        return [fact]
    if state.notice != fact:
        raise Rejected(
            "notice_differs",
            f"notice {command.notice_id} told {state.notice.kind} of {state.notice.amount_minor}",
            notice_id=command.notice_id,
        )
    return []


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


# -- what a notice means for its order -------------------------------------------------------------


def their_id(provider: str, *parts: str) -> str:
    """The ledger's id of what a provider has its own id for: the same for ever."""
    return str(uuid5(NAMESPACE, "/".join([provider, *parts])))


def commands_of(command: ApplyNotice, notice: NoticeReceived, state: Order) -> list[Command]:
    """What a notice about payments asks for; [] where the order knows better already.

    Raises Rejected.
    """
    if notice.currency != state.currency:
        raise Rejected(
            "currency_differs",
            f"{notice.currency} came for an order in {state.currency}",
            currency=notice.currency,
            order_currency=state.currency,
        )
    return _READERS[notice.kind](command, notice, state)


def _charge_id(notice: NoticeReceived) -> str:
    return their_id(notice.provider, notice.payment)


def _authorised(command: ApplyNotice, notice: NoticeReceived, _state: Order) -> list[Command]:
    return [
        AuthorisePayment(
            order_id=command.order_id,
            payment_id=_charge_id(notice),
            method=notice.method,
            amount_minor=notice.amount_minor,
            reference=notice.payment,
            expires_at=notice.expires_at,
            at=notice.at,
        )
    ]


def _captured(command: ApplyNotice, notice: NoticeReceived, state: Order) -> list[Command]:
    """Of an authorisation as long as it holds so much. What came in is recorded in any case: as a
    payment of its own where the authorisation is closed, or has not come in time.
    """
    payment_id = _capture_id(notice, state)
    authorisation_id = _charge_id(notice)
    held = state.money.authorisations.get(authorisation_id)
    if notice.capture is not None and held is None and not command.final:
        raise Rejected("authorisation_not_found", payment_id=authorisation_id)
    lasts = held is not None and (held.expires_at is None or notice.at <= held.expires_at)
    repeated = payment_id in state.payments
    if held is not None and (repeated or (lasts and notice.amount_minor <= held.open_minor)):
        if repeated and state.payments[payment_id].amount_minor == notice.amount_minor:
            return []
        return [
            CapturePayment(
                order_id=command.order_id,
                authorisation_id=authorisation_id,
                payment_id=payment_id,
                amount_minor=notice.amount_minor,
                reference=notice.payment,
                occurred_at=notice.at,
                at=command.at,
            )
        ]
    return [
        RecordPayment(
            order_id=command.order_id,
            payment_id=payment_id,
            method=notice.method,
            amount_minor=notice.amount_minor,
            reference=notice.payment,
            occurred_at=notice.at,
            at=command.at,
        )
    ]


def _capture_id(notice: NoticeReceived, state: Order) -> str:
    """Our own id where we asked for the capture."""
    if _asked_for(notice, state):
        return notice.key or ""
    if notice.capture is None:
        return _charge_id(notice)
    return their_id(notice.provider, notice.payment, notice.capture)


def _left_to_others(payout: Payout, refund: Refund, order: Order) -> bool:
    """Whether a part goes back by means that are neither this provider's nor the account's."""
    ours = {part.payment_id for part in payout.parts.values()}
    others = refund.payments.keys() - ours
    return any(order.payments[one].method not in ACCOUNT_METHODS for one in others)


def _asked_for(notice: NoticeReceived, state: Order) -> bool:
    known = (state.money.captures, state.payments, state.money.failures)
    return notice.key is not None and any(notice.key in ids for ids in known)


def _voided(command: ApplyNotice, notice: NoticeReceived, _state: Order) -> list[Command]:
    return [
        VoidAuthorisation(
            order_id=command.order_id,
            payment_id=_charge_id(notice),
            reason=f"voided at {notice.provider}",
            at=notice.at,
        )
    ]


def _failed(command: ApplyNotice, notice: NoticeReceived, state: Order) -> list[Command]:
    payment_id = _capture_id(notice, state)
    if payment_id in state.payments or payment_id in state.money.authorisations:
        return []
    return [
        RecordPaymentFailure(
            order_id=command.order_id,
            payment_id=payment_id,
            method=notice.method,
            amount_minor=notice.amount_minor,
            reference=notice.payment,
            code=notice.code or "failed",
            authorisation_id=_charge_id(notice) if _asked_for(notice, state) else None,
            occurred_at=notice.at,
            at=command.at,
        )
    ]


def _dispute_id(notice: NoticeReceived) -> str:
    return their_id(notice.provider, "dispute", notice.dispute or "")


def _disputed(command: ApplyNotice, notice: NoticeReceived, state: Order) -> list[Command]:
    return [
        OpenChargeback(
            order_id=command.order_id,
            payment_id=_disputed_payment(notice, state),
            chargeback_id=_dispute_id(notice),
            amount_minor=notice.amount_minor,
            reference=notice.dispute or "",
            code=notice.code or "other",
            respond_by=notice.respond_by,
            occurred_at=notice.at,
            at=command.at,
        )
    ]


def _disputed_payment(notice: NoticeReceived, state: Order) -> str:
    """Providers name the charge; of several captures it is the first that the sum fits in."""
    charge = _charge_id(notice)
    found = [
        payment_id
        for payment_id, payment in state.payments.items()
        if charge in {payment_id, payment.authorisation_id}
    ]
    fits = [one for one in found if state.payments[one].here_minor >= notice.amount_minor]
    if not found:
        raise Rejected("payment_not_found", payment_id=charge)
    return (fits or found)[0]


def _won(command: ApplyNotice, notice: NoticeReceived, _state: Order) -> list[Command]:
    name = _dispute_id(notice)
    return [WinChargeback(order_id=command.order_id, chargeback_id=name, at=notice.at)]


def _lost(command: ApplyNotice, notice: NoticeReceived, _state: Order) -> list[Command]:
    name = _dispute_id(notice)
    return [LoseChargeback(order_id=command.order_id, chargeback_id=name, at=notice.at)]


_READERS: dict[str, Callable[[ApplyNotice, NoticeReceived, Order], list[Command]]] = {
    "authorised": _authorised,
    "captured": _captured,
    "voided": _voided,
    "failed": _failed,
    "chargeback_opened": _disputed,
    "chargeback_won": _won,
    "chargeback_lost": _lost,
}


def commands_of_refund(notice: NoticeReceived, payout: Payout, order: Order) -> list[Command]:
    """What the payout's state, with this answer in it, means for the refund: paid when all is,
    failed when nothing was and nothing is under way. Raises Rejected where only parts of it were.
    """
    refund_id = refund_id_of(notice.key or "")
    refund = order.refunds[refund_id]
    ids: dict[str, Any] = {"order_id": order.order_id, "refund_id": refund_id, "at": notice.at}
    states = {part.status for part in payout.parts.values()}
    if "asked" in states:
        return []
    if states == {"failed"}:
        fail = FailRefund(**ids, code=notice.code or "failed")
        return [fail] if refund.status != "failed" else []
    if "failed" in states:
        raise Rejected("refund_part_failed", "another part of it was paid: pay the rest by hand")
    if _left_to_others(payout, refund, order):
        return []  # A person says when that is paid as well.
    again = [RetryRefund(**ids)] if refund.status == "failed" else []  # It did work in the end.
    return [*again, PayRefund(**ids, reference=notice.payment)]
