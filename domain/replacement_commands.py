"""What the desk asks for when units were lost, short or damaged, and the customer wants others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain.command_types import (
    NUMBERS_MAX,
    Channel,
    Evidence,
    Id,
    LineQuantities,
    PostalAddress,
)
from domain.message import Command
from domain.values import Contact, Text, Value

ReplacementReason = Literal["lost", "short", "damaged"]


class ReplaceBody(Value):
    """Units to send once more at no price: of a lost parcel all that is left to replace without
    `lines`; else units that arrived damaged, or should have. Contact and address are those of the
    order, unless others are given.
    """

    reason: ReplacementReason
    parcel_id: Annotated[Id | None, Field(description="That was lost, or that they came in")] = None
    lines: LineQuantities | None = None
    text: Text | None = None
    evidence: Evidence
    channel: Channel = "phone"
    contact: Contact | None = None
    shipping_address: PostalAddress | None = None

    @model_validator(mode="after")
    def _named(self) -> ReplaceBody:
        if self.reason == "lost" and self.parcel_id is None:
            raise ValueError("say parcel_id: which parcel was lost")
        if self.reason != "lost" and self.lines is None:
            raise ValueError(f"say lines: which units were {self.reason}")
        return self


class ReplaceOrder(ReplaceBody, Command):
    order_id: Id
    new_order_id: Id
    # Candidates for the sayable number of the new order: the first that nobody has is taken.
    numbers: Annotated[tuple[str, ...], Field(min_length=1, max_length=NUMBERS_MAX)]
