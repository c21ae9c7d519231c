"""Why a sale bears no tax. Not the same as a rate of zero: the reason stands on the invoice.

An exemption changes no arithmetic: what is exempt has no rate, so the price is what was agreed,
with no tax in it and none on top (ADR 0002).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from domain.order_facts import Exemption
from domain.values import Text, Value

# The VATEX codes of EN 16931 that say why a sale is exempt (category E), and exports (category G).
# Left out are reverse charge, supplies within the EU and what is outside the tax's scope: they are
# no exemptions but categories with duties of their own, such as the buyer's VAT number.
_EU = """
132 132-1A 132-1B 132-1C 132-1D 132-1E 132-1F 132-1G 132-1H 132-1I 132-1J 132-1K 132-1L 132-1M
132-1N 132-1O 132-1P 132-1Q 135-1 143 143-1A 143-1B 143-1C 143-1D 143-1E 143-1F 143-1FA 143-1G
143-1H 143-1I 143-1J 143-1K 143-1L 144 146-1E 148 148-A 148-B 148-C 148-D 148-E 148-F 148-G 151
151-1A 151-1AA 151-1B 151-1C 151-1D 151-1E 153 159 309 79-C D F G I J
"""
_FR = """
298SEXDECIESA CGI261-1 CGI261-2 CGI261-3 CGI261-4 CGI261-5 CGI261-7 CGI261-8 CGI261A CGI261B
CGI261C-1 CGI261C-2 CGI261C-3 CGI261D-1 CGI261D-1BIS CGI261D-2 CGI261D-3 CGI261D-4 CGI261E-1
CGI261E-2 CGI275 CGI277A CGI295 CNWVAT FRANCHISE
"""
VATEX: frozenset[str] = frozenset(
    f"VATEX-{country}-{code}"
    for country, codes in (("EU", _EU), ("FR", _FR))
    for code in codes.split()
)
EXPORT = "VATEX-EU-G"

_OWN_CODE = re.compile(r"[a-z][a-z0-9_]*")


def _code(code: str) -> str:
    if code not in VATEX and not _OWN_CODE.fullmatch(code):
        raise ValueError(
            "must be a VATEX code of an exemption such as VATEX-EU-132, or a word such as charity"
        )
    return code


class ExemptionBody(Value):
    """A VATEX code, which says its reason by itself, or a word of one's own with the reason.

    The reason is printed, and stays after an erasure: it names a rule of law and no person.
    """

    code: Annotated[str, Field(max_length=64), AfterValidator(_code)]
    reason: Annotated[Text | None, Field(validate_default=True)] = None

    @field_validator("reason")
    @classmethod
    def _own_words_need_a_reason(cls, value: str | None, info: ValidationInfo) -> str | None:
        code = info.data.get("code")
        if value is None and code is not None and code not in VATEX:
            raise ValueError(f"is required: {code} is no VATEX code")
        return value


def fact(body: ExemptionBody | None) -> Exemption | None:
    return None if body is None else Exemption(code=body.code, reason=body.reason)


def words(one: Exemption) -> str:
    """The reason as it is printed."""
    return one.reason or one.code


def category(one: Exemption) -> Literal["E", "G"]:
    """UNTDID 5305: exempt, or an export."""
    return "G" if one.code == EXPORT else "E"
