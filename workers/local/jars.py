"""Fetches the jars of Apache Kafka by their Maven coordinates, exactly those of `kafka.lock`.

Run as `python -m workers.local.jars` to resolve the coordinates anew and write the lock.
"""

import fcntl
import hashlib
import logging
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jgo
from jgo.maven import MavenContext

log = logging.getLogger(__name__)
LOCK = Path(__file__).with_name("kafka.lock")
# The broker logs through SLF4J, whose binding only its tarball brings along.
ENDPOINT = "org.apache.kafka:kafka_2.13:4.1.2+org.slf4j:slf4j-simple:1.7.36"
DOWNLOADS_AT_ONCE = 6
TRIES = 3
REQUEST_SECONDS = 30


class Jar(NamedTuple):
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str


class JarsError(RuntimeError):
    """A jar could not be fetched, or is not the one that was locked."""


def cache(otherwise: Path) -> Path:
    """Shared by all checkouts of a user; `otherwise` for a user without a home to write in."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        shared = base / "order-ledger" / "jars"
        shared.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return otherwise
    return shared if os.access(shared, os.W_OK) else otherwise


def locked() -> list[Jar]:
    return [Jar(*line.split()) for line in LOCK.read_text().splitlines()]


def class_path(directory: Path) -> str:
    """Fetch what is missing under `directory`, check all, and say where they are."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)  # Else we would remove another's half of a jar.
        return os.pathsep.join(map(str, _fetch_all(directory)))


def _fetch_all(directory: Path) -> list[Path]:
    context = MavenContext(repo_cache=directory, timeout=REQUEST_SECONDS)
    jars = locked()
    missing = sum(not _path(context, jar).exists() for jar in jars)
    if missing:
        log.warning("fetching %s jars of Apache Kafka (43 MB in all, once)", missing)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        return list(pool.map(lambda jar: _fetch(context, jar), jars))


def _path(context: MavenContext, jar: Jar) -> Path:
    path = _artifact(context, jar).cached_path
    assert path is not None
    return path


def _artifact(context: MavenContext, jar: Jar) -> jgo.maven.Artifact:
    project = context.project(jar.group, jar.artifact)
    return project.at_version(jar.version).artifact()


def _fetch(context: MavenContext, jar: Jar) -> Path:
    problem: Exception | None = None
    for _ in range(TRIES):
        try:
            path = _artifact(context, jar).resolve()
            if _sha256(path) == jar.sha256:
                return path
            problem = JarsError("its SHA-256 is not the locked one")
            path.unlink(missing_ok=True)  # Half of it, when a download was killed.
        except (OSError, RuntimeError, AssertionError) as error:
            problem = error
    raise JarsError(f"cannot fetch {jar.group}:{jar.artifact}:{jar.version}: {problem}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_lines(artifacts: Iterable[jgo.maven.Artifact]) -> list[str]:
    return sorted(
        f"{each.groupId} {each.artifactId} {each.version} {_sha256(each.resolve())}\n"
        for each in artifacts
    )


if __name__ == "__main__":
    LOCK.write_text("".join(lock_lines(jgo.resolve(ENDPOINT))))
    sys.stdout.write(f"{LOCK}: {len(locked())} jars\n")
