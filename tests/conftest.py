"""Fixtures for all tests: the real PostgreSQL and Kafka, each started when first asked for."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from commands.migrate import migrate
from commands.settings import Settings
from tests.api_server import Api, running
from tests.servers import fresh_database, settings_of, temporary_directory
from workers.local.kafka import LocalKafka
from workers.local.postgres import LocalPostgres

# CI tells of a change, not of chance: it draws the same examples for the same code. `make test` at
# home and `make soak` draw new ones each time.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres(servers_directory: Path) -> Iterator[LocalPostgres]:
    with LocalPostgres(servers_directory / "postgres") as server:
        yield server
        server.destroy()  # Its data may be elsewhere, when root runs it.


@pytest.fixture(scope="session")
def kafka(servers_directory: Path) -> Iterator[LocalKafka]:
    with LocalKafka(servers_directory / "kafka") as server:
        yield server


@pytest.fixture
def database_url(postgres: LocalPostgres) -> Iterator[str]:
    """An empty database of this test alone."""
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def ledger_template(postgres: LocalPostgres) -> Iterator[str]:
    """A migrated database to copy: quicker than migrating one for each test."""
    with fresh_database(postgres) as url:
        migrate(settings_of(url))
        yield url.rsplit("/", 1)[1]


@pytest.fixture
def settings(postgres: LocalPostgres, ledger_template: str, tmp_path: Path) -> Iterator[Settings]:
    """An empty ledger of this test alone."""
    with fresh_database(postgres, ledger_template) as url:
        yield settings_of(url, tmp_path)


@pytest.fixture(scope="module")
def api(
    postgres: LocalPostgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A running API on a ledger of this file's tests alone: see `api.settings`."""
    with fresh_database(postgres, ledger_template) as url:
        settings = settings_of(url, tmp_path_factory.mktemp("var"))
        with running(settings, tmp_path_factory.mktemp("api")) as one:
            yield one


@pytest.fixture
def tracked(database_url: str, kafka: LocalKafka, tmp_path: Path) -> Settings:
    """An empty ledger with a name of its own, so that its Kafka topics are of this test alone."""
    name = f"t{uuid.uuid4().hex[:12]}"
    settings = settings_of(database_url, tmp_path, name=name, kafka_bootstrap=kafka.bootstrap)
    migrate(settings)
    return settings


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
