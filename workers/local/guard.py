"""Becomes a server process that ends when its parent ends, as the user it is told to be.

Run as a script: `guard.py PARENT_PID SIGNAL UID GID COMMAND…` (UID and GID -1: stay who we are).
A program of its own instead of a `preexec_fn`, because that may deadlock in a threaded parent.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def _drop_to(uid: int, gid: int) -> None:
    if uid < 0:
        return
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _end_with(parent: int, signal_number: int) -> None:
    """Ask the kernel for `signal_number` when the parent dies; other systems have no such call."""
    if not sys.platform.startswith("linux"):
        return
    # After setuid: changing the user clears the wish.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # It died before we could ask.
        sys.exit(1)


def main(arguments: list[str]) -> None:
    parent, signal_number, uid, gid = (int(number) for number in arguments[:4])
    command = arguments[4:]
    _drop_to(uid, gid)
    _end_with(parent, signal_number)
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    main(sys.argv[1:])
