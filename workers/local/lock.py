"""One owner per directory, told by a file lock, which the kernel drops when the owner dies."""

import fcntl
import os
from pathlib import Path

PID_DIGITS_MAX = 20


class AlreadyOwnedError(RuntimeError):
    """Another process, or another object of this one, owns the directory; the message names it."""


class DirectoryLock:
    """Not reentrant between objects: two objects of one process exclude each other too."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        self._descriptor: int | None = None

    def claim(self) -> None:
        """Raises AlreadyOwnedError. Repeated by its owner it changes nothing."""
        if self._descriptor is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, PID_DIGITS_MAX).decode() or "unknown"
            os.close(descriptor)
            message = f"{self.path.parent} is already run by process {owner}"
            raise AlreadyOwnedError(message) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
