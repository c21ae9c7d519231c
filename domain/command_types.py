"""The types of the fields of commands and their bodies, and how a body becomes a command.

A body is what a client sends; a command is the body with the ids and the time that were chosen
before it is decided. Errors of a body name the field (`lines.0.quantity`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo

from domain.message import Command
from domain.money import CURRENCIES
from domain.policy_rules import Day
from domain.times import EARLIEST
from domain.values import (
    AMOUNT_MINOR_MAX,
    LINES_MAX,
    QUANTITY_MAX,
    Address,
    AskedQuantity,
    Identifier,
    Quantity,
    Value,
)

EVIDENCE_MAX = 50
NUMBERS_MAX = 20
VALUE_DAYS_AHEAD_MAX = 31  # of the command's `at`

# ISO 3166-1 alpha-2, the officially assigned codes.
_COUNTRIES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR
BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ
EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW
GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY
KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV
MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY
QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG
TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM
ZW
"""
COUNTRIES: frozenset[str] = frozenset(_COUNTRIES.split())

Channel = Literal["web", "phone", "store", "marketplace", "import"]
PaymentMethod = Literal[
    "bank_transfer",
    "credit_card",
    "alipay",
    "wechat_pay",
    "cash_on_delivery",
    "store_credit",
    "gift_balance",
    "on_account",
]
Initiator = Literal["customer", "operator", "seller", "system"]
RefundReason = Literal[
    "cancellation",
    "quality_problem",
    "wrong_item",
    "damaged",
    "not_as_described",
    "lost",
    "late",
    "changed_mind",
    "overpayment",
    "other",
]
CaseCause = Literal["system", "operator", "customer", "supplier", "carrier"]


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("must be an ISO 3166-1 alpha-2 code such as CN")
    return code


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("must be an ISO 4217 code such as CNY")
    return code


def _value_date(day: date, info: ValidationInfo) -> date:
    """A body does not know `at`: what lies too far ahead is found when it becomes a command."""
    if day < EARLIEST.date():
        raise ValueError(f"must not be before {EARLIEST.date()}")
    at = info.data.get("at")  # the first field of every command
    if at is not None and day - at.date() > timedelta(days=VALUE_DAYS_AHEAD_MAX):
        raise ValueError(f"must not be more than {VALUE_DAYS_AHEAD_MAX} days ahead")
    return day


def _without_slash(text: str) -> str:
    # Shop and carrier are the first half of a claimed key `shop/reference`.
    if "/" in text:
        raise ValueError("must not contain a slash")
    return text


def all_different(keys: Iterable[Hashable], what: str) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"{what} {key} stands twice")
        seen.add(key)


Country = Annotated[str, AfterValidator(_country)]
CurrencyCode = Annotated[str, AfterValidator(_currency)]
Handle = Annotated[Identifier, AfterValidator(_without_slash)]
ValueDate = Annotated[
    Day,
    AfterValidator(_value_date),
    Field(description="The shop's day from which the money counts; when absent, that of its time"),
]
PositiveMinor = Annotated[int, Field(gt=0, le=AMOUNT_MINOR_MAX, strict=True)]
LineNo = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
UnitPrice = Annotated[str, Field(pattern=r"^[0-9]{1,13}(\.[0-9]{1,6})?$")]  # major units
ReasonCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
AmendedQuantity = Annotated[
    Quantity, Field(ge=0, le=QUANTITY_MAX, decimal_places=3, allow_inf_nan=False)
]
# SHA-256 of an uploaded file, as hex.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Evidence = Annotated[list[Digest], Field(default_factory=list, max_length=EVIDENCE_MAX)]
Id = Identifier  # of an order, parcel, payment, refund or note: chosen outside `decide`
AnotherThan = Annotated[
    Id,
    Field(
        description="Id of the payment that this one looks like and is not: by method, reference "
        "and amount it would be taken for that one, sent again"
    ),
]


class PostalAddress(Address):
    """An address as a command takes it: the country is a code."""

    country: Country


class LineQuantityBody(Value):
    line_no: LineNo
    quantity: AskedQuantity


def _lines_once(lines: list[LineQuantityBody]) -> list[LineQuantityBody]:
    all_different((item.line_no for item in lines), "line_no")
    return lines


LineQuantities = Annotated[
    list[LineQuantityBody], Field(min_length=1, max_length=LINES_MAX), AfterValidator(_lines_once)
]
C = TypeVar("C", bound=Command)


def with_ids(kind: type[C], body: BaseModel, **ids: Any) -> C:
    """The command `kind` of a body that was already validated, with its ids and `at`.

    Raises ValidationError for what only `at` shows to be wrong: a time too far ahead.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return kind.model_validate({**given, **ids})
