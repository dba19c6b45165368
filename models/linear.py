"""SignedLogisticRegression: elastic-net logistic regression whose signs follow what is known."""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted, validate_data

from features.reference import mean_and_spread
from models.two_class import TwoClassModel
from models.weights import sample_weights, signs_by_position, two_classes

__all__ = ["SignedLogisticRegression"]

_LEAST_SPREAD = 1e-12
_MOST_ITERATIONS = 2000


class SignedLogisticRegression(TwoClassModel):
    """Logistic regression with an elastic net, each coefficient held to its sign.

    Minimises the weighted mean log loss plus
    ``alpha * (l1_ratio * |b|_1 + (1 - l1_ratio) / 2 * |b|_2^2)`` over standardised features. NaN
    counts as the feature's training mean, so that what was not measured says nothing.

    Parameters
    ----------
    alpha
        Strength of the penalty, against the mean log loss of a sample.
    l1_ratio
        Share of the absolute penalty: 0 ridge, 1 lasso.
    signs
        +1, -1 or 0 (free) by feature name or by position; None holds none.

    Attributes
    ----------
    classes_
        The two labels, sorted; the second is the positive class.
    coef_
        (n_features,) on standardised features.
    intercept_, mean_, scale_
        Log-odds at the mean; mean and standard deviation of each training feature.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Zou and Hastie, J R Stat Soc B 2005, doi:10.1111/j.1467-9868.2005.00503.x.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 60)[:, None]
    >>> y = (X[:, 0] > 0).astype(int)
    >>> held = SignedLogisticRegression(signs=[-1]).fit(X, y)
    >>> float(held.coef_[0])
    0.0
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        l1_ratio: float = 0.1,
        signs: Mapping[str, int] | ArrayLike | None = None,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.signs = signs

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        cohorts: ArrayLike | None = None,
    ) -> Self:
        """Fit on features (n_samples, n_features) and labels (n_samples,).

        Parameters
        ----------
        X, y
            Features, NaN where not measured, and labels of exactly two classes.
        groups, cohorts
            Patients and cohorts, as in :func:`models.weights.sample_weights`.

        Raises
        ------
        ValueError
            There are not two classes, or a sign names an unknown feature.
        """
        values, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        self.classes_, encoded = two_classes(labels)
        weights = sample_weights(len(encoded), groups=groups, cohorts=cohorts)
        mean, spread = mean_and_spread(values)
        self.mean_ = np.nan_to_num(mean)
        self.scale_ = np.where(np.nan_to_num(spread) <= _LEAST_SPREAD, 1.0, spread)
        signs = signs_by_position(
            self.signs, names=getattr(self, "feature_names_in_", None), count=values.shape[1]
        )
        self.coef_, self.intercept_ = self._solve(
            self._standardised(values), encoded.astype(float), weights / weights.sum(), signs
        )
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log-odds of the positive class (n_samples,)."""
        return np.asarray(self.contributions(X).sum(axis=1) + self.intercept_)

    def contributions(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return what each feature adds to ``intercept_`` (n_samples, n_features): exact SHAP."""
        check_is_fitted(self)
        values = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        return np.asarray(self._standardised(values) * self.coef_)

    def _standardised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.nan_to_num((values - self.mean_) / self.scale_, nan=0.0)

    def _solve(
        self,
        Z: NDArray[np.float64],
        y: NDArray[np.float64],
        weights: NDArray[np.float64],
        signs: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], float]:
        """Minimise with each coefficient split into its two non-negative parts: smooth, bounded."""
        l1, l2 = self.alpha * self.l1_ratio, self.alpha * (1.0 - self.l1_ratio)
        count = Z.shape[1]

        def loss(parts: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            up, down, intercept = parts[:count], parts[count:-1], parts[-1]
            coefficients = up - down
            linear = Z @ coefficients + intercept
            value = weights @ (np.logaddexp(0.0, linear) - y * linear)
            value += l1 * (up + down).sum() + 0.5 * l2 * (coefficients @ coefficients)
            residual = weights * (expit(linear) - y)
            slope = Z.T @ residual + l2 * coefficients
            return float(value), np.concatenate([slope + l1, l1 - slope, [residual.sum()]])

        bounds = [(0.0, 0.0 if sign < 0 else None) for sign in signs]
        bounds += [(0.0, 0.0 if sign > 0 else None) for sign in signs]
        share = np.clip(weights @ y, 1e-6, 1 - 1e-6)
        start = np.append(np.zeros(2 * count), np.log(share / (1 - share)))
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[*bounds, (None, None)],
            options={"maxiter": _MOST_ITERATIONS, "maxfun": 20 * _MOST_ITERATIONS, "ftol": 1e-12},
        )
        return found.x[:count] - found.x[count:-1], float(found.x[-1])
