"""``oncoresist evaluate`` and ``drift``: what a frozen model is worth on a new cohort."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.commands.console import ERROR, OUT, say, user_errors, warn
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
    from pipelines.evaluate import Evaluation

__all__ = ["drift", "evaluate"]

_SHOWN = (
    "AUROC",
    "Share resistant",
    "Brier score",
    "Brier skill against the base rate",
    "Calibration slope",
    "Calibration in the large",
    "Expected calibration error",
    "… of a perfectly calibrated model",
    "Coverage of the sets, resistant",
    "Coverage of the sets, responsive",
    "Called uncertain",
    "Called out of scope",
)
_LARGEST = 5


def evaluate(
    file: File = None,
    model: Model = CHAMPION,
    expression: Expression = None,
    clinical: Clinical = None,
    cohort: Cohort = None,
    name: Name = None,
    output: Output = Path("evaluated"),
    standardisation: Standardise = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Evaluate a cohort with too few genes.")
    ] = False,
    recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Move intercept and base rate to this cohort's; saves a model version.",
        ),
    ] = False,
    register: Annotated[
        str | None, typer.Option(help="Register the recalibrated model under another name.")
    ] = None,
) -> None:
    """Evaluate a frozen model on a labelled cohort: every figure with its interval."""
    with user_errors():
        from features.errors import ConfigError
        from pipelines.evaluate import evaluate_cohort, require_labels
        from pipelines.files import require_folder, write_text
        from pipelines.recalibrate import name_to_register, register_recalibrated
        from pipelines.reports.evaluation import render_evaluation
        from pipelines.score import score_cohort

        if register is not None and not recalibrate:
            raise ConfigError("--register goes with --recalibrate: nothing else is registered")
        require_folder(output)
        loaded, ingested, store = read_model_and_cohort(
            file, model=model, expression=expression, clinical=clinical, cohort=cohort, name=name
        )
        require_labels(ingested)
        target = name_to_register(loaded, asked=register) if recalibrate else None
        scored = score_cohort(
            loaded.model,
            ingested,
            standardisation=standardisation,
            uri=loaded.uri,
            version=loaded.version,
            force=force,
        )
        found = evaluate_cohort(loaded.model, scored, recalibrating=recalibrate)
        page = render_evaluation(found, loaded, registered=target)
        registered = None
        if found.recalibration is not None and target is not None:
            registered = register_recalibrated(
                found, found.recalibration, loaded, name=target, page=page, store=store
            )
        found.write(output)
        write_text(page, output / "evaluation.html")
    _print_evaluation(found, notes=loaded.notes)
    if registered is not None and found.recalibration is not None:
        say(
            f"recalibrated by {found.recalibration.delta:+.3f} in log-odds, base rate "
            f"{found.recalibration.base_rate:.3f} from {found.scored.threshold:.3f}; its figures "
            "above are cross-fitted. Ranking and prediction sets stay.\n"
            f"model {registered.uri} (no alias moved), run {registered.run_id}"
        )
    for written in (*found.tables(), "predictions"):
        say(f"  {output / written}.csv")
    say(f"  {output / 'evaluation.html'}")


def drift(
    file: File = None,
    model: Model = CHAMPION,
    expression: Expression = None,
    clinical: Clinical = None,
    cohort: Cohort = None,
    name: Name = None,
    output: Output = Path("drift"),
) -> None:
    """Compare a cohort with a model's training: features that drifted, samples out of scope."""
    with user_errors():
        from pipelines.drift import measure_drift
        from pipelines.files import require_folder

        require_folder(output)
        loaded, ingested, _ = read_model_and_cohort(
            file, model=model, expression=expression, clinical=clinical, cohort=cohort, name=name
        )
        found = measure_drift(loaded.model, ingested)
        found.write(output)
    say(
        f"cohort '{ingested.name}': {found.drifted} of {len(found.features)} features drifted "
        f"({found.beyond_training} further than training cohorts do from one another), "
        f"{found.out_of_scope} of {len(found.samples)} samples out of scope"
    )
    for row in found.features.head(_LARGEST).to_dict("records"):
        say(
            f"  {row['feature']}: {row['psi']:.2f} (noise up to {row['psi_bound']:.2f}, usual "
            f"between training cohorts {row['training_psi']:.2f}), {row['verdict']}"
        )
    for written in ("drift.csv", "shift.csv"):
        say(f"  {output / written}")


def _print_evaluation(found: "Evaluation", *, notes: Sequence[str] = ()) -> None:
    from pipelines.reports.evaluation import GROUP_NAMES, figure_rows

    for warning in found.warnings:
        warn(warning)
    for note in (*notes, *found.scored.notes):
        ERROR.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    labels = found.samples["resistant"].dropna()
    title = (
        f"{found.scored.cohort.name}, {found.samples['standardisation'].iloc[0]}-relative: "
        f"{len(labels)} labelled samples, {int(labels.sum())} resistant"
    )
    table = Table("figure", *(GROUP_NAMES[group] for group in found.groups), title=escape(title))
    for name, texts in figure_rows(found):
        if name in _SHOWN:
            table.add_row(name, *texts)
    base_rate = f"base rate: of {found.base_rate_of}"
    if found.recalibration is not None:
        base_rate += "; recalibrated: of this cohort, cross-fitted"
    table.caption = escape(f"95% intervals, patients resampled; {base_rate}")
    OUT.print(table)
