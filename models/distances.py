"""Distances of samples from a reference, and how far those of a further cohort are expected."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

__all__ = [
    "balanced_quantile",
    "mahalanobis",
    "mean_profile",
    "nearest_correlation",
    "new_cohort_bound",
    "undetected_share",
]

Profiles = NDArray[np.float32]
_Array = NDArray[np.float64]

_FEWEST_FEATURES = 5
_CONFIDENCE = 0.95
_LEAST_FREEDOM = 3
"""Degrees of freedom of two or three cohorts, lest so few allow everything."""
_NEGLIGIBLE = 0.1
"""Departures below this count as this much: limits never shrink to the noise of alike cohorts."""


def mean_profile(profiles: Profiles) -> Profiles:
    """Return the mean rank of each gene (n_background,), NaN where no sample has it."""
    count = np.isfinite(profiles).sum(axis=0)
    mean = np.full(profiles.shape[1], np.nan, dtype=np.float32)
    np.divide(np.nansum(profiles, axis=0), count, out=mean, where=count > 0)
    return mean


def undetected_share(values: Profiles, measured: NDArray[np.bool_]) -> _Array:
    """Return the share of measured genes that tie at the bottom; none where none ties."""
    lowest = np.where(measured, values, np.inf).min(axis=1, keepdims=True)
    tied = (values == lowest).sum(axis=1)
    share = np.where(tied > 1, tied, 0) / np.maximum(measured.sum(axis=1), 1)
    return np.where(measured.any(axis=1), share, np.nan)


def nearest_correlation(values: Profiles, means: Profiles) -> _Array:
    """Return each sample's highest correlation with a mean profile (n_samples,).

    Pearson's, over the genes that both have; 0 where one has no spread, NaN without genes.

    Parameters
    ----------
    values
        Rank profiles (n_samples, n_background).
    means
        Mean profiles (n_cohorts, n_background).
    """
    best = np.full(len(values), np.nan)
    for position, row in enumerate(values):
        if np.isfinite(row).sum() > 1:
            best[position] = max(_correlation(row, mean) for mean in means)
    return best


def _correlation(first: Profiles, second: Profiles) -> float:
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both].astype(float), second[both].astype(float)
    if both.sum() < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def mahalanobis(standardised: _Array, covariance: _Array) -> _Array:
    """Return Mahalanobis distances divided by the root of the number of features (n_samples,).

    Parameters
    ----------
    standardised
        Features (n_samples, n_features) about a centre of 0. Of NaN the covariance of the other
        features is taken; with fewer than 5 measured the distance is NaN.
    covariance
        Of the standardised features, (n_features, n_features).
    """
    distance = np.full(len(standardised), np.nan)
    measured = np.isfinite(standardised)
    patterns, which = np.unique(measured, axis=0, return_inverse=True)
    for number, kept in enumerate(patterns):
        if kept.sum() < _FEWEST_FEATURES:
            continue
        rows = which == number
        values = standardised[np.ix_(rows, kept)]
        solved = np.linalg.solve(covariance[np.ix_(kept, kept)], values.T)
        distance[rows] = np.sqrt((values * solved.T).sum(axis=1) / kept.sum())
    return distance


def new_cohort_bound(values: _Array, groups: NDArray[np.str_], share: float) -> float:
    """Return the value below which ``share`` of a further group's samples are expected to lie.

    The upper 95% prediction bound of the groups' own quantiles, by Student's t on their logarithms;
    NaN without values.
    """
    kept = np.isfinite(values)
    if not kept.any():
        return float("nan")
    noteworthy = np.maximum(values[kept], _NEGLIGIBLE)
    quantiles = np.log(pd.Series(noteworthy).groupby(groups[kept]).quantile(share).to_numpy())
    if len(quantiles) == 1:
        return float(np.exp(quantiles[0]))
    spread = quantiles.std(ddof=1) * np.sqrt(1 + 1 / len(quantiles))
    freedom = max(len(quantiles) - 1, _LEAST_FREEDOM)
    return float(np.exp(quantiles.mean() + stats.t.ppf(_CONFIDENCE, freedom) * spread))


def balanced_quantile(values: _Array, groups: NDArray[np.str_], share: float) -> float:
    """Return the quantile of values (n_samples,), each group counting the same."""
    sizes = pd.Series(groups).groupby(groups).transform("size").to_numpy()
    return float(np.quantile(values, share, weights=1.0 / sizes, method="inverted_cdf"))
