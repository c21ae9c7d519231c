"""The payout of one refund by a provider: what was asked for under which key, and what came of it.

While a part is asked for nobody can know whether the money has gone. So until the provider has
answered, the refund is neither denied nor failed nor paid by hand: that would pay it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from domain.frozen import replace
from domain.message import Command, Event, Rejected, StreamName
from domain.money import shown_minor
from domain.order_money import shown
from domain.order_refund_state import Refund
from domain.order_state import Order
from domain.provider_commands import AskPayout
from domain.provider_facts import NoticeReceived, PayoutAnswered, PayoutAsked, PayoutPart
from domain.refund_commands import PayRefund
from domain.refund_settlement import require_covered


@dataclass(frozen=True)
class Part:
    payment_id: str
    amount_minor: int
    status: Literal["asked", "paid", "failed"] = "asked"
    attempt: int = 1  # another one follows only after a failure
    told_at: datetime | None = None  # by the provider's clock: an older answer changes nothing


@dataclass(frozen=True)
class Payout:
    parts: Mapping[str, Part] = field(default_factory=dict)  # by key

    @property
    def under_way(self) -> bool:
        return any(part.status == "asked" for part in self.parts.values())

    @property
    def paid_minor(self) -> int:
        return sum(part.amount_minor for part in self.parts.values() if part.status == "paid")


def payout_stream(refund_id: str) -> StreamName:
    return StreamName("payout", refund_id)


def key_of(refund_id: str, payment_id: str, payments: Iterable[str]) -> str:
    """The refund's id, and the payment's where several are given back: never an amount, as two
    refunds may well be equal (R18). A payout that failed is asked for again under the same key, as
    its next attempt, so that a provider that did pay cannot pay again.
    """
    return f"{refund_id}/{payment_id}" if len({*payments}) > 1 else refund_id


def refund_id_of(key: str) -> str:
    return key.partition("/")[0]


def evolve(state: Payout, event: Event) -> Payout:
    match event:
        case PayoutAsked(parts=parts):
            known = {part.key: _asked(state.parts.get(part.key), part) for part in parts}
            return Payout({**state.parts, **known})
        case PayoutAnswered(key=key, outcome=outcome):
            part = state.parts.get(key) or Part(payment_id="", amount_minor=event.amount_minor)
            told = replace(part, status=outcome, told_at=event.at)
            return Payout({**state.parts, key: told})
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a payout")


def _asked(known: Part | None, part: PayoutPart) -> Part:
    if known is None:
        return Part(part.payment_id, part.amount_minor)
    return replace(known, status="asked", attempt=known.attempt + 1)


def ask(command: AskPayout, state: Payout, order: Order) -> list[Event]:
    """What of the parts is neither asked for nor paid. Raises Rejected unless the refund is to be
    paid, by these amounts.
    """
    refund = _known(command.refund_id, order)
    if refund.status != "approved":
        raise Rejected(
            f"refund_is_{refund.status}",
            f"only an approved refund is paid out, {command.refund_id} is {refund.status}",
            refund_id=command.refund_id,
        )
    require_covered(refund, command.refund_id, order)
    for part in command.parts:
        owed = refund.payments.get(part.payment_id, 0)
        if part.amount_minor != owed:
            raise Rejected(
                "payout_differs",
                f"{shown(part.amount_minor, order)} asked, the refund gives "
                f"{shown(owed, order)} back to {part.payment_id}",
                payment_id=part.payment_id,
                asked_minor=part.amount_minor,
                refund_minor=owed,
            )
    new = [PayoutPart(**part.model_dump()) for part in command.parts if _to_ask(part.key, state)]
    if not new:
        return []
    return [
        PayoutAsked(
            order_id=command.order_id,
            refund_id=command.refund_id,
            provider=command.provider,
            parts=new,
            at=command.at,
        )
    ]


def _to_ask(key: str, state: Payout) -> bool:
    """A part that failed beside one that was paid is a person's to settle: the refund as a whole
    neither failed nor was retried.
    """
    known = state.parts.get(key)
    return known is None or (known.status == "failed" and not state.paid_minor)


def _known(refund_id: str, order: Order) -> Refund:
    refund = order.refunds.get(refund_id)
    if refund is None:
        raise Rejected("refund_not_found", refund_id=refund_id)
    return refund


def answered(notice: NoticeReceived, state: Payout, order: Order) -> list[Event]:
    """[] for an answer that a later one has overtaken. Raises Rejected for what was not asked."""
    key = notice.key or ""
    part = state.parts.get(key)
    if part is None:
        raise Rejected("refund_not_asked", f"no refund was asked for under {key or 'no key'}")
    if part.amount_minor != notice.amount_minor or order.currency != notice.currency:
        raise Rejected(
            "refund_differs",
            f"{shown(part.amount_minor, order)} {order.currency} asked, "
            f"{shown_minor(notice.amount_minor, notice.currency)} {notice.currency} told",
            asked_minor=part.amount_minor,
            told_minor=notice.amount_minor,
        )
    if part.told_at is not None and notice.at <= part.told_at:
        return []
    return [
        PayoutAnswered(
            order_id=order.order_id,
            refund_id=refund_id_of(key),
            provider=notice.provider,
            key=key,
            amount_minor=part.amount_minor,
            outcome="paid" if notice.kind == "refunded" else "failed",
            reference=notice.payment,
            code=notice.code,
            at=notice.at,
        )
    ]


def require_settled(command: Command, state: Payout) -> None:
    """Of a refund that a person pays, fails or denies. Raises Rejected `refund_under_way`."""
    paid_in_part = state.paid_minor and not isinstance(command, PayRefund)
    if state.under_way or paid_in_part:
        raise Rejected(
            "refund_under_way",
            "a provider was asked to pay it: its answer settles the refund",
            paid_minor=state.paid_minor,
        )
