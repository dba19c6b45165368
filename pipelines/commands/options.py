"""What the commands that apply a frozen model to a cohort share: options, and reading both."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipelines.ingest import IngestedCohort
    from pipelines.tracking import LoadedModel, Store

__all__ = [
    "CHAMPION",
    "Clinical",
    "Cohort",
    "Expression",
    "File",
    "Model",
    "Name",
    "Output",
    "Standardise",
    "read_model_and_cohort",
]

CHAMPION = "models:/oncoresist-ici@champion"
File = Annotated[Path | None, typer.Argument(help="Cohort as h5ad.")]
Model = Annotated[str, typer.Option(help=f"Model URI, such as {CHAMPION}.")]
Expression = Annotated[Path | None, typer.Option(help="Expression (CSV or TSV, gz).")]
Clinical = Annotated[
    Path | None, typer.Option(help="Clinical table (CSV or TSV), a row per sample.")
]
Cohort = Annotated[Path | None, typer.Option(help="Cohort YAML, conf/cohorts/x.yaml.")]
Name = Annotated[str | None, typer.Option(help="Name of the cohort, where no YAML says it.")]
Output = Annotated[Path, typer.Option(help="Folder for the outputs.")]
Standardise = Annotated[
    Literal["auto", "cohort", "reference"],
    typer.Option(
        "--standardisation",
        help="auto: cohort-relative from 15 samples on, else reference-relative.",
    ),
]


def read_model_and_cohort(
    file: Path | None,
    *,
    model: str,
    expression: Path | None,
    clinical: Path | None,
    cohort: Path | None,
    name: str | None,
) -> "tuple[LoadedModel, IngestedCohort, Store]":
    """Return the model, the cohort read by its catalogue, and the store it came from.

    Raises
    ------
    OncoResistError
        Cohort, store or model cannot be had; what is wrong with the cohort is told first.
    """
    from features.errors import OncoResistError
    from pipelines.config import project_folder, tracking_uri
    from pipelines.named_cohort import ingest_named
    from pipelines.tracking import default_store, load_model, open_store

    store = default_store(project_folder(cohort), uri=tracking_uri(cohort))
    open_store(store)
    read = partial(
        ingest_named, file, expression=expression, clinical=clinical, cohort=cohort, name=name
    )
    try:
        loaded = load_model(model)
    except OncoResistError:
        read()
        raise
    frozen = loaded.model
    found = read(catalogue=frozen.catalogue, cell_features=frozen.cell_features)
    return loaded, found, store
