"""The servers of the embedded default, driven for real: start, faults, and starting again."""

import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.servers import temporary_directory
from workers.local import endpoints, jars, ports
from workers.local.kafka import LocalKafka
from workers.local.logfile import LOG_BYTES_MAX, LogFile
from workers.local.mail import MailCatcher
from workers.local.postgres import LocalPostgres
from workers.local.server import AlreadyRunningError, LocalServerError

WAIT_SECONDS = 30


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as path:
        yield path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((ports.LOOPBACK, ports.choose())) as listener:
        yield listener.getsockname()[1]


def ask(postgres: LocalPostgres, query: str) -> object:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def send(kafka: LocalKafka, values: list[bytes], *, commit: bool) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id="test")
    producer.init_transactions()
    producer.begin_transaction()
    for value in values:
        producer.send("records", value)
    if commit:
        producer.commit_transaction()
    else:
        producer.abort_transaction()
    producer.close()


def received(kafka: LocalKafka) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        isolation_level="read_committed",
        consumer_timeout_ms=2_000,
    )
    consumer.assign([TopicPartition("records", 0)])
    consumer.seek_to_beginning()
    values = [record.value for record in consumer]
    consumer.close()
    return values


def wait_for(condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_postgres_is_durable_and_speaks_utf_8(postgres: LocalPostgres):
    assert ask(postgres, "SELECT current_setting('fsync')") == "on"
    assert ask(postgres, "SELECT current_setting('server_version_num')::int / 10000") == 18
    assert ask(postgres, "SELECT datlocale FROM pg_database LIMIT 1") == "C.UTF-8"


def test_postgres_listens_on_loopback_alone_and_wants_the_password(postgres: LocalPostgres):
    listening = [c.laddr.ip for c in psutil.Process(postgres.pid).net_connections("all") if c.laddr]
    assert listening == [ports.LOOPBACK]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url.replace("@", "x@"))


def test_every_test_gets_an_empty_database(database_url: str):
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE only_here ()")
        count = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert count.fetchone() == (1,)


def test_postgres_takes_another_port_and_keeps_its_data_through_a_crash(
    directory: Path, taken_port: int
):
    with LocalPostgres(directory / "postgres", taken_port) as server:
        assert server.port != taken_port
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        port, crashed = server.port, server.pid
        server.kill()
        assert not psutil.pid_exists(crashed) or not server.running
        server.start()
        assert server.port == port
        assert ask(server, "SELECT answer FROM kept") == 42
        server.restart()
        assert ask(server, "SELECT answer FROM kept") == 42


def test_a_crash_from_outside_is_mended_by_the_next_start(directory: Path):
    server = LocalPostgres(directory / "postgres")
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: not server.running)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()


def test_a_pid_file_that_names_a_stranger_does_not_stop_postgres(directory: Path):
    server = LocalPostgres(directory / "postgres")
    server.start()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.kill()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        server.start()
        assert stranger.poll() is None
        stranger.kill()
    server.stop()


def test_an_initdb_that_was_killed_is_begun_anew(directory: Path):
    (directory / "postgres" / "data.new" / "base").mkdir(parents=True)
    with LocalPostgres(directory / "postgres") as server:
        assert ask(server, "SELECT 1") == 1


def test_one_directory_has_one_owner(postgres: LocalPostgres, kafka: LocalKafka):
    for second in (LocalPostgres(postgres.directory), LocalKafka(kafka.directory)):
        with pytest.raises(AlreadyRunningError, match=f"already run by process {os.getpid()}"):
            second.start()
    assert ask(postgres, "SELECT 1") == 1


def test_a_failed_start_quotes_the_log(directory: Path):
    with LocalPostgres(directory / "postgres") as server:
        version = server.data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(LocalServerError, match="not compatible with this version"):
        server.start()


@pytest.mark.parametrize("server", ["postgres.LocalPostgres", "kafka.LocalKafka"])
def test_a_server_ends_with_its_parent_even_by_sigkill(directory: Path, server: str):
    module, name = server.split(".")
    script = f"""
        import sys, time
        from pathlib import Path
        from workers.local.{module} import {name}
        server = {name}(Path(sys.argv[1]) / "{module}")
        server.start()
        print(server.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_a_server_outlives_the_thread_that_started_it(directory: Path):
    server = LocalPostgres(directory / "postgres")
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert ask(server, "SELECT 1") == 1
    server.stop()


def test_kafka_shows_committed_records_only_and_keeps_them(directory: Path, taken_port: int):
    with LocalKafka(directory / "kafka", taken_port) as server:
        assert server.port != taken_port
        server.create_topics({"records": 1})
        server.create_topics({"records": 1, "others": 2})
        send(server, [b"one", b"two"], commit=True)
        send(server, [b"never"], commit=False)
        assert received(server) == [b"one", b"two"]
        bootstrap = server.bootstrap
        server.kill()
        server.start()
        assert server.bootstrap == bootstrap
        assert received(server) == [b"one", b"two"]
        server.stop()
        again = LocalKafka(directory / "kafka")
        again.start()
        assert received(again) == [b"one", b"two"]
        again.stop()


def test_kafka_does_not_run_again_while_a_stranger_holds_its_port(directory: Path):
    with LocalKafka(directory / "ours") as ours:
        ours.create_topics({"records": 1})
        send(ours, [b"ours"], commit=True)
        ours.kill()
        with LocalKafka(directory / "stranger", ours.port) as stranger:
            assert stranger.bootstrap == ours.bootstrap
            with pytest.raises(LocalServerError, match=f"port {ours.port} is held by another"):
                ours.start()
            assert not ours.running
        ours.start()
        assert received(ours) == [b"ours"]


def test_a_kafka_and_its_copy_that_begin_at_once_do_not_take_each_other_for_themselves(
    directory: Path,
):
    """Both find the port free; the later one to bind it has to take another."""
    with LocalKafka(directory / "one") as first:
        port = first.port
    shutil.copytree(directory / "one", directory / "two")
    one, two = LocalKafka(directory / "one", port), LocalKafka(directory / "two", port)
    with ThreadPoolExecutor(2) as pool:
        for started in [pool.submit(server.start) for server in (one, two)]:
            started.result()
    assert port in {one.port, two.port}
    assert one.port != two.port
    one.create_topics({"records": 1})
    send(one, [b"one"], commit=True)
    two.create_topics({"records": 1})
    assert received(two) == []
    one.stop()
    two.stop()


def test_postgres_does_not_run_again_while_a_stranger_holds_its_port(directory: Path):
    with LocalPostgres(directory / "postgres") as server:
        server.kill()
        with (
            socket.create_server((ports.LOOPBACK, server.port)),
            pytest.raises(LocalServerError, match=f"port {server.port} is held by another"),
        ):
            server.start()
        server.start()
        assert ask(server, "SELECT 1") == 1


def test_a_damaged_jar_is_fetched_again(tmp_path: Path, monkeypatch):
    smallest = next(jar for jar in jars.locked() if jar.artifact == "jspecify")
    monkeypatch.setattr(jars, "locked", lambda: [smallest])
    path = Path(jars.class_path(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert jars.class_path(tmp_path) == str(path)
    assert path.read_bytes() == whole


def test_mails_are_caught_bounded_and_escaped(tmp_path: Path, taken_port: int):
    catcher = MailCatcher(tmp_path / "mails", smtp_port=taken_port, mails_max=3)
    catcher.start()
    assert catcher.smtp_port != taken_port
    mail = EmailMessage()
    mail["From"], mail["To"] = "shop@example.org", "buyer@example.org"
    mail["Subject"] = "<script>alert(1)</script>"
    mail.set_content("Grüße <img src=x onerror=alert(2)>")
    with smtplib.SMTP(ports.LOOPBACK, catcher.smtp_port) as client:
        for _ in range(5):
            client.send_message(mail)
    kept = sorted((tmp_path / "mails").glob("*.eml"))
    assert len(kept) == 3
    listed, shown = httpx.get(catcher.url), httpx.get(f"{catcher.url}{kept[0].name}")
    for page in (listed, shown):
        assert "&lt;script&gt;" in page.text
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "Grüße" in shown.text
    raw = httpx.get(f"{catcher.url}{kept[0].name}?raw")
    assert raw.headers["Content-Type"].startswith("text/plain")
    assert httpx.get(f"{catcher.url}..%2F..%2Fetc%2Fpasswd").status_code == 404
    assert httpx.get(catcher.url, headers={"Host": "evil.example:80"}).status_code == 403
    catcher.stop()


def test_endpoints_are_written_whole_and_for_their_owner_only(tmp_path: Path):
    path = tmp_path / "var" / "endpoints.json"
    assert endpoints.read(path) is None
    known = endpoints.Endpoints(api="http://127.0.0.1:8000", kafka="127.0.0.1:9092")
    endpoints.write(known, path)
    assert endpoints.read(path) == known
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in path.parent.iterdir()] == ["endpoints.json"]


def test_a_log_is_emptied_before_it_grows_without_bound(tmp_path: Path):
    log = LogFile(tmp_path / "server.log")
    log.path.write_bytes(b"x" * LOG_BYTES_MAX + b"\nthe last line\n")
    with log.open():
        wait_for(lambda: log.path.stat().st_size == 0)
    log.close()
    assert (tmp_path / "server.log.1").stat().st_size > LOG_BYTES_MAX
