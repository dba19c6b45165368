"""The command line. Heavy imports stand inside the commands, so that --help is quick."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.config import CohortConfig
    from pipelines.ingest import IngestedCohort
    from pipelines.run_log import TrainingResult

__all__ = ["app", "main"]

app = typer.Typer(
    name="oncoresist",
    help="Does a tumour resist a therapy, by which mechanism, how sure is that? Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_OUT = Console()
_ERROR = Console(stderr=True)
USER_ERROR = 2
INTERRUPTED = 130

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting, a.b=value; may repeat.")
]
Clinical = Annotated[
    Path | None, typer.Option(help="Clinical table (CSV or TSV), a row per sample.")
]


def main() -> None:
    """Run the command line; what the user can mend ends in one message and exit 2."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    app()


@contextmanager
def _user_errors() -> Iterator[None]:
    from features.errors import OncoResistError

    try:
        yield
    except OncoResistError as error:
        _ERROR.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(USER_ERROR) from error
    except KeyboardInterrupt as error:
        _ERROR.print("interrupted: the champion is what it was before", style="yellow")
        raise typer.Exit(INTERRUPTED) from error


@contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """Show the stage under way: a spinner on a terminal, a line each where output is piped."""
    if not _OUT.is_terminal:
        yield lambda stage: _OUT.print(f"… {stage}", highlight=False)
        return
    with _OUT.status("starting") as status:
        yield lambda stage: status.update(stage)


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="Experiment, conf/experiments/*.yaml.")],
    overrides: Overrides = None,
) -> None:
    """Train, validate, explain, track and register a model."""
    with _user_errors():
        from pipelines.config import load_experiment
        from pipelines.train import train as run_training

        config = load_experiment(experiment, overrides=overrides or [])
        with _stages() as progress:
            result = run_training(config, config_file=experiment, progress=progress)
        _print_training(result)


@app.command()
def score(
    file: Annotated[Path | None, typer.Argument(help="Cohort as h5ad.")] = None,
    model: Annotated[
        str, typer.Option(help="Model URI, such as models:/oncoresist-ici@champion.")
    ] = "models:/oncoresist-ici@champion",
    expression: Annotated[Path | None, typer.Option(help="Expression (CSV or TSV, gz).")] = None,
    clinical: Clinical = None,
    cohort: Annotated[Path | None, typer.Option(help="Cohort YAML, conf/cohorts/x.yaml.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the cohort, where no YAML says it.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the outputs.")] = Path("scored"),
    standardisation: Annotated[
        Literal["auto", "cohort", "reference"],
        typer.Option(help="auto: cohort-relative from 15 samples on, else reference-relative."),
    ] = "auto",
) -> None:
    """Score a cohort: predictions, attributions and a report."""
    with _user_errors():
        from pipelines.config import project_folder, tracking_uri
        from pipelines.files import require_folder
        from pipelines.report import write_report
        from pipelines.score import score_cohort
        from pipelines.tracking import default_store, load_model, open_store

        require_folder(output)
        open_store(default_store(project_folder(cohort), uri=tracking_uri(cohort)))
        ingested = _ingest(file, expression=expression, clinical=clinical, cohort=cohort, name=name)
        loaded = load_model(model)
        scored = score_cohort(
            loaded.model,
            ingested,
            standardisation=standardisation,
            uri=loaded.uri,
            version=loaded.version,
        )
        scored.write(output)
        write_report(scored, loaded, output / "report.html")
    for note in scored.notes:
        _ERROR.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    calls = scored.predictions["call"].value_counts()
    counted = ", ".join(f"{count} {call}" for call, count in calls.items())
    _OUT.print(
        f"{len(scored.predictions)} samples scored, "
        f"{scored.predictions['standardisation'].iloc[0]}-relative: {counted}"
    )
    unsure = scored.predictions.loc[scored.predictions["call"] == "uncertain", "call_reason"]
    for reason in unsure.unique()[:3]:
        _OUT.print(f"uncertain: {reason}", highlight=False, soft_wrap=True, markup=False)
    for name in ("predictions.parquet", "predictions.csv", "attributions.parquet", "report.html"):
        _OUT.print(f"  {output / name}", highlight=False, soft_wrap=True, markup=False)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Expression (CSV, TSV, gz or h5ad) or cohort YAML.")],
    clinical: Clinical = None,
) -> None:
    """Read a cohort and say what was found; exit 2 with every fault if it cannot be used."""
    with _user_errors():
        from features.catalogue import default_catalogue

        if file.suffix in (".yaml", ".yml"):
            cohort = _ingest(None, expression=None, clinical=clinical, cohort=file)
        else:
            cohort = _ingest(None, expression=file, clinical=clinical, cohort=None)
    adata = cohort.adata
    labels = adata.obs["resistant"]
    _OUT.print(f"cohort '{cohort.name}': {adata.n_obs} samples × {adata.n_vars} genes")
    _OUT.print(
        f"labels: {int((labels == 1).sum())} resistant, {int((labels == 0).sum())} responsive, "
        f"{int(labels.isna().sum())} without"
    )
    genes = default_catalogue().gene_symbols
    found = sum(gene in adata.var_names for gene in genes)
    _OUT.print(f"catalogue genes in the file: {found} of {len(genes)} ({found / len(genes):.0%})")
    for note in cohort.report.notes:
        _OUT.print(f"- {note}", highlight=False, soft_wrap=True, markup=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the simulated cohorts.")] = Path("demo"),
) -> None:
    """Simulate cohorts with known truth, train, score a fourth, check what was found."""
    with _user_errors():
        from pipelines.demo import run_demo
        from pipelines.files import require_folder

        require_folder(output)
        with _stages() as progress:
            result = run_demo(output, progress=progress)
    _print_training(result.training)
    table = Table("planted in the simulation", "expected", "seen", "", title="Did SHAP find it?")
    for finding in result.findings:
        table.add_row(
            finding.what,
            finding.expected,
            finding.seen,
            {True: "ok", False: "NO", None: "told"}[finding.passed],
        )
    _OUT.print(table)
    places = {
        "simulated cohorts": result.folder,
        "predictions": result.scored / "predictions.csv",
        "report": result.scored / "report.html",
        "MLflow UI": "uv run oncoresist ui   (then http://127.0.0.1:5000)",
    }
    for what, where in places.items():
        _OUT.print(f"{what:18} {where}", highlight=False, soft_wrap=True, markup=False)
    if any(finding.passed is False for finding in result.findings):
        _ERROR.print("error: the demo did not find what was planted", style="red")
        raise typer.Exit(1)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Serve the MLflow UI of the store in use, on this machine only."""
    with _user_errors():
        from pipelines.config import project_folder, tracking_uri
        from pipelines.serve import serve_ui
        from pipelines.tracking import default_store

        _OUT.print(
            f"MLflow UI at http://127.0.0.1:{port} (Ctrl+C ends it); choose 'Model training' top "
            "left to see experiments, runs and models"
        )
        sys.exit(serve_ui(default_store(project_folder(), uri=tracking_uri()), port=port))


def _ingest(
    file: Path | None,
    *,
    expression: Path | None,
    clinical: Path | None,
    cohort: Path | None,
    name: str | None = None,
) -> "IngestedCohort":
    """Return the cohort named in one of the three ways."""
    from features.errors import ConfigError
    from pipelines.config import (
        configuration_folder,
        data_root,
        load_cohort,
    )
    from pipelines.ingest import ingest_cohort

    given = [name for name in (file, expression, cohort) if name is not None]
    if len(given) != 1:
        raise ConfigError(
            f"{len(given)} cohorts named; give one: an h5ad file, --expression FILE, or "
            "--cohort conf/cohorts/x.yaml"
        )
    if cohort is None:
        config = _ad_hoc(given[0].resolve(), clinical, name)
        return ingest_cohort(config, root=Path("/"), labels_required=False)
    if name is not None:
        raise ConfigError("--name goes with an expression file; a cohort YAML says its own name")
    config, path = load_cohort(str(cohort), conf=configuration_folder(cohort))
    if clinical is not None:
        config = config.model_copy(update={"clinical": str(clinical.resolve())})
    root = (path.parent / config.root).resolve() if config.root else data_root(path)
    return ingest_cohort(config, root=root, labels_required=False)


def _ad_hoc(expression: Path, clinical: Path | None, name: str | None) -> "CohortConfig":
    """Return the configuration of a cohort named on the command line alone."""
    import re

    from pipelines.config import CohortConfig

    stem = name or expression.name.split(".")[0]
    return CohortConfig(
        name=re.sub(r"[^A-Za-z0-9_.-]", "_", stem).lstrip("_.-") or "cohort",
        expression=str(expression),
        clinical=None if clinical is None else str(clinical.resolve()),
    )


def _print_training(result: "TrainingResult") -> None:
    from pipelines.validate import headline_rows, verdict

    table = Table(
        "predictor", "AUROC", "Brier", "ECE", "AUROC", "Brier", "ECE", title="Cohorts held out"
    )
    table.caption = "left: cohort-relative, right: reference-relative; prior: the share alone"
    for row in headline_rows(result.comparison):
        table.add_row(*row)
    _OUT.print(table)
    _OUT.print(verdict(result.comparison), highlight=False)
    _OUT.print(
        f"run {result.run_id}, model {result.model_name} version {result.model_version}\n"
        f"store {result.tracking_uri}",
        highlight=False,
        soft_wrap=True,
    )
