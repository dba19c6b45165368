"""``oncoresist models``: the registry. What there is, what it is worth, which one is in use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipelines.commands.console import ERROR, OUT, USER_ERROR, say, stages, user_errors

if TYPE_CHECKING:
    from pipelines.registry.standing import GateRecord

__all__ = ["models_app"]

models_app = typer.Typer(
    name="models",
    help="The registry: list, show and compare versions; promote one through the gate, or go back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="NAME/3, NAME@champion, or NAME (its champion).")
]
Alias = Annotated[str, typer.Option(help="The alias that moves.")]
_STATUS_STYLE = {"passed": "green", "failed": "red", "not run": "yellow"}


@models_app.command("list")
def list_models() -> None:
    """List every registered version: alias, when and on what it was trained, AUROC, verdict."""
    with user_errors():
        from pipelines.registry.pages import LIST_COLUMNS, list_rows

        _open_store()
        rows = list_rows()
    _print_rows("", LIST_COLUMNS, rows)


@models_app.command("show")
def show_model(model: Version) -> None:
    """Show a version: facts, figures, every check of the gate, how its alias came to it."""
    with user_errors():
        from pipelines.registry.pages import find_version, version_page

        _open_store()
        page = version_page(find_version(model))
    for name, value in page.facts.items():
        say(f"{name + ':':14}{value}")
    if page.figures:
        columns = ("figure", "cohort-relative", "reference-relative")
        _print_rows("On cohorts held out (95% intervals)", columns, page.figures)
    if page.gate is None:
        say("gate: not judged; oncoresist models promote judges it")
    else:
        _print_gate(page.gate)
    if page.history:
        moves = ("alias", "when (UTC)", "versions", "how", "by", "reason")
        _print_rows("How the alias came to it", moves, page.history)


@models_app.command("compare")
def compare_models(first: Version, second: Version) -> None:
    """Compare two versions: figures, paired differences on the same samples, what differs."""
    with user_errors():
        from pipelines.registry.compare import compare_versions
        from pipelines.registry.pages import find_version
        from pipelines.registry.version_record import store_errors

        _open_store()
        with store_errors():
            records = find_version(first), find_version(second)
            found = compare_versions(*records)
    names = [f"{record.name}/{record.version}" for record in records]
    figures = ("figure", "standardisation", *names)
    _print_rows("On cohorts held out (95% intervals)", figures, found.figures)
    if found.paired:
        paired = ("figure", "standardisation", "samples", f"{names[0]} minus {names[1]}")
        _print_rows("The same samples, paired (95% intervals)", paired, found.paired)
    for note in found.notes:
        say(note)
    _print_rows("Chosen candidates", ("standardisation", *names), found.chosen)
    if found.configuration:
        _print_rows("Settings that differ", ("setting", *names), found.configuration)
    else:
        say("settings: no difference")
    say("catalogue: " + ("; ".join(found.catalogue) or "no difference"))


@models_app.command("promote")
def promote_model(
    model: Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Such as demo/3.")],
    alias: Alias = "champion",
    force: Annotated[
        bool, typer.Option("--force", help="Promote even where checks fail; goes on record.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why it is forced; goes on record.")] = None,
) -> None:
    """Let the alias point to a version that the gate passes; exit 2 with every reason if not."""
    with user_errors():
        from features.errors import ConfigError
        from pipelines.config import gate_limits, project_folder
        from pipelines.registry.pages import find_version
        from pipelines.registry.promotion import check_alias, promote

        if force != bool(reason and reason.strip()):
            raise ConfigError("--force and --reason TEXT go together: what is forced says why")
        check_alias(alias)
        _open_store()
        record = find_version(model)
        with stages() as progress:
            decision = promote(
                record.name,
                record.version,
                alias=alias,
                limits=gate_limits(),
                project=project_folder(),
                reason=reason,
                progress=progress,
            )
    judged = ", ".join(decision.report.standardisations)
    lines = [f"{record.name}/{record.version}, judged {judged}-relative", *decision.lines()]
    if decision.outcome == "refused":
        for line in lines:
            ERROR.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(USER_ERROR)
    for line in lines:
        say(line)


@models_app.command("rollback")
def rollback_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Registered model.")],
    alias: Alias = "champion",
) -> None:
    """Let the alias point to the version that it pointed to before; again, to the one before."""
    with user_errors():
        from pipelines.registry.pages import find_version
        from pipelines.registry.promotion import check_alias, rollback

        check_alias(alias)
        _open_store()
        found = rollback(find_version(name).name, alias=alias)
    if found.gone:
        say(f"passed over, deleted since: version {', '.join(found.gone)}")
    say(f"{found.alias} of {found.name} is version {found.now} again, no longer {found.before}")


def _open_store() -> None:
    from pipelines.config import project_folder, tracking_uri
    from pipelines.tracking import default_store, open_store

    open_store(default_store(project_folder(), uri=tracking_uri()))


def _print_gate(record: "GateRecord") -> None:
    say(
        f"gate: {record.verdict}, {record.time}, by {record.by}, {record.code_version}; judged "
        f"{', '.join(record.standardisations)}-relative"
    )
    if record.reason:
        say(f"forced because: {record.reason}")
    columns = ("check", "what", "", "found", "limit")
    rows = [[c.group, c.what, c.status, c.value, c.limit] for c in record.checks]
    _print_rows("Checks", columns, rows, styled=2)


def _print_rows(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, styled: int | None = None
) -> None:
    """Print a table; a pipe gets every column whole, by tabs."""
    if not OUT.is_terminal:
        if title:
            say(f"\n{title}")
        say("\t".join(columns))
        for row in rows:
            say("\t".join(" ".join(cell.split()) for cell in row))
        return
    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        style = _STATUS_STYLE.get(row[styled], "") if styled is not None else ""
        table.add_row(
            *(Text(cell, style=style if at == styled else "") for at, cell in enumerate(row))
        )
    OUT.print(table)
