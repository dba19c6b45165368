"""``oncoresist markers``: look into the catalogue, take it elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from pipelines.commands.console import OUT, say, user_errors

if TYPE_CHECKING:
    from features.catalogue import Catalogue

__all__ = ["markers_app"]

markers_app = typer.Typer(
    name="markers",
    help="The catalogue: mechanisms and markers of the reviews, with their sources.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Setting = Literal["ici", "adc", "hcc", "sclc"]
Grade = Literal["review", "class", "field"]
OwnCatalogue = Annotated[
    Path | None,
    typer.Option("--catalogue", help="A catalogue file of your own, added to the packaged one."),
]
SettingOption = Annotated[
    Setting | None, typer.Option(help="Only the markers of this therapy setting.")
]


@markers_app.command("list")
def list_markers(
    setting: SettingOption = None,
    mechanism: Annotated[
        str | None, typer.Option("--class", help="Only the markers of this mechanism class.")
    ] = None,
    grade: Annotated[
        Grade | None, typer.Option(help="Only the markers of this evidence grade.")
    ] = None,
    catalogue: OwnCatalogue = None,
) -> None:
    """List the markers: id, mechanism class, how scored, sign, evidence, genes."""
    with user_errors():
        from pipelines.reports.markers import marker_rows, require_mechanism

        found = _catalogue(catalogue)
        require_mechanism(found, mechanism)
        rows = marker_rows(found, setting=setting, mechanism=mechanism, grade=grade)
    if not OUT.is_terminal:  # a pipe gets every column whole
        say("\t".join(["id", "class", "score", "sign", "evidence", "genes"]))
        for row in rows:
            say("\t".join(row))
        return
    table = Table("id", "class", "score", "sign", "evidence", "genes")
    for row in rows:
        table.add_row(*row)
    table.caption = f"{len(rows)} markers of {len(found.markers)}; catalogue {found.version}"
    OUT.print(table)


@markers_app.command("show")
def show_marker(
    marker_id: Annotated[str, typer.Argument(metavar="ID", help="Marker id, as list gives it.")],
    catalogue: OwnCatalogue = None,
) -> None:
    """Show one marker: genes, signs, sources, what the reviews discuss against it."""
    with user_errors():
        from pipelines.reports.markers import marker_page

        page = marker_page(_catalogue(catalogue), marker_id)
    say(page)


@markers_app.command("export")
def export_markers(
    form: Annotated[
        Literal["yaml", "gmt", "network"],
        typer.Option("--format", help="YAML, GMT gene sets, or decoupler's network table (CSV)."),
    ] = "yaml",
    setting: SettingOption = None,
    output: Annotated[Path | None, typer.Option(help="File to write; else printed.")] = None,
    catalogue: OwnCatalogue = None,
) -> None:
    """Write the markers as YAML, GMT or a network table."""
    with user_errors():
        from features.catalogue_export import catalogue_yaml, gmt, network
        from pipelines.files import require_folder, write_text

        found = _catalogue(catalogue)
        if form == "yaml":
            text = catalogue_yaml(found, setting=setting)
        elif form == "gmt":
            text = gmt(found, setting=setting)
        else:
            text = network(found, setting=setting).to_csv(index=False)
        if output is not None:
            require_folder(output.parent)
            write_text(text, output)
    if output is None:
        typer.echo(text, nl=False)
    else:
        say(f"{output} written ({form}, catalogue {found.version})")


def _catalogue(own: Path | None) -> "Catalogue":
    from features.catalogue import default_catalogue, load_catalogue

    return default_catalogue() if own is None else load_catalogue(own)
