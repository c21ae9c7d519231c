"""The command `ledger`: what operators type, and what they read then."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from commands.settings import Settings
from commands.store import Store
from projections import order_status, read_models
from projections.analytics import FactWriter
from projections.engine import Engine
from tests.carrier import CARRIER, Desk, number_of, rows, scan, sending, wait_for_offset, worker
from workers import entry, inspection
from workers.cli import app
from workers.projector import lake_of

Ledger = Callable[..., Result]


def ledger_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Runs the command with the settings of a ledger, as its environment."""
    for name, value in entry.environment(settings).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert (result.exit_code != 0) == fails, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def ledger(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return ledger_of(settings, monkeypatch)


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def tamper(settings: Settings, statement: str) -> None:
    """As someone who owns the database could."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
        owner.execute(f'SET search_path TO "{settings.schema_name}"')
        owner.execute("ALTER TABLE ledger_event DISABLE TRIGGER immutable")
        owner.execute(statement.encode())


def test_without_a_ledger_it_says_which_setting_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("POSTGRES_URL", "MASTER_KEY", "KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(f"LEDGER_{name}", raising=False)
    with pytest.raises(entry.NotConfigured, match="LEDGER_POSTGRES_URL is not set"):
        entry.settings()
    monkeypatch.setenv("LEDGER_POSTGRES_URL", "postgresql://nowhere/ledger")
    with pytest.raises(entry.NotConfigured, match="LEDGER_MASTER_KEY must be 64 hexadecimal"):
        entry.settings()
    monkeypatch.setenv("LEDGER_MASTER_KEY", "00" * 32)
    with pytest.raises(entry.NotConfigured, match="LEDGER_KAFKA_BOOTSTRAP is not set"):
        entry.needs_kafka(entry.settings())


def test_a_ledger_that_is_whole_is_verified_and_has_a_root(settings: Settings, ledger: Ledger):
    """covers: L34, L4"""
    empty = ledger("verify")
    assert "events 0\nroot e3b0c44298fc1c149afbf4c8996fb924" in empty.stdout
    Desk(settings).dispatch(["SF1", "SF2"])
    first = ledger("verify").stdout
    assert first == ledger("verify").stdout
    count = number_of(settings, "SELECT count(*) FROM ledger_event")
    assert f"events {count}\nroot " in first
    tamper(settings, "UPDATE ledger_event SET actor = 'else' WHERE position = 3")
    assert ledger("verify").stdout != first


def told_of_root(result: Result) -> str:
    found = re.search(r"root ([0-9a-f]{64})", result.stdout)
    assert found is not None
    return found[1]


def test_a_root_of_before_is_compared_at_its_position(settings: Settings, ledger: Ledger):
    """covers: A16, L34: what was written down once, whoever owns the database since."""
    Desk(settings).dispatch(["SF1"])
    head = number_of(settings, "SELECT count(*) FROM ledger_event")
    noted = told_of_root(ledger("verify"))
    Desk(settings).dispatch(["SF2"])
    assert told_of_root(ledger("verify")) != noted
    then = ledger("verify", "--position", str(head), "--root", noted.upper())
    assert told_of_root(then) == noted
    assert f"events {head}" in then.stdout
    ledger("verify", "--root", noted, fails=True)  # It is not the root of the head.
    tamper(settings, "UPDATE ledger_event SET actor = 'else' WHERE position = 3")
    changed = ledger("verify", "--position", str(head), "--root", noted, fails=True)
    line = changed.stderr.strip().replace("\n", " ")
    assert line == f"the root at position {head} differs: {noted} was given"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--position", "1000000"), "the ledger ends at position"),
        (("--root", "5a5a"), "64 hexadecimal digits"),
    ],
)
def test_a_position_or_root_that_cannot_be_is_named(
    ledger: Ledger, arguments: tuple[str, ...], told: str
):
    assert told in ledger("verify", *arguments, fails=True).stderr


@pytest.mark.parametrize("position", [2, "(SELECT max(position) FROM ledger_event) - 1"])
def test_an_event_that_was_taken_out_is_missed(
    settings: Settings, ledger: Ledger, position: object
):
    """covers: L34"""
    Desk(settings).dispatch(["SF1"])
    tamper(settings, f"DELETE FROM ledger_event WHERE position = {position}")
    result = ledger("verify", fails=True)
    assert "are missing" in result.output.replace("\n", " ")


def test_an_event_that_has_no_leaf_is_named(settings: Settings, ledger: Ledger):
    """covers: L34: a time beyond what canonical integers hold."""
    Desk(settings).dispatch(["SF1"])
    tamper(settings, "ALTER TABLE ledger_event DROP CONSTRAINT ledger_event_occurred_at_check")
    tamper(settings, "UPDATE ledger_event SET occurred_at = '1066-10-14Z' WHERE position = 3")
    told = ledger("verify", fails=True).output.replace("\n", " ")
    assert "position 3 has no leaf" in told
    assert "1 problem" in told


def test_pages_of_verify_join_without_a_seam(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    Desk(settings).dispatch(["SF1"])
    whole = ledger("verify").stdout
    monkeypatch.setattr(inspection, "PAGE_EVENTS", 3)
    assert ledger("verify").stdout == whole


def test_an_order_is_replayed_by_id_and_by_number(settings: Settings, ledger: Ledger):
    """covers: L34"""
    Desk(settings).dispatch(["SF1"])
    number, owner = rows(
        settings, "SELECT key, owner FROM ledger_claim WHERE kind = 'order_number'"
    )[0]
    told = events(ledger("replay", owner))
    assert events(ledger("replay", number)) == told
    assert [event["version"] for event in told] == list(range(1, len(told) + 1))
    assert told[0]["topic"] == "order.placed.v4"
    assert "王小明" not in ledger("replay", owner).stdout
    ledger("replay", "0000000000", fails=True)


def test_the_feed_is_printed_in_order_and_from_where_one_likes(settings: Settings, ledger: Ledger):
    Desk(settings).dispatch(["SF1"])
    all_ = events(ledger("feed"))
    assert [event["position"] for event in all_] == list(range(1, len(all_) + 1))
    assert events(ledger("feed", "--after", "3", "--limit", "2")) == all_[3:5]


def test_migrating_again_changes_nothing(ledger: Ledger):
    assert "nothing to apply" in ledger("migrate").output


def test_read_models_are_rebuilt_and_compared(settings: Settings, ledger: Ledger):
    """covers: L34"""
    Desk(settings).dispatch(["SF1"])
    for again in (False, True):
        told = ledger("rebuild", "all", *(["--compare"] if again else [])).stdout
        for name in ("order_status", "customer_history", "stock_levels", "analytics"):
            assert f"{name}: " in told
        assert told.count(" 0 differ") == len(read_models.ALL) + 2  # deadlines and analytics
    assert ledger("park").stdout == ""


def failing(_row: Any, _recorded: Any) -> Any:
    raise ZeroDivisionError("a fault in the fold")


def set_aside(settings: Settings) -> str:
    """An order that neither its read model nor the facts could fold, until the fault was mended."""
    Desk(settings).dispatch(["SF1"])
    store, lake = Store(settings), lake_of(settings).connect()
    with store.connect(autocommit=True) as connection, closing(lake):
        events = store.feed(connection, 0)
        engine = Engine(replace(order_status.PROJECTION, fold=failing), settings.read_schema)
        engine.prepare(connection)
        engine.apply(connection, events, 0)
        writer = FactWriter(lake, partial(store.earlier, connection), fold=failing)
        writer.prepare()
        writer.apply(events, 0)
        (key,) = writer.parked()
    return key


def test_a_key_that_was_set_aside_is_released_after_the_fix(settings: Settings, ledger: Ledger):
    """covers: L19"""
    key = set_aside(settings)
    assert f"order_status/{key}  position " in ledger("park").stdout
    for name in ("order_status", "analytics"):
        assert "released" in ledger("park", "--release", f"{name}/{key}").output
        again = ledger("park", "--release", f"{name}/{key}", fails=True)
        assert again.output == f"{name}/{key} is not parked: `ledger park` lists what is\n"
        assert again.exit_code == 1
        assert " 0 differ" in ledger("rebuild", name, "--compare").stdout
    assert ledger("park").stdout == ""


def test_a_release_is_of_one_key(ledger: Ledger):
    assert ledger("park").stdout == ""  # Also before any projection ran.
    for name in ("order_status", "order_status/", ""):
        assert ledger("park", "--release", name, fails=True).exit_code == 2
    for name in ("order_status/[/]", "analytics/nonsense", "customer_history/C-1"):
        told = ledger("park", "--release", name, fails=True)
        assert told.output == f"{name} is not parked: `ledger park` lists what is\n"


def test_what_cannot_be_imported_is_named(ledger: Ledger, tmp_path: Path):
    for what, reason in (
        ((f"{tmp_path}/[/].jsonl",), f"{tmp_path}/[/].jsonl: No such file or directory"),
        ((str(tmp_path),), f"{tmp_path}: Is a directory"),
        (("olist", f"{tmp_path}/absent"), f"{tmp_path}/absent has neither olist_orders_dataset"),
    ):
        told = ledger("import", *what, fails=True)
        assert told.exit_code == 1
        assert told.output.startswith(reason)
        assert told.output.count("\n") == 1
    assert ledger("import", "olist", fails=True).exit_code == 2


def test_a_file_of_history_is_imported_once(settings: Settings, ledger: Ledger, tmp_path: Path):
    order = {
        "external_ref": "WEB-1",
        "placed_at": "2020-01-01T10:00:00Z",
        "channel": "web",
        "customer_id": "c-1",
        "currency": "CNY",
        "lines": [
            {
                "sku": "TEA",
                "name": "tea",
                "category": "tea",
                "quantity": 1,
                "unit_price_minor": 100,
            }
        ],
        "contact": {"name": "王小明"},
        "shipping_address": {"line1": "1", "city": "杭州", "country": "CN"},
        "payment_method": "alipay",
    }
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps({"order": order, "facts": []}) + "\nnot json\n")
    first = ledger("import", str(path), fails=True)
    assert "1 could not be read" in first.output
    assert "1 orders came in" in first.output
    assert f"{path}:2" in first.output.replace("\n", "")
    path.write_text(json.dumps({"order": order, "facts": []}) + "\n")
    assert "0 orders came in" in ledger("import", str(path)).output
    assert number_of(settings, "SELECT count(*) FROM ledger_event WHERE category = 'order'") == 1
    ledger("import", str(tmp_path / "absent.jsonl"), fails=True)


def test_dead_letters_are_listed_and_sent_again(tracked: Settings, monkeypatch: pytest.MonkeyPatch):
    ledger = ledger_of(tracked, monkeypatch)
    Desk(tracked).dispatch(["SF1"])
    with sending(tracked) as send, worker(tracked):
        send(b"garbage", {**scan("SF1"), "carrier": CARRIER})
        wait_for_offset(tracked, 2)
        listed = ledger("dead-letters", "--list").stdout
        number = listed.split()[0]
        assert "value: Invalid JSON" in listed
        assert "1 sent again" in ledger("dead-letters", "--resend", number).output
        assert "of no dead letter" in ledger("dead-letters", "--resend", "999", fails=True).output
        wait_for_offset(tracked, 3)
    assert number not in [
        line.split()[0] for line in ledger("dead-letters", "--list").stdout.splitlines()
    ]
