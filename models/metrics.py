"""Metrics of resistance predictions with bootstrap intervals that resample patients."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "Estimate",
    "area_under_precision_recall",
    "area_under_roc",
    "brier_score",
    "evaluate_predictions",
    "expected_calibration_error",
    "patient_resamples",
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
    positive, negative = y == 1, y == 0
    difference = score[positive][:, None] - score[negative][None, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    won = np.einsum("bi,ij,bj->b", weights[:, positive], wins, weights[:, negative], optimize=True)
    total = weights[:, positive].sum(axis=1) * weights[:, negative].sum(axis=1)
    return _ratio(won, total)


def area_under_precision_recall(y: Array, score: Array, weights: Array) -> Array:
    """Return the weighted average precision of each row of ``weights``; resistant is positive."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    threshold = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    hits = np.cumsum(weights[:, order] * y[order], axis=1)[:, threshold]
    called = np.cumsum(weights[:, order], axis=1)[:, threshold]
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    gained = np.diff(hits, axis=1, prepend=0.0)
    result = _ratio((gained * precision).sum(axis=1), hits[:, -1])
    return np.where((weights * (y == 0)).sum(axis=1) > 0, result, np.nan)


def brier_score(y: Array, probability: Array, weights: Array) -> Array:
    """Return the weighted Brier score of each row of ``weights``."""
    return _ratio(weights @ (probability - y) ** 2, weights.sum(axis=1))


def expected_calibration_error(y: Array, probability: Array, weights: Array) -> Array:
    """Return the weighted expected calibration error over ten equal-count bins.

    Samples with equal probabilities share their residuals, so their order is nothing. The figure
    of a small sample is biased upwards, that of its resamples more so: an interval may lie above
    its value.
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
    return _ratio(error, weights.sum(axis=1))


def _ratio(numerator: Array, denominator: Array) -> Array:
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
    weights = np.zeros((n_resamples + 1, len(usable)))
    ranked: dict[str, list[Array]] = {"auroc": [], "auprc": []}
    for cohort in sorted(usable["cohort"].unique()):
        rows = (usable["cohort"] == cohort).to_numpy()
        part = usable[rows]
        # A cohort's resamples depend on its name alone, not on the cohorts beside it.
        rng = np.random.default_rng([seed, zlib.crc32(str(cohort).encode())])
        drawn = patient_resamples(part["patient_id"], count=n_resamples, rng=rng)
        weights[:, rows] = drawn
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
    return {name: _estimate(values) for name, values in replicates.items()}


_RANKING: dict[str, Callable[[Array, Array, Array], Array]] = {
    "auroc": area_under_roc,
    "auprc": area_under_precision_recall,
}


def _estimate(replicates: Array) -> Estimate:
    """Read value, percentile interval and standard error off a row of replicates."""
    resampled = replicates[1:][np.isfinite(replicates[1:])]
    if resampled.size < 2:
        return Estimate(float(replicates[0]), np.nan, np.nan, np.nan)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(replicates[0]), float(low), float(high), float(np.std(resampled, ddof=1)))
