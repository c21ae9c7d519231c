"""Says in one line what an operator can mend: a setting that is wrong, a server that is away."""

from __future__ import annotations

import os

import psycopg
from kafka.errors import KafkaError
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError
from pydantic_settings import SettingsError

from commands.settings import Settings
from projections.analytics import LakeUnreachable
from workers import entry

NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedObject,
)


def explained(error: Exception) -> str | None:
    """The line for an error of settings, a server or the system; None for any other error."""
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        return "; ".join(
            f"LEDGER_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
    if isinstance(error, SettingsError):  # Its text names the field in quotes, and our classes.
        return f"LEDGER_{str(error).split(chr(34))[1].upper()} must be JSON"
    if isinstance(error, NOT_MIGRATED) or _lacks_role(error):
        return f"The database has not this version's schema ({_first(error)}): run `ledger migrate`"
    if isinstance(error, psycopg.OperationalError):
        return f"PostgreSQL at {place()} cannot be reached: {_reason(error)}"
    if isinstance(error, LakeUnreachable):
        return f"The analytics in PostgreSQL at {place()} cannot be opened: {error}"
    if isinstance(error, KafkaError):
        return f"Kafka at {_bootstrap()} cannot be reached: {_first(error)}"
    if isinstance(error, OSError):  # A disk that is full, a directory that is not ours.
        return of_system(error)
    return None


def of_system(error: OSError) -> str:
    """`file: reason`, where it is about a file."""
    return f"{error.filename}: {error.strerror}" if error.filename else _first(error)


def _lacks_role(error: Exception) -> bool:
    """The role is set when a connection opens: what is missing then has no class of its own."""
    return isinstance(error, psycopg.Error) and 'role "ledger_' in str(error)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _reason(error: Exception) -> str:
    """Without what libpq puts before it: the address, which we say ourselves."""
    return _first(error).rpartition("failed: ")[2]


def place() -> str:
    """host:port/database (and the setting) of the ledger's PostgreSQL, without its password."""
    name = "LEDGER_POSTGRES_URL"
    url = os.environ.get(name) or entry.settings().postgres_url
    parts = conninfo_to_dict(url)
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    return f"{where} ({name})" if os.environ.get(name) else where


def _bootstrap() -> str:
    return entry.settings().kafka_bootstrap
