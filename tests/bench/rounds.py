"""Contestants in turns, and what their rates say: ratios of neighbours in time, with spread."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

ROUNDS = 5

Contestant = Callable[[float], float]  # seconds to run -> operations per second
COLUMNS_MIN = 120  # of a terminal, or of a file: the tables want that much
console = Console()
console.width = max(console.width, COLUMNS_MIN)


@dataclass(frozen=True)
class Ratio:
    """Ours over another's in the same round, over all rounds."""

    values: tuple[float, ...]
    target: float | None = None

    @property
    def median(self) -> float:
        return median(self.values)

    def __str__(self) -> str:
        text = f"{self.median:.2f} ({min(self.values):.2f}–{max(self.values):.2f})"
        if self.target is None:
            return text
        reached = "green" if self.median >= self.target else "red"
        return f"[{reached}]{text}[/] of {self.target:g}"


def interleave(
    contestants: Mapping[str, Contestant], seconds: float, rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Operations per second of each, round by round. What disturbs the machine disturbs all; the
    order turns, so that nobody always runs behind the same neighbour.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rates[name].append(contestants[name](seconds))
    return rates


def ratio(ours: list[float], theirs: list[float], target: float | None = None) -> Ratio:
    return Ratio(tuple(a / b for a, b in zip(ours, theirs, strict=True)), target)


def per_second(rates: list[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column)
    return made


def machine() -> str:
    """Cores and load, so that noise is visible."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load} (1, 5, 15 minutes)"
