"""A customer's account in one currency: store credit, gifts with an expiry, credit limit, exposure.

Credit and gifts are what the shop owes (the liability); exposure is what the customer's orders on
account (月结) owe the shop. What an order takes and frees is put together in order_account.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain.account_commands import (
    AccountChange,
    ExpireGifts,
    GrantCredit,
    IssueGift,
    SetCreditLimit,
)
from domain.account_facts import (
    BalanceGivenBack,
    BalanceSpent,
    CreditGranted,
    ExposureFreed,
    ExposureTaken,
    GiftExpired,
    GiftIssued,
    GiftPart,
    LimitSet,
)
from domain.customer import person_of
from domain.frozen import replace
from domain.message import Event, Rejected
from domain.money import shown_minor

LIABILITY_MINOR_MAX = 10**15  # of one account
GIFTS_OPEN_MAX = 500  # with something left; a payment may take of all of them


@dataclass(frozen=True)
class Gift:
    amount_minor: int
    left_minor: int
    expires_at: datetime

    def valid(self, at: datetime) -> bool:
        return at < self.expires_at


@dataclass(frozen=True)
class Spend:
    """What a payment took and has not been given back."""

    credit_minor: int
    gifts: tuple[GiftPart, ...] = ()

    @property
    def amount_minor(self) -> int:
        return self.credit_minor + _sum(self.gifts)


@dataclass(frozen=True)
class Account:
    """The four sums are of all time: liability = issued - spent + given back - expired."""

    credit_minor: int = 0
    gifts: Mapping[str, Gift] = field(default_factory=dict)  # also spent and expired ones
    spends: Mapping[tuple[str, str], Spend] = field(default_factory=dict)  # order id, payment id
    limit_minor: int | None = None  # None: nothing was agreed
    exposures: Mapping[str, int] = field(default_factory=dict)  # order id -> minor units above 0
    exposure_minor: int = 0  # their sum
    issued_minor: int = 0
    spent_minor: int = 0
    given_back_minor: int = 0
    expired_minor: int = 0

    @property
    def liability_minor(self) -> int:
        """What the shop owes: also gifts past their expiry that nobody has written off yet."""
        return self.credit_minor + sum(gift.left_minor for gift in self.gifts.values())

    def gift_minor(self, at: datetime) -> int:
        """What the gifts buy at that time."""
        return sum(gift.left_minor for gift in self.gifts.values() if gift.valid(at))

    @property
    def limit_left_minor(self) -> int:
        """What another order on account may come to."""
        return max(0, (self.limit_minor or 0) - self.exposure_minor)


def evolve(state: Account, event: Event) -> Account:
    """Apply a recorded fact. Raises TypeError for what is no fact of an account."""
    match event:
        case CreditGranted(amount_minor=amount):
            return replace(
                state,
                credit_minor=state.credit_minor + amount,
                issued_minor=state.issued_minor + amount,
            )
        case GiftIssued():
            gift = Gift(event.amount_minor, event.amount_minor, event.expires_at)
            return replace(
                state,
                gifts={**state.gifts, event.gift_id: gift},
                issued_minor=state.issued_minor + event.amount_minor,
            )
        case GiftExpired(amount_minor=amount):
            part = GiftPart(gift_id=event.gift_id, amount_minor=-amount)
            return replace(
                state,
                gifts=_with_parts(state.gifts, [part]),
                expired_minor=state.expired_minor + amount,
            )
        case BalanceSpent():
            return _spent(state, event)
        case BalanceGivenBack():
            return _given_back(state, event)
        case LimitSet(limit_minor=limit):
            return replace(state, limit_minor=limit)
        case ExposureTaken(amount_minor=amount):
            return _exposed(state, event.order_id, amount)
        case ExposureFreed(amount_minor=amount):
            return _exposed(state, event.order_id, -amount)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of an account")


def _spent(state: Account, event: BalanceSpent) -> Account:
    spend = Spend(event.credit_minor, tuple(event.gifts))
    taken = [GiftPart(gift_id=p.gift_id, amount_minor=-p.amount_minor) for p in event.gifts]
    return replace(
        state,
        credit_minor=state.credit_minor - event.credit_minor,
        gifts=_with_parts(state.gifts, taken),
        spends={**state.spends, (event.order_id, event.payment_id): spend},
        spent_minor=state.spent_minor + event.amount_minor,
    )


def _given_back(state: Account, event: BalanceGivenBack) -> Account:
    key = (event.order_id, event.payment_id)
    left = _without(state.spends.get(key, Spend(0)), event)
    spends = {name: spend for name, spend in state.spends.items() if name != key}
    if left.amount_minor > 0:
        spends[key] = left
    return replace(
        state,
        credit_minor=state.credit_minor + event.credit_minor,
        gifts=_with_parts(state.gifts, event.gifts),
        spends=spends,
        given_back_minor=state.given_back_minor + event.amount_minor,
    )


def _without(spend: Spend, back: BalanceGivenBack) -> Spend:
    """The spend less what went back to credit and to (or for) each gift."""
    returned: dict[str, int] = {}
    for part in [*back.gifts, *back.lapsed]:
        returned[part.gift_id] = returned.get(part.gift_id, 0) + part.amount_minor
    kept = [
        GiftPart(gift_id=p.gift_id, amount_minor=p.amount_minor - returned.get(p.gift_id, 0))
        for p in spend.gifts
    ]
    credit = spend.credit_minor - (back.credit_minor - _sum(back.lapsed))
    return Spend(credit, tuple(part for part in kept if part.amount_minor > 0))


def _with_parts(gifts: Mapping[str, Gift], parts: Iterable[GiftPart]) -> dict[str, Gift]:
    changed = dict(gifts)
    for part in parts:
        gift = changed[part.gift_id]
        changed[part.gift_id] = replace(gift, left_minor=gift.left_minor + part.amount_minor)
    return changed


def _exposed(state: Account, order_id: str, more: int) -> Account:
    held = state.exposures.get(order_id, 0) + more
    exposures = {name: amount for name, amount in state.exposures.items() if name != order_id}
    if held:
        exposures[order_id] = held
    return replace(state, exposures=exposures, exposure_minor=state.exposure_minor + more)


def stream_key(customer_id: str, currency: str) -> str:
    return f"{customer_id}@{currency}"


# -- what the desk asks of an account ------------------------------------------------------------


def decide(command: AccountChange, state: Account) -> list[Event]:
    """Return what the command makes true; [] where it already is. Raises Rejected."""
    match command:
        case GrantCredit():
            return _grant(command, state)
        case IssueGift():
            return _issue(command, state)
        case SetCreditLimit():
            return _set_limit(command, state)
        case ExpireGifts():
            return _expire(command, state)


def _grant(command: GrantCredit, state: Account) -> list[Event]:
    amount = command.amount_minor
    if state.credit_minor + amount < 0:
        raise Rejected(
            "correction_exceeds_credit",
            f"{shown_minor(-amount, command.currency)} to take back, "
            f"{shown_minor(state.credit_minor, command.currency)} of credit there",
            asked_minor=-amount,
            credit_minor=state.credit_minor,
        )
    _require_room(amount, command.currency, state)
    return [
        CreditGranted(
            customer_id=command.customer_id,
            currency=command.currency,
            person=person_of(command.customer_id),
            amount_minor=amount,
            cause=command.cause,
            reason_code=command.reason_code,
            reference=command.reference,
            text=command.text,
            at=command.at,
        )
    ]


def _issue(command: IssueGift, state: Account) -> list[Event]:
    known = state.gifts.get(command.gift_id)
    if known is not None:
        _require_same(command, known)
        return []
    _require_issuable(command, state)
    return [
        GiftIssued(
            customer_id=command.customer_id,
            currency=command.currency,
            person=person_of(command.customer_id),
            gift_id=command.gift_id,
            amount_minor=command.amount_minor,
            expires_at=command.expires_at,
            reason_code=command.reason_code,
            reference=command.reference,
            text=command.text,
            at=command.at,
        )
    ]


def _require_same(command: IssueGift, known: Gift) -> None:
    if (known.amount_minor, known.expires_at) != (command.amount_minor, command.expires_at):
        raise Rejected(
            "gift_differs",
            f"gift {command.gift_id} is {shown_minor(known.amount_minor, command.currency)} "
            f"until {known.expires_at.isoformat()}",
            gift_id=command.gift_id,
            amount_minor=known.amount_minor,
            expires_at=known.expires_at.isoformat(),
        )


def _require_issuable(command: IssueGift, state: Account) -> None:
    if command.expires_at <= command.at:
        raise Rejected(
            "gift_already_expired",
            f"it would have expired at {command.expires_at.isoformat()}",
            expires_at=command.expires_at.isoformat(),
        )
    open_gifts = sum(1 for gift in state.gifts.values() if gift.left_minor > 0)
    if open_gifts >= GIFTS_OPEN_MAX:
        raise Rejected(
            "too_many_gifts", f"{open_gifts} gifts are open, the most there may be", open=open_gifts
        )
    _require_room(command.amount_minor, command.currency, state)


def _require_room(amount: int, currency: str, state: Account) -> None:
    if state.liability_minor + amount > LIABILITY_MINOR_MAX:
        raise Rejected(
            "account_too_large",
            f"{shown_minor(amount, currency)} more than "
            f"{shown_minor(state.liability_minor, currency)} is above "
            f"{shown_minor(LIABILITY_MINOR_MAX, currency)}, the most in an account",
            liability_minor=state.liability_minor,
            asked_minor=amount,
        )


def _set_limit(command: SetCreditLimit, state: Account) -> list[Event]:
    """A limit below the exposure stops further orders and takes nothing from those there are."""
    if command.limit_minor == state.limit_minor:
        return []
    return [
        LimitSet(
            customer_id=command.customer_id,
            currency=command.currency,
            person=person_of(command.customer_id),
            before_minor=state.limit_minor,
            limit_minor=command.limit_minor,
            reason=command.reason,
            at=command.at,
        )
    ]


def _expire(command: ExpireGifts, state: Account) -> list[Event]:
    return [
        GiftExpired(
            customer_id=command.customer_id,
            currency=command.currency,
            gift_id=gift_id,
            amount_minor=gift.left_minor,
            expires_at=gift.expires_at,
            at=command.at,
        )
        for gift_id, gift in state.gifts.items()
        if gift.left_minor > 0 and not gift.valid(command.at)
    ]


def _sum(parts: Iterable[GiftPart]) -> int:
    return sum(part.amount_minor for part in parts)
