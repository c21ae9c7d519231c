"""A paper as PDF/A-3 with its structured form inside (Factur-X). Importing this takes a second.

Drawn from what the HTML shows, not from the HTML: a renderer of CSS needs libraries of the system.
"""

from __future__ import annotations

from importlib import resources

from facturx import generate_xmp_object
from fpdf import FPDF
from fpdf.enums import DocumentCompliance, TableBordersLayout
from fpdf.fonts import FontFace
from lxml import etree

from api.paper_view import PaperShown
from api.paper_words import WORDS
from api.paper_xml import clean

FAMILY = "paper"
# SIL Open Font License; it has the glyphs of Chinese and of the languages in Latin, Greek and
# Cyrillic letters.
FONT = resources.files("pylopdf_fonts_zh_cn") / "NotoSansSC-Regular.otf"
BODY, SMALL, LARGE = 9, 8, 18  # points
MARGIN_MM = 18
COLUMNS = (52, 18, 18, 16, 20, 12, 16, 22)  # shares of the width
PARTY_MM = 82
GREY = 110
CREATOR = "Order ledger"
FILE_NAME = "factur-x.xml"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


class _Pages(FPDF):
    def __init__(self, language: str) -> None:
        super().__init__(enforce_compliance=DocumentCompliance.PDFA_3B)
        self._words = WORDS["page"][language]
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(True, MARGIN_MM)
        self.set_lang("zh-CN" if language == "zh" else "en")
        self.add_font(FAMILY, "", str(FONT))
        self.set_font(FAMILY, size=BODY)

    def footer(self) -> None:
        self.set_y(-MARGIN_MM + 4)
        self.set_font(FAMILY, size=SMALL)
        words = self._words.format(page=self.page_no(), pages="{nb}")
        self.cell(0, 4, words, align="R")


def pdf(shown: PaperShown, embedded: bytes | None) -> bytes:
    """PDF/A-3B. `embedded`: EN 16931 XML, which makes it a Factur-X document."""
    pages = _Pages(shown.language)
    title = f"{shown.title} {clean(shown.paper.number)}"
    pages.set_title(title)
    pages.set_author(clean(shown.seller.name))
    pages.set_creator(CREATOR)
    pages.set_producer(CREATOR)
    pages.set_creation_date(shown.paper.at)
    pages.add_page()
    _head(pages, shown)
    _parties(pages, shown)
    _lines(pages, shown)
    _rates(pages, shown)
    _totals(pages, shown)
    pages.multi_cell(0, 5, clean(shown.terms))
    if embedded is not None:
        _embed(pages, shown, title, embedded)
    return bytes(pages.output())


def _embed(pages: _Pages, shown: PaperShown, title: str, xml: bytes) -> None:
    pages.embed_file(
        bytes=xml,
        basename=FILE_NAME,
        mime_type="text/xml",
        desc="Factur-X",
        modification_date=shown.paper.at,
        associated_file_relationship="Alternative",
        compress=True,
    )
    pages.set_xmp_metadata(_metadata(shown, title))


def _metadata(shown: PaperShown, title: str) -> str:
    """XMP that says what is inside. factur-x declares its namespaces outside rdf:RDF, where some
    readers, veraPDF among them, do not look: taken out by itself, that element declares its own.
    """
    root = generate_xmp_object(
        {
            "pdfa3_flavor": "B",
            "title": title,
            "author": clean(shown.seller.name),
            "subject": title,
            "producer": CREATOR,
            "creator_tool": CREATOR,
            "timestamp": shown.paper.at.isoformat(timespec="seconds"),
            "version": "1.0",
            "documenttype": "INVOICE",
            "xml_filename": FILE_NAME,
            "xmp_level": "EN 16931",
            "urn": "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#",
        }
    )
    described = root.find(f"{{{RDF}}}RDF")
    for one in described.iterchildren():
        one.set(f"{{{RDF}}}about", "")
    inner = etree.tostring(described, encoding="unicode")
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{inner}</x:xmpmeta>'


def _head(pages: _Pages, shown: PaperShown) -> None:
    pages.set_font_size(LARGE)
    pages.cell(0, 10, shown.title, new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY)
    for label, value in shown.references:
        pages.cell(0, 5, clean(f"{label}: {value}"), new_x="LMARGIN", new_y="NEXT")


def _parties(pages: _Pages, shown: PaperShown) -> None:
    """Side by side; the table begins below the longer one."""
    ids = [f"{label}: {value}" for label, value in shown.seller_ids]
    seller = [shown.seller.name, *shown.seller_lines, *ids]
    buyer = [shown.buyer_name, *shown.buyer_lines]
    top, bottom = pages.get_y() + 4, 0.0
    for left, word, lines in ((0, "seller", seller), (PARTY_MM + 10, "buyer", buyer)):
        pages.set_xy(MARGIN_MM + left, top)
        pages.set_text_color(GREY)
        pages.multi_cell(PARTY_MM, 5, shown.word(word), new_x="LEFT", new_y="NEXT", align="L")
        pages.set_text_color(0)
        for line in lines:
            pages.multi_cell(PARTY_MM, 5, clean(line), new_x="LEFT", new_y="NEXT", align="L")
        bottom = max(bottom, pages.get_y())
    pages.set_xy(MARGIN_MM, bottom + 4)


def _lines(pages: _Pages, shown: PaperShown) -> None:
    _table(pages, shown.columns, shown.rows, COLUMNS)
    pages.ln(4)


def _rates(pages: _Pages, shown: PaperShown) -> None:
    pages.set_text_color(GREY)
    pages.cell(0, 5, shown.word("by_rate"), new_x="LMARGIN", new_y="NEXT")
    pages.set_text_color(0)
    names = [shown.word(name) for name in ("rate", "net", "tax", "gross")]
    _table(pages, names, shown.rate_rows, (1, 1, 1, 1))
    pages.ln(4)


def _table(pages: _Pages, names: list[str], rows: list[list[str]], widths: tuple[int, ...]) -> None:
    """Headings are repeated on each page."""
    align = ("LEFT", *("RIGHT" for _ in widths[1:]))
    pages.set_font_size(SMALL)
    with pages.table(
        col_widths=widths,
        text_align=align,
        line_height=5,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(color=GREY),
    ) as table:
        for cells in (names, *rows):
            row = table.row()
            for cell in cells:
                row.cell(clean(cell))
    pages.set_font_size(BODY)


def _totals(pages: _Pages, shown: PaperShown) -> None:
    *sums, last = shown.totals
    for label, value in sums:
        pages.cell(0, 5, f"{label}  {value}", align="R", new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY + 3)
    pages.cell(0, 8, "  ".join(last), align="R", new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY)
