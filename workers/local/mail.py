"""Catches the mails of a demo or a test: an SMTP server that sends nothing on, and a page."""

import threading
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from workers.local import ports
from workers.local.mail_page import page_handler

MAILS_MAX = 200
MAIL_BYTES_MAX = 2_000_000


class _Catcher:
    """aiosmtpd's handler; all its calls come from one event loop."""

    def __init__(self, directory: Path, mails_max: int) -> None:
        self._directory = directory
        self._mails_max = mails_max
        self._caught = 0

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self._caught += 1
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = self._directory / f"{now}-{self._caught % 10_000:04}.eml"
        content = envelope.content or b""
        unfinished = path.with_suffix(".new")
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
        unfinished.rename(path)
        for old in sorted(self._directory.glob("*.eml"))[: -self._mails_max]:
            old.unlink(missing_ok=True)
        return "250 Message caught"


class MailCatcher:
    """Keeps the last `mails_max` mails as .eml files in `directory`, named by their arrival.

    It lives in threads of this process. Ports that are taken are replaced by others.
    """

    def __init__(
        self,
        directory: Path,
        smtp_port: int | None = None,
        http_port: int | None = None,
        mails_max: int = MAILS_MAX,
    ) -> None:
        self.directory = directory.absolute()
        self._wished = (smtp_port, http_port)
        self._mails_max = mails_max
        self._smtp: Controller | None = None
        self._http: ThreadingHTTPServer | None = None

    @property
    def smtp_port(self) -> int:
        assert self._smtp is not None, "the mail catcher is not running"
        return int(self._smtp.port)

    @property
    def url(self) -> str:
        """Of the page that lists the mails."""
        assert self._http is not None, "the mail catcher is not running"
        return f"http://{ports.LOOPBACK}:{self._http.server_port}/"

    def start(self) -> None:
        if self._smtp is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        smtp_wished, http_wished = self._wished
        smtp_port = ports.choose(smtp_wished)
        self._smtp = Controller(
            _Catcher(self.directory, self._mails_max),
            hostname=ports.LOOPBACK,
            port=smtp_port,
            data_size_limit=MAIL_BYTES_MAX,
            enable_SMTPUTF8=True,
        )
        self._smtp.start()
        http_port = ports.choose(http_wished, taken=frozenset({smtp_port}))
        self._http = ThreadingHTTPServer((ports.LOOPBACK, http_port), page_handler(self.directory))
        threading.Thread(target=self._http.serve_forever, name="mail page", daemon=True).start()

    def stop(self) -> None:
        """The mails stay in the directory."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None
        if self._smtp is not None:
            self._smtp.stop()
            self._smtp = None
