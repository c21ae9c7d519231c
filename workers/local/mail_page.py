"""The page of caught mails. Mails are strangers' text: everything is escaped, nothing runs."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

NAME = re.compile(r"[0-9T.]+-\d{4}\.eml")
HEADERS = ("Date", "From", "To", "Subject")
OUR_HOSTS = ("127.0.0.1", "localhost")
# Escaping is the guard; this is the second one, should the first ever have a hole.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem}td,th{padding:.3rem .8rem;text-align:left}"
    "pre{white-space:pre-wrap}"
)


def page_handler(directory: Path) -> type[BaseHTTPRequestHandler]:
    """The handler class that http.server wants, over the mails in `directory`."""

    class Handler(BaseHTTPRequestHandler):
        """`/` lists the mails, `/<name>` shows one, `/<name>?raw` as it came."""

        timeout = 10

        def do_GET(self) -> None:
            name, _, query = self.path.lstrip("/").partition("?")
            # A page elsewhere that points its own name at us must not read the mails.
            if self.headers.get("Host", "").rpartition(":")[0] not in OUR_HOSTS:
                self._answer(HTTPStatus.FORBIDDEN, b"ask by the address 127.0.0.1")
            elif not name:
                self._answer(HTTPStatus.OK, list_page(directory).encode(), "html")
            elif not NAME.fullmatch(name) or not (directory / name).is_file():
                self._answer(HTTPStatus.NOT_FOUND, b"no such mail")
            elif query == "raw":
                self._answer(HTTPStatus.OK, (directory / name).read_bytes())
            else:
                self._answer(HTTPStatus.OK, mail_page(directory / name).encode(), "html")

        def _answer(self, status: HTTPStatus, body: bytes, subtype: str = "plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"text/{subtype}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Silent: a page that reloads itself would drown the demo's output."""

    return Handler


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}<h1>{escape(title)}</h1>{body}</html>'


def list_page(directory: Path) -> str:
    """The newest first."""
    names = sorted((path.name for path in directory.glob("*.eml")), reverse=True)
    head = "".join(f"<th>{header}</th>" for header in HEADERS)
    rows = "".join(_row(directory / name) for name in names)
    table = f"<table><tr>{head}</tr>{rows}</table>"
    return _page("Caught mails", table if names else "<p>None yet.</p>")


def _row(path: Path) -> str:
    message = _read(path)
    if message is None:
        return ""
    *cells, subject = (escape(_header(message, name)) for name in HEADERS)
    link = f'<a href="/{path.name}">{subject or "(no subject)"}</a>'
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*cells, link)) + "</tr>"


def mail_page(path: Path) -> str:
    """Its headers and its text; of a mail that is HTML alone, the source."""
    message = _read(path)
    if message is None:
        return _page("This mail is gone", "")
    lines = "".join(
        f"<p><b>{name}:</b> {escape(_header(message, name))}</p>" for name in HEADERS[:3]
    )
    links = f'<p><a href="/{path.name}?raw">As it came</a> · <a href="/">All mails</a></p>'
    return _page(_header(message, "Subject"), f"{lines}<pre>{escape(_text(message))}</pre>{links}")


def _read(path: Path) -> EmailMessage | None:
    try:
        return message_from_bytes(path.read_bytes(), _class=EmailMessage, policy=default)
    except FileNotFoundError:  # Newer mails have pushed it out.
        return None


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))
    except Exception:  # noqa: BLE001 - the parser raises many kinds over a stranger's header
        return "(unreadable)"


def _text(message: EmailMessage) -> str:
    try:
        body = message.get_body(("plain", "html"))
        return str(body.get_content()) if body else "(no text)"
    except Exception:  # noqa: BLE001 - the same
        return "(unreadable)"
