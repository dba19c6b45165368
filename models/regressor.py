"""ResistanceRegressor: how resistant, where response is a number and not a class."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from models.boosted import BoostedTrees
from models.weights import sample_weights

__all__ = ["ResistanceRegressor"]


class ResistanceRegressor(RegressorMixin, BoostedTrees):
    """LightGBM regression with the classifier's settings: shallow, shrunk, signs held.

    Takes any numeric feature table (n_samples, n_features), NaN where not measured, and a response
    that rises with resistance. Parameters are those of :class:`models.boosted.BoostedTrees`.

    Attributes
    ----------
    estimators_
        One ``lightgbm.Booster`` a seed.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"abcb1": np.linspace(-1, 1, 80)})
    >>> model = ResistanceRegressor(monotone_constraints={"abcb1": 1}).fit(X, X["abcb1"])
    >>> bool(model.predict(X)[-1] > model.predict(X)[0])
    True
    """

    def fit(self, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None) -> Self:
        """Fit on features (n_samples, n_features) and resistance (n_samples,).

        ``groups`` names the line or patient of each sample: the samples of one weigh as one.

        Raises
        ------
        ValueError
            A response is missing, or a constraint names an unknown feature.
        """
        features, target = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
            y_numeric=True,
        )
        weights = None if groups is None else sample_weights(len(target), groups=groups)
        self._fit_members("regression", features, target, weights)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the resistance expected of each sample (n_samples,)."""
        return self._raw_scores(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
