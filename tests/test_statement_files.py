"""Files of banks and providers: what each layout says, and each broken row by file, line, rule."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.statement_csv import Mapping
from commands.statement_files import ROW_BYTES_MAX, Unusable, amount
from commands.statement_import import StatementFile, read_statement
from domain.statement_commands import ImportStatement, Layout, RecordLines, StatementLine
from tests.given import NOON

FILES = Path(__file__).parent / "fixtures" / "statements"
BERLIN = "Europe/Berlin"
MAPPING = Mapping.model_validate_json((FILES / "bank.mapping.json").read_text(encoding="utf-8"))


def read(layout: Layout, content: bytes | str, mapping: Mapping | None = None) -> StatementFile:
    raw = content.encode() if isinstance(content, str) else content
    return read_statement(layout, io.BytesIO(raw), "file", mapping, BERLIN)


def fixture(layout: Layout, name: str) -> StatementFile:
    mapping = MAPPING if layout == "csv" else None
    with (FILES / name).open("rb") as raw:
        return read_statement(layout, raw, name, mapping, BERLIN)


def rows(file: StatementFile) -> list[tuple[Any, ...]]:
    assert not file.unreadable, file.unreadable
    return [told(line) for line in file.parsed.lines]


def told(line: StatementLine) -> tuple[Any, ...]:
    return line.line_no, line.kind, line.amount_minor, line.fee_minor, line.currency, line.value_on


def rules(file: StatementFile) -> list[tuple[int, str]]:
    return [(one.line, one.rule) for one in file.unreadable]


# -- Alipay ------------------------------------------------------------------------------------


def test_alipay_trades_are_read_from_gbk_with_tabs_and_a_footer() -> None:
    """covers: A25"""
    file = fixture("alipay", "alipay_trades.csv")
    assert rows(file) == [
        (6, "charge", 21_000, 126, "CNY", "2025-03-01"),
        (7, "charge", 123_450, 741, "CNY", "2025-03-01"),
        (8, "refund", -5_000, -30, "CNY", "2025-03-01"),
    ]
    first = file.parsed.lines[0]
    assert first.reference == "2025030122001004720299453898"
    assert first.counterparty == "*小明(137****2600)"
    assert first.text is not None
    assert first.text.split() == ["1000000018", "龙井茶", "100g"]
    assert first.at.isoformat() == "2025-02-28T16:06:15+00:00"  # 00:06:15 in China
    assert first.verbatim["业务类型"] == "交易"
    assert (file.parsed.account, file.parsed.method) == ("20885212319120680156", "alipay")


def test_an_alipay_account_tells_of_fees_and_withdrawals() -> None:
    """covers: A25"""
    assert rows(fixture("alipay", "alipay_account.csv")) == [
        (6, "charge", 21_000, 0, "CNY", "2025-03-01"),
        (7, "fee", -126, 0, "CNY", "2025-03-01"),
        (8, "refund", -5_000, 0, "CNY", "2025-03-01"),
        (9, "payout", -100_000, 0, "CNY", "2025-03-01"),
    ]


def alipay(*changes: tuple[str, str], encoding: str = "gbk") -> StatementFile:
    text = (FILES / "alipay_trades.csv").read_bytes().decode("gbk")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return read("alipay", text.encode(encoding))


def test_alipay_is_read_in_utf_8_as_well() -> None:
    assert len(rows(alipay(encoding="utf-8-sig"))) == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        (",1234.50,1234.50,", ",1234.50,12x4.50,", 7, "amount_unreadable"),
        (",1234.50,1234.50,", ",1234.50,1234.505,", 7, "amount_unreadable"),
        (",1234.50,1234.50,", ",1234.50,,", 12, "footer_sum_differs"),
        (",退款\t,", ",分账\t,", 8, "kind_unknown"),
        (",-50.00,-50.00,", ",50.00,50.00,", 8, "sign"),
        ("2025-03-01 18:00:01", "2025-02-30 18:00:01", 8, "time_unreadable"),
        ("0.00,赠品请附上", "赠品请附上", 7, "columns"),
        ("#交易合计：2笔", "#交易合计：3笔", 12, "footer_count_differs"),
        ("商家实收共1444.50元", "商家实收共1444.51元", 12, "footer_sum_differs"),
        ("退款共-50.00元", "退款共-51.00元", 12, "footer_sum_differs"),
    ],
)
def test_what_is_wrong_in_alipays_file_is_named(old: str, new: str, line: int, rule: str) -> None:
    """covers: A25"""
    assert (line, rule) in rules(alipay((old, new)))


def test_a_file_of_alipay_that_was_cut_off_is_noticed() -> None:
    """Without its end it is a smaller statement in which nothing is wrong."""
    text = (FILES / "alipay_trades.csv").read_bytes().decode("gbk")
    cut = text.partition("#-----------------------------------------业务明细列表结束")[0]
    assert [rule for _, rule in rules(read("alipay", cut.encode("gbk")))] == ["footer_missing"]


def test_a_line_that_is_not_in_the_encoding_is_named() -> None:
    raw = (FILES / "alipay_trades.csv").read_bytes()
    broken = raw.replace("赠品".encode("gbk"), b"\xff\xff")
    assert (7, "encoding") in rules(read("alipay", broken))


def test_other_files_are_not_alipays() -> None:
    with pytest.raises(Unusable, match="layout"):
        read("alipay", "a,b\n1,2\n")
    with pytest.raises(Unusable, match="layout"):
        read("alipay", "#支付宝业务汇总查询\n门店编号,订单金额\n1,2\n")


# -- WeChat Pay --------------------------------------------------------------------------------


def test_wechat_trades_are_read_from_backticks_and_a_footer() -> None:
    """covers: A25"""
    file = fixture("wechat", "wechat_trades.csv")
    assert rows(file) == [
        (2, "charge", 21_000, 126, "CNY", "2025-03-01"),
        (3, "charge", 2_990, 18, "CNY", "2025-03-01"),
        (4, "refund", -5_000, -30, "CNY", "2025-03-01"),
    ]
    assert [line.reference for line in file.parsed.lines] == [
        "4200000925202503011284997714",
        "4200000910202503012955148400",
        "50300807172025030106006664916",
    ]
    assert {line.batch_id for line in file.parsed.lines} == {"2025-03-01"}
    assert file.parsed.account == "1601959334"


def test_a_wechat_account_is_read_with_its_currency_signs() -> None:
    """covers: A25"""
    assert rows(fixture("wechat", "wechat_account.csv")) == [
        (2, "charge", 21_000, 0, "CNY", "2025-03-01"),
        (3, "fee", -126, 0, "CNY", "2025-03-01"),
        (4, "refund", -4_970, 0, "CNY", "2025-03-01"),
        (5, "payout", -15_904, 0, "CNY", "2025-03-02"),
    ]


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        ("`REFUND", "`LOST", 4, "kind_unknown"),
        ("`3,`239.90", "`4,`239.90", 6, "footer_count_differs"),
        ("`239.90,`50.00,`0.00,`1.13940", "`239.90,`50.01,`0.00,`1.13940", 6, "footer_sum_differs"),
        ("`1.13940", "`1.13950", 6, "footer_sum_differs"),
        ("`2025-03-01 11:35:18", "`yesterday", 3, "time_unreadable"),
        ("`白瓷杯,`,", "`白瓷杯,", 3, "columns"),
        ("`CNY,`29.90", "`XXX,`29.90", 3, "currency_unknown"),
        ("`3,`239.90,`50.00", "", 6, "footer_missing"),
    ],
)
def test_what_is_wrong_in_wechats_file_is_named(
    old: str, new: str, line: int, rule: str, encoding: str
) -> None:
    """covers: A25"""
    text = (FILES / "wechat_trades.csv").read_text(encoding="utf-8-sig")
    assert old in text
    found = rules(read("wechat", text.replace(old, new).encode(encoding)))
    assert (line, rule) in found


def test_other_files_are_not_wechats() -> None:
    with pytest.raises(Unusable, match="layout"):
        read("wechat", "a,b\n")


# -- Stripe ------------------------------------------------------------------------------------


def test_stripe_is_read_with_the_decimals_of_each_currency() -> None:
    """covers: A25"""
    file = fixture("stripe", "stripe_balance.csv")
    assert rows(file) == [
        (2, "charge", 10_000, 320, "EUR", "2025-03-01"),
        (3, "charge", 1_200, 43, "JPY", "2025-03-01"),
        (4, "refund", -2_000, -60, "EUR", "2025-03-01"),
        (6, "charge", 5_125, 154, "KWD", "2025-03-01"),
        (7, "fee", -150, 0, "EUR", "2025-03-02"),
        (8, "payout", -7_590, 0, "EUR", "2025-03-03"),
    ]
    batch = [line for line in file.parsed.lines if line.batch_id == "po_1Nw3pay"]
    assert sum(line.net_minor for line in batch) == 0  # The payout takes out what came in.
    assert file.parsed.lines[2].reference == "re_3Nw3ac"


def test_stripes_older_export_is_read_as_well() -> None:
    text = (
        "id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Available On (UTC),Description,"
        "Customer Facing Amount,Customer Facing Currency,Transfer\n"
        "txn_1,charge,ch_1,10.00,0.59,9.41,usd,2025-03-01 08:00,2025-03-03 00:00,Tea,,,po_1\n"
    )
    assert rows(read("stripe", text)) == [(2, "charge", 1_000, 59, "USD", "2025-03-01")]


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        ("eur,100.00,3.20,96.80", "eur,100.00,3.20,96.81", 2, "net_differs"),
        ("jpy,1200,43,1157", "jpy,1200.5,43,1157.5", 3, "amount_unreadable"),
        ("kwd,5.125,0.154,4.971", "xxx,5.125,0.154,4.971", 6, "currency_unknown"),
        ("txn_1Nw3ae,2025-03-02 00:00:00", "txn_1Nw3ae,", 7, "time_unreadable"),
        ("txn_1Nw3af,", "txn_1Nw3af,surplus,", 8, "columns"),
        ("eur,100.00,3.20,96.80", "eur,9999999999999,0,9999999999999", 2, "amount_too_large"),
    ],
)
def test_what_is_wrong_in_stripes_file_is_named(old: str, new: str, line: int, rule: str) -> None:
    """covers: A25"""
    text = (FILES / "stripe_balance.csv").read_text(encoding="utf-8")
    assert old in text
    assert rules(read("stripe", text.replace(old, new, 1))) == [(line, rule)]


def test_a_quote_that_does_not_end_is_named_where_it_began() -> None:
    text = (FILES / "stripe_balance.csv").read_text(encoding="utf-8")
    head, _, rest = text.partition('"Order 1000000018, tea"')
    broken = head + '"Order 1000000018, tea' + rest.replace('"', "") * 20
    assert rules(read("stripe", broken)) == [(2, "quote_unterminated")]


# -- camt.053 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["camt053_v2.xml", "camt053_v8.xml"])
def test_camt053_is_read_in_its_versions(name: str) -> None:
    """covers: A25: an entry with several transactions, a reversal, a fee, one not booked yet."""
    file = fixture("camt053", name)
    assert rows(file) == [
        (1, "charge", 10_000, 0, "EUR", "2025-03-03"),
        (2, "charge", 9_000, 0, "EUR", "2025-03-04"),
        (3, "charge", 6_000, 0, "EUR", "2025-03-04"),
        (4, "refund", -4_000, 0, "EUR", "2025-03-04"),
        (5, "fee", -490, 0, "EUR", "2025-03-04"),
    ]
    first, second, *_ = file.parsed.lines
    assert (first.counterparty, first.reference, first.timed) == ("Müller GmbH", "BANK-1", False)
    assert first.text == "Order 1000000018"
    assert (second.reference, second.batch_id) == ("E2E-1000000026", None)
    # What the bank booked as one sum is no payout of a provider.
    assert second.verbatim["Ntry/NtryDtls/Btch/MsgId"] == "BATCH-77"
    assert second.at.isoformat() == "2025-03-04T08:30:00+00:00"
    assert (file.parsed.account, file.parsed.ignored) == ("DE12500105170648489890", 1)


def camt(old: str, new: str) -> StatementFile:
    text = (FILES / "camt053_v8.xml").read_text(encoding="utf-8")
    assert old in text
    return read("camt053", text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('<Amt Ccy="EUR">60.00</Amt>', '<Amt Ccy="EUR">61.00</Amt>', "details_differ"),
        ('<Amt Ccy="EUR">1205.10</Amt>', '<Amt Ccy="EUR">1205.11</Amt>', "balance_differs"),
        ("<NbOfNtries>5<", "<NbOfNtries>6<", "entries_differ"),
        ('<Amt Ccy="EUR">4.90</Amt>', '<Amt Ccy="EUR">4,90</Amt>', "amount_unreadable"),
        ("<ValDt><Dt>2025-03-03</Dt></ValDt>", "<ValDt><Dt>3.3.</Dt></ValDt>", "time_unreadable"),
        ('<Amt Ccy="EUR">40.00</Amt>', '<Amt Ccy="EUR">-40.00</Amt>', "sign"),
    ],
)
def test_what_is_wrong_in_a_camt053_is_named(old: str, new: str, rule: str) -> None:
    """covers: A25"""
    assert rule in [one.rule for one in camt(old, new).unreadable]


def test_a_camt053_with_a_document_type_or_entities_is_refused() -> None:
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    outside = '<!DOCTYPE d SYSTEM "file:///etc/passwd">'
    for head in (bomb, outside):
        with pytest.raises(Unusable, match="document type"):
            camt("<Document", head + "<Document")


def test_other_xml_is_no_camt053() -> None:
    with pytest.raises(Unusable, match="layout"):
        camt("camt.053.001.08", "camt.052.001.08")
    with pytest.raises(Unusable, match="xml: line"):
        camt("</BkToCstmrStmt>", "")
    with pytest.raises(Unusable, match="xml: line 1"):
        read("camt053", "no xml")
    with pytest.raises(Unusable, match="layout"):
        read("camt053", '<D xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"/>')


# -- CSV by a mapping --------------------------------------------------------------------------


def test_any_bank_is_read_by_its_mapping() -> None:
    """covers: A25"""
    file = fixture("csv", "bank.csv")
    assert rows(file) == [
        (4, "charge", 123_450, 0, "EUR", "2025-03-03"),
        (5, "refund", -2_000, 0, "EUR", "2025-03-04"),
        (6, "fee", -490, 0, "EUR", "2025-03-04"),
        (7, "charge", 7_590, 0, "EUR", "2025-03-05"),
    ]
    first = file.parsed.lines[0]
    assert (first.counterparty, first.timed) == ("Müller GmbH", False)
    assert first.at.isoformat() == "2025-03-02T23:00:00+00:00"  # The day begins in Berlin.


def mapped(text: str, **changes: Any) -> StatementFile:
    body: dict[str, Any] = {"columns": {"date": "day", "amount": "sum"}, "currency": "CNY"}
    return read("csv", text, Mapping.model_validate(body | changes))


@pytest.mark.parametrize(
    ("text", "changes", "amounts"),
    [
        ("day,sum\n2025-03-01,-5.00\n", {}, [-500]),
        ("day,sum\n2025-03-01,5.00\n", {"negative": "in"}, [-500]),
        (
            "day,in,out\n2025-03-01,7,\n2025-03-01,,8.5\n2025-03-01,,-1\n2025-03-01,,\n",
            {"columns": {"date": "day", "credit": "in", "debit": "out"}},
            [700, -850, -100],
        ),
        (
            "day,sum,way\n2025-03-01,5.00,D\n2025-03-01,5.00,C\n",
            {"columns": {"date": "day", "amount": "sum", "direction": "way"}, "went": ["D"]},
            [-500, 500],
        ),
        (
            "day,sum,fee\n2025-03-01,97.00,3.00\n",
            {"columns": {"date": "day", "amount": "sum", "fee": "fee"}, "fee_included": True},
            [10_000],
        ),
        (
            "day\tsum\n01/03/2025 18:30\t1,234,567.00\n",
            {"delimiter": "\t", "date_format": "%d/%m/%Y %H:%M"},
            [123_456_700],
        ),
    ],
)
def test_every_convention_of_signs_is_understood(
    text: str, changes: dict[str, Any], amounts: list[int]
) -> None:
    assert [row[2] for row in rows(mapped(text, **changes))] == amounts


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("day,sum\n2025-03-01,\n", 2, "amount_unreadable"),
        ("day,sum\n2025-03-01,1e5\n", 2, "amount_unreadable"),
        ("day,sum\n2025-03-01,5.005\n", 2, "amount_unreadable"),
        ("day,sum\n\n2025-03-01,5,6\n", 3, "columns"),
        ("day,sum\n1.3.2025,5\n", 2, "time_unreadable"),
        ("day,sum\n1066-10-14,5\n", 2, "value_invalid"),
        (f"day,sum\n2025-03-01,{'9' * (ROW_BYTES_MAX + 1)}\n2025-03-01,1\n", 2, "row_too_long"),
    ],
)
def test_what_is_wrong_in_a_row_is_named_by_line_and_rule(text: str, line: int, rule: str) -> None:
    """covers: A25"""
    file = mapped(text)
    assert rules(file) == [(line, rule)]
    assert str(file.unreadable[0]).startswith(f"file:{line}: {rule}")


def test_a_value_that_cannot_be_read_is_not_repeated() -> None:
    """It may be personal: the column is named, not what stands in it."""
    file = mapped("day,sum\n2025-03-01,Wang Xiaoming\n")
    assert "Wang" not in str(file.unreadable[0])


def test_the_sum_of_a_footer_must_be_that_of_the_lines() -> None:
    text = (FILES / "bank.csv").read_text(encoding="cp1252").replace("1.285,50", "1.285,51")
    assert rules(read("csv", text.encode("cp1252"), MAPPING)) == [(8, "footer_sum_differs")]
    cut = text.partition("Summe")[0]
    assert rules(read("csv", cut.encode("cp1252"), MAPPING)) == [(7, "footer_missing")]


def test_a_mapping_must_fit_the_file() -> None:
    with pytest.raises(Unusable, match="has no sum"):
        mapped("day,amount\n")
    with pytest.raises(Unusable, match="sum twice"):
        mapped("day,sum,sum\n")
    with pytest.raises(Unusable, match="mapping"):
        read("csv", "day,sum\n")
    for wrong in (
        {"columns": {"date": "day"}},
        {"columns": {"date": "day", "amount": "a", "credit": "b"}},
        {"currency": None},
        {"went": ["D"]},
        {"zone": "Mars/Olympus"},
        {"surprise": 1},
    ):
        with pytest.raises(ValueError, match="validation error"):
            mapped("day,sum\n", **wrong)


# -- all of them -------------------------------------------------------------------------------


def test_a_file_is_known_by_the_digest_of_its_bytes() -> None:
    raw = (FILES / "stripe_balance.csv").read_bytes()
    file = fixture("stripe", "stripe_balance.csv")
    assert file.statement_id == hashlib.sha256(raw).hexdigest()
    assert file.size_bytes == len(raw)


def test_a_file_becomes_its_announcement_and_its_lines() -> None:
    """covers: A25"""
    text = "day,sum\n" + "2025-03-01,1.00\n" * 450
    file = mapped(text)
    announced, *chunks = file.commands("main", NOON)
    assert isinstance(announced, ImportStatement)
    assert announced.lines == 450
    assert announced.totals[0].amount_minor == 45_000
    lengths = [len(chunk.lines) for chunk in chunks if isinstance(chunk, RecordLines)]
    assert lengths == [200, 200, 50]


def test_a_file_without_lines_is_no_statement() -> None:
    with pytest.raises(Unusable, match="no_lines"):
        next(mapped("day,sum\n").commands("main", NOON))
    with pytest.raises(Unusable, match="columns"):
        mapped("")


def test_a_file_that_is_too_large_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.statement_files.FILE_BYTES_MAX", 100)
    with pytest.raises(Unusable, match="file_too_large"):
        fixture("stripe", "stripe_balance.csv")


@pytest.mark.parametrize("layout", ["alipay", "wechat", "stripe", "camt053", "csv"])
@given(raw=st.binary(max_size=300))
def test_garbage_is_refused_or_named(layout: Layout, raw: bytes) -> None:
    try:
        file = read(layout, raw, MAPPING)
    except Unusable:
        return
    json.dumps([str(one) for one in file.unreadable])


@given(st.integers(-(10**12), 10**12), st.booleans())
def test_amounts_are_read_as_people_write_them(minor_units: int, comma: bool) -> None:
    text = f"{minor_units / 100:,.2f}"
    if comma:
        text = text.translate(str.maketrans(",.", ".,"))
    assert amount(f" ¥{text} ", "sum", comma=comma) * 100 == minor_units
