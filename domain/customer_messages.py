"""Messages to customers: which facts call for one, and that it waits to be sent.

What is queued names no text: rendering and sending are the messenger's, from the facts as they are
then.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.alert_facts import PaymentReminded
from domain.command_types import Id
from domain.message import Command, Event
from domain.order_facts import (
    RefundApproved,
    RefundDenied,
    RefundEvidenceAdded,
    RefundEvidenceAsked,
    RefundFailed,
    RefundPaid,
    RefundRequested,
    RefundRetried,
)
from domain.order_state import Order
from domain.payment_facts import PaymentOverdue
from domain.policy import PolicyVersion

KINDS: dict[type[Event], str] = {  # as policy_templates.py names them
    RefundRequested: "refund_requested",
    RefundEvidenceAsked: "refund_evidence_asked",
    RefundEvidenceAdded: "refund_evidence_received",
    RefundApproved: "refund_approved",
    RefundDenied: "refund_denied",
    RefundPaid: "refund_paid",
    RefundFailed: "refund_failed",
    RefundRetried: "refund_retried",
    PaymentReminded: "payment_due",
    PaymentOverdue: "overdue",
}
TOPICS = frozenset(kind.TOPIC for kind in KINDS)


class MessageQueued(Event, topic="message.queued.v1"):
    """The customer is to be told of one fact. It names nobody: whom to reach stands elsewhere."""

    message_id: str
    kind: str
    shop: str
    order_id: str
    customer_id: str
    about: str | None = None  # the id of a refund
    language: str
    ways: list[str]  # mail, sms, webhook: the first that works is taken
    position: int  # of the fact


class QueueMessage(Command):
    """Its id follows from the fact, so that one fact is one message for ever."""

    message_id: Id
    order_id: Id
    kind: Id
    about: Id | None = None
    position: int


@dataclass(frozen=True, slots=True)
class Message:
    queued: bool = False


def evolve(_state: Message, event: Event) -> Message:
    match event:
        case MessageQueued():
            return Message(queued=True)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a message")


def decide(
    command: QueueMessage, state: Message, order: Order, policy: PolicyVersion
) -> list[Event]:
    """`policy`: of the order's placement, which says how its customer is told."""
    if state.queued:
        return []
    return [
        MessageQueued(
            message_id=command.message_id,
            kind=command.kind,
            shop=order.shop,
            order_id=order.order_id,
            customer_id=order.customer_id,
            about=command.about,
            language=policy.rules.shop.language,
            ways=list(policy.rules.messages.ways),
            position=command.position,
            at=command.at,
        )
    ]
