"""Calibrated probabilities: Platt scaling of out-of-cohort log-odds."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

__all__ = ["PlattCalibrator"]

_LEAST_SLOPE = 1e-3


class PlattCalibrator(BaseEstimator):
    """Logistic map from log-odds to probability, fitted on predictions a model did not train on.

    The slope is held positive (at least 0.001): calibration never turns a ranking round. Where
    log-odds carry no information the slope goes to its bound and every probability to the base
    rate.

    Attributes
    ----------
    slope_, intercept_
        ``probability = expit(slope_ * log_odds + intercept_)``.

    References
    ----------
    Platt, Advances in Large Margin Classifiers, 1999, with its smoothed targets.
    """

    method = "platt"

    def fit(self, log_odds: ArrayLike, y: ArrayLike) -> Self:
        """Fit on log-odds (n_samples,) and labels 1 or 0 (n_samples,)."""
        scores = np.asarray(log_odds, dtype=float)
        labels = np.asarray(y, dtype=float)
        positives = labels.sum()
        negatives = labels.size - positives
        target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

        def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            linear = parameters[0] * scores + parameters[1]
            value = np.logaddexp(0.0, linear).sum() - (target * linear).sum()
            residual = expit(linear) - target
            return float(value), np.array([(residual * scores).sum(), residual.sum()])

        start = np.array([1.0, np.log((positives + 1) / (negatives + 1))])
        bounds = [(_LEAST_SLOPE, None), (None, None)]
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
        self.slope_ = float(found.x[0])
        self.intercept_ = float(found.x[1])
        return self

    def calibrated_log_odds(self, log_odds: ArrayLike) -> NDArray[np.float64]:
        """Return log-odds (n_samples,) on the calibrated scale."""
        check_is_fitted(self)
        return self.slope_ * np.asarray(log_odds, dtype=float) + self.intercept_

    def predict(self, log_odds: ArrayLike) -> NDArray[np.float64]:
        """Return calibrated probabilities (n_samples,)."""
        return np.asarray(expit(self.calibrated_log_odds(log_odds)))
