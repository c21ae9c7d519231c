"""The life of a local server: one owner per directory, start, ready, stop, kill, start again."""

import logging
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from workers.local import ports, process
from workers.local.lock import AlreadyOwnedError, DirectoryLock
from workers.local.logfile import LogFile

log = logging.getLogger(__name__)
START_TRIES = 3


class LocalServerError(RuntimeError):
    """A local server could not do what was asked; the message says why and quotes its log."""


class AlreadyRunningError(LocalServerError):
    """Another process owns the directory."""


class LocalServer:
    """Base of the servers that run as a process of their own.

    Servers end with us, also by SIGKILL: the kernel then sends them `stop_signal`. What a crash
    left running in the directory is ended by the next start.
    """

    name: ClassVar[str]
    program: ClassVar[str]  # Name of the process, to find what a crash left.
    stop_signal: ClassVar[signal.Signals]
    start_seconds: ClassVar[float] = 120.0  # Recovery after a crash takes its time.
    stop_seconds: ClassVar[float] = 30.0

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory.absolute()
        self.log = LogFile(self.directory / "server.log")
        self._wished = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = DirectoryLock(self.directory)

    @property
    def port(self) -> int:
        """Chosen by the first start, and kept by this object from then on."""
        assert self._port is not None, f"{self.name} was never started"
        return self._port

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        running = self._process  # Another thread may end it meanwhile.
        return running is not None and running.poll() is None

    def start(self) -> None:
        """Return when the server answers. Raises AlreadyRunningError and LocalServerError."""
        if self.running:
            return
        try:
            self._lock.claim()
        except AlreadyOwnedError as error:
            raise AlreadyRunningError(f"{self.name} in {error}") from None
        try:
            self._end_leftovers()
            self._prepare()
            self._start_on_a_port()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Clean and fast: open transactions are rolled back, clients are sent away."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """SIGKILL the whole tree, as a crash would; data must survive it."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # What a server has to say about itself.

    def _workplace(self) -> Path:
        """Working directory of its processes; nothing else runs there under its name."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make the data directory if it is not there. A kill at any moment must be harmless."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        """Whether it is ours that answers: a stranger may hold the port while ours still begins."""
        raise NotImplementedError

    # How it is done.

    def _end_leftovers(self) -> None:
        left = process.processes_in(self._workplace(), self.program)
        if left:
            log.warning("%s: ending what an earlier run left in %s", self.name, self.directory)
            process.end(left, self.stop_signal, self.stop_seconds)

    def _start_on_a_port(self) -> None:
        first_start = self._port is None
        for attempt in range(1, START_TRIES + 1):
            if first_start:
                self._port = ports.choose(self._wished)
            elif not ports.is_free(self.port):  # Clients know this one, so no other will do.
                raise LocalServerError(f"port {self.port} is held by another program")
            self._spawn()
            if self._wait_until_ready():
                break
            # Between choosing a port and binding it, another process may have been faster.
            if attempt == START_TRIES or not first_start or ports.is_free(self.port):
                raise LocalServerError(f"{self.name} ended at its start.\n{self.log.tail()}")
        if self._wished not in (None, self._port):
            log.warning("%s: port %s is taken, using %s", self.name, self._wished, self._port)

    def _spawn(self) -> None:
        with self.log.open() as file:
            self._process = process.spawn(self._command(), self._workplace(), file)

    def _wait_until_ready(self) -> bool:
        """True when it answers, False when it ended instead. Raises LocalServerError if neither."""
        deadline = time.monotonic() + self.start_seconds
        while self.running:
            if self._answers() and self.running:
                return True
            if not process.sleep_until(deadline):
                waited = f"{self.name} does not answer after {self.start_seconds:.0f} s"
                raise LocalServerError(f"{waited}.\n{self.log.tail()}")
        self.log.close()
        return False

    def _end(self, number: signal.Signals) -> None:
        running = self._process
        if running is not None:
            # One that ended by itself has left its pid to strangers.
            whole = process.family(running.pid) if running.poll() is None else []
            # On a clean stop only the eldest is told: it ends the others in its own order.
            asked = whole if number is signal.SIGKILL else whole[:1]
            process.end(asked, number, self.stop_seconds)
            process.end(whole[1:], signal.SIGKILL, self.stop_seconds)
            running.wait(self.stop_seconds)
            self._process = None
        self.log.close()
        self._lock.release()
