"""ResistanceClassifier: gradient-boosted trees whose directions follow what is known."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from joblib import Parallel, delayed
from lightgbm import LGBMClassifier
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from models.two_class import TwoClassModel
from models.weights import sample_weights, signs_by_position, two_classes

__all__ = ["ResistanceClassifier"]


class ResistanceClassifier(TwoClassModel):
    """LightGBM for small cohorts: shallow trees, strong shrinkage, seeds averaged, signs held.

    Takes any numeric feature table (n_samples, n_features); NaN means not measured. With labels
    1 = resistant and 0 = responsive, column 1 of ``predict_proba`` is resistance. The defaults
    are a single configuration for cohorts of tens of patients, the project's first, taken over
    untuned: none of its values was varied on the cohorts this project reports.

    Parameters
    ----------
    n_estimators, num_leaves, learning_rate, colsample_bytree, min_child_samples, reg_lambda
        As in LightGBM: 200 trees of 5 leaves, slow learning, 30% of the features a tree.
    subsample
        Share of the samples drawn anew for each tree (bagging); 1 takes all.
    n_seeds
        Models with different seeds whose log-odds are averaged.
    monotone_constraints
        +1, -1 or 0 by feature name (tables with column names) or by position; None for none.
    random_state
        Seed of the first model; the others follow.
    n_jobs
        Threads over the seeds, as in scikit-learn; the result does not depend on it.

    Attributes
    ----------
    classes_
        The two labels, sorted; the second is the positive class.
    estimators_
        One fitted ``LGBMClassifier`` a seed.
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

    def __init__(
        self,
        *,
        n_estimators: int = 200,
        num_leaves: int = 5,
        learning_rate: float = 0.03,
        colsample_bytree: float = 0.3,
        min_child_samples: int = 20,
        reg_lambda: float = 10.0,
        subsample: float = 1.0,
        n_seeds: int = 3,
        monotone_constraints: Mapping[str, int] | Sequence[int] | None = None,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.num_leaves = num_leaves
        self.learning_rate = learning_rate
        self.colsample_bytree = colsample_bytree
        self.min_child_samples = min_child_samples
        self.reg_lambda = reg_lambda
        self.subsample = subsample
        self.n_seeds = n_seeds
        self.monotone_constraints = monotone_constraints
        self.random_state = random_state
        self.n_jobs = n_jobs

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
        constraints = self._constraints()
        # LightGBM frees the interpreter while it trains, so threads share the seeds.
        self.estimators_ = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(self._member(seed, constraints).fit)(features, encoded, sample_weight=weights)
            for seed in range(self.n_seeds)
        )
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log-odds of the positive class (n_samples,), averaged over the seeds."""
        check_is_fitted(self)
        features = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        log_odds = [model.booster_.predict(features, raw_score=True) for model in self.estimators_]
        return np.asarray(np.mean(log_odds, axis=0))

    def _member(self, seed: int, constraints: list[int] | None) -> LGBMClassifier:
        return LGBMClassifier(
            n_estimators=self.n_estimators,
            num_leaves=self.num_leaves,
            learning_rate=self.learning_rate,
            colsample_bytree=self.colsample_bytree,
            min_child_samples=self.min_child_samples,
            reg_lambda=self.reg_lambda,
            subsample=self.subsample,
            subsample_freq=int(self.subsample < 1.0),
            monotone_constraints=constraints,
            random_state=self.random_state + seed,
            n_jobs=1,
            deterministic=True,
            force_col_wise=True,
            verbosity=-1,
        )

    def _constraints(self) -> list[int] | None:
        if self.monotone_constraints is None:
            return None
        names = getattr(self, "feature_names_in_", None)
        signs = signs_by_position(self.monotone_constraints, names=names, count=self.n_features_in_)
        return [int(sign) for sign in signs]
