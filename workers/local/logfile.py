"""A server's log file: bounded, and quoted when something fails."""

import shutil
import threading
from pathlib import Path
from typing import IO

LOG_BYTES_MAX = 10_000_000
CHECK_SECONDS = 5.0
TAIL_LINES = 15
TAIL_BYTES = 8_000


class LogFile:
    """The server writes to it by itself, so that it still can when we are gone.

    While we live it is copied aside and emptied when it grows past LOG_BYTES_MAX.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ended = threading.Event()

    def open(self) -> IO[bytes]:
        """For appending, which is what makes emptying it beneath the writer safe."""
        self._ended = threading.Event()
        threading.Thread(target=self._bound, args=(self._ended,), daemon=True).start()
        return self.path.open("ab")

    def close(self) -> None:
        self._ended.set()

    def tail(self) -> str:
        """The last lines, for error messages."""
        if not self.path.exists():
            return "(no log)"
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _bound(self, ended: threading.Event) -> None:
        while True:
            self._turn()
            if ended.wait(CHECK_SECONDS):
                return

    def _turn(self) -> None:
        try:
            if self.path.stat().st_size > LOG_BYTES_MAX:
                shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
                with self.path.open("r+b") as file:
                    file.truncate(0)
        except OSError:  # A full disk or a removed directory must not end the server's watch.
            return
