"""Calibrated probabilities: maps from out-of-cohort log-odds."""

from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from features.errors import ModelError, examples

__all__ = [
    "BetaCalibrator",
    "Calibrator",
    "IsotonicCalibrator",
    "PlattCalibrator",
    "ShiftedCalibrator",
    "checked_scores",
    "fit_intercept",
    "shift_intercept",
]

Array = NDArray[np.float64]
_LEAST_SLOPE = 1e-3


class Calibrator(Protocol):
    """A fitted map from a classifier's log-odds to a probability that never turns a ranking."""

    @property
    def method(self) -> str:
        """Name of the method, as predictions carry it."""

    def calibrated_log_odds(self, log_odds: ArrayLike) -> Array:
        """Return log-odds (n_samples,) on the calibrated scale."""

    def predict(self, log_odds: ArrayLike) -> Array:
        """Return calibrated probabilities (n_samples,)."""


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

    def fit(
        self, log_odds: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit on log-odds (n_samples,) and labels 1 or 0 (n_samples,).

        A sample of weight 2 counts as two samples.

        Raises
        ------
        ModelError
            A log-odds or a label is missing, or a label is neither 1 nor 0.
        """
        scores, labels, weights = checked_scores(log_odds, y, sample_weight)
        found = _fit_logistic(scores[:, None], labels, weights)
        self.slope_, self.intercept_ = float(found[0]), float(found[1])
        return self

    def calibrated_log_odds(self, log_odds: ArrayLike) -> Array:
        """Return log-odds (n_samples,) on the calibrated scale."""
        check_is_fitted(self)
        return self.slope_ * np.asarray(log_odds, dtype=float) + self.intercept_

    def predict(self, log_odds: ArrayLike) -> Array:
        """Return calibrated probabilities (n_samples,)."""
        return np.asarray(expit(self.calibrated_log_odds(log_odds)))


class BetaCalibrator(BaseEstimator):
    """Beta calibration: a logistic map whose two tails have slopes of their own.

    With ``s = expit(log_odds)`` the calibrated log-odds are ``a log s - b log(1 - s) + c``. Both
    coefficients are held positive (at least 0.001), so a ranking is never turned round; with
    ``a = b`` it is Platt's map. Fitted to Platt's smoothed targets, so that the maximum exists
    where the classes are separated.

    Attributes
    ----------
    low_slope_, high_slope_, intercept_
        ``a`` (the slope of very low log-odds), ``b`` (of very high ones) and ``c``.

    References
    ----------
    Kull et al., Electron J Stat 2017, doi:10.1214/17-EJS1338SI.
    """

    method = "beta"

    def fit(
        self, log_odds: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit as :meth:`PlattCalibrator.fit` does, with the same errors."""
        scores, labels, weights = checked_scores(log_odds, y, sample_weight)
        found = _fit_logistic(_tails(scores), labels, weights)
        self.low_slope_, self.high_slope_ = float(found[0]), float(found[1])
        self.intercept_ = float(found[2])
        return self

    def calibrated_log_odds(self, log_odds: ArrayLike) -> Array:
        """Return log-odds (n_samples,) on the calibrated scale."""
        check_is_fitted(self)
        tails = _tails(np.asarray(log_odds, dtype=float))
        return np.asarray(tails @ [self.low_slope_, self.high_slope_] + self.intercept_)

    def predict(self, log_odds: ArrayLike) -> Array:
        """Return calibrated probabilities (n_samples,)."""
        return np.asarray(expit(self.calibrated_log_odds(log_odds)))


class IsotonicCalibrator(BaseEstimator):
    """Isotonic regression of the label on log-odds, linear between its knots.

    Probabilities are kept inside [1/(n + 2), 1 - 1/(n + 2)] (n: the total weight; Laplace's rule
    for n samples of one class), so that log-odds stay finite. Samples may come to share a
    probability; none change places.

    Attributes
    ----------
    log_odds_knots_, probability_knots_
        Arrays (n_knots,), both ascending; flat outside the first and last knot.

    References
    ----------
    Zadrozny and Elkan, KDD 2002, doi:10.1145/775047.775151.
    """

    method = "isotonic"

    def fit(
        self, log_odds: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit as :meth:`PlattCalibrator.fit` does, with the same errors."""
        scores, labels, weights = checked_scores(log_odds, y, sample_weight)
        edge = 1.0 / (weights.sum() + 2.0)
        curve = IsotonicRegression(y_min=edge, y_max=1.0 - edge, out_of_bounds="clip")
        curve.fit(scores, labels, sample_weight=weights)
        self.log_odds_knots_ = np.asarray(curve.X_thresholds_, dtype=float)
        self.probability_knots_ = np.asarray(curve.y_thresholds_, dtype=float)
        return self

    def calibrated_log_odds(self, log_odds: ArrayLike) -> Array:
        """Return log-odds (n_samples,) on the calibrated scale."""
        return np.asarray(logit(self.predict(log_odds)))

    def predict(self, log_odds: ArrayLike) -> Array:
        """Return calibrated probabilities (n_samples,)."""
        check_is_fitted(self)
        scores = np.asarray(log_odds, dtype=float)
        return np.asarray(np.interp(scores, self.log_odds_knots_, self.probability_knots_))


class ShiftedCalibrator(BaseEstimator):
    """A fitted calibrator whose log-odds are moved by a constant: another response rate.

    Parameters
    ----------
    base
        Fitted calibrator.
    delta
        What is added to its log-odds; positive for more resistance.
    """

    def __init__(self, base: Calibrator, *, delta: float) -> None:
        self.base = base
        self.delta = delta

    @property
    def method(self) -> str:
        """The base's method, then ``+intercept``."""
        return f"{self.base.method}+intercept"

    def calibrated_log_odds(self, log_odds: ArrayLike) -> Array:
        """Return log-odds (n_samples,) on the calibrated scale."""
        return self.base.calibrated_log_odds(log_odds) + self.delta

    def predict(self, log_odds: ArrayLike) -> Array:
        """Return calibrated probabilities (n_samples,)."""
        return np.asarray(expit(self.calibrated_log_odds(log_odds)))


def shift_intercept(calibrator: Calibrator, delta: float) -> ShiftedCalibrator:
    """Return the calibrator with ``delta`` added to its log-odds; shifts add up."""
    if isinstance(calibrator, ShiftedCalibrator):
        return ShiftedCalibrator(calibrator.base, delta=calibrator.delta + delta)
    return ShiftedCalibrator(calibrator, delta=delta)


def fit_intercept(calibrator: Calibrator, log_odds: ArrayLike, y: ArrayLike) -> ShiftedCalibrator:
    """Return the calibrator recalibrated in the large to a cohort's response rate.

    The constant added to the log-odds is the maximum-likelihood one for Platt's smoothed targets:
    the mean probability becomes the mean target, and a class that is rarely present does not
    drive the shift off. The slope stays.

    Parameters
    ----------
    calibrator
        Fitted, on other cohorts.
    log_odds, y
        The cohort's uncalibrated log-odds (n_samples,) and labels 1 or 0 (n_samples,).

    Raises
    ------
    ModelError
        A class is absent, so that the cohort says nothing of its response rate; or a log-odds or
        a label is missing.

    References
    ----------
    Steyerberg et al., Stat Med 2004, doi:10.1002/sim.1844 (update of the intercept alone).
    """
    scores, labels, weights = checked_scores(log_odds, y, None)
    if np.unique(labels).size < 2:
        raise ModelError(
            f"recalibration needs resistant and responsive samples; {int(labels.sum())} of the "
            f"{labels.size} are resistant. Add labelled samples of the other class"
        )
    calibrated = calibrator.calibrated_log_odds(scores)
    target = float(_smoothed_targets(labels, weights).mean())
    # The shift that moves the extreme sample to the target bounds the one that moves the mean.
    low, high = logit(target) - calibrated.max() - 1, logit(target) - calibrated.min() + 1
    delta = brentq(lambda shift: float(expit(calibrated + shift).mean()) - target, low, high)
    return shift_intercept(calibrator, float(delta))


def checked_scores(
    log_odds: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Return log-odds, labels and weights as arrays (n_samples,), or refuse them.

    Raises
    ------
    ModelError
        Shapes differ, a log-odds or weight is not finite, or a label is neither 1 nor 0.
    """
    scores, labels = np.asarray(log_odds, dtype=float), np.asarray(y, dtype=float)
    weights = np.ones(scores.shape) if sample_weight is None else np.asarray(sample_weight, float)
    if scores.ndim != 1 or not scores.size or not scores.shape == labels.shape == weights.shape:
        raise ModelError(
            f"calibration takes one log-odds, label and weight a sample; got shapes "
            f"{scores.shape}, {labels.shape} and {weights.shape}"
        )
    strange = np.unique(labels[~np.isin(labels, [0.0, 1.0])]).tolist()
    missing = int((~np.isfinite(scores)).sum())
    if strange or missing or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ModelError(
            f"calibration takes finite log-odds, labels 1 or 0 and weights of at least 0; "
            f"{missing} log-odds are not finite, labels hold {examples(strange) or 'nothing else'}"
            ". Leave out unlabelled and unscored samples"
        )
    return scores, labels, weights


def _tails(scores: Array) -> Array:
    """Return ``log s`` and ``-log(1 - s)`` of ``s = expit(scores)``: (n_samples, 2)."""
    return np.column_stack([-np.logaddexp(0.0, -scores), np.logaddexp(0.0, scores)])


def _smoothed_targets(labels: Array, weights: Array) -> Array:
    positives = float(weights @ labels)
    negatives = float(weights.sum()) - positives
    return np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _fit_logistic(columns: Array, labels: Array, weights: Array) -> Array:
    """Return slopes (at least 0.001 each) and intercept for Platt's smoothed targets."""
    target = _smoothed_targets(labels, weights)
    design = np.column_stack([columns, np.ones(len(labels))])

    def loss(parameters: Array) -> tuple[float, Array]:
        linear = design @ parameters
        value = weights @ (np.logaddexp(0.0, linear) - target * linear)
        return float(value), design.T @ (weights * (expit(linear) - target))

    n_slopes = columns.shape[1]
    positives = float(weights @ labels)
    base = np.log((positives + 1) / (float(weights.sum()) - positives + 1))
    start = np.append(np.full(n_slopes, 1.0), base)
    bounds = [(_LEAST_SLOPE, None)] * n_slopes + [(None, None)]
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        # Tight, so that a sample's weight and its repetition end at the same maximum.
        options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 1000},
    )
    return np.asarray(found.x)
