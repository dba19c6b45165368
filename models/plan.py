"""The validation plan: every split, made once, checked for leaks, logged as a table."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from models.splits import (
    Split,
    check_splits,
    grouped_splits,
    inner_splits,
    leave_one_cohort_out_splits,
    leave_one_tumour_type_out_splits,
    splits_table,
)
from models.type_splits import within_type_splits

__all__ = ["ValidationPlan", "make_nested_plan", "make_plan"]

_TYPE_REPEATS = 1
"""Of the folds within a tumour type: a type has few patients and wide intervals either way."""


@dataclass(frozen=True)
class ValidationPlan:
    """The splits of every scheme.

    Attributes
    ----------
    samples
        ``cohort, patient_id, cancer_type, resistant`` by sample.
    schemes
        ``loco`` (leave-one-cohort-out), ``tumour_type`` (leave-one-tumour-type-out; may be
        empty), ``nested`` (repeated patient-grouped folds) and ``per_type`` (within each tumour
        type alone; may be empty). Choices and calibration happen in the inner splits of each
        split's training part.
    """

    samples: pd.DataFrame
    schemes: Mapping[str, tuple[Split, ...]]

    def table(self) -> pd.DataFrame:
        """Return the plan: ``scheme, split, inner, sample, cohort, patient_id, side``.

        ``inner`` is empty in the rows of the outer split, else the inner split's name.
        """
        parts = []
        for scheme, splits in self.schemes.items():
            for split in splits:
                outer = splits_table(self.samples, [split])
                parts.append(outer.assign(scheme=scheme, inner=""))
                inner = splits_table(self.samples, inner_splits(self.samples, split.train))
                inner = inner.rename(columns={"split": "inner"})
                parts.append(inner.assign(scheme=scheme, split=split.name))
        columns = ["scheme", "split", "inner", "sample", "cohort", "patient_id", "side"]
        return pd.concat(parts, ignore_index=True)[columns]


def make_plan(
    samples: pd.DataFrame,
    *,
    n_splits: int,
    n_repeats: int,
    seed: int,
    duplicates: pd.DataFrame | None = None,
) -> ValidationPlan:
    """Return the plan of a set of samples, checked.

    Parameters
    ----------
    samples
        ``cohort, patient_id, cancer_type, resistant`` by sample.
    n_splits, n_repeats, seed
        Of the patient-grouped folds.
    duplicates
        Samples that are the same tissue under two names, as in
        :func:`models.splits.check_splits`.

    Raises
    ------
    CohortError
        A patient or a sample under two names would stand on both sides of a split, or there are
        too few cohorts or patients.
    """
    nested = grouped_splits(samples, n_splits=n_splits, n_repeats=n_repeats, seed=seed)
    schemes = {
        "loco": tuple(leave_one_cohort_out_splits(samples)),
        "tumour_type": tuple(leave_one_tumour_type_out_splits(samples)),
        "nested": tuple(nested),
        "per_type": tuple(
            within_type_splits(samples, n_splits=n_splits, n_repeats=_TYPE_REPEATS, seed=seed)
        ),
    }
    return _checked(samples, schemes, duplicates)


def make_nested_plan(
    samples: pd.DataFrame,
    *,
    n_splits: int,
    n_repeats: int,
    seed: int,
    duplicates: pd.DataFrame | None = None,
) -> ValidationPlan:
    """Return the plan of a single cohort, checked: repeated patient-grouped folds alone.

    Parameters and errors are those of :func:`make_plan`.
    """
    nested = grouped_splits(samples, n_splits=n_splits, n_repeats=n_repeats, seed=seed)
    return _checked(samples, {"nested": tuple(nested)}, duplicates)


def _checked(
    samples: pd.DataFrame,
    schemes: Mapping[str, tuple[Split, ...]],
    duplicates: pd.DataFrame | None,
) -> ValidationPlan:
    """Return the plan, every split and inner split checked for patients on both sides."""
    for splits in schemes.values():
        check_splits(samples, splits, duplicates=duplicates)
        for split in splits:
            inner = inner_splits(samples, split.train)
            check_splits(samples, inner, duplicates=duplicates)
    return ValidationPlan(samples, schemes)
