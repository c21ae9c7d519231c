"""`ledger statement` and `ledger period`: what an accountant types, and reads then."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands.settings import Settings
from commands.store import Store
from domain.message import Command
from domain.period import SUMMED, BeginClosing
from projections import read_models
from projections.engine import Engine
from tests.given_money import pay
from tests.given_orders import line, place
from tests.test_cli import Ledger, ledger_of
from tests.test_statement_files import FILES
from workers import periods, statements

ORDER = "0193aaaa-0000-7000-8000-00000000000a"
MARCH = datetime(2025, 3, 3, 4, tzinfo=UTC)


@pytest.fixture
def ledger(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    with Store(settings).connect(autocommit=True) as connection:
        read_models.prepare(connection, settings.read_schema)
    return ledger_of(settings, monkeypatch)


def send(settings: Settings, *commands: Command) -> None:
    statements.send(settings, commands, "desk")


def ordered(settings: Settings) -> None:
    """An order of 210.00 that Alipay paid, and one of 50.00 paid by transfer."""
    number, second = "1000000018", ORDER[:-1] + "b"
    send(
        settings,
        place(ORDER, line(quantity=1, price=21_000), numbers=(number,), at=MARCH),
        pay(21_000, "P1", ORDER, reference="2025030122001004720299453898", at=MARCH),
        place(second, line(quantity=1, price=5_000), numbers=("1000000026",), at=MARCH),
        pay(5_000, "P2", second, method="bank_transfer", reference="other", at=MARCH),
    )


def imported(ledger: Ledger, name: str = "alipay_trades.csv", layout: str = "alipay") -> str:
    told = ledger("statement", "import", str(FILES / name), "--layout", layout).stdout
    return told.split()[0]


def caught_up(settings: Settings) -> None:
    """The read models as a projector would have them by now."""
    store = Store(settings)
    with store.connect(autocommit=True) as connection:
        for projection in read_models.ALL:
            engine = Engine(projection, settings.read_schema)
            position = engine.position(connection)
            while batch := store.feed(connection, position):
                position = engine.apply(connection, batch, position)


def test_a_file_comes_in_once_and_is_listed(ledger: Ledger) -> None:
    """covers: A25"""
    name = imported(ledger)
    again = ledger("statement", "import", str(FILES / "alipay_trades.csv"), "--layout", "alipay")
    assert again.stdout == f"{name} was imported before: 3 lines, 0 matched\n"
    bank = ledger(
        "statement",
        "import",
        str(FILES / "bank.csv"),
        "--layout",
        "csv",
        "--mapping",
        str(FILES / "bank.mapping.json"),
    )
    assert "imported: 4 lines" in bank.stdout


def test_what_cannot_be_read_is_named_with_file_line_and_rule(
    ledger: Ledger, tmp_path: Path
) -> None:
    """covers: A25"""
    text = (FILES / "alipay_trades.csv").read_bytes().decode("gbk")
    broken = tmp_path / "broken.csv"
    broken.write_bytes(text.replace(",退款\t,", ",分账\t,").encode("gbk"))
    refused = ledger("statement", "import", str(broken), "--layout", "alipay", fails=True)
    told = refused.output.replace("\n", " ")
    assert "broken.csv:8: kind_unknown: 业务类型" in told
    assert "broken.csv:12: footer_count_differs: 退款合计" in told
    assert "nothing came in" in told
    taken = ledger("statement", "import", str(broken), "--layout", "alipay", "--accept-unreadable")
    assert "imported: 2 lines" in taken.stdout
    assert "left out: broken.csv:8" in taken.output


def test_what_is_wrong_as_a_whole_is_one_line(ledger: Ledger, tmp_path: Path) -> None:
    file, mapping = tmp_path / "some.csv", tmp_path / "mapping.json"
    file.write_text("a,b\n1,2\n")
    mapping.write_text('{"columns": {"date": "a", "amount": "b"}, "surprise": 1}')
    other = ledger("statement", "import", str(file), "--layout", "wechat", fails=True)
    assert "layout: neither 交易账单 nor 资金账单" in other.output
    wrong = ledger(
        *("statement", "import", str(file), "--layout", "csv", "--mapping", str(mapping)),
        fails=True,
    )
    assert "surprise Extra inputs are not permitted" in wrong.output.replace("\n", " ")
    assert "one of csv" in ledger(
        "statement", "import", str(file), "--layout", "mt940", fails=True
    ).output.replace("\n", " ")
    assert "Traceback" not in other.output + wrong.output


def test_lines_are_shown_with_what_they_may_be_and_matched(
    settings: Settings, ledger: Ledger
) -> None:
    """covers: A25"""
    ordered(settings)
    name = imported(ledger)
    caught_up(settings)
    assert name in ledger("statement", "show").stdout
    shown = ledger("statement", "show", name[:12]).stdout
    assert "3 unmatched" in shown
    assert f"capture/{ORDER}/P1" in shown.replace("\n", "")
    matched = ledger("statement", "match", name)
    assert matched.stdout.startswith("1 matched, ")
    caught_up(settings)
    assert "1 matched, 2 unmatched" in ledger("statement", "show", name).stdout
    refused = ledger(
        *("statement", "match", name, "--line", "7", "--to", "capture/1000000026/P2"), fails=True
    )
    assert "match_differs: the lines come to 1234.50 CNY" in refused.output.replace("\n", " ")
    assert "statement_not_found" in ledger(
        "statement", "show", "0" * 64, fails=True
    ).output.replace("\n", " ")


def test_a_match_is_undone_from_the_command_line(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    """covers: A25"""
    ordered(settings)
    file, mapping = tmp_path / "some.csv", tmp_path / "mapping.json"
    file.write_text("day,sum\n2025-03-03,50.00\n")
    mapping.write_text('{"columns": {"date": "day", "amount": "sum"}, "currency": "CNY"}')
    name = ledger(
        *("statement", "import", str(file), "--layout", "csv", "--mapping", str(mapping))
    ).stdout.split()[0]
    by_hand = ledger("statement", "match", name, "--line", "2", "--to", "capture/1000000026/P2")
    match_id = by_hand.stdout.split()[-1]
    ledger("statement", "unmatch", name, match_id, "--reason", "wrong order")
    refused = ledger("statement", "unmatch", name, match_id, "--reason", "again", fails=True)
    assert "match_not_found" in refused.output


def test_a_month_is_closed_and_checked_against_its_events(
    settings: Settings, ledger: Ledger
) -> None:
    """covers: A24"""
    ordered(settings)
    imported(ledger)
    assert "period_not_found" in ledger("period", "check", "2025-03", fails=True).output
    assert ledger("period", "close", "2025-03").stdout == "2025-03 of main is closed\n"
    checked = ledger("period", "check", "2025-03").stdout
    alipay = next(one for one in checked.splitlines() if one.startswith("CNY alipay: "))
    assert alipay.startswith(
        "CNY alipay: 1 captures, captured 210.00 CNY, 0 refunds, refunded 0.00 CNY, fees 8.37 CNY"
    )
    for name in SUMMED:  # All that the closed period states.
        assert name.removesuffix("_minor").replace("_", " ") in alipay, name
    assert alipay.endswith("kept 210.00 CNY")
    assert "CNY bank_transfer: 1 captures, captured 50.00 CNY" in checked
    assert "equal to what was stated" in checked
    assert ledger("period", "close", "2025-03").stdout == "2025-03 of main is closed\n"
    assert "period_not_over" in ledger("period", "close", "2099-01", fails=True).output


def test_a_closing_that_was_begun_elsewhere_is_finished_by_a_worker(
    settings: Settings, ledger: Ledger
) -> None:
    """covers: A24: over the API, or by one who was stopped in between."""
    ordered(settings)
    send(settings, BeginClosing(month="2025-03", at=datetime.now(UTC)))
    caught_up(settings)
    assert periods.finish_all(settings) == 1
    caught_up(settings)
    assert periods.finish_all(settings) == 0
    assert "equal to what was stated" in ledger("period", "check", "2025-03").stdout
