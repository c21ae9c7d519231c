"""What is printed of a procedure document: one text, or two with what came and went marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from api.page import templates, with_code
from api.paper_html import headers, style_of
from domain.policy_words import Language
from domain.procedure_document import Mark, MarkedChapter

STYLE = style_of("procedure.css")
HEADERS = headers(STYLE)
TAGS: dict[Mark, str] = {"added": "ins", "removed": "del"}

WORDS: dict[str, dict[Language, str]] = {
    "shop": {"zh": "店铺", "en": "Shop"},
    "version": {"zh": "版本", "en": "Version"},
    "compared": {"zh": "对比", "en": "Compared"},
    "digest": {"zh": "摘要", "en": "Digest"},
    "rules": {"zh": "规则版本", "en": "Version of the rules"},
    "issued": {"zh": "{version}，签发于 {at}", "en": "{version}, issued {at}"},
    "not_issued": {"zh": "现行内容，尚未签发", "en": "as in force, not issued"},
}


@dataclass(frozen=True, slots=True)
class ProcedureShown:
    """References are labels with their values, as they stand at the head."""

    language: Language
    title: str
    references: Sequence[tuple[str, str]]
    chapters: Sequence[MarkedChapter]


def word(name: str, language: Language, **values: object) -> str:
    return WORDS[name][language].format(**values)


def marked(text: str, mark: Mark) -> Markup:
    """The text with its code; as inserted or deleted where it is."""
    inner = with_code(text)
    tag = TAGS.get(mark)
    return inner if tag is None else Markup("<{0}>{1}</{0}>").format(tag, inner)


templates.filters["marked"] = marked


def page(shown: ProcedureShown) -> str:
    return templates.get_template("procedure.html").render(shown=shown, style=STYLE)
