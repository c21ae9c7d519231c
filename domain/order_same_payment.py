"""Whether money that a person or a shop records is known already: the same payment, told twice.

Only who records it can know; so what looks alike is taken for the same, is answered with the first
one's id, and `another_than` says that it is another one. What a provider tells has ids of its own;
only a charge that a person has typed before is looked for by its reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

from domain.message import Command, Rejected
from domain.order_money import Authorisation, Payment, shown
from domain.order_state import Order
from domain.payment_commands import AuthorisePayment, RecordPayment, RecordRemittance

# Whose reference names one payment for ever. Elsewhere people write an order's number there, or the
# batch of a carrier, so that several payments have one reference.
OWN_REFERENCES = frozenset({"credit_card", "alipay", "wechat_pay"})

Told: TypeAlias = RecordPayment | RecordRemittance
Reveal = Callable[[Any], Any]  # a sealed value in clear, where its key is at hand


def as_it_is(value: Any) -> Any:
    """Opens nothing: for who has no keys. What is sealed is then like any other."""
    return value


def is_known(command: Command, state: Order, reveal: Reveal) -> bool:
    """Whether it is money that was recorded before. Raises Rejected."""
    if isinstance(command, AuthorisePayment):
        return is_held(command, state)
    if not isinstance(command, RecordPayment | RecordRemittance):
        return False
    return known_as(command, state, reveal) is not None


def known_as(command: Told, state: Order, reveal: Reveal = as_it_is) -> str | None:
    """The id of the payment that this one is; None where it is another.

    Raises Rejected `payment_reference_used` where a reference that names one payment comes with
    another amount or payer, `payment_not_found` for an unknown `another_than`.
    """
    told = isinstance(command, RecordPayment) and command.told
    if told or command.payment_id in state.payments:
        return None
    alike = _alike(command, state)
    if _is_own(command):
        for payment_id, known in alike.items():
            if not _agrees(command, known, reveal):
                raise _reference_used(payment_id, known, state)
            return payment_id
        return None
    found = (one for one, known in alike.items() if _agrees(command, known, reveal))
    return next((one for one in found if _same_day(command, alike[one])), None)


def held_as(method: str, reference: str, state: Order) -> str | None:
    """The id that money under a reference of its own is held by, whoever has said so."""
    found = (
        payment_id
        for payment_id, held in state.money.authorisations.items()
        if method in OWN_REFERENCES and (held.method, held.reference) == (method, reference)
    )
    return next(found, None)


def is_held(command: AuthorisePayment, state: Order) -> bool:
    """Whether it is held, or taken, already. Raises Rejected where that has another amount."""
    if command.payment_id in state.payments or command.payment_id in state.money.authorisations:
        return False
    held = held_as(command.method, command.reference, state)
    if held is None:
        return False
    known = state.money.authorisations[held]
    if known.amount_minor != command.amount_minor:
        raise _reference_used(held, known, state)
    return True


def typed_as(method: str, reference: str, amount_minor: int, state: Order) -> str | None:
    """The id of the payment that a person has recorded of a charge before its provider told of it.
    Raises Rejected `payment_reference_used` where only other amounts were.
    """
    if method not in OWN_REFERENCES:
        return None
    typed = _recorded((method, None, reference), state)
    for payment_id, known in typed.items():
        if known.amount_minor == amount_minor:
            return payment_id
    if typed:
        first = next(iter(typed))
        raise _reference_used(first, typed[first], state)
    return None


def _recorded(names: tuple[str, str | None, str], state: Order) -> dict[str, Payment]:
    """Payments of this method, carrier and reference, oldest first."""
    return {
        payment_id: known
        for payment_id, known in state.payments.items()
        if not known.voided and (known.method, known.carrier, known.reference) == names
    }


def _is_own(command: Told) -> bool:
    return isinstance(command, RecordPayment) and command.method in OWN_REFERENCES


def _alike(command: Told, state: Order) -> Mapping[str, Payment]:
    """Those of the same method, carrier and reference, oldest first; of them those that came after
    `another_than`, so that what was said to be another one is known again when it is sent again.
    """
    after = command.another_than
    if after is not None and after not in state.payments:
        raise Rejected("payment_not_found", payment_id=after)
    found = _recorded(_names(command), state)
    if after not in found:
        return found
    ids = list(found)
    return {one: found[one] for one in ids[ids.index(after) + 1 :]}


def _names(command: Told) -> tuple[str, str | None, str]:
    if isinstance(command, RecordPayment):
        return command.method, None, command.reference
    return "cash_on_delivery", command.carrier, command.reference


def _agrees(command: Told, known: Payment, reveal: Reveal) -> bool:
    """What only one of both tells does not speak against it."""
    if command.amount_minor != known.amount_minor:
        return False
    if isinstance(command, RecordRemittance):
        return command.fee_minor == known.fee_minor
    payer = reveal(known.payer)
    if command.payer is None or not isinstance(payer, str):
        return True
    return _folded(command.payer) == _folded(payer)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _same_day(command: Told, known: Payment) -> bool:
    """The day it was booked, where both say so; else the day it came, where the new one does."""
    if command.value_date is not None and known.value_date is not None:
        return command.value_date == known.value_date
    return _day(command.occurred_at) in {None, _day(known.received_at)}


def _day(time: datetime | None) -> date | None:
    return time and time.date()


def _reference_used(payment_id: str, known: Payment | Authorisation, state: Order) -> Rejected:
    return Rejected(
        "payment_reference_used",
        f"{known.method} {known.reference} is payment {payment_id} of "
        f"{shown(known.amount_minor, state)}, and differs in amount or payer: void that one, or "
        "say `another_than` with its id if this is another one",
        payment_id=payment_id,
        method=known.method,
        amount_minor=known.amount_minor,
    )
