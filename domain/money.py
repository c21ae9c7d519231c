"""Money: integer minor units of a currency, rounded in one place and split so nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Minor: TypeAlias = int  # an amount in minor units: 12000 is 120.00 CNY, 120 JPY is 120
Currency: TypeAlias = str  # ISO 4217 alphabetic code

# ISO 4217 table A.1 and its exponents. Gold, drawing rights, test codes and the like have no minor
# unit and are no currency of an order.
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO_DECIMALS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL
MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR
PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"
# Withdrawn since 2021. A code stays for ever: what was ordered in it must still be readable.
_WITHDRAWN_TWO_DECIMALS = "ANG BGN CUC HRK SLL ZWL"

_MINOR_DIGITS: dict[Currency, int] = {
    code: digits
    for digits, codes in (
        (0, _NO_DECIMALS),
        (2, _TWO_DECIMALS),
        (2, _WITHDRAWN_TWO_DECIMALS),
        (3, _THREE_DECIMALS),
        (4, _FOUR_DECIMALS),
    )
    for code in codes.split()
}
CURRENCIES: frozenset[Currency] = frozenset(_MINOR_DIGITS)


def minor_digits(currency: Currency) -> int:
    """Decimal places of a currency's minor unit: 2 for CNY, 0 for JPY, 3 for KWD.

    ISO 4217 exponents; the code in capitals. Raises ValueError for a code not in the list.
    """
    try:
        return _MINOR_DIGITS[currency]
    except KeyError:
        raise ValueError(f"{currency!r} is no ISO 4217 currency with a minor unit") from None


def ratio_half_up(numerator: int, denominator: int) -> int:
    """The integer nearest to a fraction, halves away from zero: 5/2 is 3, -5/2 is -3.

    The only place where money is rounded. Exact: integers only. Raises ValueError for a
    denominator that is not positive.
    """
    if denominator <= 0:
        raise ValueError(f"denominator {denominator} is not positive")
    rounded = (2 * abs(numerator) + denominator) // (2 * denominator)
    return rounded if numerator >= 0 else -rounded


def split(total_minor: Minor, weights: Sequence[int]) -> list[Minor]:
    """Split an amount by weights so that the parts sum to it exactly.

    Largest remainder, ties to the lower index; each part is within one minor unit of its exact
    share. When all weights are zero none is worth more than another, so the parts are even. A
    negative amount is split like the positive one. Raises ValueError for a negative weight, or for
    an amount with nothing to split it over.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    if not weights and total_minor:
        raise ValueError(f"{total_minor} cannot be split over nothing")
    sign = -1 if total_minor < 0 else 1
    return [sign * part for part in _largest_remainder(abs(total_minor), weights)]


def _largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    # sorted() is stable, so equal remainders stay in index order.
    neediest = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for index in neediest[: total - sum(parts)]:
        parts[index] += 1
    return parts


def format_minor(amount: Minor, currency: Currency) -> str:
    """An amount as people read it, without the code: "120.00" CNY, "120" JPY, "0.120" KWD.

    Raises ValueError for an unknown currency.
    """
    digits = minor_digits(currency)
    sign = "-" if amount < 0 else ""
    text = str(abs(amount)).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def shown_minor(amount: Minor, currency: Currency) -> str:
    """As people read it; imports may have a currency that nobody knows."""
    try:
        return format_minor(amount, currency)
    except ValueError:
        return str(amount)
