"""Copies of frozen states with some fields changed, fast enough to fold long histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import replace
else:
    T = TypeVar("T")

    def replace(state: T, **changes: Any) -> T:
        """As `dataclasses.replace`, for frozen dataclasses without slots and `__post_init__`.

        That one runs `__init__`, which sets every field one by one: 7 µs for an order, 1 µs here.
        Folding is little else. Raises TypeError for a name that is no field.
        """
        fields = state.__dict__
        if not changes.keys() <= fields.keys():
            raise TypeError(f"no such field: {sorted(changes.keys() - fields.keys())}")
        copy = object.__new__(type(state))
        copy.__dict__.update(fields, **changes)
        return copy


__all__ = ["replace"]
