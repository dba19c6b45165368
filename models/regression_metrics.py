"""Metrics of predicted drug response with intervals that resample lines, and the tissue's mean."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from models.metrics import Estimate, area_under_roc, patient_resamples, ratio, read_estimate

__all__ = [
    "FEWEST_OF_TISSUE",
    "NO_TISSUE",
    "correlation_with_interval",
    "evaluate_responses",
    "tissue_mean_of_others",
    "weighted_spearman",
]

Array = NDArray[np.float64]
FEWEST_OF_TISSUE = 3
"""Lines of a tissue for a tissue-centred response to mean something."""
NO_TISSUE = "unstated"
"""Lines of which no tissue is known: they are no tissue of their own."""
_FEWEST = 5
_METRICS = ("spearman", "rmse", "within_tissue_spearman", "auroc")
_ROUNDING = 10
"""Decimals of a tissue-centred value: what is the same in a whole tissue ties at zero there."""


def weighted_spearman(x: Array, y: Array, weights: Array) -> Array:
    """Return Spearman's rho of each row of ``weights`` (n_resamples, n_samples).

    Weights are how often a sample was drawn: each row is ranked anew, ties by their mean rank. NaN
    where a row leaves either side a single value. ``x`` and ``y`` are (n_samples,), or
    (n_resamples, n_samples) where a resample has values of its own.
    """
    first, second = _ranks(x, weights), _ranks(y, weights)
    total = weights.sum(axis=1, keepdims=True)
    first = first - (weights * first).sum(axis=1, keepdims=True) / total
    second = second - (weights * second).sum(axis=1, keepdims=True) / total
    spread = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
    return ratio((weights * first * second).sum(axis=1), np.sqrt(np.maximum(spread, 0.0)))


def _ranks(values: Array, weights: Array) -> Array:
    """Return mid-ranks (n_resamples, n_samples) of values that stand as often as drawn."""
    table = np.broadcast_to(values, weights.shape)
    order = np.argsort(table, axis=1, kind="stable")
    ordered, drawn = (np.take_along_axis(one, order, axis=1) for one in (table, weights))
    above = np.cumsum(drawn, axis=1)
    apart = np.diff(ordered, axis=1) > 0
    edge = np.ones((len(weights), 1), dtype=bool)
    starts, ends = np.hstack([edge, apart]), np.hstack([apart, edge])
    # A tie reaches from what lies below its first value to what lies below the next one.
    low = np.maximum.accumulate(np.where(starts, above - drawn, 0.0), axis=1)
    high = np.where(ends, above, np.inf)
    high = np.minimum.accumulate(high[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(weights.shape)
    np.put_along_axis(ranks, order, (low + high) / 2, axis=1)
    return ranks


def evaluate_responses(
    predictions: pd.DataFrame, *, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return how well a continuous response was predicted, with 95% intervals.

    Parameters
    ----------
    predictions
        One row a line: ``line``, ``tissue``, ``resistance`` (observed), ``predicted``, and
        ``resistant`` (1, 0, NaN).
    n_resamples, seed
        Of the bootstrap over lines.

    Returns
    -------
    estimates
        ``spearman`` and ``rmse`` over all lines; ``within_tissue_spearman``: both sides centred on
        the mean of their tissue (known ones of three lines or more), pooled over tissues;
        ``auroc`` of the prediction for the label. NaN where there are fewer than five lines.
    """
    usable = predictions[predictions["predicted"].notna() & predictions["resistance"].notna()]
    if usable["line"].nunique() < _FEWEST:
        return dict.fromkeys(_METRICS, Estimate(np.nan, np.nan, np.nan, np.nan))
    weights = patient_resamples(
        usable["line"], count=n_resamples, rng=np.random.default_rng([seed, len(usable)])
    )
    observed = usable["resistance"].to_numpy(dtype=float)
    predicted = usable["predicted"].to_numpy(dtype=float)
    found = {
        "spearman": weighted_spearman(observed, predicted, weights),
        "rmse": np.sqrt(ratio(weights @ (observed - predicted) ** 2, weights.sum(axis=1))),
        "within_tissue_spearman": _within_tissues(usable, weights),
        "auroc": _auroc(usable, weights),
    }
    return {name: read_estimate(values) for name, values in found.items()}


def _within_tissues(usable: pd.DataFrame, weights: Array) -> Array:
    """Return the correlation of what is left once each tissue's mean is taken out."""
    sizes = usable.groupby("tissue")["line"].transform("size")
    large = ((sizes >= FEWEST_OF_TISSUE) & (usable["tissue"] != NO_TISSUE)).to_numpy()
    if large.sum() < _FEWEST:
        return np.full(len(weights), np.nan)
    part, drawn = usable[large], weights[:, large]
    tissues = pd.get_dummies(part["tissue"]).to_numpy(dtype=float)
    totals = drawn @ tissues
    values = {name: part[name].to_numpy(dtype=float) for name in ("resistance", "predicted")}
    means = {name: ratio((drawn * own) @ tissues, totals) for name, own in values.items()}
    # Each resample has tissue means of its own.
    left = [
        (own - np.nan_to_num(means[name]) @ tissues.T).round(_ROUNDING)
        for name, own in values.items()
    ]
    return weighted_spearman(left[0], left[1], drawn)


def _auroc(usable: pd.DataFrame, weights: Array) -> Array:
    labelled = usable["resistant"].notna().to_numpy()
    y = usable["resistant"].to_numpy(dtype=float)[labelled]
    if len(np.unique(y)) < 2:
        return np.full(len(weights), np.nan)
    score = usable["predicted"].to_numpy(dtype=float)[labelled]
    return area_under_roc(y, score, weights[:, labelled])


def tissue_mean_of_others(samples: pd.DataFrame) -> "pd.Series[float]":
    """Return the mean resistance of the other lines of each line's tissue (n_samples,).

    The naive baseline of drug response: leave one line out, predict its tissue's mean; the mean of
    all other lines where it is alone or its tissue is not known. Within a tissue it falls as the
    line's own response rises, by construction, so it has no within-tissue correlation to report.

    Parameters
    ----------
    samples
        ``line``, ``tissue`` and ``resistance``; all samples of a line are left out together.
    """
    response, tissue = samples["resistance"].astype(float), samples["tissue"].astype(str)
    both = tissue + "/" + samples["line"].astype(str)

    def others(within: "pd.Series[str]", line: "pd.Series[str]") -> "pd.Series[float]":
        whole, own = (response.groupby(names.to_numpy()) for names in (within, line))
        count = whole.transform("count") - own.transform("count")
        return (whole.transform("sum") - own.transform("sum")) / count.where(count > 0)

    everyone = pd.Series("", index=samples.index)
    in_tissue = others(tissue, both).where(tissue != NO_TISSUE)
    found = in_tissue.fillna(others(everyone, samples["line"].astype(str)))
    return found.rename("predicted")


def correlation_with_interval(x: "pd.Series[float]", y: "pd.Series[float]") -> dict[str, float]:
    """Return Spearman's ``rho`` with its 95% interval ``low``, ``high``, and ``n``.

    By Fisher's transformation with the variance of Bonett and Wright 2000
    (doi:10.1007/BF02294183); NaN with fewer than five pairs.
    """
    pairs = pd.DataFrame({"x": x, "y": y}).dropna()
    n = len(pairs)
    if n < _FEWEST or (pairs.nunique() < 2).any():
        return {"rho": np.nan, "low": np.nan, "high": np.nan, "n": n}
    rho = float(stats.spearmanr(pairs["x"], pairs["y"]).statistic)
    error = np.sqrt((1 + rho**2 / 2) / (n - 3))
    middle = np.arctanh(np.clip(rho, -0.999999, 0.999999))
    low, high = np.tanh([middle - 1.959964 * error, middle + 1.959964 * error])
    return {"rho": rho, "low": float(low), "high": float(high), "n": n}
