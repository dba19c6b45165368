"""Splits inside each tumour type: what a type's own samples alone can teach."""

import numpy as np
import pandas as pd

from models.splits import (
    Split,
    can_be_trained_on,
    grouped_splits,
    leave_one_cohort_out_splits,
    patient_keys,
    tumour_types,
)

__all__ = ["LEAST_PATIENTS", "too_few_patients", "within_type_splits"]

LEAST_PATIENTS = 5
"""Fewest patients of each class from whom alone something is learned and told."""


def within_type_splits(
    samples: pd.DataFrame, *, n_splits: int, n_repeats: int, seed: int
) -> list[Split]:
    """Return splits whose training part is of the same tumour type as what is held out.

    A type with two or more cohorts of both classes has its cohorts left out one by one, named
    ``<type>/<cohort>``; another has repeated patient-grouped folds,
    ``<type>/repeat<r>.fold<f>``. Types of :func:`too_few_patients` have none, nor have samples
    of a single type: there they would be those of the whole.

    Parameters
    ----------
    samples
        Rows with ``cohort``, ``patient_id``, ``cancer_type`` and ``resistant``.
    n_splits, n_repeats, seed
        Of the folds; fewer folds where a class has fewer patients.
    """
    types = tumour_types(samples)
    found: list[Split] = []
    if types.nunique() < 2:
        return found
    for name in sorted(set(types)):
        positions = np.flatnonzero((types == name).to_numpy())
        rows = samples.iloc[positions]
        if too_few_patients(rows):
            continue
        if (rows.groupby("cohort")["resistant"].nunique() == 2).sum() > 1:
            cohorts = leave_one_cohort_out_splits(rows)
            inside = [split for split in cohorts if can_be_trained_on(rows, split.train)]
        else:
            folds = min(n_splits, min(_patients_by_class(rows).values()))
            inside = grouped_splits(rows, n_splits=folds, n_repeats=n_repeats, seed=seed)
            if not all(can_be_trained_on(rows, split.train) for split in inside):
                continue
        found += [
            Split(f"{name}/{split.name}", positions[split.train], positions[split.test])
            for split in inside
        ]
    return found


def too_few_patients(samples: pd.DataFrame) -> str:
    """Return which class has fewer than :data:`LEAST_PATIENTS` patients, in words; else nothing."""
    counts = _patients_by_class(samples)
    few = [f"{count} {name}" for name, count in counts.items() if count < LEAST_PATIENTS]
    return f"{' and '.join(few)} patients, {LEAST_PATIENTS} are needed" if few else ""


def _patients_by_class(samples: pd.DataFrame) -> dict[str, int]:
    labels, keys = samples["resistant"], patient_keys(samples)
    classes = {"responsive": 0.0, "resistant": 1.0}
    return {name: int(keys[labels == value].nunique()) for name, value in classes.items()}
