"""A policy in plain sentences, zh and en: one for each rule, and what a change means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, cast

from domain.money import CURRENCIES, format_minor
from domain.policy_labels import CHANNELS, LABELS, SENTENCES, TITLES, Pair
from domain.policy_rules import QuietPeriod, Rules, leaves, plain
from domain.values import percent

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One section: what it is called, and a sentence for each of its rules."""

    section: str
    title: str
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """A rule that differs: as plain JSON data and in words."""

    path: str
    title: str  # of its section
    before: Any
    after: Any
    was: str
    now: str


def words(rules: Rules, language: Language) -> list[Paragraph]:
    """The rules in sentences, section by section."""
    sections: dict[str, list[str]] = {}
    for path, value in leaves(rules):
        section = path.partition(".")[0]
        sections.setdefault(section, []).append(sentence(path, value, language))
    return [Paragraph(name, title(name, language), said) for name, said in sections.items()]


def changes(old: Rules, new: Rules, language: Language, prefix: str = "") -> list[Change]:
    """What differs between two versions; the values as JSON data."""
    before, found = dict(leaves(old, prefix)), []
    for path, value in leaves(new, prefix):
        if before[path] != value:
            said = (sentence(path, one, language) for one in (before[path], value))
            name = title(path.partition(".")[0], language)
            found.append(Change(path, name, plain(before[path]), plain(value), *said))
    return found


def title(section: str, language: Language) -> str:
    return in_language(TITLES[section], language)


def sentence(path: str, value: Any, language: Language) -> str:
    """One rule in words."""
    section, _, rest = path.partition(".")
    channel, _, name = rest.partition(".")
    if section == "intake":
        form = in_language(SENTENCES[f"intake.{name}"], language)
        return form.format(
            said(path, value, language), channel=in_language(CHANNELS[channel], language)
        )
    return in_language(SENTENCES[path], language).format(said(path, value, language))


def said(path: str, value: Any, language: Language) -> str:
    """A value as people say it: 1000 basis points are 10 %."""
    match value:
        case bool():
            return label("yes" if value else "no", language)
        case int():
            return percent(value) if path.endswith("_bp") else str(value)
        case str():
            return label(value, language)
        case date():
            return value.isoformat()
        case dict():
            return listed(_entries(value), language)
        case list() | tuple():
            return listed(_parts(path, value, language), language)
        case _:
            return label("unbounded", language)


def _entries(value: Mapping[str, Any]) -> list[str]:
    """Amounts by currency, or texts by message and language."""
    return [
        _money(name, part) if isinstance(part, int) else f"{name} ({_languages(part)})"
        for name, part in value.items()
    ]


def _money(currency: str, amount: int) -> str:
    known = currency in CURRENCIES  # A draft may name any.
    return f"{format_minor(amount, currency) if known else amount} {currency}"


def _languages(template: Any) -> str:
    return ", ".join(name for name, text in leaves(template) if text is not None)


def _parts(path: str, value: Sequence[Any], language: Language) -> Iterable[str]:
    if value and isinstance(value[0], date):
        return _runs(cast("Sequence[date]", value))
    return [
        f"{part.first} – {part.last}"
        if isinstance(part, QuietPeriod)
        else said(path, part, language)
        for part in value
    ]


def _runs(days: Sequence[date]) -> Iterable[str]:
    """Days that follow each other as one."""
    runs: list[tuple[date, date]] = []
    for day in sorted(days):
        if runs and runs[-1][1] + timedelta(days=1) >= day:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return [str(first) if first == last else f"{first} – {last}" for first, last in runs]


def listed(parts: Iterable[str], language: Language) -> str:
    """Joined as a list is; `none` where there is nothing."""
    return ("、" if language == "zh" else ", ").join(parts) or label("none", language)


def label(code: str, language: str) -> str:
    """A code as people say it; one without a label as it is."""
    return in_language(LABELS[code], language) if code in LABELS else code


def in_language(pair: Pair, language: str) -> str:
    return pair[language == "zh"]
