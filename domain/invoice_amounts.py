"""What of an order is invoiced, what may be, and what has to be credited, to the cent (ADR 0011).

Per charge (a line, shipping, a fee) three sums are kept apart: what is owed by now, what was billed
for it (invoices less corrections and reductions), and what was credited because money was given
back for what is still owed. Owed less billed is open: above zero it may be invoiced, below zero it
has to be credited. So when nothing is open, the papers say what the order says, by line and rate.

A credit note stands for money given back only as far as that is so by now (`standing`): where the
payout failed, or what was refunded is owed no more, the note is like one that followed a fall, and
what it took off too much is open and invoiced again. A fee for lateness is on no paper: it is
damages for the delay, not a price for a supply, it grows by the day and may be waived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.invoice_facts import SHIPPING, PaperLine, RateSum
from domain.money import ratio_half_up, split
from domain.order_facts import Discount, Exemption
from domain.order_line import ZERO, OrderLine
from domain.order_papers import CreditNote, Invoice
from domain.order_state import Order
from domain.pricing import running_share

LINE = "line/"
FEE = "fee/"
CANCELLATION_FEE = "cancellation fee"
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Amount:
    """Units, and what they come to in minor units, tax included, and the tax within."""

    units: Decimal = ZERO
    gross: int = 0
    tax: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.units + other.units, self.gross + other.gross, self.tax + other.tax)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.units - other.units, self.gross - other.gross, self.tax - other.tax)

    def __neg__(self) -> Amount:
        return NOTHING - self

    @property
    def to_invoice(self) -> bool:
        """Tax alone differs where a change moved what was rounded by a cent."""
        return self.gross > 0 or (self.gross == 0 and self.tax > 0)


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Charge:
    """Something that an order costs, and what is owed for it by now."""

    ref: str
    name: str
    tax_rate_bp: int
    owed: Amount
    sku: str | None = None
    unit: str = "pcs"
    unit_price_minor: str | None = None
    discount_minor: int = 0  # within what is owed
    discount_shares: tuple[int, ...] = ()  # of it, by the order's named discounts
    exemption: Exemption | None = None


def charges(state: Order) -> dict[str, Charge]:
    """All that the order costs, by ref. A cancellation fee is one more entry of one unit."""
    found = {f"{LINE}{no}": _of_line(line) for no, line in state.lines.items()}
    if state.shipping_minor and not state.shipping_cancelled:
        owed = _shipping_owed(state)
        rate = state.papers.shipping_tax_rate_bp
        why = None if rate else state.exemption  # History may tax what it calls exempt.
        found[SHIPPING] = Charge(SHIPPING, SHIPPING, rate, owed, exemption=why)
    for nth, fee in enumerate(state.fees, start=1):
        owed = Amount(ONE, fee.amount_minor, fee.tax_minor)
        found[f"{FEE}{nth}"] = Charge(f"{FEE}{nth}", CANCELLATION_FEE, fee.tax_rate_bp, owed)
    return found


def _of_line(line: OrderLine) -> Charge:
    priced = line.priced
    owed = _owed(line)
    return Charge(
        ref=f"{LINE}{priced.line_no}",
        name=priced.name,
        tax_rate_bp=priced.tax_rate_bp,
        owed=owed,
        sku=priced.sku,
        unit=priced.unit,
        unit_price_minor=priced.unit_price_minor,
        discount_minor=_left_of(priced.discount_minor + priced.order_discount_minor, line, owed),
        discount_shares=tuple(
            _left_of(share, line, owed) for share in priced.discount_shares or ()
        ),
        exemption=priced.exemption,
    )


def _owed(line: OrderLine) -> Amount:
    """Less what came back before it was paid: it is owed no longer, nothing was given back. What is
    kept for restocking is still its price.
    """
    whole = Amount(line.quantity - line.gone, line.owed_minor, line.owed_tax_minor)
    if not line.relieved_minor:
        return whole
    fallen = line.relieved_minor - line.restocking_minor
    tax = ratio_half_up(line.relieved_tax_minor * fallen, line.relieved_minor)
    if fallen >= whole.gross:
        return Amount(max(ZERO, whole.units - line.relieved))
    return whole - Amount(line.relieved, fallen, tax)


def _shipping_owed(state: Order) -> Amount:
    whole = Amount(ONE, state.shipping_minor, state.shipping_tax_minor)
    fallen = min(state.shipping_relieved_minor, whole.gross)
    if not fallen:
        return whole
    units = ONE if fallen == whole.gross else ZERO
    return whole - Amount(units, fallen, ratio_half_up(whole.tax * fallen, whole.gross))


def _left_of(discount: int, line: OrderLine, owed: Amount) -> int:
    """Of a discount, what lies within what is still owed."""
    left = discount - line.share(discount, line.gone)
    whole = line.owed_minor
    return ratio_half_up(left * owed.gross, whole) if line.relieved_minor and whole > 0 else left


def amount(line: PaperLine) -> Amount:
    return Amount(line.quantity, line.gross_minor, line.tax_minor)


def summed(papers: Iterable[Invoice | CreditNote]) -> dict[str, Amount]:
    """The lines of papers added up by ref."""
    sums: dict[str, Amount] = {}
    for paper in papers:
        for line in paper.lines:
            sums[line.ref] = sums.get(line.ref, NOTHING) + amount(line)
    return sums


def given_minor(state: Order) -> int:
    """Refunds of what is still owed. Money back that was paid too much, or for what was cancelled,
    lowers no price by itself.
    """
    paid = state.paid_minor - state.late_fees_paid_minor  # These are not refunded.
    return max(0, min(billable_minor(state), paid) - (paid - state.refunded_minor))


def billable_minor(state: Order) -> int:
    """What is owed by now and stands on papers: all but the fee for lateness, and but for goods
    that came back unpaid.
    """
    return state.total_minor - state.money.late_fees_minor - relieved_minor(state)


def relieved_minor(state: Order) -> int:
    """By how much less is owed for what came back unpaid, and for sending it."""
    goods = sum(line.owed_minor - _owed(line).gross for line in state.lines.values())
    charged = state.shipping_minor and not state.shipping_cancelled
    return goods + (state.shipping_minor - _shipping_owed(state).gross if charged else 0)


def standing(state: Order) -> dict[str, Amount]:
    """What credit notes say of money given back that was given back, and for what is still owed.

    The oldest notes first, those last whose refund was denied or failed.
    """
    left = given_minor(state)
    if not left:
        return {}
    owed = {ref: charge.owed for ref, charge in charges(state).items()}
    found: dict[str, Amount] = {}
    for note in sorted(_after_refunds(state), key=lambda one: _fell_through(one, state)):
        for line in note.lines:
            before = found.get(line.ref, NOTHING)
            one = _up_to(amount(line), left, owed.get(line.ref, NOTHING) - before)
            found[line.ref] = before + one
            left -= one.gross
    return found


def _after_refunds(state: Order) -> list[CreditNote]:
    return [note for note in state.papers.credit_notes.values() if note.basis == "refund"]


def _fell_through(note: CreditNote, state: Order) -> bool:
    refund = state.refunds.get(note.refund_id or "")
    return refund is not None and not refund.counts


def _up_to(whole: Amount, left: int, owed: Amount) -> Amount:
    """With the tax of its share; all that is owed, with the tax of that."""
    part = max(0, min(whole.gross, left, owed.gross))
    units = whole.units if part == whole.gross else ZERO
    if part == owed.gross:
        return Amount(units, part, owed.tax)
    return Amount(units, part, ratio_half_up(whole.tax * part, whole.gross) if part else 0)


def billed(state: Order) -> dict[str, Amount]:
    """Invoices less the credit notes that made room for another invoice, or followed a fall."""
    papers = state.papers
    less, stands = summed(papers.credit_notes.values()), standing(state)
    return {
        ref: whole - (less.get(ref, NOTHING) - stands.get(ref, NOTHING))
        for ref, whole in summed(papers.invoices.values()).items()
    }


def open_amounts(state: Order) -> dict[str, Amount]:
    """Owed less billed by ref, also for what was removed from the order after it was billed."""
    owed = {ref: charge.owed for ref, charge in charges(state).items()}
    done = billed(state)
    refs = [*owed, *(ref for ref in done if ref not in owed)]
    return {ref: owed.get(ref, NOTHING) - done.get(ref, NOTHING) for ref in refs}


def room(state: Order, invoice: Invoice) -> dict[str, Amount]:
    """What can still be credited of an invoice, line by line."""
    notes = state.papers.credit_notes.values()
    credited = summed(note for note in notes if note.invoice_number == invoice.number)
    lines = summed([invoice])
    return {ref: whole - credited.get(ref, NOTHING) for ref, whole in lines.items()}


def excess(state: Order, invoice: Invoice) -> dict[str, Amount]:
    """What the invoice says above what is owed by now, as far as it can still be credited."""
    left = room(state, invoice)
    found = {}
    for ref, one in open_amounts(state).items():
        over = -one
        if ref in left and over.to_invoice:
            found[ref] = _within(over, left[ref])
    return {ref: one for ref, one in found.items() if one.to_invoice}


def _within(over: Amount, left: Amount) -> Amount:
    units = max(ZERO, min(over.units, left.units))
    if over.gross > left.gross:  # The rest stands on another invoice.
        return Amount(units, left.gross, left.tax)
    return Amount(units, over.gross, min(over.tax, max(left.tax, 0)))


def given_back_minor(state: Order) -> int:
    """Refunds of what is still owed that no credit note tells of yet."""
    return given_minor(state) - sum(one.gross for one in standing(state).values())


def next_units(charge: Charge, done: Amount, units: Decimal) -> Amount:
    """What `units` more of a charge come to: running shares, so that the parts sum to the whole."""
    owed, after = charge.owed, done.units + units
    if after >= owed.units:
        return owed - done
    gross = running_share(owed.gross, owed.units, after) - done.gross
    return Amount(units, gross, running_share(owed.tax, owed.units, after) - done.tax)


def credited_part(line: Amount, left: Amount, units: Decimal, gross: int) -> Amount:
    """`gross` more off an invoice's line, with the tax that goes with it; all of it to the cent."""
    if gross == left.gross:
        return Amount(units, gross, left.tax)
    before = line - left
    tax = ratio_half_up(line.tax * (before.gross + gross), line.gross) - before.tax
    return Amount(units, gross, min(max(tax, min(0, left.tax)), max(0, left.tax)))


def named_discounts(
    lines: Iterable[PaperLine], known: Mapping[str, Charge], discounts: Sequence[Discount]
) -> list[Discount]:
    """What each named discount gave of the lines' discounts; what has no name is the rest."""
    sums = [0] * len(discounts)
    for line in lines:
        charge = known[line.ref]
        named = charge.discount_shares
        unnamed = max(0, charge.discount_minor - sum(named))
        if line.discount_minor > 0 and any(named):
            _, *parts = split(line.discount_minor, [unnamed, *named])
            sums = [total + part for total, part in zip(sums, parts, strict=True)]
    return [
        one.model_copy(update={"amount_minor": total})
        for one, total in zip(discounts, sums, strict=True)
        if total
    ]


def rates(lines: Iterable[PaperLine]) -> list[RateSum]:
    """The lines by tax rate, the highest first; what is exempt last and by its reason."""
    sums: dict[tuple[int, str, str], tuple[int, int]] = {}
    exemptions: dict[tuple[int, str, str], Exemption | None] = {}
    for line in lines:
        why = line.exemption
        key = (line.tax_rate_bp, why.code if why else "", (why and why.reason) or "")
        gross, tax = sums.get(key, (0, 0))
        sums[key] = (gross + line.gross_minor, tax + line.tax_minor)
        exemptions[key] = why
    return [
        RateSum(
            tax_rate_bp=key[0],
            net_minor=gross - tax,
            tax_minor=tax,
            gross_minor=gross,
            exemption=exemptions[key],
        )
        for key, (gross, tax) in sorted(sums.items(), key=lambda one: (-one[0][0], one[0][1:]))
    ]
