"""What every classifier of two classes has once it gives log-odds."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin

__all__ = ["TwoClassModel"]


class TwoClassModel(ClassifierMixin, BaseEstimator):
    """Base of classifiers with ``decision_function`` (log-odds) and ``classes_``; NaN allowed."""

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return probabilities (n_samples, 2); column 1 is the positive class (resistant)."""
        positive = expit(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the more probable label of each sample (n_samples,)."""
        positive = self.decision_function(X) > 0
        return np.asarray(self.classes_[positive.astype(int)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags
