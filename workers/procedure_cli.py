"""`ledger procedure`: the procedure document, as a running API writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from workers import entry

ANSWER_SECONDS = 30.0

err = Console(stderr=True, soft_wrap=True)


def procedure(
    shop: Annotated[str, typer.Option(help="whose rules")] = "main",
    language: Annotated[str | None, typer.Option(help="zh or en; the shop's own if absent")] = None,
    format: Annotated[str, typer.Option(help="html, pdf or json")] = "html",  # noqa: A002
    at: Annotated[
        str | None, typer.Option(help="a day or an RFC 3339 time: from the rules of then")
    ] = None,
    version: Annotated[int | None, typer.Option(help="an issued version, word for word")] = None,
    compare: Annotated[
        int | None, typer.Option(help="mark what differs from this issued version")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="file to write; stdout if absent")] = None,
    actor: Annotated[str, typer.Option(help="who reads it: an opaque id")] = "cli",
    *,
    customers: Annotated[bool, typer.Option("--customers", help="the extract for them")] = False,
) -> None:
    """Write the procedure document (订单管理程序文件) from what is in force."""
    shared = {"shop": shop, "language": language, "format": format}
    if compare is None:
        audience = "customers" if customers else "operators"
        path, query = "procedure", {"at": at, "version": version, "audience": audience}
    else:
        if at is not None or customers:
            raise typer.BadParameter("--compare goes with --version only")
        path, query = "procedure/compare", {"from": compare, "to": version}
    if output is None and format == "pdf" and sys.stdout.isatty():
        raise typer.BadParameter("a PDF needs --output FILE, or a pipe")
    made = _asked(path, {**shared, **query}, actor)
    if output is None:
        sys.stdout.buffer.write(made)
    else:
        output.write_bytes(made)


def _asked(path: str, query: dict[str, object], actor: str) -> bytes:
    """The answer's body; what the API refuses becomes a line."""
    import json
    import urllib.error
    import urllib.parse
    import urllib.request

    from commands.settings import Settings

    base = entry.api_url(Settings())
    given = urllib.parse.urlencode({name: one for name, one in query.items() if one is not None})
    request = urllib.request.Request(  # noqa: S310 - our own API
        f"{base}/v1/{path}?{given}", headers={"X-Actor": actor}
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        problem = json.loads(error.read())
        _refuse("; ".join(_reasons(problem)) or problem["detail"])
    except OSError as error:  # URLError is one.
        _refuse(f"no API answers at {base} ({error}): start `ledger up` or `ledger api`")


def _reasons(problem: dict[str, list[dict[str, str]]]) -> list[str]:
    return [f"{one['field']}: {one['message']}" for one in problem.get("errors") or []]


def _refuse(line: str) -> NoReturn:
    err.print(line, style="red", markup=False, highlight=False)
    raise typer.Exit(1)
