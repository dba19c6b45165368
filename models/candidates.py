"""Candidates: configurations of a model, written down beforehand, among which folds choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from models.classifier import ResistanceClassifier
from models.linear import SignedLogisticRegression
from models.two_class import TwoClassModel
from models.weights import sample_weights

__all__ = [
    "AveragedModels",
    "Candidate",
    "CandidateBuilder",
    "Estimator",
    "FeatureModel",
    "base_log_odds",
    "resistance_score",
]

Setting = int | float
FAMILIES: Mapping[str, type] = {
    "boosted": ResistanceClassifier,
    "linear": SignedLogisticRegression,
}
_SIGNS_PARAMETER = {"boosted": "monotone_constraints", "linear": "signs"}


class Estimator(Protocol):
    """What is validated: a classifier with log-odds."""

    def fit(
        self, X: Any, y: Any, *, groups: ArrayLike | None = None, cohorts: ArrayLike | None = None
    ) -> Any:
        """Fit on features, labels, patients and cohorts."""
        ...

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log-odds of resistance (n_samples,)."""
        ...


class FeatureModel(TwoClassModel):
    """A classifier on some columns of the feature table.

    Parameters
    ----------
    estimator
        Unfitted :class:`ResistanceClassifier` or :class:`SignedLogisticRegression`.
    columns
        Names of the features it takes.
    weigh_cohorts
        Let cohorts weigh the same; otherwise as many as their patients.

    Attributes
    ----------
    estimator_
        The fitted classifier.
    base_log_odds_
        Log-odds of the (weighted) share of resistant samples that it was fitted on.
    classes_
        As of the estimator.
    """

    def __init__(
        self, estimator: Any, columns: Sequence[str], *, weigh_cohorts: bool = False
    ) -> None:
        self.estimator = estimator
        self.columns = columns
        self.weigh_cohorts = weigh_cohorts

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        cohorts: ArrayLike | None = None,
    ) -> Self:
        """Fit on standardised features (n_samples, n_features), labels, patients and cohorts."""
        weighed = cohorts if self.weigh_cohorts else None
        labels = np.asarray(y, dtype=float)
        weights = sample_weights(labels.size, groups=groups, cohorts=weighed)
        self.base_log_odds_ = float(logit(np.average(labels, weights=weights)))
        self.estimator_ = clone(self.estimator).fit(
            X[list(self.columns)], y, groups=groups, cohorts=weighed
        )
        self.classes_ = self.estimator_.classes_
        return self

    def decision_function(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the log-odds of resistance (n_samples,)."""
        check_is_fitted(self)
        return np.asarray(self.estimator_.decision_function(X[list(self.columns)]))


class AveragedModels(TwoClassModel):
    """Models whose log-odds are averaged: a stack with equal weights.

    Parameters
    ----------
    models
        Unfitted :class:`FeatureModel`.

    Attributes
    ----------
    models_
        The fitted ones.
    base_log_odds_
        Mean of theirs.
    classes_
        As of the models.
    """

    def __init__(self, models: Sequence[FeatureModel]) -> None:
        self.models = models

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        cohorts: ArrayLike | None = None,
    ) -> Self:
        """Fit each model on standardised features (n_samples, n_features)."""
        self.models_ = [
            clone(model).fit(X, y, groups=groups, cohorts=cohorts) for model in self.models
        ]
        self.base_log_odds_ = float(np.mean([model.base_log_odds_ for model in self.models_]))
        self.classes_ = self.models_[0].classes_
        return self

    def decision_function(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the mean log-odds of resistance (n_samples,)."""
        check_is_fitted(self)
        return np.asarray(np.mean([model.decision_function(X) for model in self.models_], axis=0))


def resistance_score(classifier: Estimator, X: pd.DataFrame) -> NDArray[np.float64]:
    """Return log-odds beyond those of the base rate that a model was fitted on (n_samples,).

    Scores of models fitted without different cohorts are comparable only so: a model that lacks a
    cohort of many resistant samples starts lower, just where the cohort held out lies higher, and
    a calibration of pooled scores would learn that (Parker et al., BMC Bioinformatics 2007,
    doi:10.1186/1471-2105-8-326). The calibration gives the base rate back. Of a classifier
    that does not say its base rate, the log-odds as they are.
    """
    return np.asarray(classifier.decision_function(X) - base_log_odds(classifier))


def base_log_odds(classifier: Estimator) -> float:
    """Return the log-odds of the base rate that a model was fitted on; 0 if it does not say."""
    return float(getattr(classifier, "base_log_odds_", 0.0))


@dataclass(frozen=True)
class Candidate:
    """One configuration.

    Attributes
    ----------
    name
        Under which it stands in configuration and tables.
    family
        ``boosted``, ``linear`` or ``average`` (of other candidates).
    features
        ``all`` markers, or ``mechanisms``: those that several genes make up, alone.
    signs
        Hold the catalogue's signs.
    weights
        ``patients`` weigh the same, or ``cohorts`` do.
    settings
        Arguments of the family's classifier.
    members
        Candidates that are averaged.
    """

    name: str
    family: Literal["boosted", "linear", "average"]
    features: Literal["all", "mechanisms"] = "all"
    signs: bool = True
    weights: Literal["patients", "cohorts"] = "patients"
    settings: Mapping[str, Setting] = field(default_factory=dict)
    members: tuple["Candidate", ...] = ()

    @property
    def key(self) -> str:
        """Text that says the whole configuration."""
        settings = ",".join(f"{name}={self.settings[name]}" for name in sorted(self.settings))
        members = ";".join(member.key for member in self.members)
        parts = (self.name, self.family, self.features, self.signs, self.weights)
        return "|".join([*map(str, parts), settings, members])


@dataclass(frozen=True)
class CandidateBuilder:
    """Makes unfitted models of candidates.

    Attributes
    ----------
    features
        All feature names.
    mechanisms
        Those that several genes make up.
    signs
        +1, -1 or 0 by feature.
    seed
        Of the trees.
    n_jobs
        Threads over a model's seeds.
    """

    features: tuple[str, ...]
    mechanisms: tuple[str, ...]
    signs: Mapping[str, int]
    seed: int
    n_jobs: int | None = None

    def __call__(self, candidate: Candidate) -> FeatureModel | AveragedModels:
        """Return the candidate's unfitted model."""
        if candidate.family == "average":
            return AveragedModels([self._single(member) for member in candidate.members])
        return self._single(candidate)

    def _single(self, candidate: Candidate) -> FeatureModel:
        columns = self.features if candidate.features == "all" else self.mechanisms
        settings: dict[str, Any] = dict(candidate.settings)
        if candidate.signs:
            signs = {name: self.signs.get(name, 0) for name in columns}
            settings[_SIGNS_PARAMETER[candidate.family]] = signs
        if candidate.family == "boosted":
            settings |= {"random_state": self.seed, "n_jobs": self.n_jobs}
        estimator = FAMILIES[candidate.family](**settings)
        return FeatureModel(estimator, columns, weigh_cohorts=candidate.weights == "cohorts")
