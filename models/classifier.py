"""ResistanceClassifier: gradient-boosted trees whose directions follow what is known."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from models.boosted import BoostedTrees
from models.two_class import TwoClassModel
from models.weights import sample_weights, two_classes

__all__ = ["ResistanceClassifier"]


class ResistanceClassifier(TwoClassModel, BoostedTrees):
    """LightGBM for small cohorts: shallow trees, strong shrinkage, seeds averaged, signs held.

    Takes any numeric feature table (n_samples, n_features); NaN means not measured. With labels
    1 = resistant and 0 = responsive, column 1 of ``predict_proba`` is resistance. The defaults
    are a single configuration for cohorts of tens of patients, the project's first, taken over
    untuned: none of its values was varied on the cohorts this project reports.

    Parameters are those of :class:`models.boosted.BoostedTrees`.

    Attributes
    ----------
    classes_
        The two labels, sorted; the second is the positive class.
    estimators_
        One ``lightgbm.Booster`` a seed.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"b2m": np.linspace(0, 1, 80)})
    >>> y = (X["b2m"] < 0.5).astype(int)
    >>> model = ResistanceClassifier(monotone_constraints={"b2m": -1}).fit(X, y)
    >>> bool(model.predict_proba(X)[0, 1] > 0.5)
    True

    References
    ----------
    Ke et al., LightGBM, NeurIPS 2017.
    """

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
            Features and labels; exactly two classes.
        groups
            Patient of each sample: a patient's samples together weigh as one. None weighs every
            sample the same.
        cohorts
            Cohort of each sample: cohorts weigh the same. None: as large as they are.

        Raises
        ------
        ValueError
            There are not two classes, or a constraint names an unknown feature.
        """
        features, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        self.classes_, encoded = two_classes(labels)
        weights = None
        if groups is not None or cohorts is not None:
            weights = sample_weights(len(encoded), groups=groups, cohorts=cohorts)
        self._fit_members("binary", features, encoded, weights)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log-odds of the positive class (n_samples,), averaged over the seeds."""
        return self._raw_scores(X)
