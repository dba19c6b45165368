"""Reports in a training run: a page for each cohort held out, and for each cohort scored."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.conformal import set_names
from models.explanation import Attributions
from models.gene_reference import GeneReference
from models.resistance_model import ResistanceModel
from models.shift import COMPONENTS
from models.sufficiency import read_sufficiency
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort
from pipelines.report import render_report
from pipelines.reports.build import build_report
from pipelines.runs.artifacts import log_text
from pipelines.scoring.calls import make_calls
from pipelines.scoring.scored_cohort import PREDICTION_COLUMNS, ScoredCohort
from pipelines.tracking import LoadedModel
from pipelines.validation.shift import HELD_OUT
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["held_out_cohort", "log_held_out_reports", "log_scored_report"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def log_held_out_reports(
    validation: Validation,
    dataset: Dataset,
    *,
    ingested: Sequence[IngestedCohort],
    shift: pd.DataFrame,
    model: ResistanceModel,
    model_name: str,
) -> None:
    """Log ``reports/<cohort>.html`` of every cohort held out into the active run.

    Predictions and reasons are those of the models that had not seen the cohort, cohort-relative;
    its genes are held against the samples of the other cohorts. Nothing is logged where the
    predictions were not explained.

    Parameters
    ----------
    validation
        The cohort-relative one.
    dataset
        All samples that took part.
    ingested
        The cohorts as they were read.
    shift
        From :func:`pipelines.validation.shift.held_out_shift`.
    model
        The final model: its catalogue, setting and figures.
    model_name
        What it is registered as.
    """
    attributions = validation.main.attributions
    if attributions is None:
        return
    ranks = dataset.gene_ranks()
    everyone = dataset.samples["cohort"]
    for number, cohort in enumerate(ingested, start=1):
        if cohort.name not in set(validation.samples["cohort"]):
            continue
        own = (everyone == cohort.name).to_numpy()
        scored = held_out_cohort(
            validation,
            dataset,
            cohort,
            shift=shift,
            model=model,
            attributions=attributions,
            model_uri=f"{model_name}, trained without {cohort.name}",
            ranks=ranks[own],
        )
        reference = GeneReference.learn(ranks[~own], cohorts=everyone[~own])
        loaded = LoadedModel(model, str(scored.predictions["model_uri"].iloc[0]), None)
        data = build_report(scored, loaded, kind="held_out", reference=reference)
        log_text(render_report(data), f"reports/{_file_name(cohort.name, number)}.html")


def log_scored_report(scored: ScoredCohort, loaded: LoadedModel) -> None:
    """Log ``report.html`` of a scored cohort (``report_reference.html``) into the active run."""
    page = render_report(build_report(scored, loaded))
    log_text(page, f"report{ARM_SUFFIX[scored.standardisation]}.html")


def held_out_cohort(
    validation: Validation,
    dataset: Dataset,
    cohort: IngestedCohort,
    *,
    shift: pd.DataFrame,
    model: ResistanceModel,
    attributions: Attributions,
    model_uri: str,
    ranks: pd.DataFrame,
) -> ScoredCohort:
    """Return a cohort as the models scored it that had not seen it.

    Calls follow the rule of :func:`pipelines.scoring.calls.make_calls`, from the out-of-cohort
    prediction sets and the shift measured against the other cohorts; they are made whatever the
    verdict on the model's data, to be held against the responses. ``attributions`` explain the
    predictions; ``ranks`` are the cohort's own rows of
    :meth:`pipelines.dataset.Dataset.gene_ranks`. The others as in :func:`log_held_out_reports`.
    """
    everyone = dataset.samples
    own = everyone.index[everyone["cohort"] == cohort.name]
    # Folds within a cohort leave its unlabelled samples out.
    predicted = own.isin(validation.main.predictions.index)
    rows, adata = own[predicted], dataset.cohorts[cohort.name][predicted].copy()
    ids = everyone.loc[rows, "sample_id"].astype(str)
    found = validation.main.predictions.loc[rows]
    measured = _held_out_shift(shift, cohort.name, rows)
    transformer = dataset.transformer(list(dataset.cohorts))
    genes = transformer.gene_report(adata)
    methods = validation.main.folds.set_index("split")["calibration"]
    predictions = pd.DataFrame(
        {
            "sample_id": ids,
            "patient_id": found["patient_id"].astype(str),
            "cohort": cohort.name,
            "probability": found["probability"],
            "calibration_method": found["split"].map(methods),
            "prediction_set": set_names(found[["in_responsive", "in_resistant"]]),
            "score_kind": transformer.score_kind,
            "standardisation": validation.learner.standardisation,
            "gene_coverage": transformer.gene_coverage(adata).to_numpy(),
            "shift_score": measured["shift_score"],
            "model_uri": model_uri,
            "model_version": pd.Series(None, index=rows, dtype="string"),
        },
        index=rows,
    )
    coverage = model.arm(validation.learner.standardisation).sets.coverage
    calls = make_calls(predictions, measured["reason"], coverage=coverage, doubts=())
    reasons = _by_sample(attributions, ids)
    mechanisms = model.catalogue.mechanisms
    leading = reasons.leading_mechanisms(mechanisms).set_axis(rows, axis=0)
    return ScoredCohort(
        IngestedCohort(adata, cohort.report, cohort.files),
        predictions.join(calls).join(leading)[list(PREDICTION_COLUMNS)].reset_index(drop=True),
        reasons,
        reasons.by_mechanism(mechanisms),
        dataset.features(list(dataset.cohorts)).loc[rows].set_axis(ids, axis=0),
        measured.set_axis(ids, axis=0),
        pd.DataFrame(),
        float(found["prior"].iloc[0]),
        (),
        False,
        transformer.background_coverage(adata),
        genes,
        ranks.loc[rows, list(genes.found_as)].set_axis(ids, axis=0),
        sufficiency=read_sufficiency(model.facts).get(validation.learner.standardisation),
    )


def _held_out_shift(shift: pd.DataFrame, cohort: str, rows: pd.Index) -> pd.DataFrame:
    """Return the shift of a cohort's samples by a detector that never saw it; NaN if there is none.

    Samples without a shift score keep their call; the reason is then empty.
    """
    own = shift[(shift["set"] == HELD_OUT) & (shift["cohort"] == cohort)].set_index("sample")
    table = own.reindex(rows, columns=["shift_score", "reason", *COMPONENTS])
    numbers = [name for name in table if name != "reason"]
    return table.assign(reason=table["reason"].fillna("")).astype(
        dict.fromkeys(numbers, np.float64)
    )


def _by_sample(attributions: Attributions, ids: "pd.Series[str]") -> Attributions:
    """Return the attributions of a cohort's samples, under their own ids."""
    own = attributions.of(ids.index)
    names = pd.Index(ids, name=None)
    return Attributions(
        own.values.set_axis(names, axis=0),
        own.base_value.set_axis(names),
        own.features.set_axis(names, axis=0),
    )


def _file_name(cohort: str, number: int) -> str:
    """Return a cohort's name, or where it holds other than letters and digits, a safe one."""
    safe = _UNSAFE.sub("-", cohort).strip(".-")[:80]
    return cohort if safe == cohort else f"{number}-{safe}".rstrip("-")
