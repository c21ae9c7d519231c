"""Pages of PDF/A-3 with a font for Chinese, and tables on them. Importing this takes a while."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from fpdf import FPDF
from fpdf.enums import DocumentCompliance, TableBordersLayout
from fpdf.fonts import FontFace

from api.paper_words import WORDS, clean

FAMILY = "paper"
# SIL Open Font License; it has the glyphs of Chinese and of the languages in Latin, Greek and
# Cyrillic letters.
FONT = resources.files("pylopdf_fonts_zh_cn") / "NotoSansSC-Regular.otf"
BODY, SMALL, LARGE = 9, 8, 18  # points
MARGIN_MM = 18
GREY = 110
CREATOR = "Order ledger"


class Pages(FPDF):
    def __init__(self, language: str) -> None:
        super().__init__(enforce_compliance=DocumentCompliance.PDFA_3B)
        self._words = WORDS["page"][language]
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(True, MARGIN_MM)
        self.set_lang("zh-CN" if language == "zh" else "en")
        self.set_creator(CREATOR)
        self.set_producer(CREATOR)
        self.add_font(FAMILY, "", str(FONT))
        self.set_font(FAMILY, size=BODY)

    def footer(self) -> None:
        self.set_y(-MARGIN_MM + 4)
        self.set_font(FAMILY, size=SMALL)
        words = self._words.format(page=self.page_no(), pages="{nb}")
        self.cell(0, 4, words, align="R")


def table(
    pages: Pages,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: tuple[int, ...],
    align: str = "RIGHT",  # of all columns but the first
) -> None:
    """Headings are repeated on each page."""
    pages.set_font_size(SMALL)
    with pages.table(
        col_widths=widths,
        text_align=("LEFT", *(align for _ in widths[1:])),
        line_height=5,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(color=GREY),
    ) as drawn:
        for cells in (names, *rows):
            row = drawn.row()
            for cell in cells:
                row.cell(clean(cell))
    pages.set_font_size(BODY)
