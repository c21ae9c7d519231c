"""Runs processes that belong together: starts what died again, and ends all in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workers.local import process
from workers.local.logfile import LogFile

RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # the last one for ever
STEADY_SECONDS = 60.0  # after so long a run, the next death is a first one again
STOP_SECONDS = 15.0

Tell = Callable[[str], None]


@dataclass
class Child:
    """One process and its log. It ends with us, also when we are killed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: LogFile
    deaths: int = 0
    due: float = 0.0  # monotonic time of the next start
    started: float = 0.0
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
        self.started = time.monotonic()

    def died(self) -> int | None:
        """Its exit code, once, when it has ended by itself; its next start is then planned."""
        code = self.running.poll() if self.running else None
        if code is None:
            return None
        self.running = None
        self.log.close()
        lived = time.monotonic() - self.started
        self.deaths = 0 if lived > STEADY_SECONDS else self.deaths
        self.due = time.monotonic() + RESTART_SECONDS[min(self.deaths, len(RESTART_SECONDS) - 1)]
        self.deaths += 1
        return code

    def stop(self) -> None:
        if self.running is None:
            return
        family = process.family(self.running.pid)
        process.end(family[:1], signal.SIGTERM, STOP_SECONDS)
        process.end(family[1:], signal.SIGKILL, STOP_SECONDS)
        self.running.wait(STOP_SECONDS)
        self.running = None
        self.log.close()


class Supervisor:
    """Call `watch` now and then from the thread that made it: children end with that thread."""

    def __init__(self, logs: Path, tell: Tell) -> None:
        self._logs = logs
        self._tell = tell
        self.children: list[Child] = []

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """`arguments` of `python -m workers`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "workers", *arguments]
        child = Child(name, command, environment, LogFile(self._logs / f"{name}.log"))
        self.children.append(child)
        child.start()

    def watch(self) -> None:
        for child in self.children:
            code = child.died()
            if code is not None:
                pause = child.due - time.monotonic()
                self._tell(
                    f"{child.name} ended with code {code} and starts again in {pause:.1f} s; "
                    f"its log: {child.log.path}"
                )
            if child.running is None and time.monotonic() >= child.due:
                child.start()

    def stop(self) -> None:
        """The last started first."""
        for child in reversed(self.children):
            child.stop()
