"""Brings a database to the schema of this code: numbered SQL files, role, grants."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend, read_migrations

from commands.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"

# Tables of the workers beside the ledger: where they stand, what waits, what could not be read.
WORKER_TABLES = (
    "ingest_offset",
    "waiting_update",
    "dead_letter",
    "provider_place",
    "provider_task",
)

# What the application may do. In the ledger's schema: select, and append by the functions.
GRANTS = """
GRANT USAGE ON SCHEMA {ledger} TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA {ledger} TO {role};
GRANT EXECUTE ON FUNCTION {ledger}.ledger_append TO {role};
GRANT EXECUTE ON FUNCTION {ledger}.ledger_audit_append(json) TO {role};
GRANT USAGE, CREATE ON SCHEMA {read} TO {role};
GRANT USAGE, CREATE ON SCHEMA {analytics} TO {role};
"""


def migrate(settings: Settings) -> list[str]:
    """Apply what is missing and return the names of the applied migrations. Safe to repeat."""
    url = settings.migrate_url or settings.postgres_url
    with psycopg.connect(url, autocommit=True) as owner:
        # Two processes that start together must not both create the schema.
        owner.execute("SELECT pg_advisory_lock(hashtextextended('ledger_migrate', 0))")
        for schema in (settings.schema_name, settings.read_schema, settings.analytics_schema):
            owner.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        applied = _apply(url, settings.schema_name)
        _grant(owner, settings)
    return applied


def _apply(url: str, schema: str) -> list[str]:
    """search_path ends with pg_temp, so that no temporary table can stand in for one of ours."""
    parts = urlsplit(url)
    options = f"{parts.query}&" if parts.query else ""
    target = parts._replace(
        scheme="postgresql+psycopg", query=f"{options}schema={quote(schema + ',pg_temp')}"
    )
    backend = get_backend(target.geturl())
    try:
        missing = backend.to_apply(read_migrations(str(MIGRATIONS)))
        backend.apply_migrations(missing)
        return [migration.id for migration in missing]
    finally:
        backend.connection.close()


def _grant(owner: psycopg.Connection, settings: Settings) -> None:
    role = sql.Identifier(settings.role)
    exists = owner.execute("SELECT FROM pg_roles WHERE rolname = %s", [settings.role]).fetchone()
    if exists is None:
        owner.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
    names = {
        "role": role,
        "ledger": sql.Identifier(settings.schema_name),
        "read": sql.Identifier(settings.read_schema),
        "analytics": sql.Identifier(settings.analytics_schema),
    }
    owner.execute(sql.SQL(GRANTS).format(**names))
    for table in WORKER_TABLES:
        owner.execute(
            sql.SQL("GRANT INSERT, UPDATE, DELETE ON {}.{} TO {}").format(
                names["ledger"], sql.Identifier(table), role
            )
        )
    _let_in(owner, settings)


def _let_in(owner: psycopg.Connection, settings: Settings) -> None:
    """A user of the application's own may take the role, and has no other rights to go back to."""
    user = conninfo_to_dict(settings.postgres_url).get("user") if settings.migrate_url else None
    if user not in {None, owner.info.user}:
        owner.execute(
            sql.SQL("GRANT {} TO {}").format(
                sql.Identifier(settings.role), sql.Identifier(str(user))
            )
        )
