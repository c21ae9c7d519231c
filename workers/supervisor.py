"""Runs processes that belong together: starts what died again, and ends all in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from workers.local import process
from workers.local.logfile import LogFile
from workers.local.server import LocalServer, LocalServerError

RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # the last one for ever
STEADY_SECONDS = 60.0  # after so long a run, the next death is a first one again
STOP_SECONDS = 15.0

Tell = Callable[[str], None]


@dataclass
class Pauses:
    """How long to wait before what died is started again: longer with each death."""

    deaths: int = 0
    due: float = 0.0  # monotonic time of the next start
    begun: float = 0.0

    def begin(self) -> None:
        self.begun = time.monotonic()

    def end(self) -> float:
        """After a death: seconds until the next start."""
        now = time.monotonic()
        self.deaths = 0 if now - self.begun > STEADY_SECONDS else self.deaths
        pause = RESTART_SECONDS[min(self.deaths, len(RESTART_SECONDS) - 1)]
        self.due = now + pause
        self.deaths += 1
        return pause

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.due


@dataclass
class Child:
    """One process and its log. It ends with us, also when we are killed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: LogFile
    pauses: Pauses = field(default_factory=Pauses)
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        with self.log.open() as file:
            self.running = subprocess.Popen(
                process.guarded(self.command, signal.SIGTERM),
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we end the others in order.
            )
        self.pauses.begin()

    def died(self) -> int | None:
        """Its exit code, once, when it has ended by itself."""
        code = self.running.poll() if self.running else None
        if code is None:
            return None
        self.running = None
        self.log.close()
        return code

    def watch(self, tell: Tell) -> None:
        code = self.died()
        if code is not None:
            pause = self.pauses.end()
            tell(
                f"{self.name} ended with code {code} and starts again in {pause:.1f} s; "
                f"its log: {self.log.path}"
            )
        if self.running is None and self.pauses.over:
            self.start()

    def stop(self) -> None:
        if self.running is None:
            return
        family = process.family(self.running.pid)
        process.end(family[:1], signal.SIGTERM, STOP_SECONDS)
        process.end(family[1:], signal.SIGKILL, STOP_SECONDS)
        self.running.wait(STOP_SECONDS)
        self.running = None
        self.log.close()


@dataclass
class Kept:
    """A local server that runs when it is given to us. Whoever made it stops it."""

    server: LocalServer
    pauses: Pauses = field(default_factory=Pauses)
    gone: bool = False
    starting: Future[None] | None = None  # A start waits until the server answers: not here.
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), repr=False)

    def watch(self, tell: Tell) -> None:
        if self.starting is not None:
            if self.starting.done():
                self._started(tell, self.starting.exception())
        elif self.gone and self.pauses.over:
            self.pauses.begin()
            self.starting = self.thread.submit(self.server.start)
        elif not self.gone and not self.server.running:
            self.gone = True
            self.server.log.close()
            self._later(tell, "ended")

    def stop(self) -> None:
        """Give up a start that is under way. What got through it all the same, its maker stops."""
        if self.starting is not None and not self.starting.done():
            self.server.kill()
        self.thread.shutdown()

    def _started(self, tell: Tell, error: BaseException | None) -> None:
        self.starting = None
        if error is None:
            self.gone = False
            tell(f"{self.server.name} runs again")
        elif isinstance(error, (LocalServerError, OSError)):
            self._later(tell, f"does not start ({str(error).splitlines()[0]})")
        else:
            raise error

    def _later(self, tell: Tell, what: str) -> None:
        pause = self.pauses.end()
        tell(
            f"{self.server.name} {what} and starts again in {pause:.1f} s; "
            f"its log: {self.server.log.path}"
        )


class Supervisor:
    """Call `watch` now and then from the thread that made it: children end with that thread."""

    def __init__(self, logs: Path, tell: Tell) -> None:
        self._logs = logs
        self._tell = tell
        self.children: list[Child] = []
        self._servers: list[Kept] = []

    def keep(self, server: LocalServer) -> None:
        """Start it again when it has died; the first start and the stop are its maker's."""
        kept = Kept(server)
        kept.pauses.begin()
        self._servers.append(kept)

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """`arguments` of `python -m workers`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "workers", *arguments]
        child = Child(name, command, environment, LogFile(self._logs / f"{name}.log"))
        self.children.append(child)
        child.start()

    def watch(self) -> None:
        for kept in self._servers:
            kept.watch(self._tell)
        for child in self.children:
            child.watch(self._tell)

    def stop(self) -> None:
        """The last started first. Afterwards no server is being started."""
        for child in reversed(self.children):
            child.stop()
        for kept in self._servers:
            kept.stop()
