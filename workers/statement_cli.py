"""`ledger statement` and `ledger period`: bring bank statements in, match them, close months."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args

import typer
from rich.console import Console

from workers import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from domain.matching import Plan
    from domain.period import TotalBody
    from workers.statements import Compared

LISTED_MAX = 50
LINES_SHOWN_MAX = 200
CANDIDATES_MAX = 3  # shown of a line

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

statement = typer.Typer(no_args_is_help=True, help="Statements of banks and payment providers.")
period = typer.Typer(no_args_is_help=True, help="The months of a shop.")

Shop = Annotated[str, typer.Option(help="whose money")]
Actor = Annotated[str, typer.Option(help="who does it: an opaque id")]
Zone = Annotated[str, typer.Option(help="IANA zone of bare dates, and of a shop's month")]
Digest = Annotated[str, typer.Argument(help="id of a statement, or how it begins")]

DEFAULT_ZONE = "Asia/Shanghai"


def _refuse(line: str) -> NoReturn:
    err.print(line, style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def _told(work: Callable[[], Any]) -> Any:
    """What `work` answers; what a rule or a file refuses becomes a line."""
    from pydantic import ValidationError

    from commands.statement_files import Unusable
    from domain.message import Rejected

    try:
        return work()
    except (Rejected, Unusable) as refusal:
        _refuse(str(refusal))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        _refuse(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


@statement.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    layout: Annotated[str, typer.Option(help="csv, camt053, alipay, wechat or stripe")],
    mapping: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON, for csv")
    ] = None,
    shop: Shop = "main",
    zone: Zone = DEFAULT_ZONE,
    actor: Actor = "cli",
    *,
    accept_unreadable: Annotated[
        bool, typer.Option(help="leave out rows that cannot be read")
    ] = False,
) -> None:
    """Import a file, once. Rows that cannot be read are named, and nothing comes in."""
    from domain.statement_commands import Layout
    from workers.statements import NotImported, import_file

    if layout not in get_args(Layout):
        raise typer.BadParameter(f"--layout is one of {', '.join(get_args(Layout))}")
    given = entry.settings()
    try:
        found = _told(
            lambda: import_file(
                given,
                file,
                layout,  # type: ignore[arg-type]
                mapping=mapping,
                shop=shop,
                zone=zone,
                accept_unreadable=accept_unreadable,
                actor=actor,
            )
        )
    except NotImported as refused:
        for place in refused.unreadable:
            err.print(str(place), style="yellow", markup=False, highlight=False)
        _refuse(f"{refused}: nothing came in; --accept-unreadable leaves them out")
    for place in found.file.unreadable:
        err.print(f"left out: {place}", style="yellow", markup=False, highlight=False)
    word = "was imported before" if found.known else "imported"
    out.print(
        f"{found.body['statement_id']} {word}: {found.body['lines']} lines, "
        f"{found.body['matched_lines']} matched",
        highlight=False,
    )


@statement.command()
def show(
    statement_id: Annotated[str | None, typer.Argument(help="its id, or how it begins")] = None,
) -> None:
    """List statements; or show what of one is open, and what it may belong to."""
    from workers import statements

    given = entry.settings()
    if statement_id is None:
        for one in statements.listed(given, LISTED_MAX):
            out.print(
                f"{one['statement_id']}  {one['layout']}  {one['lines']} lines  {one['status']}  "
                f"{one['file_name']}",
                highlight=False,
                markup=False,
            )
        return
    found, plan = _told(lambda: statements.suggestions(given, _whole(statement_id)))
    _show(found, plan)


def _show(found: Compared, plan: Plan) -> None:
    from domain.statement import shown

    one = found.statement
    states = ", ".join(f"{count} {state}" for state, count in sorted(one["states"].items()))
    out.print(f"{one['file_name']} ({one['layout']}, {one['status']}): {states}", markup=False)
    certain = {line: [match] for match in plan.matches for line in match.lines}
    kinds = {row["line_no"]: row["kind"] for row in found.sides.lines}
    for line in sorted(found.entries[0], key=lambda each: each.key)[:LINES_SHOWN_MAX]:
        amount = shown(line.amount_minor, line.currency)
        out.print(
            f"{line.key.line_no}  {line.on}  {amount}  {kinds[line.key.line_no]}",
            highlight=False,
            markup=False,
        )
        for best in (certain.get(line.key) or plan.suggestions.get(line.key, []))[:CANDIDATES_MAX]:
            names = ", ".join(key.stream_key for key in best.movements)
            line_told = f"{best.score.points:>6}  {names}: {'; '.join(best.score.reasons)}"
            out.print(line_told, highlight=False, markup=False)


def _whole(beginning: str) -> str:
    """The id of the one statement that begins so."""
    from workers import statements

    if len(beginning) == 64:
        return beginning
    ids = [one["statement_id"] for one in statements.listed(entry.settings(), 10_000)]
    found = [one for one in ids if one.startswith(beginning)]
    if len(found) != 1:
        _refuse(f"{len(found)} statements begin with {beginning}")
    return str(found[0])


@statement.command("match")
def match_(
    statement_id: Digest,
    line: Annotated[list[int] | None, typer.Option(help="a line; repeatable")] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="capture/ORDER/ID, refund/ORDER/ID, … or payout/STATEMENT/BATCH"),
    ] = None,
    actor: Actor = "cli",
) -> None:
    """Match by the rules what is beyond doubt; or the lines and the money that you name."""
    from workers import statements

    given, whole = entry.settings(), _whole(statement_id)
    if bool(line) != bool(to):
        raise typer.BadParameter("--line and --to belong together")
    if line and to:
        outcome = _told(lambda: _match(given, whole, line, to, actor))
        out.print(f"matched as {outcome.body['match_id']}", highlight=False)
        return
    found = _told(lambda: statements.match_by_rules(given, whole, actor))
    out.print(f"{found.matched} matched, {found.suggested} lines to choose for", highlight=False)
    for refusal in found.refused:
        err.print(str(refusal), style="yellow", markup=False, highlight=False)
    if found.cut:
        err.print("more than can be compared at once: run it again", style="yellow")


def _match(given: Any, statement_id: str, lines: list[int], to: list[str], actor: str) -> Any:
    from datetime import UTC, datetime
    from uuid import uuid4

    from domain.statement_commands import LinePartBody, MatchLines
    from workers import statements

    command = MatchLines(
        statement_id=statement_id,
        match_id=str(uuid4()),
        lines=[LinePartBody(line_no=number) for number in lines],
        movements=[_movement(given, text) for text in to],
        at=datetime.now(UTC),
    )
    return statements.send(given, [command], actor)[0]


def _movement(given: Any, text: str) -> Any:
    from uuid import UUID

    from domain.statement_commands import MovementPartBody
    from domain.statement_facts import MovementKind
    from workers import statements

    kind, _, rest = text.partition("/")
    owner, _, name = rest.partition("/")
    if kind not in get_args(MovementKind) or not owner or not name:
        kinds = ", ".join(get_args(MovementKind))
        raise typer.BadParameter(f"--to takes KIND/ORDER/ID or payout/STATEMENT/BATCH: {kinds}")
    if kind == "payout":
        return MovementPartBody(kind="payout", owner=_whole(owner), id=name)
    try:
        order_id = str(UUID(statements.order_id_of(given, owner)))
    except ValueError:
        _refuse(f"no order {owner}")
    return MovementPartBody.model_validate({"kind": kind, "owner": order_id, "id": name})


@statement.command()
def unmatch(
    statement_id: Digest,
    match_id: Annotated[str, typer.Argument(help="id of the match")],
    reason: Annotated[str, typer.Option(help="why it was wrong")],
    actor: Actor = "cli",
) -> None:
    """Undo a match; no rule makes it again."""
    from datetime import UTC, datetime

    from domain.statement_commands import UnmatchLines
    from workers import statements

    whole = _whole(statement_id)

    def undo() -> Any:
        command = UnmatchLines(
            statement_id=whole, match_id=match_id, reason=reason, at=datetime.now(UTC)
        )
        return statements.send(entry.settings(), [command], actor)

    _told(undo)
    out.print("unmatched")


Month = Annotated[str, typer.Argument(help="2026-03")]


@period.command()
def close(
    month: Month, shop: Shop = "main", zone: Zone = DEFAULT_ZONE, actor: Actor = "cli"
) -> None:
    """Close a month for good, with its totals. What comes late goes into the next."""
    from workers import periods

    given = entry.settings()
    outcome = _told(lambda: periods.close(given, shop, month, zone, actor))
    out.print(f"{month} of {shop} is {outcome.body['status']}", highlight=False)


@period.command()
def check(month: Month, shop: Shop = "main") -> None:
    """Sum the events again and compare them with what the closed month states."""
    from workers import periods

    totals, same = _told(lambda: periods.check(entry.settings(), shop, month))
    for one in totals:
        late = "" if one.month == month else f" (late, of {one.month})"
        sums = ", ".join(_sums_told(one))
        out.print(f"{one.currency} {one.method}{late}: {sums}", highlight=False, markup=False)
    if not same:
        _refuse(f"{month} of {shop} is not closed with these totals")
    out.print("equal to what was stated")


def _sums_told(total: TotalBody) -> Iterator[str]:
    """All that a closed month states of one currency and method, also what is 0, and the rest."""
    from domain.period import SUMMED, kept_minor
    from domain.statement import shown

    sums = {name: getattr(total, name) for name in SUMMED}
    for name, value in {**sums, "kept_minor": kept_minor(sums)}.items():
        words = name.removesuffix("_minor").replace("_", " ")
        is_money = name.endswith("_minor")
        yield f"{words} {shown(value, total.currency)}" if is_money else f"{value} {words}"
