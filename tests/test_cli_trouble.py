"""What an operator reads when a setting is wrong or a server is away: one line, no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from commands.keys import Vault
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain.customer import RecordCustomer
from domain.message import Attempt
from tests import given
from tests.api_server import serving
from tests.servers import MASTER_KEY
from workers import entry
from workers.local import ports

SECRET = "s3cret"
ID = uuid4()
AWAY = f"postgresql://me:{SECRET}@127.0.0.1:1/ledger"


def refused(directory: Path, *arguments: str, **environment: str) -> str:
    """The one line with which `ledger` refuses."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    given = {"LEDGER_POSTGRES_URL": AWAY, "LEDGER_MASTER_KEY": MASTER_KEY, **environment}
    ended = subprocess.run(
        [sys.executable, "-m", "workers", *(arguments or ("verify",))],
        cwd=directory,
        env={**clean, **given},
        capture_output=True,
        timeout=60,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert SECRET not in ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("LEDGER_LOG_LEVEL", "foo", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LEDGER_API_PORT", "65536", "less than or equal to 65535"),
        ("LEDGER_API_PORT", "-1", "greater than or equal to 0"),
        ("LEDGER_METRICS_PORT", "x", "valid integer"),
        ("LEDGER_PROVIDERS", "notjson", "must be JSON"),
        ("LEDGER_NAME", "Main", "should match pattern"),
        ("LEDGER_API_HOST", "0.0.0.0", "only loopback"),
        ("LEDGER_POSTGRES_URL", f"no url {SECRET}", "no URL of PostgreSQL"),
        ("LEDGER_POSTGRES_URL", f"postgresql://me:{SECRET}@h:99999/l", "valid port"),
        ("LEDGER_KAFKA_BOOTSTRAP", "localhost:99999", "no host:port"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_rule(
    tmp_path: Path, name: str, value: str, rule: str
):
    line = refused(tmp_path, **{name: value})
    assert name in line
    assert rule in line


def test_a_url_of_several_servers_is_one(tmp_path: Path):
    url = f"postgresql://me:{SECRET}@127.0.0.1:1,127.0.0.1:2/ledger"
    assert "cannot be reached" in refused(tmp_path, LEDGER_POSTGRES_URL=url)


def test_up_refuses_settings_before_it_starts_anything(tmp_path: Path):
    assert "LEDGER_API_HOST" in refused(tmp_path, "up", LEDGER_API_HOST="example.org")
    assert "LEDGER_LOG_LEVEL" in refused(tmp_path, "up", LEDGER_LOG_LEVEL="foo")
    assert not list(tmp_path.iterdir())


COMMANDS = (
    ("verify",),
    ("migrate",),
    ("rebuild", "all"),
    ("rebuild", "analytics"),
    ("park",),
    ("park", "--release", "order_status/x"),
    ("park", "--release", "analytics/x"),
    ("replay", "1000000008"),
    ("feed", "--follow"),
    ("dead-letters", "--list"),
    ("import", "history.jsonl"),
)


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path):
    (tmp_path / "history.jsonl").write_text("{}\n")
    for command in COMMANDS:
        assert "127.0.0.1:1/ledger (LEDGER_POSTGRES_URL)" in refused(tmp_path, *command)
    kafka = f"127.0.0.1:{ports.choose()}"
    line = refused(tmp_path, "up", LEDGER_KAFKA_BOOTSTRAP=kafka)
    assert "127.0.0.1:1/ledger" in line


def test_a_database_without_a_ledger_says_what_to_do(tmp_path: Path, database_url: str):
    for command in (("verify",), ("feed",), ("dead-letters", "--list"), ("rebuild", "all")):
        line = refused(tmp_path, *command, LEDGER_POSTGRES_URL=database_url, LEDGER_NAME="absent")
        assert "run `ledger migrate`" in line


def test_a_database_that_is_absent_is_named(tmp_path: Path, settings: Settings):
    line = refused(tmp_path, LEDGER_POSTGRES_URL=f"{settings.postgres_url}_absent")
    assert "_absent" in line
    assert "does not exist" in line


def test_a_file_where_a_directory_should_be_is_named(tmp_path: Path):
    (tmp_path / "blocked").write_text("")
    for command in ("verify", "up"):
        assert "blocked" in refused(tmp_path, command, LEDGER_VAR_PATH="blocked")


def test_a_projection_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path):
    for command in (("rebuild", "order_state"), ("park", "--release", "order_state/x")):
        line = refused(tmp_path, *command)
        assert line.startswith("order_state is no projection: order_status, customer_history,")


def test_another_master_key_than_the_ledgers_is_refused(tmp_path: Path, settings: Settings):
    """What it would seal, nobody who has the right key could read."""
    sealed_something(settings)
    line = refused(tmp_path, LEDGER_POSTGRES_URL=settings.postgres_url, LEDGER_MASTER_KEY="ab" * 32)
    assert "LEDGER_MASTER_KEY is not the key of this ledger" in line


def sealed_something(settings: Settings) -> None:
    runner = BatchRunner(Store(settings), Vault(settings.name, settings.master_key_bytes()))
    with Store(settings).connect() as connection:
        customer = RecordCustomer.model_validate(
            {"customer_id": "C-1", "contact": {"name": "Li Wei"}, "at": given.NOON}
        )
        runner.run(connection, [(customer, Attempt("a", "test", ID, ID, None, "k", b"d"))])


def test_up_ends_by_a_malformed_master_key_before_it_starts_anything(tmp_path: Path):
    """Its workers would end by it one after the other, and be started again for ever."""
    for key in ("5a", "zz" * 32):
        line = refused(tmp_path, "up", LEDGER_MASTER_KEY=key)
        assert line == "LEDGER_MASTER_KEY must be 64 hexadecimal digits (32 bytes)"
    (tmp_path / "var" / "master.key").write_text("cut off\n")
    line = refused(tmp_path, "up", LEDGER_MASTER_KEY="")
    assert line.startswith(f"{tmp_path}/var/master.key: LEDGER_MASTER_KEY must be 64 hex")
    assert {one.name for one in (tmp_path / "var").iterdir()} <= {"master.key", "lock"}


def test_up_ends_by_the_master_key_of_another_ledger(tmp_path: Path, settings: Settings):
    sealed_something(settings)
    another = {"LEDGER_POSTGRES_URL": settings.postgres_url, "LEDGER_MASTER_KEY": "ab" * 32}
    line = refused(tmp_path, "up", LEDGER_KAFKA_BOOTSTRAP=f"127.0.0.1:{ports.choose()}", **another)
    assert "LEDGER_MASTER_KEY is not the key of this ledger" in line
    assert not (tmp_path / "var" / "logs").exists()


def test_an_api_with_the_master_key_of_another_ledger_is_not_ready(
    tmp_path: Path, settings: Settings
):
    sealed_something(settings)
    wrong = entry.with_master_key(settings, "ab" * 32)
    with serving(wrong, tmp_path) as (api,):
        answer = api.get("/readyz")
        assert answer.status_code == 503
        told = "LEDGER_MASTER_KEY is not the key of this ledger"
        assert answer.json()["failing"] == {"master_key": told}


def test_a_burst_of_signals_ends_a_worker_once(tmp_path: Path, settings: Settings):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    env = clean | {
        "LEDGER_POSTGRES_URL": settings.postgres_url,
        "LEDGER_MASTER_KEY": MASTER_KEY,
        "LEDGER_ANALYTICS_PATH": str(tmp_path / "analytics"),
    }
    command = [sys.executable, "-m", "workers", "projector"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE) as worker:
        assert worker.stderr is not None
        worker.stderr.readline()  # It has begun.
        for _ in range(400):
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
