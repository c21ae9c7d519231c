"""Orders placed over HTTP by this version and by another commit, on one PostgreSQL, in turns.

`python -m tests.bench.against COMMIT`. The other one runs with the packages of this one.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.api_server import CODE, Api, environment
from tests.bench.placing import WARM_UP_SECONDS, costly, load, show, stock
from tests.bench.rounds import console, interleave, machine, table
from tests.servers import fresh_database, settings_of, temporary_directory
from workers.local.postgres import LocalPostgres

ROUNDS = 9
TARGET = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.against", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    arguments = parser.parse_args()
    console.print(machine())
    with (
        temporary_directory() as directory,
        LocalPostgres(directory / "postgres") as postgres,
        ExitStack() as running,
    ):
        trees = {"this": CODE, "that": unpacked(arguments.commit, directory / "code")}
        servers = {
            name: running.enter_context(served(postgres, directory / name, code))
            for name, code in trees.items()
        }
        costs: dict[str, list[float]] = {name: [] for name in servers}
        contestants = {
            name: partial(costly, server, costs=costs[name]) for name, server in servers.items()
        }
        rates = interleave(contestants, arguments.seconds, ROUNDS)
    found = table("Placing orders over HTTP", "", "this", arguments.commit, "ratio")
    show(found, [*rates.values()], [*costs.values()], TARGET)
    console.print(machine())


def unpacked(commit: str, directory: Path) -> Path:
    """The files of a commit."""
    packed = subprocess.run(
        ["git", "-C", CODE, "archive", commit], capture_output=True, check=False, timeout=60
    )
    if packed.returncode:
        sys.exit(packed.stderr.decode())
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory


@contextmanager
def served(postgres: LocalPostgres, directory: Path, code: Path) -> Iterator[Api]:
    directory.mkdir()
    with fresh_database(postgres) as url:
        settings = settings_of(url, directory)
        migrate = [sys.executable, "-m", "workers", "migrate"]
        subprocess.run(migrate, cwd=code, env=environment(settings, code), check=True, timeout=60)
        server = Api(settings, directory, code=code).start()
        try:
            stock(server)
            load(server.port, WARM_UP_SECONDS)
            yield server
        finally:
            server.client.close()
            server.stop()


if __name__ == "__main__":
    main()
