"""A real API for the tests: granian in its own process, and read models that keep up with it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from api.examples import ORDER
from commands.provider import sign
from commands.settings import Settings
from commands.store import Store
from tests.servers import PROVIDER
from workers import projector
from workers.entry import providers_json
from workers.local import ports

START_SECONDS = 30.0
CODE = Path(__file__).parents[1]  # whose API it is


class Api:
    """Calls one running API as the actor `desk`, and runs it anew."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        application: str = "api.main:app",
        code: Path = CODE,
    ) -> None:
        self.settings = settings
        self.application = application
        self.code = code
        self.port = ports.choose()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, headers={"X-Actor": "desk"}, timeout=30)
        self._log = directory / "api.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        command = [
            *(sys.executable, "-m", "granian", self.application, "--interface", "asgi"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--no-ws"),
            *("--workers", "1", "--loop", "uvloop", "--log-level", "warning"),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.code,
                env=environment(self.settings, self.code),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not ports.answers(self.port):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a command; header names with underscores for hyphens."""
        return self.client.post(path, json={} if body is None else body, headers=named(headers))

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(path, params=query or None)

    def place(self, **changes: Any) -> dict[str, Any]:
        """An order of 210.00 CNY, paid by Alipay, unless `changes` say otherwise."""
        return self.made("/v1/orders", order(**changes))

    def made(self, path: str, body: Any = None) -> dict[str, Any]:
        """The answer of a command that must be accepted."""
        answer = self.post(path, body)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def shown(self, path: str, **query: Any) -> dict[str, Any]:
        """The answer of a read that must succeed."""
        answer = self.get(path, **query)
        assert answer.is_success, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def head(self) -> int:
        return int(self.shown("/v1/feed", limit=1)["head"])


def rows(settings: Settings, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query finds in the ledger."""
    with Store(settings).connect(autocommit=True) as connection:
        return connection.execute(query, values).fetchall()


def events(api: Api, order_id: str) -> list[dict[str, Any]]:
    """All events of an order."""
    found: list[dict[str, Any]] = api.shown(f"/v1/orders/{order_id}/events")["events"]
    return found


def order(**changes: Any) -> dict[str, Any]:
    body = {**ORDER, **changes}
    if "lines" in changes or "shipping_minor" in changes:
        body.pop("total_minor", None)
    return body


def tell(api: Api, notice: dict[str, Any]) -> dict[str, Any]:
    """The answer to a provider's notice that must be taken."""
    body = json.dumps(notice).encode()
    secret = api.settings.providers[PROVIDER].secret
    signed = sign(secret, "m-1", datetime.now(UTC), body)
    url = f"/v1/providers/{PROVIDER}/notices"
    answer = api.client.post(url, content=body, headers=signed)
    assert answer.is_success, answer.text
    made: dict[str, Any] = answer.json()
    return made


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def environment(settings: Settings, code: Path = CODE) -> dict[str, str]:
    """What the process reads: our settings and nothing of the caller's."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(code),
        "LEDGER_NAME": settings.name,
        "LEDGER_POSTGRES_URL": settings.postgres_url,
        "LEDGER_MASTER_KEY": settings.master_key.get_secret_value(),
        "LEDGER_ANALYTICS_PATH": str(settings.analytics_path),
        "LEDGER_PROVIDERS": providers_json(settings),
        "LEDGER_SELLERS": json.dumps(
            {shop: one.model_dump(mode="json") for shop, one in settings.sellers.items()}
        ),
        "LEDGER_EVIDENCE_PATH": settings.evidence_path,
    }


@contextmanager
def running(settings: Settings, directory: Path) -> Iterator[Api]:
    """An API with read models that follow the ledger."""
    api = Api(settings, directory)
    with following(settings):
        api.start()
        try:
            yield api
        finally:
            api.client.close()
            api.stop()


@contextmanager
def serving(settings: Settings, directory: Path, count: int = 1) -> Iterator[list[Api]]:
    """So many processes on one ledger, without read models."""
    apis = []
    for number in range(count):
        place = directory / str(number)
        place.mkdir()
        apis.append(Api(settings, place).start())
    try:
        yield apis
    finally:
        for api in apis:
            api.client.close()
            api.stop()


@contextmanager
def following(settings: Settings) -> Iterator[None]:
    """The projector at work until the end."""
    ended = threading.Event()
    thread = threading.Thread(target=projector.run, args=(settings, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
