"""What can be asked of a draft: bodies in which anything may still be missing, and their commands.

The body of a draft is derived from that of a placement, so the two cannot part.
"""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model

from domain.command_types import NUMBERS_MAX, Id
from domain.message import Command
from domain.placement_commands import PlaceOrderBody
from domain.times import Expected
from domain.values import LongText, Text, Value

OFFER_NO_MAX = 1_000_000

OfferNo = Annotated[int, Field(gt=0, le=OFFER_NO_MAX, strict=True)]


@cache
def _partial(model: type[BaseModel], name: str) -> Any:
    """The fields of a body with their bounds, each of which may be missing.

    Its validators over several fields are left out: they are asked when it is to be an order.
    """
    fields: dict[str, Any] = {}
    for field, info in model.model_fields.items():
        kind = _with(_lenient(info.annotation), info.metadata)
        fields[field] = (kind | None, Field(default=None, description=info.description))
    return create_model(name, __base__=Value, __doc__=model.__doc__, **fields)


def _lenient(annotation: Any) -> Any:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _with(_lenient(arguments[0]), annotation.__metadata__)
    if get_origin(annotation) in {Union, UnionType}:
        return Union[tuple(map(_lenient, arguments))]  # noqa: UP007 - of arguments known later
    if get_origin(annotation) is list:
        return list[_lenient(arguments[0])]  # type: ignore[misc]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _partial(annotation, f"Draft{annotation.__name__}")
    return annotation


def _with(kind: Any, metadata: Any) -> Any:
    if get_origin(kind) is list:  # No lines yet is a draft too.
        metadata = [one for one in metadata if not hasattr(one, "min_length")]
    return Annotated[(kind, *metadata)] if metadata else kind


if TYPE_CHECKING:

    class DraftBody(Value):
        """The fields of PlaceOrderBody, each of which may be missing."""

else:
    DraftBody = _partial(PlaceOrderBody, "DraftBody")
    DraftBody.__doc__ = "An order as far as it is known. What is there must be well-formed."


class OfferBody(Value):
    """A quote of the draft as it was saved, or as `draft` says now, at the prices there."""

    expires_at: Annotated[Expected, Field(description="From then on it cannot be accepted")]
    draft: DraftBody | None = None
    text: LongText | None = None


class AcceptBody(Value):
    offer_no: Annotated[OfferNo, Field(description="The offer that was seen: no other is taken")]


class DeclineBody(Value):
    offer_no: OfferNo
    reason: Text | None = None


class ConfirmBody(Value):
    """Nothing to say."""


class DiscardBody(Value):
    reason: Text | None = None


class DraftCommand(Command):
    draft_id: Id  # the order's too, once it is one


class StartDraft(DraftBody, DraftCommand):
    # Candidates for the number that people say, of the draft and later of the order.
    numbers: Annotated[tuple[str, ...], Field(min_length=1, max_length=NUMBERS_MAX)]


class SaveDraft(DraftBody, DraftCommand):
    """Takes the place of all that was saved before: what is absent is gone."""


class OfferQuote(OfferBody, DraftCommand):
    """The first offer, or another one in the place of the last."""


class AcceptQuote(AcceptBody, DraftCommand):
    """Places the order at the prices that were offered."""


class DeclineQuote(DeclineBody, DraftCommand):
    """The customer does not want it; it may be offered anew."""


class ConfirmDraft(ConfirmBody, DraftCommand):
    """Places the order as it was saved."""


class DiscardDraft(DiscardBody, DraftCommand):
    """Nothing comes of it."""


OrderDraft = ConfirmDraft | AcceptQuote
DraftChange = SaveDraft | OfferQuote | DeclineQuote | DiscardDraft
ORDER_DRAFT: tuple[type[Command], ...] = get_args(OrderDraft)
DRAFT_COMMANDS: tuple[type[Command], ...] = (StartDraft, *ORDER_DRAFT, *get_args(DraftChange))
