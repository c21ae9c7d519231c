"""The command `ledger`: runs the processes of a ledger, fills it, and looks at it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console

from workers import entry, procedure_cli, statement_cli

if TYPE_CHECKING:
    from commands.settings import Settings
    from projections.rebuild import Rebuilt

FOLLOW_SECONDS = 0.5
STOP_SECONDS = 15
FEED_EVENTS_MAX = 1_000

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An event-sourced order ledger. Settings are environment variables LEDGER_…; what they "
    "leave out comes from the `ledger up` that runs in this directory.",
)
app.add_typer(statement_cli.statement, name="statement")
app.add_typer(statement_cli.period, name="period")
app.command()(procedure_cli.procedure)
# Answers go to stdout, so that they can be piped; what is said about them goes to stderr.
out, err = Console(soft_wrap=True), Console(stderr=True)


def main() -> None:
    try:
        app()
    except entry.NotConfigured as error:
        _refuse(str(error))
    except Exception as error:
        from workers.trouble import explained

        line = explained(error)
        if line is None:
            raise
        _refuse(line)


def _refuse(line: str, code: int = 2) -> NoReturn:
    """One line, as it is: what was typed may look like markup. Code 1: asked well, but in vain."""
    err.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


@app.command()
def up(
    *, simulate: Annotated[bool, typer.Option(help="Place orders and send scans")] = True
) -> None:
    """Run everything on this machine, until Ctrl-C."""
    from commands.logs import configure_logs
    from commands.settings import Settings
    from workers.local.lock import AlreadyOwnedError
    from workers.local.server import LocalServerError
    from workers.up import up as run

    configure_logs("WARNING")
    given = Settings()
    entry.check(given)
    try:
        run(given, simulate=simulate)
    except (AlreadyOwnedError, LocalServerError) as error:
        _refuse(str(error), 1)


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    given = entry.settings()
    os.environ.update(entry.environment(given))  # The server's process reads it again.
    Server(
        "api.main:app",
        address=given.api_host,
        port=given.api_port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=STOP_SECONDS,  # An answer under way is worth so much waiting.
    ).serve()


@app.command()
def projector() -> None:
    """Keep the read models and the analytics at the ledger's head."""
    from workers.projector import run

    entry.work(entry.settings(), run)


@app.command()
def tracking() -> None:
    """Bring carriers' updates from Kafka into the ledger."""
    from workers.tracking import run

    entry.work(entry.needs_kafka(entry.settings()), run)


@app.command("dead-letters")
def dead_letters(
    resend: Annotated[list[int] | None, typer.Option(help="Send these again; repeatable")] = None,
    *,
    show: Annotated[bool, typer.Option("--list", help="List those not sent again yet")] = False,
) -> None:
    """Copy unreadable records to their Kafka topic; or list them, or send them again."""
    from commands.store import Store
    from workers import dead_letters as letters

    given = entry.settings()
    if show:
        with Store(given).connect(autocommit=True) as connection:
            for one in letters.listed(connection):
                out.print(f"{one.id}  {one.source}  {one.reason}", highlight=False, markup=False)
    elif resend:
        sent = letters.resend(entry.needs_kafka(given), resend)
        err.print(f"{sent} sent again")
        if unknown := len(set(resend)) - sent:
            _refuse(f"{unknown} of these numbers are of no dead letter: see --list", 1)
    else:
        entry.work(entry.needs_kafka(given), letters.run)


@app.command()
def fapiao() -> None:
    """Hand requests for fapiao to the tax provider's directory, and record its answers."""
    from workers.fapiao import run

    entry.work(entry.settings(), run)


@app.command()
def deadlines() -> None:
    """Do what is due: remind, cancel what was not paid, charge late fees, raise alerts."""
    from workers.deadlines import run

    entry.work(entry.settings(), run)


@app.command()
def messenger() -> None:
    """Queue a message to the customer for each fact that calls for one."""
    from workers.messenger import run

    entry.work(entry.settings(), run)


@app.command()
def intake() -> None:
    """Look at placed orders beside the others: duplicates, unusual prices and quantities."""
    from workers.intake import run

    entry.work(entry.settings(), run)


@app.command()
def periods() -> None:
    """Finish the closing of months that was begun."""
    from workers.periods import run

    entry.work(entry.settings(), run)


@app.command()
def provider() -> None:
    """Take captures and refunds to the payment providers, and make facts of what they tell."""
    from workers.provider import run

    given = entry.settings()
    if not given.providers:
        _refuse("LEDGER_PROVIDERS names no payment provider")
    entry.work(given, run)


@app.command("provider-simulator")
def provider_simulator(
    name: Annotated[str, typer.Argument(help="One of LEDGER_PROVIDERS, with a loopback URL")],
    seed: Annotated[int, typer.Option(help="The same misbehaviour again")] = 1,
) -> None:
    """Be a payment provider that tells late, twice and out of order, and fails after doing."""
    from workers.provider_simulator import run

    given = entry.settings()
    if name not in given.providers:
        _refuse(f"LEDGER_PROVIDERS does not name {name}")
    entry.work(given, lambda settings, stop: run(settings, stop, name, seed))


@app.command()
def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Orders per second")] = 1.0,
) -> None:
    """Place, pay, pack and dispatch orders through the API, and send their scans through Kafka."""
    from workers.simulator import run

    entry.work(entry.needs_kafka(entry.settings()), lambda given, stop: run(given, stop, rate))


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from commands.migrate import migrate as run

    names = run(entry.settings())
    err.print(f"applied: {', '.join(names)}" if names else "nothing to apply")


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="FILE.jsonl[.gz], or `olist`")],
    directory: Annotated[Path | None, typer.Argument(help="where the Olist files are")] = None,
) -> None:
    """Bring real history in. Can be stopped and run again without doubling anything."""
    from workers.import_console import import_olist, import_path

    if source == "olist":
        if directory is None:
            raise typer.BadParameter("ledger import olist DIR")
        raise typer.Exit(import_olist(entry.settings(), directory))
    if directory is not None:
        raise typer.BadParameter("ledger import FILE, or ledger import olist DIR")
    raise typer.Exit(import_path(entry.settings(), Path(source)))


@app.command()
def rebuild(
    name: Annotated[str, typer.Argument(help="a projection, or `all`")],
    *,
    compare: Annotated[bool, typer.Option(help="keep the live one if a row differs")] = False,
) -> None:
    """Fold a read model again from zero, beside the live one, and put it in its place."""
    from workers.upkeep import rebuild as run

    differing = 0
    for found in _until_too_fast(run(entry.settings(), name, compare=compare)):
        differing += found.differing
        out.print(
            f"{found.name}: {found.rows} rows at position {found.position}, "
            f"{found.differing} differ"
            + (f" ({', '.join(found.examples)})" if found.examples else "")
            + (", switched" if found.swapped else ", live one kept"),
            highlight=False,
        )
    raise typer.Exit(1 if differing else 0)


def _until_too_fast(rebuilt: Iterator[Rebuilt]) -> Iterator[Rebuilt]:
    from projections.analytics_rebuild import LiveWriterTooFast

    try:
        yield from rebuilt
    except LiveWriterTooFast as error:
        _refuse(str(error), 1)


@app.command()
def park(
    release: Annotated[str | None, typer.Option(help="PROJECTION/KEY to fold again")] = None,
) -> None:
    """List what projections have set aside, or release one key after the fix."""
    from workers.upkeep import parked

    given = entry.settings()
    if release is not None:
        _release(given, release)
        return
    for one in parked(given):
        out.print(
            f"{one['projection']}/{one['key']}  position {one['position']}  {one['error']}",
            highlight=False,
            markup=False,
        )


def _release(given: Settings, name: str) -> None:
    from workers.upkeep import NotReleased
    from workers.upkeep import release as run

    projection, slash, key = name.partition("/")
    if not slash or not key:
        raise typer.BadParameter("--release takes PROJECTION/KEY, as `ledger park` lists them")
    try:
        run(given, projection, key)
    except NotReleased as error:
        _refuse(str(error), 1)
    err.print("released")


def _root(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise typer.BadParameter("must be 64 hexadecimal digits, as `ledger verify` prints them")
    return text and text.lower()


@app.command()
def verify(
    position: Annotated[
        int | None, typer.Option(min=0, help="only so far; the whole ledger when absent")
    ] = None,
    root: Annotated[
        str | None, typer.Option(callback=_root, help="must be the root there: 64 hex digits")
    ] = None,
) -> None:
    """Check the ledger: no gap in positions and versions, its Merkle root, and a root of before."""
    from workers.inspection import PROBLEMS_MAX, NotThere
    from workers.inspection import verify as run

    given = entry.settings()
    try:
        with err.status("Reading …") as status:
            verdict = run(
                given, lambda n, all_: status.update(f"{n:,} of {all_:,} events"), position
            )
    except NotThere as error:
        _refuse(str(error), 1)
    out.print(f"events {verdict.head}\nroot {verdict.root}", highlight=False)
    for problem in verdict.problems[:PROBLEMS_MAX]:
        err.print(problem, style="red", markup=False)
    if verdict.problems:
        err.print(f"[red]{len(verdict.problems)} problems[/]")
        raise typer.Exit(1)
    if root not in {None, verdict.root}:
        _refuse(f"the root at position {verdict.head} differs: {root} was given", 1)
    err.print("[green]positions and versions have no gap[/]")


@app.command()
def replay(order: Annotated[str, typer.Argument(help="UUID or number")]) -> None:
    """Print an order's events, as recorded, one JSON object a line."""
    from workers.inspection import order_events

    events = order_events(entry.settings(), order)
    if not events:
        _refuse(f"no order {order}", 1)
    for event in events:
        _print(event)


@app.command()
def feed(
    after: Annotated[int, typer.Option(min=0, help="the last position seen")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="so many events at most")] = FEED_EVENTS_MAX,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as events come")] = False,
) -> None:
    """Print events in order, as recorded, one JSON object a line."""
    from workers.inspection import feed as read

    given = entry.settings()
    while True:
        events = read(given, after, min(limit, FEED_EVENTS_MAX))
        for event in events:
            _print(event)
        after = events[-1]["position"] if events else after
        limit -= 0 if follow else len(events)
        if not follow and (not events or limit <= 0):
            return
        if not events:
            time.sleep(FOLLOW_SECONDS)


def _print(event: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(event, option=orjson.OPT_UTC_Z).decode() + "\n")
