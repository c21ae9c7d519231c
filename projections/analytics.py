"""The analytics store: DuckDB on DuckLake, its catalog in PostgreSQL, one writer, many readers."""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import structlog
from psycopg.conninfo import make_conninfo

from domain.message import Recorded
from projections import analytics_facts
from projections.analytics_facts import Facts, FactState
from projections.analytics_tables import PAYMENT_FACT, TABLES
from projections.checkpoint import ERROR_CHARACTERS_MAX, Overtaken
from projections.engine import no_kill_point

NAME = "analytics"
VERSION = 2
STATES_CACHED_MAX = 50_000  # orders whose state the writer remembers
READ_STREAMS_MAX = 500  # whose earlier events are read at once
SNAPSHOTS_KEPT_SECONDS = 3_600  # longer than any query
MERGED_BYTES_MAX = 64 * 1024 * 1024  # larger files are left alone
# Columns that tables of older versions lack, with what their rows meant all along.
ADDED = ("payments INTEGER DEFAULT 1", "kind VARCHAR DEFAULT 'captured'")
EXTENSIONS = ("postgres_scanner", "ducklake", "httpfs")

Fold = Callable[[FactState | None, Recorded], tuple[FactState | None, Facts]]
Earlier = Callable[[Sequence[UUID], int], Sequence[Recorded]]  # streams' events below a position

log = structlog.get_logger()

_ARROW = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "UUID": pa.string(),
    "VARCHAR": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "DECIMAL(18,3)": pa.decimal128(18, 3),
}
_SCHEMAS = {
    table: pa.schema([(name, _ARROW[kind]) for name, kind in columns.items()])
    for table, columns in TABLES.items()
}


@dataclass(frozen=True, slots=True)
class Lake:
    """Where the facts are. `role` and `schema` are those of the ledger in PostgreSQL."""

    postgres_url: str
    schema: str
    role: str
    path: Path
    threads: int
    memory_limit: str

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A new DuckDB with the lake attached as `lake`. Raises LakeUnreachable.

        Extensions are loaded from the wheels: nothing is fetched from anywhere.
        """
        connection = duckdb.connect(
            config={"threads": self.threads, "memory_limit": self.memory_limit}
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            for name in EXTENSIONS:
                connection.execute(f"LOAD '{_extension(name)}'")
            catalog = make_conninfo(self.postgres_url, options=f"-c role={self.role}")
            self.path.mkdir(parents=True, exist_ok=True)
            connection.execute(
                f"ATTACH {_quoted('ducklake:postgres:' + catalog)} AS lake"
                f" (DATA_PATH {_quoted(f'{self.path.absolute()}/')},"
                f" METADATA_SCHEMA {_quoted(self.schema)})"
            )
        except duckdb.Error as error:
            connection.close()
            # The message may hold the connection string, and that the password.
            raise LakeUnreachable(f"catalog {self.schema}: {type(error).__name__}") from None
        return connection


class LakeUnreachable(Exception):
    """The analytics store could not be opened."""


def _extension(name: str) -> Path:
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    assert found is not None, f"the wheel duckdb-extension-{name} is not installed"
    places = found.submodule_search_locations or []
    paths = [path for place in places for path in Path(place).rglob(f"{name}.duckdb_extension")]
    return paths[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One snapshot for all that is read, one DuckLake commit for all that is written."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        try:
            connection.execute("ROLLBACK")
        except duckdb.Error as error:  # The cause is the one that is raised.
            log.debug("rollback_failed", error=type(error).__name__)
        raise
    connection.execute("COMMIT")


class FactWriter:
    """Folds the feed into the facts. One writer at a time: a second one's commit fails.

    `earlier` reads the events of streams below a position, for orders begun before the batch.
    `suffix` names tables beside the live ones (a rebuild).
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        earlier: Earlier,
        suffix: str = "",
        kill_point: Callable[[str], None] = no_kill_point,
        fold: Fold = analytics_facts.fold,
    ) -> None:
        self._connection = connection
        self._fold_one = fold
        self._earlier = earlier
        self._suffix = suffix
        self._kill_point = kill_point
        self._states: OrderedDict[UUID, FactState | None] = OrderedDict()
        self.name = NAME + suffix

    def prepare(self) -> None:
        """Create what is missing. Raises duckdb.Error when two do it at once: try again."""
        with transaction(self._connection):
            run = self._connection.execute
            run("CREATE TABLE IF NOT EXISTS lake.checkpoint (name VARCHAR, position BIGINT)")
            run(
                "CREATE TABLE IF NOT EXISTS lake.parked"
                " (name VARCHAR, key VARCHAR, position BIGINT, error VARCHAR)"
            )
            for table, columns in TABLES.items():
                listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                run(f"CREATE TABLE IF NOT EXISTS lake.{table}{self._suffix} ({listed})")
            for column in ADDED:
                table = f"lake.{PAYMENT_FACT}{self._suffix}"
                run(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column}")
            if self._read_position() is None:
                run("INSERT INTO lake.checkpoint VALUES (?, 0)", [self.name])

    def _read_position(self) -> int | None:
        query = "SELECT position FROM lake.checkpoint WHERE name = ?"
        row = self._connection.execute(query, [self.name]).fetchone()
        return None if row is None else int(row[0])

    def position(self) -> int:
        return self._read_position() or 0

    def parked(self) -> dict[str, tuple[int, str]]:
        """Orders set aside: key -> position of the first event that could not be folded, why."""
        query = "SELECT key, position, error FROM lake.parked WHERE name = ?"
        rows = self._connection.execute(query, [self.name]).fetchall()
        return {key: (position, error) for key, position, error in rows}

    def apply(self, batch: Sequence[Recorded], after: int) -> int:
        """Add the facts of the events behind `after` and move the checkpoint, in one commit.

        Raises Overtaken when another writer was first, duckdb.Error when the store fails; then
        nothing was kept.
        """
        if not batch:
            return after
        position = batch[-1].position
        try:
            with transaction(self._connection):
                self._move(after, position)
                parked = self.parked()
                events = [
                    recorded
                    for recorded in batch
                    if recorded.topic in analytics_facts.TOPICS and recorded.key not in parked
                ]
                facts, failures = self._fold(events)
                self._kill_point("facts_folded")
                self._insert(facts)
                for key, (at, error) in failures.items():
                    self._park(key, at, error)
                self._kill_point("facts_written")
        except BaseException:
            self._states.clear()  # They are ahead of what is stored.
            raise
        self._kill_point("facts_committed")
        return position

    def maintain(self) -> None:
        """Make large files of small ones and drop what no reader needs any more.

        Between commits of the one writer: elsewhere most of this failed on conflicts.
        """
        run = self._connection.execute
        run("CALL ducklake_flush_inlined_data('lake')")
        run(f"CALL ducklake_merge_adjacent_files('lake', max_file_size => {MERGED_BYTES_MAX})")
        kept = f"now() - INTERVAL {SNAPSHOTS_KEPT_SECONDS} SECOND"
        run(f"CALL ducklake_expire_snapshots('lake', older_than => {kept})")
        run(f"CALL ducklake_cleanup_old_files('lake', older_than => {kept})")

    def _move(self, after: int, position: int) -> None:
        moved = self._connection.execute(
            "UPDATE lake.checkpoint SET position = ? WHERE name = ? AND position = ?",
            [position, self.name, after],
        ).fetchone()
        if moved != (1,):
            raise Overtaken(f"{self.name} is no longer at {after}")

    def _fold(self, events: list[Recorded]) -> tuple[Facts, dict[str, tuple[int, str]]]:
        self._remember(events)
        facts: Facts = []
        failures: dict[str, tuple[int, str]] = {}
        for recorded in events:
            if recorded.key in failures:
                continue
            stream = recorded.stream_id
            try:
                state, made = self._fold_one(self._states.get(stream), recorded)
            except Exception as error:  # noqa: BLE001 - only this order may stop.
                failures[recorded.key] = (recorded.position, f"{type(error).__name__}: {error}")
                self._states.pop(stream, None)
                continue
            facts += made
            self._states[stream] = state
            self._states.move_to_end(stream)
        while len(self._states) > STATES_CACHED_MAX:
            self._states.popitem(last=False)
        return facts, failures

    def _remember(self, events: list[Recorded]) -> None:
        """Fold what orders were before the batch, for those that are not in memory."""
        streams = analytics_facts.missing(events, self._states)
        for some in (
            streams[i : i + READ_STREAMS_MAX] for i in range(0, len(streams), READ_STREAMS_MAX)
        ):
            states: dict[UUID, FactState | None] = dict.fromkeys(some)
            for recorded in self._earlier(some, events[0].position):
                if recorded.topic in analytics_facts.TOPICS:
                    state = states[recorded.stream_id]
                    states[recorded.stream_id] = self._fold_one(state, recorded)[0]
            self._states |= states

    def _insert(self, facts: Facts) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for table, row in facts:
            rows.setdefault(table, []).append(row)
        for table, values in rows.items():
            columns = TABLES[table]
            arrow = pa.Table.from_arrays(
                [
                    pa.array(column, type=field.type)
                    for column, field in zip(
                        zip(*values, strict=True), _SCHEMAS[table], strict=True
                    )
                ],
                schema=_SCHEMAS[table],
            )
            self._connection.register("new_facts", arrow)
            cast = ", ".join(f"CAST({name} AS {kind})" for name, kind in columns.items())
            self._connection.execute(
                f"INSERT INTO lake.{table}{self._suffix} SELECT {cast} FROM new_facts"
            )
            self._connection.unregister("new_facts")

    def _park(self, key: str, position: int, error: str) -> None:
        self._connection.execute(
            "INSERT INTO lake.parked VALUES (?, ?, ?, ?)",
            [self.name, key, position, error[:ERROR_CHARACTERS_MAX]],
        )
        log.error("parked", projection=self.name, key=key, position=position)

    def release(self, key: str, stream: UUID) -> None:
        """Add the facts of a parked order from where it was set aside up to the checkpoint.

        Raises KeyError for an order that is not parked, and what its fold raises.
        """
        with transaction(self._connection):
            if key not in self.parked():
                raise KeyError(f"{key} of {self.name} is not parked")
            at, _ = self.parked()[key]
            head = self.position()
            self._move(head, head)  # Against another writer.
            state: FactState | None = None
            facts: Facts = []
            for recorded in self._earlier([stream], head + 1):
                if recorded.topic in analytics_facts.TOPICS:
                    state, made = self._fold_one(state, recorded)
                    facts += made if recorded.position >= at else []
            self._insert(facts)
            self._connection.execute(
                "DELETE FROM lake.parked WHERE name = ? AND key = ?", [self.name, key]
            )
