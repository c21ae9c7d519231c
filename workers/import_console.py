"""Shows an import on a terminal: how far it is, and at the end what came in and what did not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from commands.settings import Settings
from workers import importing, olist
from workers.importing import Summary, Tell
from workers.olist_files import NoOlist
from workers.trouble import of_system

KINDS_MAX = 30
PLACES_MAX = 20

console = Console(stderr=True)


def import_path(settings: Settings, path: Path) -> int:
    """Import a file of the neutral format; returns the exit code, 1 when a place was unreadable."""
    return _shown(lambda tell: importing.import_file(settings, path, tell))


def import_olist(settings: Settings, directory: Path) -> int:
    return _shown(lambda tell: olist.import_olist(settings, directory, tell))


def _shown(run: Callable[[Tell], Summary]) -> int:
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("reading", total=1.0)

            def tell(now: importing.Progress) -> None:
                text = f"{now.orders:,} orders, {now.events:,} events"
                bar.update(task, completed=now.share, description=text)

            summary = run(tell)
    except (OSError, NoOlist, importing.ImportFailed) as error:
        line = of_system(error) if isinstance(error, OSError) else str(error)
        console.print(line, style="red", markup=False, soft_wrap=True)
        return 1
    _report(summary)
    if summary.stopped:
        return 130
    return 1 if summary.unreadable_count else 0


def _report(summary: Summary) -> None:
    console.print(
        f"{summary.orders:,} orders came in with {summary.events:,} events in "
        f"{summary.seconds:.1f} s ({summary.events_per_second:,.0f} events/s); "
        f"{summary.known:,} were known already"
    )
    if summary.irregular:
        console.print(_irregular(summary))
    for place in summary.unreadable[:PLACES_MAX]:
        text = f"{place.file}:{place.line}: {place.reason}"
        console.print(text, style="yellow", markup=False)
    if summary.unreadable_count:
        console.print(f"[red]{summary.unreadable_count:,} could not be read and did not come in[/]")
    if summary.stopped:
        console.print("[yellow]Stopped. What came in is complete; run it again to go on.[/]")
    console.print(f"All irregular orders and unreadable places: {summary.report}", markup=False)


def _irregular(summary: Summary) -> Table:
    table = Table("irregular", "orders", "for example", box=None)
    kinds = sorted(summary.irregular.items(), key=lambda item: -item[1].count)
    for name, kind in kinds[:KINDS_MAX]:
        table.add_row(name, f"{kind.count:,}", ", ".join(kind.examples[:2]))
    return table
