"""A paper as PDF/A-3 with its structured form inside (Factur-X). Importing this takes a second.

Drawn from what the HTML shows, not from the HTML: a renderer of CSS needs libraries of the system.
"""

from __future__ import annotations

from facturx import generate_xmp_object
from lxml import etree

from api.paper_view import PaperShown
from api.paper_words import clean
from api.pdf_pages import BODY, CREATOR, GREY, LARGE, MARGIN_MM, Pages, table

COLUMNS = (52, 18, 18, 16, 20, 12, 16, 22)  # shares of the width
PARTY_MM = 82
FILE_NAME = "factur-x.xml"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def pdf(shown: PaperShown, embedded: bytes | None) -> bytes:
    """PDF/A-3B. `embedded`: EN 16931 XML, which makes it a Factur-X document."""
    pages = Pages(shown.language)
    title = f"{shown.title} {clean(shown.paper.number)}"
    pages.set_title(title)
    pages.set_author(clean(shown.seller.name))
    pages.set_creation_date(shown.paper.at)
    pages.add_page()
    _head(pages, shown)
    _parties(pages, shown)
    _lines(pages, shown)
    _rates(pages, shown)
    _totals(pages, shown)
    for text in (*shown.remarks, shown.terms):
        pages.multi_cell(0, 5, clean(text), new_x="LMARGIN", new_y="NEXT", align="L")
    if embedded is not None:
        _embed(pages, shown, title, embedded)
    return bytes(pages.output())


def _embed(pages: Pages, shown: PaperShown, title: str, xml: bytes) -> None:
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


def _head(pages: Pages, shown: PaperShown) -> None:
    pages.set_font_size(LARGE)
    pages.cell(0, 10, shown.title, new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY)
    for label, value in shown.references:
        pages.cell(0, 5, clean(f"{label}: {value}"), new_x="LMARGIN", new_y="NEXT")


def _parties(pages: Pages, shown: PaperShown) -> None:
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


def _lines(pages: Pages, shown: PaperShown) -> None:
    table(pages, shown.columns, shown.rows, COLUMNS)
    pages.ln(4)


def _rates(pages: Pages, shown: PaperShown) -> None:
    pages.set_text_color(GREY)
    pages.cell(0, 5, shown.word("by_rate"), new_x="LMARGIN", new_y="NEXT")
    pages.set_text_color(0)
    names = [shown.word(name) for name in ("rate", "net", "tax", "gross")]
    table(pages, names, shown.rate_rows, (1, 1, 1, 1))
    pages.ln(4)


def _totals(pages: Pages, shown: PaperShown) -> None:
    *sums, last = shown.totals
    for label, value in sums:
        pages.cell(0, 5, f"{label}  {value}", align="R", new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY + 3)
    pages.cell(0, 8, "  ".join(last), align="R", new_x="LMARGIN", new_y="NEXT")
    pages.set_font_size(BODY)
