"""What a provider's notice means for the order it is about: the ordinary commands it comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.message import Command, Rejected
from domain.order_money import ACCOUNT_METHODS
from domain.order_refund_state import Refund
from domain.order_same_payment import OWN_REFERENCES, held_as, typed_as
from domain.order_state import Order
from domain.payment_commands import (
    AuthorisePayment,
    CapturePayment,
    LoseChargeback,
    OpenChargeback,
    RecordPayment,
    RecordPaymentFailure,
    VoidAuthorisation,
    WinChargeback,
)
from domain.payout import Payout, refund_id_of
from domain.provider import their_id
from domain.provider_commands import (
    ApplyNotice,
)
from domain.provider_facts import (
    NoticeReceived,
)
from domain.refund_commands import FailRefund, PayRefund, RetryRefund


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


def _held_id(notice: NoticeReceived, state: Order) -> str:
    """The id that the charge is held by, which a person may have recorded before it was told."""
    known = state.money.authorisations
    own = _charge_id(notice)
    return own if own in known else held_as(notice.method, notice.payment, state) or own


def _authorised(command: ApplyNotice, notice: NoticeReceived, _state: Order) -> list[Command]:
    held = AuthorisePayment(
        order_id=command.order_id,
        payment_id=_charge_id(notice),
        method=notice.method,
        amount_minor=notice.amount_minor,
        reference=notice.payment,
        at=notice.at,
    )
    # As the provider has it: what had expired when it told us is a fact like any other.
    return [held.model_copy(update={"expires_at": notice.expires_at})]


def _captured(command: ApplyNotice, notice: NoticeReceived, state: Order) -> list[Command]:
    """Of an authorisation as long as it holds so much. What came in is recorded in any case: as a
    payment of its own where the authorisation is closed, or has not come in time.
    """
    payment_id = _capture_id(notice, state)
    if payment_id in state.money.authorisations:  # The hold has the charge's id already.
        payment_id = their_id(notice.provider, notice.payment, notice.payment)
    if _is_typed(payment_id, notice, state):
        return []
    authorisation_id = _held_id(notice, state)
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
                told=True,
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
            told=True,
            at=command.at,
        )
    ]


def _is_typed(payment_id: str, notice: NoticeReceived, state: Order) -> bool:
    """Whether a person has recorded the whole charge before. Captures of one share its reference,
    so they are known by their own ids only. Raises Rejected `payment_reference_used`.
    """
    if notice.capture is not None or notice.key is not None or payment_id in state.payments:
        return False
    return typed_as(notice.method, notice.payment, notice.amount_minor, state) is not None


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


def _voided(command: ApplyNotice, notice: NoticeReceived, state: Order) -> list[Command]:
    return [
        VoidAuthorisation(
            order_id=command.order_id,
            payment_id=_held_id(notice, state),
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
            authorisation_id=_held_id(notice, state) if _asked_for(notice, state) else None,
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
    charge, held = _charge_id(notice), _held_id(notice, state)
    found = [
        payment_id
        for payment_id, payment in state.payments.items()
        if payment_id == charge or payment.authorisation_id == held
    ]
    if not found:
        found = _typed(notice, state)
    fits = [one for one in found if state.payments[one].here_minor >= notice.amount_minor]
    if not found:
        raise Rejected("payment_not_found", payment_id=charge)
    return (fits or found)[0]


def _typed(notice: NoticeReceived, state: Order) -> list[str]:
    """Payments that a person has recorded of the charge."""
    return [
        payment_id
        for payment_id, payment in state.payments.items()
        if not payment.voided
        and notice.method in OWN_REFERENCES
        and (payment.method, payment.reference) == (notice.method, notice.payment)
    ]


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
    return [*again, PayRefund(**ids, reference=notice.payment, told=True)]
