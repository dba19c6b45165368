"""Splits as data: frozen, grouped by patient, checked before anything is fitted."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from features.errors import CohortError, examples

__all__ = [
    "Split",
    "can_be_trained_on",
    "check_splits",
    "grouped_splits",
    "inner_splits",
    "leave_one_cohort_out_splits",
    "leave_one_tumour_type_out_splits",
    "patient_keys",
    "splits_table",
    "tumour_types",
]

_INNER_FOLDS = 3
_INNER_SEED = 0


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
    return _leave_one_out(samples["cohort"], what="cohort")


def tumour_types(samples: pd.DataFrame) -> "pd.Series[str]":
    """Return the tumour type of each sample (n_samples,); ``unstated`` where a cohort is silent."""
    return samples["cancer_type"].fillna("unstated").astype(str)


def leave_one_tumour_type_out_splits(samples: pd.DataFrame) -> list[Split]:
    """Return one split per tumour type (``cancer_type``), empty with fewer than two types.

    Types whose absence leaves a training part in which nothing can be chosen or calibrated are
    left out of the splits.
    """
    types = tumour_types(samples)
    if types.nunique() < 2:
        return []
    splits = _leave_one_out(types, what="cancer_type")
    return [split for split in splits if can_be_trained_on(samples, split.train)]


def can_be_trained_on(samples: pd.DataFrame, train: NDArray[np.intp]) -> bool:
    """Return whether a training part has both classes, and patients to choose and calibrate by."""
    if not {0.0, 1.0} <= set(samples["resistant"].to_numpy(dtype=float)[train]):
        return False
    try:
        return bool(inner_splits(samples, train))
    except CohortError:
        return False


def _leave_one_out(names: "pd.Series[str]", *, what: str) -> list[Split]:
    values = names.to_numpy(dtype=str)
    distinct = [str(name) for name in sorted(set(values))]
    if len(distinct) < 2:
        raise CohortError(
            f"leave-one-{what}-out needs at least two cohorts, got {distinct}; "
            "add cohorts under cohorts.train"
        )
    return [
        Split(name, np.flatnonzero(values != name), np.flatnonzero(values == name))
        for name in distinct
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


def inner_splits(samples: pd.DataFrame, train: NDArray[np.intp]) -> list[Split]:
    """Return the splits inside a training part, as positions among all samples.

    Leave-one-cohort-out where there are cohorts to leave out and both classes remain, else
    patient-grouped folds.

    Raises
    ------
    CohortError
        A class has a single patient: nothing can be chosen or calibrated.
    """
    rows = samples.iloc[train]
    found = _inner_splits(rows)
    return [Split(split.name, train[split.train], train[split.test]) for split in found]


def _inner_splits(rows: pd.DataFrame) -> list[Split]:
    if rows["cohort"].nunique() > 1:
        splits = leave_one_cohort_out_splits(rows)
        labels = rows["resistant"].to_numpy(dtype=float)
        if all({0.0, 1.0} <= set(labels[split.train]) for split in splits):
            return splits
    labelled = rows[rows["resistant"].notna()]
    fewest = int(patient_keys(labelled).groupby(labelled["resistant"]).nunique().min())
    if fewest < 2:
        raise CohortError(
            f"the training part of a split ({examples(sorted(set(rows['cohort'])))}) has a single "
            "patient of one class: it cannot be calibrated; add cohorts under cohorts.train"
        )
    folds = min(_INNER_FOLDS, fewest)
    return grouped_splits(rows, n_splits=folds, n_repeats=1, seed=_INNER_SEED)


def check_splits(
    samples: pd.DataFrame, splits: Sequence[Split], *, duplicates: pd.DataFrame | None = None
) -> None:
    """Refuse splits in which a patient, or one sample under two names, stands on both sides.

    Parameters
    ----------
    samples
        ``cohort`` and ``patient_id`` by sample.
    splits
        What is checked.
    duplicates
        Pairs ``sample, other`` (of the samples' index) that are the same tissue, from
        :func:`features.fingerprint.find_duplicates`.

    Raises
    ------
    CohortError
        Names the split and the patients, or the samples.
    """
    keys = patient_keys(samples).to_numpy()
    for split in splits:
        both = sorted(set(keys[split.train]) & set(keys[split.test]))
        if both:
            raise CohortError(
                f"split '{split.name}' has {len(both)} patients on both sides: {examples(both)}; "
                "keep a patient's samples on one side: one cancer_type a patient, or name the "
                "others under samples.exclude"
            )
        if duplicates is not None and len(duplicates):
            _refuse_straddling_duplicates(samples.index, split, duplicates)


def _refuse_straddling_duplicates(index: pd.Index, split: Split, duplicates: pd.DataFrame) -> None:
    train, test = set(index[split.train]), set(index[split.test])
    pairs = [
        f"{first} = {second}"
        for first, second in zip(duplicates["sample"], duplicates["other"], strict=True)
        if (first in train and second in test) or (first in test and second in train)
    ]
    if pairs:
        raise CohortError(
            f"split '{split.name}' has {len(pairs)} samples on both sides under two names, by "
            f"their expression: {examples(pairs)}; name one of each pair under samples.exclude, "
            "or its cohort under cohorts.exclude"
        )


def splits_table(samples: pd.DataFrame, splits: Sequence[Split]) -> pd.DataFrame:
    """Return the splits as a table: ``split, sample, cohort, patient_id, side``."""
    parts = [
        pd.DataFrame(
            {
                "split": split.name,
                "sample": samples.index[positions].astype(str),
                "cohort": samples["cohort"].iloc[positions].astype(str).to_numpy(),
                "patient_id": samples["patient_id"].iloc[positions].astype(str).to_numpy(),
                "side": side,
            }
        )
        for split in splits
        for side, positions in (("train", split.train), ("test", split.test))
    ]
    return pd.concat(parts, ignore_index=True)
