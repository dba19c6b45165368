"""ROC and precision-recall curves over cohorts, whose scores are compared within each alone."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.metrics import Estimate, read_estimate, stratified_resamples

__all__ = ["RankCurves", "rank_curves", "within_cohort_ranks"]

Array = NDArray[np.float64]
_GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class RankCurves:
    """Curves of the ranks within cohorts, pooled, with the band of 95% of the resamples.

    Attributes
    ----------
    roc
        ``false_positive_rate, true_positive_rate, low, high``.
    precision_recall
        ``recall, precision, low, high``: precision at the highest threshold that reaches the
        recall, never interpolated; resistant is the positive class.
    auroc, average_precision
        Areas under them.
    base_rate
        Share of resistant samples: the precision of chance.
    n
        Samples with a label and a score.
    """

    roc: pd.DataFrame
    precision_recall: pd.DataFrame
    auroc: Estimate
    average_precision: Estimate
    base_rate: float
    n: int


def within_cohort_ranks(predictions: pd.DataFrame) -> "pd.Series[float]":
    """Return each score's mid-rank within its cohort, as a fraction between 0 and 1."""
    ranks = predictions.groupby("cohort")["score"].transform(
        lambda scores: (rankdata(scores, nan_policy="omit") - 0.5) / scores.notna().sum()
    )
    return ranks.rename("rank")


def rank_curves(predictions: pd.DataFrame, *, n_resamples: int, seed: int) -> RankCurves | None:
    """Return the curves of predictions; None where a class is missing.

    A score is replaced by its rank within the cohort, since scores of different cohorts come from
    different models. The areas are therefore those of the pooled ranks, not means over cohorts.

    Parameters
    ----------
    predictions
        ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN) and ``score`` (NaN: left out).
    n_resamples
        Bootstrap resamples of the patients within each cohort.
    seed
        Of the bootstrap.
    """
    usable = predictions[predictions["score"].notna() & predictions["resistant"].notna()]
    y = usable["resistant"].to_numpy(dtype=float)
    if len(np.unique(y)) < 2:
        return None
    ranks = within_cohort_ranks(usable).to_numpy(dtype=float)
    weights = stratified_resamples(usable, count=n_resamples, seed=seed)
    weights = weights[(weights @ y > 0) & (weights @ (1 - y) > 0)]
    order = np.argsort(-ranks, kind="stable")
    last = np.append(np.flatnonzero(np.diff(ranks[order])), len(y) - 1)  # ties: one threshold
    hits = np.cumsum(weights[:, order] * y[order], axis=1)[:, last]
    called = np.cumsum(weights[:, order], axis=1)[:, last]
    true, false = hits / hits[:, -1:], called - hits
    false = false / false[:, -1:]
    precision = np.divide(hits, called, out=np.ones_like(hits), where=called > 0)
    gained = np.diff(true, axis=1, prepend=0.0)
    areas = np.trapezoid(np.pad(true, ((0, 0), (1, 0))), np.pad(false, ((0, 0), (1, 0))), axis=1)
    roc_band = [np.interp(_GRID, *_rising(f, t)) for f, t in zip(false, true, strict=True)]
    recalled = [p[np.searchsorted(t, _GRID - 1e-12)] for t, p in zip(true, precision, strict=True)]
    return RankCurves(
        _curve(roc_band, "false_positive_rate", "true_positive_rate"),
        _curve(recalled, "recall", "precision"),
        read_estimate(areas),
        read_estimate((gained * precision).sum(axis=1)),
        float(y.mean()),
        len(y),
    )


def _rising(x: Array, y: Array) -> tuple[Array, Array]:
    """Return a curve from (0, 0) whose steps straight up are kept by an interpolation."""
    return np.concatenate([[0.0], x]), np.concatenate([[0.0], y])


def _curve(replicates: list[Array], x: str, y: str) -> pd.DataFrame:
    low, high = np.percentile(replicates[1:] or replicates, [2.5, 97.5], axis=0)
    return pd.DataFrame({x: _GRID, y: replicates[0], "low": low, "high": high})
