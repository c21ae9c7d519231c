"""Chooses loopback ports that nobody listens on."""

import secrets
import socket

LOOPBACK = "127.0.0.1"
TRIES_MAX = 500
# Below the kernel's ephemeral range (32768 and up): there, a client that keeps calling a port
# nobody listens on can be connected to itself and so keep the server from coming back to it.
FIRST, LAST = 20_000, 31_999


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do, so that connections in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose(wished: int | None = None, taken: frozenset[int] = frozenset()) -> int:
    """The wished port, or the next free one after it; without a wish any free one."""
    first = wished or FIRST + secrets.randbelow(LAST - FIRST)
    for port in range(first, min(first + TRIES_MAX, 65_536)):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} from {first} on")
