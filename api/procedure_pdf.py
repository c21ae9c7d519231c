"""A procedure document as PDF/A-3: what the HTML shows. Importing this takes a while."""

from __future__ import annotations

from datetime import datetime

from api.paper_words import clean
from api.pdf_pages import BODY, FAMILY, GREY, LARGE, Pages, table
from api.procedure_view import ProcedureShown
from domain.procedure_document import Mark, MarkedBlock, MarkedLine

HEADING = 13  # points
COLUMNS = (24, 40, 20)  # shares of the width
SIGNS: dict[Mark, str] = {"same": "•", "added": "+", "removed": "−"}
STYLES: dict[Mark, str] = {"same": "", "added": "U", "removed": "S"}


def pdf(shown: ProcedureShown, at: datetime) -> bytes:
    pages = Pages(shown.language)
    pages.set_title(clean(shown.title))
    pages.set_creation_date(at)
    pages.add_page()
    pages.set_font_size(LARGE)
    pages.multi_cell(0, 10, clean(shown.title), align="L", new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY)
    for label, value in shown.references:
        _text(pages, f"{label}: {value}")
    for number, chapter in enumerate(shown.chapters, start=1):
        pages.ln(5)
        pages.set_font_size(HEADING)
        _text(pages, f"{number} {chapter.title}", 8)
        pages.set_font_size(BODY)
        for block in chapter.blocks:
            _block(pages, block)
    return bytes(pages.output())


def _block(pages: Pages, block: MarkedBlock) -> None:
    if block.title:
        pages.ln(1)
        pages.set_text_color(GREY)
        _text(pages, block.title)
        pages.set_text_color(0)
    if block.columns:
        rows = [_row(line) for line in block.lines]
        table(pages, block.columns, rows, COLUMNS, align="LEFT")
        return
    for line in block.lines:
        pages.set_font(FAMILY, STYLES[line.mark], BODY)
        _text(pages, f"{SIGNS[line.mark]} {line.cells[0].replace('`', '')}")
        pages.set_font(FAMILY, "", BODY)


def _row(line: MarkedLine) -> list[str]:
    """A row has no strike-through: its first cell has the sign."""
    first, *rest = line.cells
    return [first if line.mark == "same" else f"{SIGNS[line.mark]} {first}", *rest]


def _text(pages: Pages, text: str, height_mm: float = 5) -> None:
    pages.multi_cell(0, height_mm, clean(text), align="L", new_x="LMARGIN", new_y="NEXT")
