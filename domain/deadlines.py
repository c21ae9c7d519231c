"""What becomes due when, by the clock alone: of an order, and of a customer's account.

`due` looks at states and policy only, so the read model, the worker and the tests agree; what is
then done is an ordinary command, which decides again on the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from domain import deadline_papers, order_alerts, order_completion, order_reminding
from domain.account import Account
from domain.account_commands import ExpireGifts
from domain.completion_commands import CompleteOrder
from domain.deadline_papers import Sellers
from domain.message import Command, StreamName
from domain.order_lateness import needs_person, owes, spared
from domain.order_state import Order
from domain.payment_commands import (
    CancelOverdue,
    ChargeLateFee,
    DeclareOverdue,
    ExpireAuthorisation,
    RaiseAlert,
    RefundOverpayment,
    RemindPayment,
)
from domain.payment_terms import due_of, next_late_day
from domain.policy import PolicyVersion
from domain.working_calendar import end_of_day

ACTOR = "deadlines"
# A term that includes its last instant is over at the next one; the ledger keeps microseconds.
TICK = timedelta(microseconds=1)
_NOBODY: Sellers = MappingProxyType({})


Kind = Literal[
    "payment_reminder",
    "payment_overdue",
    "cancel_overdue",
    "late_fee",
    "authorisation_expiry",
    "overpayment",
    "gift_expiry",
    "refund_undecided",
    "refund_overdue",
    "completion",
    "credit_note",
    "red_letter",
    "invoice",
]


@dataclass(frozen=True, slots=True)
class Deadline:
    """One thing to do. `due_at`: the first instant at which it can be done; `of`: which of its
    kind, such as a refund or a step.
    """

    due_at: datetime
    kind: str
    of: str = ""


def due(state: Order, policy: PolicyVersion, sellers: Sellers = _NOBODY) -> list[Deadline]:
    """All that the clock will bring about if nothing else happens to the order, the first first.

    `policy`: of the order's placement. Steps that it wants confirmed are a person's. `sellers`:
    who issues papers, by shop; where nobody does, none are due.
    """
    if not state.placed or state.void:
        return []
    found = [
        *_reminders(state, policy),
        *_overdue(state, policy),
        *_late_fee(state, policy),
        *_authorisations(state),
        *_alerts(state),
        *_overpayment(state, policy),
        *_completion(state, policy),
        *_papers(state, policy, sellers),
    ]
    return sorted(found, key=in_order)


def in_order(deadline: Deadline) -> tuple[datetime, int]:
    """At one instant an order is overdue before it is cancelled for it."""
    return deadline.due_at, KINDS.index(deadline.kind)


def _reminders(state: Order, policy: PolicyVersion) -> Iterator[Deadline]:
    for hours, at in order_reminding.reminders(state, policy):
        yield Deadline(at, "payment_reminder", str(hours))


def _overdue(state: Order, policy: PolicyVersion) -> Iterator[Deadline]:
    at = due_of(state, policy)
    if at is None or not owes(state):
        return
    if not state.money.overdue or needs_person(state, policy):
        yield Deadline(at + TICK, "payment_overdue")
    why = spared(state, policy)
    if why is None and "cancel_overdue" not in policy.rules.status.confirm:
        yield Deadline(at + TICK, "cancel_overdue")


def _late_fee(state: Order, policy: PolicyVersion) -> Iterator[Deadline]:
    """The end of the next local day that costs something."""
    day = next_late_day(state, policy)
    if day is not None and "charge_late_fee" not in policy.rules.status.confirm:
        yield Deadline(end_of_day(policy.calendar, day), "late_fee", day.isoformat())


def _authorisations(state: Order) -> Iterator[Deadline]:
    for payment_id, held in state.money.authorisations.items():
        if held.open_minor and held.expires_at is not None:
            yield Deadline(held.expires_at + TICK, "authorisation_expiry", payment_id)


def _alerts(state: Order) -> Iterator[Deadline]:
    for alert in order_alerts.waiting(state):
        yield Deadline(alert.due_at + TICK, alert.kind, alert.of)


def _overpayment(state: Order, policy: PolicyVersion) -> Iterator[Deadline]:
    found = order_reminding.overpaid(state, policy)
    if found is not None and "refund_overpayment" not in policy.rules.status.confirm:
        yield Deadline(found[0] + TICK, "overpayment")


def _completion(state: Order, policy: PolicyVersion) -> Iterator[Deadline]:
    at = order_completion.due(state, policy)
    if at is not None:
        yield Deadline(at + TICK, "completion")


def _papers(state: Order, policy: PolicyVersion, sellers: Sellers) -> Iterator[Deadline]:
    paper = deadline_papers.first_due(state, policy) if state.shop in sellers else None
    if paper is not None:
        kind, of = deadline_papers.named(paper, state)
        assert state.changed_at is not None, "it was placed"
        yield Deadline(state.changed_at, kind, of)


def due_of_account(state: Account) -> list[Deadline]:
    """Gifts are good before their expiry, not at it."""
    open_gifts = [gift.expires_at for gift in state.gifts.values() if gift.left_minor > 0]
    return [Deadline(min(open_gifts), "gift_expiry")] if open_gifts else []


def paper(
    deadline: Deadline, state: Order, policy: PolicyVersion, sellers: Sellers, at: datetime
) -> Command:
    """What issues a paper that `due` named of this very state, at that time."""
    found = deadline_papers.first_due(state, policy)
    assert found is not None, deadline
    return deadline_papers.command(found, state, policy, sellers, at)


def command(stream: StreamName, deadline: Deadline, at: datetime) -> Command:
    """What does it, at that time; papers are made by `paper`."""
    return _COMMANDS[deadline.kind](stream.key, deadline, at)


def _expire_gifts(key: str, _deadline: Deadline, at: datetime) -> Command:
    customer_id, _, currency = key.rpartition("@")
    return ExpireGifts(customer_id=customer_id, currency=currency, at=at)


def _raise_alert(key: str, deadline: Deadline, at: datetime) -> Command:
    return RaiseAlert(order_id=key, kind=deadline.kind, of=deadline.of, at=at)


_COMMANDS: dict[str, Callable[[str, Deadline, datetime], Command]] = {
    "payment_reminder": lambda key, one, at: RemindPayment(
        order_id=key, hours_before=int(one.of), at=at
    ),
    "payment_overdue": lambda key, _, at: DeclareOverdue(order_id=key, at=at),
    "cancel_overdue": lambda key, _, at: CancelOverdue(order_id=key, at=at),
    "late_fee": lambda key, _, at: ChargeLateFee(order_id=key, at=at),
    "authorisation_expiry": lambda key, one, at: ExpireAuthorisation(
        order_id=key, payment_id=one.of, at=at
    ),
    "overpayment": lambda key, _, at: RefundOverpayment(order_id=key, actor=ACTOR, at=at),
    "gift_expiry": _expire_gifts,
    order_alerts.REFUND_UNDECIDED: _raise_alert,
    order_alerts.REFUND_OVERDUE: _raise_alert,
    "completion": lambda key, _, at: CompleteOrder(order_id=key, at=at),
}
PAPERS = frozenset(deadline_papers.KINDS)
KINDS = (*_COMMANDS, *deadline_papers.KINDS)
