"""Gradient-boosted trees for small cohorts: what classifier and regressor share."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from lightgbm import Booster, Dataset
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from models.weights import signs_by_position

__all__ = ["BoostedTrees"]


class BoostedTrees(BaseEstimator):
    """LightGBM whose seeds are averaged and whose directions are held; NaN means not measured.

    Parameters
    ----------
    n_estimators, num_leaves, learning_rate, colsample_bytree, min_child_samples, reg_lambda
        As in LightGBM: 200 trees of 5 leaves, slow learning, 30% of the features a tree.
    subsample
        Share of the samples drawn anew for each tree (bagging); 1 takes all.
    n_seeds
        Models with different seeds whose raw scores are averaged.
    monotone_constraints
        +1, -1 or 0 by feature name (tables with column names) or by position; None for none.
    random_state
        Seed of the first model; the others follow.
    n_jobs
        Threads over the seeds, as in scikit-learn; the result does not depend on it.
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

    def _fit_members(
        self,
        objective: Literal["binary", "regression"],
        features: NDArray[np.float64],
        target: NDArray[Any],
        weights: NDArray[np.float64] | None,
    ) -> None:
        """Fit one LightGBM model a seed, into ``estimators_``."""
        constraints = self._constraints()

        def fit(seed: int) -> Booster:
            settings = self._settings(objective, seed=seed, constraints=constraints)
            data = Dataset(features, label=target, weight=weights, params=settings)
            # As lightgbm.train does, without writing the trees out and reading them again, which
            # takes up to a third of the time of fits as small as these.
            booster = Booster(settings, data)
            for _ in range(self.n_estimators):
                booster.update()
            return booster

        # LightGBM frees the interpreter while it trains, so threads share the seeds.
        self.estimators_ = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(fit)(seed) for seed in range(self.n_seeds)
        )

    def _raw_scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the trees' sums (n_samples,), averaged over the seeds."""
        check_is_fitted(self)
        features = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        scores = [booster.predict(features, raw_score=True) for booster in self.estimators_]
        return np.asarray(np.mean(scores, axis=0))

    def _settings(
        self, objective: str, *, seed: int, constraints: list[int] | None
    ) -> dict[str, Any]:
        return {
            "objective": objective,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "feature_fraction": self.colsample_bytree,
            "min_data_in_leaf": self.min_child_samples,
            "lambda_l2": self.reg_lambda,
            "bagging_fraction": self.subsample,
            "bagging_freq": int(self.subsample < 1.0),
            "monotone_constraints": constraints,
            "seed": self.random_state + seed,
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }

    def _constraints(self) -> list[int] | None:
        if self.monotone_constraints is None:
            return None
        names = getattr(self, "feature_names_in_", None)
        signs = signs_by_position(self.monotone_constraints, names=names, count=self.n_features_in_)
        return [int(sign) for sign in signs]
