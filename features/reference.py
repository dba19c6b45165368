"""Standardisation of features: relative to the cohort, or to a frozen training reference."""

from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from features.errors import CohortError, examples

__all__ = [
    "MIN_COHORT_SIZE",
    "ReferenceStandardiser",
    "Standardisation",
    "mean_and_spread",
    "standardise_in_cohort",
]

Standardisation = Literal["cohort", "reference"]

MIN_COHORT_SIZE = 15
"""Fewest samples whose mean and spread can stand for a cohort."""
_LEAST_SPREAD = 1e-12


def standardise_in_cohort(
    features: pd.DataFrame,
    *,
    cohorts: "pd.Series[str]",
    min_cohort_size: int = MIN_COHORT_SIZE,
) -> pd.DataFrame:
    """Return features as z-scores within each sample's own cohort.

    Parameters
    ----------
    features
        (n_samples, n_features), unstandardised; NaN is ignored and stays NaN.
    cohorts
        Cohort of each sample, same index.
    min_cohort_size
        Fewest samples a cohort may have.

    Raises
    ------
    CohortError
        A cohort is smaller than ``min_cohort_size``, or a sample has none.

    Notes
    -----
    No label is used: the cohort being scored is its own reference. A feature that does not vary
    in a cohort is 0 there.
    """
    if cohorts.isna().any():
        without = cohorts.index[cohorts.isna()]
        raise CohortError(
            f"{len(without)} samples have no cohort: {examples(without)}; "
            "cohort-relative standardisation needs one for each"
        )
    sizes = cohorts.value_counts()
    small = sizes[sizes < min_cohort_size]
    if len(small):
        raise CohortError(
            f"cohort '{small.index[0]}' has {small.iloc[0]} samples; cohort-relative "
            f"standardisation needs {min_cohort_size}: use the reference-relative one"
        )
    values = features.to_numpy(dtype=float)
    standardised = np.empty_like(values)
    for cohort in sizes.index:
        rows = (cohorts == cohort).to_numpy()
        mean, spread = mean_and_spread(values[rows])
        standardised[rows] = _standardise(values[rows], mean=mean, spread=spread)
    return pd.DataFrame(standardised, index=features.index, columns=features.columns)


class ReferenceStandardiser(TransformerMixin, BaseEstimator):
    """Standardise against frozen training statistics, each training cohort counting the same.

    The mean is the mean of the cohorts' means; the variance is the mean variance within cohorts
    plus the variance of the cohorts' means.

    Attributes
    ----------
    mean_, spread_
        (n_features,); NaN for a feature that no training sample has.
    n_features_in_, feature_names_in_
        As in scikit-learn.
    """

    def fit(
        self, X: pd.DataFrame, y: None = None, *, cohorts: "pd.Series[str] | None" = None
    ) -> Self:
        """Learn mean and spread from features (n_samples, n_features) and their cohorts."""
        groups = pd.Series("all", index=X.index) if cohorts is None else cohorts
        moments = [
            mean_and_spread(X.loc[(groups == cohort).to_numpy()].to_numpy(dtype=float))
            for cohort in sorted(groups.unique())
        ]
        means = np.array([mean for mean, _ in moments])
        variances = np.array([spread**2 for _, spread in moments])
        measured = np.isfinite(means).any(axis=0)
        self.mean_ = np.full(X.shape[1], np.nan)
        self.spread_ = np.full(X.shape[1], np.nan)
        self.mean_[measured] = np.nanmean(means[:, measured], axis=0)
        between = np.nanvar(means[:, measured], axis=0)
        self.spread_[measured] = np.sqrt(np.nanmean(variances[:, measured], axis=0) + between)
        self.n_features_in_ = X.shape[1]
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return features (n_samples, n_features) as z-scores against the reference.

        Raises
        ------
        CohortError
            A feature of the reference is missing; columns are matched by name.
        """
        check_is_fitted(self)
        missing = [name for name in self.feature_names_in_ if name not in X.columns]
        if missing:
            raise CohortError(
                f"the feature table lacks {len(missing)} of the reference's "
                f"{self.n_features_in_} features: {examples(missing)}; give every column, "
                "NaN where it was not measured"
            )
        values = X[list(self.feature_names_in_)].to_numpy(dtype=float)
        standardised = _standardise(values, mean=self.mean_, spread=self.spread_)
        return pd.DataFrame(standardised, index=X.index, columns=list(self.feature_names_in_))

    def get_feature_names_out(self, input_features: None = None) -> NDArray[np.object_]:
        """Return the feature names: those that came in."""
        check_is_fitted(self)
        return self.feature_names_in_


def mean_and_spread(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation per column; sorted first, so sample order is nothing."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    mean = np.full(values.shape[1], np.nan)
    variance = np.full(values.shape[1], np.nan)
    np.divide(np.nansum(ordered, axis=0), count, out=mean, where=count > 0)
    squares = np.nansum((ordered - mean) ** 2, axis=0)
    np.divide(squares, count, out=variance, where=count > 0)
    return mean, np.sqrt(variance)


def _standardise(
    values: NDArray[np.float64], *, mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    constant = spread <= _LEAST_SPREAD
    standardised = (values - mean) / np.where(constant, 1.0, spread)
    return np.where(constant & np.isfinite(values), 0.0, standardised)
