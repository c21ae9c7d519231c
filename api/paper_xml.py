"""A paper as a structured e-invoice: EN 16931 in the CII syntax, which Factur-X embeds in its PDF.

Fields are named by the standard's business terms (BT, BG). Importing this takes a second.
"""

from __future__ import annotations

from typing import Any

from facturx import generate_cii_xml

from api.paper_view import ADDRESS_LINES, PaperShown, percent
from api.paper_words import clean
from domain import exemption
from domain.exemption import VATEX
from domain.invoice_facts import OrderCredited, PaperLine, RateSum
from domain.money import minor_digits
from domain.order_facts import Exemption
from domain.values import quantity_json

LEVEL = "en16931"
DIGITS_MAX = 2  # of an amount, says the standard
INVOICE, CREDIT_NOTE = "380", "381"  # UNTDID 1001

# UN/ECE recommendation 20 and 21; what has no code is counted in `one`.
UNITS = {
    "pcs": "H87",
    "kg": "KGM",
    "g": "GRM",
    "l": "LTR",
    "ml": "MLT",
    "m": "MTR",
    "m2": "MTK",
    "h": "HUR",
    "set": "SET",
    "pair": "PR",
    "box": "XBX",
    "bag": "XBG",
    "bottle": "XBO",
}
ONE = "C62"

# UNTDID 4461. A credit transfer needs an account, cards and balances have no better code.
MEANS = {
    "bank_transfer": "30",
    "credit_card": "48",
    "alipay": "68",
    "wechat_pay": "68",
    "cash_on_delivery": "10",
}
OTHER_MEANS = "ZZZ"
EXPORT = "G"  # UNTDID 5305


class NotExpressible(Exception):
    """The standard has no words for this paper."""


def xml(shown: PaperShown) -> bytes:
    """UTF-8 XML, valid by the schema. Raises NotExpressible."""
    try:
        digits = minor_digits(shown.paper.currency)
    except ValueError:
        raise NotExpressible(f"{shown.paper.currency} is no currency of ISO 4217") from None
    if digits > DIGITS_MAX:
        raise NotExpressible(f"{shown.paper.currency} has {digits} decimals, EN 16931 {DIGITS_MAX}")
    _require_vat_id_of_exports(shown)
    made: bytes = generate_cii_xml(terms(shown), level=LEVEL, check_schematron=False)
    return made


def _require_vat_id_of_exports(shown: PaperShown) -> None:
    exports = any(exemption.category(one) == EXPORT for one in shown.exemptions)
    if exports and not shown.seller.vat_id:
        raise NotExpressible("EN 16931 wants the seller's VAT number on an export")


def terms(shown: PaperShown) -> dict[str, Any]:
    """The paper by business terms: amounts as decimal strings, dates as dates."""
    paper, money = shown.paper, shown.money
    net, tax = money(paper.net_minor), money(paper.tax_minor)
    return {
        "BT-1": clean(paper.number),
        "BT-2": paper.issue_date,
        "BT-3": CREDIT_NOTE if shown.is_credit else INVOICE,
        "BT-5": paper.currency,
        "BT-14": clean(shown.order_number),
        "BT-20": shown.terms,
        **_means(shown),
        "BG-3": _preceding(shown),
        "BG-4": _seller(shown),
        "BG-7": _buyer(shown),
        "BG-13": {"name": clean(shown.buyer_name), "country_code": clean(shown.country)},
        "BG-1": [{"BT-22": clean(text)} for text in shown.remarks],
        "BG-23": _breakdown(shown),
        "BG-25": [_line(shown, number, line) for number, line in enumerate(paper.lines, start=1)],
        "BT-106": net,
        "BT-109": net,
        "BT-110": tax,
        "BT-112": money(paper.total_minor),
        "BT-113": money(shown.paid_minor),
        "BT-115": money(shown.due_minor),
    }


def _means(shown: PaperShown) -> dict[str, Any]:
    code = MEANS.get(shown.payment_method, OTHER_MEANS)
    account = shown.seller.bank_account
    if code != MEANS["bank_transfer"]:
        return {"BT-81": code}
    return {"BT-81": code, "BT-84": clean(account)} if account else {"BT-81": OTHER_MEANS}


def _preceding(shown: PaperShown) -> list[dict[str, Any]]:
    if not isinstance(shown.paper, OrderCredited):
        return []
    return [{"BT-25": clean(shown.paper.invoice_number), "BT-26": shown.paper.invoice_date}]


def _breakdown(shown: PaperShown) -> list[dict[str, Any]]:
    """By category and rate: the standard has one entry for all that is exempt, whatever for."""
    found: dict[tuple[str, int], list[RateSum]] = {}
    for one in shown.paper.rates:
        found.setdefault((_category(one), one.tax_rate_bp), []).append(one)
    return [
        {
            "BT-116": shown.money(sum(one.net_minor for one in sums)),
            "BT-117": shown.money(sum(one.tax_minor for one in sums)),
            "BT-118": category,
            "BT-119": percent(rate_bp),
            **_reasons([one.exemption for one in sums if one.exemption]),
        }
        for (category, rate_bp), sums in found.items()
    ]


def _reasons(why: list[Exemption]) -> dict[str, str]:
    """All reasons as text, and the code where there is one that the standard knows."""
    if not why:
        return {}
    text = {"BT-120": clean("; ".join(dict.fromkeys(map(exemption.words, why))))}
    codes = {one.code for one in why}
    return {**text, "BT-121": codes.pop()} if len(codes) == 1 and codes <= VATEX else text


def _category(one: PaperLine | RateSum) -> str:
    """UNTDID 5305: standard rate, zero rated, or what an exemption says."""
    if one.exemption is not None:
        return exemption.category(one.exemption)
    return "S" if one.tax_rate_bp else "Z"


def _line(shown: PaperShown, number: int, line: PaperLine) -> dict[str, Any]:
    """The price is that of the whole quantity, so that price by quantity is the amount exactly."""
    units = str(quantity_json(line.quantity)) if line.quantity else "1"
    net = shown.money(line.net_minor)
    return {
        "BT-126": str(number),
        "BT-129": units,
        "BT-130": UNITS.get(line.unit.lower(), ONE) if line.quantity else ONE,
        "BT-131": net,
        "BT-146": net,
        "BT-149": units,
        "BT-151": _category(line),
        "BT-152": percent(line.tax_rate_bp),
        "BT-153": clean(shown.line_name(line)),
        **({"BT-155": clean(line.sku)} if line.sku else {}),
    }


def _seller(shown: PaperShown) -> dict[str, Any]:
    seller = shown.seller
    address = {name: getattr(seller, name) for name in ADDRESS_LINES}
    party = {"name": clean(seller.name), **_address(address)}
    if seller.vat_id:
        party["vat_identifier"] = clean(seller.vat_id)
    if seller.tax_id:
        party |= {"tax_identifier": clean(seller.tax_id), "identifiers": {None: seller.tax_id}}
    contact = {"name": seller.name, "phone": seller.phone, "email": seller.email}
    if seller.phone or seller.email:
        party["contacts"] = [{name: clean(value) for name, value in contact.items() if value}]
    return party


def _buyer(shown: PaperShown) -> dict[str, Any]:
    known = shown.address if isinstance(shown.address, dict) else {}
    address = known if known.get("line1") else {}
    return {"name": clean(shown.buyer_name), **_address(address | {"country": shown.country})}


def _address(address: dict[str, Any]) -> dict[str, Any]:
    names = {
        "addr_l1": "line1",
        "addr_l2": "line2",
        "city": "city",
        "country_subdivision": "region",
        "postcode": "postal_code",
        "country_code": "country",
    }
    found = {term: address.get(name) for term, name in names.items()}
    return {term: clean(value) for term, value in found.items() if value}
