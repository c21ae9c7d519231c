"""Rows that a projection wrote last, so that the next batch need not read and parse them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

R = TypeVar("R")

ROWS_MAX = 10_000
CHARACTERS_MAX = 16 * 1024 * 1024  # of text in their columns; in memory about five times as much


class RowCache(Generic[R]):
    """Rows of one table as they stood when the checkpoint was moved to a position.

    Only who moves the checkpoint writes rows, so they still stand so while the checkpoint and the
    table are the same; a parked key is the exception, and its row must be dropped.
    """

    def __init__(self) -> None:
        self._rows: OrderedDict[str, tuple[R, int]] = OrderedDict()
        self._characters = 0
        self._standing: tuple[int | None, int] | None = None  # the table and the position

    def clear(self) -> None:
        self._rows.clear()
        self._characters = 0
        self._standing = None

    def expect(self, table: int | None, position: int) -> None:
        """Forget everything unless it stands so in this table, at this position."""
        if self._standing != (table, position):
            self.clear()

    def stands(self, table: int | None, position: int) -> None:
        self._standing = (table, position)

    def find(self, keys: Iterable[str]) -> dict[str, R]:
        rows = self._rows
        return {key: rows[key][0] for key in keys if key in rows}

    def keep(self, key: str, row: R, values: Iterable[Any]) -> None:
        """`values`: the columns of the row, which tell how large it is."""
        self.drop(key)
        characters = sum(len(value) for value in values if type(value) is str)
        self._rows[key] = (row, characters)
        self._characters += characters
        while len(self._rows) > ROWS_MAX or self._characters > CHARACTERS_MAX:
            self.drop(next(iter(self._rows)))

    def drop(self, key: str) -> None:
        _, characters = self._rows.pop(key, (None, 0))
        self._characters -= characters
