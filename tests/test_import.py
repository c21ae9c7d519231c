"""Real history comes in as it was: whole, once, and whatever was odd about it is named."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import ValidationError

from commands.keys import SELECT_KEYS, Vault
from commands.settings import Settings
from commands.store import Store
from domain import codec, number
from domain.history import History, history, numbers, order_id_of
from domain.history_record import Record
from domain.message import Event, Recorded
from domain.order_facts import (
    OrderCancelled,
    OrderDelivered,
    OrderDispatched,
    OrderPlaced,
    PaymentCaptured,
    RefundPaid,
    RefundRequested,
)
from domain.order_fold import evolve
from domain.order_state import Order
from domain.order_status import shown
from domain.proof import INTEGER_MAX, microseconds
from tests.scale import scale
from tests.servers import fresh_database, settings_of
from workers.import_reading import Unreadable, parse
from workers.importing import Progress, Summary, import_file
from workers.local.postgres import LocalPostgres

FIXTURE = Path(__file__).parent / "fixtures" / "import.jsonl"
NAMESPACE = UUID("00000000-0000-4000-8000-000000000000")


def quiet(_: Progress) -> None:
    """Nobody watches."""


def told(line: str) -> History:
    record = Record.model_validate(json.loads(line))
    order_id = order_id_of(NAMESPACE, record)
    return history(record, order_id, next(numbers(order_id)))


def of_fixture(reference: str) -> tuple[History, list[Event], Order]:
    line = next(line for line in FIXTURE.read_text().splitlines() if f'"{reference}"' in line)
    result = told(line)
    (events,) = result.decision.events.values()
    return result, events, reduce(evolve, events, Order())


def contents(settings: Settings) -> list[Any]:
    """All the ledger says, with personal values opened, but not when and under which command."""
    store = Store(settings)
    vault = Vault(settings.name, settings.master_key_bytes())
    with store.connect(autocommit=True) as connection:
        persons = [p for (p,) in connection.execute("SELECT person FROM ledger_person_key")]
        vault.learn(connection.execute(SELECT_KEYS, [persons]).fetchall())
        events: list[Recorded] = []
        while batch := store.feed(connection, after=len(events)):
            events += batch
        claims = connection.execute("SELECT * FROM ledger_claim ORDER BY 1, 2").fetchall()
        keys = connection.execute("SELECT key FROM ledger_command ORDER BY 1").fetchall()
    clear = [
        (one.position, one.stream_id, one.version, one.topic, one.actor, one.origin, opened)
        for one in events
        for opened in [clear_of(one.event, vault)]
    ]
    return [clear, claims, keys]


def clear_of(event: Event, vault: Vault) -> dict[str, Any]:
    data = event.model_dump(mode="json")
    for name in event.PERSONAL_FIELDS:
        data[name] = codec.reveal(getattr(event, name), vault)
    return data


@pytest.fixture
def other(postgres: LocalPostgres, ledger_template: str, tmp_path: Path) -> Iterator[Settings]:
    """A second empty ledger."""
    with fresh_database(postgres, ledger_template) as url:
        yield settings_of(url, tmp_path / "other")


# -- the facts of one record -----------------------------------------------------------------------


def test_an_order_that_went_well_is_told_as_the_desk_would_have_recorded_it() -> None:
    result, events, state = of_fixture("SO-1")
    placed = events[0]
    assert isinstance(placed, OrderPlaced)
    assert result.irregular == ()
    assert [event.TOPIC.split(".")[1] for event in events] == [
        "placed",
        "payment_captured",
        "approved",
        "dispatched",
        "delivered",
        "feedback_given",
        "noted",
    ]
    assert placed.at == datetime(2024, 5, 1, 2, tzinfo=UTC)
    assert placed.total_minor == 12400
    assert [line.base_minor for line in placed.lines] == [8625, 2775]
    assert placed.region == "P.R. China-SH"
    assert number.is_number(placed.number)
    assert shown(state).code == "delivered"
    assert result.decision.claims == (
        ("order_number", placed.number, placed.order_id),
        ("external_ref", "main/SO-1", placed.order_id),
    )


def test_a_time_without_zone_is_utc() -> None:
    _, events, _ = of_fixture("SO-1")
    assert [e.at for e in events if isinstance(e, OrderDispatched)] == [
        datetime(2024, 5, 2, 8, tzinfo=UTC)
    ]


def test_what_has_no_field_of_ours_is_kept_verbatim_beside() -> None:
    result, events, state = of_fixture("SO-2")
    placed = events[0]
    assert isinstance(placed, OrderPlaced)
    assert placed.lines == []
    assert placed.verbatim == {
        "source_status": "lost in the move",
        "loyalty": {"card": "gold"},
        "import": {"source": "oldshop", "irregular": list(result.irregular)},
    }
    (payment,) = [event for event in events if isinstance(event, PaymentCaptured)]
    assert (payment.method, payment.amount_minor) == ("boleto", 0)
    assert payment.verbatim == {"installments": "0"}
    assert result.irregular == ("lines_missing", "payment_method_unknown", "payment_of_nothing")
    assert shown(state).code == "cancelled"


def test_a_location_never_names_the_stock_of_another_sku() -> None:
    """`TEA` at `x@main` would be the stream of the sku `TEA@x` at `main`."""
    line = '{"sku": "TEA", "unit_price_minor": 1, "location": "%s"}'
    lines = ", ".join(line % location for location in ("x@main", "annex"))
    order = f'"placed_at": "2024-05-01", "currency": "CNY", "lines": [{lines}]'
    result = told(f'{{"order": {{"external_ref": "SO-9", {order}}}}}')
    (placed,) = next(iter(result.decision.events.values()))
    assert isinstance(placed, OrderPlaced)
    assert [line.location for line in placed.lines] == ["unknown", "annex"]
    assert "location_unclear" in result.irregular
    assert placed.verbatim is not None
    assert placed.verbatim["import"]["locations"] == {"1": "x@main"}


def test_history_that_contradicts_itself_is_kept_and_named() -> None:
    result, events, _ = of_fixture("SO-4")
    placed = events[0]
    assert isinstance(placed, OrderPlaced)
    assert set(result.irregular) == {
        "cancelled_after_dispatch",
        "channel_unknown",
        "currency_unknown",
        "customer_missing",
        "delivered_before_dispatched",
        "delivered_before_placed",
        "dispatched_before_placed",
        "feedback_before_delivered",
        "line_unknown",
        "never_approved",
        "payment_missing",
        "quantity_out_of_bounds",
        "score_out_of_scale",
        "total_differs",
    }
    # Their total is kept; the difference is a line of its own.
    assert placed.total_minor == 2000
    assert [(line.sku, line.base_minor) for line in placed.lines] == [
        ("POT", 0),
        ("TIN", 2100),
        ("difference", -100),
    ]
    (delivered,) = [event for event in events if isinstance(event, OrderDelivered)]
    assert [(unit.line_no, int(unit.quantity)) for unit in delivered.lines] == [(2, 2), (9, 1)]
    (cancelled,) = [event for event in events if isinstance(event, OrderCancelled)]
    assert (cancelled.goods_minor, cancelled.total_minor, cancelled.all) == (700, 1300, False)


def test_a_cancelled_and_refunded_order_owes_nothing_to_either_side() -> None:
    result, events, state = of_fixture("SO-6")
    assert result.irregular == ()
    (cancelled,) = [event for event in events if isinstance(event, OrderCancelled)]
    assert (cancelled.goods_minor, cancelled.shipping_minor, cancelled.all) == (12000, 500, True)
    (asked,) = [event for event in events if isinstance(event, RefundRequested)]
    (paid,) = [event for event in events if isinstance(event, RefundPaid)]
    assert asked.at < paid.at
    assert [part.amount_minor for part in asked.payments] == [12500]
    assert (paid.method, state.balance_minor) == ("credit_card", 0)
    assert shown(state).code == "refunded"


def test_a_record_told_twice_is_the_same_to_the_last_id() -> None:
    assert of_fixture("SO-1")[1] == of_fixture("SO-1")[1]


def test_a_discount_above_the_goods_is_kept_although_the_desk_would_refuse_it() -> None:
    result = told(
        '{"order": {"external_ref": "D", "placed_at": "2024-01-01", "currency": "CNY", '
        '"customer_id": "li", "discount_minor": 700, '
        '"lines": [{"sku": "A", "unit_price_minor": 200}, {"sku": "B", "unit_price_minor": 400}]}}'
    )
    ((placed, *_),) = result.decision.events.values()
    assert isinstance(placed, OrderPlaced)
    assert "discount_exceeds_order" in result.irregular
    assert sum(line.order_discount_minor for line in placed.lines) == 700
    assert placed.total_minor == -100


def test_named_discounts_and_exemptions_of_history_are_kept_as_far_as_they_agree() -> None:
    """covers: A65 (exemption), A66"""
    order: dict[str, Any] = {
        "external_ref": "E",
        "placed_at": "2024-01-01",
        "currency": "CNY",
        "discounts": [
            {"kind": "coupon", "code": "S", "title": "Spring", "amount_minor": 60},
            {"kind": "bulk", "title": "Ten for nine", "amount_minor": 40},
        ],
        "exemption": {"code": "export", "reason": "§ 6 UStG"},
        "exemption_certificate": "ATLAS-1",
        "lines": [{"sku": sku, "unit_price_minor": 1000} for sku in "ABC"],
    }

    def placed(**changes: Any) -> tuple[OrderPlaced, tuple[str, ...]]:
        result = told(json.dumps({"order": order | changes}))
        ((event, *_),) = result.decision.events.values()
        assert isinstance(event, OrderPlaced)
        return event, result.irregular

    event, irregular = placed()
    assert (event.total_minor, event.discount_minor) == (2900, 100)
    assert [line.discount_shares for line in event.lines] == [[20, 14], [20, 13], [20, 13]]
    assert {line.exemption and line.exemption.code for line in event.lines} == {"export"}
    assert not {"discounts_differ", "exempt_but_taxed"} & {*irregular}
    taxed = [{"sku": "A", "unit_price_minor": 1130, "tax_rate_bp": 1300}]
    event, irregular = placed(lines=taxed, discount_minor=130)
    assert {"discounts_differ", "exempt_but_taxed"} <= {*irregular}
    assert (event.total_minor, len(event.discounts or ())) == (1000, 2)
    assert (event.lines[0].exemption, event.lines[0].discount_shares) == (None, None)


LINE = '{"order": {"external_ref": "A", "placed_at": "2024-01-01", "currency": "CNY", %s}}'
UNREADABLE = {
    '"lines": [{"sku": "A", "quantity": 1.5}]': "order.lines.0.quantity: Value error, "
    "must be an integer or a decimal string, never a float",
    '"lines": [{"sku": "A", "quantity": "1.2345"}]': "order.lines.0.quantity: "
    "Decimal input should have no more than 3 decimal places",
    '"shipping_minor": 1000000000001': "order.shipping_minor: "
    "Input should be less than or equal to 1000000000000",
    '"verbatim": {"import": 1}': "order.verbatim: Value error, "
    "must not have the key import: the import writes its own there",
    '"verbatim": {"a": "\\u0000"}': "order.verbatim: Value error, "
    "must not contain U+0000 or lone surrogates",
    '"verbatim": ' + '{"a":' * 30 + "1" + "}" * 30: "order.verbatim: Value error, "
    "must not be nested deeper than 20",
    '"placed_at": "1699-12-31T23:59:59Z"': "order.placed_at: Value error, "
    "must be from 1700-01-01 to before 2250-01-01",
    '"placed_at": "2250-01-01"': "order.placed_at: Value error, "
    "must be from 1700-01-01 to before 2250-01-01",
    '"placed_at": "12345"': "order.placed_at: Value error, "
    "must be a text such as 2018-01-31 12:00:00 or 2018-01-31T12:00:00Z",
    '"lines": [{"sku": "A", "unit_price": "1.00"}], "currency": "XXX"': "order.lines: "
    "Value error, unit_price needs an ISO 4217 currency; give unit_price_minor",
}


@pytest.mark.parametrize("order", UNREADABLE)
def test_what_cannot_be_read_names_its_field(order: str) -> None:
    assert parse("f", 7, (LINE % order).encode()) == Unreadable("f", 7, UNREADABLE[order])


def test_the_first_and_the_last_time_of_a_record_have_leaves() -> None:
    for time in ("1700-01-01", "2249-12-31 23:59:59.999999"):
        order = {"external_ref": "A", "placed_at": time, "currency": "CNY"}
        assert (
            abs(microseconds(Record.model_validate({"order": order}).order.placed_at))
            <= INTEGER_MAX
        )


def test_a_fact_of_a_record_is_of_a_time_that_can_be_recorded() -> None:
    order = {"external_ref": "A", "placed_at": "2024-01-01", "currency": "CNY"}
    note = {"type": "note", "at": "1066-10-14", "text": "x"}
    with pytest.raises(ValidationError, match=r"facts\.0\.note\.at"):
        Record.model_validate({"order": order, "facts": [note]})


def test_a_record_has_bounds() -> None:
    note = {"type": "note", "at": "2024-01-01", "text": "x"}
    order = {"external_ref": "A", "placed_at": "2024-01-01", "currency": "CNY"}
    with pytest.raises(ValidationError, match="at most 500"):
        Record.model_validate({"order": order, "facts": [note] * 501})


# -- files into the ledger -------------------------------------------------------------------------


UNREADABLE_LINES = {
    3: "no JSON: unexpected end of data: line 1 column 35 (char 34)",
    6: "order.colour: Extra inputs are not permitted",
    8: "order.placed_at: Value error, must be a text such as 2018-01-31 12:00:00 "
    "or 2018-01-31T12:00:00Z",
    9: "record: Input should be a valid dictionary or instance of Record",
    10: "order.external_ref: Field required; order.note: Value error, must not contain the "
    "character U+0000; facts.0: Input tag 'teleported' found using 'type' does not match "
    "any of the expected tags: 'approved', 'paid', 'dispatched', 'delivered', "
    "'cancelled', 'refunded', 'feedback', 'note'",
}


def test_a_file_comes_in_and_what_was_odd_or_unreadable_is_listed(settings: Settings) -> None:
    seen: list[Progress] = []
    summary = import_file(settings, FIXTURE, seen.append)
    assert (summary.orders, summary.known) == (4, 0)
    assert summary.events == len(contents(settings)[0]) == 20
    assert seen[-1] == Progress(orders=6, events=20, share=1.0)
    assert summary.irregular["lines_missing"].examples == ["SO-2"]
    assert summary.irregular["changed_since_import"].examples == ["SO-2"]
    assert summary.irregular["reference_of_another_order"].examples == ["SO-6"]
    assert {place.line: place.reason for place in summary.unreadable} == UNREADABLE_LINES
    report = [json.loads(line) for line in summary.report.read_text().splitlines()]
    assert [entry["line"] for entry in report if "unreadable" in entry] == [3, 6, 8, 9, 10]
    irregular = [entry["external_ref"] for entry in report if "irregular" in entry]
    assert irregular == ["SO-2", "SO-4", "SO-2", "SO-6"]


def test_a_file_imported_twice_is_in_the_ledger_once(settings: Settings) -> None:
    """covers: L13"""
    first = import_file(settings, FIXTURE, quiet)
    before = contents(settings)
    second = import_file(settings, FIXTURE, quiet)
    assert (second.orders, second.events, second.known) == (0, 0, 4)
    assert contents(settings) == before
    assert second.irregular == first.irregular
    assert second.unreadable == first.unreadable


def test_personal_values_are_sealed_before_they_are_stored(settings: Settings) -> None:
    import_file(settings, FIXTURE, quiet)
    with Store(settings).connect(autocommit=True) as connection:
        stored = connection.execute("SELECT string_agg(state, '') FROM ledger_event").fetchone()
    assert stored is not None
    for personal in ("李雷", "li@example.com", "人民路", "Ring twice", "很好", "Called to thank"):
        assert personal.encode() not in stored[0]
    assert "人民路 1 号" in str(contents(settings))


def test_a_gzipped_file_that_ends_early_is_read_as_far_as_it_goes(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl.gz"
    path.write_bytes(gzip.compress(many(500))[:-2_000])
    summary = import_file(settings, path, quiet)
    assert 0 < summary.orders < 500
    (place,) = summary.unreadable
    assert place.line == summary.orders + 1
    assert "cannot be read on" in place.reason


def test_two_orders_that_would_have_one_number_get_two(settings: Settings, tmp_path: Path) -> None:
    """The claims of the ledger decide, also against numbers that the desk gave."""
    path = tmp_path / "history.jsonl"
    path.write_bytes(many(3))
    first = Record.model_validate(json.loads(many(1)))
    candidates = list(numbers(order_id_of(settings.namespace, first)))
    with psycopg.connect(settings.postgres_url) as owner:
        taken = "INSERT INTO main.ledger_claim SELECT 'order_number', unnest(%s::text[]), 'desk'"
        owner.execute(taken, [candidates[:2]])
    assert import_file(settings, path, quiet).orders == 3
    placed = contents(settings)[0][0][-1]
    assert placed["number"] == candidates[2]


def many(orders: int) -> bytes:
    """Generated records with personal values; customers come again in other batches."""
    lines = []
    for n in range(orders):
        order = {
            "external_ref": f"G-{n}",
            "placed_at": f"2024-01-01 {n % 24:02}:00:00",
            "customer_id": f"customer-{n % 211}",
            "currency": "CNY",
            "lines": [{"sku": f"S{n % 7}", "quantity": 1 + n % 3, "unit_price_minor": 100 + n}],
            "contact": {"name": f"Name {n}"},
        }
        paid = {"type": "paid", "at": "2024-01-02", "method": "alipay", "amount_minor": n}
        facts = [paid, {"type": "approved", "at": "2024-01-02"}]
        lines.append(json.dumps({"source": "generated", "order": order, "facts": facts}))
    return "\n".join(lines).encode() + b"\n"


IMPORT = """
import sys
from pathlib import Path
from commands.settings import Settings
from workers.importing import import_file
import_file(Settings(), Path(sys.argv[1]), lambda progress: print(progress.events, flush=True))
"""


def start_import(settings: Settings, path: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "LEDGER_POSTGRES_URL": settings.postgres_url,
        "LEDGER_MASTER_KEY": settings.master_key.get_secret_value(),
        "LEDGER_VAR_PATH": str(settings.var_path),
    }
    command = [sys.executable, "-c", IMPORT, str(path)]
    root = Path(__file__).parents[1]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_was_ended_in_the_middle_and_run_again_equals_one_run(
    settings: Settings, other: Settings, tmp_path: Path, how: signal.Signals
) -> None:
    """covers: L13"""
    path, orders = tmp_path / "history.jsonl", scale(40_000, 4_000)
    path.write_bytes(many(orders))
    with start_import(settings, path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(how)
    ended = len(contents(settings)[0])
    assert 0 < ended < 3 * orders
    again = import_file(settings, path, quiet)
    assert again.known == ended // 3
    assert again.orders == orders - again.known
    assert import_file(other, path, quiet).orders == orders
    assert contents(settings) == contents(other)


def test_an_import_goes_on_when_its_connections_are_lost(
    settings: Settings, other: Settings, tmp_path: Path
) -> None:
    """Whether the append that was under way got in is found out by its keys."""
    path, orders = tmp_path / "history.jsonl", 4_000
    path.write_bytes(many(orders))
    told: list[Progress] = []

    def cut(progress: Progress) -> None:
        told.append(progress)
        if len(told) % 4 == 1:
            with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'ledger_main' AND datname = current_database()"
                )

    summary = import_file(settings, path, cut)
    assert len(told) > 5
    assert summary.orders + summary.known == orders
    import_file(other, path, quiet)
    assert contents(settings) == contents(other)


def test_two_imports_of_one_file_at_once_bring_it_in_once(
    settings: Settings, other: Settings, tmp_path: Path
) -> None:
    """Whoever is overtaken looks again: keys of persons and orders are there once."""
    path, orders = tmp_path / "history.jsonl", scale(20_000, 2_000)
    path.write_bytes(many(orders))
    with start_import(settings, path) as process:
        summary: Summary = import_file(settings, path, quiet)
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert summary.orders + summary.known == orders
    import_file(other, path, quiet)

    def by_stream(ledger: Settings) -> list[Any]:
        events, claims, keys = contents(ledger)
        return [sorted((one[1:4], str(one[-1])) for one in events), claims, keys]

    assert by_stream(settings) == by_stream(other)
