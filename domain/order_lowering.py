"""What refunds take off the price of an order, and of which of its units (ADR 12).

Always at the prices in force: a line that is made cheaper after some of its units were refunded
costs less for the others, and these units lower it by what they would cost now. Applies, never
refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from domain.frozen import replace
from domain.money import split
from domain.order_line import ZERO, OrderLine, Reduction
from domain.pricing import running_share

if TYPE_CHECKING:
    from domain.order_refund_state import Refund
    from domain.order_state import Order

# Reasons that only goods that were sent can have.
OF_SENT = frozenset({"quality_problem", "wrong_item", "damaged", "not_as_described", "lost"})
# Reasons of an amount that leaves the price as it is: it is owed again,
TOO_MUCH = "overpayment"
# or goes for goods that are not wanted: those in the house do not leave for nothing.
NOT_KEPT = frozenset({"cancellation", "changed_mind"})


class Part(NamedTuple):
    """What a refund takes of one line."""

    units: Decimal
    amount_minor: int  # as it was given back
    tax_minor: int
    worth_minor: int  # what the units cost at the price in force, reductions not taken off
    worth_tax_minor: int
    lowered: Decimal = ZERO  # of the units: those that were sent, whose price falls
    advanced: Decimal = ZERO  # those still in the house, which do not leave for nothing

    @property
    def lowered_minor(self) -> int:
        return running_share(self.worth_minor, self.units, self.lowered)

    @property
    def advanced_minor(self) -> int:
        both = running_share(self.worth_minor, self.units, self.lowered + self.advanced)
        return both - self.lowered_minor


class Effect(NamedTuple):
    """What an amount given back changes of what is owed, beside the units of its lines."""

    lowers_minor: int = 0  # of the order, whichever goods
    advances_minor: int = 0  # for goods in the house that are not wanted
    reduces: Mapping[int, Reduction] = {}  # by line_no


# -- units ---------------------------------------------------------------------------------------


def of_sent(reason: str, return_id: str | None) -> bool:
    return return_id is not None or reason in OF_SENT


def of_units(line: OrderLine, units: Decimal, sent_first: bool) -> tuple[Decimal, Decimal]:
    """Of units to refund, those that were sent, and those still in the house. Units that nothing
    is owed for come first, unless the refund is for sent ones: with a fault, or lost.
    """
    gone = max(ZERO, line.gone - (line.refunded - line.lowered - line.advanced))
    sent = max(ZERO, line.sent - line.lowered - line.relieved)
    first = min(units, sent) if sent_first else ZERO
    free = min(gone, units - first)
    lowered = min(units - free, sent)
    return lowered, units - free - lowered


def reduction_minor(line: OrderLine, units: Decimal, sent_first: bool) -> int:
    """What was given back of the price of units before, by amount: it goes with them."""
    lowered, advanced = of_units(line, units, sent_first)
    return line.reduced_minor - line.reduced_of(line.owing - lowered - advanced)


def left_minor(line: OrderLine, units: Decimal, sent_first: bool) -> int:
    """What `units` more of a line give back, with discounts, tax and reductions."""
    return max(0, line.left_minor(units) - reduction_minor(line, units, sent_first))


def placed(line: OrderLine, part: Part, sent_first: bool) -> Part:
    """The part, with the units that it is for as they are now."""
    lowered, advanced = of_units(line, part.units, sent_first)
    return part._replace(lowered=lowered, advanced=advanced)


# -- amounts -------------------------------------------------------------------------------------


def beside(state: Order, parts: Mapping[int, Part], shipping_minor: int, fee_minor: int) -> int:
    """Of a refund by lines, what it lowers beside their units: the shipping, less what is kept."""
    shipping = 0 if state.shipping_cancelled else shipping_minor
    goods = sum(part.lowered_minor + part.advanced_minor for part in parts.values())
    return max(shipping - fee_minor, -goods)


def by_amount(state: Order, amount_minor: int, reason: str) -> Effect:
    """A credit only goes back, and so does what was paid too much. The rest is a price that falls:
    of all goods alike, sent or not. But for what is not wanted only that of goods that were sent.
    """
    rest = max(0, amount_minor - max(0, state.net_paid_minor - state.owed_minor))
    if reason == TOO_MUCH or not rest:
        return Effect()
    room = _room(state)
    if reason not in NOT_KEPT:
        goods = min(rest, sum(room.values()))
        return Effect(rest - goods, 0, _reduced(state, goods, room))
    worth = sum(line.share(line.gross_minor, line.sent) for line in state.lines.values())
    lowered = state.lowered_minor + state.relieved_minor + state.reduced_minor
    goods = min(rest, max(0, worth - lowered), sum(room.values()))
    return Effect(0, rest - goods, _reduced(state, goods, room))


def _room(state: Order) -> dict[int, int]:
    """What each line's units that are owed cost, after what was taken off them before."""
    return {
        no: line.share(line.gross_minor, line.owing) - line.reduced_minor
        for no, line in state.lines.items()
        if line.owing > 0
    }


def _reduced(state: Order, amount_minor: int, room: Mapping[int, int]) -> dict[int, Reduction]:
    if not amount_minor:
        return {}
    parts = zip(room, split(amount_minor, [*room.values()]), strict=True)
    return {no: Reduction(part, state.lines[no].owing) for no, part in parts if part}


# -- prices and units that change afterwards -----------------------------------------------------


def repriced(old: OrderLine, new: OrderLine, refunds: Mapping[str, Refund]) -> dict[str, Part]:
    """By refund_id, the parts of a line at its new price: running shares as for the units, so that
    what is given back of all of it comes to its gross.
    """
    no, before = new.priced.line_no, old.relieved
    changed: dict[str, Part] = {}
    for refund_id, refund in refunds.items():
        part = refund.lines.get(no)
        if part is None or refund.status == "denied":
            continue
        start = before if refund.counts else ZERO
        end = start + part.units
        worth = part.worth_minor + _more(old, new, "gross", start, end)
        tax = part.worth_tax_minor + _more(old, new, "tax", start, end)
        changed[refund_id] = part._replace(worth_minor=max(0, worth), worth_tax_minor=max(0, tax))
        before = end if refund.counts else before
    return changed


def relieved(old: OrderLine, new: OrderLine) -> OrderLine:
    """Units that came back unpaid are owed no longer at the new price either."""
    worth = old.relieved_minor + _more(old, new, "gross", ZERO, old.relieved)
    tax = old.relieved_tax_minor + _more(old, new, "tax", ZERO, old.relieved)
    return replace(new, relieved_minor=max(0, worth), relieved_tax_minor=max(0, tax))


def _more(old: OrderLine, new: OrderLine, what: str, start: Decimal, end: Decimal) -> int:
    """By how much more the units of a line from `start` to `end` cost, or their tax."""
    return (
        _worth(new, what, end)
        - _worth(new, what, start)
        - (_worth(old, what, end) - _worth(old, what, start))
    )


def _worth(line: OrderLine, what: str, units: Decimal) -> int:
    return line.share(line.gross_minor if what == "gross" else line.priced.tax_minor, units)


def freed(part: Part, units: Decimal, counter: str) -> Part:
    """Of units of a part that are bought no more, or were refused, the price falls no longer."""
    return part._replace(**{counter: getattr(part, counter) - units})


def bare(part: Part, units: Decimal) -> Part:
    """A part without units in the house: what was given back for these stands for money only."""
    left = part.units - units
    return Part(
        left,
        running_share(part.amount_minor, part.units, left),
        running_share(part.tax_minor, part.units, left),
        running_share(part.worth_minor, part.units, left),
        running_share(part.worth_tax_minor, part.units, left),
        part.lowered,
        part.advanced - units,
    )
