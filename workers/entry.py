"""What every entry point does: settings, logs, metrics, and a clean end on a signal."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from ipaddress import ip_address
from types import FrameType
from urllib.parse import urlsplit

import psycopg
import structlog
from prometheus_client import start_http_server
from psycopg.conninfo import conninfo_to_dict

from commands.keys import SOME_KEY, ForeignKey, Vault
from commands.logs import configure_logs
from commands.settings import PORT_MAX, Settings
from commands.store import Store
from workers.local import endpoints

Work = Callable[[Settings, threading.Event], None]

ENDPOINTS = "endpoints.json"
MASTER_KEY = "master.key"


class NotConfigured(Exception):
    """A setting is missing; the message names it."""


def settings() -> Settings:
    """From the environment; what it leaves out, from the `ledger up` that runs in this directory.

    Raises NotConfigured.
    """
    given = Settings()
    found = endpoints.read(given.var_path / ENDPOINTS) or endpoints.Endpoints()
    key_file = given.var_path / MASTER_KEY
    complete = given.model_copy(
        update={
            "postgres_url": given.postgres_url or found.postgres or "",
            "kafka_bootstrap": given.kafka_bootstrap or found.kafka or "",
        }
    )
    if not given.master_key.get_secret_value() and key_file.exists():
        complete = with_master_key(complete, key_file.read_text().strip())
    check(complete)
    if not complete.postgres_url:
        raise NotConfigured("LEDGER_POSTGRES_URL is not set, and no `ledger up` runs here")
    try:
        complete.master_key_bytes()
    except ValueError as error:
        raise NotConfigured(str(error)) from None
    require_key_of_the_ledger(complete)
    return complete


def require_key_of_the_ledger(given: Settings) -> None:
    """Raises NotConfigured for another master key than the ledger's, where it can be asked."""
    vault = Vault(given.name, given.master_key_bytes())
    try:
        with Store(given).connect(autocommit=True) as connection:
            vault.check(connection.execute(SOME_KEY))
    except ForeignKey as error:
        raise NotConfigured(str(error)) from None
    except psycopg.Error:
        return  # Away, or not there yet: whoever needs it says so.


def api_url(given: Settings) -> str:
    """Where the API answers: the one of the `ledger up` here, unless a port is set."""
    found = endpoints.read(given.var_path / ENDPOINTS)
    if found is not None and found.api and "api_port" not in given.model_fields_set:
        return found.api.rstrip("/")
    return f"http://{given.api_host}:{given.api_port}"


def check(given: Settings) -> None:
    """Raises NotConfigured for addresses that cannot be, or that the API must not listen on."""
    for name in ("postgres_url", "migrate_url"):
        if not _is_postgres_url(getattr(given, name)):  # It may hold a password: do not quote it.
            raise NotConfigured(f"LEDGER_{name.upper()} is no URL of PostgreSQL with a valid port")
    for server in filter(None, given.kafka_bootstrap.split(",")):
        if not _has_valid_port(f"//{server.strip()}"):
            raise NotConfigured(f"LEDGER_KAFKA_BOOTSTRAP: {server.strip()} is no host:port")
    if not _is_loopback(given.api_host):
        raise NotConfigured(f"LEDGER_API_HOST is {given.api_host}: only loopback is allowed")


def _is_postgres_url(url: str) -> bool:
    try:
        given = str(conninfo_to_dict(url).get("port") or "")
        return all(0 < int(port) <= PORT_MAX for port in given.split(",") if port)
    except (psycopg.ProgrammingError, ValueError):
        return False


def _has_valid_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def needs_kafka(given: Settings) -> Settings:
    """Raises NotConfigured."""
    if not given.kafka_bootstrap:
        raise NotConfigured("LEDGER_KAFKA_BOOTSTRAP is not set, and no `ledger up` runs here")
    return given


def with_master_key(given: Settings, key: str) -> Settings:
    return given.model_copy(update={"master_key": type(given.master_key)(key)})


def environment(given: Settings) -> dict[str, str]:
    """The environment in which another process has the same settings."""
    ours = {
        "LEDGER_NAME": given.name,
        "LEDGER_POSTGRES_URL": given.postgres_url,
        "LEDGER_KAFKA_BOOTSTRAP": given.kafka_bootstrap,
        "LEDGER_MASTER_KEY": given.master_key.get_secret_value(),
        "LEDGER_PROVIDERS": providers_json(given),
        "LEDGER_ANALYTICS_PATH": str(given.analytics_path),
        "LEDGER_EVIDENCE_PATH": given.evidence_path,
        "LEDGER_FAPIAO_PATH": str(given.fapiao_path),
        "LEDGER_API_HOST": given.api_host,
        "LEDGER_API_PORT": str(given.api_port),
        "LEDGER_VAR_PATH": str(given.var_path),
        "LEDGER_LOG_LEVEL": given.log_level,
    }
    return {**os.environ, **ours}


def providers_json(given: Settings) -> str:
    """With their secrets, which a model does not write out by itself."""
    plain = {
        name: {
            **terms.model_dump(mode="json", exclude_none=True),
            "secret": terms.secret.get_secret_value(),
        }
        for name, terms in given.providers.items()
    }
    return json.dumps(plain)


def work(given: Settings, *works: Work) -> None:
    """Run workers, one in each thread, until SIGTERM or SIGINT. Returns when all have ended."""
    configure_logs(given.log_level)
    stop, asked = threading.Event(), False

    def end(_number: int, _frame: FrameType | None) -> None:
        # A second signal may come while the first one sets the event, whose lock waits for itself.
        nonlocal asked
        if not asked:
            asked = True
            stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if given.metrics_port:
        start_http_server(given.metrics_port, addr=given.metrics_host)
    failed: list[str] = []
    threads = [threading.Thread(target=_guard, args=(one, given, stop, failed)) for one in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(1)


def _guard(one: Work, given: Settings, stop: threading.Event, failed: list[str]) -> None:
    """A worker that ends by an error ends the process: whoever started it starts it again."""
    try:
        one(given, stop)
    except Exception:  # noqa: BLE001 - whatever it was
        structlog.get_logger().exception("worker died", worker=one.__module__)
        failed.append(one.__module__)
        stop.set()
