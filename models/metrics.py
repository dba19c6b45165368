"""Metrics of resistance predictions with bootstrap intervals that resample patients."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ModelError, examples

__all__ = [
    "Estimate",
    "area_under_precision_recall",
    "area_under_roc",
    "brier_score",
    "check_predictions",
    "cohort_generator",
    "evaluate_predictions",
    "expected_calibration_error",
    "pairs_won",
    "patient_resamples",
    "ratio",
    "read_estimate",
    "stratified_resamples",
]

Array = NDArray[np.float64]
N_BINS = 10
"""Equal-count bins of the expected calibration error."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% bootstrap interval and standard error."""

    value: float
    low: float
    high: float
    standard_error: float


def area_under_roc(y: Array, score: Array, weights: Array) -> Array:
    """Return the weighted AUROC of each row of ``weights`` (n_resamples, n_samples).

    Ties count one half; NaN where a resample lacks a class.
    """
    return ratio(*pairs_won(y, score, weights))


def pairs_won(y: Array, score: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weight of the pairs in the right order, and of all pairs, of each resample.

    A pair is a resistant and a responsive sample; it is in the right order where the resistant one
    has the higher score, half so where they tie. Sums over cohorts give the AUROC over the pairs
    within cohorts.
    """
    positive, negative = y == 1, y == 0
    difference = score[positive][:, None] - score[negative][None, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    won = ((weights[:, positive] @ wins) * weights[:, negative]).sum(axis=1)
    total = weights[:, positive].sum(axis=1) * weights[:, negative].sum(axis=1)
    return won, total


def area_under_precision_recall(y: Array, score: Array, weights: Array) -> Array:
    """Return the weighted average precision of each row of ``weights``; resistant is positive."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    threshold = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    hits = np.cumsum(weights[:, order] * y[order], axis=1)[:, threshold]
    called = np.cumsum(weights[:, order], axis=1)[:, threshold]
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    gained = np.diff(hits, axis=1, prepend=0.0)
    result = ratio((gained * precision).sum(axis=1), hits[:, -1])
    return np.where((weights * (y == 0)).sum(axis=1) > 0, result, np.nan)


def brier_score(y: Array, probability: Array, weights: Array) -> Array:
    """Return the weighted Brier score of each row of ``weights``."""
    return ratio(weights @ (probability - y) ** 2, weights.sum(axis=1))


def expected_calibration_error(y: Array, probability: Array, weights: Array) -> Array:
    """Return the weighted expected calibration error over ten equal-count bins.

    Samples with equal probabilities share their residuals, so their order is nothing. The figure
    of a small sample is biased upwards, that of its resamples more so: an interval may lie above
    its value. ``y`` is one set of labels (n_samples,) or one for each row of ``weights``
    (n_resamples, n_samples).
    """
    residual = weights * (probability - y)
    unique, group = np.unique(probability, return_inverse=True)
    if unique.size < probability.size:
        members = (group[:, None] == np.arange(unique.size)).astype(float)
        residual = (residual @ members / members.sum(axis=0))[:, group]
    order = np.argsort(probability, kind="stable")
    error = np.zeros(weights.shape[0])
    for chosen in np.array_split(order, min(N_BINS, order.size)):
        error += np.abs(residual[:, chosen].sum(axis=1))
    return ratio(error, weights.sum(axis=1))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return the ratio of two arrays of one shape, NaN where the denominator is not positive."""
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def patient_resamples(patients: "pd.Series[str]", *, count: int, rng: np.random.Generator) -> Array:
    """Return how often each sample is drawn in each resample of patients.

    The first row is the data as they are (all ones); ``count`` bootstrap rows follow:
    (count + 1, n_samples). A patient's samples come and go together.
    """
    codes, unique = pd.factorize(patients)
    drawn = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=count)
    weights = np.vstack([np.ones(len(codes)), drawn[:, codes]])
    return weights.astype(float)


def cohort_generator(seed: int, cohort: object, *, stream: int = 0) -> np.random.Generator:
    """Return the random numbers of a cohort: they depend on its name, not on those beside it.

    ``stream`` keeps draws of different kinds apart.
    """
    key = [seed, zlib.crc32(str(cohort).encode())]
    return np.random.default_rng([*key, stream] if stream else key)


def stratified_resamples(predictions: pd.DataFrame, *, count: int, seed: int) -> Array:
    """Return resamples of the patients within each cohort (count + 1, n_samples).

    Parameters
    ----------
    predictions
        ``cohort`` and ``patient_id`` of each sample.
    count
        Bootstrap rows; the first row is the data as they are.
    seed
        A cohort's resamples depend on it and on the cohort's name alone.
    """
    weights = np.ones((count + 1, len(predictions)))
    cohorts = predictions["cohort"].astype(str).to_numpy()
    for cohort in sorted(set(cohorts)):
        rows = cohorts == cohort
        weights[:, rows] = patient_resamples(
            predictions.loc[rows, "patient_id"], count=count, rng=cohort_generator(seed, cohort)
        )
    return weights


def check_predictions(predictions: pd.DataFrame, columns: Sequence[str], *, where: str) -> None:
    """Check that predictions have the columns and one row a sample.

    Raises
    ------
    ModelError
        A column is missing, or a sample has several rows.
    """
    missing = [column for column in columns if column not in predictions]
    if missing:
        raise ModelError(
            f"{where} lack the columns {missing}; there are {examples(predictions.columns)}; "
            "add them, NaN where they are unknown"
        )
    repeated = predictions.index[predictions.index.duplicated()].unique()
    if len(repeated):
        raise ModelError(
            f"{where} have several rows of {len(repeated)} samples ({examples(repeated)}); "
            "average the repeats to one row a sample"
        )


def evaluate_predictions(
    predictions: pd.DataFrame, *, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return AUROC, AUPRC, Brier and ECE with intervals.

    Parameters
    ----------
    predictions
        One row per labelled sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0), ``score``
        (ranks within a cohort) and ``probability``. A NaN score is left out.
    n_resamples
        Bootstrap resamples of the patients within each cohort.
    seed
        Of the bootstrap.

    Returns
    -------
    estimates
        ``auroc`` and ``auprc`` (means over cohorts with both classes), ``brier`` and ``ece``
        (pooled over samples), ``<cohort>.auroc`` and ``<cohort>.auprc``.
    """
    usable = predictions[predictions["score"].notna() & predictions["resistant"].notna()]
    replicates: dict[str, Array] = {}
    weights = stratified_resamples(usable, count=n_resamples, seed=seed)
    ranked: dict[str, list[Array]] = {"auroc": [], "auprc": []}
    for cohort in sorted(usable["cohort"].unique()):
        rows = (usable["cohort"] == cohort).to_numpy()
        part, drawn = usable[rows], weights[:, rows]
        y, score = part["resistant"].to_numpy(dtype=float), part["score"].to_numpy(dtype=float)
        if len(np.unique(y)) < 2:
            continue
        for name, metric in _RANKING.items():
            replicates[f"{cohort}.{name}"] = metric(y, score, drawn)
            ranked[name].append(replicates[f"{cohort}.{name}"])
    for name, parts in ranked.items():
        if parts:
            replicates[name] = np.mean(parts, axis=0)
    if len(usable):
        y, p = usable["resistant"].to_numpy(float), usable["probability"].to_numpy(float)
        replicates["brier"] = brier_score(y, p, weights)
        replicates["ece"] = expected_calibration_error(y, p, weights)
    return {name: read_estimate(values) for name, values in replicates.items()}


_RANKING: dict[str, Callable[[Array, Array, Array], Array]] = {
    "auroc": area_under_roc,
    "auprc": area_under_precision_recall,
}


def read_estimate(replicates: Array) -> Estimate:
    """Return value, percentile interval and standard error of replicates (n_resamples + 1,).

    The first is the value of the data as they are; resamples in which the figure is not defined
    (NaN) are left out.
    """
    resampled = replicates[1:][np.isfinite(replicates[1:])]
    if resampled.size < 2:
        return Estimate(float(replicates[0]), np.nan, np.nan, np.nan)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(replicates[0]), float(low), float(high), float(np.std(resampled, ddof=1)))
