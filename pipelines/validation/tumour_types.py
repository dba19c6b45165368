"""Tumour types apart: trained on all of them, without the type, or on the type alone."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from models.metrics import Estimate, evaluate_predictions
from models.splits import tumour_types
from models.tuning import Tuner
from models.type_splits import too_few_patients
from models.validation import predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.validation.validate import Validation, mean_of_repeats, scored_samples

__all__ = ["tumour_type_table", "with_tumour_types"]

Progress = Callable[[str], None]
_COLUMNS = [
    *("tumour_type", "training", "scheme", "n", "resistant", "cohorts"),
    *("auroc", "low", "high", "note"),
]
_UNKNOWN = Estimate(np.nan, np.nan, np.nan, np.nan)


def with_tumour_types(
    validation: Validation,
    *,
    config: ExperimentConfig,
    tuner: Tuner,
    progress: Progress = lambda stage: None,
) -> Validation:
    """Return the validation with predictions within each type (``per_type``) and their table.

    The table ``tumour_types`` is that of :func:`tumour_type_table`; with a single type there is
    nothing to tell apart, and the validation is returned as it was.

    Raises
    ------
    CohortError
        A patient stands on both sides of a split.
    """
    if tumour_types(validation.samples).nunique() < 2:
        return validation
    arm, splits = validation.learner.standardisation, validation.plan.schemes["per_type"]
    if splits:
        found = predict_out_of_fold(
            validation.learner,
            splits,
            tuner=tuner,
            scheme="per_type",
            progress=lambda stage: progress(f"{arm}-relative, per_type: {stage}"),
        )
        validation = replace(validation, per_type=found)
    table = tumour_type_table(
        validation, n_resamples=config.validation.n_resamples, seed=config.seed
    )
    return validation.with_tables({"tumour_types": table})


def tumour_type_table(validation: Validation, *, n_resamples: int, seed: int) -> pd.DataFrame:
    """Return how the samples of each tumour type are ranked, by what the models trained on.

    Parameters
    ----------
    validation
        Leave-one-cohort-out (``main``), leave-one-type-out and predictions within types.
    n_resamples, seed
        Of the bootstrap over patients within each cohort.

    Returns
    -------
    table
        ``tumour_type, training, scheme, n, resistant, cohorts, auroc, low, high, note``; three
        rows a type. ``training``: ``pooled`` (all other cohorts of any type, scheme ``loco``),
        ``leave_one_type_out`` (all other types, scheme ``tumour_type``) and ``per_type`` (the
        type alone: scheme ``loco`` where two of its cohorts have both classes, else ``nested``,
        repeated patient-grouped folds). ``auroc`` is the mean over the type's cohorts with both
        classes, of ``nested`` the mean over repeats; NaN where it cannot be told, and ``note``
        says why. ``n`` and ``resistant`` count labelled samples with a score, ``cohorts`` theirs.

    Notes
    -----
    Intervals stand for more patients of these cohorts and are not corrected for the number of
    types looked at. Of a type with a single cohort, ``pooled`` and ``leave_one_type_out`` are
    the same models, and ``per_type`` has it easier: its folds meet no strange cohort.
    """
    types = tumour_types(validation.samples)
    rows = []
    for name in sorted(set(types)):
        members = types.index[(types == name).to_numpy()]
        for training, scheme, frame, note in _trainings(validation, name, members):
            estimate = _auroc(frame, scheme, n_resamples=n_resamples, seed=seed)
            if len(frame) and np.isnan(estimate.value):
                note = "cannot be told: no cohort with both classes"
            rows.append(
                {
                    "tumour_type": name,
                    "training": training,
                    "scheme": scheme,
                    **_counts(frame),
                    "auroc": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "note": note,
                }
            )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _trainings(
    validation: Validation, name: str, members: pd.Index
) -> Iterator[tuple[str, str, pd.DataFrame, str]]:
    """Give training, scheme, predictions of the type's samples and note of each training kind."""
    whole = validation.main.predictions
    pooled = whole[whole.index.isin(members)]
    yield "pooled", validation.scheme, pooled, ""
    without = validation.tumour_type
    others = pooled[:0] if without is None else without.predictions
    held_out = others[others.index.isin(members)]
    note = "" if len(held_out) else "cannot be told: nothing can be trained without this type"
    if len(held_out) and _same_models(validation, members):
        note = "one cohort: the same models as pooled"
    yield "leave_one_type_out", "tumour_type", held_out, note
    within = pooled[:0] if validation.per_type is None else validation.per_type.predictions
    own = within[within.index.isin(members)]
    folds = own["split"].str.removeprefix(f"{name}/")
    cohorts = set(validation.samples.loc[members, "cohort"])
    scheme = "loco" if set(folds) & cohorts else "nested"
    yield "per_type", scheme, own.assign(split=folds), _note_within(validation, members, own)


def _same_models(validation: Validation, members: pd.Index) -> bool:
    """Return whether the type is one cohort and that cohort nothing else."""
    cohorts = validation.samples["cohort"]
    own = cohorts.loc[members]
    return own.nunique() == 1 and bool((cohorts == own.iloc[0]).sum() == len(members))


def _note_within(validation: Validation, members: pd.Index, own: pd.DataFrame) -> str:
    rows = validation.samples.loc[members]
    if own.empty:
        few = too_few_patients(rows)
        return f"cannot be told: {few or 'no part of the type can be trained on'}"
    left = sorted(set(rows["cohort"].astype(str)) - set(own["cohort"].astype(str)))
    return f"not held out, the rest cannot be trained on: {', '.join(left)}" if left else ""


def _auroc(frame: pd.DataFrame, scheme: str, *, n_resamples: int, seed: int) -> Estimate:
    if frame.empty:
        return _UNKNOWN
    evaluate = mean_of_repeats if scheme == "nested" else evaluate_predictions
    return evaluate(frame, n_resamples=n_resamples, seed=seed).get("auroc", _UNKNOWN)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    """Return samples, resistant ones and cohorts; a sample of several repeats counts once."""
    once = frame[~frame.index.duplicated()]
    usable = once[once["score"].notna() & once["resistant"].notna()]
    return {
        "n": scored_samples(once),
        "resistant": int(usable["resistant"].sum()),
        "cohorts": int(usable["cohort"].nunique()),
    }
