"""What is known of a draft and its quotes: the fold of its facts. Applies, never refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain import draft_content
from domain.draft_content import PERSONAL, Checked
from domain.draft_facts import (
    DraftDiscarded,
    DraftOrdered,
    DraftSaved,
    OfferedLine,
    PersonalPart,
    QuoteDeclined,
    QuoteOffered,
)
from domain.frozen import replace
from domain.message import Event, Sealed

NOTHING, DRAFT, QUOTED, DECLINED, DISCARDED, ORDERED = (
    "",
    "draft",
    "quoted",
    "declined",
    "discarded",
    "ordered",
)


@dataclass(frozen=True)
class Offer:
    """A quote as it was offered; amounts in minor units."""

    offer_no: int
    at: datetime
    expires_at: datetime
    currency: str
    prices_include_tax: bool
    lines: tuple[OfferedLine, ...]
    shipping_minor: int
    tax_minor: int
    total_minor: int
    text: str | Sealed | None = None
    ended: str | None = None  # revised, expired, declined, withdrawn, accepted
    ended_at: datetime | None = None
    reason: str | Sealed | None = None  # of declining

    def status(self, at: datetime) -> str:
        """`open` until it expires or is ended otherwise."""
        return self.ended or ("open" if at < self.expires_at else "expired")


@dataclass(frozen=True)
class Draft:
    draft_id: str = ""
    number: str = ""
    person: str = ""
    status: str = NOTHING  # a quote that has expired is still `quoted`
    content: Mapping[str, Any] = field(default_factory=dict)  # without what is personal
    contact: PersonalPart | None = None
    shipping_address: PersonalPart | None = None
    billing_address: PersonalPart | None = None
    note: Sealed | str | None = None
    exemption_certificate: Sealed | str | None = None
    lacking: tuple[str, ...] = ()  # within sealed values
    region: str | None = None
    offers: tuple[Offer, ...] = ()

    @property
    def whole(self) -> dict[str, Any]:
        """The content with its personal values."""
        personal = {name: getattr(self, name) for name in PERSONAL}
        return {**self.content, **{n: value for n, value in personal.items() if value is not None}}

    @property
    def offer(self) -> Offer | None:
        """The last one, if it is what the draft is about."""
        return self.offers[-1] if self.status in {QUOTED, DECLINED} else None

    @property
    def checked(self) -> Checked:
        """What it lacks, what would be refused by what is typed, and what it comes to."""
        found = draft_content.checked(self.whole)
        missing = draft_content.in_order([*found.missing, *self.lacking])
        return dataclasses.replace(found, missing=missing)

    @property
    def total_minor(self) -> int | None:
        """What it comes to: as offered, else as typed; None as long as it cannot be priced."""
        if self.offers and self.offers[-1].ended in {None, "declined", "accepted"}:
            return self.offers[-1].total_minor
        totals = self.checked.totals
        return None if totals is None else totals.total_minor


def evolve(state: Draft, event: Event) -> Draft:
    match event:
        case DraftSaved():
            return replace(
                _ended(state, event.at),
                draft_id=event.draft_id,
                number=event.number,
                person=event.person,
                status=DRAFT,
                content=event.content,
                lacking=tuple(event.lacking),
                region=event.region,
                **{name: getattr(event, name) for name in PERSONAL},
            )
        case QuoteOffered():
            before = _ended(state, event.at)
            return replace(before, status=QUOTED, offers=(*before.offers, _offer(event)))
        case QuoteDeclined():
            ended = _ended(state, event.at, "declined", reason=event.reason)
            return replace(ended, status=DECLINED)
        case DraftDiscarded():
            return replace(_ended(state, event.at, "withdrawn"), status=DISCARDED)
        case DraftOrdered():
            return replace(_ended(state, event.at, "accepted"), status=ORDERED)
        case _:
            raise TypeError(f"{event.TOPIC} is no event of a draft")


def _offer(event: QuoteOffered) -> Offer:
    return Offer(
        event.offer_no,
        event.at,
        event.expires_at,
        event.currency,
        event.prices_include_tax,
        tuple(event.lines),
        event.shipping_minor,
        event.tax_minor,
        event.total_minor,
        event.text,
    )


def _ended(state: Draft, at: datetime, how: str = "revised", reason: Any = None) -> Draft:
    """The offer that was open until then is no more."""
    if state.status != QUOTED:
        return state
    *earlier, last = state.offers
    if at >= last.expires_at and how in {"revised", "withdrawn"}:
        how = "expired"
    return replace(state, offers=(*earlier, replace(last, ended=how, ended_at=at, reason=reason)))
