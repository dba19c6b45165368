"""Has a whole cohort drifted from the training cohorts? Population stability index by feature."""

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from features.errors import ModelError, examples

__all__ = ["DriftReference"]

_Array = NDArray[np.float64]
_FEWEST_SAMPLES = 10
_MODERATE = 0.1
_DRIFTED = 0.25
_CONFIDENCE = 0.95
_HALF = 0.5
"""Added to the count of every bin, so that an empty one does not make the index infinite."""


class DriftReference(BaseEstimator):
    """Quantile bins of the training samples' features, to compare cohorts with.

    Parameters
    ----------
    n_bins
        Bins of equal training counts per feature; fewer where values tie.

    Attributes
    ----------
    feature_names_
        The features.
    edges_
        (n_features, n_bins - 1) inner edges; a value on an edge lies above it. NaN for a feature
        measured in fewer than 10 training samples.
    counts_
        (n_features, n_bins) training samples in each bin.
    training_psi_
        (n_features,) median index of a training cohort against the others: what is usual between
        cohorts. NaN with a single cohort.

    Notes
    -----
    The index is ``sum((a - e) * ln(a / e))`` over bins, of the shares a of the cohort and e of
    training, half a sample added to every bin. Without drift it is near
    ``(1/n + 1/m)`` times a chi-squared variable of bins - 1 degrees of freedom (Yurdakul and
    Naranjo, doi:10.21314/JRMV.2020.227), n and m being the samples with what was added.
    """

    def __init__(self, n_bins: int = 10) -> None:
        self.n_bins = n_bins

    def fit(self, features: pd.DataFrame, *, cohorts: "pd.Series[str]") -> Self:
        """Learn the bins from unstandardised features (n_samples, n_features).

        Parameters
        ----------
        features
            NaN is a feature not measured.
        cohorts
            Cohort of each sample.

        Raises
        ------
        ModelError
            Fewer than two bins, fewer than ten samples, or not one cohort a sample.
        """
        if self.n_bins < 2:
            raise ModelError(f"n_bins is {self.n_bins}; allowed: 2 and more")
        if len(features) < _FEWEST_SAMPLES or len(cohorts) != len(features):
            raise ModelError(
                f"{len(features)} rows of features and {len(cohorts)} cohorts; quantile bins need "
                f"at least {_FEWEST_SAMPLES} samples, each with its cohort"
            )
        values = features.to_numpy(dtype=float)
        self._learn_bins(values)
        self.feature_names_ = [str(name) for name in features.columns]
        self.training_psi_ = self._between_cohorts(values, cohorts.to_numpy(dtype=str))
        return self

    def table(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the drift of a cohort's features, the most drifted first.

        Returns
        -------
        drift
            ``feature``; ``psi``; ``expected_psi`` and ``psi_bound`` (mean and 95% bound of the
            index of that many samples when nothing drifted); ``training_psi``;
            ``share_missing``; ``verdict``: stable (at most 0.1), within noise (at most
            ``psi_bound``), moderate (at most 0.25), drifted, or not measured.

        Raises
        ------
        ModelError
            A feature is missing.
        """
        check_is_fitted(self)
        absent = [name for name in self.feature_names_ if name not in features]
        if absent:
            raise ModelError(
                f"the feature table lacks {len(absent)} columns ({examples(absent)}); its columns "
                "are the catalogue ids that MarkerFeatures gives"
            )
        values = features[self.feature_names_].to_numpy(dtype=float)
        counts = _counts(values, self.edges_)
        used = self._used_bins()
        psi, unit = _stability_index(counts, self.counts_, used)
        freedom = used.sum(axis=1) - 1
        bound = unit * stats.chi2.ppf(_CONFIDENCE, freedom)
        drift = pd.DataFrame(
            {
                "feature": self.feature_names_,
                "psi": psi,
                "expected_psi": unit * freedom,
                "psi_bound": bound,
                "training_psi": self.training_psi_,
                "share_missing": np.isnan(values).sum(axis=0) / max(len(values), 1),
                "verdict": _verdicts(psi, bound),
            }
        )
        return drift.sort_values("psi", ascending=False, kind="stable", ignore_index=True)

    def _learn_bins(self, values: _Array) -> None:
        shares = np.arange(1, self.n_bins) / self.n_bins
        self.edges_ = np.full((values.shape[1], self.n_bins - 1), np.nan)
        enough = np.isfinite(values).sum(axis=0) >= _FEWEST_SAMPLES
        self.edges_[enough] = np.nanquantile(values[:, enough], shares, axis=0).T
        self.counts_ = _counts(values, self.edges_)

    def _used_bins(self) -> NDArray[np.bool_]:
        """Return the bins that hold anything: not those between two equal edges."""
        used = np.ones((len(self.edges_), self.n_bins), dtype=bool)
        used[:, 1:-1] = np.diff(self.edges_, axis=1) != 0
        return used

    def _between_cohorts(self, values: _Array, cohorts: NDArray[np.str_]) -> _Array:
        """Return the median index of each cohort against bins learned from the others."""
        indices = []
        for cohort in np.unique(cohorts):
            held = cohorts == cohort
            if (~held).sum() < _FEWEST_SAMPLES:
                continue
            rest = DriftReference(self.n_bins)
            rest._learn_bins(values[~held])
            counts = _counts(values[held], rest.edges_)
            indices.append(_stability_index(counts, rest.counts_, rest._used_bins())[0])
        usual = np.full(values.shape[1], np.nan)
        if indices:
            table = np.array(indices)
            told = np.isfinite(table).any(axis=0)
            usual[told] = np.nanmedian(table[:, told], axis=0)
        return usual


def _counts(values: _Array, edges: _Array) -> _Array:
    """Return how many values lie in each bin (n_features, n_bins); none for NaN edges."""
    counts = np.zeros((edges.shape[0], edges.shape[1] + 1))
    for feature, own in enumerate(edges):
        measured = values[np.isfinite(values[:, feature]), feature]
        if np.isfinite(own).all():
            bins = np.searchsorted(own, measured, side="right")
            counts[feature] = np.bincount(bins, minlength=len(own) + 1)
    return counts


def _stability_index(
    counts: _Array, training: _Array, used: NDArray[np.bool_]
) -> tuple[_Array, _Array]:
    """Return the index of each feature, and one over each number of samples, summed."""
    n, m = counts.sum(axis=1), training.sum(axis=1)
    actual = np.where(used, counts + _HALF, 0.0)
    expected = np.where(used, training + _HALF, 0.0)
    actual /= actual.sum(axis=1, keepdims=True)
    expected /= expected.sum(axis=1, keepdims=True)
    ratio = np.divide(actual, expected, out=np.ones_like(actual), where=used)
    index = ((actual - expected) * np.log(ratio)).sum(axis=1)
    told = (n > 0) & (m > 0)
    added = _HALF * used.sum(axis=1)
    unit = np.where(told, 1 / (n + added) + 1 / (m + added), np.nan)
    return np.where(told, index, np.nan), unit


def _verdicts(psi: _Array, bound: _Array) -> NDArray[np.str_]:
    conditions = [np.isnan(psi), psi <= _MODERATE, psi <= bound, psi <= _DRIFTED]
    return np.select(
        conditions, ["not measured", "stable", "within noise", "moderate"], default="drifted"
    )
