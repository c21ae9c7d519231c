"""An order before it is one: typed in piece by piece, offered as a quote, then placed or dropped.

A draft may lack anything but form. A quote is a draft that lacks nothing, with an expiry and prices
that stay as they were offered; each new offer takes the place of the last, which stays in the
history. Neither reserves stock nor uses credit: what is there when the order is placed decides.

The order has the id and the number of its draft. So two confirmations make one order, whoever knows
the number of a quote knows that of the order, and the order tells where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain import draft_content
from domain.customer import person_of
from domain.draft_commands import (
    AcceptQuote,
    DeclineQuote,
    DiscardDraft,
    DraftBody,
    DraftChange,
    OfferQuote,
    OrderDraft,
    SaveDraft,
    StartDraft,
)
from domain.draft_content import PERSONAL, Checked
from domain.draft_facts import (
    DraftDiscarded,
    DraftOrdered,
    DraftSaved,
    OfferedLine,
    QuoteDeclined,
    QuoteOffered,
)
from domain.draft_state import DISCARDED, DRAFT, NOTHING, ORDERED, Draft, Offer, evolve
from domain.message import Event, Rejected
from domain.order_facts import Line
from domain.order_lines import line_answer
from domain.placement_commands import PlaceOrder

OFFERS_MAX = 100  # of one draft
FIELDS_NAMED_MAX = 100  # in one refusal
INCOMPLETE = "draft_incomplete"  # the refusal that names missing fields


def start(command: StartDraft, number: str) -> list[Event]:
    """The first facts of a draft that is not there yet."""
    return [_saved(command, command.draft_id, number, command)]


def decide(command: DraftChange, state: Draft) -> list[Event]:
    """Return what the command makes true of the draft: [] if it already is. Raises Rejected."""
    _require_started(command.draft_id, state)
    match command:
        case SaveDraft():
            return _save(command, state)
        case OfferQuote():
            return _offers(command, state)
        case DeclineQuote():
            return _decline(command, state)
        case DiscardDraft():
            return _discard(command, state)


def placement(command: OrderDraft, state: Draft) -> PlaceOrder | None:
    """The order to place, None where that was done. Raises Rejected, naming each missing field."""
    _require_started(command.draft_id, state)
    frozen: dict[str, Any] = {}
    if isinstance(command, AcceptQuote):
        offer = _offer_of(command.offer_no, state)
        if offer.ended == "accepted":
            return None
        _require_open(offer, state, command.at)
        # What was saved cannot have changed since. Should it come to another price all the same,
        # it is refused, never placed at that.
        frozen = {"total_minor": offer.total_minor}
    elif state.status == ORDERED:
        return None
    else:
        _require_unquoted(state, command.at)
    _complete(state)
    ids = {"order_id": state.draft_id, "numbers": (state.number,), "at": command.at}
    return draft_content.placement(state.whole, **ids, **frozen)


def ordered(command: OrderDraft, state: Draft, total_minor: int) -> list[Event]:
    """What the draft has to say of the order that was placed in the same write."""
    return [
        DraftOrdered(
            draft_id=state.draft_id,
            number=state.number,
            total_minor=total_minor,
            offer_no=command.offer_no if isinstance(command, AcceptQuote) else None,
            at=command.at,
        )
    ]


def person_of_draft(command: StartDraft | SaveDraft | OfferQuote, state: Draft) -> str:
    """Whose key seals what the command brings."""
    body = command.draft if isinstance(command, OfferQuote) else command
    return state.person if body is None else _person(draft_content.typed(body), command.draft_id)


def _person(content: Mapping[str, Any], draft_id: str) -> str:
    customer_id = content.get("customer_id")
    return person_of(customer_id) if customer_id else f"draft/{draft_id}"


def _saved(body: DraftBody, draft_id: str, number: str, command: Any) -> DraftSaved:
    whole = draft_content.typed(body)
    personal = {name: whole[name] for name in PERSONAL if name in whole}
    missing = draft_content.checked(whole).missing
    return DraftSaved(
        draft_id=draft_id,
        number=number,
        person=_person(whole, draft_id),
        content={name: value for name, value in whole.items() if name not in personal},
        lacking=[path for path in missing if path.split(".")[0] in personal],
        region=draft_content.region_of(personal.get("shipping_address", {})),
        **personal,
        at=command.at,
    )


def _save(command: SaveDraft, state: Draft) -> list[Event]:
    _require_unordered(state)
    offer = state.offer
    if offer is not None and offer.status(command.at) == "open":
        _refuse_quoted(offer, "offer it anew with what has changed, or have it declined")
    saved = _saved(command, state.draft_id, state.number, command)
    # A sealed value cannot be compared, so where one is sent the draft counts as changed.
    same = state.status == DRAFT and state.whole == saved.content
    return [] if same and not _personal(saved) else [saved]


def _personal(saved: DraftSaved) -> bool:
    return any(getattr(saved, name) is not None for name in PERSONAL)


def _offers(command: OfferQuote, state: Draft) -> list[Event]:
    _require_unordered(state)
    if command.expires_at <= command.at:
        raise Rejected(
            "quote_already_expired",
            f"it would have expired at {command.expires_at.isoformat()}",
            expires_at=command.expires_at.isoformat(),
        )
    if len(state.offers) >= OFFERS_MAX:
        raise Rejected("too_many_offers", f"{OFFERS_MAX} were made, the most of one draft")
    if _is_offered(command, state):
        return []
    events: list[Event] = []
    if command.draft is not None:
        events.append(_saved(command.draft, state.draft_id, state.number, command))
        state = evolve(state, events[0])
    return [*events, _quote(command, state)]


def _is_offered(command: OfferQuote, state: Draft) -> bool:
    offer = state.offer
    if offer is None or command.draft is not None or command.text is not None:
        return False
    return offer.status(command.at) == "open" and offer.expires_at == command.expires_at


def _quote(command: OfferQuote, state: Draft) -> QuoteOffered:
    found = _complete(state)
    assert found.order is not None, "it lacks nothing"
    assert found.totals is not None, "and its prices were not refused"
    inclusive = found.order.prices_include_tax
    return QuoteOffered(
        draft_id=state.draft_id,
        offer_no=len(state.offers) + 1,
        person=state.person,
        expires_at=command.expires_at,
        currency=found.order.currency,
        prices_include_tax=inclusive,
        lines=[_offered(line, inclusive) for line in found.lines],
        discount_minor=found.totals.order_discount_minor,
        shipping_minor=found.order.shipping_minor,
        shipping_tax_rate_bp=found.order.shipping_tax_rate_bp,
        shipping_tax_minor=found.totals.shipping_tax_minor,
        tax_minor=found.totals.tax_minor,
        total_minor=found.totals.total_minor,
        text=command.text,
        at=command.at,
    )


def _offered(line: Line, inclusive: bool) -> OfferedLine:
    amounts = line_answer(line, inclusive)
    return OfferedLine(
        line_no=line.line_no,
        sku=line.sku,
        name=line.name,
        unit=line.unit,
        quantity=line.quantity,
        unit_price_minor=line.unit_price_minor,
        tax_rate_bp=line.tax_rate_bp,
        discount_minor=amounts["discount_minor"],
        discount_share_minor=amounts["discount_share_minor"],
        tax_minor=amounts["tax_minor"],
        gross_minor=amounts["gross_minor"],
    )


def _decline(command: DeclineQuote, state: Draft) -> list[Event]:
    offer = _offer_of(command.offer_no, state)
    if offer.ended == "declined":
        return []
    _require_open(offer, state, at=offer.at)  # Who says no to what has expired is heard.
    return [
        QuoteDeclined(
            draft_id=state.draft_id,
            offer_no=command.offer_no,
            person=state.person,
            reason=command.reason,
            at=command.at,
        )
    ]


def _discard(command: DiscardDraft, state: Draft) -> list[Event]:
    if state.status == DISCARDED:
        return []
    _require_unordered(state)
    return [
        DraftDiscarded(
            draft_id=state.draft_id, person=state.person, reason=command.reason, at=command.at
        )
    ]


# -- rules -----------------------------------------------------------------------------------------


def _require_started(draft_id: str, state: Draft) -> None:
    if state.status == NOTHING:
        raise Rejected("draft_not_found", draft_id=draft_id)


def _require_unordered(state: Draft) -> None:
    if state.status == ORDERED:
        raise Rejected(
            "draft_ordered",
            f"it is order {state.number}: change that",
            order_id=state.draft_id,
            number=state.number,
        )
    if state.status == DISCARDED:
        raise Rejected("draft_discarded", "nothing more comes of it: start another one")


def _require_unquoted(state: Draft, at: datetime) -> None:
    """Prices that were offered are accepted as an offer, or saved anew: else its end meant nothing.

    Raises Rejected.
    """
    _require_unordered(state)
    if state.offer is not None:
        _require_open(state.offer, state, at)
        _refuse_quoted(state.offer, f"accept offer {state.offer.offer_no}, or have it declined")


def _refuse_quoted(offer: Offer, instead: str) -> None:
    raise Rejected(
        "quote_open",
        f"offer {offer.offer_no} is open until {offer.expires_at.isoformat()}: {instead}",
        offer_no=offer.offer_no,
        expires_at=offer.expires_at.isoformat(),
        total_minor=offer.total_minor,
    )


def _offer_of(offer_no: int, state: Draft) -> Offer:
    if offer_no > len(state.offers):
        raise Rejected(
            "unknown_offer",
            f"offer {offer_no}; {len(state.offers)} were made",
            offer_no=offer_no,
            offers=len(state.offers),
        )
    return state.offers[offer_no - 1]


def _require_open(offer: Offer, state: Draft, at: datetime) -> None:
    facts = {"offer_no": offer.offer_no, "total_minor": offer.total_minor}
    match offer.status(at):
        case "open":
            return
        case "expired":
            until = offer.expires_at.isoformat()
            raise Rejected(
                "quote_expired",
                f"offer {offer.offer_no} was good until {until}, now it is {at.isoformat()}: "
                "offer it anew",
                expires_at=until,
                at=at.isoformat(),
                **facts,
            )
        case "revised":
            last = state.offers[-1]
            raise Rejected(
                "quote_revised",
                f"offer {offer.offer_no} was replaced by offer {last.offer_no}",
                last_offer_no=last.offer_no,
                last_total_minor=last.total_minor,
                **facts,
            )
        case "declined":
            raise Rejected(
                "quote_declined", f"offer {offer.offer_no} was declined: offer it anew", **facts
            )
        case _:
            _require_unordered(state)


def _complete(state: Draft) -> Checked:
    """Raises Rejected that names each field which is missing or wrong."""
    found = state.checked
    if found.missing or found.wrong:
        named = [*found.missing, *(fault.field for fault in found.wrong)]
        raise Rejected(
            INCOMPLETE,
            f"missing or wrong: {', '.join(named[:FIELDS_NAMED_MAX])}",
            missing=[*found.missing[:FIELDS_NAMED_MAX]],
            wrong=[
                {"field": fault.field, "message": fault.message}
                for fault in found.wrong[:FIELDS_NAMED_MAX]
            ],
        )
    if found.refusal is not None:
        raise found.refusal
    return found
