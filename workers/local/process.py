"""Starts, finds and ends the processes of a local server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

GUARD = Path(__file__).with_name("guard.py")
POLL_SECONDS = 0.02
# The kernel's parent-death signal fires when the *thread* that started the child ends. So one
# thread, which lives as long as this process, starts them all.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True)
class RunAs:
    """The user a server runs as; -1 keeps our own."""

    uid: int = -1
    gid: int = -1


OURSELVES = RunAs()


def environment() -> dict[str, str]:
    """What a server may see: none of our settings, since some of them are secrets."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "UTC"}


def guarded(command: Sequence[str], death: signal.Signals, user: RunAs = OURSELVES) -> list[str]:
    """The command that becomes `command`, and gets the signal `death` when we die."""
    who = [str(os.getpid()), str(int(death)), str(user.uid), str(user.gid)]
    return [sys.executable, "-I", "-S", str(GUARD), *who, *command]


def spawn(command: Sequence[str], cwd: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start in a session of its own, so that Ctrl-C reaches us and not the server."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return _SPAWNER.submit(start).result()


def run_once(command: Sequence[str], cwd: Path, timeout_seconds: float) -> str:
    """Run a tool to its end and return what it printed.

    Raises CalledProcessError and TimeoutExpired.
    """

    def run() -> str:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_seconds,
            check=True,
            text=True,
            errors="replace",
        ).stdout

    return _SPAWNER.submit(run).result()


def processes_in(directory: Path, program: str) -> list[psutil.Process]:
    """Processes of `program` at work in `directory`, whoever started them.

    By working directory rather than by a pid file: a pid may have gone to a stranger since.
    """
    wanted = str(directory.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == program and process.cwd() == wanted:
                found.append(process)
        except psutil.Error:  # Gone, a zombie, or not ours to look at.
            continue
    return found


def family(pid: int) -> list[psutil.Process]:
    """The process and its descendants, the eldest first."""
    try:
        eldest = psutil.Process(pid)
        return [eldest, *eldest.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def end(processes: Sequence[psutil.Process], number: signal.Signals, seconds: float) -> None:
    """Ask with `number`, wait, and kill what is left. Raises TimeoutError if even that fails."""
    send(processes, number)
    left = _wait(processes, seconds)
    if left and number is not signal.SIGKILL:
        send(left, signal.SIGKILL)
        left = _wait(left, seconds)
    if left:
        raise TimeoutError(f"processes {[process.pid for process in left]} do not die")


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those still alive after `seconds`. A zombie is dead, whether its parent looks or not."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if _alive(process)]
    while left and sleep_until(deadline):
        left = [process for process in left if _alive(process)]
    return left


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def sleep_until(deadline: float) -> bool:
    """Wait a moment; False when the monotonic `deadline` has passed."""
    time.sleep(POLL_SECONDS)
    return time.monotonic() < deadline
