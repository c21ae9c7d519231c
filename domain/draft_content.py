"""What is typed into a draft: kept as it is, checked as an order would be, and made one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from domain.message import Rejected, Sealed
from domain.order_facts import Line
from domain.order_lines import priced_order, require_same_total
from domain.placement_commands import PlaceOrder, PlaceOrderBody
from domain.pricing import Totals

PERSONAL = ("contact", "shipping_address", "billing_address", "note", "exemption_certificate")

# In the place of a sealed value, which nobody can look into: what it lacks was noted as it came.
_ADDRESS = {"line1": "-", "city": "-", "country": "CN"}
_SEALED = {
    "contact": {"name": "-"},
    "shipping_address": _ADDRESS,
    "billing_address": _ADDRESS,
    "note": "-",
    "exemption_certificate": "-",
}
# In the place of what a price does not depend on.
_ANYBODY = {
    "channel": "phone",
    "customer_id": "-",
    "contact": _SEALED["contact"],
    "shipping_address": _ADDRESS,
    "payment_method": "bank_transfer",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What would be refused; `field` is a path such as `lines.0.quantity`, or empty."""

    field: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What an order of it would lack, what would be refused, and what it comes to."""

    missing: tuple[str, ...]  # paths
    wrong: tuple[Fault, ...]
    order: PlaceOrder | None = None  # None as long as it cannot be priced; good for its prices only
    totals: Totals | None = None
    lines: tuple[Line, ...] = ()
    refusal: Rejected | None = None  # by the rules of prices

    @property
    def refused(self) -> list[Fault]:
        if self.refusal is None:
            return [*self.wrong]
        return [*self.wrong, Fault("", self.refusal.code, self.refusal.message)]


def typed(body: BaseModel) -> dict[str, Any]:
    """The fields that were given, as JSON data. What is empty counts as missing."""
    names = set(PlaceOrderBody.model_fields)
    given = body.model_dump(mode="json", include=names, exclude_none=True)
    return {name: value for name, value in given.items() if value not in ({}, [])}


def checked(content: Mapping[str, Any]) -> Checked:
    """`content`: as `typed` makes it; a sealed value counts as complete."""
    shown = _without_seals(content)
    found = _errors(shown)
    missing = tuple(path for path, fault in found if fault is None)
    wrong = tuple(fault for _, fault in found if fault is not None)
    try:
        order = _command(PlaceOrderBody.model_validate(_ANYBODY | shown))
    except ValidationError:  # Why it cannot be priced stands in what is missing or wrong.
        return Checked(missing, wrong)
    try:
        totals, lines = priced_order(order, frozenset())
        require_same_total(order.total_minor, totals.total_minor, order.currency)
    except Rejected as refusal:
        return Checked(missing, wrong, order, refusal=refusal)
    return Checked(missing, wrong, order, totals, tuple(lines))


def in_order(paths: Iterable[str]) -> tuple[str, ...]:
    """As the fields stand in the body of a placement, each once."""
    fields = [*PlaceOrderBody.model_fields]
    return tuple(sorted(dict.fromkeys(paths), key=lambda path: fields.index(path.split(".")[0])))


def placement(content: Mapping[str, Any], **ids: Any) -> PlaceOrder:
    """The order of a content that lacks nothing; sealed values are taken over as they are."""
    sealed = {name: value for name, value in content.items() if isinstance(value, Sealed)}
    return _command(PlaceOrderBody.model_validate(_without_seals(content)), **sealed, **ids)


def region_of(address: Mapping[str, Any]) -> str | None:
    """As an order has it, as far as the address is known."""
    country, region = address.get("country"), address.get("region")
    return f"{country}-{region}" if country and region else country


def _command(body: PlaceOrderBody, **more: Any) -> PlaceOrder:
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return PlaceOrder.model_construct(**{**given, **more})  # Its parts are validated, or sealed.


def _without_seals(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _SEALED[name] if isinstance(value, Sealed) else value
        for name, value in content.items()
    }


def _errors(content: Mapping[str, Any]) -> list[tuple[str, Fault | None]]:
    """Paths, with no fault where the value is missing."""
    try:
        PlaceOrderBody.model_validate(content)
    except ValidationError as error:
        return [_told(content, one) for one in error.errors(include_url=False, include_input=False)]
    return []


def _told(content: Mapping[str, Any], error: Any) -> tuple[str, Fault | None]:
    path = ".".join(map(str, error["loc"]))
    if _is_missing(content, error["loc"]):
        return path, None
    return path, Fault(path, error["type"], error["msg"].removeprefix("Value error, "))


def _is_missing(content: Any, place: tuple[str | int, ...]) -> bool:
    for part in place:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return True
    return False
