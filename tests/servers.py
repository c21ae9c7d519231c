"""Real servers for the tests, apart from those of a running demo, and fresh databases on them."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from commands.settings import Settings
from tests.papers import SELLERS
from workers.local.lock import AlreadyOwnedError, DirectoryLock
from workers.local.postgres import LocalPostgres

PREFIX = "order-ledger-test-"


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Not pytest's: PostgreSQL, when root runs it as another user, could not pass through that."""
    sweep()
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    directory.chmod(0o711)
    owner = DirectoryLock(directory)  # Keeps another run's sweep away.
    owner.claim()
    try:
        yield directory
    finally:
        owner.release()
        shutil.rmtree(directory, ignore_errors=True)


def sweep() -> None:
    """Remove what killed test runs left: directories that nobody owns any more."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (directory / "lock").exists() and _is_free(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _is_free(directory: Path) -> bool:
    lock = DirectoryLock(directory)
    try:
        lock.claim()
    except (AlreadyOwnedError, OSError):  # Still at work, or another user's.
        return False
    lock.release()
    return True


@contextmanager
def fresh_database(postgres: LocalPostgres, template: str = "template1") -> Iterator[str]:
    """The URL of a new database, a copy of `template`, which is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield postgres.url_of(name)
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


MASTER_KEY = "5a" * 32
PROVIDER, PROVIDER_SECRET = "acme", "of these tests alone"


def settings_of(url: str, var_path: Path = Path("var"), **others: str) -> Settings:
    """Settings of a ledger in this database."""
    return Settings(
        postgres_url=url,
        master_key=MASTER_KEY,  # type: ignore[arg-type]
        var_path=var_path,
        analytics_path=var_path / "analytics",
        sellers=SELLERS,
        providers={PROVIDER: {"secret": PROVIDER_SECRET}},  # type: ignore[dict-item]
        evidence_path=str(var_path / "evidence"),
        **others,  # type: ignore[arg-type]
    )
