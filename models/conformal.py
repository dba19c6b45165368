"""Sets of labels at a set coverage."""

import logging
import warnings
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from features.errors import ConfigError, ModelError

__all__ = [
    "LABELS",
    "ConformalSets",
    "set_names",
]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
logger = logging.getLogger(__name__)

LABELS = ("responsive", "resistant")
"""The labels in the order of a set's columns (0, 1)."""


class ConformalSets(BaseEstimator):
    """Class-conditional split conformal sets of a binary outcome.

    Of each class's new samples, those exchangeable with its calibration samples, at least the
    share ``coverage`` gets a set with its true label in it, whatever the scores are worth; what
    they are worth shows in the share of two-label sets. Formed by MAPIE (score "lac") once per
    class; what is kept is one threshold a class.

    A class with fewer calibration samples than ``1 / (1 - coverage) - 1`` (9 at 90%) cannot be
    excluded at that coverage: it is in every set, and a warning is logged.

    Parameters
    ----------
    coverage
        Share of each class, strictly between 0 and 1.

    Attributes
    ----------
    least_resistant_
        Resistant is in the set from this log-odds upwards; minus infinity for always.
    most_responsive_
        Responsive is in the set up to this log-odds; infinity for always.
    n_calibration_
        Calibration samples (responsive, resistant).

    References
    ----------
    Sadinle et al., J Am Stat Assoc 2019, doi:10.1080/01621459.2017.1395341; class-conditional as
    in Vovk, Mach Learn 2013, doi:10.1007/s10994-013-5355-6.

    Examples
    --------
    >>> scores = np.arange(40.0)
    >>> sets = ConformalSets(coverage=0.8).fit(scores, scores % 2)
    >>> sets.predict_set([0.0, 20.0, 39.0]).tolist()
    [[True, False], [True, True], [False, True]]
    """

    def __init__(self, *, coverage: float = 0.9) -> None:
        self.coverage = coverage

    def fit(self, scores: ArrayLike, y: ArrayLike) -> Self:
        """Fit on log-odds (n_samples,) and labels 1 or 0 (n_samples,) a model did not train on.

        Samples with a missing log-odds or label are left out.

        Raises
        ------
        ConfigError
            The coverage is not between 0 and 1.
        ModelError
            Log-odds and labels are not one a sample.
        """
        if not 0.0 < self.coverage < 1.0:
            raise ConfigError(f"coverage is {self.coverage}; give one above 0 and below 1")
        log_odds, labels = np.asarray(scores, dtype=float), np.asarray(y, dtype=float)
        if log_odds.ndim != 1 or log_odds.shape != labels.shape:
            raise ModelError(
                f"conformal sets take one log-odds and one label a sample; got shapes "
                f"{log_odds.shape} and {labels.shape}"
            )
        known = ~np.isnan(log_odds)
        responsive, resistant = (log_odds[known & (labels == label)] for label in (0, 1))
        self.n_calibration_ = (int(responsive.size), int(resistant.size))
        self.least_resistant_ = _lowest_kept(resistant, self.coverage)
        self.most_responsive_ = -_lowest_kept(-responsive, self.coverage)
        for label, count in zip(LABELS, self.n_calibration_, strict=True):
            if _rank(count, self.coverage) > count:
                logger.warning(
                    "%d %s calibration samples are too few for %.0f%% coverage: every set "
                    "holds this label",
                    *(count, label, 100 * self.coverage),
                )
        return self

    def predict_set(self, scores: ArrayLike) -> BoolArray:
        """Return which labels stand in each set (n_samples, 2): responsive, resistant.

        A missing log-odds excludes nothing: both labels.
        """
        check_is_fitted(self)
        log_odds = np.asarray(scores, dtype=float)
        sets = [log_odds <= self.most_responsive_, log_odds >= self.least_resistant_]
        return np.asarray(np.column_stack(sets) | np.isnan(log_odds)[:, None])


def _rank(size: int, coverage: float) -> int:
    """Return the rank of the calibration sample at the quantile; above ``size``: there is none."""
    return int(np.ceil(round((size + 1) * coverage, 9)))


def _lowest_kept(scores: Array, coverage: float) -> float:
    """Return the lowest of a class's calibration scores whose set holds the class."""
    from mapie.classification import SplitConformalClassifier

    rank = _rank(scores.size, coverage)
    if rank > scores.size:
        return -np.inf
    if rank == scores.size:  # MAPIE asks for one sample more than this needs.
        return float(scores.min())
    # Ranks keep the order, which is all that counts, where probabilities would saturate.
    table = (rankdata(scores, method="dense") / (scores.size + 1))[:, None]
    mapie = SplitConformalClassifier(_GivenProbability(), confidence_level=coverage)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="WARNING: your conformalization dataset has less")
        mapie.conformalize(table, np.ones(scores.size, dtype=int))
    return float(scores[mapie.predict_set(table)[1][:, 1, 0]].min())


class _GivenProbability(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose one feature is its probability."""

    classes_ = np.array([0, 1])

    def fit(self, X: Array, y: Any) -> Self:
        return self

    def predict_proba(self, X: Array) -> Array:
        return np.column_stack([1.0 - X[:, 0], X[:, 0]])

    def predict(self, X: Array) -> NDArray[np.int_]:
        return (X[:, 0] > 0.5).astype(int)


def set_names(sets: ArrayLike) -> pd.api.extensions.ExtensionArray:
    """Return each set's name (n_samples,) as a pandas string array.

    Parameters
    ----------
    sets
        From :meth:`ConformalSets.predict_set`, (n_samples, 2).

    Examples
    --------
    >>> list(set_names([[True, True], [False, True], [True, False], [False, False]]))
    ['resistant|responsive', 'resistant', 'responsive', '']
    """
    names = np.array(["", LABELS[1], LABELS[0], f"{LABELS[1]}|{LABELS[0]}"], dtype=object)
    held = np.asarray(sets, dtype=bool)
    named: pd.api.extensions.ExtensionArray = pd.array(
        names[2 * held[:, 0] + held[:, 1]], dtype="string"
    )
    return named
