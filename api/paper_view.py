"""What is printed on an invoice or a credit note: the fact, and the customer as of its version.

The customer is not in the fact but on the order, sealed: who may not see personal data gets the
same paper masked, and after an erasure it stays without a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from api.paper_words import DISCOUNTS, WORDS
from domain import order_fold
from domain.invoice_amounts import FEE, LINE
from domain.invoice_facts import SHIPPING, OrderCredited, OrderInvoiced, PaperLine, RateSum, Seller
from domain.message import Event, Sealed
from domain.money import CURRENCIES, format_minor
from domain.order_facts import Discount, Exemption, OrderPlaced, ShippingAddressAmended
from domain.order_state import Order
from domain.policy_words import label
from domain.values import quantity_json

Paper = OrderInvoiced | OrderCredited

MASKED = "***"
ADDRESS_LINES = ("line1", "line2", "city", "region", "postal_code", "country")


@dataclass(frozen=True)
class PaperShown:
    """One paper with its customer: personal values sealed, in clear, or masked (None)."""

    paper: Paper
    language: str
    order_number: str
    payment_method: str
    country: str  # of the customer
    contact: Any = None  # mapping, Sealed or None
    address: Any = None
    certificate: Any = None  # text, Sealed or None; of the customer's exemption from tax
    has_certificate: bool = False

    @property
    def sealed(self) -> dict[str, Sealed]:
        names = ("contact", "address", "certificate")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if isinstance(value, Sealed)}

    def opened(self, values: Mapping[str, Any]) -> PaperShown:
        """With what `values` say in place of the sealed: JSON data, or a word why there is none."""
        return replace(self, **values)

    # -- what the templates ask ------------------------------------------------------------------

    @property
    def is_credit(self) -> bool:
        return isinstance(self.paper, OrderCredited)

    def word(self, name: str) -> str:
        return WORDS[name][self.language]

    @property
    def title(self) -> str:
        return self.word("credit_note" if self.is_credit else "invoice")

    @property
    def seller(self) -> Seller:
        return self.paper.seller

    @property
    def seller_lines(self) -> list[str]:
        return address_lines({name: getattr(self.seller, name) for name in ADDRESS_LINES})

    @property
    def seller_ids(self) -> list[tuple[str, str]]:
        seller = self.seller
        found = {
            "tax_id": seller.tax_id,
            "vat_id": seller.vat_id,
            "phone": seller.phone,
            "email": seller.email,
            "bank_account": seller.bank_account,
        }
        return [(self.word(name), value) for name, value in found.items() if value]

    @property
    def buyer_name(self) -> str:
        return str(_field(self.contact, "name") or MASKED)

    @property
    def buyer_lines(self) -> list[str]:
        if _field(self.address, "line1") is None:
            return [MASKED]
        return address_lines(self.address)

    @property
    def references(self) -> list[tuple[str, str]]:
        """Label and value of what the paper refers to."""
        found = [
            (self.word("number"), self.paper.number),
            (self.word("issue_date"), self.paper.issue_date.isoformat()),
            (self.word("order"), self.order_number),
        ]
        if isinstance(self.paper, OrderCredited):
            day: date = self.paper.invoice_date
            found.append((self.word("corrects"), f"{self.paper.invoice_number} ({day})"))
        return found

    def line_name(self, line: PaperLine) -> str:
        if line.ref == SHIPPING:
            return self.word("shipping")
        if line.ref.startswith(FEE):
            return self.word("cancellation_fee")
        change = line.quantity == 0
        return f"{line.name} ({self.word('price_change')})" if change else line.name

    def quantity(self, line: PaperLine) -> str:
        if not line.quantity or not line.ref.startswith(LINE):
            return ""
        unit = self.word("pcs") if line.unit == "pcs" else line.unit
        return f"{quantity_json(line.quantity)} {unit}"

    def unit_price(self, line: PaperLine) -> str:
        """In major units, as fine as it was agreed."""
        if line.unit_price_minor is None or self.is_credit or not line.quantity:
            return ""
        minor = Decimal(line.unit_price_minor)
        if minor == int(minor):
            return self.money(int(minor))
        digits = len(self.money(1).partition(".")[2])
        return format(minor.scaleb(-digits).normalize(), "f")

    def money(self, minor: int) -> str:
        """Imports may have a currency that nobody knows: then minor units as they are."""
        currency = self.paper.currency
        return format_minor(minor, currency) if currency in CURRENCIES else str(minor)

    def rate(self, one: PaperLine | RateSum) -> str:
        return self.word("exempt") if one.exemption else f"{percent(one.tax_rate_bp)} %"

    @property
    def exemptions(self) -> list[Exemption]:
        """Why something is exempt from tax, each reason once."""
        return [one.exemption for one in self.paper.rates if one.exemption]

    @property
    def discounts(self) -> list[Discount]:
        """By name, within the discounts of the lines."""
        return (isinstance(self.paper, OrderInvoiced) and self.paper.discounts) or []

    @property
    def certificate_number(self) -> str | None:
        """None where the paper needs none, or has none."""
        if not (self.exemptions and self.has_certificate):
            return None
        return self.certificate if isinstance(self.certificate, str) else MASKED

    @property
    def remarks(self) -> list[str]:
        """What stands below the sums: why there is no tax, and which discounts there were."""
        told = [f"{self.word('exemption')}: {_reason(one)}" for one in self.exemptions]
        if self.certificate_number is not None:
            told.append(f"{self.word('certificate')}: {self.certificate_number}")
        return [*told, *map(self._discount, self.discounts)]

    def _discount(self, one: Discount) -> str:
        kind = DISCOUNTS.get(one.kind, {}).get(self.language, one.kind)
        name = " ".join(part for part in (kind, one.code, f"({one.title})") if part)
        amount = f"{self.money(one.amount_minor)} {self.paper.currency}"
        return f"{self.word('discount_included')}: {name} {amount}"

    @property
    def columns(self) -> list[str]:
        """Headings of the table of lines: names, then numbers."""
        names = ("item", "quantity", "unit_price", "discount", "net", "rate", "tax", "gross")
        return [self.word(name) for name in names]

    @property
    def rows(self) -> list[list[str]]:
        return [
            [
                self.line_name(line),
                self.quantity(line),
                self.unit_price(line),
                self.money(line.discount_minor) if line.discount_minor else "",
                self.money(line.net_minor),
                self.rate(line),
                self.money(line.tax_minor),
                self.money(line.gross_minor),
            ]
            for line in self.paper.lines
        ]

    @property
    def rate_rows(self) -> list[list[str]]:
        return [
            [
                self.rate(one),
                self.money(one.net_minor),
                self.money(one.tax_minor),
                self.money(one.gross_minor),
            ]
            for one in self.paper.rates
        ]

    @property
    def paid_minor(self) -> int:
        return self.paper.paid_minor if isinstance(self.paper, OrderInvoiced) else 0

    @property
    def due_minor(self) -> int:
        return self.paper.total_minor - self.paid_minor

    @property
    def totals(self) -> list[tuple[str, str]]:
        """The last one is the sum to pay, or to be paid back."""
        paper, currency = self.paper, self.paper.currency
        found = [("net", paper.net_minor), ("tax", paper.tax_minor), ("total", paper.total_minor)]
        if not self.is_credit:
            found += [("paid", self.paid_minor), ("due", self.due_minor)]
        return [(self.word(name), f"{self.money(minor)} {currency}") for name, minor in found]

    @property
    def terms(self) -> str:
        method = label(self.payment_method, self.language)
        return f"{self.word('payment')}: {method}"


def _reason(one: Exemption) -> str:
    return f"{one.code}, {one.reason}" if one.reason else one.code


def percent(rate_bp: int) -> str:
    """Basis points as people read them: 1300 is 13, 550 is 5.5."""
    return format((Decimal(rate_bp) / 100).normalize(), "f")


def address_lines(address: Mapping[str, Any]) -> list[str]:
    """As an envelope has it; the country is its code."""
    town = " ".join(str(address[n]) for n in ("postal_code", "city", "region") if address.get(n))
    lines = [address.get("line1"), address.get("line2"), town, address.get("country")]
    return [str(line) for line in lines if line]


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def shown(events: Iterable[Event], paper_id: str, language: str | None) -> PaperShown | None:
    """The paper of an order's events, and the customer as they were known by then."""
    state, region = Order(), None
    for event in events:
        state = order_fold.evolve(state, event)
        if isinstance(event, OrderPlaced | ShippingAddressAmended):
            region = event.region
        if isinstance(event, OrderInvoiced | OrderCredited) and event.paper_id == paper_id:
            country = (region or event.seller.country).partition("-")[0]
            return PaperShown(
                paper=event,
                language=language or event.language,
                order_number=state.number,
                payment_method=state.payment_method,
                country=country,
                contact=state.contact,
                address=state.billing_address or state.shipping_address,
                certificate=state.exemption_certificate,
                has_certificate=state.exemption_certificate is not None,
            )
    return None
