"""Everything on one machine: servers, API and workers, started, watched and ended together."""

from __future__ import annotations

import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from commands.migrate import migrate
from commands.settings import Settings
from domain.provider_commands import ProviderTerms
from workers import kafka_topics, upkeep
from workers.entry import (
    ENDPOINTS,
    MASTER_KEY,
    NotConfigured,
    environment,
    require_key_of_the_ledger,
    with_master_key,
)
from workers.local import endpoints, ports
from workers.local.endpoints import Endpoints
from workers.local.kafka import LocalKafka
from workers.local.lock import DirectoryLock
from workers.local.mail import MailCatcher
from workers.local.postgres import LocalPostgres
from workers.local.server import LocalServer
from workers.provider_simulator import DEMO_PROVIDER
from workers.supervisor import Supervisor

DATABASE = "ledger"
POSTGRES_PORT = 15432
KAFKA_PORT = 19092
SMTP_PORT = 11025
MAIL_PAGE_PORT = 18025
PROVIDER_PORT = 18090
WATCH_SECONDS = 0.5
READY_SECONDS = 60.0
REQUEST_SECONDS = 2.0
# In this order: the last started is the first stopped.
WORKERS = ("projector", "tracking", "dead-letters", "api")
# What nobody waits for comes when the API answers: starting costs each a second of a core.
BACKGROUND = ("deadlines", "intake", "messenger", "periods", "fapiao")

console = Console()


def _absolute(path: str) -> str:
    """URLs stay."""
    return path if "://" in path else str(Path(path).absolute())


def up(settings: Settings, *, simulate: bool) -> None:
    """Run all until Ctrl-C or SIGTERM.

    Raises NotConfigured, LocalServerError, AlreadyOwnedError.
    """
    started = time.monotonic()
    var = settings.var_path.absolute()
    settings = settings.model_copy(
        update={
            "var_path": var,
            "analytics_path": settings.analytics_path.absolute(),
            "evidence_path": _absolute(settings.evidence_path),
            "fapiao_path": settings.fapiao_path.absolute(),
        }
    )
    with _interruptible(), ExitStack() as stack:
        lock = DirectoryLock(var)
        lock.claim()
        stack.callback(lock.release)
        settings = _with_key(settings)
        servers, found, settings = _servers(settings, stack)
        require_key_of_the_ledger(settings)
        migrate(settings)
        fold_anew(settings)
        kafka_topics.ensure(settings)
        settings = _with_port(settings)
        if simulate and not settings.providers:
            settings = _with_demo_provider(settings)
        supervisor = Supervisor(var / "logs", lambda text: console.print(f"[yellow]{text}[/]"))
        stack.callback(supervisor.stop)
        for server in servers:
            supervisor.keep(server)
        stack.callback(console.print, "Stopping …")
        for name in WORKERS:
            supervisor.start(name, [name], environment(settings))
        found = found.model_copy(update={"api": f"http://{settings.api_host}:{settings.api_port}/"})
        _wait_until_ready(f"{found.api}readyz", supervisor)
        endpoints.write(found, var / ENDPOINTS)
        stack.callback(endpoints.remove, var / ENDPOINTS)
        for name in BACKGROUND:
            supervisor.start(name, [name], environment(settings))
        if settings.providers:
            supervisor.start("provider", ["provider"], environment(settings))
        if simulate:
            if DEMO_PROVIDER in settings.providers:
                arguments = ["provider-simulator", DEMO_PROVIDER]
                supervisor.start("provider-simulator", arguments, environment(settings))
            supervisor.start("simulate", ["simulate"], environment(settings))
        _say(found, settings, supervisor, time.monotonic() - started)
        while True:
            time.sleep(WATCH_SECONDS)
            supervisor.watch()


def fold_anew(settings: Settings) -> None:
    """Read models that another version of the program has left."""
    for name in upkeep.outdated(settings):
        console.print(f"{name} is of another version: it is folded anew …")
        for _ in upkeep.rebuild(settings, name, compare=False):
            pass


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block, once: what comes while we clean up is not heard."""

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        yield
    except KeyboardInterrupt:
        console.print("Stopped. All data are kept.")


def _with_key(settings: Settings) -> Settings:
    """The master key of the settings, or the one in var/master.key, made when there is none yet.

    Raises NotConfigured for one that is malformed: every worker would end by it, again and again.
    """
    if settings.master_key.get_secret_value():
        return _checked(settings, "LEDGER_MASTER_KEY")
    path = settings.var_path / MASTER_KEY
    if not path.exists():
        if (settings.var_path / "postgres").exists() or settings.postgres_url:
            raise NotConfigured(
                f"{path} is missing, though there may be a ledger already that needs it. Put it "
                "back, or set LEDGER_MASTER_KEY (64 hexadecimal digits)"
            )
        _write_secret(path, secrets.token_hex(32))
        console.print(f"Made a master key: {path}. Without it, personal data cannot be read.")
    return _checked(with_master_key(settings, path.read_text().strip()), str(path))


def _checked(settings: Settings, source: str) -> Settings:
    try:
        settings.master_key_bytes()
    except ValueError as error:
        where = "" if source in str(error) else f"{source}: "
        raise NotConfigured(f"{where}{error}") from None
    return settings


def _write_secret(path: Path, content: str) -> None:
    """Whole or not at all, and for its owner only."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{content}\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def _servers(settings: Settings, stack: ExitStack) -> tuple[list[LocalServer], Endpoints, Settings]:
    """Start what the settings do not name, side by side, and say where everything is."""
    var = settings.var_path
    postgres = None if settings.postgres_url else LocalPostgres(var / "postgres", POSTGRES_PORT)
    kafka = None if settings.kafka_bootstrap else LocalKafka(var / "kafka", KAFKA_PORT)
    mail = MailCatcher(var / "mail", SMTP_PORT, MAIL_PAGE_PORT)
    servers = [server for server in (postgres, kafka, mail) if server is not None]
    for server in servers:
        stack.callback(server.stop)
    status = console.status("Starting PostgreSQL, Kafka and the mail catcher …")
    with status, ThreadPoolExecutor(len(servers)) as pool:
        for started in [pool.submit(server.start) for server in servers]:
            started.result()
    url = _database(postgres) if postgres else settings.postgres_url
    bootstrap = kafka.bootstrap if kafka else settings.kafka_bootstrap
    settings = settings.model_copy(update={"postgres_url": url, "kafka_bootstrap": bootstrap})
    kept: list[LocalServer] = [server for server in servers if isinstance(server, LocalServer)]
    return kept, Endpoints(kafka=bootstrap, postgres=url, mail=mail.url), settings


def _database(postgres: LocalPostgres) -> str:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        exists = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if exists.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return postgres.url_of(DATABASE)


def _with_port(settings: Settings) -> Settings:
    port = ports.choose(settings.api_port)
    if port != settings.api_port:
        console.print(f"[yellow]Port {settings.api_port} is taken: the API uses {port}.[/]")
    return settings.model_copy(update={"api_port": port})


def _with_demo_provider(settings: Settings) -> Settings:
    """A payment provider of this run alone, for simulated customers to pay at."""
    port = ports.choose(PROVIDER_PORT, taken=frozenset({settings.api_port}))
    url = f"http://{ports.LOOPBACK}:{port}"
    terms = ProviderTerms(secret=SecretStr(secrets.token_hex(32)), url=url)
    return settings.model_copy(update={"providers": {DEMO_PROVIDER: terms}})


def _wait_until_ready(url: str, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with console.status("Starting the API and the workers …"):
        while not _answers(url):
            supervisor.watch()
            if time.monotonic() > deadline:
                console.print(f"[yellow]{url} does not say that all is well; going on.[/]")
                return
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=REQUEST_SECONDS) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _place(url: str) -> str:
    """host:port/database of a PostgreSQL URL, which holds a password as well."""
    parts = conninfo_to_dict(url)
    return f"{parts.get('host')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _say(found: Endpoints, settings: Settings, supervisor: Supervisor, seconds: float) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("Page", f"[bold]{found.api}[/]")
    table.add_row("API documentation", f"[bold]{found.api}docs[/]")
    table.add_row("Mails", f"[bold]{found.mail}[/]")
    table.add_row("Kafka", f"{found.kafka}")
    table.add_row("PostgreSQL", _place(settings.postgres_url))
    table.add_row("Running", ", ".join(child.name for child in supervisor.children))
    table.add_row("Logs, data", f"{settings.var_path}; URLs with passwords in {ENDPOINTS}")
    console.print(Panel(table, title=f"Order ledger, up after {seconds:.1f} s", expand=False))
    console.print("Ctrl-C stops everything; data are kept.")
