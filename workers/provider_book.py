"""The simulated provider's own book: charges, captures, refunds and disputes, to the cent."""

from __future__ import annotations

import itertools
import random
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from domain.provider import Ask
from domain.provider_commands import Notice

AUTHORISED_DAYS = 7
MICROSECOND = timedelta(microseconds=1)


@dataclass
class Charge:
    """Minor units. `refunded` and `lost` are of what was captured."""

    id: str
    order_ref: str
    shop: str
    method: str
    currency: str
    authorised: int
    captured: int = 0
    refunded: int = 0
    lost: int = 0
    voided: bool = False

    @property
    def held(self) -> int:
        return 0 if self.voided else self.authorised - self.captured


@dataclass
class Done:
    """What became of a key: its last notice, and how often money has moved under it."""

    notice: Notice
    attempt: int
    moved_minor: int = 0
    times: int = 0
    asked_again: int = 0  # after it was done


@dataclass
class Book:
    """Every call is atomic. `failing`: the share of refunds whose first attempt fails."""

    random: random.Random
    failing: float = 0.0
    charges: dict[str, Charge] = field(default_factory=dict)
    done: dict[str, Done] = field(default_factory=dict)  # by key
    disputes: dict[str, tuple[str, int]] = field(default_factory=dict)  # charge and amount
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _now: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    _run: str = field(default_factory=lambda: uuid4().hex[:8])  # ids never come again

    # -- what customers and banks do -----------------------------------------------------------

    def pay(self, checkout: dict[str, Any]) -> list[Notice]:
        """Hold or take money: {order_ref, shop, method, currency, amount_minor, capture}."""
        with self._lock:
            wanted = {k: checkout[k] for k in ("order_ref", "shop", "method", "currency")}
            amount = int(checkout["amount_minor"])
            charge = Charge(self._new("ch"), authorised=amount, **wanted)
            self.charges[charge.id] = charge
            if not checkout.get("capture", True):
                expires_at = datetime.now(UTC) + timedelta(days=AUTHORISED_DAYS)
                return [self._told("authorised", charge, amount, expires_at=expires_at)]
            charge.captured = amount
            return [self._told("captured", charge, amount)]

    def decline(self, checkout: dict[str, Any]) -> list[Notice]:
        """The customer's bank refuses: no money."""
        with self._lock:
            wanted = {k: checkout[k] for k in ("order_ref", "shop", "method", "currency")}
            charge = Charge(self._new("ch"), authorised=0, **wanted)
            amount = int(checkout["amount_minor"])
            return [self._told("failed", charge, amount, code="card_declined")]

    def dispute(self, charge_id: str, amount: int, *, lost: bool) -> list[Notice]:
        """A chargeback with its end."""
        with self._lock:
            charge, name = self.charges[charge_id], self._new("dp")
            self.disputes[name] = (charge_id, amount)
            more = {"dispute": name, "code": "not_received"}
            opened = self._told("chargeback_opened", charge, amount, **more)
            charge.lost += amount if lost else 0
            end = "chargeback_lost" if lost else "chargeback_won"
            return [opened, self._told(end, charge, amount, **more)]

    # -- what we ask for -----------------------------------------------------------------------

    def ask(self, ask: Ask) -> tuple[Notice, bool]:
        """What became of it, and whether that is news."""
        with self._lock:
            known = self.done.get(ask.key)
            again = known is not None and (known.times or ask.attempt <= known.attempt)
            if known is not None and again:
                known.asked_again += 1
                return known.notice, False
            if ask.payment not in self.charges:  # Of a run before: nothing is left of it.
                self.charges[ask.payment] = Charge(
                    ask.payment, ask.order_ref, "main", "alipay", ask.currency, authorised=0
                )
            done = self._refund(ask) if ask.kind == "refund" else self._take_or_free(ask)
            self.done[ask.key] = done
            return done.notice, True

    def _refund(self, ask: Ask) -> Done:
        charge, more = self.charges[ask.payment], {"key": ask.key, "order_ref": ask.order_ref}
        amount = ask.amount_minor
        code = "account_closed" if self.random.random() < self.failing else ""
        if ask.attempt > 1:
            code = ""
        if amount > charge.captured - charge.refunded:
            code = "exceeds_charge"
        if code:
            notice = self._told("refund_failed", charge, amount, code=code, **more)
            return Done(notice, ask.attempt)
        charge.refunded += amount
        notice = self._told("refunded", charge, amount, **more)
        return Done(notice, ask.attempt, amount, 1)

    def _take_or_free(self, ask: Ask) -> Done:
        charge, more = self.charges[ask.payment], {"key": ask.key, "order_ref": ask.order_ref}
        amount = ask.amount_minor
        if ask.kind == "void" and not charge.voided:
            freed, charge.voided = charge.held, True
            return Done(self._told("voided", charge, freed or amount, **more), 1, 0, 1)
        if ask.kind == "void" or amount > charge.held:
            return Done(self._told("failed", charge, amount, code="nothing_held", **more), 1)
        charge.captured += amount
        capture = self._new("cp")
        notice = self._told("captured", charge, amount, capture=capture, **more)
        return Done(notice, 1, amount, 1)

    # -- all -----------------------------------------------------------------------------------

    def _new(self, kind: str) -> str:
        return f"{kind}-{self._run}-{next(self._numbers)}"

    def _told(self, kind: str, charge: Charge, amount: int, **more: Any) -> Notice:
        self._now = max(self._now + MICROSECOND, datetime.now(UTC))
        said = {
            "notice_id": self._new("n"),
            "kind": kind,
            "occurred_at": self._now,
            "order_ref": charge.order_ref,
            "shop": charge.shop,
            "payment": charge.id,
            "method": charge.method,
            "amount_minor": amount,
            "currency": charge.currency,
        }
        return Notice.model_validate({**said, **more})

    def shown(self) -> dict[str, Any]:
        """All of it, as JSON data."""
        with self._lock:
            return {
                "charges": [asdict(charge) for charge in self.charges.values()],
                "done": {
                    key: {
                        "moved_minor": one.moved_minor,
                        "times": one.times,
                        "asked_again": one.asked_again,
                    }
                    for key, one in self.done.items()
                },
            }
