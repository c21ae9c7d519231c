"""Copies of frozen states with some fields changed, fast enough to fold long histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import replace
else:
    T = TypeVar("T")

    def replace(state: T, **changes: Any) -> T:
        """As `dataclasses.replace`, for frozen dataclasses without slots and `__post_init__`.

        That one runs `__init__`, which sets every field one by one: 7 µs for an order, 0.6 µs here.
        Folding is little else. Raises TypeError for a name that is no field.
        """
        fields = state.__dict__
        changed = {**fields, **changes}
        if len(changed) != len(fields):
            raise TypeError(f"no such field: {sorted(changes.keys() - fields.keys())}")
        copy = object.__new__(type(state))
        # A dictionary of exactly this size; one that is updated takes twice the room.
        object.__setattr__(copy, "__dict__", changed)
        return copy


__all__ = ["replace"]
