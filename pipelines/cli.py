"""The command line. Heavy imports stand inside the commands, so that --help is quick."""

import logging
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from pipelines.commands.console import ERROR, OUT, say, stages, user_errors, warn
from pipelines.commands.evaluate import drift, evaluate
from pipelines.commands.markers import markers_app
from pipelines.commands.models import models_app
from pipelines.commands.options import (
    CHAMPION,
    Clinical,
    Cohort,
    Expression,
    File,
    Model,
    Name,
    Output,
    Standardise,
    read_model_and_cohort,
)

if TYPE_CHECKING:
    from pipelines.runs.log import TrainingResult

__all__ = ["app", "main"]

app = typer.Typer(
    name="oncoresist",
    help="Does a tumour resist a therapy, by which mechanism, how sure is that? Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(markers_app, name="markers")
app.add_typer(models_app, name="models")

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting, a.b=value; may repeat.")
]


def main() -> None:
    """Run the command line; what the user can mend ends in one message and exit 2."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    app()


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="Experiment, conf/experiments/*.yaml.")],
    overrides: Overrides = None,
) -> None:
    """Train, validate, explain, track and register a model."""
    with user_errors():
        from pipelines.config import load_experiment
        from pipelines.train import train as run_training

        config = load_experiment(experiment, overrides=overrides or [])
        with stages() as progress:
            result = run_training(config, config_file=experiment, progress=progress)
        _print_training(result)


@app.command()
def score(
    file: File = None,
    model: Model = CHAMPION,
    expression: Expression = None,
    clinical: Clinical = None,
    cohort: Cohort = None,
    name: Name = None,
    output: Output = Path("scored"),
    standardisation: Standardise = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Score a cohort with too few genes; it gets no calls.")
    ] = False,
    call_anyway: Annotated[
        bool,
        typer.Option("--call-anyway", help="Call samples though the model's data do not suffice."),
    ] = False,
    cells: Annotated[
        bool,
        typer.Option(help="Of single cells: write cells.parquet and a copy of the file with them."),
    ] = True,
) -> None:
    """Score a cohort: predictions, attributions and a report; single cells as bulk."""
    with user_errors():
        from pipelines.cells.outputs import write_cells
        from pipelines.files import require_folder
        from pipelines.report import write_scored
        from pipelines.score import score_cohort
        from pipelines.scoring.subtypes import subtype_words

        require_folder(output)
        loaded, ingested, _ = read_model_and_cohort(
            file, model=model, expression=expression, clinical=clinical, cohort=cohort, name=name
        )
        scored = score_cohort(
            loaded.model,
            ingested,
            standardisation=standardisation,
            uri=loaded.uri,
            version=loaded.version,
            force=force,
            call_anyway=call_anyway,
        )
        # The cells first: what can fail there leaves no predictions that look whole.
        written = write_cells(scored, loaded, output) if cells else []
        write_scored(scored, loaded, output)
    if scored.data_warning is not None:
        warn(scored.data_warning)
    elif scored.sufficiency is not None:
        say(f"what the model's data can bear: {scored.sufficiency.sentence()}")
    for note in (*loaded.notes, *scored.notes):
        ERROR.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    calls = scored.predictions["call"].value_counts()
    counted = ", ".join(f"{count} {call}" for call, count in calls.items())
    OUT.print(
        f"{len(scored.predictions)} samples scored, "
        f"{scored.predictions['standardisation'].iloc[0]}-relative: {counted}"
    )
    declined = scored.predictions.loc[scored.predictions["call"] == "out_of_scope", "call_reason"]
    for reason in declined.unique()[:3]:
        OUT.print(f"out of scope: {reason}", highlight=False, soft_wrap=True, markup=False)
    tables = ["predictions.csv", "attributions.parquet", "mechanisms.csv", "genes.parquet"]
    if not scored.subtypes.empty:
        say(f"subtypes: {subtype_words(scored.subtypes)}")
        tables.append("subtypes.csv")
    for name in (*tables, "gene_report.csv", "drift.csv", "shift.csv", "report.html", "patients"):
        say(f"  {output / name}")
    for path in written:
        say(f"  {path}")


app.command()(evaluate)
app.command()(drift)


@app.command()
def report(
    source: Annotated[
        str,
        typer.Argument(
            help="Run id that `train` printed or models:/oncoresist-ici@champion; or a folder of "
            "`score` (or its predictions.parquet)."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Of a run: Markdown page, its figures go into images/NAME beside it "
            "(docs/validation.md). Of a folder: where report.html and patients/ go (that folder)."
        ),
    ] = None,
) -> None:
    """Write a run's validation as a page, or a scored cohort's report again, from what it left.

    Neither needs expression data; that of a scored cohort needs no store either.
    """
    with user_errors():
        from pipelines.reports.data import find_report

        folder = find_report(Path(source))
        if folder is not None:
            _rebuild_report(folder, output or folder)
        else:
            _write_validation(source, output or Path("docs/validation.md"))


def _rebuild_report(folder: Path, output: Path) -> None:
    from pipelines.files import require_folder
    from pipelines.report import write_report
    from pipelines.reports.data import read_report

    require_folder(output)
    data = read_report(folder)
    patients = write_report(data, output)
    say(f"cohort '{data.facts.cohort}': {output / 'report.html'}, {patients} patients beside it")


def _write_validation(run: str, output: Path) -> None:
    from pipelines.config import project_folder, tracking_uri
    from pipelines.files import require_folder
    from pipelines.reports.validation import read_run, write_validation_page
    from pipelines.tracking import default_store, open_store

    require_folder(output.parent)
    open_store(default_store(project_folder(), uri=tracking_uri()))
    written = write_validation_page(read_run(run), output)
    say(
        f"validation of run {run}: {output} and {len(written) - 1} figures in "
        f"{output.parent / 'images' / output.stem}"
    )


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Expression (CSV, TSV, gz or h5ad) or cohort YAML.")],
    clinical: Clinical = None,
    setting: Annotated[
        Literal["ici", "adc", "hcc", "sclc", "all"],
        typer.Option(help="Whose features the gene report is of."),
    ] = "all",
    genes: Annotated[
        Path | None, typer.Option(help="Write the gene report, a row per feature, to this CSV.")
    ] = None,
) -> None:
    """Read a cohort and say what was found; exit 2 with every fault if it cannot be used."""
    with user_errors():
        from features.cohort import cohort_facts, is_gene_scaled_cohort
        from features.transformer import MarkerFeatures
        from pipelines.files import require_folder, write_table
        from pipelines.named_cohort import ingest_named

        if genes is not None:
            require_folder(genes.parent)
        if file.suffix in (".yaml", ".yml"):
            cohort = ingest_named(None, expression=None, clinical=clinical, cohort=file)
        else:
            cohort = ingest_named(None, expression=file, clinical=clinical, cohort=None)
        adata = cohort.adata
        features = MarkerFeatures(
            setting=None if setting == "all" else setting,
            score_kind="mean_z" if is_gene_scaled_cohort(adata) else "rank",
        )
        report = features.fit(adata).gene_report(adata)
        if genes is not None:
            write_table(report.features.reset_index(), genes)
    labels = adata.obs["resistant"]
    made_of = "" if cohort.cells is None else f", of {len(cohort.cells.samples):,} single cells"
    OUT.print(f"cohort '{cohort.name}': {adata.n_obs} samples × {adata.n_vars} genes{made_of}")
    OUT.print(
        f"labels: {int((labels == 1).sum())} resistant, {int((labels == 0).sum())} responsive, "
        f"{int(labels.isna().sum())} without"
    )
    say(f"gene identifiers: {cohort_facts(adata)['gene_id_type']}")
    say(f"gene coverage ({setting}): {report.sentence()}")
    if report.missing and report.grade == "too little":
        say(f"missing genes: {' '.join(report.missing)}")
    if report.unscored:
        say(f"features not scored: {', '.join(report.unscored)}")
    for therapy in features.therapies(adata).values():
        if therapy.note and features.knows_drugs:
            say(f"- {therapy.note}")
    for note in cohort.report.notes:
        say(f"- {note}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the simulated cohorts.")] = Path("demo"),
) -> None:
    """Simulate cohorts with known truth, train, score a fourth, check what was found."""
    with user_errors():
        from pipelines.demo import run_demo
        from pipelines.files import require_folder

        require_folder(output)
        with stages() as progress:
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
    OUT.print(table)
    places = {
        "simulated cohorts": result.folder,
        "predictions": result.scored / "predictions.csv",
        "report": result.scored / "report.html",
        "MLflow UI": "uv run oncoresist ui   (then http://127.0.0.1:5000)",
    }
    for what, where in places.items():
        OUT.print(f"{what:18} {where}", highlight=False, soft_wrap=True, markup=False)
    if any(finding.passed is False for finding in result.findings):
        ERROR.print("error: the demo did not find what was planted", style="red")
        raise typer.Exit(1)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Serve the MLflow UI of the store in use, on this machine only."""
    with user_errors():
        from pipelines.config import project_folder, tracking_uri
        from pipelines.serve import serve_ui
        from pipelines.tracking import default_store

        def begin(address: str) -> None:
            say(
                f"MLflow UI at {address} (Ctrl+C ends it); choose 'Model training' top left to see "
                "experiments, runs and models"
            )

        store = default_store(project_folder(), uri=tracking_uri())
        sys.exit(serve_ui(store, port=port, begin=begin))


def _print_training(result: "TrainingResult") -> None:
    from pipelines.validation.headline import (
        HELD_OUT_WORDS,
        headline_rows,
        main_scheme,
        verdict,
    )

    what = HELD_OUT_WORDS[main_scheme(result.comparison["scheme"])]
    table = Table("predictor", "AUROC", "Brier", "ECE", "AUROC", "Brier", "ECE", title=what)
    table.caption = "left: cohort-relative, right: reference-relative; prior: the share alone"
    for row in headline_rows(result.comparison):
        table.add_row(*row)
    OUT.print(table)
    OUT.print(verdict(result.comparison), highlight=False)
    for found in result.sufficiency:
        say(f"what the data can bear: {found.sentence()}")
    version = f" version {result.model_version}" if result.model_version else ", not registered"
    OUT.print(
        f"run {result.run_id}, model {result.model_name}{version}\nstore {result.tracking_uri}",
        highlight=False,
        soft_wrap=True,
    )
    if result.decision is None:
        say(f"a demonstration, nothing registered: {result.demonstration}")
        return
    for line in result.decision.lines():
        say(line)
