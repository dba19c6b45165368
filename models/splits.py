"""Splits as data: frozen, grouped by patient, checked before anything is fitted."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from features.errors import CohortError, examples

__all__ = [
    "Split",
    "check_splits",
    "grouped_splits",
    "leave_one_cohort_out_splits",
    "patient_keys",
    "splits_table",
]


@dataclass(frozen=True)
class Split:
    """Positions of training and test samples, and what is held out."""

    name: str
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def patient_keys(samples: pd.DataFrame) -> "pd.Series[str]":
    """Return ``cohort/patient`` of each sample: `Pt1` of two cohorts are two patients."""
    return samples["cohort"].astype(str) + "/" + samples["patient_id"].astype(str)


def leave_one_cohort_out_splits(samples: pd.DataFrame) -> list[Split]:
    """Return one split per cohort, named after the cohort held out.

    Parameters
    ----------
    samples
        (n_samples,) rows with ``cohort`` and ``patient_id``.

    Raises
    ------
    CohortError
        There are fewer than two cohorts.
    """
    cohorts = samples["cohort"].to_numpy(dtype=str)
    names = [str(name) for name in sorted(set(cohorts))]
    if len(names) < 2:
        raise CohortError(
            f"leave-one-cohort-out needs at least two cohorts, got {names}; "
            "add cohorts under cohorts.train"
        )
    return [
        Split(name, np.flatnonzero(cohorts != name), np.flatnonzero(cohorts == name))
        for name in names
    ]


def grouped_splits(
    samples: pd.DataFrame, *, n_splits: int, n_repeats: int, seed: int
) -> list[Split]:
    """Return repeated splits of labelled samples, stratified by cohort and label, by patient.

    Parameters
    ----------
    samples
        Rows with ``cohort``, ``patient_id`` and ``resistant`` (unlabelled samples take no part).
    n_splits, n_repeats
        Folds a repeat, and repeats; names are ``repeat<r>.fold<f>``.
    seed
        Of the shuffles.

    Raises
    ------
    CohortError
        A class has fewer patients than there are folds.
    """
    labelled = np.flatnonzero(samples["resistant"].notna().to_numpy())
    part = samples.iloc[labelled]
    groups = patient_keys(part)
    fewest = int(groups.groupby(part["resistant"]).nunique().min())
    if fewest < n_splits:
        raise CohortError(
            f"{n_splits} folds need at least {n_splits} patients in each class, the smaller has "
            f"{fewest}; lower validation.n_splits"
        )
    # By label alone, a fold that tests many resistant samples of a cohort would train on few of
    # them: features that tell the cohort then rank its samples backwards.
    strata = part["cohort"].astype(str) + "/" + part["resistant"].astype(int).astype(str)
    splits = []
    for repeat in range(n_repeats):
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed + repeat)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            parts = list(folds.split(part, strata, groups))
        splits += [
            Split(f"repeat{repeat}.fold{fold}", labelled[train], labelled[test])
            for fold, (train, test) in enumerate(parts)
        ]
    return splits


def check_splits(samples: pd.DataFrame, splits: list[Split]) -> None:
    """Refuse splits in which a patient stands on both sides.

    Raises
    ------
    CohortError
        Names the split and the patients.
    """
    keys = patient_keys(samples).to_numpy()
    for split in splits:
        both = sorted(set(keys[split.train]) & set(keys[split.test]))
        if both:
            raise CohortError(
                f"split '{split.name}' has {len(both)} patients on both sides: {examples(both)}"
            )


def splits_table(samples: pd.DataFrame, splits: list[Split]) -> pd.DataFrame:
    """Return the splits as a table: ``split, sample_id, cohort, patient_id, side``."""
    rows = []
    for split in splits:
        for side, positions in (("train", split.train), ("test", split.test)):
            part = samples.iloc[positions]
            rows.append(
                pd.DataFrame(
                    {
                        "split": split.name,
                        "sample_id": part.index.astype(str),
                        "cohort": part["cohort"].astype(str).to_numpy(),
                        "patient_id": part["patient_id"].astype(str).to_numpy(),
                        "side": side,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)
