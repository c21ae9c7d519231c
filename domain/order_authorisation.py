"""Money that a provider holds for an order: authorised, captured, let go."""

from __future__ import annotations

from domain.frozen import replace
from domain.message import Command, Event, Rejected
from domain.order_facts import PaymentCaptured
from domain.order_hold import may_capture
from domain.order_money import Authorisation, shown
from domain.order_payment import NEVER_HELD, Decider, is_repeat, not_void, payer_of, received
from domain.order_reinstating import Free
from domain.order_state import Order
from domain.order_times import require_meant
from domain.payment_commands import (
    AuthorisePayment,
    CapturePayment,
    ExpireAuthorisation,
    RequestCapture,
    VoidAuthorisation,
)
from domain.payment_facts import (
    AuthorisationExpired,
    AuthorisationVoided,
    CaptureRequested,
    PaymentAuthorised,
)
from domain.policy import PolicyVersion


def authorise(
    command: AuthorisePayment, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    not_void(state)
    if is_repeat(command.payment_id, command.method, command.amount_minor, state):
        return []
    if state.cancelled:
        raise Rejected("order_cancelled", "the order was cancelled: nothing is to be held for it")
    if command.method in NEVER_HELD:
        raise Rejected(
            "method_holds_nothing",
            f"{command.method}: only what a provider holds is captured later; "
            "an account is spent from at once, and a term is no money",
            method=command.method,
        )
    return [
        PaymentAuthorised(
            person=payer_of(state.order_id),
            payment_id=command.payment_id,
            method=command.method,
            amount_minor=command.amount_minor,
            reference=command.reference,
            expires_at=command.expires_at,
            payer=command.payer,
            at=command.at,
        )
    ]


def _authorisation(payment_id: str, state: Order) -> Authorisation:
    """Raises Rejected `authorisation_not_found`, with what is held."""
    held = state.money.authorisations.get(payment_id)
    if held is None:
        known = {name: one.open_minor for name, one in state.money.authorisations.items()}
        is_payment = payment_id in state.payments
        what = "is money that was taken already" if is_payment else "is not known"
        sums = [f"{shown(left, state)} as {name}" for name, left in known.items() if left]
        raise Rejected(
            "authorisation_not_found",
            f"{payment_id} {what}; held is {', '.join(sums) or 'nothing'}",
            payment_id=payment_id,
            held_minor=known,
        )
    return held


def capture(
    command: CapturePayment, state: Order, policy: PolicyVersion, free: Free
) -> list[Event]:
    """A part of what is held, never more. Raises Rejected `capture_exceeds_authorised`."""
    not_void(state)
    may_capture(state)
    held = _authorisation(command.authorisation_id, state)
    amount = held.open_minor if command.amount_minor is None else command.amount_minor
    known = state.payments.get(command.payment_id)
    if known is not None and command.amount_minor is None:
        amount = known.amount_minor
    if is_repeat(command.payment_id, held.method, amount, state):
        return []
    if not command.told:
        require_meant(state, occurred_at=command.occurred_at, value_date=command.value_date)
    _require_held(amount, command, held, state)
    captured = PaymentCaptured(
        person=payer_of(state.order_id),
        payment_id=command.payment_id,
        method=held.method,
        amount_minor=amount,
        reference=command.reference or held.reference,
        authorisation_id=command.authorisation_id,
        value_date=command.value_date,
        at=command.occurred_at or command.at,
    )
    return received(captured, command, state, policy, free)


def request_capture(
    command: RequestCapture, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """Of what is held and not asked for already: captures under way never pass it together."""
    not_void(state)
    if command.payment_id in state.money.captures or command.payment_id in state.payments:
        return []
    held = _authorisation(command.authorisation_id, state)
    if held.expires_at is not None and command.at > held.expires_at:
        held = replace(held, closed=held.closed or "expired")
    asked = state.money.asked_minor(command.authorisation_id)
    left = max(0, held.open_minor - asked)
    amount = left if command.amount_minor is None else command.amount_minor
    if not left:
        raise _nothing_held(command.authorisation_id, held, asked, state)
    if amount > left:
        raise Rejected(
            "capture_exceeds_authorised",
            f"{shown(amount, state)} asked, {shown(left, state)} held and not asked for",
            asked_minor=amount,
            held_minor=left,
        )
    return [
        CaptureRequested(
            authorisation_id=command.authorisation_id,
            payment_id=command.payment_id,
            amount_minor=amount,
            at=command.at,
        )
    ]


def _nothing_held(payment_id: str, held: Authorisation, asked_minor: int, state: Order) -> Rejected:
    """Says what became of all that was held."""
    parts = {"captured": held.captured_minor, "asked for already": asked_minor}
    gone = held.amount_minor - held.captured_minor
    if held.closed and gone > 0:
        parts[held.closed] = gone
    told = ", ".join(f"{shown(part, state)} {word}" for word, part in parts.items() if part)
    return Rejected(
        "nothing_held",
        f"of {shown(held.amount_minor, state)} held as {payment_id} nothing is left: {told}",
        payment_id=payment_id,
        authorised_minor=held.amount_minor,
        captured_minor=held.captured_minor,
        asked_minor=asked_minor,
        held_minor=0,
        why=held.closed,
    )


def _require_held(amount: int, command: CapturePayment, held: Authorisation, state: Order) -> None:
    at = command.occurred_at or command.at
    if held.closed or (held.expires_at is not None and at > held.expires_at):
        raise Rejected(
            "authorisation_closed",
            f"{held.closed or 'expired'}: nothing is held any more",
            payment_id=command.authorisation_id,
            why=held.closed or "expired",
        )
    if amount > held.open_minor or not amount:
        raise Rejected(
            "capture_exceeds_authorised",
            f"{shown(amount, state)} asked, {shown(held.open_minor, state)} held",
            asked_minor=amount,
            held_minor=held.open_minor,
        )


def void_authorisation(
    command: VoidAuthorisation, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    """What is not captured is held no longer; what was captured stays."""
    held = _authorisation(command.payment_id, state)
    if not held.open_minor:
        return []
    return [
        AuthorisationVoided(
            person=state.person,
            payment_id=command.payment_id,
            amount_minor=held.open_minor,
            reason=command.reason,
            at=command.at,
        )
    ]


def expire(
    command: ExpireAuthorisation, state: Order, _policy: PolicyVersion, _free: Free
) -> list[Event]:
    held = _authorisation(command.payment_id, state)
    if not held.open_minor:
        return []
    if held.expires_at is None or command.at <= held.expires_at:
        ends = held.expires_at and held.expires_at.isoformat()
        raise Rejected("not_expired", f"it is held until {ends}", expires_at=ends)
    return [
        AuthorisationExpired(
            payment_id=command.payment_id, amount_minor=held.open_minor, at=held.expires_at
        )
    ]


DECIDERS: dict[type[Command], Decider] = {
    AuthorisePayment: authorise,
    CapturePayment: capture,
    RequestCapture: request_capture,
    VoidAuthorisation: void_authorisation,
    ExpireAuthorisation: expire,
}
