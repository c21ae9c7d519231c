"""What an order desk can ask for: request bodies with their bounds, and the commands they become.

A body is what a client sends; a command is the body with the ids and the time that were chosen
before it is decided. Errors of a body name the field (`lines.0.quantity`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from domain.discount import DiscountBodies, DiscountBody
from domain.exemption import ExemptionBody
from domain.message import Command
from domain.money import CURRENCIES, shown_minor
from domain.order_facts import PaymentPart
from domain.parcel_facts import Milestone
from domain.policy_rules import Day
from domain.stock_item import Location
from domain.times import EARLIEST, Expected, Happened, Recordable, Utc
from domain.values import (
    AMOUNT_MINOR_MAX,
    LINES_MAX,
    QUANTITY_MAX,
    Address,
    AmountMinor,
    AskedQuantity,
    Contact,
    Identifier,
    LongText,
    OfFields,
    Quantity,
    RateBp,
    ShortText,
    Text,
    Value,
)

EVIDENCE_MAX = 50
PAYMENTS_MAX = 100
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
Dimension = Literal["stage", "payment", "fulfilment", "return"]

# What each dimension can be; DOMAIN.md, "Order".
DIMENSIONS: dict[str, tuple[str, ...]] = {
    "stage": (
        "draft",
        "received",
        "in_review",
        "on_hold",
        "approved",
        "in_progress",
        "completed",
        "cancelled",
        "rejected",
        "void",
    ),
    "payment": (
        "unpaid",
        "authorised",
        "partially_paid",
        "paid",
        "overdue",
        "partially_refunded",
        "refunded",
    ),
    "fulfilment": (
        "unallocated",
        "reserved",
        "backordered",
        "packed",
        "partially_shipped",
        "shipped",
        "partially_delivered",
        "delivered",
        "delivery_exception",
        "lost",
    ),
    "return": ("none", "requested", "approved", "received", "closed", "denied"),
}


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


def _all_different(keys: Iterable[Hashable], what: str) -> None:
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


class PostalAddress(Address):
    """An address as a command takes it: the country is a code."""

    country: Country


class LineBody(Value):
    """One line of an order. The unit price is either minor units or a decimal of major units."""

    sku: Identifier
    name: Text
    category: Text
    quantity: AskedQuantity
    unit: Text = "pcs"
    unit_price_minor: AmountMinor | None = None
    unit_price: Annotated[UnitPrice | None, Field(validate_default=True)] = None
    unit_cost_minor: AmountMinor | None = None
    tax_rate_bp: RateBp = 0
    exemption: ExemptionBody | None = None  # from tax: then there is no rate
    discount_minor: AmountMinor = 0
    location: Location = "main"

    @field_validator("exemption")
    @classmethod
    def _no_rate(cls, value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
        return _refuse_a_rate(value, info)

    @field_validator("unit_price")
    @classmethod
    def _one_price(cls, value: str | None, info: ValidationInfo) -> str | None:
        _refuse_two_prices(value, info)
        if value is None and info.data.get("unit_price_minor", ...) is None:
            raise ValueError("give unit_price_minor or unit_price")
        return value


class AmendLineBody(Value):
    """A change of line `line_no`, or a new line without it.

    What is absent stays as it is; quantity 0 removes the line.
    """

    line_no: LineNo | None = None
    sku: Annotated[Identifier | None, Field(validate_default=True)] = None
    name: Annotated[Text | None, Field(validate_default=True)] = None
    category: Text | None = None
    quantity: Annotated[AmendedQuantity | None, Field(validate_default=True)] = None
    unit: Text | None = None
    unit_price_minor: AmountMinor | None = None
    unit_price: Annotated[UnitPrice | None, Field(validate_default=True)] = None
    unit_cost_minor: AmountMinor | None = None
    tax_rate_bp: RateBp | None = None
    exemption: ExemptionBody | None = None  # of a new line
    discount_minor: AmountMinor | None = None
    location: Location | None = None

    @field_validator("exemption")
    @classmethod
    def _no_rate(cls, value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
        return _refuse_a_rate(value, info)

    @field_validator("sku", "name", "quantity")
    @classmethod
    def _needed_by_a_new_line(cls, value: Any, info: ValidationInfo) -> Any:
        if not value and info.data.get("line_no", ...) is None:
            raise ValueError("is required for a line without line_no")
        return value

    @field_validator("unit_price")
    @classmethod
    def _one_price(cls, value: str | None, info: ValidationInfo) -> str | None:
        _refuse_two_prices(value, info)
        new = info.data.get("line_no", ...) is None
        if new and value is None and info.data.get("unit_price_minor", ...) is None:
            raise ValueError("a line without line_no needs unit_price_minor or unit_price")
        return value


def _refuse_two_prices(value: str | None, info: ValidationInfo) -> None:
    if value is not None and info.data.get("unit_price_minor") is not None:
        raise ValueError("give unit_price_minor or unit_price, not both")


def _refuse_a_rate(value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
    """The price is what was agreed: no tax is taken out of it by calling it exempt."""
    rate = info.data.get("tax_rate_bp")
    if value is not None and rate:
        raise ValueError(f"what is exempt from tax has no rate: tax_rate_bp is {rate}, not 0")
    return value


class PlaceOrderBody(Value):
    """What is bought, by whom, where it goes and how it is paid."""

    shop: Handle = "main"
    channel: Channel
    customer_id: Identifier
    currency: CurrencyCode
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=LINES_MAX)]
    prices_include_tax: StrictBool = True
    discount_minor: AmountMinor | None = None  # on the order; the sum of `discounts` when absent
    discounts: DiscountBodies | None = None  # the same by name
    shipping_minor: AmountMinor = 0
    shipping_tax_rate_bp: RateBp = 0
    exemption: ExemptionBody | None = None  # of the order with its shipping from tax
    exemption_certificate: ShortText | None = None  # number of the customer's
    contact: Contact
    shipping_address: PostalAddress
    billing_address: PostalAddress | None = None
    payment_method: PaymentMethod
    promised_at: Expected | None = None
    external_ref: Identifier | None = None
    note: LongText | None = None
    total_minor: AmountMinor | None = None

    @property
    def order_discount_minor(self) -> int:
        if self.discount_minor is None:
            return sum(one.amount_minor for one in self.discounts or ())
        return self.discount_minor

    @field_validator("discounts")
    @classmethod
    def _sum_of_the_parts(
        cls, value: list[DiscountBody] | None, info: ValidationInfo
    ) -> list[DiscountBody] | None:
        total, parts = info.data.get("discount_minor"), sum(d.amount_minor for d in value or ())
        if value and total not in {None, parts}:
            told = [shown_minor(one, info.data.get("currency", "")) for one in (parts, total)]
            raise ValueError(f"sum to {told[0]}, discount_minor is {told[1]}: leave one out")
        return value

    @field_validator("exemption")
    @classmethod
    def _no_rates(cls, value: ExemptionBody | None, info: ValidationInfo) -> ExemptionBody | None:
        lines = enumerate(info.data.get("lines", ()) if value is not None else ())
        rated = [f"lines.{number}.tax_rate_bp" for number, line in lines if line.tax_rate_bp]
        if value is not None and info.data.get("shipping_tax_rate_bp"):
            rated.append("shipping_tax_rate_bp")
        if rated:
            raise ValueError(f"an order exempt from tax has no rates: {', '.join(rated)}")
        return value

    @field_validator("exemption_certificate")
    @classmethod
    def _for_something_exempt(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or info.data.get("exemption", ...) is not None:
            return value
        if all(line.exemption is None for line in info.data.get("lines", ())):
            raise ValueError("nothing of the order is exempt from tax")
        return value


class ApproveBody(Value):
    """What the reviewer says, and the cause of what had made the order wait."""

    text: Text | None = None
    cause: CaseCause = "customer"


class AmendBody(Value):
    """Changes of an order and their reason. What is absent stays."""

    lines: Annotated[list[AmendLineBody], Field(max_length=LINES_MAX)] | None = None
    contact: Contact | None = None
    shipping_address: PostalAddress | None = None
    billing_address: PostalAddress | None = None
    promised_at: Expected | None = None
    reason: Text
    digest: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,10}-[0-9a-f]{32}$",
            description="Of a preview: exactly what it showed is done, or nothing",
        ),
    ] = None

    @field_validator("lines")
    @classmethod
    def _each_line_once(cls, lines: list[AmendLineBody] | None) -> list[AmendLineBody] | None:
        _all_different((item.line_no for item in lines or [] if item.line_no), "line_no")
        return lines

    @model_validator(mode="after")
    def _something(self) -> AmendBody:
        changes = ("contact", "shipping_address", "billing_address", "promised_at")
        if not self.lines and all(getattr(self, change) is None for change in changes):
            raise OfFields("nothing to amend was given", "lines", *changes)
        return self


class PaymentBody(Value):
    method: PaymentMethod
    amount_minor: PositiveMinor
    reference: Text
    payer: Text | None = None
    occurred_at: Happened | None = None  # when the money came; now when absent
    value_date: ValueDate | None = None


class LineQuantityBody(Value):
    line_no: LineNo
    quantity: AskedQuantity


def _lines_once(lines: list[LineQuantityBody]) -> list[LineQuantityBody]:
    _all_different((item.line_no for item in lines), "line_no")
    return lines


LineQuantities = Annotated[
    list[LineQuantityBody], Field(min_length=1, max_length=LINES_MAX), AfterValidator(_lines_once)
]


class PackBody(Value):
    """A parcel with units of one order."""

    lines: LineQuantities


class ContentBody(Value):
    order_id: Id
    line_no: LineNo
    quantity: AskedQuantity


class PackParcelBody(Value):
    """A parcel with units of one or several orders."""

    contents: Annotated[list[ContentBody], Field(min_length=1, max_length=LINES_MAX)]

    @field_validator("contents")
    @classmethod
    def _each_line_once(cls, contents: list[ContentBody]) -> list[ContentBody]:
        _all_different((f"{item.line_no} of {item.order_id}" for item in contents), "line")
        return contents


class DispatchBody(Value):
    carrier: Handle
    tracking_number: Identifier
    estimated_at: Expected | None = None
    unpaid_reason: Annotated[
        Text | None,
        Field(description="Why it leaves before it is paid; needs `order.ship_unpaid`"),
    ] = None


class DeliverBody(Value):
    """Delivered, as seen by a person: who took it, when, where the picture lies."""

    name: Text | None = None
    delivered_at: Happened | None = None  # now when absent
    picture_ref: Text | None = None


class CancelBody(Value):
    """Units that shall not be delivered; the whole order without `lines`."""

    reason_code: ReasonCode
    initiator: Initiator = "operator"
    text: Text | None = None
    lines: LineQuantities | None = None
    expected_fee_minor: AmountMinor | None = None  # as a preview showed it: another is refused


class RefundBody(Value):
    """Money to give back: for goods by amount, by lines, or by both where they agree; and shipping.

    `amount_minor` is the goods' part: `shipping_minor` comes on top of it. Absent, shipping comes
    back with lines where the policy says so. `return_id`: for goods that came back by that return,
    all of them without `lines`.
    """

    reason: RefundReason
    text: Text | None = None
    amount_minor: PositiveMinor | None = None
    lines: LineQuantities | None = None
    shipping_minor: AmountMinor | None = None
    payments: Annotated[list[PaymentPart], Field(min_length=1, max_length=PAYMENTS_MAX)] | None = (
        None
    )
    evidence: Evidence
    return_id: Id | None = None
    expected_minor: AmountMinor | None = None  # as a preview showed it: another is refused

    @field_validator("payments")
    @classmethod
    def _each_payment_once(cls, parts: list[PaymentPart] | None) -> list[PaymentPart] | None:
        _all_different((part.payment_id for part in parts or []), "payment_id")
        if any(part.amount_minor <= 0 for part in parts or []):
            raise ValueError("amount_minor of a payment must be above 0")
        return parts

    @model_validator(mode="after")
    def _something(self) -> RefundBody:
        given = (self.amount_minor, self.lines, self.return_id)
        if all(one is None for one in given) and not self.shipping_minor:
            parts = ("amount_minor", "lines", "shipping_minor")
            raise OfFields("give amount_minor, lines or shipping_minor", *parts)
        return self


class PayRefundBody(Value):
    """As the money came when no method is named. What came from the customer's account goes back
    there in any case: a method is for the rest.
    """

    method: PaymentMethod | None = None
    reference: Text


class NoteBody(Value):
    text: LongText


class OverrideBody(Value):
    """Shows a dimension of the status as `value` until its next fact, or for good when sticky."""

    dimension: Dimension
    value: str
    reason: Text
    sticky: StrictBool = False

    @field_validator("value")
    @classmethod
    def _value_of_the_dimension(cls, value: str, info: ValidationInfo) -> str:
        allowed = DIMENSIONS.get(info.data.get("dimension", ""))
        if allowed and value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value


class VoidBody(Value):
    reason: Text


class PlaceOrder(PlaceOrderBody, Command):
    """What was sold elsewhere may lack parts: `missing` names them (intake_body.py)."""

    order_id: Id
    contact: Contact | None  # type: ignore[assignment]
    shipping_address: PostalAddress | Address | None  # type: ignore[assignment]
    billing_address: PostalAddress | Address | None = None  # type: ignore[assignment]
    payment_method: PaymentMethod | Literal["unknown"]  # type: ignore[assignment]
    missing: tuple[str, ...] = ()
    # Candidates for the sayable number: the first that nobody has is taken.
    numbers: Annotated[tuple[str, ...], Field(min_length=1, max_length=NUMBERS_MAX)]


class ApproveOrder(ApproveBody, Command):
    order_id: Id


class AmendOrder(AmendBody, Command):
    order_id: Id


class RecordPayment(PaymentBody, Command):
    order_id: Id
    payment_id: Id


class PackParcel(PackParcelBody, Command):
    parcel_id: Id


class DispatchParcel(DispatchBody, Command):
    parcel_id: Id


class DeliverParcel(DeliverBody, Command):
    parcel_id: Id


class TrackParcel(Command):
    """A carrier's scan of a parcel that was found by its number. `occurred_at` is its time."""

    parcel_id: Id
    event_id: Identifier
    carrier: Handle
    tracking_number: Identifier
    milestone: Milestone
    occurred_at: Recordable
    location: Text | None = None
    note: Text | None = None
    estimated_at: Utc | None = None


class CancelOrder(CancelBody, Command):
    order_id: Id


class RequestRefund(RefundBody, Command):
    order_id: Id
    refund_id: Id
    actor: Id  # who asks, and so may not approve


class PayRefund(PayRefundBody, Command):
    order_id: Id
    refund_id: Id
    told: bool = False  # by the provider that paid it: a fact, whatever a bank asks for by now


class AddNote(NoteBody, Command):
    order_id: Id
    note_id: Id


class OverrideStatus(OverrideBody, Command):
    order_id: Id


class EndOverride(Command):
    """Ends the override of one dimension, or of all."""

    order_id: Id
    dimension: Dimension | None = None


class VoidOrder(VoidBody, Command):
    order_id: Id


OrderChange = (
    AmendOrder
    | CancelOrder
    | RequestRefund
    | PayRefund
    | AddNote
    | OverrideStatus
    | EndOverride
    | VoidOrder
)
ParcelCommand = PackParcel | DispatchParcel | DeliverParcel | TrackParcel
ORDER_CHANGES: tuple[type[Command], ...] = get_args(OrderChange)

C = TypeVar("C", bound=Command)


def with_ids(kind: type[C], body: BaseModel, **ids: Any) -> C:
    """The command `kind` of a body that was already validated, with its ids and `at`.

    Raises ValidationError for what only `at` shows to be wrong: a time too far ahead.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return kind.model_validate({**given, **ids})
