"""Finds a user and places for a server that refuses to run as root."""

import hashlib
import logging
import os
import pwd
import shutil
from pathlib import Path

from workers.local.process import OURSELVES, RunAs

log = logging.getLogger(__name__)
ORDINARY_USER = "nobody"
# Root's alternative to places that the ordinary user cannot reach, such as all below /root.
FALLBACK = Path("/var/lib/order-ledger")


def ordinary_user() -> RunAs:
    """Ourselves, or `nobody` when we are root."""
    if os.geteuid() != 0:
        return OURSELVES
    entry = pwd.getpwnam(ORDINARY_USER)
    return RunAs(entry.pw_uid, entry.pw_gid)


def reachable(path: Path, user: RunAs) -> bool:
    """Whether `user` may pass through every directory above `path`."""
    return user == OURSELVES or all(_passable(parent, user) for parent in path.resolve().parents)


def _passable(directory: Path, user: RunAs) -> bool:
    if not directory.exists():
        return True  # Made by us, and then with the bit.
    status = directory.stat()
    bits = 0o100 if status.st_uid == user.uid else 0o010 if status.st_gid == user.gid else 0o001
    return bool(status.st_mode & bits)


def data_home(directory: Path, user: RunAs) -> Path:
    """`directory` itself where `user` can reach it, else a place under FALLBACK named after it."""
    if reachable(directory / "x", user):
        return directory
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    home = FALLBACK / f"{directory.name}-{name}"
    if not home.exists():
        log.warning("%s cannot be reached by user %s: using %s", directory, ORDINARY_USER, home)
    return home


def make_passable(directory: Path) -> None:
    """Make it, with the bits that let an ordinary user through whatever the umask says."""
    for path in (*reversed(directory.parents), directory):
        if not path.exists():
            path.mkdir()
            path.chmod(0o711)


def hand_over(path: Path, user: RunAs) -> None:
    if user != OURSELVES:
        os.chown(path, user.uid, user.gid)


def executable_copy(parts: list[Path], version: str, user: RunAs) -> Path:
    """The directory that holds `parts` side by side, where `user` can execute them.

    That is where they are, or, below a closed directory such as /root, a copy made once.
    """
    home = parts[0].parent
    if all(reachable(part / "x", user) for part in parts):
        return home
    copy = FALLBACK / version
    if copy.exists():
        return copy
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    log.warning("%s cannot be reached by user %s: copied to %s", home, ORDINARY_USER, copy)
    make_passable(FALLBACK)
    for part in parts:
        shutil.copytree(part, unfinished / part.name, symlinks=True)
    unfinished.chmod(0o755)
    try:
        unfinished.rename(copy)
    except OSError:  # Another process was first.
        shutil.rmtree(unfinished)
    return copy
