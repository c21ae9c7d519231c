"""Folds batches of the feed into the table of a read model, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, LiteralString, Protocol, TypeVar

import psycopg
import structlog
from psycopg import Connection, sql

from domain.message import Recorded
from projections import checkpoint
from projections.row_cache import RowCache

BATCH_EVENTS_MAX = 20_000  # in one transaction: an order in it is written once, whatever it met
TABLE_EXISTS = "SELECT to_regclass(quote_ident(%s)) IS NOT NULL"

log = structlog.get_logger()


class Row(Protocol):
    """What a projection folds: frozen, with the position of the last event folded in."""

    @property
    def position(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with their SQL types, the key (always text) first, `position bigint` among them."""

    columns: Mapping[LiteralString, LiteralString]
    indexes: tuple[LiteralString, ...] = ()  # what stands behind CREATE INDEX ON <table>

    @property
    def key(self) -> str:
        return next(iter(self.columns))


@dataclass(frozen=True, slots=True)
class Projection(Generic[R]):
    """A read model as pure functions. A change of fold or table is a new version."""

    name: str
    version: int
    topics: frozenset[str]
    table: Table
    keys: Callable[[Recorded], Sequence[str]]  # of the rows that an event concerns
    fold: Callable[[R | None, Recorded], R | None]  # None: no such row; an event twice is harmless
    loads: tuple[str, ...]  # columns that `load` wants, in order
    load: Callable[..., R]
    dump: Callable[[R], tuple[Any, ...]]  # in the order of the table's columns


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that could not be folded into one key; the row before it is kept."""

    position: int
    error: Exception


def array_text(texts: Iterable[str]) -> str:
    """A text[] as COPY wants it: the driver's own way takes a third of the time of a row."""
    quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
    return "{" + ",".join(quoted) + "}"


def no_kill_point(_place: str) -> None:
    """Tests end the process at a named place."""


class VersionMismatch(Exception):
    """The live table was folded by another version of the code: rebuild it."""


class Engine(Generic[R]):
    """One projection on its table. The caller owns the connection, the engine its transactions.

    `schema` is that of the read models; `suffix` names a table beside the live one (a rebuild).
    """

    def __init__(
        self,
        projection: Projection[R],
        schema: str,
        suffix: str = "",
        kill_point: Callable[[str], None] = no_kill_point,
    ) -> None:
        self.projection = projection
        self.name = projection.name + suffix
        self.schema = schema
        self._kill_point = kill_point
        self._sql = _Statements(projection.table, projection.loads, self.name)
        self._cache: RowCache[R] = RowCache()
        self._staged: Connection[Any] | None = None  # where the staging table is

    def prepare(self, connection: Connection[Any]) -> None:
        """Create what is missing. Raises VersionMismatch."""
        with connection.transaction():
            create_tables(connection, self.schema)
            connection.execute(checkpoint.START, [self.name, self.projection.version])
            if connection.execute(TABLE_EXISTS, [self.name]).fetchone() == (False,):
                self._create(connection)
        _, version = checkpoint.read(connection, self.name) or (0, self.projection.version)
        if version != self.projection.version:
            raise VersionMismatch(
                f"{self.name} was folded by version {version}, this is {self.projection.version}:"
                f" run `ledger rebuild {self.projection.name}`"
            )

    def _create(self, connection: Connection[Any]) -> None:
        connection.execute(self._sql.create)
        for index in self._sql.indexes:
            connection.execute(index)

    def position(self, connection: Connection[Any]) -> int:
        return checkpoint.reached(connection, self.name)

    def apply(self, connection: Connection[Any], batch: Sequence[Recorded], after: int) -> int:
        """Fold the events behind `after` in and move the checkpoint from there to the last one.

        One transaction. Raises checkpoint.Overtaken when another worker was first.
        """
        if not batch:
            return after
        assert connection.autocommit, "the engine begins and ends its own transactions"
        self.stage(connection)
        try:
            self._apply(connection, batch, after, self._write)
        except psycopg.DataError as error:
            # Some row cannot be stored. Rare, so it is found the slow way: row by row.
            log.warning("rows_refused", projection=self.name, error=str(error))
            self._apply(connection, batch, after, self._write_each)
        return batch[-1].position

    def _apply(
        self,
        connection: Connection[Any],
        batch: Sequence[Recorded],
        after: int,
        write: Callable[[Connection[Any], Mapping[str, R | None], _Groups], dict[str, Failure]],
    ) -> None:
        last = batch[-1]
        try:
            with connection.transaction():
                table = checkpoint.move(
                    connection, self.name, after, last.position, last.recorded_at
                )
                self._cache.expect(table, after)
                groups = self._groups(batch, checkpoint.parked_keys(connection, self.name))
                changed, failures = self._fold(groups, self._before(connection, groups))
                self._kill_point("folded")
                failures |= write(connection, changed, groups)
                for key, failure in failures.items():
                    self._park(connection, key, failure)
                self._kill_point("written")
        except BaseException:
            self._cache.clear()  # It is ahead of what is stored.
            raise
        self._cache.stands(table, last.position)
        self._kill_point("committed")

    def _groups(self, batch: Iterable[Recorded], parked: set[str]) -> _Groups:
        groups: _Groups = {}
        topics, keys = self.projection.topics, self.projection.keys
        for recorded in batch:
            if recorded.topic in topics:
                for key in keys(recorded):
                    if key not in parked:
                        groups.setdefault(key, []).append(recorded)
        return groups

    def _before(self, connection: Connection[Any], groups: _Groups) -> dict[str, R]:
        known = self._cache.find(groups)
        missing = [key for key in groups if key not in known]
        return known | self.rows(connection, missing) if missing else known

    def rows(self, connection: Connection[Any], keys: Iterable[str]) -> dict[str, R]:
        """The rows of these keys as they stand."""
        load = self.projection.load
        found = connection.execute(self._sql.load, [list(keys)], binary=True)
        return {key: load(*values) for key, *values in found}

    def _fold(
        self, groups: _Groups, before: Mapping[str, R]
    ) -> tuple[dict[str, R | None], dict[str, Failure]]:
        changed: dict[str, R | None] = {}
        failures: dict[str, Failure] = {}
        for key, events in groups.items():
            old = before.get(key)
            row, failure = fold_key(self.projection, old, events)
            if row is not old:
                changed[key] = row
            if failure is not None:
                failures[key] = failure
        return changed, failures

    def _write(
        self, connection: Connection[Any], changed: Mapping[str, R | None], groups: _Groups
    ) -> dict[str, Failure]:
        """COPY into a staging table, then one statement; rows folded to None are deleted."""
        failures: dict[str, Failure] = {}
        gone = [key for key, row in changed.items() if row is None]
        with connection.cursor() as cursor, cursor.copy(self._sql.copy) as copy:
            for key, row in changed.items():
                if row is None:
                    continue
                try:
                    values = self.projection.dump(row)
                except Exception as error:  # noqa: BLE001 - one row must not stop the others.
                    failures[key] = Failure(groups[key][0].position, error)
                else:
                    copy.write_row(values)
                    self._cache.keep(key, row, values)
        connection.execute(self._sql.upsert)
        if gone:
            connection.execute(self._sql.delete, [gone])
            for key in gone:
                self._cache.drop(key)
        return failures

    def _write_each(
        self, connection: Connection[Any], changed: Mapping[str, R | None], groups: _Groups
    ) -> dict[str, Failure]:
        failures: dict[str, Failure] = {}
        for key, row in changed.items():
            try:
                with connection.transaction():  # A savepoint.
                    failures |= self._write(connection, {key: row}, groups)
            except psycopg.DataError as error:
                failures[key] = Failure(groups[key][0].position, error)
        return failures

    def stage(self, connection: Connection[Any]) -> None:
        """Create the staging table of this connection, outside the transactions that use it."""
        if self._staged is not connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(self._sql.stage)
            self._staged = connection

    def write_one(self, connection: Connection[Any], key: str, row: R | None) -> None:
        """Store one row in the transaction that is open. Raises what storing it raises."""
        failures = self._write(connection, {key: row}, {key: []})
        for failure in failures.values():
            raise failure.error

    def _park(self, connection: Connection[Any], key: str, failure: Failure) -> None:
        checkpoint.park(connection, self.name, key, failure.position, failure.error)
        self._cache.drop(key)  # Its row is written by whoever releases it.
        log.error(
            "parked",
            projection=self.name,
            key=key,
            position=failure.position,
            error=type(failure.error).__name__,
        )


_Groups = dict[str, list[Recorded]]


def fold_key(
    projection: Projection[R], row: R | None, events: Iterable[Recorded]
) -> tuple[R | None, Failure | None]:
    """Fold the events of one key, up to the first that cannot be folded."""
    for recorded in events:
        try:
            row = projection.fold(row, recorded)
        except Exception as error:  # noqa: BLE001 - whatever it is, only this key may stop.
            return row, Failure(recorded.position, error)
    return row, None


def create_tables(connection: Connection[Any], schema: str) -> None:
    """The tables that all projections share. Leaves the transaction's search_path at `schema`."""
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
    connection.execute(checkpoint.SETUP_LOCK)
    if connection.execute(checkpoint.CREATED).fetchone() == (False,):
        connection.execute(checkpoint.TABLES)


class _Statements:
    """The SQL of one table, composed once."""

    def __init__(self, table: Table, loads: Sequence[str], name: str) -> None:
        names = {
            "table": sql.Identifier(name),
            "staging": sql.Identifier(f"staging_{name}"),
            "key": sql.Identifier(table.key),
            "columns": sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
                for column, kind in table.columns.items()
            ),
            "loads": sql.SQL(", ").join(map(sql.Identifier, [table.key, *loads])),
            "changes": sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column))
                for column in table.columns
                if column != table.key
            ),
        }

        def compose(text: LiteralString) -> sql.Composed:
            return sql.SQL(text).format(**names)

        self.create = compose("CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))")
        self.indexes = [
            compose("CREATE INDEX ON {table} ") + sql.SQL(index) for index in table.indexes
        ]
        # In the session's own schema. Emptied at each commit: what a DELETE leaves there is never
        # vacuumed, so the table grew with every batch.
        self.stage = compose(
            "CREATE TEMP TABLE IF NOT EXISTS {staging} (LIKE {table}) ON COMMIT DELETE ROWS"
        )
        self.copy = compose("COPY {staging} FROM STDIN")
        self.upsert = compose(
            "WITH moved AS (DELETE FROM {staging} RETURNING *)"
            " INSERT INTO {table} SELECT * FROM moved ON CONFLICT ({key}) DO UPDATE SET {changes}"
        )
        self.delete = compose("DELETE FROM {table} WHERE {key} = ANY(%s)")
        self.load = compose("SELECT {loads} FROM {table} WHERE {key} = ANY(%s)")
