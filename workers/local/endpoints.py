"""`var/endpoints.json`: the addresses that this machine's servers were given."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PATH = Path("var") / "endpoints.json"


class Endpoints(BaseModel):
    """Where each server can be reached; None for one that is not run here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str | None = None  # http URL
    kafka: str | None = None  # host:port
    postgres: str | None = None  # postgresql URL with its password
    mail: str | None = None  # http URL of the caught mails


def write(endpoints: Endpoints, path: Path = PATH) -> None:
    """Readers see the old file or the new one, never a part. Only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)  # It holds a password.
    with unfinished.open("w") as file:
        file.write(endpoints.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read(path: Path = PATH) -> Endpoints | None:
    """What was last written, or None. The servers may have gone since."""
    try:
        return Endpoints.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None


def remove(path: Path = PATH) -> None:
    """After a clean stop, so that nobody is sent to servers that are gone."""
    path.unlink(missing_ok=True)
